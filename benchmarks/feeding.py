"""Clips per second from disk to batches of 64: our packed store and indexing beside one .npy per clip and modality.

    python -m benchmarks.feeding [--clips 10000] [--files 1000] [--threads 1] [--folder DIR]

The loader does what the published one does: for each clip five files (three features as they were extracted, two pseudo
labels), the tags looked up in a table, a default collate to float32, through a shuffled torch DataLoader with four
workers and batches of 64. Its files are all in the page cache, which favours it: on a disk it would wait. Ours maps the
packed half-precision store and takes rows; reading the store, with its sha256, is timed apart and is paid once for
all epochs. Features are noise of the published shapes.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import processor
from valor.data.clips import ClipSet
from valor.data.features.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.data.features.feature_options import FeatureOptions
from valor.data.read_clips import read_clip_set
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.experiments.simulated import SimulationOptions, simulate

BATCH, WORKERS, EPOCHS = 64, 4, 5
NAMES = class_names(LLP_CLASSES)
CONFIGURATIONS = {"VALOR": ("vggish", "res152", "r2plus1d"), "VALOR++": ("clap", "clip", "r2plus1d")}
PUBLISHED = {"VALOR": 1_700, "VALOR++": 3_200}
"""Clips per second of the published loader on this kind of machine, four workers, files cached."""
TARGET = 30


@dataclass(frozen=True)
class FileClips(Dataset):
    """Clips as one file for each modality; more clips than files take turns with them."""

    folder: Path
    kinds: Sequence[str]
    tags: Sequence[str]
    """Names of each clip's classes, comma separated as in the tables."""
    files: int

    def __len__(self) -> int:
        return len(self.tags)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        name = f"{index % self.files:05d}.npy"
        item = {kind: np.load(self.folder / kind / name) for kind in self.kinds}
        for number in range(len(LABEL_FOLDERS)):
            item[f"labels {number}"] = np.load(self.folder / f"labels{number}" / name).astype(np.float32)
        item["tags"] = np.zeros(len(NAMES), dtype=np.float32)
        for tag in self.tags[index].split(","):
            item["tags"][NAMES.index(tag)] = 1
        return item


def write_files(folder: Path, kinds: Sequence[str], files: int) -> None:
    """One .npy for each clip, feature kind and modality of the labels, in the published shapes."""
    rng = np.random.default_rng(0)
    shapes = {kind: FEATURE_FILES[kind].shape for kind in kinds}
    for number in range(files):
        for kind, shape in shapes.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            np.save(folder / kind / f"{number:05d}.npy", rng.standard_normal(shape, np.float32))
        for modality in range(len(LABEL_FOLDERS)):
            (folder / f"labels{modality}").mkdir(parents=True, exist_ok=True)
            np.save(folder / f"labels{modality}" / f"{number:05d}.npy", np.zeros((10, len(NAMES)), dtype=np.int64))


def loader_rate(clips: FileClips) -> float:
    """Clips per second of the loader, the best of some epochs."""
    with warnings.catch_warnings(action="ignore"):  # of more workers than cores, as published
        loader = DataLoader(clips, batch_size=BATCH, shuffle=True, num_workers=WORKERS)
        return best_rate(len(clips), lambda: iter(loader))


def indexing_rate(clips: ClipSet) -> float:
    """Clips per second of `ClipSet.batch` in a shuffled order, the best of some epochs."""

    def batches() -> Iterator[object]:
        batch = None
        for rows in torch.randperm(len(clips)).split(BATCH):
            batch = clips.batch(rows, into=batch)
            yield batch

    return best_rate(len(clips), batches)


def best_rate(clips: int, epoch: Callable[[], Iterable[object]]) -> float:
    """Clips per second of the best of some epochs."""
    rates = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        for _ in epoch():
            pass
        rates.append(clips / (time.perf_counter() - start))
    return max(rates)


def show(name: str, data: Path, folder: Path, arguments: argparse.Namespace) -> None:
    kinds = CONFIGURATIONS[name]
    write_files(folder, kinds, arguments.files)
    split = read_split(data, "train", NAMES)
    tags = [",".join(NAMES[c] for c in np.flatnonzero(row)) for row in split.weak_labels]
    files = loader_rate(FileClips(folder, kinds, tags, arguments.files))
    options = FeatureOptions(audio=kinds[0], visual=kinds[1], motion=kinds[2])
    start = time.perf_counter()
    clips = read_clip_set(data, split, options, labels=data)
    seconds = time.perf_counter() - start
    whole = replace(clips, audio=clips.audio.float(), visual=clips.visual.float(), motion=clips.motion.float())
    print(f"\n{name}: {', '.join(kinds)}; {len(split.clip_ids):,} clips")
    print(f"  published loader as measured                 {PUBLISHED[name]:10,} clips/s")
    print(f"  one .npy per clip and modality, this run     {files:10,.0f} clips/s")
    for what, found in (("float32", whole), ("half, as packed", clips)):
        rate = indexing_rate(found)
        both = f"{rate / files:5.0f}x this run, {rate / PUBLISHED[name]:4.0f}x published (target {TARGET}x)"
        print(f"  batches by indexing, {what:24}{rate:10,.0f} clips/s  {both}")
    epochs = 60
    whole_run = epochs * len(clips) / (epochs * len(clips) / rate + seconds)
    print(f"  reading the packed store, once               {seconds:10.2f} s; with it, 60 epochs are fed at")
    print(
        f"                                               {whole_run:10,.0f} clips/s  {whole_run / files:5.0f}x this run"
    )


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--clips", type=int, default=10_000, metavar="N", help="clips of an epoch (10000)")
    cli.add_argument("--files", type=int, default=1_000, metavar="N", help="clips that have files of their own (1000)")
    cli.add_argument("--threads", type=int, default=1, metavar="N", help="torch threads of ours (1)")
    cli.add_argument("--folder", type=Path, metavar="DIR", help="where to write 2 GB (a temporary folder)")
    arguments = cli.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"python -m benchmarks.feeding --clips {arguments.clips} --files {arguments.files} "
        f"--threads {arguments.threads}"
    )
    print(f"torch {torch.__version__}, {arguments.threads} threads, {os.cpu_count()} cores, {processor()}")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        kinds = sorted({kind for kinds in CONFIGURATIONS.values() for kind in kinds})
        size = SimulationOptions(clips=round(arguments.clips * 11_849 / 10_000), precision="float16")
        data = simulate(Path(folder), kinds, size, Path(folder))
        for name in CONFIGURATIONS:
            show(name, data, Path(folder) / "files" / name, arguments)


if __name__ == "__main__":
    main()
