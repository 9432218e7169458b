"""The block that the encoders beside `hybrid` are made of: self-attention, then two layers, each added to its input.

    pre-norm:   x = x + A(N1 x);   x = x + W2 g(W1 N2 x)
    post-norm:  x = N1(x + A x);   x = N2(x + W2 g(W1 x))

The published ones differ in little, and all of it counts:

    user    eps    bias of q, k, v   g           norms
    uavm    1e-5   none              exact GELU  two
    mbt     1e-6   yes               tanh GELU   two
    joint   1e-6   yes               exact GELU  two
    sync    1e-5   yes               exact GELU  two
    tcaf    1e-5   none              exact GELU  one for both halves
    sft     1e-5   yes               ReLU        that of attention without gain and bias
    mtcn    1e-5   yes               ReLU        two, post-norm

A mask says which tokens may be looked at; a token that may look nowhere gets the mean of all, and means nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cpu.dropout import drop
from .cpu.products import Dense, dense

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu-tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}
"""What stands between the two layers."""


@dataclass(frozen=True, kw_only=True)
class BlockKind:
    """In what blocks differ, see the top of this file."""

    norm_eps: float = 1e-5
    """Added to the variance."""
    qkv_bias: bool = True
    """Whether query, key and value have a bias."""
    activation: str = "gelu"
    """A key of ACTIVATIONS."""
    norms: str = "two"
    """`two`; `one` for both halves; `plain`, where that of attention has neither gain nor bias."""
    post: bool = False
    """Whether the sum is normalised in place of what enters."""


@dataclass(frozen=True)
class Sizes:
    """How large blocks are."""

    width: int
    """D, of tokens."""
    num_heads: int
    """H; divides D where nothing is said of the width of a head."""
    feedforward_width: int
    """F, between the two layers."""
    head_width: int | None = None
    """Of each head, where it is another than D / H."""
    dropout: float = 0.0
    """Probability on attention weights, on what attention gives, and within and after the two layers."""

    def __post_init__(self) -> None:
        """Refuse heads that do not fit."""
        if self.head_width is None and self.width % self.num_heads:
            raise ValueError(f"num_heads must divide the width {self.width}, got {self.num_heads}")


class SelfAttention(nn.Module):
    """Every token gathers from those it may look at; one packed projection for query, key and value."""

    def __init__(self, sizes: Sizes, *, qkv_bias: bool = True) -> None:
        """Make the projections."""
        super().__init__()
        width, inner = sizes.width, sizes.num_heads * (sizes.head_width or sizes.width // sizes.num_heads)
        self.num_heads = sizes.num_heads
        self.dropout = sizes.dropout
        self.in_weight = nn.Parameter(torch.empty(3 * inner, width))
        self.in_bias = nn.Parameter(torch.zeros(3 * inner)) if qkv_bias else None
        self.out_projection = Dense(inner, width)
        nn.init.xavier_uniform_(self.in_weight)
        nn.init.zeros_(self.out_projection.bias)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Look.

        Args:
            x: float [B, N, D].
            keep: bool [B, N], True for tokens that may be looked at, or [B, N, N], rows looking at columns; None
                for all.

        Returns:
            float [B, N, D], and the weights [B, H, N, N] before dropout.
        """
        packed = dense(x, self.in_weight, self.in_bias)  # [B, N, 3 * inner]
        heads = packed.view(*x.shape[:2], 3, self.num_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # 3 x [B, H, N, inner / H]
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5  # [B, H, N, N]
        if keep is not None:
            keep = keep[:, None, None] if keep.ndim == 2 else keep[:, None]
            scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1)
        gathered = drop(weights, self.dropout, training=self.training) @ v
        return self.out_projection(gathered.transpose(1, 2).flatten(2)), weights


class Block(nn.Module):
    """Attention and two layers, see the top of this file."""

    def __init__(self, sizes: Sizes, kind: BlockKind) -> None:
        """Make the parts."""
        super().__init__()
        width = sizes.width
        self.kind = kind
        self.dropout = sizes.dropout
        self.attention = SelfAttention(sizes, qkv_bias=kind.qkv_bias)
        self.attention_norm = nn.LayerNorm(width, eps=kind.norm_eps, elementwise_affine=kind.norms != "plain")
        self.feedforward_norm = None if kind.norms == "one" else nn.LayerNorm(width, eps=kind.norm_eps)
        self.widen, self.narrow = Dense(width, sizes.feedforward_width), Dense(sizes.feedforward_width, width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Apply to float [B, N, D]; `keep` as for SelfAttention."""
        return self.attend(x, keep)[0]

    def attend(self, x: Tensor, keep: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same, with the attention weights [B, H, N, N]."""
        second = self.feedforward_norm or self.attention_norm
        gathered, weights = self.attention(x if self.kind.post else self.attention_norm(x), keep)
        x = x + self._drop(gathered)
        if self.kind.post:
            x = self.attention_norm(x)
            return second(x + self._feed_forward(x)), weights
        return x + self._feed_forward(second(x)), weights

    def _feed_forward(self, x: Tensor) -> Tensor:
        inner = self._drop(ACTIVATIONS[self.kind.activation](self.widen(x)))  # [B, N, F]
        return self._drop(self.narrow(inner))

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, training=self.training)


def stack(num_layers: int, sizes: Sizes, kind: BlockKind) -> nn.ModuleList:
    """Blocks one after the other, each with weights of its own."""
    return nn.ModuleList(Block(sizes, kind) for _ in range(num_layers))


class Positions(nn.Module):
    """A learned vector for each place, added to what stands there."""

    def __init__(self, max_segments: int, width: int, *, std: float) -> None:
        """Draw them from a normal distribution."""
        super().__init__()
        self.table = nn.Parameter(torch.randn(max_segments, width) * std)

    def forward(self, x: Tensor) -> Tensor:
        """Add to float [B, T, D].

        Raises:
            ValueError: There are more places than were learned.
        """
        return x + self.first(x.shape[1])

    def first(self, count: int) -> Tensor:
        """The first ones, float [count, D]; errors as in `forward`."""
        refuse_longer(count, len(self.table))
        return self.table[:count]


def refuse_longer(count: int, max_segments: int) -> None:
    """Refuse clips of more segments than positions were learned for.

    Raises:
        ValueError: They have more.
    """
    if count > max_segments:
        raise ValueError(
            f"clips must have at most max_segments segments, which is {max_segments} in this encoder of learned "
            f"positions, got {count}; train with max_segments={count}"
        )


def run(blocks: Iterable[nn.Module], x: Tensor, keep: Tensor | None = None) -> Tensor:
    """Tokens float [B, N, D] through some blocks."""
    for block in blocks:
        x = block(x, keep)
    return x


def beside(*masks: tuple[Tensor | None, int], like: Tensor) -> Tensor | None:
    """Which of some groups of tokens, one after the other, may be looked at.

    Args:
        masks: For each group, bool [B, N] or None for all of them, and N.
        like: Whose batch and device it is.

    Returns:
        bool [B, sum of N], or None where all may be.
    """
    if all(mask is None for mask, _ in masks):
        return None
    whole = [like.new_ones((len(like), count), dtype=torch.bool) if mask is None else mask for mask, count in masks]
    return torch.cat(whole, dim=1)


def masked_mean(x: Tensor, valid: Tensor | None) -> Tensor:
    """Mean over the tokens that exist: float [B, N, D] and bool [B, N] -> float [B, D]; zeros where none do."""
    if valid is None:
        return x.mean(dim=1)
    counted = valid[..., None].to(x.dtype)
    return (x * counted).sum(dim=1) / counted.sum(dim=1).clamp_min(1)
