"""A recipe: features, network and training of one row of a table, as values, as JSON, and with overrides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from valor.data.features.feature_options import FeatureOptions
from valor.data.own_files import note_own
from valor.label_harvest.disk import write_json
from valor.label_harvest.strict_json import loads
from valor.parsers.options import ParserOptions

from .methods.methods import METHODS, RENAMED, Methods, changed_methods, from_old_names, in_order, note_renamed
from .options import FitOptions
from .override import tree_of, updated


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One way to train a parser."""

    name: str
    """Its name in tables, and of its run folder under runs/."""
    features: FeatureOptions = field(default_factory=FeatureOptions)
    """What the parser sees."""
    parser: ParserOptions = field(default_factory=ParserOptions)
    """The network."""
    fit: FitOptions = field(default_factory=FitOptions)
    """The training."""
    methods: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Options by method, see `valor.training.methods`, in the order the methods act in; VALOR itself has none."""
    note: str = ""
    """Cost and expected scores."""

    def __post_init__(self) -> None:
        """Refuse a name that is no folder's, and features and a network that do not fit."""
        if self.name.startswith(".") or set(self.name) & set("/\\\0"):
            raise ValueError(
                f"name must be fit for a folder: without / and \\ and with no dot at its start, got {self.name!r}"
            )
        if (self.features.motion is None) != (self.parser.motion_width == 0):
            raise ValueError(
                "features.motion is none exactly when parser.motion_width is 0, "
                f"got {self.features.motion} and {self.parser.motion_width}"
            )
        object.__setattr__(self, "methods", in_order(self.methods))
        Methods(self.methods).check(self)


def recipe_to_json(recipe: Recipe) -> dict[str, Any]:
    """Turn a recipe into JSON values, every option spelled out."""
    return asdict(recipe)


def recipe_from_json(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe from JSON values; options that are not there keep their defaults.

    Args:
        values: What `recipe_to_json` gives. A key `run`, which a run adds about itself, is left alone.

    Raises:
        ValueError: An unknown option, a value of the wrong type, or one the option refuses.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        found = type(values).__name__
        if isinstance(values, Mapping):
            found = f"the name {values['name']!r}" if "name" in values else f"the keys {', '.join(values) or '(none)'}"
        raise ValueError(f"a recipe must be a JSON object with at least a 'name' that is a text, got {found}")
    try:
        recipe = Recipe(name=values["name"])
    except ValueError as error:
        raise ValueError(f"recipe: {error}") from error
    return _changed(recipe, {key: v for key, v in values.items() if key != "run"})


def features_from_json(values: Mapping[str, Any]) -> FeatureOptions:
    """The features of a recipe, whatever else it says: methods may be named there that nobody here knows.

    Raises:
        ValueError: As in `recipe_from_json`.
    """
    return updated(FeatureOptions(), values.get("features", {}), "features.")


def write_recipe(path: Path | str, recipe: Recipe) -> None:
    """Write a recipe as JSON, whole or not at all."""
    write_json(path, recipe_to_json(recipe), indent=2)


def read_recipe(path: Path | str) -> Recipe:
    """Read a recipe from JSON.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no JSON, or not a recipe; names the file and the option.
    """
    values: Any = None
    try:
        values = loads(Path(path).read_text(encoding="utf-8"))
        return recipe_from_json(values)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        note = note_own(values, str(path)) if isinstance(values, Mapping) else ""
        raise ValueError(f"{path}: {error}{note}") from error


def override(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Change options by their dotted names.

    Args:
        recipe: What to start from.
        changes: Such as `fit.learning_rate=3e-4` or `features.motion=none`.

    Returns:
        The changed recipe; every check of the options has run again. All changes apply at once, so their order does
        not matter.

    Raises:
        ValueError: No such option (the known ones are listed), or a value of the wrong type or out of range.

    >>> override(Recipe(name="valor"), ["fit.epochs=5", "fit.warmup_epochs=1"]).fit.epochs
    5
    """
    switches = [change for change in changes if re.fullmatch(r"\s*methods\.[^.=]+", change.partition("=")[0])]
    tree = tree_of([change for change in changes if change not in switches])
    fit = tree.get("fit")
    if isinstance(fit, Mapping):
        note_renamed([name for name in fit if name in RENAMED])
    return _changed(recipe, tree, tree_of(switches).get("methods", {}))


def shortening(recipe: Recipe, epochs: int) -> list[str]:
    """The changes by which a recipe trains so many epochs, warm-ups and parts of the training in proportion.

    Args:
        recipe: What is to be tried.
        epochs: Of the whole training.

    Raises:
        ValueError: There is no epoch.

    >>> shortening(Recipe(name="valor"), 6)[0]
    'fit.epochs=6'
    """
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    share = epochs / recipe.fit.epochs
    kept = [
        f"methods.{name}.{option.name}={max(_least(options, option.name, epochs), round(share * held))}"
        for name, options in recipe.methods.items()
        for option in fields(options)
        if option.name.endswith("_epochs") and (held := getattr(options, option.name))
    ]
    return [f"fit.epochs={epochs}", f"fit.warmup_epochs={int(share * recipe.fit.warmup_epochs)}", *kept]


def _least(options: Any, name: str, epochs: int) -> int:  # noqa: ANN401, of any method
    """How long a part of a method is at least: none of a single epoch is warm-up, where there may be none."""
    try:
        replace(options, **{name: 0})
    except ValueError:
        return 1
    return min(1, epochs - 1) if name == "warmup_epochs" else 1


def _changed(recipe: Recipe, values: Mapping[str, Any], switches: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe with methods switched, and then with other values; old names of options are understood."""
    values, fit = dict(values), values.get("fit")
    old: dict[str, Any] = {}
    if isinstance(fit, Mapping):
        values["fit"], old = from_old_names(fit, tuple(recipe.methods))
    named = values.pop("methods", {})
    if not isinstance(named, Mapping):
        raise ValueError(f"methods is a group; set one of {', '.join(f'methods.{name}' for name in METHODS)}")
    try:
        methods = changed_methods(recipe.methods, old)
        for changes in (switches or {}, named):
            methods = changed_methods(methods, changes)
    except ValueError as error:
        raise ValueError(f"recipe: {error}") from error
    return updated(recipe, values, "", {"methods": methods})
