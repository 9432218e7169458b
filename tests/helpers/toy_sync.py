"""Films in which a light flashes as a click sounds, and a run that has learned to tell how far the two are apart."""

from pathlib import Path

import av
import numpy as np

from valor.demo.world.render import write_streams
from valor.sync.options import FitOptions

SECONDS, RATE, SAMPLE_RATE = 6, 20, 32000
OPTIONS = FitOptions(epochs=8, batch_size=4, reach=1.5, rate=1e-2, piece_seconds=6)


def write_flashes(path: Path, seed: int, *, late: float = 0.0, light: bool = True, seconds: float = SECONDS) -> Path:
    """A film whose clicks come `late` seconds behind its flashes; without light nothing ties them."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(0.15 + rng.exponential(0.2, 60)) - 2
    clicks = np.cumsum(0.15 + rng.exponential(0.2, 60)) - 2 if not light else times + late
    sound = rng.normal(0, 0.003, round(seconds * SAMPLE_RATE)).astype(np.float32)
    for start in np.rint(clicks * SAMPLE_RATE).astype(int):
        length = min(4000, len(sound) - start)
        if start >= 0 and length > 0:
            sound[start : start + length] += np.exp(-np.arange(length) / 900) * rng.normal(0, 0.2, length)
    top, left = rng.integers(4, 20, 2)

    def frames():
        for number in range(round(seconds * RATE)):
            image = np.full((48, 64, 3), 90, np.int16) + rng.integers(-5, 6, (48, 64, 1), np.int16)
            if ((times <= number / RATE) & (number / RATE < times + 0.1)).any():
                image[top : top + 20, left : left + 20] += 110
            yield image.clip(0, 255).astype(np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        write_streams(container, frames(), sound, rate=RATE)
    return path
