"""The sounds that come out of a throat: speech, singing, babies, a crowd, a dog, a cat and a rooster."""

import numpy as np

from .waves import (
    Wave,
    beats,
    control_points,
    harmonics,
    morph,
    noise,
    noise_spectrum,
    num_samples,
    to_samples,
    vibrato,
    wander,
    wavetable,
    write_shape,
)

VOWELS = ((280, 2250, 2900), (420, 1950, 2600), (730, 1150, 2450), (520, 880, 2400), (310, 780, 2250))
"""First three formants in Hz of an adult's i, e, a, o, u: neighbours glide into each other."""
CLOSED_TO_OPEN = ((250, 900, 2300), (650, 1500, 2700), (900, 1900, 3200))
"""Formants of an animal's mouth as it opens."""


def throat(pitch: float, vowels: tuple[tuple[float, ...], ...], size: float, tilt: float) -> Wave:
    """Wavetables [V, TABLE_SIZE] of a voice at `pitch` Hz; `size` scales the formants (a child's are higher)."""
    most = max(8, int(7500 / pitch))
    tables = []
    for vowel in vowels:
        formants = [
            (hertz * size, 60 + 0.07 * hertz * size, gain) for hertz, gain in zip(vowel, (1, 0.6, 0.3), strict=True)
        ]
        tables.append(harmonics(pitch, tilt, formants, most))
    return wavetable(np.stack(tables))


def breath(size: int, rng: np.random.Generator, centre: float) -> Wave:
    """Breath noise f32 [size] around `centre` Hz."""
    return noise(size, rng, noise_spectrum(0.4 * centre, 2.2 * centre, 0.3))


def speech(seconds: float, rng: np.random.Generator) -> Wave:
    """Syllables of a random voice: glottal pulses through gliding formants, hisses between them, short pauses."""
    points, base = control_points(seconds), rng.choice([rng.uniform(90, 150), rng.uniform(165, 260)])
    loudness, hiss = np.zeros(points), np.zeros(points)
    mouth = 2 + wander(points, rng, rng.uniform(3, 5), 1.4)
    pitch = base * (1 + wander(points, rng, 2.5, 0.09))
    pace = rng.uniform(0.75, 1.25)
    for onset, length in beats(seconds, rng, (0.11 * pace, 0.26 * pace), (0.01, 0.09)):
        if rng.random() < 0.08:
            continue
        write_shape(loudness, onset, length, (0, 0.9, 1, 0.7, 0), gain=rng.uniform(0.5, 1.1))
        if rng.random() < 0.45:
            write_shape(
                hiss, onset - min(onset, 0.05), rng.uniform(0.04, 0.1), (0, 1, 0.8, 0), gain=rng.uniform(0.1, 0.5)
            )
    tables = throat(base, VOWELS, 1 + 0.2 * (base > 160) * rng.random(), rng.uniform(0.6, 1.0))
    voiced = morph(pitch, mouth, tables, rng) * to_samples(loudness)
    return voiced + breath(len(voiced), rng, 5000) * to_samples(hiss)


def singing(seconds: float, rng: np.random.Generator) -> Wave:
    """A melody on sustained vowels: stepped pitch with vibrato, the mouth moving slowly."""
    points, base = control_points(seconds), rng.uniform(140, 420)
    steps = np.array([0, 2, 4, 5, 7, 9, 12]) - 5
    pitch, loudness = np.full(points, base), np.full(points, 0.15)
    for onset, length in beats(seconds, rng, (0.3, 1.1), (0.0, 0.06)):
        note = base * 2 ** (rng.choice(steps) / 12)
        write_shape(pitch, onset, length + 0.08, (note * rng.uniform(0.94, 1), note, note, note, note))
        write_shape(loudness, onset, length, (0.2, 0.9, 1, 1, 0.8, 0.2), gain=rng.uniform(0.7, 1))
    pitch *= vibrato(points, rng, rng.uniform(4.8, 6.5), rng.uniform(0.012, 0.035))
    mouth = 2 + wander(points, rng, 1.2, 1.2)
    tables = throat(base, VOWELS, rng.uniform(1, 1.2), rng.uniform(0.5, 0.9))
    return morph(pitch, mouth, tables, rng) * to_samples(loudness)


def baby_laughter(seconds: float, rng: np.random.Generator) -> Wave:
    """Runs of short, breathy, falling "ha" at four to six a second."""
    points, base = control_points(seconds), rng.uniform(290, 520)
    pitch, loudness, air = np.full(points, base), np.zeros(points), np.zeros(points)
    rise = 1 + wander(points, rng, 1.0, 0.12)
    for onset, length in beats(seconds, rng, (0.09, 0.16), (0.05, 0.11)):
        if rng.random() < 0.1:
            continue
        write_shape(pitch, onset, length, (base * 1.1, base * 1.18, base * 0.9))
        write_shape(loudness, onset + 0.03, length, (0, 1, 0.8, 0), gain=rng.uniform(0.5, 1))
        write_shape(air, onset, length * 0.7, (0, 1, 0.3), gain=rng.uniform(0.15, 0.5))
    tables = throat(base, VOWELS[1:4], rng.uniform(1.25, 1.5), rng.uniform(0.5, 0.9))
    voiced = morph(pitch * rise, 1 + wander(points, rng, 2, 0.4), tables, rng) * to_samples(loudness)
    return voiced + breath(len(voiced), rng, 2600) * to_samples(air)


