"""The names of all event formats, and how parses are written in one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from valor.data.parse_file import Parse
from valor.label_harvest.disk import replaced

from .annotation_tools import fiftyone_text, label_studio_config, label_studio_text
from .elan import elan_text
from .tables import audacity_text, clip_of, csv_text, dcase_text, llp_text, rttm_text, tsv_text, unspaced
from .timeline import Timeline, timeline_of
from .webvtt import webvtt_text


@dataclass(frozen=True)
class EventFormat:
    """One way to write events."""

    text: Callable[[Sequence[Timeline]], str]
    """What makes the file."""
    ending: str
    """What the name of a file ends in where the parse names it."""
    what: str
    """What that is called."""
    many: bool = True
    """Whether one file holds the events of several media."""
    from_start: bool = False
    """Whether the tool counts from the start of the media, so that the clock is not ours to choose."""
    called: Callable[[str], str] = str
    """What a media file is called in it, by its own name."""


FORMATS: dict[str, EventFormat] = {
    "csv": EventFormat(csv_text, ".csv", "comma-separated events"),
    "tsv": EventFormat(tsv_text, ".tsv", "tab-separated events"),
    "llp-audio": EventFormat(
        partial(llp_text, modality="audio"), ".audio.csv", "LLP's table of audible events", called=clip_of
    ),
    "llp-visual": EventFormat(
        partial(llp_text, modality="visual"), ".visual.csv", "LLP's table of visible events", called=clip_of
    ),
    "dcase": EventFormat(dcase_text, ".dcase.tsv", "audible events as DCASE reads them"),
    "audacity": EventFormat(audacity_text, ".labels.txt", "an Audacity label track", many=False),
    "elan": EventFormat(elan_text, ".eaf", "an ELAN document (.eaf)", many=False),
    "webvtt": EventFormat(webvtt_text, ".vtt", "WebVTT chapters", many=False),
    "rttm": EventFormat(rttm_text, ".rttm", "audible events in RTTM", called=unspaced),
    "fiftyone": EventFormat(
        fiftyone_text, ".fiftyone.json", "FiftyOne temporal detections (labels.json)", from_start=True
    ),
    "label-studio": EventFormat(label_studio_text, ".label-studio.json", "Label Studio tasks", from_start=True),
}
"""By name; docs/parse-json.md says which of them keep what."""


def format_named(path: Path) -> str | None:
    """The format that the name of a file asks for by its ending, the longest that fits; None where none does.

    >>> format_named(Path("yard.audio.csv")), format_named(Path("yard.eaf")), format_named(Path("yard.json"))
    ('llp-audio', 'elan', None)
    """
    fitting = [name for name, kept in FORMATS.items() if path.name.endswith(kept.ending)]
    return max(fitting, key=lambda name: len(FORMATS[name].ending), default=None)


LABELLING_INTERFACE = ".config.xml"
"""What the labelling interface beside a file for Label Studio ends in, in place of its `.json`."""


def write_events(path: Path, parses: Sequence[Parse], name: str, *, clock: str = "container") -> None:
    """Write the events of parses, whole or not at all.

    Args:
        path: The file; beside one for Label Studio its labelling interface is written as NAME.config.xml.
        parses: One, or several for formats that hold several.
        name: A key of `FORMATS`.
        clock: `container`, or `zero` for times from the start of each media file.

    Raises:
        ValueError: There is no such format or clock, or the format cannot hold these events.
    """
    _write(path, events_text(parses, name, clock=clock))
    if name == "label-studio":
        classes = list(dict.fromkeys(label for parse in parses for label in parse.class_names))
        _write(path.with_suffix(LABELLING_INTERFACE), label_studio_config(classes, [parse.media for parse in parses]))


def events_text(parses: Sequence[Parse], name: str, *, clock: str = "container") -> str:
    """What `write_events` writes.

    Raises:
        ValueError: There is no such format or clock, or the format cannot hold these events.
    """
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}")
    kept = FORMATS[name]
    if kept.many:
        refuse_same_names(name, [parse.media.name for parse in parses])
    return kept.text([timeline_of(parse, clock="container" if kept.from_start else clock) for parse in parses])


def refuse_same_names(name: str, media: Sequence[str]) -> None:
    """Refuse media that a file of a format would take for one.

    Args:
        name: A key of `FORMATS`.
        media: Names of the media whose events would be in the file.

    Raises:
        ValueError: Two are called the same there.
    """
    counts = Counter(map(FORMATS[name].called, media))
    if twice := sorted(called for called, count in counts.items() if count > 1):
        what = f"{FORMATS[name].what} would take two media for one, {twice[0]!r:.200}"
        raise ValueError(f"{what}; rename one, or write a file for each")


def _write(path: Path, text: str) -> None:
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")
