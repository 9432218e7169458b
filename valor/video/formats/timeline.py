"""The events of one media file as every output writes them, on one of two clocks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from valor.data.parse_file import MediaInfo, Parse, ParsedEvent
from valor.eval.xml_text import xml_text

CLOCKS = ("container", "zero")
"""Times as the container counts them, or from the start of the media."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What the outputs need of a parse."""

    media: MediaInfo
    class_names: tuple[str, ...]
    events: tuple[ParsedEvent, ...]
    """Earliest first."""


def refuse_below_zero(line: Timeline, what: str) -> None:
    """Refuse events that begin before zero where a format has no such times.

    Raises:
        ValueError: One does.
    """
    if any(event.onset < 0 for event in line.events):
        raise ValueError(f"{line.media.name}: its clock starts below zero, {what} has no such times; use clock='zero'")


def timeline_of(parse: Parse, *, clock: str = "container") -> Timeline:
    """The events of a parse.

    Args:
        parse: A parse.
        clock: One of `CLOCKS`.

    Raises:
        ValueError: There is no such clock.
    """
    if clock not in CLOCKS:
        raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
    start = parse.media.start_time if clock == "zero" else 0.0
    events = (replace(e, onset=round(e.onset - start, 6), offset=round(e.offset - start, 6)) for e in parse.events)
    return Timeline(media=parse.media, class_names=parse.class_names, events=tuple(events))


def check_names(class_names: Sequence[str]) -> None:
    """Refuse classes that become one where XML cannot hold a character of their names, see `xml_text`.

    Raises:
        ValueError: Says which.
    """
    counts = Counter(map(xml_text, class_names))
    if twice := [name for name in class_names if counts[xml_text(name)] > 1]:
        raise ValueError(f"XML cannot tell the classes {', '.join(map(ascii, twice))} apart; rename one")
