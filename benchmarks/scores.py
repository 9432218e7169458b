"""Scoring the LLP test split, ours beside a plain loop in the published style, both from arrays and tables in memory.

    python -m benchmarks.scores [--repeats 200] [--annotations ../shared/llp]

The plain loop does what the published one does, in its order: for every clip it looks its rows up by scanning the two
event tables, draws them on a class by second grid, decides, and goes through the classes one at a time, once per level
and stream. Both sides score the same predictions (the truth with a fifth of the decisions within the tags flipped) and
must agree to 1e-9 points. Without the tables a simulated truth of the demo world's statistics takes their place.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.machine import processor
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.schedule import sample_world, world_arrays
from valor.eval.average_precision import event_precision, segment_precision
from valor.eval.breakdown import breakdown
from valor.eval.counts import with_audio_visual
from valor.eval.curves import threshold_curves
from valor.eval.decide import probs_with_audio_visual
from valor.eval.intervals import bootstrap, compare
from valor.eval.scores import score

NAMES = class_names(LLP_CLASSES)
SECONDS = 10
PUBLISHED = (1.4, 1.9)
"""Seconds the published loop takes for the 1,200 clips on this kind of machine, from the easiest to the hardest
predictions; 1.48 for predictions like these."""
GROWTH = (1_200, 12_000, 120_000)


@dataclass(frozen=True)
class Task:
    """One split, as arrays for us and as tables for the plain loop."""

    source: str
    clip_ids: tuple[str, ...]
    truth: np.ndarray
    """bool [N, T, M, C]."""
    weak_labels: np.ndarray
    """bool [N, C]."""
    tables: tuple[pd.DataFrame, pd.DataFrame]
    """Events that are audible and events that are visible."""


def llp_task(folder: Path) -> Task:
    """The LLP test split."""
    split = read_split(folder, "test", NAMES)
    tables = tuple(pd.read_csv(folder / f"AVVP_eval_{stream}.csv", sep="\t") for stream in ("audio", "visual"))
    assert split.truth is not None and len(tables) == 2  # test has a truth, and there are two streams
    return Task(f"LLP test split, {folder}", split.clip_ids, split.truth, split.weak_labels, tables)


def simulated_task(clips: int = 1_200) -> Task:
    """As many clips of the demo world as LLP has, or fewer."""
    plans = [plan for plan in sample_world({"test": clips}, seed=0) if plan.split == "test"]
    truth, weak_labels = world_arrays(plans, NAMES)
    tables = []
    for modality in ("audio", "visual"):
        rows = [
            (plan.clip_id, event.onset, event.offset, event.class_name)
            for plan in plans
            for event in plan.events
            if event.modality == modality
        ]
        tables.append(pd.DataFrame(rows, columns=["filename", "onset", "offset", "event_labels"]))
    source = "SIMULATED truth with the statistics of LLP (no annotation tables here)"
    return Task(source, tuple(plan.clip_id for plan in plans), truth, weak_labels, (tables[0], tables[1]))


def plain_scores(task: Task, predicted: np.ndarray) -> list[float]:
    """The ten figures, one clip, one class and one stream at a time."""
    totals: list[list[float]] = []
    for index, clip_id in enumerate(task.clip_ids):
        true = [drawn(table, clip_id) for table in task.tables]
        ours = [predicted[index, :, modality].T.astype(float) for modality in (0, 1)]
        ours.append(ours[0] * ours[1])
        true.append(true[0] * true[1])
        row: list[float] = []
        for count in (segment_triple, event_triple):
            triples = [[count(o[c], t[c]) for c in range(len(NAMES))] for o, t in zip(ours, true, strict=True)]
            triples.append([tuple(np.add(*pair)) for pair in zip(triples[0], triples[1], strict=True)])
            row += [clip_f(stream) for stream in triples]
        totals.append(row)
    means = 100 * np.mean(totals, axis=0)
    levels = [means[:4].tolist(), means[4:].tolist()]
    return [value for a, v, av, pooled in levels for value in (a, v, av, (a + v + av) / 3, pooled)]


def drawn(table: pd.DataFrame, clip_id: str) -> np.ndarray:
    """The rows of one clip on a grid [C, T]."""
    grid = np.zeros((len(NAMES), SECONDS))
    for row in table[table["filename"] == clip_id].itertuples(index=False):
        grid[NAMES.index(row.event_labels), int(row.onset) : int(row.offset)] = 1
    return grid


def segment_triple(ours: np.ndarray, true: np.ndarray) -> tuple[int, int, int]:
    return int(np.sum(ours * true)), int(np.sum(ours * (1 - true))), int(np.sum((1 - ours) * true))


def event_triple(ours: np.ndarray, true: np.ndarray) -> tuple[int, int, int]:
    predicted, annotated = events_of_track(ours), events_of_track(true)
    found = [any(overlap(event, other) >= 0.5 for other in annotated) for event in predicted]
    missed = [not any(overlap(event, other) >= 0.5 for event in predicted) for other in annotated]
    return sum(found), len(found) - sum(found), sum(missed)


def events_of_track(track: np.ndarray) -> list[np.ndarray]:
    """A vector [T] for every maximal run of ones."""
    events, second = [], 0
    while second < len(track):
        if track[second] != 1:
            second += 1
            continue
        event = np.zeros(len(track))
        while second < len(track) and track[second] == 1:
            event[second] = 1
            second += 1
        events.append(event)
    return events


def overlap(event: np.ndarray, other: np.ndarray) -> float:
    return float(np.sum(event * other) / np.sum(np.maximum(event, other)))


def clip_f(triples: list[tuple[int, int, int]]) -> float:
    values = [2 * hit / (2 * hit + extra + missed) for hit, extra, missed in triples if hit + extra + missed]
    return float(np.mean(values)) if values else 1.0


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time, after one turn to warm up."""
    times = []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        work()
        if turn:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def show_ratio(task: Task, predicted: np.ndarray, repeats: int) -> None:
    plain = plain_scores(task, predicted)
    ours = score(predicted, task.truth)
    difference = np.abs(np.array([*astuple(ours.segment), *astuple(ours.event)]) - plain).max()
    if difference > 1e-9:
        raise SystemExit(f"the two sides disagree by {difference} points; nothing was measured")
    slow = seconds(lambda: plain_scores(task, predicted), 3)
    fast = seconds(lambda: score(predicted, task.truth), repeats)
    print(f"ten figures equal to {difference:.0e} points, segment Type@AV {ours.segment.type_av:.1f}")
    print(f"plain loop, this run          {slow:9.3f} s")
    print(f"published loop, as measured   {PUBLISHED[0]:.1f}-{PUBLISHED[1]:.1f} s")
    print(f"valor.eval.scores.score             {1e3 * fast:9.3f} ms (median of {repeats})")
    low, high = (int(value / fast) for value in PUBLISHED)
    print(f"ratio: {slow / fast:.0f}x to the plain loop, {low}x-{high}x to the published one")


