"""A few clips of one's own classes trained beside a large set, alone, and alone with as many steps in total.

    python -m benchmarks.cotrain [--data demo/data --labels demo/labels/valor] [--seeds 5] [--threads 2]

In the hard world a clip is one of six classes, which six directions of 32 features tell and 26 others hide: noise of
three times the size, in both streams and both sets, whose classes differ and whose telling directions are the same. The
share of clips whose likeliest class is the true one is printed, chance being 0.17.

With `--data` also the demo world: sixty of its training clips with the tags of ten classes alone, beside the others
with the tags of the other fifteen; segment Type@AV of the ten on the test split. Each row has the epoch its own val
likes best.
"""

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.machine import processor
from valor.data.clips import ClipSet, of_classes
from valor.parsers.build import build_parser
from valor.parsers.options import ParserOptions
from valor.training.checkpoint import read_checkpoint
from valor.training.cotrain import TrainedSet, cotrain
from valor.training.options import FitOptions
from valor.training.predict import predict_split
from valor.training.recipes import RECIPES, override
from valor.training.run import read_run_sets
from valor.training.train import validate

FEATURES, TELLING, CLASSES, SEGMENTS = 32, 6, 6, 2
NUISANCE, SIGNAL = 9.0, 3.0
LARGE = 3000
HARD = ParserOptions(
    audio_width=FEATURES,
    visual_width=FEATURES,
    motion_width=0,
    hidden_width=32,
    num_heads=4,
    feedforward_width=64,
    num_classes=CLASSES,
)
FIT = FitOptions(epochs=80, batch_size=32, learning_rate=2e-3, min_learning_rate=2e-5, warmup_epochs=3, beta1=0.9)
OWN, BIG = "own", "large"
ROWS = ("alone", "beside the large set", "alone, as many steps")


def clips_of(count: int, world: int, which: str, draw: int) -> ClipSet:
    """Clips of the hard world; its telling features are the same in every set, its classes those of the set."""
    turned = torch.linalg.qr(torch.randn(FEATURES, FEATURES, generator=torch.Generator().manual_seed(world)))[0]
    named = torch.Generator().manual_seed(1000 * world + (which == BIG))
    classes = SIGNAL * torch.nn.functional.normalize(torch.randn(CLASSES, TELLING, generator=named), dim=1)
    drawn = torch.Generator().manual_seed(10_000 * world + 10 * draw + (which == BIG))
    label = torch.randint(CLASSES, (count,), generator=drawn)
    streams = []
    for _ in range(2):
        x = NUISANCE * torch.randn(count, SEGMENTS, FEATURES, generator=drawn)
        x[..., :TELLING] = classes[label][:, None] + torch.randn(count, SEGMENTS, TELLING, generator=drawn)
        streams.append(x @ turned.T)
    marks = torch.nn.functional.one_hot(label, CLASSES).bool()
    truth = marks[:, None, None].expand(count, SEGMENTS, 2, CLASSES).clone()
    return ClipSet(
        clip_ids=tuple(f"{which}-{draw}-{number}" for number in range(count)),
        class_names=tuple(f"{which}-{number}" for number in range(CLASSES)),
        audio=streams[0],
        visual=streams[1],
        weak_labels=marks,
        pseudo_labels=truth,
        truth=truth,
    )


def right(checkpoint: Path, test: ClipSet) -> float:
    """Share of clips whose likeliest class is the true one."""
    parser, _ = read_checkpoint(checkpoint)
    clip_probs = predict_split(parser, test).clip_probs
    assert clip_probs is not None
    return float((clip_probs.argmax(axis=1) == test.weak_labels.numpy().argmax(axis=1)).mean())


def ready(name: str, options: ParserOptions, fit: FitOptions, sets: tuple[ClipSet, ClipSet], out: Path) -> TrainedSet:
    """A set with a fresh parser."""
    parser = build_parser(replace(options, num_classes=len(sets[0].class_names)), seed=fit.seed)
    return TrainedSet(name=name, parser=parser, train=sets[0], val=sets[1], options=fit, out=out, recipe={})


Sets = tuple[ClipSet, ClipSet]
"""Of train and val."""


