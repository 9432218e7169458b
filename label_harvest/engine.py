"""Who decodes and judges the batches of a harvest: this process and its decoders; ray_engine.py has a cluster do it."""

import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from .fetch import FetchingPool
from .media.clip import ClipMedia, Grid, MediaError
from .media.decode_pool import DecodePool
from .media.decoders import DECODERS, PYAV
from .media.process import DecodeLimits, keep_memory
from .places.elsewhere import Media, media_bytes
from .store.evidence import Answers, Faults, ReadClip, TeacherInput, judge_batch, prepare_batch
from .store.shards import KnownClip, ShardRow, row_of
from .teachers.teacher import Teacher

logger = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")

_LOOK_SECONDS = 0.5
"""How often a thread that waits looks whether it should stop."""


@dataclass(frozen=True)
class Batch:
    """Clips of one shard that go through a teacher together."""

    shard: int
    positions: range
    """Their places in the shard."""
    rows: tuple[KnownClip, ...]
    """Manifest rows of the clips."""
    paths: tuple[Media | None, ...]


@dataclass(frozen=True)
class Judged:
    """What became of a batch."""

    rows: list[ShardRow]
    answers: Answers
    faults: Faults = field(default_factory=dict)
    """Clips that a teacher of one's own fails at; their rows say what was read of them."""


