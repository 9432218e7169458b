"""Options of a parser, the parts they name, and the published configurations: nothing here waits for torch.

An encoder mixes the streams of a clip. It is called with (audio [B, T, D], visual [B, T, D], valid [B, T] or None),
D being `hidden_width`, and answers (audio, visual) of the same shapes; an answer may not depend on segments that are
not valid. A network that treats a clip of one stream in another way than with that stream in the place of both has a
method alone(stream [B, T, D], modality 0 or 1, valid) -> [B, T, D].

A pooling is called with (features [B, T, M, D], segment_probs [B, T, M, C], valid [B, T] or None) and answers
`valor.parsers.pooling.PooledProbs`.

A stem brings the features of a clip to the streams of the encoder, see `valor.parsers.stems`. A network is the whole: a
module below `valor.parsers.hybrid.HybridParser` that may have other parts and answer more than ParserOutput.

Each has a name in a dict below, with the function that builds it from the options.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from .blocks import Sizes

NORM_ORDERS = ("post", "pre")
"""Where a layer normalises: after each residual sum, or the query before it."""

UPDATE_ORDERS = ("audio-first", "together")
"""Which audio the visual stream attends to: the updated one, or that before the layer."""

HEADS = ("rows", "words")
"""What tells the classes of a segment."""

POSITIONS = ("none", "learned", "time")
"""What may say where a segment stands, see valor.parsers.positions."""

FRAME_POOLINGS = ("max", "avg", "attn", "attn_topk")
"""What a stem `sft` may make of the frames of a segment."""

_DENSE_STEMS = ("elu", "sft")
"""Those that take features of frames as they are."""

OWN = "own:"
"""How the name of a part begins that was given to `valor.parsers.build.build_parser` as an object."""


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
    """Layers of the encoder; of `mtcn`, how often its one layer is applied."""
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
    """A key of POOLINGS: `attentive`, `linear-softmax` or `max`, see valor.parsers.pooling."""
    encoder: str = "hybrid"
    """A key of ENCODERS: `hybrid`, see valor.parsers.attention; `uavm`, `mbt`, `joint`, `tcaf`, `mtcn` or `sft`, see
    valor.parsers.encoders."""
    fusion_layer: int = 0
    """Layers of each stream by itself, before those it shares (`uavm`) or in which the streams meet (`mbt`, `sft`)."""
    num_latents: int = 4
    """Vectors that the streams of `mbt` exchange; 0 lets each look at all of the other."""
    positions: str = "none"
    """What says to `hybrid` and `joint` where a segment stands, a key of POSITIONS: `none`; `learned`, for at most
    max_segments; or `time`, as TCaF has it."""
    time_codes: float = 0.0
    """What sines of the place are multiplied by before they are added to both streams of `hybrid` or `joint`; 0 adds
    nothing, as published. Nothing of it is learned, see valor.parsers.positions."""
    max_segments: int = 10
    """Positions that `uavm`, `mbt`, `mtcn`, `sft` and positions=learned have; longer clips are refused."""
    stem: str = "linear"
    """A key of STEMS. `linear`: every input through a layer of its own, and one that joins appearance and motion.
    `perceptron`, as UWAV has it: audio through two layers, appearance and motion joined as they are. `elu`, as NREP and
    CMPAE have it: an ELU behind every layer. `sft`, as SFT has it: frames are mixed, and pooled by segment."""
    fusion_layers: int = 1
    """Layers that join appearance and motion in a `perceptron` stem."""
    head_layers: int = 1
    """Layers of each head of attentive pooling."""
    network: str = "hybrid"
    """A key of NETWORKS: `hybrid`; `for-against`, NREP's; `presence`, CMPAE's; `class-wise`, MM-CSE's; or
    `label-queries`, LEAP's, where num_layers are levels of its encoder."""
    visual_frames: int = 1
    """Frames visual_width is made of, which the stems `elu` and `sft` project one by one; 8 for ResNet-152 with
    features.unfolded."""
    audio_map: bool = False
    """Whether audio features are whole HTSAT maps (features.unfolded, audio_width 5376), which the stem `elu` bends
    before it folds them."""
    stem_layers: int = 1
    """Blocks over the frames, or the tokens of a map, in a stem `sft`."""
    frame_pooling: str = "max"
    """What a stem `sft` makes of those of a segment: `max`, `avg`, `attn` or `attn_topk`, see
    valor.parsers.sparse_stem."""
    label_width: int = 300
    """Numbers of a label vector of the network label-queries; 300 of GloVe."""
    visual_dropout: float = 0.0
    """Probability in [0, 1) of dropout on the visual stream between encoder and heads."""
    head: str = "rows"
    """`rows`, a row of weights for each class; or `words`, by the captions of the teachers of a store, which takes
    other classes once it is trained, see valor.parsers.word_head."""
    audio_words: int = 0
    """Width of the captions of the audio teacher, with head=words; a training finds it."""
    visual_words: int = 0
    """Width of those of the visual teacher."""

    def __post_init__(self) -> None:
        """Refuse options no parser can be built from."""
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in _MAY_BE_ZERO else 1
            if field.type is int and (not isinstance(value, int) or value < least):
                raise ValueError(f"{field.name} must be a whole number of at least {least}, got {value!r}")
            most = _MOST_LAYERS if field.name.endswith(("_layers", "_layer")) else _MOST
            if field.type is int and value > most:
                raise ValueError(f"{field.name} must be at most {most:,}, got {value!r:.80}")
        if self.hidden_width % self.num_heads:
            raise ValueError(f"num_heads must divide hidden_width {self.hidden_width}, got {self.num_heads}")
        for name in ("dropout", "visual_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        choices: dict[str, tuple[str, ...]] = {
            "norm_order": NORM_ORDERS,
            "update_order": UPDATE_ORDERS,
            "positions": POSITIONS,
            "frame_pooling": FRAME_POOLINGS,
            "pooling": tuple(POOLINGS),
            "encoder": tuple(ENCODERS),
            "network": tuple(NETWORKS),
            "stem": tuple(STEMS),
            "head": HEADS,
        }
        for name, known in choices.items():
            value = getattr(self, name)
            is_own = name in ("pooling", "encoder") and isinstance(value, str) and value.startswith(OWN)
            if value not in known and not is_own:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        self._check_encoder()
        self._check_stem()
        self._check_head()

    def _check_head(self) -> None:
        """Refuse words where classes have rows all the same, and options of words without them."""
        if self.head != "words":
            if self.audio_words or self.visual_words:
                raise ValueError("audio_words and visual_words are options of head=words")
            return
        if self.network != "hybrid" or self.head_layers != 1 or self.pooling not in _POOLED_WITHOUT_ROWS:
            raise ValueError(
                f"head=words is for network=hybrid with one of the poolings {', '.join(_POOLED_WITHOUT_ROWS)} of one "
                f"layer, got network={self.network}, pooling={self.pooling}, head_layers={self.head_layers}"
            )
        if self.visual_frames > 1 or self.audio_map:
            raise ValueError("head=words takes folded features; leave visual_frames and audio_map as they are")

    def _check_stem(self) -> None:
        """Refuse options of another stem or pooling."""
        if self.stem == "perceptron" and not self.motion_width and self.visual_width != self.hidden_width:
            raise ValueError(
                "a perceptron stem without a motion stream takes visual features as they are: hidden_width must be "
                f"visual_width {self.visual_width}, got {self.hidden_width}"
            )
        if self.stem != "perceptron" and self.fusion_layers != 1:
            raise ValueError(f"fusion_layers is an option of stem=perceptron, got {self.fusion_layers} of {self.stem}")
        if self.head_layers != 1 and self.pooling != "attentive":
            raise ValueError(f"head_layers is an option of pooling=attentive, got {self.head_layers} of {self.pooling}")
        if self.stem not in _DENSE_STEMS and (self.visual_frames > 1 or self.audio_map):
            raise ValueError("visual_frames and audio_map are for the stems elu and sft; others take features folded")
        if self.stem != "sft" and (self.stem_layers, self.frame_pooling) != (1, "max"):
            raise ValueError(f"stem_layers and frame_pooling are options of stem=sft, got those of {self.stem}")
        if self.stem == "sft" and self.visual_frames == 1 and not self.audio_map:
            raise ValueError(
                "stem=sft thins out frames and maps, and there are none: set features.unfolded and visual_frames or "
                "audio_map"
            )

    @property
    def says_when(self) -> bool:
        """Whether a segment knows where it stands, so that the order of segments counts; one's own encoder may."""
        return bool(self.time_codes) or self.positions != "none" or self.encoder not in ("hybrid", "joint")

    @property
    def most_segments(self) -> int | None:
        """Segments that a clip may have, where positions are learned; None where it may have any number."""
        is_learned = self.encoder in OF_ENCODERS["max_segments"] or self.positions == "learned" or self.stem == "sft"
        return self.max_segments if is_learned else None

    def _check_encoder(self) -> None:
        """Refuse what the encoder makes nothing of; one of somebody's own may use any option."""
        for field in fields(self):
            users = OF_ENCODERS.get(field.name)
            if users is None or self.encoder in users or self.encoder not in _OURS:
                continue
            if field.name == "max_segments" and (self.positions == "learned" or self.stem == "sft"):
                continue
            if (value := getattr(self, field.name)) != field.default:
                raise ValueError(
                    f"{field.name} is an option of encoder={' or '.join(users)}, got {value!r} of {self.encoder}"
                )
        for name, value in (("positions", self.positions), ("time_codes", self.time_codes)):
            if value not in ("none", 0) and self.network != "hybrid":
                raise ValueError(f"{name} is an option of network=hybrid, got {value!r} of {self.network}")
        if not 0 <= self.time_codes < math.inf or (self.time_codes and self.positions != "none"):
            raise ValueError(
                "time_codes must be at least 0, and 0 beside positions, which say the same, got "
                f"time_codes={self.time_codes} and positions={self.positions}"
            )
        if self.fusion_layer > self.num_layers:
            raise ValueError(f"fusion_layer must be at most num_layers {self.num_layers}, got {self.fusion_layer}")
        if self.encoder == "mbt" and self.num_latents and self.num_layers - self.fusion_layer == 1:
            raise ValueError(
                "encoder=mbt exchanges nothing in one fused layer, whose latents are written and never read: "
                f"num_layers must be fusion_layer, or at least 2 more, got {self.num_layers} and {self.fusion_layer}"
            )


