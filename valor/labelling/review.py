"""What a person may want to look at before training on labels; each is a table beside them.

near_thresholds.csv    labels near their threshold: logits so close to it that rounding, or another
precision, could flip them
flips.csv              labels that differ between two stores of the same clips, such as one in float32 and one in
bfloat16
disagreements.csv      where only one of the two teachers marks a tag of a clip. Much of it is right: a dog barks
behind the camera. What is not points to a threshold, a prompt or a teacher.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.events import MODALITIES
from valor.eval.spreadsheet import unformula
from valor.label_harvest.disk import replaced
from valor.label_harvest.pseudo_labels import judges_of
from valor.label_harvest.store.store import EvidenceStore

from .labels import judging_roles

NEAR_FILE = "near_thresholds.csv"
"""In the folder of the labels."""
BFLOAT16_COSINE = 0.005
"""How far bfloat16 is taken to move the cosine of a segment and a class, from which the default margin follows.

Largest difference seen on made-up clips with random weights of the true architectures (30 segments, 25 classes, on a
CPU): 0.0009 of ViT-L/14 and 0.0007 of CLAP, 0.0004 in the quadratic mean. Trained weights were not at hand, so five
times as much is taken: a guess on the safe side and no proof. `valor labels STORE --compare OTHER` measures it on real
weights.
"""
NEAR_COLUMNS = ("clip_id", "segment", "modality", "class", "logit", "threshold", "label")


@dataclass(frozen=True)
class NearLabel:
    """One label within the margin."""

    clip_id: str
    segment: int
    """Index of the segment, from 0."""
    modality: str
    class_name: str
    logit: float
    threshold: float

    @property
    def label(self) -> int:
        """1 where the class is labelled: the logit is above the threshold."""
        return int(np.float32(self.logit) > self.threshold)


@dataclass(frozen=True)
class NearLabels:
    """All labels within a margin, and how many decisions there were."""

    rows: tuple[NearLabel, ...]
    """Nearest first."""
    decisions: int
    """Segments, modalities and tags with evidence, out of which the rows are."""
    margins: Mapping[str, float]
    """In logits, by role."""


def margins_of(manifest: Mapping[str, Any], margin: float | None = None) -> dict[str, float]:
    """How near its threshold a logit has to be to be listed: float logits by role of the teachers that judge.

    Args:
        manifest: Of the store.
        margin: For all teachers; None for what bfloat16 may move, of the teachers that computed in it: none where all
            computed in float32.

    Raises:
        ValueError: The margin is no positive number.
    """
    judges = {role: manifest["teachers"][role] for role in judging_roles(manifest)}
    if margin is not None:
        if not (np.isfinite(margin) and margin > 0):
            raise ValueError(f"a margin must be a positive number of logits, got {margin}")
        return dict.fromkeys(judges, float(margin))
    coarse = {role: identity for role, identity in judges.items() if identity.get("precision") == "bfloat16"}
    return {role: BFLOAT16_COSINE * float(identity["logit_scale"]) for role, identity in coarse.items()}


def near_labels(store: EvidenceStore, thresholds: Mapping[str, np.ndarray], margins: Mapping[str, float]) -> NearLabels:
    """Find the decisions whose logit lies within a margin of its threshold.

    Only tags of a clip are decided; a class without its tag gets no label whatever its logit. A teacher in another
    precision moves logits by its own difference: the flips it can cause are among those within that margin.

    Args:
        store: Evidence with the similarity arrays read.
        thresholds: float [C] by role, as for labels.
        margins: In logits by role, such as `margins_of` gives; a logit at exactly that distance is within it.

    Raises:
        ValueError: The thresholds do not fit the store.
    """
    rows: list[NearLabel] = []
    decisions = 0
    for modality, role in judges_of(thresholds, store.roles).items():
        logits = store.logits(role)  # [N, T, C]
        decided = np.isfinite(logits) & store.tags_of(modality)[:, None]
        decisions += int(decided.sum())
        if role not in margins:
            continue
        near = decided & (np.abs(logits - thresholds[role].astype(logits.dtype)) <= margins[role])
        for clip, segment, index in zip(*np.nonzero(near), strict=True):
            logit, threshold = float(logits[clip, segment, index]), float(thresholds[role][index])
            name = store.class_names[index]
            rows.append(NearLabel(store.clip_ids[clip], int(segment), modality, name, logit, threshold))
    ordered = sorted(rows, key=lambda row: abs(row.logit - row.threshold))
    return NearLabels(tuple(ordered), decisions, dict(margins))


def write_near_labels(path: Path, found: NearLabels) -> None:
    """Write the rows, nearest first."""
    rows = [
        (row.clip_id, row.segment, row.modality, row.class_name, f"{row.logit:.4f}", f"{row.threshold:g}", row.label)
        for row in found.rows
    ]
    write_csv(path, NEAR_COLUMNS, rows)


FLIPS_FILE = "flips.csv"
"""In the folder of the labels."""
FLIP_COLUMNS = ("clip_id", "segment", "modality", "class", "threshold", "logit", "other_logit", "margin", "label")


@dataclass(frozen=True)
class Flip:
    """One label that the two stores disagree about."""

    clip_id: str
    segment: int
    """Index of the segment, from 0."""
    modality: str
    class_name: str
    threshold: float
    logit: float
    """Of the store that is labelled."""
    other_logit: float

    @property
    def margin(self) -> float:
        """How far from its threshold the logit of the labelled store is."""
        return abs(self.logit - self.threshold)

    @property
    def label(self) -> int:
        """1 where the labelled store marks the class and the other one does not."""
        return int(self.logit > self.other_logit)


@dataclass(frozen=True, kw_only=True, eq=False)
class Flips:
    """What a comparison of two stores found."""

    rows: tuple[Flip, ...]
    """In the order of modality, clip, segment and class."""
    clips: int
    """Clips both stores hold; only these are compared."""
    modalities: tuple[str, ...]
    flipped: np.ndarray
    """int64 [M, C], labels that differ, by modality in the order of `modalities`."""
    decisions: np.ndarray
    """int64 [M, C], segments of tags for which both stores have evidence."""
    largest: dict[str, float]
    """By modality, the largest difference of a logit that decides."""
    differing: dict[str, tuple[str, str]]
    """What the two stores say differently of their teachers, such as `audio.precision`."""


def find_flips(store: EvidenceStore, other: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> Flips:
    """Compare the labels that the same thresholds make of two stores.

    Args:
        store: Evidence with the similarity arrays read.
        other: The same of what it is compared with; clips in any order, and not all of them.
        thresholds: float [C] by role, as for labels.

    Raises:
        ValueError: The stores are of other classes, share no clip, or tag a clip differently, or the other one lacks a
            teacher.
    """
    judges = judges_of(thresholds, store.roles)
    row_of = {clip_id: row for row, clip_id in enumerate(other.clip_ids)}
    ours = [row for row, clip_id in enumerate(store.clip_ids) if clip_id in row_of]  # rows of clips that both hold
    theirs = [row_of[store.clip_ids[row]] for row in ours]
    _check_comparable(store, other, ours, theirs, judges)
    rows: list[Flip] = []
    shape = (len(judges), len(store.class_names))
    flipped, decisions, largest = np.zeros(shape, np.int64), np.zeros(shape, np.int64), {}
    for m, (modality, role) in enumerate(judges.items()):
        limit = thresholds[role].astype(np.float32)
        pair = np.stack([store.logits(role)[ours], other.logits(role)[theirs]])  # [2, N, T, C]
        decided = np.isfinite(pair).all(axis=0) & store.tags_of(modality)[ours][:, None]
        differs = decided & np.not_equal(*(pair > thresholds[role]))
        flipped[m], decisions[m] = differs.sum(axis=(0, 1)), decided.sum(axis=(0, 1))
        largest[modality] = float(np.abs(pair[0] - pair[1])[decided].max(initial=0.0))
        for clip, segment, index in zip(*np.nonzero(differs), strict=True):
            logit, other_logit = pair[:, clip, segment, index].tolist()
            place = (store.clip_ids[ours[clip]], int(segment), modality, store.class_names[index])
            rows.append(Flip(*place, float(limit[index]), logit, other_logit))
    return Flips(
        rows=tuple(rows),
        clips=len(ours),
        modalities=tuple(judges),
        flipped=flipped,
        decisions=decisions,
        largest=largest,
        differing=dict(_differing(store.manifest, other.manifest, set(judges.values()))),
    )


def flip_table(found: Flips, class_names: tuple[str, ...]) -> str:
    """How many labels of each class differ, of how many decisions; classes without one are left out."""
    shown = [index for index in range(len(class_names)) if found.flipped[:, index].any()]
    width = max(map(len, ("all classes", *(class_names[index] for index in shown))))
    lines = ["class".ljust(width) + "".join(f"{modality:>20s}" for modality in found.modalities)]

    def line(name: str, flipped: np.ndarray, decisions: np.ndarray) -> str:
        pairs = (f"{a:,} of {b:,}" for a, b in zip(flipped.tolist(), decisions.tolist(), strict=True))
        return name.ljust(width) + "".join(f"{text:>20s}" for text in pairs)

    lines += [line(class_names[index], found.flipped[:, index], found.decisions[:, index]) for index in shown]
    return "\n".join([*lines, line("all classes", found.flipped.sum(axis=1), found.decisions.sum(axis=1))])


def write_flips(path: Path, found: Flips) -> None:
    """Write the rows."""
    rows = []
    for row in found.rows:
        logits = (f"{row.threshold:g}", f"{row.logit:.4f}", f"{row.other_logit:.4f}", f"{row.margin:.4f}")
        rows.append((row.clip_id, row.segment, row.modality, row.class_name, *logits, row.label))
    write_csv(path, FLIP_COLUMNS, rows)


def _check_comparable(
    store: EvidenceStore, other: EvidenceStore, ours: list[int], theirs: list[int], judges: Mapping[str, str]
) -> None:
    """Refuse stores whose labels differ for other reasons than their teachers' answers."""
    if store.class_names != other.class_names or not ours:
        raise ValueError(
            f"two stores of the same clips and classes are compared, got {len(store.clip_ids)} and "
            f"{len(other.clip_ids)} clips of {len(store.class_names)} and {len(other.class_names)} classes, of which "
            f"{len(ours)} clips are in both; harvest some clips again with the other precision"
        )
    lacking = sorted(set(judges.values()) - set(other.roles))
    if lacking:
        raise ValueError(f"the store to compare with has no evidence of {' and '.join(lacking)}; harvest it with both")
    both = [
        np.stack([one.tags_of(modality)[rows] for modality in MODALITIES])
        for one, rows in ((store, ours), (other, theirs))
    ]
    tagged = np.flatnonzero(np.not_equal(*both).any(axis=(0, 2)))
    if len(tagged):
        raise ValueError(
            f"{len(tagged)} clips have other tags in the store to compare with, such as "
            f"{store.clip_ids[ours[tagged[0]]]}; harvest both with one manifest"
        )


