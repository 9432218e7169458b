"""Evidence of a store -> pseudo labels: the thresholds of its teachers, the clips that get labels, who made them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.label_file import (
    FILE_NAME,
    LABEL_FACTS,
    UNDER_WAY,
    PseudoLabels,
    write_label_facts,
    write_pseudo_labels,
)
from valor.data.provenance import EXTRA, TUNED, told_by
from valor.data.thresholds import read_thresholds
from valor.data.vocabulary import LLP_CLASSES, PLAIN_AUDIO, PLAIN_VISUAL, EventClass
from valor.eval.events import MODALITIES
from valor.label_harvest.places.place import stands
from valor.label_harvest.pseudo_labels import judges_of, label_store
from valor.label_harvest.store.store import EvidenceStore

PUBLISHED_TEACHERS = {"visual": "clip", "audio": "clap"}
"""The teachers the thresholds of a vocabulary are for, by role, as a store names them."""


def thresholds_of(classes: tuple[EventClass, ...]) -> dict[str, np.ndarray]:
    """Label thresholds of a vocabulary: float64 [C] logits for `audio` and for `visual`, NaN where it has none."""
    return {
        "audio": np.array([event_class.audio_threshold for event_class in classes], float),
        "visual": np.array([event_class.visual_threshold for event_class in classes], float),
    }


def default_thresholds(store: EvidenceStore, classes: tuple[EventClass, ...]) -> dict[str, np.ndarray]:
    """The label thresholds that belong to the teachers of a store, see `thresholds_for`."""
    return thresholds_for(store.manifest, classes)


def thresholds_for(manifest: Mapping[str, Any], classes: tuple[EventClass, ...]) -> dict[str, np.ndarray]:
    """The label thresholds that belong to the teachers of a store, which may be of one modality alone.

    Those of the vocabulary were chosen for the logits of CLIP and CLAP and mean nothing for another teacher's; the
    demo's teachers come with their own. Of CLIP and CLAP, a class without one has the strictest published one.

    Args:
        manifest: Of the store.
        classes: Those of the store.

    Raises:
        ValueError: There are none for these teachers.
    """
    names = {role: manifest["teachers"][role]["teacher"] for role in judging_roles(manifest)}
    if not names:
        raise ValueError("the store holds features alone; labels need a teacher that judges: harvest with one")
    if names.items() <= PUBLISHED_TEACHERS.items():
        held = {role: thresholds for role, thresholds in thresholds_of(classes).items() if role in names}
        plain = {"visual": PLAIN_VISUAL, "audio": PLAIN_AUDIO}
        return {role: np.where(np.isnan(thresholds), plain[role], thresholds) for role, thresholds in held.items()}
    if all(name == f"demo-{role}" for role, name in names.items()) and classes == LLP_CLASSES:
        from valor.label_harvest.teachers.demo import WEIGHTS  # with torch, which other stores do without

        own = read_thresholds(WEIGHTS / "demo_thresholds.json", len(classes))
        return {role: thresholds for role, thresholds in own.items() if role in names}
    raise ValueError(
        f"there are no label thresholds for the teachers {', '.join(sorted(names.values()))} and these classes; "
        "`valor calibrate STORE --criterion tag-rate --out FILE` makes them of the tags; give them with thresholds=FILE"
    )


def judging_roles(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Roles of the teachers of a store that judge classes; feature extractors do not."""
    return tuple(role for role, identity in manifest["teachers"].items() if "logit_scale" in identity)


def complete_clips(store: EvidenceStore, roles: Iterable[str]) -> np.ndarray:
    """Which clips of a store have evidence of these teachers in every segment: bool [N]."""
    known = [np.isfinite(store.arrays[f"{role}.similarity"]).all(axis=2) for role in roles]
    if store.valid is not None and store.segments is not None:
        known = [there | ~store.valid for there in known] + [store.segments[:, None] > 0]
    complete: np.ndarray = np.all([there.all(axis=1) for there in known], axis=0)
    return complete


