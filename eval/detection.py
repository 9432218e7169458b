"""Mean average precision of events in seconds, equal to the script UnAV-100 is published with.

Convention
    Detections of all clips compete per class, surest first. Each takes, of the true events of its clip and class that
    none has taken, the one it overlaps most, if that overlap reaches the threshold; otherwise it is a false alarm. One
    whose best event is taken may take the next one. AP is the area under the envelope of precision over recall, on
    every point. mAP is the mean over the classes with a true event; one without detections scores 0. The quoted
    average is the mean of mAP over the nine thresholds, although tables often print five of them.

What the published script leaves to chance or to its numbers, and what is done here
    Thresholds are the floats of 0.1, 0.2, ..., 0.9 as numpy spaces them (`TIOUS`): an overlap of exactly 0.3 or 0.7
    misses, one of exactly 0.1, 0.2, 0.4, 0.5, 0.6, 0.8 or 0.9 hits.
    Equal scores: the later row comes first, or with `later_first=False` the earlier one; published, what an unstable
    sort gives. Equal overlaps: the later true event is taken.
    Detections that last for nothing, or end before they start, are refused: published, some count as hits.
    Detections of a class without a true event play no part: published, they may land in another class.
    True events of one clip and class within a millisecond of each other at both ends are one.

`average_precision.py` ranks events on whole segments of audio and visual alike, where equal scores enter together; the
two agree where no score and no overlap is tied.

Source: Geng et al., "Dense-localizing audio-visual events in untrimmed videos", CVPR 2023; the ActivityNet benchmark,
Caba Heilbron et al., CVPR 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from .average_precision import area_of, turns_of
from .breakdown import mean_defined
from .events import BoolArray, CountArray, Float64Array, FloatArray, Positions, Runs

TIOUS = tuple(np.linspace(0.1, 0.9, 9).tolist())
"""The overlaps UnAV-100 is published at, as floats."""

SAME = 1e-3
"""Seconds within which two true events are one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Happenings:
    """Events in seconds, one row each, of any clips: what detections and true events have in common."""

    clip: CountArray
    """int64 [P], which clip; those of detections and truth are numbered alike."""
    class_index: CountArray
    """int64 [P], position on the axis C."""
    onset: Float64Array
    """float64 [P], seconds from the start of the clip."""
    offset: Float64Array
    """float64 [P], where it ends."""

    def __post_init__(self) -> None:
        """Refuse columns of unlike length, and times no event has."""
        columns = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if len({array.shape for array in columns.values()}) != 1 or self.clip.ndim != 1:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in columns.items())
            raise ValueError(f"columns of events must be of one length, got {shapes}")
        for name in ("clip", "class_index"):
            if not np.issubdtype(columns[name].dtype, np.integer):
                raise ValueError(f"{name} must be whole numbers, got {columns[name].dtype}")
        bad = np.flatnonzero(~(np.isfinite(self.onset) & np.isfinite(self.offset) & (self.onset < self.offset)))
        if bad.size:
            row = bad[0]
            raise ValueError(
                f"events must last for something, got {bad.size} that do not, first row {row}: "
                f"{self.onset[row]:g} to {self.offset[row]:g} s"
            )

    def __len__(self) -> int:
        """How many there are."""
        return len(self.clip)

    def at(self, rows: Positions | BoolArray) -> Self:
        """Some of the rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueEvents(Happenings):
    """What was annotated."""

    def of_clips(self, clips: Sequence[int]) -> "TrueEvents":
        """The events of some clips, renumbered in their order."""
        wanted = np.asarray(clips, dtype=np.int64)
        place = np.full(max(int(self.clip.max(initial=-1)), int(wanted.max(initial=-1))) + 1, -1)
        place[wanted] = np.arange(len(wanted))
        kept = self.at(place[self.clip] >= 0)
        return replace(kept, clip=place[kept.clip])


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections(Happenings):
    """What a system found."""

    score: FloatArray
    """float [P], higher is surer; of any range."""

    def __post_init__(self) -> None:
        """Refuse scores that rank nothing."""
        super().__post_init__()
        if not np.isfinite(self.score).all():
            raise ValueError("scores of detections must be finite")


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionPrecision:
    """Average precision of detections."""

    min_ious: tuple[float, ...]
    """The K overlaps."""
    per_class: Float64Array
    """float64 [K, C] in 0..1; NaN for a class without a true event."""

    @property
    def mean(self) -> Float64Array:
        """float64 [K] in 0..1, mAP at each overlap."""
        return mean_defined(self.per_class)

    @property
    def average(self) -> float:
        """The mean of `mean` over the overlaps."""
        return float(self.mean.mean())


def detection_precision(
    detections: Detections,
    truth: TrueEvents,
    num_classes: int,
    *,
    min_ious: Sequence[float] = TIOUS,
    later_first: bool = True,
) -> DetectionPrecision:
    """Rank detections against the true events of a split.

    Args:
        detections: Of the same clips; those of clips without a true event are false alarms.
        truth: Every event of the split.
        num_classes: C.
        min_ious: The K overlaps a detection needs.
        later_first: Whether of equal scores the later row comes first.

    Returns:
        AP of each overlap and class.

    Raises:
        ValueError: A class is none of the C, or an overlap is none.

    Example:
        Of two true events one is found a second late, and one false alarm is surer:

        >>> rows = {"clip": np.array([0, 0]), "class_index": np.array([0, 0])}
        >>> truth = TrueEvents(**rows, onset=np.array([0.0, 20.0]), offset=np.array([10.0, 30.0]))
        >>> found = Detections(**rows, onset=np.array([1.0, 40.0]), offset=np.array([11.0, 50.0]),
        ...                    score=np.array([0.8, 0.9]))
        >>> detection_precision(found, truth, 1, min_ious=(0.8, 0.9)).mean.tolist()
        [0.25, 0.0]
    """
    for name, happenings in (("detections", detections), ("truth", truth)):
        if len(happenings) and not 0 <= happenings.class_index.min() <= happenings.class_index.max() < num_classes:
            raise ValueError(f"classes of {name} must be from 0 to {num_classes - 1}")
    truth = merged(truth)
    count = np.arange(len(detections))
    ties = -count if later_first else count
    order = np.lexsort((ties, -detections.score, detections.class_index))
    ranked = detections.at(order)
    found = found_detections(ranked, truth, min_ious)
    num_true = np.bincount(truth.class_index, minlength=num_classes)
    columns = [area_of(ranked.class_index, -count.astype(float), hits, num_true, envelope=True) for hits in found.T]
    return DetectionPrecision(min_ious=tuple(min_ious), per_class=np.stack(columns))


def events_of_marks(
    marks: BoolArray, segment_seconds: float = 1.0, clip_seconds: Float64Array | None = None
) -> TrueEvents:
    """What is marked on segments as events in seconds: of each clip and class the maximal runs.

    Args:
        marks: bool [N, T, C].
        segment_seconds: Length of a segment.
        clip_seconds: float64 [N], where a clip may end within its last segment; its events end there too.
    """
    clip, name = np.nonzero(marks.any(axis=1))
    runs = Runs.of(marks[clip, :, name])
    start = runs.start % (runs.num_segments + 1)
    onset, offset = (np.asarray(border * segment_seconds, float) for border in (start, start + runs.length))
    if clip_seconds is not None:
        offset = np.minimum(offset, clip_seconds[clip[runs.track]])
    return TrueEvents(clip=clip[runs.track], class_index=name[runs.track], onset=onset, offset=offset)


def merged(truth: TrueEvents) -> TrueEvents:
    """Leave out true events of a clip and class that start and end where an earlier row does."""
    order = np.lexsort((np.arange(len(truth)), truth.onset, truth.class_index, truth.clip))
    rows, kept = truth.at(order), np.ones(len(truth), dtype=np.bool_)
    near = (np.diff(rows.clip) == 0) & (np.diff(rows.class_index) == 0) & (np.diff(rows.onset) <= SAME)
    for later in np.flatnonzero(near) + 1:  # hardly any
        for earlier in range(later - 1, -1, -1):
            if not near[earlier]:
                break
            both = sorted((order[earlier], order[later]))
            close = abs(rows.onset[later] - rows.onset[earlier]), abs(rows.offset[later] - rows.offset[earlier])
            if max(close) <= SAME and kept[both[0]]:
                kept[both[1]] = False
    return truth.at(kept)


def on_segments(detections: Detections, shape: tuple[int, int, int], segment_seconds: float) -> FloatArray:
    """How sure events make the segments they touch: of several events the surest counts.

    Args:
        detections: With scores in 0..1.
        shape: N clips, T segments, C classes.
        segment_seconds: Length of a segment.

    Returns:
        float32 [N, T, C], 0 where no event is.
    """
    probs = np.zeros(shape, dtype=np.float32)
    first = np.floor(detections.onset / segment_seconds + 1e-9).astype(int)
    last = np.ceil(detections.offset / segment_seconds - 1e-9).astype(int)
    rows = zip(detections.clip, detections.class_index, first, last, detections.score, strict=True)
    for clip, name, start, stop, score in rows:
        np.maximum(probs[clip, start:stop, name], score, out=probs[clip, start:stop, name])
    return probs


def found_detections(ranked: Detections, truth: TrueEvents, min_ious: Sequence[float] = TIOUS) -> BoolArray:
    """Say which detections find a true event; each of these is found once.

    Args:
        ranked: In the order in which they choose.
        truth: As merged.
        min_ious: K overlaps, each judged apart from the others.

    Returns:
        bool [P, K].

    Raises:
        ValueError: An overlap is outside 0..1.
    """
    if not min_ious or not all(0 < min_iou <= 1 for min_iou in min_ious):
        raise ValueError(f"min_ious must be at least one overlap above 0 and at most 1, got {tuple(min_ious)}")
    found = np.zeros((len(ranked), len(min_ious)), dtype=np.bool_)
    detection, event, iou, row = _pairs(ranked, truth, min(min_ious))
    enough = iou[:, np.newaxis] >= np.asarray(min_ious)
    taken = np.zeros((len(truth), len(min_ious)), dtype=np.bool_)
    first = np.flatnonzero(np.r_[True, detection[1:] != detection[:-1]]) if detection.size else np.empty(0, dtype=int)
    last = np.r_[first[1:], len(detection)].astype(int)
    by_row = np.argsort(row[first], kind="stable")
    for turn in turns_of(row[first][by_row]):
        chosen = by_row[turn]
        hit = np.zeros((len(chosen), len(min_ious)), dtype=np.bool_)
        for nth in range(int((last - first)[chosen].max())):  # the best event, then the next best
            pair = np.minimum(first[chosen] + nth, last[chosen] - 1)
            takes = enough[pair] & ~taken[event[pair]] & ~hit & (first[chosen] + nth < last[chosen])[:, np.newaxis]
            taken[event[pair]] |= takes
            hit |= takes
        found[detection[first[chosen]]] = hit
    return found


def _pairs(
    ranked: Detections, truth: TrueEvents, min_iou: float
) -> tuple[Positions, Positions, Float64Array, Positions]:
    """Every detection beside the true events it overlaps enough, the best first, of equal ones the later first.

    Returns:
        Detection and event of each pair, their overlap, and a number of their clip and class.
    """
    clips = int(max(ranked.clip.max(initial=0), truth.clip.max(initial=0))) + 1
    of_truth, of_ranked = (part.class_index * clips + part.clip for part in (truth, ranked))
    by_row = np.argsort(of_truth, kind="stable")
    low, high = (np.searchsorted(of_truth[by_row], of_ranked, side=side) for side in ("left", "right"))
    count = high - low
    detection = np.repeat(np.arange(len(ranked)), count)
    nth = np.arange(len(detection)) - np.repeat(np.cumsum(count) - count, count)
    event = by_row[low[detection] + nth]
    shared = np.minimum(ranked.offset[detection], truth.offset[event])
    shared = (shared - np.maximum(ranked.onset[detection], truth.onset[event])).clip(0)
    lasts = ranked.offset[detection] - ranked.onset[detection] + (truth.offset[event] - truth.onset[event])
    iou = shared / (lasts - shared)
    kept = np.flatnonzero(iou >= min_iou)
    kept = kept[np.lexsort((-event[kept], -iou[kept], detection[kept]))]
    return detection[kept], event[kept], iou[kept], of_ranked[detection[kept]]
