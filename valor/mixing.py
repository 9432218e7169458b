"""Feature mix-up: pairs of encoded segments of a batch, blended together with their labels."""

import torch
from torch import Tensor
from torch.nn import functional


def mixup_loss(
    features: Tensor, labels: Tensor, classifier: torch.nn.Module, alpha: float, valid: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of blended segments with equally blended labels, summed over audio and visual.

    In each modality every segment i of the batch is blended with a partner j(i), a random permutation of all segments
    of all clips: s * x_i + (1 - s) * x_j for features and labels, with one share s ~ Beta(alpha, alpha) per modality
    and step. The classifier alone sees the blends, so the mixing happens after the encoder and regularises it through
    its features.

    Args:
        features: float [B, T, M, D], the encoded streams.
        labels: float [B, T, M, C] in [0, 1], hard or soft pseudo labels; all of them, also of tags a modality has lost
            to the rule jomold of `valor.denoising`.
        classifier: From features [.., D] to logits [.., C].
        alpha: Of the Beta distribution; positive.
        valid: bool [B, T], True where a segment exists; None when all do. Others take no part.

    Returns:
        Scalar, the sum over modalities of the mean over segments and classes. Draws from torch's global generators.

    Source:
        UWAV, Lai et al., CVPR 2025, section 4.3, equations 14 to 16, alpha 1.7. That the features are the encoder's
        output and that one share is drawn for a whole batch is in its code.
    """
    total = features.new_zeros(())
    for encoded, wanted in zip(features.unbind(2), labels.unbind(2), strict=True):
        x, y = (encoded.flatten(0, 1), wanted.flatten(0, 1)) if valid is None else (encoded[valid], wanted[valid])
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        partner = torch.randperm(len(x)).to(x.device)
        logits = classifier(torch.lerp(x[partner], x, share))  # [segments, C]
        total = total + functional.binary_cross_entropy_with_logits(logits, torch.lerp(y[partner], y, share))
    return total
