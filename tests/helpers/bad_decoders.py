"""Decoders that misbehave, for decoding processes to run; what a file does is its first word."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.frames import DecodedClip, Picture, Sound, decode_clip


def decode(path: Path, *, grid: Grid, slots: bool = False, track: str | None = None) -> DecodedClip:
    """Do what the file says, once or always; decode what says nothing."""
    try:
        word, _, times = path.read_text(encoding="ascii").partition(" ")
    except (UnicodeDecodeError, OSError):
        word = ""
    if word not in ACTIONS:
        return decode_clip(path, grid=grid, slots=slots)
    with path.with_suffix(".tries.tmp").open("a") as log:
        log.write(".")
    tries = path.with_suffix(".tries.tmp").stat().st_size
    if times and tries > int(times):
        word = "good"
    return ACTIONS[word](path, grid=grid)


def hang(path, *, grid, slots=False, track=None):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    while True:
        time.sleep(60)


def crash(path, *, grid, slots=False, track=None):
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(path, *, grid, slots=False, track=None):
    os._exit(7)


def eat(path, *, grid, slots=False, track=None):
    hoard = []
    while True:
        hoard.append(np.ones(2**22, np.uint8))


def stumble(path, *, grid, slots=False, track=None):
    raise KeyError("a mistake in a decoder")


def good(path, *, grid, slots=False, track=None):
    frames = np.full((grid.num_segments, 8, 8, 3), 77, np.uint8)
    picture = Picture(frames, np.ones(grid.num_segments, bool), {"pid": os.getpid()}, (("still", "all frames equal"),))
    return DecodedClip(picture, Sound(np.full(grid.num_samples, 0.5, np.float32), grid.sample_rate, {"codec": "none"}))


ACTIONS = {"hang": hang, "crash": crash, "leave": leave, "eat": eat, "stumble": stumble, "good": good}
