"""Classes that training leaves out: which they are, and clips on the axis of some classes alone."""

from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from valor.label_harvest.places.place import place_of

from .clips import ClipSet
from .names import join_names, name_splitter
from .vocabulary import class_names, did_you_mean, is_file, vocabulary_file

_BY_CLASS = ("weak_labels", "modality_tags", "pseudo_labels", "truth")
"""Tensors of a ClipSet whose last axis are classes."""


def named_unseen(typed: str | Sequence[str], names: Sequence[str], own: Sequence[str] = ()) -> tuple[str, ...]:
    """The classes that somebody calls unseen, in the order of all.

    Args:
        typed: Names, with commas between them or as a list; a vocabulary file; or nothing, for those of the data set.
        names: All classes.
        own: What the data set calls unseen.

    Raises:
        ValueError: A name is none of the classes, there is none, or nothing but unseen ones.
    """
    text = typed if isinstance(typed, str) else ",".join(typed)
    by_file = is_file(text)
    given = list(class_names(vocabulary_file(place_of(text)))) if by_file else name_splitter(names)(text)
    found = given or list(own)
    if not found:
        raise ValueError(
            "unseen must name classes, since the data set has none that are unseen in training; give names with commas "
            "between them, or a vocabulary file"
        )
    if strangers := [name for name in found if name not in names]:
        raise ValueError(
            f"unseen must be of the classes of the tables ({join_names(names[:5])}, ...), got "
            f"{join_names(strangers)}{did_you_mean(strangers[0], names)}"
        )
    if set(found) == set(names):
        raise ValueError(f"unseen must leave a class to be seen, got all {len(names)}")
    return tuple(name for name in names if name in set(found))


def of_classes(clips: ClipSet, names: Sequence[str], *, emptied: bool = True) -> ClipSet:
    """Clips with the tags and labels of some classes alone.

    Args:
        clips: The clips.
        names: Classes to keep, in their new order.
        emptied: Whether clips that had other tags alone stay, without any.

    Raises:
        ValueError: A name is none of the classes, or no clip is left.
    """
    kept = [clips.class_names.index(name) for name in names]
    tensors = {entry.name: getattr(clips, entry.name) for entry in fields(clips) if entry.name in _BY_CLASS}
    taken: dict[str, Any] = {name: of[..., kept] for name, of in tensors.items() if of is not None}
    events = clips.events
    if events is not None:
        place = {index: position for position, index in enumerate(kept)}
        rows = np.flatnonzero(np.isin(events.class_index, kept))
        moved = np.array([place[index] for index in events.class_index[rows].tolist()], np.int64)
        events = replace(events.at(rows), class_index=moved)
    found = replace(clips, class_names=tuple(names), events=events, **taken)
    if emptied:
        return found
    stays = found.weak_labels.any(dim=1) | ~clips.weak_labels.any(dim=1)
    if not stays.any():
        raise ValueError("unseen must leave clips to be seen, got classes without which no clip has a tag")
    return found if stays.all() else found.take(stays.nonzero().flatten().tolist())


def widened(array: np.ndarray, held: Sequence[str], names: Collection[str]) -> np.ndarray:
    """An array [..., held classes] on the axis of others, 0 for those nothing is known of."""
    place = {name: index for index, name in enumerate(held)}
    found = np.zeros((*array.shape[:-1], len(names)), array.dtype)
    for index, name in enumerate(names):
        if name in place:
            found[..., index] = array[..., place[name]]
    return found
