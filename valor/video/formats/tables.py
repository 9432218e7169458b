"""Events as text tables: one row an event. CSV, TSV, LLP's two tables, DCASE's, Audacity's labels, and RTTM."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from valor.data.parse_file import SEEN_AS, ParsedEvent

from .timeline import Timeline

COLUMNS = ("filename", "onset", "offset", "event_labels", "modality", "prob")
"""Of CSV and TSV; the first four are LLP's."""


def csv_text(timelines: Sequence[Timeline]) -> str:
    """Comma-separated values: the columns of LLP's tables, then modality and probability."""
    return _table(timelines, ",")


def tsv_text(timelines: Sequence[Timeline]) -> str:
    """The same separated by tabs."""
    return _table(timelines, "\t")


def llp_text(timelines: Sequence[Timeline], modality: str) -> str:
    """One of LLP's two event tables: `filename onset offset event_labels`, with tabs; the name without its ending."""
    rows = [
        (Path(line.media.name).stem, seconds(event.onset), seconds(event.offset), event.class_name)
        for line in timelines
        for event in line.events
        if event.modality == modality
    ]
    return _written([COLUMNS[:4], *rows], "\t")


def dcase_text(timelines: Sequence[Timeline]) -> str:
    """What is audible, as sound event detection of DCASE reads it: `filename onset offset event_label`, with tabs."""
    rows = [
        (line.media.name, f"{event.onset:.3f}", f"{event.offset:.3f}", event.class_name)
        for line in timelines
        for event in line.events
        if event.modality == "audio"
    ]
    return _written([("filename", "onset", "offset", "event_label"), *rows], "\t")


def audacity_text(timelines: Sequence[Timeline]) -> str:
    """A label track of Audacity: `onset offset label`, with tabs; the label says audible or visible.

    Raises:
        ValueError: There is more than one media file.
    """
    (line,) = _one(timelines, "an Audacity label track")
    return "".join(
        f"{e.onset:.6f}\t{e.offset:.6f}\t{SEEN_AS[e.modality]} {_plain(e.class_name)}\n" for e in line.events
    )


def rttm_text(timelines: Sequence[Timeline]) -> str:
    """What is audible in the ten columns of RTTM, the class in place of the speaker; blanks in names become _."""
    return "".join(
        f"SPEAKER {_unspaced(line.media.name)} 1 {event.onset:.3f} {event.offset - event.onset:.3f} <NA> <NA> "
        f"{_unspaced(event.class_name)} {event.prob:.4f} <NA>\n"
        for line in timelines
        for event in line.events
        if event.modality == "audio"
    )


def seconds(time: float) -> str:
    """Seconds with no more digits than are needed: 3, 1.4, 0.033333."""
    return f"{time:.6f}".rstrip("0").rstrip(".")


def _table(timelines: Sequence[Timeline], delimiter: str) -> str:
    rows = [_row(line.media.name, event) for line in timelines for event in line.events]
    return _written([COLUMNS, *rows], delimiter)


def _row(name: str, event: ParsedEvent) -> tuple[str, ...]:
    times = (seconds(event.onset), seconds(event.offset))
    return (name, *times, event.class_name, event.modality, f"{event.prob:.4f}")


def _written(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Rows as text; a cell that holds the delimiter, a quote or a line break is quoted."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _one(timelines: Sequence[Timeline], what: str) -> Sequence[Timeline]:
    if len(timelines) != 1:
        raise ValueError(f"{what} is of one media file, got {len(timelines)}")
    return timelines


def _plain(name: str) -> str:
    """A name without tabs and line breaks."""
    return re.sub(r"[\t\r\n]+", " ", name)


def _unspaced(name: str) -> str:
    return re.sub(r"\s", "_", name)
