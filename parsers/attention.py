"""The hybrid attention encoder: every segment looks along its own stream and across to the other one."""

import copy
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cpu.attending import attention_scores, attention_weights
from .cpu.dropout import drop
from .cpu.feedforward import feed_forward
from .cpu.fused import LayerWeights, fused_layer
from .cpu.products import Dense, dense

_NORM_ORDERS, _UPDATE_ORDERS = ("post", "pre"), ("audio-first", "together")


class MultiheadAttention(nn.Module):
    """Scaled dot-product attention with one packed input projection, initialised as torch.nn.MultiheadAttention.

    The packed weight holds query, key and value rows in this order, so self-attention needs one matrix product and
    cross-attention two.
    """

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        """Make the projections of `num_heads` heads of width / num_heads features; dropout acts on the weights."""
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.out_projection = Dense(width, width)
        self.in_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_bias = nn.Parameter(torch.zeros(3 * width))
        nn.init.xavier_uniform_(self.in_weight)
        nn.init.zeros_(self.out_projection.bias)

    def forward(self, query: Tensor, source: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """Let each query segment gather from the source segments.

        Args:
            query: float [B, T, D].
            source: float [B, S, D], what keys and values are made of; None for the query itself.
            valid: bool [B, S], True where a source segment exists; None when all do.

        Returns:
            float [B, T, D].
        """
        if source is None:
            q, k, v = dense(query, self.in_weight, self.in_bias).chunk(3, dim=-1)  # 3 x [B, T, D]
        else:
            width = query.shape[-1]
            q_weight, kv_weight = torch.split(self.in_weight, [width, 2 * width])
            q_bias, kv_bias = torch.split(self.in_bias, [width, 2 * width])
            q = dense(query, q_weight, q_bias)  # [B, T, D]
            k, v = dense(source, kv_weight, kv_bias).chunk(2, dim=-1)  # 2 x [B, S, D]
        return self.gather(q, k, v, valid)

    def gather(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None, *, folded: bool = False) -> Tensor:
        """What queries [B, T, D] gather from keys and values [B, S, D], all of them projected, float [B, T, D]."""
        rate = self.dropout if self.training else 0.0
        if q.device.type != "cpu" or not rate:
            mask = None if valid is None else valid[:, None, None, :]
            q, k, v = self.by_heads(q), self.by_heads(k), self.by_heads(v)
            found = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)  # [B, H, T, D / H]
            gathered = found.transpose(1, 2).flatten(2)
        else:
            gathered = self.bring(self.looks(q, k, valid), self.by_heads(v))
        return self.put_out(gathered, folded=folded)  # [B, T, D]

    def put_out(self, gathered: Tensor, *, folded: bool = False) -> Tensor:
        """The output projection of float [B, T, D]; behind the weights of `folded` its bias is all that is left."""
        projected: Tensor = gathered + self.out_projection.bias if folded else self.out_projection(gathered)
        return projected

    def looks(self, q: Tensor, k: Tensor, valid: Tensor | None = None) -> Tensor:
        """How much queries look at sources, float [B, H, T, S]; arguments as in `gather`."""
        q, k = self.by_heads(q), self.by_heads(k)
        scores = attention_scores(q, k) * q.shape[-1] ** -0.5  # [B, H, T, S]
        return attention_weights(scores if valid is None else scores.masked_fill(~valid[:, None, None], float("-inf")))

    def bring(self, weights: Tensor, values: Tensor) -> Tensor:
        """What weights [B, H, T, S] gather from values [B, H, S, D / H], float [B, T, D], before its projection."""
        gathered = drop(weights, self.dropout, training=self.training) @ values
        return gathered.transpose(1, 2).flatten(2)

    def received(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """How much each segment of float [B, T, D] is looked at by all of them, float [B, T]; 1 in all of a clip."""
        q, k, _ = dense(x, self.in_weight, self.in_bias).chunk(3, dim=-1)  # 3 x [B, T, D]
        scores = self.by_heads(q) @ self.by_heads(k).transpose(-1, -2) * (x.shape[-1] // self.num_heads) ** -0.5
        if valid is None:
            plain: Tensor = scores.softmax(-1).mean(dim=(1, 2))
            return plain
        weights = scores.masked_fill(~valid[:, None, None, :], float("-inf")).softmax(-1).mean(dim=1)  # [B, T, T]
        found: Tensor = (weights * valid[..., None]).sum(dim=1) / valid.sum(dim=1, keepdim=True)
        return found

    def pays_to_fold(self, x: Tensor) -> bool:
        """Whether `folded` is the cheaper way for float [B, T, D]: with one head, in training, in a large batch."""
        return self.num_heads == 1 and self.training and x.shape[:-1].numel() > x.shape[-1]

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight [2 D, D] and bias [2 D] of one head whose keys are the sources themselves, and which has no output.

        Scores and what is gathered are products of two weights with nothing between them:

            q k = x Wq' Wk y + bq Wk y + (Wq x + bq) bk,   Wo A (Wv y + bv) = A (Wo Wv y + Wo bv)

        The last term of the first is the same for all sources y, so it leaves the softmax as it is, and the bias of
        keys has no gradient but 0. The first D columns stand for queries, the others for values that are projected out
        already.
        """
        q, k, v = self.in_weight.chunk(3)
        q_bias, _, v_bias = self.in_bias.chunk(3)
        out = self.out_projection.weight
        return torch.cat((k.t() @ q, out @ v)), torch.cat((q_bias @ k, out @ v_bias))

    def by_heads(self, x: Tensor) -> Tensor:
        """Float [B, T, D] by heads, [B, H, T, D / H]."""
        return x.view(*x.shape[:-1], self.num_heads, -1).transpose(1, 2)


class Projected(NamedTuple):
    """What one attention makes of streams float [B, T, D], likewise."""

    q: Tensor
    k: Tensor
    v: Tensor


def _project(x: Tensor, one: MultiheadAttention, other: MultiheadAttention) -> tuple[Projected, Projected, bool]:
    """Queries, keys and values of two attentions, in one product; whether they are those of `folded`."""
    folded = one.pays_to_fold(x)
    parts = [each.folded() if folded else (each.in_weight, each.in_bias) for each in (one, other)]
    weight, bias = (torch.cat(held) for held in zip(*parts, strict=True))
    if not folded:
        own, others = dense(x, weight, bias).chunk(2, dim=-1)
        return Projected(*own.chunk(3, dim=-1)), Projected(*others.chunk(3, dim=-1)), folded
    q, v, other_q, other_v = dense(x, weight, bias).chunk(4, dim=-1)
    return Projected(q, x, v), Projected(other_q, x, other_v), folded


class Looked(NamedTuple):
    """What a layer's self-attention sees in both streams, before dropout; all clips of audio, then those of visual."""

    weights: Tensor
    """float [2 B, H, T, T]"""
    values: Tensor
    """float [2 B, H, T, D / H]"""
    folded: bool
    """Whether values are projected out already, see `MultiheadAttention.folded`."""


class Passes(NamedTuple):
    """Both streams, encoded twice, float [B, T, D] each."""

    crossed: tuple[Tensor, Tensor]
    alone: tuple[Tensor, Tensor]
    looked: Looked | None = None
    """Of the first layer, for a third pass; None where it has to look by itself."""


class HybridLayer(nn.Module):
    """One layer, whose single set of weights updates both streams.

    Self- and cross-attention are added in parallel before one normalisation, then a feed-forward block follows:

    - post norm: x = LN1(q + cross(q, other) + self(q));  x = LN2(x + W2 relu(W1 x))
    - pre norm: h = LN1(q);  x = q + cross(h, other) + self(h);  x = x + W2 relu(W1 LN2(x)); the other stream enters
      as it is, not normalised.

    Source:
        Hybrid attention network, Tian et al., ECCV 2020, section 3.2, in the form of the VALOR code (NeurIPS 2023).
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        feedforward_width: int,
        *,
        dropout: float = 0.1,
        norm_order: str = "post",
        update_order: str = "audio-first",
    ) -> None:
        """Make the two attentions, the feed-forward block and the two norms, drawing weights in the published order.

        Raises:
            ValueError: The heads do not divide the width, or an order is unknown.
        """
        super().__init__()
        if width % num_heads:
            raise ValueError(f"num_heads must divide the width {width}, got {num_heads}")
        if norm_order not in _NORM_ORDERS:
            raise ValueError(f"norm_order must be one of {_NORM_ORDERS}, got {norm_order!r}")
        if update_order not in _UPDATE_ORDERS:
            raise ValueError(f"update_order must be one of {_UPDATE_ORDERS}, got {update_order!r}")
        self.norm_order = norm_order
        self.update_order = update_order
        self.dropout = dropout
        self.self_attention = MultiheadAttention(width, num_heads, dropout)
        self.cross_attention = MultiheadAttention(width, num_heads, dropout)
        self.widen = Dense(width, feedforward_width)
        self.narrow = Dense(feedforward_width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.feedforward_norm = nn.LayerNorm(width)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Update the audio stream, then the visual stream, from the *updated* audio where audio comes first.

        Args:
            audio: float [B, T, D].
            visual: float [B, T, D].
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            The two streams, float [B, T, D] each.
        """
        if self._can_be_fused(audio):
            rate = self.dropout if self.training else 0.0
            return fused_layer(audio, visual, self.weights(), self.self_attention.num_heads, rate, valid)
        heard = self._update(audio, visual, valid)
        return heard, self._update(visual, heard if self.update_order == "audio-first" else audio, valid)

    def along(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Update one stream without any other: the layer without its cross-attention, float [B, T, D]."""
        query = self.attention_norm(x) if self.norm_order == "pre" else x
        return self._close(x + self._drop(self.self_attention(query, None, valid)))

    def along_with(
        self, shared: Tensor, x: Tensor, valid: Tensor | None = None, *, ask_shared: bool = True
    ) -> tuple[Tensor | None, Tensor]:
        """Update one stream behind tokens that all clips have, without any other: `along` of both, in post norm.

        Tokens are projected once for all clips.

        Args:
            shared: float [S, D], the tokens.
            x: float [B, T, D].
            valid: bool [B, S + T], True where a token or a segment exists; None when all do.
            ask_shared: Whether the tokens are updated; they are looked at either way.

        Returns:
            The tokens, float [B, S, D], or None, and the stream [B, T, D].
        """
        attention, count = self.self_attention, len(shared) if ask_shared else 0
        (q, k, v), given = (dense(rows, attention.in_weight, attention.in_bias).chunk(3, -1) for rows in (x, shared))
        own_q, own_k, own_v = (part.expand(len(x), -1, -1) for part in given)
        if ask_shared:
            q, x = torch.cat((own_q, q), dim=1), torch.cat((shared.expand(len(x), -1, -1), x), dim=1)
        k, v = torch.cat((own_k, k), dim=1), torch.cat((own_v, v), dim=1)  # [B, S + T, D]
        closed = self._close(x + self._drop(attention.gather(q, k, v, valid)))
        return closed[:, :count] if ask_shared else None, closed[:, count:]

    def both(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor, Looked]:
        """Update both streams crossed, and each alone; in post norm with both updated together.

        What `forward` and `along` have in common is computed once: all projections, and self-attention up to dropout.

        Args:
            audio: float [B, T, D].
            visual: float [B, T, D].
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            Crossed and alone, float [2 B, T, D] each, all clips of audio, then those of visual; and what `again` takes.
        """
        along, across, streams = self.self_attention, self.cross_attention, torch.cat((audio, visual))
        valid = None if valid is None else torch.cat((valid, valid))
        (q, k, v), (across_q, across_k, across_v), folded = _project(streams, along, across)
        found = Looked(along.looks(q, k, valid), along.by_heads(v), folded)
        gathered = torch.cat([along.bring(found.weights, found.values) for _ in range(2)])  # [4 B, T, D]
        looked = torch.cat((streams, streams)) + self._drop(along.put_out(gathered, folded=folded))
        other_k, other_v = (torch.cat(part.chunk(2)[::-1]) for part in (across_k, across_v))
        crossed, alone = looked.chunk(2)
        crossed = crossed + self._drop(across.gather(across_q, other_k, other_v, valid, folded=folded))
        crossed, alone = self._close(torch.cat((crossed, alone))).chunk(2)
        return crossed, alone, found

    def again(self, streams: Tensor, looked: Looked) -> Tensor:
        """Update streams alone once more, float [2 B, T, D], with dropout drawn anew."""
        gathered = self.self_attention.bring(looked.weights, looked.values)
        return self._close(streams + self._drop(self.self_attention.put_out(gathered, folded=looked.folded)))

    def weights(self) -> LayerWeights:
        """The parameters, in the order of `valor.parsers.cpu.fused`."""
        along, across = self.self_attention, self.cross_attention
        return LayerWeights(
            *(along.in_weight, along.in_bias, *along.out_projection.parameters()),
            *(across.in_weight, across.in_bias, *across.out_projection.parameters()),
            *(*self.widen.parameters(), *self.narrow.parameters()),
            *(*self.attention_norm.parameters(), *self.feedforward_norm.parameters()),
        )

    def _can_be_fused(self, x: Tensor) -> bool:
        """Whether a backward pass on the CPU is coming, for which `valor.parsers.cpu.fused` is the faster way."""
        published = self.norm_order == "post" and self.update_order == "audio-first"
        plain = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        return published and plain and torch.is_grad_enabled()

    def _update(self, x: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
        query = self.attention_norm(x) if self.norm_order == "pre" else x
        across = self._drop(self.cross_attention(query, other, valid))
        along = self._drop(self.self_attention(query, None, valid))
        return self._close(x + across + along)

    def _close(self, x: Tensor) -> Tensor:
        """What follows the attentions, float [B, T, D]."""
        layers, rate = (self.widen, self.narrow), self.dropout if self.training else 0.0
        if self.norm_order == "pre":
            return feed_forward(x, layers, rate, self.feedforward_norm)
        normed: Tensor = self.feedforward_norm(feed_forward(self.attention_norm(x), layers, rate, None))
        return normed

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, training=self.training)


class HybridEncoder(nn.Module):
    """A stack of hybrid layers; all start as copies of one. There is no positional encoding."""

    def __init__(self, layer: HybridLayer, num_layers: int) -> None:
        """Copy the layer; with pre norm, add one closing norm per stream.

        The published state dict holds the closing norms with post norm too, where nothing uses them; here they
        only exist where they act (`valor.parsers.published` restores them on the way out).
        """
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        width = layer.narrow.out_features
        closing = layer.norm_order == "pre"
        self.audio_norm: nn.Module = nn.LayerNorm(width) if closing else nn.Identity()
        self.visual_norm: nn.Module = nn.LayerNorm(width) if closing else nn.Identity()

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run all layers.

        Args:
            audio: float [B, T, D].
            visual: float [B, T, D].
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            The two encoded streams, float [B, T, D] each.
        """
        for layer in self.layers:
            audio, visual = layer(audio, visual, valid)
        return self.audio_norm(audio), self.visual_norm(visual)

    def both(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> Passes:
        """What `forward` and `along` of both streams answer, the first layer's common work done once."""
        first, *others = (cast(HybridLayer, layer) for layer in self.layers)
        crossed, alone, looked = first.both(audio, visual, valid)
        audio, visual = crossed.chunk(2)
        for layer in others:
            audio, visual = layer(audio, visual, valid)
        return Passes((audio, visual), self._go_on(alone, valid), looked)

    def along_again(
        self, audio: Tensor, visual: Tensor, looked: Looked, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`along` of both streams once more, behind `both`."""
        first = cast(HybridLayer, self.layers[0])
        return self._go_on(first.again(torch.cat((audio, visual)), looked), valid)

    def _go_on(self, alone: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        heard, seen = alone.chunk(2)
        for layer in list(self.layers)[1:]:
            heard, seen = (cast(HybridLayer, layer).along(stream, valid) for stream in (heard, seen))
        return heard, seen

    @property
    def shares_passes(self) -> bool:
        """Whether `both` is for these layers."""
        first = cast(HybridLayer, self.layers[0])
        return first.norm_order == "post" and first.update_order == "together"

    def received(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """How much each segment is looked at by its own stream in the last layer, float [B, T] each, 1 in all."""
        for layer in self.layers[:-1]:
            audio, visual = layer(audio, visual, valid)
        last = cast(HybridLayer, self.layers[-1])
        queries = (last.attention_norm(x) if last.norm_order == "pre" else x for x in (audio, visual))
        heard, seen = (last.self_attention.received(query, valid) for query in queries)
        return heard, seen

    def along(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode the stream of modality 0 or 1 with the same weights, but without cross-attention; float [B, T, D]."""
        for layer in self.layers:
            stream = cast(HybridLayer, layer).along(stream, valid)
        closed: Tensor = (self.visual_norm if modality else self.audio_norm)(stream)
        return closed
