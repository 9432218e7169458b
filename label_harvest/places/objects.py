"""Objects of an S3-compatible store, of GCS, or of fsspec's memory, with those methods of a `Path` that a store needs.

Nothing here is imported from fsspec before an object is looked at. An object is written whole or not at all: the
backends put it in place at the end of its upload. Listings are asked for anew every time; the backends are consistent.
"""

import errno
import io
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, overload

from ..machine import machine_fault

T = TypeVar("T")

logger = logging.getLogger(__name__)

EXTRAS = {"s3": "s3fs", "gs": "gcsfs", "memory": "fsspec"}
"""The library that reads each scheme; an extra of this project has the name of its scheme, `gs` that of `gcs`."""
WAITS = [0.5, 2.0, 8.0, 30.0]
"""Seconds before each further try of what failed for want of a connection."""
_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"use_listings_cache": False}, "gs": {"use_listings_cache": False}}
_WINDOW = 2**16
"""Bytes that are asked for together where a file is read in small pieces."""
_VERSIONS = ("ETag", "etag", "generation", "mtime", "created", "LastModified")
"""What backends call the version of an object; the first that is there counts."""


class UnreachableError(Exception):
    """A place cannot be reached or lets nobody in: nothing is known of what lies there.

    It is neither an `OSError` nor a `ValueError`, so that nobody takes it for a file that is damaged or gone.
    """


def refuse_absent_library(scheme: str) -> None:
    """Refuse a scheme whose library is not installed.

    Raises:
        ValueError: It is not.
    """
    if find_spec(EXTRAS[scheme]) is None:
        raise ValueError(f"{scheme}:// needs {EXTRAS[scheme]}, which is not installed: pip install {EXTRAS[scheme]}")


@cache
def filesystem(scheme: str) -> Any:  # noqa: ANN401
    """What fsspec has for a scheme.

    Raises:
        ValueError: Its library is not installed.
    """
    refuse_absent_library(scheme)
    for name in ("aiobotocore", "botocore") if scheme == "s3" else ():  # they tell where credentials were found
        logging.getLogger(name).setLevel(logging.WARNING)
    if scheme == "gs":  # gcsfs asks what kind of bucket it is before everything, and logs what is raised anyway
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    import fsspec  # type: ignore[import-untyped]

    return fsspec.filesystem(scheme, **_OPTIONS.get(scheme, {}))


