"""Queries that gather from a source, in training on the CPU, forward and backward written as few, large products.

    q = Wq LN x + bq;   k, v = Wk s + bk, Wv s + bv, in one product;   A = softmax of q k' / sqrt(D / H), by heads
    y = x + m o (Wo (m' o A) v + bo);   m, m' masks of dropout

The source s is not normalised. Queries that all clips share are projected once. Keys are handed out, for whoever
asks them again, and take that gradient too. The gradients are the usual ones, see `valor.parsers.cpu.attending`; each
weight is multiplied once with all rows that meet it, and heads are brought in order once per projection.

Shapes: B clips, T queries, S segments, D features, H heads of D / H features.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .attending import attend, attend_backward, in_heads, in_rows
from .dropout import keep_masks
from .feedforward import masked, norm_backward, plus
from .products import linear, weight_gradient


class QueryWeights(NamedTuple):
    """The parameters, of weights [D, D], in the order the function takes them."""

    query: Tensor
    query_bias: Tensor
    key: Tensor
    key_bias: Tensor
    value: Tensor
    value_bias: Tensor
    out: Tensor
    out_bias: Tensor
    norm: Tensor
    norm_bias: Tensor


class Asking(NamedTuple):
    """What is no parameter."""

    num_heads: int
    rates: tuple[float, float]
    """Of dropout: of weights, and of what is gathered; 0 for none."""
    epsilon: float
    """Of the norm."""
    far: float
    """What scores of hidden segments are."""


def asked(
    x: Tensor, source: Tensor, weights: QueryWeights, asking: Asking, hidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Let queries gather from a source, on the CPU.

    Args:
        x: float [B, T, D], or [1, T, D] for the same of all clips.
        source: float [B, S, D].
        weights: Of the layer.
        asking: Heads, dropout and the like.
        hidden: bool [B or 1, T or 1, S], True where a query must not look; None for nowhere.

    Returns:
        Updated queries, float [B, T, D], and the keys of the source, [B, S, D]; their gradient can be taken once.
    """
    found: tuple[Tensor, Tensor] = _Asked.apply(  # type: ignore[no-untyped-call]
        x.contiguous(), source.contiguous(), hidden, asking, *weights
    )
    return found


class _Asked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, source: Tensor, hidden: Tensor | None, asking: Asking, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        w, heads, (clips, segments, width) = QueryWeights(*parameters), asking.num_heads, source.shape
        rows = x.view(-1, width)
        n, *normed = torch.native_layer_norm(rows, (width,), w.norm, w.norm_bias, asking.epsilon)
        (q,) = in_heads(linear(n, w.query, w.query_bias), 1, x.shape[1], heads)
        sources = source.view(-1, width)
        both = torch.cat((w.key, w.value))
        projected = linear(sources, both, torch.cat((w.key_bias, w.value_bias)))
        k, v = in_heads(projected, 2, segments, heads)
        if len(q) < len(k):  # the same for all clips
            q = q.expand(clips, *q.shape).reshape(-1, *q.shape[1:])
        if hidden is not None and len(hidden) > 1:
            hidden = hidden[:, None].expand(-1, heads, -1, -1).flatten(0, 1)
        of_weights, of_output = (
            keep_masks([shape], rate, dtype=x.dtype)[0] if rate else None
            for shape, rate in zip(((*q.shape[:2], segments), (clips, *x.shape[1:])), asking.rates, strict=True)
        )
        gathered, ctx.attended = attend(q, k, v, hidden, of_weights, far=asking.far)
        gathered = in_rows(gathered[None], heads)  # [B T, D]
        answer = plus(x, linear(gathered, w.out, w.out_bias).view(clips, *x.shape[1:]), of_output)
        ctx.save_for_backward(rows, *normed, n, sources, gathered, of_output, both, *parameters)
        ctx.asking, ctx.shapes = asking, (x.shape, source.shape)
        ctx.set_materialize_grads(False)
        return answer, projected[:, :width].view(source.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, to_given_keys: Tensor | None) -> tuple[Tensor | None, ...]:
        *normed, n, sources, gathered, of_output, both = ctx.saved_tensors[:8]
        w, heads, (shape, source_shape) = QueryWeights(*ctx.saved_tensors[8:]), ctx.asking.num_heads, ctx.shapes
        width, queries = shape[-1], shape[1]
        grad = n.new_zeros(source_shape[0], queries, width) if grad is None else grad
        to_looked = masked(grad, of_output).reshape(-1, width)
        (to_gathered,) = in_heads(linear(to_looked, w.out.t()), 1, queries, heads)
        to_source = sources.new_empty(2, *ctx.attended.k.shape)
        to_q = torch.empty_like(ctx.attended.q)
        attend_backward(to_gathered, ctx.attended, (to_q, to_source[0], to_source[1]))
        if shape[0] < source_shape[0]:
            to_q, grad = to_q.view(len(grad), heads, *to_q.shape[1:]).sum(0), grad.sum(0)
        to_query, to_keys = in_rows(to_q[None], heads), in_rows(to_source, heads)  # [B T, D] and [B S, 2 D]
        if to_given_keys is not None:
            to_keys[:, :width] += to_given_keys.reshape(-1, width)
        to_x, *to_norm = norm_backward(linear(to_query, w.query.t()), normed, w.norm, w.norm_bias)
        to_both, to_both_bias = weight_gradient(to_keys, sources), to_keys.sum(0)
        return (
            to_x.add_(grad.reshape(-1, width)).view(shape),
            linear(to_keys, both.t()).view(source_shape),
            *(None, None),
            *(weight_gradient(to_query, n), to_query.sum(0)),
            *(to_both[:width], to_both_bias[:width], to_both[width:], to_both_bias[width:]),
            *(weight_gradient(to_looked, gathered), to_looked.sum(0)),
            *to_norm,
        )
