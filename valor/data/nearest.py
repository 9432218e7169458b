"""What came nearest to an event in media in which none was found."""

from collections.abc import Sequence

import numpy as np

from valor.eval.decide import PostProcessing, spread_thresholds
from valor.eval.events import MODALITIES, FloatArray

from .names import join_names

_SEEN_AS = ("audible", "visible")
"""How each modality is called where people read it."""


def nearest_said(
    probs: FloatArray,
    gate_probs: FloatArray | None,
    rule: PostProcessing,
    class_names: Sequence[str],
    spans: Sequence[str],
) -> str:
    """Of each modality the class and segment that came nearest to being marked; empty without any probability.

    Args:
        probs: float [T, M, C], NaN where there is no stream.
        gate_probs: float [T, M, C], what the gate of `rule` compares; None without one.
        rule: Thresholds and gate.
        class_names: C names.
        spans: How each of T segments is called.

    >>> probs = np.array([[[0.1, 0.2], [np.nan, np.nan]], [[0.3, 0.1], [np.nan, np.nan]]])
    >>> nearest_said(probs, None, PostProcessing(gate="none"), ["Dog", "Car"], ["0 - 1 s", "1 - 2 s"])
    'nearest was Dog, audible at 1 - 2 s with 0.3, marked from 0.5 on'
    """
    limits = spread_thresholds("segment_threshold", rule.segment_threshold, probs.shape[1:])
    opens = spread_thresholds("clip_threshold", rule.clip_threshold, probs.shape[1:])
    lacks = limits - probs if gate_probs is None else np.maximum(limits - probs, opens - gate_probs)  # [T, M, C]
    found = []
    for modality in range(len(MODALITIES)):
        if np.isnan(lacks[:, modality]).all():
            continue
        at, number = divmod(int(np.nanargmin(lacks[:, modality])), len(class_names))
        there = at, modality, number
        said = f"{join_names([class_names[number]])}, {_SEEN_AS[modality]} at {spans[at]} with {probs[there]:.3g}"
        said += f", marked from {limits[modality, number]:.3g} on"
        if gate_probs is not None and gate_probs[there] < opens[modality, number]:
            least = f"{opens[modality, number]:.3g}"
            said += f" where the seconds around it together have {least}; they have {gate_probs[there]:.3g}"
        found.append(said)
    return f"nearest {'was' if len(found) == 1 else 'were'} {'; and '.join(found)}" if found else ""
