"""A place is a path on a disk or an object elsewhere; the one file that knows which, for all who read and write stores.

Paths of disks stay `Path`s and go through `disk.py` as ever. What a store needs beyond the methods that both have
stands here.
"""

import hashlib
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from ..disk import file_sha256 as disk_sha256
from ..disk import is_locked as disk_is_locked
from ..disk import locked as disk_locked
from ..disk import rename as disk_rename
from ..disk import sync_folder as disk_sync_folder
from ..disk import write_atomic as disk_write_atomic
from .lease import SILENCE_SECONDS, leased, refuse_lost
from .objects import EXTRAS, ObjectPath

T = TypeVar("T")

Place = Path | ObjectPath
"""A file or a folder."""

WEB = ("http", "https")
"""Where media may lie, and nothing is written."""
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_ONE_SLASH = re.compile(r"([a-z][a-z0-9+.-]+):/(?!/)", re.IGNORECASE)
"""What would become a folder called after the scheme; one letter is a drive of Windows."""
_AT_ONCE = 32
"""Objects that are asked for at the same time: each takes tens of milliseconds, nearly all of it waiting."""


def scheme_of(where: str) -> str:
    """What stands before `://`, in small letters; nothing of a path."""
    match = _SCHEME.match(where)
    return match[1].lower() if match else ""


def place_of(where: str | Place) -> Place:
    """The place of a path or an address.

    Raises:
        ValueError: There is nothing that reads such an address, or a store cannot lie there.

    >>> place_of("store"), str(place_of("s3://bucket/store/"))
    (PosixPath('store'), 's3://bucket/store')
    """
    if not isinstance(where, str):
        return where
    scheme = scheme_of(where)
    if single := _ONE_SLASH.match(where):
        raise ValueError(
            f"{where!r:.200}: an address has two slashes behind {single[0][:-1]} (as {single[1]}://BUCKET/PATH); give "
            f"./{where:.100} for a folder of that name"
        )
    if not scheme:
        return Path(where)
    if scheme == "file":
        address = urlsplit(where)
        if address.netloc not in ("", "localhost"):
            raise ValueError(f"{where!r}: a file:// address has three slashes before its path; give the path itself")
        return Path(unquote(address.path))
    if scheme in WEB:
        raise ValueError(
            f"{where!r}: media can be read from {scheme}://, and nothing else; give a path, s3:// or gs://"
        )
    if scheme not in EXTRAS:
        known = ", ".join(f"{name}://" for name in EXTRAS if name != "memory")
        raise ValueError(f"{scheme}:// is not supported, give a local path or one of {known}; got {where!r:.200}")
    key = re.sub("/+", "/", where.partition("://")[2]).strip("/")
    if not key or ".." in key.split("/"):
        raise ValueError(f"{where!r}: expected {scheme}://BUCKET/PATH; name the bucket, and no ..")
    return ObjectPath(f"{scheme}://{key}")


def write_atomic(path: Place, payload: bytes) -> None:
    """Write a file of a store whole or not at all, see `disk.write_atomic`.

    Raises:
        OSError: The disk is full or does not take it; what stood there stays.
        UnreachableError: The place cannot be reached, or its lock was lost.
    """
    if isinstance(path, Path):
        disk_write_atomic(path, payload)
    else:
        refuse_lost(path)
        path.put(payload)


def rename(old: Place, new: Place) -> None:
    """Move a file over another one of the same store.

    Raises:
        OSError: The disk does not take it; both are as they were.
    """
    if isinstance(old, ObjectPath) and isinstance(new, ObjectPath):
        old.move(new)
    else:
        disk_rename(Path(str(old)), Path(str(new)))


def sync_folder(folder: Place) -> None:
    """Have the names of a folder on the disk; an object that was written is there."""
    if isinstance(folder, Path):
        disk_sync_folder(folder)


def file_sha256(path: Place) -> str:
    """sha256 of the bytes of a file.

    Raises:
        FileNotFoundError: There is none.
    """
    if isinstance(path, Path):
        return disk_sha256(path)
    payload = path.read_bytes()
    return hashlib.sha256(payload).hexdigest()


def matching(folder: Place, pattern: str) -> list[Place]:
    """What lies in a folder under a name with `*`, sorted."""
    return sorted(folder.glob(pattern), key=str)


def signature(path: Place) -> tuple[object, ...]:
    """What changes whenever a file does."""
    if isinstance(path, Path):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    known = path if path.facts else path.looked_at()
    return known.version, known.num_bytes


@contextmanager
def locked(path: Place, busy: str, *, shared: bool = False, wait: bool = False, remove: bool = False) -> Iterator[None]:
    """Hold a lock, see `disk.locked`; in an object store a lease, see `lease.py`, which is always removed.

    Raises:
        LockedError: Another process holds it.
    """
    held: AbstractContextManager[object]
    if isinstance(path, Path):
        held = disk_locked(path, busy, shared=shared, wait=wait, remove=remove)
    else:
        held = leased(path, busy, shared=shared, wait=wait)
    with held:
        yield


def refuse_unwritable(store: Place, *, probe: bool = False) -> None:
    """Refuse a place where no store can be made.

    Args:
        store: The place; nothing need be there.
        probe: Also write an object and remove it, since nothing else tells whether that is allowed; on a disk the
            system says so.

    Raises:
        ValueError: It is a file, or in a folder that may not be written.
        UnreachableError: There is no such bucket, or it lets nobody in.
    """
    if isinstance(store, ObjectPath):
        if store.is_file():
            raise ValueError(f"{store}: the store cannot be written (it is an object); give another prefix")
        if probe:
            trace = store / f".probe-{uuid4().hex}"
            trace.put(b"")
            trace.unlink(missing_ok=True)
        return
    there = next(path for path in (store, *store.absolute().parents) if path.exists())
    trouble = "is a file" if not there.is_dir() else "" if os.access(there, os.W_OK | os.X_OK) else "may not be written"
    if trouble:
        raise ValueError(f"{store}: the store cannot be written ({there} {trouble}); give another folder")


def free_bytes(store: Place) -> int | None:
    """Room on the disk of a store; None where the system does not say."""
    if isinstance(store, ObjectPath):
        return None
    there = next(path for path in (store, *store.absolute().parents) if path.exists())
    with suppress(OSError):
        usage = shutil.disk_usage(there)
        return usage.free if usage.total else None
    return None


def is_locked(path: Place) -> bool:
    """Whether somebody holds a lock for himself, see `disk.is_locked`; of objects, as far as the clocks agree."""
    if isinstance(path, Path):
        return disk_is_locked(path)
    with suppress(FileNotFoundError):
        return time.time() - path.modified < 2 * SILENCE_SECONDS
    return False


def stands(path: Place) -> bool:
    """Whether anything stands at a name; a link that leads nowhere does, and whoever reads it will say so."""
    return os.path.lexists(path) if isinstance(path, Path) else path.exists()


def modified(path: Place) -> float:
    """When a file was written, in seconds since 1970.

    Raises:
        FileNotFoundError: There is none.
    """
    return path.stat().st_mtime if isinstance(path, Path) else path.modified


def each(work: Callable[[Place], T], paths: Iterable[Place], *, at_once: int = _AT_ONCE) -> Iterator[T]:
    """What comes of each file, in their order; objects are asked for many at a time."""
    paths = list(paths)
    if not paths or isinstance(paths[0], Path):
        yield from map(work, paths)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="objects") as threads:
        waiting = deque[Future[T]]()
        for path in paths:
            waiting.append(threads.submit(work, path))
            if len(waiting) == at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
