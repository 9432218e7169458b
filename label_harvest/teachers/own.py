"""Faults of a teacher of one's own, said with its file and line, its role and the clip: it is no network of ours."""

import inspect
import json
import logging
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

import numpy as np

from ..machine import machine_fault, memory_fault
from ..media.clip import ClipMedia
from .teacher import NEEDS, Evidence, EvidenceError, StagedTeacher, Teacher, needs_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SHOWN = 5
_MOST_LETTERS = 300
"""Of what an exception says, in the row of a clip."""
_OWN_MODULE = "valor_own_"
"""As `store.origins` calls the modules of files of one's own."""


class TeacherFaultError(ValueError):
    """A teacher of one's own failed, or answered in another shape than its prompts ask for."""


class ClipFaultError(TeacherFaultError):
    """What a teacher of one's own raised of the clips it was given, which other clips need not suffer from."""

    role = told = trace = ""
    """Whose; file, line and exception for the row of a clip, the same on every machine; the whole way there."""

    def forget(self) -> None:
        """Let go of what was raised: the frames on its way hold the clips, and this error in a ring."""
        self.__cause__ = self.__context__ = self.__traceback__ = None


def own_file(teacher: Teacher) -> str | None:
    """The file of one's own that defines a teacher; None of ours."""
    module = type(teacher).__module__
    return getattr(sys.modules.get(module), "__file__", None) if module.startswith(_OWN_MODULE) else None


_ABSENT = object()
_NAMED = ("teacher", "weights", "precision")
"""What the identity of any teacher holds, in words."""
_JUDGING = {"prompts": list, "logit_scale": float | int, "logit_bias": float | int}
"""What that of one that judges holds besides."""


def check_members(teacher: Any, role: str | None = None) -> None:  # noqa: ANN401, whatever was built
    """Refuse a teacher that lacks what `Teacher` asks for, before the first clip.

    One that needs no sound and has no `sample_rate` gets None.

    Args:
        teacher: Once it is built.
        role: That it goes by in `TEACHERS`; None for any.

    Raises:
        TeacherFaultError: A member is absent, fails or is of another kind; names the file or class, and the member.
    """
    who = f"{own_file(teacher) or type(teacher).__module__}: the teacher {type(teacher).__name__}"
    found = _member(teacher, who, "role", f"one of {', '.join(NEEDS)}")
    if found not in NEEDS or role not in (None, found):
        raise TeacherFaultError(f"{who} must have the role {role or 'of ' + ', '.join(NEEDS)}, got {found!r}")
    if inspect.getattr_static(teacher, "sample_rate", _ABSENT) is _ABSENT and not hasattr(teacher, "sample_rate"):
        if "waveform" in needs_of(teacher):
            raise TeacherFaultError(
                f"{who} hears and has no `sample_rate`; give it the samples a second of its sound, or None for any"
            )
        with suppress(AttributeError):  # of slots
            teacher.sample_rate = None
    rate = _member(teacher, who, "sample_rate", "None, or the samples a second it hears at")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int) or rate < 1):
        raise TeacherFaultError(f"{who} must have a `sample_rate` in whole samples a second, or None, got {rate!r}")
    for name, told in (("identity", "what it answers names its evidence"), ("encode_many", "it is given clips")):
        if not callable(_member(teacher, who, name, f"a method; {told}")):
            raise TeacherFaultError(f"{who} must have a method `{name}`, got {getattr(teacher, name)!r:.60}")
    _check_identity(teacher, who)


def _member(teacher: Any, who: str, name: str, told: str) -> Any:  # noqa: ANN401
    """A member of a teacher, whatever it is."""
    try:
        return getattr(teacher, name)
    except Exception as error:
        if isinstance(error, AttributeError) and error.obj is teacher and error.name == name:
            raise TeacherFaultError(f"{who} has no `{name}` ({told}); give it one") from error
        raise TeacherFaultError(f"{who} fails at `{name}` ({type(error).__name__}: {error}); mend it") from error


