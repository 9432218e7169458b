"""Clips decoded in processes that can be killed: one that hangs, crashes or eats memory costs that clip and no more."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np

from .clip import ClipMedia, Grid, MediaError
from .decoders import DECODERS, PYAV
from .frames import DecodedClip, Picture, Sound
from .length import note_length
from .process import (
    STARVED,
    Beat,
    ChildProcess,
    DecodeLimits,
    DiedError,
    Message,
    StartError,
    named_function,
    never_ready,
    shared_memory,
    unusable,
)
from .read import finish_clip

logger = logging.getLogger(__name__)

DECODE = DECODERS[PYAV]
"""What a decoding process calls, module:name."""
TRIES = 3
"""A clip is given up when so many fresh processes have died of it; one may die of something else."""
_RESAMPLING = threading.Lock()
"""Held by the one thread that resamples: torch spreads each call over the cores by itself."""


class DecodePool:
    """As many decoding processes as were asked for, each started when it is first needed; 0 decodes in this process.

    Use it in a `with` block: when it ends, in whatever way, no process is left.
    """

    def __init__(
        self,
        workers: int,
        limits: DecodeLimits | None = None,
        *,
        slots: bool = False,
        decode: str | None = None,
        track: str | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            workers: Number of processes; 0 decodes in the calling thread, without limits, for a debugger.
            limits: What one clip may take.
            slots: Whether the frames of all slots are wanted.
            decode: module:name of what a process calls, None for `DECODE`.
            track: Another audio stream than the best one, see `Recording.stream`.
        """
        self.limits = limits or DecodeLimits()
        self._wanted = {"slots": slots, "track": track}
        self._decode = decode or DECODE
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode") if workers else None
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: set[_Process] = set()
        self._guard = threading.Lock()
        self._closed = False

    def __enter__(self) -> "DecodePool":
        """Processes start when they are needed."""
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
            decoded = named_function(self._decode)(path, grid=grid, **self._wanted)
            decoded = note_length(decoded, path, grid)
            future.set_result(finish_clip(decoded, grid=grid, name=path.name))
        except MediaError as error:
            future.set_exception(error)
        return future

    def _read(self, path: Path, grid: Grid) -> ClipMedia:
        """Decode a file in a process, in a fresh one when the first dies."""
        for attempt in range(1, TRIES + 1):
            process = self._take()
            try:
                decoded = process.decode(path, grid, self._wanted)
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
            process = _Process(self.limits, self._decode)
            self._all.add(process)
        return process

    def _drop(self, process: "_Process") -> None:
        process.end()
        with self._guard:
            self._all.discard(process)


class _Process(ChildProcess):
    """One decoding process of a pool."""

    def __init__(self, limits: DecodeLimits, decode: str) -> None:
        """Start it, with the function that decodes as module:name."""
        super().__init__(limits, f"{__name__}:{ClipService.__name__}", decode)
        self._seconds = limits.seconds

    def decode(self, path: Path, grid: Grid, wanted: Message) -> DecodedClip:
        """Have it decode one file, with or without all slots, and hear a track.

        Raises:
            MediaError: The clip cannot be used, or took too long; then the process is not to be used again.
            OSError: Decoding processes do not work on this machine.
            DiedError: The process died.
        """
        self.send({"path": str(path), "grid": asdict(grid), **wanted})
        try:
            answer = self.receive(self._seconds)
        except TimeoutError:
            raise MediaError(
                f"{path.name}: decoding took more than {self._seconds:g} s and was stopped; "
                "leave it out or allow more time",
                "timeout",
            ) from None
        match answer["outcome"]:
            case "decoded":
                return unpack(answer)
            case "refused":
                raise MediaError(answer["message"], answer["status"])
            case "out of memory":
                raise DiedError(STARVED)
        raise unusable(answer)


class ClipService:
    """Decodes one clip after the other in a decoding process, see `process.Service`."""

    def __init__(self, beat: Beat, decode: str) -> None:
        """Decode with the function module:name; of a clip the whole time is limited, so nothing is said meanwhile."""
        self.name = ""
        self._decode: Callable[..., DecodedClip] = named_function(decode)

    def answer(self, request: Message) -> tuple[Message, list[np.ndarray]]:
        """The clip at `path` on a `grid`, with or without all `slots`, and with the sound of a `track`."""
        path = Path(request["path"])
        self.name = path.name
        grid = Grid(**request["grid"])
        clip = self._decode(path, grid=grid, slots=request["slots"], track=request.get("track"))
        return pack(note_length(clip, path, grid))


def pack(clip: DecodedClip) -> tuple[Message, list[np.ndarray]]:
    """A clip as a message and the arrays that go into shared memory, the samples on a multiple of 64 bytes."""
    picture, sound = clip.picture, clip.sound
    frames = picture.frames if picture else np.zeros(0, np.uint8)
    slots = picture.slots if picture and picture.slots is not None else np.zeros(0, np.uint8)
    samples = sound.samples if sound else np.zeros(0, np.float32)
    gap = np.zeros(-(frames.nbytes + slots.nbytes) % 64, np.uint8)
    samples_at = frames.nbytes + slots.nbytes + gap.nbytes
    head: Message = {"outcome": "decoded", "picture": None, "sound": None, "samples_at": samples_at}
    if picture:
        head["picture"] = {
            "shape": frames.shape,
            "slots_shape": slots.shape,
            "present": picture.present.tolist(),
            "provenance": picture.provenance,
            "troubles": picture.troubles,
        }
    if sound:
        said = {"rate": sound.rate, "provenance": sound.provenance, "holes": sound.holes}
        head["sound"] = {"length": len(samples), **said}
    return head, [frames, slots, gap, samples]


def unpack(message: Message) -> DecodedClip:
    """The clip of a message; its arrays lie in the memory it came in, privately to this process. Closes the file."""
    memory = shared_memory(message)
    picture, sound = message["picture"], message["sound"]
    if picture is not None:
        shape, slots_shape = picture.pop("shape"), picture.pop("slots_shape")
        frames = np.frombuffer(memory, np.uint8, int(np.prod(shape))).reshape(shape)
        slots = None
        if slots_shape[0]:
            slots = np.frombuffer(memory, np.uint8, int(np.prod(slots_shape)), frames.nbytes).reshape(slots_shape)
        present = np.array(picture.pop("present"), bool)
        troubles = tuple((status, text) for status, text in picture.pop("troubles"))
        picture = Picture(frames=frames, present=present, troubles=troubles, slots=slots, **picture)
    if sound is not None:
        samples = np.frombuffer(memory, np.float32, sound.pop("length"), message["samples_at"])
        holes = tuple((start, end) for start, end in sound.pop("holes"))
        sound = Sound(samples=samples, holes=holes, **sound)
    return DecodedClip(picture, sound)
