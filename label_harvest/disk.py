"""What every part of the project does with files alike: write them whole or not at all, hash them, and lock them."""

import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # no such locks on Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

_LONGEST_NAME = 255
"""Bytes a file name may have on the usual file systems."""


@contextmanager
def replaced(path: Path | str, *, flush: bool = True, make_folders: bool = True) -> Iterator[Path]:
    """Give a temporary name beside `path` and move it there once the block has ended well.

    A reader sees all of the file or none of it, after a crash of the machine too. If the block fails, the temporary
    file goes and what stood at `path` stays.

    Args:
        path: File to write.
        flush: Have the file and its name on the disk before this returns, which takes a millisecond or more. Without,
            a power cut may leave the file empty; for files by the thousand that the same command makes again.
        make_folders: Make the folders on the way.
    """
    path = Path(path)
    if make_folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    # The writer's machine and process are how leftovers of a killed one are told (`share.remove_leftovers`).
    ending = f".{socket.gethostname()}-{os.getpid()}.tmp"
    beginning = os.fsencode(f".{path.name}")[: _LONGEST_NAME - len(ending)]
    temporary = path.with_name(os.fsdecode(beginning) + ending)
    try:
        yield temporary
        if flush:
            _sync(temporary)
        os.replace(temporary, path)
        if flush:
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomic(path: Path, payload: bytes) -> None:
    """Write a file of a store, whose folder is there, see `replaced`.

    Raises:
        OSError: The disk is full or does not take it; what stood there stays.
    """
    try:
        with replaced(path, make_folders=False) as temporary:
            temporary.write_bytes(payload)
    except OSError as error:
        raise _not_written(path, error) from error


def rename(old: Path, new: Path) -> None:
    """Move a file over another one of the same folder, for good.

    Raises:
        OSError: The disk does not take it; both are as they were.
    """
    try:
        os.replace(old, new)
        sync_folder(new.parent)
    except OSError as error:
        raise _not_written(new, error) from error


def _not_written(path: Path, error: OSError) -> OSError:
    return OSError(
        f"{path}: cannot be written ({error.strerror or error}); make room or give another folder, and run again: what "
        "is finished is kept"
    )


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk, where the system can."""
    with suppress(OSError):
        _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path | str) -> str:
    """sha256 of the bytes of a file.

    Raises:
        FileNotFoundError: There is none.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class LockedError(ValueError):
    """Another process holds a lock."""


@contextmanager
def locked(
    path: Path, busy: str, *, shared: bool = False, wait: bool = False, remove: bool = False
) -> Iterator[BinaryIO]:
    """Hold a lock on a file, which is made if need be; the system frees it however the process ends.

    Where the file system has no locks, a warning says so, and there is none.

    Args:
        path: The file; its folder must be there.
        busy: What to say when another process holds it.
        shared: Hold it together with others that share it, against those that do not.
        wait: Wait for it rather than refuse.
        remove: Remove the file at the end.

    Yields:
        The file, open for appending.

    Raises:
        LockedError: Another process holds it.
        OSError: The file cannot be made.
    """
    while True:
        with path.open("ab") as file:
            if fcntl is not None:
                how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                try:
                    fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise LockedError(busy) from error
                except OSError as error:
                    logger.warning(
                        "%s: no locks on this file system (%s); see that no second process writes here",
                        path,
                        error.strerror,
                    )
            if not _is_at(file, path):
                continue  # its last holder removed it between our opening and locking it
            try:
                yield file
            finally:
                if remove:
                    path.unlink(missing_ok=True)
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
