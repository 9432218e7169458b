"""Teachers that speak more often than once a segment: their own time grid, and how their answers become a segment's.

Answer f of a teacher that speaks every s seconds stands for the time from f * s to (f + 1) * s. A segment gets, by the
rule the teacher names,

    mean    the mean of the answers in it, each weighted by the time it shares with the segment: one that lies across an
            edge is shared in proportion
    max     the largest of the answers whose centre lies in it; where there is none, the answer at its centre

The end of a grid is the end of its sound: what a teacher says of the filling behind it is no segment's.
"""

from dataclasses import dataclass

import numpy as np

from ..did_you_mean import did_you_mean
from ..media.clip import Grid

MEAN, MAX = "mean", "max"
POOLINGS = (MEAN, MAX)


@dataclass(frozen=True)
class TimeGrid:
    """How often a teacher speaks, and how its answers are pooled; part of its identity."""

    seconds: float
    """From one answer to the next, and from the start to the end of what one stands for."""
    pooling: str = MEAN
    """One of `POOLINGS`."""

    def __post_init__(self) -> None:
        """Refuse grids that hold nothing, and rules that are none."""
        if not 0 < self.seconds < np.inf:
            raise ValueError(f"the seconds of a time grid must be positive, got {self.seconds}")
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}"
                f"{did_you_mean(self.pooling, POOLINGS)}"
            )

    def identity(self) -> dict[str, object]:
        """As it stands in the identity of a teacher, and with it in the manifest of a store."""
        edges = "in proportion" if self.pooling == MEAN else "by centre"
        return {"seconds": self.seconds, "pooling": self.pooling, "edges": edges}

    def pool(self, answers: np.ndarray, grid: Grid) -> np.ndarray:
        """Answers to segments.

        Args:
            answers: float [F, ...], one every `seconds` from the start of the grid.
            grid: Of the segments; none may be shorter than an answer.

        Returns:
            float32 [T, ...].

        Raises:
            ValueError: Segments are shorter than answers, or the answers end before the grid does.
        """
        self.check(grid.segment_seconds)
        if len(answers) * self.seconds < grid.seconds - self.seconds / 2:
            raise ValueError(
                f"expected answers for {grid.seconds:g} s, one every {self.seconds:g} s, got {len(answers)}; the "
                "teacher must answer for all it was given"
            )
        if self.pooling == MEAN:
            shared = self._shared(len(answers), grid)
            flat = np.asarray(answers, np.float32).reshape(len(answers), -1)
            return (shared @ flat).reshape(grid.num_segments, *answers.shape[1:])
        return np.stack([answers[inside].max(0) for inside in self._inside(len(answers), grid)]).astype(np.float32)

    def check(self, segment_seconds: float) -> None:
        """Refuse segments that are shorter than an answer: neighbours would say the same.

        Raises:
            ValueError: They are.
        """
        if segment_seconds < self.seconds * (1 - 1e-6):
            raise ValueError(f"segments must last {self.seconds:g} s or longer, got {segment_seconds:g} s")

    def _shared(self, count: int, grid: Grid) -> np.ndarray:
        """What part of each segment each answer stands for, float32 [T, F]; rows sum to 1."""
        start = np.arange(count) * self.seconds
        onset = np.arange(grid.num_segments)[:, None] * grid.segment_seconds
        until = np.minimum(start + self.seconds, onset + grid.segment_seconds)
        shared = np.maximum(until - np.maximum(start, onset), 0.0)
        return (shared / shared.sum(1, keepdims=True)).astype(np.float32)

    def _inside(self, count: int, grid: Grid) -> list[np.ndarray]:
        """Numbers of the answers whose centre lies in each segment."""
        segment = ((np.arange(count) + 0.5) * self.seconds / grid.segment_seconds + 1e-9).astype(int)
        centres = ((np.arange(grid.num_segments) + 0.5) * grid.segment_seconds / self.seconds).astype(int)
        return [
            found if len(found := np.flatnonzero(segment == index)) else np.array([min(centre, count - 1)])
            for index, centre in enumerate(centres)
        ]
