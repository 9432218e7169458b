"""Whether two lists put the same things into the same order: Spearman's rho and Kendall's tau, with ties.

Spearman's rho is the correlation of ranks, equal values sharing their mean rank. Kendall's tau (tau-b) is agreeing less
disagreeing pairs over the geometric mean of the pairs that are untied in either list. Both lie in [-1, 1], and neither
is defined where one of the lists does not order anything.

Source
    Kendall, "Rank correlation methods", 1948, chapters 1 and 3.
"""

from collections.abc import Sequence

import numpy as np

from .events import Float64Array


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank correlation of two lists of numbers, NaN where one of them is all equal or has a single number.

    >>> spearman([1, 2, 3], [10, 20, 15])
    0.5
    """
    a, b = (_ranks(values) for values in _checked(one, other))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Agreement of pairs of two lists of numbers, NaN likewise.

    >>> round(kendall([1, 2, 3], [10, 20, 15]), 3)
    0.333
    """
    a, b = (np.sign(values[:, None] - values) for values in _checked(one, other))
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size else float("nan")


def _ranks(values: Float64Array) -> Float64Array:
    """Ranks from 0; equal values share the mean of theirs."""
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    ranks: Float64Array = below + (equal - 1) / 2
    return ranks


def _checked(one: Sequence[float], other: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"ranks need two lists of as many finite numbers, got {a.shape} and {b.shape}")
    return a, b
