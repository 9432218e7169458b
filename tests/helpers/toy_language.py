"""Recordings in which one class mostly follows another, or none does, and predictions that are often wrong."""

from pathlib import Path

import numpy as np

from valor.data.label_file import write_pseudo_labels
from valor.data.predictions import Predictions, write_predictions

CLASSES = ("Dog", "Car", "Singing", "Chainsaw")
FOLLOWS = 0.9
"""How often the next class is that which follows."""


def chains(count: int, length: int, follows: float, rng: np.random.Generator) -> np.ndarray:
    """Classes int [N, T], each mostly one further than the one before it."""
    found = rng.integers(len(CLASSES), size=(count, length))
    for place in range(1, length):
        after = (found[:, place - 1] + 1) % len(CLASSES)
        found[:, place] = np.where(rng.random(count) < follows, after, found[:, place])
    return found


def marks_of(chains: np.ndarray, *, apart: bool = False) -> np.ndarray:
    """bool [N, T, M, C]: a class is heard and seen at once, or seen half a round later than heard."""
    marks = np.zeros((*chains.shape, 2, len(CLASSES)), bool)
    seen = (chains + len(CLASSES) // 2) % len(CLASSES) if apart else chains
    np.put_along_axis(marks, np.stack([chains, seen], axis=-1)[..., None], True, axis=-1)
    return marks


def noisy(marks: np.ndarray, rng: np.random.Generator, *, noise: float, alike: bool, clip_ids=None) -> Predictions:
    """Probabilities of a parser that is wrong about every fifth, of both modalities alike or not."""
    shape = (*marks.shape[:2], 1, marks.shape[3]) if alike else marks.shape
    logits = np.where(marks, 1.5, -1.5) + noise * rng.normal(size=shape)
    return Predictions(
        clip_ids=clip_ids or tuple(f"film-{row}" for row in range(len(marks))),
        class_names=CLASSES,
        segment_probs=(1 / (1 + np.exp(-logits))).astype(np.float32),
        clip_probs=np.ones((len(marks), len(CLASSES)), np.float32),
    )


def write_labels(folder: Path, marks: np.ndarray, name: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_pseudo_labels(folder / "pseudo_labels.npz", [f"{name}-{row}" for row in range(len(marks))], CLASSES, marks)
    return folder


def write_rescored_world(folder: Path) -> None:
    """Predictions, labels and a language that has hardly learned anything."""
    from valor.scoring.language_options import LanguageOptions
    from valor.scoring.rescore import fit_language

    rng = np.random.default_rng(0)
    truth = marks_of(chains(3, 12, FOLLOWS, rng), apart=True)
    write_labels(folder / "labels", truth)
    write_predictions(folder / "p.npz", noisy(truth, rng, noise=1.0, alike=False))
    fit_language([folder / "labels"], folder / "language", LanguageOptions(length=3, steps=1, width=8, layers=1))
