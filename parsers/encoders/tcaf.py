"""TCaF: segments look across to the other stream and at the summary of the clip, and not along their own.

    code    W_f [sin s, cos s] + b + modality (+ padding)      s = 2 pi (t, t) R, R fixed, t in seconds
    token   W_m [x; code] + b                                  x = [summary; audio; visual]
    layer   x + A(LN x), then x + MLP(LN x), of one LN         audio sees summary and picture, picture summary and sound

The time of a segment stands beside its features, so that a segment finds its own second in the other stream.

Source: Mercea et al., ECCV 2022, in the form of its code (ExplainableML/TCAF-GZSL); equal to the golden `tcaf`. What it
has around the encoder, for classes by their words, is in `valor.parsers.words`.
"""

import math

import torch
from torch import Tensor, nn

from ..blocks import BlockKind, Sizes, beside, run, stack
from ..cpu.products import Dense

KIND = BlockKind(qkv_bias=False, norms="one")
FOURIER_SCALE = 10.0
"""Of the fixed random frequencies."""


class TimeCode(nn.Module):
    """What is said of a token besides its features: when it is, of which modality, and whether it is there at all."""

    def __init__(self, code_width: int) -> None:
        """Draw the frequencies, which never change, and what is learned."""
        super().__init__()
        self.frequencies: Tensor
        self.register_buffer("frequencies", FOURIER_SCALE * torch.randn(2, code_width // 2))
        self.waves = Dense(code_width, code_width)
        self.modality = nn.Parameter(torch.randn(2, code_width))
        self.padding = nn.Parameter(torch.randn(code_width))

    def forward(self, seconds: Tensor, modality: int, valid: Tensor | None) -> Tensor:
        """Codes float [B, T, E] of tokens at seconds float [B, T]; valid bool [B, T]."""
        angles = (2 * math.pi * seconds[..., None].repeat(1, 1, 2)) @ self.frequencies  # [B, T, E / 2]
        code: Tensor = self.waves(torch.cat((angles.sin(), angles.cos()), dim=-1)) + self.modality[modality]
        return code if valid is None else code + torch.where(valid[..., None], 0.0, self.padding)


class TcafEncoder(nn.Module):
    """Codes, projections and layers."""

    def __init__(
        self,
        sizes: Sizes,
        num_layers: int,
        *,
        in_widths: tuple[int, int] | None = None,
        code_width: int = 64,
        self_attention: bool = False,
        cross_attention: bool = True,
    ) -> None:
        """Make the parts.

        Args:
            sizes: Of each layer.
            num_layers: Layers.
            in_widths: Of audio and visual, where they are others than D.
            code_width: E.
            self_attention: Whether segments look along their own stream.
            cross_attention: Whether they look across.
        """
        super().__init__()
        width = sizes.width
        self.self_attention, self.cross_attention = self_attention, cross_attention
        self.summary = nn.Parameter(torch.randn(width))
        self.code = TimeCode(code_width)
        self.projections = nn.ModuleList(Dense(inside + code_width, width) for inside in in_widths or (width, width))
        self.layers = stack(num_layers, sizes, KIND)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each; segments are a second apart."""
        tokens = [self.tokens(audio, 0, valid), self.tokens(visual, 1, valid)]
        mixed = self.mix(tokens, [valid, valid])
        _, audio, visual = torch.split(mixed, [1, audio.shape[1], visual.shape[1]], dim=1)
        return audio, visual

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream: without another there is the summary to look at."""
        return self.mix([self.tokens(stream, modality, valid)], [valid])[:, 1:]

    def tokens(self, stream: Tensor, modality: int, valid: Tensor | None, seconds: Tensor | None = None) -> Tensor:
        """Tokens float [B, T, D] of a stream; seconds float [B, T], or None for 0, 1, 2, ..."""
        if seconds is None:
            seconds = torch.arange(stream.shape[1], dtype=stream.dtype, device=stream.device).expand(stream.shape[:2])
        code = self.code(seconds, modality, valid)
        token: Tensor = self.projections[modality](torch.cat((stream, code), dim=-1))
        return token

    def mix(self, tokens: list[Tensor], valid: list[Tensor | None]) -> Tensor:
        """All layers over the summary and one or both streams: float [B, 1 + sum of T, D]."""
        first = self.summary.expand(len(tokens[0]), 1, -1)
        counts = [stream.shape[1] for stream in tokens]
        there = beside((None, 1), *zip(valid, counts, strict=True), like=first)
        return run(self.layers, torch.cat((first, *tokens), dim=1), self.looks(counts, there, first))

    def looks(self, counts: list[int], there: Tensor | None, like: Tensor) -> Tensor:
        """Which token may look at which.

        Args:
            counts: Tokens of each stream behind the summary.
            there: bool [B, N], which tokens exist; None for all.
            like: Whose device it is.

        Returns:
            bool [B or 1, N, N]; what does not exist neither looks nor is looked at.
        """
        stream = torch.repeat_interleave(
            torch.arange(len(counts) + 1, device=like.device), torch.tensor([1, *counts], device=like.device)
        )
        same = stream[:, None] == stream
        summary = (stream[:, None] == 0) | (stream == 0)
        allowed = (summary | (same & self.self_attention) | (~same & self.cross_attention))[None]
        return allowed if there is None else allowed & there[:, None] & there[:, :, None]
