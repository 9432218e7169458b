"""Recordings decoded in a process that can be killed: one that hangs, crashes or eats memory costs that file alone.

The process sends pieces of frames and of sound when they are asked for, one ahead of what is in use, so that memory
does not grow with the length of the file and decoding goes on while networks judge. Its limit is not on the whole,
which may last for hours, but on standing still: packets must go through it.
"""

import logging
import mmap
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .clip import Grid, MediaError
from .decode_pool import DecodeLimits
from .process import ChildProcess, DiedError, StartError, never_ready, unusable
from .stream_worker import survey_from
from .survey import MediaSurvey

logger = logging.getLogger(__name__)

SOURCE = "valor.label_harvest.media.stream_worker:direct_reader"
"""What makes the reader in the process, module:name."""
_SAID = {"frames": "picture", "sound": "sound"}
LEAVE_SECONDS = 1.0
"""A process still busy so long with a file nobody reads any more is ended."""


class ProcessReader:
    """Reads one media file after the other in a process, which is started anew after trouble.

    See `media_streams.MediaReader`. Use it in a `with` block: when it ends, in whatever way, no process is left.
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
        self._arrived: dict[str, list[dict]] = {}
        self._path = Path()
        self._reached: dict[str, float] = {}

    def __enter__(self) -> "ProcessReader":
        """Nothing to do: the process starts when it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """Kill the process."""
        self._drop()

    def survey(self, path: Path) -> MediaSurvey:
        """See `media_survey.survey_media`; what was read of the file before is forgotten.

        Raises:
            MediaError: The file cannot be read; says why.
            OSError: Decoding processes do not work on this machine.
        """
        self._leave()
        self._path, self._reached = path, {}
        self._ask({"stream": "survey", "path": str(path)})
        return survey_from(self._next("survey")["survey"])

    def frames(self, survey: MediaSurvey, cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `media_streams.frames_at`."""
        done = 0
        begin = {"survey": _record(survey), "cutoffs": cutoffs.tolist(), "grid": asdict(grid)}
        for piece, memory in self._pieces("frames", begin, "order"):
            images = np.frombuffer(memory, np.uint8).reshape(piece["shape"])
            done += len(piece["order"])
            self._reached["frames"] = float(cutoffs[done - 1])
            for index in piece["order"]:
                yield images[index]

    def sound(self, survey: MediaSurvey) -> Iterator[tuple[int, np.ndarray]]:
        """See `media_streams.sound_of`."""
        done = 0
        for piece, memory in self._pieces("sound", {"survey": _record(survey)}, "length"):
            done += piece["length"]
            self._reached["sound"] = done / piece["rate"]
            yield piece["rate"], np.frombuffer(memory, np.float32)

    def _pieces(self, stream: str, begin: dict, content: str) -> Iterator[tuple[dict, mmap.mmap]]:
        """Pieces with the memory they came in, until one has nothing in it; the next one is made meanwhile."""
        self._ask({"stream": stream, **begin})
        while (piece := self._next(stream))[content]:
            self._ask({"stream": stream})
            with os.fdopen(piece["file"], "rb") as file:
                memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            yield piece, memory
        os.close(piece["file"])

    def _ask(self, request: dict) -> None:
        """Ask for something, to be had from `_next`."""
        if self._process is None:
            given = [str(self.limits.memory), str(self.limits.seconds), self._source]
            self._process = ChildProcess(f"{__package__}.stream_worker", given)
        self._asked.append(request["stream"])
        try:
            self._process.send(request)
        except StartError as death:
            self._drop()
            raise never_ready(death) from None
        except DiedError as death:
            raise self._trouble(f"the decoder {death}") from None
        except BaseException:
            self._drop()
            raise

    def _next(self, stream: str) -> dict:
        """The next answer about a stream; those about others are kept for them."""
        while not self._arrived.get(stream):
            message = self._receive()
            self._asked.popleft()
            self._arrived.setdefault(message["stream"], []).append(message)
        message = self._arrived[stream].pop(0)
        if not self._arrived[stream]:
            del self._arrived[stream]
        if message["outcome"] == "refused":
            raise MediaError(message["message"], message["status"])
        return message

    def _receive(self) -> dict:
        """The next answer."""
        if self._process is None:
            raise MediaError(f"{self._path.name}: its decoder was stopped; read it from the start")
        try:
            while (message := self._process.receive(self.limits.seconds))["outcome"] == "working":
                pass
        except TimeoutError:
            said = f"decoding stood still for {self.limits.seconds:g} s"
            raise self._trouble(f"{said} and was stopped", "allow more time, or leave it out", "timeout") from None
        except DiedError as death:
            raise self._trouble(f"the decoder {death}") from None
        except BaseException:
            self._drop()
            raise
        if message["outcome"] == "out of memory":
            raise self._trouble(f"the decoder ran out of its {self.limits.memory} MiB of memory", "allow it more")
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


def _close(message: dict) -> None:
    if "file" in message:
        os.close(message["file"])


def _record(survey: MediaSurvey) -> dict:
    """A survey as JSON values."""
    return {**asdict(survey), "path": str(survey.path)}
