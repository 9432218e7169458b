"""The arrays of one shard: clips go through the teachers batch by batch, and what they answer is joined.

What is absent, a stream or a segment past the end of a video, is NaN.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from ..media.clip import ClipMedia
from ..teachers.own import ClipFaultError, asked, check_repeats, check_shapes, note_alone, own_file
from ..teachers.teacher import Evidence, StagedTeacher, Teacher, needs_of
from .plan import UNREAD, ShardPlan
from .shards import ShardRow, clip_slices, num_rows, row_of, rows_of_clips

logger = logging.getLogger(__name__)

ReadClip = tuple[ShardRow, ClipMedia | None]
"""What was found of a clip, and its media where there is any."""
Answers = dict[str, list[Evidence | None]]
"""By role, what the teacher says of each clip of a batch; None of one without the streams it needs."""
Faults = dict[int, ClipFaultError]
"""By place in a batch, what a teacher of one's own raised of a clip."""
OldShard = tuple[list[ShardRow], dict[str, np.ndarray]]
"""Rows and arrays of a shard that is there."""


class ShardEvidence:
    """A shard that fills up; its batches may come in any order."""

    def __init__(
        self,
        plan: ShardPlan,
        teachers: Sequence[Teacher],
        num_segments: int | None,
        old: OldShard | None,
        batches: int,
    ) -> None:
        """Start with what is there already.

        Args:
            plan: What is to be made.
            teachers: One per role.
            num_segments: T of the grid; None for clips of any length.
            old: The shard as it is, None for one that is made from nothing.
            batches: How many will come.
        """
        self.plan = plan
        self._was, self._old = old or ([], {})
        self.rows = [*self._was] or [row_of(row, row.status, row.message) for row in plan.rows]
        self._teachers = teachers
        self._num_segments = num_segments
        self._answers: dict[str, dict[int, Evidence]] = {teacher.role: {} for teacher in teachers}
        self._kept = set() if plan.again is None else set(range(len(plan.rows)))
        self._left = batches

    @property
    def is_complete(self) -> bool:
        """Whether all batches have come."""
        return self._left == 0

    @property
    def is_made_anew(self) -> bool:
        """Whether nothing of what was there is left in it."""
        return not self._kept

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
        slices = None if self._num_segments else clip_slices(self.rows)
        for teacher in self._teachers:
            answers = [self._answers[teacher.role].get(n) for n in range(len(self.rows))]
            stacked = _joined(teacher, answers, slices) if slices else _stack(teacher, answers, self._num_segments or 0)
            arrays.update(stacked)
        kept = sorted(self._kept)
        for name, old in self._old.items() if kept else ():
            known = rows_of_clips(old, self._was, kept)
            if name not in arrays and not np.isnan(known).all():
                arrays[name] = np.full((num_rows(self.rows), *old.shape[1:]), np.nan, old.dtype)
            if name in arrays:
                places = np.concatenate([np.arange(num_rows(self.rows))[slices[n]] for n in kept]) if slices else kept
                arrays[name][places] = known
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
    segments: list[int]
    """How many each has."""
    present: list[np.ndarray | None]
    """bool [T] of each, False for segments past the end of its video; None for all."""
    prepared: object
    """As the teacher prepared it, or the clips themselves."""
    num_clips: int
    """Clips of the whole batch."""
    clips: Sequence[ReadClip] = ()
    """The clips as they were decoded, for a teacher of one's own."""
    fault: ClipFaultError | None = None
    """What it raised when it was to prepare them."""


def prepare_batch(teachers: Sequence[Teacher], clips: Sequence[ReadClip]) -> list[TeacherInput]:
    """Do for each teacher what needs no network: choose the clips it can judge, and have it prepare them."""
    inputs = []
    for teacher in teachers:
        places = [
            place
            for place, (_, media) in enumerate(clips)
            if media and all(getattr(media, stream) is not None for stream in needs_of(teacher))
        ]
        inputs.append(_prepared(teacher, places, [clips[place] for place in places], len(clips)))
    return inputs


def _prepared(teacher: Teacher, places: list[int], clips: Sequence[ReadClip], num_clips: int) -> TeacherInput:
    """What a teacher is given of the clips that it can judge."""
    chosen = [media for _, media in clips if media is not None]
    clip_ids = [row.clip_id for row, _ in clips]
    prepared: object = chosen
    fault = None
    if places and isinstance(teacher, StagedTeacher):
        try:
            prepared = asked(teacher, teacher.prepare_many, chosen, clip_ids)
        except ClipFaultError as error:
            fault = error
    looks = needs_of(teacher) != ("waveform",)
    present = [media.frames_present if looks else None for media in chosen]
    segments = [media.grid.num_segments for media in chosen]
    kept = clips if own_file(teacher) else ()
    return TeacherInput(places, clip_ids, segments, present, prepared, num_clips, kept, fault)


