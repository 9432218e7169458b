"""Trainings side by side, one thread each, and what they give over seeds: shared by the ablation and the bench."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

from valor.data.own_files import LOADED, in_own_file
from valor.data.predictions import read_predictions, score_predictions
from valor.data.score_file import read_own_scores
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.eval.scores import Scores, TenScores
from valor.label_harvest.children import end_with_parent
from valor.label_harvest.cores import DEVICE, THREADS
from valor.label_harvest.places.place import Place
from valor.scoring.over_seeds import SeedScores
from valor.training.methods.methods import Methods
from valor.training.options import TrainingError, TrainOptions
from valor.training.own import use_loaded
from valor.training.recipes import Recipe
from valor.training.run import pick_device, prepared, read_run_sets
from valor.training.run_folder import PREDICTIONS, TUNED_SCORES
from valor.training.seeds import train_seeds
from valor.training.step import train_step
from valor.training.train import VALOR_RULE, new_state


@dataclass(frozen=True)
class Job:
    """One training, small enough to be sent to another process."""

    row: str
    recipe: Recipe
    data: Path
    labels: Path | None
    folder: Path
    unlabelled: tuple[Place, ...] = ()
    """Stores of clips without tags, for a recipe that learns from them."""
    begin_with: Path | None = None
    """Folder of a pre-training, whose stem and encoder it begins with."""


def trained(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, float | str]]:
    """Train jobs, some at a time; yields the validation segment Type@AV of each, or what went wrong.

    Runs that are done are found done, an interrupted one goes on.
    """
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield job, _train(job)
        return
    own = list(LOADED)
    spawned = get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), spawned, end_with_parent, (use_loaded, own)) as pool:
        waiting: dict[Future[float | str], Job] = {pool.submit(_train, job): job for job in jobs}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _train(job: Job) -> float | str:
    """Train and score one job, with one thread if no more were asked for: its validation score, or what failed."""
    import torch

    torch.set_num_threads(int(os.environ.get(THREADS, 1)))
    options = TrainOptions(
        labels=job.labels,
        unlabelled=job.unlabelled,
        begin_with=job.begin_with,
        device=os.environ.get(DEVICE, "cpu"),
        picture=False,
        progress=False,
    )
    try:
        (result,) = train_seeds(job.recipe, job.data, job.folder, options)
    except Exception as error:
        if said := in_own_file(error):
            return said
        if isinstance(error, TrainingError | ValueError):
            return str(error)
        raise
    return result.val.segment.type_av


def seconds_an_epoch(job: Job, *, budget: float = 0.5) -> float:
    """Time some steps of a job: what an epoch takes on this machine, in seconds of processor time, as on free cores.

    Args:
        job: Its data is read for it, and nothing is written.
        budget: Seconds of steps that are timed, two steps at least, behind one that is not.
    """
    import torch

    torch.set_num_threads(int(os.environ.get(THREADS, 1)))
    sets = read_run_sets(job.recipe, job.data, labels=job.labels)
    ready = prepared(job.recipe, sets, pick_device(os.environ.get(DEVICE, "cpu")))
    run = new_state(ready.parser, ready.train, job.recipe.fit, ready.methods)
    run.parser.train()
    batches = cycle(torch.split(torch.arange(len(run.train)), run.options.batch_size))
    clips, steps, start = 0, 0, 0.0
    while steps < 3 or time.thread_time() - start < budget:
        if steps == 1:
            clips, start = 0, time.thread_time()
        batch = run.methods.batch(run.train.batch(next(batches)))
        train_step(run.parser, batch, run.optimiser, run.options, run.methods)
        clips, steps = clips + len(batch.clip_ids), steps + 1
    return run.options.clips_of_epoch(len(run.train)) * (time.thread_time() - start) / clips


@dataclass(frozen=True, kw_only=True, eq=False)
class OverSeeds(SeedScores):
    """One way to train, trained and scored with every seed."""

    val: tuple[float, ...]
    """Validation segment Type@AV of the kept epoch of each seed."""
    tuned: tuple[TenScores, ...] = ()
    """The same predictions by gates and cuts of every class that are best on val."""

    @property
    def val_mean(self) -> float:
        """What combinations are chosen by."""
        return fmean(self.val)

    def tuning(self, level: str, figure: str) -> list[float]:
        """What tuned gates and cuts alone add to a test figure, for each seed."""
        fixed = self.figures(level, figure) if self.tuned else []
        return [float(getattr(getattr(of, level), figure)) - was for of, was in zip(self.tuned, fixed, strict=True)]


def answers_alike(one: Sequence[Path], other: Sequence[Path]) -> bool:
    """Whether the trainings in some run folders predict to the byte what those in others do, seed by seed."""
    files = [(a / PREDICTIONS, b / PREDICTIONS) for a, b in zip(one, other, strict=True)]
    return all(a.is_file() and b.is_file() and a.read_bytes() == b.read_bytes() for a, b in files)


def alike_note(row: str, base: str) -> str:
    """What is said of a row that predicts what its base does."""
    return f"{row!r} predicts to the byte what {base!r} does, in every seed: what it changes has changed nothing"


def scores_on_test(
    folders: Sequence[Path], methods: Mapping[str, Any], test: Split, rules: Sequence[PostProcessing] | None = None
) -> tuple[tuple[Scores, ...], tuple[TenScores, ...]]:
    """Score the kept predictions of run folders again, for their values clip by clip.

    Args:
        folders: Of the seeds of one row.
        methods: Of its recipe, which may decide otherwise than VALOR.
        test: The test split.
        rules: How each is decided; None for the rule of the methods.

    Returns:
        Scores of each seed, and those tuned on val where every folder has them.
    """
    rules = rules or [Methods(methods).decision(VALOR_RULE)] * len(folders)
    scores = tuple(
        score_predictions(read_predictions(folder / PREDICTIONS), test, rule)[0]
        for folder, rule in zip(folders, rules, strict=True)
    )
    files = [folder / TUNED_SCORES for folder in folders]
    has_all = all(file.is_file() for file in files)
    return scores, tuple(TenScores.from_dict(read_own_scores(file)) for file in files if has_all)
