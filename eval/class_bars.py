"""Bars of one figure by class: what is audible on the left, what is visible on the right, with intervals."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .canvas import ON_SCREEN, Style, Theme, add_legend, grid_axes, settle, swatches
from .events import MODALITIES
from .timelines import MODALITY_TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

BAR = 0.105
"""Inches of height of one bar."""

CLASS_GAP = 0.09
"""Inches between classes."""


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """One figure of one system for every class and modality, in percent; NaN where there is none."""

    name: str
    values: FloatArray
    """float64 [M=2, C]."""
    low: FloatArray | None = None
    """float64 [M=2, C], lower end of the interval of each value."""
    high: FloatArray | None = None
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
        style: width, theme and colours; the height follows from the content.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no system, or an array is not [2, C].
    """
    _check(systems, class_names, support)
    colours, fills = style.colours, style.fills([system.name for system in systems])
    pitch = BAR * len(systems) + CLASS_GAP
    figure, panels = grid_axes(1, len(MODALITIES), pitch * len(class_names) + 0.15, style)
    for modality, axes in enumerate(panels):
        for lane, system in enumerate(systems):
            _draw_system(axes, system, modality, _places(len(class_names), lane, len(systems)), fills, colours)
        if support is not None:
            _write_support(axes, support[modality], colours)
        axes.set_title(MODALITY_TITLES[modality], fontsize=9, fontweight="bold", color=colours.ink, loc="left", pad=3)
        _frame(axes, class_names, measure, colours)
    add_legend(figure, swatches(fills), title, colours)
    settle(figure)
    return figure


def _places(num_classes: int, lane: int, num_lanes: int) -> FloatArray:
    """Middles of the bars of one system: a class is one unit high."""
    thickness = _thickness(num_lanes)
    return np.arange(num_classes, dtype=np.float64) + (lane - (num_lanes - 1) / 2) * thickness


def _thickness(num_lanes: int) -> float:
    """Height of one bar in units of a class."""
    return BAR / (BAR * num_lanes + CLASS_GAP)


def _draw_system(
    axes: "Axes", system: ClassFigures, modality: int, places: FloatArray, fills: dict[str, str], colours: Theme
) -> None:
    """Draw the bars of one system and, where it has intervals, a whisker over each."""
    values = system.values[modality]
    height = 0.86 * _thickness(len(fills))
    axes.barh(places, np.nan_to_num(values), height, color=fills[system.name], zorder=2)
    if system.low is not None and system.high is not None:
        low, high = system.low[modality], system.high[modality]
        axes.hlines(places, low, high, color=colours.paper, linewidth=2.4, zorder=3)  # a rim, to be seen on any bar
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