def _hybrid(options: ParserOptions) -> "nn.Module":
    from .attention import HybridEncoder, HybridLayer

    layer = HybridLayer(
        options.hidden_width,
        options.num_heads,
        options.feedforward_width,
        dropout=options.dropout,
        norm_order=options.norm_order,
        update_order=options.update_order,
    )
    return _placed(HybridEncoder(layer, options.num_layers), options)


def _placed(encoder: "nn.Module", options: ParserOptions) -> "nn.Module":
    """The encoder, and before it what says where a segment stands."""
    if options.positions == "none" and not options.time_codes:
        return encoder
    from .positions import LearnedPositions, PlacedEncoder, SineCodes, TimeCodes

    if options.time_codes:
        return PlacedEncoder(encoder, SineCodes(options.time_codes))
    width = options.hidden_width
    is_learned = options.positions == "learned"
    return PlacedEncoder(encoder, LearnedPositions(options.max_segments, width) if is_learned else TimeCodes(width))


def _sizes(options: ParserOptions) -> "Sizes":
    """Of the blocks that the other encoders are made of."""
    from .blocks import Sizes

    return Sizes(options.hidden_width, options.num_heads, options.feedforward_width, dropout=options.dropout)


def _uavm(options: ParserOptions) -> "nn.Module":
    from .encoders.uavm import UavmEncoder

    shared = options.num_layers - options.fusion_layer
    return UavmEncoder(
        _sizes(options), own_layers=options.fusion_layer, shared_layers=shared, max_segments=options.max_segments
    )


