"""What vectors of seconds are worth, whoever made them: a linear probe, retrieval, and seconds in step.

Numpy alone; what is compared is float [N, T, D], with valid bool [N, T] where clips are of unlike length.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from valor.eval.average_precision import segment_precision
from valor.eval.events import BoolArray, Float64Array, FloatArray
from valor.eval.intervals import Interval
from valor.eval.retrieval import FIRST, retrieval_scores

STIFFNESS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridges that are tried, in units of the number of seconds; standardised features have a variance of 1."""
FOLDS = 4
"""Parts of the clips a ridge is chosen on."""
RESAMPLES = 200
"""Draws of clips behind an interval."""


@dataclass(frozen=True, eq=False)
class Seconds:
    """The seconds of some clips, and what is true of them."""

    vectors: FloatArray
    """float [N, T, D]."""
    truth: BoolArray
    """bool [N, T, C], of the modality that is asked about."""
    valid: BoolArray
    """bool [N, T]."""


def probe(learned: Seconds, scored: Seconds, *, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Segment mAP of a ridge regression from vectors to classes, in percent, with a 95 % interval over scored clips.

    The ridge is the one that foretells other clips best, of `FOLDS` parts of those it learns from; nothing is chosen
    on the scored ones. Classes that no scored second has do not count.

    Args:
        learned: What the regression is fitted to.
        scored: Other clips.
        resamples: Draws behind the interval.
        seed: Of these draws.
    """
    fold = np.arange(len(learned.vectors)) % FOLDS
    mean, deviation = _moments(learned)
    x = [_standard(one, mean, deviation) for one in (learned, scored)]
    losses = np.zeros(len(STIFFNESS))
    for part in range(FOLDS):
        fits, tests = fold != part, fold == part
        if not fits.any() or not tests.any():
            continue
        there, wanted = x[0][tests][learned.valid[tests]], learned.truth[tests][learned.valid[tests]]
        for number, weights in enumerate(_ridges(x[0][fits], learned.truth[fits], learned.valid[fits], STIFFNESS)):
            losses[number] += float(np.square(_scores(there, weights) - wanted).sum())
    best = STIFFNESS[int(losses.argmin())]
    (weights,) = _ridges(x[0], learned.truth, learned.valid, (best,))
    probs = 1 / (1 + np.exp(-_scores(x[1], weights)))[:, :, None]  # [N, T, 1, C], in the same order
    rng = np.random.default_rng(seed)
    draws = [np.arange(len(probs)), *rng.integers(0, len(probs), (resamples, len(probs)))]
    found = [
        100 * float(segment_precision(probs[rows], scored.truth[rows, :, None], valid=scored.valid[rows]).mean[0])
        for rows in draws
    ]
    low, high = np.quantile(found[1:] or found, [0.025, 0.975])
    return Interval(found[0], float(low), float(high))


def retrieved(audio: FloatArray, visual: FloatArray, valid: BoolArray) -> dict[int, float]:
    """Percent of clips whose picture is among the first k for their sound, and the other way round; the mean of both.

    Args:
        audio: float [N, T, D].
        visual: float [N, T, D], in the same space.
        valid: bool [N, T].
    """
    counted = valid[..., None].astype(np.float64)
    sound, picture = (_unit((x * counted).sum(axis=1) / counted.sum(axis=1)) for x in (audio, visual))
    similarity = sound @ picture.T
    ways = (retrieval_scores(similarity), retrieval_scores(similarity.T))
    return {first: (ways[0].recall[first] + ways[1].recall[first]) / 2 for first in FIRST}


def in_step(audio: FloatArray, visual: FloatArray, valid: BoolArray) -> tuple[float, float]:
    """Percent of seconds whose picture is the nearest of its clip's to their sound, both ways, and that by chance.

    Ties are shared: a second that is one of three nearest counts as a third.
    """
    similarity = _unit(audio) @ _unit(visual).transpose(0, 2, 1)  # [N, T, T]
    found, chance = [], []
    for square, exists in zip(similarity, valid, strict=True):
        there = square[np.ix_(exists, exists)]
        chance += [1 / len(there)] * 2
        for one in (there, there.T):
            nearest = one == one.max(axis=1, keepdims=True)
            found.append(float((np.diag(nearest) / nearest.sum(axis=1)).mean()))
    return 100 * float(np.mean(found)), 100 * float(np.mean(chance))


def _unit(x: FloatArray) -> Float64Array:
    held = x.astype(np.float64)
    found: Float64Array = held / np.maximum(np.linalg.norm(held, axis=-1, keepdims=True), 1e-12)
    return found


def _moments(of: Seconds) -> tuple[Float64Array, Float64Array]:
    there = of.vectors[of.valid].astype(np.float64)
    deviation = there.std(axis=0)
    return there.mean(axis=0), np.where(deviation > 1e-8, deviation, 1.0)


def _standard(of: Seconds, mean: Float64Array, deviation: Float64Array) -> Float64Array:
    """float64 [N, T, D + 1], the constant last."""
    x = (of.vectors.astype(np.float64) - mean) / deviation
    return np.concatenate((x, np.ones((*x.shape[:2], 1))), axis=-1)


def _ridges(x: Float64Array, truth: BoolArray, valid: BoolArray, stiffness: tuple[float, ...]) -> list[Float64Array]:
    """Weights float64 [D + 1, C] for each ridge; the constant has none."""
    rows, wanted = x[valid], truth[valid].astype(np.float64)
    square, product = rows.T @ rows, rows.T @ wanted
    free = np.eye(len(square))
    free[-1, -1] = 0.0
    tiny = 1e-8 * len(rows) * np.eye(len(square))
    solved: list[Any] = [np.linalg.solve(square + share * len(rows) * free + tiny, product) for share in stiffness]
    return solved


def _scores(x: Float64Array, weights: Float64Array) -> Float64Array:
    found: Float64Array = x @ weights
    return found
