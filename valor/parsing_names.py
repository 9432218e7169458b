"""What the results of each input are called, settled before anything is parsed: no file is written over another's.

A name is free for an input where no file is there that could be a result of it, and none of its own is meant by another
input. Files that are there may be written over only where NAME.json is the parse of this very medium, or of the same
one before it was moved.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from valor.event_outputs.formats import FORMATS, LABELLING_INTERFACE
from valor.parse_json import read_parse
from valor.parses import MediaInfo
from valor.parsing_inputs import MediaInput, digest_name

_LOG = logging.getLogger(__name__)

JSON, PICTURES = ".json", ("png", "svg")
"""Ending of the parse itself, and the formats of the picture."""


def result_path(out: Path, name: str, kind: str) -> Path:
    """Where a result lies.

    Args:
        out: The folder of results.
        name: What the results of the input are called.
        kind: json, png, svg or a key of `FORMATS`.
    """
    return out / f"{name}{_ending(kind)}"


def result_paths(out: Path, name: str, formats: Sequence[str]) -> list[Path]:
    """Every file the results of a name stand for: the parse, the formats, and what is written beside them."""
    paths = [result_path(out, name, kind) for kind in dict.fromkeys(("json", *formats))]
    beside = [path.with_suffix(LABELLING_INTERFACE) for path in paths if path.name.endswith(_ending("label-studio"))]
    return paths + beside if "label-studio" in formats else paths


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
            names = dict.fromkeys((media.path.stem if known else media.name, media.name, digest_name(media.path)))
            found = next((n for n in names if _is_for(media, n, out, formats, claimed=claimed, known=known)), None)
            if found is not None:
                claimed |= {_folded(path) for path in result_paths(out, found, formats)}
                named[number] = replace(media, name=found)
                if not known and found != media.name:
                    _LOG.warning("%s: other files are called %s; its results become %s", media.path, media.name, found)
            elif not known:
                named[number] = replace(media, problem=_blocked(out, digest_name(media.path)))
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
    longer = (other for other in _names_of(path) if len(other) > len(name))
    return any(_held(path.parent / f"{other}{JSON}") is not None for other in longer)


def _names_of(path: Path) -> Iterator[str]:
    """Every name a file could be a result of."""
    for kind in ("json", *PICTURES, *FORMATS):
        if path.name.endswith(_ending(kind)) and path.name != _ending(kind):
            yield path.name.removesuffix(_ending(kind))


def _ending(kind: str) -> str:
    return FORMATS[kind].ending if kind in FORMATS else f".{kind}"


def _folded(path: Path) -> str:
    """A path as disks see it that do not tell capitals apart."""
    return str(path.absolute()).lower()


def _blocked(out: Path, name: str) -> str:
    possible = result_paths(out, name, (*PICTURES, *FORMATS))
    held = next((path for path in possible if path.exists()), out / name)
    return f"its results would overwrite {held}, which is not theirs; move that file or choose another --out"
