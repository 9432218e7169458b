"""Building blocks of synthetic sound: control curves, wavetables, noise loops, plucked strings and placed grains.

Curves that move slowly (pitch, loudness, vowel) live at the control rate of 500 Hz and are drawn linearly between
their points; whatever repeats (tables, noise) is made once and read many times. Ten seconds then cost about 10 ms.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 32000
"""Samples per second of every sound of the demo world."""
CONTROL_STEP = 64
"""Samples between two points of a control curve."""
CONTROL_RATE = SAMPLE_RATE / CONTROL_STEP
"""Points per second of a control curve."""
TABLE_SIZE = 4096
"""Samples of one period in a wavetable."""
LOOP_SIZE = 65536
"""Samples of a noise loop: 2.048 s, long enough that nobody hears it repeat."""

Wave = npt.NDArray[np.floating[Any]]
"""Samples of sound, points of a control curve or a spectrum."""

Index = npt.NDArray[np.int64]
"""Places in a wavetable or a loop."""

Span = tuple[float, float]
"""A range to draw from, (lowest, highest)."""


def num_samples(seconds: float) -> int:
    """Samples in `seconds`."""
    return round(seconds * SAMPLE_RATE)


def control_points(seconds: float) -> int:
    """Points K of a control curve that spans `seconds`, both ends included."""
    return -(-num_samples(seconds) // CONTROL_STEP) + 1


def to_samples(control: Wave) -> Wave:
    """Draw a control curve [K] linearly between its points: f32 [(K - 1) * CONTROL_STEP]."""
    control = control.astype(np.float32)
    ramp = np.arange(CONTROL_STEP, dtype=np.float32) / CONTROL_STEP
    return (control[:-1, None] + np.diff(control)[:, None] * ramp).ravel()


def wander(points: int, rng: np.random.Generator, rate: float, depth: float) -> Wave:
    """A smooth random curve [points] around 0 with standard deviation about `depth`, turning `rate` times a second."""
    length = points / CONTROL_RATE
    knots = rng.standard_normal(max(2, int(length * rate) + 2)) * depth
    return np.interp(np.linspace(0, len(knots) - 1, points), np.arange(len(knots)), knots)


def vibrato(points: int, rng: np.random.Generator, rate: float, depth: float) -> Wave:
    """A sinusoidal factor [points] around 1, `rate` in Hz, `depth` as a fraction, phase at random."""
    time = np.arange(points) / CONTROL_RATE
    return 1 + depth * np.sin(2 * np.pi * (rate * time + rng.random()))


def beats(seconds: float, rng: np.random.Generator, length: Span, gap: Span) -> list[tuple[float, float]]:
    """Draw (onset, length) in seconds of repeated sounds until `seconds`; the first starts within one gap."""
    drawn, now = [], rng.uniform(0, gap[1])
    while now < seconds:
        drawn.append((now, rng.uniform(*length)))
        now += drawn[-1][1] + rng.uniform(*gap)
    return drawn or [(0.0, seconds)]


def write_shape(
    control: Wave, onset: float, length: float, shape: Sequence[float] | Wave, *, gain: float = 1.0
) -> None:
    """Write `shape`, stretched over `length` seconds from `onset`, into a control curve in place."""
    start, stop = int(onset * CONTROL_RATE), int((onset + length) * CONTROL_RATE) + 1
    steps = np.linspace(0, len(shape) - 1, max(2, stop - start))
    stretched = gain * np.interp(steps, np.arange(len(shape)), shape)
    room = max(0, min(len(control) - start, len(stretched)))
    control[start : start + room] = stretched[:room]


def wavetable(amplitudes: Wave, rng: np.random.Generator | None = None) -> Wave:
    """One period of a tone from its harmonic `amplitudes` [..., H]: f32 [..., TABLE_SIZE].

    Phases are zero (a pulse, as from vocal folds) or, where `rng` is given, random (a smoother wave).
    """
    amplitudes = np.asarray(amplitudes)
    spectrum = np.zeros((*amplitudes.shape[:-1], TABLE_SIZE // 2 + 1), np.complex64)
    phases = 0 if rng is None else rng.uniform(0, 2 * np.pi, amplitudes.shape[-1])
    spectrum[..., 1 : amplitudes.shape[-1] + 1] = amplitudes * np.exp(1j * phases)
    table = np.fft.irfft(spectrum, TABLE_SIZE, axis=-1).astype(np.float32)
    power: Wave = np.mean(table**2, axis=-1, keepdims=True)
    even: Wave = table / np.sqrt(power + 1e-20)
    return even


def harmonics(pitch: float, tilt: float, formants: Sequence[Sequence[float]] = (), most: int = 80) -> Wave:
    """Harmonic amplitudes [H] of a tone: falling as number**-tilt, lifted by formants (Hz, bandwidth, gain)."""
    number = np.arange(1, max(2, min(most, int(0.42 * SAMPLE_RATE / pitch))) + 1)
    lift: Wave = np.full(len(number), 1.0 if not formants else 0.03)
    for centre, bandwidth, gain in formants:
        lift += gain / (1 + ((number * pitch - centre) / bandwidth) ** 2)
    amplitudes: Wave = number**-tilt * lift
    return amplitudes


def table_index(pitch: Wave, rng: np.random.Generator) -> Index:
    """Index into a wavetable, int64 [S], of a tone whose pitch follows the control curve `pitch` in Hz."""
    phase = np.cumsum(to_samples(pitch), dtype=np.float64)
    phase *= TABLE_SIZE / SAMPLE_RATE
    phase += rng.uniform(0, TABLE_SIZE)
    return phase.astype(np.int64) & (TABLE_SIZE - 1)


def tone(pitch: Wave, table: Wave, rng: np.random.Generator) -> Wave:
    """A tone f32 [S] that reads `table` [TABLE_SIZE] along the control curve `pitch` in Hz."""
    sound: Wave = table[table_index(pitch, rng)]
    return sound


def morph(pitch: Wave, position: Wave, tables: Wave, rng: np.random.Generator) -> Wave:
    """A tone f32 [S] that glides between neighbouring `tables` [V, TABLE_SIZE] along `position` in [0, V - 1]."""
    index = table_index(pitch, rng)
    position = np.clip(position, 0, len(tables) - 1.001)
    row = np.floor(position).astype(np.int64)
    index += np.repeat(row[:-1] * TABLE_SIZE, CONTROL_STEP)
    blend = np.repeat((position - row)[:-1].astype(np.float32), CONTROL_STEP)
    flat = tables.ravel()
    low: Wave = flat[index]
    high: Wave = flat[index + TABLE_SIZE]
    return low + blend * (high - low)


def noise_spectrum(low: float, high: float, tilt: float, peaks: Sequence[Sequence[float]] = ()) -> Wave:
    """Magnitudes [LOOP_SIZE / 2 + 1] of noise from `low` to `high` Hz: Hz**-tilt, and peaks (Hz, width, gain)."""
    hertz = np.arange(LOOP_SIZE // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE / LOOP_SIZE)
    hertz[0] = 0.1
    magnitude = 1 / ((1 + (low / hertz) ** 4) * (1 + (hertz / high) ** 4))
    if tilt:
        magnitude *= (hertz / 1000) ** np.float32(-tilt)
    for centre, width, gain in peaks:
        magnitude += gain / (1 + ((hertz - centre) / width) ** 2)
    return magnitude


def noise(size: int, rng: np.random.Generator, spectrum: Wave) -> Wave:
    """Noise f32 [size] of `spectrum`, a seamless loop read from a random place, RMS 1."""
    bins = rng.standard_normal(2 * len(spectrum), dtype=np.float32).view(np.complex64) * spectrum
    return read_loop(np.fft.irfft(bins, LOOP_SIZE).astype(np.float32), size, rng)


def read_loop(loop: Wave, size: int, rng: np.random.Generator) -> Wave:
    """Read `size` samples of a seamless `loop` from a random place, scaled to RMS 1."""
    loop = np.roll(loop, rng.integers(len(loop))) / np.sqrt(np.mean(loop**2) + 1e-20)
    return np.resize(loop, size)


def impulses(rng: np.random.Generator, gains: Wave, places: Wave | Index, kernel: Wave) -> Wave:
    """A seamless loop f32 [LOOP_SIZE] with `kernel` placed at `places` (samples, wrapped) times `gains`."""
    loop = np.zeros(LOOP_SIZE, np.float32)
    np.add.at(loop, places.astype(np.int64) % LOOP_SIZE, gains.astype(np.float32))
    return np.fft.irfft(np.fft.rfft(loop) * np.fft.rfft(kernel, LOOP_SIZE), LOOP_SIZE).astype(np.float32)


def burst(seconds: float, decay: float, rng: np.random.Generator, smooth: int = 1) -> Wave:
    """A noise burst f32 that decays with time constant `decay`; `smooth` > 1 dulls it by a moving average."""
    time = np.arange(num_samples(seconds), dtype=np.float32) / SAMPLE_RATE
    grain = rng.standard_normal(len(time), dtype=np.float32)
    if smooth > 1:
        grain = np.convolve(grain, np.full(smooth, smooth**-0.5, np.float32), mode="same")
    return grain * np.exp(-time / decay)


def ring(seconds: float, partials: Sequence[Sequence[float]], rng: np.random.Generator) -> Wave:
    """Decaying sinusoids f32: `partials` are (Hz, gain, decay seconds), struck together."""
    time = np.arange(num_samples(seconds), dtype=np.float32) / SAMPLE_RATE
    grain = np.zeros_like(time)
    for hertz, gain, decay in partials:
        turn = np.float32(rng.uniform(0, 2 * np.pi))
        grain += gain * np.exp(-time / decay) * np.sin(np.float32(2 * np.pi * hertz) * time + turn)
    return grain


def pluck(pitch: float, seconds: float, rng: np.random.Generator, *, brightness: float, decay: float) -> Wave:
    """A plucked string f32 [S]: the Karplus-Strong loop in closed form, as one product in the frequency domain.

    Args:
        pitch: Hz.
        seconds: Length; the tail is faded out.
        rng: Draws the noise burst that excites the string.
        brightness: Cut-off of the loop's low pass, in (0, 1]; low is nylon, high is a banjo's steel.
        decay: Seconds until the fundamental has fallen to 1 / e.

    Returns:
        The note, RMS 1.
    """
    size = 1 << (num_samples(seconds) - 1).bit_length()
    delay = SAMPLE_RATE / pitch
    bins = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(2 * np.pi / size)
    loss = np.exp(-delay / (decay * SAMPLE_RATE)) * (1 - (1 - brightness) * 0.12 * (1 - np.cos(bins)) ** 0.7)
    turn = bins * np.float32(delay)
    loop = np.maximum(loss, 0) * (np.cos(turn) - 1j * np.sin(turn))
    excitation = np.fft.rfft(rng.uniform(-1, 1, int(delay)).astype(np.float32), size)
    excitation = excitation / (1 + (bins / np.float32(0.2 + brightness)) ** 2)
    note = np.fft.irfft(excitation / (1 - loop), size)[: num_samples(seconds)].astype(np.float32)
    note *= np.minimum(1, np.linspace(8, 0, len(note), dtype=np.float32))
    sound: Wave = note / np.sqrt(np.mean(note**2) + 1e-20)
    return sound


def place(size: int, grains: Sequence[Wave], onsets: Sequence[float], gains: Sequence[float]) -> Wave:
    """Add `grains` at `onsets` (seconds) times `gains` into f32 [size]; what passes the end is cut."""
    out = np.zeros(size, np.float32)
    for grain, onset, gain in zip(grains, onsets, gains, strict=True):
        start = num_samples(onset)
        stop = min(size, start + len(grain))
        if start < stop:
            out[start:stop] += np.float32(gain) * grain[: stop - start]
    return out
