"""The prediction file (.npz, never pickled), how it is matched with a split, and the score file made from both.

A prediction file holds
    clip_ids        unicode [N]
    classes         unicode [C]
and either
    predicted       bool [N, T, M, C], decisions already made; whole numbers 0 and 1 are read as such
or
    segment_probs   float [N, T, M, C], with
    clip_probs      float [N, C] for the gate clip, or
    modality_probs  float [N, M, C] for the gate modality
and perhaps
    valid           bool [N, T], True where a segment exists
    detections      float64 [P, 5], events in seconds, of a network that names such: clip and class as positions on N
                    and C, onset, offset, score
    simulated       bool [], True where the features were simulated, so that no score means anything
    own_files_changed   unicode [K], names of files of one's own that were other versions than at the training.
M is (audio, visual). Clips and classes may stand in any order: they are matched by name.
"""

import hashlib
import logging
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.eval.decide import PostProcessing, check_probs, decide
from valor.eval.detection import Detections
from valor.eval.events import MODALITIES, BoolArray, FloatArray, as_array, as_marks, event_frame, plain_marks
from valor.eval.metrics import Judged, figures_of
from valor.eval.scores import Scores, score
from valor.label_harvest.arrays import npz_names, read_npz
from valor.label_harvest.disk import replaced
from valor.label_harvest.store.manifest import composed

from .anchors import ZeroShot, anchor_scores, event_anchors
from .names import OF_ARRAYS
from .provenance import Provenance
from .score_file import gate_flags
from .tables import Split

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from valor.eval.figures.style import Style


ARRAYS = {
    "predicted": ("clips", "segments", "modalities", "classes"),
    "segment_probs": ("clips", "segments", "modalities", "classes"),
    "clip_probs": ("clips", "classes"),
    "modality_probs": ("clips", "modalities", "classes"),
    "valid": ("clips", "segments"),
}
"""The arrays of a prediction file and their axes."""

_LOG = logging.getLogger(__name__)

_SIMULATED, _DETECTIONS = "simulated", "detections"
_CHANGED = "own_files_changed"

_COLUMNS = ("clip", "class", "onset", "offset", "score")
"""Of `detections`."""

_MOST_ROWS = 2**31
"""Positions beyond this are of no file; they would not fit into a whole number."""

BACKGROUND = "background"
"""What other codes call one more class, which no data set has here."""

