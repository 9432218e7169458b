"""The labels stage: evidence of a store -> pseudo labels on disk, their provenance, their export, their quality."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.counts import segment_counts
from eval.events import MODALITIES
from eval.scores import Scores, score
from label_harvest.pseudo_labels import label_store
from label_harvest.store import EvidenceStore
from valor.annotations import Split, media_id
from valor.files import replaced
from valor.labels_file import FILE_NAME, write_pseudo_labels
from valor.vocabulary import EventClass

PROVENANCE = "labels.json"
"""Beside the label file: which teachers, weights and thresholds made it."""

PUBLISHED_FOLDERS = {"audio": "CLAP", "visual": "CLIP"}
"""Folder of each modality in the published layout."""

PUBLISHED_FEATURES = {"audio": "audio.map", "visual": "visual.embedding"}
"""Array of the store that is the published feature of each modality."""


def thresholds_of(classes: tuple[EventClass, ...]) -> dict[str, np.ndarray]:
    """Label thresholds of a vocabulary: float64 [C] logits for `audio` and for `visual`."""
    return {
        "audio": np.array([event_class.audio_threshold for event_class in classes]),
        "visual": np.array([event_class.visual_threshold for event_class in classes]),
    }


def read_thresholds(path: Path, num_classes: int) -> dict[str, np.ndarray]:
    """Read label thresholds from JSON: `{"audio": [C numbers], "visual": [...]}`, or `{"fused": [...]}`.

    Raises:
        ValueError: The file is no such JSON, or a list has another length than there are classes.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        thresholds = {role: np.array(values, dtype=float) for role, values in table.items() if isinstance(values, list)}
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{path}: expected JSON {{"audio": [numbers], "visual": [numbers]}}, got {error}') from error
    wrong = {role: values.shape for role, values in thresholds.items() if values.shape != (num_classes,)}
    if wrong or not thresholds:
        raise ValueError(f"{path}: expected one threshold for each of {num_classes} classes, got {wrong or 'no list'}")
    return thresholds


def write_label_folder(folder: Path, store: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Apply thresholds and tags to a store, and write the labels with their provenance.

    Args:
        folder: Gets `pseudo_labels.npz` and `labels.json`.
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, see `label_harvest.pseudo_labels.label_store`.

    Returns:
        The labels, bool [N, T, M, C].
    """
    labels = label_store(store, thresholds)
    write_pseudo_labels(folder / FILE_NAME, store.clip_ids, store.class_names, labels)
    provenance = {
        "store": store.manifest["fingerprint"],
        "teachers": {role: store.manifest["teachers"][role] for role in thresholds},
        "thresholds": {role: values.tolist() for role, values in thresholds.items()},
        "random_weights": is_random(store.manifest),
    }
    with replaced(folder / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
    return labels


def is_random(manifest: Mapping) -> bool:
    """Whether a teacher of this store had random weights, which makes its labels noise."""
    return any(identity["weights"] == "random" for identity in manifest["teachers"].values())


def made_by_random_teachers(folder: Path) -> bool:
    """Whether the labels of this folder say of themselves that a random teacher made them."""
    path = folder / PROVENANCE
    return path.is_file() and bool(json.loads(path.read_text(encoding="utf-8"))["random_weights"])


def export_npy(folder: Path, store: EvidenceStore, labels: np.ndarray) -> int:
    """Write the published per-clip layout: `{CLIP,CLAP}/segment_pseudo_labels/<id>.npy`, and features where held.

    Labels are int64 [T, C] of 0 and 1, features float32, as other projects' loaders expect them. Clips without
    evidence in a modality get no file there, so that a loader stops rather than learns from zeros.

    Returns:
        How many files were written.
    """
    written = 0
    for m, modality in enumerate(MODALITIES):
        home = folder / PUBLISHED_FOLDERS[modality]
        features = store.arrays.get(PUBLISHED_FEATURES[modality])
        present = np.isfinite(store.arrays[f"{_role(store, modality)}.similarity"]).all(axis=(1, 2))
        for n in np.flatnonzero(present):
            name = f"{media_id(store.clip_ids[n])}.npy"
            _save(home / "segment_pseudo_labels" / name, labels[n, :, m].astype(np.int64))
            written += 1
            if features is not None:
                _save(home / "features" / name, features[n].astype(np.float32))
                written += 1
    return written


def _role(store: EvidenceStore, modality: str) -> str:
    return modality if modality in store.roles else "fused"


def _save(path: Path, array: np.ndarray) -> None:
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


@dataclass(frozen=True, kw_only=True)
class LabelQuality:
    """How labels compare with dense annotations."""

    scores: Scores
    """The ten F-scores of the labels taken as predictions."""
    precision: dict[str, float]
    """By modality, percent of labelled seconds that are true, counted over all clips and classes."""
    recall: dict[str, float]
    """By modality, percent of true seconds that are labelled."""
    unlabelled_tags: float
    """Percent of (clip, tag) pairs without a label in either modality."""


def label_quality(labels: np.ndarray, split: Split) -> LabelQuality:
    """Compare labels with the dense truth of a split.

    Args:
        labels: bool [N, T, M, C], rows in the order of the split.
        split: val or test, with its truth.

    Raises:
        ValueError: The split has no truth, or the shapes differ.
    """
    if split.truth is None:
        raise ValueError(f"the split {split.name!r} has no dense truth to compare with; use val or test")
    hits, false_alarms, misses = np.moveaxis(segment_counts(labels, split.truth).sum(axis=(0, 2)), -1, 0)
    tagged = split.weak_labels
    silent = tagged & ~labels.any(axis=(1, 2))
    return LabelQuality(
        scores=score(labels, split.truth),
        precision=_percent(hits, hits + false_alarms),
        recall=_percent(hits, hits + misses),
        unlabelled_tags=100 * silent.sum() / max(tagged.sum(), 1),
    )


def rows_of_split(clip_ids: tuple[str, ...], split: Split) -> np.ndarray:
    """Rows of `clip_ids` in the order of a split, int64 [N].

    Raises:
        ValueError: A clip of the split is not among them.
    """
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    missing = [clip_id for clip_id in split.clip_ids if clip_id not in row_of]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(split.clip_ids)} clips of the split {split.name!r} are not in the store, such as "
            f"{missing[0]}; harvest them first"
        )
    return np.array([row_of[clip_id] for clip_id in split.clip_ids])


def _percent(part: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    shares = 100 * part / np.maximum(whole, 1)
    return dict(zip(MODALITIES, shares.tolist(), strict=True))
