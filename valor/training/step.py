"""One training step: a batch through the parser, its losses, and the optimiser."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from valor.data.clips import Batch
from valor.data.own_files import call_fault, told_code
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import loss_terms, total_loss
from valor.parsers.word_head import WordHead

from .methods.method import Charge
from .methods.methods import NO_METHODS, Methods
from .options import FitOptions, TrainingError


class Step(NamedTuple):
    """What one training step reports; scalars on the parser's device."""

    terms: dict[str, Tensor]
    """By name, before weighting, and before the step."""
    total: Tensor
    """Their weighted sum, which the gradient is of."""
    grad_norm: Tensor
    """Before clipping."""


def build_optimiser(parser: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimiser over every parameter; the rate is set at the start of each epoch.

    Where stem and encoder learn at another rate they are a group of their own, after all that is new.
    """
    groups: Any = parser.parameters()
    if options.encoder_rate != 1:
        begun = {id(weight) for part in ("stem", "encoder") for weight in getattr(parser, part).parameters()}
        groups = [
            {"params": [weight for weight in parser.parameters() if id(weight) not in begun]},
            {"params": [weight for weight in parser.parameters() if id(weight) in begun], _SHARE: options.encoder_rate},
        ]
    if options.optimiser == "sgd":
        return torch.optim.SGD(
            groups,
            lr=options.learning_rate,
            momentum=options.beta1,
            weight_decay=options.weight_decay,
            fused=True,
        )
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    return kind(
        groups,
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        weight_decay=options.weight_decay,
        fused=True,
    )


_SHARE = "share_of_rate"
"""Key of a group of the optimiser that learns at a share of the rate."""


_NAMED_CLIPS = 5
"""Clips an error names."""


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every parameter the step size of the epoch, or its share of it."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(_SHARE, 1.0)


def train_step(
    parser: HybridParser,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    options: FitOptions,
    methods: Methods = NO_METHODS,
) -> Step:
    """Take one step on one batch.

    Args:
        parser: In training mode; changed in place.
        batch: On the parser's device.
        optimiser: Its rate is the step size; changed in place.
        options: Loss weights and gradient norm.
        methods: What they add to the losses.

    Returns:
        The losses before the step, and the gradient norm before clipping.

    Raises:
        TrainingError: Loss or gradient is not finite; the parser is as it was. Names the clips of the batch.
    """
    output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
    pseudo_labels = batch.pseudo_labels if options.pseudo_label_weight else None
    given = Charge(parser, batch, output, options, batch.weak_labels, pseudo_labels, modality_tags=batch.modality_tags)
    charge = methods.charge(given)
    if isinstance(getattr(parser, "classifier", None), WordHead) and options.stray_weight:
        charge = charge.plus("strayed", options.stray_weight, _strayed)
    terms, total = charged(charge)

    def culprits() -> Sequence[str]:
        finite = output.segment_logits.isfinite().flatten(1).all(dim=1).tolist()
        return [i for i, fine in zip(batch.clip_ids, finite, strict=True) if not fine] or batch.clip_ids

    grad_norm = descend(parser, total, optimiser, options.max_grad_norm, culprits, terms)
    return Step({name: term.detach() for name, term in terms.items()}, total.detach(), grad_norm)


def descend(
    model: nn.Module,
    total: Tensor,
    optimiser: torch.optim.Optimizer,
    max_grad_norm: float | None,
    culprits: Callable[[], Sequence[str]],
    terms: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Take a step down a loss, made of these terms; returns the gradient norm before clipping.

    Raises:
        TrainingError: The loss or its gradient is not finite; the model is as it was. Names the terms that are not, and
            up to five of the clips that `culprits` gives.
    """
    optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    grad_norm = clip_gradients(model, max_grad_norm)
    if not (grad_norm + total.detach()).isfinite():  # a loss of NaN may have a gradient that is none
        ruined = [f"{name} {term.item():g}" for name, term in (terms or {}).items() if not term.isfinite().all()]
        of = f" (of its terms {', '.join(ruined)})" if ruined else ""
        clips = culprits()
        more = f" and {len(clips) - _NAMED_CLIPS} more" if len(clips) > _NAMED_CLIPS else ""
        raise TrainingError(
            f"loss {total.item():g}{of} with a gradient norm of {grad_norm.item():g} on the clips "
            f"{', '.join(clips[:_NAMED_CLIPS])}{more}"
        )
    optimiser.step()
    return grad_norm


def _strayed(charge: Charge) -> Tensor:
    """How far the segments of a batch lie from where the teachers place them."""
    head, batch = charge.parser.classifier, charge.batch
    assert isinstance(head, WordHead)  # asked by whoever adds the term
    return head.strayed(batch.audio, batch.visual, charge.output.features, batch.valid)


def charged(charge: Charge) -> tuple[dict[str, Tensor], Tensor]:
    """The loss terms of a charge by name, unweighted, and their weighted sum.

    Raises:
        ValueError: Neither VALOR's own terms nor any other are charged.
    """
    terms: dict[str, Tensor] = {}
    total = None
    if charge.has_own_terms:
        options = charge.options
        own = loss_terms(
            charge.output,
            charge.weak_labels,
            charge.pseudo_labels,
            charge.batch.valid,
            smoothing=(options.audio_smoothing, options.visual_smoothing) if options.guided_weight else None,
            kept=charge.kept,
            weights=charge.segment_weights,
            modality_tags=charge.modality_tags,
            clip_weights=charge.clip_weights,
        )
        total = total_loss(own, pseudo_label_weight=options.pseudo_label_weight, guided_weight=options.guided_weight)
        terms = {name: term for name, term in own._asdict().items() if term is not None}
    for term in charge.terms:
        try:
            taken = term.take(charge)
        except TypeError as error:
            if said := call_fault(term.take, ("charge",)):
                raise ValueError(f"{told_code(term.take)}: the loss term {term.name!r} {said}") from error
            raise
        terms[term.name] = taken
        if not isinstance(taken, Tensor) or taken.numel() != 1:
            got = f"one of shape {list(taken.shape)}" if isinstance(taken, Tensor) else type(taken).__name__
            raise ValueError(
                f"{told_code(term.take)}: the loss term {term.name!r} must be a tensor of one number, got {got}"
            )
        is_ours = str(getattr(term.take, "__module__", "")).startswith("valor.")  # LEAP has one on purpose
        if not (is_ours or taken.requires_grad) and torch.is_grad_enabled() and taken.item():  # 0: nothing to do here
            raise ValueError(
                f"{told_code(term.take)}: the loss term {term.name!r} has no gradient (it is {taken.item():g}), so "
                "nothing would learn from it; leave out .detach(), torch.no_grad() and numbers that are no tensors of "
                "the network"
            )
        weighted = term.weight * terms[term.name]
        total = weighted if total is None else total + weighted
    if total is None:
        raise ValueError("a step is charged with nothing: a method left VALOR's own terms out and added none")
    return terms, total


def clip_gradients(parser: nn.Module, max_norm: float | None) -> Tensor:
    """Scale the gradients down to a global norm, or only measure them; returns the norm they had."""
    if max_norm is not None:
        return torch.nn.utils.clip_grad_norm_(parser.parameters(), max_norm)
    return torch.nn.utils.get_total_norm([p.grad for p in parser.parameters() if p.grad is not None])
