"""Few tagged clips: which of them keep their tags when a share is asked for."""

import logging

import torch

from valor.data.clips import ClipSet

from .options import FitOptions

_LOG = logging.getLogger(__name__)


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


def note_fewer_steps(trained: int, clips: int, options: FitOptions) -> None:
    """Say how few steps a training on a share of the tags has; as many epochs of all clips are more training.

    Args:
        trained: Clips it trains on, those without tags among them.
        clips: All clips of the training split.
        options: Of the training.
    """
    few, all_of_them = map(options.steps_of_epoch, (trained, clips))
    if options.label_share < 1 and few < all_of_them:
        _LOG.info(
            "%d of %d clips have tags: %d steps in %d epochs, where all clips, tagged or not, give %d; "
            "fit.epoch_steps=%d trains as long, and `valor pretrain-bench` compares trainings of as many steps",
            trained,
            clips,
            few * options.epochs,
            options.epochs,
            all_of_them * options.epochs,
            all_of_them,
        )
