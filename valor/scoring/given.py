"""What the verbs `score` and `compare` are given - arrays, files, runs, folders of seeds - and its scores."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.datasets.dataset import chosen_dataset
from valor.data.names import named_source
from valor.data.parse_folder import DECIDED, DROPPED, parse_files, refuse_other_gates
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import Predictions, decisions, score_predictions
from valor.data.provenance import of_folder, told_by
from valor.data.score_file import OPEN_GATE, gate_flags
from valor.data.tables import LLP_SEGMENTS, Split
from valor.eval import scores as scorer
from valor.eval.decide import PostProcessing
from valor.eval.events import BoolArray, as_array, as_marks
from valor.label_harvest.did_you_mean import did_you_mean
from valor.training.run_folder import BEST, refuse_several_seeds, seed_folders
from valor.training.scored import answers_of_run, seed_predictions

from .held import Differences, Scores
from .legend import open_gate
from .over_seeds import SeedScores, difference

if TYPE_CHECKING:
    from valor.data.datasets.dataset import DataSet

_LOG = logging.getLogger(__name__)

_SAME = {"clips": "clips", "truth_sha256": "truth", "clips_sha256": "part of the clips"}
"""What two systems that are compared have in common, as score files say it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Judge:
    """Against what and how something is scored."""

    truth: BoolArray | None = None
    """bool [N, T, M=2, C], where there are no tables."""
    split: Split | None = None
    """Of the tables."""
    data: Path | None = None
    """Folder of the tables."""
    rule: PostProcessing | None = None
    """None for both 0.5 and the gate the predictions have probabilities for."""
    allow_subset: bool = False

    def scores(self, given: Any, **gates: Any) -> Scores:  # noqa: ANN401
        """Score what is given.

        Args:
            given: What `valor.score` takes.
            gates: clip_probs [N, C] or modality_probs [N, M, C], beside an array of probabilities.

        Raises:
            ValueError: Clips, classes or shapes do not belong together, or it cannot be read.
        """
        if isinstance(given, Scores):
            raise ValueError("these are scores already: give predictions to score, or compare scores without a truth")
        given = _stacked(given)
        array = None
        if hasattr(given, "__array__"):  # all 0 and 1 are marks, unless a rule or a gate says otherwise
            gated = any(of is not None for of in gates.values()) or self.rule is not None
            array = as_array(given) if gated and as_array(given).dtype.kind == "f" else as_marks(given)
        held: dict[str, Any] = {name: as_array(of) for name, of in gates.items() if of is not None}
        if held and (array is None or array.dtype.kind != "f"):
            raise ValueError(f"{' and '.join(held)}: beside an array of probabilities of segments alone")
        if self.split is None:
            assert self.truth is not None  # or there are tables
            marks, flags = self._marks(given, array, held)
            return Scores.of(scorer.score(marks, self.truth), flags)
        found = self._read(given) if array is None else self._in_order(array, held)
        found = replace(found, provenance=found.provenance | of_folder(self.data)) if self.data else found
        scores, report = score_predictions(found, self.split, self.rule, allow_subset=self.allow_subset)
        known = frozenset(found.clip_ids)
        ids = [clip_id for clip_id in self.split.clip_ids if clip_id in known]
        return Scores.of(scores, report, scored_on=f"{self.split.world}, {self.split.name}", clip_ids=ids)

    def _marks(
        self, given: object, array: np.ndarray | None, gates: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, bool]]:
        """Decisions of an array, where the truth is one too, and what there is to say of their gate."""
        if array is None:
            raise ValueError(f"truth is an array, so predictions must be one too, got {given!r}; or give a folder")
        if array.dtype.kind != "f" or array.ndim != 4:
            return array, {}
        names = [tuple(map(str, range(count))) for count in (array.shape[0], array.shape[3])]
        held = Predictions(clip_ids=names[0], class_names=names[1], segment_probs=array, **gates)
        marked, rule = decisions(held, self.rule)
        return marked, gate_flags(array, rule, clip_probs=held.clip_probs, modality_probs=held.modality_probs)

    def _in_order(self, array: np.ndarray, gates: dict[str, Any]) -> Predictions:
        """An array of the clips and classes of the split, in the order of its tables."""
        split = self.split
        assert split is not None and split.truth is not None  # of tables, which are refused without
        if array.shape != split.truth.shape:
            raise ValueError(
                f"an array beside tables must be of {split.truth.shape}, the clips and classes of {split.name} in the "
                f"order of the tables, got {array.dtype} {array.shape}; in another order, or of fewer clips, give "
                "valor.Predictions, which names both"
            )
        what: dict[str, Any] = {"segment_probs": array, **gates} if array.dtype.kind == "f" else {"predicted": array}
        return Predictions(clip_ids=split.clip_ids, class_names=split.class_names, valid=split.valid, **what)

    def _read(self, given: Any) -> Predictions:  # noqa: ANN401
        """Predictions as they are; those of a file; or what a run finds on the split."""
        if isinstance(given, Predictions):
            return given
        path, split = Path(given), self.split
        assert split is not None and self.data is not None  # of tables
        refuse_several_seeds(path)
        if (path / BEST).is_file():
            return answers_of_run(path, split, self.data)
        if files := parse_files(path):
            refuse_other_gates(files, self.rule, split.class_names)
        return read_any_predictions(
            path,
            split.class_names,
            clip_ids=split.clip_ids,
            num_segments=LLP_SEGMENTS if split.truth is None else split.truth.shape[1],
            segment_seconds=split.segment_seconds,
            gates=DROPPED if self.rule is not None and self.rule.gate == "none" else DECIDED,
        )


