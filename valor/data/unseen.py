"""Classes that training leaves out, and arrays that know nothing of them. Nothing here waits for torch."""

from collections.abc import Collection, Sequence

import numpy as np

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import place_of

from .names import join_names, name_splitter
from .vocabulary import class_names, is_file, vocabulary_file


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


def widened(array: np.ndarray, held: Sequence[str], names: Collection[str]) -> np.ndarray:
    """An array [..., held classes] on the axis of others, 0 for those nothing is known of."""
    place = {name: index for index, name in enumerate(held)}
    found = np.zeros((*array.shape[:-1], len(names)), array.dtype)
    for index, name in enumerate(names):
        if name in place:
            found[..., index] = array[..., place[name]]
    return found
