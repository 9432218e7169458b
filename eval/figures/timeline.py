"""Timelines: what is audible and visible when, as rows of bars beneath the clip itself.

`timeline_figure` shows one clip as the truth and several systems see it: in the row of a class and modality every
system has a lane. `parse_figure` shows one parsed media file: an audible row above a visible one for every class, a
bar the stronger the more probable the event, and where there is none a faint shade that says how probable the class is;
a line between the two rows says audible and visible at once. Colour is not needed to read either: the upper row is the
audible one, and bars of visible events are hatched. Above the rows, on their clock, stand frames and sound.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..events import MODALITIES, BoolArray, events_of
from .clip_media import SPECTROGRAM_HEIGHT, Media, draw_media, draw_spectrogram, strip_heights
from .stills import STILLS_EXTRA, Still, draw_stills
from .style import LINE, ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes, swatches

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODALITY_TITLES = ("audible", "visible")
"""How the rows of a timeline are called, in the order of MODALITIES."""

ABSENT = ("no sound", "no picture")
"""Said of a stream that is not there."""

HATCHES = ("", "////")
"""Solid for what is audible, hatched for what is visible."""

LANE = 0.125
"""Inches of height of one system in a row of a timeline."""

ROW_GAP = 0.1
"""Inches between rows of a timeline."""

CLASS_HEIGHT = 0.39
"""Inches of height of the two rows of a class of a parse."""

PARSE_ROW, PARSE_TOPS = 0.35, (0.1, 0.55)
"""Height of such a row, and the upper ends of the two, in a class of height 1; between them the overlap is drawn."""

FAINT, STRONG = 0.5, (0.55, 1.0)
"""Opacity of a probability of 1 without an event, and of probabilities of 0 and 1 within one."""

MOST_CLASSES = 25
"""Classes of a parse that are drawn, which fill a page; of more, those that are marked longest."""

MOST_STRETCHES = 3
"""Stretches without a stream whose times are said where no event is."""

NOTE_LETTER, MOST_NOTE_LINES = 0.062, 30
"""Inches of width of a letter of a note, about, and lines of notes below a parse at most."""

MANY_SEGMENTS = 900
"""With more, a segment is narrower than a pixel: events are drawn with an outline, so that none is lost."""

SEGMENT_LINES = 60
"""A timeline of at most so many segments has a faint line at each of their borders."""

Track = tuple[str, BoolArray]
"""The name of a system and what it marks in one clip: bool [T, M=2, C]."""


@dataclass(frozen=True, kw_only=True)
class DrawnParse:
    """What is drawn of a parse."""

    class_names: tuple[str, ...]
    """C names."""
    probs: npt.NDArray[np.float32]
    """float [T, M=2, C]; NaN where there is no stream."""
    predicted: BoolArray
    """bool [T, M=2, C]."""
    unsure: BoolArray | None = None
    """bool [T, M=2, C], segments of events that something else explains as well; None where nobody asked."""
    segment_seconds: float = 1.0
    start: float = 0.0
    """What the clock says at the first segment, in seconds."""
    length: float | None = None
    """When the media ends, in seconds from its first segment, of which the last may reach beyond; None where all of it
    was."""
    cuts: tuple[float, ...] = ()
    """Where the film is cut, in seconds from its first segment."""
    frames: npt.NDArray[np.uint8] | None = None
    """uint8 [K, H, W, 3] evenly spaced over the media."""
    spectrogram: npt.NDArray[np.float32] | None = None
    """float [bands, columns] in dB, lowest band first, evenly spaced over the media."""
    stills: tuple[Still, ...] = ()
    """Where visible events were found, the most probable first; drawn beside frames."""
    notes: tuple[str, ...] = ()
    """What a reader should know, such as demo teachers or damage: lines below."""

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
    def covered(self) -> float:
        """Length of all segments, in seconds."""
        return len(self.probs) * self.segment_seconds

    @property
    def seconds(self) -> float:
        """Length of the media, where all that is drawn ends."""
        return self.covered if self.length is None else min(self.length, self.covered)


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
        A matplotlib figure; `to_picture` turns it into bytes.

    Raises:
        ValueError: There is no track, two share a name, or a mask is not bool [T, 2, C].
    """
    _check_tracks(tracks, class_names)
    occurring = np.flatnonzero(np.any([mask.any(axis=(0, 1)) for _, mask in tracks], axis=0)).tolist()
    names = [_wrapped(class_names[index], 14) for index in occurring]
    num_rows, num_segments = max(len(occurring), 1) * len(MODALITIES), len(tracks[0][1])
    seconds = num_segments * segment_seconds
    colours, fills = style.colours, style.fills([name for name, _ in tracks], truth)
    inches = style.width - 0.6 - 0.08 * _longest_line(names)
    figure, (*above, axes) = stacked_axes(
        [*strip_heights(media, inches), num_rows * (LANE * len(tracks) + ROW_GAP)], style
    )
    borders = np.arange(num_segments + 1) * segment_seconds if num_segments <= SEGMENT_LINES else np.empty(0)
    _draw_clock([*above, axes], seconds, colours, borders=borders.tolist())
    draw_media(above, media, seconds, inches, colours)
    axes.set_ylim(num_rows, 0)
    for position, class_index in enumerate(occurring):
        for modality in range(len(MODALITIES)):
            lanes = [(name, mask[:, modality, class_index]) for name, mask in tracks]
            _draw_lanes(axes, len(MODALITIES) * position + modality, lanes, fills, segment_seconds, colours)
        if position:
            line = axes.axhline(2 * position, -1, 2, color=colours.quiet, linewidth=0.6, clip_on=False)
            line.set_in_layout(False)  # it runs across the whole figure
    ticks, middles = [row + 0.5 for row in range(num_rows)], [2 * position + 1 for position in range(len(names))]
    _label_rows(axes, names, ticks, middles, colours, inset=39, fontsize=8.5)
    if not names:
        _say_instead(axes, "no event", colours)
    add_legend(figure, swatches(fills), title, colours)
    settle(figure)
    return figure


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


