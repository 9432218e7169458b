"""A trained parser on clips: probabilities for the scorer and for the prediction file."""

import torch

from valor.data.clips import ClipSet
from valor.data.features.feature_files import listed
from valor.data.predictions import Predictions
from valor.parsers.hybrid import HybridParser

from .batches import alike
from .options import NotFiniteError

BATCH_SIZE = 256
"""Clips parsed at a time; changes the memory, not the answer beyond float32 rounding."""

BATCH_SEGMENTS = 2**14
"""Segments parsed at a time, padding included, where clips are of unlike length."""


def predict_split(parser: HybridParser, clips: ClipSet, *, batch_size: int = BATCH_SIZE) -> Predictions:
    """Parse every clip of a set.

    Args:
        parser: On any device; it is left in the mode it came in.
        clips: The clips, on any device.
        batch_size: Clips parsed at a time.

    Returns:
        float32 probabilities for every clip, in the order of the set, and 0 beyond the last segment of those that were
        parsed together: of clips of unlike length alike ones are. Clip probabilities of attentive pooling above 1
        are given as 1, which no threshold can tell apart.

    Raises:
        NotFiniteError: A probability is NaN; names the clips.
    """
    device = next(parser.parameters()).device
    segments, every = clips.segments, torch.arange(len(clips))
    parts = torch.split(every, batch_size)
    if segments is not None and segments.min() < segments.max():
        parts = tuple(alike(every, segments, batch_size, BATCH_SEGMENTS))
    probs = torch.zeros(len(clips), clips.audio.shape[1], 2, len(clips.class_names))
    clip_probs, modality_probs = [], []
    training = parser.training
    parser.eval()
    with torch.inference_mode():
        for rows in parts:
            batch = clips.batch(rows).to(device)
            output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
            probs[rows, : batch.audio.shape[1]] = output.segment_probs.cpu()
            clip_probs.append(output.clip_probs.clamp_max(1).cpu())
            modality_probs.append(output.modality_probs.clamp_max(1).cpu())
    parser.train(training)
    places = torch.cat(parts).argsort()
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
        clip_probs=torch.cat(clip_probs)[places].numpy(),
        modality_probs=torch.cat(modality_probs)[places].numpy(),
        valid=None if clips.valid is None else clips.valid.cpu().numpy(),
    )
