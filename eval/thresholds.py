"""Thresholds chosen from scores: the best point of the exact curve of each class, or the one that marks a given share.

Convention
    The curve is that of curves.py: a point for each distinct score, nothing interpolated, so its best point is the best
    threshold there can be. Scores need not be probabilities; only their order counts.
    F here is that of one class in one modality, its counts added over all clips. It is not the F of scores.py, which is
    averaged over clips; that one has no best threshold of a single class.
    Of thresholds that are equally good the highest is taken: it marks least.
    A threshold is written as the shortest decimal between the lowest score that is marked and the highest that is not,
    so it says the same whether a score must reach it or exceed it. Where no number lies between them, `inclusive` says
    which of the two it is.
    Segments that are not `eligible` (behind a shut gate, of a class that is no tag) are never marked, but what is true
    there is missed.
    Classes nothing of which is true have no best threshold: NaN.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, CountArray
from .curves import threshold_curves

FloatArray = npt.NDArray[np.floating[Any]]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdChoice:
    """The best threshold of every modality and class, and what it reaches."""

    thresholds: Float64Array
    """float64 [M, C], NaN where nothing true can be marked."""
    f_scores: Float64Array
    """float64 [M, C] in 0..1, NaN where there is no threshold."""
    support: CountArray
    """int64 [M, C], true segments or events."""


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
