"""One system on one split: what it marks, what is true, its ten F-scores, and what lies behind these.

Every figure and table of `valor evaluate` starts from a `ScoredSystem`. A `Section` is one further table of it:
classes, intervals, overlaps, durations, probabilities.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from valor.data import anchors
from valor.data.anchors import ZeroShot
from valor.data.datasets.unav import ceilings
from valor.data.predictions import Predictions, align, marks_of, on_truth, score_predictions, told_segments
from valor.data.tables import Split
from valor.eval.average_precision import event_precision, segment_precision
from valor.eval.breakdown import breakdown, by_duration, exclusive_scores, scores_at_overlaps
from valor.eval.counts import with_audio_visual
from valor.eval.decide import PostProcessing, gated_probs, probs_with_audio_visual
from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.eval.intervals import FEW_CLIPS, Intervals, bootstrap, class_intervals, compare, difference_line, p_text
from valor.eval.metrics import Judged
from valor.eval.reliability import reliability
from valor.eval.scores import FIGURES, LEVELS, Scores, score
from valor.eval.tables import FIGURE_TITLES
from valor.training.decisions import at_half, decides_at_half, tuned_for

THREE = (*MODALITIES, "audio_visual")
"""The modality axis where audio-visual is one of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredSystem:
    """Predictions in the order of a split, decided and scored."""

    name: str
    predictions: Predictions
    """Aligned with the split; a part of it where a subset was allowed."""
    predicted: BoolArray
    """bool [N, T, M=2, C], what is marked."""
    truth: BoolArray
    """bool [N, T, M=2, C] of the same clips."""
    weak_labels: BoolArray
    """bool [N, C], the tags of the same clips."""
    scores: Scores
    report: dict[str, Any]
    """What a score file holds."""
    modality_tags: BoolArray | None = None
    """bool [N, M, C], which of the tags are heard and which are seen; None where nobody says it."""
    unchecked: frozenset[str] = frozenset()
    """Clips whose truth is corrections that nobody marked as checked."""

    @property
    def valid(self) -> BoolArray | None:
        """Where a segment exists, bool [N, T]; None for clips of one length."""
        return self.predictions.valid

    @property
    def empty(self) -> list[tuple[str, str]]:
        """What is neither annotated nor predicted anywhere, and which figures that counts as 100 in, for `EMPTY`."""
        marks = self.predicted | self.truth
        marks = marks if self.valid is None else marks & self.valid[..., None, None]
        marked = [bool(marks[:, :, modality].any()) for modality in range(marks.shape[2])]
        words = ("audible", "A"), ("visible", "V")
        return [
            (kind, f"{figure}, AV and so Type@AV") for (kind, figure), one in zip(words, marked, strict=True) if not one
        ]

    def probs(self, name: str = "this") -> FloatArray:
        """Probabilities float [N, T, M, C] under the gate of the rule that was used.

        Args:
            name: What needs them, for the message.

        Raises:
            ValueError: The predictions are decisions.
        """
        held = self.predictions
        if held.segment_probs is None:
            raise ValueError(f"{self.name}: {name} needs probabilities, these predictions are decisions already")
        gate = self.report["post_processing"]["gate"]
        gates = [gate] * held.segment_probs.shape[2] if isinstance(gate, str) else gate
        limits = {"clip": held.clip_probs, "modality": held.modality_probs, "none": None}
        probs = held.segment_probs
        if not any(limits[kind] is not None for kind in gates):
            return probs
        gated = {kind: probs if limit is None else gated_probs(probs, limit) for kind, limit in limits.items()}
        return np.stack([gated[kind][:, :, modality] for modality, kind in enumerate(gates)], axis=2)


def score_system(
    name: str,
    predictions: Predictions,
    split: Split,
    rule: PostProcessing | None = None,
    *,
    allow_subset: bool = False,
) -> ScoredSystem:
    """Align, decide and score predictions.

    Args:
        name: How tables and figures call them; the mark comes before it where features were simulated.
        predictions: Decisions or probabilities, clips and classes in any order.
        split: val or test, with its truth.
        rule: Thresholds and gate; None for both 0.5 and the gate the predictions have probabilities for.
        allow_subset: Score the clips that are there.

    Raises:
        ValueError: As in `valor.data.predictions.score_predictions`; the message starts with the name.
    """
    name = predictions.provenance.marked(name)
    try:
        scores, report = score_predictions(predictions, split, rule, allow_subset=allow_subset)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    aligned = align(predictions, split, allow_subset=allow_subset)
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in aligned.clip_ids]
    assert split.truth is not None  # or it could not have been scored
    truth, exists = split.truth[rows], None if split.valid is None else split.valid[rows]
    judged = on_truth(aligned, truth, exists=exists, segment_seconds=split.segment_seconds)
    return ScoredSystem(
        name=name,
        predictions=judged,
        predicted=marks_of(judged, told_segments(aligned, exists), rule)[0],
        truth=truth,
        weak_labels=split.weak_labels[rows],
        scores=scores,
        report=report,
        modality_tags=None if split.modality_tags is None else split.modality_tags[rows],
    )


