"""MM-CSE's network: features of each class in each second, compared within the second and with their own clip mean.

Shape legend as in `valor.parsers.hybrid`; E features of a class. In front of the encoder each stream is taken apart
into C classes and a background; a gate says how much of each is in a second. The encoder has one set of weights for
both streams, which it updates together; a layer is no residual block as a whole and has one norm:

    S = q + self(q);         U = q + G(S, S)
    S' = q + cross(q, k);    U' = q + G'(S', k)
    next q = FF(LN(W U + W' U'))
    G(x, g) = sigmoid(cos(relu(P x_t), g*)) g*,   g* = mean over t of relu(Q g);   in G', P and Q are one

Attention is over the classes of one second, so G is the only path along time.

Source:
    MM-CSE, AAAI 2025, and its code, whose training script is not public. It fixes the width at 256 and ignores its
    options for the inner width and the place of norms. Where dropout acts besides on attention weights and in the
    visual branch is our choice: in the gate, and inside the feed-forward block.
"""

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..attention import MultiheadAttention
from ..cpu.dropout import drop
from ..cpu.products import Dense, dense
from ..hybrid import HybridParser, ParserOutput
from ..pooling import AttentiveMilPooling, PooledProbs

_TOGETHER = 8
"""Clips that go through the layers at a time on a CPU."""
_SHORTEST = 1e-8
"""Vectors are not taken for shorter where they are compared, as torch has it."""


@dataclass(frozen=True, eq=False)
class ClassWiseOutput(ParserOutput):
    """The answer, and what the further losses are taken of; `features` are those of all classes side by side."""

    taken_apart: Tensor
    """float [B, T, M, C + 1, E], features of the classes and, last, of background, before the gate."""
    stemmed: Tensor
    """float [B, T, M, D], what the stem gave."""
    rebuilt: Tensor
    """float [B, T, M, D], the streams again, from the features of the classes."""
    maps: Tensor
    """float [B, T, M, M, C, C], attention of the last layer, the mean over heads: rows are classes of the first
    modality, columns those of the second."""


class Mapped(NamedTuple):
    """What attention gathered, and how."""

    gathered: Tensor
    """float [..., C, E]."""
    weights: Tensor
    """float [..., H, C, C]."""


class MappedAttention(MultiheadAttention):
    """Attention that tells its weights."""

    def mapped(self, query: Tensor, source: Tensor) -> Mapped:
        """Let each class gather from those of the source, float [..., C, E] each."""
        queries = dense(query, self.in_weight, self.in_bias)
        sources = queries if source is query else dense(source, self.in_weight, self.in_bias)
        q, (_, k, v) = self.in_heads(queries)[0], self.in_heads(sources)
        return self.attend(q, k, v)

    def in_heads(self, projected: Tensor) -> Tensor:
        """Projections side by side, float [..., C, parts E], as [parts, ..., H, C, E / H]."""
        width = self.out_projection.in_features
        parts = projected.view(*projected.shape[:-1], -1, self.num_heads, width // self.num_heads)
        apart: Tensor = parts.movedim(-3, 0).transpose(-2, -3).contiguous()
        return apart

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Mapped:
        """The same of queries, keys and values that are split into heads, float [..., H, C, E / H] each."""
        scores = (q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)).softmax(dim=-1)  # [..., H, C, C]
        scores = drop(scores, self.dropout, training=self.training)
        return Mapped(self.out_projection((scores @ v).transpose(-2, -3).flatten(-2)), scores)


class ClipMean(nn.Module):
    """G: a class in a second is worth its clip's mean, as far as it is like it."""

    def __init__(self, width: int, *, one_map: bool = False) -> None:
        """Make the layers; with one map the second is asked of the first."""
        super().__init__()
        self.own = Dense(width, width)
        self.whole = None if one_map else Dense(width, width)

    def forward(self, x: Tensor, given: Tensor, valid: Tensor | None = None) -> Tensor:
        """Weigh the mean of `given` by its likeness with `x`, float [B, T, C, E] each; valid bool [B, T]."""
        if x is given and self.whole is not None:  # one product for both
            layers = (self.own, self.whole)
            weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
            own, rows = functional.relu(dense(x, weight, bias)).chunk(2, dim=-1)
            return weighed(own, mean_of(rows, valid))
        return weighed(functional.relu(self.own(x)), self.mean(given, valid))

    def mean(self, given: Tensor, valid: Tensor | None) -> Tensor:
        """The clip's mean of what is made of `given`, float [B, 1, C, E]."""
        return mean_of(functional.relu((self.own if self.whole is None else self.whole)(given)), valid)


