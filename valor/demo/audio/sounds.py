"""What each of the 25 classes sounds like, the noise behind it, and how events are mixed to a clip's track."""

from collections.abc import Callable, Sequence

import numpy as np

from valor.label_harvest.did_you_mean import did_you_mean

from . import machines, music, voices
from .waves import (
    SAMPLE_RATE,
    Wave,
    beats,
    control_points,
    noise,
    noise_spectrum,
    num_samples,
    place,
    ring,
    to_samples,
    wander,
)

__all__ = ["SAMPLE_RATE", "SOUNDS", "background", "mix", "sample_sound", "synthesise"]

SOUNDS: dict[str, Callable[[float, np.random.Generator], Wave]] = {
    "Speech": voices.speech,
    "Car": machines.car,
    "Cheering": voices.cheering,
    "Dog": voices.dog,
    "Cat": voices.cat,
    "Frying_(food)": machines.frying,
    "Basketball_bounce": machines.basketball,
    "Fire_alarm": machines.fire_alarm,
    "Chainsaw": machines.chainsaw,
    "Cello": music.cello,
    "Banjo": music.banjo,
    "Singing": voices.singing,
    "Chicken_rooster": voices.rooster,
    "Violin_fiddle": music.violin,
    "Vacuum_cleaner": machines.vacuum_cleaner,
    "Baby_laughter": voices.baby_laughter,
    "Accordion": music.accordion,
    "Lawn_mower": machines.lawn_mower,
    "Motorcycle": machines.motorcycle,
    "Helicopter": machines.helicopter,
    "Acoustic_guitar": music.acoustic_guitar,
    "Telephone_bell_ringing": machines.telephone_bell,
    "Baby_cry_infant_cry": voices.baby_cry,
    "Blender": machines.blender,
    "Clapping": machines.clapping,
}
"""The sound of each class of LLP: seconds and a generator in, f32 [S] out, at no particular level."""

EVENT_LEVEL = (0.004, 0.08)
"""RMS of an event's sound, drawn evenly in decibels: from below the background to close by."""
NOISE_LEVEL = (0.006, 0.04)
"""RMS of the background, drawn evenly in decibels."""
FADE_SECONDS = 0.03
"""An event swells in and dies away over this long."""


def synthesise(class_name: str, seconds: float, rng: np.random.Generator) -> Wave:
    """Make the sound of one event that goes on for its whole duration.

    Sounds that come in strokes (barks, bounces, beeps) strike at least about once in every second.

    Args:
        class_name: One of the 25 classes of LLP.
        seconds: Duration, more than 0.
        rng: Everything that varies (pitch, pace, timbre, room, level) is drawn from it.

    Returns:
        f32 [S] at SAMPLE_RATE, mono; its RMS lies in EVENT_LEVEL.

    Raises:
        ValueError: The class has no sound, or `seconds` is not positive.
    """
    if class_name not in SOUNDS:
        raise ValueError(
            f"class_name must be one of {', '.join(SOUNDS)}, got {class_name!r}{did_you_mean(class_name, SOUNDS)}"
        )
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}")
    size = num_samples(seconds)
    sound = add_room(SOUNDS[class_name](seconds, rng)[:size], rng)
    distance = wander(control_points(seconds), rng, 0.6, rng.uniform(0, 0.6))
    sound *= to_samples(np.exp(np.clip(distance, -1.2, 1.2)))[:size]
    level = draw_level(EVENT_LEVEL, rng)
    return sound * np.float32(level / np.sqrt(np.mean(sound**2) + 1e-12))


def draw_level(levels: tuple[float, float], rng: np.random.Generator) -> float:
    """Draw a level between two RMS values, evenly in decibels."""
    return float(np.exp(rng.uniform(*np.log(levels))))


def add_room(sound: Wave, rng: np.random.Generator) -> Wave:
    """Add three early echoes to f32 [S], and colour it darker or brighter."""
    out = sound.copy()
    wet = rng.uniform(0, 0.5)
    for gain in wet * np.array([0.7, -0.5, 0.35]):
        delay = int(rng.uniform(0.004, 0.08) * SAMPLE_RATE)
        if delay < len(sound):
            out[delay:] += np.float32(gain) * sound[:-delay]
    out[1:] += np.float32(rng.uniform(-0.5, 0.6)) * out[:-1].copy()
    return out


