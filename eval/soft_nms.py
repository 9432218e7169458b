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
    vote_iou: float | None = None
    """Overlap from which detections that went in, of any class, move the ends of one that is kept to their mean,
    weighed by their scores; there 0.75 where classes do not leave each other alone, and None where they do."""

    def __post_init__(self) -> None:
        """Refuse what would keep nothing or divide by nothing."""
        overlaps = [one for one in (self.hard_iou, self.vote_iou) if one is not None]
        if self.sigma <= 0 or self.most < 1 or not all(0 < one <= 1 for one in overlaps):
            raise ValueError(f"sigma and most must be above 0, hard_iou and vote_iou in 0..1 or None, got {self}")
        if self.vote_iou is not None and self.per_class:
            raise ValueError("vote_iou lets all classes vote, and per_class has them leave each other alone; give one")


_LENGTH = np.float32(1e-6)
"""Added to lengths, as published."""

_CELLS = 2**15
"""Detections looked at in one go: what a processor keeps at hand."""
_ALIKE = 0.3
"""Groups go together with the largest of them where they have this share of its detections: less is mostly padding."""


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
        alike = len(by_size) - int(np.searchsorted(count[by_size], _ALIKE * width))
        many = min(alike, max(1, _CELLS // width))
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
    found = ranked.at(np.arange(len(ranked)) - np.repeat(first, count) < nms.most)
    return found if nms.vote_iou is None else _voted(found, detections, nms.vote_iou)


def _voted(kept: Detections, every: Detections, vote_iou: float) -> Detections:
    """What is kept, with the mean ends of all that overlap it enough, weighed by the scores they came with."""
    ends, all_ends = (np.stack([of.onset, of.offset], axis=1).astype(np.float32) for of in (kept, every))
    scores = every.score.astype(np.float32)
    for clip in np.unique(kept.clip):
        rows, voters = np.flatnonzero(kept.clip == clip), np.flatnonzero(every.clip == clip)
        one, other = ends[rows, np.newaxis], all_ends[np.newaxis, voters]
        shared = np.minimum(one[..., 1], other[..., 1]) - np.maximum(one[..., 0], other[..., 0])
        shared = np.maximum(shared, np.float32(0))
        iou = shared / ((one[..., 1] - one[..., 0]) + (other[..., 1] - other[..., 0]) - shared)
        weights = np.where(iou >= np.float32(vote_iou), scores[voters], np.float32(0))  # [rows, voters]
        ends[rows] = (weights / weights.sum(axis=1, keepdims=True)) @ all_ends[voters]
    return replace(kept, onset=ends[:, 0].astype(np.float64), offset=ends[:, 1].astype(np.float64))


def _suppress(detections: Detections, rows: Positions, there: BoolArray, nms: Nms) -> tuple[Positions, FloatArray]:
    """One pick of every group at a time: rows int [G, n] of detections, `there` where a group has one."""
    onset, offset = (getattr(detections, name).astype(np.float32)[rows] for name in ("onset", "offset"))
    scores = np.where(there, detections.score.astype(np.float32)[rows], np.float32(-np.inf))
    length = offset - onset + _LENGTH
    kept, left = [], []
    for _ in range(min(nms.most, rows.shape[1])):
        at = np.arange(len(rows)), scores.argmax(axis=1)
        going = scores[at] > -np.inf
        if not going.all():
            rows, onset, offset, length, scores = (of[going] for of in (rows, onset, offset, length, scores))
            at = np.arange(len(rows)), scores.argmax(axis=1)
        if not len(rows):
            break
        kept.append(rows[at])
        left.append(scores[at])
        scores[at] = -np.inf
        shared = np.minimum(offset, offset[at][:, np.newaxis])
        shared -= np.maximum(onset, onset[at][:, np.newaxis])
        np.maximum(shared, np.float32(0), out=shared)
        union = length + length[at][:, np.newaxis]
        union -= shared
        shared /= union  # now the overlap over the union
        if nms.hard_iou is None:
            shared *= shared
            shared /= np.float32(-nms.sigma)
            scores *= np.exp(shared, out=shared)
            scores[scores < np.float32(nms.min_score)] = -np.inf
        else:
            scores[shared >= np.float32(nms.hard_iou)] = -np.inf
    return np.concatenate(kept), np.concatenate(left)
