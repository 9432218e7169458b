"""Events with a score, cut from probabilities of segments by named rules: what a detector proposes.

A parser gives a probability per segment, while average precision wants events with a score each. A rule says two
things, both per clip, modality and class.

Where events lie (`CUTS`)
    runs: the maximal runs of segments whose probability reaches a threshold, for each of several thresholds.
    watershed: of the runs at each threshold, each grows over the gap to the next as long as a share of what it covers
    is marked, for each of several shares; a share of 1 keeps the runs themselves. Bridges short dips.
    What several thresholds or shares agree on is one proposal.

How sure they are (`SCORES`)
    contrast: the mean probability of their segments less the mean probability of their surroundings, a quarter of
    their length on either side, at least one segment, as far as the clip goes; nothing around counts as 0. It lets a
    run with clear borders outrank the runs within and around it; the mean alone would put the single highest segment
    first. It lies in -1..1 and falls short of the probability on purpose.
    mean, peak: the mean and the highest probability of their segments.

Nothing is suppressed here: runs within runs all stay, and those beyond the first that finds a true event are false
alarms, mostly far down the ranking. `soft_nms.py` puts them further down.

Source: the outer-inner contrast of Shou et al., "AutoLoc: weakly-supervised temporal action localization in untrimmed
videos", ECCV 2018; growing runs by the share they mark, Zhao et al., "Temporal action detection with structured segment
networks", ICCV 2017.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .decide import check_probs
from .events import BoolArray, CountArray, Float64Array, FloatArray, Positions, Runs
from .scores import BLOCK

THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))
"""Where probabilities are cut: 0.1, 0.2, ..., 0.9."""

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6)
"""How much of a grown run must be marked."""

SCORE_DECIMALS = 9
"""Scores are rounded to this, so that those equal but for the order of summation stay equal."""


@dataclass(frozen=True, kw_only=True)
class ProposalRule:
    """How probabilities become events with a score."""

    cut: str = "runs"
    """A key of CUTS: where events lie."""
    score: str = "contrast"
    """A key of SCORES: how sure they are."""
    thresholds: tuple[float, ...] = THRESHOLDS
    """Probabilities above 0 to cut at; reaching one means >=."""
    shares: tuple[float, ...] = SHARES
    """Of the cut watershed, how much of a grown run must be marked."""

    def __post_init__(self) -> None:
        """Refuse names nobody knows and numbers that are no probabilities."""
        for name, known in (("cut", CUTS), ("score", SCORES)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        for name in ("thresholds", "shares"):
            held = getattr(self, name)
            if not held or not all(0 < value <= 1 for value in held):
                raise ValueError(f"{name} must be at least one probability above 0, got {tuple(held)}")


@dataclass(frozen=True, eq=False)
class Proposals:
    """Events with a score, one row each, in no particular order."""

    clip: CountArray
    """int64 [P], position on the axis N."""
    modality: CountArray
    """int64 [P], position on the axis M."""
    class_index: CountArray
    """int64 [P], position on the axis C."""
    start: CountArray
    """int64 [P], first segment."""
    stop: CountArray
    """int64 [P], the segment after the last."""
    score: Float64Array
    """float64 [P], higher is surer; of any range."""


def proposals_of(
    segment_probs: FloatArray, rule: ProposalRule | None = None, *, valid: BoolArray | None = None
) -> Proposals:
    """Cut probabilities into scored events.

    Args:
        segment_probs: float [N, T, M, C], any modalities.
        rule: How; None for runs at nine thresholds, scored by their contrast.
        valid: bool [N, T], True where a segment exists; None for clips of one length.

    Returns:
        Every distinct event the rule proposes.

    Raises:
        ValueError: The array holds no probabilities, or `valid` does not fit.

    Example:
        >>> probs = np.array([0.2, 0.6, 0.7]).reshape(1, 3, 1, 1)
        >>> found = proposals_of(probs, ProposalRule(thresholds=(0.1, 0.5, 0.6)))
        >>> [(start, stop, round(score, 2)) for start, stop, score in zip(
        ...     found.start.tolist(), found.stop.tolist(), found.score.tolist(), strict=True)]
        [(0, 3, 0.5), (1, 3, 0.45)]
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    if valid is not None and (valid.dtype != np.bool_ or valid.shape != segment_probs.shape[:2]):
        raise ValueError(
            f"valid must be bool [clips, segments] {segment_probs.shape[:2]}, got {valid.dtype} {valid.shape}"
        )
    rule = rule or ProposalRule()
    lasts = np.ones(segment_probs.shape[:2], dtype=np.bool_) if valid is None else valid
    blocks = []
    for start in range(0, max(len(lasts), 1), BLOCK):
        clips = slice(start, start + BLOCK)
        columns = _block_proposals(segment_probs[clips], lasts[clips], rule)
        blocks.append((columns[0] + start, *columns[1:]))
    return Proposals(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _block_proposals(probs: FloatArray, valid: BoolArray, rule: ProposalRule) -> tuple[Any, ...]:
    """Find the columns of the proposals of some clips, float [N, T, M, C]."""
    stride = probs.shape[1] + 1
    probs = np.where(valid[:, :, np.newaxis, np.newaxis], probs, 0)
    clip, modality, class_index = np.nonzero(probs.max(axis=1) >= min(rule.thresholds))
    tracks = probs[clip, :, modality, class_index]  # [K, T]
    found = [CUTS[rule.cut](Runs.of(tracks >= threshold), rule) for threshold in rule.thresholds]
    keys = [start * stride + length for start, length in found]
    start, length = np.divmod(np.unique(np.concatenate(keys)), stride)
    track, segment = np.divmod(start, stride)
    score = SCORES[rule.score](tracks, valid[clip], start, length).round(SCORE_DECIMALS)
    return clip[track], modality[track], class_index[track], segment, segment + length, score


Cut: TypeAlias = Callable[[Runs, ProposalRule], tuple[Positions, Positions]]
"""Positions of first segments, as in `Runs`, and lengths of what is proposed, from the runs at one threshold."""


def _runs(runs: Runs, _: ProposalRule) -> tuple[Positions, Positions]:
    return runs.start, runs.length


def _watershed(runs: Runs, rule: ProposalRule) -> tuple[Positions, Positions]:
    """Let every run grow over the next ones of its track while enough of it is marked."""
    starts, lengths, track, count = [], [], runs.track, len(runs.start)
    for share in rule.shares:
        stop, marked = runs.stop.copy(), runs.length.copy()
        growing, step = np.arange(count), 0
        while growing.size:
            step += 1
            growing = growing[growing + step < count]
            other = growing + step
            marks = marked[growing] + runs.length[other]
            covered = runs.stop[other] - runs.start[growing]
            grows = (track[other] == track[growing]) & (marks >= share * covered - 1e-9)
            growing, other = growing[grows], other[grows]
            stop[growing], marked[growing] = runs.stop[other], marks[grows]
        starts.append(runs.start)
        lengths.append(stop - runs.start)
    return np.concatenate(starts), np.concatenate(lengths)


CUTS: Mapping[str, Cut] = {"runs": _runs, "watershed": _watershed}
"""Where events lie, by name."""

Score: TypeAlias = Callable[[FloatArray, BoolArray, Positions, Positions], Float64Array]
"""How sure runs are, float64 [P].

From tracks float [K, T], zero where not valid; valid bool [K, T]; positions of the first segments int [P], as in
`Runs`; and lengths int [P] in segments.
"""


def _contrast(tracks: FloatArray, valid: BoolArray, start: Positions, length: Positions) -> Float64Array:
    """The mean of runs less the mean around them, in -1..1."""
    stride = tracks.shape[1] + 1
    stop, clip_start = start + length, start - start % stride
    margin = np.maximum(1, np.rint(length / 4).astype(np.intp))
    first, last = np.maximum(start - margin, clip_start), np.minimum(stop + margin, clip_start + stride - 1)
    around = _sums(tracks, first, start) + _sums(tracks, stop, last)
    num_around = _sums(valid, first, start) + _sums(valid, stop, last)
    return _sums(tracks, start, stop) / length - around / np.maximum(num_around, 1)


def _mean(tracks: FloatArray, _: BoolArray, start: Positions, length: Positions) -> Float64Array:
    return _sums(tracks, start, start + length) / length


def _peak(tracks: FloatArray, _: BoolArray, start: Positions, length: Positions) -> Float64Array:
    return _reduced(np.maximum, tracks, start, start + length)


SCORES: Mapping[str, Score] = {"contrast": _contrast, "mean": _mean, "peak": _peak}
"""How sure events are, by name."""


def _sums(tracks: npt.NDArray[Any], first: Positions, last: Positions) -> Float64Array:
    """Add up tracks [K, T] from positions `first` up to, not including, `last`: float64 [P]."""
    return _reduced(np.add, tracks, first, last)


def _reduced(how: np.ufunc, tracks: npt.NDArray[Any], first: Positions, last: Positions) -> Float64Array:
    """Sum or maximum of tracks [K, T] from positions `first` up to, not including, `last`; 0 of nothing."""
    line = np.pad(tracks.astype(np.float64), ((0, 0), (0, 1))).ravel()  # so that a stop is a place too
    ends = np.column_stack([first, last]).ravel()
    found = np.zeros(len(first))
    if ends.size:
        np.copyto(found, how.reduceat(line, ends)[::2], where=last > first)
    return found
