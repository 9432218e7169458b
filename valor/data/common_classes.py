"""Corrections that know more classes than what is scored on them, or fewer: both are brought to those they share."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .predictions import ARRAYS, Predictions
from .tables import Split

JOURNAL = "journal.jsonl"
"""What was saved, one JSON object a line, in a folder of corrections, which is known by it."""


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
        columns = [split.class_names.index(name) for name in only_true]
        seconds = int(np.count_nonzero(split.truth[..., columns])) * split.segment_seconds
        said.append(
            f"{whose} does not know {', '.join(only_true)}, with which {seconds:,.0f} s are annotated; left out of the "
            "scores"
        )
    if only_predicted:
        said.append(f"{', '.join(only_predicted)} are in no list of annotated classes and are left out of the scores")
    return said
