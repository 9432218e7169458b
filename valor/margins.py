"""Labels that hang by a thread: logits so near their threshold that rounding, or another precision, could flip them."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from label_harvest.pseudo_labels import judges_of
from label_harvest.store import EvidenceStore
from valor.files import replaced
from valor.labelling import judging_roles

FILE_NAME = "near_thresholds.csv"
"""In the folder of the labels."""
BFLOAT16_COSINE = 0.005
"""How far bfloat16 is taken to move the cosine of a segment and a class, from which the default margin follows.

Largest difference seen on made-up clips with random weights of the true architectures (30 segments, 25 classes, on a
CPU): 0.0009 of ViT-L/14 and 0.0007 of CLAP, 0.0004 in the quadratic mean. Trained weights were not at hand, so five
times as much is taken: a guess on the safe side and no proof. `valor labels STORE --compare OTHER` measures it on real
weights.
"""
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
    margins: Mapping[str, float]
    """In logits, by role."""


def margins_of(manifest: Mapping[str, Any], margin: float | None = None) -> dict[str, float]:
    """How near its threshold a logit has to be to be listed: float logits by role of the teachers that judge.

    Args:
        manifest: Of the store.
        margin: For all teachers; None for what bfloat16 may move, of the teachers that computed in it: none where all
            computed in float32.

    Raises:
        ValueError: The margin is no positive number.
    """
    judges = {role: manifest["teachers"][role] for role in judging_roles(manifest)}
    if margin is not None:
        if not (np.isfinite(margin) and margin > 0):
            raise ValueError(f"a margin must be a positive number of logits, got {margin}")
        return dict.fromkeys(judges, float(margin))
    coarse = {role: identity for role, identity in judges.items() if identity.get("precision") == "bfloat16"}
    return {role: BFLOAT16_COSINE * float(identity["logit_scale"]) for role, identity in coarse.items()}


def near_labels(store: EvidenceStore, thresholds: Mapping[str, np.ndarray], margins: Mapping[str, float]) -> NearLabels:
    """Find the decisions whose logit lies within a margin of its threshold.

    Only tags of a clip are decided; a class without its tag gets no label whatever its logit. A teacher in another
    precision moves logits by its own difference: the flips it can cause are among those within that margin.

    Args:
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, as for labels.
        margins: In logits by role, such as `margins_of` gives; a logit at exactly that distance is within it.

    Raises:
        ValueError: The thresholds do not fit the store.
    """
    rows: list[NearLabel] = []
    decisions = 0
    for modality, role in judges_of(thresholds, store.roles).items():
        logits = store.logits(role)  # [N, T, C]
        decided = np.isfinite(logits) & store.weak_labels[:, None]
        decisions += int(decided.sum())
        if role not in margins:
            continue
        near = decided & (np.abs(logits - thresholds[role].astype(logits.dtype)) <= margins[role])
        for clip, segment, index in zip(*np.nonzero(near), strict=True):
            logit, threshold = float(logits[clip, segment, index]), float(thresholds[role][index])
            name = store.class_names[index]
            rows.append(NearLabel(store.clip_ids[clip], int(segment), modality, name, logit, threshold))
    ordered = sorted(rows, key=lambda row: abs(row.logit - row.threshold))
    return NearLabels(tuple(ordered), decisions, dict(margins))


def write_near_labels(path: Path, found: NearLabels) -> None:
    """Write the rows as comma-separated text, nearest first."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in found.rows:
            numbers = (f"{row.logit:.4f}", f"{row.threshold:g}", row.label)
            writer.writerow((row.clip_id, row.segment, row.modality, row.class_name, *numbers))
