"""Few tagged clips: which of them keep their tags when a share is asked for."""

import torch

from valor.data.clips import ClipSet

from .options import FitOptions


def share_rows(clips: int, share: float, seed: int) -> list[int]:
    """Rows of the clips that keep their tags, ascending; those of a smaller share are among those of a larger one.

    Args:
        clips: How many there are.
        share: Of them, above 0 and at most 1; one clip at least is kept.
        seed: Draws them, with a generator of its own.
    """
    order = torch.randperm(clips, generator=torch.Generator().manual_seed(seed))
    return sorted(order[: max(1, round(share * clips))].tolist())


def of_share(train: ClipSet, options: FitOptions) -> ClipSet:
    """The clips of a training set that keep their tags; itself where all do."""
    if options.label_share == 1:
        return train
    return train.take(share_rows(len(train), options.label_share, options.seed))
