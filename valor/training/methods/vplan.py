"""VPLAN: pseudo labels are flipped that a half-trained parser finds abnormally hard.

A pseudo label is flipped if its loss is abnormally large for its track, the segments of one clip, modality and tagged
class: more than a strength times the mean of the lower half of the track's losses. The training set is looked at once,
when the warm-up epochs are over, and the flipped labels are those of the rest of the run.

Source: Zhou et al., arXiv 2303.02344, and its journal version, IJCV 2024, which flip visual labels whenever "abnormally
large forward losses occur", of a network trained on them before. Differences: the parser at the end of the warm-up is
that network, without the paper's richness loss; and a label is only flipped if the parser rather believes the opposite,
without which every label of a confident track would be at risk. The reference loss and the strength are set here; the
papers' exact numbers were not at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .jomold import check_denoising, check_strengths
from .method import Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet


@dataclass(frozen=True, kw_only=True)
class VplanOptions:
    """When the labels are looked at, and how strictly."""

    warmup_epochs: int = 5
    """Epochs trained on the labels as they are, before the parser is asked about them."""
    audio: float = 0.0
    """A heard label is abnormal from this many mean losses of the lower half of its track on; 0 leaves audio alone."""
    visual: float = 10.0
    """The same for a seen label."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        check_strengths(self)


class Vplan(Method[VplanOptions]):
    """Flipped labels."""

    Options = VplanOptions
    excludes = ("jomold",)
    published = "VPLAN"

    def __init__(self, options: VplanOptions) -> None:
        """Keep the options; labels are looked at when training begins."""
        super().__init__(options)
        self.flipped: Tensor | None = None
        """bool [N, T, M, C] of `abnormal_labels`, once the labels were looked at."""

    def check(self, plan: Plan) -> None:
        """Refuse a training without pseudo labels."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.vplan flips pseudo labels, which pseudo_label_weight=0 leaves out; use methods.jomold"
            )
        check_denoising(self.options, plan, "vplan")

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Look at the labels once, in the first epoch after the warm-up, on the weights that would be kept."""
        if self.flipped is not None or epoch <= self.options.warmup_epochs:
            return False
        self.flipped = find_abnormal(run, (self.options.audio, self.options.visual))
        return True

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set with the flipped labels."""
        return train if self.flipped is None else flip_labels(train, self.flipped)

    def state(self) -> dict[str, Tensor]:
        """What is flipped."""
        return {} if self.flipped is None else {"noise": self.flipped}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.flipped = state["noise"]


def find_abnormal(run: Run, strengths: tuple[float, float]) -> Tensor:
    """Ask the parser of a run about the pseudo labels the training set came with; bool [N, T, M, C] on the CPU."""
    import torch

    from ..predict import predict_split

    given = run.given
    if given.pseudo_labels is None:
        raise ValueError("methods.vplan flips pseudo labels, got a training set without")
    probs = torch.from_numpy(predict_split(run.judged, given).segment_probs)
    valid = None if given.valid is None else given.valid.cpu()
    return abnormal_labels(probs, given.pseudo_labels.cpu(), given.weak_labels.cpu(), strengths, valid)


def flip_labels(train: ClipSet, flipped: Tensor) -> ClipSet:
    """The training set with the labels changed that `find_abnormal` found."""
    import torch

    labels, flipped = train.pseudo_labels, flipped.to(train.weak_labels.device)
    if labels is None:
        raise ValueError("methods.vplan flips pseudo labels, got a training set without")
    changed = labels ^ flipped if labels.dtype == torch.bool else torch.where(flipped, 1 - labels, labels)
    return replace(train, pseudo_labels=changed)


def abnormal_labels(
    segment_probs: Tensor,
    labels: Tensor,
    weak_labels: Tensor,
    strengths: tuple[float, float],
    valid: Tensor | None = None,
) -> Tensor:
    """Pseudo labels to flip.

    Args:
        segment_probs: float [N, T, M, C].
        labels: [N, T, M, C], bool or float in [0, 1].
        weak_labels: bool [N, C].
        strengths: Of audio and visual, in mean losses of the lower half of a track; 0 leaves a modality alone.
        valid: bool [N, T], True where a segment exists; None when all do.

    Returns:
        bool [N, T, M, C].
    """
    import torch

    from valor.parsers.losses import log_likelihood

    wanted = labels.to(segment_probs.dtype)
    losses = -log_likelihood(segment_probs, wanted)  # [N, T, M, C]
    if valid is None:
        valid = torch.ones(losses.shape[:2], dtype=torch.bool)
    half = (valid.sum(dim=1) + 1).div(2, rounding_mode="floor")[:, None, None]  # [N, 1, 1], at least 1
    rising = losses.where(valid[:, :, None, None], math.inf).sort(dim=1).values
    lower = torch.arange(losses.shape[1])[:, None, None] < half[:, None]  # [N, T, 1, 1]
    reference = rising.where(lower, 0).sum(dim=1) / half  # [N, M, C]
    factor = torch.tensor(strengths, dtype=losses.dtype)[:, None]
    abnormal = (factor > 0) & (losses > (factor * reference)[:, None])
    opposite = (segment_probs - wanted).abs() > 1 / 2
    return abnormal & opposite & weak_labels[:, None, None] & valid[:, :, None, None]
