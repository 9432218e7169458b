"""What lies behind the ten figures, section by section: classes, overlaps, durations, probabilities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.average_precision import event_precision, segment_precision
from eval.breakdown import breakdown, scores_at_overlaps
from eval.class_intervals import class_intervals
from eval.counts import with_audio_visual
from eval.durations import by_duration
from eval.events import MODALITIES
from eval.exclusive import exclusive_scores
from eval.intervals import Intervals, bootstrap, compare, difference_line
from eval.probabilities import probs_with_audio_visual
from eval.reliability import reliability
from eval.scores import FIGURES, LEVELS
from valor.scored import ScoredSystem

THREE = (*MODALITIES, "audio_visual")
"""The modality axis where audio-visual is one of them."""


@dataclass(frozen=True, eq=False)
class Section:
    """One further table of an evaluation."""

    key: str
    """Its name in JSON."""
    title: str
    """What it shows, in one line."""
    frame: pd.DataFrame
    """Rows in the order of printing: texts first, then whole numbers as counts and floats as percentages."""


def interval_section(system: ScoredSystem) -> Section:
    """The ten figures with intervals."""
    found = bootstrap(system.scores)
    rows = [_ends(found, level, figure) for level in LEVELS for figure in FIGURES]
    title = (
        f"{100 * found.confidence:.0f} % intervals: bootstrap over {found.clips:,} clips, {found.resamples:,} resamples"
    )
    return Section("intervals", title, _frame(rows))


def difference_section(system: ScoredSystem, baseline: ScoredSystem) -> Section:
    """The ten differences of two systems on the same clips.

    Raises:
        ValueError: The two are of different clips.
    """
    if system.predictions.clip_ids != baseline.predictions.clip_ids:
        raise ValueError(
            f"{system.name} and {baseline.name} must be predictions of the same clips, got {system.scores.clips:,} and "
            f"{baseline.scores.clips:,}, and not the same; score both on those they share"
        )
    found = compare(system.scores, baseline.scores)
    rows = [_ends(found, level, figure) for level in LEVELS for figure in FIGURES]
    first = difference_line(system.name, baseline.name, found.of("segment", "type_av"))
    title = f"Segment Type@AV: {first}, paired over {found.clips:,} clips; all ten differences:"
    return Section("differences", title, _frame(rows))


def _ends(found: Intervals, level: str, figure: str) -> dict[str, str | float]:
    """One figure or difference as a row."""
    interval = found.of(level, figure)
    row = {"level": level, "figure": figure, "value": interval.value, "low": interval.low, "high": interval.high}
    return row if interval.p_value is None else row | {"p": f"{interval.p_value:.4f}"}


def class_sections(system: ScoredSystem, class_names: Sequence[str], *, intervals: bool = False) -> list[Section]:
    """Counts, precision, recall and F of every class in every modality, for segments and for events.

    Args:
        system: What was scored.
        class_names: C names.
        intervals: Whether to add the ends of the bootstrap interval of each F.
    """
    columns = ["modality", "class", "true", "predicted", "precision", "recall", "f"]
    columns += [*["f_low", "f_high"] * intervals, "clip_f", "clips"]
    sections = []
    for level in LEVELS:
        table = breakdown(system.predicted, system.truth, level=level, valid=system.valid)
        frame = pd.DataFrame(table.rows(class_names))
        frame = frame[frame["modality"].isin(THREE)].reset_index(drop=True)
        if intervals:
            low, high = class_intervals(
                with_audio_visual(system.predicted), with_audio_visual(system.truth), level=level, valid=system.valid
            )
            frame["f_low"], frame["f_high"] = 100 * low.ravel(), 100 * high.ravel()
        means = [
            {"modality": modality, "class": "mean of classes", "f": 100 * table.macro_f[row]}
            for row, modality in enumerate(THREE)
        ]
        frame = pd.concat([frame, pd.DataFrame(means)])[columns].reset_index(drop=True)
        counts = ["true", "predicted", "clips"]
        frame = frame.astype(dict.fromkeys(counts, "Int64"))
        what = (
            f"{level.capitalize()} level by class: F of counts added over clips, and the mean F of clips with the class"
        )
        sections.append(Section(f"per_class_{level}", what, frame))
    return sections


def detail_sections(system: ScoredSystem) -> list[Section]:
    """Exclusive events, overlaps, durations and, where there are probabilities, threshold-free measures."""
    sections = [_exclusive(system), _overlaps(system), _durations(system)]
    if system.predictions.segment_probs is not None:
        sections.append(_probabilities(system))
    return sections


def _exclusive(system: ScoredSystem) -> Section:
    scores = exclusive_scores(system.predicted, system.truth, valid=system.valid)
    rows = [
        {"level": level, "audible only": of_level.audible_only, "visible only": of_level.visible_only}
        for level, of_level in (("segment", scores.segment), ("event", scores.event))
    ]
    return Section("exclusive", "Heard but not seen, seen but not heard: F as the benchmark averages it", _frame(rows))


def _overlaps(system: ScoredSystem) -> Section:
    at = scores_at_overlaps(system.predicted, system.truth, valid=system.valid)
    rows = [
        {"IoU": f">= {overlap:g}"} | {figure: getattr(scores, figure) for figure in FIGURES}
        for overlap, scores in at.items()
    ]
    return Section("overlaps", "Event level at stricter overlaps", _frame(rows))


def _durations(system: ScoredSystem) -> Section:
    found = by_duration(system.predicted, system.truth, valid=system.valid)
    true = (found.hits + found.misses).sum(axis=1)
    predicted = (found.predicted_hits + found.false_alarms).sum(axis=1)
    rows = [
        {
            "modality": modality,
            "segments": name,
            "true": int(true[row, bin_]),
            "recall": 100 * found.recall[row, bin_],
            "predicted": int(predicted[row, bin_]),
            "precision": 100 * found.precision[row, bin_],
        }
        for row, modality in enumerate(THREE)
        for bin_, name in enumerate(found.bins)
    ]
    return Section("durations", "Events by how long they last, all classes together", _frame(rows))


def _probabilities(system: ScoredSystem) -> Section:
    probs, truth = probs_with_audio_visual(system.probs("mAP")), system.truth
    both = np.concatenate([truth, truth.all(axis=2, keepdims=True)], axis=2)
    of_segments, of_events = (
        segment_precision(probs, both, valid=system.valid),
        event_precision(probs, both, valid=system.valid),
    )
    fit = reliability(probs, both, valid=system.valid)
    rows = [
        {
            "modality": modality,
            "segment mAP": 100 * of_segments.mean[row],
            "event mAP 0.1:0.9": 100 * of_events.average[row],
            "event mAP 0.5": 100 * of_events.mean[of_events.min_ious.index(0.5), row],
            "calibration error": 100 * fit.expected_error[row],
            "Brier": 100 * fit.brier[row],
        }
        for row, modality in enumerate(THREE)
    ]
    return Section("probabilities", "Without any threshold, from the gated probabilities", _frame(rows))


def _frame(rows: Iterable[dict[str, str | int | float]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))
