"""Where results will be written, asked before anything is parsed: hours of work do not end at a name that cannot be."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def check_outputs(files: Mapping[str, Path], out: Path | None, media: Sequence[Path]) -> None:
    """Refuse outputs that cannot be written, or whose writing would destroy something.

    Folders that are not there are made when the output is written.

    Args:
        files: By option, such as `--csv`, the file it names.
        out: The folder of results, or None.
        media: The files that will be parsed.

    Raises:
        ValueError: A file is a folder, a medium that is to be parsed, or meant twice; the folder is a file; or the
            folder above may not be written.
    """
    taken: dict[Path, str] = {}
    for option, path in files.items():
        if path.is_dir():
            raise ValueError(f"{option} names a file to write, got the folder {path}")
        if any(_same(path, medium) for medium in media):
            raise ValueError(f"{option} {path} would overwrite the VIDEO of that name; choose another")
        place = Path(os.path.realpath(path))
        if place in taken:
            raise ValueError(f"{option} and {taken[place]} are both to be written to {path}; choose another for one")
        taken[place] = option
        _check_folder(option, path, path.parent)
    if out is not None:
        _check_folder("--out", out, out)


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
