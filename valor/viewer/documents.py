"""What the viewer shows: clips with their media, the truth where there is one, and what each system says of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from valor.data.datasets.dataset import LLP, DataSet
from valor.data.parsed_media import MediaInfo
from valor.data.where import Where
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.eval.scores import PER_CLIP, score

if TYPE_CHECKING:
    from valor.eval.tables import Sheet

_Kind = TypeVar("_Kind", bound=np.generic)


@dataclass(frozen=True, kw_only=True, eq=False)
class System:
    """One source of marks: a parser, pseudo labels, or another person's tables."""

    name: str
    """How the page calls it."""
    thresholds: FloatArray | None = None
    """float64 [M, C], what its segments are compared with; None where it gives decisions alone."""
    gate_thresholds: FloatArray | None = None
    """float64 [M, C], what its gate is compared with; None without a gate. A modality without one has 0."""
    unknown: tuple[str, ...] = ()
    """Classes of the document that it does not know; its scores are without them."""
    kind: str = "predictions"
    """predictions or labels; corrections of labels keep the clips that were not touched."""


@dataclass(frozen=True, eq=False)
class Limits:
    """What probabilities are compared with."""

    segment: FloatArray
    """float64 [M, C]."""
    gate: FloatArray | None
    """float64 [M, C]; None without a gate."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """What one system says of one clip."""

    predicted: BoolArray
    """bool [T, M, C], the decisions by the system's own rule."""
    segment_probs: FloatArray | None = None
    """float [T, M, C], NaN where there is no stream; None for decisions alone."""
    gate_probs: FloatArray | None = None
    """float [1 or T, M, C], what the gate compares; None without a gate."""
    unsure: BoolArray | None = None
    """bool [T, M, C], segments of events that something else explains as well; None where nobody asked."""
    limits: Limits | None = None
    """What decided this clip, where that is not what its system has, such as a parse at another threshold."""
    where: tuple[Where, ...] = ()
    """Where in the picture visible events were found, on the clock of the container."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """One clip on its own clock, which starts at 0."""

    clip_id: str
    """Its name in tables: unique, without tab, comma or line break."""
    marks: tuple[Marks | None, ...]
    """One for each system of the document; None where a system does not know the clip."""
    num_segments: int
    """T."""
    segment_seconds: float = 1.0
    """Length of a segment in seconds."""
    name: str = ""
    """What the reader sees; the clip id unless it is another."""
    truth: BoolArray | None = None
    """bool [T, M, C], annotated by people."""
    tags: tuple[int, ...] = ()
    """Classes the clip is tagged with."""
    streams: tuple[bool, bool] = (True, True)
    """Whether it has sound, and a picture."""
    start_time: float = 0.0
    """Container clock of the first sample in seconds."""
    duration: float | None = None
    """Length of the media in seconds; None where only the segments are known."""
    cuts: tuple[float, ...] = ()
    """Where the film is cut, in seconds from its first segment."""
    notes: tuple[str, ...] = ()
    """What a reader of this clip should know, such as which track was heard."""
    media: Path | None = None
    """A file that may be played."""
    parsed: MediaInfo | None = None
    """What its first parse says of its media; None of a clip without one."""
    unplayed: str = ""
    """Ending of its file where it is media that no browser plays, such as .ts."""

    @property
    def seconds(self) -> float:
        """Length of its segments in seconds."""
        return self.num_segments * self.segment_seconds


@dataclass(frozen=True, kw_only=True)
class Section:
    """Words and figures about all clips: a headed block that a page shows before any clip is opened."""

    title: str
    text: tuple[str, ...] = ()
    """Paragraphs above the table."""
    sheet: "Sheet | None" = None
    spans: Mapping[str, int] = field(default_factory=dict)
    """Titles above those of the table's columns, as `Sheet.to_html` takes them."""
    notes: tuple[str, ...] = ()
    """Paragraphs below the table, in a softer colour."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """Everything one viewer shows."""

    title: str
    class_names: tuple[str, ...]
    systems: tuple[System, ...]
    clips: tuple[Clip, ...]
    split: str = "test"
    """Whose tables corrections are written as."""
    dataset: DataSet = LLP
    """Whose tables these are."""
    notes: tuple[str, ...] = ()
    """What a reader of each clip should know."""
    about: tuple[str, ...] = ()
    """What is to be said of all of it and of no single clip, such as clips that were left out."""
    report: tuple[Section, ...] = ()
    """What the page says of all clips; without it there are the clips alone."""
    identity: str = field(init=False, default="")
    """Hash of what is shown, by which a browser keeps corrections of one document apart from those of another."""

    def __post_init__(self) -> None:
        """Refuse clips that do not belong together."""
        ids = [clip.clip_id for clip in self.clips]
        if not ids or len(set(ids)) != len(ids) or not self.class_names:
            twice = sorted({name for name in ids if ids.count(name) > 1})[:5] if len(ids) < 10000 else []
            raise ValueError(
                f"a viewer needs at least one class and clips of different names, got {len(ids)} clips "
                f"{'with ' + ', '.join(twice) + ' twice' if twice else ''}"
            )
        for clip in self.clips:
            self._check(clip)
        facts = "\n".join((self.split, *self.class_names, "", *(s.name for s in self.systems), "", *ids))
        object.__setattr__(self, "identity", hashlib.sha256(facts.encode()).hexdigest()[:16])

    def _check(self, clip: Clip) -> None:
        shape = (clip.num_segments, len(MODALITIES), len(self.class_names))
        arrays = [clip.truth, *(m.predicted for m in clip.marks if m), *(m.segment_probs for m in clip.marks if m)]
        wrong = [array.shape for array in arrays if array is not None and array.shape != shape]
        if wrong or len(clip.marks) != len(self.systems):
            raise ValueError(
                f"{clip.clip_id}: expected arrays [segments, modalities, classes] {shape} of {len(self.systems)} "
                f"systems, got {wrong or len(clip.marks)}; all systems of a clip share one grid"
            )


def with_classes(document: Document, more: Sequence[str]) -> Document:
    """A document that knows further classes, which nothing in it is of; its own stay in their place."""
    own = document.class_names
    names = tuple(dict.fromkeys((*own, *more)))
    if names == own:
        return document
    clips = tuple(
        replace(
            clip,
            truth=None if clip.truth is None else to_classes(clip.truth, own, names, 0),
            marks=tuple(None if marks is None else spread_marks(marks, own, names) for marks in clip.marks),
        )
        for clip in document.clips
    )
    systems = tuple(spread_system(system, own, names) for system in document.systems)
    return replace(document, class_names=names, systems=systems, clips=clips)


def spread_system(system: System, own: Sequence[str], names: Sequence[str]) -> System:
    """A system of some classes with its thresholds in the order of others; what it does not know it never marks."""
    system = replace(system, unknown=(*system.unknown, *(name for name in names if name not in own)))
    if system.thresholds is None or own == names:
        return system
    limits = _spread_limits(Limits(system.thresholds, system.gate_thresholds), own, names)
    return replace(system, thresholds=limits.segment, gate_thresholds=limits.gate)


def _spread_limits(limits: Limits, own: Sequence[str], names: Sequence[str]) -> Limits:
    gate = None if limits.gate is None else to_classes(limits.gate, own, names, 1.0)
    return Limits(to_classes(limits.segment, own, names, 1.0), gate)


def spread_marks(marks: Marks, own: Sequence[str], names: Sequence[str]) -> Marks:
    """Marks of some classes in the order of others; of what they do not know there is nothing."""
    if own == names:
        return marks
    probs, gate, unsure = marks.segment_probs, marks.gate_probs, marks.unsure
    return replace(
        marks,
        predicted=to_classes(marks.predicted, own, names, 0.0),
        segment_probs=None if probs is None else to_classes(probs, own, names, 0.0),
        gate_probs=None if gate is None else to_classes(gate, own, names, 0.0),
        unsure=None if unsure is None else to_classes(unsure, own, names, 0.0),
        limits=None if marks.limits is None else _spread_limits(marks.limits, own, names),
    )


def to_classes(array: npt.NDArray[_Kind], own: Sequence[str], names: Sequence[str], value: float) -> npt.NDArray[_Kind]:
    """Put the last axis in the order of `names`; classes it does not know get `value`."""
    spread = np.full((*array.shape[:-1], len(names)), value, dtype=array.dtype)
    spread[..., [names.index(name) for name in own]] = array
    return spread


def segment_f(clip: Clip, predicted: BoolArray) -> float | None:
    """Segment-level F of one clip in percent, the mean of audible, visible and both at once; None without truth."""
    if clip.truth is None:
        return None
    figures = score(predicted[np.newaxis], clip.truth[np.newaxis]).per_clip[0, 0]
    return float(100 * np.mean([figures[PER_CLIP.index(name)] for name in ("audio", "visual", "audio_visual")]))


def system_scores(document: Document) -> list[list[float | None]]:
    """`segment_f` of every clip under every system's own rule: one list a system, None where it does not apply.

    Each is of the classes that its system knows, as scores of `valor evaluate` against corrections are.
    """
    scores: list[list[float | None]] = [[None] * len(document.clips) for _ in document.systems]
    for row, column in enumerate(scores):
        known = [name not in document.systems[row].unknown for name in document.class_names]
        groups: dict[int, list[tuple[int, BoolArray, BoolArray]]] = {}  # by length: which clip, its marks and truth
        for index, clip in enumerate(document.clips):
            if clip.truth is not None and (marks := clip.marks[row]) is not None:
                member = (index, marks.predicted[..., known], clip.truth[..., known])
                groups.setdefault(clip.num_segments, []).append(member)
        for group in groups.values():
            members, predicted, truth = zip(*group, strict=True)
            per_clip = score(np.stack(predicted), np.stack(truth)).per_clip[:, 0]
            figures = per_clip[:, [PER_CLIP.index(name) for name in ("audio", "visual", "audio_visual")]]
            for index, value in zip(members, (100 * figures.mean(axis=1)).tolist(), strict=True):
                column[index] = value
    return scores


def disagreement(masks: Sequence[BoolArray]) -> float | None:
    """Percentage of marked segments that not all masks mark; None for fewer than two, 0 where nothing is marked."""
    if len(masks) < 2:
        return None
    union = np.logical_or.reduce(masks)
    marked = int(union.sum())
    return 100 * (1 - int(np.logical_and.reduce(masks).sum()) / marked) if marked else 0.0


def between_modalities(clip: Clip) -> float | None:
    """Percentage of marked segments of the first system (else the truth) that are heard or seen, but not both."""
    marks = next((marks.predicted for marks in clip.marks if marks is not None), clip.truth)
    return None if marks is None else disagreement([marks[:, 0], marks[:, 1]])


def occurring(clip: Clip) -> list[int]:
    """Classes that the truth or a system marks anywhere in the clip, and its tags."""
    masks = [marks.predicted for marks in clip.marks if marks is not None]
    masks += [clip.truth] if clip.truth is not None else []
    found = set(clip.tags)
    for mask in masks:
        found |= set(np.flatnonzero(mask.any(axis=(0, 1))).tolist())
    return sorted(found)
