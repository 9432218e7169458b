"""Recordings decoded in a process that can be killed: one that hangs, crashes or eats memory costs that file alone.

The process sends pieces of frames and of sound when they are asked for, one ahead of what is in use, so that memory
does not grow with the length of the file and decoding goes on while networks judge. Its limit is not on the whole,
which may last for hours, but on standing still: packets must go through it. What is asked of it:

    {"stream": "survey", "path": ..., "track": ..., "salvage": ...} -> survey: what `MediaReader.survey` finds
    {"stream": "frames", "survey": ..., "cutoffs": ..., "grid": ...}, then {"stream": "frames"} for the next piece
                                                            -> piece: distinct images, their order, what was lost so far
    {"stream": "sound", "survey": ...}, then {"stream": "sound"}
                                                            -> piece: samples at the rate of the file, and the same
"""

import logging
import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .clip import EndsError, Grid, MediaError
from .holes import Tally
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
from .streams import DirectReader, Lost, MediaReader
from .survey import MediaSurvey

logger = logging.getLogger(__name__)

SOURCE = f"{__name__}:direct_reader"
"""What makes the reader in the process, module:name."""
TRIES = 3
"""A file is given up when so many processes have died before its streams were known; one may die of something else."""
_SAID = {"frames": "picture", "sound": "sound"}
LEAVE_SECONDS = 1.0
"""A process still busy so long with a file nobody reads any more is ended."""
PIECE_FRAMES, PIECE_BYTES = 10, 32 * 2**20
"""A piece has no more images than this, and none after so many bytes."""
PIECE_SECONDS = 10.0
"""Sound of a piece."""


class DecoderDeathError(MediaError):
    """The process that read a file died."""

    def __init__(self, message: str, how: str) -> None:
        """Keep how, in words, beside the message."""
        super().__init__(message)
        self.how = how


