"""Intervals around the F of every class: bootstrap over clips, as intervals.py does for the ten figures."""

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, event_counts, segment_counts
from .scores import LEVELS, f_scores

FloatArray = npt.NDArray[np.float64]

BLOCK = 250
"""Resamples drawn at a time."""


def class_intervals(
    predicted: BoolArray,
    truth: BoolArray,
    *,
    level: str = "segment",
    valid: BoolArray | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[FloatArray, FloatArray]:
    """Put an interval around the F of counts added over clips (`Breakdown.f`) of each class.

    Args:
        predicted: bool [N, T, M, C], True where the parser marks a segment.
        truth: bool [N, T, M, C], the annotated segments, same axes.
        level: segment or event.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        resamples: how many times N clips are drawn with replacement. A resample without the class in prediction and
            truth has no F and is left out.
        confidence: share of the resampled figures between the ends.
        seed: of the draws.

    Returns:
        Lower and upper ends, float64 [M, C] in 0..1; NaN for a class that never occurs.

    Raises:
        ValueError: The level is unknown, an option makes no sense, or the arrays do not belong together.

    Source:
        Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals).
    """
    if level not in LEVELS or resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"level must be one of {', '.join(LEVELS)}, resamples at least 1 and confidence between 0 and 1, "
            f"got {level!r}, {resamples} and {confidence}"
        )
    count = segment_counts if level == "segment" else event_counts
    counts = count(predicted, truth, valid=valid)
    shape, num_clips = counts.shape[1:], len(counts)
    flat = counts.reshape(num_clips, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    even = np.full(num_clips, 1 / num_clips)
    blocks = []
    for done in range(0, resamples, BLOCK):
        times = rng.multinomial(num_clips, even, size=min(BLOCK, resamples - done))
        values, present = f_scores(np.rint(times @ flat).astype(np.int64).reshape(-1, *shape))
        blocks.append(np.where(present, values, np.nan))
    drawn = np.concatenate(blocks)
    occurs = ~np.isnan(drawn).all(axis=0)
    low, high = np.full((2, *occurs.shape), np.nan)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low[occurs], high[occurs] = np.nanquantile(drawn[:, occurs], ends, axis=0)
    return low, high
