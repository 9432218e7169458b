"""LFAV: long videos with what is heard and what is seen, tags of each modality apart; Hou et al., TOMM 2024.

A data folder holds the published tables, in the folders they lie in or side by side:

    train/  train_audio_weakly.csv   train_visual_weakly.csv                                   tags, as LLP's tables
    val/    val_audio_weakly.csv     val_visual_weakly.csv    val_audio.csv    val_visual.csv   and events of seconds
    test/   test_audio_weakly.csv    test_visual_weakly.csv   test_audio.csv   test_visual.csv

and perhaps `durations.tsv` of one's own, `filename  seconds`: the published tables do not say how long a video is.

Rules, those of the published scorer:
    The last second of an event is part of it: 3 to 5 marks three seconds, 3 to 3 one, 5 to 3 none.
    Rows merge by union, and an event is cut at the end of its video.
    Tags are those of the two modalities; the tables of both together (train_weakly.csv, val_weak_av.csv,
    test_weak_av.csv) are looked at by `valor lint` alone.
    Tags that are none of the 35 classes and known to stand there (`LEFT_OUT`) are left out; others are refused.
    A row whose clip is none of the split is left alone.
A video lasts as long as `durations.tsv` says. Without it, it ends with the last second that one of its rows names,
rows beyond an hour aside, which are slips of the pen: what a parser marks behind that cannot be counted as false.
The published scorer lets it last as long as its features.
"""

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from valor.eval.average_precision import lfav_precision
from valor.eval.events import MODALITIES, BoolArray
from valor.eval.metrics import Judged, Metric
from valor.eval.scores import score
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import stands
from valor.label_harvest.store.manifest import check_clip_id

from ..names import join_names, name_splitter, split_names
from ..rows import EVENT_COLUMNS, WEAK_COLUMNS, checked_rows, plain_seconds
from ..tables import DURATION_COLUMNS, MOST_SEGMENTS, Layout, Split, refuse_too_many_marks
from .ave import Found

_LOG = logging.getLogger(__name__)

LFAV_NAMES = tuple(
    (
        "accordion alarm banjo bicycle car car_alarm cat cello chainsaw cheering chicken_rooster clapping cry dance "
        "dog drum fixed-wing_aircraft frisbee guitar helicopter horse laughter piano playing_basketball "
        "playing_badminton playing_baseball playing_ping-pong playing_tennis playing_soccer playing_volleyball "
        "rodents shofar singing speech violin"
    ).split()
)
"""The 35 classes in the order of the published code."""

LFAV_SIZES = {"train": 3_721, "val": 486, "test": 968}
"""Videos of each split."""

LFAV_LAYOUT = Layout(
    {split: f"{split}_audio_weakly.csv" for split in LFAV_SIZES},
    {"lfav": ("test_audio.csv", "test_visual.csv")},
    ("val", "test"),
)
"""Its splits; `lfav_table` says where the tables lie."""

LEFT_OUT = ("toilet_flush", "train", "silent")
"""Tags of the published tables that are no classes: the published code leaves them out."""

DURATIONS = "durations.tsv"
"""How long each video is, where somebody has measured it."""

LONGEST = 3_600
"""Seconds; without durations, a time behind them is a slip of the pen (one says 116117) and says no length."""

UNIONS = {"train": ("train_weakly.csv",), "val": ("val_weak_av.csv", "val_weakly_av.csv")}
"""Published tables of the tags of both modalities together, under the names they have had."""
UNIONS["test"] = tuple(name.replace("val", "test") for name in UNIONS["val"])


@dataclass(frozen=True)
class LfavRow:
    """One event as its row says it."""

    line: int
    clip_id: str
    class_name: str
    onset: int
    offset: int
    """The last second that belongs to it."""


def lfav_table(folder: Path, name: str) -> Path:
    """Where a table lies: in the folder of its split, as published, or beside the others."""
    published = folder / name.partition("_")[0] / name
    return published if published.is_file() else folder / name