class ProcessReader:
    """Reads one media file after the other in a process, which is started anew after trouble.

    See `streams.MediaReader`. Use it in a `with` block: when it ends, in whatever way, no process is left.
    """

    def __init__(self, limits: DecodeLimits | None = None, *, source: str = SOURCE) -> None:
        """Start nothing yet.

        Args:
            limits: Seconds decoding may stand still, and memory it may take.
            source: module:name of what makes the reader in the process.
        """
        self.limits = limits or DecodeLimits()
        self._source = source
        self._process: ChildProcess | None = None
        self._asked = deque[str]()  # streams in the order in which they will be answered
        self._arrived: dict[str, list[Message]] = {}
        self._path = Path()
        self._reached: dict[str, float] = {}
        self._begun = False  # whether a process has begun to read the file
        self.lost: Lost = {}

    def __enter__(self) -> "ProcessReader":
        """The process starts when it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the process."""
        self._drop()

    def survey(self, path: Path, track: str | None = None, *, salvage: bool = False) -> MediaSurvey:
        """See `streams.MediaReader`; what was read of the file before is forgotten.

        Raises:
            MediaError: The file cannot be read, or each of `TRIES` processes died of it; says why.
            OSError: Decoding processes do not work on this machine, or were ended before they read anything.
        """
        self._leave()
        self._path, self._reached, self.lost, self._begun = path, {}, {}, False
        request = {"stream": "survey", "path": str(path), "track": track, "salvage": salvage}
        for attempt in range(1, TRIES + 1):
            try:
                self._ask(request)
                return survey_from(self._next("survey")["survey"])
            except DecoderDeathError as death:
                logger.debug("%s (try %d of %d)", death, attempt, TRIES)
                last = death
        if not self._begun:
            raise OSError(f"decoding processes end before they read anything (one {last.how}); see what ends them")
        raise last

    def frames(self, survey: MediaSurvey, cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `streams.frames_at`."""
        done = 0
        begin = {"survey": _record(survey), "cutoffs": cutoffs.tolist(), "grid": asdict(grid)}
        for piece, memory in self._pieces("frames", begin, "order"):
            images = np.frombuffer(memory, np.uint8).reshape(piece["shape"])
            done += len(piece["order"])
            self._reached["frames"] = float(cutoffs[done - 1])
            for index in piece["order"]:
                yield images[index]

    def sound(self, survey: MediaSurvey) -> Iterator[tuple[int, np.ndarray]]:
        """See `streams.sound_of`."""
        done = 0
        for piece, memory in self._pieces("sound", {"survey": _record(survey)}, "length"):
            done += piece["length"]
            self._reached["sound"] = done / piece["rate"]
            yield piece["rate"], np.frombuffer(memory, np.float32)

    def _pieces(self, stream: str, begin: Message, content: str) -> Iterator[tuple[Message, mmap.mmap]]:
        """Pieces with the memory they came in, until one has nothing in it; the next one is made meanwhile."""
        self._ask({"stream": stream, **begin})
        while (piece := self._next(stream))[content]:
            self._ask({"stream": stream})
            yield piece, shared_memory(piece)
        os.close(piece["file"])

    def _ask(self, request: Message) -> None:
        """Ask for something, to be had from `_next`."""
        if self._process is None:
            self._process = ChildProcess(self.limits, f"{__name__}:{StreamService.__name__}", self._source)
        self._asked.append(request["stream"])
        try:
            self._process.send(request)
        except StartError as death:
            self._drop()
            raise never_ready(death) from None
        except BaseException:
            self._drop()
            raise

    def _next(self, stream: str) -> Message:
        """The next answer about a stream; those about others are kept for them."""
        while not self._arrived.get(stream):
            message = self._receive()
            self._asked.popleft()
            self._arrived.setdefault(message["stream"], []).append(message)
        message = self._arrived[stream].pop(0)
        if not self._arrived[stream]:
            del self._arrived[stream]
        if message["outcome"] == "refused":
            if "end" in message:
                raise EndsError(message["message"], message["end"])
            salvageable = message.get("salvageable", False)
            raise MediaError(message["message"], message["status"], salvageable=salvageable)
        self.lost |= {kind: Tally(**tally) for kind, tally in message.get("lost", {}).items()}
        return message

    def _receive(self) -> Message:
        """The next answer."""
        if self._process is None:
            raise MediaError(f"{self._path.name}: its decoder was stopped; read it from the start")
        try:
            while (message := self._process.receive(self.limits.seconds))["outcome"] == "working":
                self._begun = True
            self._begun = True
        except TimeoutError:
            said = f"decoding stood still for {self.limits.seconds:g} s"
            raise self._trouble(f"{said} and was stopped", "allow more time, or leave it out", "timeout") from None
        except DiedError as death:
            raise DecoderDeathError(str(self._trouble(f"the decoder {death}")), str(death)) from None
        except BaseException:
            self._drop()
            raise
        if message["outcome"] == "out of memory":
            said = STARVED.format(memory=self.limits.memory)
            raise self._trouble(f"the decoder {said}", "allow it more `memory`")
        if message["outcome"] == "unusable":
            self._drop()
            raise unusable(message)
        return message

    def _trouble(self, what: str, do: str = "convert it, or leave it out", status: str = "undecodable") -> MediaError:
        """The error for a process that is of no more use, which is ended."""
        stream = self._asked[0] if self._asked else "survey"
        reached = f"after {self._reached[stream]:.0f} s" if stream in self._reached else "at the start"
        where = f"{reached} of its {_SAID[stream]}" if stream in _SAID else "at its start"
        self._drop()
        logger.debug("%s: %s %s", self._path, what, where)
        return MediaError(f"{self._path.name}: {what} {where}; {do}", status)

    def _leave(self) -> None:
        """Be done with the file before: what was made of it ahead is thrown away, or the process if that takes long."""
        self._forget()
        while self._process is not None and self._asked:
            try:
                message = self._process.receive(LEAVE_SECONDS)
            except (TimeoutError, DiedError):
                self._drop()
                return
            if message["outcome"] != "working":
                self._asked.popleft()
            _close(message)

    def _forget(self) -> None:
        """Throw away what has arrived."""
        for message in (message for kept in self._arrived.values() for message in kept):
            _close(message)
        self._arrived.clear()

    def _drop(self) -> None:
        """End the process and forget what it sent."""
        self._forget()
        self._asked.clear()
        if self._process is not None:
            self._process.end()
            self._process = None


class StreamService:
    """The streams of one file after the other, each as far as it was asked for, see `process.Service`."""

    def __init__(self, beat: Beat, source: str) -> None:
        """Begin without a file, with the function module:name that makes the reader of one."""
        self.name = ""
        self._beat = beat
        self._reader: MediaReader = named_function(source)(beat)
        self._streams: dict[str, Iterator[Any]] = {}
        self._failed: dict[str, Exception] = {}

    def answer(self, request: Message) -> tuple[Message, list[np.ndarray] | None]:
        """What comes next of a stream."""
        if request["stream"] == "survey":
            track, salvage = request.get("track"), request.get("salvage", False)
            return self._survey(Path(request["path"]), track, salvage=salvage), None
        message, arrays = self._sound(request) if request["stream"] == "sound" else self._frames(request)
        lost = {kind: asdict(tally) for kind, tally in self._reader.lost.items()}
        return {**message, "lost": lost}, arrays

    def _survey(self, path: Path, track: str | None, *, salvage: bool) -> Message:
        self.name = path.name
        self._streams, self._failed = {}, {}
        self._beat.begin()
        return {"outcome": "survey", "survey": _record(self._reader.survey(path, track, salvage=salvage))}

    def _frames(self, request: Message) -> tuple[Message, list[np.ndarray]]:
        """The next images, each distinct one once."""
        if "cutoffs" in request:
            cutoffs = np.array(request["cutoffs"], np.float64)
            frames = self._reader.frames(survey_from(request["survey"]), cutoffs, Grid(**request["grid"]))
            self._streams["frames"] = frames
        images: list[np.ndarray] = []
        order: list[int] = []
        last: np.ndarray | None = None
        for image in islice(self._taken("frames"), PIECE_FRAMES):
            if image is not last:
                images.append(image)
                last = image
            order.append(len(images) - 1)
            if sum(image.nbytes for image in images) >= PIECE_BYTES:
                break
        shape = [len(images), *(images[0].shape if images else (0, 0, 3))]
        return {"outcome": "piece", "shape": shape, "order": order}, images

    def _sound(self, request: Message) -> tuple[Message, list[np.ndarray]]:
        """The next samples."""
        if "survey" in request:
            self._streams["sound"] = self._reader.sound(survey_from(request["survey"]))
        blocks: list[np.ndarray] = []
        length, rate = 0, 0
        for rate, block in self._taken("sound"):
            blocks.append(block)
            length += len(block)
            if length >= PIECE_SECONDS * rate:
                break
        return {"outcome": "piece", "length": length, "rate": rate}, blocks

    def _taken(self, stream: str) -> Iterator[Any]:
        """What a stream yields next; an error comes alone, after the piece with what came before it."""
        if stream in self._failed:
            raise self._failed.pop(stream)
        some = False
        while True:
            try:
                item = next(self._streams[stream])
            except StopIteration:
                return
            except Exception as error:
                if not some:
                    raise
                self._failed[stream] = error
                return
            some = True
            yield item


def direct_reader(tick: Callable[[], None]) -> MediaReader:
    """Who reads in the process unless another is named."""
    return DirectReader(tick)


def _record(survey: MediaSurvey) -> Message:
    """A survey as JSON values."""
    return {**asdict(survey), "path": str(survey.path)}


def survey_from(record: Message) -> MediaSurvey:
    """A survey from its JSON values."""
    lists = {name: tuple(record[name]) for name in ("audio_tracks", "video_tracks", "notes", "oddities")}
    holes = {name: tuple((start, end) for start, end in record[name]) for name in ("video_holes", "audio_holes")}
    return MediaSurvey(**{**record, **lists, **holes, "path": Path(record["path"])})


def _close(message: Message) -> None:
    if "file" in message:
        os.close(message["file"])
