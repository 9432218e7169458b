"""UWAV: classes a clip has weigh more in the segment losses, encoded segments are mixed, and decisions are strict.

Lai et al., CVPR 2025. Its soft labels are of a generator trained on densely labelled clips of other classes
(`valor.training.judge`), or of any teachers (`valor labels --soft`); its network is five hybrid layers behind the
stem `perceptron`, as the recipe `uwav` has them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .method import Charge, Method, Plan

if TYPE_CHECKING:
    from torch import Tensor, nn

    from valor.data.clips import ClipSet
    from valor.eval.decide import PostProcessing


@dataclass(frozen=True, kw_only=True)
class UwavOptions:
    """Both parts are off unless named; `methods.uwav=on` is the published method."""

    class_balance: float = 0.0
    """W of the class-balanced re-weighting of the segment losses, there 0.5; 0 weighs all classes alike."""
    mixup_alpha: float = 0.0
    """Alpha of the feature mix-up, there 1.7; 0 mixes nothing."""
    mixup_weight: float = 1.0
    """Weight of the mix-up loss against the weak loss; UWAV has 1."""
    mixup_rounded_up: bool = False
    """Mix labels of 1 wherever soft labels are above 0, as UWAV does on AVE (80.6 there, and 80.3 without)."""

    strict: bool = False
    """Whether probabilities must exceed their thresholds, as there, where reaching them is the rule elsewhere."""

    def __post_init__(self) -> None:
        """Refuse strengths that are none."""
        for name in ("class_balance", "mixup_alpha", "mixup_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Uwav(Method[UwavOptions]):
    """Re-weighting, mix-up, and the strict decision."""

    Options = UwavOptions
    published = "UWAV"

    def __init__(self, options: UwavOptions) -> None:
        """Keep the options; labels are looked at when training begins."""
        super().__init__(options)
        self.balance: Tensor | None = None
        """float64 [M, 2] of `balance_weights`."""

    @classmethod
    def on(cls) -> UwavOptions:
        """As published."""
        return UwavOptions(class_balance=0.5, mixup_alpha=1.7, strict=True)

    def check(self, plan: Plan) -> None:
        """Refuse a training without pseudo labels."""
        for name in ("class_balance", "mixup_alpha"):
            if getattr(self.options, name) and not plan.fit.pseudo_label_weight:
                raise ValueError(
                    f"methods.uwav.{name} acts on the pseudo labels, which pseudo_label_weight=0 leaves out, got "
                    f"{getattr(self.options, name)}; set it to 0"
                )

        if self.options.mixup_alpha and plan.parser.head != "rows":
            raise ValueError(
                "methods.uwav.mixup_alpha mixes segments before a classifier of rows, got parser.head="
                f"{plan.parser.head}; set it to 0"
            )

    def use_labels(self, train: ClipSet) -> None:
        """Count the classes of a segment."""
        if self.options.class_balance and train.pseudo_labels is not None:
            self.balance = balance_weights(train.pseudo_labels, self.options.class_balance, train.valid)

    def charge(self, charge: Charge) -> Charge:
        """Weigh the segment losses, and add the loss of mixed segments."""
        if self.balance is not None:
            import torch

            is_tagged = (charge.weak_labels > 1 / 2)[:, None, None]  # [B, 1, 1, C]
            logits = charge.output.segment_logits
            tagged, other = self.balance.to(logits)[:, :, None].unbind(1)  # [M, 1] each
            charge = replace(charge, segment_weights=torch.where(is_tagged, tagged, other))  # [B, 1, M, C]
        if self.options.mixup_alpha and charge.pseudo_labels is not None:
            charge = charge.plus("mixed", self.options.mixup_weight, self._mixed)
        return charge

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """Strictly."""
        return replace(rule, comparison="exceed", preset=None) if self.options.strict else rule

    def _mixed(self, charge: Charge) -> Tensor:
        assert charge.pseudo_labels is not None  # asked before the term was added
        features, classifier = charge.output.features, charge.parser.classifier
        labels = charge.pseudo_labels.ceil() if self.options.mixup_rounded_up else charge.pseudo_labels
        return mixup_loss(features, labels, classifier, self.options.mixup_alpha, charge.batch.valid)


def balance_weights(pseudo_labels: Tensor, strength: float, valid: Tensor | None = None) -> Tensor:
    """Weights of the segment losses that even out the few classes a clip has and the many it has not.

    With f the mean number of labelled classes of a segment, the classes among the tags of a clip weigh
    strength * (C - f), all others f.

    Args:
        pseudo_labels: [N, T, M, C] of the training set, bool, or float in [0, 1] and then labelled above 1/2.
        strength: W, the weight of tagged classes against the others.
        valid: bool [N, T], True where a segment exists; None when all do.

    Returns:
        float64 [M, 2]: for each modality the weight of a tagged class, and of any other.

    Source:
        UWAV, section 4.4, equations 17 to 19, W 0.5; what is tagged decides, not what the pseudo
        label says. As in its code, and unlike equations 18 and 19, the weights are not divided by the number of
        classes, which would leave hardly anything of the segment losses beside the weak loss.
    """
    import torch

    labelled = pseudo_labels if pseudo_labels.dtype == torch.bool else pseudo_labels > 1 / 2
    labelled = labelled.flatten(0, 1) if valid is None else labelled[valid]  # [segments, M, C]
    found = labelled.sum(dim=(0, 2)).double() / len(labelled)  # [M]
    return weights_by_frequency(found, pseudo_labels.shape[-1], strength)


def weights_by_frequency(found: Tensor, num_classes: int, strength: float) -> Tensor:
    """The same weights, float [M, 2], from the mean number of labelled classes of a segment, float [M].

    With them the segment losses equal those of the golden `uwav_han_ave` (segment_soft_inverse_freq).
    """
    import torch

    return torch.stack((strength * (num_classes - found), found), dim=1)


def mixup_loss(
    features: Tensor, labels: Tensor, classifier: nn.Module, alpha: float, valid: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of blended segments with equally blended labels, summed over audio and visual.

    In each modality every segment i of the batch is blended with a partner j(i), a random permutation of all segments
    of all clips: s * x_i + (1 - s) * x_j for features and labels, with one share s ~ Beta(alpha, alpha) per modality
    and step. The classifier alone sees the blends, so the mixing happens after the encoder and regularises it through
    its features.

    Args:
        features: float [B, T, M, D], the encoded streams.
        labels: float [B, T, M, C] in [0, 1], hard or soft pseudo labels; all of them, also of tags a modality has lost
            to the rule of `valor.training.methods.jomold`.
        classifier: From features [.., D] to logits [.., C].
        alpha: Of the Beta distribution; positive.
        valid: bool [B, T], True where a segment exists; None when all do. Others take no part.

    Returns:
        Scalar, the sum over modalities of the mean over segments and classes. Draws from torch's global generators.

    Source:
        UWAV, section 4.3, equations 14 to 16, alpha 1.7. That the features are the encoder's output and that one share
        is drawn for a whole batch is in its code.
    """
    import torch

    total = features.new_zeros(())
    for encoded, wanted in zip(features.unbind(2), labels.unbind(2), strict=True):
        x, y = (encoded.flatten(0, 1), wanted.flatten(0, 1)) if valid is None else (encoded[valid], wanted[valid])
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        partner = torch.randperm(len(x)).to(x.device)
        total = total + blend_loss(x, y, classifier, share, partner)
    return total


def blend_loss(features: Tensor, labels: Tensor, classifier: nn.Module, share: float, partner: Tensor) -> Tensor:
    """The loss of the blends of one modality.

    Args:
        features: float [segments, D].
        labels: float [segments, C] in [0, 1].
        classifier: From features [segments, D] to logits [segments, C].
        share: What each segment keeps of itself.
        partner: int64 [segments], whom the rest comes from.

    Returns:
        Scalar, the mean over segments and classes; equal to the golden `uwav_han_ave` (mixup_hard, mixup_soft).
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = classifier(torch.lerp(features[partner], features, share))
    return binary_cross_entropy_with_logits(logits, torch.lerp(labels[partner], labels, share))
