"""Training against leaning: the demo's parser on clips whose sound and picture belong together, and on those where not.

    python -m benchmarks.leaning DEMO --out FOLDER [--seeds 3] [--arms NAMES]

DEMO is the folder of a finished `valor demo` of so many seeds, which is only read: its VALOR runs are the first row.
The test split is scored as it is, and with the picture of every clip taken from another one, truth and all; of both the
F of seconds heard, of seconds seen, and Type@AV at .5, behind the gate of the clip's own probability and without it.
Recombined clips count as clips: with them the epochs are half as many, so that every row has about the same cost but
those of two passes. The interval is of the difference in what is seen on recombined clips, with the same seeds.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import torch

from benchmarks.machine import processor
from valor.data.clips import ClipSet
from valor.data.datasets.dataset import LLP
from valor.data.read_clips import read_clip_set
from valor.demo.run import Training, run_folder, train_all
from valor.eval.decide import PostProcessing, decide
from valor.eval.intervals import seed_interval
from valor.eval.scores import score
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.mug import partners
from valor.training.predict import predict_split
from valor.training.recipes import RECIPES, override
from valor.training.run import with_seed

SEED = 7
"""Of who gets whose picture."""


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    name: str
    changes: tuple[str, ...]
    """Of the demo's recipe."""


_HALF = ("fit.epochs=20", "fit.warmup_epochs=2")
ARMS = {
    "mug": Arm("recombined clips", ("methods.mug=on", *_HALF)),
    "onesided": Arm("modality dropout", ("methods.onesided=on",)),
    "alone": Arm("uni-modal path", ("methods.alone=on",)),
    "mug-alone": Arm("recombined clips, uni-modal path", ("methods.mug=on", "methods.alone=on", *_HALF)),
    "mug-onesided": Arm("recombined clips, modality dropout", ("methods.mug=on", "methods.onesided=on", *_HALF)),
}
RULES = {"gate": PostProcessing(), "no gate": PostProcessing(gate="none")}


def recombined(clips: ClipSet) -> ClipSet:
    """Every sound with the picture of another clip, each with its own truth."""
    rows = partners(torch.randperm(len(clips), generator=torch.Generator().manual_seed(SEED)))
    assert clips.truth is not None
    truth = torch.stack((clips.truth[:, :, 0], clips.truth[rows][:, :, 1]), dim=2)
    return replace(clips, visual=clips.visual[rows], truth=truth)


def figures(run: Path, sets: Sequence[ClipSet]) -> list[float]:
    """Three figures for each rule and set."""
    parser, found = read_checkpoint(run)[0], []
    for rule in RULES.values():
        for clips in sets:
            held = predict_split(parser, clips)
            assert held.segment_probs is not None and clips.truth is not None
            marked = decide(held.segment_probs, clip_probs=held.clip_probs, options=rule)
            segment = score(marked, clips.truth.numpy()).segment
            found += [segment.audio, segment.visual, segment.type_av]
    return found


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("demo", type=Path, metavar="DEMO")
    cli.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="gets the runs")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--arms", default=",".join(ARMS), help="of the trainings")
    typed = cli.parse_args()
    print(f"python -m benchmarks.leaning {' '.join(sys.argv[1:])}\n{processor()}\n")
    test = read_clip_set(typed.demo / "data", LLP.read_split(typed.demo / "data", "test"), RECIPES["demo"].features)
    sets, before = (test, recombined(test)), list[list[float]]()
    for rule in RULES:
        print(f"{'':36}{rule}: test split, recombined (heard, seen, Type)", end="")
    print("   seen, recombined")
    for key in ("valor", *typed.arms.split(",")):
        home = typed.demo if key == "valor" else typed.out
        runs = [run_folder(home, key, seed) for seed in range(typed.seeds)]
        if key != "valor":
            labels = typed.demo / "labels" / "valor"
            recipe = override(RECIPES["demo"], list(ARMS[key].changes))
            todo = [Training(recipe=with_seed(recipe, seed), run=run, labels=labels) for seed, run in enumerate(runs)]
            train_all(todo, typed.demo / "data", 1, progress=sys.stderr.isatty())
        found = [figures(run, sets) for run in runs]
        before = before or found
        cells = "".join(f"{fmean(column):6.1f}" for column in zip(*found, strict=True))
        apart = [a[4] - b[4] for a, b in zip(found, before, strict=True)]
        interval = "" if key == "valor" or len(apart) < 2 else seed_interval(apart).text()
        print(f"{'VALOR' if key == 'valor' else ARMS[key].name:36}{cells}   {interval}", flush=True)


if __name__ == "__main__":
    main()
