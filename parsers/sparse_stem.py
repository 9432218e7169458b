"""SFT's stem: dense features stay dense, and what is made of the frames of a segment is learned.

    tokens   [summary; W x + b] + P, then blocks over all tokens of a stream
    pooled   of the tokens of each segment: the highest value of each feature (`max`), the mean (`avg`), the mean by
             saliency (`attn`), or the most salient token (`attn_topk`)

Other stems average the eight frames of a segment before the first learned layer, and fold the 64 tokens of a HTSAT
map to ten segments. Here a frame that alone shows an event is not drowned in the others. The saliency of a token is how
much the tokens of its stream look at it in one more attention.

Source: Ding et al., arXiv 2111.11992, whose network is `valor.parsers.encoders.sft`; that the tokens of a window are
those of a segment is ours.
"""

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from .blocks import SelfAttention, Sizes, beside, run, stack
from .cpu.products import Dense
from .encoders.sft import KIND, SALIENCY_FLOOR, Tokenizer
from .folding import CLAP_HALVES, CLAP_SEGMENTS, CLAP_TOKENS, MAP_ROWS


class Thinned(nn.Module):
    """Tokens of a stream, mixed along it, of which one is made for each segment."""

    def __init__(self, in_width: int, sizes: Sizes, num_layers: int, *, max_tokens: int, pooling: str) -> None:
        """Make the parts."""
        super().__init__()
        self.pooling = pooling
        self.tokenizer = Tokenizer(max_tokens, sizes.width, in_width=in_width)
        self.blocks = stack(num_layers, sizes, KIND)
        self.plain_norm = nn.LayerNorm(sizes.width, elementwise_affine=False)
        self.salience = SelfAttention(sizes)

    def forward(self, tokens: Tensor, windows: Tensor, real: Tensor, there: Tensor | None) -> Tensor:
        """Thin out.

        Args:
            tokens: float [B, N, D_in].
            windows: int [T, W], the tokens of each segment.
            real: bool [T, W], False for what only fills a window up.
            there: bool [B, N], which tokens exist; None for all.

        Returns:
            float [B, T, D]; of a segment without tokens it means nothing.
        """
        keep = beside((None, 1), (there, tokens.shape[1]), like=tokens)
        x = run(self.blocks, self.tokenizer(tokens), keep)
        gathered, weights = self.salience(self.plain_norm(x), keep)
        of_segment: Tensor = (x + gathered)[:, 1:][:, windows]  # [B, T, W, D]
        if self.pooling == "max":
            return of_segment.masked_fill(~real[..., None], torch.finfo(x.dtype).min).amax(dim=2)
        looked = weights.mean(dim=1)[:, 1:, 1:]  # [B, N, N], by the tokens, not by the summary
        looked = looked if there is None else looked * there[..., None]
        count = looked.shape[1] if there is None else there.sum(dim=1).clamp_min(1)[:, None]
        saliency = (looked.sum(dim=1) / count)[:, windows] * real  # [B, T, W]
        if self.pooling == "attn_topk":
            chosen = saliency.argmax(dim=2)[..., None, None].expand(-1, -1, 1, x.shape[-1])
            return of_segment.gather(2, chosen)[:, :, 0]
        share = real.to(x.dtype).expand_as(saliency) if self.pooling == "avg" else saliency
        floor = 0.0 if self.pooling == "avg" else SALIENCY_FLOOR * real.sum(dim=1)[:, None]
        pooled: Tensor = (share[..., None] * of_segment).sum(dim=2) / (share.sum(dim=2)[..., None] + floor)
        return pooled


