"""Accuracy of audio-visual event localisation: one class, or background, for every second.

Convention
    Labels. A segment's label is the index of its class, 0 to C - 1, or C for background: nothing is audible and visible
    at once. `truth` and what is compared with it are labels int [N, T].
    Accuracy. The share of segments whose label is the true one, in percent, over all segments of all clips at once.
    Three rules make labels of what published systems put out:
        `labels_by_score`: the class with the highest of C + 1 scores of the segment. Of equal scores the first class
        wins, so scores that are all equal say class 0 and not background (AVEL, PSP, LAVISH).
        `labels_by_gate`: the clip has one class; a segment has it where sigmoid(gate) > 0.5, and is background
        elsewhere. Of clip scores over C + 1 classes the last means that the clip is background throughout (CMRAN, CMBS,
        DG-SCT). The sigmoid is taken in the type of the gate, as there: of 1e-8 it is 0.5 in float32, and off.
        `labels_by_track`: the class whose track is on, background where none is, an error where two are (UWAV).

What accuracy does not say
    Two thirds of AVE's clips hold their event from end to end, so a clip's true class on all its segments scores 82.2
    on its test split, above published parsers that look at every second. Hence the figures of `ONE_EVENT_METRICS`
    besides it, on the class of each segment by the rule of `clip_class_labels`:
        accuracy: as above.
        accuracy_per_second: of each segment the likeliest class that is marked as audible and as visible.
        accuracy_tracks: by `labels_by_track`; not defined where two classes are marked in a segment.
        accuracy_partial: accuracy on the clips whose event does not fill them; a class copied everywhere loses here.
        event_f: F of events, maximal runs of a class, found where the class is right and the IoU is 0.5 or more; hits,
        false alarms and misses are added over clips.
        boundary_f: the same where both ends have to be right to the second.

Difference from the published scripts
    None in any label of the golden `ave_argmax`, `ave_gate` and `ave_tracks`, nor in the accuracies of `ave_acc`. UWAV
    adds 1e-8 to the number of segments (2.5e-10 of a percent on 4,020 segments); DG-SCT averages the accuracies of
    batches, so that the clips of a short last one count for more (`mean_of_batches`).

Source
    Tian et al., "Audio-visual event localization in unconstrained videos", ECCV 2018, and the codes named above.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .counts import event_counts, segment_counts, with_audio_visual
from .events import BoolArray, FloatArray
from .metrics import Judged, Metric
from .scores import f_scores

Labels: TypeAlias = npt.NDArray[np.int64]
"""int64 [N, T], a class 0 to C - 1 for each segment, or C for background; [N] of clips."""


def labels_by_score(scores: npt.NDArray[Any]) -> Labels:
    """Label each segment by the highest of its scores, of equal ones the first.

    Args:
        scores: number [N, T, C + 1], the last for background.

    Returns:
        int64 [N, T].

    Raises:
        ValueError: The scores are not [N, T, C + 1], or some are no numbers.

    Example:
        >>> labels_by_score(np.array([[[0.1, 0.7, 0.2], [0.5, 0.5, 0.5]]]))
        array([[1, 0]])
    """
    if scores.ndim != 3 or scores.shape[-1] < 2 or np.isnan(scores).any():
        raise ValueError(
            f"scores must be numbers [clips, segments, classes and background], got {scores.dtype} {scores.shape}"
            f"{' with NaN' * bool(scores.size and np.isnan(scores).any())}"
        )
    labels: Labels = scores.argmax(axis=-1)
    return labels


def labels_by_gate(gate_logits: FloatArray, clip_scores: FloatArray, num_classes: int) -> Labels:
    """Label each segment with the class of its clip where a gate is open, and as background elsewhere.

    Args:
        gate_logits: float [N, T], open where the sigmoid, taken in this type, is above 0.5.
        clip_scores: float [N, C] or [N, C + 1]; the last of C + 1 is background.
        num_classes: C.

    Returns:
        int64 [N, T].

    Raises:
        ValueError: The shapes do not belong together, or some are no numbers.

    Example:
        >>> labels_by_gate(np.array([[2.0, -2.0, 0.0]]), np.array([[0.1, 0.9]]), 2)
        array([[1, 2, 2]])
    """
    fits = gate_logits.ndim == 2 and clip_scores.shape in [(len(gate_logits), num_classes + k) for k in (0, 1)]
    if not fits or np.isnan(gate_logits).any() or np.isnan(clip_scores).any():
        raise ValueError(
            f"gate_logits must be numbers [clips, segments] and clip_scores [clips, {num_classes} classes] or with "
            f"background as one more, got {gate_logits.shape} and {clip_scores.shape}"
        )
    with np.errstate(over="ignore"):  # exp of a gate far below 0 is infinite, its sigmoid 0
        is_open = 1 / (1 + np.exp(-gate_logits)) > gate_logits.dtype.type(0.5)
    return np.where(is_open, clip_scores.argmax(axis=-1)[:, np.newaxis], num_classes)


def labels_by_track(tracks: BoolArray) -> Labels:
    """Label each segment with the class whose track is on, or as background where none is.

    Args:
        tracks: bool [N, T, C].

    Returns:
        int64 [N, T].

    Raises:
        ValueError: Two classes are on in one segment, or the tracks are not bool [N, T, C].

    Example:
        >>> labels_by_track(np.array([[[False, True], [False, False]]]))
        array([[1, 2]])
    """
    if tracks.dtype != np.bool_ or tracks.ndim != 3:
        raise ValueError(f"tracks must be bool [clips, segments, classes], got {tracks.dtype} {tracks.shape}")
    several = tracks.sum(axis=-1) > 1
    if several.any():
        row, segment = np.argwhere(several)[0].tolist()
        raise ValueError(
            f"every segment must have one class at most, and {int(several.sum())} have more, first in row {row} "
            f"segment {segment}; choose one of them before"
        )
    labels: Labels = np.where(tracks.any(axis=-1), tracks.argmax(axis=-1), tracks.shape[-1])
    return labels


def accuracy(labels: Labels, truth: Labels, *, valid: BoolArray | None = None) -> float:
    """The share of segments with the true label.

    Args:
        labels: int [N, T].
        truth: int [N, T].
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        A percentage.

    Raises:
        ValueError: The shapes differ, or there is no segment.

    Example:
        >>> accuracy(np.array([[0, 0, 2]]), np.array([[0, 2, 2]]))
        66.66666666666667
    """
    exists = _exists(labels, truth, valid)
    return 100 * int((exists & (labels == truth)).sum()) / int(exists.sum())


def mean_of_batches(labels: Labels, truth: Labels, batch_size: int) -> float:
    """The plain mean of the accuracies of batches in the order of the clips, however few are in the last one.

    Args:
        labels: int [N, T].
        truth: int [N, T].
        batch_size: Clips of a batch.

    Returns:
        A percentage; where the last batch is short, another than `accuracy`.

    Raises:
        ValueError: The shapes differ, there is no segment, or a batch has none.
    """
    _exists(labels, truth, None)
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    starts = range(0, len(labels), batch_size)
    return float(np.mean([accuracy(labels[k : k + batch_size], truth[k : k + batch_size]) for k in starts]))


def label_event_f(
    labels: Labels, truth: Labels, num_classes: int, *, min_iou: float = 0.5, valid: BoolArray | None = None
) -> float | None:
    """F of events, which are maximal runs of one class; hits, false alarms and misses are added over clips.

    Args:
        labels: int [N, T].
        truth: int [N, T].
        num_classes: C, the label of background.
        min_iou: The overlap an event needs with one of its class, from 0.5 to 1, inclusive; at 1 both ends are right.
        valid: bool [N, T], True where a segment exists.

    Returns:
        A percentage; None where there is no event at all.

    Raises:
        ValueError: The shapes differ, there is no segment, or min_iou is outside 0.5..1.

    Example:
        Two of three seconds of the one event, and another that is none:

        >>> round(label_event_f(np.array([[0, 0, 1, 2]]), np.array([[0, 0, 0, 2]]), 2), 1)
        66.7
    """
    _exists(labels, truth, valid)
    classes = np.arange(num_classes)
    found, true = (held[:, :, np.newaxis, np.newaxis] == classes for held in (labels, truth))  # [N, T, M=1, C]
    counts = event_counts(found, true, valid=valid, min_iou=min_iou).sum(axis=(0, 1, 2))
    (f,), (marked,) = f_scores(counts[np.newaxis])
    return 100 * float(f) if marked else None


def labels_of_first_agreement(
    agreed: BoolArray, clip_labels: npt.NDArray[np.int64], num_classes: int
) -> tuple[Labels, Labels]:
    """Labels of OV-AVEL's decision without training, see `valor.label_harvest.agreement`.

    Args:
        agreed: bool [N, T], whether sound and picture say the same in a segment.
        clip_labels: int64 [N], the class of each clip, or C for background.
        num_classes: C.

    Returns:
        int64 [N, T] of which accuracy is taken; and those of which its F is: there the segments that agree in a clip
        that is background all the same have no label at all, -1.
    """
    labels = np.where(agreed, clip_labels[:, np.newaxis], num_classes)
    return labels, np.where(agreed & (labels == num_classes), -1, labels)


def mean_clip_f(labels: Labels, truth: Labels, num_classes: int, *, events: bool = False) -> float:
    """F of each clip, the mean over the classes that are labelled or true in it, background among them; in percent.

    Args:
        labels: int [N, T], C for background, -1 for a segment without any label.
        truth: int [N, T].
        num_classes: C.
        events: Whether runs are counted that overlap by half, and not segments.

    Returns:
        The mean over clips.

    Raises:
        ValueError: The shapes differ, or there is no segment.

    Source:
        OV-AVEL, CVPR 2025, and its code, where the F of segments is in float32.

    Example:
        One of two seconds of the event, and two of three of background:

        >>> round(mean_clip_f(np.array([[0, 0, 1, 1, 1]]), np.array([[0, 1, 1, 1, 0]]), 1), 1)
        58.3
    """
    _exists(labels, truth, None)
    classes = np.arange(num_classes + 1)
    found, true = (held[:, :, np.newaxis, np.newaxis] == classes for held in (labels, truth))  # [N, T, M=1, C + 1]
    counts = (event_counts if events else segment_counts)(found, true)[:, 0]
    per_class, present = f_scores(counts)
    kind = np.float64 if events else np.float32
    per_clip = per_class.astype(kind).sum(axis=1) / np.maximum(present.sum(axis=1), 1).astype(kind)
    return 100 * float(per_clip.astype(np.float64).mean())


def is_partial(truth: Labels, num_classes: int, *, valid: BoolArray | None = None) -> BoolArray:
    """Whether a clip has an event that does not fill it, bool [N]."""
    marked = truth != num_classes
    whole = marked if valid is None else marked | ~valid
    partial: BoolArray = marked.any(axis=1) & ~whole.all(axis=1)
    return partial


def clip_classes(judged: Judged) -> Labels:
    """Choose one class for each clip, int64 [N].

    The class of a clip is the one it holds most likely (`clip_probs`), else the one with the highest mean probability,
    else, of decisions, the one that is audible and visible for longest. Of equals the first is taken.
    """
    if judged.clip_probs is not None:
        of_clip = judged.clip_probs
    elif judged.segment_probs is not None:
        of_clip = _cleared(judged.segment_probs, judged.valid).sum(axis=(1, 2))
    else:
        of_clip = _seen_and_heard(judged.predicted).sum(axis=1)
    chosen: Labels = of_clip.argmax(axis=-1)
    return chosen


def clip_class_labels(judged: Judged) -> Labels:
    """Label segments with the one class of their clip where it is marked as audible and as visible."""
    both, chosen = _seen_and_heard(judged.predicted), clip_classes(judged)  # [N, T, C]
    is_on = np.take_along_axis(both, chosen[:, np.newaxis, np.newaxis], axis=2)[..., 0]
    labels: Labels = np.where(is_on, chosen[:, np.newaxis], both.shape[-1])
    return labels


def likeliest_labels(judged: Judged) -> Labels:
    """Label each segment with the class that has the highest product of probabilities of those marked in both."""
    both = _seen_and_heard(judged.predicted)
    likely = both.astype(float) if judged.segment_probs is None else judged.segment_probs.prod(axis=2)
    return labels_by_score(np.concatenate([np.where(both, likely, -1.0), np.full((*both.shape[:2], 1), -0.5)], axis=2))


def _seen_and_heard(marks: BoolArray) -> BoolArray:
    """Marks bool [N, T, M=2, C] -> where both modalities are marked, bool [N, T, C]."""
    return with_audio_visual(marks)[:, :, 2]


def _cleared(probs: FloatArray, valid: BoolArray | None) -> FloatArray:
    return probs if valid is None else probs * valid[:, :, np.newaxis, np.newaxis]


def true_labels(judged: Judged) -> Labels | None:
    """The truth as labels; None where two classes are audible and visible at once, which accuracy knows no word for."""
    both = _seen_and_heard(judged.truth)
    return None if (both.sum(axis=-1) > 1).any() else labels_by_track(both)


def _accuracy(judged: Judged) -> float | None:
    truth = true_labels(judged)
    return None if truth is None else accuracy(clip_class_labels(judged), truth, valid=judged.valid)


def _accuracy_per_second(judged: Judged) -> float | None:
    truth = true_labels(judged)
    return None if truth is None else accuracy(likeliest_labels(judged), truth, valid=judged.valid)


def _accuracy_tracks(judged: Judged) -> float | None:
    truth, both = true_labels(judged), _seen_and_heard(judged.predicted)
    if truth is None or (both.sum(axis=-1) > 1).any():
        return None
    return accuracy(labels_by_track(both), truth, valid=judged.valid)


def _accuracy_partial(judged: Judged) -> float | None:
    truth = true_labels(judged)
    if truth is None:
        return None
    partial = is_partial(truth, judged.truth.shape[-1], valid=judged.valid)
    if not partial.any():
        return None
    exists = None if judged.valid is None else judged.valid[partial]
    return accuracy(clip_class_labels(judged)[partial], truth[partial], valid=exists)


def _event_f(judged: Judged, min_iou: float = 0.5) -> float | None:
    truth = true_labels(judged)
    if truth is None:
        return None
    classes = judged.truth.shape[-1]
    return label_event_f(clip_class_labels(judged), truth, classes, min_iou=min_iou, valid=judged.valid)


ONE_EVENT_METRICS: Mapping[str, Metric] = {
    "accuracy": _accuracy,
    "accuracy_per_second": _accuracy_per_second,
    "accuracy_tracks": _accuracy_tracks,
    "accuracy_partial": _accuracy_partial,
    "event_f": _event_f,
    "boundary_f": lambda judged: _event_f(judged, min_iou=1.0),
}
"""Figures of a data set whose clips have one event each; see the top of this file."""


def _exists(labels: Labels, truth: Labels, valid: BoolArray | None) -> BoolArray:
    """Where a segment is, once the arrays are known to belong together."""
    kinds = all(np.issubdtype(held.dtype, np.integer) for held in (labels, truth))
    shapes = {held.shape for held in (labels, truth, valid) if held is not None}
    if not kinds or len(shapes) != 1 or labels.ndim != 2 or (valid is not None and valid.dtype != np.bool_):
        raise ValueError(
            "labels and truth must be whole numbers [clips, segments], and valid bool of the same shape, got "
            f"{labels.dtype} {labels.shape}, {truth.dtype} {truth.shape} and "
            f"{None if valid is None else (valid.dtype, valid.shape)}"
        )
    exists = np.ones(labels.shape, dtype=np.bool_) if valid is None else valid
    if not exists.any():
        raise ValueError("there must be a segment to label, got none")
    return exists
