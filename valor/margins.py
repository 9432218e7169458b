"""Labels that hang by a thread: logits so near their threshold that rounding, or another precision, could flip them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.events import MODALITIES
from label_harvest.pseudo_labels import roles_of
from label_harvest.store import EvidenceStore
from valor.files import replaced

FILE_NAME = "near_thresholds.csv"
"""In the folder of the labels."""
COLUMNS = ("clip_id", "segment", "modality", "class", "logit", "threshold", "label")


@dataclass(frozen=True)
class NearLabel:
    """One label within the margin."""

    clip_id: str
    segment: int
    """Index of the segment, from 0."""
    modality: str
    class_name: str
    logit: float
    threshold: float

    @property
    def label(self) -> int:
        """1 where the class is labelled: the logit is above the threshold."""
        return int(np.float32(self.logit) > self.threshold)


@dataclass(frozen=True)
class NearLabels:
    """All labels within a margin, and how many decisions there were."""

    rows: tuple[NearLabel, ...]
    """Nearest first."""
    decisions: int
    """Segments, modalities and tags with evidence, out of which the rows are."""
    margin: float
    """In logits."""


def near_labels(store: EvidenceStore, thresholds: Mapping[str, np.ndarray], margin: float) -> NearLabels:
    """Find the decisions whose logit lies within a margin of its threshold.

    Only tags of a clip are decided; a class without its tag gets no label whatever its logit. A teacher in another
    precision moves logits by its own difference: the flips it can cause are among those within that margin.

    Args:
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, as for labels.
        margin: In logits; a logit at exactly that distance is within it.

    Raises:
        ValueError: The margin is no positive number, or the thresholds do not fit the store.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"a margin must be a positive number of logits, got {margin}")
    rows: list[NearLabel] = []
    decisions = 0
    for modality, role in zip(MODALITIES, roles_of(thresholds), strict=True):
        logits = store.logits(role)  # [N, T, C]
        decided = np.isfinite(logits) & store.weak_labels[:, None]
        near = decided & (np.abs(logits - thresholds[role].astype(logits.dtype)) <= margin)
        decisions += int(decided.sum())
        for clip, segment, index in zip(*np.nonzero(near), strict=True):
            logit, threshold = float(logits[clip, segment, index]), float(thresholds[role][index])
            name = store.class_names[index]
            rows.append(NearLabel(store.clip_ids[clip], int(segment), modality, name, logit, threshold))
    ordered = sorted(rows, key=lambda row: abs(row.logit - row.threshold))
    return NearLabels(tuple(ordered), decisions, margin)


def flips(
    store: EvidenceStore, other: EvidenceStore, thresholds: Mapping[str, np.ndarray]
) -> tuple[int, int, dict[str, float]]:
    """Labels that differ between two stores of the same clips, such as one in float32 and one in bfloat16.

    Returns:
        How many labels differ, out of how many decisions both have evidence for, and the largest difference of a logit
        by role.

    Raises:
        ValueError: The stores hold other clips or classes.
    """
    row_of = {clip_id: row for row, clip_id in enumerate(other.clip_ids)}
    if set(row_of) != set(store.clip_ids) or store.class_names != other.class_names:
        raise ValueError(
            f"two stores of the same clips and classes are compared, got {len(store.clip_ids)} and {len(row_of)} clips "
            f"of {len(store.class_names)} and {len(other.class_names)} classes"
        )
    order = [row_of[clip_id] for clip_id in store.clip_ids]
    changed, decisions, largest = 0, 0, {}
    for role in dict.fromkeys(roles_of(thresholds)):
        ours, theirs = store.logits(role), other.logits(role)[order]
        decided = np.isfinite(ours) & np.isfinite(theirs) & store.weak_labels[:, None]
        limit = thresholds[role]
        changed += int(((ours > limit) != (theirs > limit))[decided].sum())
        decisions += int(decided.sum())
        largest[role] = float(np.abs(ours - theirs)[decided].max(initial=0.0))
    return changed, decisions, largest


def write_near_labels(path: Path, found: NearLabels) -> None:
    """Write the rows as comma-separated text, nearest first."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in found.rows:
            numbers = (f"{row.logit:.4f}", f"{row.threshold:g}", row.label)
            writer.writerow((row.clip_id, row.segment, row.modality, row.class_name, *numbers))
