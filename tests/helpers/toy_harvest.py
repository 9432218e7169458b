"""A small harvest without a network, run here or as a process to be killed: python -m tests.helpers.toy_harvest."""

import argparse
import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.helpers.toy import FakeTeacher
from valor.label_harvest.harvest import HarvestOptions, HarvestReport, harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.share import read_share

CLASSES = ("Dog", "Cat")
GRID = Grid(num_segments=4, segment_seconds=0.5, tolerance_seconds=0.1)
CLIPS = tuple("abcdefghij")
"""Three shards, of four, four and two clips."""
OPTIONS = HarvestOptions(grid=GRID, shard_size=4, clips_per_batch=2, decode_workers=0)
"""Decoded here: where that is not what is tested, processes only cost their start."""
IN_PROCESSES = replace(OPTIONS, decode_workers=2)


@dataclass
class SlowTeacher(FakeTeacher):
    """Takes its time over every batch, so that a kill can find it there."""

    seconds: float = 0.0

    def encode_many(self, clips):
        time.sleep(self.seconds)
        return super().encode_many(clips)


def manifest_of(*clip_ids: str) -> HarvestManifest:
    weak_labels = np.array([[number % 2 == 0, True] for number in range(len(clip_ids))])
    return HarvestManifest(clip_ids, CLASSES, weak_labels)


def toy_teachers(seconds: float = 0.0) -> list[SlowTeacher]:
    return [SlowTeacher("visual", seconds=seconds), SlowTeacher("audio", sample_rate=8000, seconds=seconds)]


def toy_harvest(clip_ids, videos, store, *, options=OPTIONS, seconds=0.0) -> HarvestReport:
    return harvest(manifest_of(*clip_ids), videos, store, toy_teachers(seconds), options=options, progress=False)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file below a folder, hidden ones and all."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def store_digests(store: Place) -> dict[str, str]:
    """sha256 of every file of a store, on a disk or elsewhere, but for the lock a disk keeps and the notes on tars."""
    files = store.rglob("*") if isinstance(store, Path) else store.below()
    held = {str(path).removeprefix(f"{store}/"): path for path in files if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(held.items())
        if path.name != ".lock" and path.parent.name != ".tars"
    }


def some_of(videos: Path, folder: Path, *without: str) -> Path:
    """A copy of the videos in which some are not there."""
    shutil.copytree(videos, folder, copy_function=os.link)
    for clip in without:
        (folder / f"{clip}.mkv").unlink()
    return folder


def finished(store: Path, name: str) -> Path:
    (path,) = store.rglob(name)
    return path


def main(words: Sequence[str] | None = None) -> None:
    cli = argparse.ArgumentParser()
    cli.add_argument("videos", type=Path)
    cli.add_argument("store", type=place_of)
    cli.add_argument("--share", default="1/1")
    cli.add_argument("--seconds", type=float, default=0.0)
    cli.add_argument("--workers", type=int, default=2)
    cli.add_argument("--length", default="clip")
    typed = cli.parse_args(words)
    clip_ids = sorted(path.stem for path in typed.videos.iterdir())
    options = replace(OPTIONS, decode_workers=typed.workers, share=read_share(typed.share), length=typed.length)
    toy_harvest(clip_ids, typed.videos, typed.store, options=options, seconds=typed.seconds)


if __name__ == "__main__":
    main()
