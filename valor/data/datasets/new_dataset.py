"""A data folder of one's own from a table of clips: vocabulary, splits, tables and a description, all read back.

    train.tsv, val.tsv, test.tsv   clips, tags and where their media lie
    audible.tsv, visible.tsv       what is heard and what is seen, in whole seconds, of the splits that were annotated
    classes.json, dataset.json     the vocabulary with its captions, and its description (dataset.py)

The folder appears whole or not at all, and one that is there is never changed.
"""

import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from valor.eval.events import MODALITIES, BoolArray, events_of
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import rename
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.windows import num_segments as segments_of
from valor.label_harvest.places.place import scheme_of
from valor.label_harvest.store.manifest import some_of
from valor.label_harvest.store.tars import TarIndex
from valor.label_harvest.store.videos import files_of_no_clip, find_clips

from ..lint import DEFECTS, LintReport, lint_folder
from ..tables import LLP_SEGMENTS, MOST_SEGMENTS, Layout, refuse_too_many_marks, write_event_table, write_weak_table
from ..vocabulary import EventClass, class_names, is_file, named_classes, read_vocabulary
from .dataset import DATASETS, DataSet, dataset_of, metrics_of_lengths, write_description
from .listing import (
    SPLITS,
    ListedClip,
    ListedRow,
    names_by_frequency,
    read_listed_rows,
    read_listing,
)
from .splits import Drawing, splits_of, untaught

EVENT_FILES = ("audible.tsv", "visible.tsv")
"""Of each modality."""
VERSION = "v1"
"""What the truth is called."""
_SLACK = 0.5
"""Seconds an event may end beyond its clip: less is rounded away, and headers of compressed sound are not exact. A
table and a header that differ by more on the length of a clip do not mean the same file."""


@dataclass(frozen=True, kw_only=True)
class NewDataSetOptions:
    """What a table of clips does not say."""

    split: str | None = None
    """Percent of train, val and test, drawn source by source, where the table has no column split (80,10,10)."""
    seed: int = 0
    """Another one draws other splits."""
    group_by: str = "video"
    """What clips were cut from, where the table has no column group: video takes VIDEO_10_20 and VIDEO+2 for pieces of
    VIDEO, folder all files of a folder."""
    segments: int | None = None
    """Seconds of each clip that are looked at (what all last, where that is known; else 10)."""
    any_length: bool = False
    """Look at each clip to its own end, as its header or a column seconds says (needed where lengths differ)."""
    name: str | None = None
    """What the data set is called (the name of the folder)."""
    allow_missing: bool = False
    """Take clips without a file too: a harvest has them as missing (a table with such a clip is refused)."""
    title: str | None = None
    """What tables and figures call it (its name)."""

    def __post_init__(self) -> None:
        """Refuse what no data set can have."""
        if self.segments is not None and not 1 <= self.segments <= MOST_SEGMENTS:
            raise ValueError(f"segments must be from 1 to {MOST_SEGMENTS:,}, got {self.segments}")
        if self.segments is not None and self.any_length:
            raise ValueError("segments says one length for all clips and any_length that each has its own; give one")
        if self.group_by not in GROUPED_BY:
            raise ValueError(
                f"group_by must be one of {', '.join(GROUPED_BY)}, got {self.group_by!r}"
                f"{did_you_mean(self.group_by, GROUPED_BY)}"
            )


GROUPED_BY = ("video", "folder")
"""What a source is where nobody names it."""


@dataclass(frozen=True, kw_only=True)
class NewDataSet:
    """A data folder that was made."""

    folder: Path
    dataset: DataSet
    clips: Mapping[str, int]
    """Of each split."""
    counts: Mapping[str, tuple[int, ...]]
    """By split, how many clips are tagged with each class."""
    seconds_marked: Mapping[str, tuple[int, int]]
    """By split with truth, how many seconds are marked as audible and as visible, all classes added."""
    sources: int
    known_seconds: tuple[float, ...]
    """How long the clips are whose headers say so."""
    without_file: bool
    """Whether the media were not looked at."""
    notes: tuple[str, ...]
    """What a person should know, a sentence each."""
    was_there: bool
    """Whether the same data set stood there already."""


