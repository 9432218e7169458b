"""Presence before timing: the whole clip decides whether a modality holds a tag, its seconds only place it.

Clips that lack a tag show what a teacher says of a class that is not there, and every decision is taken against them.
With L the logits of a second, and of a class c over the clips without it: level_c the median of its seconds, spread_c
their deviation, and c' its rivals among the tags of the clip:

    competition   X_c = L_c - share max_c' corr+(L_c, L_c') (L_c' - level_c')+
    presence      E_c = max over seconds of X_c;   there where E_c > cut_c
    cuts          the same quantile of E_c over the clips without c for all classes of a modality, so that as many tags
                  are there as are expected
    timing        on where X_c > level_c + reach (E_c - level_c), changes of which cost something

How many tags a modality holds is told, or estimated: were none of them there, tagged clips would lie below a low
quantile of the others as often as these do. Thresholds of a teacher are not needed, nor its texts, nor any truth.

Source:
    Ours. VALOR asks each second by itself, and a tag none of whose seconds passes is lost (on the demo world two of
    three wrong labels are of tags that the modality does not hold at all).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .store.manifest import MODALITIES

LOW_QUANTILES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Of clips without a class: tagged clips below them are hardly any in which it is there."""


@dataclass(frozen=True, kw_only=True)
class PresenceOptions:
    """Numbers of the rule; the defaults were chosen on the training and validation clips of the demo world."""

    shares: tuple[float, float] | None = None
    """Of the tags of a clip, how many are heard and how many are seen; None to estimate both from the evidence."""
    competition: float = 0.4
    """How much of a rival's evidence a class loses; 0 for none."""
    decoys: float = 0.0
    """How much of the evidence of the best class that is no tag of the clip all tags lose; 0 for none."""
    mean: float = 0.0
    """Weight of the mean over seconds beside their maximum, in the evidence of a clip."""
    reach: float = 0.3
    """Where a second counts, on the way from the level of clips without the class to the best second of its own."""
    change: float = 0.3
    """What beginning or ending costs, in spreads of clips without the class; 0 to ask each second by itself."""
    least_seconds: int = 1
    """Events of fewer seconds are left out, but for the longest where there would be none."""
    lose_tags: bool = False
    """Whether a tag may be in no modality; else it is in the one that speaks more for it."""

    def __post_init__(self) -> None:
        """Refuse what is no rule."""
        if self.shares is not None and (len(self.shares) != len(MODALITIES) or not all(0 < s < 1 for s in self.shares)):
            raise ValueError(f"shares must be two above 0 and below 1, of heard and of seen tags, got {self.shares}")
        for name in ("competition", "mean", "reach"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, got {getattr(self, name)}")
        for name in ("decoys", "change"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.least_seconds < 1:
            raise ValueError(f"least_seconds must be at least 1, got {self.least_seconds}")


class Presence(NamedTuple):
    """What the rule found."""

    marked: np.ndarray
    """bool [N, T, M, C]."""
    shares: tuple[float, ...]
    """Of the tags, by modality, as given or estimated."""
    cuts: np.ndarray
    """float64 [M, C], of the evidence of a clip; NaN for classes that are no tag."""


def presence(
    logits: np.ndarray, tags: np.ndarray, options: PresenceOptions, cuts: np.ndarray | None = None
) -> Presence:
    """Label clips, each modality by its own teacher.

    Args:
        logits: float [N, T, M, C]; NaN where a clip has no segment.
        tags: bool [N, M, C].
        options: Numbers of the rule.
        cuts: float [M, C] of `clip_evidence`, such as a calibration finds them; None for the quantile that fits the
            shares.

    Raises:
        ValueError: A class is a tag of every clip, so that nothing shows what its absence looks like.
    """
    seconds = competed(logits, tags, options)
    evidence = clip_evidence(seconds, options)
    shares = options.shares or estimated_shares(evidence, tags)
    cuts = matched_cuts(evidence, tags, shares) if cuts is None else cuts
    there = present(evidence, tags, cuts, lose_tags=options.lose_tags)
    return Presence(placed(seconds, tags, there, options), tuple(float(share) for share in shares), cuts)


def competed(logits: np.ndarray, tags: np.ndarray, options: PresenceOptions) -> np.ndarray:
    """The logits of tags less what their rivals and decoys explain, float32 [N, T, M, C]; arguments as `presence`."""
    found = logits.astype(np.float32)
    for m in range(tags.shape[1]):
        own = logits[:, :, m].astype(np.float32)  # [N, T, C]
        level, spread = absent_seconds(own, tags[:, m])
        above = own - level
        if options.competition:
            whole = own[np.isfinite(own).all(axis=-1)]
            with np.errstate(invalid="ignore", divide="ignore"):
                alike = np.nan_to_num(np.corrcoef(whole.T)).clip(0, None)
            np.fill_diagonal(alike, 0)
            rivals = np.where(tags[:, None, m], above, 0).clip(0, None)
            for c in np.flatnonzero(tags[:, m].any(axis=0)):
                found[:, :, m, c] -= options.competition * (rivals * alike[c].astype(np.float32)).max(axis=-1)
        if options.decoys:
            others = np.where(tags[:, None, m], -np.inf, above / spread).max(axis=-1, keepdims=True)
            found[:, :, m] -= options.decoys * spread * others.clip(0, None)
    return found


def absent_seconds(logits: np.ndarray, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and deviation over the seconds of clips without a class, of each class that is a tag.

    Args:
        logits: float [N, T, C] of one modality.
        tags: bool [N, C].

    Returns:
        float32 [C] both; 0 and 1 for classes that are no tag, which are asked for nothing.

    Raises:
        ValueError: A class is a tag of every clip.
    """
    everywhere = np.flatnonzero(tags.all(axis=0))
    if len(everywhere):
        raise ValueError(
            f"presence is decided against clips without a tag, and class {everywhere[0]} is a tag of all {len(tags)} "
            "clips; label by thresholds, or harvest clips without it"
        )
    level, spread = np.zeros(tags.shape[1], np.float32), np.ones(tags.shape[1], np.float32)
    for c in range(tags.shape[1]):
        seconds = logits[~tags[:, c], :, c]
        level[c], deviation = np.nanmedian(seconds), np.nanstd(seconds)
        spread[c] = deviation if deviation > 0 else 1
    return level, spread


def clip_evidence(seconds: np.ndarray, options: PresenceOptions) -> np.ndarray:
    """What speaks for a class in a whole clip, float32 [N, M, C] of `competed` [N, T, M, C]."""
    best: np.ndarray = np.nanmax(seconds, axis=1)
    return best if not options.mean else (1 - options.mean) * best + options.mean * np.nanmean(seconds, axis=1)


def estimated_shares(evidence: np.ndarray, tags: np.ndarray) -> tuple[float, ...]:
    """Of the tags, how many each modality holds; rather too few, since faint ones look like absent ones.

    Args:
        evidence: float [N, M, C].
        tags: bool [N, M, C].
    """
    found = []
    for m in range(tags.shape[1]):
        ranks = _ranks(evidence[:, m], tags[:, m])
        absent = min(float((ranks < low).mean()) / low for low in LOW_QUANTILES) if len(ranks) else 0.0
        found.append(float(np.clip(1 - absent, 0.01, 0.99)))
    return tuple(found)


def matched_cuts(evidence: np.ndarray, tags: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Cuts that so many tags of each modality pass, the same quantile of the clips without each class.

    More pass where more speak louder than any clip without their class: these are never cut.

    Args:
        evidence: float [N, M, C].
        tags: bool [N, M, C].
        shares: By modality, in 0..1.

    Returns:
        float64 [M, C]; NaN for classes that are no tag.
    """
    cuts = np.full(tags.shape[1:], np.nan)
    for m, share in enumerate(shares):
        ranks = _ranks(evidence[:, m], tags[:, m])
        quantile = np.quantile(ranks, 1 - share) if len(ranks) else 1.0
        for c in np.flatnonzero(tags[:, m].any(axis=0)):
            cuts[m, c] = np.quantile(evidence[~tags[:, m, c], m, c], quantile)
    return cuts


def _ranks(evidence: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """For each tag of [N, C], the share of the clips without the class that have less evidence of it; in 0..1."""
    found = [np.zeros(0)]
    for c in np.flatnonzero(tags.any(axis=0)):
        absent = np.sort(evidence[~tags[:, c], c])
        found.append(np.searchsorted(absent, evidence[tags[:, c], c]) / len(absent))
    return np.concatenate(found)


def present(evidence: np.ndarray, tags: np.ndarray, cuts: np.ndarray, *, lose_tags: bool = False) -> np.ndarray:
    """Which modality holds which tag, bool [N, M, C]; arguments as in `matched_cuts` and `PresenceOptions`."""
    spread = np.ones(cuts.shape)
    for m, c in np.argwhere(tags.any(axis=0)):
        spread[m, c] = max(evidence[~tags[:, m, c], m, c].std(), 1e-6)
    beyond = np.where(tags, (evidence - np.nan_to_num(cuts)) / spread, -np.inf)  # [N, M, C]
    there: np.ndarray = beyond > 0
    if not lose_tags:
        lost = tags.any(axis=1) & ~there.any(axis=1)  # [N, C]
        stronger = np.equal(np.arange(tags.shape[1])[:, None], beyond.argmax(axis=1)[:, None])
        there |= np.expand_dims(lost, 1) & stronger & tags
    return there


def placed(seconds: np.ndarray, tags: np.ndarray, there: np.ndarray, options: PresenceOptions) -> np.ndarray:
    """The seconds of what is there, bool [N, T, M, C]; its best second at least.

    Args:
        seconds: float [N, T, M, C], see `competed`.
        tags: bool [N, M, C].
        there: bool [N, M, C].
        options: Numbers of the rule.
    """
    marked = np.zeros(seconds.shape, dtype=np.bool_)
    for m in range(tags.shape[1]):
        own = seconds[:, :, m]  # [N, T, C]
        level, spread = absent_seconds(own, tags[:, m])
        best = np.nanmax(own, axis=1, keepdims=True)
        gain = np.nan_to_num((own - (level + options.reach * (best - level))) / spread, nan=0.0)
        found = least_costly(gain, options.change) if options.change else gain > 0
        found &= np.isfinite(own) & there[:, None, m]
        found = _long_enough(found, options.least_seconds)
        silent = there[:, None, m] & ~found.any(axis=1, keepdims=True)
        marked[:, :, m] = found | (silent & (own == best))
    return marked


def least_costly(gain: np.ndarray, change: float) -> np.ndarray:
    """On and off over time so that what is on gains most: the sum of its gains less the cost of every change.

    Args:
        gain: float [N, T, C] of being on for a second, against being off; 0 where there is no second.
        change: What going on or off costs; nothing at either end.

    Returns:
        bool [N, T, C].
    """
    on = off = np.zeros((len(gain), gain.shape[2]))
    came_on, came_off = [], []  # whether being on (off) at t is best reached from being on before
    for t in range(gain.shape[1]):
        came_on.append(on >= off - change)
        came_off.append(on - change > off)
        on, off = np.maximum(on, off - change) + gain[:, t], np.maximum(off, on - change)
    state, found = on > off, np.zeros(gain.shape, dtype=np.bool_)
    for t in reversed(range(gain.shape[1])):
        found[:, t] = state
        state = np.where(state, came_on[t], came_off[t])
    return found


def _long_enough(marked: np.ndarray, least: int) -> np.ndarray:
    """Leave out runs of fewer seconds in bool [N, T, C], but for the longest where all are shorter."""
    if least == 1:
        return marked
    lengths = np.zeros(marked.shape, dtype=np.int64)
    for t in range(marked.shape[1]):
        lengths[:, t] = marked[:, t] * (1 + (lengths[:, t - 1] if t else 0))
    for t in reversed(range(marked.shape[1] - 1)):  # of the whole run, everywhere in it
        lengths[:, t] = np.where(marked[:, t] & marked[:, t + 1], lengths[:, t + 1], lengths[:, t])
    longest = lengths.max(axis=1, keepdims=True)
    kept: np.ndarray = marked & (lengths >= np.minimum(least, longest))
    return kept
