"""What a teacher is and what it answers: the one protocol every teacher follows, real, tiny or faked in a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from .media import ClipMedia

ROLES = ("visual", "audio", "fused")
"""Which streams of a clip a teacher judges; `fused` means one network that needs both at once."""
NEEDS: dict[str, tuple[str, ...]] = {
    "visual": ("frames",),
    "audio": ("waveform",),
    "fused": ("frames", "waveform"),
    "res152": ("slots",),
    "r2plus1d": ("slots",),
    "vggish": ("waveform",),
}
"""Streams of a `ClipMedia` each role needs. The last three are feature extractors: they read no prompts, judge nothing,
and answer with features alone."""


class TeacherUnavailableError(RuntimeError):
    """The weights of a teacher are neither on this machine nor to be fetched; the message says what to give instead."""


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
            raise ValueError(
                "similarity must be float32 [segments, classes], "
                f"got {self.similarity.dtype} {list(self.similarity.shape)}; transpose or cast it in the teacher"
            )
        for name, array in self.features.items():
            if array.ndim != 2:
                raise ValueError(f"feature {name!r} must be [rows, width], got {list(array.shape)}; reshape it")


class Teacher(Protocol):
    """A frozen network that scores the segments of a clip against one prompt per class."""

    @property
    def role(self) -> str:
        """`visual`, `audio` or `fused`, or that of a feature extractor; a key of `NEEDS`."""

    @property
    def sample_rate(self) -> int | None:
        """Samples per second the waveform must have, None where the teacher does not listen or takes any rate."""

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

    def encode(self, media: ClipMedia) -> Evidence:
        """Score one clip: `encode_many([media])[0]`."""


@runtime_checkable
class StagedTeacher(Teacher, Protocol):
    """A teacher that says which of its work needs no network, so that this can be done while the network is busy.

    `encode_many(clips)` is `judge_many(prepare_many(clips))`; the two may be called in different threads.
    """

    def prepare_many(self, clips: Sequence[ClipMedia]) -> object:
        """Bring clips to what the network takes in."""

    def judge_many(self, prepared: object) -> list[Evidence]:
        """Score what `prepare_many` gave."""
