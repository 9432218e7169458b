"""What knows nothing, or only what is in a clip and not when: scored beside a system, on the same clips."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.eval.accuracy import clip_classes
from valor.eval.detection import Detections, on_segments
from valor.eval.events import BoolArray
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import Scores, nothing_predicted, score, tags_copied
from valor.label_harvest.store.store import read_store, store_manifest

from .datasets.unav import ceiling_detections
from .tables import Split

OWN_CLASS = "its own class copied"
"""The anchor that is of one system."""
ZERO_SHOT = "zero-shot class copied"
"""The anchor that needs the evidence of teachers."""

Classes = npt.NDArray[np.int64]
"""int64 [N], one class for each clip."""


def anchor_scores(judged: Judged, split: Split, *, zero_shot: Classes | None = None) -> dict[str, Scores]:
    """Score what knows nothing of when.

    Args:
        judged: A system on the clips that are scored.
        split: What it is scored on. Where its data set has metrics of its own, the class most clips have, the one class
            that the system itself holds most likely, and that of the teachers, each copied to all segments, stand there
            too.
        zero_shot: The class that the teachers hold most likely, of each clip that is scored; None where nobody knows.

    Returns:
        Scores with figures by name: nothing predicted, tags copied, and so on.
    """
    length, classes = judged.truth.shape[1], judged.truth.shape[3]
    marks = {
        "nothing predicted": nothing_predicted(judged.truth),
        "tags copied": tags_copied(judged.weak_labels, length),
    }
    if split.metrics:
        one_each = np.eye(classes, dtype=np.bool_)
        commonest = np.full(len(judged.truth), judged.weak_labels.sum(axis=0).argmax())
        marks["commonest class copied"] = tags_copied(one_each[commonest], length)
        if zero_shot is not None:
            marks[ZERO_SHOT] = tags_copied(one_each[zero_shot], length)
        if judged.clip_probs is not None or judged.segment_probs is not None:
            marks[OWN_CLASS] = tags_copied(one_each[clip_classes(judged)], length)
    return {name: _scored(marked, judged, split) for name, marked in marks.items()}


def event_anchors(judged: Judged, split: Split) -> dict[str, Scores]:
    """Score what says little or nothing of when, where the truth is in seconds: see `unav.ceiling_detections`.

    Args:
        judged: A system on the clips that are scored, with their truth in seconds.
        split: What it is scored on.
    """
    assert judged.events is not None and judged.clip_seconds is not None  # asked by whoever calls
    found = ceiling_detections(judged.events, judged.clip_seconds, judged.segment_seconds)
    return {name: _scored(_marked(of, judged), replace(judged, detections=of), split) for name, of in found.items()}


def _marked(found: Detections, judged: Judged) -> BoolArray:
    """The segments that detections touch, in both modalities."""
    clips, segments, modalities, classes = judged.truth.shape
    sure = replace(found, score=np.ones(len(found)))
    marks = on_segments(sure, (clips, segments, classes), judged.segment_seconds) > 0
    return np.repeat(marks[:, :, np.newaxis], modalities, axis=2)


def _scored(marked: BoolArray, judged: Judged, split: Split) -> Scores:
    if judged.valid is not None:
        marked = marked & judged.valid[:, :, np.newaxis, np.newaxis]
    held = replace(judged, predicted=marked, segment_probs=None, clip_probs=None)
    scores = score(marked, judged.truth, valid=judged.valid)
    return replace(scores, figures=figures_of(held, split.metrics))


def zero_shot_classes(folder: Path, split: Split) -> Mapping[str, int]:
    """The class that the teachers hold most likely in each clip: no tag, no training.

    Of each teacher, the mean over segments of the probabilities (softmax over classes) of its logits; of both, their
    mean.

    Args:
        folder: A data folder; its evidence lies in `store/`.
        split: The clips.

    Returns:
        Class by clip, for those clips that have evidence; nothing where there is no store, or one of other classes.
    """
    store = folder / "store"
    if not store.is_dir():
        return {}
    try:
        teachers = store_manifest(store)["teachers"]
        roles = [role for role in ("audio", "visual") if role in teachers] or ["fused"] * ("fused" in teachers)
        evidence = read_store(store, names=[f"{role}.similarity" for role in roles])
    except (ValueError, OSError):  # whoever needs the store says what is wrong with it
        return {}
    if not roles or evidence.class_names != split.class_names:
        return {}
    means = []
    for role in roles:
        logits = evidence.logits(role).astype(np.float64)  # [N, T, C]
        known = ~np.isnan(logits).any(axis=-1, keepdims=True)
        raised = np.where(known, np.exp(np.nan_to_num(logits - logits.max(axis=-1, keepdims=True))), 0)
        probs = raised / np.maximum(raised.sum(axis=-1, keepdims=True), 1e-300)
        means.append(probs.sum(axis=1) / np.maximum(known.sum(axis=1), 1))  # [N, C]
    together = np.sum(means, axis=0)
    wanted = set(split.clip_ids)
    return {
        clip_id: int(row.argmax())
        for clip_id, row in zip(evidence.clip_ids, together, strict=True)
        if clip_id in wanted and row.any()
    }


def known_classes(found: Mapping[str, int], clip_ids: tuple[str, ...]) -> Classes | None:
    """Classes in the order of clips; None where one is not known."""
    if not all(clip_id in found for clip_id in clip_ids):
        return None
    return np.array([found[clip_id] for clip_id in clip_ids], dtype=np.int64)