@dataclass(frozen=True, eq=False)
class Section:
    """One further table of an evaluation."""

    key: str
    """Its name in JSON."""
    title: str
    """What it shows, in one line."""
    frame: pd.DataFrame
    """Rows in the order of printing: texts first, then whole numbers as counts and floats as percentages."""
    of: Mapping[str, str] = field(default_factory=dict)
    """Of which systems it is, where not of the one alone: columns of CSV and JSON before all others."""
    shown: pd.DataFrame | None = None
    """What people read in place of `frame`, where that has columns for programs."""
    notes: Sequence[str] = ()
    """Lines below it."""


DIFFERENCES = "differences"
"""Key of the section of the differences of two systems."""

OWN_FIGURES = "figures"
"""Key of the section of the data set's own metrics, and of the same in a score file."""


def figure_section(system: ScoredSystem, anchors: Sequence[tuple[str, Scores]] = ()) -> Section:
    """The figures of the data set's own metrics, and of what parses nothing."""
    said = {name: scores.figures for name, scores in anchors if set(scores.figures.values()) != {None}}
    columns = {"value": system.scores.figures} | said
    rows = [
        {"figure": name} | {title: _number(held.get(name)) for title, held in columns.items()}
        for name in system.scores.figures
    ]
    return Section(OWN_FIGURES, f"Figures of {system.report['dataset']}, in percent", _frame(rows))


def checked_section(system: ScoredSystem) -> Section | None:
    """The ten figures over those clips alone whose corrections somebody checked; None where these are all, or none."""
    rows = [row for row, clip_id in enumerate(system.predictions.clip_ids) if clip_id not in system.unchecked]
    if not rows or len(rows) == len(system.predictions.clip_ids):
        return None
    valid = None if system.valid is None else system.valid[rows]
    scores = score(system.predicted[rows], system.truth[rows], valid=valid)
    title = f"The {len(rows):,} checked clips alone" if len(rows) > 1 else "The one checked clip alone"
    return Section("checked_clips_alone", title, scores.to_frame().reset_index())


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def anchor_scores(system: ScoredSystem, split: Split, *, zero_shot: ZeroShot | None = None) -> list[tuple[str, Scores]]:
    """What knows nothing of when, on the clips of a system; see `valor.data.anchors`.

    Args:
        system: What was scored.
        split: What it was scored on.
        zero_shot: Of `zero_shot_of`.

    Returns:
        Names and scores with figures: nothing predicted, tags copied, and so on.
    """
    held = system.predictions
    judged = Judged(
        predicted=system.predicted,
        truth=system.truth,
        weak_labels=system.weak_labels,
        valid=system.valid,
        segment_probs=held.segment_probs,
        clip_probs=held.clip_probs,
        modality_probs=held.modality_probs,
        segment_seconds=split.segment_seconds,
        modality_tags=system.modality_tags,
        subsets=_subsets(system, split),
    )
    classes, seconds = (zero_shot or ZeroShot()).on(held.clip_ids)
    return list(anchors.anchor_scores(judged, split, zero_shot=classes, by_second=seconds).items())


def _subsets(system: ScoredSystem, split: Split) -> dict[str, BoolArray]:
    """Kinds of clips, in the order of those that were scored."""
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in system.predictions.clip_ids]
    return {name: of[rows] for name, of in split.subsets.items()}


def ceiling_section(system: ScoredSystem, split: Split) -> Section:
    """What the true tags alone and the truth on segments score, where the truth is in seconds."""
    assert split.events is not None and split.clip_seconds is not None  # or there is nothing beside the segments
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in system.predictions.clip_ids]
    found = ceilings(
        split.events.of_clips(rows), split.clip_seconds[rows], split.segment_seconds, len(split.class_names)
    )
    frame = [
        {"of": name}
        | {f"{t:.1f}": 100 * at for t, at in zip(of.min_ious, of.mean.tolist(), strict=True)}
        | {"mean": 100 * of.average}
        for name, of in found.items()
    ]
    return Section("ceilings", "mAP of the truth itself, where little or nothing is predicted", _frame(frame))


