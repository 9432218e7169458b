"""What a teacher is and what it answers: the one protocol every teacher follows, real, tiny or faked in a test.

Captions of the classes as a teacher reads them: one per class, or several whose embeddings are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from ..media.clip import ClipMedia

if TYPE_CHECKING:
    import torch


Prompts = Sequence[str | Sequence[str]]
"""One caption per class, or several, in class order."""

PRECISIONS = ("float32", "bfloat16")
"""`bfloat16` keeps weights and activations in 16 bits and pictures in channels-last order; captions, unit lengths and
cosines stay in float32. Some labels near a threshold flip (`valor labels --margin` lists them), so it is part of the
identity of a teacher."""


class CaptionError(ValueError):
    """Captions of classes that a teacher does not read as they are."""

    def __init__(self, message: str, entries: Sequence[int] = ()) -> None:
        """Say what is wrong.

        Args:
            message: In words that go with any class.
            entries: Places of the classes it is said of.
        """
        super().__init__(message)
        self.entries = tuple(entries)

    def places(self, prompts: "Prompts") -> tuple[int, ...]:  # noqa: ARG002
        """Places of the classes it is said of, among the prompts."""
        return self.entries


class LongCaptionError(CaptionError):
    """A caption whose end the text tower would not read."""

    def __init__(self, caption: str, length: int) -> None:
        """Say which.

        Args:
            caption: As typed.
            length: Tokens the text tower reads.
        """
        super().__init__(
            f"the caption {caption!r} takes more than the {length} tokens the teacher reads, its end would be cut off; "
            "shorten it"
        )
        self.caption = caption

    def places(self, prompts: "Prompts") -> tuple[int, ...]:
        """See `CaptionError.places`."""
        return tuple(n for n, entry in enumerate(prompts) if self.caption in captions_of(entry))


def check_prompts(prompts: Prompts) -> None:
    """Refuse lists that cannot stand for classes.

    Raises:
        CaptionError: There is no class, or a class has no caption or a blank one.
    """
    groups = [captions_of(entry) for entry in prompts]
    blank = [index for index, group in enumerate(groups) if not group or not all(text.strip() for text in group)]
    if not groups or blank:
        message = f"prompts must be one caption per class or more, got {len(groups)} with blank entries {blank}"
        raise CaptionError(message, blank)


def captions_of(entry: str | Sequence[str]) -> tuple[str, ...]:
    """The captions of one class."""
    return (entry,) if isinstance(entry, str) else tuple(entry)


def all_captions(prompts: Prompts) -> list[str]:
    """The captions of all classes one after the other, to be encoded in one go."""
    return [caption for entry in prompts for caption in captions_of(entry)]


def class_embeddings(embeddings: "torch.Tensor", prompts: Prompts) -> "torch.Tensor":
    """The embedding of each class: its caption's, or the mean of its captions' brought back to length 1.

    Args:
        embeddings: float [P, D] of length 1, in the order of `all_captions`.
        prompts: The captions, by class.

    Returns:
        float [C, D] of length 1; a class with one caption keeps its embedding to the bit.
    """
    import torch
    from torch.nn import functional

    groups = embeddings.split([len(captions_of(entry)) for entry in prompts])
    means = [group[0] if len(group) == 1 else functional.normalize(group.mean(0), dim=0) for group in groups]
    return torch.stack(means)


def as_json(prompts: Prompts) -> list[str | list[str]]:
    """The captions as they stand in the identity of a teacher."""
    return [entry if isinstance(entry, str) else list(entry) for entry in prompts]


ROLES = ("visual", "audio", "fused")
"""Which streams of a clip a teacher judges; `fused` means one network that needs both at once."""
NEEDS: dict[str, tuple[str, ...]] = {
    "visual": ("frames",),
    "audio": ("waveform",),
    "fused": ("frames", "waveform"),
    "res152": ("slots",),
    "r2plus1d": ("slots",),
    "vggish": ("waveform",),
    "lavish": ("frames", "waveform"),
    "raw": ("frames", "waveform"),
}
"""Streams of a `ClipMedia` each role needs. The last five are feature extractors: they read no prompts, judge nothing,
and answer with features alone."""


def needs_of(teacher: "Teacher") -> tuple[str, ...]:
    """Streams of a `ClipMedia` that a teacher needs: those of its role, unless it says in `needs` which."""
    needs: tuple[str, ...] = getattr(teacher, "needs", NEEDS[teacher.role])
    return needs


def stream_of(clip: ClipMedia, name: str) -> np.ndarray:
    """A stream that a role needs.

    Raises:
        ValueError: The clip lacks it.
    """
    stream = getattr(clip, name)
    if stream is None:
        raise ValueError(f"a teacher that needs {name} got a clip without ({clip.status}); leave it out")
    return np.asarray(stream)


class TeacherUnavailableError(RuntimeError):
    """The weights of a teacher are neither on this machine nor to be fetched; the message says what to give instead."""


class EvidenceError(ValueError):
    """Arrays that a store could not hold."""


@dataclass(frozen=True)
class Evidence:
    """What one teacher says about one clip, before any threshold or clip tag is applied."""

    features: dict[str, np.ndarray]
    """float arrays by name, usually `embedding` [T, D]; other row counts are allowed (`map` [64, 768])."""
    similarity: np.ndarray | None = None
    """float32 [T, C], cosine of each segment to each class prompt, in [-1, 1]; None of a feature extractor."""

    def __post_init__(self) -> None:
        """Refuse arrays a store could not hold."""
        if self.similarity is not None and (self.similarity.ndim != 2 or self.similarity.dtype != np.float32):
            raise EvidenceError(
                "similarity must be float32 [segments, classes], "
                f"got {self.similarity.dtype} {list(self.similarity.shape)}; transpose or cast it in the teacher"
            )
        for name, array in self.features.items():
            if array.ndim != 2:
                raise EvidenceError(f"feature {name!r} must be [rows, width], got {list(array.shape)}; reshape it")


class Teacher(Protocol):
    """A frozen network that scores the segments of a clip against one prompt per class."""

    @property
    def role(self) -> str:
        """`visual`, `audio` or `fused`, or that of a feature extractor; a key of `NEEDS`."""

    @property
    def sample_rate(self) -> int | None:
        """Samples per second the waveform must have, None where the teacher does not listen or takes any rate.

        One of your own that needs no waveform may leave it out.
        """

    def identity(self) -> dict[str, object]:
        """Everything that changes the evidence, as JSON values.

        Holds at least `teacher`, `weights` (a sha256, or `random`) and `precision`; of a teacher that judges also
        `prompts` (one entry per class, a str or a list of str), `logit_scale` and `logit_bias` (float).
        """

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Score clips together, so that a batch may span clips; one `Evidence` per clip, in their order.

        Every clip has the streams the role needs; the answer for a clip does not depend on its company beyond
        floating-point rounding.
        """


