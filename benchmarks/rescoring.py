"""What it is worth to know what follows what: films of joined clips of a demo run, with and without a grammar.

    python -m benchmarks.rescoring --demo demo [--films 16] [--seeds 0,1,2] [--step 5] [--steps 800] [--order grammar]

Films are twelve clips of ten seconds with a cut between, so that their parse is that of the clips one by one. In films
with a grammar a clip in which one class lasts longest is followed by one of the class that comes after it, with a
probability of 0.9; in those in random order by any. A language is learned from the pseudo labels of films of training
clips, its weight chosen on films of validation clips, and films of test clips are ranked by it. Printed are segment
Type@AV by the parser alone and ranked anew, and the difference with 95 % intervals: over films, and over trainings of
the parser, each of which has films of its own.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import processor
from valor.data.datasets.dataset import LLP
from valor.data.label_file import read_pseudo_labels
from valor.data.predictions import Predictions, align, score_predictions
from valor.data.tables import Split
from valor.eval.decide import gated_probs
from valor.eval.intervals import compare, seed_interval
from valor.eval.scores import Scores
from valor.scoring.language import Told, learn
from valor.scoring.language_options import LanguageOptions
from valor.scoring.rescore import chosen, rescore_predictions
from valor.training.run import predict_run

CLIPS = 12
"""Of a film."""
FOLLOWS = {"grammar": 0.9, "random": 0.0}
"""By what films are called, how often a clip is followed by one of the class that comes after it."""
TRAIN_FILMS = 100


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--demo", type=Path, required=True, help="folder of a finished `valor demo`")
    cli.add_argument("--films", type=int, default=16, metavar="N", help="test films, and half as many of validation")
    cli.add_argument("--seeds", default="0,1,2")
    cli.add_argument("--step", type=int, default=5, metavar="N", help="seconds from one word to the next (5)")
    cli.add_argument("--steps", type=int, default=800, metavar="N", help="of the training of a language (800)")
    cli.add_argument("--order", choices=FOLLOWS, help="films of one kind alone")
    typed = cli.parse_args()
    print(f"python -m benchmarks.rescoring {' '.join(sys.argv[1:])}\n{processor()}")
    seeds = [int(seed) for seed in typed.seeds.split(",")]
    for order in [typed.order] if typed.order else FOLLOWS:
        print(f"\nfilms: {order}\n{'seed':6}{'alpha':>7}{'alone':>8}{'ranked':>8}   difference over films")
        gains = []
        for seed in seeds:
            before, after, alpha, spent = ranked(typed, seed, FOLLOWS[order])
            gain = compare(after, before).of("segment", "type_av")
            gains.append(gain.value)
            figures = f"{before.segment.type_av:8.1f}{after.segment.type_av:8.1f}"
            print(
                f"{seed:<6}{alpha:7g}{figures}   {gain.text()}, p {gain.p_value:.3f}  ({spent:.0f} CPU s)", flush=True
            )
        if len(gains) > 1:
            print(f"mean difference, 95 % over trainings: {seed_interval(gains).text()}", flush=True)


def ranked(typed: argparse.Namespace, seed: int, follows: float) -> tuple[Scores, Scores, float, float]:
    """Scores of test films by the parser alone and ranked anew, the chosen weight, and CPU seconds of the language."""
    data, rng = typed.demo / "data", np.random.default_rng([seed, 7])
    splits = {name: LLP.read_split(data, name) for name in ("val", "test")}
    run = typed.demo / "runs" / "valor" / f"seed-{seed}"
    probs = {name: align(predict_run(run, data, name), split) for name, split in splits.items()}
    labels = read_pseudo_labels(typed.demo / "labels" / "valor")
    lasting = {"train": longest(labels.marked)} | {name: longest(truth_of(split)) for name, split in splits.items()}
    classes = sorted(set.intersection(*(set(of.tolist()) for of in lasting.values())))
    turn = rng.permutation(classes)
    after = dict(zip(turn.tolist(), np.roll(turn, -1).tolist(), strict=True))
    counts = {"train": TRAIN_FILMS, "val": typed.films // 2, "test": typed.films}
    films = {name: joined(of, after, counts[name], follows, rng) for name, of in lasting.items()}
    held = {name: as_films(probs[name], splits[name], films[name]) for name in splits}
    began = time.process_time()
    told = Told(labels.class_names, {str(n): spread(labels.marked, rows) for n, rows in enumerate(films["train"])}, 1.0)
    language = learn(told, LanguageOptions(words="many", step=typed.step, steps=typed.steps, seed=seed))
    card = chosen(language, *held["val"])
    predictions, test = held["test"]
    found, _ = rescore_predictions(predictions, language, card.alpha)
    spent = time.process_time() - began
    return score_predictions(predictions, test)[0], score_predictions(found, test)[0], card.alpha, spent


def truth_of(split: Split) -> np.ndarray:
    assert split.truth is not None
    return split.truth


def longest(marks: np.ndarray) -> np.ndarray:
    """Of each clip the class that is heard and seen for longest, int [N]."""
    return marks.sum(axis=(1, 2)).argmax(axis=-1)


def joined(
    lasting: np.ndarray, after: dict[int, int], count: int, follows: float, rng: np.random.Generator
) -> list[list[int]]:
    """The rows of the clips of each film."""
    rows_of = {name: np.flatnonzero(lasting == name) for name in after}
    films = []
    for _ in range(count):
        film, name = list[int](), int(rng.choice(list(after)))
        for _ in range(CLIPS):
            film.append(int(rng.choice(rows_of[name])))
            name = after[name] if rng.random() < follows else int(rng.choice(list(after)))
        films.append(film)
    return films


def spread(of_clips: np.ndarray, rows: list[int]) -> np.ndarray:
    """[T, M, C] of a film, of [N, 10, M, C] of clips."""
    return np.concatenate([of_clips[row] for row in rows])


def as_films(predictions: Predictions, split: Split, films: list[list[int]]) -> tuple[Predictions, Split]:
    """Films as clips of a split, no segment more probable than its clip; no gate is left."""
    assert predictions.segment_probs is not None and predictions.clip_probs is not None
    gated = gated_probs(predictions.segment_probs, predictions.clip_probs)
    names = tuple(f"film-{number}" for number in range(len(films)))
    truth = np.stack([spread(truth_of(split), rows) for rows in films])
    held = Predictions(
        clip_ids=names,
        class_names=split.class_names,
        segment_probs=np.stack([spread(gated, rows) for rows in films]),
        clip_probs=np.ones((len(films), len(split.class_names)), np.float32),
    )
    tags = truth.any(axis=(1, 2))
    return held, Split(split.name, names, split.class_names, tags, truth, "films", "films")


if __name__ == "__main__":
    main()