def mean_of(rows: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over time of the seconds there are, float [B, 1, C, E] of [B, T, C, E]."""
    if valid is None:
        return rows.mean(dim=1, keepdim=True)
    exists = valid[:, :, None, None].to(rows.dtype)
    return (rows * exists).sum(dim=1, keepdim=True) / exists.sum(dim=1, keepdim=True)


def weighed(own: Tensor, mean: Tensor) -> Tensor:
    """The mean [B, 1, C, E] in each second, by the sigmoid of its cosine with float [B, T, C, E]."""
    lengths = own.norm(dim=-1).clamp_min(_SHORTEST) * mean.norm(dim=-1).clamp_min(_SHORTEST)
    like: Tensor = (own * mean).sum(dim=-1) / lengths
    return like.sigmoid()[..., None] * mean


class ClassLayer(nn.Module):
    """One layer, see the top of this file."""

    def __init__(self, width: int, num_heads: int, feedforward_width: int, dropout: float = 0.1) -> None:
        """Make the parts, for features of a class of some width."""
        super().__init__()
        self.dropout = dropout
        self.widen, self.narrow = Dense(width, feedforward_width), Dense(feedforward_width, width)
        self.norm = nn.LayerNorm(width)
        self.along, self.across = (MappedAttention(width, num_heads, dropout) for _ in range(2))
        self.along_mean, self.across_mean = ClipMean(width), ClipMean(width, one_map=True)
        self.from_along, self.from_across = Dense(width, width), Dense(width, width)

    def forward(self, streams: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Update both streams at once, since they have one set of weights.

        Args:
            streams: float [2 B, T, C, E], all clips of the one, then all of the other.
            valid: bool [2 B, T], likewise.

        Returns:
            The streams, then the attention of each to itself and to the other, [2 B, T, H, C, C] each.
        """
        attentions = (self.along, self.across)
        weight = torch.cat([attention.in_weight for attention in attentions])  # [6 E, E]
        bias = torch.cat([attention.in_bias for attention in attentions])
        q, k, v, across_q, across_k, across_v = self.along.in_heads(dense(streams, weight, bias))
        along = self.along.attend(q, k, v)
        across = self.across.attend(across_q, other_first(across_k), other_first(across_v))
        own = streams + along.gathered
        updated = streams + self.along_mean(own, own, valid)
        mapped = functional.relu(self.across_mean.own(streams + across.gathered))
        crossed = streams + weighed(mapped, other_first(self.across_mean.mean(streams, valid)))
        x = self.norm(self.from_along(updated) + self.from_across(crossed))
        inner = drop(functional.relu(self.widen(x)), self.dropout, training=self.training)
        return self.narrow(inner), along.weights, across.weights


def other_first(streams: Tensor) -> Tensor:
    """Both halves of the first axis, changed over."""
    return torch.cat(streams.chunk(2)[::-1])


class ClassEncoder(nn.Module):
    """A stack of layers; all start as copies of one."""

    def __init__(self, layer: ClassLayer, num_layers: int) -> None:
        """Copy the layer."""
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode both streams, float [B, T, C, E]; then the maps of the last layer, [B, T, M, M, C, C].

        Clips do not know of one another, so some at a time go through all layers, while they are in the cache.
        """
        if len(audio) <= _TOGETHER or audio.device.type != "cpu":
            return self._encode(audio, visual, valid)
        held = (audio, visual) if valid is None else (audio, visual, valid)
        parts = zip(*(torch.split(each, _TOGETHER) for each in held), strict=True)
        heard, seen, maps = (torch.cat(found) for found in zip(*(self._encode(*part) for part in parts), strict=True))
        return heard, seen, maps

    def _encode(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        streams, exists = torch.cat((audio, visual)), None if valid is None else torch.cat((valid, valid))
        along = across = streams
        for layer in self.layers:
            streams, along, across = layer(streams, exists)
        (heard_heard, seen_seen), (heard_seen, seen_heard) = (held.mean(dim=-3).chunk(2) for held in (along, across))
        rows = (torch.stack((heard_heard, heard_seen), dim=2), torch.stack((seen_heard, seen_seen), dim=2))
        heard, seen = streams.chunk(2)
        return heard, seen, torch.stack(rows, dim=2)


class ClassHeads(nn.Module):
    """A layer of its own for each class, from features [..., C, E] to one number each, [..., C]."""

    def __init__(self, width: int, num_classes: int) -> None:
        """Draw the layers one by one."""
        super().__init__()
        layers = [nn.Linear(width, 1) for _ in range(num_classes)]
        self.weight = nn.Parameter(torch.cat([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.cat([layer.bias.detach() for layer in layers]))

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return (features * self.weight).sum(dim=-1) + self.bias


class ClassBranches(nn.Module):
    """A layer of its own for each class, from features [..., K, E] to [..., K, E']."""

    def __init__(self, width: int, out_width: int, count: int) -> None:
        """Draw the layers one by one."""
        super().__init__()
        layers = [nn.Linear(width, out_width) for _ in range(count)]
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return torch.einsum("...ke,kfe->...kf", features, self.weight) + self.bias


class Unmix(nn.Module):
    """Takes a stream apart into classes and background, and puts it together again."""

    def __init__(self, width: int, num_classes: int, *, deep: bool, dropout: float) -> None:
        """Make the layers; the visual branches are the deep ones."""
        super().__init__()
        inner, self.count, self.dropout = width // 2, num_classes + 1, dropout
        self.first = Dense(width, inner * self.count)
        self.second = ClassBranches(inner, inner, self.count) if deep else None
        self.gate = nn.ModuleList((Dense(width, inner), Dense(inner, 1)))
        self.join = Dense(2 * inner, inner)
        self.rebuild = nn.ModuleList((Dense(inner * self.count, width), Dense(width, width)))

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """Features float [B, T, C + 1, E] of a stream [B, T, D], and, gated, those of the classes [B, T, C, E]."""
        bent = functional.relu(stream)
        apart = functional.relu(self.first(bent)).view(*stream.shape[:2], self.count, -1)  # [B, T, C + 1, E]
        if self.second is not None:
            apart = functional.relu(self.second(drop(apart, self.dropout, training=self.training)))
        inner = drop(functional.relu(self.gate[0](bent)), self.dropout, training=self.training)
        share = self.gate[1](inner).sigmoid()[..., None]  # [B, T, 1, 1]
        classes, background = apart[..., :-1, :], apart[..., -1:, :].expand_as(apart[..., :-1, :])
        return apart, functional.relu(self.join(torch.cat((share * classes, (1 - share) * background), dim=-1)))

    def again(self, apart: Tensor) -> Tensor:
        """The stream [B, T, D] of the features [B, T, C + 1, E]."""
        inner = functional.relu(self.rebuild[0](apart.flatten(-2)))
        return functional.relu(self.rebuild[1](inner))


class ClassPooling(AttentiveMilPooling):
    """Attentive pooling whose heads look at the features of their class alone, [B, T, M, C, E]."""

    def __init__(self, width: int, num_classes: int) -> None:
        """Make the heads."""
        nn.Module.__init__(self)
        self.temporal_attention = ClassHeads(width, num_classes)
        self.modality_attention = ClassHeads(width, num_classes)


class ClassWiseParser(HybridParser):
    """See the top of this file."""

    def __init__(self, stem: nn.Module, width: int, num_classes: int, options: Any) -> None:
        """Take the stem of streams of some width, and make the rest by the options; see `HybridParser`."""
        inner = width // 2
        layer = ClassLayer(inner, options.num_heads, options.feedforward_width, options.dropout)
        heads = cast(nn.Linear, ClassHeads(inner, num_classes))
        encoder = ClassEncoder(layer, options.num_layers)
        super().__init__(stem, encoder, heads, ClassPooling(inner, num_classes), options=options)
        self.audio, self.visual = (
            Unmix(width, num_classes, deep=deep, dropout=options.dropout) for deep in (False, True)
        )

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> ClassWiseOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`."""
        given = self.streams(audio, visual, motion, valid)
        (heard, audible), (seen, visible) = self.audio(given[0]), self.visual(given[1])
        encoded_audio, encoded_visual, maps = self.encoder(audible, visible, valid)
        features = torch.stack((encoded_audio, encoded_visual), dim=2)  # [B, T, M, C, E]
        logits = self.classifier(features)
        probs = logits.sigmoid()
        pooled = cast(PooledProbs, self.pooling(features, probs, valid))
        return ClassWiseOutput(
            logits,
            probs,
            pooled.clip,
            pooled.modality,
            features.flatten(-2),
            taken_apart=torch.stack((heard, seen), dim=2),
            stemmed=torch.stack(given, dim=2),
            # what stands in front of the first layer of the visual one, a ReLU, changes nothing: there is one before it
            rebuilt=torch.stack((self.audio.again(heard), self.visual.again(seen)), dim=2),
            maps=maps,
        )

    def answer_alone(
        self,
        audio: Tensor,
        visual: Tensor,
        motion: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        after: ParserOutput | None = None,
    ) -> ParserOutput:
        """Refused: a layer knows no stream alone."""
        raise ValueError("this network cannot encode a stream without the other")
