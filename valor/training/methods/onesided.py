"""Modality dropout: now and then a clip is silent, or its picture is gone, and only what is left is asked for.

A clip that loses a modality keeps the labels of the other and is tagged with what is labelled there. Features of what
is gone are 0, which no teacher gives, so that the parser learns what nothing looks like:

    x_m = 0 and A_m = 0 with probability p_m, never both;   tags = any over time of the labels of the other

Source:
    Ours, after the modality dropout of ModDrop (Neverova et al., 2016), from memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .method import Method, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import Batch


@dataclass(frozen=True, kw_only=True)
class OnesidedOptions:
    """How often."""

    silent: float = 0.15
    """Probability that a clip is without sound."""
    dark: float = 0.15
    """Probability that it is without picture."""

    def __post_init__(self) -> None:
        """Refuse what is no probability, or would do nothing."""
        if not (self.silent >= 0 and self.dark >= 0 and 0 < self.silent + self.dark <= 1):
            raise ValueError(
                "silent and dark must be probabilities that sum to more than 0 and at most 1, got "
                f"{self.silent} and {self.dark}"
            )


class Onesided(Method[OnesidedOptions]):
    """Clips with one modality."""

    Options = OnesidedOptions
    excludes = ("jomold", "vplan", "cmpae", "nrep", "coleaf", "leap", "avel", "localiser", "generator", "supervised")
    """Losses that assume that the tracks of a clip are of one scene, and labels of their own."""

    def check(self, plan: Plan) -> None:
        """Refuse a training without labels of each modality."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.onesided leaves the labels of one modality, which fit.pseudo_label_weight=0 leaves out; give "
                "them a weight"
            )

    def batch(self, batch: Batch) -> Batch:
        """Some clips without their sound, some without their picture."""
        import torch

        if batch.pseudo_labels is None:
            raise ValueError("methods.onesided leaves the labels of one modality, and this training set has none")
        drawn = torch.rand(len(batch.clip_ids)).to(batch.audio.device)
        kept = torch.stack((drawn >= self.options.silent, drawn < 1 - self.options.dark), dim=1)  # [B, M]
        return with_kept(batch, kept)


def with_kept(batch: Batch, kept: Tensor) -> Batch:
    """The clips with the modalities that are True in bool [B, M] alone, one at least."""
    assert batch.pseudo_labels is not None  # asked before
    labels = batch.pseudo_labels * kept[:, None, :, None]
    tags = (labels > 1 / 2).any(dim=1)  # [B, M, C]
    whole = kept.all(dim=1)
    heard, seen = (kept[:, m, None, None] for m in (0, 1))
    return replace(
        batch,
        audio=batch.audio * heard,
        visual=batch.visual * seen,
        motion=None if batch.motion is None else batch.motion * seen,
        pseudo_labels=labels,
        weak_labels=batch.weak_labels.where(whole[:, None], tags.any(dim=1).to(batch.weak_labels)),
        modality_tags=None if batch.modality_tags is None else batch.modality_tags * kept[:, :, None],
    )
