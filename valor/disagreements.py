"""Where the two teachers disagree about a tag of a clip: only one of them marks it; for a person to look at.

Much of it is right: a dog barks behind the camera. What is not points to a threshold, a prompt or a teacher.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.events import MODALITIES
from label_harvest.store import EvidenceStore
from valor.files import replaced

FILE_NAME = "disagreements.csv"
"""In the folder of the labels."""
COLUMNS = ("clip_id", "class", "onset", "offset", "marked_in", "margin", "audio_margin", "visual_margin")


@dataclass(frozen=True)
class Disagreement:
    """A run of segments in which only one of the teachers marks a tag."""

    clip_id: str
    class_name: str
    onset: float
    """In seconds."""
    offset: float
    marked_in: str
    """The modality whose teacher marks it."""
    audio_margin: float
    """Mean over the segments of the logit less its threshold; above 0 where it is marked."""
    visual_margin: float

    @property
    def margin(self) -> float:
        """How sure the less sure of the two is: how far either threshold would have to move before they agree."""
        return min(abs(self.audio_margin), abs(self.visual_margin))


def disagreements(store: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> list[Disagreement]:
    """Find runs of segments that one teacher marks with a tag of the clip and the other does not.

    Segments without the evidence of both are left out.

    Args:
        store: Evidence of the audio and the visual teacher with the similarity arrays read.
        thresholds: float [C] logits for `audio` and for `visual`.

    Returns:
        Largest margin first; equal ones in the order of the store.

    Raises:
        ValueError: There are not thresholds and evidence of both teachers.
    """
    if not set(MODALITIES) <= set(thresholds) or not set(MODALITIES) <= set(store.roles):
        raise ValueError(
            f"disagreement is between an audio and a visual teacher, got a store of {', '.join(store.roles)} and "
            f"thresholds for {', '.join(sorted(thresholds))}"
        )
    margins = np.stack([store.logits(role) - thresholds[role].astype(np.float32) for role in MODALITIES], axis=2)
    judged = np.isfinite(margins).all(axis=2) & store.weak_labels[:, None]  # [N, T, C]
    marked = margins > 0
    seconds = store.manifest["grid"]["segment_seconds"]
    found = []
    for m, modality in enumerate(MODALITIES):
        alone = judged & marked[:, :, m] & ~marked[:, :, 1 - m]
        for clip, index, start, stop in _runs(alone):
            audio, visual = margins[clip, start:stop, :, index].mean(axis=0).tolist()
            name = store.class_names[index]
            onset, offset = start * seconds, stop * seconds
            found.append((clip, Disagreement(store.clip_ids[clip], name, onset, offset, modality, audio, visual)))
    return [entry for _, entry in sorted(found, key=lambda pair: (-pair[1].margin, pair[0], pair[1].onset))]


def _runs(marked: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(clip, class, start, stop) of the maximal runs of bool [N, T, C], half-open in segments."""
    edge = np.zeros_like(marked[:, :1])
    steps = np.diff(np.concatenate([edge, marked, edge], axis=1).astype(np.int8), axis=1).transpose(0, 2, 1)
    begins, ends = np.argwhere(steps > 0), np.argwhere(steps < 0)  # in the same order: clip, class, time
    return [(*begin, end[2]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]


def write_disagreements(path: Path, found: list[Disagreement]) -> None:
    """Write them as comma-separated text, in their order."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for entry in found:
            margins = (f"{value:.4f}" for value in (entry.margin, entry.audio_margin, entry.visual_margin))
            times = (f"{entry.onset:g}", f"{entry.offset:g}")
            table.writerow((entry.clip_id, entry.class_name, *times, entry.marked_in, *margins))
