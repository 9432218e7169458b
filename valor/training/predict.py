"""A trained parser on clips: probabilities for the scorer and for the prediction file."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from valor.data.clips import ClipSet, of_classes
from valor.data.features.feature_files import listed
from valor.data.predictions import Predictions
from valor.data.unseen import widened
from valor.eval.detection import Detections, on_segments
from valor.eval.events import BoolArray
from valor.eval.soft_nms import soft_nms
from valor.parsers.hybrid import HybridParser, ParserOutput
from valor.parsers.networks.localiser import LocaliserParser, PointOutput
from valor.parsers.networks.points import events_of, to_seconds

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
    batch_size = min(batch_size, getattr(parser, "most_clips", batch_size))
    segments, every = clips.segments, torch.arange(len(clips))
    parts = torch.split(every, batch_size)
    if segments is not None and segments.min() < segments.max():
        parts = tuple(alike(every, segments, batch_size, BATCH_SEGMENTS))
    probs = torch.zeros(len(clips), clips.audio.shape[1], 2, len(clips.class_names))
    clip_probs, modality_probs, found = [], [], list[Detections]()
    training = parser.training
    parser.eval()
    with torch.inference_mode():
        for rows in parts:
            batch = clips.batch(rows).to(device)
            output = parser(batch.audio, batch.visual, batch.motion, batch.valid)
            probs[rows, : batch.audio.shape[1]] = output.segment_probs.cpu()
            clip_probs.append(output.clip_probs.clamp_max(1).cpu())
            modality_probs.append(output.modality_probs.clamp_max(1).cpu())
            if isinstance(parser, LocaliserParser):
                found.append(_events_of(parser, output, rows.tolist(), clips))
    parser.train(training)
    places = torch.cat(parts).argsort()
    broken = (~probs.isfinite()).flatten(1).any(dim=1).nonzero().flatten().tolist()
    if broken:
        raise NotFiniteError(
            f"the parser gives NaN for {listed([clips.clip_ids[row] for row in broken])} of {len(clips)}; either its "
            "weights have grown too large or the features of these clips are"
        )
    valid = None if clips.valid is None else clips.valid.cpu().numpy()
    if found:
        return _by_events(clips, found, valid)
    return Predictions(
        clip_ids=clips.clip_ids,
        class_names=clips.class_names,
        segment_probs=probs.numpy(),
        clip_probs=torch.cat(clip_probs)[places].numpy(),
        modality_probs=torch.cat(modality_probs)[places].numpy(),
        valid=valid,
    )


def predict_classes(parser: HybridParser, clips: ClipSet, names: Sequence[str]) -> Predictions:
    """Parse every clip of a set whose class axis has more than the parser knows.

    Args:
        parser: As of `predict_split`.
        clips: The clips.
        names: What the parser parses for; all other classes of the clips get a probability of 0.
    """
    if clips.class_names == tuple(names):
        return predict_split(parser, clips)
    found = predict_split(parser, of_classes(clips, names))
    arrays: dict[str, Any] = {
        name: widened(array, names, clips.class_names)
        for name in ("segment_probs", "clip_probs", "modality_probs")
        if (array := getattr(found, name)) is not None
    }
    if found.detections is not None:
        places = np.array([clips.class_names.index(name) for name in names])
        arrays["detections"] = replace(found.detections, class_index=places[found.detections.class_index])
    return replace(found, class_names=clips.class_names, **arrays)


def _events_of(parser: LocaliserParser, output: ParserOutput, rows: Sequence[int], clips: ClipSet) -> Detections:
    """The events of some clips in seconds: what the points say, soft-NMS, and what of it lies within the clip."""
    points = cast(PointOutput, output).points
    parts = [events_of(points, place) for place in range(len(rows))]
    place = np.repeat(np.arange(len(rows)), [len(part.scores) for part in parts])
    places, classes, scores = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    columns = {"clip": place, "class_index": classes, "onset": places[:, 0], "offset": places[:, 1], "score": scores}
    kept = soft_nms(Detections(**columns))
    lasts = clips.clip_seconds
    if lasts is None:
        segments = torch.full((len(clips),), clips.audio.shape[1]) if clips.segments is None else clips.segments
        lasts = (segments * clips.segment_seconds).numpy()
    ends = torch.from_numpy(np.stack([kept.onset, kept.offset], axis=1)).double()
    seconds = to_seconds(ends, rate=1 / clips.segment_seconds, hop=1, frames=parser.window).numpy()
    clip = np.asarray(rows)[kept.clip]
    onset, offset = np.clip(seconds, 0, lasts[clip, np.newaxis]).T
    there = onset < offset
    columns = {"clip": clip, "class_index": kept.class_index, "onset": onset, "offset": offset, "score": kept.score}
    return Detections(**{name: column[there] for name, column in columns.items()})


def _by_events(clips: ClipSet, found: Sequence[Detections], valid: BoolArray | None) -> Predictions:
    """Events as predictions: a segment is as probable as the surest event that touches it, in both modalities."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in found]) for name in Detections.__dataclass_fields__
    }
    events = Detections(**columns)
    events = events.at(np.lexsort((-events.score, events.clip)))
    probs = on_segments(events, (len(clips), clips.audio.shape[1], len(clips.class_names)), clips.segment_seconds)
    of_clip = probs.max(axis=1)
    return Predictions(
        clip_ids=clips.clip_ids,
        class_names=clips.class_names,
        segment_probs=np.repeat(probs[:, :, np.newaxis], 2, axis=2),
        clip_probs=of_clip,
        modality_probs=np.repeat(of_clip[:, np.newaxis], 2, axis=1),
        valid=valid,
        segment_seconds=clips.segment_seconds,
        detections=events,
    )
