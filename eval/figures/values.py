"""Dots with whiskers on one scale of percent: the ten figures of a system, or one figure of many systems."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from .style import LINE, ON_SCREEN, Style, row_fills, stacked_axes, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _HEAD = 0.2, 1.2
"""Inches of height of a line, and lines that the title of a group takes."""
_ROOM = 34.0
"""Points to the right of the axes for a figure in numbers."""

_SPAN = 5.0
"""Points the axis spans at least."""


@dataclass(frozen=True)
class ValueRow:
    """One figure, in percent."""

    name: str
    group: str
    """Rows of a group stand together under its title."""
    value: float
    ends: tuple[float, float] | None = None
    """Of its whisker; None for none."""
    system: str = ""
    """Whose colour it has; ink where it is of none that is drawn elsewhere too."""


def values_figure(
    rows: Sequence[ValueRow], *, measure: str, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw figures below each other, each a dot with its whisker and, to the right, its number.

    Args:
        rows: From top to bottom; those of a group next to one another.
        measure: What the x axis says.
        title: A line above the figure.
        style: Width, theme and colours.

    Raises:
        ValueError: There is no row, or a group stands in two places.
    """
    groups = [(name, list(held)) for name, held in groupby(rows, lambda row: row.group)]
    names = [name for name, _ in groups]
    if not rows or len(set(names)) < len(names):
        raise ValueError(f"a figure needs rows, those of a group next to one another, got {names or 'none'}")
    colours, fills = style.colours, row_fills([row.system for row in rows], style)
    lines = len(rows) + _HEAD * len(groups)
    figure, (axes,) = stacked_axes([_LINE * (lines + 0.6)], style)
    _set_limits(axes, rows)
    y, ticks = -0.15, []
    for name, held in groups:
        y += _HEAD
        write_beside(axes, name, (0, y - 0.85), -4, colours, size=8, bold=True)
        for row in held:
            if row.ends is not None:
                axes.plot(row.ends, (y, y), color=fills[row.system], linewidth=2.4, solid_capstyle="butt", zorder=3)
            axes.plot(row.value, y, "o", color=fills[row.system], markersize=5.5, zorder=4)
            write_beside(axes, f"{row.value:.1f}", (1, y), _ROOM, colours, size=7.5)
            ticks.append((y, row.name))
            y += 1
    axes.set_ylim(y - 0.3, -0.1)
    axes.set_yticks([place for place, _ in ticks], [name for _, name in ticks], fontsize=7.5, color=colours.ink)
    axes.grid(axis="both", color=colours.shade, linewidth=0.6)
    axes.set_xlabel(measure, fontsize=8, color=colours.ink)
    if title:
        title = textwrap.fill(title, int(figure.get_figwidth() / 0.085))
        figure.set_figheight(figure.get_figheight() + LINE * title.count("\n"))
        figure.suptitle(title, fontsize=10, weight="bold", color=colours.ink, x=0.01, ha="left")
    return figure


def _set_limits(axes: "Axes", rows: Sequence[ValueRow]) -> None:
    """From just below the lowest to just above the highest, at least five points, within 0 to 100."""
    ends = [end for row in rows for end in (row.value, *(row.ends or ()))]
    low, high = min(ends), max(ends)
    margin = max(0.06 * (high - low), 1.0)
    left = max(min(low - margin, high - _SPAN), -1.0)
    axes.set_xlim(left, min(max(high + margin, left + _SPAN), 101.0))