def interval_section(system: ScoredSystem) -> Section:
    """The ten figures with intervals."""
    found = bootstrap(system.scores)
    title = (
        f"{100 * found.confidence:.0f} % intervals: bootstrap over {found.clips:,} clips, {found.resamples:,} resamples"
    )
    return Section("intervals", title, found.to_frame())


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
    frame = found.to_frame()
    first = difference_line(system.name, baseline.name, found.of("segment", "type_av"))
    title = f"Segment Type@AV: {first}, paired over {found.clips:,} clips; all ten differences:"
    return differences(title, frame, system.name, baseline.name, clip_notes(found))


def clip_notes(found: Intervals) -> list[str]:
    """What is to be said of differences over clips: that these are few, and where interval and p do not agree."""
    apart = []
    for level in LEVELS:
        for figure in FIGURES:
            of = found.of(level, figure)
            if of.p_value is not None and (of.low > 0 or of.high < 0) != (of.p_value < 1 - found.confidence):
                apart.append(f"{level} {FIGURE_TITLES[figure]}")
    few = f"{found.clips} clips are few: over fewer than {FEW_CLIPS} an interval comes out too narrow, and p is rough"
    return [few] * (found.clips < FEW_CLIPS) + [
        f"interval and p over clips do not agree on {', '.join(apart)}: the interval draws clips with replacement, p "
        "swaps the two systems within clips, and where few clips differ the two part; take such a difference for open"
    ] * bool(apart)


def differences(title: str, frame: pd.DataFrame, system: str, baseline: str, notes: Sequence[str] = ()) -> Section:
    """A section of differences with the names of both; people read each interval as one column."""
    shown = frame[["level", "figure"]].copy()
    shown["Δ"] = [f"{value:+.1f}" for value in frame["value"]]
    for over, around, (low, high, p) in (
        ("over clips", "[{}]", ("low", "high", "p")),
        ("over seeds", "({})", ("seeds_low", "seeds_high", "seeds_p")),
    ):
        if low in frame:
            ends = zip(frame[low], frame[high], strict=True)
            shown[around.format(f"95 % {over}")] = [around.format(f"{one:+.1f}, {two:+.1f}") for one, two in ends]
            shown[f"p {over}"] = frame[p].map(p_text)
    if "clear" in frame:
        shown["clear"] = frame["clear"]
    return Section(DIFFERENCES, title, frame, {"system": system, "baseline": baseline}, shown, notes)


