"""What knows nothing, or only what is in a clip and not when: scored beside a system, on the same clips."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.eval.accuracy import clip_classes
from valor.eval.detection import Detections, on_segments
from valor.eval.events import BoolArray
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import Scores, nothing_predicted, score, tags_copied
from valor.label_harvest.agreement import first_agreement
from valor.label_harvest.store.store import EvidenceStore, read_store, store_manifest

from .datasets.unav import ceiling_detections
from .tables import Split

OWN_CLASS = "its own class copied"
"""The anchor that is of one system."""
ZERO_SHOT = "zero-shot class copied"
"""The anchor that needs the evidence of teachers."""
ZERO_SHOT_SECONDS = "zero-shot by second"
"""What the evidence of teachers alone says of each second, where classes are unseen in training."""
OTHER = "other"
"""A further class of evidence that stands for everything else: OV-AVEL's text of background."""

Classes = npt.NDArray[np.int64]
"""int64 [N], one class for each clip."""


@dataclass(frozen=True)
class ZeroShot:
    """What teachers say of clips without a tag and without training."""

    classes: Mapping[str, int] = field(default_factory=dict)
    """The likeliest class by clip, see `zero_shot_classes`."""
    seconds: Mapping[str, BoolArray] = field(default_factory=dict)
    """bool [T, C] by clip, see `zero_shot_seconds`."""

    def on(self, clip_ids: tuple[str, ...]) -> tuple[Classes | None, BoolArray | None]:
        """Classes and marks [N, T, C] in the order of clips; None where one is not known."""
        complete = bool(clip_ids) and all(clip_id in self.seconds for clip_id in clip_ids)
        marks = np.stack([self.seconds[clip_id] for clip_id in clip_ids]) if complete else None
        return known_classes(self.classes, clip_ids), marks


def anchor_scores(
    judged: Judged, split: Split, *, zero_shot: Classes | None = None, by_second: BoolArray | None = None
) -> dict[str, Scores]:
    """Score what knows nothing of when.

    Args:
        judged: A system on the clips that are scored.
        split: What it is scored on. Where its data set has metrics of its own, the class most clips have, the one class
            that the system itself holds most likely, and that of the teachers, each copied to all segments, stand there
            too.
        zero_shot: The class that the teachers hold most likely, of each clip that is scored; None where nobody knows.
        by_second: bool [N, T, C], what they say of each second; None where nobody knows.

    Returns:
        Scores with figures by name: nothing predicted, tags copied, and so on.
    """
    length, classes = judged.truth.shape[1], judged.truth.shape[3]
    marks = {
        "nothing predicted": nothing_predicted(judged.truth),
        "tags copied": tags_copied(
            judged.weak_labels if judged.modality_tags is None else judged.modality_tags, length
        ),
    }
    if split.metrics:
        one_each = np.eye(classes, dtype=np.bool_)
        commonest = np.full(len(judged.truth), judged.weak_labels.sum(axis=0).argmax())
        marks["commonest class copied"] = tags_copied(one_each[commonest], length)
        if zero_shot is not None:
            marks[ZERO_SHOT] = tags_copied(one_each[zero_shot], length)
        if by_second is not None and by_second.shape == judged.truth[:, :, 0].shape:
            marks[ZERO_SHOT_SECONDS] = np.repeat(by_second[:, :, np.newaxis], judged.truth.shape[2], axis=2)
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
    held = replace(judged, predicted=marked, segment_probs=None, clip_probs=None, modality_probs=None)
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
    evidence, roles = _evidence(folder)
    if evidence is None or evidence.class_names != split.class_names:
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


def _evidence(folder: Path) -> tuple[EvidenceStore | None, list[str]]:
    """The similarities in the store of a data folder, and the teachers that judge; None where there is none."""
    store = folder / "store"
    if not store.is_dir():
        return None, []
    try:
        teachers = store_manifest(store)["teachers"]
        roles = [role for role in ("audio", "visual") if role in teachers] or ["fused"] * ("fused" in teachers)
        evidence = read_store(store, names=[f"{role}.similarity" for role in roles])
    except (ValueError, OSError):  # whoever needs the store says what is wrong with it
        return None, []
    return (evidence if roles else None), roles


def zero_shot_seconds(folder: Path, split: Split) -> Mapping[str, BoolArray]:
    """What the teachers say of each second, as OV-AVEL decides without training: see `first_agreement`.

    Where evidence of the sound or the picture is missing they do not agree. A store may have one class more than the
    data set, called `other`, for all that is none of them.

    Args:
        folder: A data folder; its evidence lies in `store/`.
        split: The clips.

    Returns:
        bool [T, C] by clip, for those clips that have evidence of both teachers; nothing where there is none of both.
    """
    evidence, roles = _evidence(folder)
    if (
        evidence is None
        or len(roles) < 2
        or evidence.class_names
        not in (
            split.class_names,
            (*split.class_names, OTHER),
        )
    ):
        return {}
    audio, visual = (np.array(evidence.logits(role)) for role in roles)  # [N, T, C]
    unknown = np.isnan(audio).any(axis=-1) | np.isnan(visual).any(axis=-1)
    both = np.eye(audio.shape[-1], dtype=audio.dtype)[:2]  # of two classes, so that they disagree
    audio[unknown], visual[unknown] = both
    count = len(split.class_names)
    agreed, classes = first_agreement(audio, visual, count if len(evidence.class_names) > count else None)
    marks = (agreed & (classes < count)[:, np.newaxis])[..., np.newaxis] & (np.arange(count) == classes[:, np.newaxis])[
        :, np.newaxis
    ]
    wanted = set(split.clip_ids)
    found = zip(evidence.clip_ids, marks, (~unknown).any(axis=1), strict=True)
    return {clip_id: of for clip_id, of, told in found if clip_id in wanted and told}


def zero_shot_of(folder: Path, split: Split) -> ZeroShot:
    """What the teachers say of the clips of a split: the likeliest class, and of unseen classes each second too."""
    return ZeroShot(zero_shot_classes(folder, split), zero_shot_seconds(folder, split) if split.unseen else {})


def known_classes(found: Mapping[str, int], clip_ids: tuple[str, ...]) -> Classes | None:
    """Classes in the order of clips; None where one is not known."""
    if not all(clip_id in found for clip_id in clip_ids):
        return None
    return np.array([found[clip_id] for clip_id in clip_ids], dtype=np.int64)
