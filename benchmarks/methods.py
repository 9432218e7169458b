"""One training step of each later method at batch 64, ours beside a lean network that computes as its public code does.

    python -m benchmarks.methods [--steps 4] [--threads 2] [--only nrep,leap] [--profile leap]

Both get the published features; ours as `valor.data.clips` reads them, folded where the network allows it. They take
turns, step by step, and the median counts: seconds by the clock, for which the machine must be otherwise idle, and
seconds of all cores together, which other work changes little. `minutes` is a whole training here: epochs times steps
of 10,000 clips at the recipe's batch, from the time of a clip in this step.

The last columns say how much is left to gain. Counted are the floating-point operations of the matrix products in a
step of either; `products` is the share of ours that its own would take at the highest rate one product alone reaches on
this machine, `largest` the ratio a step would have that did nothing beside them. Both are of seconds of all cores.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import processor
from benchmarks.public_methods import CLASSES, PUBLIC, SEGMENTS
from valor.data.clips import ClipSet
from valor.data.features.feature_files import FEATURE_FILES
from valor.parsers.build import build_parser
from valor.parsers.cpu import products
from valor.training.methods.jomold import LosingTags
from valor.training.methods.leap import Leap
from valor.training.methods.methods import Methods
from valor.training.recipes import RECIPES, Recipe
from valor.training.step import train_step
from valor.training.train import new_state

BATCH, TRAIN, TARGET = 64, 10_000, 1.5
TRIES = 12
"""Products of each kind timed to find the highest rate."""
LATE = 30
"""An epoch in which every part of a method is at work."""


def raw_features(recipe: Recipe) -> list[Tensor]:
    """Random features of the published shapes."""
    kinds = (recipe.features.audio, recipe.features.visual, recipe.features.motion)
    return [torch.rand(BATCH, *FEATURE_FILES[kind].shape) for kind in kinds if kind]


def clip_set(recipe: Recipe, raw: list[Tensor]) -> ClipSet:
    """The same as training reads it."""
    kinds = (recipe.features.audio, recipe.features.visual, recipe.features.motion)
    read = []
    for kind, tensor in zip(kinds, raw, strict=True):
        bring = FEATURE_FILES[str(kind)].lay if recipe.features.unfolded else FEATURE_FILES[str(kind)].fold
        read.append(tensor if bring is None else bring(tensor))
    return ClipSet(
        clip_ids=tuple(map(str, range(BATCH))),
        class_names=tuple(map(str, range(CLASSES))),
        audio=read[0],
        visual=read[1],
        motion=read[2],
        weak_labels=torch.rand(BATCH, CLASSES) < 0.08,
        pseudo_labels=torch.rand(BATCH, SEGMENTS, 2, CLASSES) < 0.05,
    )


def our_step(recipe: Recipe, raw: list[Tensor]) -> Callable[[], object]:
    """A step of the recipe as training takes it."""
    methods = Methods(recipe.methods)
    parser = methods.network(build_parser(recipe.parser, seed=0), tuple(map(str, range(CLASSES))))
    fit = replace(recipe.fit, batch_size=BATCH)
    for method in methods:
        if isinstance(method, Leap):  # its vectors need no file here
            method.start = lambda run: None  # type: ignore[method-assign]
    train = clip_set(recipe, raw)
    if "jomold" in recipe.methods:
        method = methods.by_name["jomold"]
        method.ratios = torch.full((2, CLASSES), 0.1, dtype=torch.float64)  # type: ignore[attr-defined]
        method.losing = LosingTags(method.ratios, 0)  # type: ignore[attr-defined]
    run = new_state(parser, train, fit, methods)
    if "jomold" not in recipe.methods:
        run.before_epoch(min(LATE, fit.epochs))
        methods.learning_rate(fit.learning_rate, min(LATE, fit.epochs))
    batch = train.batch(torch.arange(BATCH))
    parser.train()

    def step() -> None:
        train_step(parser, methods.batch(batch), run.optimiser, fit, methods)
        methods.after_step(parser)

    return step


def public_step(net: nn.Module, recipe: Recipe, raw: list[Tensor], train: ClipSet) -> Callable[[], object]:
    """A step as the public code takes it, with its kind of optimiser and its limit of the gradient."""
    kind = torch.optim.AdamW if recipe.fit.optimiser == "adamw" else torch.optim.Adam
    optimiser = kind(net.parameters(), lr=1e-4, weight_decay=recipe.fit.weight_decay)
    assert train.pseudo_labels is not None
    tags, labels = train.weak_labels.float(), train.pseudo_labels.float()

    def step() -> None:
        optimiser.zero_grad()
        net.loss(tuple(raw), tags, labels).backward()  # type: ignore[operator]
        if recipe.fit.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), recipe.fit.max_grad_norm)
        optimiser.step()

    return step


class Cost(NamedTuple):
    """Of one step."""

    clock: float
    """Seconds."""
    cores: float
    """Seconds of all cores."""
    operations: float
    """Floating-point operations of its matrix products."""


def cost_of(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of all cores."""
    clock, cores = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cores


