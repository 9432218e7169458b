"""A few clips without labels, the views of a tiny parser with them, and a pool of them."""

from dataclasses import replace

import torch

from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions
from valor.parsers.pretraining.objective import Segments
from valor.parsers.pretraining.views import SegmentViews

from .toy_features import TINY

OPTIONS = replace(TINY, motion_width=4, num_layers=2, dropout=0.0)
CODED = replace(OPTIONS, time_codes=0.5)
B, T = 3, 5


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clips(seed: int = 0, count: int = B, segments: int = T) -> Segments:
    """Noise of the widths of OPTIONS."""
    widths = (OPTIONS.audio_width, OPTIONS.visual_width, OPTIONS.motion_width)
    audio, visual, motion = (drawn((count, segments, width), seed + n) for n, width in enumerate(widths))
    return Segments(audio, visual, motion)


def views_of(options: ParserOptions = OPTIONS) -> SegmentViews:
    torch.manual_seed(0)
    return SegmentViews(build_parser(options, seed=0))


class ToyPool:
    """Clips in memory as a pool."""

    def __init__(self, held: Segments) -> None:
        self.held = held

    def __len__(self) -> int:
        return len(self.held)

    def batch(self, rows: torch.Tensor) -> Segments:
        held = self.held
        audio, visual = (stream[rows] for stream in held.streams)
        motion, valid = (None if x is None else x[rows] for x in (held.motion, held.valid))
        evidence = None if held.evidence is None else (held.evidence[0][rows], held.evidence[1][rows])
        return Segments(audio, visual, motion, valid, evidence, held.prompts, rows=rows)


def descend(loss: torch.Tensor, *modules: torch.nn.Module, rate: float) -> None:
    """A step of plain gradient descent, which loads none of torch's optimisers."""
    loss.backward()
    with torch.no_grad():
        for weight in (weight for module in modules for weight in module.parameters() if weight.grad is not None):
            weight -= rate * weight.grad
            weight.grad = None


class Still:
    """Views without a network: what a stream alone is encoded as are its features."""

    target_widths, says_when = (8, 8), True

    def __init__(self, width: int) -> None:
        self.width = width

    def varied(self, batch: Segments, rng: torch.Generator, **_: float) -> Segments:
        return batch

    def alone(self, batch: Segments, modality: int, rows: torch.Tensor | None = None) -> torch.Tensor:
        return batch.streams[modality]

    def pooled(self, tokens: torch.Tensor, batch: Segments) -> torch.Tensor:
        return tokens.mean(dim=1)
