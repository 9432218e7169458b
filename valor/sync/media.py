"""Media -> steps of a twentieth of a second: small grey pictures, twenty a second, and spectra, a hundred a second."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from valor.label_harvest.media.clip import Grid, all_equal, silence
from valor.label_harvest.media.streams import MediaReader
from valor.label_harvest.media.stretches import common_stretches, sounds_of
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.teachers.mel import HOP_SAMPLES, log_mel
from valor.parsers.sync import SPECTRA_A_STEP

from .options import LEAST_SECONDS, STEP

HEIGHT, WIDTH = 24, 32
"""Of the pictures; their shape is of no account."""
BANDS = 32
"""Of a spectrum: pairs of those of a teacher's."""
_GRID = Grid()
_STEP_SAMPLES = SPECTRA_A_STEP * HOP_SAMPLES  # at 48 kHz, a twentieth of a second
_BLOCK_STEPS = 600  # whose spectra are made at once


@dataclass(frozen=True, eq=False)
class Steps:
    """What is compared of media."""

    pictures: npt.NDArray[np.uint8]
    """[T, 24, 32], grey."""
    spectra: npt.NDArray[np.float16]
    """[5 T, 32], in dB."""
    start: float
    """Seconds from the start of the clock."""
    nothing: str = ""
    """Why there is nothing to compare, in words."""

    def __len__(self) -> int:
        """T."""
        return len(self.pictures)

    @property
    def seconds(self) -> float:
        """How much of the media this is."""
        return len(self) * STEP


def read_steps(path: Path, reader: MediaReader, *, seconds: float, pieces: int = 1) -> list[Steps]:
    """Read stretches of media in which there are sound and picture.

    Args:
        path: A media file.
        reader: Who decodes it.
        seconds: Length of a stretch; shorter media are one of their length.
        pieces: Stretches at most, evenly spread; one lies where both streams have begun.

    Raises:
        MediaError: The file is missing or cannot be read, lacks sound or picture, or is too short.
    """
    starts, pictures, sounds = read_streams(path, reader, seconds=seconds, pieces=pieces)
    return [steps_of(seen, wave, start) for start, seen, wave in zip(starts, pictures, sounds, strict=True)]


def read_streams(
    path: Path, reader: MediaReader, *, seconds: float, pieces: int = 1
) -> tuple[list[float], list[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]]]:
    """Starts, small grey pictures uint8 [T, 24, 32] and sound float32 [S] at 48 kHz of stretches, as `read_steps`."""
    survey = reader.survey(path)
    starts, count = common_stretches(survey, step=STEP, seconds=seconds, least=LEAST_SECONDS, most=pieces)
    pictures = _pictures(survey, reader, starts, count)
    return starts.tolist(), pictures, sounds_of(survey, reader, starts, count * _STEP_SAMPLES, _GRID.sample_rate)


def steps_of(pictures: npt.NDArray[np.uint8], wave: npt.NDArray[np.float32], start: float = 0.0) -> Steps:
    """What is compared of pictures and sound that begin at once; the sound is a whole number of steps long."""
    return Steps(pictures, _spectra(wave), start, _nothing(pictures, wave))


def _pictures(
    survey: MediaSurvey, reader: MediaReader, starts: npt.NDArray[np.float64], count: int
) -> list[npt.NDArray[np.uint8]]:
    """Of each stretch, uint8 [T, 24, 32]; where the video breaks off, its last picture stays."""
    within = (np.arange(count) + 0.5) * STEP
    cutoffs = (starts[:, None] + within).ravel()
    found = np.zeros((len(cutoffs), HEIGHT, WIDTH), np.uint8)
    source, small = None, np.zeros((HEIGHT, WIDTH), np.uint8)
    for place, image in enumerate(reader.frames(survey, cutoffs, _GRID)):
        if image is not source:
            grey = Image.fromarray(image).convert("L")
            source, small = image, np.asarray(grey.resize((WIDTH, HEIGHT), Image.Resampling.BOX))
        found[place] = small
    return np.split(found, len(starts))


def _spectra(wave: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Spectra of a wave that is a whole number of steps long, float16 [5 T, 32] in dB."""
    steps, found = len(wave) // _STEP_SAMPLES, []
    for start in range(0, steps, _BLOCK_STEPS):
        stop = min(start + _BLOCK_STEPS, steps)
        low, high = max(0, start - 1), min(steps, stop + 1)  # a step more on either side: windows reach over the ends
        mel = log_mel(torch.from_numpy(wave[low * _STEP_SAMPLES : high * _STEP_SAMPLES]))[:-1]
        kept = mel[(start - low) * SPECTRA_A_STEP :][: (stop - start) * SPECTRA_A_STEP]
        found.append(kept.reshape(len(kept), BANDS, -1).mean(dim=2).half().numpy())
    return np.concatenate(found)


def _nothing(pictures: npt.NDArray[np.uint8], wave: npt.NDArray[np.float32]) -> str:
    if silence(float(np.abs(wave).max(initial=0.0))):
        return "its sound is silent"
    return "its picture stands still" if all_equal(pictures, pictures[0]) else ""
