"""LEAP's network: labels ask the seconds of each modality, behind an encoder of windows that widen.

Shape legend as in `valor.parsers.hybrid`. A layer R lets queries gather from a source that is *not* normalised, and
ends in a feed-forward block:

    R(q, k):  q = q + att(LN q -> k);  q = q + FF(LN q)

Encoder (MM-Pyramid), levels i = 0, 1, ..., each on the output of the one before, attention within 2^i seconds:

    s = R(x, x);  c = R(x, other), one layer for both modalities;  m = sigmoid(W [s, c]) s + sigmoid(W' [s, c]) c
    level = relu(conv1(relu(conv3(m, dilation 2^i))) + m)

The levels of one second attend to one another and are added with weights sigmoid(Linear). Decoder, per modality:

    q = q + att(LN q -> seconds);  score = head mean of q k / sqrt(width of a head);  q = q + FF(LN q)

The score of a class in a second is that of the last layer, from a second attention call with the updated query without
its norm; the probability of the clip is read off the query. Modalities do not exchange in the decoder.

Source:
    LEAP, ECCV 2024, and its code; encoder of MM-Pyramid, ACM MM 2022. That the last layer's attention is the answer is
    a comment in the code. Layers that its module keeps as templates, and never runs, are not built.
"""

import copy
import math
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.attending import attention_scores, is_training_step
from ..cpu.convolution import convolved
from ..cpu.dropout import drop
from ..cpu.feedforward import feed_forward
from ..cpu.products import Dense, dense
from ..cpu.querying import Asking, QueryWeights, asked
from ..hybrid import HybridParser, ParserOutput

_FAR = -1e9
"""What attention scores outside a window are."""
_WEIGHTS_DROPOUT = 0.5
"""Dropout of attention weights, in shares of that elsewhere: .1 of .2."""
_DECODER_LAYERS = 2


@dataclass(frozen=True, eq=False)
class LabelQueryOutput(ParserOutput):
    """The answer, and the queries it was read off; `clip_probs` are those of the surer modality."""

    queries: Tensor
    """float [B, M, C, D], after the last layer."""


