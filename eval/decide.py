"""From probabilities to decisions: the thresholds and the gate, always named, since they move every score.

Convention
    A segment is marked if its probability reaches `segment_threshold` and its class passes the gate: the clip-level
    probability of the class reaches `clip_threshold`. Reaching means >=. The gate reads
        "clip"      one probability per clip and class, the same for both modalities (HAN, VALOR and most others);
        "modality"  one per clip, modality and class (JoMoLD, LSLD, CoLeaF, and others with their own thresholds);
        "none"      nothing: segments decide alone.
    The gate is a prediction of the parser, never the given tags.
    A threshold is compared in the precision of the probabilities, so that a stored 0.45 reaches 0.45.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import BoolArray

GATES = ("clip", "modality", "none")
"""What a class must pass besides the segment threshold."""

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """How probabilities become decisions. The defaults are those of HAN and VALOR."""

    segment_threshold: float = 0.5
    """A segment is marked from this probability on."""
    gate: str = "clip"
    """Which clip-level probability a class must reach as well: clip, modality or none."""
    clip_threshold: float = 0.5
    """The gate opens from this probability on; without meaning for the gate none."""

    def __post_init__(self) -> None:
        """Refuse unknown gates and thresholds that are no probabilities."""
        if self.gate not in GATES:
            raise ValueError(f"gate must be one of {', '.join(GATES)}, got {self.gate!r}")
        for name, threshold in (("segment", self.segment_threshold), ("clip", self.clip_threshold)):
            if not 0 <= threshold <= 1:
                raise ValueError(f"{name}_threshold must be a probability in 0..1, got {threshold}")


HAN_RULE = PostProcessing()
"""Both thresholds 0.5 with the clip gate: what HAN, VALOR and this project report."""


def decide(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    options: PostProcessing = HAN_RULE,
) -> BoolArray:
    """Turn the probabilities of a parser into decisions.

    Args:
        segment_probs: float [N, T, M, C], probability of each class in each segment and modality.
        clip_probs: float [N, C], probability of each class in the clip; needed by the gate clip.
        modality_probs: float [N, M, C], the same per modality; needed by the gate modality.
        options: thresholds and gate.

    Returns:
        bool [N, T, M, C], True where a segment is marked.

    Raises:
        ValueError: The gate's probabilities are missing, or an array is not float, has another shape, or leaves 0..1.

    Example:
        A class that no segment doubts but the clip does is not marked:

        >>> segment_probs = np.array([0.9, 0.9]).reshape(1, 1, 1, 2)
        >>> decide(segment_probs, clip_probs=np.array([[0.5, 0.4]])).tolist()
        [[[[True, False]]]]
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    marked: BoolArray = segment_probs >= options.segment_threshold
    num_clips, _, num_modalities, num_classes = segment_probs.shape
    if options.gate == "clip":
        gate = _gate("clip_probs", clip_probs, {"clips": num_clips, "classes": num_classes})
        marked &= (gate >= options.clip_threshold)[:, np.newaxis, np.newaxis]
    elif options.gate == "modality":
        sizes = {"clips": num_clips, "modalities": num_modalities, "classes": num_classes}
        gate = _gate("modality_probs", modality_probs, sizes)
        marked &= (gate >= options.clip_threshold)[:, np.newaxis]
    return marked


def check_probs(name: str, probs: FloatArray, axes: Sequence[str]) -> None:
    """Check that an array holds probabilities.

    Args:
        name: what the message calls the array.
        probs: the array.
        axes: the names of its axes.

    Raises:
        ValueError: It is not float, has other axes, or holds a value that is NaN or outside 0..1.
    """
    if not np.issubdtype(probs.dtype, np.floating) or probs.ndim != len(axes):
        raise ValueError(f"{name} must be float [{', '.join(axes)}], got {probs.dtype} {probs.shape}")
    if probs.size and not (probs.min() >= 0 and probs.max() <= 1):  # false for NaN as well
        first = tuple(np.argwhere(~((probs >= 0) & (probs <= 1)))[0].tolist())
        raise ValueError(
            f"{name} must be probabilities in 0..1, got {probs[first]} at [{', '.join(axes)}] {list(first)}; "
            "pass logits through a sigmoid first, and look for NaN in the features"
        )


def _gate(name: str, probs: FloatArray | None, sizes: dict[str, int]) -> FloatArray:
    """Return the gate's probabilities once they are known to fit the segments."""
    shape = tuple(sizes.values())
    if probs is None:
        gate = name.removesuffix("_probs")
        raise ValueError(f"the gate {gate} needs {name} [{', '.join(sizes)}] {shape}; give them or choose gate 'none'")
    check_probs(name, probs, tuple(sizes))
    if probs.shape != shape:
        raise ValueError(f"{name} must be [{', '.join(sizes)}] {shape} to fit segment_probs, got {probs.shape}")
    return probs
