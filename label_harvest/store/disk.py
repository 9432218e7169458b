"""How files of a store are written: each whole or not at all, on the disk before it counts, by one run at a time.

Whole or nothing: how a file is written so that an interrupted run never leaves half of one under its name.

One of several runs that divide a manifest among them, as the tasks of a cluster job do.
"""

import fcntl
import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Share:
    """Run `index` of `count`, counted from 1; it makes every count-th shard."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse shares that do not exist."""
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"a share must be i/n with i from 1 to n, got {self}; a job array from 1 to n gives such numbers"
            )

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether there are no other runs."""
        return self.count == 1

    def holds(self, shard: int) -> bool:
        """Whether a shard, by its number, is made by this run."""
        return shard % self.count == self.index - 1


WHOLE = Share()
"""A run on its own."""


def read_share(text: str) -> Share:
    """Read `i/n`.

    Raises:
        ValueError: The text is not two such numbers.

    >>> read_share("2/40")
    Share(index=2, count=40)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"a share must be i/n, such as 1/4, got {text!r}")
    return Share(int(index), int(count))


logger = logging.getLogger(__name__)

LOCK = ".lock"
"""Held by the one run that writes to a store, or by all runs that share it."""


def write_atomic(path: Path, payload: bytes) -> None:
    """Write under a temporary name, flush to the disk, and rename: a reader sees all of it or none, after a crash too.

    Raises:
        OSError: The disk is full or does not take it; what stood there stays.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
    """What is said of a disk that is full or does not take a file."""
    return OSError(
        f"{path}: cannot be written ({error.strerror or error}); make room or give another folder, and run again: what "
        "is finished is kept"
    )


def sync_folder(folder: Path) -> None:
    """Have the names of a folder on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def file_sha256(path: Path) -> str:
    """sha256 of a file, empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


@contextmanager
def write_lock(folder: Path, share: Share = WHOLE) -> Iterator[None]:
    """Hold the right to write to a store folder; the system frees it even when the process is killed.

    A run on its own shares it with nobody, runs of different shares with each other.

    Raises:
        ValueError: Another process holds it, or the folder cannot be written.
    """
    with ExitStack() as held:
        held.enter_context(_locked(folder / LOCK, fcntl.LOCK_EX if share.is_whole else fcntl.LOCK_SH, "another run"))
        if not share.is_whole:
            path = folder / f"{LOCK}-{share.index}-of-{share.count}"
            held.enter_context(_locked(path, fcntl.LOCK_EX, f"another run of share {share}"))
            held.callback(path.unlink, missing_ok=True)
        yield


def remove_leftovers(folder: Path, share: Share = WHOLE) -> list[str]:
    """Remove the temporary files of runs that were killed; call under `write_lock`.

    Returns:
        Their names.
    """
    removed = []
    for path in sorted(folder.glob(".*.tmp")):
        if share.is_whole or _writer_is_gone(path):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def _writer_is_gone(path: Path) -> bool:
    """Whether a temporary file is of a process of this machine that has ended."""
    host, _, process = path.name.removesuffix(".tmp").rpartition("-")
    if not host.endswith(f".{socket.gethostname()}") or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def _locked(path: Path, how: int, who: str, *, nonblocking: int = fcntl.LOCK_NB) -> Iterator[None]:
    """Hold a lock on a file that is made for it."""
    while True:
        try:
            file = path.open("a+")
        except OSError as error:
            raise ValueError(
                f"{path.parent}: the store cannot be written ({error.strerror}); give another folder"
            ) from error
        with file:
            _lock(file.fileno(), how | nonblocking, path, who)
            if _is_at(file.fileno(), path):
                yield
                return


def _lock(descriptor: int, how: int, path: Path, who: str) -> None:
    """Take a lock, or say who has it."""
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError as error:
        raise ValueError(
            f"{path.parent}: {who} is writing to this store; wait for it, give another, or divide the work with --shard"
        ) from error
    except OSError as error:
        logger.warning("%s: no locks on this file system (%s); see that no second run starts", path, error.strerror)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the file is still the one of this name; its last holder may have removed it in between."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


@contextmanager
def list_lock(folder: Path) -> Iterator[None]:
    """Wait for the turn to write a list over all shards; whoever comes last has seen the shards of all."""
    path = folder / f"{LOCK}-list"
    with _locked(path, fcntl.LOCK_EX, "another run", nonblocking=0):
        yield
        path.unlink(missing_ok=True)
