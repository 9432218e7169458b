"""What the bench foretells beside what was published: differences from the anchors, their intervals, and the order.

The difference of a row is its segment Type@AV on test less that of the anchor it builds on, means over seeds. Its
interval holds both what other test clips and what other seeds would change: clips are drawn anew, the same for all
rows, and to every row's mean comes noise of the deviation that single seeds have, pooled over all rows, since two or
three seeds of one row say little of it, over the root of their number. The same draws give the intervals of rank
correlations.

A row misses where the published difference lies outside its interval. The published one has an error of its own, about
that of one seed, which is not in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from valor.eval.events import Float64Array
from valor.eval.intervals import Interval
from valor.eval.ranks import kendall, spearman
from valor.eval.scores import FIGURES, PER_CLIP
from valor.scoring.published import read_published

from ..jobs import OverSeeds
from .rows import ANCHORS, ROWS

RESAMPLES = 1000
_SEED = 0
_TYPE = tuple(PER_CLIP.index(name) for name in ("audio", "visual", "audio_visual"))


@dataclass(frozen=True, kw_only=True)
class BenchLine:
    """One row of the bench, foretold and published."""

    name: str
    published: tuple[float | None, ...]
    """Its five segment-level figures in the order of FIGURES; None where they were not seen."""
    simulated: tuple[float, ...]
    """The same on the bench, means over seeds, by the rule of its method."""
    deviation: float
    """Of Type@AV over seeds; 0 of a single one."""
    tuned: float | None
    """Type@AV by gates and cuts tuned on val."""
    published_delta: float | None
    """Published Type@AV less the anchor's; None of an anchor, or where it was not seen."""
    delta: Interval | None
    """The same on the bench; None of an anchor."""

    @property
    def counts(self) -> bool:
        """Whether the row is a test of the bench: published, and nothing was fitted to it."""
        return self.published_delta is not None

    @property
    def misses(self) -> bool:
        """Whether the published difference lies outside the interval."""
        return (
            self.delta is not None
            and self.published_delta is not None
            and not self.delta.low <= self.published_delta <= self.delta.high
        )

    @property
    def type_av(self) -> float:
        """Type@AV on the bench."""
        return self.simulated[FIGURES.index("type_av")]


@dataclass(frozen=True, kw_only=True)
class Order:
    """How well the bench orders rows as their papers do, over the rows that count."""

    of: str
    """figures or differences."""
    rows: int
    spearman: Interval
    kendall: Interval


def published_figures(name: str) -> tuple[float | None, ...]:
    """The five published segment-level figures of a row."""
    known = {row.method: row.sourced for row in read_published().rows}
    return known[ROWS[name].published or ""][: len(FIGURES)] if ROWS[name].published else (None,) * len(FIGURES)


def compare_rows(found: Mapping[str, OverSeeds], *, resamples: int = RESAMPLES) -> tuple[list[BenchLine], list[Order]]:
    """Set rows beside what was published of them.

    Args:
        found: Rows by name, with the anchors of each; all scored on the same clips.
        resamples: Draws behind an interval.

    Returns:
        A line for each row in the order of ROWS, and the rank correlations of figures and of differences, as far as
        there are three rows to order.
    """
    names = [name for name in ROWS if name in found]
    drawn = _drawn_means(found, names, resamples)
    at = FIGURES.index("type_av")
    lines = []
    for name in names:
        figures = [fmean(found[name].figures("segment", figure)) for figure in FIGURES]
        published, over = published_figures(name), ROWS[name].over
        values, delta, published_delta = found[name].figures("segment", "type_av"), None, None
        if over is not None:
            anchor, own = published_figures(over)[at], published[at]
            published_delta = None if own is None or anchor is None else own - anchor
            apart = drawn[names.index(name)] - drawn[names.index(over)]
            delta = _interval(figures[at] - fmean(found[over].figures("segment", "type_av")), apart)
        lines.append(
            BenchLine(
                name=name,
                published=published,
                simulated=tuple(figures),
                deviation=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                tuned=fmean(scores.segment.type_av for scores in found[name].tuned) if found[name].tuned else None,
                published_delta=published_delta,
                delta=delta,
            )
        )
    return lines, _orders(lines, drawn)


def _drawn_means(found: Mapping[str, OverSeeds], names: Sequence[str], resamples: int) -> Float64Array:
    """Type@AV of rows on other clips and with other seeds, float64 [rows, resamples]."""
    per_clip = np.stack([found[name].mean_scores.per_clip[:, 0, _TYPE].mean(axis=1) for name in names])  # [rows, N]
    rng = np.random.default_rng(_SEED)
    clips = per_clip.shape[1]
    means = np.stack([per_clip[:, rng.integers(clips, size=clips)].mean(axis=1) for _ in range(resamples)], axis=1)
    seeds = [found[name].figures("segment", "type_av") for name in names]
    spare = sum(len(values) - 1 for values in seeds)
    squares = sum(float(np.var(values) * len(values)) for values in seeds)
    pooled = np.sqrt(squares / spare) if spare else 0.0
    counts = np.array([[len(values)] for values in seeds])
    drawn: Float64Array = 100 * means + pooled / np.sqrt(counts) * rng.standard_normal(means.shape)
    return drawn


def _orders(lines: Sequence[BenchLine], drawn: Float64Array) -> list[Order]:
    """Rank correlations with the published figures, and with the published differences."""
    names = [line.name for line in lines]
    counted = [n for n, line in enumerate(lines) if line.counts]
    if len(counted) < 3:
        return []
    anchors = [names.index(ROWS[names[n]].over or "") for n in counted]
    at = FIGURES.index("type_av")
    kinds = {
        "figures": (
            [float(lines[n].published[at] or 0) for n in counted],
            [lines[n].type_av for n in counted],
            drawn[counted],
        ),
        "differences": (
            [float(lines[n].published_delta or 0) for n in counted],
            [lines[n].delta.value for n in counted if lines[n].delta],  # type: ignore[union-attr]
            drawn[counted] - drawn[anchors],
        ),
    }
    return [
        Order(
            of=of,
            rows=len(counted),
            spearman=_interval(spearman(known, told), np.array([spearman(known, draw) for draw in draws.T.tolist()])),
            kendall=_interval(kendall(known, told), np.array([kendall(known, draw) for draw in draws.T.tolist()])),
        )
        for of, (known, told, draws) in kinds.items()
    ]


def _interval(value: float, draws: Float64Array) -> Interval:
    """The middle 95 % of draws around a value."""
    low, high = np.nanpercentile(draws, [2.5, 97.5]).tolist()
    return Interval(value=value, low=low, high=high)


def anchor_errors(lines: Sequence[BenchLine]) -> dict[str, float]:
    """Simulated less published Type@AV of the anchors that are there."""
    at = FIGURES.index("type_av")
    by_name = {line.name: line for line in lines}
    return {
        name: by_name[name].type_av - float(by_name[name].published[at] or 0) for name in ANCHORS if name in by_name
    }
