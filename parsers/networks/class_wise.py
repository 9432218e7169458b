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
    """float [..., C, C], the mean over heads."""


class MappedAttention(MultiheadAttention):
    """Attention that tells its weights."""

    def mapped(self, query: Tensor, source: Tensor) -> Mapped:
        """Let each class gather from those of the source, float [..., C, E] each."""
        width = query.shape[-1]
        weights, biases = torch.split(self.in_weight, width), torch.split(self.in_bias, width)
        q, k, v = (
            self._split(dense(given, weight, bias))
            for given, weight, bias in zip((query, source, source), weights, biases, strict=True)
        )  # [..., H, C, E / H]
        scores = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)  # [..., H, C, C]
        scores = drop(scores, self.dropout, training=self.training)
        gathered = (scores @ v).transpose(-2, -3).flatten(-2)  # [..., C, E]
        return Mapped(self.out_projection(gathered), scores.mean(dim=-3))

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(-2, -3)


class ClipMean(nn.Module):
    """G: a class in a second is worth its clip's mean, as far as it is like it."""

    def __init__(self, width: int, *, one_map: bool = False) -> None:
        """Make the layers; with one map the second is asked of the first."""
        super().__init__()
        self.own = Dense(width, width)
        self.whole = None if one_map else Dense(width, width)

    def forward(self, x: Tensor, given: Tensor, valid: Tensor | None = None) -> Tensor:
        """Weigh the mean of `given` by its likeness with `x`, float [B, T, C, E] each; valid bool [B, T]."""
        own = functional.relu(self.own(x))
        rows = functional.relu((self.own if self.whole is None else self.whole)(given))
        if valid is None:
            mean = rows.mean(dim=1, keepdim=True)  # [B, 1, C, E]
        else:
            exists = valid[:, :, None, None].to(rows.dtype)
            mean = (rows * exists).sum(dim=1, keepdim=True) / exists.sum(dim=1, keepdim=True)
        like = functional.cosine_similarity(own, mean.expand_as(own), dim=-1)
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

    def forward(self, query: Tensor, other: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Update one stream, float [B, T, C, E]; then its attention to itself and to the other, [B, T, C, C] each."""
        along, across = self.along.mapped(query, query), self.across.mapped(query, other)
        own = query + along.gathered
        updated = query + self.along_mean(own, own, valid)
        crossed = query + self.across_mean(query + across.gathered, other, valid)
        x = self.norm(self.from_along(updated) + self.from_across(crossed))
        inner = drop(functional.relu(self.widen(x)), self.dropout, training=self.training)
        return self.narrow(inner), along.weights, across.weights


class ClassEncoder(nn.Module):
    """A stack of layers; all start as copies of one."""

    def __init__(self, layer: ClassLayer, num_layers: int) -> None:
        """Copy the layer."""
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode both streams, float [B, T, C, E]; then the maps of the last layer, [B, T, M, M, C, C]."""
        maps = audio.new_empty(0)
        for layer in self.layers:
            heard, to_self, to_seen = layer(audio, visual, valid)
            seen, own, to_heard = layer(visual, audio, valid)
            audio, visual = heard, seen
            rows = (torch.stack((to_self, to_seen), dim=2), torch.stack((to_heard, own), dim=2))
            maps = torch.stack(rows, dim=2)
        return audio, visual, maps


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
        streams: tuple[Tensor, Tensor] | None = None,
    ) -> ParserOutput:
        """Refused: a layer knows no stream alone."""
        raise ValueError("this network cannot encode a stream without the other")
