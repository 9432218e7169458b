"""Decoded frames of sound -> one channel of samples without gaps, as clips and recordings of any length hear it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .clip import MediaError
from .holes import GAP_SECONDS

if TYPE_CHECKING:
    import av

Timed = tuple[float | None, Any]
"""A decoded frame and when it is shown or heard, in seconds from the start of the clock; None where it does not say."""
Piece = TypeVar("Piece")

_SILENCE_SECONDS = 10
"""Longer silence comes in pieces of this length."""
_TOGETHER = 16
"""Frames that are averaged together, which is faster; more would no longer lie in a cache."""
_PLANAR = {
    f"{name}p": np.dtype(kind)
    for name, kind in zip(("u8", "s16", "s32", "s64", "flt", "dbl"), ("u1", "i2", "i4", "i8", "f4", "f8"), strict=True)
}
"""What the samples of a channel are, by the name of a format that has every channel in a plane of its own."""


def heard(frames: Iterator[Timed], most_seconds: float) -> tuple[int, Iterator[np.ndarray]]:
    """The sound from the start of the clock, at the rate of its file.

    Args:
        frames: From `decoded`.
        most_seconds: Silence for gaps in the timestamps never reaches further.

    Returns:
        Samples per second, and the mean over channels piece by piece, float32 [n], silence where the timestamps leave a
        gap.

    Raises:
        MediaError: Nothing decodes, or, as the pieces come, the rate changes, or a sample is no number.
    """
    first = next(frames, None)
    if first is None:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    rate: int = first[1].sample_rate
    return rate, _means(_placed(_counted(chain([first], frames), rate), rate, most_seconds), rate)


def _counted(frames: Iterable[Timed], rate: int) -> "Iterator[tuple[float | None, int, av.AudioFrame]]":
    for time, frame in frames:
        if frame.sample_rate != rate:
            raise MediaError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz; convert the file")
        yield time, frame.samples, frame


def _means(placed: "Iterable[tuple[int, int, av.AudioFrame]]", rate: int) -> Iterator[np.ndarray]:
    """The mean over channels of frames from `_placed`, of several together where they follow one another."""
    held: list[av.AudioFrame] = []
    for silent, skipped, frame in placed:
        if held and (silent or skipped or len(held) == _TOGETHER):
            yield mean_of(held)
            held = []
        if silent:
            yield from (silence[0] for silence in _silence(silent, rate))
        if skipped:
            yield mono_of(samples_of(frame)[:, skipped:])
        else:
            held.append(frame)
    if held:
        yield mean_of(held)


def _silence(count: int, rate: int) -> Iterator[np.ndarray]:
    """So many samples of silence, float32 [1, n] piece by piece."""
    most = _SILENCE_SECONDS * rate
    for start in range(0, count, most):
        yield np.zeros((1, min(most, count - start)), np.float32)


def _placed(
    pieces: Iterable[tuple[float | None, int, Piece]], rate: int, most_seconds: float
) -> Iterator[tuple[int, int, Piece]]:
    """(samples of silence before a piece, samples of it that are left out, the piece), see `gapless`.

    Args:
        pieces: When each begins, in seconds from the start of the clock (None: at once), its samples, and itself.
        rate: Samples per second.
        most_seconds: Silence never reaches further.
    """
    position, most, stray = 0, round(most_seconds * rate), GAP_SECONDS * rate
    for time, count, piece in pieces:
        gap, silent, skipped = 0 if time is None else round(time * rate) - position, 0, 0
        if gap > stray:
            silent = max(0, min(gap, most - position))
        elif -gap > stray:
            skipped = min(-gap, count)
        yield silent, skipped, piece
        position += silent + count - skipped


def gapless(pieces: Iterable[tuple[float | None, np.ndarray]], rate: int, most_seconds: float) -> Iterator[np.ndarray]:
    """Sound from the start of the clock on: silence fills gaps; what overlaps, or lies before the start, is left out.

    Args:
        pieces: When each begins, in seconds from the start of the clock (None: at once), and its samples [channels, n].
        rate: Samples per second.
        most_seconds: Silence never reaches further.

    >>> one = np.ones((1, 1))
    >>> np.concatenate(list(gapless([(0.5, one), (None, one), (2.5, one)], 2, 9)), axis=1).tolist()
    [[0.0, 1.0, 1.0, 0.0, 0.0, 1.0]]
    >>> np.concatenate(list(gapless([(0, np.ones((1, 4))), (1, np.full((1, 4), 2.0))], 2, 9)), axis=1).tolist()
    [[1.0, 1.0, 1.0, 1.0, 2.0, 2.0]]
    """
    counted = ((time, samples.shape[1], samples) for time, samples in pieces)
    for silent, skipped, samples in _placed(counted, rate, most_seconds):
        yield from _silence(silent, rate)
        yield samples[:, skipped:]


def samples_of(frame: "av.AudioFrame") -> np.ndarray:
    """The samples of a frame as its codec gives them, [channels, n]."""
    if (kind := _PLANAR.get(frame.format.name)) is None:
        kind = _PLANAR[f"{frame.format.name}p"]  # PyAV makes no array of integers of 64 bits
        count = frame.samples * frame.layout.nb_channels
        return np.frombuffer(memoryview(frame.planes[0]), kind, count).reshape(-1, frame.layout.nb_channels).T
    return np.stack([np.frombuffer(_planes([frame], at, kind), kind) for at in range(frame.layout.nb_channels)])


def _planes(frames: "Sequence[av.AudioFrame]", channel: int, kind: np.dtype[Any]) -> bytes:
    """The samples of a channel of planar frames, one frame after another.

    Planes are read one by one, as many as there are channels: PyAV counts them by looking for a null pointer, which
    eight of them leave no room for, and reads beyond the last. They have room for more than their samples.
    """
    from av.audio.plane import AudioPlane

    plane: Any = AudioPlane
    return b"".join([memoryview(plane(frame, channel))[: frame.samples * kind.itemsize] for frame in frames])


def mean_of(frames: "Sequence[av.AudioFrame]") -> np.ndarray:
    """The mean over channels of frames that follow one another, see `mono_of`; those of one planar kind are fastest."""
    (name, channels), *others = {(frame.format.name, frame.layout.nb_channels) for frame in frames}
    if others:
        return np.concatenate([mono_of(samples_of(frame)) for frame in frames])
    if (kind := _PLANAR.get(name)) is None:
        return mono_of(np.concatenate([samples_of(frame) for frame in frames], axis=1))
    first, *rest = [_levels(np.frombuffer(_planes(frames, at, kind), kind)) for at in range(channels)]
    total = np.add(first, rest[0]) if rest else first.copy()
    for levels in rest[1:]:
        total += levels
    total /= channels
    return _in_numbers(total)


def mono_of(samples: np.ndarray) -> np.ndarray:
    """float32 [n], the plain mean over channels, which keeps the level of one channel (a mixer would not).

    Args:
        samples: [channels, n] of uint8, integers or floats.

    Raises:
        MediaError: A sample is no number.
    """
    mean: np.ndarray = _levels(samples).mean(axis=0, dtype=np.float32)
    return _in_numbers(mean)


def _in_numbers(samples: np.ndarray) -> np.ndarray:
    """The same samples.

    Raises:
        MediaError: A sample is no number.
    """
    if not np.isfinite(samples).all():
        raise MediaError("audio samples that are no numbers; fetch it again or leave it out")
    return samples


def _levels(samples: np.ndarray) -> np.ndarray:
    """Samples of any kind as float32, full scale at 1."""
    if samples.dtype == np.float32:
        return samples
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
    return samples.astype(np.float32)
