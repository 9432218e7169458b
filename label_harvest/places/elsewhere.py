"""Media that are no file on a disk: an object, a member of a tar, what lies behind an address of the web.

Each is brought to a private file before it is decoded, and is seen to be the same afterwards as before: its size and
ETag, or those of its tar. A tar is read in place: where its members lie is known from their headers alone.
"""

import shutil
import tarfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO
from urllib.parse import unquote, urlsplit

from .objects import WAITS, ObjectPath
from .place import Place, signature

_PIECE = 2**25
"""Bytes of a member that are asked for at a time."""
_BLOCK = 512
"""Bytes of a tar's header, and what its members are filled up to."""
_PADDING = 2**20
"""Bytes of zeros that may follow the end mark of a tar."""
_SECONDS = 60.0
"""An address of the web that says nothing for so long has failed."""


class ChangedError(Exception):
    """What was read is not what was there before or after."""


class UnfetchedError(Exception):
    """An address of the web gives nothing; others may."""


class CopyError(OSError):
    """The private copy of media cannot be written, which is no fault of theirs."""


@contextmanager
def _copy(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Write a private copy by pieces.

    Raises:
        CopyError: The disk does not take it.
    """

    @contextmanager
    def blamed() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CopyError(error.errno, error.strerror, str(path)) from error

    with blamed():
        sink = path.open("wb")

    def write(piece: bytes) -> None:
        with blamed():
            sink.write(piece)

    try:
        yield write
        with blamed():
            sink.close()
    finally:
        with suppress(OSError):
            sink.close()


class Elsewhere(ABC):
    """Media that are brought to a disk before they are read."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the file, without its folder."""

    @property
    @abstractmethod
    def num_bytes(self) -> int | None:
        """Its size, None before that is known."""

    @abstractmethod
    def fetch(self, path: Path) -> None:
        """Copy it to a file.

        Raises:
            FileNotFoundError: There is no such thing.
            ChangedError: It changed meanwhile.
            CopyError: The file cannot be written.
            UnfetchedError: The web gives nothing.
            UnreachableError: The object store cannot be reached.
        """


Media = Path | Elsewhere
"""A media file, wherever it is."""


def media_bytes(media: Media) -> int | None:
    """Size of a media file, by which a later run sees that it was replaced; None where that is not known."""
    if isinstance(media, Elsewhere):
        return media.num_bytes
    try:
        return media.stat().st_size
    except OSError:
        return None


@contextmanager
def on_disk(media: Media) -> Iterator[Path]:
    """The file itself where it is one, else a copy that is gone afterwards."""
    if isinstance(media, Path):
        yield media
        return
    with TemporaryDirectory(prefix="valor-media-") as folder:
        path = Path(folder) / media.name
        media.fetch(path)
        yield path


@dataclass
class StoredObject(Elsewhere):
    """An object."""

    path: ObjectPath
    _num_bytes: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """Its address."""
        return str(self.path)

    @property
    def name(self) -> str:
        """See `Elsewhere`."""
        return self.path.name

    @property
    def num_bytes(self) -> int | None:
        """As its listing said, else once it was fetched."""
        return self.path.num_bytes if self.path.facts else self._num_bytes

    def fetch(self, path: Path) -> None:
        """See `Elsewhere`."""
        before = signature(self.path)
        self.path.copy_to(path)
        now = self.path.looked_at()
        if before != signature(now) or path.stat().st_size != now.num_bytes:
            raise ChangedError(f"{self}: changed while it was read, or since the run began")
        self._num_bytes = now.num_bytes


@dataclass(slots=True)
class TarMember(Elsewhere):
    """A member of a tar."""

    tar: Place
    member: str
    offset: int
    """Where its bytes begin."""
    size: int
    version: tuple[object, ...] = field(compare=False, repr=False)
    """Of the tar, when its headers were read."""

    def __str__(self) -> str:
        """Tar and member."""
        return f"{self.tar}/{self.member}"

    @property
    def name(self) -> str:
        """See `Elsewhere`."""
        return PurePosixPath(self.member).name

    @property
    def num_bytes(self) -> int:
        """See `Elsewhere`."""
        return self.size

    def fetch(self, path: Path) -> None:
        """See `Elsewhere`; of an object, in one request."""
        left = self.size
        with _copy(path) as write:
            for piece in self._pieces():
                left -= len(piece)
                write(piece)
        if left or (isinstance(self.tar, Path) and signature(self.tar) != self.version):
            raise ChangedError(f"{self}: its tar changed since its members were listed")

    def _pieces(self) -> Iterator[bytes]:
        """The bytes; those of an object only while it is what it was, those of a file whatever it has become."""
        stop = self.offset + self.size
        if isinstance(self.tar, Path):
            with self.tar.open("rb") as source:
                source.seek(self.offset)
                for start in range(self.offset, stop, _PIECE):
                    yield source.read(min(_PIECE, stop - start))
            return
        for start in range(self.offset, stop, _PIECE):
            yield self.tar.read_unchanged(start, min(start + _PIECE, stop)) or b""


def tar_members(tar: Place) -> tuple[list[TarMember], str]:
    """The files of a tar, and what is wrong with it, if anything; members before the damage can be read.

    Raises:
        FileNotFoundError: There is no such tar.
    """
    tar = tar if isinstance(tar, Path) or tar.facts else tar.looked_at()
    version = signature(tar)
    members, known = list[TarMember](), dict[str, TarMember]()
    with tar.open("rb") as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as index:
                while (info := index.next()) is not None:
                    if info.isreg() and not info.issparse():
                        known[info.name] = TarMember(tar, info.name, info.offset_data, info.size, version)
                        members.append(known[info.name])
                    elif info.islnk() and info.linkname in known:  # its bytes stand there once, under another name
                        members.append(replace(known[info.linkname], member=info.name))
                    index.members.clear()  # type: ignore[attr-defined]
                end = index.offset
        except tarfile.ReadError as error:
            fault = str(error)
            if "unexpected end of data" in fault and members:
                cut = members.pop()
                fault = f"is cut short in {cut.member}"
            return members, fault
        return members, _fault_behind(file, end)


def _fault_behind(file: IO[bytes], end: int) -> str:
    """What is wrong behind the last member of a tar, where two blocks of zeros must be and nothing else."""
    file.seek(end)
    rest = file.read(_PADDING + 1)
    if len(rest) < _BLOCK:
        return "is cut short: it has no end mark"
    if any(rest[:_BLOCK]):
        return f"is damaged at byte {end}"
    if len(rest) > _PADDING or any(rest):
        return f"goes on behind its end mark at byte {end}, where nothing is read; joined tars must be parted"
    return ""


@dataclass
class WebFile(Elsewhere):
    """What lies behind an address of the web."""

    url: str
    _num_bytes: int | None = field(default=None, compare=False)

    def __str__(self) -> str:
        """The address."""
        return self.url

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(unquote(urlsplit(self.url).path)).name or "media"

    @property
    def num_bytes(self) -> int | None:
        """Size of the file; None before it was fetched."""
        return self._num_bytes

    def fetch(self, path: Path) -> None:
        """See `Elsewhere`."""
        import httpx

        for wait in (*WAITS, None):
            try:
                self._fetch(path)
                return
            except httpx.HTTPStatusError as error:
                code = error.response.status_code
                if code in (404, 410):
                    raise FileNotFoundError(f"{self.url}: there is none ({code})") from error
                if wait is None or (code < 500 and code != 429):
                    raise UnfetchedError(f"{self.url}: the server refuses it ({code})") from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                if wait is None or isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    raise UnfetchedError(f"{self.url}: cannot be fetched ({error or type(error).__name__})") from error
            time.sleep(wait)

    def _fetch(self, path: Path) -> None:
        import httpx

        with httpx.stream("GET", self.url, follow_redirects=True, timeout=_SECONDS) as answer, _copy(path) as write:
            answer.raise_for_status()
            for piece in answer.iter_bytes():
                write(piece)
            before = _named_version(answer.headers)
        if before:
            after = httpx.head(self.url, follow_redirects=True, timeout=_SECONDS)
            if after.is_success and _named_version(after.headers) not in ("", before):
                raise ChangedError(f"{self.url}: changed while it was read")
        self._num_bytes = path.stat().st_size


def _named_version(headers: Mapping[str, str]) -> str:
    return headers.get("etag") or headers.get("last-modified") or ""


def free_folder(path: Path) -> None:
    """Remove a file and the folder it was alone in."""
    shutil.rmtree(path.parent, ignore_errors=True)
