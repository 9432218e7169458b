"""What a parser answers, and the legend of the shape comments in this package.

Shape legend: B clips of a batch, T segments, M modalities (audio, visual), C classes, D features, H attention heads.
"""

from dataclasses import dataclass

from torch import Tensor

MODALITIES = ("audio", "visual")
"""Order of the modality axis everywhere."""


@dataclass(frozen=True, eq=False)
class ParserOutput:
    """One batch of answers; probabilities of one (segment, modality) are independent over classes."""

    segment_logits: Tensor
    """float [B, T, M, C], log-odds that the class happens in the segment."""
    segment_probs: Tensor
    """float [B, T, M, C] in [0, 1], sigmoid of `segment_logits`."""
    clip_probs: Tensor
    """float [B, C], pooled over segments and modalities. Attentive pooling can exceed 1 (see `parsers.pooling`)."""
    modality_probs: Tensor
    """float [B, M, C] in [0, 1], pooled over the segments of one modality."""
    features: Tensor
    """float [B, T, M, D], the encoded streams the logits were read off."""

    def __post_init__(self) -> None:
        """Refuse parts that do not belong to one batch."""
        batch, _, modalities, classes = self.segment_logits.shape
        expected = {
            "segment_probs": tuple(self.segment_logits.shape),
            "clip_probs": (batch, classes),
            "modality_probs": (batch, modalities, classes),
        }
        for name, shape in expected.items():
            got = tuple(getattr(self, name).shape)
            if got != shape:
                raise ValueError(f"{name} must be {shape} beside segment_logits {expected['segment_probs']}, got {got}")
        if self.features.shape[:3] != self.segment_logits.shape[:3]:
            raise ValueError(
                f"features must be [clips, segments, modalities, features] beside segment_logits "
                f"{expected['segment_probs']}, got {tuple(self.features.shape)}"
            )
