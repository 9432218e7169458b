"""What was typed as media -> files: paths, folders and patterns, each file once, and what their results are called."""

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MEDIA_SUFFIXES = frozenset(
    ".3g2 .3gp .aac .ac3 .aif .aiff .amr .asf .avi .caf .divx .dv .f4v .flac .flv .gif .m2ts .m2v .m4a .m4b .m4v .mj2 "
    ".mka .mkv .mov .mp2 .mp3 .mp4 .mpeg .mpg .mts .mxf .nut .oga .ogg .ogv .opus .ra .rm .rmvb .ts .vob .wav .weba "
    ".webm .wma .wmv .wv .y4m".split()
)
"""Endings by which a folder's media are known; a file that is named itself may have any."""


LONGEST_NAME = 180
"""Bytes of a result's name; with its ending and a temporary one it must stay below the 255 that disks allow."""
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
            found.setdefault(_place(path), (path, problem))
    stems = Counter(path.stem.lower() for path, problem in found.values() if not problem)
    return [
        _unreadable(path) or MediaInput(path, _name(path, alone=stems[path.stem.lower()] <= 1), problem)
        for path, problem in found.values()
    ]


def _place(path: Path) -> str:
    """Where a file lies, however it was typed; a link to a file is a file of its own."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def _name(path: Path, *, alone: bool) -> str:
    """What the results of a file are called: its own name where that is not taken and not too long."""
    return path.stem if alone and len(os.fsencode(path.stem)) <= LONGEST_NAME else digest_name(path)


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
        return ([path], _absence(path, error)) if os.path.islink(path) or not glob.has_magic(text) else _matching(text)
    if stat.S_ISDIR(facts.st_mode):
        inside = sorted(entry for entry in path.rglob("*") if _is_media(entry, path))
        return (inside, "") if inside else ([path], "is a folder without media files")
    return [path], _hindrance(path, facts)


def _matching(text: str) -> tuple[list[Path], str]:
    """The files of a pattern."""
    matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
    files = [match for match in matches if match.is_file()]
    return (files, "") if files else ([Path(text)], "no file has a name of this pattern")


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


def digest_name(path: Path) -> str:
    """A name that no file elsewhere has: that of the file, shortened, with a digest of where it lies."""
    short = os.fsencode(path.stem)[:LONGEST_NAME].decode("utf-8", "ignore")
    return f"{short}-{hashlib.sha256(str(path.absolute()).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
