"""AVE, audio-visual event localisation: 4,143 clips of ten seconds, each with one event that is audible and visible.

    Annotations.txt     Category&VideoID&Quality&StartTime&EndTime, whole seconds, half open, with or without that line
    train_order.h5      rows of Annotations.txt, from 0 on, that are the split, in its order; val_order.h5 and
                        test_order.h5 likewise, each with one array `order` of whole numbers
    trainSet.txt        instead of an order: the rows themselves; valSet.txt, testSet.txt likewise

Rules, all of them those of the published loaders:
    A clip is a row. Its class is its one tag, and is audible and visible from StartTime to EndTime; the rest is
    background.
    A row that ends where it starts marks nothing; the published table has one, in line 27.
    Other times than 0 <= StartTime <= EndTime <= 10, a row in two splits or twice in one, and any class that is not
    among those of the vocabulary are refused with file and line. Names of classes hold commas and no `&`.
    46 rows are of a video that has a row already, with another class and the same times. Within a split the first of
    them, in the order of Annotations.txt, goes by the name of the video and another by VIDEO+2: a prediction has to be
    of one of the two. Features and media of both are those of the video. Across splits they are left as they are, so
    that 18 videos of val and test were trained on.
Background is no class here, but the absence of all; published arrays with 29 columns have it as the last one.

The class order is that of the first appearance in Annotations.txt, which is that of the published labels. Another
public code has an alphabetical one: never take index arrays from there.

Source: Tian et al., "Audio-visual event localization in unconstrained videos", ECCV 2018.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valor.eval.events import MODALITIES, BoolArray
from valor.label_harvest.did_you_mean import did_you_mean

from ..features.hdf5 import read_hdf5
from ..rows import plain_seconds
from ..tables import Layout, Split
from ..vocabulary import EventClass

ANNOTATIONS = "Annotations.txt"
AVE_SPLITS = ("train", "val", "test")
AVE_SECONDS = 10
HEADER = "Category&VideoID&Quality&StartTime&EndTime"
_COLUMNS = HEADER.split("&")

AVE_NAMES = (
    "Church bell",
    "Male speech, man speaking",
    "Bark",
    "Fixed-wing aircraft, airplane",
    "Race car, auto racing",
    "Female speech, woman speaking",
    "Helicopter",
    "Violin, fiddle",
    "Flute",
    "Ukulele",
    "Frying (food)",
    "Truck",
    "Shofar",
    "Motorcycle",
    "Acoustic guitar",
    "Train horn",
    "Clock",
    "Banjo",
    "Goat",
    "Baby cry, infant cry",
    "Bus",
    "Chainsaw",
    "Cat",
    "Horse",
    "Toilet flush",
    "Rodents, rats, mice",
    "Accordion",
    "Mandolin",
)
"""The 28 events in the order of every published array."""

AVE_CLASSES = tuple(
    EventClass(name, f"A photo of {name.lower()}", f"This is a sound of {name.lower()}") for name in AVE_NAMES
)
"""With captions of the published form; no published thresholds were seen, nor how names with commas were put."""

AVE_LAYOUT = Layout(
    {split: f"{split}_order.h5" for split in AVE_SPLITS}, {"v2018": (ANNOTATIONS, ANNOTATIONS)}, AVE_SPLITS
)
"""Every split has dense truth."""

LABELS = {"mil_labels.h5": "tag", "labels.h5": "seconds", "labels_closs.h5": "on"}
"""Published arrays that say what Annotations.txt says: tags [N, 29], labels [N, 10, 29], where an event is [N, 10]."""


@dataclass(frozen=True)
class AveRow:
    """One row of the annotation."""

    line: int
    class_name: str
    video: str
    start: int
    stop: int


@dataclass(frozen=True)
class Fault:
    """What keeps a row from being read."""

    line: int
    kind: str
    """A key of the table of defects of `valor.data.lint`."""
    message: str


Found = tuple[str, str, int | None, str | None, str]
"""A defect as `valor.data.lint` lists it: kind, file, line, clip, message."""


def read_ave(dataset: object, folder: Path, split: str, names: tuple[str, ...], version: str) -> Split:
    """Read a split of AVE, see the top of this file.

    Raises:
        ValueError: A row or an order is damaged; says file and line.
        FileNotFoundError: The annotation or the order is not there.
    """
    rows = read_split_rows(folder, split, names)
    truth = np.zeros((len(rows), AVE_SECONDS, len(MODALITIES), len(names)), dtype=np.bool_)
    weak_labels = np.zeros((len(rows), len(names)), dtype=np.bool_)
    for number, row in enumerate(rows):
        index = names.index(row.class_name)
        weak_labels[number, index] = True
        truth[number, row.start : row.stop, :, index] = True
    return Split(split, _clip_ids(rows), names, weak_labels, truth, version)


def _clip_ids(rows: Sequence[AveRow]) -> tuple[str, ...]:
    """The video of each row, and VIDEO+2 of its second row by line."""
    seen: Counter[str] = Counter()
    named = {}
    for row in sorted(rows, key=lambda row: row.line):
        seen[row.video] += 1
        named[row.line] = row.video if seen[row.video] == 1 else f"{row.video}+{seen[row.video]}"
    return tuple(named[row.line] for row in rows)


def read_split_rows(folder: Path, split: str, names: Sequence[str]) -> list[AveRow]:
    """The rows of a split in its order."""
    order, listed = folder / f"{split}_order.h5", folder / f"{split}Set.txt"
    if not order.is_file() and listed.is_file():
        own_rows = _sound_rows(listed, names)
        _refuse_listed_twice(folder, split, own_rows, names)
        return own_rows
    rows = _sound_rows(folder / ANNOTATIONS, names)
    orders = {other: _read_order(folder / f"{other}_order.h5", len(rows)) for other in _orders_in(folder, split)}
    own = orders.pop(split)
    for other, theirs in orders.items():
        if shared := sorted(set(own) & set(theirs)):
            raise ValueError(
                f"{order}: {len(shared)} rows stand in {other}_order.h5 as well, the first of them line "
                f"{rows[shared[0]].line} of {ANNOTATIONS}; splits must not overlap"
            )
    return [rows[number] for number in own]


def _refuse_listed_twice(folder: Path, split: str, rows: Sequence[AveRow], names: Sequence[str]) -> None:
    """Refuse lists of rows, in place of orders, in which a row stands in two splits."""
    own = {_said(row): row.line for row in rows}
    for other in AVE_SPLITS:
        path = folder / f"{other}Set.txt"
        if other == split or not path.is_file():
            continue
        theirs = {_said(row) for row in read_rows(path, names) if isinstance(row, AveRow)}
        if shared := [row for row in own if row in theirs]:
            raise ValueError(
                f"{folder / f'{split}Set.txt'}:{own[shared[0]]}: {len(shared)} rows stand in {path.name} as well, such "
                f"as {'&'.join(map(str, shared[0]))}; splits must not overlap"
            )


def _said(row: AveRow) -> tuple[str, str, int, int]:
    """What a row says, wherever it stands."""
    return row.class_name, row.video, row.start, row.stop


def ave_row_numbers(folder: Path, split: str, names: Sequence[str]) -> list[int]:
    """Which rows of Annotations.txt, from 0 on, the clips of a split are: rows of every published array.

    Raises:
        ValueError: A row or an order is damaged, or a list of rows has one that is not in the annotation.
        FileNotFoundError: The annotation or the order is not there.
    """
    rows = _sound_rows(folder / ANNOTATIONS, names)
    number_of = {_said(row): number for number, row in enumerate(rows)}
    wanted = [_said(row) for row in read_split_rows(folder, split, names)]
    if strangers := [row for row in wanted if row not in number_of]:
        raise ValueError(
            f"{folder / ANNOTATIONS}: has no row {'&'.join(map(str, strangers[0]))}, which {split} lists, nor "
            f"{len(strangers) - 1} others; annotation and lists must be of one release"
        )
    return [number_of[row] for row in wanted]


def _orders_in(folder: Path, split: str) -> list[str]:
    """The split that is read, and the others that are there."""
    return [split, *(other for other in AVE_SPLITS if other != split and (folder / f"{other}_order.h5").is_file())]


def _sound_rows(path: Path, names: Sequence[str]) -> list[AveRow]:
    """The rows of a file; the first one with a fault is refused."""
    rows = []
    for row in read_rows(path, names):
        if isinstance(row, Fault):
            raise ValueError(f"{path}:{row.line}: {row.message}")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: expected at least one row, got none; is the file cut off?")
    return rows


def read_rows(path: Path, names: Sequence[str]) -> Iterator[AveRow | Fault]:
    """The rows of an annotation file, each as it is or with what is wrong with it.

    Raises:
        ValueError: The file is no UTF-8 text.
        FileNotFoundError: There is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text, got something else ({error}); is it a binary file?") from error
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such annotation; a folder of AVE holds {ANNOTATIONS} and train_order.h5, val_order.h5 and "
            "test_order.h5, as published at github.com/YapengTian/AVE-ECCV18"
        ) from None
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        if number > 1 or line.strip() != HEADER:
            yield _row(number, line, names)


