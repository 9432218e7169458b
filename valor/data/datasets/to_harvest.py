"""What a harvest asks of a data folder: its vocabulary, its segment grid, and its clips with their tags.

In place of a table there may be a folder of media, whose files are clips without tags.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from valor.eval.events import BoolArray
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places.elsewhere import Media, media_bytes
from valor.label_harvest.places.place import Place, stands
from valor.label_harvest.store.manifest import HarvestManifest, check_clip_id, composed
from valor.label_harvest.store.videos import LONGEST_NAME, media_below, name_by_place

from ..tables import (
    LLP_SEGMENTS,
    read_manifest,
)
from ..vocabulary import (
    CLASSES_FILE,
    LLP_CLASSES,
    EventClass,
    class_names,
    named_classes,
    read_vocabulary,
    refuse_other_classes,
    stored_classes,
    vocabulary_file,
)
from .dataset import DATASET_FILE, LLP, dataset_of


def vocabulary_of(typed: str | None, *folders: Place | None, store: Place | None = None) -> tuple[EventClass, ...]:
    """Classes with their captions and thresholds.

    Args:
        typed: A vocabulary, see `read_vocabulary`.
        folders: Where nothing is typed, the first of these that holds a `dataset.json`, the files of another data set
            than LLP, or a `classes.json` says it.
        store: Where they do not, the evidence there does, with the captions its teachers read.

    Raises:
        ValueError: None of these can be read, or the store has evidence of several vocabularies.
    """
    if typed:
        return read_vocabulary(typed)
    for folder in folders:
        if folder is not None and (stands(folder / DATASET_FILE) or dataset_of(folder) is not LLP):
            return dataset_of(folder).classes
        if folder is not None and stands(folder / CLASSES_FILE):
            return vocabulary_file(folder / CLASSES_FILE)
    return LLP_CLASSES if store is None else stored_classes(store)


def vocabulary_of_store(
    held: Sequence[str], typed: str | None, *folders: Place | None, where: str
) -> tuple[EventClass, ...]:
    """The vocabulary of a store, which knows its classes.

    Args:
        held: Names of its classes.
        typed: A vocabulary, for its thresholds.
        folders: Where nothing is typed, the first of these that is of these classes has their thresholds.
        where: The store, for messages.

    Raises:
        ValueError: What was typed is of other classes; names them.
    """
    if typed:
        refuse_other_classes(class_names(classes := read_vocabulary(typed)), held, where)
        return classes
    said = (vocabulary_of(None, folder) for folder in folders)
    return next((classes for classes in said if class_names(classes) == tuple(held)), named_classes(held))


def grid_of(folder: Place) -> Grid:
    """The grid the clips of a data folder are harvested on; LLP's where they are of any length."""
    dataset = dataset_of(folder)
    return Grid(num_segments=dataset.segments or LLP_SEGMENTS, segment_seconds=dataset.seconds)


def read_any_manifest(path: Place, names: Sequence[str]) -> HarvestManifest:
    """Read the clips to harvest and their tags.

    Args:
        path: A table of tags, see `valor.data.tables`; or a data folder, for the clips of all splits; of a data set
            with a reader of its own, its annotation likewise, or what says the order of one of its splits.
        names: The classes.

    Returns:
        The clips. One that stands in several splits, as some of AVE do, has the tags it has in the first of them,
        which is that of training: labels are made of those.

    Raises:
        ValueError: As in `read_manifest`, or a split cannot be read.
    """
    if not isinstance(path, Path):
        return read_manifest(path, names)
    folder = path if path.is_dir() else path.parent
    dataset = dataset_of(folder)
    splits = [split for split in dataset.splits if path.name == dataset.layout.tags[split]]
    annotations = {table for tables in dataset.layout.events.values() for table in tables}
    if not path.is_dir() and (dataset.reader is None or not (splits or path.name in annotations)):
        return read_manifest(path, names)
    if dataset.reader is None:
        return _of_all_splits([read_manifest(path / table, names) for table in dataset.layout.tags.values()])
    manifests = []
    for split in splits or dataset.splits:
        try:
            clips = dataset.read_clips(folder, split, names)
        except FileNotFoundError as error:
            raise ValueError(f"{path}: the clips of {split} cannot be read: {error}") from error
        tags = clips.modality_tags
        manifests.append(HarvestManifest(clips.clip_ids, tuple(names), clips.weak_labels, modality_tags=tags))
    return _of_all_splits(manifests)


