"""Average precision, of segments and of events: how well probabilities rank, whatever threshold is chosen later.

Convention
    Per class and modality, over all clips at once. The ranking runs from the highest score down; equal scores enter
    together, so the result depends neither on the order of clips nor on how a sort breaks ties.
    Segments: AP is the sum over distinct scores of precision times the recall gained there, on every point and without
    interpolation. A random ranking scores about the share of true segments.
    Events: the same sum over proposals, with precision at each point replaced by the best precision at that point or
    later, as the ActivityNet script does.
    mAP is the plain mean over the classes with a true segment or event; a class without one has no AP (NaN).
    Audio-visual is scored like a modality: pass both arrays with it added (`probs_with_audio_visual`,
    `with_audio_visual`). Apply the clip gate before, with `gated_probs`, where the parser has one.

Proposals
    Probabilities of segments become events with a score as `proposals.py` says; here they lie on whole segments. Events
    in seconds are ranked by `detection.py`, as UnAV-100 publishes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .breakdown import mean_defined, ratio
from .counts import with_audio_visual
from .decide import check_pair
from .events import BoolArray, CountArray, Float64Array, FloatArray, Positions, Runs
from .proposals import THRESHOLDS, ProposalRule, Proposals, proposals_of

MIN_IOUS = tuple(tenths / 10 for tenths in range(1, 10))
"""The overlaps of event mAP: 0.1, 0.2, ..., 0.9, as UnAV-100 reports it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentPrecision:
    """Average precision of segments."""

    per_class: Float64Array
    """float64 [M, C] in 0..1; NaN for a class without a true segment."""

    @property
    def mean(self) -> Float64Array:
        """float64 [M] in 0..1, segment mAP of each modality."""
        return mean_defined(self.per_class)


@dataclass(frozen=True, kw_only=True, eq=False)
class EventPrecision:
    """Average precision of events."""

    min_ious: tuple[float, ...]
    """The K overlaps."""
    per_class: Float64Array
    """float64 [K, M, C] in 0..1; NaN for a class without a true event."""

    @property
    def mean(self) -> Float64Array:
        """float64 [K, M] in 0..1, event mAP of each overlap and modality."""
        return mean_defined(self.per_class)

    @property
    def average(self) -> Float64Array:
        """float64 [M] in 0..1, the mean of `mean` over the overlaps: the one figure usually quoted."""
        return mean_defined(self.mean.T)


def segment_precision(
    segment_probs: FloatArray, truth: BoolArray, *, valid: BoolArray | None = None, envelope: bool = False
) -> SegmentPrecision:
    """Rank all segments of each modality and class by probability and average the precision over their recall.

    Args:
        segment_probs: float [N, T, M, C], any modalities.
        truth: bool [N, T, M, C], same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        envelope: take at every point the best precision there or later, as PASCAL VOC does from 2010 on.

    Returns:
        AP of each modality and class, and mAP of each modality.

    Raises:
        ValueError: The arrays do not hold probabilities and truth of one shape.

    Source:
        Average precision on all points, as in information retrieval and scikit-learn's average_precision_score.

    Example:
        The true segments of four come first and third: (1/1 + 2/3) / 2.

        >>> probs = np.array([0.9, 0.8, 0.7, 0.1]).reshape(1, 4, 1, 1)
        >>> truth = np.array([True, False, True, False]).reshape(1, 4, 1, 1)
        >>> round(segment_precision(probs, truth).mean.item(), 4)
        0.8333
    """
    check_pair(segment_probs, truth, valid)
    kept = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid
    num_classes = truth.shape[3]
    per_class = np.empty(truth.shape[2:])
    for modality in range(truth.shape[2]):
        probs, true = segment_probs[:, :, modality][kept].T, truth[:, :, modality][kept].T  # [C, segments]
        order = np.argsort(-probs, axis=1)
        lane = np.repeat(np.arange(num_classes), order.shape[1])
        place = order.ravel()
        num_true = np.count_nonzero(true, axis=1)
        per_class[modality] = area_of(lane, probs[lane, place], true[lane, place], num_true, envelope=envelope)
    return SegmentPrecision(per_class=per_class)


