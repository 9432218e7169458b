"""A parser's stem and encoder as objectives see them: both streams together, one alone, some seconds hidden.

The modules are those of the parser and no copies. Beside them stand two learned rows for each modality: `absent`, what
a stream is where there is none, and `mask`, what a hidden second is. Both take the place of what the stem gives, so
that time codes are added to them as to any second.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..attention import HybridEncoder
from ..blocks import masked_mean
from ..build import options_of
from ..hybrid import HybridParser
from ..positions import PlacedEncoder
from .objective import Masks, Pool, Segments, batches

STREAMS = ("audio", "visual", "motion")
ROW_STD = 0.02
"""Deviation of the normal distribution that learned rows are drawn from."""
LEAST_DEVIATION = 1e-4
"""A feature that moves less over the pool is not divided by its deviation."""


class SegmentViews(nn.Module):
    """What objectives may see of a parser, see `valor.parsers.pretraining.objective.Views`."""

    def __init__(self, parser: HybridParser) -> None:
        """Take stem and encoder, and draw the rows from torch's generator.

        Raises:
            ValueError: The network is not one of a stem and an encoder.
        """
        super().__init__()
        options = options_of(parser)
        if options.network != "hybrid":
            raise ValueError(
                f"pre-training is for network=hybrid, whose stem and encoder a parser takes over, got {options.network}"
            )
        self.width = options.hidden_width
        self.says_when = options.says_when
        self.target_widths = (options.audio_width, options.visual_width + options.motion_width)
        self.motion_width = options.motion_width
        self.says_attention = options.encoder == "hybrid"
        self.stem, self.encoder = parser.stem, parser.encoder
        self.absent = nn.Parameter(torch.randn(2, self.width) * ROW_STD)
        self.mask = nn.Parameter(torch.randn(2, self.width) * ROW_STD)
        for name in STREAMS:
            if width := getattr(options, f"{name}_width"):
                self.register_buffer(f"{name}_mean", torch.zeros(width))
                self.register_buffer(f"{name}_deviation", torch.ones(width))

    def measure(self, pool: Pool) -> None:
        """Note mean and deviation of every feature over the segments of a pool that exist.

        Raises:
            ValueError: A stream is the same in all of them, as where a modality is missing throughout.
        """
        for name in STREAMS:
            if not hasattr(self, f"{name}_mean"):
                continue
            count, total, squares = 0, torch.zeros(1), torch.zeros(1)
            for values in _existing(pool, name):
                count += len(values)
                total, squares = values.sum(dim=0) + total, values.square().sum(dim=0) + squares
            mean = total / max(count, 1)
            deviation = (squares / max(count, 1) - mean.square()).clamp_min(0).sqrt()
            if not bool((deviation > LEAST_DEVIATION).any()):
                raise ValueError(
                    f"the {name} features are the same in all {count:,} segments of the pool, as where a modality is "
                    "missing throughout; give clips that have both"
                )
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_deviation").copy_(deviation.where(deviation > LEAST_DEVIATION, 1.0))

    def together(self, batch: Segments, masks: Masks = (None, None)) -> tuple[Tensor, Tensor]:
        """Both streams, each of which sees the other; see Views."""
        streams = (self._hidden(x, m, masks[m]) for m, x in enumerate(self._streams(batch)))
        return cast(tuple[Tensor, Tensor], self.encoder(*streams, batch.valid))

    def alone(self, batch: Segments, modality: int, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """One stream, the other absent at every second; see Views."""
        stream, valid = self._streams(batch)[modality], batch.valid  # [B, T, D]
        if rows is not None:
            rows = rows.to(stream.device)
            stream = stream.gather(1, rows[..., None].expand(-1, -1, self.width))  # [B, L, D]
            valid = None if valid is None else valid.gather(1, rows)
        stream = self._hidden(stream, modality, mask)
        absent = self.absent[1 - modality].expand_as(stream)
        streams = (absent, stream) if modality else (stream, absent)
        return cast(tuple[Tensor, Tensor], self.encoder(*streams, valid))[modality]

    def attention(self, batch: Segments, modality: int) -> Tensor:
        """How much each second of one stream, the other absent, is looked at in the last layer of a hybrid encoder.

        Returns:
            float [B, T], 1 in all of a clip.
        """
        stream = self._streams(batch)[modality]
        absent = self.absent[1 - modality].expand_as(stream)
        streams = (absent, stream) if modality else (stream, absent)
        encoder = cast(HybridEncoder | PlacedEncoder, self.encoder)
        return encoder.received(*streams, batch.valid)[modality]

    def pooled(self, tokens: Tensor, batch: Segments) -> Tensor:
        """Mean over the segments that exist; see Views."""
        fits = batch.valid is not None and batch.valid.shape == tokens.shape[:2]
        return masked_mean(tokens, batch.valid if fits else None)

    def targets(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """Input features of mean 0 and deviation 1 over the pool; see Views."""
        held = {name: x for name in STREAMS if (x := getattr(batch, name)) is not None}
        normed = [
            (x.float() - getattr(self, f"{name}_mean")) / getattr(self, f"{name}_deviation") for name, x in held.items()
        ]
        return normed[0], torch.cat(normed[1:], dim=-1)

    def varied(self, batch: Segments, rng: torch.Generator, *, dropout: float, noise: float) -> Segments:
        """Features dropped, the others scaled up for it, and noise of a share of their deviation; see Views."""
        changed: dict[str, Any] = {}
        for name in STREAMS:
            if (x := getattr(batch, name)) is not None:
                added = torch.randn(x.shape, generator=rng).to(x.device) * getattr(self, f"{name}_deviation") * noise
                kept = torch.rand(x.shape, generator=rng).to(x.device) >= dropout
                changed[name] = (x.float() + added) * kept / (1 - dropout)
        return replace(batch, **changed)

    def _streams(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """What the stem gives, float [B, T, D] each."""
        given = (batch.audio, batch.visual, batch.motion)
        if getattr(self.stem, "takes_valid", False):
            given = (*given, batch.valid)  # type: ignore[assignment]
        return cast(tuple[Tensor, Tensor], self.stem(*given))

    def _hidden(self, stream: Tensor, modality: int, mask: Tensor | None) -> Tensor:
        return stream if mask is None else torch.where(mask.to(stream.device)[..., None], self.mask[modality], stream)


def _existing(pool: Pool, name: str) -> Iterator[Tensor]:
    """The segments of a pool that exist, float64 [n, D] a piece."""
    for batch in batches(pool):
        values: Tensor = getattr(batch, name)
        yield (values.flatten(0, 1) if batch.valid is None else values[batch.valid]).double().cpu()
