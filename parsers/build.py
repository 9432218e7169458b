"""The one place where the parts of a parser are put together."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from .cpu.products import Dense
from .hybrid import HybridParser, Stem
from .options import ENCODERS, OWN, POOLINGS, Builder, ParserOptions
from .perceptron import Passed, Perceptron


def build_parser(
    options: ParserOptions, *, seed: int | None = None, encoder: Builder | None = None, pooling: Builder | None = None
) -> HybridParser:
    """Build a parser with fresh weights.

    Args:
        options: What to build.
        seed: Seed of the weights; torch's global generator is left as it was. None draws from that generator.
        encoder: What builds the encoder in place of the one the options name, see `valor.parsers.options`. The
            parser's own options then call it `own:` and its name, and building it again needs it again.
        pooling: What builds the pooling, likewise.

    Returns:
        The parser in training mode. With the published options and seeds its weights are the published initial ones,
        bit for bit: the parts are made in the order the published code makes them.

    Raises:
        ValueError: The options name a part of somebody's own, and it is not given.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return build_parser(options, encoder=encoder, pooling=pooling)
    make_encoder = encoder or _known(ENCODERS, "encoder", options.encoder)
    make_pooling = pooling or _known(POOLINGS, "pooling", options.pooling)
    named = replace(
        options,
        encoder=options.encoder if encoder is None else own_name(encoder),
        pooling=options.pooling if pooling is None else own_name(pooling),
    )
    width = options.hidden_width
    classifier = Dense(width, options.num_classes)
    pool = make_pooling(named)
    stem = _build_stem(options)
    return HybridParser(stem, make_encoder(named), classifier, pool, options=named)


def options_of(parser: HybridParser) -> ParserOptions:
    """The options a parser was built from.

    Raises:
        ValueError: It was put together by hand and says nothing about itself.
    """
    if parser.options is None:
        raise ValueError(
            "this parser was put together from parts by hand, and nothing says how to build it again; build it with "
            "valor.parsers.build.build_parser, or give HybridParser its options"
        )
    return parser.options


def own_name(builder: Builder) -> str:
    """What the options of a parser call a part that was given as an object."""
    return OWN + getattr(builder, "__qualname__", type(builder).__qualname__)


def _known(kinds: Mapping[str, Builder], kind: str, name: str) -> Builder:
    if name not in kinds:
        raise ValueError(
            f"the {kind} {name!r} is not among {', '.join(kinds)}: it was given as an object when the parser was "
            f"built; give it again ({kind}=), or under its name in a file of your own parts"
        )
    return kinds[name]


def _build_stem(options: ParserOptions) -> Stem:
    width = options.hidden_width
    if options.stem == "perceptron":
        seen = options.visual_width + options.motion_width
        heard = Perceptron((options.audio_width, 2 * width, width))
        if not options.motion_width:
            return Stem(heard, Passed(options.visual_width))
        fusion = Perceptron((seen, *[2 * width] * (options.fusion_layers - 1), width))
        return Stem(heard, Passed(options.visual_width), Passed(options.motion_width), fusion)
    audio, visual = Dense(options.audio_width, width), Dense(options.visual_width, width)
    if not options.motion_width:
        return Stem(audio, visual)
    return Stem(audio, visual, Dense(options.motion_width, width), Dense(2 * width, width))
