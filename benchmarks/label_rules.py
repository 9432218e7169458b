"""Label rules on the demo world: how good their labels are, and what a parser trained on each gets.

    python -m benchmarks.label_rules DEMO --out FOLDER [--seeds 3] [--workers 1] [--train NAMES]

DEMO is the folder of a finished `valor demo` of so many seeds, which is only read. Labels are scored on its test clips
as predictions. Those that are asked for train the demo's parser; tags alone and the paper's rule are trained already.
Scores are means over seeds, the interval is of the difference in segment Type@AV to the paper's rule with the same
seeds. The rows that say so know the truth of all clips, and stand for what a perfect rule would give.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.machine import processor
from valor.data.datasets.dataset import LLP
from valor.data.label_file import PseudoLabels
from valor.data.predictions import read_predictions, score_predictions
from valor.data.tables import Split
from valor.data.thresholds import read_thresholds
from valor.demo.run import PREDICTIONS, Training, run_folder, train_all
from valor.demo.world.schedule import SPLITS, sample_world, world_arrays
from valor.eval.events import MODALITIES
from valor.eval.intervals import seed_interval
from valor.eval.scores import Scores, score
from valor.label_harvest.posterior import TERMS, Posterior, posterior
from valor.label_harvest.presence import PresenceOptions, competed, placed, presence
from valor.label_harvest.store.store import EvidenceStore, read_store
from valor.label_harvest.strict_json import loads
from valor.label_harvest.teachers.demo import WEIGHTS
from valor.labelling.labels import write_labels
from valor.labelling.rules import evidence_of, label_by_rule
from valor.scoring.calibrate import calibrate_posterior, calibrate_presence
from valor.training.recipes import RECIPES
from valor.training.run import with_seed

TAGS, VALOR = "tags alone", "thresholds (VALOR)"
FIGURES = ("audio", "visual", "audio_visual", "type_av")


def true_labels(demo: Path, store: EvidenceStore) -> np.ndarray:
    """bool [N, T, M, C], what is heard and seen in every clip of the world, in the order of the store."""
    world = loads((demo / "data" / "world.json").read_bytes())
    plans = sample_world(world["sizes"], world["seed"])
    truth, _ = world_arrays(plans, store.class_names)
    row_of = {plan.clip_id: row for row, plan in enumerate(plans)}
    return truth[[row_of[clip_id] for clip_id in store.clip_ids]]


def rules_of(store: EvidenceStore, truth: np.ndarray, val: Split) -> dict[str, np.ndarray]:
    """Labels of every clip by each rule, bool [N, T, M, C]."""
    logits, tags = evidence_of(store, np.arange(len(store.clip_ids)))
    limits = read_thresholds(WEIGHTS / "demo_thresholds.json", len(store.class_names))
    passed = (logits > np.stack([limits[modality] for modality in MODALITIES])) & tags[:, None]
    plain, whole = PresenceOptions(), np.ones_like(passed)

    def said(**options: float) -> np.ndarray:
        return presence(logits, tags, replace(plain, **options)).marked

    def timed(there: np.ndarray) -> np.ndarray:
        return placed(competed(logits, tags, plain), tags, there, plain)

    def by_seconds(there: np.ndarray) -> np.ndarray:
        """Seconds by thresholds; the best one of a track that has none."""
        best = logits == logits.max(axis=1, keepdims=True)
        return (passed & there[:, None]) | ((there & ~passed.any(axis=1))[:, None] & best)

    tuned = calibrate_presence(store, val, plain)
    on_val = np.isin(store.clip_ids, val.clip_ids)
    true = truth.any(axis=1) & tags
    shares = tuple(float(true[on_val][:, m][tags[on_val][:, m]].mean()) for m in range(len(MODALITIES)))
    cuts = np.array([tuned.thresholds[modality] for modality in MODALITIES])
    fitted = calibrate_posterior(store, val)
    told = fitted.provenance["weights"]
    weights = np.array([[told[modality][term] for term in TERMS] for modality in MODALITIES])
    biases = np.array([fitted.thresholds[modality] for modality in MODALITIES])
    alone = presence(logits, tags, replace(plain, competition=0.0)).marked.any(axis=1)
    return {
        TAGS: whole & tags[:, None],
        VALOR: passed,
        "competition": label_by_rule(store, "competition").labels.labels,
        "av2a": label_by_rule(store, "av2a").labels.labels,
        "presence": said(),
        "presence of the clip alone, seconds by thresholds": by_seconds(alone),
        "timing alone, presence by thresholds": placed(logits, tags, passed.any(axis=1), plain),
        "presence without competition": said(competition=0.0),
        "presence without a cost of changes": said(change=0.0),
        "presence that loses tags": said(lose_tags=True),
        "presence with decoys (1/4)": said(decoys=0.25),
        "presence with means (1/5)": said(mean=0.2),
        "presence, events of two seconds at least": said(least_seconds=2),
        "presence, shares of val (tuned)": presence(logits, tags, replace(plain, shares=shares)).marked,
        "presence, cuts of val (tuned)": presence(logits, tags, plain, cuts).marked,
        "posterior of val (tuned)": posterior(logits, tags, Posterior(weights, biases)),
        "true presence, whole clips": whole & true[:, None],
        "true presence, our timing": timed(true),
    }


def trained(
    demo: Path, out: Path, store: EvidenceStore, rules: Mapping[str, np.ndarray], seeds: int, workers: int, test: Split
) -> dict[str, list[Scores]]:
    """Test scores of each rule, one per seed."""
    arms = {TAGS: "tags-only", VALOR: "valor"}
    folders = {name: [run_folder(demo, arm, seed) for seed in range(seeds)] for name, arm in arms.items()}
    trainings = []
    for name, marked in rules.items():
        arm = re.sub(r"\W+", "-", name)
        labels = out / "labels" / arm
        labels.mkdir(parents=True, exist_ok=True)
        write_labels(labels, PseudoLabels(store.clip_ids, store.class_names, marked))
        folders[name] = [run_folder(out, arm, seed) for seed in range(seeds)]
        trainings += [
            Training(recipe=with_seed(RECIPES["demo"], seed), run=run, labels=labels)
            for seed, run in enumerate(folders[name])
        ]
    train_all(trainings, demo / "data", workers, progress=sys.stderr.isatty())
    return {
        name: [score_predictions(read_predictions(run / PREDICTIONS), test)[0] for run in runs]
        for name, runs in folders.items()
    }


def row_of(scores: list[Scores]) -> str:
    """Segment figures and Type@AV of events, means over seeds."""
    cells = [fmean(getattr(one.segment, figure) for one in scores) for figure in FIGURES]
    return "".join(f"{cell:6.1f}" for cell in (*cells, fmean(one.event.type_av for one in scores)))


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("demo", type=Path, metavar="DEMO")
    cli.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="gets labels and runs")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--workers", type=int, default=1)
    cli.add_argument("--train", default="", metavar="NAMES", help="rules, as the table calls them, joined by ;")
    typed = cli.parse_args()
    print(f"python -m benchmarks.label_rules {' '.join(sys.argv[1:])}\n{processor()}\n")
    store = read_store(typed.demo / "data" / "store")
    splits = {name: LLP.read_split(typed.demo / "data", name) for name in SPLITS}
    rules = rules_of(store, true_labels(typed.demo, store), splits["val"])
    test, row_by_id = splits["test"], {clip_id: row for row, clip_id in enumerate(store.clip_ids)}
    rows = [row_by_id[clip_id] for clip_id in test.clip_ids]
    assert test.truth is not None
    chosen = {name: rules[name] for name in typed.train.split(";") if name}
    found = trained(typed.demo, typed.out, store, chosen, typed.seeds, typed.workers, test)
    print(f"{'':52}labels: A     V    AV  Type event | parser: A     V    AV  Type event   Type - VALOR")
    for name, marked in rules.items():
        text = f"{name:53}{row_of([score(marked[rows], test.truth)])}"
        if scores := found.get(name):
            apart = [a.segment.type_av - b.segment.type_av for a, b in zip(scores, found[VALOR], strict=True)]
            interval = f"{fmean(apart):+.1f}" if len(apart) < 2 else f"{seed_interval(apart).text()}"
            text += f"  | {row_of(scores)}   {'' if name == VALOR else interval}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
