"""Parsing without training: two frozen teachers look for any classes a person names.

Unless thresholds are given, classes compete with decoys (`against_decoys.py`), which asks for no threshold. Where there
are some, of a vocabulary file or of `valor calibrate` on a store, or `decoys` is none, the probability of a class in a
segment is sigmoid((logit - threshold) / temperature), as for soft pseudo labels: 1/2 where the logit reaches the
threshold of the class. Logits are scale * cosine + bias of the teacher.

With `decoys` none, classes without a threshold, and those of LLP, get the default of their teacher: thresholds of
pseudo labels may be bold, since the tags of a clip rule most classes out, and here nothing does. The default is 0 for
teachers trained with a sigmoid, whose logits have a bias and say 1/2 there, and for CLIP and CLAP the strictest
threshold of the published label generator.
"""

import hashlib
import logging
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
from valor.data.zero_shot_file import is_zero_shot_file, read_zero_shot
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.windows import WindowPlace
from valor.label_harvest.pseudo_labels import pseudo_probs
from valor.label_harvest.teachers.build import TeacherOptions, role_of
from valor.label_harvest.teachers.hub import absent_weights, prepare_to_fetch
from valor.label_harvest.teachers.teacher import Prompts, Teacher, similarity_of
from valor.teachers import captions_for, refuse_short_segments

from .against_decoys import DecoySystem, calibrated, chosen_decoys
from .options import DEFAULT_TEACHERS, NONE
from .recalled import recalled_teacher
from .trained import Evidences, ParsingSystem, WindowProbs, brief_identity

_LOG = logging.getLogger(__name__)

DEFAULT_THRESHOLDS = {"clip": PLAIN_VISUAL, "clap": PLAIN_AUDIO}
"""Logits, by what a store calls the teacher."""
_LISTS = (".json", ".txt")
"""How files of classes end, and no class does."""


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


def load_zero_shot(  # noqa: PLR0913, who is asked for what
    names: str | Sequence[str],
    *,
    teachers: Mapping[str, str] | None = None,
    teacher_checkpoints: Mapping[str, str] | None = None,
    thresholds: Path | None = None,
    temperature: float = 1.0,
    decoys: Path | str | None = None,
    window: int | None = None,
    segment_seconds: float = 1.0,
    evidence: Path | None = None,
) -> ParsingSystem:
    """Load the teachers for some classes.

    Args:
        names: Names of classes, as one text with commas or as several; or a vocabulary by its name or file.
        teachers: By role (audio, visual), the name of a teacher; those that are not named are the published ones.
        teacher_checkpoints: By role, a local weight file.
        thresholds: What `valor calibrate` made of zero-shot parses, or label thresholds of it; None for those of the
            vocabulary, else for decoys.
        temperature: In logits, with label thresholds.
        decoys: A file of decoys, `none` for label thresholds or the teachers' defaults; None for ours.
        window: Segments that are judged together, a matter of speed; None for ten seconds of them.
        segment_seconds: Length of a segment.
        evidence: Folder of what is kept of earlier parses, see `load_system`.

    Raises:
        ValueError: No class, one twice, a teacher that does not look or listen, one without default thresholds or
            that the segments are too short for, decoys that are none, or a calibration of another system.
        TeacherUnavailableError: The weights of a teacher are neither here nor to be fetched.
    """
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature must be a positive number of logits, got {temperature}")
    classes, own = read_classes(names)
    calibration = thresholds if thresholds and is_zero_shot_file(thresholds) else None
    by_logits = _are_logits_asked(classes, thresholds if calibration is None else None, decoys, own=own)
    if by_logits and calibration:
        raise ValueError(f"{calibration}: is of parses with decoys; leave decoys=none out, or the file")
    if not by_logits and temperature != 1.0:
        raise ValueError(
            "temperature is for label thresholds, and decoys decide here; leave it out, or set decoys=none"
        )
    chosen = {**DEFAULT_TEACHERS, **(teachers or {})}
    _refuse_other_roles(chosen)
    for role in MODALITIES:
        refuse_short_segments(chosen[role], segment_seconds, (teacher_checkpoints or {}).get(role))
    asked: dict[str, Prompts] = {role: captions_for(chosen[role], classes, role) for role in MODALITIES}
    if not by_logits:
        found = None if calibration is None else read_zero_shot(calibration)
        held = chosen_decoys(decoys, found, asked, class_names(classes))
        asked = {role: (*asked[role], *captions_for(chosen[role], _named(held[role]), role)) for role in MODALITIES}
    built = _build(chosen, asked, teacher_checkpoints or {}, evidence)
    grid = _grid(built, window, segment_seconds)
    if by_logits:
        limits = _limits(classes, built, thresholds, own=own)
        return ZeroShotSystem(
            class_names=class_names(classes), teachers=built, grid=grid, thresholds=limits, temperature=temperature
        )
    system = DecoySystem(class_names=class_names(classes), teachers=built, grid=grid, decoys=held)
    return system if calibration is None else calibrated(calibration, system)