SHOWN = 5
"""How many names an error lists before it only counts."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Predictions:
    """What a parser says about some clips: decisions, or the probabilities they are made from."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    predicted: BoolArray | None = None
    """bool [N, T, M, C], decisions already made."""
    segment_probs: FloatArray | None = None
    """float [N, T, M, C]."""
    clip_probs: FloatArray | None = None
    """float [N, C], what the gate clip reads."""
    modality_probs: FloatArray | None = None
    """float [N, M, C], what the gate modality reads."""
    valid: BoolArray | None = None
    """bool [N, T], True where a segment exists; None for clips of one length."""
    rounding: str | None = None
    """How events between segment borders were moved to them (segment_grid.py); None if none was."""
    segment_seconds: float | None = None
    """What a segment lasts; None where the file does not say."""
    detections: Detections | None = None
    """Events in seconds, where the predictions are such; their clips and classes are positions on N and C."""
    provenance: Provenance = field(default_factory=Provenance)
    """What is known of the features they come from, and of what their parser was trained on."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, are no probabilities, or name something twice."""
        if (self.predicted is None) == (self.segment_probs is None):
            held = " and ".join(name for name in ARRAYS if getattr(self, name) is not None) or "neither"
            raise ValueError(f"predictions need either predicted or segment_probs, got {held}")
        sizes = {"clips": len(self.clip_ids), "modalities": len(MODALITIES), "classes": len(self.class_names)}
        for name in ARRAYS:
            if (given := getattr(self, name)) is not None:
                array = plain_marks(as_marks(given)) if name in ("predicted", "valid") else as_array(given)
                object.__setattr__(self, name, array)
        main = self.segment_probs if self.predicted is None else self.predicted
        sizes["segments"] = main.shape[1] if main is not None and main.ndim > 1 else 0
        for name, axes in ARRAYS.items():
            if (array := getattr(self, name)) is not None:
                _check_array(name, array, {axis: sizes[axis] for axis in axes})
        if (found := self.detections) is not None and len(found):
            inside = [
                0 <= of.min() <= of.max() < sizes[axis]
                for of, axis in ((found.clip, "clips"), (found.class_index, "classes"))
            ]
            if not all(inside):
                raise ValueError(
                    f"detections must be of the {sizes['clips']} clips and {sizes['classes']} classes, got positions "
                    "outside them"
                )
        object.__setattr__(self, "clip_ids", tuple(map(composed, self.clip_ids)))
        for kind, names in (("clip_ids", self.clip_ids), ("classes", self.class_names)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice or not names:
                raise ValueError(f"{kind} must be unique and at least one, got {_listed('duplicate', twice) or 'none'}")

    def to_frame(self, rule: PostProcessing | None = None, *, segment_seconds: float = 1.0) -> "pd.DataFrame":
        """The events of a decision as a table, see `valor.eval.events.event_frame`.

        Args:
            rule: Thresholds and gate, as for `decisions`.
            segment_seconds: Length of a segment in seconds.
        """
        marked, _ = decisions(self, rule)
        if self.valid is not None:
            marked = marked & self.valid[:, :, None, None]
        return event_frame(self.clip_ids, self.class_names, marked, segment_seconds=segment_seconds)

    def plot(
        self,
        clip_id: str | None = None,
        *,
        beside: Mapping[str, BoolArray] | None = None,
        rule: PostProcessing | None = None,
        style: "Style | None" = None,
    ) -> "Figure":
        """Draw what is audible and visible in one clip.

        Args:
            clip_id: Which; None for the first.
            beside: By name bool [N, T, M, C] of the same clips and classes; `truth` is shaded behind the others.
            rule: Thresholds and gate, as for `decisions`.
            style: Width, theme and colours; None for a wide light figure.
        """
        from .shown import plot_clip

        tracks = {**(beside or {}), self.provenance.marked("predicted"): decisions(self, rule)[0]}
        seconds = self.segment_seconds or 1.0
        names = (self.clip_ids, self.class_names)
        return plot_clip(clip_id, *names, tracks, valid=self.valid, segment_seconds=seconds, style=style)

    def save(self, path: Path | str) -> None:
        """Write it as a prediction file, *.npz, see `write_predictions`."""
        write_predictions(path, self)

    def __repr__(self) -> str:
        """How many clips of what, and how they are decided."""
        held = {name: array.shape for name in ARRAYS if (array := getattr(self, name)) is not None}
        kinds = " and ".join(name for name in held if name != "valid")
        said = f"Predictions of {len(self.clip_ids):,} clips: {held[kinds.split()[0]][1]} segments, "
        return f"{said}{len(self.class_names)} classes, {kinds}{', SIMULATED' * self.provenance.simulated}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the events of the first clips by the usual decision."""
        from .shown import MOST_CLIPS, clips_html

        arrays = {name: array[:MOST_CLIPS] for name in ARRAYS if (array := getattr(self, name)) is not None}
        few = replace(self, clip_ids=self.clip_ids[:MOST_CLIPS], detections=None, **arrays)
        gated = self.segment_probs is None or any(name in arrays for name in ("clip_probs", "modality_probs"))
        marked, _ = decisions(few, None if gated else PostProcessing(gate="none"))
        marked = marked if few.valid is None else marked & few.valid[:, :, None, None]
        return clips_html(repr(self), self.clip_ids, self.class_names, marked, segment_seconds=self.segment_seconds)


def read_predictions(path: Path | str) -> Predictions:
    """Read a prediction file; nothing in it is ever unpickled.

    Args:
        path: an .npz file in the layout at the top of this module.

    Raises:
        ValueError: The file is no .npz, holds pickled or unfit arrays, or lacks a part of the layout.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such prediction file; `valor predict` writes one")
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path}: expected a prediction file (.npz), got {path.stat().st_size} bytes of something else"
        )
    try:
        known = ("clip_ids", "classes", *ARRAYS, _SIMULATED, _CHANGED, _DETECTIONS)
        held: dict[str, Any] = dict(read_npz(path, known))
        simulated = held.pop(_SIMULATED, np.array(False))
        if simulated.dtype != np.bool_ or simulated.size != 1:
            raise ValueError(f"{_SIMULATED} must be one bool, got {simulated.dtype} {simulated.shape}")
        changed = () if (told := held.pop(_CHANGED, None)) is None else _names(_CHANGED, told)
        found = Provenance(simulated=bool(simulated.any()), own_files_changed=changed)
        names = ", ".join(npz_names(path)) or "nothing"
        if strangers := sorted(set(npz_names(path)) - set(known)):
            _LOG.warning("%s: passes over %s, which no prediction file has", path, _listed("arrays", strangers))
    except ValueError as error:
        raise ValueError(
            f"{path}: expected plain arrays (clip_ids, classes, segment_probs, ...), which could not be read "
            f"({error}); pickled arrays are refused, since unpickling can run any code: store that one with a "
            "plain dtype, names as str"
        ) from error
    try:
        axes = {name: _names(name, held.pop(name, None)) for name in ("clip_ids", "classes")}
        if (rows := held.pop(_DETECTIONS, None)) is not None:
            held[_DETECTIONS] = _detections_of(rows)
        return Predictions(clip_ids=axes["clip_ids"], class_names=axes["classes"], provenance=found, **held)
    except ValueError as error:
        to_do = f"; a prediction file has clip_ids, classes and segment_probs or predicted; {OF_ARRAYS}"
        raise ValueError(f"{path}: {error} (the file holds {names}){to_do * ('missing' in str(error))}") from error


def write_predictions(path: Path | str, predictions: Predictions) -> None:
    """Write a prediction file, whole or not at all.

    Args:
        path: file to write, ending in .npz.
        predictions: what to write.

    Raises:
        ValueError: The name does not end in .npz.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: a prediction file is named *.npz")
    arrays = {name: getattr(predictions, name) for name in ARRAYS if getattr(predictions, name) is not None}
    names = {"clip_ids": np.array(predictions.clip_ids), "classes": np.array(predictions.class_names)}
    if predictions.provenance.simulated:
        names[_SIMULATED] = np.array(True)
    if predictions.provenance.own_files_changed:
        names[_CHANGED] = np.array(predictions.provenance.own_files_changed)
    if (found := predictions.detections) is not None:
        arrays[_DETECTIONS] = np.column_stack([found.clip, found.class_index, found.onset, found.offset, found.score])
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **names, **arrays)


