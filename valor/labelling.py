"""The labels stage: evidence of a store -> pseudo labels on disk, their provenance, their export, their quality."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.breakdown import Breakdown, breakdown
from eval.counts import segment_counts
from eval.events import MODALITIES
from eval.scores import Scores, score
from label_harvest.pseudo_labels import label_store, roles_of
from label_harvest.store import EvidenceStore
from valor.annotations import Split, media_id
from valor.files import replaced
from valor.labels_file import FILE_NAME, PseudoLabels, write_pseudo_labels
from valor.vocabulary import LLP_CLASSES, EventClass

PROVENANCE = "labels.json"
"""Beside the label file: which teachers, weights and thresholds made it."""

PUBLISHED_TEACHERS = {"visual": "clip", "audio": "clap"}
"""The teachers the thresholds of a vocabulary are for, by role, as a store names them."""

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


def default_thresholds(store: EvidenceStore, classes: tuple[EventClass, ...]) -> dict[str, np.ndarray]:
    """The label thresholds that belong to the teachers of a store.

    Those of the vocabulary were chosen for the logits of CLIP and CLAP and mean nothing for another teacher's; the
    demo's teachers come with their own.

    Raises:
        ValueError: There are none for these teachers.
    """
    from label_harvest.tiny import WEIGHTS

    judges = {role: made for role, made in store.manifest["teachers"].items() if "logit_scale" in made}
    names = {role: identity["teacher"] for role, identity in judges.items()}
    if names == PUBLISHED_TEACHERS:
        return thresholds_of(classes)
    if all(name == f"demo-{role}" for role, name in names.items()) and classes == LLP_CLASSES:
        return read_thresholds(WEIGHTS / "demo_thresholds.json", len(classes))
    raise ValueError(
        f"there are no label thresholds for the teachers {', '.join(sorted(names.values()))} and these classes; "
        "give them with --thresholds FILE"
    )


def read_thresholds(path: Path, num_classes: int) -> dict[str, np.ndarray]:
    """Read label thresholds from JSON: `{"audio": [C numbers], "visual": [...]}`, or `{"fused": [...]}`.

    Keys that hold no list are left alone, so a file of `valor calibrate` (thresholds_file.py) is read as well.

    Raises:
        ValueError: The file is no such JSON, is for a parser, or a list has another length than there are classes.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        applies_to = table.get("applies_to", "labels")
        thresholds = {role: np.array(values, dtype=float) for role, values in table.items() if isinstance(values, list)}
    except (OSError, UnicodeDecodeError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(f'{path}: expected JSON {{"audio": [numbers], "visual": [numbers]}}, got {error}') from error
    if applies_to != "labels":
        raise ValueError(f"{path}: expected thresholds of teachers' logits, got those of a parser's {applies_to}")
    wrong = {role: values.shape for role, values in thresholds.items() if values.shape != (num_classes,)}
    if wrong or not thresholds:
        raise ValueError(f"{path}: expected one threshold for each of {num_classes} classes, got {wrong or 'no list'}")
    return thresholds


def complete_clips(store: EvidenceStore, roles: Iterable[str]) -> np.ndarray:
    """Which clips of a store have evidence of these teachers in every segment: bool [N]."""
    evidence = [store.arrays[f"{role}.similarity"] for role in roles]
    return np.all([np.isfinite(array).all(axis=(1, 2)) for array in evidence], axis=0)


def label_clips(
    store: EvidenceStore, thresholds: Mapping[str, np.ndarray], *, temperature: float | None = None
) -> tuple[PseudoLabels, dict[str, str]]:
    """Apply thresholds and tags to the clips whose evidence is complete.

    A clip that could not be decoded, has no sound or no picture, or whose picture ends early gets no labels at all:
    zeros would teach that nothing happens in it.

    Args:
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, see `label_harvest.pseudo_labels.label_store`.
        temperature: Of soft labels, in logits; None for hard ones.

    Returns:
        The labels of the complete clips, and the status of each clip that was left out.

    Raises:
        ValueError: The thresholds do not fit the store, or no clip is complete.
    """
    labels = label_store(store, thresholds, temperature=temperature)
    roles = dict.fromkeys(roles_of(thresholds))
    evidence = [store.arrays[f"{role}.similarity"] for role in roles]
    complete = np.all([np.isfinite(array).all(axis=(1, 2)) for array in evidence], axis=0)
    if not complete.any():
        raise ValueError(f"none of the {len(complete)} clips of the store has evidence of {' and '.join(roles)}")
    clip_ids = tuple(store.clip_ids[n] for n in np.flatnonzero(complete))
    left_out = {store.clip_ids[n]: store.statuses[n] for n in np.flatnonzero(~complete)}
    return PseudoLabels(clip_ids, store.class_names, labels[complete]), left_out


def write_label_folder(
    folder: Path, store: EvidenceStore, thresholds: Mapping[str, np.ndarray], *, temperature: float | None = None
) -> tuple[PseudoLabels, dict[str, str]]:
    """Write what `label_clips` gives, with its provenance.

    Args:
        folder: Gets `pseudo_labels.npz` and `labels.json`.
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role.
        temperature: As for `label_clips`.

    Returns:
        What `label_clips` gives.
    """
    labels, left_out = label_clips(store, thresholds, temperature=temperature)
    write_pseudo_labels(folder / FILE_NAME, labels.clip_ids, labels.class_names, labels.labels)
    provenance = {
        "store": store.manifest["fingerprint"],
        "teachers": {role: store.manifest["teachers"][role] for role in roles_of(thresholds)},
        "thresholds": {role: thresholds[role].tolist() for role in roles_of(thresholds)},
        **({} if temperature is None else {"soft": {"temperature": temperature}}),
        "random_weights": is_random(store.manifest),
        "left_out": left_out,
    }
    with replaced(folder / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
    return labels, left_out


def is_random(manifest: Mapping) -> bool:
    """Whether a teacher of this store had random weights, which makes its labels noise."""
    return any(identity.get("weights") == "random" for identity in manifest["teachers"].values())


def made_by_random_teachers(labels: Path) -> bool:
    """Whether labels say of themselves that a random teacher made them.

    Args:
        labels: Their folder, or a file in it. Without `labels.json` nothing is known against them.

    Raises:
        ValueError: `labels.json` is damaged.
    """
    path = (labels if labels.is_dir() else labels.parent) / PROVENANCE
    if not path.is_file():
        return False
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["random_weights"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected what `valor labels` wrote, got {error!r}; make the labels again") from error


def export_npy(folder: Path, store: EvidenceStore, labels: PseudoLabels) -> int:
    """Write the published per-clip layout: `{CLIP,CLAP}/segment_pseudo_labels/<id>.npy`, and features where held.

    Labels are int64 [T, C] of 0 and 1, features float32, as other projects' loaders expect them. Clips without complete
    evidence get no files, so that a loader stops rather than learns from zeros.

    Returns:
        How many files were written.

    Raises:
        ValueError: Two clips go by the same file name, or the labels are soft, for which there is no published layout.
    """
    refuse_soft(labels)
    names = Counter(media_id(clip_id) for clip_id in labels.clip_ids)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise ValueError(
            f"the published layout names a file by the first 11 characters of an LLP name, and {len(twice)} such names "
            f"stand for several clips, such as {twice[0]}; use {FILE_NAME}, which names clips in full"
        )
    written = 0
    row_of = {clip_id: row for row, clip_id in enumerate(store.clip_ids)}
    for m, modality in enumerate(MODALITIES):
        home = folder / PUBLISHED_FOLDERS[modality]
        features = store.arrays.get(PUBLISHED_FEATURES[modality])
        for clip_id, clip_labels in zip(labels.clip_ids, labels.labels, strict=True):
            name = f"{media_id(clip_id)}.npy"
            _save(home / "segment_pseudo_labels" / name, clip_labels[:, m].astype(np.int64))
            written += 1
            if features is not None:
                _save(home / "features" / name, features[row_of[clip_id]].astype(np.float32))
                written += 1
    return written


def refuse_soft(labels: PseudoLabels) -> None:
    """Refuse to write soft labels where other projects' loaders expect 0 and 1."""
    if labels.soft:
        raise ValueError(
            "the published layout holds labels of 0 and 1, got soft ones; export labels made without --soft"
        )


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
    classes: Breakdown
    """The labels class by class, counted in segments."""
    tags: np.ndarray
    """int64 [C, 2], clips tagged with each class, and those of them without a label of it in either modality."""


def label_quality(labels: PseudoLabels, split: Split) -> LabelQuality:
    """Compare labels with the dense truth of the clips of a split that have any.

    Args:
        labels: Labels of clips in any order; soft ones count as labels above 1/2.
        split: val or test, with its truth.

    Raises:
        ValueError: The split has no truth, other classes, or no clip with labels.
    """
    if split.truth is None or labels.class_names != split.class_names:
        raise ValueError(f"labels need a split of their classes with dense truth, got {split.name!r}; use val or test")
    row_of = {clip_id: row for row, clip_id in enumerate(labels.clip_ids)}
    kept = np.array([clip_id in row_of for clip_id in split.clip_ids])
    if not kept.any():
        raise ValueError(f"no clip of the split {split.name!r} has labels; harvest that split first")
    marked = labels.marked[[row_of[clip_id] for clip_id in split.clip_ids if clip_id in row_of]]
    truth, tagged = split.truth[kept], split.weak_labels[kept]
    hits, false_alarms, misses = np.moveaxis(segment_counts(marked, truth).sum(axis=(0, 2)), -1, 0)
    silent = tagged & ~marked.any(axis=(1, 2))
    return LabelQuality(
        scores=score(marked, truth),
        precision=_percent(hits, hits + false_alarms),
        recall=_percent(hits, hits + misses),
        unlabelled_tags=100 * silent.sum() / max(tagged.sum(), 1),
        classes=breakdown(marked, truth),
        tags=np.stack([tagged.sum(axis=0), silent.sum(axis=0)], axis=1),
    )


def _percent(part: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    shares = 100 * part / np.maximum(whole, 1)
    return dict(zip(MODALITIES, shares.tolist(), strict=True))
