"""The process that decodes a recording: it sends frames and sound in pieces, each when it is asked for.

It needs av and numpy alone. While it works on a piece it says `working` about once a second, as long as packets go
through its hands; a decoder that hangs says nothing. It ends by itself when the parent is gone, see decode_worker.py,
whose messages these are:

    {"stream": "survey", "path": ...}                       -> survey: what `survey_media` finds
    {"stream": "frames", "survey": ..., "cutoffs": ..., "grid": ...}, then {"stream": "frames"} for the next piece
                                                            -> piece: distinct images and the order they come in
    {"stream": "sound", "survey": ...}, then {"stream": "sound"}
                                                            -> piece: samples at the rate of the file
    to any of them                                          -> refused: why the file cannot be read
"""

import errno
import math
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .clip import Grid, MediaError
from .decode_worker import (
    ALARM_SECONDS,
    die_with,
    limit_memory,
    named_function,
    receive_message,
    send_message,
    shared_file,
)
from .streams import DirectReader, MediaReader
from .survey import MediaSurvey

PIECE_FRAMES, PIECE_BYTES = 10, 32 * 2**20
"""A piece has no more images than this, and none after so many bytes."""
PIECE_SECONDS = 10.0
"""Sound of a piece."""
LEAST_MEMORY = 12 * 2**20
"""Where fewer bytes were never taken, what fails fails for want of memory: a thread alone takes 8 MiB."""
BEAT_SECONDS = 1.0
"""How often it says that it works, at most."""


def direct_reader(tick: Callable[[], None]) -> MediaReader:
    """Who reads in this process unless another is named."""
    return DirectReader(tick)


def main(arguments: Sequence[str]) -> None:
    """Serve until the other side closes the socket.

    Args:
        arguments: Descriptor of the socket, process id of the parent, MiB of memory decoding may take, seconds it may
            stand still, and the function that makes the reader, as module:name.
    """
    descriptor, parent, memory = (int(argument) for argument in arguments[:3])
    die_with(parent)
    with socket.socket(fileno=descriptor) as connection:
        beat = _Beat(connection, float(arguments[3]))
        try:
            pieces = _Pieces(named_function(arguments[4])(beat))
        except ImportError as error:
            send_message(connection, {"outcome": "unusable", "message": str(error)})
            return
        limit_memory(memory)
        send_message(connection, {"outcome": "ready"})
        while (request := receive_message(connection)) is not None:
            beat.start()
            answered = _answer(connection, pieces, request)
            beat.stop()
            if not answered:
                return


class _Beat:
    """Tells the other side that decoding gets on, and ends this process where nobody would end it."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        """Say nothing yet."""
        self._connection = connection
        self._alarm = seconds + ALARM_SECONDS
        self._pause = min(BEAT_SECONDS, seconds / 4)
        self._last = 0.0

    def __call__(self) -> None:
        """A packet went through."""
        if time.monotonic() - self._last >= self._pause:
            send_message(self._connection, {"outcome": "working"})
            self.start()

    def start(self) -> None:
        """Work begins, or goes on."""
        self._last = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, self._alarm)

    def stop(self) -> None:
        """Work is done."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(connection: socket.socket, pieces: "_Pieces", request: dict) -> bool:
    """Send what is asked for, or why not; False when this process should not go on."""
    stream = request["stream"]
    try:
        message, arrays = pieces.of(request)
        file = shared_file(arrays) if stream != "survey" else None
    except MediaError as error:
        if _is_starved(error):
            send_message(connection, {"outcome": "out of memory"})
            return False
        message, file = {"outcome": "refused", "status": error.status, "message": str(error)}, None
    except MemoryError:
        send_message(connection, {"outcome": "out of memory"})
        return False
    except OSError as error:
        send_message(connection, {"outcome": "unusable", "message": f"no shared memory ({error.strerror})"})
        return False
    except Exception as error:
        said = f"cannot be decoded ({type(error).__name__}: {error}); leave it out"
        message, file = {"outcome": "refused", "status": "undecodable", "message": f"{pieces.name}: {said}"}, None
    if file is None:
        send_message(connection, {"stream": stream, **message})
        return True
    with os.fdopen(file, "rb"):
        send_message(connection, {"stream": stream, **message}, file)
    return True


def _is_starved(error: BaseException | None) -> bool:
    """Whether FFmpeg failed for want of memory, which it may call anything; of threads it says to try again."""
    while error is not None and getattr(error, "errno", None) not in (errno.EAGAIN, errno.ENOMEM):
        error = error.__cause__
    return error is not None or _memory_left() < LEAST_MEMORY


def _memory_left() -> float:
    """Bytes of address space that this process never took, infinite without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return math.inf
    peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmPeak:")), 0)
    return math.inf if limit == resource.RLIM_INFINITY else limit - 1024 * peak


class _Pieces:
    """The streams of one file, each as far as it was asked for."""

    def __init__(self, reader: MediaReader) -> None:
        """Begin without a file."""
        self.name = ""
        self._reader = reader
        self._streams: dict[str, Iterator[Any]] = {}
        self._failed: dict[str, Exception] = {}

    def of(self, request: dict) -> tuple[dict, list[np.ndarray]]:
        """The message for a request and the arrays that go with it."""
        if request["stream"] == "survey":
            return self._survey(Path(request["path"])), []
        if request["stream"] == "sound":
            return self._sound(request)
        return self._frames(request)

    def _survey(self, path: Path) -> dict:
        self.name = path.name
        self._streams, self._failed = {}, {}
        return {"outcome": "survey", "survey": {**asdict(self._reader.survey(path)), "path": str(path)}}

    def _frames(self, request: dict) -> tuple[dict, list[np.ndarray]]:
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

    def _sound(self, request: dict) -> tuple[dict, list[np.ndarray]]:
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


def survey_from(record: dict) -> MediaSurvey:
    """A survey from its JSON values."""
    return MediaSurvey(**{**record, "path": Path(record["path"])})
