"""VGGSounder: what is heard and what is seen in the test clips of VGG-Sound, several labels each; Zverev et al., 2025.

A data folder holds the published table of ten-second clips, one row a label, and perhaps two files more:

    vggsounder.csv   video_id,label,modality,background_music,static_image,voice_over
                     abcdefghijk_000030,"male speech, man speaking",AV,False,False,True
    classes.txt      the classes, one name a line, in the order of the class axis
    vggsound.csv     video,start,label,split, VGG-Sound's own, whose rows of train are the split train, tags alone

Without classes.txt the classes are the labels that occur, in the order of the alphabet, and a misspelt one is a class.

Rules:
    The modality is A, V or AV. A label in two rows of a clip counts in the modalities of both.
    The meta labels are those of a clip, so its rows agree on them. Of clips with one, figures stand apart.
    A clip of train is called as files of VGG-Sound are, VIDEO_000030, by the second it starts at.
A label has no times. On segments it counts in all ten seconds, so that any prediction file can be scored; the figures
of VGGSOUNDER_METRICS are of clips:
    A class is marked in a modality where a segment of the clip is.
    Its probability there is `modality_probs` of the predictions, where they have it, else the highest of its segments.
    all: heard or seen; `clip_probs`, else the higher probability. both: heard and seen; the product of the two.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.eval.metrics import Judged, Metric
from valor.eval.tagging import TAG_FIGURES, tag_figures
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place, stands
from valor.label_harvest.store.manifest import check_clip_id, composed

from ..rows import plain_seconds, read_rows
from ..tables import LLP_SEGMENTS, Layout, Split, refuse_too_many_marks
from .ave import Found

_LOG = logging.getLogger(__name__)

VGGSOUNDER_FILE = "vggsounder.csv"
CLASS_LIST = "classes.txt"
VGGSOUND_FILE = "vggsound.csv"
"""VGG-Sound's own table, for its training split."""

META_LABELS = ("background_music", "static_image", "voice_over")
SUBSETS = tuple(label.replace("_", " ") for label in META_LABELS)
"""As figures call the clips that have one."""
COLUMNS = ("video_id", "label", "modality", *META_LABELS)
TRAIN_COLUMNS = ("video", "start", "label", "split")
"""Of a table that is published without a header."""
LETTERS = {"A": (True, False), "V": (False, True), "AV": (True, True)}
"""Whether a label is heard, and whether it is seen."""
FLAGS = {"true": True, "false": False}
"""Meta labels, in any case."""

VGGSOUNDER_LAYOUT = Layout(
    {"train": VGGSOUND_FILE, "test": VGGSOUNDER_FILE},
    {"vggsounder": (VGGSOUNDER_FILE, VGGSOUNDER_FILE)},
    ("test",),
)
"""Its splits; that of train where its table is there, see `vggsounder_splits`."""


@dataclass(frozen=True)
class _Label:
    """One row."""

    line: int
    clip_id: str
    class_name: str
    modalities: tuple[bool, bool]
    """Heard, seen; neither is said of train."""
    meta: tuple[bool, ...] = ()
    """META_LABELS."""


def vggsounder_splits(folder: Place) -> Layout:
    """The splits a folder has the tables of."""
    tags = {split: file for split, file in VGGSOUNDER_LAYOUT.tags.items() if split == "test" or stands(folder / file)}
    return Layout(tags, VGGSOUNDER_LAYOUT.events, VGGSOUNDER_LAYOUT.annotated)


