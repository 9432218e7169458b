"""Faults of a teacher of one's own, said with its file and line, its role and the clip: it is no network of ours."""

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .teacher import Evidence, Teacher

T = TypeVar("T")
_SHOWN = 5
_OWN_MODULE = "valor_own_"
"""As `store.origins` calls the modules of files of one's own."""


class TeacherFaultError(ValueError):
    """A teacher of one's own failed, or answered in another shape than its prompts ask for."""


def own_file(teacher: Teacher) -> str | None:
    """The file of one's own that defines a teacher; None of ours."""
    module = type(teacher).__module__
    return getattr(sys.modules.get(module), "__file__", None) if module.startswith(_OWN_MODULE) else None


def asked(
    teacher: Teacher,
    ask: Callable[[Any], T],
    given: Any,
    clip_ids: Sequence[str],
    *,
    by_clip: bool = True,  # noqa: ANN401
) -> T:
    """What a teacher answers; a fault of one of one's own is said with file, line, role and clip.

    Args:
        teacher: Whose method is asked.
        ask: The method.
        given: What it is asked; of clips a sequence.
        clip_ids: Of the clips.
        by_clip: Whether what is given can be given clip by clip, to find the one it fails on.

    Raises:
        TeacherFaultError: A teacher of one's own failed.
    """
    file = own_file(teacher)
    if file is None:
        return ask(given)
    try:
        return ask(given)
    except Exception as error:
        found, which = error, f"one of the clips {', '.join(clip_ids[:_SHOWN])}{', ...' * (len(clip_ids) > _SHOWN)}"
        for clip_id, one in zip(clip_ids, given, strict=True) if by_clip else ():
            try:
                ask([one])
            except Exception as alone:  # noqa: BLE001, whatever it raises is said
                found, which = alone, f"the clip {clip_id}"
                break
        lines = [frame.lineno for frame in traceback.extract_tb(found.__traceback__) if frame.filename == file]
        where = f"{file}, line {lines[-1]}" if lines else file
        raise TeacherFaultError(
            f"{where}: the {teacher.role} teacher fails at {which} ({type(found).__name__}: {found}); mend it, or "
            "leave the clip out of the table"
        ) from error


def check_shapes(
    teacher: Teacher, clip_ids: Sequence[str], segments: Sequence[int], answers: Sequence[Evidence]
) -> None:
    """Refuse answers of a teacher of one's own that are of another shape than is asked for.

    Args:
        teacher: Who answered.
        clip_ids: The clips.
        segments: How many segments each has.
        answers: Of each.

    Raises:
        TeacherFaultError: There are other answers than clips, or a similarity is not [segments, classes].
    """
    file = own_file(teacher)
    if file is None:
        return
    if len(answers) != len(clip_ids):
        raise TeacherFaultError(
            f"{file}: the {teacher.role} teacher must answer once for each of {len(clip_ids)} clips "
            f"({', '.join(clip_ids[:_SHOWN])}), got {len(answers)} answers"
        )
    prompts = teacher.identity().get("prompts")
    for clip_id, count, answer in zip(clip_ids, segments, answers, strict=True):
        if isinstance(prompts, Sequence) and answer.similarity is not None:
            wanted, got = (count, len(prompts)), answer.similarity.shape
            if got != wanted:
                raise TeacherFaultError(
                    f"{file}: similarity of the {teacher.role} teacher must be [segments, classes] {wanted}, got "
                    f"{got} for the clip {clip_id}"
                )
