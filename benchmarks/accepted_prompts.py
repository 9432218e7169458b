"""The text of clips without a label: how often a prompt that a teacher accepts is right, and how much it leaves out.

    python -m benchmarks.accepted_prompts --data demo/data [--store demo/data/store]

Whether a prompt is accepted is found from what teachers say of all clips of the store, as the objectives mmv, vatt and
lava find it (`valor.parsers.pretraining.accepted`); the truth of the annotated clips, val and test together, is looked
at here alone. In percent of the seconds and classes that are accepted, and of those that are there.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from valor.data.features.feature_options import FeatureOptions
from valor.data.tables import read_split
from valor.data.unlabelled import UnlabelledSet, read_unlabelled
from valor.label_harvest.places.place import place_of
from valor.parsers.hybrid import MODALITIES
from valor.parsers.pretraining.accepted import Accepted
from valor.parsers.pretraining.options import LavaOptions
from valor.pretraining.pool import SetPool


def main() -> None:
    """Print the table."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="data folder with annotated val and test splits")
    cli.add_argument("--store", help="evidence store (DATA/store)")
    typed = cli.parse_args()
    features = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None)
    store = place_of(typed.store or str(typed.data / "store"))
    clips = read_unlabelled([store], features, data=typed.data, transductive=True, logits=True)
    rows, truth = annotated(typed.data, clips)
    print(f"{len(clips):,} clips, {len(rows):,} of them annotated")
    print("accept  nearby  " + "  ".join(f"{name}: right  found  with text" for name in MODALITIES))
    for accept in (1.5, LavaOptions.accept, 2.5, 3.0):
        for nearby in (0, LavaOptions.nearby):
            print(f"{accept:6g}  {nearby:6d}  " + "  ".join(row(clips, rows, truth, accept, nearby)))


def annotated(data: Path, clips: UnlabelledSet) -> tuple[Tensor, np.ndarray]:
    """Rows of the clips whose truth is known, and their truth, bool [n, T, M, C]."""
    known = {}
    for split in ("val", "test"):
        held = read_split(data, split, clips.class_names)
        if held.truth is not None:
            known.update(zip(held.clip_ids, held.truth, strict=True))
    rows = [row for row, name in enumerate(clips.clip_ids) if name in known]
    return torch.tensor(rows), np.stack([known[clips.clip_ids[row]] for row in rows]).astype(bool)


def row(clips: UnlabelledSet, rows: Tensor, truth: np.ndarray, accept: float, nearby: int) -> list[str]:
    """The cells of both modalities."""
    prompts = (torch.zeros(len(clips.class_names), 1),) * 2  # what they say is not looked at
    pool, accepted = SetPool(clips, torch.device("cpu"), prompts), Accepted(accept, nearby)
    accepted.prepare(pool)
    cells = []
    for m, found in enumerate(accepted(pool.batch(rows))):
        marked, there = found.numpy(), truth[:, :, m]
        right = (marked & there).sum()
        shares = (right / max(1, marked.sum()), right / max(1, there.sum()), marked.any(axis=-1).mean())
        cells.append(f"{len(MODALITIES[m]) * ' '}  {shares[0]:5.0%}  {shares[1]:5.0%}  {shares[2]:9.0%}")
    return cells


if __name__ == "__main__":
    main()
