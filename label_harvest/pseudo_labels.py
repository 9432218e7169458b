"""Teacher evidence + clip tags + thresholds -> bool labels: pure functions, applied whenever labels are read.

A teacher says a class is in a segment when its logit is strictly above the threshold of the class, and is believed only
about classes the clip is tagged with. Evidence that is absent (NaN) makes no label.
"""

from collections.abc import Collection, Mapping

import numpy as np

from .store.manifest import MODALITIES
from .store.store import EvidenceStore

_FUSED = "fused"
"""Role of a teacher that hears and sees at once."""


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
    _check(logits, weak_labels, thresholds)
    labels: np.ndarray = (logits > thresholds) & weak_labels[..., None, :]
    return labels


def pseudo_probs(
    logits: np.ndarray, weak_labels: np.ndarray, thresholds: np.ndarray, *, temperature: float = 1.0
) -> np.ndarray:
    """Soft labels: how far a teacher is above or below its threshold, for the classes the clip is tagged with.

    Args:
        logits: float [..., T, C], as for `pseudo_labels`; NaN where there is no evidence.
        weak_labels: bool [..., C], the tags of the clips.
        thresholds: float [C], in logits.
        temperature: In logits; the larger, the nearer to 1/2 all labels are.

    Returns:
        float32 [..., T, C], or float64 of logits that are: sigmoid((logit - threshold) / temperature) for tagged
        classes, 0 for others and where there is no evidence. Above 1/2 exactly where `pseudo_labels` labels, up to
        rounding.

    Raises:
        ValueError: As for `pseudo_labels`, or the temperature is not positive.

    Source:
        UWAV, Lai et al., CVPR 2025, equation 12, with temperature 1; its code divides by 2.

    >>> logits = np.array([[4.0, 3.0], [2.0, 9.0]])
    >>> pseudo_probs(logits, np.array([True, False]), np.array([2.0, 2.0])).astype(float).round(3).tolist()
    [[0.881, 0.0], [0.5, 0.0]]
    """
    thresholds = np.asarray(thresholds)
    _check(logits, weak_labels, thresholds)
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be a positive number of logits, got {temperature}")
    above = (logits.astype(np.float64) - thresholds) / temperature
    probs = 0.5 * (1 + np.tanh(0.5 * above))  # the sigmoid, which overflows nowhere in this form
    kept = np.where(weak_labels[..., None, :] & ~np.isnan(logits), probs, 0)
    return kept.astype(np.float64 if logits.dtype == np.float64 else np.float32)


def lowest_instead(logits: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Thresholds for soft labels where some are -inf, so that all segments of tagged clips are labelled.

    A threshold of -inf becomes the lowest logit of the class, in all the clips given, minus 1: the published soft
    labels of a clip depend on the batch it comes in.

    Args:
        logits: float [..., T, C]; NaN where there is no evidence.
        thresholds: float [C].

    Returns:
        float [C].

    Source:
        The code of UWAV, Lai et al., CVPR 2025. Equal to what the golden `uwav_han_ave` was trained on.
    """
    lowest = np.nanmin(logits.reshape(-1, logits.shape[-1]), axis=0)
    return np.where(np.isneginf(thresholds), lowest - 1, thresholds)


def _check(logits: np.ndarray, weak_labels: np.ndarray, thresholds: np.ndarray) -> None:
    """Refuse tags and thresholds that do not belong to the logits."""
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


def judges_of(thresholds: Mapping[str, np.ndarray], roles: Collection[str]) -> dict[str, str]:
    """The teacher that decides for each modality.

    Audio and visual have their own where both have thresholds and evidence, else the fused one decides for both. Where
    the evidence is of one of the two alone, that modality is decided and the other is absent.

    Args:
        thresholds: By role.
        roles: Of the teachers there is evidence of.

    Returns:
        Role by modality, in the order of MODALITIES.

    Raises:
        ValueError: There are no thresholds for the evidence, or only for one of two modalities.
    """
    usable = [role for role in (*MODALITIES, _FUSED) if role in thresholds and role in roles]
    own = {modality: modality for modality in MODALITIES if modality in usable}
    if len(own) < len(MODALITIES) and _FUSED in usable:
        return dict.fromkeys(MODALITIES, _FUSED)
    known = [role for role in (*MODALITIES, _FUSED) if role in thresholds]
    if known and not usable:
        raise ValueError(
            f"labels by the thresholds for {' and '.join(known)} need evidence of these teachers; "
            f"the store holds {sorted(roles)}"
        )
    if not own or any(modality in roles and modality not in own for modality in MODALITIES):
        raise ValueError(
            f"labels need thresholds for audio and visual, or for fused, got {sorted(thresholds)} for evidence of "
            f"{sorted(roles)}"
        )
    return own


def label_store(
    store: EvidenceStore, thresholds: Mapping[str, np.ndarray], *, temperature: float | None = None
) -> np.ndarray:
    """Label every clip of a store, each modality by its own teacher, and where it has tags of its own by these.

    Args:
        store: Evidence of the teachers `judges_of` names.
        thresholds: float [C] in a teacher's logits: for `audio` and `visual`, or for `fused`, whose labels then go to
            both modalities.
        temperature: Of soft labels, see `pseudo_probs`; None for hard ones.

    Returns:
        bool [N, T, M, C], or float32 for soft labels; nothing is marked in a modality that no teacher decides for.

    Raises:
        ValueError: Thresholds are missing, or the store lacks a teacher they are for.
    """
    tracks = {}
    for modality, role in judges_of(thresholds, store.roles).items():
        evidence = (store.logits(role), store.tags_of(modality), thresholds[role])
        if temperature is None:
            tracks[modality] = pseudo_labels(*evidence)
        else:
            tracks[modality] = pseudo_probs(*evidence, temperature=temperature)
    blank = np.zeros_like(next(iter(tracks.values())))
    return np.stack([tracks.get(modality, blank) for modality in MODALITIES], axis=2)
