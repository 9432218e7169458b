"""MBT: sound and picture exchange nothing but a few latent vectors.

    before fusion_layer   a = E_a(a)                    v = E_v(v)
    from there on         [a; z_a] = E_a([a; z])        [v; z_v] = E_v([v; z])        z = (z_a + z_v) / 2

Both streams read z as it was before the layer: with one fused layer nothing passes yet, z being written and not read.
Without latents each stream sees the tokens of the other: a = E_a([v; a]), own rows.

Source: Nagrani et al., NeurIPS 2021, in the form of its code (google-research/scenic, projects/mbt); equal to the
golden `mbt`.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..blocks import BlockKind, Positions, Sizes, beside, stack

KIND = BlockKind(norm_eps=1e-6, activation="gelu-tanh")


class MbtEncoder(nn.Module):
    """A stack of blocks for each modality, latents between them, and one closing norm."""

    def __init__(
        self,
        sizes: Sizes,
        num_layers: int,
        *,
        fusion_layer: int,
        num_latents: int,
        max_segments: tuple[int, int],
        shared: bool = False,
    ) -> None:
        """Make the parts.

        Args:
            sizes: Of each block.
            num_layers: Blocks of each modality.
            fusion_layer: Layers before the first that exchanges; num_layers for none that does.
            num_latents: Vectors between the streams; 0 lets each look at the other's tokens.
            max_segments: Learned positions of audio and visual.
            shared: Whether both modalities go through the same blocks.
        """
        super().__init__()
        self.fusion_layer = fusion_layer
        self.positions = nn.ModuleList(Positions(count, sizes.width, std=0.02) for count in max_segments)
        self.latents = nn.Parameter(torch.randn(num_latents, sizes.width) * 0.02) if num_latents else None
        self.stacks = nn.ModuleList(stack(num_layers, sizes, KIND) for _ in range(1 if shared else 2))
        self.norm = nn.LayerNorm(sizes.width, eps=1e-6)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each; the streams may have unlike T where all segments are valid."""
        audio, visual = self.positions[0](audio), self.positions[1](visual)
        latents = self._latents(audio)
        for layer, (hear, see) in enumerate(zip(self._blocks(0), self._blocks(1), strict=True)):
            if layer < self.fusion_layer:
                audio, visual = hear(audio, valid), see(visual, valid)
            elif latents is None:
                audio, visual = _across(hear, audio, visual, valid), _across(see, visual, audio, valid)
            else:
                audio, from_audio = _with_latents(hear, audio, latents, valid)
                visual, from_visual = _with_latents(see, visual, latents, valid)
                latents = (from_audio + from_visual) / 2
        return self.norm(audio), self.norm(visual)

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream by its own branch, which keeps its latents to itself."""
        x = self.positions[modality](stream)
        latents = self._latents(x)
        for layer, block in enumerate(self._blocks(modality)):
            if layer < self.fusion_layer or latents is None:
                x = block(x, valid)
            else:
                x, latents = _with_latents(block, x, latents, valid)
        normed: Tensor = self.norm(x)
        return normed

    def _blocks(self, modality: int) -> nn.ModuleList:
        return cast(nn.ModuleList, self.stacks[-1 if modality else 0])

    def _latents(self, like: Tensor) -> Tensor | None:
        return None if self.latents is None else self.latents.expand(len(like), -1, -1)  # [B, n, D]


def _with_latents(block: nn.Module, x: Tensor, latents: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """One block over a stream and the latents behind it."""
    counts = [x.shape[1], latents.shape[1]]
    seen = beside((valid, counts[0]), (None, counts[1]), like=x)
    own, left = torch.split(block(torch.cat((x, latents), dim=1), seen), counts, dim=1)
    return own, left


def _across(block: nn.Module, x: Tensor, other: Tensor, valid: Tensor | None) -> Tensor:
    """One block over the other stream and this one behind it; its own rows."""
    seen = beside((valid, other.shape[1]), (valid, x.shape[1]), like=x)
    mixed: Tensor = block(torch.cat((other, x), dim=1), seen)
    return mixed[:, other.shape[1] :]