def _mbt(options: ParserOptions) -> "nn.Module":
    from .encoders.mbt import MbtEncoder

    return MbtEncoder(
        _sizes(options),
        options.num_layers,
        fusion_layer=options.fusion_layer,
        num_latents=options.num_latents,
        max_segments=(options.max_segments, options.max_segments),
    )


def _joint(options: ParserOptions) -> "nn.Module":
    from .encoders.joint import JointEncoder

    return _placed(JointEncoder(_sizes(options), options.num_layers), options)


def _tcaf(options: ParserOptions) -> "nn.Module":
    from .encoders.tcaf import TcafEncoder

    return TcafEncoder(_sizes(options), options.num_layers)


def _mtcn(options: ParserOptions) -> "nn.Module":
    from .encoders.mtcn import MtcnEncoder

    return MtcnEncoder(_sizes(options), options.num_layers, max_segments=options.max_segments)


def _sft(options: ParserOptions) -> "nn.Module":
    from .encoders.sft import SftEncoder

    after = options.num_layers - options.fusion_layer
    return SftEncoder(
        _sizes(options), layers_before=options.fusion_layer, layers_after=after, max_segments=options.max_segments
    )


def _attentive(options: ParserOptions) -> "nn.Module":
    from .pooling import AttentiveMilPooling

    rows = 1 if options.head == "words" else options.num_classes  # a class that is new has none of its own
    return AttentiveMilPooling(options.hidden_width, rows, options.head_layers)


def _linear_softmax(options: ParserOptions) -> "nn.Module":
    from .pooling import LinearSoftmaxPooling

    return LinearSoftmaxPooling()


def _max(options: ParserOptions) -> "nn.Module":
    from .pooling import MaxPooling

    return MaxPooling()


def _linear_stem(options: ParserOptions) -> "nn.Module":
    from .cpu.products import Dense
    from .hybrid import Stem

    width = options.hidden_width
    audio, visual = Dense(options.audio_width, width), Dense(options.visual_width, width)
    if not options.motion_width:
        return Stem(audio, visual)
    return Stem(audio, visual, Dense(options.motion_width, width), Dense(2 * width, width))


