"""What happens in clips that are only tagged: tracks lent by annotated clips with the same tags.

A tagged clip borrows from the annotated clips that share most of its tags, the whole of them at once where one has
them all, so that which modality holds a tag, when it begins and ends, what is heard while it is seen and what occurs
together are those of the annotated clips. A tag without an event and an event without a tag are lent likewise.
"""

import numpy as np

from valor.data.tables import Split
from valor.eval.events import BoolArray


def lent_truth(tags: BoolArray, lenders: Split, rng: np.random.Generator) -> BoolArray:
    """Draw what happens in clips given their tags.

    Args:
        tags: bool [N, C] of the clips.
        lenders: Clips of the same classes with dense truth.
        rng: Which of several lenders lends.

    Returns:
        bool [N, T, M, C]. A class that no lender is tagged with happens as some class of some lender does.
    """
    assert lenders.truth is not None  # asked for by every caller
    held, truth = lenders.weak_labels, lenders.truth
    found = np.zeros((len(tags), *truth.shape[1:]), np.bool_)
    lists: dict[bytes, list[tuple[BoolArray, BoolArray]]] = {}  # per tag set: what is asked, and who lends most of it
    for row, asked in enumerate(tags):
        key = asked.tobytes()
        if key not in lists:
            lists[key] = _shares(asked, held)
        for part, lending in lists[key]:
            lender = int(rng.choice(np.flatnonzero(lending)))
            given = part if (held[lender] & ~asked).any() else part | ~held[lender]
            found[row] |= truth[lender] & given
    for row, event_class in np.argwhere(tags & ~held.any(axis=0)):
        lender = int(rng.integers(len(held)))
        other = int(rng.choice(np.flatnonzero(held[lender])))
        found[row, :, :, event_class] = truth[lender, :, :, other]
    return found


def _shares(asked: BoolArray, held: BoolArray) -> list[tuple[BoolArray, BoolArray]]:
    """Parts of a tag set, each with the clips that may lend it: the largest that any clip has, then of the rest."""
    shares = []
    left = asked & held.any(axis=0)
    while left.any():
        common = (held & left).sum(axis=1)
        best = np.flatnonzero(common == common.max())
        strangers = (held[best] & ~asked).sum(axis=1)
        best = best[strangers == strangers.min()]  # nobody is heard or seen that no tag speaks of, if it can be helped
        part = held[best[0]] & left
        shares.append((part, (held & left == part).all(axis=1) & np.isin(np.arange(len(held)), best)))
        left = left & ~part
    return shares
