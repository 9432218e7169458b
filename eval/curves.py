"""Threshold curves: what every possible threshold would score, exactly, and the thresholds to be chosen from them.

Curves
    A track of T segments has at most T + 1 different decisions, one for each of its own distinct probabilities. So the
    counts of a class over all clips change only where one of its tracks does: the changes are counted track by track,
    sorted by probability and added up. That is exact at the event level too, where one segment more can join two
    events. Nothing lies on a grid and nothing is interpolated.
    A curve is about one class in one modality, judged by counts added over clips (`Breakdown.f`), since that is what a
    per-class threshold can be chosen by. The F of scores.py, averaged over clips, has no best threshold of one class.

Choice
    The best point of the curve is the best threshold there can be; of thresholds that are equally good the highest is
    taken: it marks least. Scores need not be probabilities; only their order counts.
    A threshold is written as the shortest decimal between the lowest score that is marked and the highest that is not,
    so it says the same whether a score must reach it or exceed it. Where no number lies between them, `inclusive` says
    which of the two it is.
    Segments that are not `eligible` (behind a shut gate, of a class that is no tag) are never marked, but what is true
    there is missed.
    Classes nothing of which is true have no best threshold: NaN.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .breakdown import ratio
from .decide import check_pair
from .events import BoolArray, CountArray, Float64Array, FloatArray, match_events, overlap_fraction
from .scores import LEVELS


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Counts at every threshold that makes a difference."""

    thresholds: FloatArray
    """float [K], the distinct probabilities, descending; reaching one means >=. Above the first nothing is marked."""
    counts: CountArray
    """int64 [K, 3], (hits, false alarms, misses) in segments or events at each threshold."""

    @property
    def precision(self) -> Float64Array:
        """float64 [K] in 0..1, hits / predicted."""
        return ratio(self.counts[:, 0], self.counts[:, 0] + self.counts[:, 1])

    @property
    def recall(self) -> Float64Array:
        """float64 [K] in 0..1, hits / true; NaN where nothing is true."""
        return ratio(self.counts[:, 0], self.counts[:, 0] + self.counts[:, 2])

    @property
    def f(self) -> Float64Array:
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


@dataclass(frozen=True)
class ThresholdChoice:
    """The best threshold of every modality and class, and what it reaches."""

    thresholds: Float64Array
    """float64 [M, C], NaN where nothing true can be marked."""
    f_scores: Float64Array
    """float64 [M, C] in 0..1, NaN where there is no threshold."""
    support: CountArray
    """int64 [M, C], true segments or events."""


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


def best_thresholds(
    scores: FloatArray,
    truth: BoolArray,
    *,
    eligible: BoolArray | None = None,
    level: str = "segment",
    inclusive: bool = True,
) -> ThresholdChoice:
    """Find the threshold of each modality and class that gives the highest F of its summed counts.

    Args:
        scores: float [N, T, M, C], probabilities or logits; a clip-level score is T = 1.
        truth: bool [N, T, M, C].
        eligible: bool [N, T, M, C], where a class may be marked; None for everywhere.
        level: segment or event.
        inclusive: whether a score that equals the threshold is marked, which matters only between neighbouring floats.

    Raises:
        ValueError: The arrays do not belong together, a score is no number, or the level is unknown.

    Example:
        >>> scores = np.array([0.9, 0.6, 0.4, 0.2]).reshape(1, 4, 1, 1)
        >>> best_thresholds(scores, scores > 0.5).thresholds.tolist()
        [[0.5]]
    """
    _check(scores, truth, eligible)
    shape = scores.shape[2:]
    thresholds, best = np.full(shape, np.nan), np.full(shape, np.nan)
    support = np.zeros(shape, dtype=np.int64)
    for track in np.ndindex(*shape):
        where = (slice(None), slice(None), *track)
        distinct, ranks = _ranked(scores[where], None if eligible is None else eligible[where])
        single = (*ranks.shape, 1, 1)
        curve = threshold_curves(ranks.reshape(single), truth[where].reshape(single), level=level)[0][0]
        counts = curve.counts[: len(distinct)]  # the last point, if any is left, marks what cannot be marked
        support[track] = curve.counts[0, 0] + curve.counts[0, 2]
        if len(counts) and counts[:, 0].any():
            f = curve.f[: len(distinct)]
            point = int(np.argmax(f))  # the first of the best, which is the highest threshold
            thresholds[track] = _between(distinct, point, inclusive=inclusive)
            best[track] = f[point]
    return ThresholdChoice(thresholds, best, support)


