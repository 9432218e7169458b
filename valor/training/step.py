"""One training step: a batch through the parser, its losses, and the optimiser.

Feature mix-up: pairs of encoded segments of a batch, blended together with their labels.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from valor.data.clips import Batch
from valor.parsers.hybrid import HybridParser, ParserOutput
from valor.parsers.losses import LossTerms, loss_terms, total_loss

from .denoise import lost_tags
from .options import FitOptions, TrainingError


def mixup_loss(
    features: Tensor, labels: Tensor, classifier: torch.nn.Module, alpha: float, valid: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of blended segments with equally blended labels, summed over audio and visual.

    In each modality every segment i of the batch is blended with a partner j(i), a random permutation of all segments
    of all clips: s * x_i + (1 - s) * x_j for features and labels, with one share s ~ Beta(alpha, alpha) per modality
    and step. The classifier alone sees the blends, so the mixing happens after the encoder and regularises it through
    its features.

    Args:
        features: float [B, T, M, D], the encoded streams.
        labels: float [B, T, M, C] in [0, 1], hard or soft pseudo labels; all of them, also of tags a modality has lost
            to the rule jomold of `valor.training.denoise`.
        classifier: From features [.., D] to logits [.., C].
        alpha: Of the Beta distribution; positive.
        valid: bool [B, T], True where a segment exists; None when all do. Others take no part.

    Returns:
        Scalar, the sum over modalities of the mean over segments and classes. Draws from torch's global generators.

    Source:
        UWAV, Lai et al., CVPR 2025, section 4.3, equations 14 to 16, alpha 1.7. That the features are the encoder's
        output and that one share is drawn for a whole batch is in its code.
    """
    total = features.new_zeros(())
    for encoded, wanted in zip(features.unbind(2), labels.unbind(2), strict=True):
        x, y = (encoded.flatten(0, 1), wanted.flatten(0, 1)) if valid is None else (encoded[valid], wanted[valid])
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        partner = torch.randperm(len(x)).to(x.device)
        logits = classifier(torch.lerp(x[partner], x, share))  # [segments, C]
        total = total + functional.binary_cross_entropy_with_logits(logits, torch.lerp(y[partner], y, share))
    return total


class Step(NamedTuple):
    """What one training step reports; scalars on the parser's device."""

    terms: LossTerms
    """Before weighting, and before the step."""
    total: Tensor
    """Their weighted sum, which the gradient is of."""
    grad_norm: Tensor
    """Before clipping."""


@dataclass(frozen=True)
class Extras:
    """What a step takes from the whole training set, where an option asks for it; on the parser's device."""

    balance: Tensor | None = None
    """float32 [M, 2] of `valor.parsers.losses.balance_weights`."""
    noise_ratios: Tensor | None = None
    """float64 [M, C] of `valor.training.denoise.noise_ratios`."""


NO_EXTRAS = Extras()
"""All of VALOR's options: nothing."""


def build_optimiser(parser: HybridParser, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimiser over every parameter; the rate is set at the start of each epoch."""
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    return kind(
        parser.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        weight_decay=options.weight_decay,
        fused=True,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter the step size of the epoch."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def train_step(
    parser: HybridParser,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    options: FitOptions,
    extras: Extras = NO_EXTRAS,
) -> Step:
    """Take one step on one batch.

    Args:
        parser: In training mode; changed in place.
        batch: On the parser's device.
        optimiser: Its rate is the step size; changed in place.
        options: Loss weights, gradient norm, and what later papers add.
        extras: What those need from the whole training set.

    Returns:
        The losses before the step, and the gradient norm before clipping.

    Raises:
        TrainingError: The gradient is not finite; the parser is as it was. Names the clips of the batch.
    """
    output, terms = _forward(parser, batch, options, extras)
    total = total_loss(
        terms,
        pseudo_label_weight=options.pseudo_label_weight,
        guided_weight=options.guided_weight,
        mixup_weight=options.mixup_weight,
    )
    optimiser.zero_grad()
    total.backward()
    grad_norm = clip_gradients(parser, options.max_grad_norm)
    if not grad_norm.isfinite():
        finite = output.segment_logits.isfinite().flatten(1).all(dim=1).tolist()
        culprits = [i for i, fine in zip(batch.clip_ids, finite, strict=True) if not fine] or batch.clip_ids
        raise TrainingError(
            f"loss {total.item():g} with a gradient norm of {grad_norm.item():g} on the clips {', '.join(culprits)}"
        )
    optimiser.step()
    return Step(LossTerms(*(None if t is None else t.detach() for t in terms)), total.detach(), grad_norm)


def clip_gradients(parser: HybridParser, max_norm: float | None) -> Tensor:
    """Scale the gradients down to a global norm, or only measure them; returns the norm they had."""
    if max_norm is not None:
        return torch.nn.utils.clip_grad_norm_(parser.parameters(), max_norm)
    return torch.nn.utils.get_total_norm([p.grad for p in parser.parameters() if p.grad is not None])


def _forward(parser: HybridParser, batch: Batch, options: FitOptions, extras: Extras) -> tuple[ParserOutput, LossTerms]:
    """Parse the batch and take the terms the options ask for."""
    pseudo_labels = batch.pseudo_labels if options.pseudo_label_weight else None
    smoothing = (options.audio_smoothing, options.visual_smoothing)
    output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
    kept = None
    if extras.noise_ratios is not None:
        kept = ~lost_tags(output.modality_probs, batch.weak_labels, extras.noise_ratios, smoothing)
    terms = loss_terms(
        output,
        batch.weak_labels,
        pseudo_labels,
        batch.valid,
        smoothing=smoothing if options.guided_weight else None,
        kept=kept,
        balance=extras.balance,
    )
    if options.mixup_alpha and pseudo_labels is not None:
        mixed = mixup_loss(output.features, pseudo_labels, parser.classifier, options.mixup_alpha, batch.valid)
        terms = terms._replace(mixed=mixed)
    return output, terms
