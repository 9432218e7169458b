"""The events of one media file as every output writes them, on one of two clocks, and as files of tools give them."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valor.data.parse_file import SEEN_AS, Parse, ParsedEvent
from valor.data.parsed_media import MediaInfo
from valor.eval.events import MODALITIES
from valor.eval.xml_text import xml_text
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.strict_json import MOST_SECONDS

CLOCKS = ("container", "zero")
"""Times as the container counts them, or from the start of the media."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What the outputs need of a parse."""

    media: MediaInfo
    class_names: tuple[str, ...]
    events: tuple[ParsedEvent, ...]
    """Earliest first."""
    caveat: str = ""
    """What keeps anybody from believing them, see `Parse.caveat`."""
    clip_id: str = ""
    """Of the clip it is of, where it is one of several."""


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
        raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}{did_you_mean(clock, CLOCKS)}")
    start = parse.media.start_time if clock == "zero" else 0.0
    events = (replace(e, onset=round(e.onset - start, 6), offset=round(e.offset - start, 6)) for e in parse.events)
    return Timeline(media=parse.media, class_names=parse.class_names, events=tuple(events), caveat=parse.caveat)


def check_names(class_names: Sequence[str]) -> None:
    """Refuse classes that become one where XML cannot hold a character of their names, see `xml_text`.

    Raises:
        ValueError: Says which.
    """
    counts = Counter(map(xml_text, class_names))
    if twice := [name for name in class_names if counts[xml_text(name)] > 1]:
        raise ValueError(f"XML cannot tell the classes {', '.join(map(ascii, twice))} apart; rename one")


MODALITY_OF = {how: modality for modality, how in SEEN_AS.items()} | {modality: modality for modality in MODALITIES}
"""What `audible` and `visible` stand for where people type them, or `audio` and `visual`."""

_NEAR = 0.8
"""How alike a word must be to one of these to be meant as it: `audibel` is 0.86, `audition` 0.77."""

RateOf = Callable[[str], float | None]
"""Frames per second of a media file, by what a file of events calls it; None where nobody knows."""


@dataclass(frozen=True, kw_only=True)
class ReadEvent:
    """An event as a file gives it, half open; seconds on the clock the file counts by."""

    class_name: str
    modality: str
    onset: float
    offset: float
    where: str
    """File and place in it, for what is said of the event."""

    def __post_init__(self) -> None:
        """Refuse what is no event."""
        if not self.class_name.strip():
            raise ValueError(f"{self.where}: expected the name of a class, got none")
        if not 0 <= self.onset < self.offset <= MOST_SECONDS:
            raise ValueError(
                f"{self.where}: expected an onset from 0 on and a later offset in seconds, got {self.onset:g} and "
                f"{self.offset:g}"
            )


@dataclass(frozen=True, kw_only=True)
class ReadMedia:
    """What a file says of one media file."""

    name: str
    """What it calls the media; empty where it does not name them."""
    events: tuple[ReadEvent, ...]
    address: str = ""
    """Where it says that they lie, from its own folder; empty where it does not say."""
    modalities: tuple[str, ...] = MODALITIES
    """Of which it speaks: a file of audible events says nothing of visible ones."""
    unit: float = 0.0
    """Seconds of the frames that it counts in; 0 where it gives times."""
    clip_id: str = ""
    """What the clip is where somebody said it; it counts before every name."""
    others: tuple[tuple[str, str], ...] = ()
    """(label, file and place in it) of tracks and labels that say nothing of audible or visible: notes of somebody."""


def told_apart(label: str, where: str) -> tuple[str, str] | None:
    """(modality, class name) of a label such as `audible Dog`; None of one that is about something else.

    Raises:
        ValueError: It was meant so and is written otherwise.
    """
    how, _, name = label.strip().partition(" ")
    if how.lower() in MODALITY_OF and name.strip():
        return MODALITY_OF[how.lower()], name.strip()
    refuse_near_miss(label, where, "a label such as `audible Dog` or `visible Dog`")
    return None


def refuse_near_miss(label: str, where: str, expected: str) -> None:
    """Refuse a label that says nothing, nearly begins with audible, visible, audio or visual, or ends in the first two.

    Raises:
        ValueError: Says what was expected.
    """
    words = re.findall(r"[^\W_]+", label.casefold())
    near = [
        close
        for word, meant in ((words[:1], MODALITY_OF), (words[-1:], SEEN_AS.values()))
        for close in difflib.get_close_matches("".join(word), meant, n=1, cutoff=_NEAR)
        if close[0] == word[0][0]
    ]
    if near or not words:
        raise ValueError(f"{where}: expected {expected}, got {label!r:.200}")


def gathered(rows: Sequence[tuple[str, ReadEvent | None]], modalities: tuple[str, ...] = MODALITIES) -> list[ReadMedia]:
    """Rows of (media, event) by media, in their order; None of a medium says that it has no event."""
    media: dict[str, list[ReadEvent]] = {}
    for name, event in rows:
        held = media.setdefault(name, [])
        if event is not None:
            held.append(event)
    return [ReadMedia(name=name, events=tuple(events), modalities=modalities) for name, events in media.items()]


def text_of(path: Path) -> str:
    """What a text file says.

    Raises:
        ValueError: It is no UTF-8 text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, got something else ({error})") from error
