"""What every part of the project does with files alike: write them whole or not at all, hash them, and lock them."""

import errno
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
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
    file goes and what stood at `path` stays. What a killed process of this machine left in the folder
    is removed.

    Only plain files are replaced. A link is followed, and what it leads to is replaced or made. A FIFO or a character
    device, such as /dev/stdout, is written into once the block has ended well, and stays what it is.

    Args:
        path: File to write.
        flush: Have the file and its name on the disk before this returns, which takes a millisecond or more. Without,
            a power cut may leave the file empty; for files by the thousand that the same command makes again.
        make_folders: Make the folders on the way.

    Raises:
        OSError: There is a folder, a socket or a disk at `path`, or a link that leads in a circle.
    """
    path = Path(path)
    if make_folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    if (opened := open_file(path)) is not None:
        with _poured(path, opened) as temporary:
            yield temporary
        return
    if path.is_symlink():
        path = Path(os.path.realpath(path))  # of a circle it is a link of it, which stat refuses below
    kind = _kind(path)
    if kind in (stat.S_IFIFO, stat.S_IFCHR):
        with _poured(path) as temporary:
            yield temporary
        return
    if kind not in (None, stat.S_IFREG):
        raise OSError(f"{path}: is {_KINDS.get(kind or 0, 'no plain file')}, which is not replaced; give another name")
    remove_leftovers_in(path.parent)
    # The writer's machine and process are how leftovers of a killed one are told (`writer_is_gone`).
    ending = f".{socket.gethostname()}-{os.getpid()}.tmp"
    beginning = os.fsencode(f".{path.name}")[: _LONGEST_NAME - len(ending)]
    temporary = path.with_name(os.fsdecode(beginning) + ending)
    try:
        with _named(path, temporary):
            yield temporary
            if flush:
                _sync(temporary)
            os.replace(temporary, path)
        if flush:
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path | str, value: object, *, indent: int | None = 1, ensure_ascii: bool = True) -> None:
    """Write a value as JSON in UTF-8, whole or not at all (`replaced`).

    Args:
        path: File to write.
        value: Objects, lists, text, finite numbers, booleans and None.
        indent: Spaces a level; None for one line.
        ensure_ascii: Whether letters beyond ASCII are escaped.

    Raises:
        ValueError: It holds NaN or Infinity, which no other program reads.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    with replaced(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What a disk says that takes no more, whoever writes and without a name."""


@contextmanager
def _named(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Have an error of the disk name the file that was to be written, and not hide behind one of who wrote it.

    Nor shall any error name the temporary file, which nobody typed.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        cause: BaseException | None = error
        if isinstance(error, OSError) and temporary is not None and error.filename in (temporary, str(temporary)):
            raise OSError(error.errno, error.strerror or "", str(path)) from error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in _FULL):
            cause = cause.__context__  # a zip file that cannot be closed, after what kept it from being written
        if not isinstance(cause, OSError):
            raise
        raise OSError(cause.errno, cause.strerror or os.strerror(cause.errno or 0), str(path)) from error


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a disk",
    stat.S_IFLNK: "a circle of links",
}
"""What is never an output, as messages call it."""


def _kind(path: Path) -> int | None:
    """What is at a path, links followed; None where there is nothing."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except OSError:
        return stat.S_IFLNK if path.is_symlink() else None


def open_file(path: Path) -> Path | None:
    """The open file of a process that a path leads to, as /dev/stdout does: such a link is not followed to a name."""
    for _ in range(_MOST_LINKS):
        if _OPEN_FILES.fullmatch(os.path.realpath(path.parent)):
            return path
        if not path.is_symlink():
            return None
        path = Path(os.path.realpath(path.parent)) / os.readlink(path)
    return None


_OPEN_FILES = re.compile(r"/proc/(\d+)(/task/\d+)?/fd")
_MOST_LINKS = 40
"""Links one after another beyond which Linux refuses a path too."""


@contextmanager
def _poured(path: Path, opened: Path | None = None) -> Iterator[Path]:
    """A temporary file elsewhere, whose content goes into a FIFO, device or open file, which stays what it is."""
    with tempfile.TemporaryDirectory(prefix="valor-") as folder:
        temporary = Path(folder) / (path.name or "output")
        with _named(path):
            yield temporary
            with temporary.open("rb") as source, _sink(path, opened) as sink:
                shutil.copyfileobj(source, sink)


def _sink(path: Path, opened: Path | None) -> BinaryIO:
    """What is written into; of an open file of this process where it stands, so that nothing before it is lost."""
    own = opened is not None and os.path.realpath(opened.parent) == f"/proc/{os.getpid()}/fd"
    if opened is not None and own and opened.name.isdecimal():
        sys.stdout.flush()
        return os.fdopen(os.dup(int(opened.name)), "wb")
    return path.open("wb", buffering=0)


def writer_is_gone(path: Path) -> bool:
    """Whether a temporary file of `replaced` is of a process of this machine that has ended."""
    host, _, process = path.name.removesuffix(".tmp").rpartition("-")
    return host.endswith(f".{socket.gethostname()}") and process.isdecimal() and process_is_gone(int(process))


def process_is_gone(process: int) -> bool:
    """Whether a process of this machine has ended; False where that cannot be told."""
    if os.name == "nt":
        return False  # on Windows asking a process by signal ends it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


_CLEANED: set[tuple[int, str]] = set()
"""Folders in which leftovers were looked for, by process and path: once is enough."""


def remove_leftovers_in(folder: Path) -> None:
    """Remove what killed processes of this machine left unfinished in a folder, the first time it is asked for."""
    key = (os.getpid(), os.path.abspath(folder))
    if key in _CLEANED:
        return
    _CLEANED.add(key)
    with suppress(OSError):
        for path in folder.glob(".*.tmp"):
            if writer_is_gone(path):
                path.unlink(missing_ok=True)


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


def write_forms(stem: Path, forms: Mapping[str, bytes]) -> list[Path]:
    """Write the forms of one thing, STEM and the ending of each, every one whole; returns the files."""
    paths = [stem.parent / f"{stem.name}{ending}" for ending in forms]
    for path, content in zip(paths, forms.values(), strict=True):
        with replaced(path) as temporary:
            temporary.write_bytes(content)
    return paths


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
                    _flock(file, how if wait else how | fcntl.LOCK_NB)
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


_LOOKS = 3
"""How often a lock is tried before it counts as held: who only looks whether it is has it for a moment."""


def _flock(file: BinaryIO, how: int) -> None:
    for _ in range(_LOOKS - 1):
        with suppress(BlockingIOError):
            return fcntl.flock(file, how)
        time.sleep(0.02)
    fcntl.flock(file, how)


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock on a file for itself; False where there is no such file, or no locks."""
    if fcntl is None:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _is_at(file: BinaryIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
