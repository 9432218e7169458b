"""Decoding in processes that can be killed: a clip that hangs, crashes or eats memory costs that clip and no more."""

import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from .clip import ClipMedia, Grid, MediaError
from .decode_worker import named_function, request_for, unpack
from .decoders import DECODERS, PYAV
from .frames import DecodedClip
from .process import ChildProcess, DiedError, StartError, never_ready, unusable
from .read import finish_clip

logger = logging.getLogger(__name__)

DECODE = DECODERS[PYAV]
"""What a decoding process calls, module:name."""
TRIES = 3
"""A clip is given up when so many fresh processes have died of it; one may die of something else."""
_RESAMPLING = threading.Lock()
"""Held by the one thread that resamples: torch spreads each call over the cores by itself."""


def usable_cores() -> int:
    """Cores this process may use, which on a cluster is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class DecodeLimits:
    """What one clip may take."""

    seconds: float = 60.0
    """Wall-clock time; a clip that takes longer becomes a row with the status `timeout`."""
    memory: int = 4096
    """MiB of memory; a clip that takes more becomes `undecodable`."""

    def __post_init__(self) -> None:
        """Refuse limits no clip can keep."""
        if not self.seconds > 0:
            raise ValueError(f"the time limit of a clip must be positive seconds, got {self.seconds}")
        if self.memory < 1:
            raise ValueError(f"the memory limit of a clip must be at least 1 MiB, got {self.memory}")


class DecodePool:
    """As many decoding processes as were asked for, each started when it is first needed; 0 decodes in this process.

    Use it in a `with` block: when it ends, in whatever way, no process is left.
    """

    def __init__(
        self, workers: int, limits: DecodeLimits | None = None, *, slots: bool = False, decode: str | None = None
    ) -> None:
        """Start nothing yet.

        Args:
            workers: Number of processes; 0 decodes in the calling thread, without limits, for a debugger.
            limits: What one clip may take.
            slots: Whether the frames of all slots are wanted.
            decode: module:name of what a process calls, None for `DECODE`.
        """
        self.limits = limits or DecodeLimits()
        self._slots = slots
        self._decode = decode or DECODE
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else None
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: set[_Process] = set()
        self._guard = threading.Lock()
        self._closed = False

    def __enter__(self) -> "DecodePool":
        """Nothing to do: processes start when they are needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill every process and wait for the threads that held them."""
        with self._guard:
            self._closed = True
            processes = list(self._all)
        for process in processes:
            process.kill()
        if self._threads:
            self._threads.shutdown(wait=True, cancel_futures=True)
        for process in processes:
            process.end()

    def submit(self, path: Path, grid: Grid) -> "Future[ClipMedia]":
        """Decode a file as soon as a process is free; the future raises `MediaError` for a clip that cannot be used."""
        if self._threads:
            return self._threads.submit(self._read, path, grid)
        future: Future[ClipMedia] = Future()
        try:
            decoded = named_function(self._decode)(path, grid=grid, slots=self._slots)
            future.set_result(finish_clip(decoded, grid=grid, name=path.name))
        except MediaError as error:
            future.set_exception(error)
        return future

    def _read(self, path: Path, grid: Grid) -> ClipMedia:
        """Decode a file in a process, in a fresh one when the first dies."""
        for attempt in range(1, TRIES + 1):
            process = self._take()
            try:
                decoded = process.decode(request_for(path, grid, self.limits.seconds, slots=self._slots))
            except DiedError as death:
                self._drop(process)
                if self._closed:
                    raise
                logger.debug("%s: the decoding process %s (try %d of %d)", path.name, death, attempt, TRIES)
                if isinstance(death, StartError) and attempt == TRIES:
                    raise never_ready(death) from None
                reason = str(death).format(memory=self.limits.memory)
                continue
            except MediaError as error:
                if error.status == "timeout":
                    self._drop(process)
                else:
                    self._idle.put(process)
                raise
            except BaseException:
                self._drop(process)
                raise
            self._idle.put(process)
            with _RESAMPLING:
                return finish_clip(decoded, grid=grid, name=path.name)
        raise MediaError(f"{path.name}: the decoder {reason} {TRIES} times; fetch it again or leave it out")

    def _take(self) -> "_Process":
        """A process that waits for work, or a new one."""
        try:
            return self._idle.get_nowait()
        except Empty:
            pass
        with self._guard:
            if self._closed:
                raise DiedError("was not started any more")
            process = _Process(self.limits.memory, self._decode)
            self._all.add(process)
        return process

    def _drop(self, process: "_Process") -> None:
        """End a process for good."""
        process.end()
        with self._guard:
            self._all.discard(process)


class _Process(ChildProcess):
    """One decoding process of a pool."""

    def __init__(self, memory: int, decode: str) -> None:
        """Start it with MiB of memory for a clip, and the function that decodes."""
        super().__init__(f"{__package__}.decode_worker", [str(memory), decode])

    def decode(self, request: dict) -> DecodedClip:
        """Have it decode one file, see `request_for`.

        Raises:
            MediaError: The clip cannot be used, or took too long; then the process is not to be used again.
            OSError: Decoding processes do not work on this machine.
            DiedError: The process died.
        """
        name, seconds = Path(request["path"]).name, request["seconds"]
        self.send(request)
        try:
            return _clip_of(self.receive(seconds))
        except TimeoutError:
            raise MediaError(
                f"{name}: decoding took more than {seconds:g} s and was stopped; leave it out or allow more time",
                "timeout",
            ) from None


def _clip_of(answer: dict) -> DecodedClip:
    """The clip a message holds; every other message is an error."""
    match answer["outcome"]:
        case "decoded":
            return unpack(answer)
        case "refused":
            raise MediaError(answer["message"], answer["status"])
        case "out of memory":
            raise DiedError("ran out of its {memory} MiB of memory")
    raise unusable(answer)
