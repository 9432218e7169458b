"""The picture of one parsed media file: frames, sound, and for every class when it is audible, visible, or both.

A class has an audible row above a visible one. A bar is an event, the stronger the more probable; where there is none,
a faint shade says how probable the class is. A line between the two rows says: audible and visible at once. Colour is
not needed to read it: the upper row is the audible one, and bars of visible events are hatched.
"""

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .canvas import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes
from .counts import BoolArray
from .events import MODALITIES, events_of
from .film import Media, draw_media, strip_heights
from .timelines import HATCHES, MODALITY_TITLES

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_HEIGHT = 0.39
"""Inches of height of the two rows of a class."""
SOUND_HEIGHT = 0.5
"""Inches of height of the spectrogram."""
MOST_CLASSES = 25
"""Classes drawn, which fill a page; of more, those that are marked longest."""
NAME_WIDTH, NAME_LINES = 16, 2
"""Letters of a line of a class name, and its lines; what is longer is cut."""
LOUDNESS = (25.0, 99.7)
"""Percentiles of the spectrogram that are drawn as nothing and as full ink."""
LEAST_RANGE_DB, FAINTEST_DB = 35.0, -60.0
"""So many decibels at least lie between them, and full ink stands for no less than this: near silence looks so."""
MANY_SEGMENTS = 900
"""With more, a segment is narrower than a pixel: events are drawn with an outline, so that none is lost."""
_ROW = 0.35
"""Height of a row in its class, whose height is 1; between the rows the overlap is drawn."""
_TOPS = (0.1, 0.55)
"""Upper ends of the two rows in their class."""
_INKS = (1, 0)
"""Which of the theme's colours audible and visible have: those of the viewer."""
_ABSENT = ("no sound", "no picture")
"""Said of a stream that is not there."""
_FAINT, _STRONG = 0.5, (0.55, 1.0)
"""Opacity of a probability of 1 without an event, and of probabilities of 0 and 1 within one."""


@dataclass(frozen=True, kw_only=True)
class DrawnParse:
    """What is drawn of a parse."""

    class_names: tuple[str, ...]
    """C names."""
    probs: npt.NDArray[np.float32]
    """float [T, M=2, C]; NaN where there is no stream."""
    predicted: BoolArray
    """bool [T, M=2, C]."""
    segment_seconds: float = 1.0
    start: float = 0.0
    """What the clock says at the first segment, in seconds."""
    frames: npt.NDArray[np.uint8] | None = None
    """uint8 [K, H, W, 3] evenly spaced over the media."""
    spectrogram: npt.NDArray[np.float32] | None = None
    """float [bands, columns] in dB, lowest band first, evenly spaced over the media."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together."""
        shape = (len(self.probs), len(MODALITIES), len(self.class_names))
        if (
            self.probs.shape != shape
            or self.predicted.shape != shape
            or self.predicted.dtype != np.bool_
            or not shape[0]
        ):
            raise ValueError(
                f"probs and predicted must be float and bool [segments, modalities, classes] {shape}, "
                f"got {self.probs.dtype} {self.probs.shape} and {self.predicted.dtype} {self.predicted.shape}"
            )
        if self.spectrogram is not None and (self.spectrogram.ndim != 2 or not self.spectrogram.size):
            raise ValueError(f"spectrogram must be float [bands, columns], got {self.spectrogram.shape}")

    @property
    def seconds(self) -> float:
        """Length of all segments."""
        return len(self.probs) * self.segment_seconds


