"""Training on clips of 10 to 300 s: time and memory of an epoch, by how clips are put together.

    python -m benchmarks.lengths [--clips 32] [--batch 8] [--segments 1024]

    set        every batch padded to the longest clip of the set
    batch      batches drawn at random, each padded to its longest clip
    alike      clips of like length together, as `valor train` does
    bounded    the same with `fit.batch_segments`

with one layer of VALOR++'s network on features of the widths of CLAP and CLIP; and a step of the published network of
UnAV-100 at full size, on one clip of 10 s and one of 300 s:

    localiser-10, localiser-300

Each is a process of its own; memory is what an epoch needed at its peak beyond what the process held before it.
"""

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import processor
from valor.data.clips import Batch, ClipSet
from valor.data.datasets.dataset import UNAV_STEPS
from valor.eval.detection import TrueEvents
from valor.parsers.build import build_parser
from valor.parsers.options import PARSERS
from valor.training.batches import batches_of
from valor.training.methods.methods import Methods
from valor.training.options import FitOptions
from valor.training.recipes import RECIPES, override
from valor.training.step import build_optimiser, train_step
from valor.training.train import new_state

KINDS = ("set", "batch", "alike", "bounded")
LOCALISER = ("localiser-10", "localiser-300")
CLASSES = 100
SHORTEST, LONGEST = 10, 300
"""Seconds of a clip."""
WIDTH = 768
_MIB = 2**20


def clips_of(count: int) -> ClipSet:
    """Noise, of lengths that are equally likely."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=draw)
    lengths[0] = LONGEST
    shape = (count, LONGEST)
    tags = torch.rand(count, CLASSES, generator=draw) < 0.02
    return ClipSet(
        clip_ids=tuple(f"clip{row}" for row in range(count)),
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        audio=torch.randn(*shape, WIDTH, generator=draw).half(),
        visual=torch.randn(*shape, WIDTH, generator=draw).half(),
        weak_labels=tags,
        pseudo_labels=tags[:, None, None].expand(*shape, 2, CLASSES).clone(),
        valid=torch.arange(LONGEST) < lengths[:, None],
    )


def resident() -> int:
    """Bytes the process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def batches(kind: str, clips: ClipSet, options: FitOptions) -> tuple[Tensor, ...]:
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(1))
    if kind in ("set", "batch"):
        return torch.split(order, options.batch_size)
    return batches_of(order, clips.segments, options, torch.Generator().manual_seed(1))


def batch_of(kind: str, clips: ClipSet, rows: Tensor) -> Batch:
    if kind != "set":
        return clips.batch(rows)
    assert clips.valid is not None
    return replace(replace(clips, valid=None).batch(rows), valid=clips.valid[rows])


@contextmanager
def watched() -> Iterator[list[int]]:
    """Bytes at the peak beyond those before, once it is over."""
    before, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def measure(kind: str, count: int, options: FitOptions) -> None:
    """One epoch; prints a line."""
    clips = clips_of(count)
    network = replace(PARSERS["valor++"], motion_width=0, num_classes=CLASSES, num_layers=1)
    parser = build_parser(network, seed=0)
    optimiser = build_optimiser(parser, options)
    parser.train()
    cells = steps = 0
    with watched() as peak:
        start = time.perf_counter()
        for rows in batches(kind, clips, options):
            batch = batch_of(kind, clips, rows)
            cells, steps = cells + batch.audio.shape[0] * batch.audio.shape[1], steps + 1
            train_step(parser, batch, optimiser, options)
        seconds = time.perf_counter() - start
    assert clips.segments is not None
    padding = 1 - int(clips.segments.sum()) / cells
    print(
        f"{kind:9}{seconds:8.1f} s an epoch  {count / seconds:7.1f} clips/s  {steps:3} steps  "
        f"{100 * padding:4.0f} % padding  {peak[0] / _MIB:8,.0f} MiB at the peak",
        flush=True,
    )


def measure_localiser(kind: str, changes: Sequence[str] = ()) -> None:
    """One step of the published network on one clip; prints a line."""
    recipe = override(RECIPES["unav-localiser"], changes)
    length, draw = float(kind.partition("-")[2]), torch.Generator().manual_seed(0)
    steps = int(length / UNAV_STEPS.seconds)
    names = tuple(f"class {number}" for number in range(CLASSES))
    clips = ClipSet(
        clip_ids=("clip",),
        class_names=names,
        audio=torch.randn(1, steps, recipe.parser.audio_width, generator=draw),
        visual=torch.randn(1, steps, recipe.parser.visual_width, generator=draw),
        weak_labels=torch.ones(1, CLASSES, dtype=torch.bool),
        segment_seconds=UNAV_STEPS.seconds,
        events=TrueEvents(
            clip=np.zeros(1, int), class_index=np.zeros(1, int), onset=np.array([1.0]), offset=np.array([length - 1])
        ),
    )
    methods = Methods(recipe.methods)
    with watched() as peak:
        parser = methods.network(build_parser(recipe.parser, seed=0), names).train()
        state = new_state(parser, clips, recipe.fit, methods)
        state.before_epoch(1)
        start = time.perf_counter()
        train_step(parser, methods.batch(clips.batch(torch.arange(1))), state.optimiser, recipe.fit, methods)
        seconds = time.perf_counter() - start
    weights = sum(parameter.numel() for parameter in parser.parameters()) / 1e6
    print(
        f"{kind:14}{seconds:6.1f} s a step  {steps:4} features, cut to 224 at most  {weights:.1f} M weights  "
        f"{peak[0] / _MIB:8,.0f} MiB at the peak, with weights, their mean and moments",
        flush=True,
    )


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--clips", type=int, default=32, metavar="N", help="clips (32)")
    cli.add_argument("--batch", type=int, default=8, metavar="N", help="clips of a step (8)")
    cli.add_argument("--segments", type=int, default=1024, metavar="N", help="the bound of `bounded` (1024)")
    cli.add_argument("--only", choices=(*KINDS, *LOCALISER), help=argparse.SUPPRESS)
    typed = cli.parse_args()
    options = FitOptions(batch_size=typed.batch, batch_segments=typed.segments if typed.only == "bounded" else None)
    if typed.only in LOCALISER:
        torch.set_num_threads(1)
        measure_localiser(typed.only)
        return
    if typed.only:
        torch.set_num_threads(1)
        measure(typed.only, typed.clips, options)
        return
    asked = [f"--clips={typed.clips}", f"--batch={typed.batch}", f"--segments={typed.segments}"]
    print(f"python -m benchmarks.lengths {' '.join(asked)}")
    print(f"torch {torch.__version__}, 1 thread of {os.cpu_count()} cores, {processor()}")
    print(
        f"SIMULATED: {typed.clips} clips of {SHORTEST} to {LONGEST} s in segments of one second; the set itself is "
        f"padded to its longest, {typed.clips * LONGEST * 2 * WIDTH * 2 / _MIB:,.0f} MiB of features\n",
        flush=True,
    )
    for kind in (*KINDS, *LOCALISER):
        subprocess.run([sys.executable, "-m", "benchmarks.lengths", *asked, f"--only={kind}"], check=True)


if __name__ == "__main__":
    main()
