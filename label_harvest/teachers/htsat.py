"""The stages of CLAP's audio tower on a CPU: the function of transformers' to rounding, with fewer passes over memory.

A block there builds its mask and its bias anew, copies all tokens four times to roll them and cut them into windows and
back, takes three products where one does, and sends each step over the whole batch through the memory. Here tokens stay
in the order of the windows from block to block (no layer but attention minds which is where), queries, keys and values
are one product, the activation is part of the product before it, and few enough windows of sound go through at a time
to stay in the cache.
"""

from typing import Any

import torch
from torch.nn import functional

from .precision import product

CACHED_TOKENS = 4096
"""Tokens that go through a stage together: those of one window of 10 s in the first stage, 64 windows in the last."""


def quicken_htsat(encoder: torch.nn.Module) -> None:
    """Have the stages of a frozen audio encoder computed this way, in place; what does not fit stays as it is.

    Its parameters keep their names and their values; queries, keys and values become parts of one tensor.

    Args:
        encoder: transformers' `ClapAudioEncoder`, or anything else, which is left alone.
    """
    stages: Any = getattr(encoder, "layers", None)
    if type(encoder).__name__ != "ClapAudioEncoder" or any(one.device.type != "cpu" for one in encoder.parameters()):
        return
    resolutions: Any = encoder.input_resolutions
    for place, (stage, size) in enumerate(zip(stages, resolutions, strict=True)):
        if not isinstance(stage, _QuickStage) and all(_fits(block, size) for block in stage.blocks):
            stages[place] = _QuickStage(stage, size)


def _fits(block: Any, size: tuple[int, int]) -> bool:  # noqa: ANN401
    """Whether a block cuts its tokens into whole windows and has the activation of HTSAT."""
    window = min(block.window_size, *size)
    exact = type(block.intermediate.intermediate_act_fn).__name__ == "GELUActivation"
    return exact and block.attention.self.query.bias is not None and not any(side % window for side in size)


class _QuickStage(torch.nn.Module):
    """One resolution of the tower, under the names of transformers' `ClapAudioStage`."""

    def __init__(self, stage: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
        super().__init__()
        self.blocks, self.downsample = stage.blocks, stage.downsample
        self._plans = [_Plan(block, size) for block in self.blocks]

    def forward(
        self, tokens: torch.Tensor, size: tuple[int, int], *_: object
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int, int, int]]:
        """Tokens [B, H * W, D]; answers as transformers' stage, without attention maps."""
        together = max(1, CACHED_TOKENS // tokens.shape[1])
        seen = torch.cat([self._seen(part) for part in tokens.split(together)])
        height, width = size
        if self.downsample is None:
            return seen, seen, (height, width, height, width)
        return self.downsample(seen, size), seen, (height, width, (height + 1) // 2, (width + 1) // 2)

    def _seen(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens after all blocks, in the order they came in."""
        back = None
        for block, plan in zip(self.blocks, self._plans, strict=True):
            tokens = tokens.index_select(1, plan.order if back is None else back[plan.order])
            back = plan.back
            tokens = tokens + block.attention.output(plan.attended(block.layernorm_before(tokens)), tokens)
            wide = block.intermediate.dense
            wider = product(block.layernorm_after(tokens), wide.weight, wide.bias, then="gelu")
            tokens = tokens + block.output(wider)
        return tokens if back is None else tokens.index_select(1, back)


class _Plan:
    """What a block needs that is the same for every sound."""

    def __init__(self, block: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
        """Join the parts of its attention.

        Args:
            block: transformers' `ClapAudioLayer`.
            size: Rows and columns of its tokens.
        """
        block.set_shift_and_window_size(size)
        side, shift, attention = int(block.window_size), int(block.shift_size), block.attention.self
        self.tokens, self.heads = side * side, int(attention.num_attention_heads)
        height, width = size
        places = torch.arange(height * width).view(height, width).roll((-shift, -shift), (0, 1))
        self.order = places.view(height // side, side, width // side, side).transpose(1, 2).flatten()
        """Where the tokens of the windows come from, int64 [H * W]."""
        self.back = self.order.argsort()
        table, index = attention.relative_position_bias_table, attention.relative_position_index.flatten()
        bias = table[index].view(self.tokens, self.tokens, -1).permute(2, 0, 1)[None]
        hidden = block.get_attn_mask(height, width, bias.dtype, bias.device)
        bias = bias if hidden is None else bias + hidden[:, None]
        self.bias = bias.expand(height * width // self.tokens, -1, -1, -1)  # [windows, heads, L, L]
        parts = (attention.query, attention.key, attention.value)
        self.weight = torch.cat([part.weight for part in parts])
        self.shift = torch.cat([part.bias for part in parts])
        for part, weight, shifted in zip(parts, self.weight.chunk(3), self.shift.chunk(3), strict=True):
            part.weight.data, part.bias.data = weight, shifted  # no second copy of them

    def attended(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attention within windows of tokens [B, H * W, D] in their order, before the output projection."""
        width = tokens.shape[-1]
        rows = product(tokens, self.weight, self.shift)
        rows = rows.view(len(tokens), -1, self.tokens, 3, self.heads, width // self.heads)
        mixed = []
        for sound in rows:
            query, key, value = sound.permute(2, 0, 3, 1, 4)  # [windows, heads, L, D / heads]
            mixed.append(functional.scaled_dot_product_attention(query, key, value, attn_mask=self.bias))
        return torch.stack(mixed).transpose(2, 3).reshape(tokens.shape)
