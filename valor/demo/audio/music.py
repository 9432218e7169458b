"""The sounds of instruments: bowed cello and violin, plucked banjo and guitar, and the reeds of an accordion."""

from collections.abc import Sequence

import numpy as np

from .waves import (
    Span,
    Wave,
    beats,
    control_points,
    harmonics,
    noise,
    noise_spectrum,
    num_samples,
    place,
    pluck,
    to_samples,
    tone,
    vibrato,
    wander,
    wavetable,
    write_shape,
)

SCALE = np.array([0, 2, 4, 5, 7, 9, 11, 12])
"""A major scale in semitones above its root."""


def bowed(seconds: float, rng: np.random.Generator, root: Span, body: list[tuple[float, float, float]]) -> Wave:
    """A bowed string: a sawtooth with vibrato through the resonances of a wooden `body`, with the rasp of the bow."""
    points, base = control_points(seconds), rng.uniform(*root)
    pitch, loudness = np.full(points, base), np.full(points, 0.1)
    slow = rng.uniform(0.25, 1.0)
    for onset, length in beats(seconds, rng, (0.5 * slow, 1.4 * slow), (0.0, 0.05)):
        note = base * 2 ** (rng.choice(SCALE) / 12)
        write_shape(pitch, onset, length + 0.06, (note, note))
        write_shape(loudness, onset, length, (0.15, 0.8, 1, 1, 0.9, 0.3), gain=rng.uniform(0.7, 1))
    pitch *= vibrato(points, rng, rng.uniform(4.5, 6.5), rng.uniform(0.004, 0.014))
    sound = tone(pitch, wavetable(harmonics(base, rng.uniform(0.7, 1.0), body, 40), rng), rng)
    rasp = noise(len(sound), rng, noise_spectrum(base, 6000, 0.5))
    return (sound + rng.uniform(0.02, 0.12) * rasp) * to_samples(loudness)


def cello(seconds: float, rng: np.random.Generator) -> Wave:
    """Long low notes through a large body."""
    return bowed(seconds, rng, (66, 190), [(200, 120, 1), (420, 200, 0.8), (rng.uniform(1000, 1600), 500, 0.3)])


def violin(seconds: float, rng: np.random.Generator) -> Wave:
    """The same bow on a small body: its low notes reach into the cello's high ones."""
    return bowed(seconds, rng, (196, 560), [(480, 200, 0.8), (1000, 400, 0.8), (rng.uniform(2300, 3300), 900, 0.7)])


def banjo(seconds: float, rng: np.random.Generator) -> Wave:
    """Bright, short plucks in a fast roll."""
    root = rng.uniform(180, 330)
    notes = [pluck(root * 2 ** (step / 12), 0.4, rng, brightness=0.9, decay=0.14) for step in (0, 4, 7, 12, 16)]
    pace = rng.uniform(0.1, 0.2)
    onsets = [onset for onset, _ in beats(seconds, rng, (0.9 * pace, 1.1 * pace), (0.0, 0.01))]
    picked = [notes[number] for number in rng.integers(0, len(notes), len(onsets))]
    return place(num_samples(seconds), picked, onsets, list(rng.uniform(0.5, 1, len(onsets))))


def acoustic_guitar(seconds: float, rng: np.random.Generator) -> Wave:
    """Rounder plucks that ring on: fingered notes, and strums across the strings."""
    root, brightness = rng.uniform(85, 190), rng.uniform(0.25, 0.65)
    notes = [
        pluck(root * 2 ** (step / 12), 0.95, rng, brightness=brightness, decay=rng.uniform(0.3, 0.6))
        for step in (0, 7, 12, 16, 19)
    ]
    onsets, picked, strum, pace = [], [], rng.random(), rng.uniform(0.18, 0.42)
    for onset, _ in beats(seconds, rng, (0.9 * pace, 1.1 * pace), (0.0, 0.02)):
        strings: Sequence[int] = range(5) if rng.random() < 0.6 * strum else [int(rng.integers(5))]
        for number, string in enumerate(strings):
            onsets.append(onset + 0.012 * number)
            picked.append(notes[string])
    return place(num_samples(seconds), picked, onsets, list(rng.uniform(0.5, 1, len(onsets))))


def accordion(seconds: float, rng: np.random.Generator) -> Wave:
    """Chords of reeds, two to a note and slightly apart so that they beat, pushed by the bellows."""
    size, points, root = num_samples(seconds), control_points(seconds), rng.uniform(180, 420)
    reed = wavetable(harmonics(root, rng.uniform(0.3, 0.7), [(rng.uniform(900, 2000), 900, 1.0)], 30), rng)
    melody, loudness = np.full(points, root), np.full(points, 0.3)
    for onset, length in beats(seconds, rng, (0.2, 0.7), (0.0, 0.05)):
        note = root * 2 ** (rng.choice(SCALE) / 12)
        write_shape(melody, onset, length + 0.06, (note, note))
        write_shape(loudness, onset, length, (0.3, 1, 1, 1, 0.4))
    detune = 1 + rng.uniform(0.004, 0.012)
    sound = tone(melody, reed, rng) + tone(melody * detune, reed, rng)
    chord = tone(np.full(points, root * rng.choice([0.5, 0.75, 1.25])), reed, rng)
    bellows = 1 + wander(points, rng, 1.5, 0.15)
    return ((sound + rng.uniform(0.3, 0.9) * chord) * to_samples(loudness * bellows))[:size]
