"""The bench of clips without tags: every arm at every share of the tags over seeds, each in a run folder of its own.

    OUT/pretrained/<objective>/seed-<n>/    pre-trainings, one for all shares
    OUT/runs/<share>/<arm>/seed-<n>/        run folders
    OUT/probes/, OUT/one-stream/            what was measured of them (before.py, alone.py)
    OUT/pretraining*                        the tables and the figure

A run that is done is found done, an interrupted one goes on. Each training has one thread to itself.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.data.features.feature_options import evidence_in
from valor.data.provenance import of_folder
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.experiments.jobs import Job, scores_on_test, trained
from valor.label_harvest.disk import write_json
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.strict_json import loads
from valor.parsers.pretraining.registry import OBJECTIVES
from valor.pretraining.options import PretrainOptions
from valor.pretraining.run import pretrain_run
from valor.training.facts import facts_beside
from valor.training.options import TrainingError
from valor.training.pool import NAME as POOL
from valor.training.recipes import Recipe, override
from valor.training.run import RunSets, read_run_sets, with_seed

from .alone import one_stream
from .before import BeforeTags, before_tags
from .bound import IDENTITY, whole_from
from .cells import Cell, cell_of, cells_of, folder_of, others_of, recipe_for, with_control
from .choose import WORDS, Choice, chosen
from .options import FRESH, PretrainBenchOptions, base_of, own_changes
from .results import CellResult, with_differences

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class PretrainBench:
    """All that a bench found."""

    title: str
    options: PretrainBenchOptions
    recipe: Recipe
    results: tuple[CellResult, ...]
    left_out: dict[str, str]
    """Reasons by cell."""
    failed: dict[str, str]
    """Messages by cell."""
    choices: tuple[Choice, ...] = ()
    """Weight and share of clips without tags, where these were chosen."""
    before_tags: BeforeTags | None = None
    """What the pre-trainings are worth before any tag; None where there is none."""


def run_pretrain_bench(recipe: Recipe, data: Path, out: Path, options: PretrainBenchOptions) -> PretrainBench:
    """Train and score every arm at every share.

    Args:
        recipe: What every arm changes something of; on features of a store.
        data: Folder of the annotation tables and the features.
        out: Gets the runs.
        options: Which arms and shares, how many seeds.

    Raises:
        ValueError: Data, labels, stores and recipe do not fit, or the folder holds a bench of other steps.
    """
    of_methods = [change for change in options.changes if change.strip().startswith("methods.")]
    recipe = override(recipe, [change for change in options.changes if change not in of_methods])
    dataset = dataset_of(data)
    test = dataset.read_split(data, dataset.split_for("test"), dataset.names_in(data))
    options = replace(
        options,
        unlabelled=options.unlabelled or (evidence_in(data, None),),
        labels=options.labels or _labels_beside(data),
    )
    asked = override(recipe, [f"methods.{POOL}=on"])
    sets = read_run_sets(asked, data, labels=options.labels, unlabelled=options.unlabelled)
    options = with_control(options, recipe)
    cells, left_out = cells_of(recipe, sets, options, of_methods)
    held = _begun_with(recipe, sets, options)
    seeds = range(recipe.fit.seed, recipe.fit.seed + options.seeds)
    whole = None
    if options.bound is not None:
        all_of_them = cell_of(FRESH, 1.0, recipe, (len(sets.train), 0), options, of_methods)
        whole = whole_from(options.bound, all_of_them, held, seeds, test)
    _refuse_another(out, held)
    if options.progress:
        _LOG.info("pretrain-bench: %s", plan_line(cells, options))
    with _pool_said_once():
        failed = _pretrain(recipe, seeds, data, out, options)
        left_out |= {f"pre-training {name}": why for name, why in failed.items()}
        cells = [cell for cell in cells if cell.arm not in failed]
        choices, not_tried = _choices(cells, seeds[:1], data, out, options, (recipe, sets, of_methods))
        cells = _with_best(cells, choices)
        found, failed = _trained(_jobs(cells, seeds, data, out, options), options)
    results = [_judged(cell, out, seeds, found, test) for cell in cells if cell.folder not in failed]
    results = [_marked(result, choices) for result in results]
    runs = {
        cell.arm: {seed: pretrained_in(out, cell.arm, seed) for seed in seeds}
        for cell in cells
        if base_of(cell.arm) in OBJECTIVES
    }
    before = None
    try:
        before = before_tags(runs, out, data, progress=options.progress)
    except ValueError as error:  # the trainings are done, and their table is to be seen
        left_out["before any tag"] = str(error)
    results, reasons = _one_stream(results, out, seeds, data, test, progress=options.progress)
    left_out |= reasons
    train = len(sets.train)
    title = f"{data.resolve().parent.name}/{data.resolve().name}, {train} tagged clips, {len(test.clip_ids)} test clips"
    return PretrainBench(
        title=of_folder(data).marked(title),
        options=options,
        recipe=recipe,
        results=tuple(with_differences(results, _usual(choices), whole)),
        left_out=left_out,
        failed={**not_tried, **failed},
        choices=tuple(choices),
        before_tags=before,
    )


def plan_line(cells: Sequence[Cell], options: PretrainBenchOptions) -> str:
    """How many trainings are to come, of how many steps, and the pre-trainings before them."""
    steps = sorted({options.whole_steps if cell.share == 1 else options.steps for cell in cells})
    said = f"{len(cells) * options.seeds} trainings ({len(cells)} rows, {options.seeds} seeds) of about "
    said += f"{' or '.join(map(str, steps))} steps, each round of one as many"
    arms = {cell.arm for cell in cells if base_of(cell.arm) in OBJECTIVES}
    return said + f"; before them {len(arms) * options.seeds} pre-trainings" * bool(arms)


def _jobs(cells: Sequence[Cell], seeds: range, data: Path, out: Path, options: PretrainBenchOptions) -> list[Job]:
    """Every training; those of one seed of all cells before the next seed, so that a stopped bench has whole rows."""
    return [
        Job(
            cell.folder,
            with_seed(cell.recipe, seed),
            data,
            options.labels,
            _folder(out, cell, seed),
            options.unlabelled if POOL in cell.recipe.methods else (),
            pretrained_in(out, cell.arm, seed) if base_of(cell.arm) in OBJECTIVES else None,
        )
        for seed in seeds
        for cell in cells
    ]


def pretrained_in(out: Path, arm: str, seed: int) -> Path:
    """Folder of the pre-training an arm begins with."""
    return out / "pretrained" / folder_of(arm) / f"seed-{seed}"


def _pretrain(recipe: Recipe, seeds: range, data: Path, out: Path, options: PretrainBenchOptions) -> dict[str, str]:
    """Pre-train every objective that is asked for with every seed; answers what went wrong, by objective."""
    failed: dict[str, str] = {}
    for arm in options.arms:
        for seed in seeds if base_of(arm) in OBJECTIVES else ():
            how = PretrainOptions(
                epochs=options.pretrain_epochs,
                batch_size=recipe.fit.batch_size,
                warmup_epochs=min(PretrainOptions.warmup_epochs, options.pretrain_epochs - 1),
                seed=seed,
                device="cpu",
                progress=options.progress,
            )
            try:
                pretrain_run(
                    base_of(arm),
                    options.unlabelled,
                    recipe_for(arm, recipe),
                    pretrained_in(out, arm, seed),
                    how,
                    changes=own_changes(arm),
                    data=data,
                )
            except (ValueError, TrainingError) as error:
                failed[arm] = f"seed {seed}: {error}"
                break
    return failed


def _trained(jobs: Sequence[Job], options: PretrainBenchOptions) -> tuple[dict[Path, float], dict[str, str]]:
    """Validation figure by run folder, and what went wrong by cell."""
    found: dict[Path, float] = {}
    failed: dict[str, str] = {}
    with progress_bar(total=len(jobs), desc="bench", unit="run", enabled=options.progress) as bar:
        for job, outcome in trained(jobs, options.jobs):
            if isinstance(outcome, str):
                failed.setdefault(job.row, f"seed {job.recipe.fit.seed}: {outcome}")
            else:
                found[job.folder] = outcome
            bar.update()
    return found, failed


def _choices(
    cells: Sequence[Cell],
    seeds: range,
    data: Path,
    out: Path,
    options: PretrainBenchOptions,
    of: tuple[Recipe, RunSets, Sequence[str]],
) -> tuple[list[Choice], dict[str, str]]:
    """Weight and share of the clips without tags that are best on validation, and which candidates failed."""
    (recipe, sets, of_methods), failed = of, dict[str, str]()

    def made(cell: Cell, arm: str) -> Cell:
        return cell_of(arm, cell.share, recipe, (cell.tagged, others_of(sets, cell.share, recipe)), options, of_methods)

    def train(candidates: Sequence[Cell]) -> dict[str, float]:
        found, messages = _trained(_jobs(candidates, seeds, data, out, options), options)
        failed.update(messages)
        folders = {cell.folder: _folder(out, cell, seeds[0]) for cell in candidates if cell.folder not in messages}
        return {cell: found[folder] for cell, folder in folders.items()}

    return (chosen(cells, made, train) if options.choose else []), failed


def _with_best(cells: Sequence[Cell], choices: Sequence[Choice]) -> list[Cell]:
    """The cells, and behind each the one that was chosen for it, where that is another."""
    best = {choice.cell.folder: choice.best for choice in choices}
    there = {cell.folder for cell in cells}
    found = []
    for cell in cells:
        more = best.get(cell.folder, cell)
        found += [cell] if more.folder in there else [cell, more]
    return found


def _marked(result: CellResult, choices: Sequence[Choice]) -> CellResult:
    """With weight and share among what was chosen on val, where they were."""
    if result.chosen_on_val is None or result.cell.folder not in {choice.best.folder for choice in choices}:
        return result
    return replace(result, chosen_on_val=(*result.chosen_on_val, *WORDS))


@contextmanager
def _pool_said_once() -> Iterator[None]:
    """Every training reads what was read, and said, before; how few steps a share has is nothing here."""
    quiet = [logging.getLogger(name) for name in ("valor.data.unlabelled", "valor.training.share")]
    levels = [log.level for log in quiet]
    for log in quiet:
        log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for log, level in zip(quiet, levels, strict=True):
            log.setLevel(level)


def _folder(out: Path, cell: Cell, seed: int) -> Path:
    return out / "runs" / cell.folder / f"seed-{seed}"


def _labels_beside(data: Path) -> Path | None:
    """Labels where a demo has them; None for those among the data."""
    beside = data.resolve().parent / "labels" / "valor"
    return beside if beside.is_dir() else None


def _usual(choices: Sequence[Choice]) -> dict[str, str]:
    """The place of the row that each chosen one was chosen for, where it is another."""
    return {choice.best.folder: choice.cell.folder for choice in choices if choice.best.folder != choice.cell.folder}


def _begun_with(recipe: Recipe, sets: RunSets, options: PretrainBenchOptions) -> dict[str, object]:
    """What the trainings of a bench rest on."""
    assert sets.pool is not None
    return {
        "recipe": recipe.name,
        "steps": options.steps,
        "whole_steps": options.whole_steps,
        "rounds": options.rounds,
        "pretrain_epochs": options.pretrain_epochs,
        "changes": list(options.changes),
        "tagged": sets.train.fingerprint(),
        "untagged": sets.pool.clips.fingerprint(),
    }


def _refuse_another(out: Path, held: dict[str, object]) -> None:
    """Refuse a folder of a bench whose trainings were others; more arms, shares and seeds go on in it."""
    path = out / IDENTITY
    if not path.is_file():
        write_json(path, held, indent=2)
        return
    there = loads(path.read_text(encoding="utf-8"))
    if not isinstance(there, dict) or (other := [key for key in held if there.get(key) != held[key]]):
        what = ", ".join(other) if isinstance(there, dict) else json.dumps(there)[:40]
        raise ValueError(
            f"{path}: belongs to a bench with other {what}; continue it with what it was begun with, or choose another "
            "`out`"
        )


def _judged(cell: Cell, out: Path, seeds: range, found: dict[Path, float], test: Split) -> CellResult:
    folders = [_folder(out, cell, seed) for seed in seeds]
    scores, tuned = scores_on_test(folders, cell.recipe.methods, test)
    return CellResult(
        cell=cell,
        val=tuple(found[folder] for folder in folders),
        scores=scores,
        tuned=tuned,
        chosen_on_val=facts_beside(folders[0]).tuned,
    )


def _one_stream(
    results: Sequence[CellResult], out: Path, seeds: range, data: Path, test: Split, *, progress: bool
) -> tuple[list[CellResult], dict[str, str]]:
    """The results with what is left of each where a stream is missing, and why some have nothing of it."""
    clips = read_clip_set(data, test, results[0].cell.recipe.features) if results else None
    found, left_out = list[CellResult](), dict[str, str]()
    with progress_bar(total=len(results), desc="one stream", unit="row", enabled=progress) as bar:
        for result in results:
            assert clips is not None  # read for the first of them
            cell = result.cell
            places = [out / "one-stream" / cell.folder / f"seed-{seed}.npz" for seed in seeds]
            try:
                alone = one_stream([_folder(out, cell, seed) for seed in seeds], places, cell.recipe, clips, test)
                found.append(replace(result, one_stream=alone))
            except ValueError as error:
                left_out["one stream missing"] = str(error)  # of the network, which all have in common
                found.append(result)
            bar.update()
    return found, left_out
