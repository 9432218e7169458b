"""Readers of recordings that misbehave in the middle of one; the name of a file says how: `hang.mp4`, `crash-2.mp4`."""

import errno
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from valor.label_harvest.media.open import media_errors
from valor.label_harvest.media.streams import DirectReader

PATIENCE = 2.0
"""Limit in seconds that the slow reader outlives."""


@dataclass(frozen=True)
class BadReader(DirectReader):
    """Reads, and after the first 60 images of a file does what its name says."""

    def survey(self, path, track=None, *, salvage=False):
        if path.stem.startswith("survey_"):
            act(path.stem.removeprefix("survey_"), self.tick)
        return super().survey(path, track, salvage=salvage)

    def frames(self, survey, cutoffs, grid):
        yield from self._some(super().frames(survey, cutoffs, grid), survey.path.stem, 60)

    def sound(self, survey):
        word = survey.path.stem.partition("sound_")[2]
        yield from self._some(super().sound(survey), word, 1)

    def _some(self, stream: Iterator, word: str, count: int) -> Iterator:
        yield from itertools.islice(stream, count)
        act(word.partition("-")[0], self.tick)
        yield from stream


def reader(tick: Callable[[], None]) -> BadReader:
    return BadReader(tick)


def act(word: str, tick: Callable[[], None]) -> None:
    """Misbehave, unless the word is none of those."""
    if word == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        time.sleep(600)
    elif word == "crash":
        os.abort()
    elif word == "leave":
        os._exit(7)
    elif word == "eat":
        hoard = []
        while True:
            hoard.append(np.ones(2**22, np.uint8))
    elif word == "stumble":
        raise KeyError("a mistake in a decoder")
    elif word == "slow":
        for _ in range(40):
            time.sleep(PATIENCE / 20)
            tick()


class Starved(DirectReader):
    """Fails as FFmpeg does where it cannot start a thread."""

    def survey(self, path, track=None, *, salvage=False):
        with media_errors(path):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def starved(tick: Callable[[], None]) -> Starved:
    return Starved(tick)
