"""What vectors of seconds are worth, whoever made them: a linear probe, retrieval, and seconds in step.

Numpy alone; what is compared is float [N, T, D], with valid bool [N, T] where clips are of unlike length. Every figure
is drawn over clips as well, and the same clips are drawn for whatever is measured on them: two figures are compared
draw by draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from valor.eval.average_precision import resampled_precision
from valor.eval.events import BoolArray, CountArray, Float64Array, FloatArray
from valor.eval.intervals import Interval
from valor.eval.retrieval import FIRST, ranks

STIFFNESS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridges that are tried, in units of the number of seconds; standardised features have a variance of 1."""
FOLDS = 4
"""Parts of the clips a ridge is chosen on."""
RESAMPLES = 200
"""Draws of clips behind an interval."""


def draws_of(clips: int, resamples: int = RESAMPLES, seed: int = 0) -> CountArray:
    """How often each draw has each clip, int [1 + resamples, N]; the first has each once."""
    drawn = np.random.default_rng(seed).integers(0, clips, (resamples, clips))
    return np.stack([np.bincount(rows, minlength=clips) for rows in (np.arange(clips), *drawn)])


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure in percent, and the same of draws of clips."""

    value: float
    draws: Float64Array
    """float64 [R]; none where it is of no clips."""

    @staticmethod
    def of(figures: Float64Array) -> "Drawn":
        """From the figure of `draws_of`, in 0..1."""
        return Drawn(100 * float(figures[0]), 100 * figures[1:])

    @staticmethod
    def mean(several: "Sequence[Drawn]") -> "Drawn":
        """The mean of figures of the same clips, such as those of several seeds."""
        return Drawn(float(np.mean([one.value for one in several])), np.mean([one.draws for one in several], axis=0))

    def minus(self, other: "Drawn") -> "Drawn":
        """The difference, draw by draw."""
        return Drawn(self.value - other.value, self.draws - other.draws)

    def interval(self) -> Interval:
        """With the middle 95 % of the draws that have a figure: few clips may be drawn without a true second."""
        draws = self.draws[np.isfinite(self.draws)]
        low, high = np.quantile(draws if len(draws) else [self.value], [0.025, 0.975])
        return Interval(self.value, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Seconds:
    """The seconds of some clips, and what is true of them."""

    vectors: FloatArray
    """float [N, T, D]."""
    truth: BoolArray
    """bool [N, T, C], of the modality that is asked about."""
    valid: BoolArray
    """bool [N, T]."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A ridge regression from vectors to classes."""

    mean: Float64Array
    """float64 [D], of the vectors it learned from."""
    deviation: Float64Array
    """float64 [D]."""
    weights: Float64Array
    """float64 [D + 1, C], the constant last."""

    def judge(self, scored: Seconds, times: CountArray) -> Drawn:
        """Segment mAP of other clips. Classes that no scored second has do not count.

        Args:
            scored: The clips; a second of vectors that hold less may be scored as one that lacks something.
            times: `draws_of` these clips.
        """
        scores = _standard(scored, self.mean, self.deviation) @ self.weights
        return Drawn.of(resampled_precision(scores, scored.truth, times, valid=scored.valid))


def fit_probe(learned: Seconds) -> Probe:
    """Fit to what is true of some clips, with the ridge that foretells others best, of `FOLDS` parts of them."""
    fold = np.arange(len(learned.vectors)) % FOLDS
    mean, deviation = _moments(learned)
    x = _standard(learned, mean, deviation)
    losses = np.zeros(len(STIFFNESS))
    for part in range(FOLDS):
        fits, tests = fold != part, fold == part
        if not fits.any() or not tests.any():
            continue
        there, wanted = x[tests][learned.valid[tests]], learned.truth[tests][learned.valid[tests]]
        for number, weights in enumerate(_ridges(x[fits], learned.truth[fits], learned.valid[fits], STIFFNESS)):
            losses[number] += float(np.square(there @ weights - wanted).sum())
    best = STIFFNESS[int(losses.argmin())]
    (weights,) = _ridges(x, learned.truth, learned.valid, (best,))
    return Probe(mean, deviation, weights)


def retrieved(audio: FloatArray, visual: FloatArray, valid: BoolArray) -> dict[int, Float64Array]:
    """Whether the picture of a clip is among the first k for its sound, and the other way round: the mean, in 0..1.

    Args:
        audio: float [N, T, D].
        visual: float [N, T, D], in the same space.
        valid: bool [N, T].

    Returns:
        float64 [N] by k.
    """
    counted = valid[..., None].astype(np.float64)
    sound, picture = (_unit((x * counted).sum(axis=1) / counted.sum(axis=1)) for x in (audio, visual))
    similarity = sound @ picture.T
    ways = [ranks(similarity), ranks(similarity.T)]
    return {first: np.mean([rank < first + 1 for rank in ways], axis=0) for first in FIRST}


def in_step(audio: FloatArray, visual: FloatArray, valid: BoolArray) -> Float64Array:
    """Share of the seconds of each clip whose picture is the nearest of it to their sound, both ways, float64 [N].

    Ties are shared: a second that is one of three nearest counts as a third. By chance it is one of how many there are.
    """
    similarity = _unit(audio) @ _unit(visual).transpose(0, 2, 1)  # [N, T, T]
    found = []
    for square, exists in zip(similarity, valid, strict=True):
        there = square[np.ix_(exists, exists)]
        nearest = [one == one.max(axis=1, keepdims=True) for one in (there, there.T)]
        found.append(np.mean([np.diag(near) / near.sum(axis=1) for near in nearest]))
    return np.array(found)


def over_clips(shares: Float64Array, times: CountArray) -> Drawn:
    """The mean of float64 [N] in 0..1, and of its draws."""
    return Drawn.of(times @ shares / len(shares))


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