def label_clips(
    store: EvidenceStore, thresholds: Mapping[str, np.ndarray], *, temperature: float | None = None
) -> tuple[PseudoLabels, dict[str, str]]:
    """Apply thresholds and tags to the clips whose evidence is complete.

    A clip that could not be decoded, lacks the sound or the picture a teacher needs, or whose picture ends early gets
    no labels at all: zeros would teach that nothing happens in it.

    Args:
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, see `valor.label_harvest.pseudo_labels.label_store`.
        temperature: Of soft labels, in logits; None for hard ones.

    Returns:
        The labels of the complete clips, and the status of each clip that was left out.

    Raises:
        ValueError: The thresholds do not fit the store, or no clip is complete.
    """
    judges = judges_of(thresholds, store.roles)
    labels = label_store(store, thresholds, temperature=temperature)
    roles = tuple(dict.fromkeys(judges.values()))
    complete = complete_clips(store, roles)
    if not complete.any():
        raise ValueError(f"none of the {len(complete)} clips of the store has evidence of {' and '.join(roles)}")
    clip_ids = tuple(store.clip_ids[n] for n in np.flatnonzero(complete))
    left_out = {store.clip_ids[n]: store.statuses[n] for n in np.flatnonzero(~complete)}
    absent = tuple(modality for modality in MODALITIES if modality not in judges)
    segments = None if store.segments is None else store.segments[complete]
    labels = labels[complete] if segments is None else labels[complete, : segments.max()]
    return PseudoLabels(clip_ids, store.class_names, labels, absent, segments), left_out


def write_label_folder(
    folder: Path,
    store: EvidenceStore,
    thresholds: Mapping[str, np.ndarray],
    *,
    temperature: float | None = None,
    tuned: Sequence[str] | None = None,
) -> tuple[PseudoLabels, dict[str, str]]:
    """Write what `label_clips` gives, with its provenance.

    Args:
        folder: Gets `pseudo_labels.npz` and `labels.json`.
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role.
        temperature: As for `label_clips`.
        tuned: What was chosen on the truth of val, such as `label cuts`; None where nobody knows.

    Returns:
        What `label_clips` gives.
    """
    labels, left_out = label_clips(store, thresholds, temperature=temperature)
    facts = provenance_of(store.manifest, thresholds, left_out, temperature=temperature)
    facts |= {} if tuned is None else {TUNED: list(tuned)}
    write_label_facts(folder, facts | {UNDER_WAY: True})
    write_labels(folder, labels)
    write_label_facts(folder, facts)
    return labels, left_out


def write_labels(folder: Path, labels: PseudoLabels) -> None:
    """Write the label file of a folder; it belongs to the `labels.json` that is there, if one is."""
    write_pseudo_labels(
        folder / FILE_NAME,
        labels.clip_ids,
        labels.class_names,
        labels.labels,
        absent=labels.absent,
        segments=labels.segments,
        described=stands(folder / LABEL_FACTS),
    )


def _extra_data(manifest: Mapping[str, Any], roles: Iterable[str]) -> list[str]:
    """The labelled data that teachers were trained on, where they say so."""
    told = (manifest["teachers"][role].get(EXTRA) for role in roles)
    return list(dict.fromkeys(str(data) for data in told if data))


def provenance_of(
    manifest: Mapping[str, Any],
    thresholds: Mapping[str, np.ndarray],
    left_out: Mapping[str, str],
    *,
    temperature: float | None = None,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `labels.json` says of labels.

    Args:
        manifest: Of the store.
        thresholds: float [C] by role, as for `label_clips`.
        left_out: Status of each clip without labels.
        temperature: Of soft labels.
        origin: Where the thresholds are from, such as `threshold_origin` gives.
    """
    judges = judges_of(thresholds, manifest["teachers"])
    roles = tuple(dict.fromkeys(judges.values()))
    absent = [modality for modality in MODALITIES if modality not in judges]
    return {
        "store": manifest["fingerprint"],
        "teachers": {role: manifest["teachers"][role] for role in roles},
        "thresholds": {role: thresholds[role].tolist() for role in roles},
        **({} if origin is None else {"thresholds_from": dict(origin)}),
        **({} if temperature is None else {"soft": {"temperature": temperature}}),
        **({"absent": absent} if absent else {}),
        **({EXTRA: extra} if (extra := _extra_data(manifest, roles)) else {}),
        **told_by(manifest).flags,
        "random_weights": told_by(manifest).random_teachers,
        "left_out": dict(left_out),
    }
