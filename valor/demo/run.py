"""From nothing to an F-score table: render the world, harvest it, train three parsers over seeds, score, report."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.datasets.dataset import LLP
from valor.data.predictions import (
    Predictions,
    read_predictions,
    score_predictions,
    write_predictions,
)
from valor.data.score_file import write_scores_json
from valor.data.tables import Split
from valor.data.thresholds import read_thresholds
from valor.data.vocabulary import EventClass, class_names, prompts
from valor.demo.world.render import World, build_world
from valor.demo.world.schedule import SPLITS
from valor.eval.scores import Scores, nothing_predicted, score, tags_copied
from valor.label_harvest.children import end_with_parent, script_hidden
from valor.label_harvest.cores import DEVICE, THREADS
from valor.label_harvest.disk import write_json
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.store import EvidenceStore, read_store
from valor.label_harvest.teachers.build import build_teacher
from valor.labelling.labels import write_label_folder
from valor.labelling.quality import LabelQuality, label_quality
from valor.training.facts import facts_beside
from valor.training.log import figure_title, selected_by
from valor.training.recipes import RECIPES, Recipe
from valor.training.run import predict_run, train_run, with_seed
from valor.training.run_folder import LOG
from valor.training.scored import damaged_predictions

from .options import DemoOptions

_LOG = logging.getLogger(__name__)

PREDICTIONS = "predictions.npz"
"""Name in a run folder: what the run says of the test split."""

ROLES = ("audio", "visual", "fused")
"""The demo's teachers: two independent ones, and one that sees and hears at once."""


@dataclass(frozen=True)
class Arm:
    """One of the compared ways to train the same parser on the same features."""

    recipe: str
    """Name of its recipe."""
    title: str
    """What the table calls it."""
    teachers: tuple[str, ...]
    """Roles whose evidence makes its pseudo labels; none for clip tags alone."""


ARMS: dict[str, Arm] = {
    "tags-only": Arm("demo-tags-only", "clip tags only", ()),
    "fused": Arm("demo", "+ labels of one fused teacher", ("fused",)),
    "valor": Arm("demo", "+ labels of two independent teachers (VALOR)", ("audio", "visual")),
}
"""The three compared trainings, by the names of `scores.json`."""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """Everything a demo run found, on the test split."""

    world: World
    test: Split
    scores: dict[str, list[Scores]]
    """Test scores of each arm, one per seed."""
    predictions: dict[str, Predictions]
    """Test predictions of the first seed of each arm."""
    anchors: dict[str, Scores]
    """`nothing` predicted, and `tags-copied` to every second of both modalities."""
    label_quality: dict[str, LabelQuality]
    """How good the pseudo labels of each arm are."""
    seconds: float
    """Wall time of this run; cached stages cost next to nothing."""

    def to_dict(self) -> dict[str, Any]:
        """The content of `scores.json`."""
        rows = [
            {"name": arm, "seed": seed, **_levels(scores)}
            for arm, per_seed in self.scores.items()
            for seed, scores in enumerate(per_seed)
        ]
        return {
            "rows": rows,
            "anchors": {name: _levels(scores) for name, scores in self.anchors.items()},
            "pseudo_labels": {arm: _levels(quality.scores) for arm, quality in self.label_quality.items()},
            "clips": len(self.test.clip_ids),
            "truth_sha256": self.test.truth_sha256,
            "seconds": self.seconds,
        }


def _levels(scores: Scores) -> dict[str, Any]:
    levels = scores.to_dict()
    return {"segment": levels["segment"], "event": levels["event"]}