@dataclass(frozen=True, kw_only=True)
class TruthOptions:
    """What a folder of tables holds, and how much of it is scored."""

    allow_subset: bool = False
    """Whether the clips that are there are scored where some of the split are missing."""
    truth_version: str | None = None
    """Of the annotations, of LLP `v2024` or `v2020`; None for the newest."""
    classes: str | None = None
    """Vocabulary of the tables; None for the data set's, of LLP for classes.json beside them."""
    dataset: "DataSet | str | None" = None
    """What the folder holds, a `DataSet` or its name; None for what its `dataset.json` says, or LLP."""


def truth_options(verb: str, typed: Mapping[str, Any]) -> TruthOptions:
    """What was said of the truth.

    Args:
        verb: Whose options they are.
        typed: As given to it.

    Raises:
        ValueError: One is not known.
    """
    known = [entry.name for entry in fields(TruthOptions)]
    for name in typed:
        if name in ("data", "annotations"):
            raise ValueError(f"valor.{verb} calls the folder of the tables truth: write truth= for {name}=")
        if name not in known:
            others = [*known, "truth", "split", "rule"]
            near = did_you_mean(name, others)
            raise ValueError(f"valor.{verb} has no option {name!r}{near}; it has {', '.join(others)}")
    return TruthOptions(**typed)


