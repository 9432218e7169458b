"""Two towers as objectives see them: a second of sound or of picture is a token.

The towers know one second at a time and one stream each, so what `alone` says of a stream holds nothing of the other.
Seconds of a stream know of one another where `mix_layers` says so; `together` mixes the two, by one more block.

In training what goes in is varied from step to step (torch's own generator, as dropout): pictures are cut, mirrored
and lit otherwise, spectra shifted in time and loudness. A few hundred clips are soon known by heart without.
"""

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..blocks import Sizes, run, stack
from ..pretraining.objective import Masks, Segments
from .options import PATCHES, TowerOptions
from .towers import EMBEDDING, KIND, MapTower, PatchSizes, PatchTower, gather_rows, patches_of, places

HEIGHT, WIDTH = 48, 64
"""Of pictures and of spectra, bands by steps of time."""
SHRUNK = 4
"""Side of what becomes one pixel of the small copy of a second."""
STRONGER = 2.0
"""How strong what differs from what stands still is made; it is small beside the pictures."""
LEAST_CUT = 0.7
"""Share of the side that a cut keeps at least."""
LIT = 0.3
"""How far light and contrast of a picture go up and down."""
SHIFTED = 8
"""Steps of a spectrum, of 64 a second, by which it is shifted at most."""
LOUDER = 0.25
"""How far the level of a spectrum goes up and down, in its own unit (15 dB)."""


def build_tower(modality: int, options: TowerOptions) -> MapTower | PatchTower:
    """The tower of sound (0) or of pictures (1), from torch's generator."""
    channels, pictures = (3, options.pictures) if modality else (1, 1)
    if options.kind != PATCHES:
        return MapTower(channels, pictures)
    return PatchTower(
        PatchSizes(
            channels=channels,
            shape=(pictures, HEIGHT, WIDTH),
            patch=(min(pictures, 2) if pictures % 2 == 0 else 1, 8, 8),
            width=options.width,
            num_layers=options.num_layers,
            num_heads=options.num_heads,
        )
    )


