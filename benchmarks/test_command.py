"""Seconds of the whole test command for the 1,200 test clips of LLP, from process start to the printed table.

    python -m benchmarks.test_command [--repeats 5]

`valor evaluate RUN` parses the split and scores it in one process; `valor predict` and `valor evaluate` do the same in
two, with the prediction file between them. Features are noise of the published shapes in the packed half-precision
store, weights are random: neither changes the time.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.machine import processor
from valor.data.features.feature_files import FEATURE_FILES, SEGMENTS
from valor.data.features.packed import PackedCard, write_packed
from valor.data.tables import Split, read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world.render import write_tables
from valor.demo.world.schedule import sample_world
from valor.parsers.build import build_parser
from valor.training.checkpoint import CheckpointCard, write_checkpoint
from valor.training.recipes import RECIPES, Recipe, recipe_to_json, write_recipe
from valor.training.run_folder import BEST, RECIPE

NAMES = class_names(LLP_CLASSES)
CLIPS = 1_200
PUBLISHED = {"valor": 14, "valor++": 26}
"""Seconds of the published test script on this kind of machine."""
TARGET = 4


def write_features(data: Path, kind: str, split: Split) -> None:
    shape = (len(split.clip_ids), SEGMENTS, FEATURE_FILES[kind].shape[1])
    card = PackedCard(
        kind=kind,
        split=split.name,
        clip_ids=split.clip_ids,
        dtype="float16",
        shape=shape,
        source="SIMULATED: noise",
        source_shape=FEATURE_FILES[kind].shape,
        exact=False,
    )
    write_packed(data, torch.randn(shape).half(), card)


def write_run(out: Path, recipe: Recipe) -> None:
    """A run folder with random weights."""
    card = CheckpointCard(class_names=NAMES, recipe=recipe_to_json(recipe))
    write_checkpoint(out / BEST, build_parser(recipe.parser, seed=1), card)
    write_recipe(out / RECIPE, recipe)


def seconds(commands: Sequence[Sequence[object]], repeats: int) -> list[float]:
    """Wall time of commands run one after the other, several times, after one turn to warm the page cache."""
    times = []
    for turn in range(repeats + 1):
        start = time.perf_counter()
        for words in commands:
            command = [sys.executable, "-m", "valor", *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        if turn:
            times.append(time.perf_counter() - start)
        assert f"{CLIPS:,} of {CLIPS:,} test clips" in done.stdout  # the table was printed
    return times


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--repeats", type=int, default=5, metavar="N", help="runs that count (5)")
    arguments = cli.parse_args()
    print(f"python -m benchmarks.test_command --repeats {arguments.repeats}")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, {processor()}")
    print(f"SIMULATED features, random weights, {CLIPS:,} clips; seconds from start to table, goal {TARGET}\n")
    print(f"{'':34}{'median':>8}{'slowest':>9}{'published':>11}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        data, run, file = Path(folder) / "data", Path(folder) / "run", Path(folder) / "predictions.npz"
        write_tables(data, sample_world({"train": 4, "val": 4, "test": CLIPS}, seed=0))
        split, on = read_split(data, "test", NAMES), ("--annotations", data, "--split", "test", "--quiet")
        for name, published in PUBLISHED.items():
            recipe = RECIPES[name]
            for kind in (recipe.features.audio, recipe.features.visual, recipe.features.motion):
                write_features(data, str(kind), split)
            write_run(run, recipe)
            ways = {
                "evaluate RUN": [("evaluate", run, *on)],
                "predict, then evaluate": [
                    ("predict", run, "--data", data, "--out", file, "--quiet"),
                    ("evaluate", file, *on),
                ],
            }
            for way, commands in ways.items():
                times = seconds(commands, arguments.repeats)
                median = statistics.median(times)
                ratio = f"{published / median:7.1f}x"
                print(f"{name + ', ' + way:34}{median:8.2f}{max(times):9.2f}{published:11}{ratio}")


if __name__ == "__main__":
    main()
