"""What a harvest asks of a data folder: its vocabulary, its segment grid, and its clips with their tags."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from valor.eval.events import BoolArray
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places.place import Place, stands
from valor.label_harvest.store.manifest import HarvestManifest

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