def _row(number: int, line: str, names: Sequence[str]) -> AveRow | Fault:
    cells = line.split("&")
    if len(cells) != len(_COLUMNS):
        return Fault(number, "columns", f"expected {HEADER}, got {line!r:.200}")
    class_name, video, _, *times = (cell.strip() for cell in cells)
    if class_name not in names:
        hint = did_you_mean(class_name, list(names)) or "; names are spelled as the vocabulary does"
        return Fault(number, "unknown-class", f"unknown class {class_name!r}{hint}")
    if not video:
        return Fault(number, "columns", f"expected the name of a video, got {line!r:.200}")
    seconds = [plain_seconds(time) for time in times]
    start, stop = (int(time) if time is not None and time.is_integer() else -1 for time in seconds)
    if min(start, stop) < 0:
        return Fault(number, "time", f"expected whole seconds from the start of the clip, got {' and '.join(times)}")
    if not start <= stop <= AVE_SECONDS:
        return Fault(
            number, "bad-times", f"expected an event within the {AVE_SECONDS} s of its clip, got {start} to {stop}"
        )
    return AveRow(number, class_name, video, start, stop)


def _read_order(path: Path, num_rows: int) -> list[int]:
    """The rows of a split, from 0 on.

    Raises:
        ValueError: The file holds no order, or one that goes beyond the rows or has one twice.
        FileNotFoundError: There is no such file.
    """
    order = read_hdf5(path, "order")
    if order.ndim != 1 or not np.issubdtype(order.dtype, np.integer) or not len(order):
        raise ValueError(f"{path}: expected an order of whole numbers [clips], got {order.dtype} {order.shape}")
    wrong = np.flatnonzero((order < 0) | (order >= num_rows))
    if wrong.size:
        raise ValueError(
            f"{path}: expected rows 0 to {num_rows - 1} of {ANNOTATIONS}, got {order[wrong[0]]} at position "
            f"{wrong[0]}; annotation and order must be of one release"
        )
    if twice := [row for row, count in Counter(order.tolist()).items() if count > 1]:
        raise ValueError(f"{path}: {len(twice)} rows stand there twice, such as {twice[0]}; each has one place")
    return [int(row) for row in order.tolist()]


