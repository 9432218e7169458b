"""CMPAE's network: presence and absence of each class as evidence, and a view of the whole clip beside the modalities.

Shape legend as in `valor.parsers.hybrid`; a last axis of 2 is (presence, absence).

Source:
    CMPAE, CVPR 2023, and its code, whose figure swaps the two words (as its README says).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.dropout import drop
from ..cpu.products import Dense, dense
from ..evidence import doubt, evidence, expected_prob, pairs_of
from ..hybrid import HybridParser, ParserOutput

TEMPERATURE = 0.8
"""Of the evidence."""
_CROSSED = 0.8
"""Share of the crossed pass in the encoded streams; the other is that of the streams alone."""
TOLD = (0.7, 0.3)
"""Shares of the crossed pass and of that of the streams alone in the probabilities of a parser that is not training."""
_SLOPE = 0.2
"""Of the leaky ReLU."""
_BETWEEN_DROPOUT = 0.2
"""On what both modalities say together."""


@dataclass(frozen=True, eq=False)
class PresenceOutput(ParserOutput):
    """Expected probabilities, see `valor.parsers.evidence`, and their doubt; those of the clip are of the whole."""

    clip_doubt: Tensor
    """float [B]."""
    modality_doubt: Tensor
    """float [B, M, C]."""
    segment_doubt: Tensor
    """float [B, T, M, C]."""


class PresenceParser(HybridParser):
    """Evidence of presence is read off a modality, of absence off it and what both say together."""

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
        self.between_dropout = _BETWEEN_DROPOUT
        self.absence = Dense(width, num_classes)
        self.for_audio, self.for_visual = Dense(width, width), Dense(width, width)
        self.whole, self.whole_head = Dense(width, width), Dense(width, num_classes)

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ParserOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`.

        In training mode a PresenceOutput of the crossed pass; else .7 of its probabilities and .3 of those of the
        streams alone.
        """
        crossed = self.answer(audio, visual, motion, valid)
        if self.training:
            return crossed
        alone = self.answer(audio, visual, motion, valid, crossed=False, after=crossed)
        segment, clip, modality = (
            TOLD[0] * getattr(crossed, name) + TOLD[1] * getattr(alone, name)
            for name in ("segment_probs", "clip_probs", "modality_probs")
        )
        return ParserOutput(segment.logit(), segment, clip, modality, crossed.features)

    def answer_alone(
        self,
        audio: Tensor,
        visual: Tensor,
        motion: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        after: ParserOutput | None = None,
    ) -> PresenceOutput:
        """See `HybridParser.answer_alone`; the whole clip is not looked at again."""
        return self.answer(audio, visual, motion, valid, crossed=False, after=after)

    def answer(
        self,
        audio: Tensor,
        visual: Tensor,
        motion: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        crossed: bool = True,
        after: ParserOutput | None = None,
    ) -> PresenceOutput:
        """One pass: .8 crossed and .2 alone, or alone; arguments as in `HybridParser.answer_alone`."""
        streams, looked = (None, None) if after is None else (after.streams, after.looked)
        streams = streams or self.streams(audio, visual, motion, valid)
        if crossed:
            both, alone, looked = self.encoded_both(streams, valid)
            features = alone.lerp(both, _CROSSED)  # [B, T, M, D]
        else:
            features = torch.stack(self.encoded_alone(streams, valid, looked), dim=2)
        heard, seen = features.unbind(2)
        seen = drop(seen, self.visual_dropout, training=self.training)
        shown, layers = torch.stack((heard, seen), dim=2), (self.for_audio, self.for_visual)
        weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
        between = self._bent(dense(heard + seen, weight, bias)).view_as(shown)
        pairs = torch.stack((self.classifier(shown), self.absence(shown + between)), dim=-1)  # [B, T, M, C, 2]
        over_time = pairs_of(self.pooling(shown))  # [B, T, M, C, 2]
        if valid is not None:
            over_time = over_time.masked_fill(~valid[:, :, None, None, None], float("-inf"))
        pooled = (over_time.softmax(dim=1) * pairs).sum(dim=1)  # [B, M, C, 2]
        known = (after.clip_probs, after.clip_doubt) if isinstance(after, PresenceOutput) else None
        clip, clip_doubt = known or self._look_at_whole(streams, valid)
        probs = expected_prob(pairs, TEMPERATURE)
        return PresenceOutput(
            segment_logits=probs.logit(),
            segment_probs=probs,
            clip_probs=clip,
            modality_probs=expected_prob(pooled, TEMPERATURE),
            features=features,
            clip_doubt=clip_doubt,
            modality_doubt=doubt(pooled, TEMPERATURE),
            segment_doubt=doubt(pairs, TEMPERATURE),
            streams=streams,
            looked=looked,
        )

    def _bent(self, x: Tensor) -> Tensor:
        return drop(functional.leaky_relu(x, _SLOPE), self.between_dropout, training=self.training)

    def _look_at_whole(self, streams: tuple[Tensor, Tensor], valid: Tensor | None) -> tuple[Tensor, Tensor]:
        """Probabilities [B, C] and doubt [B] of the clip, from both streams before the encoder."""
        heard, seen = functional.leaky_relu(self.whole(torch.stack(streams)), _SLOPE)
        logits = self.whole_head(heard + seen)  # [B, T, C]
        exists = torch.ones_like(logits[..., :1]) if valid is None else valid[..., None].to(logits.dtype)
        count = exists.sum(dim=1)  # [B, 1]
        mean = (logits * exists).sum(dim=1) / count
        probs = (logits.sigmoid() * exists).sum(dim=1) / count
        return probs, logits.shape[-1] / (evidence(mean, TEMPERATURE) + 1).sum(dim=-1)
