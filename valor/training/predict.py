"""A trained parser on clips: probabilities for the scorer and for the prediction file."""

import numpy as np
import torch

from valor.data.clips import ClipSet
from valor.data.feature_files import listed
from valor.data.predictions import Predictions
from valor.parsers.hybrid import HybridParser

from .options import NotFiniteError

BATCH_SIZE = 256
"""Clips parsed at a time; changes the memory, not the answer beyond float32 rounding."""


def predict_split(parser: HybridParser, clips: ClipSet, *, batch_size: int = BATCH_SIZE) -> Predictions:
    """Parse every clip of a set.

    Args:
        parser: On any device; it is left in the mode it came in.
        clips: The clips, on any device.
        batch_size: Clips parsed at a time.

    Returns:
        float32 probabilities for every clip, in the order of the set. Clip probabilities of attentive pooling above 1
        are given as 1, which no threshold can tell apart.

    Raises:
        NotFiniteError: A probability is NaN; names the clips.
    """
    device = next(parser.parameters()).device
    segment_probs, clip_probs, modality_probs = [], [], []
    training = parser.training
    parser.eval()
    with torch.inference_mode():
        for rows in torch.split(torch.arange(len(clips)), batch_size):
            batch = clips.batch(rows).to(device)
            output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
            segment_probs.append(output.segment_probs.cpu())
            clip_probs.append(output.clip_probs.clamp_max(1).cpu())
            modality_probs.append(output.modality_probs.clamp_max(1).cpu())
    parser.train(training)
    probs = torch.cat(segment_probs)
    broken = (~probs.isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if broken:
        raise NotFiniteError(
            f"the parser gives NaN for {listed([clips.clip_ids[row] for row in broken])} of {len(clips)}; either its "
            "weights have grown too large or the features of these clips are"
        )
    return Predictions(
        clip_ids=clips.clip_ids,
        class_names=clips.class_names,
        segment_probs=probs.numpy(),
        clip_probs=_joined(clip_probs),
        modality_probs=_joined(modality_probs),
        valid=None if clips.valid is None else clips.valid.cpu().numpy(),
    )


def _joined(parts: list[torch.Tensor]) -> np.ndarray:
    return torch.cat(parts).numpy()
