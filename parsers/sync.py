"""How far sound and picture are apart, by a transformer over the tokens of both: a choice among offsets.

    x = [OFF; LN(v) + P_v; MOD; LN(a) + P_a], then blocks, LN; logits = W x_OFF, without bias

Positions are made of a part for each axis, one after the other: time, width and height of pictures, frequency and time
of sound.

Source: the dense network that SparseSync (Iashin et al., BMVC 2022) compares with, in the form of its code
(v-iashin/SparseSync); equal to the golden `sparsesync_dense`. The network of AVST has no public code.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import BlockKind, Sizes, run, stack

KIND = BlockKind()


class AxisPositions(nn.Module):
    """A learned vector for each place of a grid, made of one part for each of its axes."""

    def __init__(self, shape: Sequence[int], widths: Sequence[int], order: Sequence[int] | None = None) -> None:
        """Make the parts: places and width of each axis, and the order in which parts follow one another."""
        super().__init__()
        self.shape = tuple(shape)
        self.order = tuple(range(len(shape)) if order is None else order)
        self.axes = nn.ParameterList(
            torch.randn(count, width) * 0.02 for count, width in zip(shape, widths, strict=True)
        )

    def forward(self) -> Tensor:
        """All of them, float [places, D], the last axis changing first."""
        grids = []
        for axis in self.order:
            view = [1] * len(self.shape)
            view[axis] = -1
            grids.append(self.axes[axis].view(*view, self.axes[axis].shape[-1]).expand(*self.shape, -1))
        return torch.cat(grids, dim=-1).flatten(0, -2)


class OffsetNetwork(nn.Module):
    """The dense network; tokens come from networks before it."""

    def __init__(
        self,
        sizes: Sizes,
        num_layers: int,
        num_offsets: int,
        *,
        visual_shape: tuple[int, int, int],
        audio_shape: tuple[int, int],
    ) -> None:
        """Make it.

        Args:
            sizes: Of each block, 2 and 3 dividing D; published ones are four times as wide within.
            num_layers: Blocks.
            num_offsets: What is chosen among.
            visual_shape: Tokens of a picture stream by time, height and width.
            audio_shape: Tokens of sound by frequency and time.
        """
        super().__init__()
        width = sizes.width
        self.offset_token, self.modality_token = (nn.Parameter(torch.randn(width) * 0.02) for _ in range(2))
        self.visual_norm, self.audio_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.visual_positions = AxisPositions(visual_shape, [width // 3] * 3, order=(0, 2, 1))
        self.audio_positions = AxisPositions(audio_shape, [width // 2] * 2)
        self.blocks = stack(num_layers, sizes, KIND)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_offsets, bias=False)

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """Logits of offsets float [B, K], for tokens float [B, T_v, D] and [B, T_a, D] in the order of their grids."""
        parts = (
            self.offset_token.expand(len(visual), 1, -1),
            self.visual_norm(visual) + self.visual_positions(),
            self.modality_token.expand(len(visual), 1, -1),
            self.audio_norm(audio) + self.audio_positions(),
        )
        logits: Tensor = self.head(self.norm(run(self.blocks, torch.cat(parts, dim=1)))[:, 0])
        return logits