class QueryLayer(nn.Module):
    """R, see the top of this file."""

    def __init__(self, width: int, num_heads: int, feedforward_width: int, dropout: float = 0.2) -> None:
        """Make the projections, the feed-forward block and the two norms."""
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query, self.key, self.value, self.out = (Dense(width, width) for _ in range(4))
        self.widen, self.narrow = Dense(width, feedforward_width), Dense(feedforward_width, width)
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor, near: Tensor | None = None) -> Tensor:
        """Update queries float [B, T, D] from a source [B, S, D]; near bool [B, T, S], or None for all."""
        return self.close(self.ask(x, source, near)[0])

    def ask(self, x: Tensor, source: Tensor, near: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Queries with what they gather, float [B, T, D], and keys of the source, [B, S, D]; x may be [1, T, D]."""
        rates = (_WEIGHTS_DROPOUT * self.dropout, self.dropout) if self.training else (0.0, 0.0)
        if is_training_step(x):
            asking = Asking(self.num_heads, rates, self.attention_norm.eps, _FAR)
            return asked(x, source, self.weights(), asking, None if near is None else ~near)
        keys: Tensor = self.key(source)
        scores = self.scores(self.attention_norm(x), keys)
        weights = (scores if near is None else scores.masked_fill(~near.unsqueeze(-3), _FAR)).softmax(dim=-1)
        found = drop(weights, rates[0], training=self.training) @ self._heads(self.value(source))  # [B, H, T, D / H]
        return x + drop(self.out(found.transpose(-2, -3).flatten(-2)), rates[1], training=self.training), keys

    def weights(self) -> QueryWeights:
        """The parameters of `ask`."""
        layers = (self.query, self.key, self.value, self.out, self.attention_norm)
        return QueryWeights(*(parameter for layer in layers for parameter in (layer.weight, layer.bias)))

    def scores(self, x: Tensor, keys: Tensor) -> Tensor:
        """Scaled products of queries [B, T, D], to be projected, and keys [B, S, D], float [B, H, T, S]."""
        by_head = self._heads(keys)
        return attention_scores(self._heads(self.query(x)), by_head / by_head.shape[-1] ** 0.5)

    def mean_scores(self, x: Tensor, keys: Tensor) -> Tensor:
        """The mean of `scores` over heads, float [B, T, S]: a product of all features, so that keys are projected.

        (Wq x + bq) k / (H sqrt(D / H)) = (x Wq' k + bq k) / sqrt(D H); there are fewer segments than labels.
        """
        projected = dense(keys, self.query.weight.t(), None)  # [B, S, D]
        scores = attention_scores(x, projected) + (keys @ self.query.bias).unsqueeze(-2)
        return scores / math.sqrt(keys.shape[-1] * self.num_heads)

    def close(self, x: Tensor) -> Tensor:
        """The feed-forward block."""
        rate = self.dropout if self.training else 0.0
        return feed_forward(x, (self.widen, self.narrow), rate, self.feedforward_norm)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(-2, -3)


class PyramidLevel(nn.Module):
    """One level of the encoder; lists hold what audio and visual have each."""

    def __init__(self, layer: QueryLayer, reach: int) -> None:
        """Copy the layer; attention and convolution reach so many seconds."""
        super().__init__()
        width, self.reach = layer.query.in_features, reach
        self.along = nn.ModuleList(copy.deepcopy(layer) for _ in range(2))
        self.across = copy.deepcopy(layer)
        self.keep_own = nn.ModuleList(Dense(2 * width, width) for _ in range(2))
        self.keep_other = nn.ModuleList(Dense(2 * width, width) for _ in range(2))
        self.wide = nn.ModuleList(nn.Conv1d(width, width, 3, padding=reach, dilation=reach) for _ in range(2))
        self.narrow = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(2))

    def forward(self, streams: tuple[Tensor, Tensor], valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Update both streams, float [B, T, D] each, from the old ones; valid bool [B, T]."""
        place = torch.arange(streams[0].shape[1], device=streams[0].device)
        near = ((place[:, None] - place).abs() <= self.reach)[None]  # [1, T, T]
        if valid is not None:
            near = near & valid[:, None]
        anywhere = near if valid is None else torch.cat((near, near))
        across = self.across(torch.cat(streams), torch.cat(streams[::-1]), anywhere).chunk(2)  # [B, T, D] each
        found = []
        for own, x in enumerate(streams):
            both = torch.stack((self.along[own](x, x, near), across[own]), dim=-2)  # [B, T, 2, D]
            gates = [cast(Dense, gate[own]) for gate in (self.keep_own, self.keep_other)]
            weight, bias = torch.cat([gate.weight for gate in gates]), torch.cat([gate.bias for gate in gates])
            m = (dense(both.flatten(-2), weight, bias).sigmoid().view_as(both) * both).sum(dim=-2)
            if valid is not None:
                m = m * valid[..., None]  # as if the clip ended there
            wide, narrow = (cast(nn.Conv1d, layer[own]) for layer in (self.wide, self.narrow))
            found.append(functional.relu(convolved(functional.relu(convolved(m, wide)), narrow) + m))
        return found[0], found[1]


class Pyramid(nn.Module):
    """The encoder."""

    def __init__(self, layer: QueryLayer, num_levels: int) -> None:
        """Copy the layer; level i reaches 2^i seconds."""
        super().__init__()
        if num_levels < 1:
            raise ValueError(f"num_levels must be at least 1, got {num_levels}")
        self.levels = nn.ModuleList(PyramidLevel(layer, 2**level) for level in range(num_levels))
        self.mix = nn.ModuleList(copy.deepcopy(layer) for _ in range(2))
        self.weigh = nn.ModuleList(Dense(layer.query.in_features, 1) for _ in range(2))

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode both streams, float [B, T, D] each; valid bool [B, T]."""
        held, streams = [], (audio, visual)
        for level in self.levels:
            streams = level(streams, valid)
            held.append(streams)
        fused = []
        for own, levels in enumerate(zip(*held, strict=True)):
            stacked = torch.stack(levels, dim=2).flatten(0, 1)  # [B T, levels, D]
            mixed = self.mix[own](stacked, stacked).view(*audio.shape[:2], len(levels), -1)
            fused.append((self.weigh[own](mixed).sigmoid() * mixed).sum(dim=2))
        return fused[0], fused[1]


class LabelDecoder(nn.Module):
    """Labels ask the seconds; all layers of both modalities start as copies of one."""

    def __init__(self, layer: QueryLayer, num_layers: int) -> None:
        """Copy the layer."""
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers)) for _ in range(2))

    def forward(
        self, streams: tuple[Tensor, Tensor], labels: Tensor, valid: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Ask.

        Args:
            streams: float [B, T, D] each, audio and visual.
            labels: float [B, C, D], or [1, C, D] for the same of all clips, which then are projected once.
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            Scores of the last layer, float [B, M, C, T], and the queries after each layer, [B, M, C, D].
        """
        near = None if valid is None else valid[:, None]
        scores, steps = [], []
        for own, stream in enumerate(streams):
            x, held = labels, []
            layers = [cast(QueryLayer, layer) for layer in cast(nn.ModuleList, self.layers[own]).children()]
            for layer in layers:
                x, keys = layer.ask(x, stream, near)
                if layer is layers[-1]:
                    scores.append(layer.mean_scores(x, keys))
                x = layer.close(x)
                held.append(x)
            steps.append(held)
        return torch.stack(scores, dim=1), [torch.stack(pair, dim=1) for pair in zip(*steps, strict=True)]


class LabelQueryParser(HybridParser):
    """See the top of this file."""

    label_vectors: Tensor
    """float [C, label width], what the labels mean: kept with the weights, not trained."""

    def __init__(self, stem: nn.Module, options: Any) -> None:
        """Take the stem, and make the rest by the options; label vectors are 0 until they are given."""
        width = options.hidden_width
        layer = QueryLayer(width, options.num_heads, options.feedforward_width, options.dropout)
        encoder, decoder = Pyramid(layer, options.num_layers), LabelDecoder(layer, _DECODER_LAYERS)
        super().__init__(stem, encoder, Dense(options.label_width, width), decoder, options=options)
        self.clip_heads = nn.ModuleList(Dense(width, 1) for _ in range(2))
        self.register_buffer("label_vectors", torch.zeros(options.num_classes, options.label_width))

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> LabelQueryOutput:
        """Parse a batch of clips; arguments as in `HybridParser.forward`."""
        streams = self.encoder(*self.streams(audio, visual, motion, valid), valid)
        labels = self.classifier(self.label_vectors)[None]  # [1, C, D]
        scores, steps = self.pooling(streams, labels, valid)
        logits = scores.permute(0, 3, 1, 2)  # [B, T, M, C]
        queries = steps[-1]
        clip_logits = torch.stack([head(queries[:, own])[..., 0] for own, head in enumerate(self.clip_heads)], dim=1)
        modality = clip_logits.sigmoid()  # [B, M, C]
        features = torch.stack(streams, dim=2)
        return LabelQueryOutput(logits, logits.sigmoid(), modality.amax(dim=1), modality, features, queries)

    def answer_alone(
        self,
        audio: Tensor,
        visual: Tensor,
        motion: Tensor | None = None,
        valid: Tensor | None = None,
        *,
        after: ParserOutput | None = None,
    ) -> ParserOutput:
        """Refused: a level knows no stream alone."""
        raise ValueError("this network cannot encode a stream without the other")
