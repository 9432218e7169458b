"""The streams of a media file of any length, decoded piece by piece: frames at given times, sound at a given rate.

The conventions are those of decoder.py, which reads short clips whole: for a clip the same comes out, to the bit.
Memory does not grow with the length of the file.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .clip import Grid, MediaError
from .decode_pool import usable_cores
from .frames import GAP_SECONDS, frame_seconds, mono_of, samples_of, usable_stream
from .open import opened
from .read import resample
from .survey import MediaSurvey, clock_of, survey_media

KEPT_PIXELS = 1920 * 1088
"""Larger frames are scaled down to about this many pixels, keeping their shape (averaging areas)."""
BLOCK_SECONDS = 30.0
"""Sound is resampled in blocks of this length; a whole clip is one block."""
_THREADS = 4
"""Most threads that decode one video."""
_ZERO_CROSSINGS = 64
_ROLLOFF = 0.9475937167399596
"""Of the filter in `media.resample`: they say how far it reaches."""


def no_tick() -> None:
    """Nobody wants to know how decoding gets on."""


class MediaReader(Protocol):
    """Whoever reads a media file, piece by piece: `DirectReader`, or `stream_reader.ProcessReader`."""

    def survey(self, path: Path) -> MediaSurvey:
        """See `survey_media`."""

    def frames(self, survey: MediaSurvey, cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `frames_at`."""

    def sound(self, survey: MediaSurvey) -> Iterator[tuple[int, np.ndarray]]:
        """See `sound_of`."""


@dataclass(frozen=True)
class DirectReader:
    """Reads in this process, without limits."""

    tick: Callable[[], None] = no_tick
    """Called for every packet, to show that decoding gets on."""

    def survey(self, path: Path) -> MediaSurvey:
        """See `survey_media`."""
        return survey_media(path, tick=self.tick)

    def frames(self, survey: MediaSurvey, cutoffs: np.ndarray, grid: Grid) -> Iterator[np.ndarray]:
        """See `frames_at`."""
        return frames_at(survey.path, cutoffs, survey.video_seconds or 0.0, grid, tick=self.tick)

    def sound(self, survey: MediaSurvey) -> Iterator[tuple[int, np.ndarray]]:
        """See `sound_of`."""
        return sound_of(survey.path, survey.seconds, tick=self.tick)


def frames_at(
    path: Path, cutoffs: np.ndarray, seconds: float, grid: Grid, *, tick: Callable[[], None] = no_tick
) -> Iterator[np.ndarray]:
    """The frame shown at each of many times: the last one with a timestamp below the time, else the first frame.

    Args:
        path: A file with a video stream.
        cutoffs: float [K] ascending, in seconds from the start of the container's clock.
        seconds: When the video ends, as its packets say.
        grid: Its tolerance says how much earlier the video may end than its packets say.
        tick: Called for every packet.

    Yields:
        uint8 [H, W, 3] RGB upright, all of the size of the first; the same array where the frame is the same.

    Raises:
        MediaError: The video is damaged, has no timestamps, or ends early.
    """
    with opened(path) as container:
        stream = usable_stream(container, "video")
        stream.codec_context.thread_count = min(usable_cores(), _THREADS)
        clock, picture = clock_of(container), _Picture()
        position, last, shown = 0, 0.0, None
        for stamp, frame in _decoded(container, stream, tick):
            if stamp is None:
                raise MediaError("video frames without timestamps; convert the file")
            last = stamp - clock
            while position < len(cutoffs) and last >= cutoffs[position]:
                yield picture.of(frame if shown is None else shown)
                position += 1
            shown = frame
            if position == len(cutoffs):
                return
        if shown is None:
            raise MediaError("no frame of its video decodes; fetch it again or leave it out")
        if seconds - last > grid.tolerance_seconds + frame_seconds(stream):
            raise MediaError(
                f"video decodes to {last:.1f} s of the {seconds:.1f} s its packets promise; fetch it again"
            )
        for _ in cutoffs[position:]:
            yield picture.of(shown)


def sound_of(path: Path, seconds: float, *, tick: Callable[[], None] = no_tick) -> Iterator[tuple[int, np.ndarray]]:
    """The sound of a file from the start of the container's clock, as it lies there.

    Args:
        path: A file with an audio stream.
        seconds: When the media ends; silence for gaps in the timestamps never reaches much further.
        tick: Called for every packet.

    Yields:
        (samples per second, which stay the same; float32 [n] mono).

    Raises:
        MediaError: The sound is damaged or changes its rate.
    """
    with opened(path) as container:
        stream = usable_stream(container, "audio")
        frames = _decoded(container, stream, tick)
        first = next(frames, None)
        if first is None:
            raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
        given = first[1].sample_rate
        for block in _gapless(chain([first], frames), clock_of(container), given, round((seconds + 2) * given)):
            yield given, block