@dataclass
class Clock:
    """Where the time of the networks went, in seconds; the rest of a run's time is planning and looking at files."""

    decode: float = 0.0
    """They waited for decoded clips."""
    host: float = 0.0
    """They waited for frames and sound to be brought to what they take in, or for evidence to be written."""
    network: float = 0.0
    """They computed. Of a teacher without stages of its own, all of its time."""

    def shares(self) -> dict[str, float]:
        """Each part of the whole, in 0..1, largest first."""
        parts = vars(self)
        total = sum(parts.values()) or 1.0
        return {name: parts[name] / total for name in sorted(parts, key=parts.__getitem__, reverse=True)}

    def __str__(self) -> str:
        """What bounded the run, and the shares."""
        parts = [f"{name} {100 * part:.0f} %" for name, part in self.shares().items()]
        return f"bound by {next(iter(self.shares()))} ({', '.join(parts)})"


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How clips are decoded."""

    grid: Grid
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    workers: int = 1
    """Processes that decode here; a cluster has as many as it has cores."""
    preparers: int = 1
    """Threads that prepare what was decoded for the networks, where there are such processes."""
    slots: bool = False
    """Whether the frames of all slots are wanted."""
    decoder: str = PYAV
    """Name of the library that decodes (`decoders.DECODERS`)."""
    audio_track: str | None = None
    """Which audio track is heard, by position or language; None for the best one."""

    def pool(self, workers: int) -> FetchingPool:
        """So many processes that decode like this, and threads that fetch what they decode."""
        function = None if self.decoder == PYAV else DECODERS[self.decoder]
        pool = DecodePool(workers, self.limits, slots=self.slots, decode=function, track=self.audio_track)
        return FetchingPool(pool, workers)


class Engine(Protocol):
    """Something that decodes and judges batches."""

    @property
    def clock(self) -> Clock:
        """Where its time goes."""

    def judged(self, batches: Iterator[Batch], decoding: Decoding) -> Generator[tuple[Batch, Judged], None, None]:
        """Batches in the order in which they are done; so many are under way that everybody has work, and no more."""


class LocalEngine:
    """Decoding processes, threads that prepare what they decoded, and the networks in the thread that asks.

    So a batch is in the networks while the next ones are prepared and those after them are decoded.
    """

    def __init__(self, teachers: Sequence[Teacher]) -> None:
        """Keep the teachers."""
        self._teachers = teachers
        self.clock = Clock()

    def judged(self, batches: Iterator[Batch], decoding: Decoding) -> Generator[tuple[Batch, Judged], None, None]:
        """See `Engine.judged`."""
        keep_memory()  # batch after batch takes as much
        pool = decoding.pool(decoding.workers)
        stop = threading.Event()
        fed = Clock()
        decoded = _decoded(pool, batches, decoding, fed, stop)
        ahead = _Ahead(decoded, self._prepare, decoding.preparers, stop) if decoding.workers else None
        try:
            with pool:
                asked = time.monotonic()
                for prepared in ahead or map(self._prepare, decoded):
                    fed.host += prepared.seconds
                    self._count_waiting(time.monotonic() - asked, fed)
                    started = time.monotonic()
                    answers, faults = judge_batch(self._teachers, prepared.inputs)
                    self.clock.network += time.monotonic() - started
                    started = time.monotonic()
                    yield prepared.batch, Judged(prepared.rows, answers, faults)
                    asked = time.monotonic()
                    self.clock.host += asked - started
        finally:
            stop.set()
            if ahead:
                ahead.join()

    def _prepare(self, decoded: tuple[Batch, list[ReadClip]]) -> "_Prepared":
        """Bring a decoded batch to what the networks take in."""
        batch, clips = decoded
        started = time.monotonic()
        inputs = prepare_batch(self._teachers, clips)
        return _Prepared(batch, [row for row, _ in clips], inputs, time.monotonic() - started)

    def _count_waiting(self, seconds: float, fed: Clock) -> None:
        """Divide time spent waiting between the decoders and the preparing, as these divided their own."""
        spent = fed.decode + fed.host
        share = fed.decode / spent if spent else 0.0
        self.clock.decode += share * seconds
        self.clock.host += (1 - share) * seconds
        fed.decode = fed.host = 0.0


@dataclass(frozen=True)
class _Prepared:
    """A batch that is ready for the networks."""

    batch: Batch
    rows: list[ShardRow]
    inputs: list[TeacherInput]
    seconds: float
    """What the preparing took."""


def _decoded(
    pool: FetchingPool, batches: Iterator[Batch], decoding: Decoding, clock: Clock, stop: threading.Event
) -> Iterator[tuple[Batch, list[ReadClip]]]:
    """Batches as soon as all their clips are decoded: one that hangs holds up its batch and no other.

    While the teachers are at a batch, the decoders have that of the next ones; so many are open that all decoders
    have work, and no more, since every decoded clip takes memory.
    """
    waiting = deque[tuple[Batch, list[Future[ClipMedia] | None]]]()
    most = 1
    while not stop.is_set():
        while len(waiting) < most and (batch := next(batches, None)):
            waiting.append((batch, [pool.submit(path, decoding.grid) if path else None for path in batch.paths]))
            most = 2 + -(-decoding.workers // len(batch.rows)) if decoding.workers else 1
        if not waiting:
            return
        ready = next((entry for entry in waiting if not _pending(entry[1])), None)
        if ready is None:
            started = time.monotonic()
            pending = [future for _, futures in waiting for future in _pending(futures)]
            wait(pending, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED)
            clock.decode += time.monotonic() - started
            continue
        waiting.remove(ready)
        batch, futures = ready
        waiters = zip(batch.rows, batch.paths, futures, strict=True)
        yield batch, [read_row(row, path, future.result if future else None) for row, path, future in waiters]


def _pending(futures: Sequence[Future[ClipMedia] | None]) -> list[Future[ClipMedia]]:
    """Clips that are still being decoded."""
    return [future for future in futures if future is not None and not future.done()]


def read_row(row: KnownClip, path: Media | None, read: Callable[[], ClipMedia] | None) -> ReadClip:
    """What became of one clip; trouble becomes the status of its row.

    Args:
        row: What is known of it.
        path: Its file.
        read: Gives its media or raises `MediaError`; None where there is no file.
    """
    if read is None or path is None:
        return row_of(row, "missing", "no file of this name among the videos"), None
    facts = file_facts(path)
    try:
        media = read()
    except MediaError as error:
        return row_of(row, error.status, str(error), file_facts(path, facts)), None
    found = {**file_facts(path, facts), **media.provenance}
    return row_of(row, media.status, media.message, found), media


def file_facts(media: Media, before: Mapping[str, object] | None = None) -> dict[str, object]:
    """Name of a file, and its bytes, by which a later run sees that it was replaced.

    Args:
        media: Where it is.
        before: What was known before it was read; the size of some media is known only once they were fetched.
    """
    return dict(before) if before and before["file_bytes"] else {"file": media.name, "file_bytes": media_bytes(media)}


def put_unless(stop: threading.Event, into: "queue.Queue[Any]", item: object) -> bool:
    """Put an item into a full queue as soon as there is room, unless nobody wants it any more; whether it was put."""
    while not stop.is_set():
        try:
            into.put(item, timeout=_LOOK_SECONDS)
        except queue.Full:
            continue
        return True
    return False


class _Ahead(Generic[S, T]):
    """Works on the items of an iterator in threads, ahead of who asks for what comes of them, in whatever order."""

    def __init__(self, items: Iterator[S], work: Callable[[S], T], threads: int, stop: threading.Event) -> None:
        """Start nothing yet.

        Args:
            items: Asked for by one thread at a time.
            work: What is done with each.
            threads: How many work.
            stop: Set by who asks when no more is wanted.
        """
        self._items, self._work, self._stop = items, work, stop
        self._asking = threading.Lock()
        self._queue: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(maxsize=1)
        self._threads = [threading.Thread(target=self._run, name="prepare", daemon=True) for _ in range(threads)]

    def __iter__(self) -> Iterator[T]:
        """What comes of the items; an error of the iterator or the work is raised here."""
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        while working:
            done, error = self._queue.get()
            if error is not None:
                raise error
            if done is None:
                working -= 1
            else:
                yield done

    def join(self) -> None:
        """Wait until the threads are gone, after `stop` was set."""
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        """Put in the queue what comes of items, until there are none or nobody wants more."""
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # here alone: another team of threads would take the cores from the network
        try:
            while (item := self._next()) is not None:
                if not put_unless(self._stop, self._queue, (self._work(item), None)):
                    return
            put_unless(self._stop, self._queue, (None, None))
        except BaseException as error:
            put_unless(self._stop, self._queue, (None, error))

    def _next(self) -> S | None:
        """One more item, None when there are none."""
        with self._asking:
            return next(self._items, None)
