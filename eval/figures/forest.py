"""Dots with intervals: what each of many variants has over one, in groups, one variant a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from .style import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes, write_beside

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.165
"""Inches of height of a line."""

_HEAD = 1.15
"""Lines a group title takes, the space above it included."""


@dataclass(frozen=True)
class DotRow:
    """One variant; everything in points over what it is compared with."""

    name: str
    group: str
    """Rows of a group stand together under its title."""
    value: float
    inner: tuple[float, float]
    """Ends of the thick line."""
    outer: tuple[float, float] | None = None
    """Ends of the thin line; None for none."""
    points: tuple[float, ...] = ()
    """Single measurements, drawn small and faint."""

    @property
    def is_clear(self) -> bool:
        """Whether every interval leaves zero out."""
        return all(low > 0 or high < 0 for low, high in filter(None, (self.inner, self.outer)))


@dataclass(frozen=True)
class DotPanel:
    """Rows that share an x axis."""

    rows: Sequence[DotRow]
    """From top to bottom; those of a group next to one another."""
    lowest: float | None = None
    """Rows below this are drawn as arrows at the left edge, so that one very bad row does not squeeze all others."""


def dots_figure(
    panels: Sequence[DotPanel],
    *,
    measure: str,
    inner: str,
    outer: str = "",
    points: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw variants below each other: a dot with two intervals, and a line at zero for what they are compared with.

    A dot is filled where every interval leaves zero out, and hollow where one does not.

    Args:
        panels: the variants; each panel has a scale of its own, so that small differences can be seen beside large.
        measure: what the x axis says.
        inner: what the thick lines are, for the legend.
        outer: what the thin lines are; left out where no row has one.
        points: what the small dots are; left out likewise.
        title: a line above the figure.
        style: width, theme and colours.

    Returns:
        A matplotlib figure; `to_picture` turns it into bytes.

    Raises:
        ValueError: There is no row, a panel without one, or a group stands in two places.
    """
    grouped = [[(name, list(rows)) for name, rows in groupby(panel.rows, lambda row: row.group)] for panel in panels]
    names = [name for groups in grouped for name, _ in groups]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not panels or not all(grouped) or twice:
        raise ValueError(f"dots need rows in every panel, those of a group next to one another, got {twice or 'none'}")
    lines = [len(panel.rows) + _HEAD * len(groups) for panel, groups in zip(panels, grouped, strict=True)]
    figure, column = stacked_axes([_LINE * (number + 0.6) for number in lines], style, share_x=False)
    fills = style.fills(names)
    for axes, panel, groups in zip(column, panels, grouped, strict=True):
        _draw_panel(axes, panel, groups, fills, style.colours)
    column[-1].set_xlabel(measure, fontsize=8, color=style.colours.ink)
    every = [row for panel in panels for row in panel.rows]
    thin = outer if any(row.outer for row in every) else ""
    single = points if any(row.points for row in every) else ""
    add_legend(figure, _legend(inner, thin, single, style.colours), title, style.colours)
    settle(figure)
    return figure


def _draw_panel(
    axes: "Axes", panel: DotPanel, groups: Sequence[tuple[str, list[DotRow]]], fills: dict[str, str], colours: Theme
) -> None:
    """Draw the rows of a panel under the titles of their groups."""
    left = _set_limits(axes, panel)
    y, ticks = -0.15, []
    for name, rows in groups:
        y += _HEAD
        write_beside(axes, name, (0, y - 0.8), -4, colours, size=7.5, bold=True)
        for row in rows:
            _draw_row(axes, row, y, fills[name], colours, left)
            write_beside(axes, f"{row.value:+.1f}", (1, y), 22, colours, size=7)
            ticks.append((y, row.name))
            y += 1
    _frame(axes, ticks, y, colours)


def _set_limits(axes: "Axes", panel: DotPanel) -> float:
    """Make room for every interval and for zero; returns where the left edge is."""
    ends = [end for row in panel.rows for end in (*row.inner, *(row.outer or ()), *row.points)]
    left: float = min(ends) if panel.lowest is None else max(min(ends), panel.lowest)
    left, right = min(left, 0.0), max(*ends, 0.0)
    margin = 0.03 * (right - left) or 1.0
    axes.set_xlim(left - margin, right + margin)
    return left


def _draw_row(axes: "Axes", row: DotRow, y: float, colour: str, colours: Theme, left: float) -> None:
    """Draw one variant: thin line, thick line, single points, dot; or an arrow where it lies beyond the left edge."""
    if row.value < left:
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (left, y), xytext=(16, 0), textcoords="offset points", arrowprops=arrow)
        return
    if row.outer is not None:
        outer = [end for end in row.outer if end >= left]  # a bar at an end that is there
        axes.plot(_from(left, row.outer), (y, y), color=colours.ink, linewidth=0.8, solid_capstyle="butt", zorder=4)
        axes.plot(outer, [y] * len(outer), "|", color=colours.ink, markersize=5.5, markeredgewidth=0.8, zorder=4)
    if min(*row.inner, *(row.outer or ())) < left:  # goes on beyond the edge
        axes.plot(left, y, "<", color=colours.ink, markersize=4.5, markeredgewidth=0, zorder=4)
    axes.plot(_from(left, row.inner), (y, y), color=colour, linewidth=3.2, solid_capstyle="butt", zorder=3)
    axes.plot(
        row.points, [y + 0.32] * len(row.points), "o", color=colours.quiet, markersize=1.8, markeredgewidth=0, zorder=4
    )
    face = colour if row.is_clear else colours.paper
    axes.plot(row.value, y, "o", color=colour, markerfacecolor=face, markersize=5.5, markeredgewidth=1.3, zorder=5)


def _from(left: float, ends: tuple[float, float]) -> tuple[float, float]:
    """An interval as far as it is drawn: one that goes on beyond the edge ends at its arrow, before the name."""
    return max(ends[0], left), max(ends[1], left)


def _frame(axes: "Axes", ticks: Sequence[tuple[float, str]], bottom: float, colours: Theme) -> None:
    axes.set_ylim(bottom - 0.4, -0.1)
    axes.set_yticks([y for y, _ in ticks], [name for _, name in ticks], fontsize=7, color=colours.ink)
    axes.grid(axis="x", color=colours.shade, linewidth=0.6)
    axes.axvline(0, color=colours.ink, linewidth=1.0, zorder=1)


def _legend(inner: str, outer: str, points: str, colours: Theme) -> "list[Artist]":
    from matplotlib.lines import Line2D

    ink, quiet, paper = colours.ink, colours.quiet, colours.paper
    handles: list[Artist] = [Line2D([], [], color=quiet, linewidth=3.2, label=inner)]
    if outer:
        handles.append(Line2D([], [], color=ink, linewidth=0.8, label=outer))
    if points:
        handles.append(Line2D([], [], marker="o", color=quiet, linestyle="none", markersize=2.5, label=points))
    for face, words in ((ink, "clear of zero"), (paper, "not clear")):
        dot = Line2D([], [], marker="o", color=ink, linestyle="none", markersize=5.5, markerfacecolor=face, label=words)
        dot.set_markeredgewidth(1.3)
        handles.append(dot)
    return handles