class RawViews(nn.Module):
    """What objectives may see of two towers, see `valor.parsers.pretraining.objective.Views`."""

    width, motion_width = EMBEDDING, 0
    target_widths = (HEIGHT * WIDTH // SHRUNK**2, 3 * HEIGHT * WIDTH // SHRUNK**2)

    def __init__(self, options: TowerOptions) -> None:
        """Draw the towers and the rows from torch's generator."""
        super().__init__()
        self.options = options
        self.towers = nn.ModuleList(build_tower(modality, options) for modality in range(2))
        self.absent = nn.Parameter(torch.randn(2, self.width) * 0.02)
        self.mask = nn.Parameter(torch.randn(2, self.width) * 0.02)
        self.says_when = options.mix_layers > 0
        sizes = Sizes(self.width, 4, 2 * self.width)
        self.mixed = nn.ModuleList(stack(options.mix_layers, sizes, KIND) for _ in range(2))
        self.joined = stack(1, sizes, KIND)

    @property
    def audio(self) -> MapTower | PatchTower:
        """The tower that listens."""
        return cast(MapTower | PatchTower, self.towers[0])

    @property
    def visual(self) -> MapTower | PatchTower:
        """The tower that looks."""
        return cast(MapTower | PatchTower, self.towers[1])

    def alone(self, batch: Segments, modality: int, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """What a tower says of each second, float [B, T, D]; see Views."""
        x = batch.streams[modality]
        if rows is not None:
            x = x[torch.arange(len(x))[:, None], rows]
        said = self._through(self.prepared(x, modality).flatten(0, 1), modality).view(*x.shape[:2], -1)
        said = said if mask is None else torch.where(mask[..., None], self.mask[modality], said)
        return run(cast(nn.ModuleList, self.mixed[modality]), said + self._codes(said)) if self.says_when else said

    def together(self, batch: Segments, masks: Masks = (None, None)) -> tuple[Tensor, Tensor]:
        """Both streams, each of which sees the other; see Views."""
        streams = [self.alone(batch, modality, masks[modality]) for modality in range(2)]
        count = streams[0].shape[1]
        joined = run(self.joined, torch.cat([x + self._codes(x) for x in streams], dim=1))
        return joined[:, :count], joined[:, count:]

    def pooled(self, tokens: Tensor, batch: Segments) -> Tensor:
        """Mean over the seconds; see Views."""
        return tokens.mean(dim=1)

    def targets(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """A small copy of each second, 12 x 16: its spectrum, and the middle one of its pictures; see Views."""
        heard = functional.avg_pool2d(
            batch.audio.flatten(2, 4).flatten(0, 1)[:, None].view(-1, 1, HEIGHT, WIDTH), SHRUNK
        )
        middle = batch.visual[:, :, :, batch.visual.shape[3] // 2]
        seen = functional.avg_pool2d(middle.flatten(0, 1), SHRUNK)
        return heard.reshape(*batch.audio.shape[:2], -1), seen.reshape(*batch.audio.shape[:2], -1)

    def varied(self, batch: Segments, rng: torch.Generator, *, dropout: float, noise: float) -> Segments:
        """Cut and shifted, and some noise; see Views."""
        sound = vary_sound(batch.audio.flatten(0, 1), rng).view(batch.audio.shape)
        picture = vary_pictures(batch.visual.flatten(0, 1), rng).view(batch.visual.shape)
        added = [x + noise * torch.randn(x.shape, generator=rng).to(x) for x in (sound, picture)]
        return replace(batch, audio=added[0], visual=added[1])

    def prepared(self, x: Tensor, modality: int) -> Tensor:
        """What goes into a tower, float [B, T, ...]: varied in training."""
        if not self.training:
            return x
        vary = vary_pictures if modality else vary_sound
        return vary(x.flatten(0, 1), None).view(x.shape)

    def _codes(self, x: Tensor) -> Tensor:
        """Sinusoids of the seconds of float [B, T, D]."""
        return places([x.shape[1]], self.width).to(x)

    def _through(self, x: Tensor, modality: int) -> Tensor:
        tower = self.towers[modality]
        if self.training and self.options.drop_share and isinstance(tower, PatchTower):
            patches = patches_of(x, tower.sizes)
            keep = kept_places(len(x), tower.sizes.num_patches, self.options.drop_share, None)
            return tower.pooled(tower.tokens(patches, keep.to(x.device)))
        said: Tensor = tower(x)
        return said


def kept_places(count: int, places: int, share: float, rng: torch.Generator | None) -> Tensor:
    """Places that stay where a share of them is left out, int64 [count, K], in their order."""
    stays = max(1, places - round(share * places))
    return torch.rand(count, places, generator=rng).argsort(dim=1)[:, :stays].sort(dim=1).values


def left_out(keep: Tensor, places: int) -> Tensor:
    """The other places, int64 [N, P - K], in their order."""
    hidden = torch.ones(len(keep), places, dtype=torch.bool).scatter(1, keep, value=False)
    return hidden.nonzero()[:, 1].view(len(keep), -1)


def still_of(pictures: Tensor) -> Tensor:
    """What stands still in pictures [T, F, ...] of any kind, [1, ...]: the lower median of each number."""
    return pictures.flatten(0, 1).median(dim=0, keepdim=True).values


def less(pictures: Tensor, still: Tensor) -> Tensor:
    """Pictures less what stands still in them, made STRONGER."""
    return STRONGER * (pictures - still)


def vary_pictures(x: Tensor, rng: torch.Generator | None) -> Tensor:
    """Pictures float [N, 3, F, H, W], each second cut, mirrored and lit in its own way."""
    count, channels, pictures, height, width = x.shape
    drawn = torch.rand(count, 6, generator=rng).to(x)
    scale = 1 - (1 - LEAST_CUT) * drawn[:, :1]  # [N, 1]
    shift = (1 - scale) * (2 * drawn[:, 1:3] - 1)
    sign = torch.where(drawn[:, 3:4] < 0.5, -1.0, 1.0)
    theta = torch.zeros(count, 2, 3).to(x)
    theta[:, 0, 0], theta[:, 1, 1] = (scale * sign)[:, 0], scale[:, 0]
    theta[:, :, 2] = shift
    grid = functional.affine_grid(theta, [count, channels * pictures, height, width], align_corners=False)
    cut = functional.grid_sample(x.flatten(1, 2), grid, mode="bilinear", padding_mode="border", align_corners=False)
    cut = cut.view(x.shape)
    light = LIT * (2 * drawn[:, 4] - 1).view(-1, 1, 1, 1, 1)
    contrast = 1 + LIT * (2 * drawn[:, 5] - 1).view(-1, 1, 1, 1, 1)
    return cut * contrast + light


def vary_sound(x: Tensor, rng: torch.Generator | None) -> Tensor:
    """Spectra float [N, 1, 1, bands, steps], each shifted in time round its second, and louder or softer."""
    count, steps = len(x), x.shape[-1]
    drawn = torch.rand(count, 2, generator=rng).to(x)
    shift = ((2 * drawn[:, 0] - 1) * SHIFTED).round().long()
    from_place = (torch.arange(steps, device=x.device) - shift[:, None]) % steps  # [N, steps]
    moved = x.gather(-1, from_place[:, None, None, None, :].expand_as(x))
    return moved + LOUDER * (2 * drawn[:, 1] - 1).view(-1, 1, 1, 1, 1)


def rows_at(x: Tensor, keep: Tensor | None) -> Tensor:
    """Rows of [N, P, D] at int64 [N, K], or all of them."""
    return x if keep is None else gather_rows(x, keep)