def vggsounder_names(folder: Place) -> tuple[str, ...]:
    """The classes: those of the list, or the labels of the tables in the order of the alphabet.

    Raises:
        ValueError: A name stands in the list twice or has white space around it, it has none, or a table is none.
        FileNotFoundError: There is neither a list nor a table.
    """
    listed = folder / CLASS_LIST
    if not stands(listed):
        tables = [(folder / VGGSOUNDER_FILE, COLUMNS), (folder / VGGSOUND_FILE, TRAIN_COLUMNS)]
        tables = [(path, columns) for path, columns in tables if columns is COLUMNS or stands(path)]
        found: set[str] = set()
        for path, columns in tables:
            index = columns.index("label")
            found.update(cells[index] for _, cells, wanted in _cells(path, columns) if not wanted)
        return tuple(sorted(name for name in found if name and name.isprintable() and name == name.strip()))
    first: dict[str, int] = {}
    try:
        lines = listed.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{listed}: expected names of classes, one a line, got something else ({error})") from error
    for number, line in enumerate(lines, 1):
        name = line.removesuffix("\r")
        if name != name.strip() or not name.isprintable():
            raise ValueError(f"{listed}:{number}: expected a name, no white space around it, got {name!r:.200}")
        if name and (other := first.setdefault(name, number)) != number:
            raise ValueError(f"{listed}:{number}: {name} stands in line {other} already; keep one")
    if not first:
        raise ValueError(f"{listed}: expected names of classes, one a line, got none")
    return tuple(first)


def read_vggsounder(dataset: object, folder: Path, split: str, names: tuple[str, ...], version: str) -> Split:
    """Read a split of VGGSounder, see the top of this file.

    Raises:
        ValueError: A table is damaged, or a clip is in both splits; says file and line.
        FileNotFoundError: A table is not there.
    """
    names = names or vggsounder_names(folder)
    if split == "train":
        return _split_of(folder, split, list(_checked(folder / VGGSOUND_FILE, _train_rows(folder, names))), names)
    rows = list(_checked(folder / VGGSOUNDER_FILE, _test_rows(folder, names)))
    found = _split_of(folder, split, rows, names)
    assert found.modality_tags is not None  # of test
    truth = np.repeat(found.modality_tags[:, np.newaxis], LLP_SEGMENTS, axis=1)
    of_clip = {row.clip_id: row.meta for row in rows}
    meta = np.array(list(of_clip.values()), np.bool_)
    _LOG.warning(
        "%s: says nothing of when, so a label counts in all ten seconds: F of segments and events is no figure of "
        "VGGSounder, those of clips are", folder / VGGSOUNDER_FILE,
    )  # fmt: skip
    return Split(
        split,
        found.clip_ids,
        names,
        found.weak_labels,
        truth,
        version,
        modality_tags=found.modality_tags,
        subsets=dict(zip(SUBSETS, meta.T, strict=True)),
    )


def _split_of(folder: Path, split: str, rows: Sequence[_Label], names: tuple[str, ...]) -> Split:
    """Clips with their tags, in the order of the table."""
    path = folder / VGGSOUNDER_LAYOUT.tags[split]
    if not rows:
        raise ValueError(f"{path}: no clip of the split {split}")
    row_of: dict[str, int] = {}
    for row in rows:
        row_of.setdefault(row.clip_id, len(row_of))
    place = {name: index for index, name in enumerate(names)}
    refuse_too_many_marks((len(row_of), LLP_SEGMENTS, len(MODALITIES), len(names)), f"{path}: {split}")
    tags = np.zeros((len(row_of), len(MODALITIES), len(names)), np.bool_)
    union = np.zeros((len(row_of), len(names)), np.bool_)
    for row in rows:
        tags[row_of[row.clip_id], :, place[row.class_name]] |= row.modalities
        union[row_of[row.clip_id], place[row.class_name]] = True
    return Split(split, tuple(row_of), names, union, modality_tags=None if split == "train" else tags)


def _cells(path: Place, columns: Sequence[str]) -> Iterator[tuple[int, list[str], int]]:
    """(line, cells, 0) of rows in the order of columns; of one of another width as it is, how many there should be.

    Only the table of train may have no header.

    Raises:
        ValueError: The file is no table with these columns.
        FileNotFoundError: There is no such file.
    """
    if not stands(path):
        raise FileNotFoundError(
            f"{path}: no such table; a folder of VGGSounder holds {VGGSOUNDER_FILE}, as published at "
            "github.com/Bizilizi/VGGSounder in vggsounder/data"
        )
    rows = read_rows(path, delimiter=",")
    first = next(rows, (0, []))
    header = [cell.strip() for cell in first[1]]
    if missing := [column for column in columns if header.count(column) != 1]:
        if columns is not TRAIN_COLUMNS:
            raise ValueError(f"{path}: expected the columns {','.join(columns)}, got {header!r:.200}: {missing[0]}")
        header = list(columns)
        yield *first, 0 if len(first[1]) == len(header) else len(header)
    place = [header.index(column) for column in columns]
    for line, cells in rows:
        whole = len(cells) == len(header)
        yield line, [cells[index] for index in place] if whole else cells, 0 if whole else len(header)


