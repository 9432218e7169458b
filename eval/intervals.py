"""How far a score could be off: over other clips, of two systems, of every class, and over other seeds.

Over clips
    A resample draws N clips with replacement from the N scored ones and averages their per-clip values, which is exact
    because the published figures are means over clips (scores.py); Type@AV is the mean of three of them in every
    resample, so that what the three share stays shared. Intervals are percentiles of the resampled figures.
    Two systems are compared clip by clip: one resample draws the same clips for both, so what is hard for both cancels.
    The p-value asks how often a difference this large arises when the two systems' values of each clip are swapped at
    random (approximate randomisation). Two-sided; never below 1 / (resamples + 1).
    The interval speaks of other clips of the same kind. It says nothing of other seeds, tags or thresholds.
    Ten figures make ten tests; one p-value below 0.05 among them is no news.

Over seeds
    Two ways to train, each with the same n seeds, differ by n numbers. Their mean has a Student t distribution with
    n - 1 degrees of freedom around the true difference, if differences over seeds are about normal. The p-value is
    two-sided.
    Of unlike seeds the two means are compared unpaired (Welch), which takes more seeds to see as much.
    The interval speaks of other seeds on the same clips, those over clips of other clips with the same trainings. A
    difference worth reporting lies outside zero in both.

Source
    Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals); Noreen,
    "Computer-intensive methods for testing hypotheses", 1989, chapter 2 (approximate randomisation).
    Student, "The probable error of a mean", 1908; the distribution for whole degrees of freedom in closed form:
    Abramowitz and Stegun, "Handbook of mathematical functions", 1964, 26.7.3 and 26.7.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import atan, cos, inf, pi, sin, sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

from .counts import event_counts, segment_counts
from .events import BoolArray, Float64Array
from .scores import FIGURES, LEVELS, PER_CLIP, Scores, f_scores

LEAST_P = 1e-4
"""What 10,000 resamples can tell apart: the lowest they give is 1 / 10,001, however clear a difference is."""

FEW_CLIPS = 30
"""Of fewer clips a figure says little of others: such clips are shown with what they could be, unasked."""

BLOCK = 2**21
"""Draws of clips held in memory at a time: 16 MiB."""

CLASS_BLOCK = 250
"""Resamples of class counts drawn at a time."""


@dataclass(frozen=True)
class Interval:
    """A figure, or the difference of two, with the interval around it, in points of percent."""

    value: float
    low: float
    high: float
    p_value: float | None = None
    """Chance of a difference this large between systems that are alike; None for a single system."""

    def text(self, decimals: int = 1) -> str:
        """Write `62.0 [60.4, 63.5]`, a difference with its signs, `+8.0 [+6.9, +9.1]`."""
        sign = "" if self.p_value is None else "+"
        return f"{self.value:{sign}.{decimals}f} [{self.low:{sign}.{decimals}f}, {self.high:{sign}.{decimals}f}]"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Intervals:
    """All ten figures, or their differences, with intervals: float64 [2 levels, 5 figures], axes LEVELS and FIGURES."""

    value: Float64Array
    """Points of percent."""
    low: Float64Array
    """Lower ends."""
    high: Float64Array
    """Upper ends."""
    confidence: float
    """Share of resamples between the ends, such as 0.95."""
    resamples: int
    """How many were drawn."""
    clips: int
    """How many clips they were drawn from."""
    p_value: Float64Array | None = None
    """For differences, the two-sided p-values."""

    def __repr__(self) -> str:
        """Two figures of each level with their intervals, and what these are over."""
        said = [
            f"{level} Type@AV {self.of(level, 'type_av').text()}, Event@AV {self.of(level, 'event_av').text()}"
            for level in LEVELS
        ]
        return f"{100 * self.confidence:g} % intervals over {self.clips:,} clips: {'; '.join(said)}"

    def of(self, level: str, figure: str) -> Interval:
        """Pick one figure.

        Args:
            level: segment or event.
            figure: audio, visual, audio_visual, type_av or event_av.

        Raises:
            ValueError: There is no such level or figure.
        """
        if level not in LEVELS or figure not in FIGURES:
            raise ValueError(
                f"level must be one of {', '.join(LEVELS)} and figure one of {', '.join(FIGURES)}, "
                f"got {level!r} and {figure!r}"
            )
        place = LEVELS.index(level), FIGURES.index(figure)
        p_value = None if self.p_value is None else float(self.p_value[place])
        return Interval(float(self.value[place]), float(self.low[place]), float(self.high[place]), p_value)

    def to_frame(self) -> "pd.DataFrame":
        """The ten figures or differences as a table: level, figure, value, low, high; of differences also p."""
        import pandas as pd

        rows = []
        for level in LEVELS:
            for figure in FIGURES:
                held = self.of(level, figure)
                row = {"level": level, "figure": figure, "value": held.value, "low": held.low, "high": held.high}
                rows.append(row if held.p_value is None else row | {"p": held.p_value})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return {level: {figure: {"value", "low", "high"}}} with how they came about, unrounded."""
        names = ["value", "low", "high"] + ([] if self.p_value is None else ["p_value"])
        figures = {
            level: {figure: {name: getattr(self.of(level, figure), name) for name in names} for figure in FIGURES}
            for level in LEVELS
        }
        return figures | {"confidence": self.confidence, "resamples": self.resamples, "clips": self.clips}