def operations_of(run: Callable[[], object]) -> float:
    """Floating-point operations of matrix products and convolutions."""
    known: dict[Any, Any] = {}
    if products.uses_onednn(torch.zeros(1)):
        known[torch.ops.mkldnn._linear_pointwise] = lambda x, weight, *_, **__: 2 * x[0] * x[1] * weight[0]
    with FlopCounterMode(display=False, custom_mapping=known) as counter:
        run()
    return float(counter.get_total_flops())


def measured(name: str, steps: int) -> dict[str, Cost]:
    """Medians of both, taking turns, after one turn in which operations are counted."""
    recipe = RECIPES[name]
    raw = raw_features(recipe)
    public = public_step(PUBLIC[name](), recipe, raw, clip_set(recipe, raw))
    both = {"public": public, "ours": our_step(recipe, raw)}
    operations = {side: operations_of(step) for side, step in both.items()}
    turns = [{side: cost_of(step) for side, step in both.items()} for _ in range(steps)]
    return {
        side: Cost(*(statistics.median(turn[side][n] for turn in turns) for n in (0, 1)), operations[side])
        for side in both
    }


def highest_rate() -> float:
    """The most operations that one large product makes of a second of all cores, by either kernel."""
    x, weight = torch.rand(1280, 512), torch.rand(2048, 512)
    took = [
        cost_of(partial(product, x, weight))[1]
        for product in (functional.linear, products.linear)
        for _ in range(TRIES)
    ]
    return 2 * x.shape[0] * weight.numel() / min(took)


WIDTHS = (10, 9, 8, 9, 9, 8, 8, 8, 10, 9, 9)
"""Of the columns."""


def line_of(name: str, got: dict[str, Cost], rate: float) -> str:
    """What is printed of a method."""
    public, ours = got["public"], got["ours"]
    least = ours.operations / rate
    ratio, minutes = public.clock / ours.clock, RECIPES[name].fit.epochs * TRAIN / BATCH * ours.clock / 60
    columns = (
        *(f"{public.clock:.3f}", f"{ours.clock:.3f}", f"{ratio:.2f}x"),
        *(f"{public.cores:.3f}", f"{ours.cores:.3f}", f"{public.cores / ours.cores:.2f}x"),
        *(f"{public.operations / 1e9:.0f}", f"{ours.operations / 1e9:.0f}"),
        *(f"{least / ours.cores:.0%}", f"{public.cores / least:.2f}x", f"{BATCH / ours.clock:.0f}"),
    )
    missed = "" if ratio >= TARGET else f"   below {TARGET}"
    told = "".join(f"{column:>{width}}" for column, width in zip(columns, WIDTHS, strict=True))
    return f"{name:20}{told}{minutes:10.0f}{missed}"


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--steps", type=int, default=4, metavar="N", help="steps that count (4)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="torch threads (2)")
    cli.add_argument("--only", default=",".join(PUBLIC), metavar="NAMES", help="methods (all)")
    cli.add_argument("--profile", metavar="NAME", help="where a step of ours spends its time, and end")
    typed = cli.parse_args()
    torch.set_num_threads(typed.threads)
    print(f"python -m benchmarks.methods --steps {typed.steps} --threads {typed.threads}")
    print(f"torch {torch.__version__}, {typed.threads} of {os.cpu_count()} cores, {processor()}")
    if typed.profile:
        step = our_step(RECIPES[typed.profile], raw_features(RECIPES[typed.profile]))
        step()
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step()
        print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
        return
    rate = highest_rate()
    print(f"one product alone: {rate / 1e9:.0f} GFLOP in a second of a core")
    print(f"\n{'seconds at batch 64':20}{'by the clock':^30}{'of all cores':^24}{'GFLOP':^16}")
    heads = ("public", "ours", "ratio", "public", "ours", "ratio", "public", "ours", "products", "largest", "clips/s")
    print("".join([" " * 20, *(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)), "   minutes"]))
    for name in typed.only.split(","):
        print(line_of(name, measured(name, typed.steps), rate), flush=True)


if __name__ == "__main__":
    main()