def _test_rows(folder: Path, names: tuple[str, ...]) -> Iterator[_Label | Found]:
    """The rows of the published table, and what is wrong with those that cannot be read."""
    said: dict[str, _Label] = {}
    for line, cells, wanted in _cells(folder / VGGSOUNDER_FILE, COLUMNS):
        clip_id, at = cells[0], (VGGSOUNDER_FILE, line, cells[0])
        if fault := _fault(cells, wanted, COLUMNS, names):
            yield fault[0], VGGSOUNDER_FILE, line, fault[1], fault[2]
            continue
        _, name, letter, *meta = cells
        if letter not in LETTERS:
            yield "modality", *at, f"modality of {name} must be {', '.join(LETTERS)}, got {letter!r}"
            continue
        if wrong := [key for key, flag in zip(META_LABELS, meta, strict=True) if flag.lower() not in FLAGS]:
            flag = meta[META_LABELS.index(wrong[0])]
            yield "meta-label", *at, f"{wrong[0]} must be True or False, got {flag!r}"
            continue
        row = _Label(line, composed(clip_id), name, LETTERS[letter], tuple(FLAGS[flag.lower()] for flag in meta))
        other = said.setdefault(row.clip_id, row)
        if unlike := [k for k, one, two in zip(META_LABELS, row.meta, other.meta, strict=True) if one != two]:
            flag = cells[COLUMNS.index(unlike[0])]
            yield "meta-differs", *at, f"{unlike[0]} is {flag} here and not in line {other.line}; it is of the clip"
            continue
        yield row


def _train_rows(folder: Path, names: tuple[str, ...]) -> Iterator[_Label | Found]:
    """The rows of train of VGG-Sound's own table, and what is wrong with others."""
    tested = {composed("".join(cells[:1])) for _, cells, _ in _cells(folder / VGGSOUNDER_FILE, COLUMNS)}
    said: dict[str, int] = {}
    for line, cells, wanted in _cells(folder / VGGSOUND_FILE, TRAIN_COLUMNS):
        if fault := _fault(cells, wanted, TRAIN_COLUMNS, names):
            yield fault[0], VGGSOUND_FILE, line, fault[1], fault[2]
            continue
        video, start, name, split = cells
        seconds = plain_seconds(start)
        if seconds is None or not seconds.is_integer():
            yield "time", VGGSOUND_FILE, line, video, f"expected the whole second it starts at, got {start!r}"
            continue
        clip_id = composed(f"{video}_{int(seconds):06d}")
        if split not in VGGSOUNDER_LAYOUT.tags:
            yield "split", VGGSOUND_FILE, line, clip_id, f"split must be train or test, got {split!r}"
        elif split == "test":
            continue  # VGGSounder says what these have
        elif clip_id in tested:
            yield "shared-clip", VGGSOUND_FILE, line, clip_id, f"stands in {VGGSOUNDER_FILE} too; splits never overlap"
        elif (other := said.setdefault(clip_id, line)) != line:
            yield "repeated-clip", VGGSOUND_FILE, line, clip_id, f"stands in line {other} already"
        else:
            yield _Label(line, clip_id, name, (False, False))


def _fault(
    cells: Sequence[str], wanted: int, columns: Sequence[str], names: Sequence[str]
) -> tuple[str, str | None, str] | None:
    """What is wrong with the cells of any row, of which so many are `wanted` where they are fewer or more."""
    if wanted:
        return "columns", None, f"expected {wanted} cells, got {cells!r:.200}"
    clip_id, name = cells[0], cells[columns.index("label")]
    try:
        check_clip_id(clip_id)
    except ValueError as error:
        return "columns", None, str(error)
    if name not in names:
        return "unknown-class", clip_id, f"unknown class {name!r:.200}{did_you_mean(name, names)}"
    return None