def _is_pair(given: object) -> bool:
    """Whether it is two arrays [N, T, C], audio and visual, as codes of the field hold them."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        return False
    return all(hasattr(one, "__array__") and as_array(one).ndim == 3 for one in given)


def _stacked(given: Any) -> Any:  # noqa: ANN401
    """A pair of arrays as one [N, T, M, C]; whatever else a file or predictions may be as it is.

    Raises:
        ValueError: It is something that holds arrays in another way.
    """
    if _is_pair(given):
        heard, seen = map(as_array, given)
        if heard.shape != seen.shape:
            raise ValueError(
                "a pair is audio and visual [clips, segments, classes] of one shape, "
                f"got {heard.shape} and {seen.shape}"
            )
        return np.stack([heard, seen], axis=2)
    if isinstance(given, Mapping):
        raise ValueError(
            "expected predictions, a file, or an array [clips, segments, 2, classes], got a dict; of arrays by clip "
            "say valor.Predictions(clip_ids=tuple(d), class_names=names, predicted=np.stack(list(d.values())))"
        )
    if not (isinstance(given, str | Path | Predictions) or hasattr(given, "__array__")):
        raise ValueError(
            f"expected predictions, a file, an array [clips, segments, 2, classes] or a pair of arrays (audio, visual) "
            f"[clips, segments, classes], got {type(given).__name__}; np.stack makes one array of several"
        )
    return given


def called(given: Any) -> str:  # noqa: ANN401
    """What notes call what was scored: a path, or what kind of value of what size."""
    if isinstance(given, str | Path | Predictions):
        return str(given)
    shape = getattr(given, "shape", None)
    return "a pair of arrays" if shape is None else f"the array {[*map(int, shape)]}"


def note_open_gate(name: str, scores: Sequence[Scores]) -> None:
    """A word on a system whose gate closes nothing."""
    if all(one.report.get(OPEN_GATE) for one in scores):
        _LOG.warning("%s: %s", name, open_gate(scores[0].report.get("post_processing")))


def judge_of(truth: Any, split: str | None, rule: PostProcessing | None, options: TruthOptions) -> Judge:  # noqa: ANN401
    """Read a truth.

    Args:
        truth: Folder of the tables, or bool [N, T, M, C].
        split: Its name; None for the one the data set is scored on.
        rule: How probabilities become decisions.
        options: What the folder holds.

    Raises:
        ValueError: There is no such split, or it cannot be read.
    """
    if hasattr(truth, "__array__"):
        return Judge(truth=as_marks(truth), rule=rule)
    known = chosen_dataset(options.dataset, truth)
    name, names = split or known.split_for("test"), known.names_in(truth, options.classes)
    read = known.read_split(truth, name, names, truth_version=options.truth_version)
    read.refuse_untold()
    return Judge(split=read, data=Path(truth), rule=rule, allow_subset=options.allow_subset)


@dataclass(frozen=True, kw_only=True, eq=False)
class _System(SeedScores):
    """One side of a comparison."""

    name: str
    seeds: tuple[int, ...]
    """None of a single run."""
    report: dict[str, Any]
    """Of the first seed."""


def compared(
    system: Any,  # noqa: ANN401
    baseline: Any,  # noqa: ANN401
    judge: Judge | None,
    names: Sequence[str | None] = (None, None),
) -> Differences:
    """What a system has over another: arguments as of `valor.compare`.

    Raises:
        ValueError: The two were not scored on the same clips and truth, a truth is missing, or names are not two.
    """
    if isinstance(names, str) or len(names) != 2 or (names[0] is not None and names[0] == names[1]):
        raise ValueError(f"names must be two, of the system and of the baseline, got {names!r}")
    ours, theirs = _side(system, judge, "system", names[0]), _side(baseline, judge, "baseline", names[1])
    for key, what in _SAME.items():
        values = [one.report.get(key) for one in (ours, theirs)]
        if values[0] != values[1]:
            raise ValueError(
                f"{ours.name} and {theirs.name} must be scored on the same clips and truth, got another {what}: "
                f"{values[0]} and {values[1]}; score both on those they share"
            )
    if theirs.name == ours.name:
        theirs = replace(theirs, name=f"{theirs.name} of {baseline}" if isinstance(baseline, str | Path) else "other")
    paired = set(ours.seeds) == set(theirs.seeds)
    found = difference(ours, theirs, paired=paired)
    counts = (len(ours.scores), len(theirs.scores))
    return Differences(
        clips=found.clips,
        seeds=found.seeds,
        name=ours.name,
        baseline=theirs.name,
        num_seeds=counts,
        paired=paired,
        world=ours.report.get("world", ""),
    )


def _side(given: Any, judge: Judge | None, default: str, called: str | None) -> _System:  # noqa: ANN401
    """Scores of a system, of each seed where it has several, under the name it is called or one that it has."""
    name, sources = default, [given]
    seeds: tuple[int, ...] = ()
    if isinstance(given, list | tuple) and not _is_pair(given):
        sources, seeds = list(given), tuple(range(len(given)))
    elif isinstance(given, str | Path):
        named, path = named_source(str(given))
        name, sources = named or _name_of(path), [path]
        if folders := seed_folders(path):
            ids = () if judge is None or judge.split is None else judge.split.clip_ids
            seeds, sources = tuple(folders), [seed_predictions(folder, ids) for folder in folders.values()]
    name, scores = called or name, []
    for source in sources:
        if not isinstance(source, Scores):
            if judge is None:
                raise ValueError(f"{name}: give the truth to score it on, a folder of tables; Scores alone need none")
            source = judge.scores(source)
        scores.append(source)
    if not scores:
        raise ValueError(f"{name}: expected scores or predictions, one for each seed, got none")
    _refuse_unlike(name, scores)
    note_open_gate(name, scores)
    report = {"clips": scores[0].clips, **scores[0].report}
    marked = told_by(report).marked(name)
    return _System(name=marked, scores=tuple(scores), seeds=seeds if len(scores) > 1 else (), report=report)


def _refuse_unlike(name: str, scores: Sequence[Scores]) -> None:
    """Refuse seeds of other clips or truths."""
    for key, what in _SAME.items():
        held = {one.clips if key == "clips" else one.report.get(key) for one in scores}
        if len(held) > 1:
            raise ValueError(
                f"{name}: its seeds must be scored on the same clips and truth, got another {what}: {held}"
            )


def _name_of(path: Path) -> str:
    """What a run or a file is called: by its folder where its own name says what kind of file it is."""
    whole = path.resolve()
    whole = whole.parent if whole.stem in ("predictions", "pseudo_labels") else whole
    return f"{whole.parent.name}/{whole.name}" if whole.name.startswith("seed-") else whole.stem
