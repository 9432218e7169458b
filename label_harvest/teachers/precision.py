"""How exactly a network computes: float32 as published, or bfloat16 for speed."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from ..cores import DEVICE, DEVICES
from ..did_you_mean import did_you_mean
from .teacher import PRECISIONS

_KERNEL = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
"""oneDNN's dense layer, or None in a build without it."""
ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "gelu": functional.gelu,
    "swish": functional.silu,
}
"""What a dense layer can do to its answer, by oneDNN's names."""
_QUICK_GELU = 1.702
"""Of x * sigmoid(1.702 * x), the activation of OpenAI's CLIP."""


def check_precision(precision: str) -> None:
    """Refuse unknown precisions.

    Raises:
        ValueError: It is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}{did_you_mean(precision, PRECISIONS)}"
        )


def chosen_device() -> torch.device:
    """The first GPU where there is one and no CPU was asked for; float32 then means float32, not the 19 bits of TF32.

    Raises:
        ValueError: A GPU was asked for and there is none.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    asked, there = os.environ.get(DEVICE, "auto"), torch.cuda.is_available()
    if asked not in DEVICES or (asked == "cuda" and not there):
        raise ValueError(f"device must be auto, cpu, or cuda where there is a GPU, got {asked!r}")
    return torch.device("cuda" if there and asked != "cpu" else "cpu")


def cast_network(network: torch.nn.Module, precision: str) -> torch.nn.Module:
    """Bring a frozen network to a precision, in place.

    For bfloat16 its weights are cast, as autocast on a CPU is slower than float32; for float32 see `quicken_network`.
    """
    check_precision(precision)
    if precision == "bfloat16":
        return network.bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return quicken_network(network)


def cast_input(tensor: torch.Tensor, precision: str) -> torch.Tensor:
    """Bring pictures float32 [B, channels, H, W] to what a cast network takes."""
    if precision == "bfloat16":
        return tensor.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    return tensor


def quicken_network(network: torch.nn.Module) -> torch.nn.Module:
    """Have the dense layers of a frozen network use oneDNN's float32 product on a CPU, in place.

    torch sends such products to the BLAS it was built with, which leaves half the speed of other makers' AVX-512 cores
    unused. Both sum float32 products in float32.
    """
    if _KERNEL is not None and all(weight.device.type == "cpu" for weight in network.parameters()):
        for module in network.modules():
            if _is_quick_gelu_mlp(module):
                _join_quick_gelu(module)
            elif type(module) in _QUICKER:
                module.__class__ = _QUICKER[type(module)]
    return network


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, *, then: str = "none") -> torch.Tensor:
    """A dense layer, by oneDNN where that is for it; in other types, on other devices and with gradients by torch.

    Args:
        x: float [..., D].
        weight: float [E, D].
        bias: float [E], or None.
        then: One of `ACTIVATIONS`, applied to what comes out while it is in the cache.
    """
    other = x.dtype != torch.float32 or x.device.type != "cpu" or torch.is_grad_enabled()
    if _KERNEL is None or other or not torch.backends.mkldnn.enabled:
        return ACTIVATIONS[then](functional.linear(x, weight, bias))
    return _KERNEL(x, weight, bias, then, [], "none" if then == "gelu" else "")


def _is_quick_gelu_mlp(module: torch.nn.Module) -> bool:
    """Whether a module is the wide part of a block of OpenAI's CLIP and nothing else."""
    parts = dict(module.named_children())
    named = type(module) is torch.nn.Sequential and tuple(parts) == ("c_fc", "gelu", "c_proj")
    return named and type(parts["gelu"]).__name__ == "QuickGELU"


@torch.no_grad()
def _join_quick_gelu(mlp: Any) -> None:  # noqa: ANN401
    """Scale the weights around a QuickGELU so that it is oneDNN's swish: of x it is swish(1.702 x) / 1.702."""
    widen, narrow = mlp.c_fc, mlp.c_proj
    for weight in (widen.weight, widen.bias):
        weight.mul_(_QUICK_GELU)
    narrow.weight.div_(_QUICK_GELU)
    mlp.__class__ = _QuickGeluMlp


class _QuickGeluMlp(torch.nn.Sequential):
    """The wide part of a block whose weights `_join_quick_gelu` scaled."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (torch's name)
        layers: Any = self
        widen, _, narrow = layers
        return product(product(input, widen.weight, widen.bias, then="swish"), narrow.weight, narrow.bias)


class _QuickLinear(torch.nn.Linear):
    """A dense layer for inference."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (torch's name)
        return product(input, self.weight, self.bias)


class _QuickAttention(torch.nn.MultiheadAttention):
    """Attention of a sequence to itself, for inference; everything else goes torch's way."""

    def forward(  # noqa: PLR0913 (torch's signature)
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        masked = key_padding_mask is not None or attn_mask is not None or is_causal
        itself = query is key and key is value and self._qkv_same_embed_dim and self.bias_k is None
        if need_weights or masked or not itself or not self.batch_first or self.add_zero_attn or query.dim() != 3:
            return super().forward(
                query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
            )
        rows = product(query, self.in_proj_weight, self.in_proj_bias)  # [B, L, 3 * D]
        heads = rows.unflatten(-1, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4)  # [3, B, heads, L, D]
        mixed = functional.scaled_dot_product_attention(heads[0], heads[1], heads[2])
        return product(mixed.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias), None


_QUICKER = {torch.nn.Linear: _QuickLinear, torch.nn.MultiheadAttention: _QuickAttention}
