"""Sound and picture of a clip in one space, each segment with the segments around it, after MVPt.

    x = W f + b + P,  [summary; x] through blocks of its modality,  s = unit(W' LN(x)),  c = unit(W' LN(summary))
    loss = contrast(s_v, s_a) over all segments of all clips + contrast(c_v, c_a) over clips

Other segments of the same clip are among those a segment is told from: that is what makes the spaces of the modalities
agree on *when*, and not on which clip alone. What a single segment cannot tell, its neighbours can.

After Suris et al., CVPR 2022, of which no code is public: depth, widths and the learned temperature are ours, and no
figure of the paper may be expected of it. The contrast is the one of `joint_space.py`, which has golden vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import BlockKind, Positions, Sizes, run, stack
from .cpu.products import Dense
from .joint_space import contrast, unit

TEMPERATURE = 0.07
"""Of the contrast before it is learned."""


@dataclass(frozen=True, eq=False)
class Placed:
    """Where segments and whole clips lie, each of length 1."""

    segments: Tensor
    """float [B, T, P]."""
    clips: Tensor
    """float [B, P]."""


class ContextTower(nn.Module):
    """The blocks of one modality over the segments of a clip."""

    def __init__(self, in_width: int, sizes: Sizes, num_layers: int, out_width: int, max_segments: int) -> None:
        """Make the parts.

        Args:
            in_width: Of features.
            sizes: Of each block.
            num_layers: Blocks.
            out_width: P.
            max_segments: Learned positions.
        """
        super().__init__()
        self.enter = Dense(in_width, sizes.width)
        self.positions = Positions(max_segments, sizes.width, std=0.02)
        self.summary = nn.Parameter(torch.randn(sizes.width) * 0.02)
        self.blocks = stack(num_layers, sizes, BlockKind())
        self.closing = nn.LayerNorm(sizes.width)
        self.leave = Dense(sizes.width, out_width)

    def forward(self, x: Tensor, valid: Tensor) -> Placed:
        """Place clips, float [B, T, D] of which bool [B, T] exist."""
        tokens = self.positions(self.enter(x))
        summary = self.summary.expand(len(x), 1, -1)
        seen = torch.cat([torch.ones_like(valid[:, :1]), valid], dim=1)
        mixed = run(self.blocks, torch.cat([summary, tokens], dim=1), seen)
        found = unit(self.leave(self.closing(mixed)))
        return Placed(found[:, 1:], found[:, 0])


class ContextSpace(nn.Module):
    """A tower for each modality, and the temperature of their contrast."""

    def __init__(
        self, in_widths: Mapping[str, int], sizes: Sizes, num_layers: int, out_width: int, *, max_segments: int
    ) -> None:
        """Make a tower for each modality by its letter; arguments as of `ContextTower`."""
        super().__init__()
        made = (sizes, num_layers, out_width, max_segments)
        self.towers = nn.ModuleDict({letter: ContextTower(width, *made) for letter, width in in_widths.items()})
        self.log_temperature = nn.Parameter(torch.tensor(TEMPERATURE).log())

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> dict[str, Placed]:
        """Place clips by what is there of each modality: float [B, T, D_m] and bool [B, T]."""
        return {letter: self.towers[letter](x, valid[letter]) for letter, x in features.items()}


def context_loss(space: ContextSpace, found: Mapping[str, Placed], valid: Mapping[str, Tensor]) -> Tensor:
    """The contrast of segments plus that of clips, over what both modalities have; a scalar.

    Raises:
        ValueError: No segment has both.
    """
    one, other = found
    both = valid[one] & valid[other]  # [B, T]
    if not both.any():
        raise ValueError("found must have a segment that both modalities are there in")
    temperature = space.log_temperature.exp()
    clips = both.any(dim=1)
    of_segments = contrast(found[one].segments[both], found[other].segments[both], temperature)
    return of_segments + contrast(found[one].clips[clips], found[other].clips[clips], temperature)
