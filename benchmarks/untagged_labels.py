"""Labels of clips that nobody has tagged, scored as predictions: by what rule, and what their tags would add.

    python -m benchmarks.untagged_labels --data demo/data --labels demo/labels/valor

Levels and shares are those of the training clips; the best single cut of the logits is looked for on the split it is
scored on, which flatters it. The rule's three numbers were chosen on the demo's val split, so that val flatters it.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.data.label_file import read_pseudo_labels
from valor.data.tables import Split
from valor.eval.events import MODALITIES
from valor.eval.scores import score
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.demo import WEIGHTS
from valor.label_harvest.untagged import cut_for, level_of, marks_of, untagged_evidence

TRIED = (0.9, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99)
"""Shares of all logits below a single cut."""


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="data folder of the demo with its store")
    cli.add_argument("--labels", type=Path, required=True, help="labels of its training clips")
    typed = cli.parse_args()
    data_set = dataset_of(typed.data)
    splits = {
        name: data_set.read_split(typed.data, name, data_set.names_in(typed.data)) for name in ("train", "val", "test")
    }
    logits = {name: of_clips(typed.data, split) for name, split in splits.items()}
    labels = read_pseudo_labels(typed.labels)
    given = labels.labels[[labels.clip_ids.index(name) for name in splits["train"].clip_ids]]
    print(f"{'segment Type@AV':40s}" + "".join(f"{name:>8s}" for name in ("val", "test")))
    for title, rule in rules(logits["train"], given).items():
        print(f"{title:40s}" + "".join(f"{rule(logits[s], splits[s]):8.1f}" for s in ("val", "test")))


def of_clips(data: Path, split: Split) -> np.ndarray:
    """What both teachers say of a split, float64 [N, T, M, C]."""
    store = read_store(data / "store", names=[f"{name}.similarity" for name in MODALITIES])
    rows = [store.clip_ids.index(name) for name in split.clip_ids]
    return np.stack([store.logits(name)[rows] for name in MODALITIES], axis=2).astype(np.float64)


def rules(train: np.ndarray, given: np.ndarray) -> dict:
    """Name -> a function of logits [N, T, M, C] and their split to segment Type@AV."""
    held = json.loads((WEIGHTS / "demo_thresholds.json").read_text())
    cuts = np.stack([held[name] for name in MODALITIES])  # [M, C]

    def type_av(marks: np.ndarray, split: Split) -> float:
        return score(marks, split.truth).segment.type_av

    def by_rule(logits: np.ndarray, split: Split) -> float:
        marks = np.zeros(logits.shape, bool)
        for m in range(len(MODALITIES)):
            level = level_of(train[:, :, m])
            cut = cut_for(untagged_evidence(train[:, :, m], level), given[:, :, m].mean())
            marks[:, :, m] = marks_of(untagged_evidence(logits[:, :, m], level), cut)
        return type_av(marks, split)

    def by_single_cut(logits: np.ndarray, split: Split) -> float:
        figures = np.zeros((len(TRIED), len(TRIED)))
        for i, audio in enumerate(np.quantile(train[:, :, 0], TRIED)):
            for j, visual in enumerate(np.quantile(train[:, :, 1], TRIED)):
                figures[i, j] = type_av(logits > np.array([audio, visual])[:, None], split)
        return float(figures.max())

    return {
        "thresholds of tagged clips": lambda logits, split: type_av(logits > cuts, split),
        "the best single cut of the logits": by_single_cut,
        "the rule of untagged clips": by_rule,
        "thresholds, with the tags": lambda logits, split: type_av(
            (logits > cuts) & split.weak_labels[:, None, None].astype(bool), split
        ),
    }


if __name__ == "__main__":
    main()
