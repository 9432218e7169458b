"""Annotation tables in LLP's layout <-> arrays: the only place that knows their file names, columns and oddities.

The tables are tab-separated text with a header line, and list class names as the vocabulary spells them:

    AVVP_train.csv, AVVP_val_pd.csv, AVVP_test_pd.csv   filename  event_labels           tags, separated by commas
    AVVP_eval_audio.csv, AVVP_eval_visual.csv           filename  onset offset event_labels   one event a row

Rules, all of them those of the published scorer:
    A row of an event table marks the segments [onset, offset) of its class, in whole seconds of one segment each.
    Rows merge by union: duplicates, overlaps and touching rows of a class make one event.
    A row whose offset is not after its onset marks nothing, and an offset beyond the clip is cut at its end.
    A row counts for the clip whose name it gives letter by letter; a row of no clip of the split is left alone.
    An event's class need not be among the tags of its clip: tags are weak labels, not a bound on the truth.
    The same tag twice is one tag.
In LLP itself the rows of 8 audio and 7 visual names belong to no clip, 6 audio rows are empty or reversed, 76 audio
and 51 visual rows lie outside their clip's tags. The audio table was corrected in 2024 (three rows); published figures
of before used the table of 2020, which is read with truth_version="v2020".

Tab-separated text with a header line: read row by row, and written so that no name can tear a row apart.
"""

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.eval.events import MODALITIES
from valor.label_harvest.store.disk import replaced


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of every row that is not blank, the header first; no row is judged.

    Args:
        path: UTF-8 text, with or without a byte order mark; any line ends.

    Raises:
        ValueError: The file is no such text.
        FileNotFoundError: There is no such file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: expected tab-separated UTF-8 text, got something else ({error}); is it a binary file?"
        ) from error


