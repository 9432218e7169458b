"""The audio-visual parser: stem, hybrid attention encoder, one shared classifier, pooling.

What a parser answers, and the legend of the shape comments in this package.

Shape legend: B clips of a batch, T segments, M modalities (audio, visual), C classes, D features, H attention heads.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from .attention import HybridEncoder, Looked, Passes
from .cpu.dropout import drop
from .perceptron import Passed, Perceptron
from .pooling import PooledProbs
from .word_head import WordHead

MODALITIES = ("audio", "visual")
"""Order of the modality axis everywhere."""


@dataclass(frozen=True, eq=False)
class ParserOutput:
    """One batch of answers; probabilities of one (segment, modality) are independent over classes."""

    segment_logits: Tensor
    """float [B, T, M, C], log-odds that the class happens in the segment."""
    segment_probs: Tensor
    """float [B, T, M, C] in [0, 1], sigmoid of `segment_logits`."""
    clip_probs: Tensor
    """float [B, C], pooled over segments and modalities. Attentive pooling can exceed 1 (see
    `valor.parsers.pooling`)."""
    modality_probs: Tensor
    """float [B, M, C] in [0, 1], pooled over the segments of one modality."""
    features: Tensor
    """float [B, T, M, D], the encoded streams the logits were read off, before any dropout of theirs."""
    streams: tuple[Tensor, Tensor] | None = field(default=None, kw_only=True)
    """float [B, T, D] each, what the stem gave, for another pass of the same step; None where no pass would take it."""
    looked: Looked | None = field(default=None, kw_only=True)
    """What self-attention sees in these streams, likewise."""

    def __post_init__(self) -> None:
        """Refuse parts that do not belong to one batch."""
        batch, _, modalities, classes = self.segment_logits.shape
        expected = {
            "segment_probs": tuple(self.segment_logits.shape),
            "clip_probs": (batch, classes),
            "modality_probs": (batch, modalities, classes),
        }
        for name, shape in expected.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} must be {shape} beside segment_logits {expected['segment_probs']}, got {got}")
        if self.features.shape[:3] != self.segment_logits.shape[:3]:
            raise ValueError(
                f"features must be [clips, segments, modalities, features] beside segment_logits "
                f"{expected['segment_probs']}, got {tuple(self.features.shape)}"
            )


Projection: TypeAlias = nn.Linear | Perceptron | Passed
"""What a stem is made of."""


class Stem(nn.Module):
    """Brings each feature kind to the width of the encoder; appearance and motion become one visual stream."""

    def __init__(
        self, audio: Projection, visual: Projection, motion: Projection | None = None, fusion: Projection | None = None
    ) -> None:
        """Take the projections, each of which knows its input width; motion and fusion come together or not at all.

        Raises:
            ValueError: Only one of motion and fusion is given.
        """
        super().__init__()
        if (motion is None) != (fusion is None):
            raise ValueError("motion and fusion projections come together: give both, or neither")
        self.audio = audio
        self.visual = visual
        self.motion = motion
        self.fusion = fusion

    def input_widths(self) -> dict[str, int | None]:
        """Features per segment each input must have; None where there is no such input."""
        layers = {"audio": self.audio, "visual": self.visual, "motion": self.motion}
        return {name: None if layer is None else layer.in_features for name, layer in layers.items()}

    def forward(self, audio: Tensor, visual: Tensor, motion: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Project.

        Args:
            audio: float [B, T, D_audio].
            visual: float [B, T, D_visual].
            motion: float [B, T, D_motion], or None for a parser without a motion stream.

        Returns:
            Audio and visual stream, float [B, T, D] each.

        Raises:
            ValueError: Motion features are missing, or given to a parser that has no use for them.
        """
        if (motion is None) != (self.motion is None):
            has, got = ("no", "some") if self.motion is None else ("a", "none")
            raise ValueError(f"this parser has {has} motion stream, got {got} motion features; see motion_width")
        seen = self.visual(visual)  # [B, T, D]
        if self.motion is not None and self.fusion is not None:
            seen = self.fusion(torch.cat((seen, self.motion(motion)), dim=-1))  # [B, T, D]
        return self.audio(audio), seen


