"""One training step of each later method at batch 64, ours beside a lean network that computes as its public code does.

    python -m benchmarks.methods [--steps 4] [--threads 2] [--only nrep,leap] [--profile leap]

Both get the published features; ours as `valor.data.clips` reads them, folded where the network allows it. They take
turns, step by step, and the median counts. The last column is a whole training here: epochs times steps of 10,000 clips
at the recipe's batch, from the time of a clip in this step. Needs an otherwise idle machine.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import processor
from benchmarks.public_methods import CLASSES, PUBLIC, SEGMENTS
from benchmarks.step import median_seconds
from valor.data.clips import ClipSet
from valor.data.features.feature_files import FEATURE_FILES
from valor.parsers.build import build_parser
from valor.training.methods.jomold import LosingTags
from valor.training.methods.leap import Leap
from valor.training.methods.methods import Methods
from valor.training.recipes import RECIPES, Recipe
from valor.training.step import train_step
from valor.training.train import new_state

BATCH, TRAIN, TARGET = 64, 10_000, 1.5
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


def public_step(net: nn.Module, raw: list[Tensor], train: ClipSet) -> Callable[[], object]:
    """A step as the public code takes it."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-4)
    assert train.pseudo_labels is not None
    tags, labels = train.weak_labels.float(), train.pseudo_labels.float()

    def step() -> None:
        optimiser.zero_grad()
        net.loss(tuple(raw), tags, labels).backward()  # type: ignore[operator]
        optimiser.step()

    return step


def measured(name: str, steps: int) -> dict[str, float]:
    """Median seconds of both."""
    recipe = RECIPES[name]
    raw = raw_features(recipe)
    public = public_step(PUBLIC[name](), raw, clip_set(recipe, raw))
    return median_seconds({"public": public, "ours": our_step(recipe, raw)}, steps)


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
    print(
        "".join(["\nseconds at batch 64  ", *(f"{c:>10}" for c in ("public", "ours", "ratio", "clips/s", "minutes"))])
    )
    for name in typed.only.split(","):
        got = measured(name, typed.steps)
        ratio = got["public"] / got["ours"]
        minutes = RECIPES[name].fit.epochs * TRAIN / BATCH * got["ours"] / 60
        missed = "" if ratio >= TARGET else f"   below {TARGET}"
        rates = f"{ratio:9.1f}x{BATCH / got['ours']:10.0f}{minutes:10.0f}{missed}"
        print(f"{name:20} {got['public']:10.3f}{got['ours']:10.3f}{rates}", flush=True)


if __name__ == "__main__":
    main()
