"""The labels an ablation compares, from what teachers say and from tags; each is one line of SOURCES."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from valor.files import replaced
from valor.labelling import PROVENANCE
from valor.labels_file import FILE_NAME, write_pseudo_labels

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.floating]

VISUAL_SMOOTHING = 0.1
"""How far HAN moves visual tags towards 1/2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelEvidence:
    """What is known about the training clips besides their features."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    tags: BoolArray
    """bool [N, C]."""
    hard: Mapping[str, BoolArray]
    """bool [N, T, C], what each teacher labels, by role: audio, visual and perhaps fused."""
    soft: Mapping[str, FloatArray] = field(default_factory=dict)
    """float [N, T, C] in 0..1, the same before the threshold, where the evidence is there."""
    random_weights: bool = False
    """Whether a teacher had random weights, so that its labels are noise."""

    @property
    def copied(self) -> BoolArray:
        """The tags in every segment, bool [N, T, C]."""
        segments = next(iter(self.hard.values())).shape[1]
        return np.repeat(self.tags[:, None], segments, axis=1)


@dataclass(frozen=True)
class LabelSource:
    """One way to make labels float or bool [N, T, M, C]."""

    make: Callable[[LabelEvidence], tuple[npt.NDArray, npt.NDArray]]
    """Labels of audio and of visual, [N, T, C] each."""
    teachers: tuple[str, ...] = ()
    """Roles it needs."""
    soft: bool = False
    """Whether it needs what they say before the threshold."""

    def lacks(self, evidence: LabelEvidence) -> tuple[str, ...]:
        """Teachers it needs and has not."""
        return tuple(role for role in self.teachers if role not in (evidence.soft if self.soft else evidence.hard))


def _anywhere(labels: BoolArray) -> BoolArray:
    """Labels [N, T, C] of a teacher that only says whether something happens in a clip."""
    return np.broadcast_to(labels.any(axis=1, keepdims=True), labels.shape)


def _smoothed(labels: BoolArray) -> FloatArray:
    return (1 - VISUAL_SMOOTHING) * labels.astype(np.float32) + np.float32(VISUAL_SMOOTHING / 2)


_BOTH = ("audio", "visual")

SOURCES: dict[str, LabelSource] = {
    "segments": LabelSource(lambda e: (e.hard["audio"], e.hard["visual"]), _BOTH),
    "clips": LabelSource(lambda e: (_anywhere(e.hard["audio"]), _anywhere(e.hard["visual"])), _BOTH),
    "tags": LabelSource(lambda e: (e.copied, e.copied)),
    "tags smoothed": LabelSource(lambda e: (e.copied.astype(np.float32), _smoothed(e.copied))),
    "fused": LabelSource(lambda e: (e.hard["fused"], e.hard["fused"]), ("fused",)),
    "audio alone": LabelSource(lambda e: (e.hard["audio"], e.copied), ("audio",)),
    "visual alone": LabelSource(lambda e: (e.copied, e.hard["visual"]), ("visual",)),
    "audio for both": LabelSource(lambda e: (e.hard["audio"], e.hard["audio"]), ("audio",)),
    "visual for both": LabelSource(lambda e: (e.hard["visual"], e.hard["visual"]), ("visual",)),
    "soft": LabelSource(lambda e: (e.soft["audio"], e.soft["visual"]), _BOTH, soft=True),
}
"""The sources of labels by name."""


def make_labels(name: str, evidence: LabelEvidence) -> npt.NDArray:
    """Labels of the training clips.

    Args:
        name: A key of SOURCES.
        evidence: What they are made from.

    Returns:
        bool [N, T, M, C], or float32 in 0..1.

    Raises:
        ValueError: There is no such source, or it needs a teacher that is not there.
    """
    if name not in SOURCES:
        raise ValueError(f"labels come from one of {', '.join(SOURCES)}, got {name!r}")
    lacking = SOURCES[name].lacks(evidence)
    if lacking:
        kind = "scores" if SOURCES[name].soft else "labels"
        raise ValueError(f"the label source {name!r} needs the {kind} of the teachers {', '.join(lacking)}, not here")
    return np.stack(SOURCES[name].make(evidence), axis=2)


def write_label_source(folder: Path, name: str, evidence: LabelEvidence) -> Path:
    """Write the labels of a source into a label folder, with what they are; returns the folder."""
    labels = make_labels(name, evidence)
    provenance = {"source": name, "random_weights": evidence.random_weights, "left_out": {}}
    with replaced(folder / PROVENANCE) as temporary:
        temporary.write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
    write_pseudo_labels(folder / FILE_NAME, evidence.clip_ids, evidence.class_names, labels)
    return folder