def holds_tables(folder: Place) -> bool:
    """Whether a folder is a data folder: it says of which data set, or tables of clips lie in it."""
    dataset = dataset_of(folder)
    tables = (DATASET_FILE, *dataset.layout.tags.values())
    return dataset is not LLP or any(stands(folder / table) for table in tables)


def read_media_folder(
    folder: Place, names: Sequence[str], held: Mapping[str, int | None] | None = None
) -> HarvestManifest:
    """The media files below a folder as clips without tags, in the order of their paths.

    A clip is called as its file without the ending. Where several files have that name, or it is too long or no plain
    one, it has a digest of where it lies behind it, as the parses of such files have. A file keeps the name by which a
    store has it, whatever comes to lie beside it.

    Args:
        folder: With all below it; hidden files are left out.
        names: The classes.
        held: The clips of the store that is gone on with, and the bytes each file had.

    Raises:
        ValueError: There are no media, or the name of one is no text.
    """
    found = media_below(folder)
    if not found:
        raise ValueError(
            f"{folder}: expected a table of clips and tags, a data folder or a folder of media, got a folder without "
            "any; give one of these"
        )
    for name, _ in found:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{folder}: the name of {name!r} is no UTF-8 text; rename it") from error
    clip_ids = _called([media for _, media in found], held or {})
    paths = tuple(name for name, _ in found)
    return HarvestManifest(clip_ids, tuple(names), np.zeros((len(found), len(names)), bool), paths)


def _called(media: Sequence[Media], held: Mapping[str, int | None]) -> tuple[str, ...]:
    """What the clip of each file is called, see `read_media_folder`."""
    sizes = {composed(name): size for name, size in held.items()}
    stems = [composed(PurePosixPath(one.name).stem) for one in media]
    times = Counter(stem.lower() for stem in stems)
    called = list[str]()
    for stem, one in zip(stems, media, strict=True):
        by_place = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name_by_place(one)).lstrip(" .")
        keeps = times[stem.lower()] == 1 or (sizes.get(stem) is not None and sizes[stem] == media_bytes(one))
        is_own = keeps and stem not in called and composed(by_place) not in sizes and _is_plain(stem)
        called.append(stem if is_own else by_place)
    return tuple(called)


def _is_plain(stem: str) -> bool:
    """Whether a clip may be called so."""
    try:
        check_clip_id(stem)
    except ValueError:
        return False
    return len(os.fsencode(stem)) <= LONGEST_NAME


def _of_all_splits(manifests: Sequence[HarvestManifest]) -> HarvestManifest:
    """The clips of several tables, as the first that has each says."""
    said = [one.modality_tags is not None for one in manifests]
    if any(said) and not all(said):
        raise ValueError(
            "tags of modalities must stand in the tables of all splits that are harvested, or in none: harvest one"
        )
    found = dict[str, tuple[BoolArray, str, BoolArray | None]]()
    for one in manifests:
        by_modality = [None] * len(one.clip_ids) if one.modality_tags is None else list(one.modality_tags)
        for clip_id, *held in zip(one.clip_ids, one.weak_labels, one.paths, by_modality, strict=True):
            found.setdefault(clip_id, tuple(held))
    tags, paths, by = zip(*found.values(), strict=True)
    joined = np.stack(by) if all(said) else None
    return HarvestManifest(tuple(found), manifests[0].class_names, np.stack(tags), paths, joined)
