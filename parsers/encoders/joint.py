"""The joint block of Everything at Once: tokens of any modalities, one after the other, through the same blocks.

    x = [LN(a); LN(v)], then blocks over all of it

There are no positions and nothing that says which modality a token is of: permuting segments permutes answers, and any
subset of modalities will do.

Source: Shvetsova et al., CVPR 2022, in the form of its code (ninatu/everything_at_once); equal to the golden
`everything_at_once`. What it is trained on for search is in `valor.parsers.joint_space`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..blocks import BlockKind, Sizes, beside, run, stack

KIND = BlockKind(norm_eps=1e-6)


class JointBlocks(nn.Module):
    """Blocks over the tokens of any number of modalities."""

    def __init__(self, sizes: Sizes, num_layers: int) -> None:
        """Make them; published ones have inner layers as wide as the outer."""
        super().__init__()
        self.blocks = stack(num_layers, sizes, KIND)

    def forward(self, streams: Sequence[Tensor], masks: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Mix streams float [B, N_m, D], of which masks bool [B, N_m] say what exists; returns as many."""
        counts = [stream.shape[1] for stream in streams]
        seen = beside(*zip(masks, counts, strict=True), like=streams[0])
        return torch.split(run(self.blocks, torch.cat(list(streams), dim=1), seen), counts, dim=1)


class JointEncoder(nn.Module):
    """A norm of each stream, and the blocks."""

    def __init__(self, sizes: Sizes, num_layers: int) -> None:
        """Make them."""
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(sizes.width, eps=KIND.norm_eps) for _ in range(2))
        self.fusion = JointBlocks(sizes, num_layers)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each."""
        audio, visual = self.fusion((self.norms[0](audio), self.norms[1](visual)), (valid, valid))
        return audio, visual

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream, which is a subset as any other."""
        (mixed,) = self.fusion((self.norms[modality](stream),), (valid,))
        found: Tensor = mixed
        return found
