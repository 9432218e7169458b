"""What stands beneath the scores of a training: what its tags and its labels score, which no network has looked at."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.eval.events import BoolArray
from valor.eval.scores import TenScores, score, tags_copied

if TYPE_CHECKING:
    from valor.data.clips import ClipSet

    from .run import RunSets

TAGS = "tags copied"
"""The tags of a clip in every second, audible and visible: they know nothing of when."""
LABELS = "labels learned from"
"""The pseudo labels of these clips: what the teachers say, who are told the tags."""


def anchors_of(sets: "RunSets", *, tested: bool) -> dict[str, dict[str, TenScores]]:
    """What a training has to beat, by split and name; nothing where classes were left out.

    Args:
        sets: What was read for it.
        tested: Whether the test split is scored.
    """
    scored = {} if sets.unseen else {"val": sets.val}
    if scored and tested and sets.test:
        scored["test"] = sets.test[1]
    return {split: _beneath(clips, sets.labels) for split, clips in scored.items() if clips.truth is not None}


def _beneath(clips: "ClipSet", labels: Path | None) -> dict[str, TenScores]:
    assert clips.truth is not None  # asked by whoever calls
    tags = clips.weak_labels if clips.modality_tags is None else clips.modality_tags
    truth, valid = clips.truth.cpu().numpy(), None if clips.valid is None else clips.valid.cpu().numpy()
    marks = {TAGS: tags_copied(tags.cpu().numpy(), truth.shape[1])}
    if labels is not None and (found := _labels(clips, labels, truth.shape)) is not None:
        marks[LABELS] = found
    if valid is None:
        return {name: score(of, truth) for name, of in marks.items()}
    # A segment with an event exists, and counts as nothing found where there are no features.
    exists = valid | truth.any(axis=(2, 3))
    return {name: score(of & valid[..., None, None], truth, valid=exists) for name, of in marks.items()}


def _labels(clips: "ClipSet", folder: Path, shape: tuple[int, ...]) -> BoolArray | None:
    """The pseudo labels of clips, bool [N, T, M, C]; None where a label file does not have all of them."""
    if not (folder / FILE_NAME if folder.is_dir() else folder).is_file():
        return None  # labels as published
    held = read_pseudo_labels(folder)
    row_of = {clip_id: row for row, clip_id in enumerate(held.clip_ids)}
    if held.absent or held.class_names != clips.class_names or not set(clips.clip_ids) <= set(row_of):
        return None
    found, length = np.zeros(shape, np.bool_), min(shape[1], held.labels.shape[1])
    found[:, :length] = held.marked[[row_of[clip_id] for clip_id in clips.clip_ids], :length]
    return found
