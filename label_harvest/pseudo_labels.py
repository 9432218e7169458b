"""Teacher evidence + clip tags + thresholds -> bool labels: pure functions, applied whenever labels are read.

A teacher says a class is in a segment when its logit is strictly above the threshold of the class, and is believed only
about classes the clip is tagged with. Evidence that is absent (NaN) makes no label.
"""

from collections.abc import Mapping

import numpy as np

from .store import EvidenceStore

MODALITIES = ("audio", "visual")
"""Order of the modality axis M; the same tuple stands in `eval` and `parsers`, and a test keeps them equal."""


def pseudo_labels(logits: np.ndarray, weak_labels: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Mark the segments in which a teacher finds a class the clip is tagged with.

    Args:
        logits: float [..., T, C], scale * cosine + bias of one teacher; NaN where there is no evidence.
        weak_labels: bool [..., C], the tags of the clips.
        thresholds: float [C], in logits; a label needs more than this.

    Returns:
        bool [..., T, C].

    Raises:
        ValueError: The class axes differ, the clip axes differ, or a threshold is NaN.

    Source:
        Lai et al., NeurIPS 2023 (VALOR), section 4.1. Equal to the published generator (`harvest.npz`).

    >>> pseudo_labels(np.array([[3.0, 3.0], [2.0, 9.0]]), np.array([True, False]), np.array([2.0, 2.0])).tolist()
    [[True, False], [False, False]]
    """
    thresholds = np.asarray(thresholds)
    if weak_labels.dtype != bool or weak_labels.shape != logits.shape[:-2] + logits.shape[-1:]:
        raise ValueError(
            "weak_labels must be bool [..., classes] for logits [..., segments, classes], "
            f"got {weak_labels.dtype} {list(weak_labels.shape)} and logits {list(logits.shape)}"
        )
    if thresholds.shape != logits.shape[-1:] or np.isnan(thresholds).any():
        raise ValueError(
            f"thresholds must be {logits.shape[-1]} numbers, one per class, "
            f"got {list(thresholds.shape)} with {int(np.isnan(thresholds).sum())} NaN"
        )
    return (logits > thresholds) & weak_labels[..., None, :]


def roles_of(thresholds: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The teachers that decide for audio and for visual: their own where both have thresholds, else the fused one.

    Raises:
        ValueError: There are thresholds neither for audio and visual nor for fused.
    """
    for roles in (MODALITIES, ("fused", "fused")):
        if set(roles) <= set(thresholds):
            return roles
    raise ValueError(f"labels need thresholds for audio and visual, or for fused, got {sorted(thresholds)}")


def label_store(store: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Label every clip of a store, each modality by its own teacher.

    Args:
        store: Evidence of the teachers `roles_of(thresholds)`.
        thresholds: float [C] in a teacher's logits: for `audio` and `visual`, or for `fused`, whose labels then go to
            both modalities.

    Returns:
        bool [N, T, M, C].

    Raises:
        ValueError: Thresholds are missing, or the store lacks a teacher they are for.
    """
    wanted = roles_of(thresholds)
    if not set(wanted) <= set(store.roles):
        raise ValueError(
            f"labels by the thresholds for {' and '.join(dict.fromkeys(wanted))} need evidence of these teachers; "
            f"the store holds {list(store.roles)}"
        )
    tracks = [pseudo_labels(store.logits(role), store.weak_labels, thresholds[role]) for role in wanted]
    return np.stack(tracks, axis=2)