def make_dataset(
    folder: Path,
    table: Path,
    *,
    rows: Path | None = None,
    videos: Path | None = None,
    classes: str | None = None,
    options: NewDataSetOptions | None = None,
) -> NewDataSet:
    """Make a data folder of a table of clips.

    Args:
        folder: What is made; nothing may stand there but the same.
        table: Clips and tags, see `valor.data.datasets.listing`.
        rows: What is heard and seen when; None for tags alone.
        videos: Where the media lie, below which paths are relative; None where they are not to be looked at.
        classes: A vocabulary, see `read_vocabulary`; None for the tags, the commonest first.
        options: What the tables do not say.

    Raises:
        ValueError: A table is damaged or contradicts itself or the media, or something else stands at the folder.
        FileNotFoundError: A table is not there.
    """
    options = options or NewDataSetOptions()
    for one in filter(None, (table, rows)):
        if one.is_dir() and one == rows:
            raise ValueError(
                f"{one}: expected a table, got a folder; `valor export events {one} --csv FILE` makes one of parses or "
                "corrections, and `valor train RECIPE --annotations DIR` takes corrections as they are"
            )
        if not one.is_file():
            raise FileNotFoundError(f"{one}: no such table; give a file with a row for each clip, or for each event")
    if videos is not None and not videos.is_dir():
        raise FileNotFoundError(f"{videos}: no such folder; `videos` says where the media of the clips lie")
    typed = None if classes is None else read_vocabulary(classes)
    clips = read_listing(table, None if typed is None else class_names(typed))
    vocabulary = _vocabulary(classes, typed, clips)
    drawing = Drawing(shares=options.split, seed=options.seed, group_by=options.group_by)
    splits = splits_of(clips, drawing, scored_alone=rows is not None)
    headers, seen = _look_at_media(clips, videos, allow_missing=options.allow_missing)
    lengths = _lengths_of(clips, headers, needed=options.any_length)
    segments = None if options.any_length else options.segments or _common_length(lengths)
    listed = () if rows is None else read_listed_rows(rows, clips, class_names(vocabulary))
    _refuse_too_many_marks(table, clips, splits, listed, segments, lengths, len(vocabulary))
    truth = lay_on_seconds(listed, class_names(vocabulary), segments, lengths)
    annotated, notes = _annotated(clips, splits, truth) if rows is not None else ((), [])
    if "train" not in splits:
        notes.append("there is no train: parses and predictions of these clips can be scored, and nothing be trained")
    elif "val" not in annotated:
        notes.append(
            "there is no val with rows, by whose truth `valor train` chooses the epoch: mark val in the viewer and "
            "give them to `valor train RECIPE --annotations DIR`"
        )
    notes += [*untaught(clips, splits, drawing), *seen]
    dataset = _dataset(folder, vocabulary, splits, annotated, segments, options)
    tags, report, was_there = _put(folder, dataset, clips, splits, truth, lengths)
    notes += _lint_notes(report, folder)
    return NewDataSet(
        folder=folder,
        dataset=dataset,
        clips={split: len(ids) for split, (ids, _) in tags.items()},
        counts={split: tuple(labels.sum(axis=0).tolist()) for split, (_, labels) in tags.items()},
        seconds_marked={split: _marked(tags[split][0], truth) for split in dataset.annotated},
        sources=len({clip.source(options.group_by) for clip in clips}),
        known_seconds=tuple(lengths.values()),
        without_file=videos is None,
        notes=tuple(notes),
        was_there=was_there,
    )


def _vocabulary(
    typed: str | None, classes: tuple[EventClass, ...] | None, clips: Sequence[ListedClip]
) -> tuple[EventClass, ...]:
    """The classes; those that are mere names have captions, and no threshold before `valor calibrate`."""
    if typed is not None and classes is not None and ("," not in typed or is_file(typed)):
        return classes
    named = classes or named_classes(names_by_frequency(clips))
    return tuple(replace(one, visual_threshold=None, audio_threshold=None) for one in named)