def sound_at(sound: Iterator[tuple[int, np.ndarray]], new_rate: int) -> Iterator[np.ndarray]:
    """Bring what `sound_of` yields to a rate: float32 mono blocks.

    Raises:
        MediaError: The rate of the file cannot be brought to the wanted one.
    """
    first = next(sound, None)
    if first is not None:
        yield from resampled((block for _, block in chain([first], sound)), first[0], new_rate)


def resampled(blocks: Iterable[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """Resample a waveform that comes in blocks, as `media.resample` would resample the whole, up to rounding.

    Args:
        blocks: float32 [n] each.
        rate: Of the blocks, in samples per second.
        new_rate: Of what comes out.

    Raises:
        MediaError: The rates have no small common ratio.

    >>> tone = np.sin(np.arange(9000) / 7, dtype=np.float32)
    >>> pieces = list(resampled(np.split(tone, 9), 100, 80))
    >>> len(pieces) > 1 and np.allclose(np.concatenate(pieces), resample(tone, 100, 80), atol=1e-6)
    True
    """
    common = math.gcd(rate, new_rate)
    old, new = rate // common, new_rate // common
    reach = math.ceil(_ZERO_CROSSINGS / (min(old, new) * _ROLLOFF)) + 1  # in periods of `old` samples
    body = max(reach, math.ceil(BLOCK_SECONDS * rate / old)) * old
    left, held = np.zeros(0, np.float32), np.zeros(0, np.float32)
    for block in _of_at_least(blocks, body):
        held = np.concatenate([held, block])
        while len(held) >= body + reach * old:
            done = resample(np.concatenate([left, held[: body + reach * old]]), rate, new_rate)
            start = len(left) // old * new
            yield done[start : start + body // old * new]
            left, held = held[body - reach * old : body], held[body:]
    if len(held):
        yield resample(np.concatenate([left, held]), rate, new_rate)[len(left) // old * new :]


class _Picture:
    """Turns decoded frames into arrays of one size; a frame that is asked for again is not converted again."""

    def __init__(self) -> None:
        """Know no size yet."""
        self._source: Any = None
        self._image = np.zeros((0, 0, 3), np.uint8)
        self._how: dict[str, Any] = {}
        self._turns = 0

    def of(self, frame: Any) -> np.ndarray:  # noqa: ANN401
        """uint8 [H, W, 3], turned as the first frame asks for."""
        if not self._how:
            self._how, self._turns = _size(frame.width, frame.height), round(frame.rotation / 90)
        if frame is not self._source:
            self._image = np.rot90(frame.to_ndarray(format="rgb24", **self._how), self._turns)
            self._source = frame
        return self._image


def _size(width: int, height: int) -> dict[str, Any]:
    """How a frame is converted: as it is, or scaled down."""
    scale = math.sqrt(KEPT_PIXELS / (width * height))
    if scale >= 1:
        return {"width": width, "height": height}
    from av.video.reformatter import Interpolation

    small = {name: max(2, round(size * scale)) for name, size in (("width", width), ("height", height))}
    return {**small, "interpolation": Interpolation.AREA}


def _decoded(container: Any, stream: Any, tick: Callable[[], None]) -> Iterator[tuple[float | None, Any]]:  # noqa: ANN401
    """Frames of a stream in presentation order with their times in seconds, refusing what is marked damaged."""
    for packet in container.demux(stream):
        tick()
        if packet.is_corrupt:
            raise MediaError(f"a damaged packet in its {stream.type} stream; fetch it again or leave it out")
        for frame in stream.codec_context.decode(packet if packet.size else None):
            time = None if frame.pts is None else float(frame.pts * stream.time_base)
            if frame.is_corrupt:
                raise MediaError(f"damaged {stream.type} at {time} s; fetch it again or leave it out")
            yield time, frame
        if not packet.size:
            return


def _gapless(frames: Iterable[tuple[float | None, Any]], clock: float, rate: int, most: int) -> Iterator[np.ndarray]:
    """Mono float32 blocks from the start of the clock, silence where the timestamps leave a gap, at most so many."""
    position, gap_samples = 0, GAP_SECONDS * rate
    for stamp, frame in frames:
        if frame.sample_rate != rate:
            raise MediaError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz; convert the file")
        mono = mono_of(samples_of(frame))
        gap = 0 if stamp is None else round((stamp - clock) * rate) - position
        if gap > gap_samples:
            for silence in _silence(min(gap, most - position), rate):
                position += len(silence)
                yield silence
        elif position == 0 and -gap > gap_samples:
            mono = mono[-gap:]
        position += len(mono)
        yield mono
        if position >= most:
            return


def _silence(samples: int, rate: int) -> Iterator[np.ndarray]:
    """Zeros in blocks of at most ten seconds."""
    for start in range(0, samples, 10 * rate):
        yield np.zeros(min(10 * rate, samples - start), np.float32)


def _of_at_least(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in fewer blocks, which are joined until they are large enough."""
    held: list[np.ndarray] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += len(block)
        if length >= size:
            yield np.concatenate(held)
            held, length = [], 0
    if held:
        yield np.concatenate(held)
