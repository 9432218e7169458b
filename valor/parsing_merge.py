"""Probabilities of overlapping windows -> those of the whole media, without seams.

A segment that lies in several windows gets their weighted mean. The weight of a window falls linearly from its middle
to its ends (5, 4, 3, 2, 1 to both sides for ten segments): where one window takes over from the next, it does so
gradually, and what is far from the edge of a window, where the parser knows its surroundings best, counts most. A
segment in one window only, such as every one of a clip, keeps its probability to the bit. Decisions are made on the
means, those of the gate as well.
"""

import numpy as np

from valor.parses import FloatArray


def window_weights(num_segments: int) -> np.ndarray:
    """float64 [T], how much each segment of a window counts.

    >>> window_weights(10).tolist()
    [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    """
    position = np.arange(num_segments, dtype=np.float64)
    return np.minimum(position, num_segments - 1 - position) + 1


class Merger:
    """Weighted sums over windows; takes as much memory as the result."""

    def __init__(self, num_segments: int, shape: tuple[int, ...]) -> None:
        """Begin with nothing.

        Args:
            num_segments: Of the whole media.
            shape: (M, C).
        """
        self._sums = np.zeros((num_segments, *shape))
        self._weights = np.zeros((num_segments, *shape))
        self._only = np.full((num_segments, *shape), np.nan, np.float32)
        self._counts = np.zeros((num_segments, *shape), np.int32)

    def add(self, start: int, probs: FloatArray) -> None:
        """Add a window.

        Args:
            start: Its first segment.
            probs: float32 [T, M, C], NaN where there is nothing to add; what lies beyond the end is left out.
        """
        there = slice(start, start + len(probs))
        kept = probs[: len(self._sums) - start]
        known = ~np.isnan(kept)
        weights = np.where(known, window_weights(len(probs))[: len(kept), None, None], 0)
        self._sums[there] += np.where(known, kept, 0) * weights
        self._weights[there] += weights
        self._counts[there] += known
        self._only[there] = np.where(known, kept, self._only[there])

    def result(self) -> FloatArray:
        """float32 [segments, M, C], NaN where nothing was added."""
        with np.errstate(invalid="ignore"):
            means = (self._sums / self._weights).astype(np.float32)
        merged: FloatArray = np.where(self._counts == 1, self._only, means)
        return merged