@dataclass(frozen=True)
class Coverage:
    """Which clips of a split are predicted."""

    covered: int
    """How many clips of the split are there."""
    expected: int
    """How many clips the split has."""
    missing: tuple[str, ...]
    """Clips of the split without predictions, in its order."""
    extra: tuple[str, ...]
    """Clips with predictions that are not in the split."""

    def __str__(self) -> str:
        """Say it as tables do: 1,143 of 1,200 clips."""
        return f"{self.covered:,} of {self.expected:,} clips"


def coverage(predictions: Predictions, split: Split) -> Coverage:
    """Compare the clips of predictions with those of a split, both ways."""
    predicted, wanted = set(predictions.clip_ids), set(split.clip_ids)
    missing = tuple(clip_id for clip_id in split.clip_ids if clip_id not in predicted)
    extra = tuple(clip_id for clip_id in predictions.clip_ids if clip_id not in wanted)
    return Coverage(len(wanted) - len(missing), len(wanted), missing, extra)


def align(predictions: Predictions, split: Split, *, allow_subset: bool = False) -> Predictions:
    """Bring predictions into the clip and class order of a split.

    Args:
        predictions: clips and classes in any order.
        split: the clips and classes wanted.
        allow_subset: accept that clips of the split are missing; the rest keeps the order of the split.

    Returns:
        The predictions in the order of the split.

    Raises:
        ValueError: Clips or classes are missing or extra; says which and how many.
    """
    _check_same("classes", predictions.class_names, split.class_names)
    _check_same("clips", predictions.clip_ids, split.clip_ids, missing_allowed=allow_subset)
    clip_row = {clip_id: row for row, clip_id in enumerate(predictions.clip_ids)}
    clip_ids = tuple(clip_id for clip_id in split.clip_ids if clip_id in clip_row)
    clips = np.array([clip_row[clip_id] for clip_id in clip_ids])
    classes = np.array([predictions.class_names.index(name) for name in split.class_names])
    arrays = {}
    for name, axes in ARRAYS.items():
        array = getattr(predictions, name)
        if array is not None:
            arrays[name] = array[clips][..., classes] if axes[-1] == "classes" else array[clips]
    if split.truth is not None and split.valid is not None and predictions.valid is not None:
        length = split.truth.shape[1]  # of clips of any length both say how long each is
        arrays = {
            name: _of_length(array, length) if "segments" in ARRAYS[name] else array for name, array in arrays.items()
        }
    found = predictions.detections
    if found is not None:  # clips and classes are all there, in another order
        clip, column = np.argsort(clips)[found.clip], np.argsort(classes)[found.class_index]
        found = replace(found, clip=clip, class_index=column)
    return replace(predictions, clip_ids=clip_ids, class_names=split.class_names, detections=found, **arrays)


