"""Where results will be written, asked before anything is parsed: hours of work do not end at a name that cannot be.

What was typed as media -> files: paths, folders and patterns, each file once, and what their results are called.

What the results of each input are called, settled before anything is parsed: no file is written over another's.

A name is free for an input where no file is there that could be a result of it, and none of its own is meant by another
input. Files that are there may be written over only where NAME.json is the parse of this very medium, or of the same
one before it was moved.
"""

import glob
import logging
import os
import stat
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valor.data.parse_file import read_parse
from valor.data.parsed_media import MediaInfo
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.store.videos import LONGEST_NAME, MEDIA_SUFFIXES, name_by_place
from valor.training.run_folder import BEST
from valor.video.formats.formats import FORMATS, LABELLING_INTERFACE

from .options import PICTURES

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class MediaInput:
    """One thing to parse."""

    path: Path
    name: str
    """What its results are called, without an ending; unique among the inputs."""
    problem: str = ""
    """Why it cannot even be tried; empty for a file."""


def find_inputs(typed: Sequence[str]) -> list[MediaInput]:
    """Find the files that were meant.

    A file is itself, whatever its ending. A folder stands for the media below it, hidden ones left out. Anything else
    may be a pattern with *, ? and ** (any folders). What leads to nothing is kept, with the problem in words.

    Args:
        typed: As the user gave them, in any order.

    Returns:
        In the order typed, those of a folder or pattern by name; a file that is meant twice comes once.
    """
    found: dict[str, tuple[Path, str]] = {}
    for text in typed:
        paths, problem = _meant(text)
        for path in paths:
            place = os.path.join(os.path.realpath(path.parent), path.name)  # a link to a file is a file of its own
            found.setdefault(place, (path, problem))
    stems = Counter(composed(path.stem).lower() for path, problem in found.values() if not problem)
    return [
        _unreadable(path) or MediaInput(path, _name(path, alone=stems[composed(path.stem).lower()] <= 1), problem)
        for path, problem in found.values()
    ]


def _name(path: Path, *, alone: bool) -> str:
    """What the results of a file are called: its own name where that is not taken and not too long."""
    return path.stem if alone and len(os.fsencode(path.stem)) <= LONGEST_NAME else name_by_place(path)


def _unreadable(path: Path) -> MediaInput | None:
    """The input for a path whose bytes are no text, which no result could name; None for any other."""
    said = os.fsencode(path).decode("utf-8", "replace")
    if said == str(path):
        return None
    return MediaInput(Path(said), Path(said).stem, "its name is no UTF-8 text, which results could not name; rename it")


def _meant(text: str) -> tuple[list[Path], str]:
    """Files, or the text itself and why it leads to none."""
    path = Path(text)
    try:
        facts = path.stat()
    except (OSError, ValueError) as error:
        if os.path.islink(path) or not glob.has_magic(text):
            return [path], _absence(path, error)
        matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
        files = [match for match in matches if match.is_file()]
        return (files, "") if files else ([path], "no file has a name of this pattern")
    if stat.S_ISDIR(facts.st_mode):
        inside = sorted(entry for entry in path.rglob("*") if _is_media(entry, path))
        return (inside, "") if inside else ([path], "is a folder without media files")
    return [path], _hindrance(path, facts)


def _absence(path: Path, error: Exception) -> str:
    """Why there is nothing at a path."""
    if os.path.islink(path):
        return f"is a link to {os.readlink(path)}, which cannot be opened ({getattr(error, 'strerror', error)})"
    return "no such file" if isinstance(error, FileNotFoundError) else f"{getattr(error, 'strerror', error)}"


def _hindrance(path: Path, facts: os.stat_result) -> str:
    """Why a path that exists cannot be tried; empty for a file that can be read."""
    if not stat.S_ISREG(facts.st_mode):
        kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "no file")
        return f"is {kind}, expected a file; record it to one first"
    return "" if os.access(path, os.R_OK) else "may not be read; ask for the permission"


def _is_media(entry: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in entry.relative_to(folder).parts)
    return not hidden and entry.suffix.lower() in MEDIA_SUFFIXES and entry.is_file()


_LOG = logging.getLogger(__name__)

JSON = ".json"
"""Ending of the parse itself."""


def result_path(out: Path, name: str, kind: str) -> Path:
    """Where a result lies.

    Args:
        out: The folder of results.
        name: What the results of the input are called.
        kind: json, png, svg, pdf or a key of `FORMATS`.
    """
    return out / f"{name}{_ending(kind)}"


