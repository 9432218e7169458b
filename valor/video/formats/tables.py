"""Events as text tables, one row an event, and read back: CSV, TSV, LLP's two, DCASE's, Audacity's labels, RTTM."""

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from valor.data.event_rows import decimal_point, read_event_rows, seconds_of
from valor.data.parse_file import SEEN_AS, ParsedEvent
from valor.data.rows import (
    EVENT_COLUMNS,
    PREDICTION_COLUMNS,
    checked_rows,
    read_rows,
    seconds_text,
    table_text,
)
from valor.eval.events import MODALITIES
from valor.eval.spreadsheet import unformula

from .timeline import (
    RateOf,
    ReadEvent,
    ReadMedia,
    Timeline,
    gathered,
    refuse_below_zero,
    text_of,
    told_apart,
)

COLUMNS = (*EVENT_COLUMNS, "modality", "prob")
"""Columns of the CSV and TSV files."""
ASKED_COLUMNS = ("margin", "next_to", "unsure")
"""Columns after these where the parses say what is next to an event, as those without training do."""
NOTE_COLUMN = "note"
"""The last column where something keeps anybody from believing the events, see `Timeline.caveat`: said with the first
event of each medium."""


def csv_text(timelines: Sequence[Timeline]) -> str:
    """Comma-separated values: LLP's columns, then modality and probability; see `ASKED_COLUMNS`, `NOTE_COLUMN`."""
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
    asked = any(event.margin is not None for line in timelines for event in line.events)
    noted = any(line.caveat for line in timelines)
    writer.writerow((*COLUMNS, *ASKED_COLUMNS * asked, *[NOTE_COLUMN] * noted))
    for line in timelines:
        for number, event in enumerate(line.events):
            times = (seconds_text(event.onset), seconds_text(event.offset))
            name, label = (unformula(name) for name in (line.media.name, event.class_name))
            row = [name, *times, label, event.modality, f"{event.prob:.4f}"]
            writer.writerow([*row, *(_asked(event) if asked else ()), *["" if number else line.caveat] * noted])
    return text.getvalue()


def _asked(event: ParsedEvent) -> tuple[str, str, str]:
    """The cells of `ASKED_COLUMNS`; blank of an event of which nobody asked."""
    if event.margin is None:
        return "", "", ""
    return f"{event.margin:.4f}", str(unformula(event.next_to or "")), "yes" if event.unsure else "no"


def _refuse_below_zero(timelines: Sequence[Timeline], what: str) -> None:
    for line in timelines:
        refuse_below_zero(line, what)


def clip_of(name: str) -> str:
    """The clip of LLP that a media file of some name is: without its ending."""
    return Path(name).stem


def unspaced(name: str) -> str:
    """A name as one column of a table whose columns are set apart by blanks."""
    return re.sub(r"\s", "_", name)


def read_table(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """Events of a CSV or TSV such as `csv_text` writes, or as people do, see `valor.data.event_rows`.

    Raises:
        ValueError: A column is missing, or a row holds no event; says file and line.
    """
    found: list[tuple[str, ReadEvent | None]] = []
    for row in read_event_rows(path):
        if not row.modalities:
            found.append((row.path, None))
        for modality in row.modalities:
            event = ReadEvent(
                class_name=row.class_name, modality=modality, onset=row.onset, offset=row.offset, where=row.where
            )
            found.append((row.path, event))
    return gathered(found)


def read_one_modality(path: Path, rate_of: RateOf, *, modality: str) -> list[ReadMedia]:
    """Events of one of LLP's two tables, or of one of DCASE's: `filename onset offset event_labels`, with tabs.

    Raises:
        ValueError: It is no such table, or a row holds no event; says file and line.
    """
    found: list[tuple[str, ReadEvent | None]] = []
    for line, (name, *times, label) in checked_rows(path, EVENT_COLUMNS):
        where = f"{path}:{line}"
        if not any((*times, label)):
            found.append((name, None))
            continue
        onset, offset = (seconds_of(cell, where) for cell in times)
        event = ReadEvent(class_name=label.strip(), modality=modality, onset=onset, offset=offset, where=where)
        found.append((name, event))
    return gathered(found, (modality,))


def read_audacity(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """Events of a label track; lines of frequencies, which begin with a backslash, are passed over.

    Times may have a decimal comma, as Audacity itself reads them.

    Raises:
        ValueError: A line is nearly a label such as `audible Dog`, or lasts for nothing; says which.
    """
    events, others = [], []
    for line, cells in read_rows(path):
        where = f"{path}:{line}"
        if cells[0] == "\\":
            continue
        if len(cells) != 3:
            raise ValueError(f"{where}: expected onset, offset and label of Audacity, with tabs, got {cells!r:.200}")
        onset, offset = (seconds_of(decimal_point(cell), where) for cell in cells[:2])
        if (own := told_apart(cells[2], where)) is None:
            others.append((cells[2].strip(), where))
            continue
        modality, name = own
        events.append(ReadEvent(class_name=name, modality=modality, onset=onset, offset=offset, where=where))
    return [ReadMedia(name="", events=tuple(events), others=tuple(others))]


_RTTM_TYPES = (
    *("SPEAKER", "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER"),
    *("EDIT", "IP", "SU", "CB", "A/P", "SPKR-INFO"),
)
"""What lines of RTTM begin with (NIST RT-09, appendix A)."""


def read_rttm(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """Audible events of RTTM: its lines SPEAKER, with the class in place of the speaker; others are passed over.

    Raises:
        ValueError: Such a line has too few columns, or holds no event; says which.
    """
    found: list[tuple[str, ReadEvent | None]] = []
    for line, text in enumerate(text_of(path).splitlines(), start=1):
        cells, where = text.split(), f"{path}:{line}"
        if cells and cells[0] not in _RTTM_TYPES and not cells[0].startswith(";"):
            raise ValueError(f"{where}: expected a line of RTTM, which begins as SPEAKER does, got {text!r:.200}")
        if not cells or cells[0] != "SPEAKER":
            continue
        if len(cells) < 8:
            raise ValueError(f"{where}: expected the columns of RTTM, eight at least, got {text!r:.200}")
        onset, seconds = seconds_of(cells[3], where), seconds_of(cells[4], where)
        offset = round(onset + seconds, 6)
        event = ReadEvent(class_name=cells[7], modality=MODALITIES[0], onset=onset, offset=offset, where=where)
        found.append((cells[1], event))
    return gathered(found, MODALITIES[:1])
