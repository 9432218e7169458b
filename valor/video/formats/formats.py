"""The names of all event formats, and how parses are written in one and files of tools read."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from valor.data.parse_file import Parse
from valor.eval.events import MODALITIES
from valor.label_harvest.did_you_mean import did_you_mean

from .annotation_tools import (
    fiftyone_text,
    label_studio_config,
    label_studio_text,
    read_fiftyone,
    read_json,
    read_label_studio,
)
from .elan import elan_text, read_elan
from .tables import (
    audacity_text,
    clip_of,
    csv_text,
    dcase_text,
    llp_text,
    read_audacity,
    read_one_modality,
    read_rttm,
    read_table,
    rttm_text,
    tsv_text,
    unspaced,
)
from .timeline import RateOf, ReadMedia, Timeline, timeline_of
from .webvtt import read_srt, read_webvtt, srt_text, webvtt_text
from .written import write_text


@dataclass(frozen=True)
class EventFormat:
    """One way to write events."""

    text: Callable[[Sequence[Timeline]], str]
    """What makes the file."""
    read: Callable[[Path, RateOf], list[ReadMedia]]
    """What reads it, edited or not."""
    ending: str
    """What the name of a file ends in where the parse names it."""
    what: str
    """What that is called."""
    many: bool = True
    """Whether one file holds the events of several media."""
    from_start: bool = False
    """Whether the tool counts from the start of the media, so that the clock is not ours to choose."""
    clock: str = "container"
    """By which clock `valor parse` writes times unless another is asked for: `zero` where the tool shows media as
    players do, from their start on, whatever the container says."""
    modalities: tuple[str, ...] = MODALITIES
    """Of which events it holds; others are left out."""
    called: Callable[[str], str] = str
    """What a media file is called in it, by its own name."""


FORMATS: dict[str, EventFormat] = {
    "csv": EventFormat(csv_text, read_table, ".csv", "comma-separated events"),
    "tsv": EventFormat(tsv_text, read_table, ".tsv", "tab-separated events"),
    "llp-audio": EventFormat(
        partial(llp_text, modality="audio"),
        partial(read_one_modality, modality="audio"),
        ".audio.csv",
        "LLP's table of audible events",
        modalities=("audio",),
        called=clip_of,
    ),
    "llp-visual": EventFormat(
        partial(llp_text, modality="visual"),
        partial(read_one_modality, modality="visual"),
        ".visual.csv",
        "LLP's table of visible events",
        modalities=("visual",),
        called=clip_of,
    ),
    "dcase": EventFormat(
        dcase_text,
        partial(read_one_modality, modality="audio"),
        ".dcase.tsv",
        "audible events as DCASE reads them",
        modalities=("audio",),
    ),
    "audacity": EventFormat(
        audacity_text, read_audacity, ".labels.txt", "an Audacity label track", many=False, clock="zero"
    ),
    "elan": EventFormat(elan_text, read_elan, ".eaf", "an ELAN document (.eaf)", many=False, clock="zero"),
    "webvtt": EventFormat(webvtt_text, read_webvtt, ".vtt", "WebVTT chapters", many=False, clock="zero"),
    "srt": EventFormat(srt_text, read_srt, ".srt", "SRT subtitles", many=False, clock="zero"),
    "rttm": EventFormat(
        rttm_text, read_rttm, ".rttm", "audible events in RTTM", modalities=("audio",), called=unspaced
    ),
    "fiftyone": EventFormat(
        fiftyone_text, read_fiftyone, ".fiftyone.json", "FiftyOne temporal detections (labels.json)", from_start=True
    ),
    "label-studio": EventFormat(
        label_studio_text, read_label_studio, ".label-studio.json", "Label Studio tasks", from_start=True
    ),
}
"""By name; docs/parse-json.md says which of them keep what."""


def format_named(path: Path) -> str | None:
    """The format that the name of a file asks for by its ending, the longest that fits; None where none does.

    >>> format_named(Path("yard.audio.csv")), format_named(Path("yard.eaf")), format_named(Path("yard.json"))
    ('llp-audio', 'elan', None)
    """
    fitting = [name for name, kept in FORMATS.items() if path.name.endswith(kept.ending)]
    return max(fitting, key=lambda name: len(FORMATS[name].ending), default=None)


TABLES = (".csv", ".tsv")
"""Endings that tables of others' making go by, whichever separates their columns."""


