"""Calibration: whether what a parser calls 70 % probable is true seven times in ten.

Every segment and class is one yes-or-no statement with a probability. Most of them are sure and right, since most
classes are absent from most clips, so the error over all of them is small for any parser; compare systems with it, and
look at the bins before trusting the number.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .breakdown import ratio
from .decide import check_pair
from .events import BoolArray, CountArray, Float64Array, FloatArray

BINNINGS = ("width", "mass")
"""How probabilities are put into bins: of equal width, or of equally many statements."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Probability and truth side by side in each bin: arrays [M, B], lowest bin first."""

    binning: str
    """width or mass."""
    statements: CountArray
    """int64 [M, B], how many segments and classes fall into the bin."""
    probability: Float64Array
    """float64 [M, B] in 0..1, their mean probability; NaN in an empty bin."""
    frequency: Float64Array
    """float64 [M, B] in 0..1, the share of them that is true; NaN in an empty bin."""
    brier: Float64Array
    """float64 [M] in 0..1, the mean squared difference of probability and truth, without bins."""

    @property
    def expected_error(self) -> Float64Array:
        """float64 [M] in 0..1, ECE: the gap between probability and frequency, averaged over statements."""
        gap = np.where(self.statements, np.abs(self.probability - self.frequency), 0.0)
        return ratio((gap * self.statements).sum(axis=1), self.statements.sum(axis=1))


def reliability(
    segment_probs: FloatArray,
    truth: BoolArray,
    *,
    valid: BoolArray | None = None,
    num_bins: int = 15,
    binning: str = "width",
) -> Reliability:
    """Compare probabilities with frequencies, modality by modality, all classes together.

    Args:
        segment_probs: float [N, T, M, C], any modalities.
        truth: bool [N, T, M, C], same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        num_bins: B.
        binning: "width" for bins [0, 1/B), [1/B, 2/B), ... with 1 in the last one; "mass" for bins that begin at
            quantiles and hold equally many statements, as far as equal probabilities, which stay together, allow.

    Returns:
        The bins of each modality with the errors that follow from them.

    Raises:
        ValueError: The binning is unknown, there is no bin, or the arrays do not hold probabilities and truth of one
            shape.

    Source:
        Expected calibration error of Naeini et al., AAAI 2015, for yes-or-no statements (probability of true against
        frequency of true); equal mass after Nguyen and O'Connor, EMNLP 2015; Brier, 1950.

    Example:
        Ten statements at 0.7, of which six are true:

        >>> truth = np.arange(10).reshape(1, 10, 1, 1) < 6
        >>> round(reliability(np.full(truth.shape, 0.7), truth).expected_error.item(), 3)
        0.1
    """
    if binning not in BINNINGS or num_bins < 1:
        raise ValueError(
            f"binning must be one of {', '.join(BINNINGS)} with at least one bin, got {binning!r} and {num_bins} bins"
        )
    check_pair(segment_probs, truth, valid)
    kept = np.ones(truth.shape[:2], dtype=np.bool_) if valid is None else valid
    columns = [
        _bins(segment_probs[:, :, modality][kept].ravel(), truth[:, :, modality][kept].ravel(), num_bins, binning)
        for modality in range(truth.shape[2])
    ]
    statements, probability, frequency, brier = (np.stack(column) for column in zip(*columns, strict=True))
    return Reliability(
        binning=binning, statements=statements, probability=probability, frequency=frequency, brier=brier
    )


def _bins(probs: FloatArray, truth: BoolArray, num_bins: int, binning: str) -> tuple[npt.NDArray[Any], ...]:
    """Bin the statements [K] of one modality: counts, mean probabilities, frequencies, all [B], and the Brier score."""
    probs = probs.astype(np.float64)
    inner: Float64Array = np.arange(1, num_bins) / num_bins
    if binning == "mass" and probs.size:
        inner = np.sort(probs)[np.arange(1, num_bins) * probs.size // num_bins].astype(np.float64)
    which = np.searchsorted(inner, probs, side="right")
    statements = np.bincount(which, minlength=num_bins)
    probability = ratio(np.bincount(which, probs, num_bins), statements)
    frequency = ratio(np.bincount(which, truth, num_bins), statements)
    return statements, probability, frequency, ratio(((probs - truth) ** 2).sum(), np.asarray(probs.size))
