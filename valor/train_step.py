"""One training step: a batch through the parser, its losses, and the optimiser."""

from typing import NamedTuple

import torch
from torch import Tensor

from parsers.hybrid import HybridParser
from parsers.losses import LossTerms, loss_terms, total_loss
from valor.dataset import Batch
from valor.errors import TrainingError
from valor.fit_options import FitOptions


class Step(NamedTuple):
    """What one training step reports; scalars on the parser's device."""

    terms: LossTerms
    """Before weighting, and before the step."""
    total: Tensor
    """Their weighted sum, which the gradient is of."""
    grad_norm: Tensor
    """Before clipping."""


def build_optimiser(parser: HybridParser, options: FitOptions) -> torch.optim.AdamW:
    """Return AdamW over every parameter; the rate is set at the start of each epoch."""
    return torch.optim.AdamW(
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


def train_step(parser: HybridParser, batch: Batch, optimiser: torch.optim.Optimizer, options: FitOptions) -> Step:
    """Take one step on one batch.

    Args:
        parser: In training mode; changed in place.
        batch: On the parser's device.
        optimiser: Its rate is the step size; changed in place.
        options: Loss weight and gradient norm.

    Returns:
        The losses before the step, and the gradient norm before clipping.

    Raises:
        TrainingError: The gradient is not finite; the parser is as it was. Names the clips of the batch.
    """
    output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
    pseudo_labels = batch.pseudo_labels if options.pseudo_label_weight else None
    smoothing = (options.audio_smoothing, options.visual_smoothing) if options.guided_weight else None
    terms = loss_terms(output, batch.weak_labels, pseudo_labels, batch.valid, smoothing=smoothing)
    total = total_loss(terms, pseudo_label_weight=options.pseudo_label_weight, guided_weight=options.guided_weight)
    optimiser.zero_grad()
    total.backward()
    grad_norm = torch.nn.utils.clip_grad_norm_(parser.parameters(), options.max_grad_norm)
    if not grad_norm.isfinite():
        finite = output.segment_logits.isfinite().flatten(1).all(dim=1).tolist()
        culprits = [i for i, fine in zip(batch.clip_ids, finite, strict=True) if not fine] or batch.clip_ids
        raise TrainingError(
            f"loss {total.item():g} with a gradient norm of {grad_norm.item():g} on the clips {', '.join(culprits)}"
        )
    optimiser.step()
    return Step(LossTerms(*(None if t is None else t.detach() for t in terms)), total.detach(), grad_norm)