def bootstrap(scores: Scores, *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0) -> Intervals:
    """Put an interval around each of the ten figures by resampling clips.

    Args:
        scores: the scores of one system.
        resamples: how many times N clips are drawn.
        confidence: share of the resampled figures between the ends.
        seed: of the draws; the same seed gives the same ends.

    Returns:
        The figures with the ends of their percentile intervals.

    Raises:
        ValueError: The per-clip values are not finite, there are fewer than two clips, or an option makes no sense.

    Example:
        >>> marks = np.ones((20, 10, 2, 3), dtype=bool)
        >>> from valor.eval.scores import score
        >>> bootstrap(score(marks, marks), resamples=100).of("segment", "type_av").text()
        '100.0 [100.0, 100.0]'
    """
    values = _checked(scores, resamples, confidence)
    figures = _of_blocks(values, _draw_clips, resamples, seed)
    return _intervals(values.mean(axis=0), figures, confidence, len(values))


def few_clips(scores: Scores) -> str | None:
    """What there is to say of scores of fewer than FEW_CLIPS clips: how far other clips could move them; else None."""
    if scores.clips >= FEW_CLIPS:
        return None
    if scores.clips == 1:
        return "one clip says nothing of others: no interval of segment Type@AV can be had of it"
    found = bootstrap(scores).of("segment", "type_av")
    return (
        f"{scores.clips} clips are few: segment Type@AV of other ones like them may be anything from {found.low:.1f} "
        f"to {found.high:.1f} (95 % over clips, itself too narrow of so few)"
    )


def compare(
    scores: Scores, baseline: Scores, *, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Intervals:
    """Compare two systems on the same clips: the difference of each of the ten figures, its interval and p-value.

    Args:
        scores: the scores of one system.
        baseline: the scores of the other, of the same clips in the same order against the same truth. Per-clip values
            do not say which clips they are of; check the ids before.
        resamples: how many times clips are drawn, and swapped.
        confidence: share of the resampled differences between the ends.
        seed: of the draws.

    Returns:
        Differences `scores` - `baseline` in points of percent.

    Raises:
        ValueError: The two score unlike many clips, the per-clip values are not finite, there are fewer than two clips,
            or an option makes no sense.

    Example:
        >>> from valor.eval.scores import score
        >>> truth = np.ones((20, 10, 2, 3), dtype=bool)
        >>> better, worse = score(truth, truth), score(truth & (np.arange(10) < 5).reshape(10, 1, 1), truth)
        >>> result = compare(better, worse, resamples=100).of("segment", "audio")
        >>> difference_line("VALOR", "HAN", result), round(result.p_value, 4)
        ('VALOR - HAN = +33.3 [+33.3, +33.3]', 0.0099)
    """
    if scores.clips != baseline.clips:
        raise ValueError(
            f"systems must be scored on the same clips, got {scores.clips} and {baseline.clips} clips; "
            "score both on the clips they share"
        )
    values = _checked(scores, resamples, confidence) - _checked(baseline, resamples, confidence)
    value = values.mean(axis=0)
    result = _intervals(value, _of_blocks(values, _draw_clips, resamples, seed), confidence, len(values))
    swapped = _of_blocks(values, _draw_swaps, resamples, seed)
    observed = np.abs(_ten(value[np.newaxis]))[0]
    as_large = np.count_nonzero(np.abs(swapped) >= observed - 1e-9, axis=0)  # a tie is as large, rounding or not
    p_value = (as_large + 1) / (resamples + 1)
    return Intervals(
        value=result.value,
        low=result.low,
        high=result.high,
        confidence=confidence,
        resamples=resamples,
        clips=result.clips,
        p_value=p_value,
    )


def p_text(p_value: float) -> str:
    """A p-value as tables print it; below what 10,000 resamples can tell it is a bound.

    >>> p_text(1 / 10_001), p_text(0.0312)
    ('< 0.0001', '0.0312')
    """
    return "< 0.0001" if p_value < LEAST_P else f"{p_value:.4f}"


def difference_line(name: str, baseline: str, difference: Interval, *, decimals: int = 1) -> str:
    """Write a comparison in one line, as `VALOR - HAN = +8.0 [+6.9, +9.1]`.

    Args:
        name: the system.
        baseline: the system it is compared with.
        difference: one figure of `compare`.
        decimals: digits after the point.

    Raises:
        ValueError: The interval is that of a single system.
    """
    if difference.p_value is None:
        raise ValueError("a comparison needs the difference of two systems, got the interval of one; use compare")
    return f"{name} - {baseline} = {difference.text(decimals)}"


def _checked(scores: Scores, resamples: int, confidence: float) -> Float64Array:
    """Return the per-clip values as float64 [N, 8] once everything makes sense."""
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"resamples must be at least 1 and confidence lie between 0 and 1, got {resamples} and {confidence}"
        )
    if scores.clips < 2 or not np.isfinite(scores.per_clip).all():
        raise ValueError(
            f"intervals need finite per-clip values of at least two clips, got {scores.clips} clips, "
            f"{np.count_nonzero(~np.isfinite(scores.per_clip))} values not finite"
        )
    return scores.per_clip.reshape(scores.clips, len(LEVELS) * len(PER_CLIP))


