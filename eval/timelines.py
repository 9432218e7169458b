"""Timelines: what is audible and visible in one clip when, as the truth and several systems see it."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .canvas import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes, swatches
from .counts import BoolArray
from .events import MODALITIES, events_of
from .film import Media, draw_media, strip_heights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODALITY_TITLES = ("audible", "visible")
"""How the rows of a timeline are called, in the order of MODALITIES."""

HATCHES = ("", "////")
"""Solid for what is audible, hatched for what is visible."""


LANE = 0.125
"""Inches of height of one system in a row of a timeline."""

ROW_GAP = 0.1
"""Inches between rows of a timeline."""

Track = tuple[str, BoolArray]
"""The name of a system and what it marks in one clip: bool [T, M=2, C]."""


def timeline_figure(
    tracks: Sequence[Track],
    class_names: Sequence[str],
    *,
    truth: str | None = "truth",
    segment_seconds: float = 1.0,
    title: str | None = None,
    media: Media | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw one clip: for every class that occurs an audible and a visible row, and in each row a bar for each system.

    Args:
        tracks: (name, bool [T, M=2, C]) of each system, drawn from top to bottom in this order.
        class_names: C names.
        truth: name of the track to shade behind the others, so that what a system adds or misses shows; None for none.
            A name that is no track shades nothing.
        segment_seconds: length of a segment in seconds.
        title: a line above the figure.
        media: what is seen and heard of the clip, drawn above the rows on the same clock.
        style: width, theme and colours; the height follows from the content.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.

    Raises:
        ValueError: There is no track, two share a name, or a mask is not bool [T, 2, C].
    """
    _check_tracks(tracks, class_names)
    occurring = np.flatnonzero(np.any([mask.any(axis=(0, 1)) for _, mask in tracks], axis=0)).tolist()
    num_rows = max(len(occurring), 1) * len(MODALITIES)
    colours, fills = style.colours, style.fills([name for name, _ in tracks], truth)
    names = [class_names[index] for index in occurring]
    inches = style.width - _label_inches(names)
    figure, (*above, axes) = stacked_axes(
        [*strip_heights(media, inches), num_rows * (LANE * len(tracks) + ROW_GAP)], style
    )
    _draw_clock([*above, axes], len(tracks[0][1]), segment_seconds, colours)
    draw_media(above, media, len(tracks[0][1]) * segment_seconds, inches, colours)
    axes.set_ylim(num_rows, 0)
    for position, class_index in enumerate(occurring):
        for modality in range(len(MODALITIES)):
            lanes = [(name, mask[:, modality, class_index]) for name, mask in tracks]
            _draw_row(axes, len(MODALITIES) * position + modality, lanes, fills, segment_seconds, colours)
    _label_rows(axes, names, colours)
    add_legend(figure, swatches(fills), title, colours)
    settle(figure)
    return figure


def _draw_clock(column: "Sequence[Axes]", num_segments: int, segment_seconds: float, colours: Theme) -> None:
    """Lay out the time axis, with a faint line at every segment border of a short clip."""
    from matplotlib.ticker import MaxNLocator

    lowest = column[-1]
    lowest.set_xlim(0, num_segments * segment_seconds)
    lowest.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=[1, 2, 5, 10]))
    lowest.set_xlabel("seconds", fontsize=7.5, color=colours.quiet, labelpad=2)
    if num_segments <= 60:
        for axes in column:
            for border in range(num_segments + 1):
                axes.axvline(border * segment_seconds, color=colours.shade, linewidth=0.6, zorder=0)


def _draw_row(
    axes: "Axes", row: int, lanes: Sequence[Track], fills: dict[str, str], segment_seconds: float, colours: Theme
) -> None:
    """Draw one class in one modality: the truth as a shade over the row, and a bar for each system in its lane.

    A hairline runs through every lane, so that a system that marks nothing is seen to do so.
    """
    gap = ROW_GAP / (LANE * len(lanes) + ROW_GAP)
    height = (1 - gap) / len(lanes)
    for lane, (name, marks) in enumerate(lanes):
        events = events_of(marks[:, np.newaxis], segment_seconds)
        spans = [(event.onset, event.offset - event.onset) for event in events]
        if fills[name] == colours.ink:  # the truth
            axes.broken_barh(spans, (row + gap / 2, 1 - gap), facecolors=colours.shade, zorder=1)
        bar = (row + gap / 2 + (lane + 0.1) * height, 0.8 * height)
        axes.axhline(bar[0] + bar[1] / 2, color=fills[name], linewidth=0.8, alpha=0.4, zorder=1.5)
        hatch = HATCHES[row % len(MODALITIES)]
        axes.broken_barh(
            spans, bar, facecolors=fills[name], edgecolors=colours.paper, linewidth=0, hatch=hatch, zorder=2
        )


def _label_inches(class_names: Sequence[str]) -> float:
    """Inches the names to the left of the rows take, roughly."""
    lines = [line for name in class_names for line in _wrapped(name).splitlines()]
    return 0.6 + 0.08 * max(map(len, lines), default=0)


def _wrapped(name: str) -> str:
    return textwrap.fill(name.replace("_", " "), 14)


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
            _wrapped(name),
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
            line = axes.axhline(top, -1, 2, color=colours.quiet, linewidth=0.6, clip_on=False)  # across the figure
            line.set_in_layout(False)


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