def _look_at_media(
    clips: Sequence[ListedClip], videos: Path | None, *, allow_missing: bool
) -> tuple[dict[str, float], list[str]]:
    """(seconds by clip, where a header says them; notes). A clip without its file is refused, unless it is allowed."""
    if videos is None:
        return {}, []
    from valor.label_harvest.media.promised import header_seconds

    tars = TarIndex()
    found = find_clips(videos, [clip.clip_id for clip in clips], [clip.path for clip in clips], tars=tars)
    gone = [clip for clip in clips if found[clip.clip_id] is None and not scheme_of(clip.path)]
    if gone and not allow_missing:
        raise ValueError(
            f"{gone[0].where}: {gone[0].path} is not in {videos}, one of {len(gone):,} clips without a file "
            f"({some_of([clip.clip_id for clip in gone])}); put the files there, take the rows away, or take them "
            "as they are with allow_missing=True"
        )
    lengths = {clip_id: header_seconds(media) for clip_id, media in found.items() if isinstance(media, Path)}
    known = {clip_id: seconds for clip_id, seconds in lengths.items() if seconds is not None}
    if empty := next((clip for clip in clips if known.get(clip.clip_id, 1) <= 0), None):
        raise ValueError(f"{empty.where}: {empty.path} lasts no time; take the row away, or put a whole file there")
    notes = [f"{len(gone):,} clips have no file: {some_of([clip.clip_id for clip in gone])}"] if gone else []
    if strangers := files_of_no_clip(videos, found, tars=tars):
        notes.append(f"{len(strangers):,} files in {videos} are of no clip: {some_of(strangers)}")
    return known, notes


def _lengths_of(clips: Sequence[ListedClip], headers: Mapping[str, float], *, needed: bool) -> dict[str, float]:
    """Seconds by clip, as the table says, else the header of its media.

    Raises:
        ValueError: The two disagree; or neither says it of a clip, and it is needed.
    """
    lengths = dict(headers)
    for clip in clips:
        said, held = clip.seconds, headers.get(clip.clip_id)
        if said is not None and held is not None and abs(said - held) > _SLACK:
            raise ValueError(
                f"{clip.where}: {clip.path} lasts {said:g} s by the table and {held:g} s by its header; correct the "
                "row, or put the whole file there"
            )
        if said is not None:
            lengths[clip.clip_id] = said
    if needed and (unknown := [clip for clip in clips if clip.clip_id not in lengths]):
        raise ValueError(
            f"{unknown[0].where}: nothing says how long {unknown[0].path} lasts, one of {len(unknown):,} such clips; "
            "say it in a column seconds, or give `videos` where headers say it"
        )
    return lengths


def _common_length(lengths: Mapping[str, float]) -> int:
    """Seconds of every clip: those all have, or as many as LLP's where nothing is known."""
    if not lengths:
        return LLP_SEGMENTS
    whole = {max(1, math.floor(seconds + 0.5)) for seconds in lengths.values()}
    if len(whole) > 1:
        shortest, longest = (of(lengths, key=lengths.__getitem__) for of in (min, max))
        raise ValueError(
            f"the clips last from {lengths[shortest]:.1f} to {lengths[longest]:.1f} s ({shortest}, {longest}); say "
            "with `any_length` that each is looked at to its own end, or with `segments` how many seconds of each are: "
            "what is longer is cut, what is shorter is padded"
        )
    return whole.pop()


def _refuse_too_many_marks(
    table: Path,
    clips: Sequence[ListedClip],
    splits: Sequence[str],
    rows: Sequence[ListedRow],
    segments: int | None,
    lengths: Mapping[str, float],
    classes: int,
) -> None:
    """Refuse a split whose marks would not fit into memory, as reading it back would, before any are made."""
    named = {row.clip_id for row in rows}
    for split in SPLITS:
        own = [one.clip_id for one, its in zip(clips, splits, strict=True) if its == split and one.clip_id in named]
        longest = segments or max((segments_of(lengths[clip_id], Grid()) for clip_id in own), default=0)
        refuse_too_many_marks((len(own), longest, len(MODALITIES), classes), f"{table}: {split}")


