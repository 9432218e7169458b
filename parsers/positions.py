"""Where a segment stands, said to encoders that do not know the order of segments.

    learned   x + P_t                      the same P_t for both streams, so that a segment finds its own in the other
    time      W_m [x; code(t, modality)] + b_m      as TCaF has it, `valor.parsers.encoders.tcaf`
    time_codes = s > 0      x + s sines(t)      nothing learned, the same for both streams

Without them permuting the segments of a clip permutes the answers of `hybrid` and `joint`, and a segment cannot find
the one of the other stream that happens at the same time.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from .attention import HybridEncoder
from .blocks import Positions
from .cpu.products import Dense
from .encoders.tcaf import TimeCode

CODE_WIDTH = 64
"""Of a time code, as published."""
LEARNED_STD = 0.02
"""Learned positions are drawn from a normal distribution of this deviation."""
LONGEST_WAVE = 10000.0
"""Of the sine positions."""


def sine_positions(length: int, width: int) -> Tensor:
    """Sines and cosines of falling frequencies in turns, float32 [length, width]."""
    places = torch.arange(length, dtype=torch.float32)[:, None]
    steps = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(LONGEST_WAVE) / width))
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(places * steps)
    table[:, 1::2] = torch.cos(places * steps)[:, : width // 2]
    return table


class TimeCodes(nn.Module):
    """The code of a second beside the features of a segment, and a layer for each stream that joins them."""

    def __init__(self, width: int) -> None:
        """Make the parts."""
        super().__init__()
        self.code = TimeCode(CODE_WIDTH)
        self.projections = nn.ModuleList(Dense(width + CODE_WIDTH, width) for _ in range(2))

    def forward(self, stream: Tensor, modality: int, valid: Tensor | None) -> Tensor:
        """Say it of float [B, T, D]; segments are a second apart."""
        seconds = torch.arange(stream.shape[1], dtype=stream.dtype, device=stream.device).expand(stream.shape[:2])
        code = self.code(seconds, modality, valid)
        placed: Tensor = self.projections[modality](torch.cat((stream, code), dim=-1))
        return placed


class LearnedPositions(Positions):
    """Learned positions, which both streams share."""

    def __init__(self, max_segments: int, width: int) -> None:
        """Draw them."""
        super().__init__(max_segments, width, std=LEARNED_STD)

    def forward(self, stream: Tensor, modality: int = 0, valid: Tensor | None = None) -> Tensor:
        """Say it of float [B, T, D]; errors as in `Positions`."""
        return super().forward(stream)


class SineCodes(nn.Module):
    """Sines of the place, times a strength; there is no weight and no buffer of it."""

    def __init__(self, strength: float) -> None:
        """Take what the sines are multiplied by."""
        super().__init__()
        self.strength = strength

    def forward(self, stream: Tensor, modality: int = 0, valid: Tensor | None = None) -> Tensor:
        """Say it of float [B, T, D]."""
        return stream + self.strength * sine_positions(*stream.shape[1:]).to(stream)


class PlacedEncoder(nn.Module):
    """An encoder whose segments know where they stand."""

    def __init__(self, encoder: nn.Module, places: TimeCodes | LearnedPositions | SineCodes) -> None:
        """Take both."""
        super().__init__()
        self.encoder = encoder
        self.places = places

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each."""
        heard, seen = self.encoder(self.places(audio, 0, valid), self.places(visual, 1, valid), valid)
        return heard, seen

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream as the encoder does where there is no other."""
        placed = self.places(stream, modality, valid)
        alone = getattr(self.encoder, "alone", None)
        found: Tensor = (
            self.encoder(placed, placed, valid)[modality] if alone is None else alone(placed, modality, valid)
        )
        return found

    def received(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `valor.parsers.attention.HybridEncoder.received`, which it must be before."""
        received = cast(HybridEncoder, self.encoder).received
        return received(self.places(audio, 0, valid), self.places(visual, 1, valid), valid)

    def along(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream without cross-attention.

        Raises:
            ValueError: The encoder cannot.
        """
        along = getattr(self.encoder, "along", None)
        if along is None:
            raise ValueError("this encoder cannot encode a stream without the other; it needs a method `along`")
        found: Tensor = along(self.places(stream, modality, valid), modality, valid)
        return found
