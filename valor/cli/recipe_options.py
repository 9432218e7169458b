"""Every option of a recipe as `--set` takes it: its name, value, default and what its docstring says."""

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from valor.training.methods.methods import METHODS
from valor.training.recipe import Recipe

from .options import docstrings

WIDTH = 110
"""Letters of a line."""

GROUPS = {"features": "What the parser sees", "parser": "The network", "fit": "The training"}
"""Parts of a recipe and what they are."""


class RecipeOption(NamedTuple):
    """One option."""

    name: str
    """As it is typed, such as `fit.epochs`."""
    takes: str
    """Which values, in words."""
    default: str | None
    """As it is typed; None where there is none."""
    value: str | None
    """What the options at hand have, as it is typed."""
    about: str
    """Its docstring, in one line."""


def options_of(group: str, of: type, held: object = None) -> Iterator[RecipeOption]:
    """The options of a dataclass, those of dataclasses within too.

    Args:
        group: What names begin with.
        of: The dataclass.
        held: One of these, whose values are wanted.
    """
    bases = [base for base in reversed(of.__mro__) if is_dataclass(base)]
    docs = {name: about for base in bases for name, about in docstrings(base).items()}
    types = get_type_hints(of)
    for field in fields(of):
        name, default = f"{group}.{field.name}", _default(field)
        value = default if held is None else getattr(held, field.name)
        if is_dataclass(default):
            yield from options_of(name, type(default), value)
        else:
            about = " ".join(docs.get(field.name, "").split())
            yield RecipeOption(name, _kinds(types[field.name]), _typed(default), _typed(value), about)


def recipe_text(recipe: Recipe) -> str:
    """All options of a recipe, a line with the value and below it the meaning; `*` where it is not the default."""
    lines = [f"{recipe.name}: every option, as --set NAME=VALUE changes it; * where the recipe differs from VALOR's."]
    lines += textwrap.wrap(recipe.note, WIDTH)
    for group, title in GROUPS.items():
        held = getattr(recipe, group)
        lines += ["", f"{title}: {group}", *_lines(options_of(group, type(held), held))]
    for name, held in recipe.methods.items():
        lines += ["", f"A method beside VALOR: methods.{name} (--set methods.{name}=off leaves it out)"]
        lines += _lines(options_of(f"methods.{name}", type(held), held))
    others = ", ".join(name for name in METHODS if name not in recipe.methods)
    lines += ["", *textwrap.wrap(f"Methods that --set methods.NAME=on adds: {others} (docs/methods.md).", WIDTH)]
    return "\n".join(lines)


def _lines(options: Iterator[RecipeOption]) -> list[str]:
    lines = []
    for option in options:
        changed = option.value != option.default
        default = f"; default {option.default}" if changed and option.default is not None else ""
        about = textwrap.wrap(f"{option.about} ({option.takes}{default})", WIDTH - 6)
        lines += [f"{'*' if changed else ' '} {option.name} = {option.value}", *(f"      {line}" for line in about)]
    return lines


def _default(field: Field[Any]) -> Any:  # noqa: ANN401
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _kinds(wanted: Any) -> str:  # noqa: ANN401
    words = {NoneType: "none", bool: "on, off", int: "whole number", float: "number", str: "text"}
    return " or ".join(words.get(kind, getattr(kind, "__name__", str(kind))) for kind in get_args(wanted) or (wanted,))


def _typed(value: Any) -> str | None:  # noqa: ANN401
    """A value as it is typed."""
    if value is MISSING:
        return None
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
