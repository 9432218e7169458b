"""The sounds of machines and things: engines, motors, bells, a frying pan, a bouncing ball and clapping hands."""

import numpy as np

from .waves import (
    LOOP_SIZE,
    SAMPLE_RATE,
    TABLE_SIZE,
    Span,
    Wave,
    beats,
    burst,
    control_points,
    harmonics,
    impulses,
    noise,
    noise_spectrum,
    num_samples,
    place,
    read_loop,
    ring,
    table_index,
    to_samples,
    tone,
    vibrato,
    wander,
    wavetable,
    write_shape,
)


def engine(pitch: Wave, rng: np.random.Generator, *, tilt: float, air: Wave, pulse: float) -> Wave:
    """A combustion engine: uneven harmonics of the firing rate, and noise that comes in puffs with each firing.

    Args:
        pitch: Control curve of the firing rate in Hz.
        rng: Draws the unevenness, so that no two engines are alike.
        tilt: How fast the harmonics fall.
        air: Noise spectrum of exhaust and blades, see `noise_spectrum`.
        pulse: Share of the noise that follows the firing, 0 to 1.

    Returns:
        f32 [S].
    """
    uneven = harmonics(float(pitch.mean()) / 2, tilt) * rng.lognormal(
        0, 0.5, len(harmonics(float(pitch.mean()) / 2, tilt))
    )
    uneven[::2] *= rng.uniform(0.15, 0.6)
    index = table_index(pitch / 2, rng)
    puff = 0.5 + 0.5 * np.cos(np.arange(TABLE_SIZE, dtype=np.float32) * np.float32(4 * np.pi / TABLE_SIZE))
    air_noise = noise(len(index), rng, air) * (1 - pulse + pulse * 2 * puff**2)[index]
    sound: Wave = wavetable(uneven, rng)[index] + rng.uniform(0.5, 1.0) * air_noise
    return sound


def chainsaw(seconds: float, rng: np.random.Generator) -> Wave:
    """A small two-stroke at high revolutions, blipped and loaded again and again."""
    points = control_points(seconds)
    load = np.clip(wander(points, rng, rng.uniform(1, 2.5), 0.28), -0.5, 0.5)
    pitch = rng.uniform(85, 150) * (1 + load) * (1 + wander(points, rng, 60, 0.02))
    air = noise_spectrum(500, 9000, 0.2, [(rng.uniform(2500, 4500), 600, 0.8)])
    return engine(pitch, rng, tilt=rng.uniform(0.3, 0.6), air=air, pulse=0.7) * to_samples(1 + 0.6 * load)


def lawn_mower(seconds: float, rng: np.random.Generator) -> Wave:
    """A four-stroke held at one speed, with the wide rush of its blade."""
    points = control_points(seconds)
    pitch = rng.uniform(45, 95) * (1 + wander(points, rng, 0.8, 0.025)) * (1 + wander(points, rng, 50, 0.015))
    air = noise_spectrum(200, rng.uniform(2500, 6000), 0.4)
    return engine(pitch, rng, tilt=rng.uniform(0.5, 0.9), air=air, pulse=rng.uniform(0.2, 0.6))


def motorcycle(seconds: float, rng: np.random.Generator) -> Wave:
    """A big engine that revs up through its gears and falls back."""
    points = control_points(seconds)
    pitch = np.full(points, 1.0)
    for onset, length in beats(seconds, rng, (0.8, 2.2), (0.0, 0.3)):
        top = rng.uniform(1.1, 2.0)
        write_shape(pitch, onset, length, (1, 0.4 + 0.6 * top, top, top, 1.05))
    pitch *= rng.uniform(35, 80) * (1 + wander(points, rng, 40, 0.02))
    air = noise_spectrum(80, rng.uniform(900, 2500), 0.7)
    return engine(pitch, rng, tilt=rng.uniform(0.6, 1.0), air=air, pulse=0.8) * to_samples(pitch / pitch.mean())


