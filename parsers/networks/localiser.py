"""The network UnAV-100 was published with: events with both ends and a class, from points at six time scales.

    x_m = relu(norm(conv(.))) twice, plus a table of sines; two blocks of self-attention       for each modality m
    V_0, A_0 = f(V, A), f(A, V);   V_l+1, A_l+1 = g(V_l, A_l), g(A_l, V_l)                     g halves the length
    z_l = dependency([V_l, A_l])                                                               levels l = 0..5
    at each point of z_l: a logit of each class, and how far both ends are, of each class

A block f(x, y) asks with y and answers with x: queries of y; keys, values and what is added to of x. The dependency
block spreads a level to features of each class, lets a class attend along time and the classes of a moment to one
another, and brings the sum back.

Every clip is masked by itself. The published code masks the time branch of the dependency block of several clips of
unlike length by one another's lengths; with one clip, or clips of one length, both are the same, and equal to the
golden `unav_net_aware_dependency` and `unav_net_agnostic_plain`.

Source: Geng et al., "Dense-localizing audio-visual events in untrimmed videos: a large-scale benchmark and baseline",
CVPR 2023, and its code; its points are those of Zhang et al., "ActionFormer", ECCV 2022.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..hybrid import HybridParser, ParserOutput, Stem
from ..perceptron import Passed
from ..pooling import MaxPooling

LEVELS = 6
"""Time scales; of level l every 2^l-th step is a point."""
CLASS_WIDTH = 128
"""Features of a class in the dependency block."""


@dataclass(frozen=True, kw_only=True)
class LocaliserOptions:
    """Sizes of the network; the defaults are the published ones, but for the heads, of which no source was seen."""

    audio_width: int = 128
    """Features a step of VGGish."""
    visual_width: int = 2048
    """Of I3D, of pictures and of flow."""
    num_classes: int = 100
    width: int = 512
    """Of each modality."""
    num_heads: int = 4
    head_width: int = 512
    """Of the layers that classify and regress."""
    table_length: int = 224
    """Steps every clip is filled up to, a multiple of 32, and the table of sines is made for. Longer clips are filled
    up to the next multiple of 32, and the table is stretched."""
    class_aware: bool = True
    """Whether each class has ends of its own."""
    dependency: bool = True
    """Whether there is a dependency block."""
    drop_path: float = 0.1
    """Share of clips in which the answer of a block is left out, in training."""


@dataclass(frozen=True, eq=False)
class LocaliserOutput:
    """What the network answers at the points of each level."""

    logits: tuple[Tensor, ...]
    """float [B, T_l, C] each."""
    offsets: tuple[Tensor, ...]
    """float [B, T_l, C or 1, 2] each, how far both ends are, in points of the level; never negative."""
    valid: tuple[Tensor, ...]
    """bool [B, T_l] each, where there is a point."""
    features: Tensor | None = None
    """float [B, T_0, M, W], both streams at the finest level."""


class ChannelNorm(nn.Module):
    """Normalises the channels of each step of [B, D, T]."""

    def __init__(self, width: int) -> None:
        """Start as the plain normalisation."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, width, 1))
        self.bias = nn.Parameter(torch.zeros(1, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Mean 0 and deviation 1, then weight and bias."""
        centred = x - x.mean(dim=1, keepdim=True)
        return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias


class MaskedConv(nn.Conv1d):
    """A convolution of width 3 whose answer is 0 where there is no step."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, groups: int = 1, bias: bool = False) -> None:
        """Make the weights."""
        super().__init__(inside, outside, 3, stride=stride, padding=1, groups=groups, bias=bias)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def masked(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Of float [B, D, T] and bool [B, T]; with a stride both get shorter."""
        kept = valid[:, :: self.stride[0]]
        return self(x) * kept[:, None], kept


class Attention(nn.Module):
    """Attention along time between what depthwise convolutions make of two streams."""

    def __init__(self, width: int, num_heads: int, stride: int) -> None:
        """Make the convolutions, norms and projections."""
        super().__init__()
        self.num_heads = num_heads
        self.spread = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.project = nn.ModuleDict()
        for part in ("query", "key", "value"):
            self.spread[part] = MaskedConv(width, width, stride=stride, groups=width)
            self.norms[part] = ChannelNorm(width)
            self.project[part] = nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, asked: Tensor, asking: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Answer float [B, D, T'] and bool [B, T'], from two streams float [B, D, T] and where they have steps."""
        parts: dict[str, Tensor] = {}  # float [B, H, T', D / H] each
        kept = valid
        for part, stream in (("query", asking), ("key", asked), ("value", asked)):
            conv = self.spread[part]
            assert isinstance(conv, MaskedConv)
            spread, kept = conv.masked(stream, valid)
            projected: Tensor = self.project[part](self.norms[part](spread))
            parts[part] = projected.view(len(projected), self.num_heads, -1, projected.shape[2]).transpose(2, 3)
        bias = torch.zeros(kept.shape, dtype=asked.dtype, device=asked.device).masked_fill(~kept, float("-inf"))
        bias = torch.where(kept.any(dim=1, keepdim=True), bias, 0)[:, None, None]  # nothing to attend to is no NaN
        weights = parts["query"] @ parts["key"].transpose(2, 3) / math.sqrt(parts["query"].shape[-1]) + bias
        found = weights.softmax(dim=-1) @ (parts["value"] * kept[:, None, :, None])
        answer: Tensor = self.out(found.transpose(2, 3).flatten(1, 2)) * kept[:, None]
        return answer, kept


class Scaled(nn.Module):
    """The answer of a branch, small at first, and in training left out of some clips."""

    def __init__(self, width: int, share: float) -> None:
        """Start at 1e-4."""
        super().__init__()
        self.scale = nn.Parameter(torch.full((1, width, 1), 1e-4))
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        """Scale, and drop."""
        if self.training and self.share:
            kept = torch.rand(len(x), 1, 1, device=x.device) >= self.share
            x = x * kept / (1 - self.share)
        return x * self.scale


class Block(nn.Module):
    """f(x, y) of the top of this file; with y = x self-attention."""

    def __init__(self, width: int, num_heads: int, *, inner: int, stride: int = 1, drop_path: float = 0.0) -> None:
        """Make the parts."""
        super().__init__()
        self.stride = stride
        self.norm_asked, self.norm_asking, self.norm_inner = (ChannelNorm(width) for _ in range(3))
        self.attention = Attention(width, num_heads, stride)
        self.inner = nn.Sequential(nn.Conv1d(width, inner, 1), nn.GELU(), nn.Conv1d(inner, width, 1))
        self.scale_attention, self.scale_inner = Scaled(width, drop_path), Scaled(width, drop_path)

    def forward(self, x: Tensor, y: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Of float [B, D, T] each and bool [B, T]; with a stride all gets shorter."""
        found, kept = self.attention(self.norm_asked(x), self.norm_asking(y), valid)
        if self.stride > 1:
            x = functional.max_pool1d(x, self.stride + 1, self.stride, (self.stride + 1) // 2)
        x = x * kept[:, None] + self.scale_attention(found)
        return x + self.scale_inner(self.inner(self.norm_inner(x)) * kept[:, None]), kept


class Entry(nn.Module):
    """The features of one modality on their way to the levels."""

    def __init__(self, inside: int, options: LocaliserOptions) -> None:
        """Make two convolutions and two blocks."""
        super().__init__()
        width = options.width
        self.convs = nn.ModuleList([MaskedConv(size, width) for size in (inside, width)])
        self.norms = nn.ModuleList([ChannelNorm(width) for _ in range(2)])
        self.blocks = nn.ModuleList(
            [Block(width, options.num_heads, inner=4 * width, drop_path=options.drop_path) for _ in range(2)]
        )

    def forward(self, x: Tensor, table: Tensor, valid: Tensor) -> Tensor:
        """Of float [B, D, T], a table float [1, W, T] and bool [B, T]: float [B, W, T]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, MaskedConv)
            x = functional.relu(norm(conv.masked(x, valid)[0]))
        x = x + table * valid[:, None]
        for block in self.blocks:
            x, _ = block(x, x, valid)
        return x


class Dependency(nn.Module):
    """What the classes of a clip say of one another, at a time and along it."""

    def __init__(self, width: int, num_classes: int, drop_path: float) -> None:
        """Make the two branches."""
        super().__init__()
        self.num_classes = num_classes
        self.expand = MaskedConv(width, CLASS_WIDTH * num_classes)
        self.squeeze = MaskedConv(CLASS_WIDTH * num_classes, width)
        self.along_time = Block(CLASS_WIDTH, 1, inner=CLASS_WIDTH, drop_path=drop_path)
        self.among_classes = Block(CLASS_WIDTH, 1, inner=CLASS_WIDTH, drop_path=drop_path)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Of float [B, D, T] and bool [B, T], the same shape."""
        clips, classes, steps = len(x), self.num_classes, x.shape[-1]
        spread = functional.relu(self.expand.masked(x, valid)[0])
        spread = spread.view(clips, classes, CLASS_WIDTH, steps).transpose(1, 2)  # [B, D, C, T]
        rows = spread.permute(0, 2, 1, 3).flatten(0, 1)  # [B C, D, T], the classes of a clip behind one another
        timely, _ = self.along_time(rows, rows, valid.repeat_interleave(classes, dim=0))
        timely = timely.view(clips, classes, CLASS_WIDTH, steps).permute(0, 2, 1, 3)
        rows = spread.permute(0, 3, 1, 2).flatten(0, 1)  # [B T, D, C]
        likely, _ = self.among_classes(rows, rows, valid.flatten()[:, None].expand(-1, classes))
        likely = likely.view(clips, steps, CLASS_WIDTH, classes).permute(0, 2, 3, 1)
        return self.squeeze.masked((timely + likely).transpose(1, 2).flatten(1, 2), valid)[0]


class Head(nn.Module):
    """Two convolutions, and one more to the answer."""

    def __init__(self, inside: int, width: int, outside: int) -> None:
        """Make the weights."""
        super().__init__()
        self.convs = nn.ModuleList([MaskedConv(size, width) for size in (inside, width)])
        self.norms = nn.ModuleList([ChannelNorm(width) for _ in range(2)])
        self.last = MaskedConv(width, outside, bias=True)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Of float [B, D, T] and bool [B, T]: float [B, O, T]."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            assert isinstance(conv, MaskedConv)
            x = functional.relu(norm(conv.masked(x, valid)[0]))
        return self.last.masked(x, valid)[0]


class Localiser(nn.Module):
    """The network; see the top of this file."""

    def __init__(self, options: LocaliserOptions) -> None:
        """Make it with fresh weights."""
        super().__init__()
        self.options = options
        width, joined = options.width, 2 * options.width
        self.audio, self.visual = Entry(options.audio_width, options), Entry(options.visual_width, options)
        blocks = {"num_heads": options.num_heads, "inner": 4 * width}
        self.cross = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: Block(width, **blocks, stride=1 if level == 0 else 2, drop_path=options.drop_path)
                    for name in ("visual", "audio")
                }
            )
            for level in range(LEVELS)
        )
        self.dependency = Dependency(joined, options.num_classes, options.drop_path) if options.dependency else None
        self.classify = Head(joined, options.head_width, options.num_classes)
        self.regress = Head(joined, options.head_width, 2 * (options.num_classes if options.class_aware else 1))
        self.scales = nn.ParameterList([nn.Parameter(torch.tensor(1.0)) for _ in range(LEVELS)])
        if self.classify.last.bias is not None:
            nn.init.constant_(self.classify.last.bias, -math.log(99))  # a probability of 0.01

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> LocaliserOutput:
        """Localise events in a batch of clips.

        Args:
            audio: float [B, T, D_a].
            visual: float [B, T, D_v].
            valid: bool [B, T], from the first step on; None where all steps exist.

        Returns:
            The answer at T / 2^l points, T filled up. It does not depend on other clips, but in the last points on how
            far clips of more than `table_length` steps are filled up: norms give what lies behind a clip their bias, as
            published.
        """
        if valid is None:
            valid = torch.ones(audio.shape[:2], dtype=torch.bool, device=audio.device)
        more = max(self.options.table_length - audio.shape[1], -audio.shape[1] % 2 ** (LEVELS - 1))
        audio, visual = (functional.pad(stream, (0, 0, 0, more)).transpose(1, 2) for stream in (audio, visual))
        valid = functional.pad(valid, (0, more))
        audio, visual = audio * valid[:, None], visual * valid[:, None]
        table = sines(self.options.width, self.options.table_length, audio.shape[-1]).to(audio)
        heard, seen = self.audio(audio, table, valid), self.visual(visual, table, valid)
        logits, offsets, places, streams = [], [], [], []
        for cross, scale in zip(self.cross, self.scales, strict=True):
            assert isinstance(cross, nn.ModuleDict)
            (seen, kept), (heard, _) = cross["visual"](seen, heard, valid), cross["audio"](heard, seen, valid)
            valid, joined = kept, torch.cat([seen, heard], dim=1)
            streams.append((heard, seen))
            if self.dependency is not None:
                joined = self.dependency(joined, valid)
            logits.append(self.classify(joined, valid).transpose(1, 2))
            ends = functional.relu(self.regress(joined, valid) * scale).transpose(1, 2)
            offsets.append(ends.reshape(*ends.shape[:2], -1, 2))
            places.append(valid)
        finest = torch.stack(streams[0], dim=1).permute(0, 3, 1, 2)
        return LocaliserOutput(tuple(logits), tuple(offsets), tuple(places), finest)


@dataclass(frozen=True, eq=False)
class PointOutput(ParserOutput):
    """A segment is as probable as the surest point at it, of any level; both modalities alike."""

    points: LocaliserOutput
    """What the points say, which events are read off."""


class LocaliserParser(HybridParser):
    """The network as a parser of this project: its events are those of `PointOutput.points`."""

    most_clips = 16
    """Clips it answers for at a time: the dependency block holds features of every class."""

    def __init__(self, options: Any, sizes: LocaliserOptions, *, window: int) -> None:
        """Make it with fresh weights.

        Args:
            options: `ParserOptions`, whose widths and number of classes are those of the sizes.
            sizes: Of the network.
            window: Steps that a feature is made of: the first one is of the seconds around window / 2 steps.
        """
        nothing = cast(nn.Linear, nn.Identity())
        stem = Stem(Passed(sizes.audio_width), Passed(sizes.visual_width))
        super().__init__(stem, nn.Identity(), nothing, MaxPooling(), options=options)
        self.localiser = Localiser(sizes)
        self.window = window

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> PointOutput:
        """Parse a batch of clips; arguments, errors and what may not matter as in HybridParser."""
        self._check(audio, visual, motion, valid)
        found, steps = self.localiser(*self.stem(audio, visual, motion), valid), audio.shape[1]
        levels = [
            logits.masked_fill(~places[..., None], _NOWHERE).repeat_interleave(2**level, dim=1)[:, :steps]
            for level, (logits, places) in enumerate(zip(found.logits, found.valid, strict=True))
        ]
        surest = torch.stack(levels).amax(dim=0)  # [B, T, C]
        if valid is not None:
            surest = surest.masked_fill(~valid[..., None], _NOWHERE)
        logits, probs = (part[:, :, None].expand(-1, -1, 2, -1) for part in (surest, surest.sigmoid()))
        of_clip = probs[:, :, 0].amax(dim=1)
        assert found.features is not None
        return PointOutput(
            logits, probs, of_clip, of_clip[:, None].expand(-1, 2, -1), found.features[:, :steps], points=found
        )

    def encode_alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Refuse: neither stream says anything without the other here.

        Raises:
            ValueError: Always.
        """
        raise ValueError("the network of UnAV-100 needs sound and picture; clips of one alone are parsed by the others")


_NOWHERE = -30.0
"""The logit where there is no point."""


def sines(width: int, length: int, steps: int) -> Tensor:
    """Float [1, D, T]: sines and cosines of steps over rising periods, over the root of D.

    Args:
        width: D.
        length: Steps the table is made for.
        steps: T; the table of more steps than it is made for is stretched.
    """
    place = torch.arange(length, dtype=torch.float64)[None]
    channel = torch.arange(width)[:, None]
    angle = place / 10_000 ** ((channel - channel % 2).double() / width)
    table = torch.where(channel % 2 == 0, angle.sin(), angle.cos())[None].float() / math.sqrt(width)  # as published
    if steps > length:
        return functional.interpolate(table, steps, mode="linear", align_corners=False)
    return table[..., :steps]


_PUBLISHED = (
    (r"backbone\.embd_([VA])\.(\d)\.conv", r"\1.convs.\2"),
    (r"backbone\.embd_norm_([VA])\.", r"\1.norms."),
    (r"backbone\.self_att_([VA])\.", r"\1.blocks."),
    (r"backbone\.ori_cross_att_([VA])[av]\.", r"cross.0.\1."),
    (r"dependency_block\.feature_(expand|squeeze)\.conv", r"dependency.\1"),
    (r"dependency_block\.temporal_branch", "dependency.along_time"),
    (r"dependency_block\.cooccur_branch", "dependency.among_classes"),
    (r"(cls|reg)_head\.head\.(\d)\.conv", r"\1.convs.\2"),
    (r"(cls|reg)_head\.norm\.", r"\1.norms."),
    (r"(cls|reg)_head\.(?:cls|offset)_head\.conv", r"\1.last"),
    (r"reg_head\.scale\.(\d)\.scale", r"scales.\1"),
    (r"\.attn\.(query|key|value)_conv\.conv", r".attention.spread.\1"),
    (r"\.attn\.(query|key|value)_norm", r".attention.norms.\1"),
    (r"\.attn\.(query|key|value)\.", r".attention.project.\1."),
    (r"\.attn\.proj", ".attention.out"),
    (r"\.ln11\.", ".norm_asked."),
    (r"\.ln12\.", ".norm_asking."),
    (r"\.ln2\.", ".norm_inner."),
    (r"\.mlp\.0\.", ".inner.0."),
    (r"\.mlp\.3\.", ".inner.2."),
    (r"\.drop_path_attn\.", ".scale_attention."),
    (r"\.drop_path_mlp\.", ".scale_inner."),
)
_ENDS = {"V": "visual", "A": "audio", "cls": "classify", "reg": "regress"}


def from_published_localiser(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a published state dict of this network, such as `backbone.embd_V.0.conv.weight`, into one of ours."""
    found = {}
    for name, tensor in state.items():
        deeper = re.fullmatch(r"backbone\.cross_att_([VA])[av]\.(\d)\.(.+)", name)
        ours = f"cross.{int(deeper[2]) + 1}.{deeper[1]}.{deeper[3]}" if deeper else name
        for pattern, by in _PUBLISHED:
            ours = re.sub(pattern, by, ours)
        found[".".join(_ENDS.get(part, part) for part in ours.split("."))] = tensor
    return found
