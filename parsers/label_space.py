"""Sound and picture in the space of labels: clips that share one lie near one another, whichever modality is compared.

    f_m = sigmoid(MLP(mean of the segments)),   L_label = mean |f_a - y|^2 + mean |f_v - y|^2
    d(x, y) = 1 - cosine;   a triplet (i, j, k) is valid where i and j share a label, i and k share none, and i is not j
    L_triplet = mean over six kinds of the mean over valid triplets of relu(d(i, j) - d(i, k) + margin)

The six kinds are all in which anchor, positive and negative are not of one modality: (a, v, v), (a, v, a), (a, a, v),
(v, a, a), (v, a, v), (v, v, a). The anchor's own clip counts as a positive in the other modality.

After Zeng et al., ISM 2022 (complete cross-triplet loss) and its predecessor TNN-C-CCA; no code of it is public, and
the weight of the triplets is ours. In a world of eight classes they added nothing to the label loss.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from .blocks import masked_mean
from .cpu.products import Dense
from .joint_space import unit

MARGIN = 0.4
"""By how much, in cosine distance, what shares a label must be nearer than what does not."""
DROPOUT = 0.1


class LabelSpace(nn.Module):
    """A perceptron of three layers for each modality."""

    def __init__(self, in_widths: Mapping[str, int], hidden_width: int, num_classes: int) -> None:
        """Make them, by the letter of each modality."""
        super().__init__()
        self.towers = nn.ModuleDict(
            {
                letter: nn.Sequential(
                    *(Dense(width, hidden_width), nn.Tanh(), nn.Dropout(DROPOUT)),
                    *(Dense(hidden_width, hidden_width), nn.Tanh(), nn.Dropout(DROPOUT)),
                    Dense(hidden_width, num_classes),
                )
                for letter, width in in_widths.items()
            }
        )

    def forward(self, features: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Probabilities float [B, C] of each modality, from float [B, T, D_m] and bool [B, T]."""
        return {letter: self.towers[letter](masked_mean(x, valid[letter])).sigmoid() for letter, x in features.items()}


def cross_triplets(
    places: Sequence[Tensor], labels: Tensor, there: Sequence[Tensor] | None = None, margin: float = MARGIN
) -> Tensor:
    """The complete cross-triplet loss; a scalar, 0 where there is no valid triplet.

    Args:
        places: Of both modalities, float [B, C].
        labels: bool [B, C].
        there: Of both, bool [B], whether a clip has the modality; None where all have.
        margin: See the top of this file.
    """
    shared = (labels.float() @ labels.float().T) > 0  # [B, B]
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    units = [unit(place) for place in places]
    has = list(there) if there is not None else [torch.ones_like(own[0])] * 2
    kinds = []
    for anchor, positive, negative in product((0, 1), repeat=3):
        if anchor == positive == negative:
            continue
        near = 1 - units[anchor] @ units[positive].T  # [B, B]
        far = 1 - units[anchor] @ units[negative].T
        is_near = (shared | own) if anchor != positive else shared & ~own
        is_near = is_near & has[anchor][:, None] & has[positive]
        is_far = ~shared & ~own & has[anchor][:, None] & has[negative]
        valid = is_near[:, :, None] & is_far[:, None, :]  # [B, B, B]
        charged = functional.relu(near[:, :, None] - far[:, None, :] + margin)
        kinds.append((charged * valid).sum() / valid.sum().clamp_min(1))
    return torch.stack(kinds).mean()


def label_loss(places: Sequence[Tensor], labels: Tensor, there: Sequence[Tensor]) -> Tensor:
    """How far clips are from their labels, mean |f - y|^2 of each modality over the clips that have it; a scalar."""
    target = labels.to(places[0].dtype)
    total = torch.zeros((), dtype=target.dtype, device=target.device)
    for place, has in zip(places, there, strict=True):
        total = total + ((place - target).square().sum(dim=1) * has).sum() / has.sum().clamp_min(1)
    return total
