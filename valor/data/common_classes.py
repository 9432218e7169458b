"""Corrections as truth: of val in a training, and of what knows more classes or clips than they, or fewer."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from valor.label_harvest.store.manifest import some_of

from .datasets.dataset import DataSet, dataset_of
from .journal import JOURNAL, of_other_media, other_media_note, read_journal
from .predictions import ARRAYS, Predictions
from .tables import Split

_LOG = logging.getLogger(__name__)


def read_val_truth(annotations: Path, val: Split, known: DataSet) -> Split:
    """Read the truth of val from another folder than the data, such as corrections of the viewer.

    Args:
        annotations: Corrections of clips of val, or other tables with its truth.
        val: The clips and tags of the data.
        known: What the data folder holds.

    Returns:
        The clips that are annotated there, with the classes of `val`.

    Raises:
        ValueError: No truth of val is there, it is on segments of another length, or some of it is of clips of another
            split, on which no epoch may be chosen.
        FileNotFoundError: There is no such folder.
    """
    if not annotations.is_dir():
        raise FileNotFoundError(f"{annotations}: no such folder; give corrections of the viewer, or tables of truth")
    own = dataset_of(annotations)
    there = [split for split in own.annotated if (annotations / own.layout.tags[split]).is_file()]
    if val.name not in there:
        raise ValueError(
            f"{annotations}: expected truth of {val.name}, on which the epoch is chosen, got "
            f"{' and '.join(there) or 'none'}; mark {val.name} (`valor view SOURCE --data DATA --split {val.name}`), "
            f"or import files of its clips into another folder with the split {val.name} (`valor import events`)"
        )
    found = own.read_split(annotations, val.name, own.names_in(annotations))
    if missing := [name for name in val.class_names if name not in found.class_names]:
        raise ValueError(
            f"{annotations}: its classes lack {', '.join(missing[:5])} of the data, so nobody could mark them; correct "
            "labels or parses of these classes"
        )
    if others := of_other_media(read_journal(annotations / JOURNAL), ()) & set(found.clip_ids):
        _LOG.warning("%s: %s", annotations, other_media_note(others))
        found = without_clips(found, others)
    for said in left_out(found, val.class_names, str(known.title)):
        _LOG.warning("%s: %s", annotations, said)
    _check_clips(annotations, found, val)
    return replace(split_of_classes(found, val.class_names), role=val.role, metrics=val.metrics)


def _check_clips(annotations: Path, found: Split, val: Split) -> None:
    """Refuse marked clips that are not of val, and say how many of val are marked."""
    if strange := sorted(set(found.clip_ids) - set(val.clip_ids)):
        raise ValueError(
            f"{annotations}: {len(strange):,} of its {len(found.clip_ids):,} clips are not of {val.name} of the data "
            f"({some_of(strange)}): an epoch would be chosen on what was learned from, or on test; correct clips of "
            f"{val.name} alone (`valor view SOURCE --data DATA --split {val.name}`)"
        )
    if len(found.clip_ids) < len(val.clip_ids):
        _LOG.warning(
            "%s: %d of %d clips of %s are marked, and the epoch is chosen on these",
            annotations, len(found.clip_ids), len(val.clip_ids), val.name,
        )  # fmt: skip


def split_of_classes(split: Split, class_names: Sequence[str]) -> Split:
    """A split whose truth lies on segments, with some of its classes, in this order."""
    columns = [split.class_names.index(name) for name in class_names]
    arrays = {
        name: array[..., columns]
        for name in ("weak_labels", "truth", "modality_tags")
        if (array := getattr(split, name)) is not None
    }
    unseen = tuple(name for name in split.unseen if name in class_names)
    return replace(split, class_names=tuple(class_names), unseen=unseen, **arrays)


def predictions_of_classes(predictions: Predictions, class_names: Sequence[str]) -> Predictions:
    """Predictions on segments with some of their classes, in this order."""
    columns = [predictions.class_names.index(name) for name in class_names]
    arrays = {
        name: array[..., columns]
        for name, axes in ARRAYS.items()
        if axes[-1] == "classes" and (array := getattr(predictions, name)) is not None
    }
    return replace(predictions, class_names=tuple(class_names), **arrays)


def without_clips(split: Split, others: Collection[str]) -> Split:
    """A split whose truth lies on segments, without some of its clips."""
    rows = [row for row, clip_id in enumerate(split.clip_ids) if clip_id not in others]
    of_clips = ("weak_labels", "truth", "valid", "clip_seconds", "modality_tags")
    arrays = {name: array[rows] for name in of_clips if (array := getattr(split, name)) is not None}
    subsets = {name: of[rows] for name, of in split.subsets.items()}
    return replace(split, clip_ids=tuple(split.clip_ids[row] for row in rows), subsets=subsets, **arrays)


def predictions_without_clips(predictions: Predictions, others: Collection[str]) -> Predictions:
    """Predictions on segments without some of their clips."""
    rows = [row for row, clip_id in enumerate(predictions.clip_ids) if clip_id not in others]
    arrays = {name: array[rows] for name in ARRAYS if (array := getattr(predictions, name)) is not None}
    return replace(predictions, clip_ids=tuple(predictions.clip_ids[row] for row in rows), **arrays)


def left_out(split: Split, class_names: Sequence[str], whose: str) -> list[str]:
    """What is to be said of classes that only one side knows; nothing where both know the same.

    Args:
        split: What is annotated.
        class_names: Those that are predicted.
        whose: What predicts.

    Raises:
        ValueError: They share none.
    """
    only_true = [name for name in split.class_names if name not in class_names]
    only_predicted = [name for name in class_names if name not in split.class_names]
    if len(only_true) == len(split.class_names):
        raise ValueError(f"{whose}: knows none of the annotated classes, {', '.join(split.class_names[:5])}")
    said = []
    if only_true:
        assert split.truth is not None  # of what is scored
        counts = np.count_nonzero(split.truth, axis=tuple(range(split.truth.ndim - 1)))
        marked = {name: int(counts[split.class_names.index(name)]) for name in only_true}
        missed = [name for name, count in marked.items() if count]
        seconds = sum(marked.values()) * split.segment_seconds
        if missed:
            amount = f"with which {seconds:,.0f} s are annotated"
            said.append(f"{whose} does not know {', '.join(missed)}, {amount}; left out of the scores")
    if only_predicted:
        said.append(f"{', '.join(only_predicted)} are in no list of annotated classes and are left out of the scores")
    return said
