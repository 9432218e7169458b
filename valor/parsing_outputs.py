"""Where results will be written, asked before anything is parsed: hours of work do not end at a name that cannot be."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from valor.event_outputs.formats import LABELLING_INTERFACE
from valor.run_folder import BEST


def check_outputs(
    files: Mapping[str, Path], out: Path | None, media: Sequence[Path], read: Mapping[str, Path] | None = None
) -> None:
    """Refuse outputs that cannot be written, or whose writing would destroy something.

    Folders that are not there are made when the output is written.

    Args:
        files: By option, such as `--csv`, the file it names.
        out: The folder of results, or None.
        media: The files that will be parsed.
        read: By option, such as `--checkpoint`, the files and folders that are read besides.

    Raises:
        ValueError: A file is a folder, a medium that is to be parsed, one that is read, or meant twice; it has no name;
            the folder is a file; or the folder above may not be written.
    """
    taken: dict[Path, str] = {}
    for option, path in _with_beside(files).items():
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
        _check_folder("--out", out, out)


def _with_beside(files: Mapping[str, Path]) -> dict[str, Path]:
    """The same files, and that which Label Studio gets beside its own."""
    tasks = files.get("--label-studio")
    beside = {} if tasks is None else {"--label-studio (its interface)": tasks.with_suffix(LABELLING_INTERFACE)}
    return {**files, **beside}


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
