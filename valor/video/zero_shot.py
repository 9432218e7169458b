"""Parsing without training: two frozen teachers look for any classes a person names.

The probability of a class in a segment is sigmoid((logit - threshold) / temperature), as for soft pseudo labels, so it
reaches 1/2 where the logit reaches the threshold of the class. Logits are scale * cosine + bias of the teacher.

Thresholds are those of a vocabulary file or of `valor calibrate`. Classes that are only named, and those
of LLP, get the default of their teacher: thresholds of pseudo labels may be bold, since the tags of a clip rule most
classes out, and here nothing does. The default is 0 for teachers trained with a sigmoid, whose logits have a bias and
say 1/2 there, and for CLIP and CLAP the strictest threshold of the published label generator. On the demo world, 0
gives segment-level F of 59 (heard) and 50 (seen), the thresholds of its pseudo labels 13 and 18, and the trained parser
78 and 76. Defaults are a start; a calibrated threshold fits its class.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.names import split_names
from valor.data.thresholds import read_thresholds
from valor.data.vocabulary import (
    PLAIN_AUDIO,
    PLAIN_VISUAL,
    VOCABULARIES,
    EventClass,
    class_names,
    is_file,
    named_classes,
    read_vocabulary,
)
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.windows import WindowPlace
from valor.label_harvest.pseudo_labels import pseudo_probs
from valor.label_harvest.teachers.build import TeacherOptions, role_of
from valor.label_harvest.teachers.teacher import Teacher, similarity_of
from valor.teachers import captions_for, refuse_short_segments

from .options import DEFAULT_TEACHERS
from .recalled import recalled_teacher
from .trained import Evidences, WindowProbs, brief_identity

DEFAULT_THRESHOLDS = {"clip": PLAIN_VISUAL, "clap": PLAIN_AUDIO}
"""Logits, by what a store calls the teacher."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ZeroShotSystem:
    """Teachers alone; see `valor.video.trained.ParsingSystem`."""

    class_names: tuple[str, ...]
    teachers: tuple[Teacher, ...]
    grid: Grid
    thresholds: Mapping[str, np.ndarray]
    """float64 [C] logits, by role."""
    temperature: float = 1.0
    """In logits: how gradually probabilities change around a threshold."""
    default_rule: PostProcessing = PostProcessing(gate="none")

    def describe(self) -> dict[str, Any]:
        """See `ParsingSystem.describe`."""
        captions = {teacher.role: teacher.identity()["prompts"] for teacher in self.teachers}
        digest = hashlib.sha256(repr((self.class_names, captions)).encode()).hexdigest()
        return {
            "run": None,
            "checkpoint": None,
            "recipe": None,
            "teachers": {teacher.role: brief_identity(teacher) for teacher in self.teachers},
            "prompts": captions,
            "vocabulary": digest,
            "label_thresholds": {role: values.tolist() for role, values in self.thresholds.items()},
            "temperature": self.temperature,
            "zero_shot": True,
        }

    def judge(self, windows: Sequence[WindowPlace], evidence: Evidences) -> WindowProbs:
        """See `ParsingSystem.judge`; there are no probabilities of whole windows."""
        shape = (len(windows), self.grid.num_segments, len(MODALITIES), len(self.class_names))
        segment = np.full(shape, np.nan, np.float32)
        every = np.ones(len(self.class_names), bool)
        for teacher in self.teachers:
            modality = MODALITIES.index(teacher.role)
            identity = teacher.identity()
            for row, answer in enumerate(evidence[teacher.role]):
                if answer is not None:
                    logits = _logits(similarity_of(teacher, answer), identity)
                    limits = self.thresholds[teacher.role]
                    segment[row, :, modality] = pseudo_probs(logits, every, limits, temperature=self.temperature)
        return WindowProbs(segment)


