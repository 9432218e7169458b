"""One way to train over seeds: its scores clip by clip, and what it has over another, over clips and over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pandas as pd

from valor.data.anchors import OWN_CLASS
from valor.eval.intervals import Interval, Intervals, compare, seed_interval, unpaired_interval
from valor.eval.scores import FIGURES, LEVELS, Scores, levels_over

from .system import ScoredSystem, Section, difference_section, differences


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedScores:
    """Scores of the same clips, one for each seed."""

    scores: tuple[Scores, ...]
    """Of the test split, one for each seed."""

    @property
    def mean_scores(self) -> Scores:
        """Per-clip values averaged over seeds, and the figures they give."""
        return Scores.of_clips(np.mean([scores.per_clip for scores in self.scores], axis=0))

    def figures(self, level: str, figure: str) -> list[float]:
        """One test figure of each seed."""
        return [float(getattr(getattr(scores, level), figure)) for scores in self.scores]


@dataclass(frozen=True, kw_only=True, eq=False)
class Difference:
    """What one way to train has over another on test."""

    clips: Intervals
    """Paired over clips, of per-clip values averaged over seeds: what other clips would change."""
    seeds: dict[tuple[str, str], Interval] | None
    """Over seeds, by level and figure: what other seeds would change; None of a single seed."""

    def is_clear(self, level: str = "segment", figure: str = "type_av") -> bool:
        """Whether a difference lies outside zero over clips and over seeds."""
        intervals = [self.clips.of(level, figure), *([self.seeds[level, figure]] if self.seeds else [])]
        return all(interval.low > 0 or interval.high < 0 for interval in intervals)

    def to_frame(self) -> pd.DataFrame:
        """The ten differences as a table, in points of percent.

        Columns: level, figure, value, low, high and p over clips; of several seeds also seeds_low, seeds_high and
        seeds_p, and clear, whether both intervals lie outside zero.
        """
        frame = self.clips.to_frame()
        if self.seeds is not None:
            over = [self.seeds[level, figure] for level in LEVELS for figure in FIGURES]
            frame["seeds_low"] = [of.low for of in over]
            frame["seeds_high"] = [of.high for of in over]
            frame["seeds_p"] = [of.p_value for of in over]
            frame["clear"] = [self.is_clear(level, figure) for level in LEVELS for figure in FIGURES]
        return frame


def too_few(*seeds: int) -> str:
    """What is said behind an interval over seeds of which there are two: it is many times as wide as over three."""
    return ", which are too few to publish" * (min(seeds) == 2)


def difference(found: SeedScores, base: SeedScores, *, paired: bool = True) -> Difference:
    """Compare two ways to train that were scored on the same clips.

    Args:
        found: One, with a score for each seed.
        base: The other.
        paired: Whether both were trained with the same seeds, in the same order; else each may have its own.
    """
    over_seeds = None
    if min(len(found.scores), len(base.scores)) > 1:
        over_seeds = {}
        for level in LEVELS:
            for figure in FIGURES:
                ours, theirs = found.figures(level, figure), base.figures(level, figure)
                over_seeds[level, figure] = (
                    seed_interval([one - other for one, other in zip(ours, theirs, strict=True)])
                    if paired
                    else unpaired_interval(ours, theirs)
                )
    return Difference(clips=compare(found.mean_scores, base.mean_scores), seeds=over_seeds)


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredSeeds(SeedScores):
    """Runs of one recipe with several seeds, or a single system, on one split."""

    name: str
    systems: tuple[ScoredSystem, ...]
    seeds: tuple[int, ...] = ()
    """Of the runs; none of a single system."""

    @property
    def mean(self) -> ScoredSystem:
        """The first system under the name of all, with the mean of the scores; the system itself of a single one."""
        first = self.systems[0]
        if not self.seeds:
            return first
        figures: dict[str, float | None] = {}
        for name in first.scores.figures:
            known = [value for one in self.scores if (value := one.figures[name]) is not None]
            figures[name] = fmean(known) if len(known) == len(self.scores) else None
        return replace(first, name=self.name, scores=replace(self.mean_scores, figures=figures))

    def decides_as(self, other: "ScoredSeeds") -> bool:
        """Whether another marks the very same segments, seed by seed."""
        pairs = zip(self.systems, other.systems, strict=False)
        same = all(np.array_equal(one.predicted, two.predicted) for one, two in pairs)
        return same and len(self.systems) == len(other.systems)

    def called(self, name: str) -> "ScoredSeeds":
        """The same under another name."""
        systems = tuple(replace(system, name=name) for system in self.systems)
        return replace(self, name=name, systems=systems)

    def report(self) -> dict[str, Any]:
        """The score file: means, deviations and seeds of several; that of the system of a single one."""
        first = self.systems[0].report
        if not self.seeds:
            return dict(first)
        common = {key: value for key, value in first.items() if key not in (*LEVELS, "figures", "anchors")}
        spread = {"sd": levels_over(self.scores, stdev)} if len(self.seeds) > 1 else {}
        return levels_over(self.scores, fmean) | common | {"seeds": list(self.seeds)} | spread

    def without_own(self, anchors: Sequence[tuple[str, Scores]]) -> list[tuple[str, Scores]]:
        """Anchors but for the one that is made of the predictions of a single seed."""
        return [(name, scores) for name, scores in anchors if not self.seeds or name != OWN_CLASS]


def scored_seeds(name: str, systems: Mapping[int, ScoredSystem]) -> ScoredSeeds:
    """Runs of several seeds under one name, with the marks of all.

    Args:
        name: What tables call them.
        systems: By seed.
    """
    known = reduce(or_, (system.predictions.provenance for system in systems.values()))
    held = tuple(systems.values())
    scores = tuple(system.scores for system in held)
    return ScoredSeeds(name=known.marked(name), systems=held, scores=scores, seeds=tuple(systems))


def seeds_section(system: ScoredSeeds, baseline: ScoredSeeds) -> Section:
    """The ten differences of two ways to train on the same clips: over clips and, of several seeds each, over seeds.

    Raises:
        ValueError: The two are of different clips.
    """
    over_clips = difference_section(system.mean, baseline.mean)
    if not (system.seeds or baseline.seeds):
        return over_clips
    paired = set(system.seeds) == set(baseline.seeds)
    found = difference(system, baseline, paired=paired)
    first = over_clips.title.partition("; all ten")[0] + ", values averaged over seeds"
    counts = f"{max(len(system.seeds), 1)} and {max(len(baseline.seeds), 1)}"
    if found.seeds is None:
        said = f"runs: {counts}, which says nothing of other seeds"
        return replace(over_clips, title=f"{first}; {said}; all ten differences:")
    at = found.seeds["segment", "type_av"]
    how = f"paired over {len(system.seeds)} seeds" if paired else f"of {counts} seeds, unpaired since these differ"
    how += too_few(len(system.seeds), len(baseline.seeds))
    frame = found.to_frame()
    frame["clear"] = frame["clear"].map({True: "yes", False: "no"})
    title = f"{first}; ({at.low:+.1f}, {at.high:+.1f}) over seeds, {how}; all ten differences:"
    return differences(title, frame, system.name, baseline.name, over_clips.notes)
