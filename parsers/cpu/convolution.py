"""A convolution along few segments as matrix products, one for each tap, forward and backward.

    y_t = b + sum over taps j of W_j x_(t + o_j),   o_j = (j - K / 2) * dilation, of those t + o_j that exist

Streams stay [B, T, D] in memory, as all around them has them, and a tap is multiplied where it meets a segment: of ten
segments a dilation of eight leaves two to each outer tap. Gradients, with g that of y:

    x_t: sum over j of W_j' g_(t - o_j);   W_j: sum over t of g_t x_(t + o_j)';   b: sum over t of g_t

Shapes: B clips, T segments, D features in, E features out, K taps, an odd number.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .products import linear, weight_gradient


def convolved(x: Tensor, layer: nn.Conv1d) -> Tensor:
    """Apply a convolution that keeps the length of its input, as a module's weights have it.

    Args:
        x: float [B, T, D].
        layer: Of stride 1 and one group, padded with zeros by its dilation times half its taps.

    Returns:
        float [B, T, E]; on the CPU its gradient can be taken once, not twice.
    """
    if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return layer(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]
    y: Tensor = _ByTaps.apply(x, layer.weight, layer.bias, layer.dilation[0])  # type: ignore[no-untyped-call]
    return y


def _meetings(count: int, segments: int, dilation: int) -> list[tuple[int, slice, slice]]:
    """Tap, output segments and input segments of each tap that meets any, but the one in the middle."""
    offsets = [(tap, (tap - count // 2) * dilation) for tap in range(count)]
    return [
        (tap, slice(max(-by, 0), segments - max(by, 0)), slice(max(by, 0), segments - max(-by, 0)))
        for tap, by in offsets
        if 0 < abs(by) < segments
    ]


def _rows(x: Tensor) -> Tensor:
    """[B, T, D] as [B T, D]; a part of the segments is laid together."""
    return x.reshape(-1, x.shape[-1])


class _ByTaps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
        x, taps = x.contiguous(), weight.permute(2, 0, 1).contiguous()  # [K, E, D]
        ctx.save_for_backward(x, taps)
        ctx.meetings = _meetings(len(taps), x.shape[1], dilation)
        y = linear(_rows(x), taps[len(taps) // 2], bias).view(*x.shape[:2], -1)
        for tap, found, source in ctx.meetings:
            part = y[:, found]
            part += linear(_rows(x[:, source]), taps[tap]).view_as(part)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, taps = ctx.saved_tensors
        grad, middle = grad.contiguous(), len(taps) // 2
        to_x = linear(_rows(grad), taps[middle].t()).view_as(x)
        to_taps = torch.zeros_like(taps)
        to_taps[middle] = weight_gradient(_rows(grad), _rows(x))
        for tap, found, source in ctx.meetings:
            rows, part = _rows(grad[:, found]), to_x[:, source]
            part += linear(rows, taps[tap].t()).view_as(part)
            to_taps[tap] = weight_gradient(rows, _rows(x[:, source]))
        return to_x, to_taps.permute(1, 2, 0), _rows(grad).sum(0) if ctx.needs_input_grad[2] else None, None
