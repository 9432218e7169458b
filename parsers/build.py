"""The one place where the parts of a parser are put together, and where its options are read off them again."""

from typing import cast

import torch
from torch import nn

from .attention import HybridEncoder, HybridLayer
from .cpu.products import Dense
from .hybrid import HybridParser, Stem
from .options import ParserOptions
from .pooling import AttentiveMilPooling, LinearSoftmaxPooling, MaxPooling


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
