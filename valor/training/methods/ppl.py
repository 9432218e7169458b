"""PPL as far as it is described: segments are labelled by their likeness to prototypes of the classes.

What is known of it are three clauses in papers of others: prototypes are made within HAN, segment labels come from the
likeness of a segment's features to them, and a contrast holds features to their prototypes; no teacher is asked. All
below is set here. With f the encoded segment of modality m, of unit length, once the warm-up epochs are over and anew
before each epoch,

    c_mk = unit(mean of f over segments of clips tagged k, each weighing its own probability p_mk)
    l_mk = y_k sigmoid((cos(f, c_mk) - mean_mk) / (temperature deviation_mk))

where mean and deviation are those of cos(f, c_mk) over the segments of clips tagged k. The loss has beside VALOR's own
terms the cross-entropy of segments with l, and the mean of -log softmax_k(cos(f, c_mk) / contrast_temperature) over
labelled segments (l above 1/2).

Source: PPL, CVPR 2024, whose formulas were not to be had; no code was seen. Its row is not claimed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PplOptions:
    """All of it ours."""

    warmup_epochs: int = 10
    """Epochs before there are prototypes."""
    temperature: float = 0.5
    """Of the labels, in deviations of the likeness; the lower, the harder."""
    contrast_temperature: float = 0.2
    """Of the likeness among classes."""
    label_weight: float = 1.0
    """Of the cross-entropy with the labels, against the weak loss."""
    contrast_weight: float = 0.1
    """Of the contrast, against the weak loss."""

    def __post_init__(self) -> None:
        """Refuse what is no temperature or weight."""
        for name in ("temperature", "contrast_temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_epochs", "label_weight", "contrast_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Ppl(Method[PplOptions]):
    """Labels by prototypes, and the two losses."""

    Options = PplOptions
    excludes = (
        *("uwav", "jomold", "vplan", "supervised", "mug", "windows"),
        *("avel", "nrep", "cmpae", "mm-cse", "leap", "coleaf"),
    )

    def __init__(self, options: PplOptions) -> None:
        """Keep the options; prototypes are made before each epoch behind the warm-up."""
        super().__init__(options)
        self.prototypes: Tensor | None = None
        """float [M, C, D], of unit length."""
        self.labels: dict[str, Tensor] = {}
        """float16 [T, M, C] by clip."""

    def check(self, plan: Plan) -> None:
        """Refuse labels of teachers, which it does without, and a training that ends before it begins."""
        if plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.ppl labels segments itself, got pseudo_label_weight="
                f"{plan.fit.pseudo_label_weight:g}; set it to 0"
            )
        if self.options.warmup_epochs >= plan.fit.epochs:
            raise ValueError(
                f"methods.ppl.warmup_epochs must be less than fit.epochs={plan.fit.epochs}, got "
                f"{self.options.warmup_epochs}; with so few, say methods.ppl.warmup_epochs={plan.fit.epochs // 2} too"
            )

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Make prototypes and labels with the weights of now."""
        if epoch > self.options.warmup_epochs:
            features, probs = answers(run)
            given = run.given
            tags, valid = given.weak_labels.to(features.device), given.valid
            self.prototypes = prototypes(features, probs, tags, valid)
            found = prototype_labels(features, self.prototypes, tags, self.options.temperature, valid).half()
            self.labels = dict(zip(given.clip_ids, found, strict=True))
        return False

    def charge(self, charge: Charge) -> Charge:
        """The two losses, once there are prototypes."""
        if self.prototypes is None:
            return charge
        charge = charge.plus("prototype_segments", self.options.label_weight, self._segments)
        return charge.plus("prototype_contrast", self.options.contrast_weight, self._contrast)

    def _wanted(self, charge: Charge) -> Tensor:
        import torch

        held = torch.stack([self.labels[clip] for clip in charge.batch.clip_ids])
        return held[:, : charge.output.segment_logits.shape[1]].to(charge.output.segment_logits)

    def _segments(self, charge: Charge) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        logits, wanted, valid = charge.output.segment_logits, self._wanted(charge), charge.batch.valid
        if valid is not None:
            logits, wanted = logits[valid], wanted[valid]
        return 2 * binary_cross_entropy_with_logits(logits, wanted)  # the sum over modalities of their means

    def _contrast(self, charge: Charge) -> Tensor:
        assert self.prototypes is not None  # asked in `charge`
        likeness = likenesses(charge.output.features, self.prototypes.to(charge.output.features))
        picked = (self._wanted(charge) > 1 / 2).to(likeness)
        if charge.batch.valid is not None:
            picked = picked * charge.batch.valid[:, :, None, None]
        lost = -(likeness / self.options.contrast_temperature).log_softmax(dim=-1)
        return (picked * lost).sum() / picked.sum().clamp_min(1)


def answers(run: Run) -> tuple[Tensor, Tensor]:
    """What the parser makes of the training set: features [N, T, M, D] and probabilities [N, T, M, C]."""
    import torch

    parser, given = run.judged, run.given
    was_training = parser.training
    parser.eval()
    features, probs = [], []
    with torch.no_grad():
        for start in range(0, len(given), run.options.batch_size):
            batch = given.batch(torch.arange(start, min(start + run.options.batch_size, len(given))))
            output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
            lacking = given.audio.shape[1] - output.features.shape[1]  # of a batch of shorter clips
            pad = (0, 0, 0, 0, 0, lacking)
            features.append(torch.nn.functional.pad(output.features, pad))
            probs.append(torch.nn.functional.pad(output.segment_logits.sigmoid(), pad))
    parser.train(was_training)
    return torch.cat(features), torch.cat(probs)


def likenesses(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosines, [.., M, C] of features [.., M, D] and prototypes [M, C, D]."""
    import torch
    from torch.nn.functional import normalize

    return torch.einsum("...md,mcd->...mc", normalize(features, dim=-1), prototypes)


def prototypes(features: Tensor, probs: Tensor, tags: Tensor, valid: Tensor | None = None) -> Tensor:
    """Of each modality and class, [M, C, D] of unit length; zeros for a class no clip is tagged with.

    Args:
        features: float [N, T, M, D].
        probs: float [N, T, M, C].
        tags: bool [N, C].
        valid: bool [N, T]; None where all segments exist.
    """
    import torch
    from torch.nn.functional import normalize

    weights = probs * tags[:, None, None]
    if valid is not None:
        weights = weights * valid[:, :, None, None]
    return normalize(torch.einsum("ntmc,ntmd->mcd", weights, normalize(features, dim=-1)), dim=-1)


def prototype_labels(
    features: Tensor, prototypes: Tensor, tags: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """Labels float [N, T, M, C] in [0, 1], 0 where a clip is not tagged; arguments as for `prototypes`."""
    import torch

    likeness = likenesses(features, prototypes)
    counts = tags[:, None, None].expand(likeness.shape)
    if valid is not None:
        counts = counts & valid[:, :, None, None]
    number = counts.sum(dim=(0, 1)).clamp_min(1)
    mean = torch.where(counts, likeness, 0).sum(dim=(0, 1)) / number  # [M, C]
    deviation = (torch.where(counts, likeness - mean, 0).square().sum(dim=(0, 1)) / number).sqrt().clamp_min(1e-6)
    return torch.where(counts, ((likeness - mean) / (temperature * deviation)).sigmoid(), 0)
