"""What is audible but not visible, and visible but not audible: what a parser cannot borrow from the other stream.

A parser that copies every event to both modalities does well on audio, visual and audio-visual figures alike wherever
the two agree, and earns nothing here.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import BoolArray, event_counts, segment_counts, with_audio_visual
from .scores import BLOCK, LEVELS, check_clips, clip_means

EXCLUSIVE = ("audible_only", "visible_only")
"""The figure axis of exclusive scores."""


@dataclass(frozen=True, kw_only=True)
class ExclusiveLevel:
    """The two figures of one level, in percent."""

    audible_only: float
    visible_only: float


@dataclass(frozen=True, kw_only=True)
class ExclusiveScores:
    """F-scores of what only one modality holds."""

    segment: ExclusiveLevel
    event: ExclusiveLevel
    clips: int
    """How many clips were scored."""
    per_clip: npt.NDArray[np.float64] = field(repr=False, compare=False)
    """float64 [N, 2 levels, 2 figures] in 0..1, axes LEVELS and EXCLUSIVE."""

    def to_dict(self) -> dict[str, Any]:
        """Return {"segment": {two figures}, "event": {two figures}, "clips": N}, percentages unrounded."""
        return {"segment": asdict(self.segment), "event": asdict(self.event), "clips": self.clips}


def exclusive_marks(marks: BoolArray) -> BoolArray:
    """Keep the segments that one modality marks and the other does not.

    Args:
        marks: bool [..., M=2, C], audio then visual.

    Returns:
        bool [..., 2, C]: audible only, visible only.

    Raises:
        ValueError: The array is not bool or its M axis is not (audio, visual).
    """
    both = with_audio_visual(marks)[..., 2:, :]
    return marks & ~both


def exclusive_scores(
    predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None, min_iou: float = 0.5
) -> ExclusiveScores:
    """Score what is audible only against what is truly audible only, and the same for visible only.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment; modalities (audio, visual).
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1.

    Returns:
        Two figures per level in percent, averaged as the published ones: over the classes of a clip that are marked,
        then over clips; a clip without a mark scores 1. The events of the event level are the maximal runs of what
        is left when the other modality is taken away, so one long audible event can become two.

    Raises:
        ValueError: An array is not bool, the shapes do not belong together, or a clip has no valid segment.

    Source:
        Sardari et al., "CoLeaF: a contrastive-collaborative learning framework for weakly supervised audio-visual
        video parsing", ECCV 2024 (metrics Ao and Vo).

    Example:
        Heard `####`, seen `##..`, predicted heard `####` and never seen: the audible-only segments are the last two,
        the prediction says all four.

        >>> predicted, truth = np.zeros((2, 1, 4, 2, 1), dtype=bool)
        >>> truth[0, :, 0] = truth[0, :2, 1] = predicted[0, :, 0] = True
        >>> round(exclusive_scores(predicted, truth).segment.audible_only, 1)
        66.7
    """
    check_clips(predicted, truth, valid)
    blocks = []
    for start in range(0, len(predicted), BLOCK):
        clips = slice(start, start + BLOCK)
        pair = exclusive_marks(predicted[clips]), exclusive_marks(truth[clips])
        lasts = None if valid is None else valid[clips]
        levels = segment_counts(*pair, valid=lasts), event_counts(*pair, valid=lasts, min_iou=min_iou)
        num_clips, _, num_classes, _ = levels[0].shape
        clip = np.repeat(np.arange(num_clips), num_classes)
        by_class = [counts.swapaxes(1, 2).reshape(num_clips * num_classes, len(EXCLUSIVE), 3) for counts in levels]
        blocks.append(np.stack([clip_means(counts, clip, num_clips) for counts in by_class], axis=1))
    per_clip = np.concatenate(blocks)
    means = (100 * per_clip.mean(axis=0)).tolist()
    figures = {
        level: ExclusiveLevel(audible_only=audible, visible_only=visible)
        for level, (audible, visible) in zip(LEVELS, means, strict=True)
    }
    return ExclusiveScores(**figures, clips=len(per_clip), per_clip=per_clip)
