"""Files of a user's own code that this process has run, and what a run folder says of those it was trained with."""

import inspect
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from valor.label_harvest.store.origins import OWN_DIGEST, OWN_MODULE

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class OwnFile:
    """A file that was run."""

    path: Path
    sha256: str
    adds: Mapping[str, tuple[str, ...]]
    """Names it defines, by the dict they are in."""
    source: bytes = field(default=b"", repr=False)
    """The bytes that were run, which may not be those of the file any more."""

    def __str__(self) -> str:
        """Name and version, as tables say them."""
        return f"{self.path.name} (sha256 {self.sha256[:12]})"

    def to_json(self) -> dict[str, Any]:
        """What a run folder keeps of it."""
        return {"file": self.path.name, "sha256": self.sha256, "adds": {kind: [*of] for kind, of in self.adds.items()}}


def _placed(error: BaseException, path: Path) -> str | None:
    """An error with the last line of a file that it came through and its function; None where it came through none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if not frames:
        return None
    inside = f", in {frames[-1].name}" * (frames[-1].name != "<module>")
    return f"{path}, line {frames[-1].lineno}{inside}: {type(error).__name__}: {error}"


def in_own_file(error: Exception) -> str | None:
    """What an error is to be called that came out of a loaded file, with file and line; None of one of ours.

    One of a member that is asked for and absent is of the file that the class is of; one whose words name its file
    already needs no other.
    """
    if any(str(file.path) in str(error) for file in LOADED):
        return None
    if said := next((said for file in LOADED if (said := _placed(error, file.path))), None):
        return said
    if not isinstance(error, AttributeError) or not type(error.obj).__module__.startswith(OWN_MODULE):
        return None
    of = type(error.obj)
    return f"{getattr(sys.modules.get(of.__module__), '__file__', of.__module__)}: {of.__name__} has no `{error.name}`"


def came_of_own_file(error: BaseException) -> bool:
    """Whether an error, or one that it was raised in place of, came out of a loaded file."""
    one: BaseException | None = error
    while one is not None:
        if any(_placed(one, file.path) for file in LOADED):
            return True
        one = one.__cause__ or one.__context__
    return False


def call_fault(function: Callable[..., Any], given: Sequence[str], more: str = "") -> str | None:
    """What is wrong with the signature of a function that is called with these; None where nothing is, or none tells.

    >>> call_fault(lambda audio, visual: None, ("audio", "visual", "valid"))
    'is called with (audio, visual, valid), got <lambda>(audio, visual)'
    """
    try:
        shape = inspect.signature(function)
        shape.bind(*given)
    except TypeError:
        return f"is called with ({', '.join(given)}){more}, got {getattr(function, '__name__', 'one')}{shape}"
    except ValueError:  # of what is not Python nothing tells
        return None
    return None


def told_code(function: Callable[..., Any]) -> str:
    """Where a function is written, as errors name it: file and line."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return repr(function) if code is None else f"{code.co_filename}, line {code.co_firstlineno}"


@dataclass(frozen=True)
class OwnPart:
    """A part of a network or of a training that a file defines, and that a recipe takes once it is told to."""

    file: str
    title: str
    """What it is, and its name."""
    change: str
    """How a recipe takes it, at its defaults."""


LOADED: list[OwnFile] = []
"""Those of this process, in the order they were loaded; `valor.training.own.use_file` adds to it."""


def read_file(path: Path) -> bytes:
    """The bytes of a Python file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Its name does not end in .py.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give a Python file of your own parts")
    if path.suffix != ".py":
        raise ValueError(f"{path}: expected a Python file, whose name ends in .py")
    return path.read_bytes()


def run_file(path: Path, source: bytes) -> tuple[ModuleType, str]:
    """Run the bytes of a Python file as a module; nothing compiled before is taken, so that these are what runs.

    Args:
        path: The file, as errors name it.
        source: What was read of it.

    Returns:
        The module, and the sha256 of the bytes.

    Raises:
        ValueError: It is no Python, or an error ends it; names file and line.
    """
    digest = sha256(source).hexdigest()
    name = f"{OWN_MODULE}{path.stem}_{digest[:8]}"  # the same in every process, so that what it defines can be sent
    module = ModuleType(name)
    module.__file__ = str(path)
    setattr(module, OWN_DIGEST, digest)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        del sys.modules[name]
        raise ValueError(f"{error.filename or path}, line {error.lineno}: {error.msg}") from error
    except Exception as error:
        del sys.modules[name]
        raise ValueError(_placed(error, path) or f"{path}: {type(error).__name__}: {error}") from error
    return module, digest


TAKEN_BY = {
    "METHODS": ("method", "methods.{}=on"),
    "ENCODERS": ("encoder", "parser.encoder={}"),
    "POOLINGS": ("pooling", "parser.pooling={}"),
    "STEMS": ("stem", "parser.stem={}"),
    "NETWORKS": ("network", "parser.network={}"),
}
"""What the parts of a dict are, and the change by which a recipe takes one."""


def own_parts(files: Sequence[OwnFile] | None = None) -> list[OwnPart]:
    """The parts of the files, None for all loaded ones, that a recipe may take, in the order they were defined in."""
    return [
        OwnPart(file.path.name, f"{kind} {name}", change.format(name))
        for file in (LOADED if files is None else files)
        for of, (kind, change) in TAKEN_BY.items()
        for name in file.adds.get(of, ())
    ]


def described_own(files: Sequence[OwnFile]) -> dict[str, Any]:
    """What a run says of the files it was trained with; nothing where there were none."""
    return {"own": [file.to_json() for file in files]} if files else {}


def changed_own(description: Mapping[str, Any], files: Sequence[OwnFile] | None = None) -> tuple[str, ...]:
    """Names of the files a run was trained with in another version than these: under its name, or with its parts.

    Args:
        description: Of the run, as its recipe.json holds it.
        files: What is compared; None for all that this process has loaded.
    """
    run, files = description.get("run"), LOADED if files is None else files
    used = run.get("own", []) if isinstance(run, Mapping) else []
    here, named = {file.sha256 for file in files}, {file.path.name for file in files}
    parts = {(kind, name) for file in files for kind, names in file.adds.items() for name in names}
    return tuple(
        file["file"]
        for file in used
        if file["sha256"] not in here
        and (file["file"] in named or parts & {(kind, name) for kind, of in file["adds"].items() for name in of})
    )


def note_own(description: Mapping[str, Any], where: str) -> str:
    """Compare the files a run was trained with to those of this process.

    Args:
        description: Of the run, as its recipe.json holds it. Of a file that has changed since, a warning is logged.
        where: The run, for the warning.

    Returns:
        What to add to an error message: which files are not loaded; empty where all are.
    """
    run = description.get("run")
    used = run.get("own", []) if isinstance(run, Mapping) else []
    here, changed = {file.sha256 for file in LOADED}, changed_own(description)
    lost = []
    for file in used:
        if file["sha256"] in here:
            continue
        if file["file"] in changed:
            _LOG.warning("%s: was trained with another %s (sha256 %s)", where, file["file"], file["sha256"][:12])
        else:
            lost.append(f"{file['file']} (sha256 {file['sha256'][:12]})")
    return f"; it was trained with {', '.join(lost)}, not loaded here: give `own_files`" if lost else ""
