"""What was typed as media -> files: paths, folders and patterns, each file once, and what their results are called."""

import glob
import hashlib
import os
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
    found: dict[Path, str] = {}
    for text in typed:
        paths, problem = _meant(text)
        found |= {path: problem for path in paths if path not in found}
    stems = Counter(path.stem.lower() for path in found)
    return [
        _unreadable(path)
        or MediaInput(path, path.stem if stems[path.stem.lower()] == 1 else digest_name(path), problem)
        for path, problem in found.items()
    ]


def _unreadable(path: Path) -> MediaInput | None:
    """The input for a path whose bytes are no text, which no result could name; None for any other."""
    said = os.fsencode(path).decode("utf-8", "replace")
    if said == str(path):
        return None
    return MediaInput(Path(said), Path(said).stem, "its name is no UTF-8 text, which results could not name; rename it")


def _meant(text: str) -> tuple[list[Path], str]:
    """Files, or the text itself and why it leads to none."""
    path = Path(text)
    if path.is_dir():
        inside = sorted(entry for entry in path.rglob("*") if _is_media(entry, path))
        return (inside, "") if inside else ([path], "is a folder without media files")
    if path.exists() or not glob.has_magic(text):
        return [path], "" if path.exists() else "no such file"
    matches = sorted(Path(match) for match in glob.glob(text, recursive=True))
    files = [match for match in matches if match.is_file()]
    return (files, "") if files else ([path], "no file has a name of this pattern")


def _is_media(entry: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in entry.relative_to(folder).parts)
    return not hidden and entry.suffix.lower() in MEDIA_SUFFIXES and entry.is_file()


def digest_name(path: Path) -> str:
    """A name that no file elsewhere has: that of the file with a digest of where it lies."""
    return f"{path.stem}-{hashlib.sha256(str(path.absolute()).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
