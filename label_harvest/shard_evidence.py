"""Evidence of the clips of one shard: gathered from the teachers batch by batch, joined into arrays of the store."""

from collections.abc import Mapping, Sequence

import numpy as np

from .clip_media import ClipMedia
from .evidence import NEEDS, Evidence, Teacher
from .shard_plan import UNREAD, ShardPlan
from .shards import ShardRow

ReadClip = tuple[ShardRow, ClipMedia | None]
"""What was found of a clip, and its media where there is any."""


class ShardEvidence:
    """A shard that fills up; its batches may come in any order."""

    def __init__(
        self,
        plan: ShardPlan,
        teachers: Sequence[Teacher],
        num_segments: int,
        old: Mapping[str, np.ndarray],
        batches: int,
    ) -> None:
        """Start with what is there already.

        Args:
            plan: What is to be made.
            teachers: One per role.
            num_segments: T of the grid.
            old: Arrays of the shard as it is, empty for one that is made from nothing.
            batches: How many will come.
        """
        self.plan = plan
        self.rows = list(plan.rows)
        self._teachers = teachers
        self._num_segments = num_segments
        self._old = old
        self._answers: dict[str, dict[int, Evidence]] = {teacher.role: {} for teacher in teachers}
        self._kept = set() if plan.again is None else set(range(len(plan.rows)))
        self._left = batches

    @property
    def is_complete(self) -> bool:
        """Whether all batches have come."""
        return self._left == 0

    @property
    def is_changed(self) -> bool:
        """Whether anything else is known now than was."""
        return self.plan.again is None or tuple(self.rows) != self.plan.rows

    def add(self, positions: Sequence[int], clips: Sequence[ReadClip]) -> None:
        """Have the teachers judge a batch.

        Args:
            positions: Places of the clips in the shard.
            clips: What was read of them.
        """
        fresh = {
            position: clip
            for position, clip in zip(positions, clips, strict=True)
            if not self._is_better_kept(position, clip)
        }
        self.rows = [fresh[position][0] if position in fresh else row for position, row in enumerate(self.rows)]
        self._kept -= set(fresh)
        for teacher in self._teachers:
            answers = encode(teacher, list(fresh.values()))
            self._answers[teacher.role].update(
                {position: answer for position, answer in zip(fresh, answers, strict=True) if answer is not None}
            )
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

    def _is_better_kept(self, position: int, clip: ReadClip) -> bool:
        """Whether a clip that was only read for company can no longer be read; then what is known of it stays."""
        again = self.plan.again
        return again is not None and position not in again and clip[0].status in UNREAD


def encode(teacher: Teacher, clips: Sequence[ReadClip]) -> list[Evidence | None]:
    """Evidence of the clips that have the streams the teacher needs, None for the others.

    Raises:
        ValueError: The teacher answers NaN or more than float16 holds.
    """
    usable = {row.clip_id: media for row, media in clips if media is not None and _has_streams(teacher, media)}
    answers: dict[str, Evidence] = {}
    if usable:
        for clip_id, answer in zip(usable, teacher.encode_many(list(usable.values())), strict=True):
            _check_finite(teacher, clip_id, answer)
            looks = NEEDS[teacher.role] != ("waveform",)
            answers[clip_id] = _mask_absent(answer, usable[clip_id]) if looks else answer
    return [answers.get(row.clip_id) for row, _ in clips]


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


def _mask_absent(answer: Evidence, media: ClipMedia) -> Evidence:
    """NaN for the segments past the end of a short video, in every array that has one row per segment."""
    if media.frames_present is None or media.frames_present.all():
        return answer
    absent = ~media.frames_present

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