def _checked(path: Path, rows: Iterator[_Label | Found]) -> Iterator[_Label]:
    """Rows that can be read.

    Raises:
        ValueError: One cannot; says file and line.
    """
    for row in rows:
        if not isinstance(row, _Label):
            _, _, line, clip_id, message = row
            raise ValueError(": ".join(filter(None, (f"{path}:{line}", clip_id, message))))
        yield row


def vggsounder_defects(folder: Path, names: tuple[str, ...]) -> Iterator[Found]:
    """What is wrong with rows, and what is unusual in those that can be read, for `valor lint`."""
    try:
        names = names or vggsounder_names(folder)
        rows = list(_test_rows(folder, names))
        train = list(_train_rows(folder, names)) if stands(folder / VGGSOUND_FILE) else []
    except (OSError, ValueError):
        return  # as reading a split says
    yield from (row for row in (*rows, *train) if not isinstance(row, _Label))
    if not stands(folder / CLASS_LIST):
        yield "no-class-list", VGGSOUNDER_FILE, None, None, f"{len(names)} classes are its labels; write {CLASS_LIST}"
    first: dict[tuple[str, str], _Label] = {}
    for row in rows:
        if isinstance(row, _Label):
            other = first.setdefault((row.clip_id, row.class_name), row)
            if other is not row and other.modalities == row.modalities:
                told = f"{row.class_name} stands in line {other.line} already"
                yield "repeated-tag", VGGSOUNDER_FILE, row.line, row.clip_id, told
            elif other is not row:
                told = f"{row.class_name} stands in line {other.line} with another modality"
                yield "modalities-differ", VGGSOUNDER_FILE, row.line, row.clip_id, told


_View = Callable[[Any], Any]
VIEWS: Mapping[str, tuple[_View, _View]] = {
    "all": (partial(np.any, axis=1), partial(np.max, axis=1)),
    "audible": (itemgetter(np.s_[:, 0]), itemgetter(np.s_[:, 0])),
    "visible": (itemgetter(np.s_[:, 1]), itemgetter(np.s_[:, 1])),
    "both": (partial(np.all, axis=1), partial(np.prod, axis=1)),
}
"""Which labels are asked for: what they are of marks bool [N, M, C], and of probabilities float [N, M, C]."""

_MEASURED: "WeakKeyDictionary[Judged, dict[str, float]]" = WeakKeyDictionary()
"""What has been computed, as long as what it is of is held: every figure is asked for apart."""


def _probs_of(judged: Judged, view: str) -> FloatArray | None:
    """The probability of each class in a clip, float [N, C]; None for decisions."""
    if judged.segment_probs is None:
        return None
    if view == "all" and judged.clip_probs is not None:
        return judged.clip_probs
    by_modality = judged.modality_probs
    if by_modality is None:
        exists = True if judged.valid is None else judged.valid[:, :, np.newaxis, np.newaxis]
        by_modality = judged.segment_probs.max(axis=1, where=exists, initial=0)
    found: FloatArray = VIEWS[view][1](by_modality)
    return found


def _measured(judged: Judged) -> dict[str, float]:
    """Every figure there is."""
    if judged not in _MEASURED:
        marked, truth = judged.predicted.any(axis=1), judged.truth.any(axis=1)  # [N, M, C]
        subsets = [(name, "all", judged.subsets.get(name)) for name in SUBSETS]
        every: BoolArray = np.ones(len(judged.truth), np.bool_)
        found: dict[str, float] = {}
        for name, view, kept in [*((view, view, every) for view in VIEWS), *subsets]:
            if kept is None or not kept.any():
                continue
            probs, of_marks = _probs_of(judged, view), VIEWS[view][0]
            figures = tag_figures(of_marks(marked)[kept], of_marks(truth)[kept], None if probs is None else probs[kept])
            found |= {f"{name} {figure}": value for figure, value in figures.items()}
        _MEASURED[judged] = found
    return _MEASURED[judged]


def _figure(judged: Judged, name: str) -> float | None:
    return _measured(judged).get(name)


VGGSOUNDER_METRICS: dict[str, Metric] = {
    name: partial(_figure, name=name)
    for title in (*VIEWS, *SUBSETS)
    for name in (f"{title} {figure}" for figure in TAG_FIGURES)
}
"""Figures of clips: of all labels, of those heard, seen and both, and of all labels of clips with a meta label."""
