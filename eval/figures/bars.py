"""Bars in groups: the F-scores of parsers side by side, or how good pseudo labels are.

Bars of one figure by class: what is audible on the left, what is visible on the right, with intervals.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..events import MODALITIES
from ..scores import FIGURES, TenScores
from ..tables import FIGURE_TITLES, LEVEL_TITLES, Row
from .style import ON_SCREEN, Style, Theme, add_legend, grid_axes, settle, stacked_axes, swatches
from .timeline import MODALITY_TITLES

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
