"""Bars: how good pseudo labels are, and one figure by class with what is audible on the left, visible on the right."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..events import MODALITIES, Float64Array
from .style import ON_SCREEN, PAPER_WIDTH, Style, Theme, add_legend, grid_axes, settle, stacked_axes, swatches
from .timeline import MODALITY_TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BAR = 0.105
"""Inches of height of one bar of a class."""

LABEL_BAR = 0.13
"""The same of a set of labels, beside which its number stands."""

CLASS_GAP = 0.09
"""Inches between classes."""

PAGE_BARS = 6.0
"""Inches of height of all bars of a figure for a paper, so that title, legend and a caption fit a column of nine."""

NAME = 0.12
"""Inches a class takes at least, for its name."""


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

    @property
    def bars(self) -> list[float]:
        """The percentages in the order of the groups."""
        triples = zip(self.precision, self.recall, self.f_score, strict=True)
        return [*(value for triple in triples for value in triple), self.type_av]


LABEL_GROUPS = (
    *(f"{measure}, {modality}" for modality in MODALITY_TITLES for measure in ("precision", "recall", "F by clip")),
    "Type@AV",
)
"""Titles of the groups of bars of pseudo labels, from top to bottom."""


def label_bars_figure(
    labels: Sequence[LabelFigures], *, title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw precision, recall and F of pseudo labels, audible and visible: a group for each, a bar for each set.

    Args:
        labels: sets of labels in the order of the bars.
        title: a line above the figure.
        style: width, theme and colours; the height follows from the number of sets.

    Raises:
        ValueError: There are no labels.
    """
    if not labels:
        raise ValueError("bars need at least one set of labels, got none")
    colours, fills = style.colours, style.fills([entry.name for entry in labels])
    pitch = max(LABEL_BAR * len(labels), NAME) + CLASS_GAP
    figure, (axes,) = stacked_axes([pitch * len(LABEL_GROUPS) + 0.15], style)
    bar = LABEL_BAR / pitch
    for lane, entry in enumerate(labels):
        places = np.arange(len(LABEL_GROUPS)) + (lane - (len(labels) - 1) / 2) * bar
        axes.barh(places, entry.bars, 0.86 * bar, color=fills[entry.name])
        for place, value in zip(places, entry.bars, strict=True):
            axes.annotate(
                f"{value:.1f}",
                (value, place),
                xytext=(2, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=6.5,
                color=colours.ink,
            )
    axes.set_yticks(range(len(LABEL_GROUPS)), LABEL_GROUPS, fontsize=7.5, color=colours.ink)
    axes.set_ylim(len(LABEL_GROUPS) - 0.5, -0.5)
    axes.set_xlim(0, 100 + 30 / style.width)  # room for the number of a whole bar
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("against the truth (%); F: mean over clips", fontsize=7.5, color=colours.quiet, labelpad=2)
    axes.grid(axis="x", color=colours.shade, linewidth=0.6)
    add_legend(figure, swatches(fills), title, colours)
    settle(figure)
    return figure


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One figure of one system for every class and modality, in percent; NaN where there is none."""

    name: str
    values: Float64Array
    """float64 [M=2, C]."""
    low: Float64Array | None = None
    """float64 [M=2, C], lower end of the interval of each value."""
    high: Float64Array | None = None
    """float64 [M=2, C], upper end."""


def class_bars_figure(
    systems: Sequence[ClassFigures],
    class_names: Sequence[str],
    *,
    support: npt.NDArray[np.integer] | None = None,
    measure: str = "F-score (%)",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw one figure by class, a bar for each system with its interval as a whisker.

    Args:
        systems: what each system scores, in the order of the bars; intervals where they were computed.
        class_names: C names, in the order they are drawn from top to bottom.
        support: int [M=2, C], how much of each class the truth holds, written beside the bars; a class without any
            is drawn as such and not as a score of nothing.
        measure: what the x axis says.
        title: a line above the figure.
        style: width, theme and colours; the height follows from the content, and figures no wider than PAPER_WIDTH
            have thinner bars where they would be higher than a page, down to the height of a name.

    Returns:
        A matplotlib figure; `to_picture` turns it into bytes.

    Raises:
        ValueError: There is no system, or an array is not [2, C].
    """
    _check(systems, class_names, support)
    colours, fills = style.colours, style.fills([system.name for system in systems])
    wanted = BAR * len(systems) + CLASS_GAP
    most = PAGE_BARS / len(class_names) if style.width <= PAPER_WIDTH else wanted
    pitch = min(wanted, max(most, NAME))
    bar = BAR / wanted  # of what a class takes
    figure, panels = grid_axes(1, len(MODALITIES), pitch * len(class_names) + 0.15, style)
    for modality, axes in enumerate(panels):
        for lane, system in enumerate(systems):
            places = np.arange(len(class_names), dtype=np.float64) + (lane - (len(systems) - 1) / 2) * bar
            _draw_system(axes, system, modality, places, 0.86 * bar, fills[system.name], colours)
        if support is not None:
            _write_support(axes, support[modality], colours)
        axes.set_title(MODALITY_TITLES[modality], fontsize=9, fontweight="bold", color=colours.ink, loc="left", pad=3)
        _frame(axes, class_names, measure, colours)
    add_legend(figure, swatches(fills), title, colours)
    settle(figure)
    return figure


def _draw_system(
    axes: "Axes",
    system: ClassFigures,
    modality: int,
    places: Float64Array,
    height: float,
    colour: str,
    colours: Theme,
) -> None:
    """Draw the bars of one system and, where it has intervals, a whisker over each."""
    values = system.values[modality]
    axes.barh(places, np.nan_to_num(values), height, color=colour, zorder=2)
    for place in places[values == 0]:  # no bar, and yet not nothing
        axes.text(0.6, place, "0", va="center", fontsize=5.5, color=colours.ink, zorder=5)
    if system.low is not None and system.high is not None:
        low, high = system.low[modality], system.high[modality]
        axes.hlines(
            places, low, high, color=colours.paper, linewidth=1.3, zorder=3
        )  # a hair's rim, to be seen on any bar
        axes.hlines(places, low, high, color=colours.ink, linewidth=0.9, zorder=4)


def _write_support(axes: "Axes", support: npt.NDArray[np.integer], colours: Theme) -> None:
    """Write how much there is of each class at the right end of its row."""
    for place, count in enumerate(support.tolist()):
        axes.annotate(
            f"{count:,}" if count else "none",
            (1, place),
            xycoords=("axes fraction", "data"),
            xytext=(2, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            color=colours.quiet,
        )


def _frame(axes: "Axes", class_names: Sequence[str], measure: str, colours: Theme) -> None:
    names = [textwrap.shorten(name.replace("_", " "), 24, placeholder="…") for name in class_names]
    axes.set_yticks(range(len(names)), names, fontsize=7.5, color=colours.ink)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    figure = axes.get_figure(root=True)
    assert figure is not None  # these axes were made by grid_axes
    axes.set_xticks(range(0, 101, 20 if figure.get_figwidth() > 5 else 50))
    axes.set_xlabel(measure, fontsize=7.5, color=colours.quiet, labelpad=2)
    axes.grid(axis="x", color=colours.shade, linewidth=0.6)


def _check(
    systems: Sequence[ClassFigures], class_names: Sequence[str], support: npt.NDArray[np.integer] | None
) -> None:
    shape = (len(MODALITIES), len(class_names))
    arrays = [array for system in systems for array in (system.values, system.low, system.high)]
    wrong = [array.shape for array in (*arrays, support) if array is not None and array.shape != shape]
    names = [system.name for system in systems]
    if not systems or wrong or len(set(names)) < len(names):
        raise ValueError(
            f"class bars need systems of different names with arrays [modalities, classes] {shape}, "
            f"got {names or 'no system'} with {wrong or 'arrays that fit'}"
        )
