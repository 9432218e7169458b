"""SFT: each modality by itself, then few tokens of all of them together, with one summary that is the sum of theirs.

    tokens    [summary; x] + P                      P learned, of each modality
    before    blocks of each modality
    fused     [sum of summaries; tokens of every modality], then blocks and a norm

The published network, for tokens as dense as frames, thins them out before they are fused; a stream of segments is
short enough to stay as it is. How tokens are thinned out is a key of POOLINGS; `attn` and `attn_topk` go by how much
the tokens of a modality look at one another in one more attention.

Source: Ding et al., arXiv 2111.11992, written from its formulas; equal to the golden `sft`. What is called sparse
attention in its code masks nothing, and is dense here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from ..blocks import BlockKind, SelfAttention, Sizes, beside, refuse_longer, run, stack
from ..cpu.products import Dense

KIND = BlockKind(activation="relu", norms="plain")
SALIENCY_FLOOR = 1e-5
"""For each token of a window, added to what its weights are divided by."""


class Tokenizer(nn.Module):
    """A summary token ahead of a stream, and positions."""

    def __init__(self, max_segments: int, width: int, *, in_width: int | None = None) -> None:
        """Draw summary and positions, and make a projection where an input width is given."""
        super().__init__()
        self.max_segments = max_segments
        self.projection = nn.Identity() if in_width is None else Dense(in_width, width)
        self.summary = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn(max_segments + 1, width))

    def forward(self, stream: Tensor) -> Tensor:
        """Float [B, T, D_in] -> [B, 1 + T, D].

        Raises:
            ValueError: There are more segments than learned positions.
        """
        refuse_longer(stream.shape[1], self.max_segments)
        summary = self.summary.expand(len(stream), 1, -1)
        tokens = torch.cat((summary, self.projection(stream)), dim=1)  # [B, 1 + T, D]
        return tokens + self.positions[: tokens.shape[1]]


class SftEncoder(nn.Module):
    """Tokens of each stream, blocks before and after they are fused, and a closing norm."""

    def __init__(self, sizes: Sizes, *, layers_before: int, layers_after: int, max_segments: int) -> None:
        """Make the parts."""
        super().__init__()
        self.tokenizers = nn.ModuleList(Tokenizer(max_segments, sizes.width) for _ in range(2))
        self.before = nn.ModuleList(stack(layers_before, sizes, KIND) for _ in range(2))
        self.after = stack(layers_after, sizes, KIND)
        self.norm = nn.LayerNorm(sizes.width)

    def forward(self, audio: Tensor, visual: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode float [B, T, D] each."""
        audio, visual = self._fuse([self._own(audio, 0, valid), self._own(visual, 1, valid)], valid)
        return audio, visual

    def alone(self, stream: Tensor, modality: int, valid: Tensor | None = None) -> Tensor:
        """Encode one stream: the sum of summaries is its own."""
        return self._fuse([self._own(stream, modality, valid)], valid)[0]

    def _own(self, stream: Tensor, modality: int, valid: Tensor | None) -> Tensor:
        seen = beside((None, 1), (valid, stream.shape[1]), like=stream)
        tokens: Tensor = self.tokenizers[modality](stream)
        return run(cast(nn.ModuleList, self.before[modality]), tokens, seen)

    def _fuse(self, streams: list[Tensor], valid: Tensor | None) -> tuple[Tensor, ...]:
        summary = torch.stack([stream[:, :1] for stream in streams]).sum(dim=0)  # [B, 1, D]
        counts = [1, *(stream.shape[1] - 1 for stream in streams)]
        seen = beside((None, 1), *((valid, count) for count in counts[1:]), like=summary)
        x = run(self.after, torch.cat((summary, *(stream[:, 1:] for stream in streams)), dim=1), seen)
        return torch.split(self.norm(x), counts, dim=1)[1:]


Windows = Callable[[Tensor, Tensor, int, int], Tensor]
"""(tokens float [B, N, D], saliency float [B, N], kernel, top) -> fewer tokens."""


def _windows(x: Tensor, kernel: int) -> Tensor:
    """Whole windows of tokens, what is left over dropped: [B, N, ...] -> [B, N // kernel, kernel, ...]."""
    count = x.shape[1] // kernel
    return x[:, : count * kernel].reshape(len(x), count, kernel, *x.shape[2:])


def _weighted(x: Tensor, saliency: Tensor, kernel: int) -> Tensor:
    weights = _windows(saliency, kernel)[..., None]  # [B, N / k, k, 1]
    return (weights * _windows(x, kernel)).sum(dim=2) / (weights.sum(dim=2) + SALIENCY_FLOOR * kernel)


def _most_salient(x: Tensor, saliency: Tensor, top: int) -> Tensor:
    chosen = saliency.topk(top, dim=1).indices  # [B, top]
    return x.gather(1, chosen[..., None].expand(-1, -1, x.shape[-1]))


