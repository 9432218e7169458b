"""The decision a system can be given where the truth of one split is known: gates and cuts of every class and modality.

Of each class in each modality the pair of gate and cut with the highest segment-level F is taken, its counts added over
clips, among the cuts that make a difference behind each of a few gates. Classes are independent of one another, so this
is the best such rule there is on that split; what it is worth elsewhere another split says.
"""

from dataclasses import replace

import numpy as np

from .decide import PostProcessing, check_pair, gate_probs, spread_thresholds
from .events import BoolArray, Float64Array, FloatArray

TUNED = "tuned on val"
"""What rules are called that were found so."""

GATES_TRIED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Of 0 the gate is open."""


def tuned_rule(
    segment_probs: FloatArray,
    truth: BoolArray,
    rule: PostProcessing,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    valid: BoolArray | None = None,
) -> PostProcessing:
    """Find the gates and cuts of every class and modality.

    Args:
        segment_probs: float [N, T, M, C].
        truth: bool [N, T, M, C].
        rule: Its kind of gate and its comparisons stay, and so do thresholds of classes nothing of which is true. Of
            equally good gates its own is taken, then the lowest; of equally good cuts the highest.
        clip_probs: float [N, C], for the gate clip.
        modality_probs: float [N, M, C], for the gate modality.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Raises:
        ValueError: The probabilities of the gate are missing, or arrays do not belong together.

    Example:
        >>> probs = np.array([0.4, 0.3, 0.2, 0.1]).reshape(4, 1, 1, 1)
        >>> tuned_rule(probs, probs > 0.25, PostProcessing(gate="none")).segment_threshold
        ((0.25,),)
    """
    check_pair(segment_probs, truth, valid)
    shape = segment_probs.shape[2:]
    gates = gate_probs(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, gate=rule.gate)
    cuts = spread_thresholds("segment_threshold", rule.segment_threshold, shape)
    opened = spread_thresholds("clip_threshold", rule.clip_threshold, shape)
    exists = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid
    for m, c in np.ndindex(*shape):
        probs, true = segment_probs[:, :, m, c][exists], (truth[:, :, m, c])[exists]
        if not true.any():
            continue
        gate = gates[m]
        of_clip = None if gate is None else np.broadcast_to(gate[:, np.newaxis, c], exists.shape)[exists]
        own = float(opened[m, c])
        tried = (own,) if of_clip is None else (own, *GATES_TRIED)
        cuts[m, c], opened[m, c] = _best_pair(probs, true, of_clip, tried, (float(cuts[m, c]), own))
    return replace(
        rule,
        segment_threshold=tuple(map(tuple, cuts.tolist())),
        clip_threshold=tuple(map(tuple, opened.tolist())),
        preset=TUNED,
    )


def _best_pair(
    probs: FloatArray, true: BoolArray, gate: FloatArray | None, tried: tuple[float, ...], kept: tuple[float, float]
) -> tuple[float, float]:
    """The cut and the gate of one class, from probabilities and truth [K] of its segments and the gate's [K]."""
    order = np.argsort(-probs, kind="stable")
    probs, true = probs[order].astype(np.float64), true[order]
    gate = None if gate is None else gate[order]
    best, found = 0.0, kept
    for limit in tried:
        eligible = slice(None) if gate is None else gate >= limit
        held, hits = probs[eligible], np.cumsum(true[eligible])
        f: Float64Array = 2 * hits / (np.arange(1, len(held) + 1) + np.count_nonzero(true))
        f = np.where(np.append(held[:-1] > held[1:], True), f, 0) if len(held) else f  # equal ones pass together
        if len(held) and f.max() > best:
            at = int(np.argmax(f))
            best, found = float(f[at]), (_between(held[at], held[at + 1] if at + 1 < len(held) else 0.0), limit)
    return found


def _between(above: float, below: float) -> float:
    """A threshold that the one reaches and the other does not, short where there is room."""
    middle = float(above + below) / 2
    return short if below < (short := round(middle, 4)) <= above else middle
