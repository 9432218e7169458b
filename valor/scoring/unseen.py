"""Classes that training left out beside those it had: mean F of each kind, and the harmonic mean.

F of a class is that of counts added over all clips, so that a false alarm in a clip without it counts; a kind of
classes scores the mean over its classes (`valor.eval.breakdown`).

A parser is used to answer less for what it never saw. A constant added to the logits of unseen classes, which is the
same as one taken off those of seen ones where the likeliest class wins, is chosen on val (calibrated stacking: Chao et
al., ECCV 2016): that choice rests on val's truth of unseen classes.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from valor.data.predictions import Predictions, align, marks_of, on_truth, told_segments
from valor.data.tables import Split
from valor.eval.breakdown import breakdown
from valor.eval.decide import PostProcessing
from valor.eval.events import BoolArray
from valor.eval.scores import LEVELS

from .system import ScoredSystem, Section

CONSTANTS = np.arange(-8, 8.25, 0.25)
"""Logits that are tried."""
_FIGURES = ("audio", "visual", "audio_visual")
_SURE = 1e-7
"""How near to 0 and 1 probabilities are taken to logits."""


def kinds_of_classes(
    predicted: BoolArray, truth: BoolArray, unseen: BoolArray, *, level: str = "segment", valid: BoolArray | None = None
) -> dict[str, tuple[float, float, float]]:
    """Mean F in percent of seen and of unseen classes and their harmonic mean, by figure; NaN without a class.

    Args:
        predicted: bool [N, T, M, C].
        truth: bool [N, T, M, C].
        unseen: bool [C].
        level: segment or event.
        valid: bool [N, T]; None for clips of one length.
    """
    f = 100 * breakdown(predicted, truth, level=level, valid=valid).f[: len(_FIGURES)]  # [3, C]
    means = np.array([[_mean(row[~unseen]), _mean(row[unseen])] for row in f])
    means = np.concatenate([means, means.mean(axis=0, keepdims=True)])  # and Type@AV
    return {
        name: (seen, new, 2 * seen * new / (seen + new) if seen + new > 0 else seen + new)
        for name, (seen, new) in zip((*_FIGURES, "type_av"), means.tolist(), strict=True)
    }


def _mean(of_classes: np.ndarray) -> float:
    defined = of_classes[~np.isnan(of_classes)]
    return float(defined.mean()) if defined.size else float("nan")


def with_constant(predictions: Predictions, unseen: BoolArray, constant: float) -> Predictions:
    """Predictions with a constant added to the logits of unseen classes, of segments and clips alike."""
    arrays = {}
    for name in ("segment_probs", "clip_probs", "modality_probs"):
        if (probs := getattr(predictions, name)) is not None:
            p = np.clip(probs[..., unseen].astype(np.float64), _SURE, 1 - _SURE)
            moved = probs.copy()
            moved[..., unseen] = 1 / (1 + (1 - p) / p * np.exp(-constant))
            arrays[name] = moved
    return replace(predictions, **arrays)


def constant_for(val: Predictions, split: Split, unseen: BoolArray, rule: PostProcessing) -> float | None:
    """The constant whose harmonic mean of segment Type@AV is best on val, of equal ones the smallest.

    Args:
        val: Predictions for clips of val, with probabilities.
        split: Their truth.
        unseen: bool [C].
        rule: How they are decided.

    Returns:
        In logits; None where no clip of val has an unseen class.
    """
    held = align(val, split, allow_subset=True)
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in held.clip_ids]
    assert split.truth is not None  # asked by whoever calls
    truth, exists = split.truth[rows], None if split.valid is None else split.valid[rows]
    if not truth[..., unseen].any():
        return None
    judged, told = (
        on_truth(held, truth, exists=exists, segment_seconds=split.segment_seconds),
        told_segments(held, exists),
    )
    best, chosen = -1.0, 0.0
    for constant in sorted(CONSTANTS.tolist(), key=abs):
        marks = marks_of(with_constant(judged, unseen, constant), told, rule)[0]
        harmonic = kinds_of_classes(marks, truth, unseen, valid=judged.valid)["type_av"][2]
        if harmonic > best:
            best, chosen = harmonic, constant
    return chosen


def unseen_section(
    system: ScoredSystem, split: Split, unseen: Sequence[str], val: tuple[Predictions, Split] | None = None
) -> Section:
    """Seen and unseen classes of a system, as it decides and with the constant that val chooses.

    Args:
        system: What was scored.
        split: What it was scored on.
        unseen: Names of the classes that its training left out.
        val: Predictions of the same system for val, and their truth; None chooses nothing.
    """
    names = np.isin(split.class_names, list(unseen))
    marked = {"its own": system.predicted}
    held = system.predictions
    if val is not None and held.segment_probs is not None:
        rule = PostProcessing.from_dict(system.report["post_processing"])
        constant = constant_for(*val, names, rule)
        if constant is not None:
            marked[f"unseen {constant:+g}"] = marks_of(with_constant(held, names, constant), system.valid, rule)[0]
    rows = [
        {"decision": decision, "level": level, "figure": figure, "seen": of[0], "unseen": of[1], "harmonic": of[2]}
        for decision, marks in marked.items()
        for level in LEVELS
        for figure, of in kinds_of_classes(marks, system.truth, names, level=level, valid=system.valid).items()
    ]
    title = f"Mean F of {int((~names).sum())} seen and {int(names.sum())} unseen classes, counts added over clips" + (
        "; `unseen +x`: logits of unseen classes raised by what is best on val" if len(marked) > 1 else ""
    )
    return Section("unseen", title, pd.DataFrame(rows))
