"""Every option of a recipe, as `--set` takes it: name, default and what its docstring says."""

import textwrap
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec

from valor.cli.recipe_options import GROUPS as TITLES
from valor.cli.recipe_options import options_of
from valor.data.features.feature_options import FeatureOptions
from valor.parsers.options import ParserOptions
from valor.training.methods.methods import METHODS
from valor.training.options import FitOptions

from .markdown import code, prose, table

UP = "../"

INTRO = """\
# Every option of a recipe

Each is typed after `--set`, as often as you like: `--set fit.epochs=30 --set features.motion=none`. Text is typed as
it is, switches are `on` or `off`, what may be absent is `none`. A wrong name is answered with those there are. A run
folder keeps all of them in `recipe.json`, which is a recipe for [`valor train`](commands/train.md) in turn. What each
recipe changes of these defaults stands with the [recipes](recipes.md).
"""

GROUPS = {"features": FeatureOptions, "parser": ParserOptions, "fit": FitOptions}


def pages() -> dict[str, str]:
    """One page of all options."""
    parts = [INTRO]
    for group, of in GROUPS.items():
        parts.append(f"## {TITLES[group]}: {group}\n\n{_table(group, of)}")
    parts.append(
        "## Methods of other papers: methods\n\n`--set methods.NAME=on` switches one on, `off` switches one off that "
        "the recipe has; naming an option of one switches it on too. [Later methods](../methods.md) says what each is "
        "worth."
    )
    for name, method in METHODS.items():
        about = prose(_first(method.__doc__), UP)
        options = _table(f"methods.{name}", method.Options) if fields(method.Options) else "It has no options."
        parts.append(f"### methods.{name}\n\n{about}\n\n{options}")
    if find_spec("torch") is not None:  # which objectives load
        parts += _pretraining()
    return {"options.md": "\n\n".join(parts) + "\n"}


def _pretraining() -> list[str]:
    """What `valor pretrain` takes besides."""
    from valor.parsers.pretraining.registry import OBJECTIVES, objective_class
    from valor.parsers.raw.options import TowerOptions
    from valor.raw.options import PoolOptions

    parts = [
        "## Pre-training: objective, tower, raw\n\n[`valor pretrain`](commands/pretrain.md) takes the options of its "
        "objective as `objective.*` besides those of features and network, and with `--raw` in the place of these "
        "`tower.*` and `raw.*`. [Learning before labels](../pretraining.md) says what each objective learns.",
        f"### tower\n\n{_table('tower', TowerOptions)}",
        f"### raw\n\n{_table('raw', PoolOptions)}",
    ]
    for name in OBJECTIVES:
        of = objective_class(name).Options
        options = _table("objective", of) if fields(of) else "It has no options."
        parts.append(f"### objective of {name}\n\n{prose(_first(of.__doc__), UP)}\n\n{options}")
    return parts


def _table(group: str, of: type) -> str:
    return table(["option", "takes", "default", "what it is"], list(_rows(group, of)))


def _rows(group: str, of: type) -> Iterator[list[str]]:
    """A row for each option, those of options within options too."""
    for option in options_of(group, of):
        default = {None: "must be given", "on": "`on`", "off": "`off`", "none": "`none`"}.get(option.default)
        yield [f"`{option.name}`", option.takes, default or code(option.default), prose(option.about, UP)]


def _first(docstring: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(textwrap.dedent(docstring or "").strip().split("\n\n")[0].split())
