"""How F depends on the threshold, class by class: small panels on one scale, audible and visible in each."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ..events import MODALITIES, FloatArray
from .style import ON_SCREEN, Style, Theme, add_legend, grid_axes, settle
from .timeline import MODALITY_TITLES

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: tuple[Any, ...] = ("solid", (0, (3.2, 1.4)))
"""Line styles of what is audible and what is visible, so that they differ without colour."""

PANEL = 0.95
"""Inches of height of one panel."""

PANEL_WIDTH = 1.65
"""Inches a panel is wide at least, its labels included."""

POINTS = 500
"""Places along a curve that are told apart; more would be finer than a pixel."""


@dataclass(frozen=True, kw_only=True)
class DrawnCurve:
    """F of one class in one modality at every threshold that changes it."""

    thresholds: FloatArray
    """float [K], in any order."""
    f_scores: FloatArray
    """float [K] in 0..1."""
    used: float | None = None
    """The threshold in use, marked on the curve."""


def threshold_curves_figure(
    panels: Sequence[tuple[str, Sequence[DrawnCurve | None]]],
    *,
    columns: int | None = None,
    unit: str = "threshold",
    chosen_on: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw F against the threshold, one panel for each class.

    Args:
        panels: (class name, curve of each modality, audible then visible); None where the class does not occur.
        columns: panels beside each other; as many as the width has room for unless given.
        unit: what the x axis says, such as "probability" or "logit".
        chosen_on: the split of the curves, on which the best thresholds are chosen, for the legend.
        title: a line above the figure.
        style: width, theme and colours; the height follows from the content.

    Returns:
        A matplotlib figure. A dot marks the best threshold of a curve, a tick on the axis the one in use.

    Raises:
        ValueError: There is no panel, or a curve is no curve.
    """
    _check(panels)
    colours = style.colours
    lines = colours.modalities
    columns = min(columns or max(1, int(style.width / PANEL_WIDTH)), len(panels))
    figure, grid = grid_axes(ceil(len(panels) / columns), columns, PANEL, style)
    for axes, (name, curves) in zip(grid, panels, strict=False):
        for modality, curve in enumerate(curves):
            if curve is not None:
                _draw(axes, curve, lines[modality], DASHES[modality], colours)
                if curve.used is not None:  # on the axis, what is audible below what is visible: equal ones both show
                    ends = (0.1 * modality, 0.1 * (modality + 1))
                    axes.axvline(curve.used, *ends, color=lines[modality], linewidth=1.8, zorder=3)
        short = textwrap.shorten(name.replace("_", " "), 24, placeholder="…")
        axes.set_title(short, fontsize=7.5, color=colours.ink, loc="left", pad=2)
    _frame(grid, panels, columns, unit, colours)
    add_legend(figure, _legend(lines, colours, chosen_on), title, colours)
    settle(figure)
    return figure


def _draw(axes: "Axes", curve: DrawnCurve, line: str, dashes: Any, colours: Theme) -> None:  # noqa: ANN401
    """Draw one curve and a dot on its highest point."""
    order = np.argsort(curve.thresholds)
    thresholds, heights = curve.thresholds[order], 100 * curve.f_scores[order]
    best = int(heights.argmax())
    reach = max(float(thresholds[-1] - thresholds[0]), np.finfo(np.float64).tiny)
    _, kept = np.unique(np.floor(POINTS * (thresholds - thresholds[0]) / reach), return_index=True)
    kept = np.union1d(kept, [best, len(order) - 1])
    style = {
        "color": line,
        "linestyle": dashes,
        "linewidth": 1.2,
        "drawstyle": "steps-pre",
    }  # F holds up to its threshold
    axes.plot(thresholds[kept], heights[kept], zorder=2, **style)
    axes.plot(thresholds[best], heights[best], "o", color=line, markeredgecolor=colours.ink, markersize=3.6, zorder=3)


def _frame(
    grid: "Sequence[Axes]",
    panels: Sequence[tuple[str, Sequence[DrawnCurve | None]]],
    columns: int,
    unit: str,
    colours: Theme,
) -> None:
    """Give all panels one scale, ticks at the outer ones only, and empty the places without a panel."""
    for number, axes in enumerate(grid):
        axes.set_ylim(0, 103)
        axes.set_yticks([0, 50, 100])
        axes.grid(color=colours.shade, linewidth=0.6)
        if number >= len(panels):
            axes.set_axis_off()
        elif number + columns >= len(panels):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(unit, fontsize=7.5, color=colours.quiet, labelpad=1)
        if number % columns == 0 and number < len(panels):
            axes.set_ylabel("F (%)", fontsize=7.5, color=colours.quiet, labelpad=1)


def _legend(lines: Sequence[str], colours: Theme, chosen_on: str) -> "list[Artist]":
    from matplotlib.lines import Line2D

    entries: list[Artist] = [
        Line2D([], [], color=line, linestyle=dashes, linewidth=1.4, label=name)
        for line, dashes, name in zip(lines, DASHES, MODALITY_TITLES, strict=True)
    ]
    best = "best threshold" + f", chosen on {chosen_on}" * bool(chosen_on)
    dot = Line2D([], [], color=colours.quiet, marker="o", markersize=4, linestyle="none", label=best)
    tick = Line2D([], [], color=colours.quiet, marker="|", markersize=7, linestyle="none", label="threshold in use")
    return [*entries, dot, tick]


def _check(panels: Sequence[tuple[str, Sequence[DrawnCurve | None]]]) -> None:
    if not panels:
        raise ValueError("threshold curves need at least one class, got none")
    for name, curves in panels:
        shapes = [(curve.thresholds.shape, curve.f_scores.shape) for curve in curves if curve is not None]
        wrong = [pair for pair in shapes if pair[0] != pair[1] or len(pair[0]) != 1 or not pair[0][0]]
        if len(curves) != len(MODALITIES) or wrong:
            raise ValueError(
                f"{name}: expected {len(MODALITIES)} curves (audible, visible) of as many thresholds as F-scores, "
                f"got {len(curves)} with {wrong or 'arrays that fit'}"
            )