def run_demo(out: Path, options: DemoOptions, *, progress: bool = True) -> DemoResult:
    """Run the whole line, using again whatever an earlier run of the same options left in the folder.

    Args:
        out: Gets `data/` (annotation tables, `videos/`, `store/`) and, in `options.home(out)`, `labels/`, `runs/` and
            `scores.json`.
        options: The world and the trainings.
        progress: Whether to show progress bars on stderr.

    Raises:
        ValueError: The folder holds a demo of other options.
    """
    started = time.perf_counter()
    data, home = out / "data", options.home(out)
    sizes = options.split_sizes()
    world = build_world(data, sizes, options.world_seed, options.workers, world=options.world, progress=progress)
    splits = {split: LLP.read_split(data, split) for split in SPLITS}
    store = harvest_world(data, splits, progress=progress)
    if options.shuffle_teachers:
        store = shuffled_between_clips(store, splits, seed=options.world_seed)
    quality = _label(home / "labels", store, splits["test"])
    scores: dict[str, list[Scores]] = {}
    predictions = {}
    train_all(_trainings(home, options.seeds), data, options.workers, progress=progress)
    for arm in ARMS:
        runs = [score_run(run_folder(home, arm, seed), splits["test"]) for seed in range(options.seeds)]
        scores[arm] = [run[1] for run in runs]
        predictions[arm] = runs[0][0]
    result = DemoResult(
        world=world,
        test=splits["test"],
        scores=scores,
        predictions=predictions,
        anchors=_anchors(splits["test"]),
        label_quality=quality,
        seconds=time.perf_counter() - started,
    )
    write_json(home / "scores.json", result.to_dict())
    return result


def harvest_world(data: Path, splits: Mapping[str, Split], *, progress: bool) -> EvidenceStore:
    """Evidence of the demo's teachers for every clip of the world."""
    options = HarvestOptions(grid=Grid(), shard_size=128, clips_per_batch=16)
    return harvest_splits(data / "videos", data / "store", splits, LLP.classes, ROLES, options, progress=progress)


def world_evidence(data: Path, splits: Mapping[str, Split], *, progress: bool) -> EvidenceStore:
    """Evidence of every clip of a world: read where all of it is there, which writes nothing, else harvested."""
    return harvested(data, splits) or harvest_world(data, splits, progress=progress)


def harvested(data: Path, splits: Mapping[str, Split]) -> EvidenceStore | None:
    """The store of a world, where it holds what the demo's teachers say of every clip of its tables, else None."""
    try:
        store = read_store(data / "store")
    except (FileNotFoundError, ValueError):  # none, or a shard to be made again: a harvest sees to it
        return None
    wanted = {clip_id for split in splits.values() for clip_id in split.clip_ids}
    return store if wanted <= set(store.clip_ids) and set(ROLES) <= set(store.roles) else None


def harvest_splits(  # noqa: PLR0913, what a harvest is
    videos: Path,
    folder: Path,
    splits: Mapping[str, Split],
    classes: tuple[EventClass, ...],
    roles: Sequence[str],
    options: HarvestOptions,
    *,
    progress: bool,
) -> EvidenceStore:
    """Evidence of some of the demo's teachers for every clip of some splits.

    Raises:
        ValueError: A clip could not be harvested.
    """
    teachers = [build_teacher(f"demo-{role}", prompts(classes, role)) for role in roles]
    manifest = HarvestManifest(
        tuple(clip_id for split in splits.values() for clip_id in split.clip_ids),
        class_names(classes),
        np.concatenate([split.weak_labels for split in splits.values()]),
    )
    report = harvest(manifest, videos, folder, teachers, options=options, progress=progress)
    if report.failures:
        raise ValueError(
            f"{len(report.failures)} clips of the demo world could not be harvested, such as "
            f"{report.failures[0].clip_id} ({report.failures[0].message}); delete {folder.parent} and run again"
        )
    if report.skipped:
        _LOG.info(
            "%s: evidence of %d clips was there, %d harvested",
            report.folder,
            report.skipped,
            len(report.rows) - report.skipped,
        )
    return read_store(report.folder)


def shuffled_between_clips(store: EvidenceStore, splits: Mapping[str, Split], *, seed: int) -> EvidenceStore:
    """Give each clip the teacher scores of another clip of its split: the control that labels must carry the gain.

    Features and tags stay with their clips.
    """
    order = np.arange(len(store.clip_ids))
    rng = np.random.default_rng(seed)
    row_of = {clip_id: row for row, clip_id in enumerate(store.clip_ids)}
    for split in splits.values():
        rows = [row_of[clip_id] for clip_id in split.clip_ids]
        ring = rng.permutation(rows)
        order[ring] = np.roll(ring, 1)
    arrays = {name: array[order] if name.endswith(".similarity") else array for name, array in store.arrays.items()}
    return replace(store, arrays=arrays)


