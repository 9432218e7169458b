"""Clips played faster, backwards or in another order, as places of the segments that are shown.

Nothing here touches features: what is drawn are places int64 [B, L], by which a clip is gathered.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SPEEDS = (1, 2)
"""Segments a step goes on."""
KINDS = 2 * len(SPEEDS)
"""Speed and direction together, forwards first: `2 * speed's place + (1 if backwards)`."""


@dataclass(frozen=True, eq=False)
class Played:
    """How the clips of a batch are played."""

    places: Tensor
    """int64 [B, L], which segment is shown at each step."""
    kind: Tensor
    """int64 [B] in [0, KINDS)."""


def play(clips: int, segments: int, length: int, rng: torch.Generator) -> Played:
    """Draw a speed, a direction and a start for every clip.

    Args:
        clips: B.
        segments: T, all of them there.
        length: L, steps of each.
        rng: What is drawn comes from it alone.

    Raises:
        ValueError: The clips are too short for the fastest.
    """
    need = (length - 1) * max(SPEEDS) + 1
    if segments < need:
        raise ValueError(f"playing {length} segments at {max(SPEEDS)} times needs clips of {need}, got {segments}")
    kind = torch.randint(KINDS, (clips,), generator=rng)
    speed = torch.tensor(SPEEDS)[kind // 2]
    starts = segments - (length - 1) * speed  # how many there are
    start = torch.minimum((torch.rand(clips, generator=rng) * starts).long(), starts - 1)
    steps = torch.arange(length).expand(clips, length)
    steps = torch.where((kind % 2 == 1)[:, None], length - 1 - steps, steps)
    return Played(start[:, None] + steps * speed[:, None], kind)


@dataclass(frozen=True, eq=False)
class Windows:
    """Two windows of every clip, the earlier one shown first or second."""

    first: Tensor
    """int64 [B, L]."""
    second: Tensor
    """int64 [B, L]."""
    swapped: Tensor
    """bool [B], whether what is shown first comes later."""


def two_windows(clips: int, segments: int, length: int, rng: torch.Generator) -> Windows:
    """Draw a window before the middle of each clip and one behind it, and their order; they share one segment at most.

    Windows of one segment share none, since nothing would tell their order.

    With ten segments and windows of three the earlier begins in 0..2 and the later in 4..7.

    Raises:
        ValueError: The clips are too short for two windows.
    """
    if segments < 2 * length:
        raise ValueError(f"two windows of {length} segments need clips of {2 * length}, got {segments}")
    middle = (segments - 1) // 2
    early = torch.randint(middle - length + 2, (clips,), generator=rng)
    least = middle + (length == 1)
    late = least + torch.randint(segments - length - least + 1, (clips,), generator=rng)
    swapped = torch.rand(clips, generator=rng) < 0.5
    first, second = torch.where(swapped, late, early), torch.where(swapped, early, late)
    steps = torch.arange(length)
    return Windows(first[:, None] + steps, second[:, None] + steps, swapped)


def gather(features: Tensor, places: Tensor) -> Tensor:
    """Segments of float [B, T, ...] at places int64 [B, L], in their order: float [B, L, ...]."""
    return features[torch.arange(len(features), device=features.device)[:, None], places.to(features.device)]
