"""How well what belongs together is found: ranks, and recall among the first, of a matrix of similarities.

Query i belongs to item i. A tie counts as the mean of its ranks, from 1 on, and is among the first k where that mean is
below k + 1, as published: of ranks 10 and 11 together, 10.5 still counts for R@10.

Equal to the golden metrics of Everything at Once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .events import BoolArray, FloatArray

FIRST = (1, 5, 10)
"""How many answers are looked at."""


@dataclass(frozen=True)
class RetrievalScores:
    """How well queries find what belongs to them."""

    recall: Mapping[int, float]
    """By how many answers are looked at, percent of queries that find theirs among them."""
    median_rank: float
    mean_rank: float

    @property
    def geometric_mean(self) -> float:
        """Of the recalls at 1, 5 and 10."""
        return float(np.prod([self.recall[first] for first in FIRST]) ** (1 / len(FIRST)))


def ranks(similarity: FloatArray) -> FloatArray:
    """Rank of the right item for each query, from 1 on; a tie counts as the mean of its ranks.

    Args:
        similarity: float [N, N], queries by items, of which item i belongs to query i.

    Returns:
        float [N].

    Raises:
        ValueError: It is not square, or not all of it is a number.

    >>> ranks(np.array([[0.9, 0.1, 0.2], [0.4, 0.4, 0.1], [0.8, 0.9, 0.3]]))
    array([1. , 1.5, 3. ])
    """
    if similarity.ndim != 2 or len(similarity) != similarity.shape[1] or not len(similarity):
        raise ValueError(f"similarity must be float [queries, items], as many of both, got {similarity.shape}")
    if np.isnan(similarity).any():
        raise ValueError(f"similarity must be numbers, got {np.isnan(similarity).sum()} that are none")
    right = np.diag(similarity)[:, None]
    ahead, tied = (similarity > right).sum(axis=1), (similarity == right).sum(axis=1) - 1
    found: FloatArray = 1 + ahead + tied / 2
    return found


def retrieval_scores(similarity: FloatArray, first: Sequence[int] = FIRST) -> RetrievalScores:
    """Score a matrix of similarities; arguments and errors as for `ranks`."""
    found = ranks(similarity)
    recall = {count: 100 * float((found < count + 1).mean()) for count in sorted({*FIRST, *first})}
    return RetrievalScores(recall, float(np.median(found)), float(found.mean()))


def mean_average_precision(similarity: FloatArray, relevant: BoolArray) -> float:
    """How high what is relevant stands in whole rankings: the mean over queries of average precision, in percent.

    Items of equal similarity enter together. Queries without a relevant item do not count.

    Args:
        similarity: float [Q, N], queries by items.
        relevant: bool [Q, N].

    Returns:
        NaN where no query counts. By chance it is about the share of relevant items.

    Raises:
        ValueError: The shapes differ, or not all of it is a number.

    >>> mean_average_precision(np.array([[0.9, 0.5, 0.1]]), np.array([[True, False, True]]))  # (1 + 2/3) / 2
    83.33333333333333
    """
    if similarity.shape != relevant.shape or similarity.ndim != 2 or np.isnan(similarity).any():
        raise ValueError(
            f"similarity and relevant must be numbers and bool of one shape, got {similarity.shape}, {relevant.shape}"
        )
    found = []
    for row, right in zip(similarity, relevant, strict=True):
        if not right.any():
            continue
        order = np.argsort(-row, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(row[order]) != 0, True))  # last of each tie
        hits = np.cumsum(right[order])[ends]
        found.append(float((np.diff(hits, prepend=0) * hits / (ends + 1)).sum() / hits[-1]))
    return 100 * float(np.mean(found)) if found else float("nan")
