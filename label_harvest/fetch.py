"""Media from elsewhere are brought here while others are decoded; files of a disk are decoded as they are."""

import errno
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .disk import process_is_gone
from .machine import NO_ROOM, OPEN_FILES, machine_fault, remedy
from .media.clip import ClipMedia, Grid, MediaError
from .media.decode_pool import DecodePool
from .places.elsewhere import ChangedError, CopyError, Elsewhere, Media, UnfetchedError

_FOLDER = "valor-media-"
_PIECE = 2**20
"""Bytes that are read at a time."""
_MOST_THREADS = 32
"""That fetch; each waits most of its time."""


class FetchingPool:
    """A pool of decoders that takes media from anywhere. Use it in a `with` block."""

    def __init__(self, pool: DecodePool, workers: int) -> None:
        """Start nothing yet.

        Args:
            pool: Decodes files.
            workers: How many it decodes at a time.
        """
        self._pool = pool
        self._threads = ThreadPoolExecutor(max(1, min(2 * workers, _MOST_THREADS)), thread_name_prefix="fetch")
        self._folder: Path | None = None
        self._guard = threading.Lock()

    def __enter__(self) -> "FetchingPool":
        """Processes start, and a folder is made, when they are needed."""
        self._pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End all of them, and remove what was fetched."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.__exit__(*error)
        self._threads.shutdown(wait=True)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def submit(self, media: Media, grid: Grid) -> "Future[ClipMedia]":
        """Decode a file, once it is here; the future raises `MediaError` for a clip that cannot be used.

        Where an object store cannot be reached, it raises `UnreachableError`, which is nothing a clip can help.
        """
        if not isinstance(media, Elsewhere):
            return self._pool.submit(media, grid)
        found: Future[ClipMedia] = Future()
        self._threads.submit(self._fetch, media, grid, found)
        return found

    def _fetch(self, media: Elsewhere, grid: Grid, found: "Future[ClipMedia]") -> None:
        folder = None
        try:
            folder = Path(tempfile.mkdtemp(dir=self._home()))
            path = folder / media.name
            fetch(media, path)
            decoded = self._pool.submit(path, grid)
        except BaseException as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            found.set_exception(error)
            return

        def hand_on(done: "Future[ClipMedia]") -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, MediaError):
                error = _of_copy(path) or error
            shutil.rmtree(path.parent, ignore_errors=True)
            if done.cancelled():
                found.cancel()
            elif error is not None:
                found.set_exception(error)
            else:
                found.set_result(done.result())

        decoded.add_done_callback(hand_on)

    def _home(self) -> Path:
        """The folder of this process; those of processes that were killed are removed."""
        with self._guard:
            if self._folder is None:
                begins = f"{_FOLDER}{socket.gethostname()}-"
                for other in Path(tempfile.gettempdir()).glob(f"{begins}*"):
                    process = other.name.removeprefix(begins).partition("-")[0]
                    if process.isdecimal() and process_is_gone(int(process)):
                        shutil.rmtree(other, ignore_errors=True)
                self._folder = Path(tempfile.mkdtemp(prefix=f"{begins}{os.getpid()}-"))
            return self._folder


@contextmanager
def fetched(media: Media) -> Iterator[Path]:
    """The file itself where it is one, else a copy that is gone afterwards.

    Raises:
        MediaError: There is none, or it changed meanwhile.
        UnreachableError: The object store cannot be reached.
        OSError: The copy cannot be written or read.
    """
    if not isinstance(media, Elsewhere):
        yield media
        return
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{socket.gethostname()}-{os.getpid()}-") as folder:
        path = Path(folder) / media.name
        fetch(media, path)
        try:
            yield path
        except MediaError as error:
            if (fault := _of_copy(path)) is not None:
                raise fault from error
            raise


def _of_copy(path: Path) -> OSError | None:
    """What is wrong with a private copy itself, of which nothing could be made; None where it can be read."""
    try:
        with path.open("rb") as copy:
            while copy.read(_PIECE):
                pass
    except OSError as error:
        do = "see to that disk and to who tidies it up, or set TMPDIR"
        return OSError(f"{path.parent}: the copy of {path.name} cannot be read again ({error.strerror}); {do}")
    return None


def fetch(media: Elsewhere, path: Path) -> None:
    """Bring media to a file.

    Raises:
        MediaError: There is none, it changed meanwhile, or it cannot be read.
        UnreachableError: The object store cannot be reached.
        OSError: The disk does not take it, or a limit of this process is met.
    """
    try:
        media.fetch(path)
    except FileNotFoundError as error:
        raise MediaError(f"{media.name}: is not there (any more); fetch it again or leave it out", "missing") from error
    except ChangedError as error:
        raise MediaError(f"{media.name}: {str(error).partition(': ')[2]}; run again once it is at rest") from error
    except (UnfetchedError, OSError) as error:
        fault = error if isinstance(error, CopyError) else machine_fault(error)
        if fault is not None:
            raise _not_fetched(media, path, fault) from error
        if isinstance(error, UnfetchedError):
            raise MediaError(f"{media.name}: {str(error).rpartition(': ')[2]}; try again later") from error
        raise MediaError(f"{media.name}: cannot be read ({error.strerror or error}); fetch it again") from error


def _not_fetched(media: Elsewhere, path: Path, error: OSError) -> OSError:
    """The error for a copy that this machine does not take."""
    if error.errno in NO_ROOM:
        return OSError(f"{path.parent}: no room to fetch {media.name} ({error.strerror}); make some, or set TMPDIR")
    limited = error.errno in OPEN_FILES or error.errno == errno.EFBIG  # whatever the folder
    do = remedy(error.errno) if limited else "see to that disk, or set TMPDIR"
    return OSError(f"{path.parent}: {media.name} cannot be copied here ({error.strerror}); {do}")
