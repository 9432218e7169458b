"""Events as chapters of WebVTT or subtitles of SubRip (SRT), and read back.

One for every stretch in which the same things are heard and seen.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

from valor.data.parse_file import SEEN_AS

from .timeline import (
    MODALITY_OF,
    RateOf,
    ReadEvent,
    ReadMedia,
    Timeline,
    refuse_below_zero,
    refuse_near_miss,
    text_of,
)

SEPARATOR = " · "
"""Between the classes of a chapter."""


def webvtt_text(timelines: Sequence[Timeline]) -> str:
    """Chapters such as `Dog (audible, visible) · Speech (audible)`; times in which nothing happens have none.

    Raises:
        ValueError: There is more than one media file, or an event begins before zero.
    """
    line = _only(timelines, "WebVTT")
    cues = _cues(line, ".", lambda title: escape(title, quote=False))
    return "\n".join(["WEBVTT\n", *([f"NOTE {line.caveat}\n"] if line.caveat else []), *cues])


def srt_text(timelines: Sequence[Timeline]) -> str:
    """The same stretches as subtitles, titles as they are: SRT knows neither notes nor escapes.

    Raises:
        ValueError: There is more than one media file, or an event begins before zero.
    """
    return "\n".join(_cues(_only(timelines, "SRT"), ",", str))


def _only(timelines: Sequence[Timeline], what: str) -> Timeline:
    """The one media file that a file in the format `what` is of."""
    if len(timelines) != 1:
        raise ValueError(f"a file of {what} is of one media file, got {len(timelines)}; write one for each")
    refuse_below_zero(timelines[0], what)
    return timelines[0]


def _cues(line: Timeline, point: str, escaped: Callable[[str], str]) -> Iterator[str]:
    """Number, times with `point` before the milliseconds, and title of each stretch."""
    for number, (onset, offset, title) in enumerate(_chapters(line), start=1):
        begin, end = (_clock(time).replace(".", point) for time in (onset, offset))
        yield f"{number}\n{begin} --> {end}\n{escaped(title)}\n"


def _chapters(line: Timeline) -> list[tuple[float, float, str]]:
    """(onset, offset, title) of each stretch."""
    times = sorted({time for event in line.events for time in (event.onset, event.offset)})
    chapters = []
    for onset, offset in zip(times[:-1], times[1:], strict=True):
        active = [event for event in line.events if event.onset <= onset and event.offset >= offset]
        named: dict[str, list[str]] = {}
        for event in sorted(active, key=lambda event: (event.class_name, event.modality)):
            named.setdefault(event.class_name, []).append(SEEN_AS[event.modality])
        if named:
            title = SEPARATOR.join(f"{' '.join(name.split())} ({', '.join(how)})" for name, how in named.items())
            chapters.append((onset, offset, title))
    return chapters


def _clock(time: float) -> str:
    """Hours, minutes, seconds and milliseconds."""
    milliseconds = round(1000 * time)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


_ARROW = "-->"
_TIME = re.compile(r"(?:([0-9]{2,9}):)?([0-5][0-9]):([0-5][0-9])\.([0-9]{3})")
_SRT_TIME = re.compile(r"([0-9]{2,9}):([0-5][0-9]):([0-5][0-9])[,.]([0-9]{3})")
_STYLES = re.compile(r"</?(?:b|i|u|s|font)(?: [^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
"""What editors of subtitles put around texts."""
_TITLE = re.compile(r"(.+) \(([a-z]+)(?:, ([a-z]+))?\)")


def read_webvtt(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """The events of chapters such as `webvtt_text` writes; chapters of one class that touch are one event.

    Notes, styles, identifiers and settings of cues are passed over.

    Raises:
        ValueError: It is no WebVTT, or a title is none of these; says file and line.
    """
    lines = text_of(path).splitlines()
    if not lines or not re.match(r"WEBVTT(\s|$)", lines[0]):
        raise ValueError(f"{path}: expected WebVTT, whose first line is WEBVTT, got {(lines or [''])[0]!r:.80}")
    head = lines[: lines.index("") if "" in lines else None]
    if moved := next((line for line in head if line.startswith("X-TIMESTAMP-MAP")), None):
        raise ValueError(f"{path}: expected times of the media, got those of a stream ({moved:.80}); save it as a file")
    return _chapters_of(path, lines, _TIME, unescape)


def read_srt(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """The events of subtitles such as `srt_text` writes, as `read_webvtt`; places and styles are passed over.

    Raises:
        ValueError: There are no subtitles, or a text is none of these; says file and line.
    """
    lines = text_of(path).splitlines()
    if any(map(str.strip, lines)) and not any(_ARROW in line for line in lines):
        raise ValueError(f"{path}: expected subtitles with lines such as 00:01:02,500 --> 00:01:04,000, got none")
    return _chapters_of(path, lines, _SRT_TIME, lambda text: _STYLES.sub("", text))


def _chapters_of(
    path: Path, lines: Sequence[str], times_as: re.Pattern[str], plain: Callable[[str], str]
) -> list[ReadMedia]:
    """The events of lines with times, each followed by the lines of a title."""
    events: list[ReadEvent] = []
    others: list[tuple[str, str]] = []
    for number, line in enumerate(lines, start=1):
        if _ARROW not in line:
            continue
        onset, _, rest = line.partition(_ARROW)
        times = [_seconds(text, times_as, f"{path}:{number}") for text in (onset, (rest.split() or [""])[0])]
        title = []
        for below in lines[number:]:
            if not below.strip() or _ARROW in below:
                break
            title.append(below.strip())
        named, strange = _named(plain(" ".join(title)), f"{path}:{number + 1}")
        others += [(label, f"{path}:{number + 1}") for label in strange]
        for name, modality in named:
            where = f"{path}:{number}"
            events.append(ReadEvent(class_name=name, modality=modality, onset=times[0], offset=times[1], where=where))
    return [ReadMedia(name="", events=_joined(events), others=tuple(others))]


def _seconds(text: str, times_as: re.Pattern[str], where: str) -> float:
    found = times_as.fullmatch(text.strip())
    if found is None:
        shown = "00:01:02.500 --> 00:01:04.000".replace(".", "." if times_as is _TIME else ",")
        raise ValueError(f"{where}: expected times such as {shown}, got {text.strip()!r:.80}")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _named(title: str, where: str) -> tuple[list[tuple[str, str]], list[str]]:
    """(class name, modality) of each class of a title, and the parts of it that are about something else."""
    found, others = [], []
    for part in title.split(SEPARATOR):
        split = _TITLE.fullmatch(part.strip())
        hows = [how for how in split.groups()[1:] if how] if split else []
        if split is None or not all(how in MODALITY_OF for how in hows):
            refuse_near_miss(part, where, "a title such as `Dog (audible, visible)`")
            others.append(part.strip())
            continue
        found += [(split[1], MODALITY_OF[how]) for how in hows]
    return found, others


def _joined(events: Sequence[ReadEvent]) -> tuple[ReadEvent, ...]:
    """Events of one class and modality that touch made one."""
    found: dict[tuple[str, str], list[ReadEvent]] = {}
    for event in sorted(events, key=lambda event: event.onset):
        whole = found.setdefault((event.class_name, event.modality), [])
        if whole and event.onset <= whole[-1].offset:
            whole[-1] = replace(whole[-1], offset=max(whole[-1].offset, event.offset))
        else:
            whole.append(event)
    return tuple(event for whole in found.values() for event in whole)