def _of_blocks(
    values: Float64Array,
    draw: Callable[[np.random.Generator, int, int], Float64Array],
    resamples: int,
    seed: int,
) -> Float64Array:
    """Average values [N, 8] under drawn weights, a block of resamples at a time: float64 [resamples, 2, 5] points."""
    rng = np.random.default_rng(seed)
    num_clips = len(values)
    rows = max(1, BLOCK // num_clips)
    sizes = [min(rows, resamples - done) for done in range(0, resamples, rows)]
    return np.concatenate([_ten(draw(rng, size, num_clips) @ values / num_clips) for size in sizes])


def _draw_clips(rng: np.random.Generator, resamples: int, num_clips: int) -> Float64Array:
    """How often each clip is drawn when N are drawn with replacement: float64 [resamples, N]."""
    clips = rng.integers(0, num_clips, size=(resamples, num_clips), dtype=np.int64)
    clips += np.arange(resamples)[:, np.newaxis] * num_clips
    times = np.bincount(clips.ravel(), minlength=resamples * num_clips)
    return times.reshape(resamples, num_clips).astype(np.float64)


def _draw_swaps(rng: np.random.Generator, resamples: int, num_clips: int) -> Float64Array:
    """Which clips keep (+1) and which swap (-1) their systems: float64 [resamples, N]."""
    return 2 * rng.integers(0, 2, size=(resamples, num_clips), dtype=np.int8).astype(np.float64) - 1


def _ten(means: Float64Array) -> Float64Array:
    """Turn means of per-clip values [R, 8] into the ten figures in percent: float64 [R, 2, 5], axis FIGURES."""
    percent = 100 * means.reshape(-1, len(LEVELS), len(PER_CLIP))
    type_av = percent[..., :3].mean(axis=-1, keepdims=True)
    return np.concatenate([percent[..., :3], type_av, percent[..., 3:]], axis=-1, dtype=np.float64)


def _intervals(means: Float64Array, figures: Float64Array, confidence: float, clips: int) -> Intervals:
    """Take the ends of the middle share of figures [resamples, 2, 5]."""
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return Intervals(
        value=_ten(means[np.newaxis])[0],
        low=low,
        high=high,
        confidence=confidence,
        resamples=len(figures),
        clips=clips,
    )


def class_intervals(
    predicted: BoolArray | Sequence[BoolArray],
    truth: BoolArray,
    *,
    level: str = "segment",
    valid: BoolArray | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[Float64Array, Float64Array]:
    """Put an interval around the F of counts added over clips (`Breakdown.f`) of each class.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment; or several such, of seeds whose F are
            averaged.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        level: segment or event.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        resamples: how many times N clips are drawn with replacement. A resample without the class in prediction and
            truth has no F and is left out.
        confidence: share of the resampled figures between the ends.
        seed: of the draws.

    Returns:
        Lower and upper ends, float64 [M, C] in 0..1; NaN for a class that never occurs.

    Raises:
        ValueError: The level is unknown, an option makes no sense, or the arrays do not belong together.

    Source:
        Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals).
    """
    if level not in LEVELS or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"level must be one of {', '.join(LEVELS)}, resamples at least 1 and confidence between 0 and 1, "
            f"got {level!r}, {resamples} and {confidence}"
        )
    count = segment_counts if level == "segment" else event_counts
    seeds = [predicted] if isinstance(predicted, np.ndarray) else predicted
    counts = np.stack([count(marks, truth, valid=valid) for marks in seeds], axis=1)  # [N, S, M, C, 3]
    shape, num_clips = counts.shape[1:], len(counts)
    flat = counts.reshape(num_clips, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    even = np.full(num_clips, 1 / num_clips)
    blocks = []
    for done in range(0, resamples, CLASS_BLOCK):
        times = rng.multinomial(num_clips, even, size=min(CLASS_BLOCK, resamples - done))
        values, present = f_scores(np.rint(times @ flat).astype(np.int64).reshape(-1, *shape))
        seeds_with = present.sum(axis=1)
        blocks.append(np.where(seeds_with, values.sum(axis=1) / np.maximum(seeds_with, 1), np.nan))
    drawn = np.concatenate(blocks)
    occurs = ~np.isnan(drawn).all(axis=0)
    low, high = np.full((2, *occurs.shape), np.nan)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low[occurs], high[occurs] = np.nanquantile(drawn[:, occurs], ends, axis=0)
    return low, high


def seed_interval(differences: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Put an interval around the mean of differences, one for each seed.

    Args:
        differences: in points of percent, of at least two seeds.
        confidence: how often such an interval holds the true difference.

    Returns:
        The mean, its ends and the p-value of no difference.

    Raises:
        ValueError: There are fewer than two differences, or the confidence makes no sense.

    Example:
        >>> seed_interval([1.0, 2.0, 3.0]).text()
        '+2.0 [-0.5, +4.5]'
    """
    if len(differences) < 2 or not 0 < confidence < 1:
        raise ValueError(
            f"an interval over seeds needs at least two and a confidence between 0 and 1, got {len(differences)} "
            f"and {confidence}"
        )
    mean, error = fmean(differences), stdev(differences) / sqrt(len(differences))
    freedom = len(differences) - 1
    reach = error * student_quantile(confidence, freedom)
    share = student_share(abs(mean) / error, freedom) if error else float(mean != 0)
    return Interval(mean, mean - reach, mean + reach, 1 - share)


def unpaired_interval(ones: Sequence[float], others: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Put an interval around the difference of two means, of figures of unlike seeds.

    Args:
        ones: in points of percent, of at least two seeds.
        others: likewise, which may be more or fewer.
        confidence: how often such an interval holds the true difference.

    Returns:
        The mean of the first minus that of the others, its ends and the p-value of no difference.

    Raises:
        ValueError: One has fewer than two figures, or the confidence makes no sense.

    Example:
        >>> unpaired_interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).text()
        '+2.0 [-0.3, +4.3]'

    Source:
        Welch, "The generalization of Student's problem when several different population variances are involved",
        1947; degrees of freedom rounded down.
    """
    if min(len(ones), len(others)) < 2 or not 0 < confidence < 1:
        raise ValueError(
            f"an interval over seeds needs at least two of each and a confidence between 0 and 1, got {len(ones)}, "
            f"{len(others)} and {confidence}"
        )
    shares = [stdev(held) ** 2 / len(held) for held in (ones, others)]
    mean, error = fmean(ones) - fmean(others), sqrt(sum(shares))
    if not error:
        return Interval(mean, mean, mean, 1 - float(mean != 0))
    spare = sum(share**2 / (len(held) - 1) for share, held in zip(shares, (ones, others), strict=True))
    freedom = max(1, int(error**4 / spare * (1 + 1e-12)))  # equal ones make a whole number but for rounding
    reach = error * student_quantile(confidence, freedom)
    return Interval(mean, mean - reach, mean + reach, 1 - student_share(abs(mean) / error, freedom))


def student_share(value: float, freedom: int) -> float:
    """Chance that a Student t variable lies between -value and value.

    Args:
        value: not negative.
        freedom: degrees of freedom, at least 1.

    Example:
        >>> round(student_share(2.776, 4), 3)
        0.95
    """
    if value == inf:
        return 1.0
    angle = atan(value / sqrt(freedom))
    odd = freedom % 2
    term = cos(angle) if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for k in range(2 + odd, freedom - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def student_quantile(confidence: float, freedom: int) -> float:
    """The value that a Student t variable stays within, to either side, with a given chance.

    Example:
        >>> round(student_quantile(0.95, 4), 3)
        2.776
    """
    low, high = 0.0, 1.0
    while student_share(high, freedom) < confidence:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if student_share(middle, freedom) < confidence else (low, middle)
    return high
