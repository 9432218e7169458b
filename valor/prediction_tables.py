"""Predictions as tab-separated events, as DCASE systems write them: one table for each modality.

    FOLDER/audio.tsv    filename  onset  offset  event_label     one event a row, seconds, half open
    FOLDER/visual.tsv   the same
    FOLDER/clips.txt    the clips that were parsed, one a line   optional, always written

or, side by side under one name, NAME.audio.tsv, NAME.visual.tsv and NAME.clips.txt. The header may say event_labels, as
LLP does. Rows stand in any order.

Clips without events. A clip in which nothing was found is not a clip that was never parsed. Every clip in clips.txt was
parsed; so was, without clips.txt, every clip with a row in either table, be it a row `filename` with the other three
cells empty, which says that nothing was found. Any other clip is missing: an error when the predictions are scored,
unless a subset is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.events import MODALITIES, events_of
from valor.event_lists import ListedEvent, SegmentGrid, check_unique, predictions_of
from valor.files import replaced
from valor.predictions import BoolArray, Predictions
from valor.tab_separated import read_rows, write_rows

COLUMNS = ("filename", "onset", "offset", "event_label")
"""The header of an event table; the last may be event_labels."""


@dataclass(frozen=True)
class TableFiles:
    """Where the tables of one system lie."""

    events: tuple[Path, ...]
    """One table for each of MODALITIES."""
    clips: Path
    """List of the clips that were parsed; need not be there."""


def table_files(path: Path | str) -> TableFiles:
    """Name the files of a folder of tables, or of the pair that a table belongs to.

    Raises:
        ValueError: The name is no folder and does not end in .audio.tsv or .visual.tsv.
    """
    path = Path(path)
    for modality in MODALITIES:
        ending = f".{modality}.tsv"
        if path.name.endswith(ending):
            stem = path.name.removesuffix(ending)
            tables = tuple(path.with_name(f"{stem}.{name}.tsv") for name in MODALITIES)
            return TableFiles(tables, path.with_name(f"{stem}.clips.txt"))
    if path.suffix == ".tsv":
        raise ValueError(
            f"{path}: one table cannot say which events are heard and which are seen; name a pair NAME.audio.tsv and "
            "NAME.visual.tsv, or put audio.tsv and visual.tsv into a folder and give the folder"
        )
    return TableFiles(tuple(path / f"{name}.tsv" for name in MODALITIES), path / "clips.txt")


def read_prediction_tables(
    path: Path | str, class_names: Sequence[str], grid: SegmentGrid | None = None
) -> Predictions:
    """Read predictions from a pair of event tables.

    Args:
        path: the folder, or either table of a pair.
        class_names: every class the tables may name, in the order wanted on the class axis.
        grid: how clips are cut into segments; None for ten of one second, times on their borders.

    Returns:
        Decisions, clips in the order of the list or of their first row.

    Raises:
        ValueError: A table is not in the layout above, or an event fits neither clips, classes nor segments; says file
            and line.
        FileNotFoundError: One of the tables is not there.
    """
    files = table_files(path)
    events: list[ListedEvent] = []
    with_rows: dict[str, None] = {}
    for modality, table in zip(MODALITIES, files.events, strict=True):
        names, found = _read_events(table, modality)
        with_rows.update(dict.fromkeys(names))
        events += found
    clip_ids = _read_clips(files.clips) if files.clips.is_file() else tuple(with_rows)
    unlisted = [name for name in with_rows if name not in set(clip_ids)]
    if unlisted:
        raise ValueError(
            f"{files.clips}: must list every clip that was parsed, got rows of {len(unlisted)} others "
            f"({', '.join(unlisted[:5])}{', ...' if len(unlisted) > 5 else ''}); add them or remove the list"
        )
    if not clip_ids:
        raise ValueError(
            f"{path}: the tables hold no row and {files.clips.name} is not there, so no clip was parsed; "
            f"list the clips without events in {files.clips.name}, one a line"
        )
    return predictions_of(events, clip_ids, class_names, grid or SegmentGrid())


def write_prediction_tables(
    path: Path | str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    predicted: BoolArray,
    *,
    segment_seconds: float = 1.0,
) -> None:
    """Write decisions as a pair of event tables and the list of their clips, each file whole or not at all.

    Args:
        path: a folder, or either table of a pair.
        clip_ids: N names.
        class_names: C names.
        predicted: bool [N, T, M, C].
        segment_seconds: length of a segment in seconds.

    Raises:
        ValueError: A name would break the table.
    """
    files = table_files(path)
    for m, table in enumerate(files.events):
        rows = [
            (clip_id, f"{event.onset:g}", f"{event.offset:g}", class_names[event.class_index])
            for clip_id, marks in zip(clip_ids, predicted[:, :, m], strict=True)
            for event in events_of(np.asarray(marks), segment_seconds)
        ]
        write_rows(table, COLUMNS, rows, names=[*clip_ids, *class_names])
    with replaced(files.clips) as temporary:
        temporary.write_text("".join(f"{clip_id}\n" for clip_id in clip_ids), encoding="utf-8", newline="\n")


def _read_events(table: Path, modality: str) -> tuple[list[str], list[ListedEvent]]:
    """Names in the first column, and the events."""
    names, events = [], []
    try:
        rows = list(read_rows(table))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{table}: no such table; events come as a pair, one for {' and one for '.join(MODALITIES)}: "
            f"a modality without events is a table of the header {' '.join(COLUMNS)} alone"
        ) from None
    header = rows[0][1] if rows else []
    if tuple(header) not in (COLUMNS, (*COLUMNS[:3], "event_labels")):
        raise ValueError(
            f"{table}: expected a tab-separated table with the columns {', '.join(COLUMNS)}, "
            f"got the header {header!r:.200}; is it another kind of file?"
        )
    for line, cells in rows[1:]:
        where = f"{table}:{line}"
        if len(cells) != len(COLUMNS) or not cells[0]:
            raise ValueError(f"{where}: expected {len(COLUMNS)} columns, got {cells!r:.200}")
        names.append(cells[0])
        if any(cells[1:]):
            onset, offset = (_seconds(cell, where) for cell in cells[1:3])
            events.append(
                ListedEvent(
                    clip_id=cells[0], modality=modality, class_name=cells[3], onset=onset, offset=offset, where=where
                )
            )
    return names, events


def _seconds(cell: str, where: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise ValueError(f"{where}: expected seconds from the start of the clip, got {cell!r}") from None


def _read_clips(path: Path) -> tuple[str, ...]:
    """The names of a list, one a line, blank lines passed over."""
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a list of clips, one a line, got something else ({error})") from error
    names = [name for name in names if name]
    check_unique(names, str(path))
    return tuple(names)
