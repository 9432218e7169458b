"""The decision a system can be given where the truth of one split is known: gates and cuts of every class and modality.

First one cut and one gate for all are looked for, and taken if the table's segment-level Type@AV clearly gains by them.
Then of each class in each modality the pair of gate and cut with the highest segment-level F is found, its counts added
over clips, among the cuts that make a difference behind each of a few gates. That F is not what a table shows, and what
is best on few clips is not best elsewhere: a class that is true in two clips of 300 and never marked gains by being
marked everywhere, and costs nearly every clip of the table's mean over clips. So a class takes its pair only where
pairs found on other clips clearly raise the table's figure (`clear_wins`).

Clearly is by more than a standard error over clips.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np

from .counts import segment_counts, with_audio_visual
from .decide import PostProcessing, check_pair, decide, gate_probs, spread_thresholds
from .events import BoolArray, CountArray, Float64Array, FloatArray, Positions
from .scores import f_scores

TUNED = "tuned on val"
"""What rules are called that were found so."""

GATES_TRIED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Of 0 the gate is open."""

PAIRS_TRIED = (0.2, 0.3, 0.4, 0.5, 0.6)
"""Cuts, and gates, of one pair for all."""

FOLDS = 5
"""Parts of the clips, each judged by what is found on the others."""

SWEEPS = 5
"""Times all classes are gone through, at most: two or three suffice, and what one gains by can change another."""


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
        rule: Its kind of gate and its comparisons stay. Classes nothing of which is true or whose own pair wins
            nothing have its thresholds, or those of one pair for all where that wins. Of equally good gates that one
            is taken, then the lowest; of equally good cuts the highest.
        clip_probs: float [N, C], for the gate clip.
        modality_probs: float [N, M, C], for the gate modality.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Raises:
        ValueError: The probabilities of the gate are missing, or arrays do not belong together.

    Example:
        >>> probs = np.tile([0.4, 0.3, 0.2, 0.1], 5).reshape(20, 1, 1, 1)
        >>> tuned_rule(probs, probs > 0.25, PostProcessing(gate="none")).segment_threshold
        ((0.3,),)
    """
    check_pair(segment_probs, truth, valid)
    shape = segment_probs.shape[2:]
    given = {"clip_probs": clip_probs, "modality_probs": modality_probs}
    rule = tuned_pair(segment_probs, truth, rule, **given, valid=valid)
    gates = gate_probs(segment_probs, **given, gate=rule.gate)
    cuts = spread_thresholds("segment_threshold", rule.segment_threshold, shape)
    opened = spread_thresholds("clip_threshold", rule.clip_threshold, shape)
    exists = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid

    def with_pairs(pairs: tuple[Float64Array, Float64Array]) -> PostProcessing:
        segments, clips = (tuple(map(tuple, thresholds.tolist())) for thresholds in pairs)
        return replace(rule, segment_threshold=segments, clip_threshold=clips, preset=TUNED)

    def best_on(clips: Positions | slice) -> tuple[Float64Array, Float64Array]:
        found = cuts.copy(), opened.copy()
        held = exists[clips]
        for m, c in np.ndindex(*shape):
            probs, true = segment_probs[clips, :, m, c][held], truth[clips, :, m, c][held]
            if not true.any():
                continue
            gate, own = gates[m], (float(cuts[m, c]), float(opened[m, c]))
            of_clip = None if gate is None else np.broadcast_to(gate[clips, np.newaxis, c], held.shape)[held]
            tried = (own[1],) if of_clip is None else (own[1], *GATES_TRIED)
            found[0][m, c], found[1][m, c] = _best_pair(probs, true, of_clip, tried, own)
        return found

    def marks_by_others(others: Positions, clips: Positions) -> BoolArray:
        of_clips = {name: None if probs is None else probs[clips] for name, probs in given.items()}
        return decide(segment_probs[clips], **of_clips, options=with_pairs(best_on(others)))

    own_marks = decide(segment_probs, **given, options=rule)
    taken = clear_wins(own_marks, cross_fitted(own_marks, marks_by_others), truth, valid=valid)
    best_cuts, best_gates = best_on(slice(None))
    return with_pairs((np.where(taken, best_cuts, cuts), np.where(taken, best_gates, opened)))


def tuned_pair(
    segment_probs: FloatArray,
    truth: BoolArray,
    rule: PostProcessing,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    valid: BoolArray | None = None,
) -> PostProcessing:
    """Find the one cut and the one gate for all that clearly raise segment-level Type@AV; arguments as `tuned_rule`.

    Returns:
        The rule itself where none does, and of fewer than two clips, which have no standard error; of equally good
        pairs the lowest cut, then the lowest gate.
    """
    if len(truth) < 2:
        return rule

    def scores_by(options: PostProcessing) -> Float64Array:
        marks = decide(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
        pair = (with_audio_visual(marks), with_audio_visual(truth)) if truth.shape[2] > 1 else (marks, truth)
        f, marked = f_scores(segment_counts(*pair, valid=valid))
        scores: Float64Array = _mean_of_marked(f.sum(axis=2), marked.sum(axis=2)).mean(axis=1)
        return scores

    best, found = scores_by(rule), rule
    own = best
    for cut, gate in product(PAIRS_TRIED, PAIRS_TRIED if rule.gate != "none" else PAIRS_TRIED[:1]):
        tried = replace(rule, segment_threshold=cut, clip_threshold=gate, preset=TUNED)
        if (scores := scores_by(tried)).mean() > best.mean():
            best, found = scores, tried
    return found if _is_clear(best - own) else rule


def cross_fitted(own: BoolArray, marks_by_others: Callable[[Positions, Positions], BoolArray]) -> BoolArray:
    """Mark every clip by what is found on other clips, a part of the clips at a time.

    Args:
        own: bool [N, T, M, C]; returned where there is no other clip.
        marks_by_others: Given the rows of clips to find thresholds on and of those to mark, gives marks of the latter.
    """
    rows = np.arange(len(own))
    parts = min(FOLDS, len(own))
    marks = own.copy()
    for part in range(parts if parts > 1 else 0):
        here = rows % parts == part
        marks[here] = marks_by_others(rows[~here], rows[here])
    return marks


def clear_wins(own: BoolArray, other: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None) -> BoolArray:
    """Find the classes whose other decision clearly raises the segment-level figure of their modality.

    Beginning with all own decisions, a class takes the other one where the clips gain more by it than a standard error
    over clips, given what the other classes have taken, and gives it back where they gain nothing any more; classes are
    gone through until nothing changes. So no figure of these marks falls below that of the own ones.

    Args:
        own: bool [N, T, M, C], marks as they are.
        other: The same by the thresholds in question, or better by thresholds found likewise on other clips.
        truth: The same.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        bool [M, C].

    Example:
        >>> truth = np.zeros((9, 1, 1, 2), dtype=bool)
        >>> truth[:, :, :, 0] = True
        >>> clear_wins(np.zeros_like(truth), np.ones_like(truth), truth)
        array([[ True, False]])
    """
    (own_f, own_marked), (other_f, other_marked) = (
        f_scores(segment_counts(marks, truth, valid=valid)) for marks in (own, other)
    )  # [N, M, C]
    taken = np.zeros(truth.shape[2:], dtype=np.bool_)
    for _ in range(SWEEPS):
        before = taken.copy()
        for m, c in np.ndindex(*taken.shape):
            f = np.where(taken[m], other_f[:, m], own_f[:, m])
            marked = np.where(taken[m], other_marked[:, m], own_marked[:, m])
            with_own, with_other = (
                _clip_figures(f, marked, c, given[:, m, c], there[:, m, c])
                for given, there in ((own_f, own_marked), (other_f, other_marked))
            )
            gains = with_other - with_own
            taken[m, c] = gains.mean() > 0 if taken[m, c] else _is_clear(gains)
        if (taken == before).all():
            break
    return taken


def _is_clear(gains: Float64Array) -> bool:
    return len(gains) > 1 and bool(gains.mean() > gains.std() / np.sqrt(len(gains)))


def _clip_figures(f: Float64Array, marked: BoolArray, c: int, f_of: Float64Array, marked_of: BoolArray) -> Float64Array:
    """Score clips [N] from F [N, C] and where it is defined, those of class c replaced."""
    total = f.sum(axis=1) - f[:, c] + f_of
    return _mean_of_marked(total, marked.sum(axis=1) - marked[:, c] + marked_of.astype(np.int64))


def _mean_of_marked(total: Float64Array, count: CountArray) -> Float64Array:
    """F of clips from sums over their marked classes; 1 where none is marked."""
    means: Float64Array = np.where(count, total / np.maximum(count, 1), 1.0)
    return means


def _best_pair(
    probs: FloatArray, true: BoolArray, gate: FloatArray | None, tried: tuple[float, ...], kept: tuple[float, float]
) -> tuple[float, float]:
    """The cut and the gate of one class, from probabilities and truth [K] of its segments and the gate's [K]."""
    order = np.argsort(-probs, kind="stable")
    probs, true = probs[order].astype(np.float64), true[order]
    gate = None if gate is None else gate[order]
    best, found = 0.0, kept
    seen = {0}  # limits that let as many pass let the same pass
    for limit in tried:
        eligible = slice(None) if gate is None else gate >= limit
        held = probs[eligible]
        if len(held) in seen:
            continue
        seen.add(len(held))
        f: Float64Array = 2 * np.cumsum(true[eligible]) / (np.arange(1, len(held) + 1) + np.count_nonzero(true))
        f = np.where(np.append(held[:-1] > held[1:], True), f, 0)  # equal ones pass together
        if f.max() > best:
            at = int(np.argmax(f))
            best, found = float(f[at]), (_between(held[at], held[at + 1] if at + 1 < len(held) else 0.0), limit)
    return found


def _between(above: float, below: float) -> float:
    """A threshold that the one reaches and the other does not, short where there is room."""
    middle = float(above + below) / 2
    return short if below < (short := round(middle, 4)) <= above else middle
