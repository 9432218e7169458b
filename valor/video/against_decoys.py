"""Parsing without training that says when it does not know: classes compete with captions of nothing in particular.

No threshold on a cosine is needed, and no label: `valor.label_harvest.decoys` says how probabilities are made of what
the teachers say of the classes and of the decoys. They are made once all media was judged, since how high cosines lie
is a matter of the whole of it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.parse_evidence import ParseEvidence
from valor.data.parse_file import FloatArray
from valor.data.zero_shot_file import (
    Curve,
    ZeroShotCalibration,
    calibration_origin,
    read_decoys,
    read_zero_shot,
)
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES
from valor.label_harvest.decoys import (
    COLUMNS,
    THRESHOLD,
    Standing,
    check_decoys,
    decoys_beside,
    evidence,
    leaned,
    standing_of,
    summarised,
)
from valor.label_harvest.drawn import DRAWN, drawn_clips
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.cuts import Shot
from valor.label_harvest.media.windows import WindowPlace
from valor.label_harvest.teachers.teacher import Evidence, Prompts, Teacher, all_captions, similarity_of

from .recalled import RecalledTeacher
from .trained import Evidences, Settled, WindowProbs, brief_identity

_LOG = logging.getLogger(__name__)

DEFAULT_RULE = PostProcessing(gate="none", segment_threshold=THRESHOLD)


@dataclass(frozen=True, eq=False, kw_only=True)
class DecoySystem:
    """Teachers alone, each asked about the classes and then about its decoys; see `SettlingSystem`."""

    class_names: tuple[str, ...]
    teachers: tuple[Teacher, ...]
    """Listens, looks; their prompts are those of the classes and then the decoys."""
    grid: Grid
    decoys: Mapping[str, tuple[str, ...]]
    """By modality."""
    calibration: ZeroShotCalibration | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where the calibration is from, see `calibration_origin`."""

    @property
    def default_rule(self) -> PostProcessing:
        """See `ParsingSystem.default_rule`."""
        held = self.calibration
        return DEFAULT_RULE if held is None else PostProcessing(gate="none", segment_threshold=held.threshold)

    @property
    def columns(self) -> int:
        """Similarities of the classes, and what is kept of those of the decoys."""
        return len(self.class_names) + COLUMNS

    def describe(self) -> dict[str, Any]:
        """See `ParsingSystem.describe`."""
        count = len(self.class_names)
        return {
            "run": None,
            "checkpoint": None,
            "recipe": None,
            "teachers": {teacher.role: brief_identity(teacher) for teacher in self.teachers},
            "prompts": {teacher.role: list(_prompts(teacher))[:count] for teacher in self.teachers},
            "decoys": {role: list(decoys) for role, decoys in self.decoys.items()},
            "calibration": dict(self.origin) or None,
            "zero_shot": True,
        }

    def judge(self, windows: Sequence[WindowPlace], evidence: Evidences) -> WindowProbs:
        """Similarities, see `columns`, which become probabilities once all media was judged."""
        shape = (len(windows), self.grid.num_segments, len(MODALITIES), self.columns)
        found = np.full(shape, np.nan, np.float32)
        for teacher in self.teachers:
            for row, answer in enumerate(evidence[teacher.role]):
                if answer is not None:
                    found[row, :, MODALITIES.index(teacher.role)] = self._columns(teacher, answer)
        return WindowProbs(found)

    def settle(self, merged: FloatArray, shots: Sequence[Shot]) -> Settled:
        """See `SettlingSystem.settle`."""
        count, seconds = len(self.class_names), self.grid.segment_seconds
        similarity, decoy = merged[:, :, :count], merged[:, :, count]
        probs, background = np.full(similarity.shape, np.nan, np.float32), np.full(decoy.shape, np.nan, np.float32)
        own: dict[str, Standing] = {}
        for m, role in enumerate(MODALITIES):
            if not np.isfinite(decoy[:, m]).any():
                continue
            own[role] = standing_of(merged[:, m, count:], seconds)
            held = self.calibration if self.calibration and role in self.calibration.standing else None
            standing = leaned(own[role], self.drawn[role], role) if held is None else held.standing[role]
            found = evidence(similarity[:, m], decoy[:, m], standing, seconds, shots)
            curve = Curve() if held is None else held.curves[role]
            probs[:, m], background[:, m] = curve.probabilities(found)
        return Settled(probs, background, ParseEvidence(similarity=similarity, decoy=decoy, standing=own))

    @cached_property
    def drawn(self) -> dict[str, Standing]:
        """By modality, the standing of pictures and sounds of nothing."""
        seconds, count = self.grid.segment_seconds, len(self.class_names)
        clips, found = drawn_clips(seconds, self.grid.sample_rate), {}
        for teacher in self.teachers:
            if isinstance(teacher, RecalledTeacher):
                answers = teacher.encode_once(DRAWN, clips)
            else:
                answers = teacher.encode_many(clips)
            columns = [self._columns(teacher, answer)[:, count:] for answer in answers]
            found[teacher.role] = standing_of(np.concatenate(columns), seconds)
        return found

    def _columns(self, teacher: Teacher, answer: Evidence) -> np.ndarray:
        """float32 [T, columns] of what a teacher says."""
        count = len(self.class_names)
        said = similarity_of(teacher, answer)
        return np.concatenate([said[:, :count], summarised(said[:, count:])], axis=1)


def _prompts(teacher: Teacher) -> list[Any]:
    held = teacher.identity()["prompts"]
    assert isinstance(held, list)  # of a teacher that judges
    return held


def chosen_decoys(
    given: Path | str | None,
    calibration: ZeroShotCalibration | None,
    taken: Mapping[str, Prompts],
    names: Sequence[str],
) -> dict[str, tuple[str, ...]]:
    """The decoys of each modality: those of a file, of a calibration, or ours but for those that name a class.

    Args:
        given: A file of decoys, or None.
        calibration: How parses are decided, or None.
        taken: By modality, the captions of the classes.
        names: Of the classes.

    Raises:
        ValueError: A file is none, has too few, or one that is a class; or too few of ours name none.
    """
    if given is not None:
        found = read_decoys(given)
        for role, decoys in found.items():
            check_decoys(decoys, [*names, *all_captions(taken[role])], f"{given}: {role}")
        return found
    if calibration is not None:
        return {role: tuple(calibration.decoys[role]) for role in MODALITIES}
    return {role: decoys_beside(role, names, all_captions(taken[role])) for role in MODALITIES}


def calibrated(path: Path, system: DecoySystem) -> DecoySystem:
    """A system that decides by a calibration.

    Raises:
        ValueError: The file is none, or is of another system.
    """
    calibration = read_zero_shot(path).of_classes(str(path), system.class_names)
    calibration.refuse_another(str(path), system.describe())
    if missing := [role for role in MODALITIES if role not in calibration.standing]:
        _LOG.warning(
            "%s: was calibrated on parses without %s, which is decided as without a calibration", path, missing[0]
        )
    return DecoySystem(
        class_names=system.class_names,
        teachers=system.teachers,
        grid=system.grid,
        decoys=system.decoys,
        calibration=calibration,
        origin=calibration_origin(path, calibration),
    )