def read_lfav(dataset: object, folder: Path, split: str, names: tuple[str, ...], version: str) -> Split:
    """Read a split of LFAV, see the top of this file.

    Raises:
        ValueError: A table is damaged, names an unknown class, or has a clip of another split; says file and line.
        FileNotFoundError: A table is not there.
    """
    own = _tags(folder, split, names)
    for other in LFAV_SIZES:
        tables = [lfav_table(folder, f"{other}_{modality}_weakly.csv") for modality in MODALITIES]
        if other != split and all(table.is_file() for table in tables):
            clips = {clip_id for table in tables for _, (clip_id, _) in checked_rows(table, WEAK_COLUMNS)}
            if shared := [clip_id for clip_id in own if clip_id in clips]:
                raise ValueError(
                    f"{lfav_table(folder, f'{split}_audio_weakly.csv')}: {len(shared)} clips are in {other} as well, "
                    f"such as {shared[0]}; splits must not overlap"
                )
    tags = np.array(list(own.values()), np.bool_)
    union: BoolArray = np.logical_or.reduce(tags, axis=1)
    told = Split(split, tuple(own), names, union, modality_tags=tags)
    return _with_truth(folder, told, version) if split in LFAV_LAYOUT.annotated else told


def _with_truth(folder: Path, told: Split, version: str) -> Split:
    """A split with the events of its tables."""
    rows = {modality: list(_sound_rows(folder, told, modality)) for modality in MODALITIES}
    seconds = read_durations(folder, told.clip_ids)
    if seconds is None:
        _LOG.warning(
            "%s: there is no %s, so that a clip of %s ends with its last row, and what is marked behind it is not "
            "counted as false; say how long the clips are there",
            folder, DURATIONS, told.name,
        )  # fmt: skip
        lasts = _last_named(told.clip_ids, [row for of in rows.values() for row in of])
    else:
        lasts = {clip_id: math.ceil(length) for clip_id, length in seconds.items()}
    row_of = {clip_id: row for row, clip_id in enumerate(told.clip_ids)}
    count = np.array([lasts[clip_id] for clip_id in told.clip_ids])
    shape = (len(count), int(count.max()), len(MODALITIES), len(told.class_names))
    refuse_too_many_marks(shape, f"{folder if seconds is None else folder / DURATIONS}: {told.name}")
    truth = np.zeros(shape, np.bool_)
    for modality, of in enumerate(rows.values()):
        for row in of:
            stop = min(row.offset + 1, lasts[row.clip_id])
            truth[row_of[row.clip_id], row.onset : stop, modality, told.class_names.index(row.class_name)] = True
    said = repr((told.clip_ids, count.tolist(), truth.shape)).encode() + np.packbits(truth).tobytes()
    return Split(
        told.name,
        told.clip_ids,
        told.class_names,
        told.weak_labels,
        truth,
        version,
        hashlib.sha256(said).hexdigest(),
        valid=np.arange(truth.shape[1]) < count[:, np.newaxis],
        clip_seconds=None if seconds is None else np.array([seconds[clip_id] for clip_id in told.clip_ids]),
        modality_tags=told.modality_tags,
    )


def _tags(folder: Path, split: str, names: Sequence[str]) -> dict[str, BoolArray]:
    """Bool [M, C] of each clip, in the order of the table of audio and then of that of visual."""
    found: dict[str, BoolArray] = {}
    place = {name: index for index, name in enumerate(names)}
    for modality, word in enumerate(MODALITIES):
        path = lfav_table(folder, f"{split}_{word}_weakly.csv")
        seen = set[str]()
        for line, (clip_id, cell) in _rows(path, WEAK_COLUMNS):
            if clip_id in seen:
                raise ValueError(f"{path}:{line}: clip {clip_id!r} stands here a second time; keep one row for each")
            seen.add(clip_id)
            try:
                check_clip_id(clip_id)
            except ValueError as error:
                raise ValueError(f"{path}:{line}: {error}") from error
            tags = found.setdefault(clip_id, np.zeros((len(MODALITIES), len(names)), np.bool_))
            for name in name_splitter(names)(cell):
                if name in place:
                    tags[modality, place[name]] = True
                elif name not in LEFT_OUT:
                    raise ValueError(f"{path}:{line}: {clip_id}: unknown class {name!r}{did_you_mean(name, names)}")
    if not found:
        raise ValueError(f"{folder}: {split} has no clip; are the tables of its tags cut off?")
    return found


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    try:
        yield from checked_rows(path, columns)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such table; a folder of LFAV holds train/, val/ and test/ as published at "
            "github.com/GeWu-Lab/LFAV, in LFAV_dataset"
        ) from None


