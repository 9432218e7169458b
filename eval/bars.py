"""Bars of F-scores: of parsers side by side, or of pseudo labels against the truth."""

from collections.abc import Sequence
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
    colours = style.colours
    figure, (axes,) = stacked_axes([max(1.65, 0.34 * style.width - 0.75)], style)
    fills = style.fills([name for name, _ in systems])
    thickness = 0.8 / len(systems)
    for position, (name, seeds) in enumerate(systems):
        places = np.arange(len(FIGURES)) + (position - (len(systems) - 1) / 2) * thickness
        _draw_bars(axes, places, thickness, seeds, level, fills[name], colours)
    for position, (_, scores) in enumerate(anchors):
        for place, figure_name in enumerate(FIGURES):
            value = getattr(getattr(scores, level), figure_name)
            reach = (place - 0.46, place + 0.46)
            axes.plot(
                reach, (value, value), color=colours.ink, linestyle=_dashes(position), linewidth=1.1, clip_on=False
            )
    _frame_bars(axes, level, colours)
    add_legend(figure, [*swatches(fills), *_dashed_lines([name for name, _ in anchors], colours)], title, colours)
    settle(figure)
    return figure


def _draw_bars(
    axes: "Axes",
    places: "np.ndarray",
    thickness: float,
    seeds: Sequence[TenScores],
    level: str,
    colour: str,
    colours: Theme,
) -> None:
    """Draw the five bars of one system with their numbers and, over several seeds, their whiskers."""
    values = [[float(getattr(getattr(scores, level), name)) for scores in seeds] for name in FIGURES]
    figure = axes.get_figure(root=True)
    assert figure is not None  # these axes were made by stacked_axes
    rotation = 0 if figure.get_figwidth() * thickness / len(FIGURES) > 0.3 else 90  # inches a number needs to lie flat
    means = [fmean(of_seeds) for of_seeds in values]
    spread = [stdev(of_seeds) if len(seeds) > 1 else 0.0 for of_seeds in values]
    axes.bar(places, means, 0.92 * thickness, color=colour)
    if len(seeds) > 1:
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


def _frame_bars(axes: "Axes", level: str, colours: Theme) -> None:
    axes.set_xticks(range(len(FIGURES)), [FIGURE_TITLES[name] for name in FIGURES], fontsize=7.5, color=colours.ink)
    axes.set_xlim(-0.5, len(FIGURES) - 0.5)
    axes.set_ylim(0, 105)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel(f"F-score, {LEVEL_TITLES[level].lower()} (%)", fontsize=8, color=colours.ink)
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