def _of_length(array: np.ndarray[Any, np.dtype[Any]], length: int) -> np.ndarray[Any, np.dtype[Any]]:
    """An array [N, T, ...] cut at T segments, or with nothing behind its own."""
    missing = [(0, 0), (0, max(length - array.shape[1], 0)), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array[:, :length], missing)


def on_truth(
    predictions: Predictions,
    truth: BoolArray,
    *,
    exists: BoolArray | None = None,
    segment_seconds: float = 1.0,
    aloud: bool = False,
) -> Predictions:
    """Predictions as they are scored: what they leave out is nothing found, and hides nothing of the truth.

    Args:
        predictions: aligned with the clips of the truth.
        truth: bool [N, T, M, C].
        exists: bool [N, T], where the truth has segments; None for clips of one length.
        segment_seconds: length of its segments.
        aloud: whether to log what they leave out.

    Returns:
        The predictions, with nothing where they say that there is no segment or where there is none; and where the
        truth has events a segment exists, whatever they say.

    Raises:
        ValueError: The segments differ in number.
    """
    main = predictions.predicted if predictions.predicted is not None else predictions.segment_probs
    assert main is not None  # one of the two is there
    if main.shape[1] != truth.shape[1]:
        raise ValueError(
            f"predictions must have the {truth.shape[1]} segments of the annotations for each clip, "
            f"got {main.shape[1]}; predict on the segment grid of the annotations"
        )
    if predictions.segment_seconds is not None and abs(predictions.segment_seconds - segment_seconds) > 1e-6:
        raise ValueError(
            f"segments of {predictions.segment_seconds:g} s cannot be scored on annotations of {segment_seconds:g} s; "
            "predict on the segment grid of the annotations"
        )
    if predictions.valid is None and exists is None:
        return predictions
    marked = truth.any(axis=(2, 3))
    valid = _both(predictions.valid, exists)
    said, hidden = valid[:, :, None, None], marked & ~valid
    if aloud and hidden.any():
        rows = np.flatnonzero(hidden.any(axis=1)).tolist()
        first = [f"{predictions.clip_ids[row]} from segment {int(hidden[row].argmax())}" for row in rows[:SHOWN]]
        _LOG.warning(
            "%d annotated segments of %d clips are said not to exist (%s%s); they count as nothing found",
            hidden.sum(), len(rows), ", ".join(first), ", ..." if len(rows) > SHOWN else "",
        )  # fmt: skip
    cleared = {
        name: array & said if array.dtype == np.bool_ else array * said.astype(array.dtype)
        for name in ("predicted", "segment_probs")
        if (array := getattr(predictions, name)) is not None
    }
    return replace(predictions, valid=valid | marked if exists is None else exists, **cleared)


def _both(valid: BoolArray | None, exists: BoolArray | None) -> BoolArray:
    """Where predictions and truth have a segment; one of the two is there."""
    if valid is None or exists is None:
        known = exists if valid is None else valid
        assert known is not None
        return known
    return valid & exists


def decisions(predictions: Predictions, options: PostProcessing | None = None) -> tuple[BoolArray, dict[str, Any]]:
    """Return what predictions mark, and a record of the rule that decided it.

    Args:
        predictions: decisions, which are passed on, or probabilities.
        options: thresholds and gate for probabilities. None stands for both thresholds 0.5 and the gate whose
            probabilities are there, clip before modality. Decisions already made take none.

    Returns:
        bool [N, T, M, C] in the order of the predictions, and the rule with the keys segment_threshold, gate and
        clip_threshold, and perhaps preset (whose rule it is) or rounding (how events were brought to segments).

    Raises:
        ValueError: The options do not fit what the predictions hold.
    """
    if predictions.predicted is not None:
        if options is not None:
            raise ValueError(
                "these predictions are decisions already, thresholds and gates cannot change them; leave them out, "
                "or predict again with probabilities"
            )
        rule = {"segment_threshold": None, "gate": "as predicted", "clip_threshold": None}
        return predictions.predicted, rule | ({"rounding": predictions.rounding} if predictions.rounding else {})
    if options is None:
        options = PostProcessing(gate=gate_of(predictions))
    assert predictions.segment_probs is not None  # the other half of the check in __post_init__
    decided = decide(
        predictions.segment_probs,
        clip_probs=predictions.clip_probs,
        modality_probs=predictions.modality_probs,
        options=options,
    )
    return decided, options.to_dict()


