"""Options of a parser, the published configurations by name, and the one place where the parts are put together."""

from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import nn

from .attention import NORM_ORDERS, UPDATE_ORDERS, HybridEncoder, HybridLayer
from .cpu.products import Dense
from .hybrid import HybridParser, Stem
from .pooling import AttentiveMilPooling, LinearSoftmaxPooling, MaxPooling

POOLINGS = ("attentive", "linear-softmax", "max")
"""Names `ParserOptions.pooling` understands."""


@dataclass(frozen=True, kw_only=True)
class ParserOptions:
    """Everything that decides the shape of a parser's weights and what it computes with them."""

    audio_width: int = 128
    """Features per segment of the audio input: 128 VGGish, 768 CLAP map."""
    visual_width: int = 2048
    """Features per segment of the visual input: 2048 ResNet-152, 768 CLIP ViT-L/14."""
    motion_width: int = 512
    """Features per segment of the motion input: 512 R(2+1)D; 0 for a parser without a motion stream."""
    hidden_width: int = 512
    """Width of the encoder."""
    num_layers: int = 1
    """Hybrid attention layers."""
    num_heads: int = 8
    """Attention heads; divides hidden_width."""
    feedforward_width: int = 1024
    """Inner width of the feed-forward blocks."""
    num_classes: int = 25
    """Event classes."""
    dropout: float = 0.1
    """Probability in [0, 1), on attention weights, attention outputs, and inside and after the feed-forward blocks."""
    norm_order: str = "post"
    """`post` or `pre`, see HybridLayer."""
    update_order: str = "audio-first"
    """`audio-first`, or `together` as in the parser of 2020, see HybridLayer."""
    pooling: str = "attentive"
    """`attentive`, `linear-softmax` or `max`, see valor.parsers.pooling."""

    def __post_init__(self) -> None:
        """Refuse options no parser can be built from."""
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "motion_width" else 1
            if field.type is int and (not isinstance(value, int) or value < least):
                raise ValueError(f"{field.name} must be a whole number of at least {least}, got {value!r}")
        if self.hidden_width % self.num_heads:
            raise ValueError(f"num_heads must divide hidden_width {self.hidden_width}, got {self.num_heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        choices = {"norm_order": NORM_ORDERS, "update_order": UPDATE_ORDERS, "pooling": POOLINGS}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")


_VALOR_PP = ParserOptions(audio_width=768, visual_width=768, hidden_width=256, num_layers=4)

PARSERS: dict[str, ParserOptions] = {
    "valor": ParserOptions(),
    "valor+": ParserOptions(hidden_width=256, num_layers=4),
    "valor++": _VALOR_PP,
    "valor++ pre-norm": ParserOptions(
        audio_width=768, visual_width=768, hidden_width=256, num_layers=4, norm_order="pre"
    ),
}
"""The published configurations (VALOR code, NeurIPS 2023)."""


def build_parser(options: ParserOptions, *, seed: int | None = None) -> HybridParser:
    """Build a parser with fresh weights.

    Args:
        options: What to build.
        seed: Seed of the weights; torch's global generator is left as it was. None draws from that generator.

    Returns:
        The parser in training mode. With the published options and seeds its weights are the published initial ones,
        bit for bit: the parts are made in the order the published code makes them.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return build_parser(options)
    width, classes = options.hidden_width, options.num_classes
    classifier = Dense(width, classes)
    pooling = _build_pooling(options)
    stem = _build_stem(options)
    layer = HybridLayer(
        width,
        options.num_heads,
        options.feedforward_width,
        dropout=options.dropout,
        norm_order=options.norm_order,
        update_order=options.update_order,
    )
    return HybridParser(stem, HybridEncoder(layer, options.num_layers), classifier, pooling)


def options_of(parser: HybridParser) -> ParserOptions:
    """Read the options a parser was built from off its parts.

    Args:
        parser: Any parser made by `build_parser`.

    Returns:
        Options that build a parser of the same shape and function.
    """
    stem, layers = parser.stem, parser.encoder.layers
    layer = cast(HybridLayer, layers[0])
    poolings: dict[type[nn.Module], str] = {
        AttentiveMilPooling: "attentive",
        LinearSoftmaxPooling: "linear-softmax",
        MaxPooling: "max",
    }
    return ParserOptions(
        audio_width=stem.audio.in_features,
        visual_width=stem.visual.in_features,
        motion_width=0 if stem.motion is None else stem.motion.in_features,
        hidden_width=stem.audio.out_features,
        num_layers=len(layers),
        num_heads=layer.self_attention.num_heads,
        feedforward_width=layer.widen.out_features,
        num_classes=parser.classifier.out_features,
        dropout=layer.dropout,
        norm_order=layer.norm_order,
        update_order=layer.update_order,
        pooling=poolings[type(parser.pooling)],
    )


def _build_stem(options: ParserOptions) -> Stem:
    width = options.hidden_width
    audio, visual = Dense(options.audio_width, width), Dense(options.visual_width, width)
    if not options.motion_width:
        return Stem(audio, visual)
    return Stem(audio, visual, Dense(options.motion_width, width), Dense(2 * width, width))


def _build_pooling(options: ParserOptions) -> nn.Module:
    if options.pooling == "attentive":
        return AttentiveMilPooling(options.hidden_width, options.num_classes)
    return LinearSoftmaxPooling() if options.pooling == "linear-softmax" else MaxPooling()
