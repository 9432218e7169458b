"""Where the ten figures come from: by class, at other overlaps, by modality alone, by duration, and what was confused.

By class (`Breakdown`)
    Two different means stand side by side and neither is the published figure: `f` is the F of counts added over all
    clips, so a class is judged on all its segments or events at once, and one false alarm in a clip without the class
    counts like any other. `clip_f` is the mean of the per-clip F of the class over the clips that mark it in prediction
    or truth, so a clip with one event weighs as much as a clip with five. It is the part a class plays in the published
    figures, which average the other way round: over the classes of a clip first, then over clips (scores.py).
Audible only, visible only (`exclusive_scores`)
    What a parser cannot borrow from the other stream: one that copies every event to both modalities does well on
    audio, visual and audio-visual figures alike wherever the two agree, and earns nothing here.
By duration (`by_duration`)
    In LLP most events fill their whole clip, so a parser that never finds a short one can still score well. An event
    that fills its clip is binned as such whatever the clip's length; the others by the segments they last.
Confusion (`confusion`)
    Parsing has many right answers per segment, so a miss has no single wrong answer to go with it. The rule here: where
    a class is missed in a segment, the classes that are falsely marked in the same segment and modality share the blame
    equally; where none is, the miss goes to "nothing". So a row adds up to the true segments of its class and no miss
    counts twice. A false alarm in a segment without a miss confuses nothing and is not in the matrix; `Breakdown`
    counts it.

What is undefined, as the recall of a class that never occurs, is NaN and left out of means.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import check_marks, event_counts, segment_counts, with_audio_visual
from .events import BoolArray, CountArray, Float64Array, Positions, Runs, match_events, overlap_fraction
from .scores import BLOCK, LEVELS, PER_CLIP, LevelScores, Scores, check_clips, clip_means, f_scores, score

OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""The overlaps events are scored at unless others are asked for: the published one and stricter ones."""

EXCLUSIVE = ("audible_only", "visible_only")
"""The figure axis of exclusive scores."""

