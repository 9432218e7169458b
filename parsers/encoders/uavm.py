"""UAVM: one network for either modality, and nothing that looks from one to the other.

    own part      x = W LN(x) + b + P_m, then blocks of modality m       P learned positions
    shared part   x = LN(x) + P_s, then blocks that both modalities go through

What is heard does not depend on what is seen, to the bit: the two meet in the weights of the shared part alone.

Source: Gong, Liu, Rouditchenko and Glass, IEEE SPL 2022, in the form of its code (YuanGongND/uavm); equal to the golden
`uavm`. As an encoder of this project it has no mean over segments and no head; the norm of the head closes a segment.
"""

import torch
from torch import Tensor, nn

from ..blocks import BlockKind, Positions, Sizes, masked_mean, stack
from ..cpu.products import Dense

KIND = BlockKind(qkv_bias=False)
NORM_EPS = 1e-6
"""Of the norms outside the blocks."""


class Part(nn.Module):
    """The own part of a modality, or the shared one: a norm, a projection where widths differ, positions, blocks."""

    def __init__(self, in_width: int, sizes: Sizes, num_layers: int, max_segments: int) -> None:
        """Make them with fresh weights."""
        super().__init__()
        self.norm = nn.LayerNorm(in_width, eps=NORM_EPS)
        self.projection = nn.Identity() if in_width == sizes.width else Dense(in_width, sizes.width)
        self.positions = Positions(max_segments, sizes.width, std=0.02)
        self.blocks = stack(num_layers, sizes, KIND)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Apply to float [B, T, D_in]; valid bool [B, T]."""
        return self.states(x, valid)[-1]

    def states(self, x: Tensor, valid: Tensor | None = None) -> list[Tensor]:
        """What enters the first block, and what leaves each: float [B, T, D]."""
        found = [self.positions(self.projection(self.norm(x)))]
        for block in self.blocks:
            found.append(block(found[-1], valid))
        return found


class UavmEncoder(nn.Module):
    """Own parts of both modalities and a shared one."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        own_layers: int,
        shared_layers: int,
        max_segments: int,
        in_widths: tuple[int, int] | None = None,
        closes: bool = True,
    ) -> None:
        """Make the parts.

        Args:
            sizes: Of each block.
            own_layers: Blocks of each modality; without any its part is a norm and a projection, and has no positions.
            shared_layers: Blocks of both; without any there is no shared part.
            max_segments: Learned positions.
            in_widths: Of audio and visual, where they are others than D.
            closes: Whether a norm closes each stream.
        """
        super().__init__()
        width = sizes.width
        self.own = nn.ModuleList(
            Part(in_width, sizes, own_layers, max_segments)
            if own_layers
            else nn.Sequential(nn.LayerNorm(in_width, eps=NORM_EPS), Dense(in_width, width))
            for in_width in in_widths or (width, width)
        )
        self.shared = Part(width, sizes, shared_layers, max_segments) if shared_layers else None
        separate = closes and not shared_layers  # what is not shared has heads of its own
        self.closing = nn.ModuleList(
            nn.LayerNorm(width, eps=NORM_EPS) if closes else nn.Identity() for _ in range(2 if separate else 1)
        )

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D_in] each; the shared part takes both as one batch."""
        audio, visual = self.own_part(audio, 0, valid), self.own_part(visual, 1, valid)
        if self.shared is not None:
            both = self.shared(torch.cat((audio, visual)), None if valid is None else valid.repeat(2, 1))
            audio, visual = both.chunk(2)
        return self.closing[0](audio), self.closing[-1](visual)

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream; the answer is the same as beside another."""
        x = self.own_part(stream, modality, valid)
        if self.shared is not None:
            x = self.shared(x, valid)
        closed: Tensor = self.closing[-1 if modality else 0](x)
        return closed

    def own_part(self, stream: Tensor, modality: int, valid: Tensor | None) -> Tensor:
        """What enters the shared part, float [B, T, D]."""
        part = self.own[modality]
        own: Tensor = part(stream, valid) if isinstance(part, Part) else part(stream)
        return own


class UavmNetwork(nn.Module):
    """The published network: encoder, mean over segments, and a head, or one of each modality where nothing is shared.

    It answers logits of each modality; those of a clip are their mean. Its loss is cross-entropy with soft labels, or
    binary cross-entropy, of either.
    """

    def __init__(
        self,
        in_widths: tuple[int, int],
        sizes: Sizes,
        num_classes: int,
        *,
        own_layers: int,
        shared_layers: int,
        max_segments: int,
        joined: bool = False,
    ) -> None:
        """Make it.

        Args:
            in_widths: Of audio and visual features.
            sizes: Of each block; published ones are four times as wide within.
            num_classes: C.
            own_layers: See UavmEncoder.
            shared_layers: See UavmEncoder.
            max_segments: Learned positions of each stream.
            joined: Whether the shared part sees both streams one after the other: the published rival that fuses.
        """
        super().__init__()
        self.encoder = UavmEncoder(
            sizes,
            own_layers=own_layers,
            shared_layers=shared_layers,
            max_segments=max_segments,
            in_widths=in_widths,
            closes=False,
        )
        if joined:
            self.encoder.shared = Part(sizes.width, sizes, shared_layers, 2 * max_segments)
        self.joined = joined
        self.heads = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(sizes.width, eps=NORM_EPS), Dense(sizes.width, num_classes))
            for _ in range(1 if shared_layers else 2)
        )

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of each modality, float [B, C]; where both are joined, the same twice."""
        if self.joined and self.encoder.shared is not None:
            streams = [self.encoder.own_part(audio, 0, valid), self.encoder.own_part(visual, 1, valid)]
            seen = None if valid is None else valid.repeat(1, 2)
            logits = self.heads[0](masked_mean(self.encoder.shared(torch.cat(streams, dim=1), seen), seen))
            return logits, logits
        audio, visual = self.encoder(audio, visual, valid)
        return self.heads[0](masked_mean(audio, valid)), self.heads[-1](masked_mean(visual, valid))