def lay_on_seconds(
    rows: Sequence[ListedRow], names: Sequence[str], segments: int | None, lengths: Mapping[str, float]
) -> dict[str, BoolArray]:
    """Mark the seconds of events, bool [T, M, C] by clip: from and to the nearest second, one at least.

    T is `segments`, or without it what each clip lasts.

    Raises:
        ValueError: An event ends beyond its clip, or beyond the seconds that are looked at; names file and line.
    """
    truth: dict[str, BoolArray] = {}
    for row in rows:  # of a clip in which nothing happens, one of no modality
        held = segments_of(lengths[row.clip_id], Grid()) if segments is None else segments
        end = lengths[row.clip_id] if segments is None else min(held, lengths.get(row.clip_id, held))
        if row.offset > end + _SLACK:
            hint = "" if segments is None else ", or say with `segments` that more of each clip is looked at"
            raise ValueError(
                f"{row.where}: {row.class_name} ends at {row.offset:g} s, but {row.clip_id} at {end:.3g} s; correct "
                f"the row{hint}"
            )
        start = min(math.floor(row.onset + 0.5), held - 1)
        stop = min(max(math.floor(row.offset + 0.5), start + 1), held)
        marks = truth.setdefault(row.clip_id, np.zeros((held, len(MODALITIES), len(names)), np.bool_))
        for modality in row.modalities:
            marks[start:stop, MODALITIES.index(modality), names.index(row.class_name)] = True
    return truth


def _annotated(
    clips: Sequence[ListedClip], splits: Sequence[str], truth: Mapping[str, BoolArray]
) -> tuple[tuple[str, ...], list[str]]:
    """(splits all of whose clips have rows, what is to be said of the others).

    Raises:
        ValueError: Of val or test some have rows and others none: those would be taken for clips of nothing.
    """
    annotated, notes = list[str](), list[str]()
    for split in (split for split in SPLITS if split in splits):
        own = [clip for clip, its in zip(clips, splits, strict=True) if its == split]
        bare = [clip for clip in own if clip.clip_id not in truth]
        if not bare:
            annotated.append(split)
        elif len(bare) == len(own):
            notes += [f"no clip of {split} has rows: it has tags alone"] if split != "train" else []
        elif split == "train":
            notes.append(f"{len(bare):,} clips of train have no rows: the rows of the others are left out")
        else:
            raise ValueError(
                f"{bare[0].where}: {bare[0].clip_id} of {split} has tags and no row, and would count as a clip of "
                f"nothing, one of {len(bare):,} ({some_of([clip.clip_id for clip in bare])}); annotate them, give "
                "a row with the path alone where nothing happens, or have a column split put them into train"
            )
    return tuple(annotated), notes


def _dataset(
    folder: Path,
    classes: tuple[EventClass, ...],
    splits: Iterable[str],
    annotated: tuple[str, ...],
    segments: int | None,
    options: NewDataSetOptions,
) -> DataSet:
    name = options.name or folder.absolute().name
    if name in DATASETS:
        raise ValueError(f"name must be one of your own, {name!r} is that of a data set; choose another `name`")
    there = set(splits)
    tags = {split: f"{split}.tsv" for split in SPLITS if split in there}
    layout = Layout(tags, {VERSION: EVENT_FILES}, annotated)
    metrics = metrics_of_lengths(any_length=segments is None)
    title = options.title or name
    return DataSet(name=name, title=title, classes=classes, layout=layout, segments=segments, metrics=metrics)


_Tags = dict[str, tuple[tuple[str, ...], BoolArray]]
"""By split, its clips and bool [N, C]."""