def check_header(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    """Check the first row of a table.

    Raises:
        ValueError: It is not `columns`.
    """
    if tuple(header) != tuple(columns):
        raise ValueError(
            f"{path}: expected a tab-separated UTF-8 table with the columns {', '.join(columns)}, "
            f"got the header {list(header)!r:.200}; is it another kind of file?"
        )


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]], *, names: Iterable[str]) -> None:
    """Write a table, whole or not at all.

    Args:
        path: file to write.
        columns: the header.
        rows: cells as text.
        names: the clip and class names among the cells.

    Raises:
        ValueError: A name holds what separates cells, tags or rows.
    """
    for name in names:
        if not name or name != name.strip() or re.search(r"[\t\r\n,]", name):
            raise ValueError(
                f"names in an annotation table hold no tab, comma, line break or outer space, got {name!r}"
            )
    lines = ["\t".join(cells) for cells in (columns, *rows)]
    with replaced(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


WEAK_TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
"""File of the clip-level tags of each split."""

EVENT_TABLES = {
    "v2024": ("AVVP_eval_audio.csv", "AVVP_eval_visual.csv"),
    "v2020": ("AVVP_eval_audio.v2020.csv", "AVVP_eval_visual.csv"),
}
"""Files of the dense truth, audio then visual, by version; they hold the clips of val and test."""

WEAK_COLUMNS = ("filename", "event_labels")
EVENT_COLUMNS = ("filename", "onset", "offset", "event_labels")

LLP_SEGMENTS = 10
"""T of LLP: ten segments of one second."""

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """The clips of one split with their tags and, where it was annotated, their dense truth."""

    name: str
    """train, val or test."""
    clip_ids: tuple[str, ...]
    """Names of the clips in the order of the table, which is the order of the axis N."""
    class_names: tuple[str, ...]
    """Names of the classes in the order of the axis C."""
    weak_labels: BoolArray
    """bool [N, C], the clip-level tags (papers call them video-level labels)."""
    truth: BoolArray | None = None
    """bool [N, T, M, C], the annotated segments; None for train, which has none."""
    truth_version: str | None = None
    """Which event tables the truth came from."""
    truth_sha256: str | None = None
    """sha256 of the bytes of the two event tables, audio then visual."""


def read_split(
    folder: Path | str,
    split: str,
    class_names: Sequence[str],
    *,
    truth_version: str = "v2024",
    num_segments: int = LLP_SEGMENTS,
) -> Split:
    """Read one split of an annotation folder.

    Args:
        folder: folder of the tables.
        split: train, val or test.
        class_names: every class the tables may name, in the order wanted on the class axis.
        truth_version: v2024, or v2020 for the audio table as first published.
        num_segments: T of every clip; a segment lasts one second.

    Returns:
        The split; its truth is None for train.

    Raises:
        ValueError: The split or version is unknown, or a table is not in the layout above; says file and line.
        FileNotFoundError: A table is not in the folder.
    """
    folder = Path(folder)
    if split not in WEAK_TABLES or truth_version not in EVENT_TABLES:
        raise ValueError(
            f"split must be one of {', '.join(WEAK_TABLES)} and truth_version one of {', '.join(EVENT_TABLES)}, "
            f"got {split!r} and {truth_version!r}"
        )
    clip_ids, weak_labels = read_weak_table(folder / WEAK_TABLES[split], class_names)
    if split == "train":
        return Split(split, clip_ids, tuple(class_names), weak_labels)
    truth = np.zeros((len(clip_ids), num_segments, len(MODALITIES), len(class_names)), dtype=np.bool_)
    digest = hashlib.sha256()
    for modality, file_name in enumerate(EVENT_TABLES[truth_version]):
        _mark_events(truth[:, :, modality], folder / file_name, clip_ids, class_names)
        digest.update((folder / file_name).read_bytes())
    return Split(split, clip_ids, tuple(class_names), weak_labels, truth, truth_version, digest.hexdigest())


def read_weak_table(path: Path | str, class_names: Sequence[str]) -> tuple[tuple[str, ...], BoolArray]:
    """Read a table of clips and their tags.

    Args:
        path: a table with the columns filename and event_labels.
        class_names: every class the table may name, in the order wanted on the class axis.

    Returns:
        The clip ids in table order and bool [N, C].

    Raises:
        ValueError: The table is not in that layout, is empty, or names a clip twice or an unknown class.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    class_index = {name: index for index, name in enumerate(class_names)}
    tags: dict[str, list[int]] = {}
    for line, (clip_id, labels) in _rows(path, WEAK_COLUMNS):
        if clip_id in tags:
            raise ValueError(f"{path}:{line}: clip {clip_id!r} stands here a second time; keep one row for each clip")
        names = [name.strip() for name in labels.split(",")] if labels.strip() else []
        tags[clip_id] = [_class_of(name, class_index, f"{path}:{line}") for name in names]
    if not tags:
        raise ValueError(f"{path}: expected at least one clip under the header, got none; is the file cut off?")
    weak_labels = np.zeros((len(tags), len(class_names)), dtype=np.bool_)
    for row, present in enumerate(tags.values()):
        weak_labels[row, present] = True
    return tuple(tags), weak_labels


def read_event_table(path: Path | str, class_names: Sequence[str]) -> list[tuple[str, int, int, int]]:
    """Read the rows of an event table as they stand: nothing is merged, dropped or cut.

    Args:
        path: a table with the columns filename, onset, offset and event_labels.
        class_names: every class the table may name, in the order wanted on the class axis.

    Returns:
        Rows (clip id, onset, offset, class index) in table order, times in whole seconds, perhaps reversed.

    Raises:
        ValueError: The table is not in that layout, or a row names an unknown class or a time that is no whole second.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    class_index = {name: index for index, name in enumerate(class_names)}
    rows = []
    for line, (clip_id, onset, offset, label) in _rows(path, EVENT_COLUMNS):
        where = f"{path}:{line}"
        rows.append((clip_id, _seconds(onset, where), _seconds(offset, where), _class_of(label, class_index, where)))
    return rows


def write_weak_table(
    path: Path | str, clip_ids: Sequence[str], weak_labels: BoolArray, class_names: Sequence[str]
) -> None:
    """Write a table of clips and their tags.

    Args:
        path: file to write, replaced as a whole.
        clip_ids: N unique names.
        weak_labels: bool [N, C].
        class_names: C names without tabs, commas or line breaks.

    Raises:
        ValueError: The lengths do not belong together, or a name would break the table.
    """
    if weak_labels.dtype != np.bool_ or weak_labels.shape != (len(clip_ids), len(class_names)):
        raise ValueError(
            f"weak_labels must be bool [clips, classes] ({len(clip_ids)}, {len(class_names)}), "
            f"got {weak_labels.dtype} {weak_labels.shape}"
        )
    rows = [
        (clip_id, ",".join(class_names[index] for index in np.flatnonzero(tags).tolist()))
        for clip_id, tags in zip(clip_ids, weak_labels, strict=True)
    ]
    write_rows(Path(path), WEAK_COLUMNS, rows, names=[*clip_ids, *class_names])


def write_event_table(path: Path | str, rows: Iterable[tuple[str, int, int, str]]) -> None:
    """Write an event table.

    Args:
        path: file to write, replaced as a whole.
        rows: (clip id, onset, offset, class name) in whole seconds, half open.

    Raises:
        ValueError: A time is no whole second, an event lasts no time, or a name would break the table.
    """
    rows = list(rows)
    for row in rows:
        _, onset, offset, _ = row
        if onset != int(onset) or offset != int(offset) or not 0 <= onset < offset:
            raise ValueError(
                f"an event row needs whole seconds with 0 <= onset < offset, got {row}; round the event first"
            )
    names = [name for clip_id, _, _, class_name in rows for name in (clip_id, class_name)]
    cells = [(clip_id, str(int(onset)), str(int(offset)), class_name) for clip_id, onset, offset, class_name in rows]
    write_rows(Path(path), EVENT_COLUMNS, cells, names=names)


def _mark_events(track: BoolArray, path: Path, clip_ids: Sequence[str], class_names: Sequence[str]) -> None:
    """Mark the events of a table in bool [N, T, C], by the rules at the top of this file."""
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    for clip_id, onset, offset, class_index in read_event_table(path, class_names):
        if clip_id in row_of:
            track[row_of[clip_id], onset:offset, class_index] = True


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of a table once its header is known to be `columns`; blank lines are passed over."""
    rows = read_rows(path)
    try:
        check_header(path, next(rows, (0, []))[1], columns)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such annotation table; an annotation folder holds {', '.join(WEAK_TABLES.values())} "
            f"and {', '.join(EVENT_TABLES['v2024'])}, as published at github.com/YapengTian/AVVP-ECCV20"
        ) from None
    for line, cells in rows:
        if len(cells) != len(columns) or not cells[0]:
            raise ValueError(f"{path}:{line}: expected {len(columns)} columns, got {cells!r:.200}")
        yield line, cells


def _class_of(name: str, class_index: dict[str, int], where: str) -> int:
    if name not in class_index:
        raise ValueError(
            f"{where}: unknown class {name!r}; known are {', '.join(class_index)}; "
            "correct the row or choose the vocabulary the table was written with"
        )
    return class_index[name]


def _seconds(cell: str, where: str) -> int:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = float("nan")
    if not (seconds >= 0 and seconds.is_integer()):
        raise ValueError(f"{where}: expected a whole number of seconds from the start of the clip, got {cell!r}")
    return int(seconds)
