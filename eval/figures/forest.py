"""Dots with intervals: what each of many variants has over one, in groups, one variant a line."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from .style import ON_SCREEN, Style, Theme, add_legend, row_fills, settle, stacked_axes, write_beside

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE = 0.165
"""Inches of height of a line."""

_REACH = 0.5
"""How far thin lines may widen an axis at each end, as a share of all else in it; longer ones end in arrows. Over few
seeds they are many times as long as the differences."""

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
    system: str = ""
    """Whose colour it has; ink where it is of none, as variants of one system are."""

    @property
    def is_clear(self) -> bool:
        """Whether every interval leaves zero out."""
        return all(low > 0 or high < 0 for low, high in filter(None, (self.inner, self.outer)))


@dataclass(frozen=True)
class DotPanel:
    """Rows that share an x axis."""

    rows: Sequence[DotRow]
    """From top to bottom; those of a group next to one another."""


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

    A dot is filled where every interval leaves zero out, and hollow where one does not. Dots, thick lines and single
    measurements are whole; thin lines that are far longer are cut at the edges, where an arrow says so.

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
    fills = row_fills([row.system for panel in panels for row in panel.rows], style)
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
    edges = _set_limits(axes, panel)
    y, ticks = -0.15, []
    for name, rows in groups:
        y += _HEAD
        write_beside(axes, name, (0, y - 0.8), -4, colours, size=7.5, bold=True)
        for row in rows:
            _draw_row(axes, row, y, fills[row.system], colours, edges)
            write_beside(axes, f"{row.value:+.1f}", (1, y), 22, colours, size=7)
            ticks.append((y, row.name))
            y += 1
    _frame(axes, ticks, y, colours)


def _set_limits(axes: "Axes", panel: DotPanel) -> tuple[float, float]:
    """Make room for all but very long thin lines, and for zero; returns where these end."""
    whole = [0.0, *(end for row in panel.rows for end in (row.value, *row.inner, *row.points))]
    thin = [end for row in panel.rows for end in row.outer or ()]
    low, high = min(whole), max(whole)
    room = _REACH * (high - low)
    left, right = max(min([low, *thin]), low - room), min(max([high, *thin]), high + room)
    margin = 0.03 * (right - left) or 1.0
    axes.set_xlim(left - margin, right + margin)
    return left, right


def _draw_row(axes: "Axes", row: DotRow, y: float, colour: str, colours: Theme, edges: tuple[float, float]) -> None:
    """Draw one variant: thin line as far as the edges, thick line, single points, dot."""
    if row.outer is not None:
        ends = [min(max(end, edges[0]), edges[1]) for end in row.outer]
        axes.plot(ends, (y, y), color=colours.ink, linewidth=0.8, solid_capstyle="butt", zorder=4)
        for end, shown, arrow in zip(row.outer, ends, "<>", strict=True):  # a bar at an end that is there
            mark = "|" if end == shown else arrow
            axes.plot(shown, y, mark, color=colours.ink, markersize=5.5, markeredgewidth=0.8, zorder=4)
    axes.plot(row.inner, (y, y), color=colour, linewidth=3.2, solid_capstyle="butt", zorder=3)
    axes.plot(
        row.points, [y + 0.32] * len(row.points), "o", color=colours.quiet, markersize=1.8, markeredgewidth=0, zorder=4
    )
    face = colour if row.is_clear else colours.paper
    axes.plot(row.value, y, "o", color=colour, markerfacecolor=face, markersize=5.5, markeredgewidth=1.3, zorder=5)


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