def endings_of(name: str) -> tuple[str, ...]:
    """What the name of a file of a format may end in.

    >>> endings_of("elan"), endings_of("csv"), endings_of("dcase")
    (('.eaf',), ('.csv',), ('.tsv', '.csv'))
    """
    own = f".{FORMATS[name].ending.rpartition('.')[2]}"
    return (own, *(other for other in TABLES if other != own)) if own in TABLES and f".{name}" != own else (own,)


LABEL_STUDIO = "label-studio"
LABELLING_INTERFACE = ".config.xml"
"""What the labelling interface beside a file for Label Studio ends in, in place of its `.json`."""


def write_events(
    path: Path, parses: Sequence[Parse], name: str, *, clock: str = "container", media_url: str | None = None
) -> None:
    """Write the events of parses, whole or not at all.

    Args:
        path: The file; beside one for Label Studio its labelling interface is written as NAME.config.xml.
        parses: One, or several for formats that hold several.
        name: A key of `FORMATS`.
        clock: `container`, or `zero` for times from the start of each media file.
        media_url: For Label Studio, what the addresses of media begin with.

    Raises:
        ValueError: There is no such format or clock, or the format cannot hold these events.
    """
    write_timelines(path, _timelines(parses, name, clock), name, media_url=media_url)


def write_timelines(path: Path, timelines: Sequence[Timeline], name: str, *, media_url: str | None = None) -> None:
    """Write events, wherever they come from; as `write_events`."""
    for file, text in timelines_files(path, timelines, name, media_url=media_url).items():
        write_text(file, text)


def timelines_files(
    path: Path, timelines: Sequence[Timeline], name: str, *, media_url: str | None = None
) -> dict[Path, str]:
    """What `write_timelines` writes by its file, that of the events first; it refuses what that refuses."""
    files = {path: timelines_text(timelines, name, media_url=media_url, beside=path.parent)}
    if name == LABEL_STUDIO:
        classes = list(dict.fromkeys(label for line in timelines for label in line.class_names))
        interface = label_studio_config(classes, [line.media for line in timelines])
        files[path.with_suffix(LABELLING_INTERFACE)] = interface
    return files


def events_text(parses: Sequence[Parse], name: str, *, clock: str = "container") -> str:
    """What `write_events` writes.

    Raises:
        ValueError: There is no such format or clock, or the format cannot hold these events.
    """
    return timelines_text(_timelines(parses, name, clock), name)


def timelines_text(
    timelines: Sequence[Timeline], name: str, *, media_url: str | None = None, beside: Path | None = None
) -> str:
    """What `write_timelines` writes; `beside` is the folder it writes to, from which ELAN finds media."""
    kept = _known(name)
    if kept.many:
        refuse_same_names(name, [line.media.name for line in timelines])
    if name == "elan":
        return elan_text(timelines, beside)
    return label_studio_text(timelines, media_url) if name == LABEL_STUDIO else kept.text(timelines)


def _timelines(parses: Sequence[Parse], name: str, clock: str) -> list[Timeline]:
    return [timeline_of(parse, clock="container" if _known(name).from_start else clock) for parse in parses]


def _known(name: str) -> EventFormat:
    if name not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {name!r}{did_you_mean(name, FORMATS)}")
    return FORMATS[name]


def read_events(path: Path, name: str | None = None, rate_of: RateOf = lambda _: None) -> tuple[str, list[ReadMedia]]:
    """Read a file of events, as it was written here or as a tool saved it.

    Args:
        path: The file.
        name: A key of `FORMATS`; None for what its name and, of JSON, its content say.
        rate_of: Frames per second of media, for files that count frames and say none.

    Returns:
        The format, and what the file says of each media file.

    Raises:
        ValueError: Nothing says which format it is, or it is not what the format asks for.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of events")
    found = name or _format_of(path)
    return found, _known(found).read(path, rate_of)


def _format_of(path: Path) -> str:
    for modality in MODALITIES:  # AVVP_eval_audio.csv, audio.tsv, yard.audio.tsv
        if re.search(rf"(^|[._]){modality}\.(csv|tsv)$", path.name):
            return f"llp-{modality}"
    if (found := format_named(path)) is not None:
        return found
    if path.suffix == ".json":
        held = read_json(path)
        if isinstance(held, list):
            return LABEL_STUDIO
        if isinstance(held, dict) and {"classes", "labels"} <= set(held):
            return "fiftyone"
    elif path.suffix == ".txt":
        return "audacity"
    raise ValueError(f"{path}: its name does not say which format it is; say format=NAME, one of {', '.join(FORMATS)}")


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
