"""Lists of AVE's clips for simulated features: a part of the published ones, or invented ones where there are none."""

import json
from pathlib import Path

import numpy as np

from valor.data.datasets.ave import ANNOTATIONS, AVE_NAMES, AVE_SECONDS, AveRow, read_split_rows
from valor.data.datasets.dataset import AVE, DATASET_FILE
from valor.label_harvest.disk import replaced

from .options import SimulationOptions

AVE_TABLES = (ANNOTATIONS, *AVE.layout.tags.values())
"""What is looked for in the data."""
AVE_LISTS = (*(f"{split}Set.txt" for split in AVE.splits), DATASET_FILE)
"""What is written: the rows of each split, and a file that says what they are of."""

_FROM_END_TO_END = 0.665
"""Share of AVE's clips whose event fills them."""


def write_ave_lists(data: Path | None, out: Path, options: SimulationOptions) -> None:
    """Write the rows of each split into a folder.

    Args:
        data: A folder of AVE, of whose rows as many at even distances are taken; None to invent rows.
        out: The folder.
        options: How many, and the seed.
    """
    texts = {DATASET_FILE: json.dumps({"dataset": AVE.name})}
    for number, (split, size) in enumerate(options.split_sizes(AVE).items()):
        if data is None:
            rows = _invented(split, size, np.random.default_rng([options.seed, 3, number]))
        else:
            held = read_split_rows(data, split, AVE_NAMES)
            rows = [held[at] for at in np.linspace(0, len(held) - 1, min(size, len(held))).round().astype(int)]
        lines = (f"{row.class_name}&{row.video}&good&{row.start}&{row.stop}\n" for row in rows)
        texts[f"{split}Set.txt"] = "".join(lines)
    for name, text in texts.items():
        with replaced(out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _invented(split: str, size: int, rng: np.random.Generator) -> list[AveRow]:
    """Rows with one event each, of all classes alike, two thirds of which fill their clip."""
    rows = []
    for number, index in enumerate(rng.permutation(np.arange(size) % len(AVE_NAMES)).tolist()):
        start, stop = sorted(rng.choice(AVE_SECONDS + 1, 2, replace=False).tolist())
        if rng.random() < _FROM_END_TO_END:
            start, stop = 0, AVE_SECONDS
        rows.append(AveRow(number + 1, AVE_NAMES[index], f"{split:-<5}{number:06d}", start, stop))
    return rows
