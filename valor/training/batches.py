"""Which clips go through the network together: those of like length, where lengths differ.

Clips of one length are cut into steps in the order of the epoch, as published. Of clips of unlike length a step is
padded to its longest only (`ClipSet.batch`), so alike ones belong together: the order of the epoch is cut into pools of
some steps, each pool is sorted by length and cut into steps, and the steps of all pools are shuffled. Every clip comes
once in an epoch; all of it is drawn from the generator of the batch order, which the resume point holds.

What a step needs grows with its clips times the segments of its longest, and in the attention with clips times those
squared. `FitOptions.batch_segments` bounds the first.
"""

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from .options import FitOptions

POOL = 16
"""Steps that are sorted together: more of them pad less, and leave less to chance who meets whom."""


def batches_of(
    order: Tensor, segments: Tensor | None, options: FitOptions, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Cut the order of an epoch into steps.

    Args:
        order: int64 [N], the clips as they were drawn.
        segments: int64 [N], the length of each clip; None for clips of one length.
        options: Clips, and perhaps segments, of a step.
        generator: Draws a number where lengths differ, and none where they do not.

    Returns:
        int64 [B] each.

    Raises:
        ValueError: A clip is longer than a whole step may be.
    """
    if segments is None:
        return torch.split(order, options.batch_size)
    longest, most = int(segments.max()), options.batch_segments
    if most is not None and longest > most:
        raise ValueError(
            f"batch_segments must hold the longest clip, which has {longest} segments, got {most}; raise it, or train "
            "on windows (methods.windows=on)"
        )
    if int(segments.min()) == longest:
        return torch.split(order, options.batch_size if most is None else min(options.batch_size, most // longest))
    batches: list[Tensor] = []
    for pool in torch.split(order, POOL * options.batch_size):
        batches += alike(pool, segments, options.batch_size, most)
    seed = torch.empty((), dtype=torch.int64).random_(generator=generator)
    turns = torch.randperm(len(batches), generator=torch.Generator().manual_seed(int(seed)))
    return tuple(batches[turn] for turn in turns.tolist())


def epoch_order(num_clips: int, generator: torch.Generator) -> Tensor:
    """Draw the order of the clips in the next pass, int64 [N].

    Three numbers are taken off the generator: torch's loader draws one it has no use for here, the seed of the shuffle,
    and another for the validation pass. With them the order is the published one (golden batch order).
    """
    seed = torch.empty(3, dtype=torch.int64).random_(generator=generator)[1]
    return torch.randperm(num_clips, generator=torch.Generator().manual_seed(int(seed)))


def epoch_batches(
    clips: int, segments: Tensor | None, options: FitOptions, generator: torch.Generator
) -> tuple[Tensor, ...]:
    """Draw the steps of the next epoch: those of one pass, or of as many as give it its least steps.

    Args:
        clips: N, of the training set.
        segments: As `batches_of` takes them.
        options: As there.
        generator: Of the batch order.

    Returns:
        int64 [B] each.
    """
    passes = options.clips_of_epoch(clips) // clips
    orders = (epoch_order(clips, generator) for _ in range(passes))
    return tuple(chain.from_iterable(batches_of(order, segments, options, generator) for order in orders))


def alike(rows: Tensor, segments: Tensor, clips: int, most: int | None) -> Iterator[Tensor]:
    """Clips of like length together, the shortest first.

    Args:
        rows: int64 [n], some clips.
        segments: int64 [N], the length of each clip of the set.
        clips: At most so many together.
        most: Times the longest of them, at most so many segments, but for a clip that is longer; None for no bound.
    """
    rows = rows[segments[rows].argsort(stable=True)]
    lengths, first = segments[rows].tolist(), 0
    for place in range(1, len(rows) + 1):
        count = place - first
        full = count == clips or (most is not None and place < len(rows) and (count + 1) * lengths[place] > most)
        if full or place == len(rows):
            yield rows[first:place]
            first = place