def decision_section(system: ScoredSystem, split: Split, val: Predictions, val_split: Split) -> Section:
    """The same predictions by its own rule, with both thresholds 0.5 where that is another, and tuned on val.

    Args:
        system: What was scored.
        split: What it was scored on.
        val: Predictions of the same system for clips of val.
        val_split: Their truth.

    Raises:
        ValueError: Decisions were made elsewhere, or val is the split that is scored.
    """
    if val_split.name == split.name:
        raise ValueError(f"gates and cuts are tuned on {val_split.name} and shown on another split; score test")
    if system.predictions.segment_probs is None:
        raise ValueError(f"{system.name}: other decisions need probabilities, these predictions are decisions already")
    rule = PostProcessing.from_dict(system.report["post_processing"])
    held = align(val, val_split, allow_subset=True)
    row_of = {clip_id: row for row, clip_id in enumerate(val_split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in held.clip_ids]
    exists = None if val_split.valid is None else val_split.valid[rows]
    assert val_split.truth is not None  # of val
    judged = on_truth(held, val_split.truth[rows], exists=exists, segment_seconds=val_split.segment_seconds)
    rules = {"its own": rule} | ({} if decides_at_half(rule) else {"both thresholds 0.5": at_half(rule)})
    rules["gates and cuts tuned on val"] = tuned_for(judged, val_split.truth[rows], rule, judged.valid)
    found = []
    for name, one in rules.items():
        scores = score_predictions(system.predictions, split, one, allow_subset=True)[0]
        for level in LEVELS:
            figures = {figure: float(getattr(getattr(scores, level), figure)) for figure in FIGURES}
            found.append({"decision": name, "level": level} | figures)
    return Section("decisions", "The same predictions by each decision", _frame(found))


def class_sections(
    systems: ScoredSystem | Sequence[ScoredSystem],
    class_names: Sequence[str],
    *,
    intervals: bool = False,
    beside: Sequence[ScoredSystem] = (),
    names: Sequence[str] = (),
) -> list[Section]:
    """Counts, precision, recall and F of the classes in every modality, for segments and for events.

    People are not shown classes of which nothing is annotated and nothing was predicted; they are told how many.

    Args:
        systems: What was scored; or one system for each seed, on the same clips, whose columns are averaged and whose F
            have a sample deviation in `f_sd`. A seed in which a ratio is not defined is left out of its mean.
        class_names: C names.
        intervals: Whether to add the ends of the bootstrap interval of each F, of the mean where there are seeds.
        beside: Another system on the same clips, or its seeds: `f_other` is its F, and `f_delta` what the first has
            over it, in points.
        names: What the first is called and, where there is one, the other; the name of the first run if empty.
    """
    runs = [systems] if isinstance(systems, ScoredSystem) else list(systems)
    first, (name, *other) = runs[0], names or [runs[0].name]
    marked = np.logical_or.reduce([first.truth, *(run.predicted for run in (*runs, *beside))])
    marked = marked if first.valid is None else marked & first.valid[..., None, None]
    there = {class_names[index] for index in np.flatnonzero(marked.any(axis=(0, 1, 2))).tolist()}
    left_out, of_all = len(class_names) - len(there), f"of {len(class_names)} classes"
    more = f", means over {len(runs)} seeds, sd between these" * (len(runs) > 1)
    more += "".join(f"; other F is of {one}, Δ F what {name} has over it, of which nothing is tested" for one in other)
    more += f"; {left_out} {of_all} are neither annotated nor predicted and left out" * bool(left_out)
    sections = []
    for level in LEVELS:
        frame = _class_frame(runs, class_names, level, intervals=intervals)
        if beside:
            frame["f_other"] = _class_frame(beside, class_names, level, intervals=False)["f"]
            frame["f_delta"] = frame["f"] - frame["f_other"]
        what = f"{level.capitalize()} level by class, {name}: "
        what += "F of counts added over clips, and the mean F of clips with the class"
        idle = frame["class"].isin([name for name in class_names if name not in there])
        shown = frame[~idle].reset_index(drop=True) if left_out else None
        of = {"system": name, "baseline": other[0]} if other else {}
        sections.append(Section(f"per_class_{level}", what + more, frame, of, shown))
    return sections


def _class_frame(
    runs: Sequence[ScoredSystem], class_names: Sequence[str], level: str, *, intervals: bool
) -> pd.DataFrame:
    """Every class in every modality, below them the means of classes; over several runs means, and `f_sd`."""
    tables = [breakdown(run.predicted, run.truth, level=level, valid=run.valid) for run in runs]
    frames = []
    for table in tables:
        frame = pd.DataFrame(table.rows(class_names))
        frame = frame[frame["modality"].isin(THREE)].reset_index(drop=True)
        means = [
            {"modality": modality, "class": "mean of classes", "f": 100 * table.macro_f[row]}
            for row, modality in enumerate(THREE)
        ]
        frames.append(pd.concat([frame, pd.DataFrame(means)], ignore_index=True))
    frame, whole = frames[0], ["true", "predicted", "clips"]
    if len(runs) > 1:
        values = pd.concat([one.drop(columns=["modality", "class"]) for one in frames]).groupby(level=0)
        frame = frame[["modality", "class"]].join(values.mean()).assign(f_sd=values["f"].std())
        whole = ["true"]
    if intervals:
        marks, first = [with_audio_visual(run.predicted) for run in runs], runs[0]
        ends = class_intervals(marks, with_audio_visual(first.truth), level=level, valid=first.valid)
        for name, end in zip(("f_low", "f_high"), ends, strict=True):
            frame[name] = pd.Series(100 * end.ravel())
    columns = ["modality", "class", "true", "predicted", "precision", "recall", "f", *["f_sd"] * (len(runs) > 1)]
    columns += [*["f_low", "f_high"] * intervals, "clip_f", "clips"]
    return frame[columns].astype(dict.fromkeys(whole, "Int64"))


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


def _frame(rows: Iterable[Mapping[str, object]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))
