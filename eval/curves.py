"""Threshold curves: what every possible threshold would score, exactly and not on a grid.

A track of T segments has at most T + 1 different decisions, one for each of its own distinct probabilities. So the
counts of a class over all clips change only where one of its tracks does: the changes are counted track by track,
sorted by probability and added up. That is exact at the event level too, where one segment more can join two events.

A curve is about one class in one modality, judged by counts added over clips (`Breakdown.f`), since that is what a
per-class threshold can be chosen by. `scores_at_thresholds` gives the published figures for a threshold common to all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .breakdown import ratio
from .counts import BoolArray, CountArray
from .decide import FloatArray
from .matches import match_events, overlap_fraction
from .probabilities import check_pair
from .scores import LEVELS, Scores, score


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Counts at every threshold that makes a difference."""

    thresholds: npt.NDArray[np.floating[Any]]
    """float [K], the distinct probabilities, descending; reaching one means >=. Above the first nothing is marked."""
    counts: CountArray
    """int64 [K, 3], (hits, false alarms, misses) in segments or events at each threshold."""

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """float64 [K] in 0..1, hits / predicted."""
        return ratio(self.counts[:, 0], self.counts[:, 0] + self.counts[:, 1])

    @property
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [K] in 0..1, hits / true; NaN where nothing is true."""
        return ratio(self.counts[:, 0], self.counts[:, 0] + self.counts[:, 2])

    @property
    def f(self) -> npt.NDArray[np.float64]:
        """float64 [K] in 0..1, 2 hits / (predicted + true)."""
        return ratio(2 * self.counts[:, 0], 2 * self.counts[:, 0] + self.counts[:, 1] + self.counts[:, 2])

    @property
    def best(self) -> int:
        """Index of the threshold with the highest F, the highest such threshold."""
        return int(np.argmax(self.f))

    def at(self, threshold: float) -> CountArray:
        """Return the counts int64 [3] at any threshold, those between two of the curve included."""
        marked = np.searchsorted(-self.thresholds, -np.asarray(threshold, self.thresholds.dtype), side="right")
        if marked:
            return self.counts[marked - 1]
        return np.array([0, 0, self.counts[0, 0] + self.counts[0, 2]], dtype=np.int64)


def threshold_curves(
    segment_probs: FloatArray,
    truth: BoolArray,
    *,
    level: str = "segment",
    valid: BoolArray | None = None,
    min_iou: float = 0.5,
) -> tuple[tuple[Curve, ...], ...]:
    """Trace the counts of every modality and class over all thresholds.

    Args:
        segment_probs: float [N, T, M, C], any modalities; gate it before where the parser has a gate.
        truth: bool [N, T, M, C], same axes.
        level: segment or event.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1; without meaning at segment level.

    Returns:
        One curve for each modality and class: curves[modality][class].

    Raises:
        ValueError: The level is unknown, there is no valid segment, `min_iou` is outside 0.5..1, or the arrays do not
            hold probabilities and truth of one shape.

    Source:
        Ebbers et al., "Threshold independent evaluation of sound event detection scores", ICASSP 2022: changes of
        counts at the decision changes of each clip, added up in order of the threshold.

    Example:
        Three segments `#.#` with 0.9, 0.3 and 0.6: at 0.6 two events are found, at 0.3 they have become one.

        >>> probs, truth = np.array([0.9, 0.3, 0.6]).reshape(1, 3, 1, 1), np.ones((1, 3, 1, 1), dtype=bool)
        >>> truth[0, 1] = False
        >>> curve = threshold_curves(probs, truth, level="event")[0][0]
        >>> curve.thresholds.tolist(), curve.counts.tolist()
        ([0.9, 0.6, 0.3], [[1, 0, 1], [2, 0, 0], [0, 1, 2]])
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    overlap = overlap_fraction(min_iou) if level == "event" else None
    check_pair(segment_probs, truth, valid)
    kept = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid
    if not kept.any():
        raise ValueError(f"curves need at least one valid segment, got none in {truth.shape[:2]} clips and segments")
    return tuple(
        tuple(
            _curve(segment_probs[:, :, modality, index], truth[:, :, modality, index], kept, overlap)
            for index in range(truth.shape[3])
        )
        for modality in range(truth.shape[2])
    )


def _curve(probs: FloatArray, truth: BoolArray, valid: BoolArray, min_iou: Fraction | None) -> Curve:
    """Trace one class: probs, truth and valid [N, T]; segments where there is no `min_iou`."""
    truth = truth & valid
    levels = -np.sort(-np.where(valid, probs, -1), axis=1)  # the thresholds of each track, descending
    before = _counts(np.zeros_like(truth), truth, min_iou)
    total = before.sum(axis=0)
    changes = np.empty((*levels.shape, 3), dtype=np.int64)
    for nth in range(levels.shape[1]):
        after = _counts((probs >= levels[:, nth, np.newaxis]) & valid, truth, min_iou)
        changes[:, nth], before = after - before, after
    exists = levels >= 0
    thresholds, where = np.unique(levels[exists], return_inverse=True)
    summed = np.stack([np.bincount(where, changes[exists][:, kind], len(thresholds)) for kind in range(3)], axis=1)
    counts = total + np.cumsum(summed[::-1].astype(np.int64), axis=0)
    return Curve(thresholds=thresholds[::-1], counts=counts)


def _counts(predicted: BoolArray, truth: BoolArray, min_iou: Fraction | None) -> CountArray:
    """Count the tracks [N, T] in segments, or in events where an overlap is given: int64 [N, 3]."""
    if min_iou is None:
        pairs = (predicted & truth, predicted & ~truth, truth & ~predicted)
        return np.stack([np.count_nonzero(marks, axis=1) for marks in pairs], axis=1)
    found, size = match_events(predicted, truth, min_iou), len(truth)
    hits = np.bincount(found.true.track[found.of_true], minlength=size)
    num_predicted, num_true = (np.bincount(runs.track, minlength=size) for runs in (found.predicted, found.true))
    return np.stack([hits, num_predicted - hits, num_true - hits], axis=1)


def scores_at_thresholds(
    segment_probs: FloatArray,
    truth: BoolArray,
    thresholds: Sequence[float],
    *,
    valid: BoolArray | None = None,
    min_iou: float = 0.5,
) -> dict[float, Scores]:
    """Score the ten figures at several thresholds common to all classes and modalities.

    Args:
        segment_probs: float [N, T, M=2, C]; gate it before where the parser has a gate.
        truth: bool [N, T, M=2, C], same axes.
        thresholds: each in 0..1, compared in the precision of the probabilities; reaching one means >=.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1.

    Returns:
        The scores of each threshold.

    Raises:
        ValueError: A threshold is no probability, or the arrays do not hold probabilities and truth of one shape.
    """
    check_pair(segment_probs, truth, valid)
    if not all(0 <= threshold <= 1 for threshold in thresholds):
        raise ValueError(f"thresholds must be probabilities in 0..1, got {tuple(thresholds)}")
    return {
        threshold: score(segment_probs >= threshold, truth, valid=valid, min_iou=min_iou) for threshold in thresholds
    }
