"""JoMoLD: tags are taken away from the modality that most likely does not hold them.

A network learns clean labels first, so a label whose loss stays high is likely wrong. A tag that is true of a clip may
be false of one modality. Per modality and class, the noise ratio is the share of tagged clips whose pooled probability
is below a strength times the mean over all clips; the training set is looked at once, when the warm-up epochs are over.
In each batch a modality then loses a tag if the loss of the tag is among the n highest of the tagged clips in this
modality and among the n lowest in the other, n being the noise ratio of the batch's tagged clips, rounded down.

Source: Cheng et al., ECCV 2022, and its code. Differences: there, a network of its own with a contrastive loss and
without cross-modal attention estimates the ratios and gives the losses; here it is the parser itself, and the loss is
that of the step's own pass. There the ratios come in gradually over the first 0.9 epochs; here they come in after the
warm-up. With pseudo labels in the loss, which JoMoLD does not have, those of a lost tag are dropped from the segment
losses with it; feature mix-up, where it is on, blends all pseudo labels, those of lost tags among them. Pseudo labels
know their modality already, so the rule is at home in training on tags alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor


def check_denoising(options: Any, plan: Plan, name: str) -> None:  # noqa: ANN401, of either rule
    """Refuse a warm-up that lasts to the end."""
    if options.warmup_epochs >= plan.fit.epochs:
        raise ValueError(
            f"methods.{name}.warmup_epochs must be fewer than the {plan.fit.epochs} epochs, got {options.warmup_epochs}"
        )


def check_strengths(options: Any) -> None:  # noqa: ANN401, of either rule
    """Refuse a warm-up of no epoch, and strengths that are none."""
    if not isinstance(options.warmup_epochs, int) or options.warmup_epochs < 1:
        raise ValueError(f"warmup_epochs must be a whole number of at least 1, got {options.warmup_epochs!r}")
    for name in ("audio", "visual"):
        if not 0 <= getattr(options, name) < math.inf:
            raise ValueError(f"{name} must not be negative, got {getattr(options, name)}")


@dataclass(frozen=True, kw_only=True)
class JomoldOptions:
    """When the labels are looked at, and how strictly."""

    warmup_epochs: int = 5
    """Epochs trained on the labels as they are, before the parser is asked about them."""
    audio: float = 0.6
    """A heard tag is doubtful below this many mean probabilities; 0 leaves audio alone."""
    visual: float = 1.8
    """The same for a seen tag."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        check_strengths(self)


class Jomold(Method[JomoldOptions]):
    """Tags lost by one modality."""

    Options = JomoldOptions
    excludes = ("vplan",)
    published = "JoMoLD"

    def __init__(self, options: JomoldOptions) -> None:
        """Keep the options; labels are looked at when training begins."""
        super().__init__(options)
        self.ratios: Tensor | None = None
        """float64 [M, C] of `noise_ratios`, once the labels were looked at."""

    def check(self, plan: Plan) -> None:
        """Refuse a training in which no modality is held to tags or labels of its own."""
        if not (plan.fit.pseudo_label_weight or plan.fit.guided_weight):
            raise ValueError(
                "methods.jomold takes labels away from one modality, and the weak loss knows none; set "
                "guided_weight or pseudo_label_weight"
            )
        check_denoising(self.options, plan, "jomold")

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Look at the labels once, in the first epoch after the warm-up, on the weights that would be kept."""
        if self.ratios is None and epoch > self.options.warmup_epochs:
            import torch

            from ..predict import predict_split

            probs = torch.from_numpy(predict_split(run.judged, run.given).modality_probs)
            self.ratios = noise_ratios(probs, run.given.weak_labels.cpu(), (self.options.audio, self.options.visual))
        return False

    def charge(self, charge: Charge) -> Charge:
        """Take the lost tags of the batch away."""
        if self.ratios is None:
            return charge
        self.ratios = self.ratios.to(charge.weak_labels.device)
        smoothing = (charge.options.audio_smoothing, charge.options.visual_smoothing)
        kept = ~lost_tags(charge.output.modality_probs, charge.weak_labels, self.ratios, smoothing)
        return replace(charge, kept=kept if charge.kept is None else kept & charge.kept)

    def state(self) -> dict[str, Tensor]:
        """The noise ratios."""
        return {} if self.ratios is None else {"noise": self.ratios}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self.ratios = state["noise"]


def noise_ratios(modality_probs: Tensor, weak_labels: Tensor, strengths: tuple[float, float]) -> Tensor:
    """Share of the clips tagged with a class in which a modality hardly shows it.

    Args:
        modality_probs: float [N, M, C].
        weak_labels: bool [N, C].
        strengths: Of audio and visual, in means over all clips.

    Returns:
        float64 [M, C] in [0, 1]; 0 for a class no clip is tagged with.
    """
    import torch

    probs, tagged = modality_probs.double(), weak_labels[:, None]
    doubtful = tagged & (probs < torch.tensor(strengths).double()[:, None] * probs.mean(dim=0))  # [N, M, C]
    return doubtful.sum(dim=0) / tagged.sum(dim=0).clamp_min(1).double()


def lost_tags(
    modality_probs: Tensor, weak_labels: Tensor, ratios: Tensor, smoothing: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Tags a modality of the clips of a batch is to lose.

    Args:
        modality_probs: float [B, M, C], of this step.
        weak_labels: float [B, C] of 0 and 1.
        ratios: float64 [M, C], of `noise_ratios`.
        smoothing: Of the tags the losses are taken against, see `valor.parsers.losses.smoothed_tags`.

    Returns:
        bool [B, M, C], only where the clip is tagged.
    """
    from valor.parsers.losses import log_likelihood, smoothed_tags

    tagged = (weak_labels > 1 / 2)[:, None]  # [B, 1, C]
    losses = -log_likelihood(modality_probs.detach(), smoothed_tags(weak_labels, smoothing))  # [B, M, C]
    count = (ratios * tagged.sum(dim=0)).floor()  # [M, C]
    from_top = _ranks(losses.masked_fill(~tagged, -math.inf), descending=True)
    from_bottom = _ranks(losses.masked_fill(~tagged, math.inf), descending=False)
    return tagged & (from_top < count) & (from_bottom.flip(1) < count)


def _ranks(values: Tensor, *, descending: bool) -> Tensor:
    """Place of each clip among those of the batch, from 0."""
    return values.argsort(dim=0, descending=descending, stable=True).argsort(dim=0)
