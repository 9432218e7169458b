"""From probabilities to decisions: the thresholds and the gate, always named, since they move every score.

Convention
    A segment is marked if its probability reaches `segment_threshold` and its class passes the gate: the clip-level
    probability of the class reaches `clip_threshold`. Reaching means >=. The gate reads
        "clip"      one probability per clip and class, the same for both modalities (HAN, VALOR and most others);
        "modality"  one per clip, modality and class (JoMoLD, LSLD, CoLeaF, and others with their own thresholds);
        "none"      nothing: segments decide alone;
        or a pair of these, one for audio and one for visual.
    The gate is a prediction of the parser, never the given tags.
    A threshold is one number, one per class, or one row per modality, of one number or one per class.
    A threshold is compared in the precision of the probabilities, so that a stored 0.45 reaches 0.45.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .counts import BoolArray
from .post_processing import HAN_RULE, NOT_PUBLISHED, PostProcessing, Thresholds

FloatArray = npt.NDArray[np.floating[Any]]


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
        ValueError: The gate's probabilities are missing, an array is not float, has another shape, or leaves 0..1, or
            thresholds are for another number of modalities or classes.

    Example:
        A class that no segment doubts but the clip does is not marked:

        >>> segment_probs = np.array([0.9, 0.9]).reshape(1, 1, 1, 2)
        >>> decide(segment_probs, clip_probs=np.array([[0.5, 0.4]])).tolist()
        [[[[True, False]]]]
    """
    check_probs("segment_probs", segment_probs, ("clips", "segments", "modalities", "classes"))
    limits = spread_thresholds("segment_threshold", options.segment_threshold, segment_probs.shape[2:])
    marked: BoolArray = segment_probs >= limits.astype(segment_probs.dtype)
    is_open = open_gates(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, options=options)
    if is_open is not None:
        marked &= is_open[:, np.newaxis]
    return marked


def open_gates(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    options: PostProcessing = HAN_RULE,
) -> BoolArray | None:
    """Say which classes of which clips pass the gate, whatever their segments say.

    Args:
        segment_probs: float [N, T, M, C]; only its shape is used.
        clip_probs: float [N, C]; needed by the gate clip.
        modality_probs: float [N, M, C]; needed by the gate modality.
        options: the gate and its thresholds.

    Returns:
        bool [N, M, C], or None if there is no gate.

    Raises:
        ValueError: As for `decide`.
    """
    if options.gate == "none":
        return None
    gated = gate_probs(segment_probs, clip_probs=clip_probs, modality_probs=modality_probs, gate=options.gate)
    limits = spread_thresholds("clip_threshold", options.clip_threshold, segment_probs.shape[2:])
    is_open = np.ones((len(segment_probs), *limits.shape), dtype=np.bool_)
    for modality, probs in enumerate(gated):
        if probs is not None:
            is_open[:, modality] = probs >= limits[modality].astype(probs.dtype)
    return is_open


def gate_probs(
    segment_probs: FloatArray,
    *,
    clip_probs: FloatArray | None = None,
    modality_probs: FloatArray | None = None,
    gate: str | tuple[str, ...] = "clip",
) -> list[FloatArray | None]:
    """Find the probabilities that the gate of each modality reads.

    Args:
        segment_probs: float [N, T, M, C]; only its shape is used.
        clip_probs: float [N, C]; needed by the gate clip.
        modality_probs: float [N, M, C]; needed by the gate modality.
        gate: as in `PostProcessing`.

    Returns:
        M entries, float [N, C], or None for a modality without a gate.

    Raises:
        ValueError: Probabilities are missing or do not fit, or there are other than M gates.
    """
    num_clips, _, num_modalities, num_classes = segment_probs.shape
    gates = (gate,) * num_modalities if isinstance(gate, str) else gate
    if len(gates) != num_modalities:
        raise ValueError(f"gate must be one for all or one for each of {num_modalities} modalities, got {gate!r}")
    read: dict[str, FloatArray] = {}
    if "clip" in gates:
        whole = _gate("clip_probs", clip_probs, {"clips": num_clips, "classes": num_classes})
        read["clip"] = np.broadcast_to(whole[:, np.newaxis], (num_clips, num_modalities, num_classes))
    if "modality" in gates:
        sizes = {"clips": num_clips, "modalities": num_modalities, "classes": num_classes}
        read["modality"] = _gate("modality_probs", modality_probs, sizes)
    return [read[name][:, modality] if name in read else None for modality, name in enumerate(gates)]


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


def spread_thresholds(name: str, thresholds: Thresholds, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Lay thresholds out for every modality and class.

    Args:
        name: what the message calls them.
        thresholds: as `PostProcessing` keeps them.
        shape: (M, C).

    Returns:
        float64 [M, C].

    Raises:
        ValueError: There are thresholds for another number of modalities or classes, or some are yet to be given.
    """
    rows = thresholds if isinstance(thresholds, tuple) else (thresholds,)
    if any(row == () for row in rows):
        raise ValueError(f"{name}: this rule {NOT_PUBLISHED}")
    spread = np.empty(shape)
    try:
        if isinstance(rows[0], tuple) and len(rows) != shape[0]:
            raise ValueError(f"{len(rows)} rows")
        for modality in range(shape[0]):
            spread[modality] = rows[modality] if isinstance(rows[0], tuple) else thresholds
    except ValueError as error:
        raise ValueError(
            f"{name} must be one number, {shape[1]} for the classes, or {shape[0]} rows of one or {shape[1]} for the "
            f"modalities, got another number of them ({error})"
        ) from error
    return spread
