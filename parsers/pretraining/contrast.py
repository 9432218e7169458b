"""What vectors that belong together are charged with: pure functions of vectors or of their similarities.

Shapes: B rows of a batch, N candidates, P features. Vectors are brought to length 1 here; a similarity matrix is taken
as it is.
"""

import torch
from torch import Tensor
from torch.nn import functional

from ..joint_space import unit

GAMMAS = tuple(10.0**power for power in range(-3, 4))
"""Of the seven Gaussian kernels of `mmd`, as XKD's code has them."""


def mil_nce(similarity: Tensor, positive: Tensor, temperature: float, counted: Tensor | None = None) -> Tensor:
    """How surprising it is that the positives of a row are found among its candidates.

        -log( sum over positives of e^(s / tau)  /  sum over positives and all others that count of e^(s / tau) )

    Args:
        similarity: float [B, N].
        positive: bool [B, N]; a row without any takes no part.
        temperature: tau, above 0.
        counted: bool [B, N], candidates that stand in the denominator; positives always do. None for all.

    Returns:
        Scalar, the mean over the rows that have a positive; 0, with a gradient of 0, where none has.

    Source:
        Miech et al., CVPR 2020. With one positive a row it is InfoNCE.
    """
    logits = similarity / temperature
    takes_part = positive.any(dim=1)
    if not bool(takes_part.any()):
        return logits.sum() * 0.0
    logits, positive = logits[takes_part], positive[takes_part]
    candidates = logits if counted is None else logits.masked_fill(~(counted[takes_part] | positive), float("-inf"))
    own = logits.masked_fill(~positive, float("-inf"))
    return (candidates.logsumexp(dim=1) - own.logsumexp(dim=1)).mean()


def info_nce(x: Tensor, y: Tensor, temperature: float) -> Tensor:
    """How surprising it is that row i of x belongs to row i of y among all rows, the mean of both ways.

    Args:
        x: float [B, P].
        y: float [B, P].
        temperature: tau, above 0.
    """
    similarity = unit(x) @ unit(y).T  # [B, B]
    own = torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (mil_nce(similarity, own, temperature) + mil_nce(similarity.T, own, temperature)) / 2


def max_margin(similarity: Tensor, margin: float) -> Tensor:
    """How far others come within the margin of a row's own, both ways.

        mean over i of  sum over j != i of  max(0, s_ij - s_ii + m) + max(0, s_ji - s_ii + m)

    Args:
        similarity: float [B, B], the own ones on the diagonal.
        margin: m.
    """
    own = similarity.diagonal()
    ways = (similarity - own[:, None] + margin).relu() + (similarity.T - own[:, None] + margin).relu()  # [B, B]
    return (ways.sum() - ways.diagonal().sum()) / len(similarity)


def negative_cosine(predicted: Tensor, target: Tensor) -> Tensor:
    """-cos(predicted, target), the mean over rows [..., P]; nothing is learnt through the target."""
    return -functional.cosine_similarity(predicted, target.detach(), dim=-1).mean()


def mmd(x: Tensor, y: Tensor, gammas: tuple[float, ...] = GAMMAS) -> Tensor:
    """Squared maximum mean discrepancy of two clouds of points, at least 0 and 0 for equal ones.

        mean k(x, x') + mean k(y, y') - 2 mean k(x, y),   k(x, y) = sum over gamma of e^(-gamma |x - y|^2)

    Args:
        x: float [B, P], taken as it is.
        y: float [N, P].
        gammas: Of the kernels.
    """

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        far = (a[:, None] - b).square().sum(dim=-1)  # [B, N]
        return torch.stack([(-gamma * far).exp().mean() for gamma in gammas]).sum()

    return mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)


def spread(vectors: Tensor) -> float:
    """Mean deviation of the features of unit vectors [B, P], as a share of what spread-out ones have; 0 is collapse.

    Vectors that point everywhere have 1 / sqrt(P) in each feature.
    """
    found: float = (unit(vectors.detach().float()).std(dim=0).mean() * vectors.shape[1] ** 0.5).item()
    return found
