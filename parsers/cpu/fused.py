"""A post-norm hybrid layer for training on the CPU, forward and backward written out as few, large matrix products.

The function is that of `valor.parsers.attention.HybridLayer`. What makes it faster than autograd over the parts:

- both streams go through one product wherever the update order allows it: queries, keys and values of self-attention
  and the queries of cross-attention (4 D columns, 2 B T rows), self-attention itself, its output projection;
- heads are brought in order once per projection, not once per query, key and value;
- dropout and residual sum are one pass, masks are drawn at once, and the mask inside the feed-forward block is not
  kept: where its output is zero, so is the gradient;
- products go where they are fastest (`valor.parsers.cpu.products`), softmax over few segments is written out.

Shapes: B clips, T segments, R = B T rows, D features, H heads of D / H features, F inner features; a leading 2 is the
stream (audio, visual).
"""

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .attending import Attended, attend, attend_backward, in_heads, in_rows
from .dropout import keep_masks, kept_scale
from .feedforward import FeedMasks, FeedWeights, fed, fed_backward, masked, norm_backward, plus
from .products import linear, weight_gradient

_EPSILON = 1e-5


class LayerWeights(NamedTuple):
    """The parameters of a layer, in the order the function takes them."""

    self_in: Tensor
    """[3 D, D], rows of queries, keys and values."""
    self_in_bias: Tensor
    self_out: Tensor
    self_out_bias: Tensor
    cross_in: Tensor
    """[3 D, D], rows of queries, keys and values."""
    cross_in_bias: Tensor
    cross_out: Tensor
    cross_out_bias: Tensor
    widen: Tensor
    """[F, D]"""
    widen_bias: Tensor
    narrow: Tensor
    """[D, F]"""
    narrow_bias: Tensor
    attention_norm: Tensor
    attention_norm_bias: Tensor
    feedforward_norm: Tensor
    feedforward_norm_bias: Tensor


class LayerMasks(NamedTuple):
    """What dropout multiplies with."""

    self_weights: Tensor
    """[2 B H, T, T]"""
    self_output: Tensor
    """[2 R, D]"""
    cross_weights: Tensor
    """[2, B H, T, T]"""
    cross_output: Tensor
    """[2, R, D]"""
    inner: Tensor
    """[2, R, F]"""
    output: Tensor
    """[2, R, D]"""
    scale: float
    """What elements that are kept are multiplied by."""


def draw_masks(sizes: tuple[int, int, int, int], heads: int, probability: float, dtype: torch.dtype) -> LayerMasks:
    """Draw the masks of one layer; `sizes` are B, T, D, F."""
    clips, segments, width, inner = sizes
    rows, groups = clips * segments, clips * heads
    shapes = [
        (2 * groups, segments, segments),
        (2 * rows, width),
        (2, groups, segments, segments),
        (2, rows, width),
        (2, rows, inner),
        (2, rows, width),
    ]
    along, along_out, across, across_out, wide, out = keep_masks(shapes, probability, dtype=dtype)
    return LayerMasks(along, along_out, across, across_out, wide, out, scale=kept_scale(probability))