def car(seconds: float, rng: np.random.Generator) -> Wave:
    """Tyres and wind that swell and fade, a low engine under them, sometimes the horn."""
    size, points = num_samples(seconds), control_points(seconds)
    tyres = noise(size, rng, noise_spectrum(150, 1800, 0.5, [(rng.uniform(600, 1100), 300, 2)]))
    swell = to_samples(np.clip(1 + wander(points, rng, 0.9, 0.45), 0.3, 2.5))[:size]
    pitch = rng.uniform(28, 55) * (1 + wander(points, rng, 1, 0.08))
    motor = tone(pitch, wavetable(harmonics(40, 1.0, most=30), rng), rng)[:size]
    sound = swell * (tyres + rng.uniform(0.2, 0.8) * motor)
    if rng.random() < 0.3:
        horn = wavetable(harmonics(400, 0.7), rng)[table_index(np.full(points, rng.uniform(330, 460)), rng)][:size]
        gate = np.zeros(points)
        for onset, length in beats(seconds, rng, (0.2, 0.6), (0.5, 1.5)):
            write_shape(gate, onset, length, (0, 1, 1, 1, 0))
        sound += 1.2 * horn * to_samples(gate)[:size]
    return sound


def helicopter(seconds: float, rng: np.random.Generator) -> Wave:
    """Blades that chop the air ten to eighteen times a second, and the whine of a turbine."""
    size, points = num_samples(seconds), control_points(seconds)
    index = table_index(np.full(points, rng.uniform(9, 18)) * (1 + wander(points, rng, 1, 0.02)), rng)[:size]
    phase = np.arange(TABLE_SIZE, dtype=np.float32) / TABLE_SIZE
    slap: Wave = (0.12 + np.exp(-phase * rng.uniform(4, 9))).astype(np.float32)[index]
    wind = noise(size, rng, noise_spectrum(60, rng.uniform(500, 1400), 0.5))
    whine = tone(np.full(points, rng.uniform(700, 2200)), wavetable(harmonics(900, 1.2), rng), rng)[:size]
    return slap * wind * 2 + rng.uniform(0.02, 0.15) * whine


def motor(seconds: float, rng: np.random.Generator, whine: Span, air: Wave, drift: float) -> Wave:
    """An electric motor: a whine with harmonics over the rush of moved air."""
    size, points = num_samples(seconds), control_points(seconds)
    base = rng.uniform(*whine)
    pitch = base * (1 + wander(points, rng, 1.5, drift))
    table = wavetable(harmonics(base, rng.uniform(0.6, 1.1)) * rng.lognormal(0, 0.5, len(harmonics(base, 1.0))), rng)
    return rng.uniform(0.3, 0.9) * tone(pitch, table, rng)[:size] + noise(size, rng, air)


def vacuum_cleaner(seconds: float, rng: np.random.Generator) -> Wave:
    """A steady rush of air with a steady whine; the nozzle's resonance moves as it is pushed about."""
    air = noise_spectrum(180, rng.uniform(4000, 9000), 0.3, [(rng.uniform(500, 1600), 250, 2)])
    sound = motor(seconds, rng, (180, 420), air, 0.006)
    stroke = vibrato(control_points(seconds), rng, rng.uniform(0.5, 1.2), rng.uniform(0.05, 0.25))
    return sound * to_samples(stroke)[: len(sound)]


def blender(seconds: float, rng: np.random.Generator) -> Wave:
    """A fast motor under a changing load, with lumps that hit the jug."""
    air = noise_spectrum(400, rng.uniform(5000, 10000), 0.1, [(rng.uniform(1500, 3500), 500, 1.5)])
    sound = motor(seconds, rng, (280, 620), air, 0.05)
    lumps = np.abs(wander(control_points(seconds), rng, rng.uniform(12, 25), 0.5))
    return sound * to_samples(0.6 + lumps)[: len(sound)]


def fire_alarm(seconds: float, rng: np.random.Generator) -> Wave:
    """Piercing beeps near 3 kHz, one to four a second."""
    points, period, hertz = control_points(seconds), rng.uniform(0.25, 0.85), rng.uniform(2500, 3500)
    gate, onset = np.zeros(points), rng.uniform(-period, 0.1)
    share = rng.uniform(0.45, 0.75)
    while onset < seconds:
        if onset >= 0:
            write_shape(gate, onset, period * share, (0, *([1] * 12), 0))
        onset += period
    pitch = np.full(points, hertz) * (1 + rng.choice([0, 0.08]) * np.sin(np.arange(points) * rng.uniform(0.02, 0.1)))
    return tone(pitch, wavetable(harmonics(hertz, 1.0), rng), rng) * to_samples(gate)