def ave_defects(folder: Path, names: tuple[str, ...]) -> Iterator[Found]:
    """Defects of a folder of AVE, for `valor lint`; what keeps a split from being read is left to its reader."""
    path = folder / ANNOTATIONS
    if not path.is_file():
        return
    rows: list[AveRow] = []
    whole = True
    for row in read_rows(path, names):
        if isinstance(row, Fault):
            whole = False
            yield row.kind, path.name, row.line, None, row.message
        else:
            rows.append(row)
            if row.start == row.stop:
                span = f"{row.class_name} {row.start} to {row.stop}"
                yield "no-length", path.name, row.line, row.video, span
    yield from _splits_compared(folder, names)
    if whole and names == AVE_NAMES:
        yield from _labels_compared(folder, rows, names)


def _splits_compared(folder: Path, names: Sequence[str]) -> Iterator[Found]:
    """Videos with several rows, and rows of no split."""
    splits: dict[str, list[AveRow]] = {}
    for split in AVE_SPLITS:
        try:
            splits[split] = read_split_rows(folder, split, names)
        except (OSError, ValueError):
            return  # the reader says why
    first: dict[str, tuple[str, AveRow]] = {}
    placed = set()
    for split, rows in splits.items():
        file = ANNOTATIONS if (folder / f"{split}_order.h5").is_file() else f"{split}Set.txt"
        placed |= {row.line for row in rows}
        for row in sorted(rows, key=lambda row: row.line):
            other_split, other = first.setdefault(row.video, (split, row))
            if other is row:
                continue
            kind = "second-row" if other_split == split else "two-splits"
            where = f"is in {other_split} as well" if kind == "two-splits" else f"of {split} as well"
            yield kind, file, row.line, row.video, f"{row.class_name}; line {other.line}, {other.class_name}, {where}"
    if all((folder / f"{split}_order.h5").is_file() for split in AVE_SPLITS):
        for row in _sound_rows(folder / ANNOTATIONS, names):
            if row.line not in placed:
                yield "orphan", ANNOTATIONS, row.line, row.video, "row of no split"


def _labels_compared(folder: Path, rows: Sequence[AveRow], names: tuple[str, ...]) -> Iterator[Found]:
    """Published labels that are not those of the annotation."""
    seconds = np.full((len(rows), AVE_SECONDS), len(names))
    for number, row in enumerate(rows):
        seconds[number, row.start : row.stop] = names.index(row.class_name)
    tags = np.array([names.index(row.class_name) for row in rows])
    columns = np.arange(len(names) + 1)
    truth: dict[str, BoolArray] = {
        "tag": tags[:, np.newaxis] == columns,
        "seconds": seconds[..., np.newaxis] == columns,
        "on": seconds != len(names),
    }
    for file, kind in LABELS.items():
        if not (folder / file).is_file():
            continue
        try:
            held = read_hdf5(folder / file, "avadataset")
        except ValueError as error:
            yield "labels-differ", file, None, None, str(error).removeprefix(f"{folder / file}: ")
            continue
        if held.shape != truth[kind].shape:
            what = f"expected {list(truth[kind].shape)} ({len(names)} events and background), got {list(held.shape)}"
            yield "labels-differ", file, None, None, what
            continue
        wrong = np.flatnonzero((held != truth[kind]).reshape(len(rows), -1).any(axis=1))
        for number in wrong.tolist():
            said = f"row {number} has other labels than line {rows[number].line} of {ANNOTATIONS}"
            yield "labels-differ", file, None, rows[number].video, said
