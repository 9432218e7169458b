"""Counts of hits, false alarms and misses: the only place where a prediction is compared with the truth.

Convention
    Tracks. A track is one class in one modality of one clip: T segments, marked or not. Audio-visual is a third
    modality, marked where both audio and visual are (`with_audio_visual`), for prediction and truth alike. Its counts
    cannot be had from the other two, so it is added before counting and never stored.
    Segment level. Every segment is one decision: marked in both is a hit, in the prediction alone a false alarm, in
    the truth alone a miss.
    Event level. An event is a maximal run of marked segments. A predicted event is a hit if some true event of the
    same track overlaps it by IoU >= `min_iou` (equality counts) and a false alarm otherwise; a true event that no
    prediction hits is a miss. For min_iou >= 0.5 a run can match only one other: two matches would have to share out
    the run without the gap between them. So hits are the same counted from either side and
    hits + misses is the number of true events.
    Exact arithmetic. Lengths are whole segments and `min_iou` is read as the fraction it is written as, so no IoU
    falls on the wrong side by rounding.
    Clips of unlike length. Segments where `valid` is False are no decisions and end the event before them.
    Empty case. A track without a mark in prediction and truth counts (0, 0, 0). What that scores is said in scores.py.

Difference from the published script
    None in any count: equal on every family of golden vectors and on all 1024 x 1024 pairs of ten-segment tracks.
    The published script works one clip and one class at a time and fixes T = 10 and C = 25.

Source
    Tian et al., "Unified multisensory perception: weakly-supervised audio-visual video parsing", ECCV 2020,
    section 5.1.
"""

from fractions import Fraction

import numpy as np

from .events import (
    BoolArray,
    CountArray,
    Words,
    match_events,
    num_marked,
    overlap_fraction,
    packed,
    plain_marks,
    run_starts,
    unpacked,
)


def with_audio_visual(marks: BoolArray) -> BoolArray:
    """Add what is audible and visible at once as a third modality.

    Args:
        marks: bool [..., M=2, C], audio then visual.

    Returns:
        bool [..., 3, C]: audio, visual, audio-visual.

    Raises:
        ValueError: The array is not bool or its M axis is not (audio, visual).

    Example:
        >>> with_audio_visual(np.array([[True, True], [False, True]]))[2]
        array([False,  True])
    """
    if marks.dtype != np.bool_ or marks.ndim < 2 or marks.shape[-2] != 2:
        raise ValueError(
            "marks must be bool [..., 2 modalities (audio, visual), classes], "
            f"got {marks.dtype} {marks.shape}; put the modality axis before the class axis"
        )
    tripled = np.empty((*marks.shape[:-2], 3, marks.shape[-1]), dtype=np.bool_)
    tripled[..., :2, :] = marks
    np.logical_and(marks[..., 0, :], marks[..., 1, :], out=tripled[..., 2, :])
    return tripled


def words_with_audio_visual(words: Words) -> Words:
    """Add the audio-visual modality to words whose last axis is M: [..., 2] -> [..., 3]."""
    return np.concatenate([words, words[..., :1] & words[..., 1:]], axis=-1)


def segment_counts(predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None) -> CountArray:
    """Count hits, false alarms and misses of each clip, modality and class in segments.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        int64 [N, M, C, 3] in segments; the last axis is (hits, false alarms, misses).

    Raises:
        ValueError: An array is not bool or the shapes do not belong together.

    Source:
        Tian et al., ECCV 2020, section 5.1.

    Example:
        One class over four segments, predicted `##..`, true `.##.`:

        >>> predicted, truth = np.zeros((2, 1, 4, 1, 1), dtype=bool)
        >>> predicted[0, :2] = truth[0, 1:3] = True
        >>> segment_counts(predicted, truth)[0, 0, 0]
        array([1, 1, 1])
    """
    check_marks(predicted, truth, valid)
    return count_segments(pack_marks(predicted, valid), pack_marks(truth, valid))


