"""A feed-forward block with its residual, in training on the CPU, forward and backward written out.

    h = m1 o relu(W1 n + b1),   y = x + m2 o (W2 h + b2),   n = LN x, or x itself;   m1, m2 masks of dropout

Gradients, with g that of y; the mask inside is not kept, since where h is zero, so is the gradient:

    u = m2 o g;  W2: u' h;   z = scale (u W2) where h > 0, else 0;  W1: z' n;   x: g + LN's of (z W1)

Shapes: D features, F features inside, rows are all else.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .attending import is_training_step
from .dropout import drop, keep_masks, kept_scale
from .products import linear, weight_gradient


class FeedWeights(NamedTuple):
    """The parameters of the two layers."""

    widen: Tensor
    """[F, D]"""
    widen_bias: Tensor
    narrow: Tensor
    """[D, F]"""
    narrow_bias: Tensor


class FeedMasks(NamedTuple):
    """What dropout multiplies with, and what elements that are kept are multiplied by; None and 1 without it."""

    inner: Tensor | None = None
    """[rows, F]"""
    output: Tensor | None = None
    """[rows, D]"""
    scale: float = 1.0


def feed_forward(x: Tensor, layers: tuple[nn.Linear, nn.Linear], rate: float, norm: nn.LayerNorm | None) -> Tensor:
    """Add to its input what two layers make of it.

    Args:
        x: float [..., D].
        layers: The first, to F features, and the second, back to D.
        rate: Of dropout behind either; 0 for none.
        norm: What the first layer's input goes through, or None.

    Returns:
        float [..., D]; in training on the CPU its gradient can be taken once, not twice.
    """
    if is_training_step(x):
        weights = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        given = (None, None, 0.0) if norm is None else (norm.weight, norm.bias, norm.eps)
        fed: Tensor = _FeedForward.apply(x.reshape(-1, x.shape[-1]), rate, *given, *weights)  # type: ignore[no-untyped-call]
        return fed.view_as(x)
    normed = x if norm is None else norm(x)
    inner = drop(functional.relu(layers[0](normed)), rate, training=bool(rate))
    return x + drop(layers[1](inner), rate, training=bool(rate))


def fed(n: Tensor, x: Tensor, w: FeedWeights, masks: FeedMasks) -> tuple[Tensor, Tensor]:
    """The block and what is inside it after dropout, [rows, D] and [rows, F], of n and x [rows, D]; no autograd."""
    inner = linear(n, w.widen, w.widen_bias, relu=True)
    if masks.inner is not None:
        inner.mul_(masks.inner)
    return plus(x, linear(inner, w.narrow, w.narrow_bias), masks.output), inner


def fed_backward(
    grad: Tensor, n: Tensor, inner: Tensor, w: FeedWeights, masks: FeedMasks
) -> tuple[Tensor, FeedWeights]:
    """Gradients of n [rows, D], without the residual's, and of the parameters, given that of the block [rows, D]."""
    to_narrow = masked(grad, masks.output)
    to_inner = linear(to_narrow, w.narrow.t())
    if masks.scale != 1:
        to_inner.mul_(masks.scale)
    to_wide = torch.ops.aten.threshold_backward(to_inner, inner, 0)
    to_weights = FeedWeights(
        *(weight_gradient(to_wide, n), to_wide.sum(0)), *(weight_gradient(to_narrow, inner), to_narrow.sum(0))
    )
    return linear(to_wide, w.widen.t()), to_weights


def plus(x: Tensor, change: Tensor, mask: Tensor | None) -> Tensor:
    """A residual: x and what is left of a change, which may be overwritten."""
    return change.add_(x) if mask is None else torch.addcmul(x, change, mask)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """What is left of x."""
    return x if mask is None else x * mask


def norm_backward(grad: Tensor, saved: Sequence[Tensor], weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input [rows, D], weight and bias of a layer norm; saved are its input, mean and 1 / deviation."""
    x, mean, deviation = saved
    found = torch.ops.aten.native_layer_norm_backward(
        grad, x, (x.shape[-1],), mean, deviation, weight, bias, (True, True, True)
    )
    return cast(tuple[Tensor, Tensor, Tensor], found)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        rate: float,
        norm: Tensor | None,
        norm_bias: Tensor | None,
        epsilon: float,
        *parameters: Tensor,
    ) -> Tensor:
        w, ctx.masks, n = FeedWeights(*parameters), FeedMasks(), x
        normed: list[Tensor] = []
        if norm is not None:
            n, *normed = torch.native_layer_norm(x, (x.shape[-1],), norm, norm_bias, epsilon)
        if rate:
            shapes = [(len(x), len(w.widen)), (len(x), len(w.narrow))]
            within, behind = keep_masks(shapes, rate, dtype=x.dtype)
            ctx.masks = FeedMasks(within, behind, kept_scale(rate))
        y, inner = fed(n, x, w, ctx.masks)
        ctx.save_for_backward(norm, norm_bias, n, inner, x, *normed, *parameters)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        norm, norm_bias, n, inner, *others = ctx.saved_tensors
        grad, to_norm, to_norm_bias = grad.contiguous(), None, None
        to_x, to_weights = fed_backward(grad, n, inner, FeedWeights(*others[-4:]), ctx.masks)
        if norm is not None:
            to_x, to_norm, to_norm_bias = norm_backward(to_x, others[:-4], norm, norm_bias)
        return to_x.add_(grad), None, to_norm, to_norm_bias, None, *to_weights