def told_segments(predictions: Predictions, exists: BoolArray | None) -> BoolArray | None:
    """Where predictions can mark something, bool [N, T]; None where that is everywhere.

    Args:
        predictions: As they were read.
        exists: Where the truth has segments; None for clips of one length.
    """
    return None if predictions.valid is None and exists is None else _both(predictions.valid, exists)


def marks_of(
    judged: Predictions, exists: BoolArray | None, rule: PostProcessing | None
) -> tuple[BoolArray, dict[str, Any]]:
    """As `decisions`; nothing where no segment exists, also by a threshold of 0."""
    marked, record = decisions(judged, rule)
    return marked if exists is None else marked & exists[:, :, None, None], record


def score_predictions(
    predictions: Predictions,
    split: Split,
    post_processing: PostProcessing | None = None,
    *,
    allow_subset: bool = False,
    zero_shot: ZeroShot | None = None,
) -> tuple[Scores, dict[str, Any]]:
    """Score predictions against the dense truth of a split.

    Args:
        predictions: decisions or probabilities, clips and classes in any order.
        split: val or test, with its truth.
        post_processing: thresholds and gate as in `decisions`.
        allow_subset: score the clips that are there and say how many were expected.
        zero_shot: what the teachers alone say of the clips, for the anchors; None where nobody knows.

    Returns:
        The scores, and what a score file holds: the two levels, clips, clips_expected, truth_sha256, post_processing;
        figures and anchors, where the data set has metrics of its own on segments; dataset, where it is another than
        LLP; world, where it is that of the demo; and simulated where the features were.

    Raises:
        ValueError: The split has no truth; clips, classes or segments differ; or the post-processing does not fit.
    """
    split.refuse_untold()
    assert split.truth is not None  # refused above
    aligned = align(predictions, split, allow_subset=allow_subset)
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    rows = [row_of[clip_id] for clip_id in aligned.clip_ids]
    truth, exists = split.truth[rows], None if split.valid is None else split.valid[rows]
    judged = on_truth(aligned, truth, exists=exists, segment_seconds=split.segment_seconds, aloud=True)
    predicted, rule = marks_of(judged, told_segments(aligned, exists), post_processing)
    scores = score(predicted, truth, valid=judged.valid)
    gates = {"clip_probs": judged.clip_probs, "modality_probs": judged.modality_probs}
    held = Judged(
        predicted=predicted,
        truth=truth,
        weak_labels=split.weak_labels[rows],
        valid=judged.valid,
        segment_probs=judged.segment_probs,
        **gates,
        segment_seconds=split.segment_seconds,
        events=None if split.events is None else split.events.of_clips(rows),
        clip_seconds=None if split.clip_seconds is None else split.clip_seconds[rows],
        detections=judged.detections,
        modality_tags=None if split.modality_tags is None else split.modality_tags[rows],
        subsets={name: of[rows] for name, of in split.subsets.items()},
    )
    scores = replace(scores, figures=figures_of(held, split.metrics))
    report = scores.to_dict() | {
        "clips_expected": len(split.clip_ids),
        "truth_sha256": split.truth_sha256,
        "post_processing": rule,
        **predictions.provenance.flags,
        **gate_flags(None if judged.detections else judged.segment_probs, rule, **gates),
    }
    if split.dataset != "llp":
        report["dataset"] = split.dataset
    if split.of_demo:
        report["world"] = split.world
    if split.metrics and split.events is None:
        classes, seconds = (zero_shot or ZeroShot()).on(aligned.clip_ids)
        found = anchor_scores(held, split, zero_shot=classes, by_second=seconds)
        report["anchors"] = {name: of.to_dict() for name, of in found.items()}
    elif held.events is not None and held.clip_seconds is not None and split.metrics:
        report["anchors"] = {name: of.to_dict() for name, of in event_anchors(held, split).items()}
    if left_out := sorted(set(split.clip_ids) - set(aligned.clip_ids)):
        _LOG.warning("the score leaves out %s", _listed("clips", left_out))
        report["clips_sha256"] = hashlib.sha256("\n".join(sorted(aligned.clip_ids)).encode()).hexdigest()
    return scores, report