def parse_figure(parse: DrawnParse, *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
    """Draw a parse.

    Args:
        parse: What is drawn.
        title: A line above.
        style: Width and theme; the height follows from the content.

    Returns:
        A matplotlib figure; `to_png` and `to_svg` turn it into bytes and text.
    """
    shown, left_out = _shown_classes(parse.predicted)
    media = None if parse.frames is None else Media(parse.frames)
    longest = max((len(line) for index in shown for line in _name(parse, index).split("\n")), default=0)
    inches = style.width - 0.75 - 0.075 * longest
    heights = strip_heights(media, inches)
    if parse.spectrogram is not None:
        heights.append(SOUND_HEIGHT)
    figure, (*above, axes) = stacked_axes([*heights, max(1, len(shown)) * CLASS_HEIGHT], style)
    axes.set_xlim(0, parse.seconds)
    _draw_clock(axes, parse, style.colours)
    if media is not None:
        draw_media(above[:1], media, parse.seconds, inches, style.colours)
    if parse.spectrogram is not None:
        _draw_sound(above[-1], parse, style.colours)
    axes.set_ylim(max(1, len(shown)), 0)
    for row, class_index in enumerate(shown):
        _draw_class(axes, row, parse, class_index, style.colours)
    absent = [said for row, said in enumerate(_ABSENT) if np.isnan(parse.probs[:, row]).all()]
    _label(axes, [_name(parse, index) for index in shown], absent, style.colours)
    _add_absent(axes, parse, len(shown), style.colours)
    add_legend(figure, _legend(style.colours, left_out), title, style.colours)
    settle(figure)
    return figure


def clock_text(seconds: float, longest: float) -> str:
    """A time as a person reads it: seconds below two minutes, else minutes, else hours.

    >>> clock_text(7, 10), clock_text(75, 600), clock_text(4500, 10800)
    ('7', '1:15', '1:15:00')
    """
    if longest < 120:
        return f"{seconds:g}"
    whole = round(seconds)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    minutes = f"{sign}{whole // 60}:{whole % 60:02d}"
    return minutes if longest < 3600 else f"{sign}{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _shown_classes(predicted: BoolArray) -> tuple[list[int], int]:
    """Classes that are marked, in the order in which they first occur, and how many are left out."""
    marked = predicted.any(axis=1)  # [T, C]
    length = marked.sum(axis=0)
    kept = np.argsort(-length, kind="stable")[:MOST_CLASSES]
    kept = kept[length[kept] > 0]
    first = marked.argmax(axis=0)
    order = sorted(kept.tolist(), key=lambda index: (first[index], -length[index], index))
    return order, int((length > 0).sum()) - len(order)


def _name(parse: DrawnParse, index: int) -> str:
    """A class name as it is drawn; a dollar sign would begin a formula."""
    name = parse.class_names[index].replace("_", " ")
    lines = textwrap.wrap(name, NAME_WIDTH)
    if len(lines) > NAME_LINES:
        lines = [*lines[: NAME_LINES - 1], lines[NAME_LINES - 1][: NAME_WIDTH - 3].rstrip() + "..."]
    return "\n".join(lines).replace("$", r"\$")


def _draw_clock(axes: "Axes", parse: DrawnParse, colours: Theme) -> None:
    """The time axis, with faint lines at its ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    end = parse.start + parse.seconds
    ticks = np.arange(np.ceil(parse.start / (step := _step(parse.seconds))) * step, end + 1e-6, step)
    axes.xaxis.set_major_locator(FixedLocator((ticks - parse.start).tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock_text(round(x + parse.start, 3), end)))
    unit = "seconds" if end < 120 else "minutes" if end < 3600 else "hours"
    axes.set_xlabel(unit, fontsize=7.5, color=colours.quiet, labelpad=2)
    for tick in ticks - parse.start:
        axes.axvline(tick, color=colours.shade, linewidth=0.6, zorder=0)


def _step(seconds: float) -> float:
    """Seconds between ticks: a round number that makes about ten of them."""
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
    return next((step for step in steps if seconds / step <= 12), 7200)


def _draw_sound(axes: "Axes", parse: DrawnParse, colours: Theme) -> None:
    """The spectrogram, loud parts in the ink of the theme."""
    from matplotlib.colors import LinearSegmentedColormap

    assert parse.spectrogram is not None
    shades = LinearSegmentedColormap.from_list("loudness", [colours.paper, colours.quiet, colours.ink])
    faint, loud = np.percentile(parse.spectrogram, LOUDNESS)
    loud = max(float(loud), FAINTEST_DB)
    axes.imshow(
        parse.spectrogram,
        extent=(0, parse.seconds, 0, 1),
        origin="lower",
        aspect="auto",
        cmap=shades,
        vmin=min(float(faint), loud - LEAST_RANGE_DB),
        vmax=loud,
        interpolation="antialiased",
    )
    axes.set_xlim(0, parse.seconds)
    axes.set_yticks([0.5], ["sound"])
    axes.tick_params(labelbottom=False)


def _draw_class(axes: "Axes", row: int, parse: DrawnParse, class_index: int, colours: Theme) -> None:
    """Two rows of shades and bars, and between them where both are marked."""
    for modality, top in enumerate(_TOPS):
        low, high = row + top, row + top + _ROW
        marks = parse.predicted[:, modality, class_index]
        axes.axhspan(low, high, color=colours.shade, alpha=0.45, linewidth=0, zorder=0.5)
        colour = colours.systems[_INKS[modality]]
        shades = _shades(parse.probs[:, modality, class_index], marks, colour)
        axes.imshow(shades, extent=(0, parse.seconds, high, low), aspect="auto", interpolation="none", zorder=1)
        spans = _spans(marks, parse.segment_seconds)
        if len(marks) > MANY_SEGMENTS:
            ink = {"facecolors": colour, "edgecolors": colour}
            axes.broken_barh(spans, (low, high - low), linewidth=0.4, zorder=1.5, **ink)  # type: ignore[arg-type]
        axes.broken_barh(
            spans,
            (low, high - low),
            facecolors="none",
            edgecolors=colours.paper,
            linewidth=0,
            hatch=HATCHES[modality],
            zorder=2,
        )
    heard, seen = parse.predicted[:, 0, class_index], parse.predicted[:, 1, class_index]
    both = _spans(heard & seen, parse.segment_seconds)
    gap = (row + _TOPS[0] + _ROW + 0.015, _TOPS[1] - _TOPS[0] - _ROW - 0.03)
    axes.broken_barh(both, gap, facecolors=colours.ink, linewidth=0, zorder=3)
    axes.set_xlim(0, parse.seconds)
    axes.set_aspect("auto")


def _shades(probs: npt.NDArray[np.float32], marks: npt.NDArray[np.bool_], colour: str) -> npt.NDArray[np.float64]:
    """RGBA [1, T, 4]: strong where an event is, faint elsewhere, by probability."""
    shades = np.zeros((1, len(probs), 4))
    shades[..., :3] = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    known = np.nan_to_num(probs.astype(np.float64))
    shades[0, :, 3] = np.where(marks, _STRONG[0] + (_STRONG[1] - _STRONG[0]) * known, _FAINT * known)
    return shades


def _spans(marks: npt.NDArray[np.bool_], segment_seconds: float) -> list[tuple[float, float]]:
    events = events_of(np.ascontiguousarray(marks[:, np.newaxis]), segment_seconds)
    return [(event.onset, event.offset - event.onset) for event in events]


def _label(axes: "Axes", names: list[str], absent: list[str], colours: Theme) -> None:
    """Name the classes and their rows, or say that there are none."""
    if not names:
        axes.set_yticks([])
        axes.text(
            0.5,
            0.5,
            ", ".join(["no event", *absent]),
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=colours.quiet,
        )
        return
    middles = [row + top + _ROW / 2 for row in range(len(names)) for top in _TOPS]
    axes.set_yticks(middles, list(MODALITY_TITLES) * len(names))
    axes.tick_params(axis="y", labelsize=6.5)
    for row, name in enumerate(names):
        axes.annotate(
            name,
            (0, row + 0.5),
            xytext=(-34, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            fontweight="bold",
            linespacing=0.95,
            color=colours.ink,
        )


def _add_absent(axes: "Axes", parse: DrawnParse, rows: int, colours: Theme) -> None:
    """Say which stream the media has not."""
    for modality, said in enumerate(_ABSENT):
        if rows and np.isnan(parse.probs[:, modality]).all():
            for row in range(rows):
                y = row + _TOPS[modality] + _ROW / 2
                axes.text(parse.seconds / 2, y, said, ha="center", va="center", fontsize=6, color=colours.quiet)


def _legend(colours: Theme, left_out: int) -> "list[Artist]":
    from matplotlib.patches import Patch

    audible, visible = (colours.systems[ink] for ink in _INKS)
    entries: list[Artist] = [
        Patch(facecolor=audible, label="audible"),
        Patch(facecolor=visible, edgecolor=colours.paper, linewidth=0, hatch=2 * HATCHES[1], label="visible"),
        Patch(facecolor=colours.ink, label="audible and visible"),
        Patch(facecolor=audible, alpha=_FAINT / 2, label="somewhat probable, no event"),
    ]
    if left_out:
        entries.append(Patch(alpha=0, label=f"{left_out} more classes are not drawn"))
    return entries
