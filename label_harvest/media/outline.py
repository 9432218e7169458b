"""A recording from afar: peaks of its sound and a strip of small pictures, from one pass over its packets.

All of the sound is decoded, and of the pictures those from the last key frame before a wanted time up to it, so that
hours of film cost little more than their sound. What cannot be decoded is left out; this is to find one's way by. It is
made in a process of its own (process.py), and its time is bounded.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import MediaError
from .packets import Recording, base_of, recording
from .pixels import pixel_shape, stored_shape
from .process import Beat, ChildProcess, DecodeLimits, DiedError, Message, StartError, shared_memory, unusable
from .sound import heard
from .streams import Pictures, bridged, decoded

if TYPE_CHECKING:
    import av

    from .packets import AnyPacket

logger = logging.getLogger(__name__)

PEAKS_PER_SECOND, MOST_PEAKS = 50, 360_000
"""Peaks of a second, and of a recording: of more than two hours each peak stands for longer."""
MOST_PICTURES, PICTURE_PIXELS = 48, 170 * 96
"""Of a strip, and of each picture."""
MOST_SECONDS = 900.0
"""Time an outline may take; hours of film take minutes."""
_TURN_SECONDS = 0.5
"""How often the process says how far it is."""
_HELD_BYTES = 64 * 2**20
"""Packets of pictures that are held, at most; a group of pictures that is larger is decoded whole."""
_LOUDEST = 255


@dataclass(frozen=True)
class Outline:
    """What a recording looks and sounds like, from 0 to `seconds` of its clock."""

    seconds: float
    peaks: np.ndarray | None
    """uint8 [n], the greatest level in each n-th part of it, of 255 for the loudest; None without sound."""
    pictures: np.ndarray | None
    """uint8 [K, H, W, 3] RGB upright, each of the middle of a K-th part of it; None without a picture."""
    pixel_shape: float = 1.0
    """Width by height of a pixel of the pictures."""


class OutlineReader:
    """Makes one outline after the other in a process; use it in a `with` block, after which none is left."""

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        """Start nothing yet; `limits` are seconds decoding may stand still, and memory it may take."""
        self._limits = limits or DecodeLimits()
        self._process: ChildProcess | None = None

    def __enter__(self) -> "OutlineReader":
        """The process starts when it is needed."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the process."""
        self._drop()

    def read(
        self, path: Path, seconds: float, *, pictures: int = 0, goes_on: Callable[[float], bool] = lambda _: True
    ) -> Outline | None:
        """The outline of a file, from the start of its clock.

        Args:
            path: The file.
            seconds: How far, from the start.
            pictures: So many, at most `MOST_PICTURES`; none without.
            goes_on: Is told now and then which second was reached, and answers whether to go on.

        Returns:
            The outline, or None where `goes_on` said no.

        Raises:
            MediaError: The file cannot be read, or it takes longer than `MOST_SECONDS`.
            OSError: Decoding processes do not work on this machine.
        """
        begun, count = time.monotonic(), min(pictures, MOST_PICTURES)
        request: Message = {"path": str(path), "seconds": seconds, "pictures": count}
        try:
            while True:
                answer = self._answer(path, request)
                if answer["outcome"] == "outline":
                    return _outline_of(answer, seconds)
                if not goes_on(answer["reached"]):
                    return None
                if time.monotonic() - begun > MOST_SECONDS:
                    raise MediaError(f"{path.name}: takes longer than {MOST_SECONDS / 60:.0f} minutes", "timeout")
                request = {}
        except BaseException:
            self._drop()
            raise

    def _answer(self, path: Path, request: Message) -> Message:
        """What the process answers to a request."""
        if self._process is None:
            self._process = ChildProcess(self._limits, f"{__name__}:{OutlineService.__name__}")
        try:
            self._process.send(request)
            while (answer := self._process.receive(self._limits.seconds))["outcome"] == "working":
                pass
        except (TimeoutError, DiedError, StartError) as error:
            how = str(error) if isinstance(error, DiedError) else f"stood still for {self._limits.seconds:g} s"
            raise MediaError(f"{path.name}: its decoder {how}") from error
        if answer["outcome"] == "refused":
            raise MediaError(answer["message"], answer["status"])
        if answer["outcome"] == "out of memory":
            raise MediaError(f"{path.name}: its decoder ran out of memory")
        if answer["outcome"] == "unusable":
            raise unusable(answer)
        return answer

    def _drop(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


def _outline_of(answer: Message, seconds: float) -> Outline:
    memory = np.frombuffer(shared_memory(answer), np.uint8)
    count, shape = answer["peaks"], answer["shape"]
    peaks = memory[:count] if count else None
    pictures = memory[count : count + math.prod(shape)].reshape(shape) if shape[0] else None
    return Outline(seconds, peaks, pictures, answer["pixel_shape"])


class OutlineService:
    """Makes an outline, as far as half a second gets with each request; see `process.Service`."""

    def __init__(self, beat: Beat) -> None:
        """Begin without a file."""
        self.name = ""
        self._beat = beat
        self._making: _Making | None = None
        self._steps: Iterator[float] = iter(())

    def answer(self, request: Message) -> tuple[Message, list[np.ndarray] | None]:
        """How far it is, or the outline."""
        if "path" in request:
            path = Path(request["path"])
            self.name = path.name
            self._making = _Making(path, request["seconds"], request["pictures"])
            self._steps = self._making.steps(self._beat)
        made, until = self._making, time.monotonic() + _TURN_SECONDS
        assert made is not None, "a first request names a file"
        for reached in self._steps:
            if time.monotonic() > until:
                return {"outcome": "piece", "reached": reached}, None
        peaks, pictures = made.peaks(), made.images()
        shape = [*pictures.shape] if pictures is not None else [0, 0, 0, 3]
        arrays = [array for array in (peaks, pictures) if array is not None]
        facts = {"peaks": 0 if peaks is None else len(peaks), "shape": shape, "pixel_shape": made.pixel_shape}
        return {"outcome": "outline", **facts}, arrays or [np.zeros(1, np.uint8)]


class _Making:
    """An outline while it is made."""

    def __init__(self, path: Path, seconds: float, pictures: int) -> None:
        self.pixel_shape = 1.0
        self._path, self._seconds, self._count = path, max(seconds, 0.02), pictures
        self._rate = min(PEAKS_PER_SECOND, MOST_PEAKS / self._seconds)
        self._peaks: np.ndarray | None = None
        self._strip: _Strip | None = None

    def steps(self, tick: Callable[[], None]) -> Iterator[float]:
        """Read the file; yields the second that was reached, often."""
        with recording(self._path, salvage=True) as media:
            video, audio = media.stream("video") if self._count else None, media.stream("audio")
            if video is not None:
                self._strip = _Strip(video, media, (np.arange(self._count) + 0.5) * self._seconds / self._count)
                self.pixel_shape = pixel_shape(self._path) if stored_shape(video) != 1 else 1.0
            streams = [stream for stream in (video, audio) if stream is not None]
            if not streams:
                return
            packets = media.packets(streams, until=self._seconds + 2, damaged=True, tick=tick)
            steps = self._look(packets) if audio is None else self._hear(audio, packets, media)
            yield from steps
            if self._strip is not None:
                self._strip.end()

    def peaks(self) -> np.ndarray | None:
        """uint8 [n], or None without sound."""
        if self._peaks is None:
            return None
        loudest = max(float(self._peaks.max(initial=0.0)), 0.02)  # near silence looks so
        return np.round(self._peaks / loudest * _LOUDEST).astype(np.uint8)

    def images(self) -> np.ndarray | None:
        """uint8 [K, H, W, 3], or None without a picture."""
        return np.stack(self._strip.images) if self._strip is not None and self._strip.images else None

    def _look(self, packets: "Iterator[AnyPacket]") -> Iterator[float]:
        """Pictures go to the strip."""
        assert self._strip is not None, "one of the streams is there"
        for packet in packets:
            self._strip.take(packet)
            yield self._strip.reached

    def _hear(self, stream: "av.AudioStream", packets: "Iterator[AnyPacket]", media: Recording) -> Iterator[float]:
        """The peaks of the sound; pictures go to the strip."""
        self._peaks = np.zeros(math.ceil(self._seconds * self._rate), np.float32)
        sounds = self._beside_pictures(packets)
        try:
            rate, pieces = heard(decoded(stream, bridged(sounds, media), media, {}), self._seconds + 2)
            position = 0
            for piece in pieces:
                self._take_sound(piece, position, rate)
                position += len(piece)
                yield position / rate
        except MediaError as error:  # a rate that changes, say; what was heard before stands
            logger.debug("%s: %s", self._path, error)
        yield from (self._seconds for _ in sounds)

    def _beside_pictures(self, packets: "Iterator[AnyPacket]") -> "Iterator[AnyPacket]":
        for packet in packets:
            if packet.stream.type == "audio":
                yield packet
            elif self._strip is not None:
                self._strip.take(packet)

    def _take_sound(self, piece: np.ndarray, position: int, rate: int) -> None:
        """Samples that begin at a position, float32 [n]."""
        assert self._peaks is not None, "made before"
        first = int(position * self._rate / rate)
        last = min(len(self._peaks), math.ceil((position + len(piece)) * self._rate / rate))
        edges = np.ceil(np.arange(first, last + 1) * rate / self._rate).astype(np.int64) - position
        starts, stops = np.maximum(edges[:-1], 0), np.minimum(edges[1:], len(piece))
        inside = starts < stops
        if inside.any():
            levels = np.abs(piece[: stops[inside][-1]])
            there = np.arange(first, last)[inside]
            self._peaks[there] = np.maximum(self._peaks[there], np.maximum.reduceat(levels, starts[inside]))


class _Strip:
    """Pictures at some times, decoded as packets pass by."""

    def __init__(self, stream: "av.VideoStream", media: Recording, times: np.ndarray) -> None:
        self._stream, self._media = stream, media
        self._times = [*times.tolist(), math.inf]
        self._pictures = Pictures(PICTURE_PIXELS)
        self.images: list[np.ndarray] = []
        """uint8 [H, W, 3] of each time so far."""
        self.reached = 0.0
        self._shown: Any = None
        self._held: list[AnyPacket] = []
        self._bytes = 0
        self._anew = False

    def take(self, packet: "AnyPacket") -> None:
        """The next packet; decoded at once where a picture is due, held until the next key frame otherwise."""
        ticks = packet.dts if packet.dts is not None else packet.pts
        self.reached = self.reached if ticks is None else self._media.at(ticks, base_of(self._stream))
        due = self.reached > self._times[len(self.images)]
        if packet.is_keyframe and not due:
            self._held, self._bytes, self._anew = [], 0, True
        self._held.append(packet)
        self._bytes += packet.size
        if due or self._bytes > _HELD_BYTES:
            self._decode(self._held)
            self._held, self._bytes = [], 0

    def end(self) -> None:
        """All packets were taken: at times behind the last picture there is that picture."""
        self._decode([*self._held, None])
        self._held = []
        if self._shown is not None:
            self.images += [self._pictures.of(self._shown)] * (len(self._times) - 1 - len(self.images))

    def _decode(self, packets: "list[AnyPacket] | list[AnyPacket | None]") -> None:
        import av

        decode: Callable[..., list[Any]] = self._stream.codec_context.decode
        if self._anew:
            self._stream.codec_context.flush_buffers()
            self._anew = False
        for packet in packets:
            try:
                frames = decode(packet)
            except av.error.FFmpegError as error:
                if isinstance(error, MemoryError):
                    raise
                continue  # damaged: the picture before stays
            for frame in frames:
                if not frame.is_corrupt:
                    self._show(frame)

    def _show(self, frame: "av.VideoFrame") -> None:
        ticks = frame.pts
        at = -math.inf if ticks is None else self._media.at(ticks, base_of(self._stream))
        while at > self._times[len(self.images)]:
            self.images.append(self._pictures.of(frame if self._shown is None else self._shown))
        self._shown = frame