def gate_of(predictions: Predictions) -> str:
    """Name the gate these predictions hold probabilities for, clip before modality.

    Raises:
        ValueError: They hold probabilities for neither gate.
    """
    if predictions.predicted is not None:
        return "none"
    if predictions.clip_probs is not None:
        return "clip"
    if predictions.modality_probs is not None:
        return "modality"
    raise ValueError(
        "segment_probs came without clip_probs or modality_probs, so no gate can be applied; "
        "give one of them, or choose gate 'none' (of valor.score: rule='none')"
    )


def _check_array(name: str, array: np.ndarray, sizes: dict[str, int]) -> None:
    """Check kind, axes and, for probabilities, range."""
    shape = tuple(sizes.values())
    if array.shape != shape:
        raise ValueError(f"{name} must be [{', '.join(sizes)}] {shape}, got {array.shape}")
    if name in ("predicted", "valid"):
        if array.dtype != np.bool_:
            held = "numbers are taken where all are 0 or 1, probabilities as segment_probs"
            raise ValueError(f"{name} must be bool, got {array.dtype}; {held}")
    else:
        check_probs(name, array, tuple(sizes))


def _detections_of(rows: np.ndarray) -> Detections:
    """Events in seconds as a prediction file holds them."""
    if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != len(_COLUMNS):
        raise ValueError(
            f"{_DETECTIONS} must be float64 [events, {len(_COLUMNS)}] ({', '.join(_COLUMNS)}), got {rows.dtype} "
            f"{rows.shape}"
        )
    clip, name, onset, offset, score = rows.T.copy()
    if not (np.isfinite(rows).all() and (rows[:, :2] == np.floor(rows[:, :2])).all() and (rows[:, :4] >= 0).all()):
        raise ValueError(f"{_DETECTIONS} must name clips and classes by their positions, and times from 0 on")
    if not ((score >= 0) & (score <= 1)).all():
        raise ValueError(f"scores of {_DETECTIONS} must be in 0..1")
    clip, name = clip.clip(max=_MOST_ROWS).astype(np.int64), name.clip(max=_MOST_ROWS).astype(np.int64)
    return Detections(clip=clip, class_index=name, onset=onset, offset=offset, score=score)


def _names(kind: str, array: np.ndarray | None) -> tuple[str, ...]:
    """Turn a stored name array into names."""
    if array is None:
        raise ValueError(f"{kind} is missing")
    if not isinstance(array, np.ndarray) or array.dtype.kind != "U" or array.ndim != 1:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "something that is no array"
        raise ValueError(f"{kind} must be one row of text (dtype str), got {found}")
    return tuple(array.tolist())


def _check_same(kind: str, got: Sequence[str], expected: Sequence[str], *, missing_allowed: bool = False) -> None:
    """Check that predictions and split speak of the same clips or classes, in any order."""
    present, wanted = set(got), set(expected)
    missing = [] if missing_allowed and present & wanted else [name for name in expected if name not in present]
    extra = [name for name in got if name not in wanted]
    if missing or extra:
        subset = "" if missing_allowed else ", or is a subset meant (allow_subset=True)"
        hint = f"; is this the right split{subset}?" if kind == "clips" else ""
        hint += " Clips in which nothing was found must be there as well." if hint and missing else ""
        if kind == "classes" and [name.lower() for name in extra] == [BACKGROUND]:
            hint = f"; leave {extra[0]} out: where no class is marked is background"
        found = " and ".join(filter(None, (_listed("missing", missing), _listed("extra", extra))))
        raise ValueError(f"the predictions must cover the {len(wanted)} {kind} of the split, got {found}{hint}")


def _listed(what: str, names: Sequence[str]) -> str:
    """Say how many names there are and show the first few; an empty string for none."""
    if not names:
        return ""
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:SHOWN])}{more})"
