"""How far sound and picture are apart: a choice among offsets by a transformer, and codes of steps that are compared.

The transformer over the tokens of both, OffsetNetwork:

    x = [OFF; LN(v) + P_v; MOD; LN(a) + P_a], then blocks, LN; logits = W x_OFF, without bias

Positions are made of a part for each axis, one after the other: time, width and height of pictures, frequency and time
of sound.

Source: the dense network that SparseSync (Iashin et al., BMVC 2022) compares with, in the form of its code
(v-iashin/SparseSync); equal to the golden `sparsesync_dense`. The network of AVST has no public code.

What `valor sync` trains, StepCodes, after what is known of AVST (Chen et al., BMVC 2021): a code for each short step of
either stream, and

    score(s) = mean over t of v_t . a_(t+s)        loss = cross-entropy of scale * score over shifts s

of the same clip. Nothing in it knows where in a clip a step lies, so a clip of any length is one pass of convolutions
and as many products as there are shifts.
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


PICTURES_A_STEP = 2
"""Pictures of a step of StepCodes."""
SPECTRA_A_STEP = 5
"""Spectra of a step."""
_CONTEXT = 3
"""Steps that the last layer looks at."""
FIRST_SCALE = 15.0
"""Of scores at the start of training, about 1 / 0.07 as in CLIP."""


class StepCodes(nn.Module):
    """Codes of the steps of pictures and of sound; they are at most 1 long, and short where nothing happens.

    Small on purpose: a few hundred clips are soon known by heart, and then nothing is learned of any other.
    """

    def __init__(self, movements: int, rises: int, width: int = 16, dropout: float = 0.1) -> None:
        """Make it.

        Args:
            movements: Numbers that say how much moves from picture to picture.
            rises: Numbers that say how much a sound rises from spectrum to spectrum.
            width: Of a code, and within.
            dropout: Behind the first layers.
        """
        super().__init__()
        self.look = _tower(movements, width, 5, PICTURES_A_STEP, dropout)
        self.listen = _tower(rises, width, 7, SPECTRA_A_STEP, dropout)
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE).log())

    def visual(self, movement: Tensor) -> Tensor:
        """Codes float [B, T, D] of movement float [B, 2 T, movements]."""
        return _bounded(self.look(movement.mT))

    def audio(self, rise: Tensor) -> Tensor:
        """Codes float [B, T, D] of rises float [B, 5 T, rises]."""
        return _bounded(self.listen(rise.mT))


def _tower(inputs: int, width: int, sees: int, a_step: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, width, sees, padding=sees // 2),
        nn.ReLU(),
        nn.Conv1d(width, width, a_step, a_step),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Conv1d(width, width, _CONTEXT, padding=_CONTEXT // 2),
    )


def _bounded(codes: Tensor) -> Tensor:
    """Codes [B, D, T] as [B, T, D], brought into the ball of radius 1."""
    x = codes.transpose(1, 2)
    return x / (1 + x.square().sum(dim=-1, keepdim=True)).sqrt()


def shift_scores(visual: Tensor, audio: Tensor, most: int) -> Tensor:
    """How well codes fit where sound lies s steps behind its picture, s from -most to most: float [B, 2 most + 1].

    Args:
        visual: float [B, T, D].
        audio: float [B, T, D].
        most: Less than T; the mean is over the steps in common.
    """
    steps = visual.shape[1]
    scores = []
    for shift in range(-most, most + 1):
        seen = visual[:, max(0, -shift) : steps - max(0, shift)]
        heard = audio[:, max(0, shift) : steps - max(0, -shift)]
        scores.append((seen * heard).sum(dim=-1).mean(dim=1))
    return torch.stack(scores, dim=1)


def shift_loss(scores: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Mean cross-entropy of the true shift among all shifts of a clip.

    Args:
        scores: float [B, 2 most + 1].
        shift: float [B] in [0, 2 most], the place of the true one; between two, both share it.
        scale: Logarithm of what scores are multiplied by.
    """
    logs = (scale.clamp(max=5).exp() * scores).log_softmax(dim=1)
    low = shift.floor().long().clamp(max=scores.shape[1] - 2)
    share = (shift - low)[:, None]
    near = torch.cat((1 - share, share), dim=1) * logs.gather(1, torch.stack((low, low + 1), dim=1))
    return -near.sum(dim=1).mean()
