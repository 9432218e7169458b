"""The world in which what moves is what sounds: strokes of a sound drive the drawing of its class.

In the plain world a drawing moves at its own pace, so that sound and picture meet at the ends of events alone, which
lie on whole seconds. Here each class of a clip has one sound that goes on all through it. Events are cut out of it,
and where it strikes (a bark, a bounce, a syllable), one round of the drawing begins, whether the sound is in the clip
or not. Sounds without strokes, such as engines, leave their drawings at their own pace: nobody could say of those
whether sound and picture are apart. The timetable is that of the plain world.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.audio import sounds
from valor.demo.audio.waves import SAMPLE_RATE, Wave, num_samples
from valor.demo.pictures.looks import Look

from .schedule import CLIP_SECONDS, ClipPlan

FRAME_RATE = 20
"""Frames per second: more than in the plain world, since strokes come several times a second."""
LONGEST_ROUND = 0.5
"""Seconds of a round where the next stroke is further away; then the drawing rests."""
HOP = 0.2
"""Share of its size by which a drawing hops as it is struck."""
BACKGROUND = 0.4
"""How loud the place is, beside that of the plain world: strokes must be heard."""
MEETS = {"Clapping": 0.5}
"""Phase of a drawing in which what it shows strikes; 0 for all others."""
_FRAME, _RISE, _APART = 0.01, 0.6, 0.12  # seconds of a level, its logarithm's rise in 40 ms, seconds between strokes
_LEAST_A_SECOND = 0.5  # strokes below which a sound has none: what noise and engines show now and then

Strokes = npt.NDArray[np.float64]
"""Times in seconds, ascending."""
Painter = Callable[[Look, Image.Image, float], None]
"""Puts a look onto a frame as it is at a time in seconds."""


def strokes_of(sound: Wave) -> Strokes:
    """When a sound f32 [S] strikes: its level rises by four fifths within 40 ms; nothing where that is rare."""
    step = num_samples(_FRAME)
    count = len(sound) // step
    level = np.sqrt(np.mean(sound[: count * step].reshape(count, step).astype(np.float64) ** 2, axis=1))
    level = np.convolve(level, np.full(3, 1 / 3), mode="same")
    loud = np.log(level + 0.1 * np.percentile(level, 90) + 1e-9)
    rise = np.zeros(count)
    rise[4:] = loud[4:] - loud[:-4]
    rise[:4] = loud[:4] - loud.min()
    found: list[int] = []
    for place in np.flatnonzero(rise > _RISE).tolist():
        is_peak = rise[place] >= rise[max(0, place - 3) : place + 4].max()
        if is_peak and (not found or place - found[-1] >= _APART / _FRAME):
            found.append(place)
    if len(found) < _LEAST_A_SECOND * len(sound) / SAMPLE_RATE:
        return np.zeros(0)
    return (np.array(found, np.float64) - 2) * _FRAME


def phase_at(strokes: Strokes, time: float) -> float | None:
    """Where a drawing is in its round, in [0, 1), at rest 0: each stroke begins one; None without any.

    It turns fast at first and comes to rest, as what was struck does.

    >>> [phase_at(np.array([1.0, 1.4, 3.0]), time) for time in (0.5, 1.2, 1.65, 2.5)]
    [0.0, 0.875, 0.875, 0.0]
    """
    if not len(strokes):
        return None
    last = int(np.searchsorted(strokes, time, side="right")) - 1
    if last < 0:
        return 0.0  # before the first
    until = strokes[last + 1] - strokes[last] if last + 1 < len(strokes) else LONGEST_ROUND
    done = (time - strokes[last]) / min(until, LONGEST_ROUND)
    return round(float(1 - (1 - done) ** 3), 6) if done < 1 else 0.0


def class_sounds(plan: ClipPlan, seeds: Sequence[int]) -> dict[str, Wave]:
    """The sound of each class of a clip from its start to its end, f32 [S], each with random numbers of its own."""
    names = class_names(LLP_CLASSES)
    return {
        name: sounds.synthesise(name, CLIP_SECONDS, np.random.default_rng([*seeds, names.index(name)]))
        for name in dict.fromkeys(event.class_name for event in plan.events)
    }


def struck_track(plan: ClipPlan, whole: Mapping[str, Wave], rng: np.random.Generator) -> Wave:
    """The track of a clip, f32 [S] within (-1, 1): a background, and each event cut out of the sound of its class."""
    track: Wave = BACKGROUND * sounds.background(CLIP_SECONDS, rng)
    for event in plan.events:
        if event.modality == "audio":
            start, stop = num_samples(event.onset), num_samples(event.offset)
            track[start:stop] += sounds.fade(whole[event.class_name][start:stop].copy())
    heard: Wave = np.tanh(track)
    return heard


def painter(whole: Mapping[str, Wave]) -> Painter:
    """What puts each drawing where the strokes of its class put it, by the whole sounds of the classes of a clip."""
    strokes = {name: strokes_of(sound) for name, sound in whole.items()}

    def paint(look: Look, image: Image.Image, time: float) -> None:
        phase = phase_at(strokes[look.class_name], time)
        if phase is None:
            look.paint(image, time)
            return
        lift = HOP * (1 - phase) if phase else 0.0
        look.paint(image, time, phase=(phase + MEETS.get(look.class_name, 0.0)) % 1, lift=lift)

    return paint
