"""Matrix products of dense layers by the fastest kernel the machine has.

On the CPU torch sends float32 matrix products to the BLAS it was built with, in the published wheels Intel's, which
leaves half the speed of other makers' AVX-512 cores unused; oneDNN, which the same wheels carry for convolutions and
compiled graphs, uses it (`python -m benchmarks.step` prints both rates). Its operator is called where there is one;
everything else, other types and other devices, goes torch's own way. Both sum float32 products in float32. On cores
without AVX-512 the two are as fast as each other, but for gradients of weights, which oneDNN lays out anew first.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


def _find_kernel() -> Any:
    """The oneDNN operator, or None in a build without it."""
    try:
        return torch.ops.mkldnn._linear_pointwise if torch.backends.mkldnn.is_available() else None  # type: ignore[no-untyped-call]
    except AttributeError:
        return None


_KERNEL = _find_kernel()

_MANY_ROWS = 16_384
"""oneDNN lays out transposed rows anew, and from so many on takes up to twice the time of torch's own product."""
_WIDE = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
"""Whether that pays with fewer rows: on AVX2 oneDNN reaches two thirds of torch's rate at 512 x 512 weights."""


def uses_onednn(x: Tensor) -> bool:
    """Whether products of this tensor go to oneDNN; `torch.backends.mkldnn.flags(enabled=False)` says no."""
    return (
        _KERNEL is not None
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and bool(torch.backends.mkldnn.enabled)
        and not torch.is_autocast_enabled("cpu")
    )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, relu: bool = False) -> Tensor:
    """Compute relu(x W^T + b), without autograd; `dense` is the same with it.

    Args:
        x: float [rows, K], rows or columns next to each other in memory.
        weight: float [N, K], likewise.
        bias: float [N], or None.
        relu: Whether to set negative results to zero.

    Returns:
        float [rows, N].
    """
    if uses_onednn(x):
        found: Tensor = _KERNEL(x, weight, bias, "relu" if relu else "none", [], "")
        return found
    product = functional.linear(x, weight, bias)
    return product.relu_() if relu else product


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Gradient of the weight of a linear layer, [N, K], from those of its output [rows, N] and its input [rows, K]."""
    return linear(grad.t(), x.t()) if _WIDE and uses_onednn(x) and len(x) < _MANY_ROWS else grad.t() @ x


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).contiguous()  # else oneDNN's gradient takes hundreds of times as long
        ctx.save_for_backward(rows, weight)
        return linear(rows, weight, bias).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        to_rows = grad.reshape(-1, grad.shape[-1]).contiguous()
        to_x = linear(to_rows, weight.t()).view(*grad.shape[:-1], -1) if ctx.needs_input_grad[0] else None
        return to_x, weight_gradient(to_rows, rows), to_rows.sum(0) if ctx.needs_input_grad[2] else None


def dense(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute x W^T + b, with autograd.

    Args:
        x: float [..., K].
        weight: float [N, K].
        bias: float [N], or None.

    Returns:
        float [..., N]; its gradient can be taken once, not twice.
    """
    if not uses_onednn(x):
        return functional.linear(x, weight, bias)
    answer: Tensor = _Dense.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return answer


class Dense(nn.Linear):
    """torch.nn.Linear, with its product where it is fastest."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply to float [..., K]; returns float [..., N]."""
        return dense(x, self.weight, self.bias)