def _perceptron_stem(options: ParserOptions) -> "nn.Module":
    from .hybrid import Stem
    from .perceptron import Passed, Perceptron

    width, seen = options.hidden_width, options.visual_width + options.motion_width
    heard = Perceptron((options.audio_width, 2 * width, width))
    if not options.motion_width:
        return Stem(heard, Passed(options.visual_width))
    fusion = Perceptron((seen, *[2 * width] * (options.fusion_layers - 1), width))
    return Stem(heard, Passed(options.visual_width), Passed(options.motion_width), fusion)


def _elu_stem(options: ParserOptions) -> "nn.Module":
    from .stems import EluStem

    widths = (options.audio_width, options.visual_width, options.motion_width)
    return EluStem(*widths, options.hidden_width, visual_frames=options.visual_frames, audio_map=options.audio_map)


def _sft_stem(options: ParserOptions) -> "nn.Module":
    from .blocks import Sizes
    from .sparse_stem import SparseStem

    width = options.hidden_width
    return SparseStem(
        (options.audio_width, options.visual_width, options.motion_width),
        Sizes(width, options.num_heads, width, dropout=options.dropout),
        visual_frames=options.visual_frames,
        audio_map=options.audio_map,
        num_layers=options.stem_layers,
        pooling=options.frame_pooling,
        max_segments=options.max_segments,
    )


def _for_against(options: ParserOptions) -> "nn.Module":
    from .networks.nrep import ForAgainstParser

    parts = (STEMS[options.stem](options), _hybrid(options), options.hidden_width, options.num_classes)
    return ForAgainstParser(*parts, visual_dropout=options.visual_dropout, options=options)


def _presence(options: ParserOptions) -> "nn.Module":
    from .networks.cmpae import PresenceParser

    parts = (STEMS[options.stem](options), _hybrid(options), options.hidden_width, options.num_classes)
    return PresenceParser(*parts, visual_dropout=options.visual_dropout, options=options)


def _class_wise(options: ParserOptions) -> "nn.Module":
    from .networks.class_wise import ClassWiseParser

    return ClassWiseParser(STEMS[options.stem](options), options.hidden_width, options.num_classes, options)


def _label_queries(options: ParserOptions) -> "nn.Module":
    from .networks.leap import LabelQueryParser

    return LabelQueryParser(STEMS[options.stem](options), options)


Builder = Callable[[ParserOptions], "nn.Module"]
"""Makes one part of a parser, with fresh weights."""

ENCODERS: dict[str, Builder] = {
    "hybrid": _hybrid,
    "uavm": _uavm,
    "mbt": _mbt,
    "joint": _joint,
    "tcaf": _tcaf,
    "mtcn": _mtcn,
    "sft": _sft,
}
"""What mixes the two streams, by its name in `ParserOptions.encoder`."""

_OURS = tuple(ENCODERS)
"""Those that are not somebody's own."""

OF_ENCODERS: dict[str, tuple[str, ...]] = {
    "norm_order": ("hybrid",),
    "update_order": ("hybrid",),
    "fusion_layer": ("uavm", "mbt", "sft"),
    "num_latents": ("mbt",),
    "positions": ("hybrid", "joint"),
    "time_codes": ("hybrid", "joint"),
    "max_segments": ("uavm", "mbt", "mtcn", "sft"),
}
"""Options that only some encoders make something of."""

POOLINGS: dict[str, Builder] = {"attentive": _attentive, "linear-softmax": _linear_softmax, "max": _max}
"""What makes clip probabilities of those of segments, by its name in `ParserOptions.pooling`."""

_POOLED_WITHOUT_ROWS = tuple(POOLINGS)
"""Ours, which make something of any number of classes."""

_MOST, _MOST_LAYERS = 2**20, 1000
"""Of widths, classes and segments, and of layers: nothing that can be trained has more."""
_MAY_BE_ZERO = ("motion_width", "fusion_layer", "num_latents", "audio_words", "visual_words")

STEMS: dict[str, Builder] = {"linear": _linear_stem, "perceptron": _perceptron_stem, "elu": _elu_stem, "sft": _sft_stem}
"""What brings features to the streams of the encoder, by its name in `ParserOptions.stem`."""

NETWORKS: dict[str, Builder | None] = {
    "hybrid": None,
    "for-against": _for_against,
    "presence": _presence,
    "class-wise": _class_wise,
    "label-queries": _label_queries,
}
"""Whole networks by their name in `ParserOptions.network`; None for the one that is put together of stem, encoder,
classifier and pooling."""

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