EDGES = (1, 2, 4)
"""Shortest event of each bin but the last, in segments: 1, 2-3, 4 and more, and apart from them the whole clip."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Breakdown:
    """Counts and F-scores of every class; the first axis of every array is PER_CLIP, event_av being audio + visual."""

    level: str
    """segment or event: the unit of all counts."""
    counts: CountArray
    """int64 [4, C, 3], (hits, false alarms, misses) added over clips."""
    clip_f: Float64Array
    """float64 [4, C] in 0..1, the mean of the per-clip F over the clips that mark the class; NaN where none does."""
    clips: CountArray
    """int64 [4, C], how many clips mark the class in prediction or truth."""

    @property
    def true(self) -> CountArray:
        """int64 [4, C], true segments or events: the support."""
        return self.counts[..., 0] + self.counts[..., 2]

    @property
    def predicted(self) -> CountArray:
        """int64 [4, C], predicted segments or events."""
        return self.counts[..., 0] + self.counts[..., 1]

    @property
    def precision(self) -> Float64Array:
        """float64 [4, C] in 0..1, hits / predicted; NaN where nothing is predicted."""
        return ratio(self.counts[..., 0], self.predicted)

    @property
    def recall(self) -> Float64Array:
        """float64 [4, C] in 0..1, hits / true; NaN where nothing is true."""
        return ratio(self.counts[..., 0], self.true)

    @property
    def f(self) -> Float64Array:
        """float64 [4, C] in 0..1, 2 hits / (predicted + true); NaN where there is neither."""
        return ratio(2 * self.counts[..., 0], self.predicted + self.true)

    @property
    def macro_f(self) -> Float64Array:
        """float64 [4] in 0..1, the mean of `f` over the classes that have one: every class weighs the same."""
        return mean_defined(self.f)

    def rows(self, class_names: Sequence[str]) -> list[dict[str, str | int | float]]:
        """List one row for each modality and class, ratios in percent, ready for a data frame.

        Raises:
            ValueError: There are not C names.
        """
        if len(class_names) != self.counts.shape[1]:
            raise ValueError(f"class_names must name {self.counts.shape[1]} classes, got {len(class_names)}")
        columns = {"true": self.true, "predicted": self.predicted}
        columns |= {name: self.counts[..., kind] for kind, name in enumerate(("hits", "false_alarms", "misses"))}
        columns["clips"] = self.clips
        ratios = {"precision": self.precision, "recall": self.recall, "f": self.f, "clip_f": self.clip_f}
        return [
            {"modality": modality, "class": name}
            | {column: int(values[row, index]) for column, values in columns.items()}
            | {column: 100 * float(values[row, index]) for column, values in ratios.items()}
            for row, modality in enumerate(PER_CLIP)
            for index, name in enumerate(class_names)
        ]


def breakdown(
    predicted: BoolArray,
    truth: BoolArray,
    *,
    level: str = "segment",
    valid: BoolArray | None = None,
    min_iou: float = 0.5,
) -> Breakdown:
    """Count and score every class in every modality.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment; modalities (audio, visual).
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        level: segment or event.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1; without meaning at segment level.

    Returns:
        Counts, precision, recall and F of each class, for audio, visual, audio-visual and audio + visual.

    Raises:
        ValueError: The level is unknown, an array is not bool or the shapes do not belong together.

    Source:
        Counts as in counts.py. Sums before ratios and ratios before means: Mesaros et al., "Metrics for polyphonic
        sound event detection", Applied Sciences 2016 (class-based `macro_f`).

    Example:
        One class over four segments, heard `####`, predicted `##..`:

        >>> predicted, truth = np.zeros((2, 1, 4, 2, 1), dtype=bool)
        >>> truth[0, :, 0] = predicted[0, :2, 0] = True
        >>> table = breakdown(predicted, truth)
        >>> table.counts[0, 0].tolist(), float(table.recall[0, 0]), float(table.recall[1, 0])
        ([2, 0, 2], 0.5, nan)
    """
    if level not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {level!r}")
    check_marks(predicted, truth, valid)
    cells = (len(PER_CLIP), predicted.shape[3])
    counts, clips = np.zeros((*cells, 3), dtype=np.int64), np.zeros(cells, dtype=np.int64)
    totals = np.zeros(cells)
    for start in range(0, len(predicted), BLOCK):
        block = slice(start, start + BLOCK)
        pair = with_audio_visual(predicted[block]), with_audio_visual(truth[block])
        lasts = None if valid is None else valid[block]
        of_clips = (
            segment_counts(*pair, valid=lasts)
            if level == "segment"
            else event_counts(*pair, valid=lasts, min_iou=min_iou)
        )
        of_clips = np.concatenate([of_clips, of_clips[:, :1] + of_clips[:, 1:2]], axis=1)  # [N, 4, C, 3]
        values, present = f_scores(of_clips)
        counts += of_clips.sum(axis=0)
        totals += values.sum(axis=0)
        clips += np.count_nonzero(present, axis=0)
    return Breakdown(level=level, counts=counts, clip_f=ratio(totals, clips), clips=clips)


def scores_at_overlaps(
    predicted: BoolArray,
    truth: BoolArray,
    *,
    min_ious: Sequence[float] = OVERLAPS,
    valid: BoolArray | None = None,
) -> dict[float, LevelScores]:
    """Score events at several overlaps: how exactly the parser knows when an event starts and stops.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment.
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        min_ious: the overlaps an event needs, each from 0.5 to 1, inclusive.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        The five event-level figures in percent for each overlap.

    Raises:
        ValueError: An overlap is outside 0.5..1, or the arrays do not belong together.

    Source:
        The event level of Tian et al., ECCV 2020, section 5.1 (overlap 0.5); below 0.5 an event could match two.
    """
    return {min_iou: score(predicted, truth, valid=valid, min_iou=min_iou).event for min_iou in min_ious}


@dataclass(frozen=True, kw_only=True)
class ExclusiveLevel:
    """The two figures of one level, in percent."""

    audible_only: float
    visible_only: float


@dataclass(frozen=True, kw_only=True)
class ExclusiveScores:
    """F-scores of what only one modality holds."""

    segment: ExclusiveLevel
    event: ExclusiveLevel
    clips: int
    """How many clips were scored."""
    per_clip: Float64Array = field(repr=False, compare=False)
    """float64 [N, 2 levels, 2 figures] in 0..1, axes LEVELS and EXCLUSIVE."""

    def to_dict(self) -> dict[str, Any]:
        """Return {"segment": {two figures}, "event": {two figures}, "clips": N}, percentages unrounded."""
        return {"segment": asdict(self.segment), "event": asdict(self.event), "clips": self.clips}


def exclusive_marks(marks: BoolArray) -> BoolArray:
    """Keep the segments that one modality marks and the other does not.

    Args:
        marks: bool [..., M=2, C], audio then visual.

    Returns:
        bool [..., 2, C]: audible only, visible only.

    Raises:
        ValueError: The array is not bool or its M axis is not (audio, visual).
    """
    both = with_audio_visual(marks)[..., 2:, :]
    return marks & ~both


def exclusive_scores(
    predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None, min_iou: float = 0.5
) -> ExclusiveScores:
    """Score what is audible only against what is truly audible only, and the same for visible only.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment; modalities (audio, visual).
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1.

    Returns:
        Two figures per level in percent, averaged as the published ones: over the classes of a clip that are marked,
        then over clips; a clip without a mark scores 1. The events of the event level are the maximal runs of what
        is left when the other modality is taken away, so one long audible event can become two.

    Raises:
        ValueError: An array is not bool, the shapes do not belong together, or a clip has no valid segment.

    Source:
        Sardari et al., "CoLeaF: a contrastive-collaborative learning framework for weakly supervised audio-visual
        video parsing", ECCV 2024 (metrics Ao and Vo).

    Example:
        Heard `####`, seen `##..`, predicted heard `####` and never seen: the audible-only segments are the last two,
        the prediction says all four.

        >>> predicted, truth = np.zeros((2, 1, 4, 2, 1), dtype=bool)
        >>> truth[0, :, 0] = truth[0, :2, 1] = predicted[0, :, 0] = True
        >>> round(exclusive_scores(predicted, truth).segment.audible_only, 1)
        66.7
    """
    check_clips(predicted, truth, valid)
    blocks = []
    for start in range(0, len(predicted), BLOCK):
        clips = slice(start, start + BLOCK)
        pair = exclusive_marks(predicted[clips]), exclusive_marks(truth[clips])
        lasts = None if valid is None else valid[clips]
        levels = segment_counts(*pair, valid=lasts), event_counts(*pair, valid=lasts, min_iou=min_iou)
        num_clips, _, num_classes, _ = levels[0].shape
        clip = np.repeat(np.arange(num_clips), num_classes)
        by_class = [counts.swapaxes(1, 2).reshape(num_clips * num_classes, len(EXCLUSIVE), 3) for counts in levels]
        blocks.append(np.stack([clip_means(counts, clip, num_clips) for counts in by_class], axis=1))
    per_clip = np.concatenate(blocks)
    means = (100 * per_clip.mean(axis=0)).tolist()
    figures = {
        level: ExclusiveLevel(audible_only=audible, visible_only=visible)
        for level, (audible, visible) in zip(LEVELS, means, strict=True)
    }
    return ExclusiveScores(**figures, clips=len(per_clip), per_clip=per_clip)


def exclusive_ten(
    predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None, min_iou: float = 0.5
) -> Scores:
    """The ten figures with what is audible only in the place of audio, and visible only in that of visual.

    Arguments and errors as in `exclusive_scores`. Audio-visual stays what it is, and the event figure pools the events
    of the two exclusive modalities.

    Source:
        The code of CoLeaF, ECCV 2024, which keeps the epoch in which the mean of these ten is highest.
    """
    check_clips(predicted, truth, valid)
    pair = [
        np.concatenate([exclusive_marks(marks), with_audio_visual(marks)[:, :, 2:]], axis=2)
        for marks in (predicted, truth)
    ]
    num_clips, _, _, num_classes = predicted.shape
    clip = np.repeat(np.arange(num_clips), num_classes)
    levels = []
    for counts in (segment_counts(*pair, valid=valid), event_counts(*pair, valid=valid, min_iou=min_iou)):
        pooled = np.concatenate([counts, counts[:, :1] + counts[:, 1:2]], axis=1).swapaxes(1, 2)  # [N, C, PER_CLIP, 3]
        levels.append(clip_means(pooled.reshape(num_clips * num_classes, -1, 3), clip, num_clips))
    return Scores.of_clips(np.stack(levels, axis=1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Durations:
    """Events by duration: int64 [M=3, C, D], modalities (audio, visual, audio-visual), D bins.

    What is true is binned by the true event's duration and what is predicted by the predicted one's, so a hit counts
    in two tables, in different bins perhaps.
    """

    bins: tuple[str, ...]
    """Names of the D bins, in segments, the last one "whole clip"."""
    hits: CountArray
    """True events that a prediction found, by true duration."""
    misses: CountArray
    """True events that none found, by true duration."""
    predicted_hits: CountArray
    """Predicted events that found a true one, by predicted duration."""
    false_alarms: CountArray
    """Predicted events that found none, by predicted duration."""

    @property
    def recall(self) -> Float64Array:
        """float64 [M, D] in 0..1, true events found by true duration, all classes together; NaN in an empty bin."""
        hits, misses = self.hits.sum(axis=1), self.misses.sum(axis=1)
        return ratio(hits, hits + misses)

    @property
    def precision(self) -> Float64Array:
        """float64 [M, D] in 0..1, predicted events that are right by predicted duration; NaN in an empty bin."""
        hits, false_alarms = self.predicted_hits.sum(axis=1), self.false_alarms.sum(axis=1)
        return ratio(hits, hits + false_alarms)


def by_duration(
    predicted: BoolArray,
    truth: BoolArray,
    *,
    valid: BoolArray | None = None,
    min_iou: float = 0.5,
    edges: Sequence[int] = EDGES,
) -> Durations:
    """Count events by how long they last.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment; modalities (audio, visual).
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1.
        edges: shortest event of each bin in segments, ascending from 1. A bin that only a whole clip could reach
            is left out.

    Returns:
        Hits and misses by true duration, hits and false alarms by predicted duration, in events.

    Raises:
        ValueError: The edges do not ascend from 1, `min_iou` is outside 0.5..1, or the arrays do not belong together.

    Source:
        Events and hits as in counts.py. For breaking results down by length see Alwassel et al., "Diagnosing error
        in temporal action detectors", ECCV 2018; the bins are this project's.

    Example:
        One class over four segments, heard `#...`, predicted `####`:

        >>> predicted, truth = np.zeros((2, 1, 4, 2, 1), dtype=bool)
        >>> truth[0, 0, 0] = predicted[0, :, 0] = True
        >>> table = by_duration(predicted, truth)
        >>> table.bins, table.misses[0, 0].tolist(), table.false_alarms[0, 0].tolist()
        (('1', '2-3', 'whole clip'), [1, 0, 0], [0, 0, 1])
    """
    overlap = overlap_fraction(min_iou)
    check_marks(predicted, truth, valid)
    if not edges or edges[0] != 1 or any(later <= earlier for earlier, later in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"edges must be whole segments that ascend from 1, such as {EDGES}, got {tuple(edges)}")
    edges = tuple(edge for edge in edges if edge < predicted.shape[1])
    lasts = np.ones(predicted.shape[:2], dtype=np.bool_) if valid is None else valid
    ours, true = (with_audio_visual(marks & lasts[:, :, np.newaxis, np.newaxis]) for marks in (predicted, truth))
    clip, modality, class_index = np.nonzero((ours | true).any(axis=1))
    found = match_events(ours[clip, :, modality, class_index], true[clip, :, modality, class_index], overlap)
    clip_length = lasts.sum(axis=1)[clip]
    cells = (3, predicted.shape[3], len(edges) + 1)

    def counted(runs: Runs, matched: Positions) -> tuple[CountArray, CountArray]:
        is_hit = np.zeros(len(runs.start), dtype=np.bool_)
        is_hit[matched] = True
        whole = runs.length == clip_length[runs.track]
        bins = np.where(whole, len(edges), np.searchsorted(edges, runs.length, side="right") - 1)
        cell = np.ravel_multi_index((modality[runs.track], class_index[runs.track], bins), cells)
        size = int(np.prod(cells))
        hit, other = (np.bincount(cell[kept], minlength=size).reshape(cells) for kept in (is_hit, ~is_hit))
        return hit, other

    hits, misses = counted(found.true, found.of_true)
    predicted_hits, false_alarms = counted(found.predicted, found.of_predicted)
    return Durations(
        bins=_bin_names(edges, predicted.shape[1]),
        hits=hits,
        misses=misses,
        predicted_hits=predicted_hits,
        false_alarms=false_alarms,
    )


def _bin_names(edges: tuple[int, ...], num_segments: int) -> tuple[str, ...]:
    lasts = [*(edge - 1 for edge in edges[1:]), num_segments - 1]
    names = [
        str(first) if first == last else f"{first}-{last}"
        for first, last in zip(edges, lasts[: len(edges)], strict=True)
    ]
    return (*names, "whole clip")


def confusion(predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None) -> Float64Array:
    """Share out the true segments of every class over what was marked in them.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        float64 [M, C, C + 1] in segments: rows are true classes, columns what was marked instead, the last column
        "nothing". The diagonal holds the hits; entry (c, d) holds, for every segment that misses c and falsely marks
        d, one over the number of classes falsely marked there. Row c adds up to the true segments of c.

    Raises:
        ValueError: An array is not bool or the shapes do not belong together.

    Source:
        The rule above is this project's. For why a multi-label error has to be shared out, see Krstinić et al.,
        "Multi-label classifier performance evaluation with confusion matrix", 2020.

    Example:
        Two classes over three segments. Class 0 is true throughout; it is found, then taken for class 1, then missed:

        >>> predicted, truth = np.zeros((2, 1, 3, 1, 2), dtype=bool)
        >>> truth[0, :, 0, 0] = predicted[0, 0, 0, 0] = predicted[0, 1, 0, 1] = True
        >>> confusion(predicted, truth)[0].tolist()
        [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    """
    check_marks(predicted, truth, valid)
    num_modalities, num_classes = predicted.shape[2:]
    matrix = np.zeros((num_modalities, num_classes, num_classes + 1))
    lasts = np.ones(predicted.shape[:2], dtype=np.bool_) if valid is None else valid
    for modality in range(num_modalities):
        ours, true = predicted[:, :, modality][lasts], truth[:, :, modality][lasts]  # [segments, C]
        hits = np.count_nonzero(ours & true, axis=0)
        with_miss = (true & ~ours).any(axis=1)
        missed = (true & ~ours)[with_miss].astype(np.float64)
        false = (ours & ~true)[with_miss].astype(np.float64)
        num_false = false.sum(axis=1, keepdims=True)
        blame = np.hstack([false / np.maximum(num_false, 1), num_false == 0])  # [segments, C + 1], adds up to 1
        matrix[modality] = missed.T @ blame
        matrix[modality][np.diag_indices(num_classes)] += hits
    return matrix


def ratio(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> Float64Array:
    """Divide counts: float64 of the shape of both, NaN where the whole is zero."""
    undefined = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=undefined, where=whole > 0)
    return undefined


def mean_defined(values: Float64Array) -> Float64Array:
    """Average over the last axis what is not NaN: float64 [..., C] -> [...], NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), np.count_nonzero(defined, axis=-1))
