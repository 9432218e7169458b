"""Training on windows of untrimmed clips, each a clip of its own; what is validated and parsed stays whole.

A clip is cut end to end; the last window is what is left. Where there are labels of segments, a window has the tags of
its clip that a segment in it is labelled with, in either modality; without them it has all tags of its clip, which is
wrong of windows in which nothing happens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .method import Method

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet


@dataclass(frozen=True, kw_only=True)
class WindowsOptions:
    """How clips are cut."""

    segments: int = 10
    """Of a window; the last of a clip may have fewer."""

    def __post_init__(self) -> None:
        """Refuse windows of nothing."""
        if not isinstance(self.segments, int) or self.segments < 1:
            raise ValueError(f"segments must be a whole number of at least 1, got {self.segments!r}")


class Windows(Method[WindowsOptions]):
    """Windows in the place of clips."""

    Options = WindowsOptions
    excludes = ("jomold", "vplan")  # which keep an account of the clips that were given

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set cut into windows."""
        return windows_of(train, self.options.segments)


def windows_of(clips: ClipSet, segments: int) -> ClipSet:
    """Clips cut into windows, called CLIP@FIRST by their first segment.

    Args:
        clips: Of any lengths.
        segments: Of a window.
    """
    import torch

    lengths = clips.segments
    if lengths is None:
        lengths = torch.full((len(clips),), clips.audio.shape[1])
    count = (lengths + segments - 1).div(segments, rounding_mode="floor")
    clip = torch.repeat_interleave(torch.arange(len(clips)), count)
    first = (torch.arange(len(clip)) - (count.cumsum(0) - count)[clip]) * segments
    place = first[:, None] + torch.arange(segments)  # [W, segments]
    valid = place < lengths[clip, None]
    device = clips.audio.device
    rows, place, valid = clip.to(device), place.clamp_max(clips.audio.shape[1] - 1).to(device), valid.to(device)
    if clips.valid is not None:
        valid = valid & clips.valid[rows[:, None], place]
    kept = valid.any(dim=1)  # a clip may have a hole
    rows, place, valid = rows[kept], place[kept], valid[kept]

    def cut(tensor: Tensor | None) -> Tensor | None:
        if tensor is None:
            return None
        found = tensor[rows[:, None], place]
        found[~valid] = 0
        return found

    timed: dict[str, Any] = {
        name: cut(getattr(clips, name)) for name in ("audio", "visual", "motion", "pseudo_labels", "truth")
    }
    weak_labels = clips.weak_labels[rows]
    modality_tags = None if clips.modality_tags is None else clips.modality_tags[rows]
    if timed["pseudo_labels"] is not None:
        in_window = (timed["pseudo_labels"] > 1 / 2).any(dim=1)  # [W, M, C]
        weak_labels = weak_labels & in_window.any(dim=1)
        modality_tags = None if modality_tags is None else modality_tags & in_window
        # a class that one modality alone is labelled with is no longer a tag of the other
        weak_labels = weak_labels if modality_tags is None else modality_tags.any(dim=1)
    names = zip(rows.tolist(), place[:, 0].tolist(), strict=True)
    return replace(
        clips,
        clip_ids=tuple(f"{clips.clip_ids[row]}@{start}" for row, start in names),
        weak_labels=weak_labels,
        modality_tags=modality_tags,
        valid=valid,
        events=None,
        clip_seconds=None,
        subsets={},
        **timed,
    )
