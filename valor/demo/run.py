"""From nothing to an F-score table: render the world, harvest it, train three parsers over seeds, score, report."""

import logging
import time
from collections.abc import Mapping
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
from valor.data.vocabulary import prompts
from valor.demo.world.render import World, build_world
from valor.demo.world.schedule import SPLITS
from valor.eval.scores import Scores, nothing_predicted, score, tags_copied
from valor.label_harvest.children import end_with_parent
from valor.label_harvest.disk import write_json
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.store import EvidenceStore, read_store
from valor.label_harvest.teachers.build import build_teacher
from valor.labelling.labels import write_label_folder
from valor.labelling.quality import LabelQuality, label_quality
from valor.training.recipes import RECIPES
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
    world = build_world(data, options.split_sizes(), options.world_seed, options.workers, progress=progress)
    splits = {split: LLP.read_split(data, split) for split in SPLITS}
    store = harvest_world(data, splits, progress=progress)
    if options.shuffle_teachers:
        store = shuffled_between_clips(store, splits, seed=options.world_seed)
    quality = _label(home / "labels", store, splits["test"])
    scores: dict[str, list[Scores]] = {}
    predictions = {}
    _train_all(data, home, options, progress=progress)
    for arm in ARMS:
        runs = [_score_run(run_folder(home, arm, seed), splits["test"]) for seed in range(options.seeds)]
        scores[arm] = [seed_scores for _, seed_scores in runs]
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
    teachers = [build_teacher(f"demo-{role}", prompts(LLP.classes, role)) for role in ROLES]
    manifest = HarvestManifest(
        tuple(clip_id for split in splits.values() for clip_id in split.clip_ids),
        LLP.names,
        np.concatenate([split.weak_labels for split in splits.values()]),
    )
    options = HarvestOptions(grid=Grid(), shard_size=128, clips_per_batch=16)
    report = harvest(manifest, data / "videos", data / "store", teachers, options=options, progress=progress)
    if report.failures:
        raise ValueError(
            f"{len(report.failures)} clips of the demo world could not be harvested, such as "
            f"{report.failures[0].clip_id} ({report.failures[0].message}); delete {data} and run again"
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
            labels, _ = write_label_folder(folder / name, store, {role: thresholds[role] for role in arm.teachers})
            quality[name] = label_quality(labels, test)
    return quality


def _train_all(data: Path, home: Path, options: DemoOptions, *, progress: bool) -> None:
    """Train every arm with every seed, as many at a time as there are workers; runs that are done cost a moment.

    Each training has one thread to itself: small networks gain nothing from a second, and lose much when it must wait.
    """
    jobs = [(arm, seed) for seed in range(options.seeds) for arm in ARMS]
    epochs = sum(RECIPES[ARMS[arm].recipe].fit.epochs for arm, _ in jobs)
    logs = [run_folder(home, *job) / LOG for job in jobs]  # one line an epoch
    with (
        ProcessPoolExecutor(options.workers, get_context("spawn"), end_with_parent) as pool,
        progress_bar(total=epochs, desc="train", unit="epoch", enabled=progress) as bar,
    ):
        waiting = {pool.submit(_train_and_predict, data, home, *job) for job in jobs}
        cached = 0
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
            bar.update(sum(log.read_bytes().count(b"\n") for log in logs if log.is_file()) - bar.n)
            cached += sum(future.result() for future in done)
    if cached:
        _LOG.info("%d of %d trainings were there", cached, len(jobs))


def _train_and_predict(data: Path, home: Path, arm: str, seed: int) -> bool:
    """Train one arm with one seed and predict the test split; True when both were there."""
    import torch

    torch.set_num_threads(1)
    run = run_folder(home, arm, seed)
    recipe = with_seed(RECIPES[ARMS[arm].recipe], seed)
    labels = home / "labels" / arm if ARMS[arm].teachers else None
    result = train_run(recipe, data, run, labels=labels, device="cpu", progress=False)
    cached = result.resumed_from == recipe.fit.epochs and not damaged_predictions(run)
    if not cached:
        write_predictions(run / PREDICTIONS, predict_run(run, data, "test", device="cpu"))
    return cached


def _score_run(run: Path, test: Split) -> tuple[Predictions, Scores]:
    """Score the predictions of a run and write them beside it."""
    predictions = read_predictions(run / PREDICTIONS)
    scores, report = score_predictions(predictions, test)
    write_scores_json(run / "scores.json", report)
    return predictions, scores


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
