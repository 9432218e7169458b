"""The bench of clips without tags: every arm at every share of the tags over seeds, each in a run folder of its own.

    OUT/pretrained/<objective>/seed-<n>/    pre-trainings, one for all shares
    OUT/runs/<share>/<arm>/seed-<n>/    run folders
    OUT/pretraining.*                   the table and the figure

All arms take as many steps, on the same tagged clips of a seed. A run that is done is found done, an interrupted one
goes on. Each training has one thread to itself.
"""

import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valor.data.datasets.dataset import dataset_of
from valor.data.features.feature_options import evidence_in
from valor.data.provenance import of_folder
from valor.data.tables import Split
from valor.experiments.ablate import Difference, difference
from valor.experiments.jobs import Job, OverSeeds, scores_on_test, trained
from valor.label_harvest.disk import write_json
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.strict_json import loads
from valor.parsers.pretraining.registry import OBJECTIVES
from valor.pretraining.options import PretrainOptions
from valor.pretraining.run import pretrain_run
from valor.training.options import TrainingError
from valor.training.pool import NAME as POOL
from valor.training.recipes import Recipe, override
from valor.training.run import RunSets, read_run_sets, with_seed
from valor.training.share import share_rows

from .options import FRESH, OF_POOL, OF_ROUNDS, PretrainBenchOptions

IDENTITY = "bench.json"
"""File of what a bench was begun with, and must find again."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm at one share."""

    arm: str
    share: float
    tagged: int
    """Clips that keep their tags."""
    others: int
    """Clips without tags that take part."""
    recipe: Recipe

    @property
    def folder(self) -> str:
        """Its place below `runs`."""
        return f"{100 * self.share:g}-percent/{self.arm}"


@dataclass(frozen=True, kw_only=True, eq=False)
class CellResult(OverSeeds):
    """A cell, trained and scored with every seed."""

    cell: Cell
    over_fresh: Difference | None = None
    """Over the arm fresh at the same share; None for that itself."""


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
    cells, left_out = _cells(recipe, sets, options, of_methods)
    _refuse_another(out, recipe, sets, options)
    seeds = range(recipe.fit.seed, recipe.fit.seed + options.seeds)
    failed = _pretrain(recipe, seeds, data, out, options)
    left_out |= {f"pre-training {name}": why for name, why in failed.items()}
    cells = [cell for cell in cells if cell.arm not in failed]
    found, failed = _trained(_jobs(cells, seeds, data, out, options), options)
    results = [_judged(cell, out, seeds, found, test) for cell in cells if cell.folder not in failed]
    train = len(sets.train)
    title = f"{data.resolve().parent.name}/{data.resolve().name}, {train} tagged clips, {len(test.clip_ids)} test clips"
    return PretrainBench(
        title=of_folder(data).marked(title),
        options=options,
        recipe=recipe,
        results=tuple(_compared(results)),
        left_out=left_out,
        failed=failed,
    )


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
            _pretrained_in(out, cell.arm, seed) if cell.arm in OBJECTIVES else None,
        )
        for seed in seeds
        for cell in cells
    ]


def _pretrained_in(out: Path, objective: str, seed: int) -> Path:
    return out / "pretrained" / objective / f"seed-{seed}"


def _pretrain(recipe: Recipe, seeds: range, data: Path, out: Path, options: PretrainBenchOptions) -> dict[str, str]:
    """Pre-train every objective that is asked for with every seed; answers what went wrong, by objective."""
    failed: dict[str, str] = {}
    for name in options.arms:
        for seed in seeds if name in OBJECTIVES else ():
            how = PretrainOptions(
                epochs=options.pretrain_epochs,
                batch_size=recipe.fit.batch_size,
                warmup_epochs=min(PretrainOptions.warmup_epochs, options.pretrain_epochs - 1),
                seed=seed,
                device="cpu",
                progress=options.progress,
            )
            try:
                pretrain_run(name, options.unlabelled, recipe, _pretrained_in(out, name, seed), how, data=data)
            except (ValueError, TrainingError) as error:
                failed[name] = f"seed {seed}: {error}"
                break
    return failed


def _trained(jobs: Sequence[Job], options: PretrainBenchOptions) -> tuple[dict[Path, float], dict[str, str]]:
    """Validation figure by run folder, and what went wrong by cell."""
    found: dict[Path, float] = {}
    failed: dict[str, str] = {}
    pool_log = logging.getLogger("valor.data.unlabelled")
    level = pool_log.level
    pool_log.setLevel(logging.WARNING)  # every training reads what was read, and said, before
    try:
        with progress_bar(total=len(jobs), desc="bench", unit="run", enabled=options.progress) as bar:
            for job, outcome in trained(jobs, options.jobs):
                if isinstance(outcome, str):
                    failed.setdefault(job.row, f"seed {job.recipe.fit.seed}: {outcome}")
                else:
                    found[job.folder] = outcome
                bar.update()
    finally:
        pool_log.setLevel(level)
    return found, failed