def _check_identity(teacher: Any, who: str) -> None:  # noqa: ANN401
    """Refuse an identity that cannot name evidence."""
    try:
        identity = teacher.identity()
    except Exception as error:
        raise TeacherFaultError(f"{who} fails at `identity` ({type(error).__name__}: {error}); mend it") from error
    if not isinstance(identity, Mapping):
        raise TeacherFaultError(f"{who}: `identity` must answer a dict, got {type(identity).__name__}")
    asked_for = dict.fromkeys(_NAMED, str) | (_JUDGING if _JUDGING.keys() & identity.keys() else {})
    wrong = [name for name, kind in asked_for.items() if not isinstance(identity.get(name), kind)]
    if wrong:
        named = (
            f"{', '.join(_NAMED)} as words, and of one that judges prompts as a list and {', '.join([*_JUDGING][1:])}"
        )
        raise TeacherFaultError(f"{who}: `identity` must have {named} as numbers; mend {', '.join(wrong)}")
    try:
        json.dumps(identity, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TeacherFaultError(f"{who}: `identity` must be values of JSON ({error}); mend it") from error


def _media_has(error: Exception) -> str:
    """What a clip has, where it was asked for something else."""
    if not isinstance(error, AttributeError) or not isinstance(error.obj, ClipMedia):
        return ""
    return f"; a clip has {', '.join(field.name for field in fields(ClipMedia))}"


def asked(teacher: Teacher, ask: Callable[[Any], T], given: Any, clip_ids: Sequence[str]) -> T:  # noqa: ANN401
    """What a teacher answers; a fault of one of one's own is said with file, line, role and clip.

    Args:
        teacher: Whose method is asked.
        ask: The method.
        given: What it is asked.
        clip_ids: Of the clips it is asked about.

    Raises:
        ClipFaultError: A teacher of one's own failed, and may not at other clips.
        TeacherFaultError: It failed for want of memory or of the machine, or answers what no store holds.
    """
    file = own_file(teacher)
    if file is None:
        return ask(given)
    try:
        return ask(given)
    except Exception as error:
        raise _fault(teacher, file, clip_ids, error) from error


def _fault(teacher: Teacher, file: str, clip_ids: Sequence[str], error: Exception) -> TeacherFaultError:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = f", line {lines[-1]}" if lines else ""
    clips = f"one of the clips {', '.join(clip_ids[:_SHOWN])}{', ...' * (len(clip_ids) > _SHOWN)}"
    which = f"the clip {clip_ids[0]}" if len(clip_ids) == 1 else clips
    raised = f"{type(error).__name__}: {error}{_media_has(error)}"
    if memory_fault(error):
        less = "give fewer clips at a time (a smaller `clips_per_batch`), or make its network smaller"
        return TeacherFaultError(
            f"{file}{line}: the {teacher.role} teacher lacks memory for {which} ({raised}); {less}, and run again"
        )
    said = f"{file}{line}: the {teacher.role} teacher fails at {which} ({raised})"
    said += "; mend it, or leave the clip out of the table"
    no_evidence = isinstance(error, EvidenceError) and len(clip_ids) == 1  # of several each is asked first
    if no_evidence or machine_fault(error) or _ends_the_gpu(error):
        return TeacherFaultError(said)
    fault = ClipFaultError(said)
    fault.role, raised = teacher.role, " ".join(raised.split())
    fault.told = f"{Path(file).name}{line}: the {teacher.role} teacher fails ({raised:.{_MOST_LETTERS}})"
    begin = error.__traceback__ and error.__traceback__.tb_next  # behind the line here that asked
    fault.trace = "".join(traceback.format_exception(type(error), error, begin)).rstrip()
    return fault


def _ends_the_gpu(error: Exception) -> bool:
    """Whether a GPU takes no more work of this process."""
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)


def note_alone(teacher: Teacher, fault: ClipFaultError) -> None:
    """Say, once for each class of teachers, that one of one's own fails at clips together and at none of them alone."""
    if type(teacher) not in _ASKED_ALONE:
        _ASKED_ALONE.add(type(teacher))
        logger.warning("%s. At none of them it fails alone, so they are asked one by one\n%s", fault, fault.trace)