def _are_logits_asked(
    classes: tuple[EventClass, ...], thresholds: Path | None, decoys: Path | str | None, *, own: bool
) -> bool:
    """Whether thresholds on logits decide: where they are given, known of every class, or decoys are not wanted."""
    if decoys == NONE:
        return True
    given = [getattr(entry, f"{role}_threshold") for entry in classes for role in MODALITIES] if own else [None]
    if decoys is not None and thresholds is not None:
        raise ValueError(
            f"{thresholds}: are thresholds on logits, which leave nothing to decoys; give the one or the other"
        )
    if None in given and set(given) != {None} and thresholds is None:
        _LOG.warning("some classes have thresholds and some have none; all of them compete with decoys")
    return thresholds is not None or (decoys is None and None not in given)


def _refuse_other_roles(chosen: Mapping[str, str]) -> None:
    """Refuse teachers that do not look or listen as they are to, before any weights are looked for."""
    if strangers := sorted(set(chosen) - set(MODALITIES)):
        raise ValueError(f"teachers must be of {' and '.join(MODALITIES)}, got one of {', '.join(strangers)}")
    for role in MODALITIES:
        if chosen[role] == NONE:
            raise ValueError(
                f"{role}={NONE} is for `valor harvest`: without training one teacher looks and another listens; name "
                f"one for {role} too, such as demo-{role}, or leave it out for {DEFAULT_TEACHERS[role]}"
            )
        if (found := role_of(chosen[role])) != role:
            raise ValueError(f"{role} must be a teacher of that kind, got {chosen[role]!r}, which is {found}")


def _named(decoys: Sequence[str]) -> tuple[EventClass, ...]:
    """Decoys as classes, so that their captions are written as a teacher wants them."""
    return tuple(EventClass(text, text, text) for text in decoys)


def _build(
    chosen: Mapping[str, str], asked: Mapping[str, Prompts], checkpoints: Mapping[str, str], evidence: Path | None
) -> tuple[Teacher, ...]:
    prepare_to_fetch(absent_weights({role: chosen[role] for role in MODALITIES}, checkpoints))
    return tuple(
        recalled_teacher(
            chosen[role],
            asked[role],
            checkpoint=checkpoints.get(role),
            options=_options(chosen[role]),
            evidence=evidence,
        )
        for role in MODALITIES
    )


def _grid(built: Sequence[Teacher], window: int | None, segment_seconds: float) -> Grid:
    """The segments of a window, at the rate the teachers hear at."""
    grid = (
        Grid().of_segments(segment_seconds)
        if window is None
        else Grid(num_segments=window, segment_seconds=segment_seconds)
    )
    rates = {teacher.sample_rate for teacher in built if teacher.sample_rate is not None}
    return replace(grid, sample_rate=rates.pop() if rates else Grid.sample_rate)


def _limits(
    classes: tuple[EventClass, ...], built: Sequence[Teacher], thresholds: Path | None, *, own: bool
) -> dict[str, np.ndarray]:
    """Thresholds on logits, by role: those of a file, else as `_thresholds` has them."""
    limits = read_thresholds(thresholds, len(classes)) if thresholds else _thresholds(classes, built, own=own)
    if not set(MODALITIES) <= set(limits):
        raise ValueError(f"{thresholds}: expected thresholds for audio and visual, got {', '.join(limits)}")
    return {role: limits[role] for role in MODALITIES}


def _options(name: str) -> TeacherOptions:
    """Without maps of whole windows, which nothing here looks at."""
    if name.startswith("demo-") or role_of(name) != "audio":
        return TeacherOptions()
    from valor.label_harvest.teachers.clap import MapOptions

    return TeacherOptions(maps=MapOptions(raw=False))


def read_classes(names: str | Sequence[str]) -> tuple[tuple[EventClass, ...], bool]:
    """(classes, whether their thresholds are meant for this): a vocabulary, or classes made of mere names.

    Raises:
        ValueError: No class, one twice, a file that is not there, or names without commas between.

    >>> [entry.audio_prompt for entry in read_classes("Dog, glass_breaking")[0]]
    ['This is a sound of dog', 'This is a sound of glass breaking']
    """
    if isinstance(names, str) and (names in VOCABULARIES or is_file(names)):
        return read_vocabulary(names), names not in VOCABULARIES
    given = split_names(names) if isinstance(names, str) else list(names)
    wanted = [name.strip() for name in given if name.strip()]
    for name in wanted:
        if Path(name).suffix in _LISTS or len(wanted) == 1 and "/" in name:
            raise ValueError(f"expected names of classes, or a file of them, got {name!r:.200}, which is no file here")
        if isinstance(names, str) and (";" in name or len(name.splitlines()) > 1):
            raise ValueError(f"names of classes have commas between, got {name!r:.200}; write commas, as 'Dog,Cat'")
    if not wanted or len({name.casefold() for name in wanted}) < len(wanted):
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
