"""MUG's recombination of clips: the sound of one with the picture of another, each with its own labels.

Clips are shuffled into one cycle, and each takes the picture (and motion) of the next: nobody is its own partner, and
every track is used once more. A pair is tagged with what was labelled in either track, not with the tags of both
clips: a tag no teacher found would ask for evidence that is in neither. Pairs without any tag are left out. This breaks
the habit that both modalities hold the same events.

    labels of a pair (i, j): audio A_i, visual V_j;  tags: any over time of A_i and V_j

Source:
    MUG, ICCV 2025, of which a third party's summary was read and no code is public. The cycle, the tags of a pair, the
    pairs left out and a new cycle in every epoch are our definition of what it says; the summary has several volumes
    of pairs and finds about as many as there are originals best. Its row is of a network of its own (AV-Mamba), which
    is too vaguely described to be built, so this names none. Off here: to accept pairs so that the number of tags has
    the distribution of the originals ("following the actual distribution"), which is not described either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .method import Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet

MOST = 1.2
"""Pairs for each original, at most; in the published ablation more only hurt."""


@dataclass(frozen=True, kw_only=True)
class MugOptions:
    """How many pairs."""

    volume: float = 1.0
    """Pairs for each original clip, before those without a tag are left out."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing, or more than was ever tried."""
        if not 0 < self.volume <= MOST:
            raise ValueError(f"volume must be above 0 and at most {MOST:g}, got {self.volume}")


class Mug(Method[MugOptions]):
    """Originals and pairs, shuffled together, with new pairs in every epoch."""

    Options = MugOptions
    excludes = ("jomold", "vplan", "cmpae", "nrep", "coleaf", "leap")
    """Losses that assume that the tracks of a clip are of one scene, or that look at the clips as they were given."""

    def __init__(self, options: MugOptions) -> None:
        """Keep the options; clips are drawn before each epoch."""
        super().__init__(options)
        self.pairs: tuple[Tensor, Tensor] | None = None
        """Rows of the clips that are heard and of those that are seen in this epoch's pairs."""

    def check(self, plan: Plan) -> None:
        """Refuse a training that has no labels to tell the tracks apart."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.mug pairs tracks by their pseudo labels, which fit.pseudo_label_weight=0 leaves out; give "
                "them a weight"
            )

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Draw the pairs of the epoch."""
        import torch

        count = len(run.given)
        if count < 2:
            raise ValueError(f"methods.mug pairs clips with one another, got {count}")
        heard, seen = [], []
        wanted = round(self.options.volume * count)
        while wanted > 0:
            order = torch.randperm(count)
            heard.append(order[:wanted])
            seen.append(partners(order)[order[:wanted]])
            wanted -= count
        self.pairs = torch.cat(heard), torch.cat(seen)
        return True

    def clips(self, train: ClipSet) -> ClipSet:
        """The originals with the pairs behind them."""
        return train if self.pairs is None else with_pairs(train, *self.pairs)


def partners(order: Tensor) -> Tensor:
    """Whose picture each clip takes, int64 [N], where `order` int64 [N] is the cycle."""
    import torch

    found = torch.empty_like(order)
    found[order] = order.roll(-1)
    return found


def pair_labels(labels: Tensor, heard: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Labels and tags of pairs.

    Args:
        labels: [N, T, M, C] pseudo labels, bool, or float in 0..1 and then tags where above 1/2.
        heard: int64 [P], rows of the clips whose sound is taken.
        seen: int64 [P], rows of those whose picture is.

    Returns:
        Labels [P, T, M, C] as they were given, and tags bool [P, C]; a pair without any tag is to be left out.
    """
    import torch

    paired = torch.stack((labels[heard, :, 0], labels[seen, :, 1]), dim=2)
    hard = paired if paired.dtype == torch.bool else paired > 1 / 2
    return paired, hard.flatten(1, 2).any(dim=1)


def with_pairs(train: ClipSet, heard: Tensor, seen: Tensor) -> ClipSet:
    """A training set with pairs of its clips behind them; those of unequal length last as long as the shorter.

    Raises:
        ValueError: There are no pseudo labels.
    """
    import torch

    if train.pseudo_labels is None:
        raise ValueError("methods.mug pairs tracks by their pseudo labels, and this training set has none")
    heard, seen = heard.to(train.audio.device), seen.to(train.audio.device)
    labels, tags = pair_labels(train.pseudo_labels, heard, seen)
    valid = None if train.valid is None else train.valid[heard] & train.valid[seen]
    if valid is not None:
        labels = labels * valid[:, :, None, None]
        tags = (labels if labels.dtype == torch.bool else labels > 1 / 2).flatten(1, 2).any(dim=1)
    in_modality = (labels if labels.dtype == torch.bool else labels > 1 / 2).any(dim=1)  # [P, M, C]
    kept = tags.any(dim=1)
    heard, seen = heard[kept], seen[kept]
    names = tuple(
        f"{train.clip_ids[i]}+{train.clip_ids[j]}" for i, j in zip(heard.tolist(), seen.tolist(), strict=True)
    )
    more: Mapping[str, Tensor | None] = {
        "audio": train.audio[heard],
        "visual": train.visual[seen],
        "motion": None if train.motion is None else train.motion[seen],
        "weak_labels": tags[kept],
        "modality_tags": None if train.modality_tags is None else in_modality[kept],
        "pseudo_labels": labels[kept],
        "valid": None if valid is None else valid[kept],
    }
    joined: dict[str, Any] = {
        name: torch.cat((getattr(train, name), tensor)) for name, tensor in more.items() if tensor is not None
    }
    return replace(train, clip_ids=train.clip_ids + names, truth=None, **joined)
