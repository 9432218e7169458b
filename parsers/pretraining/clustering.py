"""Groups of rows by k-means, and what can be said about a division into groups."""

from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK = 8192
"""Rows compared with all centres at once: 100,000 rows and 256 centres fit into memory this way."""
_SAMPLE = 20_000
"""Rows that the first centres are drawn from, at most."""
_ROUNDING = 1e-6
"""Of float32, as a share of what is added up."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """A division of N rows into k groups."""

    centres: Tensor
    """float [k, D]."""
    labels: Tensor
    """int64 [N] in [0, k)."""
    within: float
    """Sum of the squared distances of rows to their centres: of two divisions into k groups the lower is the better."""

    @property
    def sizes(self) -> Tensor:
        """int64 [k], rows of each group."""
        return torch.bincount(self.labels, minlength=len(self.centres))


def k_means(rows: Tensor, k: int, rng: torch.Generator, rounds: int = 15) -> Clusters:
    """Divide rows into k groups around their means.

    Centres begin by k-means++, each drawn in proportion to the squared distance to the nearest that is there. A group
    that loses all its rows takes the row farthest from its centre.

    Args:
        rows: float [N, D], at least k different ones.
        k: Groups.
        rng: What is drawn comes from it alone.
        rounds: Of moving centres, at most; it ends earlier when nothing moves.

    Raises:
        ValueError: There are fewer different rows than groups.
    """
    rows = rows.detach().float()
    if not 1 <= k <= len(rows):
        raise ValueError(f"clusters must be from 1 to the {len(rows):,} rows there are, got {k}")
    centres = _first_centres(rows, k, rng)
    labels, far = nearest(rows, centres)
    for _ in range(rounds):
        labels = _filled(labels, far, k)
        sums = rows.new_zeros(k, rows.shape[1]).index_add_(0, labels, rows)
        centres = sums / torch.bincount(labels, minlength=k)[:, None]
        before = labels
        labels, far = nearest(rows, centres)
        if torch.equal(before, labels):
            break
    return Clusters(centres, _filled(labels, far, k), float(far.double().sum()))


def _first_centres(rows: Tensor, k: int, rng: torch.Generator) -> Tensor:
    """k-means++ on as many rows as a sample needs, float [k, D]."""
    if len(rows) > max(_SAMPLE, k):
        rows = rows[torch.randperm(len(rows), generator=rng)[: max(_SAMPLE, k)].to(rows.device)]
    chosen = [int(torch.randint(len(rows), (1,), generator=rng))]
    far = _squared(rows, rows[chosen])[:, 0]  # [N], to the nearest centre
    while len(chosen) < k:
        if not bool((far > 0).any()):
            raise ValueError(
                f"clusters must be at most the different rows there are, {len(chosen)} among {len(rows):,}, got {k}"
            )
        ladder = far.double().cumsum(dim=0)
        drawn = torch.rand(1, generator=rng, dtype=torch.float64).to(ladder) * ladder[-1]
        place = int(torch.searchsorted(ladder, drawn, right=True).clamp(max=len(rows) - 1))
        place = place if far[place] > 0 else int(far.argmax())  # a draw at the very end of the ladder
        chosen.append(place)
        far = torch.minimum(far, _squared(rows, rows[place : place + 1])[:, 0])
    return rows[chosen]


def nearest(rows: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centre of each row, int64 [N], and the squared distance to it, float [N]; ties go to the first."""
    found = [_squared(part, centres).min(dim=1) for part in torch.split(rows, _CHUNK)]
    return torch.cat([part.indices for part in found]), torch.cat([part.values for part in found])


def _squared(rows: Tensor, centres: Tensor) -> Tensor:
    """Squared distances, float [N, k], by one matrix product; what is nothing but rounding is 0."""
    lengths, others = rows.square().sum(dim=1, keepdim=True), centres.square().sum(dim=1)
    far = lengths + others - 2 * rows @ centres.T
    return torch.where(far > _ROUNDING * (lengths + others), far, 0.0)


def _filled(labels: Tensor, far: Tensor, k: int) -> Tensor:
    """Give each empty group the farthest row of a group that can spare one."""
    sizes = torch.bincount(labels, minlength=k)
    if bool(sizes.all()):
        return labels
    labels = labels.clone()
    farthest = iter(far.argsort(descending=True, stable=True).tolist())
    for group in (sizes == 0).nonzero()[:, 0].tolist():
        row = next(row for row in farthest if sizes[labels[row]] > 1)
        sizes[labels[row]] -= 1
        sizes[group] += 1
        labels[row] = group
    return labels


def _joint(one: Tensor, other: Tensor) -> Tensor:
    """Share of rows by both divisions, float64 [k, l]."""
    k, m = int(one.max()) + 1, int(other.max()) + 1
    return torch.bincount(one * m + other, minlength=k * m).view(k, m).double() / len(one)


def _information(shares: Tensor) -> float:
    found: float = -torch.special.xlogy(shares, shares).sum().item()
    return found


def nmi(one: Tensor, other: Tensor) -> float:
    """Normalised mutual information of two divisions, int64 [N] each: 1 for the same, 0 for unrelated ones.

    2 I(one; other) / (H(one) + H(other)); two divisions of one group each are the same.
    """
    shares = _joint(one, other)
    each = _information(shares.sum(dim=1)) + _information(shares.sum(dim=0))
    return 1.0 if each == 0 else max(0.0, 2 * (each - _information(shares)) / each)


def purity(labels: Tensor, classes: Tensor) -> float:
    """Share of rows that have the commonest class of their group; int64 [N] each."""
    found: float = _joint(labels, classes).amax(dim=1).sum().item()
    return found


def evenness(labels: Tensor, k: int) -> float:
    """Entropy of the sizes of k groups as a share of the highest, log k: 1 for equal sizes, 0 where one has all."""
    if k == 1:
        return 1.0
    shares = torch.bincount(labels, minlength=k).double() / len(labels)
    return _information(shares) / float(torch.log(torch.tensor(k, dtype=torch.float64)))
