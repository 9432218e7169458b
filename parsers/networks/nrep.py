"""NREP's network: for and against each class, from what the modalities say together and each alone.

Shape legend as in `valor.parsers.hybrid`; a last axis of 2 is (for, against).

Source:
    NREP, TNNLS, and its code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.dropout import drop
from ..cpu.products import Dense
from ..evidence import belief, evidence, pairs_of
from ..hybrid import HybridParser, ParserOutput

_CROSSED = 0.2
"""Share of the crossed pass in the blend; CMPAE has .8."""
_SLOPE = 0.2
"""Of the leaky ReLU."""


@dataclass(frozen=True, eq=False)
class ForAgainstOutput(ParserOutput):
    """Beliefs, `valor.parsers.evidence.belief`, in the place of probabilities, and what they were read off."""

    segment_pairs: Tensor
    """float [B, T, M, C, 2], logits."""
    modality_pairs: Tensor
    """float [B, M, C, 2], logits pooled over time."""
    blend: Tensor
    """float [B, T, M, D], of both passes."""
    attention: Tensor
    """float [B, T, M, C, 2], over time, the same for segments and sides of one modality."""
    joint_pairs: Tensor
    """float [B, T, C, 2], logits of both modalities together."""
    joint_attention: Tensor
    """float [B, T, C, 2], over time."""

    @property
    def clip_pairs(self) -> Tensor:
        """Float [B, C, 2], joint logits pooled over time."""
        return (self.joint_attention * self.joint_pairs).sum(dim=1)


class ForAgainstParser(HybridParser):
    """The crossed pass speaks for a class, the other modality alone against it."""

    def __init__(
        self,
        stem: nn.Module,
        encoder: nn.Module,
        width: int,
        num_classes: int,
        *,
        visual_dropout: float = 0.0,
        options: Any = None,
    ) -> None:
        """Take stem and encoder of streams of some width, and make the heads; see `HybridParser`."""
        heads = (Dense(width, num_classes), Dense(width, 2 * num_classes))
        super().__init__(stem, encoder, *heads, visual_dropout=visual_dropout, options=options)
        self.against = Dense(width, num_classes)
        self.joint_audio, self.joint_visual = Dense(width, width), Dense(width, width)
        self.joint_head, self.joint_time = Dense(width, 2 * num_classes), Dense(width, 2 * num_classes)

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ForAgainstOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`."""
        streams = self.streams(audio, visual, motion, valid)
        crossed, alone, _ = self.encoded_both(streams, valid)  # [B, T, M, D]
        shown = crossed
        if self.training and self.visual_dropout:
            shown = torch.stack((crossed[:, :, 0], drop(crossed[:, :, 1], self.visual_dropout, training=True)), dim=2)
        pairs = torch.stack((self.classifier(shown), self.against(alone.flip(2))), dim=-1)  # [B, T, M, C, 2]
        attention = _over_time(self.pooling(shown), valid)  # [B, T, M, C, 2]
        pooled = (attention * pairs).sum(dim=1)  # [B, M, C, 2]
        blend = alone.lerp(crossed, _CROSSED)
        joint = functional.leaky_relu(self.joint_audio(blend[:, :, 0]), _SLOPE)
        joint = joint + functional.leaky_relu(self.joint_visual(blend[:, :, 1]), _SLOPE)  # [B, T, D]
        by_modality = belief(pooled)[..., 0]
        return ForAgainstOutput(
            segment_logits=_log_odds(pairs),
            segment_probs=belief(pairs)[..., 0],
            clip_probs=by_modality.amax(dim=1),
            modality_probs=by_modality,
            features=crossed,
            segment_pairs=pairs,
            modality_pairs=pooled,
            blend=blend,
            attention=attention,
            joint_pairs=pairs_of(self.joint_head(joint)),
            joint_attention=_over_time(self.joint_time(joint), valid),
        )


class TwoParsers(HybridParser):
    """Two networks of one kind: the first is asked what is heard, the second what is seen."""

    def __init__(self, parsers: Sequence[HybridParser], options: Any) -> None:
        """Take them."""
        nn.Module.__init__(self)
        self.options = options
        self.parsers = nn.ModuleList(parsers)
        self.trained = 0
        """Which of them answers alone in training mode."""

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ParserOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`. In training mode one of the two answers."""
        if self.training:
            return cast(ParserOutput, self.parsers[self.trained](audio, visual, motion, valid))
        first, second = (cast(ParserOutput, parser(audio, visual, motion, valid)) for parser in self.parsers)
        modality = torch.stack((first.modality_probs[:, 0], second.modality_probs[:, 1]), dim=1)
        logits, probs, features = (
            torch.stack((getattr(first, name)[:, :, 0], getattr(second, name)[:, :, 1]), dim=2)
            for name in ("segment_logits", "segment_probs", "features")
        )
        return ParserOutput(logits, probs, modality.amax(dim=1), modality, features)


def _over_time(logits: Tensor, valid: Tensor | None) -> Tensor:
    """Attention [B, T, ..., C, 2] over time of logits [B, T, ..., 2 C]."""
    logits = pairs_of(logits)
    if valid is not None:
        absent = ~valid.view(*valid.shape, *(1,) * (logits.dim() - 2))
        logits = logits.masked_fill(absent, float("-inf"))
    return logits.softmax(dim=1)


def _log_odds(pairs: Tensor) -> Tensor:
    """Log-odds of the belief in a class, float [...] of pairs [..., 2]."""
    found = evidence(pairs)
    return found[..., 0].log() - (found[..., 1] + 2).log()
