"""Hits, false alarms and misses of events by how long they last.

In LLP most events fill their whole clip, so a parser that never finds a short one can still score well. An event that
fills its clip is binned as such whatever the clip's length; the others are binned by the segments they last.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .breakdown import ratio
from .counts import BoolArray, CountArray, check_marks, with_audio_visual
from .matches import Runs, match_events, overlap_fraction

EDGES = (1, 2, 4)
"""Shortest event of each bin but the last, in segments: 1, 2-3, 4 and more, and apart from them the whole clip."""


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
    def recall(self) -> npt.NDArray[np.float64]:
        """float64 [M, D] in 0..1, true events found by true duration, all classes together; NaN in an empty bin."""
        hits, misses = self.hits.sum(axis=1), self.misses.sum(axis=1)
        return ratio(hits, hits + misses)

    @property
    def precision(self) -> npt.NDArray[np.float64]:
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
    edges = _checked_edges(edges, predicted.shape[1])
    lasts = np.ones(predicted.shape[:2], dtype=np.bool_) if valid is None else valid
    ours, true = (with_audio_visual(marks & lasts[:, :, np.newaxis, np.newaxis]) for marks in (predicted, truth))
    clip, modality, class_index = np.nonzero((ours | true).any(axis=1))
    found = match_events(ours[clip, :, modality, class_index], true[clip, :, modality, class_index], overlap)
    clip_length = lasts.sum(axis=1)[clip]
    cells = (3, predicted.shape[3], len(edges) + 1)

    def counted(runs: Runs, matched: npt.NDArray[np.intp]) -> tuple[CountArray, CountArray]:
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


def _checked_edges(edges: Sequence[int], num_segments: int) -> tuple[int, ...]:
    """Return the edges of the bins that an event shorter than the longest clip can fall into."""
    if not edges or edges[0] != 1 or any(later <= earlier for earlier, later in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"edges must be whole segments that ascend from 1, such as {EDGES}, got {tuple(edges)}")
    return tuple(edge for edge in edges if edge < num_segments)


def _bin_names(edges: tuple[int, ...], num_segments: int) -> tuple[str, ...]:
    lasts = [*(edge - 1 for edge in edges[1:]), num_segments - 1]
    names = [
        str(first) if first == last else f"{first}-{last}"
        for first, last in zip(edges, lasts[: len(edges)], strict=True)
    ]
    return (*names, "whole clip")