_ASKED_ALONE: WeakSet[type] = WeakSet()
"""Teachers of one's own of which that is said."""


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
        TeacherFaultError: There are other answers than clips, a similarity is not [segments, classes], or no cosine
            though the logit scale is none of logits.
    """
    file = own_file(teacher)
    if file is None:
        return
    if not isinstance(answers, Sequence) or not all(isinstance(answer, Evidence) for answer in answers):
        kinds = [type(one).__name__ for one in answers] if isinstance(answers, Sequence) else [type(answers).__name__]
        raise TeacherFaultError(
            f"{file}: the {teacher.role} teacher must answer a list of Evidence, one a clip, got {kinds[0]}"
        )
    if len(answers) != len(clip_ids):
        raise TeacherFaultError(
            f"{file}: the {teacher.role} teacher must answer once for each of {len(clip_ids)} clips "
            f"({', '.join(clip_ids[:_SHOWN])}), got {len(answers)} answers"
        )
    identity = teacher.identity()
    prompts, as_they_are = identity.get("prompts"), (identity.get("logit_scale"), identity.get("logit_bias")) == (1, 0)
    for clip_id, count, answer in zip(clip_ids, segments, answers, strict=True):
        if answer.similarity is not None and prompts is None:
            raise TeacherFaultError(
                f"{file}: the {teacher.role} teacher answers a similarity for the clip {clip_id}, and its `identity` "
                "names no prompts, logit_scale and logit_bias; give it those"
            )
        if isinstance(prompts, Sequence) and answer.similarity is not None:
            wanted, got = (count, len(prompts)), answer.similarity.shape
            if got != wanted:
                raise TeacherFaultError(
                    f"{file}: similarity of the {teacher.role} teacher must be [segments, classes] {wanted}, got "
                    f"{got} for the clip {clip_id}"
                )
            largest = float(np.abs(answer.similarity).max(initial=0))
            if largest > 1 + _COSINE_ROUNDING and not as_they_are:  # NaN is said by whom the store asks
                raise TeacherFaultError(
                    f"{file}: similarity of the {teacher.role} teacher must be cosines in [-1, 1], got up to "
                    f"{largest:.4g} for the clip {clip_id}; leave the scale to `logit_scale` and `logit_bias` of its "
                    "`identity`, or, where it answers logits, say 1 and 0 there"
                )


def check_repeats(teacher: Teacher, clip_id: str, clip: ClipMedia) -> None:
    """Refuse a teacher of one's own that answers otherwise when it is asked again, once for each class of teachers.

    Args:
        teacher: Who is asked, twice.
        clip_id: Of its first clip.
        clip: Its first clip.

    Raises:
        TeacherFaultError: The second answer is another, beyond rounding; names the file and the array.
    """
    file = own_file(teacher)
    if file is None or type(teacher) in _ASKED_TWICE:
        return
    _ASKED_TWICE.add(type(teacher))
    first, second = (_arrays(_alone(teacher, clip_id, clip)) for _ in range(2))
    for name, one in first.items():
        other = second.get(name)
        if other is None or one.shape != other.shape:
            far = "is of another shape or absent"
        elif not np.allclose(one, other, rtol=_REPEATS_WITHIN, atol=_REPEATS_WITHIN, equal_nan=True):
            far = f"differs by up to {np.nanmax(np.abs(one.astype(np.float64) - other)):.3g}"
        else:
            continue
        raise TeacherFaultError(
            f"{file}: the {teacher.role} teacher answers otherwise when it is asked again about the clip {clip_id} "
            f"({name} {far}), so clips that are read again, and shares of a harvest, would not fit together; take out "
            "what is random or remembered from clip to clip, such as dropout (`network.eval()`)"
        )


_COSINE_ROUNDING = 0.01
"""A cosine of bfloat16 may be so much above 1."""
_REPEATS_WITHIN = 1e-3
"""Networks on a GPU add in no fixed order, and answer within less than this."""
_ASKED_TWICE: WeakSet[type] = WeakSet()
"""Teachers of one's own that this process has asked twice."""


def _alone(teacher: Teacher, clip_id: str, clip: ClipMedia) -> Evidence:
    """What a teacher says of one clip by itself."""
    if not isinstance(teacher, StagedTeacher):
        return asked(teacher, teacher.encode_many, [clip], [clip_id])[0]
    prepared = asked(teacher, teacher.prepare_many, [clip], [clip_id])
    return asked(teacher, teacher.judge_many, prepared, [clip_id])[0]


def _arrays(answer: Evidence) -> dict[str, np.ndarray]:
    return {**answer.features, **({} if answer.similarity is None else {"similarity": answer.similarity})}
