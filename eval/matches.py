"""Which predicted event finds which true event: the matching rule of the event level, on tracks in a row.

A predicted event finds a true event of its track if the two overlap by IoU >= `min_iou` (equality counts). Two events
overlap exactly where prediction and truth are both marked, and every maximal run of such segments belongs to one pair
of events. So the pairs are read off those runs, all tracks at once. For min_iou >= 0.5 an event can match only one
other: two matches would have to share out the event without the gap between them.

Lengths are whole segments and `min_iou` is a fraction, so no IoU falls on the wrong side by rounding.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from .events import run_edges

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Runs:
    """The maximal runs of tracks bool [K, T], earliest first.

    A position p stands for segment p % (T + 1) of track p // (T + 1), as in `eval.events.run_edges`.
    """

    start: Positions
    """Positions [runs] of the first segment of each run."""
    stop: Positions
    """Positions [runs] of the segment after its last."""
    num_segments: int
    """T."""

    @staticmethod
    def of(tracks: npt.NDArray[np.bool_]) -> "Runs":
        """Find the runs of tracks bool [K, T]."""
        return Runs(*run_edges(tracks), tracks.shape[1])

    @property
    def track(self) -> Positions:
        """Row of each run's track, 0 to K - 1."""
        return self.start // (self.num_segments + 1)

    @property
    def length(self) -> Positions:
        """Segments each run lasts."""
        return self.stop - self.start


@dataclass(frozen=True)
class Matches:
    """The events of prediction and truth, and which of them found each other."""

    predicted: Runs
    true: Runs
    of_predicted: Positions
    """For each match, the index of its predicted event."""
    of_true: Positions
    """For each match, the index of its true event."""


def match_events(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], min_iou: Fraction) -> Matches:
    """Match the events of many tracks.

    Args:
        predicted: bool [K, T], one row per track.
        truth: bool [K, T], the same tracks.
        min_iou: the overlap two events need, from 0.5 to 1, inclusive.

    Returns:
        The events and their matches.

    Example:
        Predicted `##..####`, true `.####.##`. The first pair shares 1 of 5 segments, the second, which starts at the
        fifth segment, 1 of 7, the third 2 of 4, which is enough: event 1 of the prediction finds event 1 of the truth.

        >>> predicted = np.array([[True, True, False, False, True, True, True, True]])
        >>> truth = np.array([[False, True, True, True, True, False, True, True]])
        >>> found = match_events(predicted, truth, Fraction(1, 2))
        >>> found.of_predicted, found.of_true
        (array([1]), array([1]))
    """
    ours, true, shared = Runs.of(predicted), Runs.of(truth), Runs.of(predicted & truth)
    of_predicted = np.searchsorted(ours.start, shared.start, side="right") - 1
    of_true = np.searchsorted(true.start, shared.start, side="right") - 1
    union = ours.length[of_predicted] + true.length[of_true] - shared.length
    matched = shared.length * min_iou.denominator >= union * min_iou.numerator
    return Matches(ours, true, of_predicted[matched], of_true[matched])


def overlap_fraction(min_iou: float) -> Fraction:
    """Read an overlap as the fraction it is written as: 0.55 is 11/20.

    Raises:
        ValueError: It lies outside 0.5..1.
    """
    if not 0.5 <= min_iou <= 1:
        raise ValueError(f"min_iou must lie in 0.5..1, where no event can match two others, got {min_iou}")
    return Fraction(str(float(min_iou)))
