"""Events as chapters of WebVTT: one for every stretch in which the same things are heard and seen."""

from collections.abc import Sequence
from html import escape

from valor.data.parse_file import SEEN_AS

from .timeline import Timeline, refuse_below_zero

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
    return "\n".join(["WEBVTT\n", *cues])


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