def judge_batch(teachers: Sequence[Teacher], inputs: Sequence[TeacherInput]) -> tuple[Answers, Faults]:
    """Evidence of the clips of a batch.

    Args:
        teachers: One per role.
        inputs: Of each teacher, from `prepare_batch`.

    Returns:
        What they say, and the clips that one of one's own fails at, of which then none says anything.

    Raises:
        ValueError: A teacher answers NaN or more than float16 holds, or one of one's own what is no evidence, or it
            fails for want of memory.
    """
    answers: Answers = {}
    faults: Faults = {}
    for teacher, given in zip(teachers, inputs, strict=True):
        found: list[Evidence | None] = [None] * given.num_clips
        for place, clip_id, present, answer in zip(
            given.places, given.clip_ids, given.present, _judge(teacher, given), strict=True
        ):
            if isinstance(answer, ClipFaultError):
                if faults.setdefault(place, answer) is not answer:
                    answer.forget()
                continue
            _check_finite(teacher, clip_id, answer)
            found[place] = _mask_absent(answer, present)
        answers[teacher.role] = found
    for found in answers.values():
        for place in faults:
            found[place] = None
    return answers, faults


def _judge(teacher: Teacher, given: TeacherInput) -> Sequence[Evidence | ClipFaultError]:
    """What a teacher says of the clips it was given, or raises; where it raises of several, each is asked alone."""
    if not given.places:
        return []
    try:
        answers = _answers(teacher, given)
    except ClipFaultError as error:
        fault = error
    else:
        check_shapes(teacher, given.clip_ids, given.segments, answers)
        if given.clips and (first := given.clips[0][1]) is not None:
            check_repeats(teacher, given.clip_ids[0], first)
        return answers
    if len(given.places) == 1:
        return [fault]
    fault.forget()
    alone = (
        _prepared(teacher, [place], [clip], given.num_clips)
        for place, clip in zip(given.places, given.clips, strict=True)
    )
    found = [answer for one in alone for answer in _judge(teacher, one)]
    if not any(isinstance(answer, ClipFaultError) for answer in found):
        note_alone(teacher, fault)
    return found


def _answers(teacher: Teacher, given: TeacherInput) -> list[Evidence]:
    if given.fault is not None:
        raise given.fault
    if isinstance(teacher, StagedTeacher):
        return asked(teacher, teacher.judge_many, given.prepared, given.clip_ids)
    return asked(teacher, teacher.encode_many, cast(list[ClipMedia], given.prepared), given.clip_ids)


def _check_finite(teacher: Teacher, clip_id: str, answer: Evidence) -> None:
    """Refuse evidence the store could not hold: NaN would read as absent."""
    largest = np.finfo(np.float16).max
    judged = {} if answer.similarity is None else {"similarity": answer.similarity}
    for name, array in {**judged, **answer.features}.items():
        if not (np.abs(array) <= largest).all():
            file = own_file(teacher)
            raise ValueError(
                f"{f'{file}: ' if file else ''}{name} of the {teacher.role} teacher must be finite and at most "
                f"{largest:.0f}, got NaN or more for the clip {clip_id}; {'mend it' if file else 'check its weights'}"
            )


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
    if isinstance(prompts, Sequence):
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


def _joined(teacher: Teacher, answers: Sequence[Evidence | None], slices: Sequence[slice]) -> dict[str, np.ndarray]:
    """The same of clips of any length: one row per segment, the clips one after another."""
    found = [{} if answer is None else dict(answer.features) for answer in answers]
    widths = {name: array.shape[1] for features in found for name, array in features.items()}
    prompts = teacher.identity().get("prompts")
    dtypes: dict[str, type[np.floating]] = dict.fromkeys(widths, np.float16)
    if isinstance(prompts, Sequence):
        widths, dtypes = {"similarity": len(prompts), **widths}, {"similarity": np.float32, **dtypes}
        for features, answer in zip(found, answers, strict=True):
            if answer is not None and answer.similarity is not None:
                features["similarity"] = answer.similarity
    rows = slices[-1].stop
    arrays = {name: np.full((rows, width), np.nan, dtypes[name]) for name, width in widths.items()}
    for place, features in zip(slices, found, strict=True):
        for name, array in features.items():
            arrays[name][place] = array
    return {f"{teacher.role}.{name}": array for name, array in arrays.items()}