def _put(
    folder: Path,
    dataset: DataSet,
    clips: Sequence[ListedClip],
    splits: Sequence[str],
    truth: Mapping[str, BoolArray],
    lengths: Mapping[str, float],
) -> tuple[_Tags, LintReport, bool]:
    """Write all files elsewhere, read them back, and move them where they belong, see `_move`."""
    parent = folder.absolute().parent
    parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))
    try:
        tags = _write(made, dataset, clips, splits, truth, lengths)
        return tags, _read_back(made, dataset, tags, clips, truth), _move(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(
    folder: Path,
    dataset: DataSet,
    clips: Sequence[ListedClip],
    splits: Sequence[str],
    truth: Mapping[str, BoolArray],
    lengths: Mapping[str, float],
) -> _Tags:
    """Write all files, and return the tags that were written."""
    of_split: dict[str, list[ListedClip]] = defaultdict(list)
    for clip, split in zip(clips, splits, strict=True):
        of_split[split].append(clip)
    tags: _Tags = {}
    for split, file in dataset.layout.tags.items():
        own = of_split[split]
        labels = np.array([[name in clip.tags for name in dataset.names] for clip in own], np.bool_)
        tags[split] = (tuple(clip.clip_id for clip in own), labels)
        seconds = [lengths[clip.clip_id] for clip in own] if dataset.segments is None else []
        paths, by_modality = [clip.path for clip in own], _modality_tags(own, dataset.names)
        write_weak_table(folder / file, *tags[split], dataset.names, paths, seconds, modality_tags=by_modality)
    scored = [clip_id for split in dataset.annotated for clip_id in tags[split][0]]
    for modality, file in enumerate(EVENT_FILES):
        write_event_table(
            folder / file,
            [
                (clip_id, int(event.onset), int(event.offset), dataset.names[event.class_index])
                for clip_id in scored
                for event in events_of(truth[clip_id][:, modality])
            ],
        )
    write_description(folder, dataset, dataset.names, dataset.layout, dataset.segments)
    return tags


def _modality_tags(clips: Sequence[ListedClip], names: Sequence[str]) -> BoolArray | None:
    """Which tags are heard and which are seen, bool [N, M, C]; None where the table does not say it."""
    said = [clip.modality_tags for clip in clips if clip.modality_tags is not None]
    return np.array([[[name in tags for name in names] for tags in both] for both in said], np.bool_) if said else None


def _read_back(
    folder: Path, dataset: DataSet, tags: _Tags, clips: Sequence[ListedClip], truth: Mapping[str, BoolArray]
) -> LintReport:
    """Read what was written as every command will, and hold it against what was meant.

    Raises:
        ValueError: It differs, or a reader refuses it: an error of this program, not of the tables.
    """
    read = dataset_of(folder)
    report = lint_folder(folder, read.names, dataset=read)
    wrong = [str(found) for found in report.findings if DEFECTS[found.kind].stops or found.kind == "two-splits"]
    if (read.names, read.classes, read.annotated) != (dataset.names, dataset.classes, dataset.annotated):
        wrong.append("the description reads back as another")
    for split, (clip_ids, labels) in tags.items() if not wrong else ():
        found = read.read_split(folder, split)
        dense = found.truth
        same = (dense is None) == (split not in dataset.annotated)
        for row, clip_id in enumerate(clip_ids if same and dense is not None else ()):
            assert dense is not None
            meant, held = truth[clip_id], dense[row]
            same &= np.array_equal(held[: len(meant)], meant) and not held[len(meant) :].any()
            same &= found.valid is None or int(found.valid[row].sum()) == len(meant)
        own = [clip for clip in clips if clip.clip_id in set(clip_ids)]
        by_modality = _modality_tags(sorted(own, key=lambda clip: clip_ids.index(clip.clip_id)), read.names)
        said = found.modality_tags
        same &= said is by_modality if said is None or by_modality is None else np.array_equal(said, by_modality)
        if not same or found.clip_ids != clip_ids or not np.array_equal(found.weak_labels, labels):
            wrong.append(f"{split} reads back as another")
    if wrong:
        table = clips[0].where.rpartition(":")[0]
        raise ValueError(f"{table}: no readable data set came of it: {wrong[0]}; please report it")
    return report


def _move(made: Path, folder: Path) -> bool:
    """Put a folder in its place; True where the same data set stood there already.

    Raises:
        ValueError: Something else stands there.
    """
    if folder.is_dir() and any(folder.iterdir()):
        differing = sorted(
            file.name
            for file in made.iterdir()
            if not (folder / file.name).is_file() or (folder / file.name).read_bytes() != file.read_bytes()
        )
        if differing:
            raise ValueError(
                f"{folder}: holds something else than these tables make ({some_of(differing)} differ), and stays as it "
                "is; give another folder"
            )
        return True
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{folder}: is no folder, and is left as it is; give another name")
    umask = os.umask(0)
    os.umask(umask)
    made.chmod(0o777 & ~umask)
    rename(made, folder)
    return False


def _lint_notes(report: LintReport, folder: Path) -> list[str]:
    kinds: dict[str, int] = defaultdict(int)
    for finding in report.findings:
        kinds[DEFECTS[finding.kind].title] += 1
    told = ", ".join(f"{title} ({count:,})" for title, count in kinds.items())
    return [f"`valor lint {folder}` lists: {told}"] if kinds else []


def _marked(clip_ids: Sequence[str], truth: Mapping[str, BoolArray]) -> tuple[int, int]:
    audible, visible = sum(truth[clip_id].sum(axis=(0, 2)) for clip_id in clip_ids)
    return int(audible), int(visible)
