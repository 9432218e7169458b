"""CoLeaF's reference networks, each of one modality alone, and what an anchor network and they charge one another.

Shape legend as in `valor.parsers.hybrid`. A reference network sends a token of each class and the seconds of one
modality through one hybrid layer without its cross-attention. It says two things of a clip: what attention over time
makes of its seconds, and the sigmoid of the *mean over all features* of each token. That mean is 0 behind a fresh norm,
so every token begins at exactly 1/2 and learns nothing before the norm has moved.

Source:
    CoLeaF, ECCV 2024, and its code. The anchor network is CMPAE's (`valor.parsers.networks.cmpae`).
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..attention import HybridEncoder, HybridLayer
from ..cpu.dropout import drop
from ..cpu.products import Dense

_DROPOUT = 0.5
"""Of the seconds before the classifier."""
_SMALLEST = 1e-8
_MARGIN = 0.05
"""By which an absent class may be believed in at no cost."""
SURE = ((0.8, 0.1), (0.6, 0.4))
"""From where up and from where down a reference network is believed, of audio and visual."""


@dataclass(frozen=True, eq=False)
class ReferenceOutput:
    """What a reference network says of one modality."""

    probs: Tensor
    """float [B, C], of the clip."""
    segment_probs: Tensor
    """float [B, T, C]."""
    token_probs: Tensor | None
    """float [B, C], of the class tokens; None where they are not asked."""
    features: Tensor
    """float [B, T, D], encoded seconds."""


class ReferenceNet(nn.Module):
    """See the top of this file."""

    def __init__(
        self, widths: tuple[int, ...], width: int, num_classes: int, *, heads: int = 1, feedforward_width: int = 512
    ) -> None:
        """Make the layers, for one kind of features, or for appearance and motion, which are joined."""
        super().__init__()
        self.is_visual = len(widths) > 1
        self.inputs = nn.ModuleList(Dense(given, width) for given in widths)
        self.fusion = Dense(2 * width, width) if self.is_visual else None
        self.encoder = HybridEncoder(HybridLayer(width, heads, feedforward_width), 1)
        self.tokens = nn.Parameter(torch.zeros(1, num_classes, width))
        self.classifier, self.over_time = Dense(width, num_classes), Dense(width, num_classes)
        self.dropout = _DROPOUT

    def forward(self, *given: Tensor, valid: Tensor | None = None, ask_tokens: bool = True) -> ReferenceOutput:
        """Look at the features of one modality, float [B, T, ...] each; valid bool [B, T].

        Appearance may be of several frames side by side, which are averaged. Class tokens that are not asked take part.
        """
        projected = []
        for features, layer in zip(given, self.inputs, strict=True):
            width = cast(Dense, layer).in_features
            projected.append(layer(features.view(*features.shape[:2], -1, width).mean(dim=2)))
        x = projected[0] if self.fusion is None else self.fusion(torch.cat(projected, dim=-1))  # [B, T, D]
        count = self.tokens.shape[1]
        there = None if valid is None else torch.cat((valid.new_ones(len(x), count), valid), dim=1)
        layer = cast(HybridLayer, self.encoder.layers[0])
        tokens, seconds = layer.along_with(self.tokens[0], x, there, ask_shared=ask_tokens)
        shown = drop(seconds, self.dropout, training=self.training)
        probs = self.classifier(shown).sigmoid()  # [B, T, C]
        attention = self.over_time(shown if self.is_visual else seconds)
        if valid is not None:
            attention = attention.masked_fill(~valid[..., None], float("-inf"))
        clip = (attention.softmax(dim=1) * probs).sum(dim=1)
        return ReferenceOutput(clip, probs, None if tokens is None else tokens.mean(dim=-1).sigmoid(), seconds)


def asymmetric_loss(probs: Tensor, targets: Tensor) -> Tensor:
    """What a reference network is charged with, the *sum* over clips and classes.

    Args:
        probs: float [B, C].
        targets: float [B, C] in [0, 1].

    Returns:
        Scalar: -(1 - p_t) (y log p + (1 - y) log q) with q = 1 - p + .05, at most 1, and p_t = y p + (1 - y) q, of
        which no gradient is taken.
    """
    absent = (1 - probs + _MARGIN).clamp_max(1)
    likelihood = targets * probs.clamp_min(_SMALLEST).log() + (1 - targets) * absent.clamp_min(_SMALLEST).log()
    right = (probs * targets + absent * (1 - targets)).detach()
    return -((1 - right) * likelihood).sum()


def cooccurrence_loss(probs: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of which classes go together, by the anchor and by its teacher, float [B, C] each.

    Returns:
        Scalar: the sum over clips and pairs of classes times B / C, so quadratic in the batch size; a mean was meant.
    """
    batch, classes = probs.shape
    own, wanted = (held[:, :, None] * held[:, None] for held in (probs, teacher))
    return batch / classes * (wanted - own).square().sum()


def teacher_probs(anchor: Tensor, reference: Tensor, targets: Tensor, modality: int) -> Tensor:
    """What the anchor is taught of one modality: the reference network where that is sure, else itself.

    Args:
        anchor: float [B, C], probabilities of the modality.
        reference: float [B, C].
        targets: float [B, C], smoothed tags the modality has kept, which weigh the reference network: so .95 on visual
            tags, .05 on absent classes and 0 on lost tags.
        modality: 0 or 1, see SURE.

    Returns:
        float [B, C], without gradient.
    """
    above, below = SURE[modality]
    weight = ((reference >= above) | (reference <= below)) * targets
    return (weight * reference + (1 - weight) * anchor).detach()


def event_weights(references: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """How far the events of clips are of one modality alone, by what both reference networks say, float [B, C] each.

    Returns:
        float [B] for audio and for visual: classes of this modality only, over these and those of both; 0 for none.
    """
    found = [held >= 1 / 2 for held in references]
    kind = references[0].dtype
    both = (found[0] & found[1]).sum(dim=1).to(kind)
    only = [(found[own] & ~found[1 - own]).sum(dim=1).to(kind) for own in (0, 1)]
    shares = [count / (count + both).clamp_min(1) for count in only]
    return shares[0], shares[1]