def baby_cry(seconds: float, rng: np.random.Generator) -> Wave:
    """Long wails whose pitch arches and breaks, a gasp between them."""
    points, base = control_points(seconds), rng.uniform(350, 560)
    pitch, loudness, gasp = np.full(points, base), np.zeros(points), np.zeros(points)
    for onset, length in beats(seconds, rng, (0.55, 1.1), (0.12, 0.3)):
        write_shape(pitch, onset, length, base * rng.uniform(0.92, 1.1) * np.array([0.8, 1.05, 1.12, 1.08, 0.75]))
        write_shape(loudness, onset, length, (0, 0.9, 1, 1, 0.9, 0), gain=rng.uniform(0.7, 1))
        write_shape(gasp, onset + length, 0.13, (0, 1, 0), gain=rng.uniform(0.05, 0.25))
    pitch *= vibrato(points, rng, rng.uniform(7, 11), rng.uniform(0.005, 0.025)) * (1 + wander(points, rng, 40, 0.008))
    tables = throat(base, VOWELS[1:4], rng.uniform(1.3, 1.55), rng.uniform(0.1, 0.5))
    voiced = morph(pitch, 1 + wander(points, rng, 1.5, 0.3), tables, rng) * to_samples(loudness)
    return voiced + breath(len(voiced), rng, 3200) * to_samples(gasp)


def cheering(seconds: float, rng: np.random.Generator) -> Wave:
    """A crowd: a roar of many voices, a few of them rising above it, some clapping and whistling."""
    size, points = num_samples(seconds), control_points(seconds)
    peaks = [(rng.uniform(500, 1300), 350, 1.5), (rng.uniform(1500, 2700), 500, 0.8)]
    roar = noise(size, rng, noise_spectrum(250, rng.uniform(3000, 6000), 0.6, peaks))
    roar *= to_samples(1 + 0.35 * np.clip(wander(points, rng, 3, 1), -2, 2))[:size]
    base, loudness = rng.uniform(330, 700), np.zeros(points)
    for onset, length in beats(seconds, rng, (0.3, 0.8), (0.05, 0.4)):
        write_shape(loudness, onset, length, (0, 1, 1, 0), gain=rng.uniform(0.2, 0.7))
    pitch = base * (1 + wander(points, rng, 3, 0.15))
    tables = throat(base, VOWELS[2:], 1.1, 0.5)
    return roar + (morph(pitch, 1 + wander(points, rng, 2, 1), tables, rng) * to_samples(loudness))[:size]


def dog(seconds: float, rng: np.random.Generator) -> Wave:
    """Barks: rough, wide-mouthed pulses whose pitch jumps up and falls, one to four a second."""
    points, base = control_points(seconds), rng.uniform(190, 560)
    pitch, loudness, mouth = np.full(points, base), np.zeros(points), np.zeros(points)
    longest = rng.uniform(0.2, 0.6)
    for onset, length in beats(seconds, rng, (0.1, 0.22), (0.08, longest)):
        write_shape(pitch, onset, length, base * rng.uniform(0.9, 1.1) * np.array([0.8, 1.25, 1.1, 0.6]))
        write_shape(loudness, onset, length, (0, 1, 0.8, 0.3, 0), gain=rng.uniform(0.6, 1))
        write_shape(mouth, onset, length, (0, 2, 1.6, 0.5))
    pitch *= 1 + wander(points, rng, 120, 0.06)
    tables = throat(base, CLOSED_TO_OPEN, rng.uniform(0.75, 1.2), rng.uniform(0.2, 0.6))
    level = to_samples(loudness)
    voiced = morph(pitch, mouth, tables, rng)
    return (voiced + rng.uniform(0.2, 0.7) * breath(len(voiced), rng, 1500)) * level


def cat(seconds: float, rng: np.random.Generator) -> Wave:
    """Meows: the pitch arches while the mouth opens and closes."""
    points, base = control_points(seconds), rng.uniform(430, 800)
    pitch, loudness, mouth = np.full(points, base), np.zeros(points), np.zeros(points)
    for onset, length in beats(seconds, rng, (0.4, 0.9), (0.08, 0.35)):
        write_shape(pitch, onset, length, base * rng.uniform(0.9, 1.1) * np.array([0.85, 1.1, 1.12, 0.95, 0.75]))
        write_shape(loudness, onset, length, (0, 0.6, 1, 0.9, 0.5, 0), gain=rng.uniform(0.7, 1))
        write_shape(mouth, onset, length, (0, 1.2, 2, 1.5, 0.6, 0))
    pitch *= vibrato(points, rng, rng.uniform(8, 14), 0.01)
    tables = throat(base, CLOSED_TO_OPEN, rng.uniform(0.95, 1.25), rng.uniform(0.4, 0.8))
    return morph(pitch, mouth, tables, rng) * to_samples(loudness)


def rooster(seconds: float, rng: np.random.Generator) -> Wave:
    """Crows of four syllables, the third the highest and the last drawn out and falling."""
    points, base = control_points(seconds), rng.uniform(480, 760)
    pitch, loudness = np.full(points, base), np.zeros(points)
    for onset, length in beats(seconds, rng, (1.0, 1.6), (0.1, 0.35)):
        steps = np.array([0.8, 1.0, 0.95, 1.05, 1.35, 1.5, 1.45, 1.3, 1.2, 1.1, 0.9, 0.7])
        write_shape(pitch, onset, length, base * rng.uniform(0.93, 1.07) * steps)
        write_shape(loudness, onset, length, (0, 1, 0.1, 0.9, 0.2, 1, 1, 1, 0.9, 0.8, 0.6, 0))
    pitch *= 1 + wander(points, rng, 60, 0.02)
    tables = throat(base, CLOSED_TO_OPEN, rng.uniform(1.0, 1.35), rng.uniform(0.0, 0.4))
    return morph(pitch, np.full(points, 1.6) + wander(points, rng, 2, 0.4), tables, rng) * to_samples(loudness)