def resampled_precision(
    segment_scores: FloatArray, truth: BoolArray, times: CountArray, *, valid: BoolArray | None = None
) -> Float64Array:
    """Segment mAP of one modality over draws of clips, ranked once: as `segment_precision` of the clips drawn.

    Args:
        segment_scores: float [N, T, C], any numbers.
        truth: bool [N, T, C].
        times: int [R, N], how often each draw has each clip.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        float64 [R] in 0..1; NaN for a draw without a true segment.

    >>> scores, truth = np.array([[[0.9], [0.1]], [[0.8], [0.2]]]), np.array([[[True], [False]], [[False], [True]]])
    >>> resampled_precision(scores, truth, np.array([[1, 1], [2, 0]])).round(4).tolist()
    [0.8333, 1.0]
    """
    kept = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid
    clip, drawn = np.repeat(np.arange(len(truth)), kept.sum(axis=1)), times.astype(np.float64)
    found = []
    for scores, true in zip(segment_scores[kept].T, truth[kept].T, strict=True):
        if true.any():
            order = np.argsort(-scores, kind="stable")
            found.append(_areas(scores[order], true[order], clip[order], drawn))
    return mean_defined(np.stack(found, axis=1)) if found else np.full(len(times), np.nan)


_COUNTED = 2**21
"""Clips times ends of a ranking that are counted together."""