POOLINGS: dict[str, Windows] = {
    "max": lambda x, saliency, kernel, top: _windows(x, kernel).amax(dim=2),
    "avg": lambda x, saliency, kernel, top: _windows(x, kernel).mean(dim=2),
    "attn": lambda x, saliency, kernel, top: _weighted(x, saliency, kernel),
    "attn_topk": lambda x, saliency, kernel, top: _most_salient(x, saliency, top),
    "topk": lambda x, saliency, kernel, top: x.topk(top, dim=1).values,
}
"""The highest value of each feature in a window, the mean, the mean weighted by saliency; the most salient tokens; the
highest values of each feature anywhere."""


class StreamShape(NamedTuple):
    """What tokens of a modality come as."""

    in_width: int
    num_tokens: int
    kernel: int
    """Tokens of a window, of which one is made."""


class SftNetwork(nn.Module):
    """The published network on tokens of any number of modalities, each thinned out before they are fused."""

    def __init__(
        self,
        streams: Sequence[StreamShape],
        sizes: Sizes,
        num_classes: int,
        *,
        layers_before: int,
        layers_after: int,
        pooling: str = "max",
        top: int = 1,
    ) -> None:
        """Make it.

        Args:
            streams: What each modality comes as.
            sizes: Of each block; published ones are no wider within.
            num_classes: C.
            layers_before: Blocks of each modality.
            layers_after: Blocks of all.
            pooling: A key of POOLINGS.
            top: Tokens that `attn_topk` and `topk` leave of each modality.

        Raises:
            ValueError: There is no such pooling.
        """
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        width = sizes.width
        self.kernels, self.pooling, self.top = [shape.kernel for shape in streams], pooling, top
        self.tokenizers = nn.ModuleList(
            Tokenizer(shape.num_tokens, width, in_width=shape.in_width) for shape in streams
        )
        self.before = nn.ModuleList(stack(layers_before, sizes, KIND) for _ in streams)
        self.salience = nn.ModuleList(SelfAttention(sizes) for _ in streams)
        self.plain_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.after = stack(layers_after, sizes, KIND)
        self.head = nn.Sequential(nn.LayerNorm(width), Dense(width, num_classes))

    def forward(
        self,
        streams: Sequence[Tensor],
        *,
        mixed: int | None = None,
        shares: Tensor | None = None,
        partners: Tensor | None = None,
    ) -> Tensor:
        """Judge clips, perhaps with hidden tokens mixed after one layer.

        Args:
            streams: float [B, N_m, D_m] of each modality.
            mixed: The layer, counted from 0 and on over both kinds of blocks; None mixes nothing.
            shares: float [M, B], how much of a clip stays its own; those of the first modality hold after fusion.
            partners: int [B], the clips they are mixed with.

        Returns:
            float [B, C], logits.
        """
        x = self.fuse(streams, mixed=mixed, shares=shares, partners=partners)
        for number, block in enumerate(self.after, len(self._before(0))):
            x = block(x)
            if number == mixed and shares is not None and partners is not None:
                x = mix(x, shares[0], partners)
        logits: Tensor = self.head(x[:, 0])
        return logits

    def fuse(
        self,
        streams: Sequence[Tensor],
        *,
        mixed: int | None = None,
        shares: Tensor | None = None,
        partners: Tensor | None = None,
    ) -> Tensor:
        """The fused tokens, float [B, 1 + those left of each modality, D]; arguments as in `forward`."""
        summaries, tokens = [], []
        for modality, stream in enumerate(streams):
            x = self.tokenizers[modality](stream)
            for number, block in enumerate(self._before(modality)):
                x = block(x)
                if number == mixed and shares is not None and partners is not None:
                    x = mix(x, shares[modality], partners)
            gathered, weights = self.salience[modality](self.plain_norm(x))
            x = x + gathered
            saliency = weights.mean(dim=1)[:, 1:, 1:].mean(dim=1)  # [B, N], by the tokens, not by the summary
            summaries.append(x[:, :1])
            tokens.append(POOLINGS[self.pooling](x[:, 1:], saliency, self.kernels[modality], self.top))
        return torch.cat((torch.stack(summaries).sum(dim=0), *tokens), dim=1)

    def _before(self, modality: int) -> nn.ModuleList:
        return cast(nn.ModuleList, self.before[modality])


def mix(x: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """Clips float [B, ...], each with its partner: share times its own, the rest the other's."""
    share = shares.view(-1, *[1] * (x.ndim - 1))
    return share * x + (1 - share) * x[partners]


def mixed_loss(logits: Tensor, target: Tensor, shares: Tensor, partners: Tensor) -> Tensor:
    """Mean over clips of both cross-entropies, weighted by the mean of the shares of all modalities.

    Args:
        logits: float [B, C].
        target: int [B].
        shares: float [M, B].
        partners: int [B].
    """
    share = shares.mean(dim=0)
    own, other = (nn.functional.cross_entropy(logits, of, reduction="none") for of in (target, target[partners]))
    return (share * own + (1 - share) * other).mean()
