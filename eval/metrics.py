"""Figures beside the ten F-scores: what a data set's own metric is computed from, and how all of them are."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from .detection import Detections, TrueEvents
from .events import BoolArray, Float64Array, FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """Predictions beside the truth, on the clips that are scored."""

    predicted: BoolArray
    """bool [N, T, M, C], what is marked; nothing where no segment exists."""
    truth: BoolArray
    """bool [N, T, M, C]."""
    weak_labels: BoolArray
    """bool [N, C], the tags of the clips."""
    valid: BoolArray | None = None
    """bool [N, T], where a segment exists; None for clips of one length."""
    segment_probs: FloatArray | None = None
    """float [N, T, M, C], before thresholds and gates; None for predictions that are decisions."""
    clip_probs: FloatArray | None = None
    """float [N, C], whether the class is in the clip; None where the predictions do not say."""
    modality_probs: FloatArray | None = None
    """float [N, M, C], whether it is heard and whether it is seen in the clip, likewise."""
    segment_seconds: float = 1.0
    """Length of a segment."""
    events: TrueEvents | None = None
    """The truth in seconds; None where it lies on segments."""
    clip_seconds: Float64Array | None = None
    """float64 [N], how long each clip is; None where its segments say it."""
    detections: Detections | None = None
    """Events in seconds, where the predictions name them; None where they follow from probabilities."""
    modality_tags: BoolArray | None = None
    """bool [N, M, C], those of the tags that are heard and that are seen; None where nobody says it."""
    subsets: Mapping[str, BoolArray] = field(default_factory=dict)
    """Kinds of clips by name, bool [N] each, of which figures are taken apart."""


Metric: TypeAlias = Callable[[Judged], float | None]
"""Gives a percentage, or None where it is not defined, as for decisions where it needs probabilities."""


def figures_of(judged: Judged, metrics: Mapping[str, Metric]) -> dict[str, float | None]:
    """The figures of a data set's own metrics, by name.

    Raises:
        ValueError: A metric gives something that is no percentage.

    Example:
        >>> import numpy as np
        >>> marks = np.array([[True, False]]).reshape(1, 2, 1, 1)
        >>> judged = Judged(predicted=marks, truth=~marks | marks, weak_labels=np.ones((1, 1), dtype=bool))
        >>> figures_of(judged, {"accuracy": lambda held: 100 * (held.predicted == held.truth).mean()})
        {'accuracy': 50.0}
    """
    found: dict[str, float | None] = {}
    for name, metric in metrics.items():
        value = metric(judged)
        if value is not None and not (math.isfinite(value) and -1e-9 <= value <= 100 + 1e-9):
            raise ValueError(f"the metric {name!r} must give a percentage from 0 to 100, got {value!r}")
        found[name] = None if value is None else float(value)
    return found
