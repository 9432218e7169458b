"""The events of one media file as every output writes them, on one of two clocks."""

from dataclasses import dataclass, replace

from valor.data.parse_file import MediaInfo, Parse, ParsedEvent

CLOCKS = ("container", "zero")
"""Times as the container counts them, or from the start of the media."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What the outputs need of a parse."""

    media: MediaInfo
    class_names: tuple[str, ...]
    events: tuple[ParsedEvent, ...]
    """Earliest first."""


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