def background(seconds: float, rng: np.random.Generator) -> Wave:
    """The noise of a place: wind, traffic or a room, some mains hum, and a microphone's hiss.

    Args:
        seconds: Duration.
        rng: Draws colour, level and movement.

    Returns:
        f32 [S] at SAMPLE_RATE, RMS near NOISE_LEVEL.
    """
    size = num_samples(seconds)
    peaks = [(draw_level((80, 4000), rng), draw_level((50, 800), rng), rng.uniform(0, 1.5))]
    place_noise = noise(size, rng, noise_spectrum(40, draw_level((1500, 14000), rng), rng.uniform(0.2, 1.1), peaks))
    place_noise *= to_samples(np.clip(1 + wander(control_points(seconds), rng, 1.5, 0.25), 0.3, 2))[:size]
    if rng.random() < 0.3:
        time = np.arange(size, dtype=np.float32) / SAMPLE_RATE
        hum = np.float32(2 * np.pi * rng.choice([50, 60, 100, 120]))
        place_noise += np.float32(rng.uniform(0.1, 0.6)) * np.sin(hum * time)
    if rng.random() < 0.5:
        place_noise += rng.uniform(0.3, 1.2) * bustle(seconds, rng)
    return place_noise * np.float32(draw_level(NOISE_LEVEL, rng))


def bustle(seconds: float, rng: np.random.Generator) -> Wave:
    """What goes on in a place without being any class: a far murmur that comes and goes, knocks and clinks, f32 [S]."""
    size, points = num_samples(seconds), control_points(seconds)
    murmur = noise(size, rng, noise_spectrum(200, 1200, 0.3, [(rng.uniform(300, 700), 150, 2)]))
    murmur *= to_samples(np.clip(wander(points, rng, 5, 0.7), 0, 2))[:size]
    partials = [(draw_level((150, 5000), rng), rng.uniform(0.3, 1), rng.uniform(0.01, 0.1)) for _ in range(4)]
    knocks = [onset for onset, _ in beats(seconds, rng, (0.1, 0.3), (0.3, 3.0))]
    struck = place(size, [ring(0.3, partials, rng)] * len(knocks), knocks, list(rng.uniform(0.5, 4, len(knocks))))
    share: int = rng.choice([0, 1])
    return murmur + share * struck


def mix(events: Sequence[tuple[str, float, float]], seconds: float, rng: np.random.Generator) -> Wave:
    """Mix a clip's track: the background, and each event's sound from its onset to its offset.

    Args:
        events: (class name, onset, offset) in seconds; the same class may come more than once.
        seconds: Duration of the clip; what passes its end is cut.
        rng: Draws every sound.

    Returns:
        f32 [S] at SAMPLE_RATE, within (-1, 1).

    Raises:
        ValueError: An event ends before it starts or starts outside the clip.
    """
    track = background(seconds, rng)
    for class_name, onset, offset in events:
        if not 0 <= onset < min(offset, seconds):
            raise ValueError(
                f"an event must start within the clip of {seconds} s and end after it starts, "
                f"got {class_name} from {onset} to {offset} s"
            )
        sound = fade(synthesise(class_name, offset - onset, rng))
        start = num_samples(onset)
        stop = min(len(track), start + len(sound))
        track[start:stop] += sound[: stop - start]
    return np.tanh(track)


def fade(sound: Wave) -> Wave:
    """Fade f32 [S] in and out over FADE_SECONDS."""
    length = min(num_samples(FADE_SECONDS), len(sound) // 2)
    ramp = np.linspace(0, 1, length, dtype=np.float32)
    sound[:length] *= ramp
    sound[len(sound) - length :] *= ramp[::-1]
    return sound


def sample_sound(class_names: Sequence[str], rng: np.random.Generator, seconds: float = 1.0) -> Wave:
    """Draw one excerpt in which every given class sounds throughout, from anywhere within longer events.

    Args:
        class_names: Classes to hear; none gives the background alone.
        rng: Draws every sound.
        seconds: Length of the excerpt.

    Returns:
        f32 [S] at SAMPLE_RATE, within (-1, 1).
    """
    excerpt = background(seconds, rng)
    for class_name in class_names:
        before = rng.choice([0.0, rng.uniform(0, 2)])
        sound = synthesise(class_name, seconds + before, rng)
        excerpt += sound[len(sound) - len(excerpt) :]
    return np.tanh(excerpt)