def _differing(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], roles: set[str]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """What two manifests say differently of some teachers, and how they were decoded."""
    for role in sorted(roles):
        pair = ours["teachers"][role], theirs["teachers"][role]
        for key in sorted({*pair[0], *pair[1]}):
            first, second = (str(identity.get(key)) for identity in pair)
            if first != second:
                yield f"{role}.{key}", (first, second)


DISAGREEMENTS_FILE = "disagreements.csv"
"""In the folder of the labels."""
DISAGREEMENT_COLUMNS = ("clip_id", "class", "onset", "offset", "marked_in", "margin", "audio_margin", "visual_margin")


@dataclass(frozen=True)
class Disagreement:
    """A run of segments in which only one of the teachers marks a tag."""

    clip_id: str
    class_name: str
    onset: float
    """In seconds."""
    offset: float
    marked_in: str
    """The modality whose teacher marks it."""
    audio_margin: float
    """Mean over the segments of the logit less its threshold; above 0 where it is marked."""
    visual_margin: float

    @property
    def margin(self) -> float:
        """How sure the less sure of the two is: how far either threshold would have to move before they agree."""
        return min(abs(self.audio_margin), abs(self.visual_margin))


def disagreements(store: EvidenceStore, thresholds: Mapping[str, np.ndarray]) -> list[Disagreement]:
    """Find runs of segments that one teacher marks with a tag of the clip and the other does not.

    Segments without the evidence of both are left out.

    Args:
        store: Evidence of the audio and the visual teacher with the similarity arrays read.
        thresholds: float [C] logits for `audio` and for `visual`.

    Returns:
        Largest margin first; equal ones in the order of the store.

    Raises:
        ValueError: There are not thresholds and evidence of both teachers.
    """
    if not set(MODALITIES) <= set(thresholds) or not set(MODALITIES) <= set(store.roles):
        raise ValueError(
            f"disagreement is between an audio and a visual teacher, got a store of {', '.join(store.roles)} and "
            f"thresholds for {', '.join(sorted(thresholds))}"
        )
    margins = np.stack([store.logits(role) - thresholds[role].astype(np.float32) for role in MODALITIES], axis=2)
    in_both = store.tags_of("audio") & store.tags_of("visual")  # of others one teacher alone is asked
    judged = np.isfinite(margins).all(axis=2) & in_both[:, None]  # [N, T, C]
    marked = margins > 0
    seconds = store.manifest["grid"]["segment_seconds"]
    found = []
    for m, modality in enumerate(MODALITIES):
        alone = judged & marked[:, :, m] & ~marked[:, :, 1 - m]
        for clip, index, start, stop in _runs(alone):
            audio, visual = margins[clip, start:stop, :, index].mean(axis=0).tolist()
            name = store.class_names[index]
            onset, offset = start * seconds, stop * seconds
            found.append((clip, Disagreement(store.clip_ids[clip], name, onset, offset, modality, audio, visual)))
    return [entry for _, entry in sorted(found, key=lambda pair: (-pair[1].margin, pair[0], pair[1].onset))]


def _runs(marked: np.ndarray) -> list[tuple[int, int, int, int]]:
    """(clip, class, start, stop) of the maximal runs of bool [N, T, C], half-open in segments."""
    edge = np.zeros_like(marked[:, :1])
    steps = np.diff(np.concatenate([edge, marked, edge], axis=1).astype(np.int8), axis=1).transpose(0, 2, 1)
    begins, ends = np.argwhere(steps > 0), np.argwhere(steps < 0)  # in the same order: clip, class, time
    pairs = zip(begins.tolist(), ends.tolist(), strict=True)
    return [(clip, index, start, stop) for (clip, index, start), (_, _, stop) in pairs]


def write_disagreements(path: Path, found: list[Disagreement]) -> None:
    """Write them in their order."""
    rows = []
    for entry in found:
        margins = (f"{value:.4f}" for value in (entry.margin, entry.audio_margin, entry.visual_margin))
        times = (f"{entry.onset:g}", f"{entry.offset:g}")
        rows.append((entry.clip_id, entry.class_name, *times, entry.marked_in, *margins))
    write_csv(path, DISAGREEMENT_COLUMNS, rows)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write comma-separated text, whole or not at all."""
    with replaced(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([unformula(cell) for cell in row] for row in rows)
