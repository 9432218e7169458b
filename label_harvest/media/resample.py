"""Sound from the rate of its file to that of the grid: at once, or block by block with the same result up to rounding.

A windowed sinc filter (Kaiser window, 64 zero crossings) from torchaudio, which is imported when it is first needed.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from .clip import MediaError

if TYPE_CHECKING:
    import torch

BLOCK_SECONDS = 30.0
"""Sound of recordings is resampled in blocks of this length; a whole clip is one block."""
_MAX_RATIO = 1000
"""Largest reduced rate the resampler builds a filter bank for (44.1 -> 48 kHz needs 160)."""
_ZERO_CROSSINGS = 64
_ROLLOFF = 0.9475937167399596
_BETA = 14.769656459379492
"""Of the filter: the first two say how far it reaches."""


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample float32 [n] by a windowed sinc filter (Kaiser window, 64 zero crossings); equal rates return the input.

    Raises:
        MediaError: The rates have no small common ratio (44.1 to 48 kHz is 147 to 160).
    """
    if rate == new_rate:
        return waveform
    if max(rate, new_rate) // np.gcd(rate, new_rate) > _MAX_RATIO:
        raise MediaError(f"{rate} Hz audio has no small ratio to {new_rate} Hz; convert the file to a usual rate")
    import torch

    return _resampler(rate, new_rate)(torch.from_numpy(waveform)).numpy()


@lru_cache(maxsize=8)
def _resampler(rate: int, new_rate: int) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The filter, which takes as long to build as to use."""
    import torch
    from torchaudio.transforms import Resample

    found: Callable[[torch.Tensor], torch.Tensor] = Resample(
        rate,
        new_rate,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=_ZERO_CROSSINGS,
        rolloff=_ROLLOFF,
        beta=_BETA,
        dtype=torch.float32,
    )
    return found


def sound_at(sound: Iterator[tuple[int, np.ndarray]], new_rate: int) -> Iterator[np.ndarray]:
    """Bring what `sound_of` yields to a rate: float32 mono blocks.

    Raises:
        MediaError: The rate of the file cannot be brought to the wanted one.
    """
    first = next(sound, None)
    if first is not None:
        yield from resampled((block for _, block in chain([first], sound)), first[0], new_rate)


def resampled(blocks: Iterable[np.ndarray], rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """Resample a waveform that comes in blocks, as `resample` would resample the whole, up to rounding.

    Args:
        blocks: float32 [n] each.
        rate: Of the blocks, in samples per second.
        new_rate: Of what comes out.

    Raises:
        MediaError: The rates have no small common ratio.

    >>> tone = np.sin(np.arange(9000) / 7, dtype=np.float32)
    >>> pieces = list(resampled(np.split(tone, 9), 100, 80))
    >>> len(pieces) > 1 and np.allclose(np.concatenate(pieces), resample(tone, 100, 80), atol=1e-6)
    True
    """
    common = math.gcd(rate, new_rate)
    old, new = rate // common, new_rate // common
    reach = math.ceil(_ZERO_CROSSINGS / (min(old, new) * _ROLLOFF)) + 1  # in periods of `old` samples
    body = max(reach, math.ceil(BLOCK_SECONDS * rate / old)) * old
    left, held = np.zeros(0, np.float32), np.zeros(0, np.float32)
    for block in _of_at_least(blocks, body):
        held = np.concatenate([held, block])
        while len(held) >= body + reach * old:
            done = resample(np.concatenate([left, held[: body + reach * old]]), rate, new_rate)
            start = len(left) // old * new
            yield done[start : start + body // old * new]
            left, held = held[body - reach * old : body], held[body:]
    if len(held):
        yield resample(np.concatenate([left, held]), rate, new_rate)[len(left) // old * new :]


def _of_at_least(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in fewer blocks, which are joined until they are large enough."""
    held: list[np.ndarray] = []
    length = 0
    for block in blocks:
        held.append(block)
        length += len(block)
        if length >= size:
            yield np.concatenate(held)
            held, length = [], 0
    if held:
        yield np.concatenate(held)
