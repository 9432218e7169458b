"""Events as chapters of WebVTT: one for every stretch in which the same things are heard and seen; and read back."""

import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

from valor.data.parse_file import SEEN_AS

from .timeline import MODALITY_OF, RateOf, ReadEvent, ReadMedia, Timeline, refuse_below_zero, text_of

SEPARATOR = " · "
"""Between the classes of a chapter."""


def webvtt_text(timelines: Sequence[Timeline]) -> str:
    """Chapters such as `Dog (audible, visible) · Speech (audible)`; times in which nothing happens have none.

    Raises:
        ValueError: There is more than one media file, or an event begins before zero.
    """
    if len(timelines) != 1:
        raise ValueError(f"WebVTT chapters are of one media file, got {len(timelines)}")
    (line,) = timelines
    refuse_below_zero(line, "WebVTT")
    cues = [
        f"{number}\n{_clock(onset)} --> {_clock(offset)}\n{escape(title, quote=False)}\n"
        for number, (onset, offset, title) in enumerate(_chapters(line), start=1)
    ]
    return "\n".join(["WEBVTT\n", *([f"NOTE {line.caveat}\n"] if line.caveat else []), *cues])


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
_TIME = re.compile(r"(?:([0-9]{2,}):)?([0-5][0-9]):([0-5][0-9])\.([0-9]{3})")
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
    events: list[ReadEvent] = []
    for number, line in enumerate(lines, start=1):
        if _ARROW not in line:
            continue
        onset, _, rest = line.partition(_ARROW)
        times = [_seconds(text, f"{path}:{number}") for text in (onset, (rest.split() or [""])[0])]
        title = []
        for below in lines[number:]:
            if not below.strip() or _ARROW in below:
                break
            title.append(below.strip())
        for name, modality in _named(unescape(" ".join(title)), f"{path}:{number + 1}"):
            where = f"{path}:{number}"
            events.append(ReadEvent(class_name=name, modality=modality, onset=times[0], offset=times[1], where=where))
    return [ReadMedia(name="", events=_joined(events))]


def _seconds(text: str, where: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{where}: expected times such as 00:01:02.500 --> 00:01:04.000, got {text.strip()!r:.80}")
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds + milliseconds / 1000


def _named(title: str, where: str) -> list[tuple[str, str]]:
    """(class name, modality) of each class of a title."""
    found = []
    for part in title.split(SEPARATOR):
        split = _TITLE.fullmatch(part.strip())
        hows = [how for how in split.groups()[1:] if how] if split else []
        if split is None or not all(how in MODALITY_OF for how in hows):
            raise ValueError(f"{where}: expected a title such as `Dog (audible, visible)`, got {part.strip()!r:.200}")
        found += [(split[1], MODALITY_OF[how]) for how in hows]
    return found


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
