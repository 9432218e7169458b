"""Which seconds, patches or modalities are hidden; everything is drawn from a generator that is given.

A mask is bool [B, N], True where a token is hidden; N are the seconds of a clip, or the patches of one second. Where
some tokens do not exist (`valid`), shares are of those that do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_share(share: float, name: str, tokens: int = 10) -> None:
    """Refuse a share of tokens that hides all of them, or none.

    Args:
        share: Of the tokens that are hidden.
        name: What it is called in the message.
        tokens: How many there are.

    Raises:
        ValueError: Nothing would be left, or nothing hidden.
    """
    if not 0 < round(share * tokens) < tokens:
        raise ValueError(f"{name} must hide at least one of {tokens} and leave one, got {share:g}")


def random_tokens(shape: tuple[int, int], share: float, rng: torch.Generator, *, valid: Tensor | None = None) -> Tensor:
    """Hide a share of the tokens of each clip, every choice as likely as any other.

    Args:
        shape: B and N.
        share: In 0..1; of N tokens round(share N) are hidden, but one at least stays where there is one.
        rng: On the CPU.
        valid: bool [B, N], the tokens that exist; None for all.

    Returns:
        bool [B, N] on the device of `valid`, or the CPU. Tokens that do not exist are not hidden.
    """
    exists = torch.ones(shape, dtype=torch.bool) if valid is None else valid.cpu()
    count = exists.sum(dim=1)
    hidden = (share * count).round().long().clamp(max=(count - 1).clamp_min(0))  # [B]
    drawn = torch.rand(shape, generator=rng).masked_fill(~exists, 2.0)
    place = drawn.argsort(dim=1).argsort(dim=1)  # of each token in a random order, those that exist first
    mask = place < hidden[:, None]
    return mask if valid is None else mask.to(valid.device)


def spans(shape: tuple[int, int], length: int, rng: torch.Generator) -> Tensor:
    """Hide one run of neighbouring tokens of each clip, bool [B, N].

    Raises:
        ValueError: The run is no shorter than the clip, or empty.
    """
    clips, tokens = shape
    if not 0 < length < tokens:
        raise ValueError(f"length must be at least 1 and less than the {tokens} tokens of a clip, got {length}")
    start = torch.randint(tokens - length + 1, (clips, 1), generator=rng)
    place = torch.arange(tokens)
    return (place >= start) & (place < start + length)


def windows(shape: tuple[int, int], length: int, rng: torch.Generator) -> Tensor:
    """One run of neighbouring tokens of each clip as positions, int64 [B, length]; errors as in `spans`."""
    return spans(shape, length, rng).nonzero()[:, 1].view(shape[0], length)


def whole_modality(shares: Sequence[float], rng: torch.Generator) -> int:
    """Draw the one modality that is hidden as a whole, by their shares.

    Raises:
        ValueError: The shares are no distribution.
    """
    if min(shares, default=-1) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be at least 0 and sum to 1, got {', '.join(f'{share:g}' for share in shares)}")
    return int(torch.multinomial(torch.tensor(shares, dtype=torch.float64), 1, generator=rng))
