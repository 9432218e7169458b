"""Parts of a user's own from a file: what it defines under our names is known to this process from then on.

The file is an ordinary Python module. It may hold any of these dicts, and what is in them is added to ours:

    METHODS     valor.training.methods.methods      name -> class below Method
    ENCODERS    valor.parsers.options               name -> function of ParserOptions
    POOLINGS    valor.parsers.options               name -> function of ParserOptions
    STEMS       valor.parsers.options               name -> function of ParserOptions
    NETWORKS    valor.parsers.options               name -> function of ParserOptions
    TEACHERS    label_harvest.teachers.build        name -> (role, function of the prompts)
    DATASETS    valor.data.datasets.dataset                 name -> DataSet
    RECIPES     valor.training.recipes              name -> Recipe

A name that is taken is refused, and then nothing of the file is added. docs/extend.md has an example of each.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import DATASETS, DataSet
from valor.data.own_files import LOADED, OwnFile, own_parts, run_file
from valor.label_harvest.teachers.build import TEACHERS
from valor.label_harvest.teachers.teacher import ROLES
from valor.parsers.options import ENCODERS, NETWORKS, POOLINGS, STEMS

from .methods.method import Method
from .methods.methods import METHODS
from .recipes import RECIPES, Recipe

_LOG = logging.getLogger(__name__)


def _is_teacher(part: Any) -> bool:  # noqa: ANN401, whatever a file holds
    return isinstance(part, tuple) and len(part) == 2 and part[0] in ROLES and callable(part[1])


_KINDS: dict[str, tuple[dict[str, Any], Callable[[Any], bool], str]] = {
    "METHODS": (METHODS, lambda part: isinstance(part, type) and issubclass(part, Method), "classes below Method"),
    "ENCODERS": (ENCODERS, callable, "functions of ParserOptions"),
    "POOLINGS": (POOLINGS, callable, "functions of ParserOptions"),
    "STEMS": (STEMS, callable, "functions of ParserOptions"),
    "NETWORKS": (NETWORKS, callable, "functions of ParserOptions"),
    "TEACHERS": (TEACHERS, _is_teacher, f"pairs of a role ({', '.join(ROLES)}) and a function of the prompts"),
    "DATASETS": (DATASETS, lambda part: isinstance(part, DataSet), "DataSets"),
    "RECIPES": (RECIPES, lambda part: isinstance(part, Recipe), "Recipes"),
}
"""Our dict of each kind, what may stand in it, and how that is called."""


def use_file(path: Path | str) -> OwnFile:
    """Run a file once, and add the parts it defines to ours.

    Args:
        path: A Python file.

    Returns:
        What it added; what is told of it in run folders.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It ends in an error, defines none of our dicts, one that is none, or a name that is taken; names
            file and line, or the names.
    """
    path = Path(path).resolve()
    known = next((file for file in LOADED if file.path == path), None)
    if known is not None:
        return known
    module, digest = run_file(path)
    # A file that imports one of our dicts to read it has not defined it.
    held = {kind: found for kind in _KINDS if (found := getattr(module, kind, None)) not in (None, _KINDS[kind][0])}
    if not held:
        raise ValueError(f"{path}: defines none of {', '.join(_KINDS)}, so that it adds nothing")
    for kind, parts in held.items():
        ours, fits, called = _KINDS[kind]
        wrong = [name for name, part in parts.items() if not fits(part)] if isinstance(parts, dict) else [kind]
        if wrong:
            raise ValueError(f"{path}: {kind} must be a dict of names and {called}, got another {', '.join(wrong)}")
        taken = [name for name in parts if name in ours]
        if taken:
            raise ValueError(f"{path}: {kind} has the name {', '.join(taken)}, which is taken; choose another")
    for kind, parts in held.items():
        _KINDS[kind][0].update(parts)
    LOADED.append(OwnFile(path, digest, {kind: tuple(parts) for kind, parts in held.items()}))
    return LOADED[-1]


def use_files(paths: Iterable[Path | str]) -> None:
    """Run some files, as `use_file` does one."""
    for path in paths:
        use_file(path)


def _taken(recipe: Recipe) -> set[str]:
    """The changes by which a recipe has its methods and the parts of its network."""
    methods = {f"methods.{name}=on" for name in recipe.methods}
    parts = ("encoder", "pooling", "stem", "network")
    return methods | {f"parser.{kind}={getattr(recipe.parser, kind)}" for kind in parts}


def files_of(recipe: Recipe) -> list[OwnFile]:
    """The loaded files of which a recipe takes a part, in the order they were loaded."""
    taken = _taken(recipe)
    return [file for file in LOADED if any(part.change in taken for part in own_parts([file]))]


def note_unused(recipes: Iterable[Recipe]) -> None:
    """Warn of parts of loaded files that no training takes: a file alone changes nothing.

    Args:
        recipes: Of all trainings.
    """
    taken = {change for recipe in recipes for change in _taken(recipe)}
    for part in own_parts():
        if part.change not in taken:
            _LOG.warning(
                "%s defines the %s, which is not trained with here: add %s", part.file, part.title, part.change
            )
