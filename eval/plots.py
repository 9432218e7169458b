"""Figures: timelines of what is audible and visible, and bars of F-scores. One call each, on paper or on screen.

Colour tells systems apart and never carries meaning alone: systems also keep one order from top to bottom and differ in
lightness, and what is visible is hatched. The colours are those of Okabe and Ito, safe for colour-blind readers (the
dark theme lightens the blue).
Figures are built without pyplot, so no window, backend or global state is involved.
"""

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import numpy as np

from .counts import BoolArray
from .events import MODALITIES, events_of
from .scores import FIGURES, TenScores
from .tables import FIGURE_TITLES, LEVEL_TITLES, Row

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

REPORT_WIDTH = 9.0
"""Inches, for a report on a screen."""

PAPER_WIDTH = 6.9
"""Inches, the text width of a two-column conference paper."""

COLUMN_WIDTH = 3.35
"""Inches, one column of such a paper."""

MODALITY_TITLES = ("audible", "visible")
"""How the rows of a timeline are called, in the order of MODALITIES."""

HATCHES = ("", "////")
"""Solid for what is audible, hatched for what is visible."""


LANE = 0.125
"""Inches of height of one system in a row of a timeline."""

ROW_GAP = 0.1
"""Inches between rows of a timeline."""

ANCHOR_DASHES: tuple[tuple[float, tuple[float, ...]], ...] = ((0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
"""Line styles of the anchors of a bar figure, in turn."""


@dataclass(frozen=True)
class Theme:
    """The colours of a figure."""

    paper: str
    """Background."""
    ink: str
    """Text, and the truth."""
    quiet: str
    """Lines and text that should step back."""
    shade: str
    """The truth behind the predictions."""
    systems: tuple[str, ...]
    """One colour for each system besides the truth, taken in turn, of unlike lightness."""


THEMES = {
    "light": Theme("#ffffff", "#1b1f24", "#6b7280", "#e6e8ec", ("#e69f00", "#0072b2", "#d55e00", "#56b4e9", "#009e73")),
    "dark": Theme("#14171c", "#eceef1", "#9aa3af", "#2b3038", ("#e69f00", "#2a86c8", "#f0e442", "#d55e00", "#009e73")),
}
"""Themes by name."""

Track = tuple[str, BoolArray]
"""The name of a system and what it marks in one clip: bool [T, M=2, C]."""


def timeline_figure(
    tracks: Sequence[Track],
    class_names: Sequence[str],
    *,
    truth: str | None = "truth",
    segment_seconds: float = 1.0,
    title: str | None = None,
    width: float = REPORT_WIDTH,
    theme: str = "light",
    colour_order: Sequence[str] = (),
) -> "Figure":
    """Draw one clip: for every class that occurs an audible and a visible row, and in each row a bar for each system.

    Args:
        tracks: (name, bool [T, M=2, C]) of each system, drawn from top to bottom in this order.
        class_names: C names.
        truth: name of the track to shade behind the others, so that what a system adds or misses shows; None for none.
            A name that is no track shades nothing.
        segment_seconds: length of a segment in seconds.
        title: a line above the figure.
        width: inches, such as REPORT_WIDTH, PAPER_WIDTH or COLUMN_WIDTH; the height follows from the content.
        theme: light or dark.
        colour_order: names of systems in the order they take their colours, so that a system keeps its colour from
            figure to figure; without it they take them as they come.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no track, two share a name, a mask is not bool [T, 2, C], or the theme is unknown.
    """
    _check_tracks(tracks, class_names)
    colours = _theme(theme)
    occurring = np.flatnonzero(np.any([mask.any(axis=(0, 1)) for _, mask in tracks], axis=0)).tolist()
    num_rows = max(len(occurring), 1) * len(MODALITIES)
    fills = _fills([name for name, _ in tracks], truth, colour_order, colours)
    figure, axes = _canvas(width, num_rows * (LANE * len(tracks) + ROW_GAP) + 0.75, colours)
    _draw_clock(axes, tracks[0][1].shape[0], segment_seconds, colours)
    axes.set_ylim(num_rows, 0)
    for position, class_index in enumerate(occurring):
        for modality in range(len(MODALITIES)):
            lanes = [(name, mask[:, modality, class_index]) for name, mask in tracks]
            _draw_row(axes, len(MODALITIES) * position + modality, lanes, fills, segment_seconds, colours)
    _label_rows(axes, [class_names[index] for index in occurring], colours)
    _add_legend(figure, _handles(fills, (), colours), title, colours)
    return figure


def score_bars_figure(
    rows: Sequence[Row],
    *,
    level: str = "segment",
    anchors: Sequence[tuple[str, TenScores]] = (),
    title: str | None = None,
    width: float = REPORT_WIDTH,
    theme: str = "light",
    colour_order: Sequence[str] = (),
) -> "Figure":
    """Draw the five figures of one level as bars: of parsers, or of pseudo labels scored against the truth.

    Args:
        rows: (name, scores) of each system, in the order of the bars; several seeds give a whisker of one sample
            standard deviation to either side.
        level: segment or event.
        anchors: (name, scores) drawn as lines across the bars, such as the tags copied to every second.
        title: a line above the figure.
        width: inches, such as REPORT_WIDTH, PAPER_WIDTH or COLUMN_WIDTH.
        theme: light or dark.
        colour_order: names of systems in the order they take their colours, so that a system keeps its colour from
            figure to figure; without it they take them as they come.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no row, a row has no score, or the level or theme is unknown.
    """
    colours = _theme(theme)
    systems = [(name, [scores] if isinstance(scores, TenScores) else list(scores)) for name, scores in rows]
    if level not in LEVEL_TITLES or not systems or not all(seeds for _, seeds in systems):
        raise ValueError(
            f"bars need rows with at least one score each and a level of {', '.join(LEVEL_TITLES)}, "
            f"got {[(name, len(seeds)) for name, seeds in systems]} and {level!r}"
        )
    figure, axes = _canvas(width, max(2.4, 0.34 * width), colours)
    fills = _fills([name for name, _ in systems], None, colour_order, colours)
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
    _add_legend(figure, _handles(fills, [name for name, _ in anchors], colours), title, colours)
    return figure


def to_png(figure: "Figure", *, dpi: int = 200) -> bytes:
    """Render a figure as a PNG image; the same figure gives the same bytes."""
    image = io.BytesIO()
    with _style():
        figure.savefig(image, format="png", dpi=dpi, metadata={"Software": None})
    return image.getvalue()


def to_svg(figure: "Figure") -> str:
    """Render a figure as SVG, text drawn as outlines so that it looks alike everywhere; the same in, the same out."""
    image = io.BytesIO()
    with _style():
        figure.savefig(image, format="svg", metadata={"Date": None})
    return image.getvalue().decode("utf-8")


def _style() -> "AbstractContextManager[None]":
    """Settings matplotlib takes from nowhere but its globals, put back afterwards."""
    import matplotlib

    return matplotlib.rc_context({"hatch.linewidth": 0.9, "svg.hashsalt": "eval.plots"})


def _canvas(width: float, height: float, colours: Theme) -> "tuple[Figure, Axes]":
    """Make an empty figure of that many inches with one frameless set of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=colours.paper)
    axes = figure.add_subplot(facecolor=colours.paper)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=colours.quiet, pad=3)
    axes.set_axisbelow(True)
    return figure, axes


def _draw_clock(axes: "Axes", num_segments: int, segment_seconds: float, colours: Theme) -> None:
    """Lay out the time axis, with a faint line at every segment border of a short clip."""
    from matplotlib.ticker import MaxNLocator

    seconds = num_segments * segment_seconds
    axes.set_xlim(0, seconds)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10]))
    axes.set_xlabel("seconds", fontsize=7.5, color=colours.quiet, labelpad=2)
    if num_segments <= 60:
        borders = np.arange(num_segments + 1) * segment_seconds
        axes.vlines(borders, 0, 1, colours.shade, linewidth=0.6, transform=axes.get_xaxis_transform(), zorder=0)


def _draw_row(
    axes: "Axes", row: int, lanes: Sequence[Track], fills: dict[str, str], segment_seconds: float, colours: Theme
) -> None:
    """Draw one class in one modality: the truth as a shade over the row, and a bar for each system in its lane."""
    gap = ROW_GAP / (LANE * len(lanes) + ROW_GAP)
    height = (1 - gap) / len(lanes)
    for lane, (name, marks) in enumerate(lanes):
        events = events_of(marks[:, np.newaxis], segment_seconds)
        spans = [(event.onset, event.offset - event.onset) for event in events]
        if fills[name] == colours.ink:  # the truth
            axes.broken_barh(spans, (row + gap / 2, 1 - gap), facecolors=colours.shade, zorder=1)
        bar = (row + gap / 2 + (lane + 0.1) * height, 0.8 * height)
        hatch = HATCHES[row % len(MODALITIES)]
        axes.broken_barh(
            spans, bar, facecolors=fills[name], edgecolors=colours.paper, linewidth=0, hatch=hatch, zorder=2
        )


def _label_rows(axes: "Axes", class_names: Sequence[str], colours: Theme) -> None:
    """Name the classes and, beside each, its two rows; part the classes by a line."""
    if not class_names:
        axes.set_yticks([])
        axes.text(
            0.5,
            0.5,
            "no event",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=colours.quiet,
            backgroundcolor=colours.paper,
        )
        return
    rows = len(class_names) * len(MODALITIES)
    axes.set_yticks(np.arange(rows) + 0.5, list(MODALITY_TITLES) * len(class_names))
    for position, name in enumerate(class_names):
        top = position * len(MODALITIES)
        axes.annotate(
            textwrap.fill(name.replace("_", " "), 14),
            (0, top + len(MODALITIES) / 2),
            xytext=(-39, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8.5,
            fontweight="bold",
            color=colours.ink,
        )
        if position:
            axes.axhline(top, color=colours.quiet, linewidth=0.6)


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
    assert figure is not None  # these axes were made by _canvas
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


def _fills(names: Sequence[str], truth: str | None, colour_order: Sequence[str], colours: Theme) -> dict[str, str]:
    """Give the truth the ink and every other system its colour, in the order of the names."""
    systems = list(dict.fromkeys([*colour_order, *(name for name in names if name != truth)]))
    return {
        name: colours.ink if name == truth else colours.systems[systems.index(name) % len(colours.systems)]
        for name in names
    }


def _handles(fills: dict[str, str], anchors: Sequence[str], colours: Theme) -> "list[Patch | Line2D]":
    """Legend entries: a colour for each system in its order, a dashed line for each anchor."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [Patch(facecolor=fill, label=name) for name, fill in fills.items()]
    for position, name in enumerate(anchors):
        handles.append(Line2D([], [], color=colours.ink, linestyle=_dashes(position), linewidth=1.1, label=name))
    return handles


def _dashes(position: int) -> tuple[float, tuple[float, ...]]:
    return ANCHOR_DASHES[position % len(ANCHOR_DASHES)]


def _add_legend(figure: "Figure", handles: "list[Patch | Line2D]", title: str | None, colours: Theme) -> None:
    """Put title and legend above the axes, the legend in as few lines as the figure is wide enough for."""
    inches = fmean(0.5 + 0.065 * len(str(handle.get_label())) for handle in handles)
    columns = int(figure.get_figwidth() / inches)
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, min(columns, len(handles))),
        title=title,
        title_fontproperties={"weight": "bold", "size": 10},
        alignment="left",
        frameon=False,
        fontsize=7.5,
        labelcolor=colours.ink,
        handlelength=1.6,
        columnspacing=1.4,
        borderaxespad=0.1,
    ).get_title().set_color(colours.ink)


def _check_tracks(tracks: Sequence[Track], class_names: Sequence[str]) -> None:
    names = [name for name, _ in tracks]
    shapes = {mask.shape for _, mask in tracks}
    expected = len(shapes) == 1 and all(mask.dtype == np.bool_ for _, mask in tracks)
    shape = next(iter(shapes), ())
    if not expected or len(shape) != 3 or shape[1:] != (len(MODALITIES), len(class_names)) or not shape[0]:
        found = ", ".join(f"{name!r} {mask.dtype} {mask.shape}" for name, mask in tracks) or "no track"
        raise ValueError(
            f"tracks must all be bool [segments, {len(MODALITIES)} modalities, {len(class_names)} classes] "
            f"of one length, got {found}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"tracks must have different names, got {names}")


def _theme(name: str) -> Theme:
    if name not in THEMES:
        raise ValueError(f"theme must be one of {', '.join(THEMES)}, got {name!r}")
    return THEMES[name]
