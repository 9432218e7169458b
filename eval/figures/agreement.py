"""Dots against the diagonal: what was foretold of many things, and what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .style import ON_SCREEN, Style, add_legend, settle, stacked_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

_HEIGHT = 3.4
"""Inches of the panel."""
_PLACES = ((6, 5, "left"), (6, -5, "left"), (-6, 5, "right"), (-6, -5, "right"), (6, 14, "left"), (-6, -14, "right"))
"""Of a name beside its dot: points to the right and up, and which of its ends lies there; the first that is free."""


@dataclass(frozen=True)
class AgreementDot:
    """One thing, known and foretold, in the same unit."""

    name: str
    known: float
    foretold: float
    interval: tuple[float, float] | None = None
    """Around what is foretold; None for none."""
    group: str = ""
    """Dots of a group share a colour and a line of the legend."""


def agreement_figure(
    dots: Sequence[AgreementDot], *, known: str, foretold: str, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw what is foretold over what is known; on the diagonal they are equal.

    A dot is filled where its interval reaches the diagonal, and hollow where it misses it.

    Args:
        dots: At least one.
        known: What the x axis says.
        foretold: What the y axis says.
        title: A line above the figure.
        style: Width, theme and colours.

    Raises:
        ValueError: There is no dot.
    """
    if not dots:
        raise ValueError("an agreement figure needs at least one dot, got none")
    from matplotlib.lines import Line2D

    colours = style.colours
    figure, (axes,) = stacked_axes([_HEIGHT], style)
    groups = list(dict.fromkeys(dot.group for dot in dots))
    colour_of = {group: colours.systems[n % len(colours.systems)] for n, group in enumerate(groups)}
    ends = [end for dot in dots for end in (dot.known, dot.foretold, *(dot.interval or ()))]
    margin = 0.05 * (max(ends) - min(ends)) or 1.0
    limits = (min(ends) - margin, max(ends) + margin)
    axes.plot(limits, limits, color=colours.quiet, linewidth=0.8, zorder=1)
    for dot in dots:
        colour = colour_of[dot.group]
        low, high = dot.interval or (dot.foretold, dot.foretold)
        axes.plot((dot.known, dot.known), (low, high), color=colour, linewidth=1.2, zorder=2)
        face = colour if low <= dot.known <= high else colours.paper
        axes.plot(dot.known, dot.foretold, "o", color=colour, markerfacecolor=face, markersize=5.5, zorder=3)
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_xlabel(known, fontsize=7.5, color=colours.ink)
    axes.set_ylabel(foretold, fontsize=7.5, color=colours.ink)
    axes.grid(color=colours.shade, linewidth=0.6)
    handles = [Line2D([], [], marker="o", linestyle="none", color=colour_of[g], label=g) for g in groups if g]
    if any(dot.interval and not dot.interval[0] <= dot.known <= dot.interval[1] for dot in dots):
        missed = Line2D([], [], marker="o", linestyle="none", color=colours.ink, label="interval misses the diagonal")
        missed.set_markerfacecolor(colours.paper)
        handles.append(missed)
    add_legend(figure, list(handles), title, colours)
    settle(figure)
    _name(axes, dots, style)
    return figure


def _name(axes: "Axes", dots: Sequence[AgreementDot], style: Style) -> None:
    """Write names beside dots, where they cover no other dot, interval or name as far as there is room."""
    from matplotlib.transforms import Bbox

    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # places of dots are known after a layout
    points = figure.dpi / 72
    taken: list[Bbox] = []
    for dot in dots:
        ends = [dot.foretold, *(dot.interval or ())]
        (left, bottom), (right, top) = axes.transData.transform([(dot.known, min(ends)), (dot.known, max(ends))])
        centre = axes.transData.transform((dot.known, dot.foretold))[1]
        taken.append(Bbox([[left - points, bottom], [right + points, top]]))
        taken.append(Bbox([[left - 3 * points, centre - 3 * points], [right + 3 * points, centre + 3 * points]]))
    for dot in dots:
        tried: list[tuple[int, int, Annotation, Bbox]] = []
        for x, y, side in _PLACES:
            name = axes.annotate(
                dot.name, (dot.known, dot.foretold), (x, y), textcoords="offset points", ha=side, va="center",
                fontsize=7, color=style.colours.ink,
            )  # fmt: skip
            box = name.get_window_extent().padded(2 * points)
            tried.append((sum(map(box.overlaps, taken)), len(tried), name, box))
            if not tried[-1][0]:
                break
        best = min(tried, key=lambda one: one[:2])
        for one in tried:
            if one is not best:
                one[2].remove()
        taken.append(best[3])