class SparseStem(nn.Module):
    """Streams whose features are dense are thinned out, the others projected; appearance and motion are joined."""

    takes_valid = True
    """Blocks look along the clip, so that they have to know which segments exist."""

    def __init__(
        self,
        widths: tuple[int, int, int],
        sizes: Sizes,
        *,
        visual_frames: int,
        audio_map: bool,
        num_layers: int,
        pooling: str,
        max_segments: int,
    ) -> None:
        """Make the parts.

        Args:
            widths: Of audio, visual and motion features of a segment, 0 for no motion.
            sizes: Of the blocks.
            visual_frames: Frames the visual features of a segment are made of.
            audio_map: Whether audio features are whole HTSAT maps.
            num_layers: Blocks of each stream that is thinned out.
            pooling: A name of `valor.parsers.options.FRAME_POOLINGS`.
            max_segments: Of a clip, for which positions are learned.

        Raises:
            ValueError: The rows do not divide the widths.
        """
        super().__init__()
        audio, visual, motion = widths
        self.frames, self.rows = visual_frames, MAP_ROWS if audio_map else 1
        for name, held, rows in (("visual", visual, self.frames), ("audio", audio, self.rows)):
            if held % rows:
                raise ValueError(f"{name}_width must be that of {rows} rows together, got {held}")
        self.widths = {"audio": audio, "visual": visual, "motion": motion or None}

        def thinned(width: int, rows: int, tokens: int) -> nn.Module:
            if rows == 1:
                return Dense(width, sizes.width)
            return Thinned(width // rows, sizes, num_layers, max_tokens=tokens, pooling=pooling)

        self.audio = thinned(audio, self.rows, CLAP_TOKENS)
        self.visual = thinned(visual, self.frames, self.frames * max_segments)
        self.motion = Dense(motion, sizes.width) if motion else None
        self.fusion = Dense(2 * sizes.width, sizes.width) if motion else None

    def input_widths(self) -> dict[str, int | None]:
        """Features per segment each input must have; None where there is no such input."""
        return dict(self.widths)

    def forward(
        self, audio: Tensor, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Bring features to the streams of the encoder, float [B, T, D] each; arguments as in HybridParser.

        Raises:
            ValueError: Motion features are missing or not wanted, or a HTSAT map is of other segments.
        """
        if (motion is None) != (self.motion is None):
            has, got = ("no", "some") if self.motion is None else ("a", "none")
            raise ValueError(f"this parser has {has} motion stream, got {got} motion features; see motion_width")
        return self.heard(audio, valid), self.seen(visual, motion, valid)

    def heard(self, audio: Tensor, valid: Tensor | None = None) -> Tensor:
        """The audio stream."""
        if self.rows == 1:
            return cast(Tensor, self.audio(audio))
        if audio.shape[1] != CLAP_SEGMENTS:
            raise ValueError(f"a HTSAT map is of {CLAP_SEGMENTS} segments, got features of {audio.shape[1]}")
        tokens = audio.reshape(len(audio), CLAP_SEGMENTS * MAP_ROWS, -1)[:, :CLAP_TOKENS]  # [B, 64, D_audio]
        windows, real = (of.to(audio.device) for of in map_windows())
        return cast(Tensor, self.audio(tokens, windows, real, _tokens_there(windows, real, valid, CLAP_TOKENS)))

    def seen(self, visual: Tensor, motion: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
        """The visual stream."""
        if self.frames == 1:
            seen: Tensor = self.visual(visual)
        else:
            tokens = visual.reshape(len(visual), visual.shape[1] * self.frames, -1)  # [B, T F, D_visual]
            windows = torch.arange(tokens.shape[1], device=visual.device).view(-1, self.frames)
            real = torch.ones_like(windows, dtype=torch.bool)
            there = None if valid is None else valid.repeat_interleave(self.frames, dim=1)
            seen = self.visual(tokens, windows, real, there)
        if self.motion is not None and self.fusion is not None:
            seen = self.fusion(torch.cat((seen, self.motion(motion)), dim=-1))
        return seen


@cache
def map_windows() -> tuple[Tensor, Tensor]:
    """The tokens of a HTSAT map of each of ten segments, int [10, W], and which of them are real.

    A half has 32 steps; those of segment i are [floor(3.2 i), ceil(3.2 (i + 1))), of both halves.
    """
    steps = CLAP_TOKENS // CLAP_HALVES
    rows = [
        [half * steps + step for half in range(CLAP_HALVES) for step in _steps_of(segment, steps)]
        for segment in range(CLAP_SEGMENTS)
    ]
    most = max(map(len, rows))
    windows = torch.tensor([row + [0] * (most - len(row)) for row in rows])
    return windows, torch.arange(most) < torch.tensor([len(row) for row in rows])[:, None]


def _steps_of(segment: int, steps: int) -> range:
    return range(segment * steps // CLAP_SEGMENTS, -(-(segment + 1) * steps // CLAP_SEGMENTS))


def _tokens_there(windows: Tensor, real: Tensor, valid: Tensor | None, count: int) -> Tensor | None:
    """Which tokens belong to a segment that exists, bool [B, N]."""
    if valid is None:
        return None
    there = torch.zeros(len(valid), count, dtype=torch.long, device=valid.device)
    held = (valid[:, :, None] & real).flatten(1).long()
    return there.scatter_add_(1, windows.flatten().expand(len(valid), -1), held) > 0