def result_paths(out: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Every file the results of a name stand for: the parse, the formats, and what is written beside them."""
    paths = [result_path(out, name, kind) for kind in dict.fromkeys(("json", *formats))]
    beside = [path.with_suffix(LABELLING_INTERFACE) for path in paths if path.name.endswith(_ending("label-studio"))]
    return paths + beside if "label-studio" in formats else paths


def kinds_there(out: Path, name: str) -> list[str]:
    """In which formats, besides JSON, the results of an input lie in a folder where its parse does."""
    if _held(result_path(out, name, "json")) is None:
        return []
    paths = {kind: result_path(out, name, kind) for kind in (*PICTURES, *FORMATS)}
    return [kind for kind, path in paths.items() if path.is_file() and not _is_of_another(path, name)]


def name_results(
    inputs: Sequence[MediaInput], out: Path, formats: Sequence[str], taken: Collection[Path] = ()
) -> list[MediaInput]:
    """Settle under which name the results of each input are written.

    An input that was parsed into this folder before keeps its name, whatever else is there now. Any other has its own
    where that is free, or else that name with a digest of its place.

    Args:
        inputs: From `find_inputs`.
        out: The folder of results.
        formats: What is written besides JSON.
        taken: Files that something else is written to.

    Returns:
        The inputs in their order; one for which no name is free has a problem.
    """
    claimed = {_folded(path) for path in taken}
    named: dict[int, MediaInput] = {number: media for number, media in enumerate(inputs) if media.problem}
    for known in (True, False):
        for number, media in enumerate(inputs):
            if number in named:
                continue
            names = dict.fromkeys((media.path.stem if known else media.name, media.name, name_by_place(media.path)))
            found = next((n for n in names if _is_for(media, n, out, formats, claimed=claimed, known=known)), None)
            if found is not None:
                claimed |= {_folded(path) for path in result_paths(out, found, formats)}
                named[number] = replace(media, name=found)
                if not known and found != media.name:
                    _LOG.warning("%s: other files are called %s; its results become %s", media.path, media.name, found)
            elif not known:
                ours = name_by_place(media.path)
                possible = result_paths(out, ours, (*PICTURES, *FORMATS))
                held = next((path for path in possible if path.exists()), out / ours)
                why = f"its results would overwrite {held}, which is not theirs"
                named[number] = replace(media, problem=f"{why}; move that file or choose another `out`")
    return [named[number] for number in range(len(inputs))]


def _is_for(media: MediaInput, name: str, out: Path, formats: Sequence[str], *, claimed: set[str], known: bool) -> bool:
    """Whether an input may have a name: as one that is known by it, or as a new one."""
    paths = result_paths(out, name, formats)
    if any(_folded(path) in claimed for path in paths):
        return False
    if known:
        return _is_parse_of(paths[0], media) and not any(_is_of_another(path, name) for path in paths if path.exists())
    possible = result_paths(out, name, (*PICTURES, *FORMATS))
    return not any(path.exists() or path.is_symlink() for path in possible)


def _is_parse_of(path: Path, media: MediaInput) -> bool:
    """Whether a file is the parse of a medium, or of the same one before it was moved."""
    held = _held(path)
    if held is None:
        return False
    moved = held.size == media.path.stat().st_size and held.name == media.path.name and not Path(held.path).exists()
    return held.path == str(media.path.absolute()) or moved


def _held(path: Path) -> MediaInfo | None:
    """What a file is the parse of; None where it is no parse."""
    try:
        return read_parse(path).media
    except (OSError, ValueError):
        return None


def _is_of_another(path: Path, name: str) -> bool:
    """Whether a file is rather a result of a longer name whose parse lies beside it: a.audio.csv that of a.audio."""
    names = (path.name.removesuffix(_ending(kind)) for kind in ("json", *PICTURES, *FORMATS))
    longer = (other for other in names if len(name) < len(other) < len(path.name))
    return any(_held(path.parent / f"{other}{JSON}") is not None for other in longer)


def _ending(kind: str) -> str:
    return FORMATS[kind].ending if kind in FORMATS else f".{kind}"


def _folded(path: Path) -> str:
    """A path as disks see it that tell neither capitals nor composed letters apart."""
    return composed(str(path.absolute())).lower()


def check_outputs(
    files: Mapping[str, Path], out: Path | None, media: Sequence[Path], read: Mapping[str, Path] | None = None
) -> None:
    """Refuse outputs that cannot be written, or whose writing would destroy something.

    Folders that are not there are made when the output is written.

    Args:
        files: By what it is called, the file to write, such as csv.
        out: The folder of results, or None.
        media: The files that will be parsed.
        read: By what they are called, the files and folders that are read besides.

    Raises:
        ValueError: A file is a folder, a medium that is to be parsed, one that is read, or meant twice; it has no name;
            the folder is a file; or the folder above may not be written.
    """
    beside = {
        f"{name} (its interface)": path.with_suffix(LABELLING_INTERFACE)
        for name, path in files.items()
        if name.lstrip("-") == "label-studio"
    }
    taken: dict[Path, str] = {}
    for option, path in {**files, **beside}.items():
        if path == Path("-"):
            raise ValueError(f"{option} needs the name of a file, got -, and nothing is written to stdout; name one")
        if path.is_dir():
            raise ValueError(f"{option} names a file to write, got the folder {path}")
        if any(_same(path, medium) for medium in media):
            raise ValueError(f"{option} {path} would overwrite the VIDEO of that name; choose another")
        _refuse_read(option, path, read or {})
        place = Path(os.path.realpath(path))
        if place in taken:
            raise ValueError(f"{option} and {taken[place]} are both to be written to {path}; choose another for one")
        taken[place] = option
        _check_folder(option, path, path.parent)
    if out is not None:
        _check_folder("`out`", out, out)


def _refuse_read(option: str, path: Path, read: Mapping[str, Path]) -> None:
    """Refuse a file that is itself read, or would come to lie in a folder that is."""
    place = Path(os.path.realpath(path))
    for source, given in read.items():
        inside = given.parent if given.name == BEST else given  # a checkpoint that is named itself stands for its run
        held = Path(os.path.realpath(inside))
        if place == held or (held.is_dir() and held in place.parents) or _same(path, given):
            raise ValueError(f"{option} {path} would be written into {source} {given}; choose another place")


def _check_folder(option: str, path: Path, folder: Path) -> None:
    """Refuse a folder in which nothing can be written, or which cannot be made."""
    held = next(above for above in (folder, *folder.parents) if os.path.lexists(above) or above == above.parent)
    if not held.is_dir():
        raise ValueError(f"{option} {path}: {held} is no folder, so nothing can be written there; choose another")
    if not os.access(held, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path}: the folder {held} may not be written; choose another")


def _same(path: Path, medium: Path) -> bool:
    try:
        return path.samefile(medium)
    except OSError:
        return False
