"""Where the ten figures come from: hits, false alarms and misses class by class, and event scores at other overlaps.

Two different means stand side by side here and neither is the published figure:
    `f` is the F of counts added over all clips, so a class is judged on all its segments or events at once, and one
    false alarm in a clip without the class counts like any other.
    `clip_f` is the mean of the per-clip F of the class over the clips that mark it in prediction or truth, so a clip
    with one event weighs as much as a clip with five. It is the part a class plays in the published figures, which
    average the other way round: over the classes of a clip first, then over clips (scores.py).
What is undefined, as the recall of a class that never occurs, is NaN and left out of means.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, CountArray, check_marks, event_counts, segment_counts, with_audio_visual
from .scores import BLOCK, LEVELS, PER_CLIP, LevelScores, f_scores, score

FloatArray = npt.NDArray[np.float64]

OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""The overlaps events are scored at unless others are asked for: the published one and stricter ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Breakdown:
    """Counts and F-scores of every class; the first axis of every array is PER_CLIP, event_av being audio + visual."""

    level: str
    """segment or event: the unit of all counts."""
    counts: CountArray
    """int64 [4, C, 3], (hits, false alarms, misses) added over clips."""
    clip_f: FloatArray
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
    def precision(self) -> FloatArray:
        """float64 [4, C] in 0..1, hits / predicted; NaN where nothing is predicted."""
        return ratio(self.counts[..., 0], self.predicted)

    @property
    def recall(self) -> FloatArray:
        """float64 [4, C] in 0..1, hits / true; NaN where nothing is true."""
        return ratio(self.counts[..., 0], self.true)

    @property
    def f(self) -> FloatArray:
        """float64 [4, C] in 0..1, 2 hits / (predicted + true); NaN where there is neither."""
        return ratio(2 * self.counts[..., 0], self.predicted + self.true)

    @property
    def macro_f(self) -> FloatArray:
        """float64 [4] in 0..1, the mean of `f` over the classes that have one: every class weighs the same."""
        return mean_defined(self.f)

    @property
    def micro_f(self) -> FloatArray:
        """float64 [4] in 0..1, F of counts added over clips and classes: every segment or event weighs the same."""
        counts = self.counts.sum(axis=1)
        return ratio(2 * counts[..., 0], 2 * counts[..., 0] + counts[..., 1] + counts[..., 2])

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
        sound event detection", Applied Sciences 2016 (instance-based `micro_f`, class-based `macro_f`).

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


def ratio(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> FloatArray:
    """Divide counts: float64 of the shape of both, NaN where the whole is zero."""
    undefined = np.full(np.shape(whole), np.nan)
    np.divide(part, whole, out=undefined, where=whole > 0)
    return undefined


def mean_defined(values: FloatArray) -> FloatArray:
    """Average over the last axis what is not NaN: float64 [..., C] -> [...], NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=-1), np.count_nonzero(defined, axis=-1))