def three(
    options: ParserOptions, fits: tuple[FitOptions, FitOptions], own: Sets, large: Sets, folder: Path
) -> dict[str, Path]:
    """Train the three rows in a folder."""
    steps = [-(-len(sets[0]) // fit.batch_size) * fit.epochs for sets, fit in zip((own, large), fits, strict=True)]
    longer = replace(fits[0], epochs=round(sum(steps) / steps[0] * fits[0].epochs))
    found = {}
    for row, fit in zip(ROWS, (fits[0], fits[0], longer), strict=True):
        sets = [ready(OWN, options, fit, own, folder / row)]
        if row == ROWS[1]:
            sets.append(ready(BIG, options, fits[1], large, folder / row / BIG))
        found[row] = cotrain(sets, progress=False)[OWN].checkpoint
    return found


def hard_world(count: int, seed: int) -> dict[str, float]:
    """Right answers of the three rows with some clips of one's own."""
    fit = replace(FIT, seed=seed)
    own, large = (
        (clips_of(n, seed, which, 0), clips_of(200, seed, which, 1)) for n, which in ((count, OWN), (LARGE, BIG))
    )
    test = clips_of(500, seed, OWN, 2)
    fits = fit, replace(fit, epochs=4, warmup_epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        rows = three(HARD, fits, own, large, Path(folder))
        return {row: right(path, test) for row, path in rows.items()}


def demo_world(data: Path, labels: Path, seeds: Sequence[int], epochs: int) -> dict[str, list[float]]:
    """Type@AV of the three rows, seed by seed, with sixty clips of ten classes."""
    small = ("parser.hidden_width=64", "parser.feedforward_width=128", f"fit.epochs={epochs}")
    recipe = override(RECIPES["demo"], small)
    sets = read_run_sets(recipe, data, labels=labels, test=True)
    assert sets.test is not None
    names = sets.train.class_names
    ten, others = names[:10], names[10:]
    found: dict[str, list[float]] = {row: [] for row in ROWS}
    for seed in seeds:
        order = torch.randperm(len(sets.train), generator=torch.Generator().manual_seed(seed))
        tagged = sets.train.weak_labels[:, :10].any(dim=1)
        mine = [row for row in order.tolist() if tagged[row]][:60]
        rest = [row for row in range(len(sets.train)) if row not in mine]
        own = of_classes(sets.train.take(mine), ten, emptied=False), of_classes(sets.val, ten, emptied=False)
        large = of_classes(sets.train.take(rest), others, emptied=False), of_classes(sets.val, others, emptied=False)
        fit = replace(recipe.fit, seed=seed)
        test = of_classes(sets.test[1], ten, emptied=False)
        with tempfile.TemporaryDirectory() as folder:
            for row, path in three(recipe.parser, (fit, fit), own, large, Path(folder)).items():
                found[row].append(validate(read_checkpoint(path)[0], test).segment.type_av)
    return found


def print_rows(rows: Mapping[str, list[float]], form: str) -> None:
    """Every seed, and the mean."""
    for row, values in rows.items():
        each = "  ".join(f"{value:{form}}" for value in values)
        print(f"  {row:24}{statistics.fmean(values):{form}}    {each}", flush=True)


def main() -> None:
    """Train and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, metavar="DIR", help="data of `valor demo`")
    cli.add_argument("--labels", type=Path, metavar="DIR", help="its pseudo labels")
    cli.add_argument("--clips", type=int, nargs="*", default=[30, 60], metavar="N", help="of the hard world (30 60)")
    cli.add_argument("--seeds", type=int, default=5, metavar="N", help="trainings of each (5)")
    cli.add_argument("--epochs", type=int, default=20, metavar="N", help="of each in the demo world (20)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="torch threads (2)")
    arguments = cli.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {processor()}\nmean, and seed by seed")
    for count in arguments.clips:
        print(f"\nhard world, {count} clips of one's own, right answers", flush=True)
        found = [hard_world(count, seed) for seed in range(arguments.seeds)]
        print_rows({row: [one[row] for one in found] for row in ROWS}, ".2f")
    if arguments.data:
        print("\ndemo world, 60 clips of ten classes, segment Type@AV", flush=True)
        print_rows(demo_world(arguments.data, arguments.labels, range(arguments.seeds), arguments.epochs), ".1f")


if __name__ == "__main__":
    main()
