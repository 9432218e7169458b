"""Whole or nothing: how a file is written so that an interrupted run never leaves half of one under its name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(path: Path | str) -> Iterator[Path]:
    """Give a temporary name beside `path` and move it there once the block has ended well.

    Folders on the way are made. If the block fails, the temporary file goes and what stood at `path` stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def array_fault(error: Exception) -> str:
    """Why numpy could not read an array, without its advice to unpickle what nobody vouches for."""
    return "it holds Python objects or is no .npy file" if "allow_pickle" in str(error) else str(error)
