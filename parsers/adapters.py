"""LAVISH: adapters by which a frozen visual tower hears, and what it hears sees.

Of a stream x with the other one o, latents L:

    t = L + softmax(L o^T) o                      what the latents gather of the other stream
    x' = x + g1 softmax(x t^T) t                  what each token takes of them
    adapter(x, o) = g2 LN(BN(up relu(BN(down LN(x')))))

Every block of the tower gets four: beside its attention and beside its layers, for sound and for picture, each from
the states at the start of that half. Both gates are 0 at the start, and then the tower answers what it did alone, to
the bit.

Source: Lin et al., CVPR 2023, in the form of its code (GenjiB/LAVISH); equal to the golden `lavish`. The batch norms
act on rows: those of two dimensions have wrong gradients on the CPU (torch 2.11) where what they answer is permuted.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Adapter(nn.Module):
    """What one half of a block takes from the other stream."""

    def __init__(
        self,
        width: int,
        *,
        reduction: int = 8,
        num_latents: int = 2,
        groups: int = 2,
        batch_norm: bool = True,
    ) -> None:
        """Make it with both gates closed.

        Args:
            width: D.
            reduction: How much narrower it is within.
            num_latents: Vectors between the streams.
            groups: Of features, which the layers do not mix.
            batch_norm: Whether both layers are normalised over clips and tokens.
        """
        super().__init__()
        self.latents = nn.Parameter(torch.rand(num_latents, width))
        self.gather_gate, self.gate = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.norm, self.closing_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        inner = width // reduction
        self.down = nn.Conv1d(width, inner, 1, groups=groups, bias=False)
        self.up = nn.Conv1d(inner, width, 1, groups=groups, bias=False)
        self.down_norm = nn.BatchNorm1d(inner) if batch_norm else nn.Identity()
        self.up_norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        """What is added to x float [B, N, D], for the other stream float [B, S, D]."""
        latents = self.latents + (self.latents @ other.transpose(1, 2)).softmax(-1) @ other  # [B, k, D]
        x = x + self.gather_gate * ((x @ latents.transpose(1, 2)).softmax(-1) @ latents)
        y = self.norm(x).transpose(1, 2)  # [B, D, N]
        y = self.up_norm(self.up(functional.relu(self.down_norm(self.down(y)))))
        residual: Tensor = self.gate * self.closing_norm(y.transpose(1, 2))
        return residual


class TowerBlock(Protocol):
    """One block of a tower, as open_clip's have their parts."""

    ln_1: Callable[[Tensor], Tensor]
    ls_1: Callable[[Tensor], Tensor]
    ln_2: Callable[[Tensor], Tensor]
    mlp: Callable[[Tensor], Tensor]
    ls_2: Callable[[Tensor], Tensor]

    def attention(self, q_x: Tensor) -> Tensor:
        """Self-attention of float [B, N, D]."""


class TwoStreams(nn.Module):
    """Adapters beside every block of a tower; the tower itself is not part of it, and nothing of it is trained."""

    def __init__(
        self, width: int, num_blocks: int, *, reduction: int = 8, num_latents: int = 2, groups: int = 2
    ) -> None:
        """Make four adapters for each block, with closed gates."""
        super().__init__()

        def adapters() -> nn.ModuleList:
            shape = {"reduction": reduction, "num_latents": num_latents, "groups": groups}
            return nn.ModuleList(Adapter(width, **shape) for _ in range(num_blocks))  # type: ignore[arg-type]

        self.audio_attention, self.visual_attention = adapters(), adapters()
        self.audio_layers, self.visual_layers = adapters(), adapters()

    def forward(
        self, audio: Tensor, visual: Tensor, blocks: Sequence[nn.Module], *, alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Both streams through the blocks of a tower.

        Args:
            audio: float [B, N_a, D], tokens of spectrograms as the tower embeds them.
            visual: float [B, N_v, D], tokens of pictures.
            blocks: Of the tower, in their order, each with the parts of TowerBlock.
            alone: Whether each stream is given itself in place of the other, as a control.
        """
        for number, module in enumerate(blocks):
            block = cast(TowerBlock, module)
            beside_audio, beside_visual = (audio, visual) if alone else (visual, audio)
            heard = self.audio_attention[number](audio, beside_audio)
            seen = self.visual_attention[number](visual, beside_visual)
            audio = audio + block.ls_1(block.attention(block.ln_1(audio))) + heard
            visual = visual + block.ls_1(block.attention(block.ln_1(visual))) + seen
            beside_audio, beside_visual = (audio, visual) if alone else (visual, audio)
            heard = self.audio_layers[number](audio, beside_audio)
            seen = self.visual_layers[number](visual, beside_visual)
            audio = audio + block.ls_2(block.mlp(block.ln_2(audio))) + heard
            visual = visual + block.ls_2(block.mlp(block.ln_2(visual))) + seen
        return audio, visual


class StagedStreams(nn.Module):
    """Adapters behind every stage of a convolutional tower, for sound and for picture; the tower is not part of it.

    Stages change the shape of what goes through them, so that each adapter takes what comes out of its stage, both
    before either is changed.
    """

    def __init__(self, widths: Sequence[int], *, reduction: int = 4, num_latents: int = 2, groups: int = 2) -> None:
        """Make two adapters for each stage, with closed gates.

        Args:
            widths: Channels behind each stage.
            reduction: How much narrower adapters are within.
            num_latents: Vectors between the streams.
            groups: Of channels, which the layers do not mix.
        """
        super().__init__()
        shape = {"reduction": reduction, "num_latents": num_latents, "groups": groups}
        self.audio, self.visual = (
            nn.ModuleList(Adapter(width, **shape) for width in widths)  # type: ignore[arg-type]
            for _ in range(2)
        )

    def forward(
        self, audio: Tensor, visual: Tensor, stages: Sequence[Callable[[Tensor], Tensor]], *, alone: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Both streams float [B, C, H, W] through the stages of a tower, in their order; `alone` as in `TwoStreams`."""
        for number, stage in enumerate(stages):
            audio, visual = stage(audio), stage(visual)
            heard, seen = (x.flatten(2).transpose(1, 2) for x in (audio, visual))  # [B, N, C]
            beside_audio, beside_visual = (heard, seen) if alone else (seen, heard)
            more = self.audio[number](heard, beside_audio), self.visual[number](seen, beside_visual)
            audio, visual = (x + y.transpose(1, 2).reshape(x.shape) for x, y in zip((audio, visual), more, strict=True))
        return audio, visual


class SegmentHead(nn.Module):
    """The published classifier of a segment: the summaries of sound and picture, two layers, softmax."""

    def __init__(self, width: int, hidden_width: int, num_classes: int) -> None:
        """Make it; there is nothing between the layers."""
        super().__init__()
        self.first, self.second = nn.Linear(2 * width, hidden_width), nn.Linear(hidden_width, num_classes)

    def forward(self, audio: Tensor, visual: Tensor) -> Tensor:
        """Probabilities float [B, C], of summaries float [B, D] each; the loss is binary cross-entropy of them."""
        probs: Tensor = self.second(self.first(torch.cat((audio, visual), dim=-1))).softmax(-1)
        return probs


def stretched(positions: Tensor, count: int) -> Tensor:
    """Positions float [N, D] of a tower for another number of tokens: linear, that of the summary among them."""
    if len(positions) == count:
        return positions
    return functional.interpolate(positions.T[None], size=count, mode="linear")[0].T