@runtime_checkable
class StagedTeacher(Teacher, Protocol):
    """A teacher that says which of its work needs no network, so that this can be done while the network is busy.

    `encode_many(clips)` is `judge_many(prepare_many(clips))`; the two may be called in different threads.
    """

    def prepare_many(self, clips: Sequence[ClipMedia]) -> object:
        """Bring clips to what the network takes in."""

    def judge_many(self, prepared: object) -> list[Evidence]:
        """Score what `prepare_many` gave."""


@runtime_checkable
class SearchedTeacher(Teacher, Protocol):
    """A teacher whose feature `embedding` can be compared with captions, so that its clips can be searched by words."""

    @property
    def caption_embeddings(self) -> np.ndarray:
        """Of the prompts, float32 [C, P] of length 1."""

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """Features as a store keeps them, float [N, D], where captions lie: float32 [N, P] of length 1."""


@runtime_checkable
class SegmentTeacher(SearchedTeacher, Protocol):
    """A teacher that judges every segment by itself, so that one that lies in several windows is judged once.

    What it says of a segment rests on that segment's picture or sound alone. The similarities it would answer are those
    of `among_captions` of its feature `embedding` to `caption_embeddings`.
    """

    @property
    def of_whole_clips(self) -> tuple[str, ...]:
        """Names of those features of `encode_many` that are of a clip as a whole."""

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        """The features of segments, [T, D] by name, of a clip of any number of segments."""

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        """The features of whole clips, by name; those that a clip has."""


def similarity_of(teacher: Teacher, answer: Evidence) -> np.ndarray:
    """float32 [T, C], cosine of each segment to each caption of the teacher.

    Raises:
        ValueError: The teacher judges nothing.
    """
    if answer.similarity is not None:
        return answer.similarity
    if not isinstance(teacher, SegmentTeacher):
        raise ValueError(f"the teacher {teacher.identity()['teacher']} makes features and judges nothing; take another")
    cosines = teacher.among_captions(answer.features["embedding"]) @ teacher.caption_embeddings.T
    return np.asarray(cosines.clip(-1, 1), np.float32)


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows float [N, D] brought to length 1, float32; NaN stays NaN."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-8))