def telephone_bell(seconds: float, rng: np.random.Generator) -> Wave:
    """A clapper striking two brass bells twenty-odd times a second, in rings of under a second."""
    size, base, rate = num_samples(seconds), rng.uniform(900, 1900), rng.uniform(17, 28)
    bells = []
    for shift in (1.0, rng.uniform(1.08, 1.25)):
        ratios = zip((1, 1.51, 2.32, 3.1, 4.2), (1, 0.7, 0.6, 0.4, 0.3), (0.25, 0.15, 0.12, 0.08, 0.05), strict=True)
        bells.append(ring(0.35, [(base * shift * ratio, gain, decay) for ratio, gain, decay in ratios], rng))
    rings = beats(seconds, rng, (0.55, 0.9), (0.15, 0.35))
    onsets = np.concatenate([onset + np.arange(0, length, 1 / rate) for onset, length in rings])
    grains = [bells[number % 2] for number in range(len(onsets))]
    return place(size, grains, list(onsets), list(rng.uniform(0.7, 1, len(onsets))))


def frying(seconds: float, rng: np.random.Generator) -> Wave:
    """Fat that spits: crackles of all sizes over a bright hiss."""
    size, count = num_samples(seconds), int(rng.uniform(120, 900))
    kernel = burst(0.004, rng.uniform(0.0004, 0.0015), rng)
    gains = rng.choice([-1, 1], count) * rng.pareto(2.2, count).clip(0, 12)
    crackle = read_loop(impulses(rng, gains, rng.integers(0, LOOP_SIZE, count), kernel), size, rng)
    hiss = noise(size, rng, noise_spectrum(1500, rng.uniform(6000, 12000), 0.0))
    return crackle + rng.uniform(0.3, 1.0) * hiss


def basketball(seconds: float, rng: np.random.Generator) -> Wave:
    """A dribbled ball: a thump, the slap of leather, the air inside ringing; now and then a shoe squeaks."""
    size, low = num_samples(seconds), rng.uniform(70, 130)
    partials = [
        (low, 1.0, 0.05),
        (low * 2.1, 0.6, 0.03),
        (rng.uniform(450, 900), 0.5, 0.03),
        (rng.uniform(900, 1500), 0.2, 0.02),
    ]
    bounce = ring(0.25, partials, rng)
    slap = burst(0.25, rng.uniform(0.004, 0.012), rng, smooth=int(rng.integers(2, 8)))
    grains = [bounce + rng.uniform(0.2, 0.6) * slap]
    grains.append(0.5 * np.convolve(grains[0], [0.6, 0.4]).astype(np.float32))
    interval = rng.uniform(0.25, 0.6)
    onsets = [onset for onset, _ in beats(seconds, rng, (interval, interval * 1.15), (0.0, 0.1))]
    picked = [grains[int(rng.random() < 0.15)] for _ in onsets]
    sound = place(size, picked, onsets, list(rng.uniform(0.6, 1, len(onsets))))
    if rng.random() < 0.35:
        squeak = ring(0.12, [(rng.uniform(1800, 3000), 0.2, 0.06), (rng.uniform(3000, 4500), 0.1, 0.05)], rng)
        sound += place(size, [squeak], [rng.uniform(0, seconds)], [1.0])
    return sound


def clapping(seconds: float, rng: np.random.Generator) -> Wave:
    """One to forty people clapping, each in their own time: short bursts around a kilohertz or two."""
    people = int(np.ceil(40 ** rng.random()))
    kernels = [
        burst(0.03, rng.uniform(0.004, 0.01), rng, smooth=int(rng.integers(4, 14))) - burst(0.03, 0.006, rng, smooth=30)
        for _ in range(2)
    ]
    turns = LOOP_SIZE / SAMPLE_RATE
    loop = np.zeros(LOOP_SIZE, np.float32)
    for group, kernel in enumerate(kernels):
        places, gains = [], []
        for _ in range(group, people, 2):
            claps = int(rng.uniform(2.8, 5.0) * turns)
            places.append((np.arange(claps) + rng.random() + rng.normal(0, 0.03, claps)) * LOOP_SIZE / claps)
            gains.append(np.full(claps, rng.uniform(0.3, 1)) * rng.uniform(0.7, 1, claps))
        if places:
            loop += impulses(rng, np.concatenate(gains), np.concatenate(places), kernel)
    return read_loop(loop, num_samples(seconds), rng)
