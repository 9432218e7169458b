"""Pictures and sounds of nothing: patches of colour, and tones in noise, drawn at random and always the same.

What a teacher says of them is a first guess of where its cosines lie, before much of anybody's media was seen.
"""

import math

import numpy as np

from .media.clip import ClipMedia, Grid

DRAWN = "drawn-1"
"""What all of it is called where it is kept; another number for other drawings."""
CLIPS = 3
"""Of ten, single ones lie half a spread apart."""
SEED = 2028
HEIGHT, WIDTH = 96, 128
"""Of a picture, in pixels."""
PATCHES = 16
"""In a picture."""


def drawn_clips(segment_seconds: float, sample_rate: int) -> list[ClipMedia]:
    """Clips of about ten seconds each: a sound in every second, and a picture in every segment.

    Args:
        segment_seconds: Length of a segment.
        sample_rate: Samples per second of their sound.
    """
    count = max(1, round(Grid().seconds / segment_seconds))
    grid = Grid(num_segments=count, segment_seconds=segment_seconds, sample_rate=sample_rate)
    clips = []
    for number in range(CLIPS):
        looks, sounds = (np.random.default_rng([SEED, number, stream]) for stream in range(2))
        frames = np.stack([picture(looks) for _ in range(count)])
        heard = np.concatenate([sound(sounds, sample_rate) for _ in range(math.ceil(grid.seconds))])
        clips.append(ClipMedia(grid=grid, frames=frames, waveform=heard[: grid.num_samples].astype(np.float32)))
    return clips


def picture(rng: np.random.Generator) -> np.ndarray:
    """Ellipses, diamonds and boxes of any colour over a ground that changes slowly, uint8 [H, W, 3]."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / HEIGHT
    corners = rng.uniform(0, 180, (2, 2, 3))
    across, down = (x * HEIGHT / WIDTH)[..., None], y[..., None]
    image = (corners[0, 0] * (1 - across) + corners[0, 1] * across) * (1 - down)
    image += (corners[1, 0] * (1 - across) + corners[1, 1] * across) * down
    for _ in range(PATCHES):
        centre = rng.uniform(0, (1, WIDTH / HEIGHT))
        radii, turn = rng.uniform(0.05, 0.35, 2), rng.uniform(0, np.pi)
        power = rng.choice([1, 2, 8])  # diamond, ellipse, box
        along = (x - centre[1]) * np.cos(turn) + (y - centre[0]) * np.sin(turn)
        aside = -(x - centre[1]) * np.sin(turn) + (y - centre[0]) * np.cos(turn)
        inside = np.abs(along / radii[0]) ** power + np.abs(aside / radii[1]) ** power < 1
        image = np.where(inside[..., None], rng.uniform(0, 255, 3), image)
    return np.asarray(image.clip(0, 255), np.uint8)


def sound(rng: np.random.Generator, rate: int) -> np.ndarray:
    """A second of gliding tones with overtones, in noise that comes and goes: float [rate] in -1..1."""
    time = np.arange(rate) / rate
    tones = np.zeros(rate)
    for _ in range(rng.integers(1, 4)):
        pitch, depth, trill = 10 ** rng.uniform(1.8, 3.3), rng.uniform(0, 0.3), rng.uniform(0.5, 12)
        glide = (1 + depth * np.sin(2 * np.pi * trill * time + rng.uniform(0, 6))) * (1 + rng.uniform(-0.5, 0.5) * time)
        phase = 2 * np.pi * np.cumsum(pitch * glide) / rate
        overtones, fall = rng.integers(1, 8), rng.uniform(0.3, 2)
        tone = sum(np.sin(number * phase) / number**fall for number in range(1, overtones + 1))
        tones += tone * _swell(rng, time) * rng.uniform(0.1, 1)
    spectrum = np.fft.rfft(rng.standard_normal(rate))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)), 20) ** rng.uniform(0, 1), rate)
    noise = noise / np.abs(noise).max() * _swell(rng, time) * 10 ** rng.uniform(-2, -0.4)
    loud = tones / max(np.abs(tones).max(), 1e-9) * 10 ** rng.uniform(-1.5, -0.2)
    mixed: np.ndarray = (loud + noise).clip(-1, 1)
    return mixed


def _swell(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    swell = np.sin(2 * np.pi * rng.uniform(0.5, 10) * time + rng.uniform(0, 6)) + rng.uniform(-0.5, 1)
    return np.asarray(swell.clip(0, 1))
