"""The predictions of systems that parse nothing: what every table should be read against.

The F-score of a clip without a mark in prediction and truth is 1 (see scores.py), and most events last for most of
their clip, so knowing nothing, or nothing but the tags, scores well above zero. On the LLP test split, segment level:

    ====================  =====  ======  ============  =======  ========
    prediction            audio  visual  audio-visual  Type@AV  Event@AV
    ====================  =====  ======  ============  =======  ========
    nothing predicted       0.5    10.1          14.5      8.4       0.0
    tags copied            76.1    60.3          52.6     63.0      71.7
    ====================  =====  ======  ============  =======  ========
"""

import numpy as np

from .counts import BoolArray
from .events import MODALITIES


def nothing_predicted(truth: BoolArray) -> BoolArray:
    """Predict no event at all.

    Args:
        truth: bool [N, T, M, C]; only its shape is used.

    Returns:
        bool [N, T, M, C], all False.
    """
    return np.zeros_like(truth, dtype=np.bool_)


def tags_copied(weak_labels: BoolArray, num_segments: int) -> BoolArray:
    """Predict every tag of a clip in every segment, as audible and as visible.

    Args:
        weak_labels: bool [N, C], the true clip-level tags (papers call them video-level labels).
        num_segments: T of the clips.

    Returns:
        bool [N, T, M=2, C].

    Raises:
        ValueError: The tags are not bool [N, C].
    """
    if weak_labels.dtype != np.bool_ or weak_labels.ndim != 2:
        raise ValueError(f"weak_labels must be bool [clips, classes], got {weak_labels.dtype} {weak_labels.shape}")
    num_clips, num_classes = weak_labels.shape
    copied = np.broadcast_to(
        weak_labels[:, np.newaxis, np.newaxis], (num_clips, num_segments, len(MODALITIES), num_classes)
    )
    return copied.copy()
