"""The one place where the parts of a parser are put together."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch

from .cpu.products import Dense
from .hybrid import HybridParser
from .options import ENCODERS, NETWORKS, OWN, POOLINGS, STEMS, Builder, ParserOptions
from .word_head import WordHead


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
    if (whole := NETWORKS[options.network]) is not None:
        if encoder or pooling or (options.encoder, options.pooling) != (ParserOptions.encoder, ParserOptions.pooling):
            raise ValueError(f"the network {options.network!r} brings its own encoder and pooling; leave them out")
        return cast(HybridParser, whole(options))
    make_encoder = encoder or _known(ENCODERS, "encoder", options.encoder)
    make_pooling = pooling or _known(POOLINGS, "pooling", options.pooling)
    named = replace(
        options,
        encoder=options.encoder if encoder is None else own_name(encoder),
        pooling=options.pooling if pooling is None else own_name(pooling),
    )
    width = options.hidden_width
    classifier = _word_head(options) if options.head == "words" else Dense(width, options.num_classes)
    pool = make_pooling(named)
    stem = STEMS[options.stem](options)
    dropout = options.visual_dropout
    return HybridParser(stem, make_encoder(named), classifier, pool, visual_dropout=dropout, options=named)


def _word_head(options: ParserOptions) -> WordHead:
    words = (options.audio_words, options.visual_words)
    if 0 in words:
        raise ValueError(
            "head=words needs to know how wide captions are: audio_words and visual_words, which a training finds"
        )
    return WordHead(options.hidden_width, (options.audio_width, options.visual_width), words, options.num_classes)


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
    return cast(ParserOptions, parser.options)


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