@dataclass(frozen=True, order=True)
class ObjectPath:
    """One object, or all below a prefix, as a path is a file or a folder."""

    url: str
    """scheme://bucket/key, without a slash at the end."""
    facts: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """What a listing said of it, where it comes from one."""

    def __str__(self) -> str:
        """The URL, as it is typed."""
        return self.url

    @property
    def scheme(self) -> str:
        """Before `://`."""
        return self.url.partition("://")[0]

    @property
    def key(self) -> str:
        """Bucket and key, as fsspec takes them."""
        return self.url.partition("://")[2]

    @property
    def name(self) -> str:
        """Behind the last slash."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The ending, with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def parent(self) -> "ObjectPath":
        """What it lies in."""
        return ObjectPath(f"{self.scheme}://{PurePosixPath(self.key).parent}")

    def __truediv__(self, name: str) -> "ObjectPath":
        """What lies in it."""
        return ObjectPath(f"{self.url}/{name}")

    def with_name(self, name: str) -> "ObjectPath":
        """Another one beside it."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> "ObjectPath":
        """One beside it with another ending."""
        return self.parent / (self.stem + suffix)

    def resolve(self) -> "ObjectPath":
        """Itself: there are no links."""
        return ObjectPath(self.url)

    def mkdir(self, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: there are no folders."""

    def exists(self) -> bool:
        """Whether there is such an object, or one below it."""
        return self._info() is not None

    def is_file(self) -> bool:
        """Whether there is such an object."""
        found = self._info()
        return found is not None and found["type"] == "file"

    def is_dir(self) -> bool:
        """Whether objects lie below it."""
        found = self._info()
        return found is not None and found["type"] == "directory"

    @property
    def num_bytes(self) -> int:
        """Its size; as the listing said where it comes from one.

        Raises:
            FileNotFoundError: There is none.
        """
        return int(self._known()["size"])

    @property
    def version(self) -> str:
        """Its ETag, or what its backend has instead; another one after every change.

        Raises:
            FileNotFoundError: There is none.
        """
        known = self._known()
        found = next((known[name] for name in _VERSIONS if known.get(name)), "")
        return str(found.timestamp() if isinstance(found, datetime) else found)  # listings of some say it otherwise

    @property
    def modified(self) -> float:
        """When it was written, in seconds since 1970; 0 where its backend does not say.

        Raises:
            FileNotFoundError: There is none.
        """
        known = self._known()
        when = next((known[name] for name in ("LastModified", "mtime", "updated", "created") if known.get(name)), None)
        if isinstance(when, str):
            when = datetime.fromisoformat(when)
        return when.timestamp() if isinstance(when, datetime) else float(when or 0)

    def looked_at(self) -> "ObjectPath":
        """The same, with what is known of it now.

        Raises:
            FileNotFoundError: There is none.
        """
        return ObjectPath(self.url, ObjectPath(self.url)._known())

    def _known(self) -> Mapping[str, Any]:
        found = self.facts or self._info()
        if found is None:
            raise FileNotFoundError(f"{self.url}: no such object")
        return found

    def _info(self) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = self._asked(lambda: filesystem(self.scheme).info(self.key))
        except FileNotFoundError:
            return None
        return found

    def iterdir(self) -> Iterator["ObjectPath"]:
        """What lies in it, sorted; nothing where nothing does."""
        yield from sorted(ObjectPath(f"{self.scheme}://{facts['name']}", facts) for facts in self._listed(1))

    def below(self) -> Iterator["ObjectPath"]:
        """All objects below it, sorted."""
        yield from sorted(ObjectPath(f"{self.scheme}://{facts['name']}", facts) for facts in self._listed(None))

    def _listed(self, depth: int | None) -> list[Mapping[str, Any]]:
        def ask() -> list[Mapping[str, Any]]:
            files = filesystem(self.scheme)
            found: list[Mapping[str, Any]]
            if depth is None:
                found = list(files.find(self.key, detail=True).values())
            else:
                found = files.ls(self.key, detail=True)
            return [{**facts, "name": facts["name"].strip("/")} for facts in found]

        try:
            return [facts for facts in self._asked(ask) if facts["name"] != self.key]
        except FileNotFoundError:
            return []

    def glob(self, pattern: str) -> Iterator["ObjectPath"]:
        """What lies in it under a name with `*`; with a slash, in all that lies in it."""
        first, _, rest = pattern.partition("/")
        found = [path for path in self.iterdir() if fnmatchcase(path.name, first)]
        yield from (path for folder in found for path in folder.glob(rest)) if rest else found

    def read_bytes(self, start: int | None = None, stop: int | None = None) -> bytes:
        """All of it, or a part.

        Raises:
            FileNotFoundError: There is none.
        """
        found: bytes = self._asked(lambda: filesystem(self.scheme).cat_file(self.key, start=start, end=stop))
        return found

    def read_unchanged(self, start: int, stop: int) -> bytes | None:
        """A part, in one request where the backend takes conditions; None if it is not the object `facts` speak of.

        Raises:
            FileNotFoundError: There is none.
        """
        known = self._known()

        def ask() -> bytes | None:
            files = filesystem(self.scheme)
            found: bytes
            if self.scheme == "s3" and known.get("ETag"):
                try:
                    found = _read_if_match(files, self.key, str(known["ETag"]), start, stop)
                except OSError as error:
                    if error.errno == errno.EINVAL:  # the precondition failed, or the object is shorter now
                        return None
                    raise
                return found
            if self.scheme == "gs" and known.get("generation"):
                try:
                    found = files.cat_file(self.key, start=start, end=stop, generation=known["generation"])
                except FileNotFoundError:
                    if self._info() is None:
                        raise
                    return None
                return found
            found = files.cat_file(self.key, start=start, end=stop)
            return found if self.looked_at().version == ObjectPath(self.url, known).version else None

        return self._asked(ask)

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of it, as text."""
        return self.read_bytes().decode(encoding)

    @overload
    def open(self, mode: str = ..., *, encoding: None = ..., newline: str | None = ...) -> IO[bytes]: ...
    @overload
    def open(self, mode: str = ..., *, encoding: str, newline: str | None = ...) -> IO[str]: ...
    def open(self, mode: str = "rb", *, encoding: str | None = None, newline: str | None = None) -> IO[Any]:
        """Open it for reading: as bytes, piece by piece as they are asked for; as text, all of it at once."""
        if encoding is not None:
            return io.TextIOWrapper(io.BytesIO(self.read_bytes()), encoding=encoding, newline=newline)
        if mode != "rb":
            raise ValueError(f"an object is opened for reading (rb), got {mode!r}")
        return io.BufferedReader(_Pieces(self), _WINDOW)

    def copy_to(self, path: Path) -> None:
        """Copy it to a file of a disk.

        Raises:
            FileNotFoundError: There is none.
        """
        self._asked(lambda: filesystem(self.scheme).get_file(self.key, str(path)))

    def put(self, payload: bytes, *, new: bool = False) -> None:
        """Write it, whole or not at all.

        Args:
            payload: What it becomes.
            new: Only where there is none.

        Raises:
            FileExistsError: There is one.
        """
        files = filesystem(self.scheme)

        def ask() -> None:
            try:
                files.pipe_file(self.key, payload, mode="create" if new else "overwrite")
            except OSError as error:  # the precondition failed, in the words of some backends; or there is none
                if not new or error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                if self._info() is not None:
                    raise FileExistsError(f"{self.url}: there is one") from error
                if error.errno == errno.EINVAL:
                    raise
                logger.warning("%s: no conditional writes here; see that no second process writes", self.url)
                files.pipe_file(self.key, payload)

        try:
            self._asked(ask)
        except FileExistsError:  # perhaps by a try whose answer was lost
            if self.read_bytes() != payload:
                raise

    def move(self, new: "ObjectPath") -> None:
        """Copy it and remove it; killed in between, both are there and equal."""
        self._asked(lambda: filesystem(self.scheme).cp_file(self.key, new.key))
        self.unlink(missing_ok=True)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove it.

        Raises:
            FileNotFoundError: There is none.
        """
        try:
            self._asked(lambda: filesystem(self.scheme).rm_file(self.key))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def _asked(self, ask: Callable[[], T]) -> T:
        """An answer of the backend, asked for again where the connection was lost."""
        filesystem(self.scheme)  # whose library may be missing, which is no answer
        waits = [] if self.scheme == "gs" else WAITS  # gcsfs tries six times by itself, for half a minute
        for wait in (*waits, None):
            try:
                return ask()
            except FileNotFoundError as error:
                self._refuse_no_bucket(error)
                raise
            except FileExistsError:
                raise
            except Exception as error:  # of libraries that are not imported here, and of many kinds
                if machine_fault(error):  # of the disk it is copied to, or of a limit of this process
                    raise
                if _is_refused(error):
                    told = f"{self.url}: access was refused ({self._reason(error)})"
                    raise UnreachableError(f"{told}; look at the credentials and what they allow") from error
                if wait is None:
                    raise UnreachableError(
                        f"{self.url}: cannot be reached ({_said(error)}); what is finished is kept, run again"
                    ) from error
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")

    def _reason(self, error: Exception) -> str:
        """Why access was refused; asked by a listing where a HEAD failed, to which no backend gives reasons."""
        said = _said(error)
        if said.endswith(("Bad Request", "Forbidden")):
            try:
                filesystem(self.scheme).ls(self.key.partition("/")[0], detail=False)
            except FileNotFoundError:
                return said
            except Exception as other:
                return _said(other)
        return said

    def _refuse_no_bucket(self, error: FileNotFoundError) -> None:
        bucket = self.key.partition("/")[0]
        if self.scheme == "memory" or bucket in _BUCKETS:
            return
        try:
            filesystem(self.scheme).ls(bucket, detail=False)
        except FileNotFoundError:
            raise UnreachableError(
                f"{self.url}: there is no bucket {bucket}; make it, or look at its name and the endpoint"
            ) from error
        except Exception:  # whoever may not list the bucket may still read what is in it
            return
        _BUCKETS.add(bucket)


def _read_if_match(files: Any, key: str, version: str, start: int, stop: int) -> bytes:  # noqa: ANN401
    """A part of an object of S3, on the condition that its ETag is this; `cat_file` takes none."""
    from fsspec.asyn import sync  # type: ignore[import-untyped]

    bucket, _, name = key.partition("/")
    at = f"bytes={start}-{stop - 1}"
    answer = files.call_s3("get_object", Bucket=bucket, Key=name, Range=at, IfMatch=version)
    try:
        found: bytes = sync(files.loop, answer["Body"].read)
        return found
    finally:
        answer["Body"].close()


_BUCKETS: set[str] = set()
"""Those that are known to be there."""


def _is_refused(error: Exception) -> bool:
    """Whether an error says that asking again is of no use, in the words of any of the backends."""
    if isinstance(error, PermissionError | ValueError) or getattr(error, "errno", None) == errno.EINVAL:
        return True
    if getattr(error, "code", None) in (400, 401, 403) or str(error).startswith("Forbidden"):  # as gcsfs has it
        return True
    return any(word in type(error).__name__ for word in ("Credential", "RefreshError"))


def _said(error: BaseException) -> str:
    """The first line of an error, or its name where it says nothing."""
    return next(iter(str(error).splitlines()), "")[:200] or type(error).__name__


class _Pieces(io.RawIOBase):
    """An object as a file that is read by ranges; each read is one request."""

    def __init__(self, of: ObjectPath) -> None:
        self._of = of
        self._size = of.num_bytes
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        stop = min(self._place + len(buffer), self._size)
        if stop <= self._place:
            return 0
        found = self._of.read_bytes(self._place, stop)
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)