def show_growth(task: Task, predicted: np.ndarray) -> None:
    print(f"\n{'clips':>8} {'ms':>9} {'us per clip':>12}")
    rng = np.random.default_rng(0)
    for clips in GROWTH:
        rows = rng.integers(0, len(predicted), clips)
        pair = predicted[rows], task.truth[rows]
        took = seconds(lambda pair=pair: score(*pair), 5 if clips > 20_000 else 30)
        print(f"{clips:8,} {1e3 * took:9.2f} {1e6 * took / clips:12.2f}")


def show_measures(task: Task, predicted: np.ndarray) -> None:
    truth, rng = task.truth, np.random.default_rng(1)
    probs = np.clip(0.25 + 0.5 * predicted + rng.normal(0, 0.1, truth.shape), 0, 1).astype(np.float32)
    ours, other = score(predicted, truth), score(probs >= 0.4, truth)
    tripled = probs_with_audio_visual(probs), with_audio_visual(truth)
    measures: dict[str, Callable[[], object]] = {
        "bootstrap, 10,000 resamples": lambda: bootstrap(ours),
        "paired comparison, 10,000 resamples": lambda: compare(ours, other),
        "class by class, both levels": lambda: [breakdown(predicted, truth, level=x) for x in ("segment", "event")],
        "segment mAP, 3 modalities": lambda: segment_precision(*tripled),
        "event mAP at 9 overlaps, 3 modalities": lambda: event_precision(*tripled),
        "exact segment curves, 75 of them": lambda: threshold_curves(*tripled),
        "exact event curves, 75 of them": lambda: threshold_curves(*tripled, level="event"),
    }
    print(f"\n{'for the same clips':40} {'seconds':>8}")
    for name, measure in measures.items():
        print(f"{name:40} {seconds(measure, 3):8.3f}")


def main() -> None:
    default = Path(__file__).resolve().parents[2] / "shared" / "llp"
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--repeats", type=int, default=200, metavar="N", help="runs of ours that count (200)")
    cli.add_argument("--annotations", type=Path, default=default, metavar="DIR", help="the LLP tables (../shared/llp)")
    arguments = cli.parse_args()
    task = llp_task(arguments.annotations) if arguments.annotations.is_dir() else simulated_task()
    flips = np.random.default_rng(0).random(task.truth.shape) < 0.2
    predicted = task.truth ^ (flips & task.weak_labels[:, np.newaxis, np.newaxis])
    print(f"python -m benchmarks.scores --repeats {arguments.repeats}")
    print(f"numpy {np.__version__}, Python {platform.python_version()}, one of {os.cpu_count()} cores, {processor()}")
    print(f"{task.source}: {len(predicted):,} clips, {predicted.shape[1]} segments, {predicted.shape[3]} classes\n")
    show_ratio(task, predicted, arguments.repeats)
    show_growth(task, predicted)
    show_measures(task, predicted)


if __name__ == "__main__":
    main()