def fused_layer(
    audio: Tensor, visual: Tensor, weights: LayerWeights, num_heads: int, dropout: float, valid: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Update the audio stream, then the visual stream from the updated audio.

    Args:
        audio: float [B, T, D] on the CPU.
        visual: float [B, T, D].
        weights: Of the layer.
        num_heads: H.
        dropout: Probability; 0 for none.
        valid: bool [B, T], True where a segment exists; None when all do.

    Returns:
        The two streams, float [B, T, D] each.
    """
    sizes = (*audio.shape, weights.widen.shape[0])
    masks = draw_masks(cast(tuple[int, int, int, int], sizes), num_heads, dropout, audio.dtype) if dropout else None
    streams: tuple[Tensor, Tensor] = _FusedLayer.apply(  # type: ignore[no-untyped-call]
        audio, visual, valid, masks, num_heads, *weights
    )
    return streams


class _Update(NamedTuple):
    """What the backward pass of one stream's update needs."""

    mask: "_StreamMasks"
    other: Tensor
    """[R, D], what cross-attention looked at."""
    attended: Attended
    gathered: Tensor
    """[R, D], what it gathered."""
    normed: tuple[Tensor, ...]
    """Input, mean and reciprocal deviation of the norm after the attentions."""
    between: Tensor
    """[R, D], its output."""
    inner: Tensor
    """[R, F], inside the feed-forward block, after dropout."""
    closing: tuple[Tensor, ...]
    """As `normed`, of the norm after the feed-forward block."""


class _StreamMasks(NamedTuple):
    """The masks of one stream's update, None without dropout."""

    cross_weights: Tensor | None = None
    cross_output: Tensor | None = None
    feed: FeedMasks = FeedMasks()


class _FusedLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        audio: Tensor,
        visual: Tensor,
        valid: Tensor | None,
        masks: LayerMasks | None,
        num_heads: int,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        layer = _Layer(tuple(audio.shape), num_heads, valid, LayerWeights(*parameters), masks)
        streams = torch.stack((audio, visual)).view(-1, layer.width)  # [2 R, D]
        queries, (for_audio, for_visual) = layer.look_along(streams)
        heard, first = layer.update(0, for_audio, queries[0], streams[layer.rows :])
        seen, second = layer.update(1, for_visual, queries[1], heard)
        ctx.layer, ctx.streams, ctx.updates = layer, streams, (first, second)
        ctx.save_for_backward(*parameters)  # only for torch's check that nobody changes them in between
        return heard.view(audio.shape), seen.view(audio.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_heard: Tensor, to_seen: Tensor) -> tuple[Tensor | None, ...]:
        layer, streams, (first, second) = ctx.layer, ctx.streams, ctx.updates
        layer.w = LayerWeights(*ctx.saved_tensors)
        rows, shape = (layer.rows, layer.width), (2, *layer.shape)
        back = _Backward(layer)
        to_other = back.update(1, to_seen.reshape(rows), second)
        to_visual = back.update(0, to_other.add_(to_heard.reshape(rows)), first)
        to_streams = back.look_along(streams)  # [2 R, D]
        to_streams[layer.rows :] += to_visual
        to_audio, to_visual = to_streams.view(shape).unbind()
        return to_audio, to_visual, None, None, None, *back.parameters()


class _Layer:
    """One forward pass, and what it leaves for the backward pass."""

    def __init__(
        self,
        shape: tuple[int, ...],
        num_heads: int,
        valid: Tensor | None,
        weights: LayerWeights,
        masks: LayerMasks | None,
    ) -> None:
        self.shape, self.heads, self.w, self.masks = shape, num_heads, weights, masks
        self.clips, self.segments, self.width = shape
        self.rows = self.clips * self.segments
        hidden = None if valid is None else (~valid)[:, None, None, :].expand(-1, num_heads, -1, -1)
        self.hidden = None if hidden is None else hidden.reshape(-1, 1, self.segments)  # [B H, 1, T]
        # Rows for the streams as they were: self-attention's, then the queries of cross-attention.
        self.in_weight = torch.cat((weights.self_in, weights.cross_in[: self.width]))  # [4 D, D]
        self.in_bias = torch.cat((weights.self_in_bias, weights.cross_in_bias[: self.width]))

    def look_along(self, streams: Tensor) -> tuple[Tensor, Tensor]:
        """Self-attention of both streams.

        Returns:
            The queries of cross-attention [2, B H, T, D / H] and the residual sum so far [2, R, D].
        """
        q, k, v, across = in_heads(linear(streams, self.in_weight, self.in_bias), 4, self.segments, self.heads)
        hidden = None if self.hidden is None else self.hidden.repeat(2, 1, 1)
        weights_mask, output_mask = (None, None) if self.masks is None else self.masks[:2]
        gathered, self.along = attend(q, k, v, hidden, weights_mask)
        self.gathered = in_rows(gathered[None], self.heads)  # [2 R, D]
        looked = linear(self.gathered, self.w.self_out, self.w.self_out_bias)
        residual = plus(streams, looked, output_mask)
        return across.view(2, -1, *across.shape[1:]), residual.view(2, self.rows, self.width)

    def update(self, stream: int, residual: Tensor, queries: Tensor, other: Tensor) -> tuple[Tensor, _Update]:
        """Cross-attention and feed-forward of one stream."""
        w, width = self.w, self.width
        mask = _StreamMasks()
        if self.masks is not None:
            across, across_out, inner, out = (held[stream] for held in self.masks[2:6])
            mask = _StreamMasks(across, across_out, FeedMasks(inner, out, self.masks.scale))
        k, v = in_heads(linear(other, w.cross_in[width:], w.cross_in_bias[width:]), 2, self.segments, self.heads)
        found, attended = attend(queries, k, v, self.hidden, mask.cross_weights)
        gathered = in_rows(found[None], self.heads)
        x = plus(residual, linear(gathered, w.cross_out, w.cross_out_bias), mask.cross_output)
        between, *normed = torch.native_layer_norm(x, (width,), w.attention_norm, w.attention_norm_bias, _EPSILON)
        y, inner = fed(between, between, FeedWeights(*w[8:12]), mask.feed)
        closed, *closing = torch.native_layer_norm(y, (width,), w.feedforward_norm, w.feedforward_norm_bias, _EPSILON)
        return closed, _Update(mask, other, attended, gathered, (x, *normed), between, inner, (y, *closing))


class _Backward:
    """The backward pass of one layer; gathers the gradients of its parameters on the way."""

    def __init__(self, layer: _Layer) -> None:
        self.layer = layer
        groups = 2 * layer.clips * layer.heads
        self.to_heads = layer.in_weight.new_empty(4, groups, layer.segments, layer.width // layer.heads)
        self.to_residual = layer.in_weight.new_empty(2, layer.rows, layer.width)
        self.sums: dict[str, Tensor] = {}

    def parameters(self) -> LayerWeights:
        """The gradients, in the order the parameters came in."""
        width, sums = self.layer.width, self.sums
        for kind in ("", "_bias"):
            streams, sources = sums.pop("in" + kind), sums.pop("sources" + kind)
            sums["self_in" + kind] = streams[: 3 * width]
            sums["cross_in" + kind] = torch.cat((streams[3 * width :], sources))
        return LayerWeights(**sums)

    def update(self, stream: int, grad: Tensor, saved: _Update) -> Tensor:
        """Of one stream: returns what flows into the other, keeps what flows into residual and queries."""
        layer, w, mask = self.layer, self.layer.w, saved.mask
        to_sum = self._norm("feedforward_norm", grad, saved.closing)
        to_between, to_weights = fed_backward(to_sum, saved.between, saved.inner, FeedWeights(*w[8:12]), mask.feed)
        for name, part in to_weights._asdict().items():
            self._sum(name, part)
        to_sum = self._norm("attention_norm", to_between.add_(to_sum), saved.normed)
        self.to_residual[stream] = to_sum
        to_looked = masked(to_sum, mask.cross_output)
        self._add("cross_out", to_looked, saved.gathered)
        to_gathered = in_heads(linear(to_looked, w.cross_out.t()), 1, layer.segments, layer.heads)[0]
        to_keys, to_values = to_both = to_gathered.new_empty(2, *to_gathered.shape)
        to_queries = self.to_heads[3].view_as(to_both)[stream]
        attend_backward(to_gathered, saved.attended, (to_queries, to_keys, to_values))
        to_sources = in_rows(to_both, layer.heads)  # [R, 2 D]
        self._add("sources", to_sources, saved.other)
        return linear(to_sources, w.cross_in[layer.width :].t())

    def look_along(self, streams: Tensor) -> Tensor:
        """Of self-attention and all else that starts from the streams as they were."""
        layer = self.layer
        to_residual = self.to_residual.view_as(streams)
        to_looked = masked(to_residual, None if layer.masks is None else layer.masks.self_output)
        self._add("self_out", to_looked, layer.gathered)
        to_gathered = in_heads(linear(to_looked, layer.w.self_out.t()), 1, layer.segments, layer.heads)[0]
        attend_backward(to_gathered, layer.along, (self.to_heads[0], self.to_heads[1], self.to_heads[2]))
        to_projected = in_rows(self.to_heads, layer.heads)  # [2 R, 4 D]
        self._add("in", to_projected, streams)
        return linear(to_projected, layer.in_weight.t()).add_(to_residual)

    def _add(self, name: str, grad: Tensor, x: Tensor) -> None:
        """Add a linear layer's part to the gradients of its weight and bias."""
        self._sum(name, weight_gradient(grad, x))
        self._sum(name + "_bias", grad.sum(0))

    def _norm(self, name: str, grad: Tensor, saved: tuple[Tensor, ...]) -> Tensor:
        weight, bias = getattr(self.layer.w, name), getattr(self.layer.w, name + "_bias")
        to_x, to_weight, to_bias = norm_backward(grad, saved, weight, bias)
        self._sum(name, to_weight)
        self._sum(name + "_bias", to_bias)
        return to_x

    def _sum(self, name: str, part: Tensor) -> None:
        self.sums[name] = self.sums[name].add_(part) if name in self.sums else part
