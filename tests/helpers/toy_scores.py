"""A small annotated test split and the predictions of two systems on it, one better than the other."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valor.data.predictions import Predictions, write_predictions
from valor.data.tables import Split, read_split, write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names

NAMES = class_names(LLP_CLASSES)
NUM_CLIPS = 32
TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}


@dataclass(frozen=True)
class ToyScores:
    """Where the tables and the predictions lie."""

    data: Path
    good: Path
    poor: Path

    @property
    def on(self) -> tuple[object, ...]:
        """The options that say what is scored."""
        return ("--annotations", self.data, "--split", "test")

    @property
    def split(self) -> Split:
        return read_split(self.data, "test", NAMES)


def write_toy_scores(folder: Path) -> ToyScores:
    rng = np.random.default_rng(5)
    events: dict[str, list] = {"audio": [], "visual": []}
    for split, table in TABLES.items():
        clips = tuple(f"{split}-{number:06d}_0_10"[-21:] for number in range(NUM_CLIPS))
        tags = np.zeros((NUM_CLIPS, 25), dtype=bool)
        for row, clip in enumerate(clips):
            for index in rng.choice(6, size=rng.integers(1, 3), replace=False).tolist():
                tags[row, index] = True
                for modality in ("audio", "visual"):
                    onset, offset = sorted(rng.choice(11, size=2, replace=False).tolist())
                    if split != "train" and rng.random() < 0.85:
                        events[modality].append((clip, onset, offset, NAMES[index]))
        write_weak_table(folder / "data" / table, clips, tags, NAMES)
    for modality, rows in events.items():
        write_event_table(folder / "data" / f"AVVP_eval_{modality}.csv", rows)
    toy = ToyScores(folder / "data", folder / "good.npz", folder / "poor.npz")
    for split in ("val", "test"):
        for path, noise in ((toy.good, 0.35), (toy.poor, 0.75)):
            where = path if split == "test" else path.with_stem(f"{path.stem}-val")
            write_predictions(where, noisy(read_split(toy.data, split, NAMES), noise, rng))
    return toy


def noisy(split: Split, noise: float, rng: np.random.Generator) -> Predictions:
    """Probabilities that know the truth up to noise."""
    assert split.truth is not None
    probs = np.clip(split.truth * 0.6 + 0.2 + noise * rng.normal(size=split.truth.shape) * 0.5, 0, 1)
    probs[..., 6:] *= 0.3
    return Predictions(
        clip_ids=split.clip_ids,
        class_names=NAMES,
        segment_probs=probs.astype(np.float32),
        clip_probs=probs.max(axis=(1, 2)).astype(np.float32),
        modality_probs=probs.max(axis=1).astype(np.float32),
    )
