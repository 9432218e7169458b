"""Pools of single samples the demo teachers learn from: frames and seconds of sound with the classes they hold.

A sample is drawn from a generator seeded with (POOL_SEED, seed, stream, number). The demo's clips never use that
sequence, so no teacher has met a clip, a look or a sound that it will later label.
"""

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
import torch
from tqdm import tqdm

from label_harvest.tiny_networks import shrink_frames, sound_pictures

from ..vocabulary import LLP_CLASSES, class_names
from .looks import sample_image
from .sounds import sample_sound

POOL_SEED = 0x7EAC4E5
"""Sets the pools' random numbers apart from those of the demo's clips."""
COUNT_SHARES = (0.14, 0.5, 0.28, 0.08)
"""Shares of samples that hold 0, 1, 2 and 3 classes."""
STREAMS = ("visual", "audio")
"""The two kinds of pool."""


@dataclass(frozen=True)
class Pool:
    """Samples of one stream."""

    pictures: np.ndarray
    """Frames uint8 [N, 3, 48, 64] as shrunk, or log-mel pictures float16 [N, 1, 48, 64]."""
    labels: np.ndarray
    """bool [N, C], the classes each sample holds."""

    def __getitem__(self, rows: np.ndarray | slice) -> "Pool":
        """The samples of `rows`."""
        return Pool(self.pictures[rows], self.labels[rows])


def draw_classes(rng: np.random.Generator) -> np.ndarray:
    """Draw which classes a sample holds: distinct indices, none to three."""
    return rng.choice(len(LLP_CLASSES), size=rng.choice(len(COUNT_SHARES), p=COUNT_SHARES), replace=False)


def render_sample(stream: str, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Render one sample: (picture, class indices)."""
    rng = np.random.default_rng((POOL_SEED, seed, STREAMS.index(stream), number))
    classes = draw_classes(rng)
    names = [class_names(LLP_CLASSES)[index] for index in classes]
    if stream == "visual":
        frame = torch.from_numpy(sample_image(names, rng)[None])
        return shrink_frames(frame).round().to(torch.uint8)[0].numpy(), classes
    sound = torch.from_numpy(sample_sound(names, rng)[None])
    return sound_pictures(sound)[0].half().numpy(), classes


def render_pool(stream: str, count: int, *, seed: int, workers: int = 1) -> Pool:
    """Render `count` samples of a stream.

    Args:
        stream: visual or audio.
        count: How many.
        seed: Another seed gives another pool.
        workers: Processes to share the work; the result does not depend on it.
    """
    render = partial(render_sample, stream, seed)
    if workers > 1:
        with ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return collect(stream, pool.map(render, range(count), chunksize=64), count)
    return collect(stream, map(render, range(count)), count)


def collect(stream: str, samples: Iterable[tuple[np.ndarray, np.ndarray]], count: int) -> Pool:
    """Stack rendered samples."""
    labels, pictures = np.zeros((count, len(LLP_CLASSES)), bool), []
    for row, (picture, classes) in enumerate(tqdm(samples, f"rendering {stream} samples", count)):
        pictures.append(picture)
        labels[row, classes] = True
    return Pool(np.stack(pictures), labels)