class HybridParser(nn.Module):
    """Which events are audible and which are visible, segment by segment."""

    def __init__(
        self,
        stem: nn.Module,
        encoder: nn.Module,
        classifier: nn.Linear | WordHead,
        pooling: nn.Module,
        *,
        visual_dropout: float = 0.0,
        options: Any = None,
    ) -> None:
        """Take the parts, and the options they were made from (`valor.parsers.options.ParserOptions`).

        `valor.parsers.build.build_parser` makes both. Without options a parser answers, and cannot be saved.
        """
        super().__init__()
        self.options = options
        self.crossed = True
        """Whether `forward` lets each stream look at the other; a method may switch that off for a time."""
        self.visual_dropout = visual_dropout
        """Probability of dropout on the visual stream before the heads."""
        self.stem = stem
        self.encoder = encoder
        self.classifier = classifier
        self.pooling = pooling

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ParserOutput:
        """Parse a batch of clips.

        Args:
            audio: float [B, T, D_audio], features on the segment grid (`valor.parsers.folding` for denser ones).
            visual: float [B, T, D_visual].
            motion: float [B, T, D_motion], or None for a parser without a motion stream.
            valid: bool [B, T], True where a segment exists, at least one per clip; None when all do. Answers at other
                segments mean nothing.

        Returns:
            The output; it does not depend on features of segments that are not valid.

        Raises:
            ValueError: The inputs do not fit one another or the parser.
        """
        if not self.crossed:
            return self.answer_alone(audio, visual, motion, valid)
        streams = self.streams(audio, visual, motion, valid)
        heard, seen = self.encoder(*streams, valid)  # [B, T, D] each
        return self._answer((heard, seen), valid, streams, (audio, visual))

    def answer_alone(
        self,
        audio: Tensor,
        visual: Tensor,
        motion: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        after: ParserOutput | None = None,
    ) -> ParserOutput:
        """Parse as `forward` does, with each stream encoded by itself: the same weights without cross-attention.

        Args:
            audio: As in `forward`, and so are the next three.
            visual: See there.
            motion: See there.
            valid: See there.
            after: What `forward` has answered to the same features with the same weights, whose `streams` and `looked`
                are taken; None where it has not been asked.

        Raises:
            ValueError: As `forward`, or the encoder has no method `along`.
        """
        streams = None if after is None else after.streams
        streams = streams or self.streams(audio, visual, motion, valid)
        heard, seen = self.encoded_alone(streams, valid)
        return self._answer((heard, seen), valid, streams, (audio, visual))

    def streams(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Audio and visual stream of the encoder, float [B, T, D] each; arguments and errors as in `forward`."""
        self._check(audio, visual, motion, valid)
        if getattr(self.stem, "takes_valid", False):
            return cast(tuple[Tensor, Tensor], self.stem(audio, visual, motion, valid))
        return cast(tuple[Tensor, Tensor], self.stem(audio, visual, motion))

    def encoded_alone(
        self, streams: tuple[Tensor, Tensor], valid: Tensor | None = None, looked: Looked | None = None
    ) -> tuple[Tensor, Tensor]:
        """Both streams encoded without cross-attention, float [B, T, D] each; `looked` as `encoded_both` gave it."""
        if looked is not None:
            return cast(HybridEncoder, self.encoder).along_again(*streams, looked, valid)
        along = getattr(self.encoder, "along", None)
        if along is None:
            raise ValueError("this encoder cannot encode a stream without the other; it needs a method `along`")
        return along(streams[0], 0, valid), along(streams[1], 1, valid)

    def encoded_both(
        self, streams: tuple[Tensor, Tensor], valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Looked | None]:
        """Both streams encoded crossed, and without cross-attention, [B, T, M, D] each; what another pass takes."""
        if getattr(self.encoder, "shares_passes", False):
            found = cast(HybridEncoder, self.encoder).both(*streams, valid)
        else:
            found = Passes(self.encoder(*streams, valid), self.encoded_alone(streams, valid))
        return torch.stack(found.crossed, dim=2), torch.stack(found.alone, dim=2), found.looked

    def _answer(
        self,
        encoded: tuple[Tensor, Tensor],
        valid: Tensor | None,
        streams: tuple[Tensor, Tensor],
        inputs: tuple[Tensor, Tensor],
    ) -> ParserOutput:
        """Heads and pooling on the encoded streams [B, T, D], given what the stem gave, and what it was given."""
        heard, seen = encoded
        features = torch.stack((heard, seen), dim=2)  # [B, T, M, D]
        shown = features
        if self.training and self.visual_dropout:
            shown = torch.stack((heard, drop(seen, self.visual_dropout, training=True)), dim=2)
        by_words = isinstance(self.classifier, WordHead)
        logits = self.classifier(*inputs, shown) if by_words else self.classifier(shown)  # [B, T, M, C]
        probs = logits.sigmoid()
        pooled = cast(PooledProbs, self.pooling(shown, probs, valid))
        return ParserOutput(logits, probs, pooled.clip, pooled.modality, features, streams=streams)

    def encode_alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode the projected stream of one modality, float [B, T, D], where there is no other.

        An encoder with a method `alone` is asked for it; any other gets the stream in the place of both.
        """
        alone = getattr(self.encoder, "alone", None)
        if alone is not None:
            return cast(Tensor, alone(stream, modality, valid))
        return cast(tuple[Tensor, Tensor], self.encoder(stream, stream, valid))[modality]

    def _check(self, audio: Tensor, visual: Tensor, motion: Tensor | None, valid: Tensor | None) -> None:
        widths = cast(Stem, self.stem).input_widths()
        for name, given in (("audio", audio), ("visual", visual), ("motion", motion)):
            width = widths[name]
            if given is None or width is None:
                continue  # the stem refuses a mismatch
            expected = (*audio.shape[:2], width)
            if tuple(given.shape) != expected:
                raise ValueError(
                    f"{name} features must be [clips, segments, features] = {expected}, got {tuple(given.shape)}; "
                    "denser published features are folded first (valor.parsers.folding)"
                )
        if valid is not None and tuple(valid.shape) != tuple(audio.shape[:2]):
            raise ValueError(f"valid must be bool {tuple(audio.shape[:2])}, got {tuple(valid.shape)}")


class BothPaths(HybridParser):
    """A parser that answers by two passes of its weights once it is trained: crossed, and each stream alone."""

    def __init__(self, parser: HybridParser, share: float) -> None:
        """Take the parts of a parser whose encoder can do without cross-attention, and the share of the second pass."""
        parts = (parser.stem, parser.encoder, parser.classifier, parser.pooling)
        super().__init__(*parts, visual_dropout=parser.visual_dropout, options=parser.options)
        self.share = share

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ParserOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`. In training mode the crossed pass answers."""
        crossed = super().forward(audio, visual, motion, valid)
        if self.training or not self.share:
            return crossed
        alone = self.answer_alone(audio, visual, motion, valid, after=crossed)
        segment, clip, modality = (
            (1 - self.share) * getattr(crossed, name) + self.share * getattr(alone, name)
            for name in ("segment_probs", "clip_probs", "modality_probs")
        )
        return ParserOutput(segment.logit(), segment, clip, modality, crossed.features)
