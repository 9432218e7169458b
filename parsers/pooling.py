"""Multiple-instance pooling: from segment probabilities to what a clip-level tag can be compared with.

Every pooling is called with (features [B, T, M, D], segment_probs [B, T, M, C], valid [B, T] or None) and answers
PooledProbs, so one can stand in for another.
"""

from typing import NamedTuple

from torch import Tensor, nn

from .cpu.products import Dense
from .perceptron import Perceptron


class PooledProbs(NamedTuple):
    """Probabilities of a clip."""

    clip: Tensor
    """float [B, C], over segments and modalities."""
    modality: Tensor
    """float [B, M, C], over the segments of each modality."""


class AttentiveMilPooling(nn.Module):
    """Attention over time within a modality times attention over modalities within a segment, per class.

    clip = sum over t, m of softmax_t(temporal) * softmax_m(modality) * p. The two factors are normalised along
    different axes, so the weights of a clip sum to something between 0 and 2, and the clip value can exceed 1; the
    weak loss clamps it.

    Source:
        Tian et al., ECCV 2020, section 3.3.
    """

    def __init__(self, width: int, num_classes: int, head_layers: int = 1) -> None:
        """Make the two attention heads; layers before the last are twice as wide as the features."""
        super().__init__()
        widths = (width, *[2 * width] * (head_layers - 1), num_classes)
        self.temporal_attention: nn.Module = Perceptron(widths) if head_layers > 1 else Dense(width, num_classes)
        self.modality_attention: nn.Module = Perceptron(widths) if head_layers > 1 else Dense(width, num_classes)

    def forward(self, features: Tensor, segment_probs: Tensor, valid: Tensor | None = None) -> PooledProbs:
        """Pool.

        Args:
            features: float [B, T, M, D], the encoded streams.
            segment_probs: float [B, T, M, C].
            valid: bool [B, T], True where a segment exists; None when all do.

        Returns:
            clip [B, C] and modality [B, M, C].
        """
        over_time = self.temporal_attention(features)  # [B, T, M, C]
        if valid is not None:
            over_time = over_time.masked_fill(~valid[:, :, None, None], float("-inf"))
        weighted = over_time.softmax(dim=1) * segment_probs  # [B, T, M, C]
        over_modalities = self.modality_attention(features).softmax(dim=2)  # [B, T, M, C]
        return PooledProbs((over_modalities * weighted).sum(dim=(1, 2)), weighted.sum(dim=1))


class LinearSoftmaxPooling(nn.Module):
    """Each probability weighted by itself: sum p^2 / sum p.

    Source:
        Wang, Li and Metze, ICASSP 2019.
    """

    def forward(self, features: Tensor, segment_probs: Tensor, valid: Tensor | None = None) -> PooledProbs:
        """Pool; `features` is not looked at. Arguments and result as in AttentiveMilPooling."""
        p = _silence_invalid(segment_probs, valid)  # [B, T, M, C]
        tiny = 1e-7  # keeps an all-zero track at probability 0 instead of 0 / 0
        squares = p.square()
        modality = squares.sum(dim=1) / p.sum(dim=1).clamp_min(tiny)  # [B, M, C]
        return PooledProbs(squares.sum(dim=(1, 2)) / p.sum(dim=(1, 2)).clamp_min(tiny), modality)


class MaxPooling(nn.Module):
    """The most certain segment speaks for the clip."""

    def forward(self, features: Tensor, segment_probs: Tensor, valid: Tensor | None = None) -> PooledProbs:
        """Pool; `features` is not looked at. Arguments and result as in AttentiveMilPooling."""
        modality = _silence_invalid(segment_probs, valid).amax(dim=1)  # [B, M, C]
        return PooledProbs(modality.amax(dim=1), modality)


def _silence_invalid(segment_probs: Tensor, valid: Tensor | None) -> Tensor:
    return segment_probs if valid is None else segment_probs * valid[:, :, None, None]
