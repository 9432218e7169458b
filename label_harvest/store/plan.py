"""What a run has to do: which clips go into which shard, and which shards are made again; the same for every run.

Clips that are in no shard yet are cut, in manifest order, into shards of one size, which take the free numbers from
below. So a run that was killed, and the runs of all shares of a manifest, in whatever order they come, number their
shards as one undisturbed run does. Arrays that are there without a marker keep their number for the clips they are of.

Evidence of the clips of one shard: gathered from the teachers batch by batch, joined into arrays of the store.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from ..media.clip import ClipMedia
from ..teachers.teacher import NEEDS, Evidence, StagedTeacher, Teacher
from .manifest import HarvestManifest
from .shards import KnownClip, Marker, ShardRow, is_intact, known_clips

logger = logging.getLogger(__name__)

UNREAD = ("undecodable", "timeout", "missing")
"""Statuses of a clip of which nothing was read; another attempt may find more."""


@dataclass(frozen=True)
class ShardPlan:
    """A shard that a run has to make."""

    index: int
    rows: tuple[KnownClip, ...]
    """Its clips with their tags; in a shard that is there, what is known of them."""
    again: frozenset[int] | None = None
    """In a shard that is there, the positions of the clips that are to be read again; None makes all of it."""

    def batches(self, clips_per_batch: int) -> Iterator[range]:
        """Positions of the clips that go through a teacher together.

        A clip is read again in the company it would have had, because rounding depends on the company.
        """
        for start in range(0, len(self.rows), clips_per_batch):
            positions = range(start, min(start + clips_per_batch, len(self.rows)))
            if self.again is None or not self.again.isdisjoint(positions):
                yield positions


def check_tags(manifest: HarvestManifest, markers: Mapping[int, Marker]) -> None:
    """Refuse a manifest that says something else of a clip than the store.

    Raises:
        ValueError: A clip is in the store with other tags.
    """
    wanted = dict(zip(manifest.clip_ids, tags_of(manifest), strict=True))
    changed = [
        f"{row.clip_id} (store {','.join(row.tags)}; manifest {','.join(wanted[row.clip_id])})"
        for row in known_clips(markers)
        if wanted.get(row.clip_id, row.tags) != row.tags
    ]
    if changed:
        raise ValueError(
            f"the store holds {len(changed)} clips with other tags, such as {changed[0]}; "
            "mend the manifest or harvest into another store"
        )


def tags_of(manifest: HarvestManifest) -> list[tuple[str, ...]]:
    """The tags of each clip; of clips with the same tags, the same tuple."""
    names, found = manifest.class_names, {}
    for labels in np.unique(manifest.weak_labels, axis=0):
        found[labels.tobytes()] = tuple(names[index] for index in np.flatnonzero(labels))
    return [found[labels.tobytes()] for labels in manifest.weak_labels]


def new_shards(
    manifest: HarvestManifest,
    markers: Mapping[int, Marker],
    shard_size: int,
    unclaimed: Mapping[int, tuple[str, ...] | None] | None = None,
) -> list[ShardPlan]:
    """Shards for the clips that are in none.

    Args:
        manifest: The clips.
        markers: Of the shards that are there.
        shard_size: Clips of a shard.
        unclaimed: Arrays without a marker, see `unclaimed_arrays`; a shard of the same clips takes their number, and no
            other does.
    """
    unclaimed = unclaimed or {}
    known = {row.clip_id for row in known_clips(markers)}
    rows = [
        KnownClip(clip_id, "ok", "", tags)
        for clip_id, tags in zip(manifest.clip_ids, tags_of(manifest), strict=True)
        if clip_id not in known
    ]
    cuts = [tuple(rows[start : start + shard_size]) for start in range(0, len(rows), shard_size)]
    kept = {clip_ids: index for index, clip_ids in unclaimed.items()}
    numbers = [kept.get(tuple(row.clip_id for row in cut)) for cut in cuts] if kept else [None] * len(cuts)
    free = _free_numbers({*markers, *unclaimed})
    plans = [
        ShardPlan(next(free) if number is None else number, cut) for number, cut in zip(numbers, cuts, strict=True)
    ]
    for index in sorted(set(unclaimed).difference(numbers)):
        logger.warning(
            "shard %05d has arrays without a done-marker, of other clips; they stay as they are and do not count", index
        )
    return plans


def damaged_shards(manifest: HarvestManifest, markers: Mapping[int, Marker], folder: Path) -> list[ShardPlan]:
    """Shards whose arrays are not those of their marker, to be made again with the same clips.

    Raises:
        ValueError: Only some of the clips of such a shard are in the manifest.
    """
    plans, wanted = [], set(manifest.clip_ids)
    for index, marker in markers.items():
        if is_intact(folder, index, marker):
            continue
        others = [row.clip_id for row in marker.clips if row.clip_id not in wanted]
        if not others:
            logger.info("%s: shard %05d is damaged and made again", folder, index)
            plans.append(ShardPlan(index, tuple(KnownClip(row.clip_id, "ok", "", row.tags) for row in marker.clips)))
        elif len(others) == len(marker.clips):
            logger.warning("%s: shard %05d is damaged; harvest the manifest with %s again", folder, index, others[0])
        else:
            raise ValueError(
                f"{folder}: shard {index:05d} is damaged and holds clips that are not in this manifest, such as "
                f"{others[0]}; harvest the manifest it was made from, or take it out with `valor store repair`"
            )
    return plans


def shards_to_mend(
    markers: Mapping[int, Marker],
    paths: Mapping[str, Path | None],
    damaged: Sequence[ShardPlan],
    statuses: Sequence[str],
    clip_ids: Set[str] = frozenset(),
) -> list[ShardPlan]:
    """Whole shards with clips to be read again: missing ones whose file has come, and others as asked.

    Args:
        markers: Of the shards of this run.
        paths: Files of the clips of the manifest.
        damaged: Shards that are made again anyway.
        statuses: Clips with these are read again if they are in the manifest and have a file.
        clip_ids: These are, whatever their status.
    """
    plans, anyway = [], {plan.index for plan in damaged}
    for index, marker in markers.items():
        again = frozenset(
            position
            for position, row in enumerate(marker.clips)
            if (row.status in statuses or row.clip_id in clip_ids) and paths.get(row.clip_id) is not None
        )
        if again and index not in anyway:
            plans.append(ShardPlan(index, marker.clips, again))
    return plans


def replaced_files(markers: Mapping[int, Marker], paths: Mapping[str, Path | None]) -> list[KnownClip]:
    """Clips whose file has another size now than when it was read; of those without a file nothing is said.

    Args:
        markers: Of the shards of this run.
        paths: Files of the clips of the manifest.
    """
    replaced = []
    for row in known_clips(markers):
        path = paths.get(row.clip_id)
        if path is not None and row.file_bytes is not None:
            with suppress(OSError):
                if path.stat().st_size != row.file_bytes:
                    replaced.append(row)
    return replaced


def _free_numbers(taken: Set[int]) -> Iterator[int]:
    """Shard numbers that are not taken, ascending."""
    return (index for index in count() if index not in taken)


ReadClip = tuple[ShardRow, ClipMedia | None]
"""What was found of a clip, and its media where there is any."""
Answers = dict[str, list[Evidence | None]]
"""By role, what the teacher says of each clip of a batch; None of one without the streams it needs."""
OldShard = tuple[list[ShardRow], dict[str, np.ndarray]]
"""Rows and arrays of a shard that is there."""


class ShardEvidence:
    """A shard that fills up; its batches may come in any order."""

    def __init__(
        self,
        plan: ShardPlan,
        teachers: Sequence[Teacher],
        num_segments: int,
        old: OldShard | None,
        batches: int,
    ) -> None:
        """Start with what is there already.

        Args:
            plan: What is to be made.
            teachers: One per role.
            num_segments: T of the grid.
            old: The shard as it is, None for one that is made from nothing.
            batches: How many will come.
        """
        self.plan = plan
        self._was, self._old = old or ([], {})
        self.rows = [*self._was] or [ShardRow(row.clip_id, row.status, row.message, row.tags) for row in plan.rows]
        self._teachers = teachers
        self._num_segments = num_segments
        self._answers: dict[str, dict[int, Evidence]] = {teacher.role: {} for teacher in teachers}
        self._kept = set() if plan.again is None else set(range(len(plan.rows)))
        self._left = batches

    @property
    def is_complete(self) -> bool:
        """Whether all batches have come."""
        return self._left == 0

    def add(self, positions: Sequence[int], rows: Sequence[ShardRow], answers: Answers) -> None:
        """Take in a batch.

        Args:
            positions: Places of the clips in the shard.
            rows: What was found of them.
            answers: What the teachers say of them, see `judge_batch`.
        """
        fresh = [
            place
            for place, (position, row) in enumerate(zip(positions, rows, strict=True))
            if not self._is_better_kept(position, row)
        ]
        for place in fresh:
            self.rows[positions[place]] = rows[place]
            self._kept.discard(positions[place])
            for role, found in answers.items():
                if (answer := found[place]) is not None:
                    self._answers[role][positions[place]] = answer
        self._left -= 1

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of the shard, [n, ...] by name; NaN where a clip has no evidence."""
        arrays: dict[str, np.ndarray] = {}
        for teacher in self._teachers:
            answers = self._answers[teacher.role]
            arrays.update(_stack(teacher, [answers.get(n) for n in range(len(self.rows))], self._num_segments))
        kept = sorted(self._kept)
        for name, old in self._old.items() if kept else ():
            if name not in arrays and not np.isnan(old[kept]).all():
                arrays[name] = np.full(old.shape, np.nan, old.dtype)
            if name in arrays:
                arrays[name][kept] = old[kept]
        return arrays

    def differs(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether anything else is known now than was.

        Args:
            arrays: As `arrays` gives them.
        """
        if self.plan.again is None or self.rows != self._was or arrays.keys() != self._old.keys():
            return True
        return any(arrays[name].tobytes() != old.tobytes() for name, old in self._old.items())

    def _is_better_kept(self, position: int, row: ShardRow) -> bool:
        """Whether a clip can no longer be read; then what is known of it stays, since it is more than nothing."""
        if self.plan.again is None or row.status not in UNREAD:
            return False
        was = self._was[position]
        if position in self.plan.again and was.status not in UNREAD:
            logger.warning("%s: %s this time (%s); it stays %s", row.clip_id, row.status, row.message, was.status)
        return position not in self.plan.again or was.status not in UNREAD


@dataclass(frozen=True)
class TeacherInput:
    """What one teacher is given of a batch."""

    places: list[int]
    """Of the clips that have the streams it needs, among those of the batch."""
    clip_ids: list[str]
    present: list[np.ndarray | None]
    """bool [T] of each, False for segments past the end of its video; None for all."""
    prepared: object
    """As the teacher prepared it, or the clips themselves."""
    num_clips: int
    """Of the whole batch."""


def prepare_batch(teachers: Sequence[Teacher], clips: Sequence[ReadClip]) -> list[TeacherInput]:
    """Do for each teacher what needs no network: choose the clips it can judge, and have it prepare them."""
    inputs = []
    for teacher in teachers:
        places = [place for place, (_, media) in enumerate(clips) if media and _has_streams(teacher, media)]
        chosen = [media for place in places if (media := clips[place][1]) is not None]
        prepared = teacher.prepare_many(chosen) if places and isinstance(teacher, StagedTeacher) else chosen
        clip_ids = [clips[place][0].clip_id for place in places]
        looks = NEEDS[teacher.role] != ("waveform",)
        present = [media.frames_present if looks else None for media in chosen]
        inputs.append(TeacherInput(places, clip_ids, present, prepared, len(clips)))
    return inputs


def judge_batch(teachers: Sequence[Teacher], inputs: Sequence[TeacherInput]) -> Answers:
    """Evidence of the clips of a batch.

    Args:
        teachers: One per role.
        inputs: Of each teacher, from `prepare_batch`.

    Raises:
        ValueError: A teacher answers NaN or more than float16 holds.
    """
    answers: Answers = {}
    for teacher, given in zip(teachers, inputs, strict=True):
        found: list[Evidence | None] = [None] * given.num_clips
        for place, clip_id, present, answer in zip(
            given.places, given.clip_ids, given.present, _judge(teacher, given), strict=True
        ):
            _check_finite(teacher, clip_id, answer)
            found[place] = _mask_absent(answer, present)
        answers[teacher.role] = found
    return answers


def _judge(teacher: Teacher, given: TeacherInput) -> list[Evidence]:
    """What a teacher says of the clips it was given."""
    if not given.places:
        return []
    staged = isinstance(teacher, StagedTeacher)
    return teacher.judge_many(given.prepared) if staged else teacher.encode_many(given.prepared)


def _check_finite(teacher: Teacher, clip_id: str, answer: Evidence) -> None:
    """Refuse evidence the store could not hold: NaN would read as absent."""
    largest = np.finfo(np.float16).max
    judged = {} if answer.similarity is None else {"similarity": answer.similarity}
    for name, array in {**judged, **answer.features}.items():
        if not (np.abs(array) <= largest).all():
            raise ValueError(
                f"{clip_id}: {name} of the {teacher.role} teacher must be finite and at most {largest:.0f}, got NaN or "
                "more; check its weights"
            )


def _has_streams(teacher: Teacher, media: ClipMedia) -> bool:
    """Whether the clip has what the role of the teacher needs."""
    return all(getattr(media, stream) is not None for stream in NEEDS[teacher.role])


def _mask_absent(answer: Evidence, present: np.ndarray | None) -> Evidence:
    """NaN for the segments past the end of a short video, in every array that has one row per segment."""
    if present is None or present.all():
        return answer
    absent = ~present

    def masked(array: np.ndarray) -> np.ndarray:
        return np.where(absent[:, None], np.array(np.nan, array.dtype), array) if len(array) == len(absent) else array

    features = {name: masked(array) for name, array in answer.features.items()}
    return Evidence(features, None if answer.similarity is None else masked(answer.similarity))


def _stack(teacher: Teacher, answers: Sequence[Evidence | None], num_segments: int) -> dict[str, np.ndarray]:
    """Arrays of one teacher for a shard: float32 similarity, float16 features, NaN where a clip has no evidence."""
    arrays: dict[str, np.ndarray] = {}
    prompts = teacher.identity().get("prompts")
    if prompts is not None:
        shape = (len(answers), num_segments, len(prompts))
        arrays[f"{teacher.role}.similarity"] = np.full(shape, np.nan, np.float32)
    for row, answer in enumerate(answers):
        if answer is None:
            continue
        if answer.similarity is not None:
            arrays[f"{teacher.role}.similarity"][row] = answer.similarity
        for feature, array in answer.features.items():
            name = f"{teacher.role}.{feature}"
            if name not in arrays:
                arrays[name] = np.full((len(answers), *array.shape), np.nan, np.float16)
            arrays[name][row] = array
    return arrays