def event_counts(
    predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None, min_iou: float = 0.5
) -> CountArray:
    """Count hits, false alarms and misses of each clip, modality and class in events.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap two events need, from 0.5 to 1, inclusive.

    Returns:
        int64 [N, M, C, 3] in events; the last axis is (hits, false alarms, misses).

    Raises:
        ValueError: An array is not bool, the shapes do not belong together, or `min_iou` is outside 0.5..1.

    Source:
        Tian et al., ECCV 2020, section 5.1, where min_iou is 0.5.

    Example:
        One class over eight segments, predicted `##..####`, true `.####.##`. The first pair shares 1 of 5 segments,
        the second, which starts at the fifth segment, 1 of 7, the third 2 of 4, which is enough:

        >>> predicted, truth = np.zeros((2, 1, 8, 1, 1), dtype=bool)
        >>> predicted[0, [0, 1, 4, 5, 6, 7]] = truth[0, [1, 2, 3, 4, 6, 7]] = True
        >>> event_counts(predicted, truth)[0, 0, 0]
        array([1, 1, 1])
    """
    overlap = overlap_fraction(min_iou)
    check_marks(predicted, truth, valid)
    return count_events(pack_marks(predicted, valid), pack_marks(truth, valid), predicted.shape[1], overlap)


def pack_marks(marks: BoolArray, valid: BoolArray | None = None) -> Words:
    """Pack marks bool [N, T, M, C] into words [W, N, M, C], those that are not valid cleared."""
    words = packed(marks)
    if valid is not None:
        words &= packed(valid)[:, :, np.newaxis, np.newaxis]
    return words


def count_segments(predicted: Words, truth: Words) -> CountArray:
    """Count as `segment_counts` does, from words [W, N, M, C]."""
    hits = num_marked(predicted & truth)
    return _stacked(hits, num_marked(predicted) - hits, num_marked(truth) - hits)


def count_events(predicted: Words, truth: Words, num_segments: int, min_iou: Fraction) -> CountArray:
    """Count as `event_counts` does, from words [W, N, M, C] of tracks of `num_segments`."""
    hits = np.zeros(predicted.shape[1:], dtype=np.int64)
    meet = (predicted & truth).any(axis=0)  # elsewhere no event finds another
    tracks = unpacked(predicted[:, meet], num_segments), unpacked(truth[:, meet], num_segments)
    found = match_events(*tracks, min_iou)
    hits[meet] = np.bincount(found.true.track[found.of_true], minlength=len(tracks[0]))
    return _stacked(hits, num_marked(run_starts(predicted)) - hits, num_marked(run_starts(truth)) - hits)


def _stacked(*counts: CountArray) -> CountArray:
    """Stack count planes int64 [N, M, C] to [N, M, C, 3], each plane contiguous."""
    return np.moveaxis(np.stack(counts), 0, -1)


def check_marks(predicted: BoolArray, truth: BoolArray, valid: BoolArray | None = None) -> None:
    """Check that a prediction can be compared with a truth.

    Args:
        predicted: bool [N, T, M, C].
        truth: bool [N, T, M, C].
        valid: bool [N, T] or None.

    Raises:
        ValueError: An array is not bool or the shapes do not belong together.
    """
    kinds = predicted.dtype == truth.dtype == np.bool_
    remedy = "turn probabilities into decisions with valor.eval.decide.decide"
    if predicted.dtype == np.bool_ != truth.dtype:
        remedy = "the truth must be True and False, or numbers that are all 0 or 1"
    elif kinds:
        remedy = "transpose, or take the clips and classes that both have"
    if not kinds or predicted.ndim != 4 or predicted.shape != truth.shape or predicted.shape[1] < 1:
        raise ValueError(
            "predicted and truth must be bool [clips, segments, modalities, classes] of one shape, at least one "
            f"segment long, got {predicted.dtype} {predicted.shape} and {truth.dtype} {truth.shape}; {remedy}"
        )
    if valid is not None and (valid.dtype != np.bool_ or valid.shape != predicted.shape[:2]):
        raise ValueError(
            f"valid must be bool [clips, segments] {predicted.shape[:2]}, got {valid.dtype} {valid.shape}; "
            "it is True where a segment exists"
        )
    if any(array is not None and plain_marks(array) is not array for array in (predicted, truth, valid)):
        raise ValueError("marks must be 0 or 1, got other bytes called bool; compare the mask with 0 first")
