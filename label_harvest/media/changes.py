"""Where sound changes for good, so that no window of media without a picture lies across.

The sound on the two sides of a moment is compared by the level in bands: how far the means of some seconds lie apart,
squared, in units of how much the levels vary on both sides. A change is the greatest such distance around. One bark is
none, since it passes; another room, another recording or music that begins is one. Source: the measure of two windows
side by side that segmentation of broadcasts uses (Siegler et al., 1997; Chen and Gopalakrishnan, 1998), with variances
by band.
"""

from collections.abc import Iterable

import numpy as np

SIDE_SECONDS = 3.0
"""Of sound on each side that is compared."""
LEAST_DISTANCE = 2.0
"""Of a change. Of 70 places at which the demo's validation clips were joined so many are found, and so many where none
is: 61 and 63 with 1.1, 53 and 23 with 2, 42 and 11 with 2.7, 35 and 6 with 3.9."""
APART_SECONDS = 1.5
"""Between two changes, at least."""
CHANGE_RULES = (1, SIDE_SECONDS, LEAST_DISTANCE, APART_SECONDS)
"""What must be the same for the same changes; the first is raised whenever they are found otherwise."""

_FRAME, _HOP = 0.1, 0.05
"""Seconds of a spectrum, and from one to the next."""
_BANDS = 24
_LOWEST, _HIGHEST = 80.0, 7600.0
"""Hz."""
_SILENCE = 1e-7
"""Power that is added, so that all silence is the same."""
_LEAST_VARIANCE = 0.1
"""Of a level in nepers, squared."""
_LEAST_SIDE = 0.5
"""Seconds a side must have."""


def changes_in(blocks: Iterable[tuple[int, np.ndarray]]) -> tuple[float, ...]:
    """When the sound changes, in seconds from its start, ascending.

    Args:
        blocks: Samples per second, the same in all, and float32 [n] mono; what is kept of them are 24 numbers a
            twentieth of a second.
    """
    levels = _levels(blocks)
    if not len(levels):
        return ()
    distance = _distances(levels)
    found: list[int] = []
    apart = round(APART_SECONDS / _HOP)
    for place in np.argsort(-distance, kind="stable").tolist():
        if distance[place] < LEAST_DISTANCE:
            break
        if all(abs(place - other) > apart for other in found):
            found.append(place)
    return tuple(place * _HOP + (_FRAME - _HOP) / 2 for place in sorted(found))


def _levels(blocks: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """float64 [frames, bands], the logarithm of the power in each band."""
    held, rows = np.zeros(0, np.float32), []
    for rate, block in blocks:
        held = np.concatenate([held, block])
        size, hop = round(_FRAME * rate), round(_HOP * rate)
        if len(held) < max(size, rate):
            continue
        count = (len(held) - size) // hop + 1
        rows.append(_band_powers(np.lib.stride_tricks.sliding_window_view(held, size)[: count * hop : hop], rate))
        held = held[count * hop :]
    return np.log(np.concatenate(rows) + _SILENCE) if rows else np.zeros((0, 0))


def _band_powers(frames: np.ndarray, rate: int) -> np.ndarray:
    """float64 [frames, bands] of samples [frames, n]; bands that no frequency falls into are left out."""
    window = np.hanning(frames.shape[1])
    power = np.abs(np.fft.rfft(frames * window)) ** 2 / (window**2).sum()
    edges = np.geomspace(_LOWEST, min(_HIGHEST, rate / 2), _BANDS + 1)
    band = np.digitize(np.fft.rfftfreq(frames.shape[1], 1 / rate), edges) - 1
    return np.stack([power[:, band == n].mean(axis=1) for n in range(_BANDS) if (band == n).any()], axis=1)


def _distances(levels: np.ndarray) -> np.ndarray:
    """float64 [frames + 1], between the two sides of the place before each frame; 0 where a side is too short."""
    side, here = round(SIDE_SECONDS / _HOP), np.arange(len(levels) + 1)
    first, last = np.maximum(here - side, 0), np.minimum(here + side, len(levels))
    sums = [
        np.concatenate([np.zeros((1, levels.shape[1])), np.cumsum(values, axis=0)]) for values in (levels, levels**2)
    ]

    def moments(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count = np.maximum(stop - start, 1)[:, None]
        mean, square = ((total[stop] - total[start]) / count for total in sums)
        return mean, np.maximum(square - mean**2, 0)

    (before, spread_before), (after, spread_after) = moments(first, here), moments(here, last)
    spread = (spread_before + spread_after) / 2 + _LEAST_VARIANCE
    distance: np.ndarray = ((before - after) ** 2 / spread).mean(axis=1)
    distance[np.minimum(here - first, last - here) < round(_LEAST_SIDE / _HOP)] = 0
    return distance
