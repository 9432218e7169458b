"""Classes that training left out: a parser by words, the teachers alone, a parser of rows, and shuffled captions.

    python -m benchmarks.unseen --data demo/data --labels demo/labels/valor [--seeds 3] [--epochs 40] [--threads 2]

Every fourth class of the demo world is left out of tags and labels. Mean F of segments (Type@AV) of seen and of unseen
classes on the test split, and the harmonic mean; the constant is chosen on val. With the captions of unseen classes
shuffled among them, by a parser that is otherwise the same, what it found of them must be gone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import processor
from valor.data.datasets.dataset import dataset_of
from valor.data.predictions import Predictions, marks_of
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.eval.events import BoolArray
from valor.label_harvest.places.place import place_of
from valor.label_harvest.store.store import read_store
from valor.parsers.word_head import WordHead
from valor.scoring.unseen import constant_for, kinds_of_classes, with_constant
from valor.training.checkpoint import read_checkpoint
from valor.training.predict import predict_classes
from valor.training.recipes import RECIPES, Recipe, override
from valor.training.run import RunSets, read_run_sets, train_on

SMALL = ("parser.hidden_width=64", "parser.feedforward_width=128")
SHUFFLES = 5
RULE = PostProcessing()
Row = tuple[float, float, float]
"""Seen, unseen, harmonic."""


class Judge:
    """Scores predictions of val and test."""

    def __init__(self, data: Path, unseen: BoolArray) -> None:
        """Read both splits."""
        known = dataset_of(data)
        self.val, self.test = (known.read_split(data, name) for name in ("val", "test"))
        self.unseen = unseen

    def row(self, test: Predictions, rule: PostProcessing = RULE) -> Row:
        """Type@AV of segments."""
        assert self.test.truth is not None
        return kinds_of_classes(marks_of(test, None, rule)[0], self.test.truth, self.unseen)["type_av"]

    def raised(self, val: Predictions, tests: Mapping[str, Predictions], rule: PostProcessing = RULE) -> dict[str, Row]:
        """The same of predictions with the constant that is best on val."""
        constant = constant_for(val, self.val, self.unseen, rule) or 0.0
        return {name: self.row(with_constant(test, self.unseen, constant), rule) for name, test in tests.items()}


def teachers_alone(data: Path, judge: Judge) -> dict[str, Row]:
    """What the evidence says without any training: a class is there where its logit reaches 0."""

    def said(split: Split) -> Predictions:
        evidence = read_store(place_of(data / "store"), clip_ids=split.clip_ids)
        at = [evidence.clip_ids.index(clip_id) for clip_id in split.clip_ids]
        logits = np.stack([evidence.logits(role)[at] for role in ("audio", "visual")], axis=2)
        probs = 1 / (1 + np.exp(-logits))
        return Predictions(clip_ids=split.clip_ids, class_names=split.class_names, segment_probs=probs)

    rule, test = PostProcessing(gate="none"), said(judge.test)
    raised = judge.raised(said(judge.val), {"": test}, rule)
    return {"teachers alone": judge.row(test, rule), "teachers alone, with a constant": raised[""]}


def trained(recipe: Recipe, sets: RunSets, judge: Judge, seed: int) -> dict[str, Row]:
    """One training of the recipe and the rows it gives."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train_on(replace(recipe, fit=replace(recipe.fit, seed=seed)), sets, Path(folder) / "run", progress=False)
        seconds = time.process_time() - began
        parser, card = read_checkpoint(Path(folder) / "run")
    print(f"# {recipe.parser.head}, seed {seed}: {seconds:.0f} s of one core", flush=True)
    assert sets.test is not None
    test, names = sets.test[1], sets.val.class_names
    if sets.words is None:
        return {"rows": judge.row(predict_classes(parser, test, card.class_names))}
    head = parser.classifier
    assert isinstance(head, WordHead)
    audio, visual = sets.words.of(names)
    head.take(audio, visual)
    val, own = predict_classes(parser, sets.val, names), predict_classes(parser, test, names)
    shuffled = {}
    for draw in range(SHUFFLES):
        order = np.arange(len(names))
        order[judge.unseen] = np.random.default_rng([seed, draw]).permutation(order[judge.unseen])
        head.take(audio[order], visual[order])
        shuffled[f"shuffled {draw}"] = predict_classes(parser, test, names)
    raised = judge.raised(val, {"own": own, **shuffled})
    of_shuffled = [raised[name] for name in shuffled]
    means = [statistics.fmean(column) for column in zip(*of_shuffled, strict=True)]
    return {
        "words": judge.row(own),
        "words, with a constant": raised["own"],
        "the same, captions of unseen classes shuffled": (means[0], means[1], means[2]),
    }


def print_rows(rows: Mapping[str, list[Row]]) -> None:
    """Mean and lowest to highest over seeds."""
    print(f"{'':48}{'seen':>24}{'unseen':>24}{'harmonic':>24}")
    for name, found in rows.items():
        cells = []
        for column in zip(*found, strict=True):
            several = f" ({min(column):.1f} to {max(column):.1f})" if len(found) > 1 else ""
            cells.append(f"{statistics.fmean(column):.1f}{several}")
        print(f"{name:48}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


def main() -> None:
    """Train and print."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, metavar="DIR", help="data of `valor demo`")
    cli.add_argument("--labels", type=Path, required=True, metavar="DIR", help="its pseudo labels")
    cli.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each (3)")
    cli.add_argument("--epochs", type=int, default=40, metavar="N", help="epochs of each (40)")
    cli.add_argument("--threads", type=int, default=2, metavar="N", help="torch threads (2)")
    arguments = cli.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {processor()}")
    names = dataset_of(arguments.data).names_in(arguments.data)
    left_out = tuple(names[3::4])
    print(f"left out: {', '.join(left_out)}")
    judge = Judge(arguments.data, np.isin(names, left_out))
    rows = {name: [row] for name, row in teachers_alone(arguments.data, judge).items()}
    recipe = override(RECIPES["demo"], [*SMALL, f"fit.epochs={arguments.epochs}", f"parser.num_classes={len(names)}"])
    for kind in (recipe, override(recipe, ["parser.head=words"])):
        sets = read_run_sets(kind, arguments.data, labels=arguments.labels, test=True, unseen=left_out)
        for seed in range(arguments.seeds):
            for name, row in trained(kind, sets, judge, seed).items():
                rows.setdefault(name, []).append(row)
    print_rows(rows)


if __name__ == "__main__":
    main()