def lowest_best_cut(scores: FloatArray, truth: BoolArray) -> tuple[float, float]:
    """Find the cut of one class as UWAV does: everything above it is marked, and F is the highest.

    Candidates lie halfway between neighbouring scores, and at -inf, which marks all. Of equally good cuts the lowest is
    taken, where `best_thresholds` takes the highest and writes it short; without anything true it is -inf as well.

    Args:
        scores: float [K], logits of all segments; -inf where the class may not be marked, as it is no tag of the clip.
        truth: bool [K].

    Returns:
        The cut, and its F in 0..1, NaN where nothing is true. Of equal scores a cut may part some.

    Raises:
        ValueError: The arrays are not of one length of at least 1, or a score is NaN.

    Source:
        Lai et al., CVPR 2025 (UWAV), and its code. Equal to the golden `uwav_threshold` and `uwav_labels`, but where
        scores are equal.

    Example:
        >>> lowest_best_cut(np.array([0.9, 0.6, 0.4, 0.2]), np.array([True, True, False, False]))
        (0.5, 1.0)
    """
    if scores.ndim != 1 or scores.shape != truth.shape or not scores.size or np.isnan(scores).any():
        raise ValueError(f"scores and truth must be [segments] without NaN, got {scores.shape} and {truth.shape}")
    order = np.argsort(scores, kind="stable")
    marked = np.arange(len(scores), 0, -1)  # by the cut below each score
    hits = np.cumsum(truth[order][::-1])[::-1].astype(np.float32)
    if not truth.any():
        return -np.inf, np.nan
    precision, recall = hits / marked.astype(np.float32), hits / hits[0]
    # In float32 and in this order, as published: of nearly equal cuts the last bit decides which is ahead.
    f = 2 * precision * recall / np.where(hits > 0, precision + recall, 1)
    at = int(f.argmax())
    cut = -np.inf if at == 0 else (scores[order[at]] + scores[order[at - 1]]) / 2
    return float(cut), float(f[at])


def rate_thresholds(scores: FloatArray, rates: Float64Array, *, inclusive: bool = True) -> Float64Array:
    """Find the threshold of each modality and class that marks a given share of the scores, or the nearest to it.

    Args:
        scores: float [K, M, C], one score for each of K things, such as the highest of each clip; -inf for one that
            cannot be marked.
        rates: float64 [M, C] in 0..1, the share to be marked.
        inclusive: as in `best_thresholds`.

    Returns:
        float64 [M, C], NaN where the rate is nearest to that of marking nothing or nothing can be marked.

    Raises:
        ValueError: The shapes do not belong together, a score is NaN, or a rate is none.

    Example:
        >>> scores = np.array([0.9, 0.7, 0.4, 0.1]).reshape(4, 1, 1)
        >>> rate_thresholds(scores, np.array([[0.5]])).tolist()
        [[0.6]]
    """
    if scores.ndim != 3 or rates.shape != scores.shape[1:] or not len(scores) or np.isnan(scores).any():
        raise ValueError(
            "scores must be [things, modalities, classes] without NaN and rates [modalities, classes], "
            f"got {scores.shape} with {int(np.isnan(scores).sum())} NaN and {rates.shape}"
        )
    if not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"rates must lie in 0..1, got {rates.min()} to {rates.max()}")
    thresholds = np.full(rates.shape, np.nan)
    for track in np.ndindex(*rates.shape):
        values = scores[:, *track]
        distinct, number = np.unique(values[np.isfinite(values)], return_counts=True)
        distinct, marked = distinct[::-1], np.cumsum(number[::-1]) / len(values)
        off = np.abs(np.append(0.0, marked) - rates[track])  # first: the rate of marking nothing
        point = int(np.argmin(off)) - 1
        if point >= 0:
            thresholds[track] = _between(distinct, point, inclusive=inclusive)
    return thresholds


def _check(scores: FloatArray, truth: BoolArray, eligible: BoolArray | None) -> None:
    """Check that the arrays of `best_thresholds` belong together."""
    kinds = np.issubdtype(scores.dtype, np.floating) and truth.dtype == np.bool_
    if not kinds or scores.ndim != 4 or scores.shape != truth.shape or not scores.size:
        raise ValueError(
            "scores must be float and truth bool [clips, segments, modalities, classes] of one shape, "
            f"got {scores.dtype} {scores.shape} and {truth.dtype} {truth.shape}"
        )
    if eligible is not None and (eligible.dtype != np.bool_ or eligible.shape != scores.shape):
        raise ValueError(f"eligible must be bool {scores.shape}, got {eligible.dtype} {eligible.shape}")
    if not np.isfinite(scores).all():
        wrong = int((~np.isfinite(scores)).sum())
        raise ValueError(f"scores must be finite numbers, got {wrong} that are not; leave out clips without evidence")


def _ranked(scores: FloatArray, eligible: BoolArray | None) -> tuple[FloatArray, Float64Array]:
    """The distinct eligible scores, descending; and all as ranks of that order in 0..1, where 0 is not eligible."""
    eligible = np.ones(scores.shape, dtype=np.bool_) if eligible is None else eligible
    distinct, position = np.unique(scores[eligible], return_inverse=True)
    ranks = np.zeros(scores.shape)
    ranks[eligible] = (position + 1) / max(len(distinct), 1)
    return distinct[::-1], ranks


def _between(descending: FloatArray, point: int, *, inclusive: bool) -> float:
    """Write a threshold that marks descending[point] and not the score below it, as short as can be."""
    marked = descending[point]
    if point + 1 == len(descending):  # everything is marked: the lowest score itself, or what lies just below it
        return float(marked if inclusive else np.nextafter(marked, descending.dtype.type(-np.inf)))
    unmarked = descending[point + 1]
    middle = (float(marked) + float(unmarked)) / 2
    for digits in range(17):
        number = round(middle, digits)
        if unmarked < descending.dtype.type(number) < marked and float(unmarked) < number < float(marked):
            return number
    return float(marked if inclusive else unmarked)
