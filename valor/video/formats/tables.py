"""Events as text tables: one row an event. CSV, TSV, LLP's two tables, DCASE's, Audacity's labels, and RTTM."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from valor.data.parse_file import SEEN_AS
from valor.data.rows import EVENT_COLUMNS, PREDICTION_COLUMNS, seconds_text, table_text
from valor.eval.spreadsheet import unformula

from .timeline import Timeline, refuse_below_zero

COLUMNS = (*EVENT_COLUMNS, "modality", "prob")
"""Columns of the CSV and TSV files."""


def csv_text(timelines: Sequence[Timeline]) -> str:
    """Comma-separated values: the columns of LLP's tables, then modality and probability."""
    return _table(timelines, ",")


def tsv_text(timelines: Sequence[Timeline]) -> str:
    """The same separated by tabs."""
    return _table(timelines, "\t")


def llp_text(timelines: Sequence[Timeline], modality: str) -> str:
    """One of LLP's two event tables: `filename onset offset event_labels`, with tabs; the name without its ending."""
    _refuse_below_zero(timelines, "LLP's table")
    rows = [
        (clip_of(line.media.name), seconds_text(event.onset), seconds_text(event.offset), event.class_name)
        for line in timelines
        for event in line.events
        if event.modality == modality
    ]
    return table_text(EVENT_COLUMNS, rows)


def dcase_text(timelines: Sequence[Timeline]) -> str:
    """What is audible, as sound event detection of DCASE reads it: `filename onset offset event_label`, with tabs."""
    _refuse_below_zero(timelines, "a table of DCASE")
    rows = [
        (line.media.name, f"{event.onset:.3f}", f"{event.offset:.3f}", event.class_name)
        for line in timelines
        for event in line.events
        if event.modality == "audio"
    ]
    return table_text(PREDICTION_COLUMNS, rows)


def audacity_text(timelines: Sequence[Timeline]) -> str:
    """A label track of Audacity: `onset offset label`, with tabs; the label says audible or visible.

    Raises:
        ValueError: There is more than one media file.
    """
    if len(timelines) != 1:
        raise ValueError(f"an Audacity label track is of one media file, got {len(timelines)}")
    (line,) = timelines
    refuse_below_zero(line, "Audacity")
    rows = []
    for event in line.events:
        label = re.sub(r"[\t\r\n]+", " ", event.class_name)
        rows.append(f"{event.onset:.6f}\t{event.offset:.6f}\t{SEEN_AS[event.modality]} {label}\n")
    return "".join(rows)


def rttm_text(timelines: Sequence[Timeline]) -> str:
    """What is audible in the ten columns of RTTM, the class in place of the speaker; blanks in names become _."""
    _refuse_below_zero(timelines, "RTTM")
    return "".join(
        f"SPEAKER {unspaced(line.media.name)} 1 {event.onset:.3f} {event.offset - event.onset:.3f} <NA> <NA> "
        f"{unspaced(event.class_name)} {event.prob:.4f} <NA>\n"
        for line in timelines
        for event in line.events
        if event.modality == "audio"
    )


def _table(timelines: Sequence[Timeline], delimiter: str) -> str:
    """One row an event, as spreadsheets read it: a cell that holds the delimiter, a quote or a line break is quoted."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in timelines:
        for event in line.events:
            times = (seconds_text(event.onset), seconds_text(event.offset))
            name, label = (unformula(name) for name in (line.media.name, event.class_name))
            writer.writerow([name, *times, label, event.modality, f"{event.prob:.4f}"])
    return text.getvalue()


def _refuse_below_zero(timelines: Sequence[Timeline], what: str) -> None:
    for line in timelines:
        refuse_below_zero(line, what)


def clip_of(name: str) -> str:
    """The clip of LLP that a media file of some name is: without its ending."""
    return Path(name).stem


def unspaced(name: str) -> str:
    """A name as one column of a table whose columns are set apart by blanks."""
    return re.sub(r"\s", "_", name)
