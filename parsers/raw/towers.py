"""Towers over a second of pictures or of sound, from random weights: patches through blocks, or convolutions.

Both take float [N, C, F, H, W], channels before pictures: a spectrum is one picture of one channel. Both give an
embedding of 128 numbers.

    PatchTower   x_p = W patch_p + P_p, then pre-norm blocks, LN; embedding = W' mean over tokens
    MapTower     convolutions that halve the picture three times, a vector at each place of [H/8, W/8]; embedding = the
                 mean over places and the largest of each number, halved

Places P are sinusoids, a part of the width for each axis, so that a tower of any size needs no table. The maps of
MapTower are what AVOL-Net compares with a sound at each place.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..blocks import BlockKind, Sizes, stack

KIND = BlockKind(norm_eps=1e-6)
"""Of the blocks of a transformer over patches."""
EMBEDDING = 128
"""Width of what a tower says of a second."""
MAP_CHANNELS = (24, 48, 80, 128)
"""Of the convolutions; the first three halve the picture."""


@dataclass(frozen=True, kw_only=True)
class PatchSizes:
    """How a stream is cut, and how large its tower is."""

    channels: int
    """3 of pictures, 1 of spectra."""
    shape: tuple[int, int, int]
    """Pictures, height, width."""
    patch: tuple[int, int, int] = (1, 8, 8)
    """Of a patch, along the same axes."""
    width: int = 96
    """D, of tokens."""
    num_layers: int = 4
    """Blocks."""
    num_heads: int = 4
    """Of each block."""
    embedding: int = EMBEDDING
    """Of what is said of a second."""

    def __post_init__(self) -> None:
        """Refuse patches that do not fill the stream."""
        if any(side % part for side, part in zip(self.shape, self.patch, strict=True)):
            raise ValueError(f"patch must divide the shape {self.shape}, got {self.patch}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along each axis."""
        t, h, w = (side // part for side, part in zip(self.shape, self.patch, strict=True))
        return t, h, w

    @property
    def num_patches(self) -> int:
        """P, of all axes."""
        return math.prod(self.grid)

    @property
    def patch_width(self) -> int:
        """Numbers of a patch."""
        return self.channels * math.prod(self.patch)

    @property
    def blocks(self) -> Sizes:
        """Of a block."""
        return Sizes(self.width, self.num_heads, 4 * self.width)


def patches_of(x: Tensor, sizes: PatchSizes) -> Tensor:
    """Cut float [N, C, F, H, W] into float [N, P, C * f * h * w], the last axis changing first.

    Raises:
        ValueError: It has another shape.
    """
    if x.shape[1:] != (sizes.channels, *sizes.shape):
        raise ValueError(f"expected [N, {sizes.channels}, {', '.join(map(str, sizes.shape))}], got {list(x.shape)}")
    (t, h, w), (ft, fh, fw) = sizes.grid, sizes.patch
    cut = x.reshape(len(x), sizes.channels, t, ft, h, fh, w, fw).permute(0, 2, 4, 6, 1, 3, 5, 7)
    return cut.reshape(len(x), sizes.num_patches, sizes.patch_width)


def standardised(patches: Tensor) -> Tensor:
    """Each patch with mean 0 and variance 1: what is to be painted, whatever the light."""
    mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True, unbiased=False)
    return (patches - mean) / (variance + 1e-6).sqrt()


def places(grid: Sequence[int], width: int) -> Tensor:
    """Sinusoids of the places of a grid, float [P, width]: each axis longer than one gets its part of the width."""
    axes = [axis for axis, count in enumerate(grid) if count > 1] or [0]
    part = width // len(axes) // 2 * 2
    found = []
    for axis in axes:
        rates = torch.exp(-math.log(10000.0) * torch.arange(0, part, 2) / part)
        angles = torch.arange(grid[axis])[:, None] * rates
        rows = torch.cat([angles.sin(), angles.cos()], dim=1)  # [count, part]
        view = [1] * len(grid)
        view[axis] = -1
        found.append(rows.view(*view, part).expand(*grid, part))
    return functional.pad(torch.cat(found, dim=-1).flatten(0, -2), (0, width - part * len(axes)))


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Rows [N, K, D] of [N, P, D] by int64 [N, K]."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


MOVED = 4.0
"""How strong differences between pictures are made; they are small beside the pictures."""


class PatchTower(nn.Module):
    """A transformer over patches, see the top of this file."""

    def __init__(self, sizes: PatchSizes) -> None:
        """Make it."""
        super().__init__()
        self.sizes = sizes
        self.embed = nn.Linear(sizes.patch_width, sizes.width)
        self.register_buffer("places", places(sizes.grid, sizes.width), persistent=False)
        self.blocks = stack(sizes.num_layers, sizes.blocks, KIND)
        self.norm = nn.LayerNorm(sizes.width, eps=KIND.norm_eps)
        self.head = nn.Linear(sizes.width, sizes.embedding)

    def tokens(self, patches: Tensor, keep: Tensor | None = None) -> Tensor:
        """Tokens float [N, K, D] of patches float [N, P, f], of those of int64 [N, K] alone where that is given."""
        place = self.get_buffer("places")
        x = self.embed(patches) + place
        x = x if keep is None else gather_rows(x, keep)
        for block in self.blocks:
            x = block(x)
        tokens: Tensor = self.norm(x)
        return tokens

    def pooled(self, tokens: Tensor) -> Tensor:
        """Embedding float [N, E] of tokens float [N, K, D]."""
        found: Tensor = self.head(tokens.mean(dim=1))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Embedding float [N, E] of float [N, C, F, H, W]."""
        return self.pooled(self.tokens(patches_of(x, self.sizes)))


class MapTower(nn.Module):
    """Convolutions that keep where things are.

    Of several pictures of a second the mean goes in, and what each differs from it, MOVED times as strong: what stands
    still takes no part in that.
    """

    def __init__(self, channels: int, pictures: int = 1, embedding: int = EMBEDDING) -> None:
        """Make it."""
        super().__init__()
        widths = (channels * (pictures + 1 if pictures > 1 else 1), *MAP_CHANNELS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[k], widths[k + 1], 3, 2 if k < 3 else 1, 1, bias=False) for k in range(len(MAP_CHANNELS))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in MAP_CHANNELS)
        self.at_each = nn.Conv2d(MAP_CHANNELS[-1], embedding, 1)

    def map(self, x: Tensor) -> Tensor:
        """A vector for each place, float [N, E, H/8, W/8], of float [N, C, F, H, W]."""
        mean = x.mean(dim=2)
        x = torch.cat([mean, MOVED * (x - mean[:, :, None]).flatten(1, 2)], dim=1) if x.shape[2] > 1 else mean
        x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster on a CPU
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = functional.relu(norm(convolution(x)))
        found: Tensor = self.at_each(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Embedding float [N, E] of float [N, C, F, H, W]."""
        found = self.map(x)
        return (found.mean(dim=(2, 3)) + found.amax(dim=(2, 3))) / 2