def _folder(out: Path, cell: Cell, seed: int) -> Path:
    return out / "runs" / cell.folder / f"seed-{seed}"


def epochs_for(steps: int, clips: int, batch: int) -> int:
    """Epochs of so many clips that come nearest to a number of steps; 1 at least."""
    return max(1, round(steps / math.ceil(clips / batch)))


def recipe_of(arm: str, share: float, recipe: Recipe, clips: tuple[int, int], options: PretrainBenchOptions) -> Recipe:
    """The recipe of an arm.

    Args:
        arm: A key of `ARMS`.
        share: Of the tagged clips.
        recipe: What it changes something of.
        clips: How many are tagged, and how many are not.
        options: Steps and rounds. The warm-up takes the same part of each training, as far as epochs allow.
    """
    tagged, others = clips
    steps, batch = (options.whole_steps if share == 1 else options.steps), recipe.fit.batch_size
    first = epochs_for(steps, tagged, batch)
    length = epochs_for(steps, tagged + (others if arm in OF_POOL else 0), batch)
    changes = [f"fit.label_share={share}"]
    if arm in OF_POOL and others:
        changes.append(f"methods.{POOL}=on")
    epochs = length
    if arm in OF_ROUNDS:
        later = arm == "self-training" and others
        epochs = (first if later else length) + options.rounds * length
        changes += [f"methods.rounds.rounds={options.rounds + 1}", "methods.rounds.keep=best"]
        changes += [f"methods.rounds.first_epochs={first}", "methods.rounds.tagged_first=true"] if later else []
    shortest = min(length, first if arm == "self-training" else length)
    warmup = min(round(recipe.fit.warmup_epochs / recipe.fit.epochs * shortest), shortest - 1)
    return override(recipe, [*changes, f"fit.epochs={epochs}", f"fit.warmup_epochs={warmup}"])


def _cells(
    recipe: Recipe, sets: RunSets, options: PretrainBenchOptions, of_methods: Sequence[str]
) -> tuple[list[Cell], dict[str, str]]:
    """The arms at the shares, and why some are not trained."""
    assert sets.pool is not None  # asked for
    cells, left_out = list[Cell](), dict[str, str]()
    in_pool = {*sets.pool.clips.clip_ids}
    for share in options.shares:
        kept = [sets.train.clip_ids[row] for row in share_rows(len(sets.train), share, recipe.fit.seed)]
        others = len(in_pool - {*kept})
        for arm in options.arms:
            if arm in OF_POOL and not others:
                left_out[f"{100 * share:g} %, {arm}"] = "every clip of the stores is tagged or annotated"
                continue
            held = recipe_of(arm, share, recipe, (len(kept), others), options)
            held = override(held, [change for change in of_methods if _method_of(change) in held.methods])
            others_here = others if arm in OF_POOL else 0
            cells.append(Cell(arm=arm, share=share, tagged=len(kept), others=others_here, recipe=held))
    return cells, left_out


def _method_of(change: str) -> str:
    return re.split(r"[.=]", change.strip())[1]


def _labels_beside(data: Path) -> Path | None:
    """Labels where a demo has them; None for those among the data."""
    beside = data.resolve().parent / "labels" / "valor"
    return beside if beside.is_dir() else None


def _refuse_another(out: Path, recipe: Recipe, sets: RunSets, options: PretrainBenchOptions) -> None:
    """Refuse a folder of a bench whose trainings were others; more arms, shares and seeds go on in it."""
    assert sets.pool is not None
    held = {
        "recipe": recipe.name,
        "steps": options.steps,
        "whole_steps": options.whole_steps,
        "rounds": options.rounds,
        "pretrain_epochs": options.pretrain_epochs,
        "changes": list(options.changes),
        "tagged": sets.train.fingerprint(),
        "untagged": sets.pool.clips.fingerprint(),
    }
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
    return CellResult(cell=cell, val=tuple(found[folder] for folder in folders), scores=scores, tuned=tuned)


def _compared(results: Sequence[CellResult]) -> list[CellResult]:
    """With what each has over the arm fresh of its share, where that could be trained."""
    fresh = {result.cell.share: result for result in results if result.cell.arm == FRESH}
    return [
        result
        if result.cell.arm == FRESH or result.cell.share not in fresh
        else replace(result, over_fresh=difference(result, fresh[result.cell.share]))
        for result in results
    ]
