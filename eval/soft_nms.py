"""Soft-NMS of events in seconds, all clips at once: of detections that say the same, the surest stays.

Source: Bodla et al., "Soft-NMS: improving object detection with one line of code", ICCV 2017, in one dimension and with
the Gaussian penalty of UnAV-100's network.
"""

from dataclasses import dataclass, replace

import numpy as np

from .detection import Detections
from .events import BoolArray, FloatArray, Positions


@dataclass(frozen=True, kw_only=True)
class Nms:
    """How detections of a clip and class that say the same are suppressed; as UnAV-100's network does it."""

    sigma: float = 0.4
    """Scores of others fall by exp(-iou^2 / sigma)."""
    min_score: float = 0.001
    """Those that fall below it are left out; the surest of a class stays whatever its score."""
    most: int = 100
    """Kept of a class, and then of a clip."""
    per_class: bool = True
    """Whether classes leave each other alone."""
    hard_iou: float | None = None
    """Overlap from which others are left out instead; None for falling scores."""

    def __post_init__(self) -> None:
        """Refuse what would keep nothing or divide by nothing."""
        if self.sigma <= 0 or self.most < 1 or not (self.hard_iou is None or 0 < self.hard_iou <= 1):
            raise ValueError(f"sigma and most must be above 0 and hard_iou in 0..1 or None, got {self}")


_LENGTH = np.float32(1e-6)
"""Added to lengths, as published."""

_CELLS = 2**20
"""Detections looked at in one go."""


def soft_nms(detections: Detections, nms: Nms | None = None) -> Detections:
    """Lower the scores of detections that overlap a surer one of their clip and class, and drop what falls too low.

    Args:
        detections: Of any clips and classes.
        nms: How; None for UnAV-100's.

    Returns:
        What is left of each clip, with the scores it is left with, surest first; clips in ascending order. Computed in
        float32, as published.
    """
    nms = nms or Nms()
    if nms.hard_iou is not None:
        detections = detections.at(detections.score > nms.min_score)
    num_classes = int(detections.class_index.max(initial=0)) + 1
    group = detections.clip * num_classes + detections.class_index if nms.per_class else detections.clip
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    rows, scores = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.float32)]
    by_size = np.argsort(count, kind="stable")
    while by_size.size:
        width = int(count[by_size[-1]])
        many = max(1, _CELLS // width)
        block, by_size = by_size[-many:], by_size[:-many]
        place = first[block, np.newaxis] + np.minimum(np.arange(width), count[block, np.newaxis] - 1)
        there = np.arange(width) < count[block, np.newaxis]
        kept, fallen = _suppress(detections, order[place], there, nms)
        rows.append(kept)
        scores.append(fallen)
    row, score = np.concatenate(rows), np.concatenate(scores)
    kept_ones = replace(detections.at(row), score=score)
    ranked = kept_ones.at(np.lexsort((row, -score, kept_ones.clip)))
    _, first, count = np.unique(ranked.clip, return_index=True, return_counts=True)
    return ranked.at(np.arange(len(ranked)) - np.repeat(first, count) < nms.most)


def _suppress(detections: Detections, rows: Positions, there: BoolArray, nms: Nms) -> tuple[Positions, FloatArray]:
    """One pick of every group at a time: rows int [G, n] of detections, `there` where a group has one."""
    onset, offset = (getattr(detections, name).astype(np.float32)[rows] for name in ("onset", "offset"))
    scores = np.where(there, detections.score.astype(np.float32)[rows], np.float32(-np.inf))
    length = offset - onset + _LENGTH
    kept, left, groups = [], [], np.arange(len(rows))
    for _ in range(min(nms.most, rows.shape[1])):
        best = scores.argmax(axis=1)
        at = np.arange(len(best)), best
        going = np.isfinite(scores[at])
        if not going.all():
            groups, best = groups[going], best[going]
            onset, offset, length, scores = onset[going], offset[going], length[going], scores[going]
            at = np.arange(len(best)), best
        if not groups.size:
            break
        kept.append(rows[groups, best])
        left.append(scores[at])
        scores[at] = -np.inf
        shared = np.minimum(offset, offset[at][:, np.newaxis]) - np.maximum(onset, onset[at][:, np.newaxis])
        shared = np.maximum(shared, np.float32(0))
        iou = shared / (length + length[at][:, np.newaxis] - shared)
        if nms.hard_iou is None:
            scores *= np.exp(-(iou**2) / np.float32(nms.sigma))
            scores[scores < np.float32(nms.min_score)] = -np.inf
        else:
            scores[iou >= np.float32(nms.hard_iou)] = -np.inf
    return np.concatenate(kept), np.concatenate(left)
