"""Probabilities beside the truth: the checks, and how one probability stands for a gate or for both modalities.

Both rules below take the smaller of two probabilities, because deciding by it is the same as deciding by each: the
smaller one reaches a threshold exactly where both do. So a threshold applied to the result gives the decisions that
`eval.decide` makes with that one threshold for everything.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, check_marks
from .decide import check_probs
from .events import MODALITIES

FloatArray = npt.NDArray[np.floating[Any]]


def gated_probs(segment_probs: FloatArray, clip_probs: FloatArray) -> FloatArray:
    """Let no segment be more probable than its clip.

    Args:
        segment_probs: float [N, T, M, C].
        clip_probs: float [N, C], as for the gate clip of `decide`, or [N, M, C], as for the gate modality.

    Returns:
        float [N, T, M, C]: thresholding it marks what reaches the threshold in segment and clip.

    Raises:
        ValueError: An array does not hold probabilities, or the shapes do not belong together.

    Example:
        >>> gated_probs(np.full((1, 2, 2, 1), 0.9), np.array([[0.4]])).max().item()
        0.4
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    num_clips, _, num_modalities, num_classes = segment_probs.shape
    axes = ("clips", "classes") if clip_probs.ndim == 2 else ("clips", "modalities", "classes")
    check_probs("clip_probs", clip_probs, axes)
    of_modalities = clip_probs[:, np.newaxis] if clip_probs.ndim == 2 else clip_probs
    if of_modalities.shape not in ((num_clips, 1, num_classes), (num_clips, num_modalities, num_classes)):
        raise ValueError(
            f"clip_probs must be [clips, classes] {(num_clips, num_classes)} or [clips, modalities, classes] "
            f"{(num_clips, num_modalities, num_classes)} to fit segment_probs, got {clip_probs.shape}"
        )
    return np.minimum(segment_probs, of_modalities[:, np.newaxis])


def probs_with_audio_visual(segment_probs: FloatArray) -> FloatArray:
    """Add audio-visual as a third modality, as probable as the less probable of the two.

    Args:
        segment_probs: float [N, T, M=2, C], audio then visual.

    Returns:
        float [N, T, 3, C]; at any threshold it marks what `with_audio_visual` makes of the decisions.

    Raises:
        ValueError: The array does not hold probabilities or its M axis is not (audio, visual).
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    if segment_probs.shape[2] != len(MODALITIES):
        raise ValueError(
            f"segment_probs must be [clips, segments, {len(MODALITIES)} modalities {MODALITIES}, classes], "
            f"got {segment_probs.shape}"
        )
    both = segment_probs.min(axis=2, keepdims=True)
    return np.concatenate([segment_probs, both], axis=2)


def check_pair(segment_probs: FloatArray, truth: BoolArray, valid: BoolArray | None = None) -> None:
    """Check that probabilities can be compared with a truth.

    Args:
        segment_probs: float [N, T, M, C].
        truth: bool [N, T, M, C].
        valid: bool [N, T] or None.

    Raises:
        ValueError: The first array does not hold probabilities, the second is not bool, or the shapes do not belong
            together.
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    if segment_probs.shape != truth.shape:
        raise ValueError(
            "segment_probs and truth must both be [clips, segments, modalities, classes], "
            f"got {segment_probs.shape} and {truth.shape}; add audio-visual to both or to neither"
        )
    check_marks(truth, truth, valid)