def _draw_lanes(
    axes: "Axes", row: int, lanes: Sequence[Track], fills: dict[str, str], segment_seconds: float, colours: Theme
) -> None:
    """Draw one class in one modality: the truth as a shade over the row, and a bar for each system in its lane.

    A hairline runs through every lane, so that a system that marks nothing is seen to do so.
    """
    gap = ROW_GAP / (LANE * len(lanes) + ROW_GAP)
    height = (1 - gap) / len(lanes)
    for lane, (name, marks) in enumerate(lanes):
        if fills[name] == colours.ink:  # the truth
            whole = (row + gap / 2, 1 - gap)
            _draw_bars(axes, marks, segment_seconds, whole, facecolors=colours.shade, linewidth=0, zorder=1)
        top = row + gap / 2 + (lane + 0.1) * height
        axes.axhline(top + 0.4 * height, color=fills[name], linewidth=0.8, alpha=0.4, zorder=1.5)
        look = {"facecolors": fills[name], "edgecolors": colours.paper, "hatch": HATCHES[row % len(MODALITIES)]}
        _draw_bars(axes, marks, segment_seconds, (top, 0.8 * height), linewidth=0, zorder=2, **look)


def parse_figure(parse: DrawnParse, *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
    """Draw a parse.

    Args:
        parse: What is drawn.
        title: A line above.
        style: Width and theme; the height follows from the content.

    Returns:
        A matplotlib figure; `to_picture` turns it into bytes.
    """
    colours = style.colours
    shown, left_out = _shown_classes(parse.predicted)
    names = [_wrapped(parse.class_names[index], 16, most_lines=2) for index in shown]
    media = None if parse.frames is None else Media(parse.frames)
    inches = style.width - 0.75 - 0.075 * _longest_line(names)
    sound = [] if parse.spectrogram is None else [SPECTROGRAM_HEIGHT]
    strip = strip_heights(media, inches)
    stills = [strip[0] + STILLS_EXTRA] if parse.stills and strip else []
    num_rows = max(1, len(shown))
    figure, (*above, axes) = stacked_axes([*strip, *stills, *sound, num_rows * CLASS_HEIGHT], style)
    _draw_clock([axes], parse.seconds, colours, start=parse.start)
    draw_media(above[:1], media, parse.seconds, inches, colours)
    if stills and parse.frames is not None:
        draw_stills(above.pop(1), parse.stills, len(parse.frames), parse.seconds, inches, strip[0], colours)
    if parse.spectrogram is not None:
        draw_spectrogram(above[-1], parse.spectrogram, parse.seconds, colours, covered=parse.covered)
    lost = _lost(parse)
    _cross_out(above[-1:] if sound else [], lost[:, 0], parse.segment_seconds, colours)
    _cross_out(above[:1] if strip else [], lost[:, 1], parse.segment_seconds, colours)
    axes.set_ylim(num_rows, 0)
    for row, class_index in enumerate(shown):
        _draw_class(axes, row, parse, class_index, colours)
    _draw_cuts([*above, axes], parse.cuts, inches, colours)
    absent = _gone(parse).all(axis=0)
    for modality in np.flatnonzero(absent) if shown else ():
        for row in range(num_rows):
            y = row + PARSE_TOPS[modality] + PARSE_ROW / 2
            axes.text(parse.seconds / 2, y, ABSENT[modality], ha="center", va="center", fontsize=6, color=colours.quiet)
    ticks, middles = (
        [row + top + PARSE_ROW / 2 for row in range(num_rows) for top in PARSE_TOPS],
        np.arange(num_rows) + 0.5,
    )
    _label_rows(axes, names, ticks, middles.tolist(), colours, inset=34, fontsize=8, linespacing=0.95)
    axes.tick_params(axis="y", labelsize=6.5)
    if not shown:
        _say_instead(axes, ", ".join(["no event", *_absent_when(parse)]), colours)
    below = _note_lines(parse.notes, style.width)
    if below:
        axes.set_xlabel("\n".join([axes.get_xlabel(), *below]), color=colours.ink)
        figure.set_figheight(figure.get_figheight() + LINE * len(below))
    crossed = bool((lost[:, 0].any() and (sound or shown)) or (lost[:, 1].any() and (strip or shown)))
    add_legend(figure, _parse_legend(colours, left_out, parse, crossed=crossed), title, colours)
    settle(figure)
    return figure


def _gone(parse: DrawnParse) -> BoolArray:
    """Segments in which media have nothing of a stream, bool [T, M]."""
    return np.asarray(np.isnan(parse.probs).all(axis=2))


def _lost(parse: DrawnParse) -> BoolArray:
    """Those of a stream that media have elsewhere, bool [T, M]."""
    gone = _gone(parse)
    return gone & ~gone.all(axis=0)


def _absent_when(parse: DrawnParse) -> list[str]:
    """Of each stream that is absent somewhere, that it is and, where it is elsewhere, when on the clock."""
    said, lost, end = [], _lost(parse), parse.start + parse.seconds
    for modality in np.flatnonzero(_gone(parse).any(axis=0)).tolist():
        events = events_of(np.ascontiguousarray(lost[:, modality : modality + 1]), parse.segment_seconds)
        times = [
            " – ".join(
                clock_text(min(round(parse.start + time, 3), round(end, 1)), end) for time in (one.onset, one.offset)
            )
            for one in events
        ]
        when = f" {', '.join(times)}{' s' * (end < 120)}" if len(times) <= MOST_STRETCHES else " in parts"
        said.append(ABSENT[modality] + when * bool(times))
    return said


def _note_lines(notes: Sequence[str], inches: float) -> list[str]:
    """Notes in lines of a width, the last of them a count where there are more; dollar signs would begin a formula."""
    lines = [line for note in notes for line in textwrap.wrap(note, max(20, int(inches / NOTE_LETTER)))]
    if len(lines) > MOST_NOTE_LINES:
        lines = [*lines[: MOST_NOTE_LINES - 1], "... more notes are in the JSON of the parse"]
    return [line.replace("$", r"\$") for line in lines]


def _cross_out(drawn: "Sequence[Axes]", lost: BoolArray, segment_seconds: float, colours: Theme) -> None:
    """Lay crosses over what is drawn of a stream where media have nothing of it, so that no frame stands for it."""
    for axes in drawn:
        for one in events_of(np.ascontiguousarray(lost[:, np.newaxis]), segment_seconds):
            axes.axvspan(one.onset, one.offset, **_gone_look(colours) | {"zorder": 3})


def _draw_cuts(drawn: "Sequence[Axes]", cuts: Sequence[float], inches: float, colours: Theme) -> None:
    """Lines through all that is on the clock, paler where there are many."""
    pale = min(1.0, inches / _CUT_ROOM / max(1, len(cuts)))
    for axes in drawn:
        for cut in cuts:
            axes.axvline(cut, **_CUT | {"alpha": _CUT["alpha"] * max(_PALEST, pale)}, color=colours.ink)


def _shown_classes(predicted: BoolArray) -> tuple[list[int], int]:
    """Classes that are marked, in the order in which they first occur, and how many are left out."""
    marked = predicted.any(axis=1)  # [T, C]
    length = marked.sum(axis=0)
    kept = np.argsort(-length, kind="stable")[:MOST_CLASSES]
    kept = kept[length[kept] > 0]
    first = marked.argmax(axis=0)
    order = sorted(kept.tolist(), key=lambda index: (first[index], -length[index], index))
    return order, int((length > 0).sum()) - len(order)


def _draw_class(axes: "Axes", row: int, parse: DrawnParse, class_index: int, colours: Theme) -> None:
    """Two rows of shades and bars, and between them where both are marked."""
    for modality, top in enumerate(PARSE_TOPS):
        low, high = row + top, row + top + PARSE_ROW
        marks, probs = parse.predicted[:, modality, class_index], parse.probs[:, modality, class_index]
        colour = colours.modalities[modality]
        axes.axhspan(low, high, color=colours.shade, alpha=0.45, linewidth=0, zorder=0.5)
        if (gone := np.isnan(probs)).any() and not gone.all():
            _draw_bars(axes, gone, parse.segment_seconds, (low, high - low), **_gone_look(colours))
        shades = np.zeros((1, len(probs), 4))  # RGBA, strong where an event is and faint elsewhere, by probability
        shades[..., :3] = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        known = np.nan_to_num(probs.astype(np.float64))
        shades[0, :, 3] = np.where(marks, STRONG[0] + (STRONG[1] - STRONG[0]) * known, FAINT * known)
        axes.imshow(shades, extent=(0, parse.covered, high, low), aspect="auto", interpolation="none", zorder=1)
        place, look = (low, high - low), {"facecolors": "none", "edgecolors": colours.paper, "hatch": HATCHES[modality]}
        if len(marks) > MANY_SEGMENTS:
            ink = {"facecolors": colour, "edgecolors": colour}
            _draw_bars(axes, marks, parse.segment_seconds, place, linewidth=0.4, zorder=1.5, **ink)
        _draw_bars(axes, marks, parse.segment_seconds, place, linewidth=0, zorder=2, **look)
        if parse.unsure is not None:
            _draw_bars(
                axes, parse.unsure[:, modality, class_index], parse.segment_seconds, place, **_unsure_look(colours)
            )
    both = parse.predicted[:, 0, class_index] & parse.predicted[:, 1, class_index]
    gap = (row + PARSE_TOPS[0] + PARSE_ROW + 0.015, PARSE_TOPS[1] - PARSE_TOPS[0] - PARSE_ROW - 0.03)
    _draw_bars(axes, both, parse.segment_seconds, gap, facecolors=colours.ink, linewidth=0, zorder=3)
    axes.set_xlim(0, parse.seconds)
    axes.set_aspect("auto")


def _unsure_look(colours: Theme) -> dict[str, Any]:
    """A dotted frame around an event."""
    return {"facecolors": "none", "edgecolors": colours.ink, "linewidth": 0.9, "linestyle": (0, (1, 1.5)), "zorder": 3}


def _gone_look(colours: Theme) -> dict[str, Any]:
    """An empty stretch with thin lines across, where media have no sound or no picture."""
    return {"facecolor": colours.paper, "edgecolor": colours.quiet, "linewidth": 0, "hatch": "xx", "zorder": 0.7}


_CUT: dict[str, Any] = {"linewidth": 0.7, "linestyle": (0, (3, 2)), "alpha": 0.6, "zorder": 4}
"""How a cut is drawn."""
_CUT_ROOM, _PALEST = 0.3, 0.3
"""Inches a cut has on the whole before they get paler, so that bars stay to be seen, and how pale at most."""


def _parse_legend(colours: Theme, left_out: int, parse: DrawnParse, *, crossed: bool) -> "list[Artist]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    audible, visible = colours.modalities
    entries: list[Artist] = [
        Patch(facecolor=audible, label="audible"),
        Patch(facecolor=visible, edgecolor=colours.paper, linewidth=0, hatch=2 * HATCHES[1], label="visible"),
        Patch(facecolor=colours.ink, label="audible and visible"),
        Patch(facecolor=audible, alpha=FAINT / 2, label="somewhat probable, no event"),
    ]
    if parse.unsure is not None and parse.unsure.any():
        look = {"linewidth": 0.9, "linestyle": _unsure_look(colours)["linestyle"]}
        entries.append(Patch(facecolor="none", edgecolor=colours.ink, **look, label="unsure"))
    if crossed:
        look = {"edgecolor": colours.quiet, "linewidth": 0, "hatch": "xx"}
        entries.append(Patch(facecolor=colours.paper, **look, label="no sound, or no picture"))
    if parse.cuts:
        entries.append(Line2D([], [], **_CUT, color=colours.ink, label="cut"))
    if left_out:
        entries.append(Patch(alpha=0, label=f"{left_out} more classes are not drawn"))
    return entries


def _draw_bars(axes: "Axes", marks: BoolArray, segment_seconds: float, place: tuple[float, float], **look: Any) -> None:
    """Draw a bar for each event of a track.

    Args:
        axes: Where; seconds to the right, rows downwards.
        marks: bool [T].
        segment_seconds: Length of a segment in seconds.
        place: Upper end and height of the bars.
        look: What `Axes.broken_barh` takes: colours, hatch, order.
    """
    events = events_of(np.ascontiguousarray(marks[:, np.newaxis]), segment_seconds)
    axes.broken_barh([(event.onset, event.offset - event.onset) for event in events], place, **look)


def _label_rows(
    axes: "Axes",
    names: Sequence[str],
    ticks: Sequence[float],
    middles: Sequence[float],
    colours: Theme,
    *,
    inset: float,
    **look: Any,
) -> None:
    """Name the classes, and beside each its audible and its visible row.

    Args:
        axes: The rows.
        names: Of the classes, in lines as they are drawn.
        ticks: Heights of their rows, two a class.
        middles: Heights of the classes.
        colours: Theme of the figure.
        inset: Points that the names of classes end to the left of the rows, where those of rows begin.
        look: What `Axes.annotate` takes: sizes.
    """
    axes.set_yticks(ticks if names else [], list(MODALITY_TITLES) * len(names))
    for name, middle in zip(names, middles, strict=False):
        axes.annotate(
            name,
            (0, middle),
            xytext=(-inset, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontweight="bold",
            color=colours.ink,
            **look,
        )


def _say_instead(axes: "Axes", said: str, colours: Theme) -> None:
    """Put words where there are no rows."""
    axes.text(
        0.5,
        0.5,
        said,
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=colours.quiet,
        backgroundcolor=colours.paper,
    )


def _wrapped(name: str, width: int, most_lines: int | None = None) -> str:
    """A class name in lines of so many letters, cut where there are more; a dollar sign would begin a formula."""
    lines = textwrap.wrap(name.replace("_", " "), width)
    if most_lines is not None and len(lines) > most_lines:
        lines = [*lines[: most_lines - 1], lines[most_lines - 1][: width - 3].rstrip() + "..."]
    return "\n".join(lines).replace("$", r"\$")


def _longest_line(names: Sequence[str]) -> int:
    return max((len(line) for name in names for line in name.split("\n")), default=0)


def _draw_clock(
    column: "Sequence[Axes]",
    seconds: float,
    colours: Theme,
    *,
    start: float = 0.0,
    borders: Sequence[float] | None = None,
) -> None:
    """Lay out the time axis of axes that stand one above the other.

    Args:
        column: From top to bottom; the lowest has the ticks.
        seconds: Length of the clip.
        colours: Theme of the figure.
        start: What the clock says at its beginning.
        borders: Where faint lines are drawn, in seconds of the clip; None for the ticks.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter

    lowest, end = column[-1], start + seconds
    steps = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
    step = next((step for step in steps if seconds / step <= 12), steps[-1])
    ticks = (np.arange(np.ceil(start / step) * step, end + 1e-6, step) - start).tolist()
    lowest.set_xlim(0, seconds)
    lowest.xaxis.set_major_locator(FixedLocator(ticks))
    lowest.xaxis.set_major_formatter(FuncFormatter(lambda x, _: clock_text(round(x + start, 3), end)))
    unit = "seconds" if end < 120 else "minutes" if end < 3600 else "hours"
    lowest.set_xlabel(unit, fontsize=7.5, color=colours.quiet, labelpad=2)
    for axes in column:
        for border in ticks if borders is None else borders:
            axes.axvline(border, color=colours.shade, linewidth=0.6, zorder=0)


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
