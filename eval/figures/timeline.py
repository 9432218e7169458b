"""Timelines: what is audible and visible in one clip when, as the truth and several systems see it.

The clip itself above its timeline: a strip of frames and the envelope of the sound, on the clock of the rows.

The picture of one parsed media file: frames, sound, and for every class when it is audible, visible, or both.

A class has an audible row above a visible one. A bar is an event, the stronger the more probable; where there is none,
a faint shade says how probable the class is. A line between the two rows says: audible and visible at once. Colour is
not needed to read it: the upper row is the audible one, and bars of visible events are hatched.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..counts import BoolArray
from ..events import MODALITIES, events_of
from .style import DPI, ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes, swatches

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FRAME_HEIGHT = 0.9
"""Inches a frame is high at most; frames that would be higher stand narrower in the middle of their time."""

WAVEFORM_HEIGHT = 0.3
"""Inches of height of the waveform."""

FAINT_PEAK = 0.02
"""A waveform is drawn to its peak, but one that stays below this is drawn small, so that near silence looks so."""

MEDIA_TITLES = ("video", "sound")
"""How the strip of frames and the waveform are called."""


@dataclass(frozen=True)
class Media:
    """What is seen and heard of one clip, from the start of its clock to the end; what is not there is None."""

    frames: npt.NDArray[np.uint8] | None = None
    """uint8 [K, H, W, 3] RGB, evenly spaced: frame k stands for the k-th of K equal parts of the clip."""
    waveform: npt.NDArray[np.float32] | None = None
    """float32 [S] mono, nominally in [-1, 1]."""

    def __post_init__(self) -> None:
        """Refuse arrays that are no pictures or no sound."""
        frames, waveform = self.frames, self.waveform
        if frames is not None and (
            frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not frames.size
        ):
            raise ValueError(
                f"frames must be uint8 [frames, height, width, 3] and at least one, "
                f"got {frames.dtype} {list(frames.shape)}; convert them to 8-bit RGB"
            )
        if waveform is not None and (waveform.dtype != np.float32 or waveform.ndim != 1 or not waveform.size):
            raise ValueError(
                f"waveform must be float32 [samples] and at least one, "
                f"got {waveform.dtype} {list(waveform.shape)}; average its channels and scale it to [-1, 1]"
            )
        if waveform is not None and not np.isfinite(waveform).all():
            raise ValueError(
                f"waveform must be finite, got {np.count_nonzero(~np.isfinite(waveform))} samples that are not, "
                f"the first at {np.argmin(np.isfinite(waveform))}; decode the clip again"
            )


def envelope(waveform: npt.NDArray[np.float32], num_columns: int) -> npt.NDArray[np.float32]:
    """Find the lowest and the highest sample of each column of pixels.

    Args:
        waveform: float32 [S].
        num_columns: columns the samples are spread over; fewer are returned when there are fewer samples.

    Returns:
        float32 [2, columns]: lowest, highest. Every sample belongs to exactly one column, so no peak is lost.

    Example:
        >>> envelope(np.array([0.0, 0.5, -1.0, 0.25], dtype=np.float32), 2)
        array([[ 0.  , -1.  ],
               [ 0.5 ,  0.25]], dtype=float32)
    """
    num_columns = min(num_columns, len(waveform))
    starts = np.arange(num_columns) * len(waveform) // num_columns
    return np.stack([np.minimum.reduceat(waveform, starts), np.maximum.reduceat(waveform, starts)])


def strip_heights(media: Media | None, inches: float) -> list[float]:
    """Heights in inches of what `draw_media` draws into axes of a width in inches, from top to bottom."""
    heights = []
    if media is not None and media.frames is not None:
        heights.append(_frame_height(media.frames.shape, inches))
    if media is not None and media.waveform is not None:
        heights.append(WAVEFORM_HEIGHT)
    return heights


def draw_media(column: "Sequence[Axes]", media: Media | None, seconds: float, inches: float, colours: Theme) -> None:
    """Draw the frames, then the waveform, each into its axes of `column`.

    Args:
        column: one axes for each of `strip_heights`, sharing their x axis with the rows below.
        media: frames, a waveform, both or neither.
        seconds: length of the clip.
        inches: about how wide the axes will be; frames keep their shape and their place on the clock if it is not so.
        colours: theme of the figure.
    """
    remaining = list(column)
    if media is not None and media.frames is not None:
        _draw_frames(remaining.pop(0), media.frames, seconds, inches, colours)
    if media is not None and media.waveform is not None:
        _draw_waveform(remaining.pop(0), media.waveform, seconds, inches, colours)


def _frame_height(shape: tuple[int, ...], inches: float) -> float:
    """Inches of height of a frame that fills its part of the strip, if it may be that high."""
    num_frames, height, width = shape[:3]
    return min(FRAME_HEIGHT, inches / num_frames * height / width)


def _draw_frames(axes: "Axes", frames: npt.NDArray[np.uint8], seconds: float, inches: float, colours: Theme) -> None:
    """Put each frame in the middle of its part of the clock, as wide as that part unless it would be too high.

    A second is as long upwards as it is to the right, so frames keep their shape: where the axes turn out higher or
    lower than planned, the y limits give way, never the clock.
    """
    part = seconds / len(frames)
    height = _frame_height(frames.shape, inches) * seconds / inches
    width = min(part, height * frames.shape[2] / frames.shape[1])
    for index, frame in enumerate(frames):
        left = (index + 0.5) * part - width / 2
        axes.imshow(frame, extent=(left, left + width, 0, height), interpolation="antialiased", zorder=1)
    axes.vlines(np.arange(1, len(frames)) * part, 0, height, colours.paper, linewidth=1.0, zorder=2)
    axes.set_xlim(0, seconds)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_yticks([height / 2], MEDIA_TITLES[:1])
    axes.tick_params(labelbottom=False)


def _draw_waveform(
    axes: "Axes", waveform: npt.NDArray[np.float32], seconds: float, inches: float, colours: Theme
) -> None:
    """Fill what lies between the lowest and the highest sample of each pixel column."""
    low, high = envelope(waveform, round(inches * DPI))
    middles = (np.arange(len(low)) + 0.5) * seconds / len(low)
    axes.fill_between(middles, low, high, facecolor=colours.quiet, edgecolor=colours.quiet, linewidth=0.4)
    reach = max(float(np.abs(waveform).max()), FAINT_PEAK)
    axes.set_xlim(0, seconds)
    axes.set_ylim(-1.05 * reach, 1.05 * reach)
    axes.set_yticks([0], MEDIA_TITLES[1:])
    axes.tick_params(labelbottom=False)


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
    _draw_parse_clock(axes, parse, style.colours)
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


def _draw_parse_clock(axes: "Axes", parse: DrawnParse, colours: Theme) -> None:
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
