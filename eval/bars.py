"""Bars in groups: the F-scores of parsers side by side, or how good pseudo labels are."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

from .canvas import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes, swatches
from .scores import FIGURES, TenScores
from .tables import FIGURE_TITLES, LEVEL_TITLES, Row

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ANCHOR_DASHES: tuple[tuple[float, tuple[float, ...]], ...] = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Line styles of the anchors of a bar figure, in turn."""


def score_bars_figure(
    rows: Sequence[Row],
    *,
    level: str = "segment",
    anchors: Sequence[tuple[str, TenScores]] = (),
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw the five figures of one level as bars: of parsers, or of pseudo labels scored against the truth.

    Args:
        rows: (name, scores) of each system, in the order of the bars; several seeds give a whisker of one sample
            standard deviation to either side.
        level: segment or event.
        anchors: (name, scores) drawn as lines across the bars, such as the tags copied to every second.
        title: a line above the figure.
        style: width, theme and colours.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no row, a row has no score, or the level is unknown.
    """
    systems = [(name, [scores] if isinstance(scores, TenScores) else list(scores)) for name, scores in rows]
    if level not in LEVEL_TITLES or not systems or not all(seeds for _, seeds in systems):
        raise ValueError(
            f"bars need rows with at least one score each and a level of {', '.join(LEVEL_TITLES)}, "
            f"got {[(name, len(seeds)) for name, seeds in systems]} and {level!r}"
        )
    bars = [Bars(name, [_five(scores, level) for scores in seeds]) for name, seeds in systems]
    return grouped_bars_figure(
        bars,
        [FIGURE_TITLES[name] for name in FIGURES],
        measure=f"F-score, {LEVEL_TITLES[level].lower()} (%)",
        anchors=[(name, _five(scores, level)) for name, scores in anchors],
        title=title,
        style=style,
    )


@dataclass(frozen=True)
class Bars:
    """The bars of one system."""

    name: str
    values: Sequence[Sequence[float]]
    """One row for each seed, of as many percentages as there are groups; several rows give means with whiskers."""


def grouped_bars_figure(
    systems: Sequence[Bars],
    groups: Sequence[str],
    *,
    measure: str,
    anchors: Sequence[tuple[str, Sequence[float]]] = (),
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw groups of bars, one bar for each system in each group.

    Args:
        systems: what each system has, in the order of the bars.
        groups: titles of the groups from left to right.
        measure: what the y axis says, in percent.
        anchors: (name, percentages) drawn as lines across the bars of each group.
        title: a line above the figure.
        style: width, theme and colours.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no system, or one has not a value for each group.
    """
    wrong = [name for name, values in _all_values(systems, anchors) if len(values) != len(groups)]
    if not systems or wrong:
        raise ValueError(f"bars need systems with a value for each of {len(groups)} groups, got {wrong or 'no system'}")
    colours = style.colours
    figure, (axes,) = stacked_axes([max(1.65, 0.34 * style.width - 0.75)], style)
    fills = style.fills([system.name for system in systems])
    thickness = 0.8 / len(systems)
    for position, system in enumerate(systems):
        places = np.arange(len(groups)) + (position - (len(systems) - 1) / 2) * thickness
        _draw_bars(axes, places, thickness, system, fills[system.name], colours)
    for position, (_, values) in enumerate(anchors):
        for place, value in enumerate(values):
            reach = (place - 0.46, place + 0.46)
            axes.plot(
                reach, (value, value), color=colours.ink, linestyle=_dashes(position), linewidth=1.1, clip_on=False
            )
    _frame_bars(axes, groups, measure, colours)
    add_legend(figure, [*swatches(fills), *_dashed_lines([name for name, _ in anchors], colours)], title, colours)
    settle(figure)
    return figure


def _five(scores: TenScores, level: str) -> list[float]:
    return [float(getattr(getattr(scores, level), name)) for name in FIGURES]


def _all_values(
    systems: Sequence[Bars], anchors: Sequence[tuple[str, Sequence[float]]]
) -> list[tuple[str, Sequence[float]]]:
    return [*((system.name, row) for system in systems for row in system.values or [[]]), *anchors]


def _draw_bars(axes: "Axes", places: "np.ndarray", thickness: float, system: Bars, colour: str, colours: Theme) -> None:
    """Draw the bars of one system with their numbers and, over several seeds, their whiskers."""
    several = len(system.values) > 1
    figure = axes.get_figure(root=True)
    assert figure is not None  # these axes were made by stacked_axes
    rotation = 0 if figure.get_figwidth() * thickness / len(places) > 0.3 else 90  # inches a number needs to lie flat
    columns = list(zip(*system.values, strict=True))
    means = [fmean(of_seeds) for of_seeds in columns]
    spread = [stdev(of_seeds) if several else 0.0 for of_seeds in columns]
    axes.bar(places, means, 0.92 * thickness, color=colour)
    if several:
        axes.errorbar(places, means, spread, fmt="none", ecolor=colours.ink, elinewidth=1.0, capsize=2.0)
    for place, mean, above in zip(places, means, spread, strict=True):
        axes.annotate(
            f"{mean:.1f}",
            (place, mean + above),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            rotation=rotation,
            fontsize=6.5,
            color=colours.ink,
        )


def _frame_bars(axes: "Axes", groups: Sequence[str], measure: str, colours: Theme) -> None:
    axes.set_xticks(range(len(groups)), groups, fontsize=7.5, color=colours.ink)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylim(0, 105)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel(measure, fontsize=8, color=colours.ink)
    axes.grid(axis="y", color=colours.shade, linewidth=0.6)


def _dashed_lines(anchors: Sequence[str], colours: Theme) -> "list[Artist]":
    """Legend entries: the dashes of each anchor, in its order."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=colours.ink, linestyle=_dashes(position), linewidth=1.1, label=name)
        for position, name in enumerate(anchors)
    ]


def _dashes(position: int) -> tuple[float, tuple[float, ...]]:
    return ANCHOR_DASHES[position % len(ANCHOR_DASHES)]


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """How good one set of pseudo labels is, each pair of percentages audible then visible."""

    name: str
    precision: tuple[float, float]
    """Of the labelled seconds, how many are true."""
    recall: tuple[float, float]
    """Of the true seconds, how many are labelled."""
    f_score: tuple[float, float]
    """Segment-level F as the benchmark averages it, A and V."""
    type_av: float
    """Segment-level Type@AV of the labels taken as predictions."""


def label_bars_figure(
    labels: Sequence[LabelFigures], *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw precision, recall and F of pseudo labels, audible and visible.

    Args:
        labels: sets of labels in the order of the bars.
        title: a line above the figure.
        style: width, theme and colours.

    Raises:
        ValueError: There are no labels.
    """
    measures = ("precision", "recall", "F")
    groups = [f"{measure}\n{modality}" for modality in ("audible", "visible") for measure in measures]
    bars = []
    for entry in labels:
        triples = zip(entry.precision, entry.recall, entry.f_score, strict=True)
        bars.append(Bars(entry.name, [[*(value for triple in triples for value in triple), entry.type_av]]))
    return grouped_bars_figure(
        bars, [*groups, "Type@AV\nboth"], measure="labels against the truth (%)", title=title, style=style
    )
