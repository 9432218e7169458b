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

A name that is taken is refused, and then nothing of the file is added. A file that is given again is run again if its
bytes have changed, and what it defines takes the place of what it defined before; a file with parts under names that a
file of an earlier call has takes the place of that one. docs/extend.md has an example of each.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import DATASETS, DataSet
from valor.data.own_files import LOADED, TAKEN_BY, OwnFile, call_fault, changed_own, own_parts, read_file, run_file
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.teachers.build import TEACHERS
from valor.label_harvest.teachers.teacher import ROLES
from valor.parsers.options import ENCODERS, NETWORKS, POOLINGS, STEMS

from .methods.hooks import method_fault
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


_GIVEN = {"TEACHERS": ("prompts",), "DATASETS": ("dataset", "folder", "split", "names", "version")}
"""What functions of a kind are called with; of others with ParserOptions."""
_OF_TEACHERS = ("identity", "encode_many")


def _fault(kind: str, name: str, part: Any) -> str | None:  # noqa: ANN401, whatever a file holds
    """What is wrong with a part that is of its kind; None where nothing is."""
    if kind == "METHODS":
        return method_fault(part)
    if kind == "RECIPES":
        return None
    made = part[1] if kind == "TEACHERS" else part.reader if kind == "DATASETS" else part
    if kind == "TEACHERS" and isinstance(made, type):
        public = [of for of in dir(made) if not of.startswith("_")]
        for lacking in _OF_TEACHERS:
            if lacking not in public:
                return f"the teacher {name} has no method {lacking}{did_you_mean(lacking, public)}"
    if made is None:
        return None
    said = call_fault(made, _GIVEN.get(kind, ("options",)))
    return said and f"{name} of {kind} {said}"


def use_file(path: Path | str, beside: Sequence[Path] = ()) -> OwnFile:
    """Run a file once in each version, and add the parts it defines to ours.

    Args:
        path: A Python file.
        beside: All files of the call, resolved. One of an earlier call that defines a name of this one is dropped.

    Returns:
        What it added; what is told of it in run folders.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It ends in an error, defines none of our dicts, one that is none, or a name that is taken; names
            file and line, or the names.
    """
    path = Path(path).resolve()
    return _use(path, read_file(path), beside)


def use_files(paths: Iterable[Path | str]) -> list[OwnFile]:
    """Run the files of one call, as `use_file` does one."""
    beside = [Path(path).resolve() for path in paths]
    return [use_file(path, beside) for path in beside]


def use_loaded(files: Sequence[OwnFile]) -> None:
    """Run what another process has loaded: the bytes it has run, whatever the files are by now."""
    for file in files:
        _use(file.path, file.source, [other.path for other in files])


def _use(path: Path, source: bytes, beside: Sequence[Path]) -> OwnFile:
    """Run the bytes of a file, see `use_file`."""
    known = next((file for file in LOADED if file.path == path), None)
    if known is not None and known.source == source:
        return known
    module, digest = run_file(path, source)
    # A file that imports one of our dicts to read it has not defined it.
    held = {kind: found for kind in _KINDS if (found := getattr(module, kind, None)) not in (None, _KINDS[kind][0])}
    if not held:
        raise ValueError(f"{path}: defines none of {', '.join(_KINDS)}, so that it adds nothing")
    for kind, parts in held.items():
        ours, fits, called = _KINDS[kind]
        wrong = [name for name, part in parts.items() if not fits(part)] if isinstance(parts, dict) else [kind]
        if wrong:
            raise ValueError(f"{path}: {kind} must be a dict of names and {called}, got another {', '.join(wrong)}")
        faults = (fault for name, part in parts.items() if (fault := _fault(kind, name, part)))
        if fault := next(faults, None):
            raise ValueError(f"{path}: {fault}")
    found = OwnFile(path, digest, {kind: tuple(parts) for kind, parts in held.items()}, source)
    earlier = [file for file in LOADED if file is not known and file.path not in beside and _clash(found, file)]
    dropped = [*([known] if known else []), *earlier]
    for kind, names in found.adds.items():
        mine = {name for file in dropped for name in file.adds.get(kind, ())}
        if taken := [name for name in names if name in _KINDS[kind][0] and name not in mine]:
            raise ValueError(f"{path}: {kind} has the name {', '.join(taken)}, which is taken; choose another")
    for file in earlier:
        _LOG.warning("%s takes the place of %s, given before, which has parts of the same name", path.name, file.path)
    _put(found, known, dropped, held)
    return found


def _clash(one: OwnFile, other: OwnFile) -> bool:
    """Whether two files define the same name of a kind."""
    return any(name in other.adds.get(kind, ()) for kind, names in one.adds.items() for name in names)


def _put(found: OwnFile, known: OwnFile | None, dropped: Sequence[OwnFile], held: Mapping[str, dict[str, Any]]) -> None:
    """Add the parts of a file in the place of those of others; a part that stays by name stays in its order."""
    for file in dropped:
        for kind, names in file.adds.items():
            for name in names:
                if name not in held.get(kind, {}):
                    _KINDS[kind][0].pop(name, None)
    for kind, parts in held.items():
        _KINDS[kind][0].update(parts)
    at = LOADED.index(known) if known else len(LOADED)
    LOADED[at : at + 1] = [found]
    LOADED[:] = [file for file in LOADED if file not in dropped]


def _taken(recipe: Recipe) -> set[str]:
    """The changes by which a recipe has its methods and the parts of its network."""
    methods = {f"methods.{name}=on" for name in recipe.methods}
    parts = ("encoder", "pooling", "stem", "network")
    return methods | {f"parser.{kind}={getattr(recipe.parser, kind)}" for kind in parts}


def files_of(recipe: Recipe) -> list[OwnFile]:
    """The loaded files of which a recipe takes a part, in the order they were loaded."""
    taken = _taken(recipe)
    return [file for file in LOADED if any(part.change in taken for part in own_parts([file]))]


def told_files(recipe: Recipe) -> list[OwnFile]:
    """The loaded files that a run of a recipe names: of which it takes a part, or that define what no recipe takes."""
    used = files_of(recipe)
    return [file for file in LOADED if file in used or any(kind not in TAKEN_BY for kind in file.adds)]


def refuse_changed(recipe: Recipe, begun: Mapping[str, Any], where: Path) -> None:
    """Refuse to go on with a training, or to take it as done, with another version of a file it was begun with.

    Args:
        recipe: What is to be trained.
        begun: What the run folder says of the run, as `run` of its recipe.json.
        where: The run folder.

    Raises:
        ValueError: A file that the recipe takes a part of is another now.
    """
    if changed := changed_own({"run": begun}, files_of(recipe)):
        raise ValueError(
            f"{where}: was trained with another version of {', '.join(changed)}; train what it is now into another "
            "`out`, or remove this folder"
        )


def note_unused(recipes: Iterable[Recipe], files: Sequence[OwnFile] | None = None) -> None:
    """Warn of parts of files that no training takes: a file alone changes nothing.

    Args:
        recipes: Of all trainings.
        files: Those that were given; None for all loaded ones.
    """
    taken = {change for recipe in recipes for change in _taken(recipe)}
    for part in own_parts(files):
        if part.change not in taken:
            _LOG.warning(
                "%s defines the %s, which is not trained with here: add %s", part.file, part.title, part.change
            )
