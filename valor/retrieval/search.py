"""Which stretches of which clips fit best: seconds are scored, ranked, and those beside one another brought together.

    score of a second    how many deviations its cosine with the query lies above the mean of all seconds of the store,
                         for each modality; of both the mean, to which an absent one adds 0
    a stretch            a second and those beside it, as far as they score at least half of what it does; its score is
                         that of its best second; what scores below the mean of the store is none, unless all does

    standing             how many deviations the cosine of the best second lies above those of all seconds with decoys,
                         captions of nothing in particular; of the modalities the larger

A score says nothing of words that fit nowhere: some second is always the best. What stands below LEAST_STANDING stands
no higher than words of what no clip has.

Cosines of CLIP and CLAP cannot be added as they are: those of one lie around 0.2 and of the other anywhere. Equal
scores stand in the order of the store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from valor.eval.events import FloatArray

from .seconds import BLOCK, Seconds, Spread

SHARE = 0.5
"""Of the score of the best second that a second beside it needs to be of its stretch."""
LEAST_STANDING = 2.65
"""Below it nothing may fit; chosen on the demo's store by words of what is there and what is not (docs/search.md)."""


@dataclass(frozen=True, eq=False)
class Query:
    """What is searched for, brought to where seconds lie."""

    said: str
    """As results call it."""
    vectors: Mapping[str, FloatArray]
    """By modality that is compared, float32 [P] of length 1."""
    decoys: Mapping[str, FloatArray] = field(default_factory=dict)
    """Captions of nothing in particular by modality, float32 [n, P] of length 1; empty of media and in other spaces."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A stretch of a clip that fits."""

    clip_id: str
    onset: float
    """Seconds from the start of the clip."""
    offset: float
    best: float
    """Onset of its best second."""
    score: float
    """Of its best second, see the top of this file."""
    cosines: Mapping[str, float | None]
    """Of its best second, by modality; None where the clip lacks it."""
    levels: tuple[float, ...]
    """Score of every second of the clip."""


def cosines(seconds: Seconds, query: Query) -> dict[str, FloatArray]:
    """Of every second with the query, by modality: float32 [S], NaN where absent."""
    found = {}
    for modality, vector in query.vectors.items():
        rows = seconds.vectors[modality]
        found[modality] = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            found[modality][start : start + BLOCK] = part.astype(np.float32, copy=False) @ vector
    return found


def scores(seconds: Seconds, query: Query, known: Mapping[str, FloatArray]) -> FloatArray:
    """Of every second, float32 [S]; -inf where nothing of it can be compared."""
    total, absent = np.zeros(len(seconds), np.float32), np.ones(len(seconds), bool)
    for modality, vector in query.vectors.items():
        mean, deviation = seconds.spreads[modality].of(vector)
        there = ~np.isnan(known[modality])
        total[there] += (known[modality][there] - np.float32(mean)) / np.float32(max(deviation, 1e-6))
        absent &= ~there
    total /= len(query.vectors)
    total[absent] = -np.inf
    return total


def find(seconds: Seconds, query: Query, top: int) -> tuple[Found, ...]:
    """The best stretches.

    Args:
        seconds: That are looked through.
        query: What is searched for.
        top: How many at most.
    """
    known = cosines(seconds, query)
    of = scores(seconds, query, known)
    order = np.argsort(-of, kind="stable")
    taken = np.zeros(len(of), bool)
    found: list[Found] = []
    for row in order[: int(np.isfinite(of).sum())].tolist():
        if len(found) == top or (found and of[row] < 0):
            break
        if taken[row]:
            continue
        clip = int(seconds.clip_of(np.array([row]))[0])
        first, end = int(seconds.starts[clip]), int(seconds.starts[clip + 1])
        start, stop = _stretch(of[first:end], taken[first:end], row - first)
        taken[first + start : first + stop] = True
        length = seconds.segment_seconds
        best = {modality: float(values[row]) for modality, values in known.items()}
        found.append(
            Found(
                clip_id=seconds.clip_ids[clip],
                onset=start * length,
                offset=stop * length,
                best=(row - first) * length,
                score=float(of[row]),
                cosines={modality: None if np.isnan(value) else value for modality, value in best.items()},
                levels=tuple(of[first:end].tolist()),
            )
        )
    return tuple(found)


def standings(query: Query, spreads: Mapping[str, Spread], found: Sequence[Found]) -> tuple[float | None, ...]:
    """How high each stretch stands among decoys, see the top of this file; None without decoys.

    Args:
        query: What was searched for.
        spreads: Of the store, by modality.
        found: The stretches.
    """
    levels = {modality: spreads[modality].of_all(decoys) for modality, decoys in query.decoys.items()}
    heights = [
        [
            (cosine - level) / max(deviation, 1e-6)
            for modality, (level, deviation) in levels.items()
            if (cosine := one.cosines.get(modality)) is not None
        ]
        for one in found
    ]
    return tuple(max(each, default=None) for each in heights)


def _stretch(of: FloatArray, taken: npt.NDArray[np.bool_], best: int) -> tuple[int, int]:
    """[start, stop) of the seconds around the best one of a clip that are of its stretch."""
    least = of[best] * SHARE
    start, stop = best, best + 1
    if of[best] <= 0:  # no better than most: nothing that lasts
        return start, stop
    while start > 0 and not taken[start - 1] and of[start - 1] >= least:
        start -= 1
    while stop < len(of) and not taken[stop] and of[stop] >= least:
        stop += 1
    return start, stop