def _sound_rows(folder: Path, told: Split, modality: str) -> Iterator[LfavRow]:
    """The events of the clips of a split in one modality."""
    wanted = set(told.clip_ids)
    for row in event_rows(lfav_table(folder, f"{told.name}_{modality}.csv"), told.class_names):
        if row.clip_id in wanted:
            yield row


def event_rows(path: Path, names: Sequence[str]) -> Iterator[LfavRow]:
    """The rows of a table of events.

    Raises:
        ValueError: A row is damaged, of an unknown class, or its times are no whole seconds; says file and line.
        FileNotFoundError: There is no such table.
    """
    for line, (clip_id, onset, offset, cell) in _rows(path, EVENT_COLUMNS):
        name, times = cell.strip(), [plain_seconds(onset), plain_seconds(offset)]
        if name not in names:
            raise ValueError(f"{path}:{line}: {clip_id}: unknown class {name!r}{did_you_mean(name, names)}")
        whole = [int(time) for time in times if time is not None and time.is_integer()]
        if len(whole) < len(times):
            raise ValueError(
                f"{path}:{line}: expected whole seconds from the start of the clip, got {onset!r} and {offset!r}"
            )
        yield LfavRow(line, clip_id, name, *whole)


def _last_named(clip_ids: Sequence[str], rows: Sequence[LfavRow]) -> dict[str, int]:
    """Seconds of each clip, by the last one that a row names, and one at least."""
    lasts = dict.fromkeys(clip_ids, 1)
    for row in rows:
        last = (row.onset if row.offset > LONGEST else max(row.onset, row.offset)) + 1
        if row.onset <= LONGEST:
            lasts[row.clip_id] = max(lasts[row.clip_id], last)
    return lasts


def read_durations(folder: Path, clip_ids: Sequence[str]) -> dict[str, float] | None:
    """Seconds of each clip, as somebody measured them; None where there is no such file.

    Raises:
        ValueError: A clip is missing or stands there twice, or a time is none.
    """
    path = folder / DURATIONS
    if not stands(path):
        return None
    found: dict[str, float] = {}
    for line, (clip_id, cell) in checked_rows(path, DURATION_COLUMNS):
        seconds = plain_seconds(cell)
        if seconds is None or not 0 < seconds <= MOST_SEGMENTS:
            raise ValueError(f"{path}:{line}: expected how many seconds {clip_id} lasts, got {cell!r}")
        if clip_id in found:
            raise ValueError(f"{path}:{line}: {clip_id} stands there twice; keep one row")
        found[clip_id] = seconds
    if missing := [clip_id for clip_id in clip_ids if clip_id not in found]:
        raise ValueError(f"{path}: says nothing of {len(missing)} clips, such as {missing[0]}; measure them too")
    return {clip_id: found[clip_id] for clip_id in clip_ids}


def lfav_defects(folder: Path, names: tuple[str, ...]) -> Iterator[Found]:
    """What is unusual in the published tables and read all the same, for `valor lint`."""
    for split, size in LFAV_SIZES.items():
        clips: set[str] = set()
        for modality in MODALITIES:
            path = lfav_table(folder, f"{split}_{modality}_weakly.csv")
            try:
                for line, (clip_id, cell) in checked_rows(path, WEAK_COLUMNS):
                    clips.add(clip_id)
                    yield from _odd_tags(path.name, line, clip_id, cell)
            except (OSError, ValueError):
                return  # as reading the split says
        if len(clips) != size:
            yield "size", f"{split}_audio_weakly.csv", None, None, f"{split} has {len(clips):,} clips, not {size:,}"
        try:
            yield from _odd_split(folder, split, names)
        except (OSError, ValueError):
            return


def _odd_tags(file: str, line: int, clip_id: str, cell: str) -> Iterator[Found]:
    tags = split_names(cell)
    if join_names(tags) != cell:
        yield "spaced-tag", file, line, clip_id, f"{cell!r}"
    for name in set(tags) & set(LEFT_OUT):
        yield "left-out-tag", file, line, clip_id, name


