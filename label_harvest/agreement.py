"""Training-free decisions about what is heard and seen at once, from cosines of frozen encoders with class texts.

The class of a second is asked of sound and picture, and a second is an event where both answer the same:

    OV-AVEL     each answers its best class; the clip is of the class of its first agreement.
    CueRator    each answers its best class among those that reach a threshold, which hangs on how surely the other
                modality ranks its own best class above the rest. It is no rule for clips whose events are in one
                modality, as LLP's are.

Source:
    OV-AVEL, CVPR 2025, and its code. CueRator, 2026, from the paper, which trains a small policy for the ten numbers
    theta of each video; here they are given.
"""

import numpy as np

THETAS = 10
"""Numbers of CueRator's rule: five for the thresholds of audio, then five for those of visual."""
THETA_RANGES = (
    ((-0.1, 0.5), (0, 2), (0, 2), (0, 1.8), (0, 1.8)),
    ((0, 0.8), (0, 1.8), (0, 2.1), (0, 2), (0, 2)),
)
"""Where its authors look for them, with ImageBind's cosines; other encoders have other scales."""


def margins(similarities: np.ndarray) -> np.ndarray:
    """By how much each class is above the best of all others, float [..., C] of at least two classes."""
    top_two = np.sort(similarities, axis=-1)[..., -2:]
    best_other = np.where(similarities == top_two[..., 1:], top_two[..., :1], top_two[..., 1:])
    above: np.ndarray = best_other - similarities
    return above


def cue_thresholds(audio: np.ndarray, visual: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CueRator's thresholds of each second and class.

    Args:
        audio: float [..., T, C], cosines of the seconds heard with the class texts.
        visual: float [..., T, C], of those seen.
        theta: float [..., 10], the numbers of each clip, see THETA_RANGES.

    Returns:
        Thresholds of audio and of visual, float [..., T, C] each.

    Raises:
        ValueError: Shapes do not fit, or there is one class alone.
    """
    _check(audio, visual)
    if theta.shape != (*audio.shape[:-2], THETAS):
        raise ValueError(f"theta must be {[*audio.shape[:-2], THETAS]}, got {list(theta.shape)}")
    found = []
    agreed = np.minimum(audio, visual)
    for number, (own, other) in enumerate(((audio, visual), (visual, audio))):
        base, *weights = np.moveaxis(theta[..., 5 * number : 5 * number + 5], -1, 0)[..., None, None]
        blend = (own + agreed) / 2
        mean = blend.mean(axis=-2, keepdims=True)  # over the seconds of the clip
        cues = (margins(other), margins(blend), margins(mean), own - mean)
        found.append(base + sum(weight * cue for weight, cue in zip(weights, cues, strict=True)))
    return found[0], found[1]


def cue_decision(audio: np.ndarray, visual: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """CueRator's class of each second, int64 [..., T]; C is background. Arguments as in `cue_thresholds`."""
    limits = cue_thresholds(audio, visual, theta)
    tops = []
    for own, limit in zip((audio, visual), limits, strict=True):
        passed = own >= limit
        tops.append(np.where(passed.any(axis=-1), np.where(passed, own, -np.inf).argmax(axis=-1), -1))
    return np.where((tops[0] == tops[1]) & (tops[0] >= 0), tops[0], audio.shape[-1])


def first_agreement(audio: np.ndarray, visual: np.ndarray, other: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """OV-AVEL's decision without training.

    All seconds in which both modalities have the same best class are events, of the class of the first of them,
    whatever the others agree on. A first agreement on `other` makes the whole clip background.

    Args:
        audio: float [N, T, C], cosines of the seconds heard with the class texts.
        visual: float [N, T, C], of those seen.
        other: The class that stands for everything else; None where there is none.

    Returns:
        bool [N, T], whether both agree; and int64 [N], the class of each clip. Background is `other`, or C.
    """
    _check(audio, visual)
    heard, seen = audio.argmax(axis=-1), visual.argmax(axis=-1)
    agreed = heard == seen
    first = np.take_along_axis(heard, agreed.argmax(axis=-1)[..., None], axis=-1)[..., 0]
    background = audio.shape[-1] if other is None else other
    return agreed, np.where(agreed.any(axis=-1), first, background)


def _check(audio: np.ndarray, visual: np.ndarray) -> None:
    if audio.shape != visual.shape or audio.ndim < 2 or audio.shape[-1] < 2:
        raise ValueError(
            "audio and visual must be [..., seconds, classes] of the same shape and at least two classes, got "
            f"{list(audio.shape)} and {list(visual.shape)}"
        )
