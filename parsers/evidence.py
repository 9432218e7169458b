"""Two numbers a class: logits for and against it, read as evidence, and the losses of those who do.

A pair of logits has the last axis (for, against). Evidence e of a logit is its exponential, the logit held within 10 of
zero. NREP and CMPAE ask different things of it:

    belief     e+ / (e+ + e- + 2)            NREP: what speaks neither for nor against is kept back
    expected   (e+ + 1) / (e+ + e- + 2)      CMPAE: the mean of the beta distribution of e+ and e-
    doubt      2 / (e+ + e- + 2)

Source:
    Codes of NREP and of CMPAE, CVPR 2023.
"""

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST = 10.0
"""What a logit is held to before it is evidence."""


def evidence(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """e^(logit / temperature), float, any shape."""
    return (logits.clamp(-_LARGEST, _LARGEST) / temperature).exp()


def pairs_of(logits: Tensor) -> Tensor:
    """Pairs [..., C, 2] of the 2 C logits of a layer [..., 2 C], those of a class side by side."""
    return logits.view(*logits.shape[:-1], -1, 2)


def belief(pairs: Tensor) -> Tensor:
    """Belief in each side, float [..., 2] of pairs [..., 2]; the two and the doubt sum to 1."""
    found = evidence(pairs)
    return found / (found.sum(dim=-1, keepdim=True) + 2)


def doubt(pairs: Tensor, temperature: float = 1.0) -> Tensor:
    """What no evidence speaks to, float [...] of pairs [..., 2]."""
    return 2 / (evidence(pairs, temperature) + 1).sum(dim=-1)


def expected_prob(pairs: Tensor, temperature: float = 1.0) -> Tensor:
    """Expected probability of the class, float [...] of pairs [..., 2]."""
    parameters = evidence(pairs, temperature) + 1
    return parameters[..., 0] / parameters.sum(dim=-1)


def pair_loss(pairs: Tensor, targets: Tensor, *, sides: int = 1, kind: str = "softmax") -> Tensor:
    """What NREP charges for pairs of logits.

    Args:
        pairs: float [..., C, 2] of (for, against).
        targets: float [..., C] of 0 and 1.
        sides: Columns that are charged: 1, that of the class; or 2, both, whose means are added.
        kind: A key of PAIR_LOSSES. `softmax`, as NREP's run script trains: the cross-entropy of the softmax of a pair;
            in float32 a wrong pair more than some 16.6 apart is charged 100 and has no gradient. `belief`: of beliefs,
            of which the two of a pair do not sum to 1. `log`: the logarithm of all evidence less that of the right
            side's, summed over classes; it knows no sides.

    Returns:
        Scalar.
    """
    if kind == "log":
        parameters = evidence(pairs) + 1
        right = torch.where(targets > 1 / 2, parameters[..., 0], parameters[..., 1])
        return (parameters.sum(dim=-1).log() - right.log()).sum(dim=-1).mean()
    probs = belief(pairs) if kind == "belief" else pairs.softmax(dim=-1)
    loss = cross_entropy_of_probs(probs[..., 0], targets)
    return loss + cross_entropy_of_probs(probs[..., 1], 1 - targets) if sides == 2 else loss


PAIR_LOSSES = ("softmax", "belief", "log")
"""What NREP's code can be trained on."""


def cross_entropy_of_probs(probs: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy in which the logarithm of a probability counts as -100 at least; NaN stays NaN."""
    known = probs.nan_to_num(nan=1 / 2)  # torch aborts on NaN before anyone can say which clips it came from
    return functional.binary_cross_entropy(known, targets) + 0 * probs.detach().sum()


def mutual_loss(
    clip: tuple[Tensor, Tensor], modality: tuple[Tensor, Tensor], weak_labels: Tensor, *, teaches_clip: bool
) -> Tensor:
    """CMPAE's agreement of what is made of a whole clip with what is made of its modalities.

    A tag is held against the modality that is surer of it, an absent class against the mean of both; squares weigh more
    the less doubt there is. The less sure the whole clip is (its doubt, at least .9), the more it is taught, and the
    less it teaches.

    Args:
        clip: Probabilities float [B, C] and doubt float [B] of the whole clip.
        modality: Probabilities and doubt, float [B, M, C] each.
        weak_labels: float [B, C] of 0 and 1.
        teaches_clip: Whether the gradient goes to the whole clip's probabilities, weighed by its doubt, or to the
            modalities', weighed by what is left of 1; doubts have gradients either way.

    Returns:
        Scalar, the mean over clips and classes.

    Source:
        CMPAE code, CVPR 2023. Steps alternate between the two.
    """
    (whole, whole_doubt), (probs, doubts) = clip, modality
    weight = whole_doubt.clamp_min(0.9)[:, None]  # [B, 1]
    surest, by = probs.max(dim=1)  # [B, C]
    surest_doubt = doubts.gather(1, by[:, None])[:, 0]
    mean, mean_doubt = probs.mean(dim=1), doubts.mean(dim=1)  # [B, C]
    if teaches_clip:
        surest, mean = surest.detach(), mean.detach()
    else:
        whole, weight = whole.detach(), 1 - weight
    present = weak_labels * (1 - surest_doubt) * (whole - surest).square()
    absent = (1 - weak_labels) * (1 - mean_doubt) * (whole - mean).square()
    return (weight * (present + absent)).mean()
