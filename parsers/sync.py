"""How far sound and picture are apart: a choice among offsets by a transformer, and codes of steps that are compared.

The transformer over the tokens of both, OffsetNetwork:

    x = [OFF; LN(v) + P_v; MOD; LN(a) + P_a], then blocks, LN; logits = W x_OFF, without bias

Positions are made of a part for each axis, one after the other: time, width and height of pictures, frequency and time
of sound.

Source: the dense network that SparseSync (Iashin et al., BMVC 2022) compares with, in the form of its code
(v-iashin/SparseSync); equal to the golden `sparsesync_dense`. The network of AVST has no public code.

What `valor sync` trains, ShiftHead, after what is known of AVST (Chen et al., BMVC 2021): streams of numbers from the
cells of pictures and from the bands of sound, of one number a step each, are compared at every shift,

    c_ij(s) = sqrt(n_s) * sum_t v_ti a_(t+s)j / (|v_i| |a_j|)        over the n_s steps in common at shift s

so that chance is about 1 at any shift and any length; what is found in cells is pooled over them, and two layers along
s make scores of it. loss = cross-entropy over shifts s of the same clip. Nothing in it knows where in a clip a step
lies, and a clip of any length is one Fourier transform of each stream.
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


SPECTRA_A_STEP = 5
"""Spectra of a step, which has one picture."""
_ALONG = 5
"""Shifts that the first layer of a head looks at."""
_UNIT = 0.3
"""What correlations are multiplied by, which are up to ten."""


class ShiftHead(nn.Module):
    """Scores of shifts from correlations at them: a weighted sum, and beside it two layers along shifts.

    Small on purpose: a few hundred clips are soon known by heart, and then nothing is learned of any other.
    """

    def __init__(self, inputs: int, width: int = 8, dropout: float = 0.2) -> None:
        """Make it; at first it sums.

        Args:
            inputs: Correlations at each shift.
            width: Between the two layers.
            dropout: Behind the first.
        """
        super().__init__()
        self.sum = nn.Conv1d(inputs, 1, _ALONG, padding=_ALONG // 2)
        last = nn.Conv1d(width, 1, 3, padding=1)
        self.beside = nn.Sequential(
            nn.Conv1d(inputs, width, _ALONG, padding=_ALONG // 2), nn.ReLU(), nn.Dropout(dropout), last
        )
        nn.init.zeros_(last.weight)
        nn.init.zeros_(self.sum.weight)
        with torch.no_grad():
            self.sum.weight[:, :, _ALONG // 2] = 0.1

    def forward(self, found: Tensor) -> Tensor:
        """Scores float [B, 2 S + 1] of correlations float [B, inputs, 2 S + 1]."""
        x = _UNIT * found
        scores: Tensor = (self.sum(x) + self.beside(x))[:, 0]
        return scores


def correlations(visual: Tensor, audio: Tensor, most: int, there: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """How well streams fit where sound lies s steps behind, s from -most to most: float [B, V, A, 2 most + 1].

    Args:
        visual: float [B, T, V], of about no mean.
        audio: float [B, T, A], likewise.
        most: Less than T.
        there: Of either, float [B, T, 1], 1 where there is a step and 0 where none is, and the stream 0; None: all are.
    """
    steps = visual.shape[1]
    whole = 1 << (steps + most).bit_length()

    def crossed(seen: Tensor, heard: Tensor) -> Tensor:
        product = torch.fft.rfft(seen.mT, whole).conj()[:, :, None] * torch.fft.rfft(heard.mT, whole)[:, None]
        at = torch.fft.irfft(product, whole)
        return torch.cat((at[..., whole - most :], at[..., : most + 1]), dim=-1)

    seen, heard = there or (torch.ones_like(visual[:, :, :1]), torch.ones_like(audio[:, :, :1]))
    power = crossed(visual.square(), heard) * crossed(seen, audio.square())
    common = crossed(seen, heard).clamp(min=0)
    return crossed(visual, audio) / power.clamp(min=1e-3).sqrt() * common.sqrt()


def shift_loss(scores: Tensor, shift: Tensor) -> Tensor:
    """Mean cross-entropy of the true shift among all shifts of a clip.

    Args:
        scores: float [B, 2 most + 1].
        shift: float [B] in [0, 2 most], the place of the true one; between two, both share it.
    """
    logs = scores.log_softmax(dim=1)
    low = shift.floor().long().clamp(max=scores.shape[1] - 2)
    share = (shift - low)[:, None]
    near = torch.cat((1 - share, share), dim=1) * logs.gather(1, torch.stack((low, low + 1), dim=1))
    return -near.sum(dim=1).mean()