def _areas(scores: FloatArray, true: BoolArray, clip: Positions, times: Float64Array) -> Float64Array:
    """Area under precision over recall of one ranking, descending, of clips that are drawn float64 [R, N] times.

    It changes only at the ends of equal scores with a true entry among them; what lies between is counted by clip.
    """
    ends = np.flatnonzero(np.r_[scores[1:] != scores[:-1], True])
    ends = ends[np.diff(np.cumsum(true)[ends], prepend=0) > 0]
    part, num_clips = np.searchsorted(ends, np.arange(len(scores))), times.shape[1]
    rows = max(1, _COUNTED // num_clips)

    def counted(entries: BoolArray) -> Float64Array:
        blocks = []
        for start in range(0, len(ends), rows):
            size = min(rows, len(ends) - start)
            held = entries & (part >= start) & (part < start + size)
            places = (part[held] - start) * num_clips + clip[held]
            blocks.append(times @ np.bincount(places, minlength=size * num_clips).reshape(size, num_clips).T)
        return np.concatenate(blocks, axis=1)  # [R, ends]

    gained = counted(true)
    hits, entries = gained.cumsum(axis=1), counted(np.ones_like(true)).cumsum(axis=1)
    return ratio((gained * hits / np.maximum(entries, 1)).sum(axis=1), hits[:, -1])


def lfav_precision(segment_probs: FloatArray, truth: BoolArray, *, valid: BoolArray | None = None) -> SegmentPrecision:
    """AP of audio, visual and audio-visual seconds as LFAV (long-form videos, any number of segments) reports it.

    Args:
        segment_probs: float [N, T, M=2, C], audio then visual.
        truth: bool [N, T, M=2, C], same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        AP of three modalities, in the order audio, visual, audio-visual.

    Raises:
        ValueError: As for `segment_precision`.

    Source:
        LFAV, 2023, and its code. A second is audio-visual with the product of both probabilities (not their minimum),
        and precision is that of PASCAL VOC. There a class without truth divides by zero, and equal scores have no
        order; here such a class has no AP, and equal scores enter together. Its F-scores are those of `scores.py`, per
        clip; the last second of an event of its tables is part of the event.
    """
    check_pair(segment_probs, truth, valid)
    both = segment_probs.prod(axis=2, keepdims=True)
    probs = np.concatenate([segment_probs, both], axis=2)
    return segment_precision(probs, with_audio_visual(truth), valid=valid, envelope=True)


def event_precision(
    segment_probs: FloatArray,
    truth: BoolArray,
    *,
    valid: BoolArray | None = None,
    min_ious: Sequence[float] = MIN_IOUS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> EventPrecision:
    """Rank scored events of each modality and class and average the precision over their recall.

    Args:
        segment_probs: float [N, T, M, C], any modalities.
        truth: bool [N, T, M, C], same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_ious: the K overlaps a proposal needs to find an event.
        thresholds: where probabilities are cut into proposals.

    Returns:
        AP of each overlap, modality and class, and their means.

    Raises:
        ValueError: The arrays do not hold probabilities and truth of one shape, or an overlap or a threshold is none.

    Source:
        mAP at temporal IoU 0.1:0.1:0.9 as reported on UnAV-100 (Geng et al., CVPR 2023), computed as in the
        ActivityNet benchmark (Caba Heilbron et al., CVPR 2015). How probabilities become proposals is this
        project's.

    Example:
        A sure event of four segments, three of them true, is found up to an overlap of 0.7:

        >>> probs, truth = np.full((1, 4, 1, 1), 0.9), np.ones((1, 4, 1, 1), dtype=bool)
        >>> truth[0, 3] = False
        >>> event_precision(probs, truth).mean[:, 0].tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0]
    """
    check_pair(segment_probs, truth, valid)
    proposals = proposals_of(segment_probs, ProposalRule(thresholds=tuple(thresholds)), valid=valid)
    return precision_of_proposals(proposals, truth, valid=valid, min_ious=min_ious)


def precision_of_proposals(
    proposals: Proposals, truth: BoolArray, *, valid: BoolArray | None = None, min_ious: Sequence[float] = MIN_IOUS
) -> EventPrecision:
    """Rank scored events from anywhere; see `event_precision`."""
    found = found_events(proposals, truth, min_ious=min_ious, valid=valid)
    marks = truth if valid is None else truth & valid[:, :, np.newaxis, np.newaxis]
    num_modalities, num_classes = truth.shape[2:]
    lanes = np.moveaxis(marks, (2, 3), (0, 1)).reshape(num_modalities * num_classes * len(truth), truth.shape[1])
    num_true = np.bincount(Runs.of(lanes).track // max(len(truth), 1), minlength=num_modalities * num_classes)
    lane = proposals.modality * num_classes + proposals.class_index
    order = np.lexsort((-proposals.score, lane))
    lane, scores = lane[order], proposals.score[order]
    areas = [area_of(lane, scores, hits, num_true, envelope=True) for hits in found[order].T]
    per_class = np.reshape(areas, (len(min_ious), num_modalities, num_classes))
    return EventPrecision(min_ious=tuple(min_ious), per_class=per_class)


def area_of(
    lane: CountArray,
    scores: FloatArray,
    hits: BoolArray,
    num_true: CountArray,
    *,
    envelope: bool = False,
) -> Float64Array:
    """Compute the area under precision over recall of several rankings that lie one after the other.

    Args:
        lane: int [P], ascending, which ranking an entry belongs to, 0 to L - 1.
        scores: float [P], descending within a ranking.
        hits: bool [P], True where the entry is right.
        num_true: int [L], how many there were to find.
        envelope: take at every point the best precision there or later.

    Returns:
        float64 [L] in 0..1, NaN where there was nothing to find.
    """
    num_lanes = len(num_true)
    if not lane.size:
        return ratio(np.zeros(num_lanes), num_true)
    is_end = np.r_[(lane[1:] != lane[:-1]) | (scores[1:] != scores[:-1]), True]  # the last entry of each distinct score
    entries = np.bincount(lane, minlength=num_lanes)
    hits_before = np.r_[0, np.cumsum(np.bincount(lane, hits, num_lanes))][:-1]  # in earlier lanes
    end = np.flatnonzero(is_end)
    of_lane = lane[end]
    num_hits = np.cumsum(hits)[end] - hits_before[of_lane]
    precision = num_hits / (end + 1 - (np.cumsum(entries) - entries)[of_lane])
    gained = np.diff(num_hits, prepend=0.0)
    is_first = np.r_[True, of_lane[1:] != of_lane[:-1]]
    gained[is_first] = num_hits[is_first]
    if envelope:
        precision = _best_from_here(precision, of_lane, num_lanes)
    return ratio(np.bincount(of_lane, precision * gained, num_lanes), num_true)


def _best_from_here(values: Float64Array, lane: CountArray, num_lanes: int) -> Float64Array:
    """Replace every value by the highest at its place or later in its lane; lanes ascend."""
    distinct, rank = np.unique(values, return_inverse=True)
    apart = rank + (num_lanes - 1 - lane) * len(distinct)  # an earlier lane outranks every later one
    best = np.maximum.accumulate(apart[::-1])[::-1] % len(distinct)
    return np.asarray(distinct[best], dtype=np.float64)


def found_events(
    proposals: Proposals, truth: BoolArray, *, min_ious: Sequence[float], valid: BoolArray | None = None
) -> BoolArray:
    """Say which proposals find a true event, the surest first.

    Within a clip, modality and class the proposals choose in the order of their scores (of equal scores the earlier
    one, then the longer one). Each takes the true event it overlaps most among those that it overlaps enough and that
    none has taken before.

    Args:
        proposals: scored events.
        truth: bool [N, T, M, C], the annotated segments.
        min_ious: K overlaps above 0, each judged apart from the others.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        bool [P, K], True where a proposal finds an event. Never two for one event.

    Raises:
        ValueError: An overlap is outside 0..1.

    Source:
        The assignment of the ActivityNet detection benchmark, Caba Heilbron et al., CVPR 2015, on whole segments.
    """
    if not min_ious or not all(0 < min_iou <= 1 for min_iou in min_ious):
        raise ValueError(f"min_ious must be at least one overlap above 0 and at most 1, got {tuple(min_ious)}")
    marks = truth if valid is None else truth & valid[:, :, np.newaxis, np.newaxis]
    tracks = np.moveaxis(marks, 1, -1)  # [N, M, C, T]
    has_truth = tracks.any(axis=-1)
    runs = Runs.of(tracks[has_truth])
    row_of = np.full(has_truth.shape, -1)
    row_of[has_truth] = np.arange(np.count_nonzero(has_truth))
    row = row_of[proposals.clip, proposals.modality, proposals.class_index]
    order = np.lexsort((-proposals.stop, proposals.start, -proposals.score, row))
    order = order[row[order] >= 0]
    found = np.zeros((len(row), len(min_ious)), dtype=np.bool_)
    taken = np.zeros((len(runs.start), len(min_ious)), dtype=np.bool_)
    overlaps = [Fraction(str(float(min_iou))) for min_iou in min_ious]
    for turn in turns_of(row[order]):
        found[order[turn]] = _take(proposals, order[turn], row[order[turn]], runs, overlaps, taken)
    return found


def turns_of(row: Positions) -> list[Positions]:
    """Deal ascending rows into turns: the first of every row, then the second of every row, and so on."""
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if row.size else np.empty(0, dtype=np.intp)
    nth = np.arange(row.size) - np.repeat(starts, np.diff(np.r_[starts, row.size]))
    by_turn = np.argsort(nth, kind="stable")
    return np.split(by_turn, np.cumsum(np.bincount(nth))[:-1]) if row.size else []


def _take(
    proposals: Proposals,
    chosen: Positions,
    row: Positions,
    runs: Runs,
    overlaps: Sequence[Fraction],
    taken: BoolArray,
) -> BoolArray:
    """Let at most one proposal per row take a true event: bool [chosen, K]; what is taken is written to `taken`."""
    stride = runs.num_segments + 1
    first, last = (np.searchsorted(runs.track, row, side=side) for side in ("left", "right"))
    best = np.full((len(chosen), len(overlaps)), -1)
    best_iou = np.zeros(best.shape)
    for nth in range(int((last - first).max())):  # the true events of a row, in turn
        event = np.minimum(first + nth, last - 1)
        start, stop = runs.start[event] % stride, runs.stop[event] % stride
        shared = np.minimum(proposals.stop[chosen], stop) - np.maximum(proposals.start[chosen], start)
        union = proposals.stop[chosen] - proposals.start[chosen] + stop - start - shared
        for kind, overlap in enumerate(overlaps):
            enough = (shared > 0) & (shared * overlap.denominator >= union * overlap.numerator)
            better = enough & (first + nth < last) & ~taken[event, kind] & (shared / union > best_iou[:, kind])
            best[better, kind] = event[better]
            best_iou[better, kind] = (shared / union)[better]
    for kind in range(len(overlaps)):
        taken[best[best[:, kind] >= 0, kind], kind] = True
    return best >= 0