def load_zero_shot(
    names: str | Sequence[str],
    *,
    teachers: Mapping[str, str] | None = None,
    teacher_checkpoints: Mapping[str, str] | None = None,
    thresholds: Path | None = None,
    temperature: float = 1.0,
    window: int | None = None,
    segment_seconds: float = 1.0,
    evidence: Path | None = None,
) -> ZeroShotSystem:
    """Load the teachers for some classes.

    Args:
        names: Names of classes, as one text with commas or as several; or a vocabulary by its name or file.
        teachers: By role (audio, visual), the name of a teacher; those that are not named are the published ones.
        teacher_checkpoints: By role, a local weight file.
        thresholds: Label thresholds as `valor calibrate` writes them; None for the vocabulary's, or the defaults.
        temperature: In logits.
        window: Segments that are judged together, a matter of speed; None for ten seconds of them.
        segment_seconds: Length of a segment.
        evidence: Folder of what is kept of earlier parses, see `load_system`.

    Raises:
        ValueError: No class, one twice, a teacher that does not look or listen, one without default thresholds, or one
            that the segments are too short for.
        TeacherUnavailableError: The weights of a teacher are neither here nor to be fetched.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be a positive number of logits, got {temperature}")
    classes, own = read_classes(names)
    chosen = {**DEFAULT_TEACHERS, **(teachers or {})}
    for role in MODALITIES:
        refuse_short_segments(chosen[role], segment_seconds, (teacher_checkpoints or {}).get(role))
    grid = (
        Grid().of_segments(segment_seconds)
        if window is None
        else Grid(num_segments=window, segment_seconds=segment_seconds)
    )
    built = tuple(
        recalled_teacher(
            chosen[role],
            captions_for(chosen[role], classes, role),
            checkpoint=(teacher_checkpoints or {}).get(role),
            options=_options(chosen[role]),
            evidence=evidence,
        )
        for role in MODALITIES
    )
    for role, teacher in zip(MODALITIES, built, strict=True):
        if teacher.role != role:
            raise ValueError(f"{chosen[role]} is no {role} teacher but a {teacher.role} one")
    limits = read_thresholds(thresholds, len(classes)) if thresholds else _thresholds(classes, built, own=own)
    if not set(MODALITIES) <= set(limits):
        raise ValueError(f"{thresholds}: expected thresholds for audio and visual, got {', '.join(limits)}")
    rates = {teacher.sample_rate for teacher in built if teacher.sample_rate is not None}
    return ZeroShotSystem(
        class_names=class_names(classes),
        teachers=built,
        grid=replace(grid, sample_rate=rates.pop() if rates else Grid.sample_rate),
        thresholds={role: limits[role] for role in MODALITIES},
        temperature=temperature,
    )


def _options(name: str) -> TeacherOptions:
    """Without maps of whole windows, which nothing here looks at."""
    if name.startswith("demo-") or role_of(name) != "audio":
        return TeacherOptions()
    from valor.label_harvest.teachers.clap import MapOptions

    return TeacherOptions(maps=MapOptions(raw=False))


def read_classes(names: str | Sequence[str]) -> tuple[tuple[EventClass, ...], bool]:
    """(classes, whether their thresholds are meant for this): a vocabulary, or classes made of mere names.

    Raises:
        ValueError: No class, or one twice.

    >>> [entry.audio_prompt for entry in read_classes("Dog, glass_breaking")[0]]
    ['This is a sound of dog', 'This is a sound of glass breaking']
    """
    if isinstance(names, str) and (names in VOCABULARIES or is_file(names)):
        return read_vocabulary(names), names not in VOCABULARIES
    given = split_names(names) if isinstance(names, str) else list(names)
    wanted = [name.strip() for name in given if name.strip()]
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"name at least one class to look for, and none twice, got {wanted or 'none'}")
    return named_classes(wanted), False


def _thresholds(classes: tuple[EventClass, ...], teachers: Sequence[Teacher], *, own: bool) -> dict[str, np.ndarray]:
    """Thresholds of a vocabulary, and where it has none the defaults of the teachers."""
    limits = {}
    for teacher in teachers:
        known = [getattr(entry, f"{teacher.role}_threshold") if own else None for entry in classes]
        identity = teacher.identity()
        limit = 0.0 if identity["logit_bias"] else DEFAULT_THRESHOLDS.get(str(identity["teacher"]))
        if limit is None and None in known:
            raise ValueError(
                f"there is no default threshold for the teacher {identity['teacher']}; give one for each class in a "
                "vocabulary file or with thresholds=FILE, which `valor calibrate` can make"
            )
        limits[teacher.role] = np.array([limit if threshold is None else threshold for threshold in known])
    return limits


def _logits(similarity: np.ndarray, identity: Mapping[str, Any]) -> np.ndarray:
    """float32 [T, C], as a store computes them."""
    scale, bias = np.float32(identity["logit_scale"]), np.float32(identity["logit_bias"])
    logits: np.ndarray = scale * similarity + bias
    return logits
