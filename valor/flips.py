"""Labels that differ between two stores of the same clips, such as one in float32 and one in bfloat16."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from label_harvest.pseudo_labels import judges_of
from label_harvest.store import EvidenceStore
from valor.files import replaced

FILE_NAME = "flips.csv"
"""In the folder of the labels."""
COLUMNS = ("clip_id", "segment", "modality", "class", "threshold", "logit", "other_logit", "margin", "label")


@dataclass(frozen=True)
class Flip:
    """One label that the two stores disagree about."""

    clip_id: str
    segment: int
    """Index of the segment, from 0."""
    modality: str
    class_name: str
    threshold: float
    logit: float
    """Of the store that is labelled."""
    other_logit: float

    @property
    def margin(self) -> float:
        """How far from its threshold the logit of the labelled store is."""
        return abs(self.logit - self.threshold)

    @property
    def label(self) -> int:
        """1 where the labelled store marks the class and the other one does not."""
        return int(self.logit > self.other_logit)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flips:
    """What a comparison of two stores found."""

    rows: tuple[Flip, ...]
    """In the order of modality, clip, segment and class."""
    clips: int
    """Clips both stores hold; only these are compared."""
    modalities: tuple[str, ...]
    flipped: np.ndarray
    """int64 [M, C], labels that differ, by modality in the order of `modalities`."""
    decisions: np.ndarray
    """int64 [M, C], segments of tags for which both stores have evidence."""
    largest: dict[str, float]
    """By modality, the largest difference of a logit that decides."""
    differing: dict[str, tuple[str, str]]
    """What the two stores say differently of their teachers, such as `audio.precision`."""


def find_flips(store: EvidenceStore, other: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> Flips:
    """Compare the labels that the same thresholds make of two stores.

    Args:
        store: Evidence with the similarity arrays read.
        other: The same of what it is compared with; clips in any order, and not all of them.
        thresholds: float [C] by role, as for labels.

    Raises:
        ValueError: The stores are of other classes, share no clip, or tag a clip differently, or the other one lacks a
            teacher.
    """
    judges = judges_of(thresholds, store.roles)
    ours, theirs = _shared_clips(store, other)
    _check_comparable(store, other, ours, theirs, judges)
    tags = store.weak_labels[ours][:, None]
    rows: list[Flip] = []
    shape = (len(judges), len(store.class_names))
    flipped, decisions, largest = np.zeros(shape, np.int64), np.zeros(shape, np.int64), {}
    for m, (modality, role) in enumerate(judges.items()):
        limit = thresholds[role].astype(np.float32)
        pair = np.stack([store.logits(role)[ours], other.logits(role)[theirs]])  # [2, N, T, C]
        decided = np.isfinite(pair).all(axis=0) & tags
        differs = decided & np.not_equal(*(pair > thresholds[role]))
        flipped[m], decisions[m] = differs.sum(axis=(0, 1)), decided.sum(axis=(0, 1))
        largest[modality] = float(np.abs(pair[0] - pair[1])[decided].max(initial=0.0))
        for clip, segment, index in zip(*np.nonzero(differs), strict=True):
            logit, other_logit = pair[:, clip, segment, index].tolist()
            place = (store.clip_ids[ours[clip]], int(segment), modality, store.class_names[index])
            rows.append(Flip(*place, float(limit[index]), logit, other_logit))
    return Flips(
        rows=tuple(rows),
        clips=len(ours),
        modalities=tuple(judges),
        flipped=flipped,
        decisions=decisions,
        largest=largest,
        differing=dict(_differing(store.manifest, other.manifest, set(judges.values()))),
    )


def flip_table(found: Flips, class_names: tuple[str, ...]) -> str:
    """How many labels of each class differ, of how many decisions; classes without one are left out."""
    shown = [index for index in range(len(class_names)) if found.flipped[:, index].any()]
    width = max(map(len, ("all classes", *(class_names[index] for index in shown))))
    lines = ["class".ljust(width) + "".join(f"{modality:>20s}" for modality in found.modalities)]

    def line(name: str, flipped: np.ndarray, decisions: np.ndarray) -> str:
        pairs = (f"{a:,} of {b:,}" for a, b in zip(flipped.tolist(), decisions.tolist(), strict=True))
        return name.ljust(width) + "".join(f"{text:>20s}" for text in pairs)

    lines += [line(class_names[index], found.flipped[:, index], found.decisions[:, index]) for index in shown]
    return "\n".join([*lines, line("all classes", found.flipped.sum(axis=1), found.decisions.sum(axis=1))])


def write_flips(path: Path, found: Flips) -> None:
    """Write the rows as comma-separated text."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in found.rows:
            logits = (f"{row.threshold:g}", f"{row.logit:.4f}", f"{row.other_logit:.4f}", f"{row.margin:.4f}")
            table.writerow((row.clip_id, row.segment, row.modality, row.class_name, *logits, row.label))


def _shared_clips(store: EvidenceStore, other: EvidenceStore) -> tuple[list[int], list[int]]:
    """Rows in either store of the clips both hold."""
    row_of = {clip_id: row for row, clip_id in enumerate(other.clip_ids)}
    ours = [row for row, clip_id in enumerate(store.clip_ids) if clip_id in row_of]
    return ours, [row_of[store.clip_ids[row]] for row in ours]


def _check_comparable(
    store: EvidenceStore, other: EvidenceStore, ours: list[int], theirs: list[int], judges: Mapping[str, str]
) -> None:
    """Refuse stores whose labels differ for other reasons than their teachers' answers."""
    if store.class_names != other.class_names or not ours:
        raise ValueError(
            f"two stores of the same clips and classes are compared, got {len(store.clip_ids)} and "
            f"{len(other.clip_ids)} clips of {len(store.class_names)} and {len(other.class_names)} classes, of which "
            f"{len(ours)} clips are in both; harvest some clips again with the other precision"
        )
    lacking = sorted(set(judges.values()) - set(other.roles))
    if lacking:
        raise ValueError(f"the store to compare with has no evidence of {' and '.join(lacking)}; harvest it with both")
    tagged = np.flatnonzero((store.weak_labels[ours] != other.weak_labels[theirs]).any(axis=1))
    if len(tagged):
        raise ValueError(
            f"{len(tagged)} clips have other tags in the store to compare with, such as "
            f"{store.clip_ids[ours[tagged[0]]]}; harvest both with one manifest"
        )


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], roles: set[str]) -> Iterator[tuple[str, tuple]]:
    """What two manifests say differently of some teachers, and how they were decoded."""
    for role in sorted(roles):
        pair = ours["teachers"][role], theirs["teachers"][role]
        for key in sorted({*pair[0], *pair[1]}):
            values = tuple(str(identity.get(key)) for identity in pair)
            if values[0] != values[1]:
                yield f"{role}.{key}", values
