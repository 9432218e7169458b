"""One recipe with several seeds, each scored on the test split once its training is done, and what they give together.

    RUN/                a single seed: the run folder itself, with predictions.npz and scores.json of the test split
    RUN/seed-<seed>/    several seeds: a run folder each
    RUN/scores.json     several seeds: mean and sample standard deviation, as `valor table RUN` shows them
    tuned.json          beside predictions.npz: the same predictions by gates and cuts of every class that are best on
                        val; at-half.json with both thresholds 0.5, where the method decides otherwise

The test split has no part in training or selection: the kept epoch is chosen on val, then test is scored once. With
fit.also_on_test every epoch is scored on it as well, and a run folder has chosen-on-test.json, the scores of the epoch
that is best there: never those of a run, and marked wherever they are shown.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from valor.data.clips import ClipSet, of_classes
from valor.data.own_files import changed_own
from valor.data.predictions import score_predictions, write_predictions
from valor.data.provenance import Provenance
from valor.data.score_file import write_scores_json
from valor.data.shown import frame_html
from valor.eval.decide import PostProcessing
from valor.eval.intervals import FEW_CLIPS
from valor.eval.scores import FIGURES, LEVELS, Scores, TenScores, levels_over
from valor.label_harvest.strict_json import loads
from valor.parsers.hybrid import HybridParser
from valor.parsers.word_head import WordHead

from .beneath import anchors_of
from .beside import BESIDE, Beside, named_beside, read_beside, train_together
from .checkpoint import CheckpointCard, read_checkpoint
from .decisions import score_otherwise, tuned_for
from .facts import facts_of
from .log import figure_title, read_training_log, tracking, write_seeds_picture, write_training_picture
from .methods.methods import NOTHING_OWN, Methods, OwnParts
from .options import OWN_FIGURE, TrainOptions
from .pool import NAME as POOL
from .predict import predict_classes, predict_split
from .recipe import override
from .recipes import Recipe, recipe_to_json
from .run import RunSets, make_deterministic, marked_recipe, pick_device, read_run_sets, train_on, with_seed
from .run_folder import BEST, LOG, ON_TEST, ON_TEST_SCORES, PREDICTIONS, SCORES
from .run_store import note_store
from .scored import damaged_predictions, damaged_scores, refuse_damaged
from .train import ALSO_TEST, VALOR_RULE, FitResult, figure_of, validate

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SeedResult:
    """One seed, trained and scored."""

    seed: int
    folder: Path
    fit: FitResult
    val: TenScores
    """Validation scores of the kept epoch."""
    test: TenScores | None
    """Test scores of the kept epoch; None where the test split was not scored."""
    report: Mapping[str, Any] | None
    """What scores.json holds; None where the test split was not scored."""
    decisions: Mapping[str, TenScores] = field(default_factory=dict)
    """Test scores by the other decisions, by the name of their file, see the top of this file."""
    beside: "Mapping[str, SeedResult]" = field(default_factory=dict)
    """The sets that were trained beside it, by name."""
    anchors: Mapping[str, Mapping[str, TenScores]] = field(default_factory=dict)
    """By split and name, what a training has to beat: see `valor.training.beneath`."""
    few: Mapping[str, Scores] = field(default_factory=dict)
    """Scores clip by clip of the splits that have fewer than FEW_CLIPS: what they could be of other clips."""
    provenance: Provenance = field(default_factory=Provenance)
    """What it was trained and scored on."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Training:
    """A recipe trained with one seed or several."""

    recipe: Recipe
    folder: Path
    """The run folder of a single seed, the folder of the run folders of several."""
    seeds: tuple[SeedResult, ...]

    def to_frame(self) -> "pd.DataFrame":
        """A row for each seed: its kept epoch, the ten figures on val and, where it was scored, on test."""
        import pandas as pd

        rows = []
        for one in self.seeds:
            row: dict[str, Any] = {"seed": one.seed, "folder": str(one.folder), "best_epoch": one.fit.best_epoch}
            for split, scores in (("val", one.val), ("test", one.test)):
                if scores is not None:
                    levels = scores.to_dict()
                    row |= {f"{split}.{level}.{name}": levels[level][name] for level in LEVELS for name in FIGURES}
                    row |= {f"{split}.figures.{name}": value for name, value in scores.figures.items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        """What was trained, where it lies, and how it did."""
        scores = [one.test or one.val for one in self.seeds]
        split = "val" if any(one.test is None for one in self.seeds) else "test"
        said = ", ".join(f"{held.segment.type_av:.1f}" for held in scores)
        world = f", {words}" if (words := self.seeds[0].provenance.in_words) else ""
        return f"Training of {self.recipe.name} in {self.folder}: segment Type@AV {said} on {split}{world}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and a row for each seed."""
        return frame_html(repr(self), self.to_frame().round(1))


def train_seeds(
    recipe: Recipe, data: Path, out: Path, options: TrainOptions | None = None, *, own: OwnParts = NOTHING_OWN
) -> Iterator[SeedResult]:
    """Train a recipe with one seed or several, and score each on the test split when it is there.

    The data is read once. Seeds that are done are found done; an interrupted one goes on.

    Args:
        recipe: Features, network and training; its `fit.seed` is the first seed.
        data: Folder of the annotation tables and the features.
        out: The run folder of a single seed, the folder of the run folders of several.
        options: How to go about it.
        own: Parts of the network and methods that are given as objects; methods for a single seed, since they hold the
            state of a training.

    Yields:
        Each seed as it is done. After the last one the pictures and, of several seeds, the summary are written.

    Raises:
        ValueError: As in `valor.training.run.train_run`; or `out` holds a single run and several are wanted, or the
            reverse.
        FileNotFoundError: A table or folder is not there.
    """
    options = options or TrainOptions()
    if options.beside and (own.encoder or own.pooling or own.methods):
        raise ValueError("a training beside other sets takes no parts that are given as objects")
    if own.methods and options.seeds > 1:
        raise ValueError(f"a method given as an object is for a single training, got {options.seeds} seeds")
    _refuse_other_layout(out, options.seeds)
    if options.deterministic:
        make_deterministic()
    recipe = learning_from(recipe, options)
    sets = read_run_sets(
        recipe,
        data,
        labels=options.labels,
        annotations=options.annotations,
        store=options.store,
        dataset=options.dataset,
        names=options.names,
        allow_random_teachers=options.allow_random_teachers,
        test=options.test,
        unseen=options.unseen,
        unlabelled=options.unlabelled,
        begin_with=options.begin_with,
    )
    recipe = marked_recipe(recipe, sets)
    others = read_beside(recipe, options)
    results = []
    for seed in range(recipe.fit.seed, recipe.fit.seed + options.seeds):
        folder = out if options.seeds == 1 else out / f"seed-{seed}"
        if others:
            results.append(_train_beside(with_seed(recipe, seed), data, sets, others, folder, options))
        else:
            results.append(_train_seed(with_seed(recipe, seed), sets, folder, options, own))
        yield results[-1]
    if len(results) > 1 and all(result.test for result in results):
        write_scores_json(out / SCORES, summary(results))
    if options.picture:
        for result in results:
            write_training_picture(result.folder, name=recipe.name)
        if len(results) > 1:
            folders = [result.folder for result in results]
            write_seeds_picture(out, folders, name=recipe.name, select_by=recipe.fit.select_by)


def learning_from(recipe: Recipe, options: TrainOptions) -> Recipe:
    """The recipe with the methods that clips without tags and rounds of self-training are.

    Raises:
        ValueError: The recipe cannot have them, or has rounds of its own.
    """
    changes = []
    if options.unlabelled and POOL not in recipe.methods:
        changes.append(f"methods.{POOL}=on")
    if options.self_train:
        if "rounds" in recipe.methods:
            raise ValueError(
                f"the recipe {recipe.name!r} has rounds of its own (methods.rounds); leave `self_train` out, or "
                "go without those (methods.rounds=off)"
            )
        rounds = options.self_train + 1
        with_others = bool(options.unlabelled or POOL in recipe.methods)
        changes += [f"methods.rounds.rounds={rounds}", "methods.rounds.keep=best"]
        changes += [f"methods.rounds.tagged_first={'true' if with_others else 'false'}"]
        changes += [f"fit.epochs={rounds * recipe.fit.epochs}"]
    return override(recipe, changes) if changes else recipe


def summary(results: Sequence[SeedResult]) -> dict[str, Any]:
    """Mean and sample standard deviation of the test scores of several seeds, in the form of a score file.

    Raises:
        ValueError: A seed was not scored.
    """
    scored = [result.test for result in results if result.test is not None]
    if len(scored) < max(len(results), 2):
        raise ValueError(f"a summary needs at least two seeds with test scores, got {len(scored)} of {len(results)}")
    common = {key: value for key, value in (results[0].report or {}).items() if key not in (*LEVELS, "figures")}
    return levels_over(scored, fmean) | {
        **common,
        "seeds": [result.seed for result in results],
        "sd": levels_over(scored, stdev),
        "validation": levels_over([r.val for r in results], fmean)
        | {"sd": levels_over([r.val for r in results], stdev)},
    }


def _train_seed(recipe: Recipe, sets: RunSets, folder: Path, options: TrainOptions, own: OwnParts) -> SeedResult:
    """Train one seed, then score the kept epoch on the test split."""
    with tracking(options.trackers, folder, recipe_to_json(recipe)) as track:
        fit = train_on(
            recipe,
            sets,
            folder,
            device=options.device,
            compiled=options.compiled,
            progress=options.progress,
            on_epoch=track,
            own=own,
        )
        return _finished(recipe, sets, folder, options, fit, own, track)


def _train_beside(
    recipe: Recipe, data: Path, sets: RunSets, others: Sequence[Beside], folder: Path, options: TrainOptions
) -> SeedResult:
    """Train one seed of several sets, then score the kept epoch of each on its own test split."""
    whole = [Beside(data.resolve().name, recipe, sets, folder)]
    whole += [
        Beside(one.name, with_seed(one.recipe, recipe.fit.seed), one.sets, folder / BESIDE / one.name) for one in others
    ]
    whole = named_beside(whole)
    fits = train_together(whole, device=options.device, progress=options.progress)
    note_store(folder, sets.store)
    results = {
        one.name: _finished(one.recipe, one.sets, one.folder, options, fits[one.name], NOTHING_OWN, lambda _: None)
        for one in whole
    }
    first, *rest = results
    return replace(results[first], beside={name: results[name] for name in rest})


def _finished(
    recipe: Recipe,
    sets: RunSets,
    folder: Path,
    options: TrainOptions,
    fit: FitResult,
    own: OwnParts,
    track: Callable[[Mapping[str, Any]], None],
) -> SeedResult:
    """A training that is done, with the scores of its kept epoch on the test split."""
    trained = fit.resumed_from < recipe.fit.epochs
    tested, report, decisions = (
        _score_test(recipe, sets, folder, options.device, own, write=trained) if sets.test else (None, None, {})
    )
    few = {} if tested is None or tested.clips >= FEW_CLIPS else {"test": tested}
    if len(sets.val) < FEW_CLIPS:
        few["val"] = _score_val(recipe, sets, folder, options.device, own)
    if report is not None and recipe.fit.also_on_test and (found := best_on_test(folder, recipe, report)):
        write_scores_json(folder / ON_TEST_SCORES, found)
    if report is None and not trained:
        refuse_damaged(folder)
    if report is not None and trained:
        track({"epoch": recipe.fit.epochs, "test": {level: report[level] for level in LEVELS}})
    log = read_training_log(folder)
    at = log.epochs.tolist().index(fit.best_epoch)
    levels = {level: {figure: log.scores[f"{level}.{figure}"][at] for figure in FIGURES} for level in LEVELS}
    logged = {name: log.scores[f"{OWN_FIGURE}{name}"][at].item() for name in sets.val.metrics}
    figures = {name: None if isnan(value) else value for name, value in logged.items()}
    return SeedResult(
        seed=recipe.fit.seed,
        folder=folder,
        fit=fit,
        val=TenScores.from_dict(levels | {"clips": len(sets.val), "figures": figures}),
        test=None if report is None else TenScores.from_dict(report),
        report=report,
        decisions={name: TenScores.from_dict(of) for name, of in decisions.items()},
        anchors=anchors_of(sets, tested=report is not None),
        few=few,
        provenance=sets.provenance,
    )


def _kept(
    sets: RunSets, folder: Path, device: str, own: OwnParts, clips: ClipSet
) -> tuple[HybridParser, CheckpointCard, tuple[str, ...]]:
    """The parser of the kept epoch, what its file says, and the classes of these clips that it parses for."""
    parser, card = read_checkpoint(folder / BEST, own=own)
    held = sets.train.class_names
    if sets.words is not None:
        assert isinstance(parser.classifier, WordHead)
        parser.classifier.take(*sets.words.of(clips.class_names))
        held = clips.class_names
    return parser.to(pick_device(device)), card, held


def _score_val(recipe: Recipe, sets: RunSets, folder: Path, device: str, own: OwnParts) -> Scores:
    """Scores of the kept epoch clip by clip, as they were when it was chosen."""
    val = of_classes(sets.val, sets.train.class_names, emptied=False) if sets.unseen else sets.val
    parser, _, _ = _kept(sets, folder, device, own, val)
    return validate(parser, val, Methods(recipe.methods, own.methods).decision(VALOR_RULE))


def _score_test(
    recipe: Recipe, sets: RunSets, folder: Path, device: str, own: OwnParts, *, write: bool
) -> tuple[Scores, dict[str, Any], dict[str, dict[str, Any]]]:
    """Predict and score the test split with the kept weights; scores, and score files, of other decisions by names.

    Predictions and scores are written if `write` or where they are missing or damaged: a user may have scored a
    finished run by another rule, which a second start must not undo.
    """
    assert sets.test is not None  # asked for by the caller
    split, clips = sets.test
    parser, card, held = _kept(sets, folder, device, own, clips)
    known = sets.provenance | Provenance(own_files_changed=changed_own(card.recipe))
    predictions = replace(predict_classes(parser, clips, held), provenance=known)
    methods = Methods(recipe.methods, own.methods)
    rule = methods.decision(VALOR_RULE)
    scores, report = score_predictions(
        predictions, split, rule, allow_subset=recipe.features.missing == "drop", zero_shot=sets.zero_shot
    )
    report["selection"] = figure_title(recipe.fit.select_by)
    report |= facts_of(recipe, methods, sets.labels, sets.more).to_json()
    if write or damaged_predictions(folder):
        write_predictions(folder / PREDICTIONS, predictions)
    if write or damaged_scores(folder):
        write_scores_json(folder / SCORES, report)
    if sets.unseen:
        return scores, report, {}  # no cut of a class that was left out is to be chosen

    def tune() -> PostProcessing:
        val = sets.val
        assert val.truth is not None  # or no epoch could have been chosen
        valid = None if val.valid is None else val.valid.cpu().numpy()
        return tuned_for(predict_split(parser, val), val.truth.cpu().numpy(), rule, valid)

    return scores, report, score_otherwise(folder, split, predictions, rule, tune, report, write=write)


def best_on_test(folder: Path, recipe: Recipe, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The score file of the epoch that is best on the test split, by the figure that chooses on val."""
    lines = [loads(line) for line in (folder / LOG).read_text(encoding="utf-8").splitlines()]
    scored = [TenScores.from_dict(line[ALSO_TEST]) for line in lines if ALSO_TEST in line]
    if len(scored) < len(lines):
        _LOG.warning(
            "%s: only %d of %d epochs were scored on test, so none is the best", folder, len(scored), len(lines)
        )
        return None
    figures = [figure_of(one, recipe.fit.select_by) for one in scored]
    at = max(range(len(figures)), key=lambda epoch: (figures[epoch], -epoch))
    same = {key: value for key, value in report.items() if key not in (*LEVELS, "figures", "anchors")}
    return {**same, **scored[at].to_dict(), "selection": ON_TEST, "epoch": at + 1}


def _refuse_other_layout(out: Path, seeds: int) -> None:
    """A folder holds a single run or the runs of several seeds, never both: one's scores would hide the other's."""
    if seeds > 1 and (out / BEST).is_file():
        raise ValueError(f"{out} holds a single run, which {seeds} seeds would be mixed up with; choose another `out`")
    if seeds == 1 and any(out.glob(f"seed-*/{BEST}")):
        raise ValueError(f"{out} holds the runs of several seeds; choose another `out` for a single one")
