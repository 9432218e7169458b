"""A uni-modal path beside the fused one: the same weights without cross-attention, which learn and answer too.

Every step passes each stream through the encoder a second time, by itself, and takes the weak loss and those of the
pseudo labels there as well; a trained parser answers the mean of both passes:

    loss = VALOR(crossed) + weight VALOR(alone);   p = (1 - share) p_crossed + share p_alone

What is heard can then be said without the picture, and the other way round, so that a parser has less use for the habit
that both modalities hold the same events.

Source:
    Ours. EAR (2026, abstract alone) has "a soft-constrained uni-modal path in parallel with fusion"; CMPAE answers .7
    crossed and .3 alone, and trains the crossed pass only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .method import Charge, Method, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from valor.parsers.hybrid import HybridParser


@dataclass(frozen=True, kw_only=True)
class AloneOptions:
    """How much of it."""

    weight: float = 1.0
    """Of its losses, against those of the crossed pass."""
    share: float = 0.5
    """Of the streams alone in the probabilities of a trained parser; 0 trains the path and does not ask it."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        if not 0 < self.weight < float("inf"):
            raise ValueError(f"weight must be a positive number, got {self.weight}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be in 0..1, got {self.share}")


class Alone(Method[AloneOptions]):
    """Both paths, of one set of weights."""

    Options = AloneOptions
    excludes = ("jomold", "cmpae", "nrep", "coleaf", "leap", "mm-cse", "avel", "localiser", "generator")
    """Networks of their own, and a training that switches cross-attention off for a time."""

    def check(self, plan: Plan) -> None:
        """Refuse networks that cannot do without cross-attention."""
        if plan.parser.network != "hybrid" or plan.parser.encoder != "hybrid":
            raise ValueError(
                "methods.alone asks each stream alone, which the encoder and network hybrid can; got "
                f"{plan.parser.encoder} and {plan.parser.network}"
            )

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """The same parts, answering by both paths once trained."""
        from valor.parsers.hybrid import BothPaths

        return BothPaths(parser, self.options.share)

    def charge(self, charge: Charge) -> Charge:
        """The losses of the second pass."""
        return charge.plus("alone", self.options.weight, alone_loss)


def alone_loss(charge: Charge) -> Tensor:
    """VALOR's losses of the streams alone, weighed as those of the crossed pass."""
    from valor.parsers.losses import loss_terms, total_loss

    batch, options = charge.batch, charge.options
    output = charge.parser.answer_alone(batch.audio, batch.visual, batch.motion, batch.valid, after=charge.output)
    terms = loss_terms(
        output,
        charge.weak_labels,
        charge.pseudo_labels,
        batch.valid,
        smoothing=(options.audio_smoothing, options.visual_smoothing) if options.guided_weight else None,
        kept=charge.kept,
        weights=charge.segment_weights,
        modality_tags=charge.modality_tags,
    )
    return total_loss(terms, pseudo_label_weight=options.pseudo_label_weight, guided_weight=options.guided_weight)