def _label(folder: Path, store: EvidenceStore, test: Split) -> dict[str, LabelQuality]:
    """Write the pseudo labels of each arm; say how good those of the test split are."""
    from valor.label_harvest.teachers.demo import WEIGHTS

    thresholds = read_thresholds(WEIGHTS / "demo_thresholds.json", len(store.class_names))
    quality = {}
    for name, arm in ARMS.items():
        if arm.teachers:
            cuts = {role: thresholds[role] for role in arm.teachers}
            labels, _ = write_label_folder(folder / name, store, cuts, tuned=[])  # found on samples of no clip
            quality[name] = label_quality(labels, test)
    return quality


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of a demo."""

    recipe: Recipe
    """With its seed."""
    run: Path
    """The run folder."""
    labels: Path | None
    """Of its pseudo labels; None for a training without."""


def train_all(trainings: Sequence[Training], data: Path, workers: int, *, progress: bool) -> None:
    """Train, as many at a time as there are workers; runs that are done cost a moment.

    Each training has one thread to itself: small networks gain nothing from a second, and lose much when it must wait.
    """
    epochs = sum(training.recipe.fit.epochs for training in trainings)
    logs = [training.run / LOG for training in trainings]  # one line an epoch
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool,
        progress_bar(total=epochs, desc="train", unit="epoch", enabled=progress) as bar,
    ):
        with script_hidden():
            waiting = {pool.submit(_train_and_predict, data, training) for training in trainings}
        cached = 0
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            bar.update(sum(log.read_bytes().count(b"\n") for log in logs if log.is_file()) - bar.n)
            cached += sum(future.result() for future in done)
    if cached:
        _LOG.info("%d of %d trainings were there", cached, len(trainings))


def _trainings(home: Path, seeds: int) -> list[Training]:
    """Every arm with every seed."""
    return [
        Training(
            recipe=with_seed(RECIPES[arm.recipe], seed),
            run=run_folder(home, name, seed),
            labels=home / "labels" / name if arm.teachers else None,
        )
        for seed in range(seeds)
        for name, arm in ARMS.items()
    ]


def _train_and_predict(data: Path, training: Training) -> bool:
    """Train once and predict the test split; True when both were there."""
    import torch

    torch.set_num_threads(int(os.environ.get(THREADS, 1)))
    device = os.environ.get(DEVICE, "cpu")
    recipe, run = training.recipe, training.run
    result = train_run(recipe, data, run, labels=training.labels, device=device, progress=False)
    cached = result.resumed_from == recipe.fit.epochs and not damaged_predictions(run)
    if not cached:
        write_predictions(run / PREDICTIONS, predict_run(run, data, "test", device=device))
    return cached


def score_run(run: Path, test: Split) -> tuple[Predictions, Scores, dict[str, Any]]:
    """Score the predictions of a run and write what was found, the third, beside it."""
    predictions = read_predictions(run / PREDICTIONS)
    scores, report = score_predictions(predictions, test)
    report |= {"selection": figure_title(selected_by(run))} | facts_beside(run).to_json()
    write_scores_json(run / "scores.json", report)
    return predictions, scores, report


def run_folder(home: Path, arm: str, seed: int) -> Path:
    """Where a training is kept in the folder of labels, runs and results."""
    return home / "runs" / arm / f"seed-{seed}"


def _anchors(test: Split) -> dict[str, Scores]:
    """Scores of predictions that parse nothing."""
    truth = test.truth
    assert truth is not None  # the demo world is annotated
    return {
        "nothing": score(nothing_predicted(truth), truth),
        "tags-copied": score(tags_copied(test.weak_labels, truth.shape[1]), truth),
    }
