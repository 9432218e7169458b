"""Labels of clips that nobody has tagged: what teachers say of them, and as many seconds as one would expect.

A tag says which few of the classes to listen for; without it every class is a candidate in every second, and thresholds
that were made for tagged clips mark five times what is there. With x the logit of a class in a second of one teacher:

    z          (x - level) / spread, both over all classes, seconds and clips: the same whatever scale and shift are
    own        z - COMPETITION * max(0, z of the strongest other class of that second - ABOVE)
    evidence   half of own, and half of its largest in the clip
    marked     evidence > cut, one cut for all classes, so that a given share of (second, class) is marked

Source:
    Ours, after the decoys of `decoys.py`, in whose place the classes stand that are not there. COMPETITION, ABOVE and
    the half were chosen on the validation clips of the demo world: segment Type@AV of the marks there 21.5 by the
    thresholds of tagged clips, 56.1 by the best single cut of logits, 64.6 by this rule; on its test clips 19.2, 55.9
    and 61.5 (`python -m benchmarks.untagged_labels`).
"""

from dataclasses import dataclass

import numpy as np

COMPETITION, ABOVE = 0.5, 1.0
WHOLE = 0.5
"""How much of the evidence is that of the clip."""
_LEAST_SPREAD = 1e-9
"""A smaller one is none: the teacher says the same of everything."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """Where the logits of a teacher lie."""

    level: float
    """Their mean over classes, seconds and clips."""
    spread: float
    """Their deviation."""


def level_of(logits: np.ndarray, valid: np.ndarray | None = None) -> Level:
    """The level of logits float [N, T, C]; of the segments that are there, bool [N, T].

    Raises:
        ValueError: There is no segment, or the teacher says the same of everything.
    """
    held = logits[np.ones(logits.shape[:2], bool) if valid is None else valid].astype(np.float64)
    if not len(held) or held.std() < _LEAST_SPREAD:
        raise ValueError(
            f"a teacher must say different things of {len(held)} segments without tags, and it says the same of all; "
            "look at its captions, or harvest other clips"
        )
    return Level(level=float(held.mean()), spread=float(held.std()))


def untagged_evidence(logits: np.ndarray, level: Level, valid: np.ndarray | None = None) -> np.ndarray:
    """What speaks for each class in each second, whatever the tags.

    Args:
        logits: float [N, T, C] of one teacher, finite.
        level: Of these clips, or of more.
        valid: bool [N, T], the segments that are there; None when all are.

    Returns:
        float64 [N, T, C], -inf where there is no segment.

    >>> found = untagged_evidence(np.array([[[4.0, 2.0], [0.0, 0.0]]]), Level(level=0.0, spread=1.0))
    >>> found[0].tolist()  # own: 4 - .5 * 1, 2 - .5 * 3; 0, 0
    [[3.5, 0.5], [1.75, 0.25]]
    """
    z = (logits.astype(np.float64) - level.level) / level.spread
    own = z
    if z.shape[-1] > 1:
        ranked = np.sort(z, axis=-1)
        others = np.where(z == ranked[..., -1:], ranked[..., -2:-1], ranked[..., -1:])
        own = z - COMPETITION * (others - ABOVE).clip(0, None)
    if valid is not None:
        own = np.where(valid[..., None], own, -np.inf)
    found: np.ndarray = (1 - WHOLE) * own + WHOLE * own.max(axis=1, keepdims=True)
    return found


def cut_for(evidence: np.ndarray, share: float, valid: np.ndarray | None = None) -> float:
    """The cut above which a share of all (second, class) lies, as nearly as equal evidence allows and no more.

    Args:
        evidence: float [N, T, C].
        share: In [0, 1].
        valid: bool [N, T], the segments that are there.
    """
    held = np.sort(evidence[np.ones(evidence.shape[:2], bool) if valid is None else valid], axis=None)
    marked = round(share * held.size)
    if marked >= held.size:
        return -np.inf
    return float(held[held.size - marked - 1])


def marks_of(evidence: np.ndarray, cut: float, temperature: float = 0.0) -> np.ndarray:
    """Labels of evidence, any shape: bool, or with a temperature float32 sigmoid((evidence - cut) / temperature)."""
    if not temperature:
        return np.asarray(evidence > cut)
    probs: np.ndarray = (0.5 * (1 + np.tanh(0.5 * (evidence - cut) / temperature))).astype(np.float32)
    return probs