def _odd_split(folder: Path, split: str, names: tuple[str, ...]) -> Iterator[Found]:
    """What is odd in the events of a split, and where the table of both modalities says something else."""
    own = _tags(folder, split, names)
    for file in UNIONS[split]:
        yield from _odd_union(lfav_table(folder, file), own, names)
    if split not in LFAV_LAYOUT.annotated:
        return
    seconds = read_durations(folder, tuple(own))
    if seconds is None:
        yield "no-durations", f"{split}_audio.csv", None, None, f"{split} clips end with their last row"
    for modality, word in enumerate(MODALITIES):
        path = lfav_table(folder, f"{split}_{word}.csv")
        rows = list(event_rows(path, names))
        yield from ((kind, path.name, line, clip, text) for kind, line, clip, text in _odd_rows(rows, own, seconds))
        for row in rows:
            if row.clip_id in own and not own[row.clip_id][modality, names.index(row.class_name)]:
                yield "outside-tags", path.name, row.line, row.clip_id, f"{row.class_name} is no {word} tag of it"
        named = {row.clip_id for row in rows}
        for clip_id in own:
            if clip_id not in named:
                yield "no-rows", path.name, None, clip_id, f"{split} clip without any {word} row"


def _odd_union(path: Path, own: Mapping[str, BoolArray], names: Sequence[str]) -> Iterator[Found]:
    """Clips of a table of both modalities together whose tags are not those of the two."""
    for line, (clip_id, cell) in checked_rows(path, WEAK_COLUMNS) if path.is_file() else ():
        said = set(name_splitter(names)(cell)) - set(LEFT_OUT)
        held = (
            {names[index] for index in np.flatnonzero(own[clip_id].any(axis=0)).tolist()} if clip_id in own else set()
        )
        if said != held:
            told = f"{', '.join(sorted(said)) or 'nothing'}, not {', '.join(sorted(held)) or 'nothing'}"
            yield "union-differs", path.name, line, clip_id, told


def _odd_rows(
    rows: Sequence[LfavRow], own: Mapping[str, BoolArray], seconds: Mapping[str, float] | None
) -> Iterator[tuple[str, int, str, str]]:
    """(kind, line, clip, what) of single rows."""
    seen = Counter[tuple[str, str, int, int]]()
    for row in rows:
        said = (row.clip_id, row.class_name, row.onset, row.offset)
        span = f"{row.class_name} {row.onset} to {row.offset}"
        seen[said] += 1
        last = LONGEST if seconds is None or row.clip_id not in seconds else math.ceil(seconds[row.clip_id]) - 1
        if row.clip_id not in own:
            yield "orphan", row.line, row.clip_id, "no clip of the split"
        elif seen[said] > 1:
            yield "duplicate", row.line, row.clip_id, span
        elif row.offset < row.onset:
            yield "no-length", row.line, row.clip_id, span
        elif row.offset == row.onset:
            yield "one-second", row.line, row.clip_id, span
        if row.offset > last:
            yield "beyond-clip", row.line, row.clip_id, f"{span}, the clip ends at {last + 1} or before"


_PRECISION: "WeakKeyDictionary[Judged, dict[str, float] | None]" = WeakKeyDictionary()
"""What has been computed, as long as what it is of is held: every modality is a figure of its own."""


def precision_of(judged: Judged) -> dict[str, float] | None:
    """Segment mAP of audio, visual and both at once, and their mean, in percent; None for decisions."""
    if judged not in _PRECISION:
        _PRECISION[judged] = None
        if judged.segment_probs is not None:
            mean = lfav_precision(judged.segment_probs, judged.truth, valid=judged.valid).mean.tolist()
            of = dict(zip(("mAP audio", "mAP visual", "mAP audio-visual"), mean, strict=True))
            found = {name: 100 * value for name, value in of.items() if not math.isnan(value)}
            _PRECISION[judged] = found | ({"mAP mean": sum(found.values()) / 3} if len(found) == len(of) else {})
    return _PRECISION[judged]


def _mean_of_kinds(name: str) -> Metric:
    return lambda judged: (precision_of(judged) or {}).get(name)


def _selection(judged: Judged) -> float | None:
    """The mean of mAP and of the event-level Type@AV, which the published code keeps an epoch by."""
    mean = (precision_of(judged) or {}).get("mAP mean")
    return (
        None if mean is None else (mean + score(judged.predicted, judged.truth, valid=judged.valid).event.type_av) / 2
    )


LFAV_METRICS: dict[str, Metric] = {
    **{name: _mean_of_kinds(name) for name in ("mAP audio", "mAP visual", "mAP audio-visual", "mAP mean")},
    "selection": _selection,
}
"""mAP of seconds as published, before any gate, and what an epoch is kept by; F-scores are those of every data set."""
