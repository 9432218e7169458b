"""How each class looks: a sampled appearance, its moving picture, and single frames with given classes."""

from collections.abc import Callable, Sequence
from math import pi, sin

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from valor.label_harvest.did_you_mean import did_you_mean

from . import animals, household, instruments, machines, people
from .backgrounds import FRAME_HEIGHT, FRAME_WIDTH, MARGIN, paint_background, paint_foreground
from .pen import Coat, Pen

Drawing = Callable[[Pen, Coat, float], None]

DRAWINGS: dict[str, Drawing] = {
    "Speech": people.speech,
    "Car": machines.car,
    "Cheering": people.cheering,
    "Dog": animals.dog,
    "Cat": animals.cat,
    "Frying_(food)": household.frying,
    "Basketball_bounce": people.basketball,
    "Fire_alarm": household.fire_alarm,
    "Chainsaw": machines.chainsaw,
    "Cello": instruments.cello,
    "Banjo": instruments.banjo,
    "Singing": people.singing,
    "Chicken_rooster": animals.rooster,
    "Violin_fiddle": instruments.violin,
    "Vacuum_cleaner": household.vacuum_cleaner,
    "Baby_laughter": people.baby_laughter,
    "Accordion": instruments.accordion,
    "Lawn_mower": machines.lawn_mower,
    "Motorcycle": machines.motorcycle,
    "Helicopter": machines.helicopter,
    "Acoustic_guitar": instruments.guitar,
    "Telephone_bell_ringing": household.telephone,
    "Baby_cry_infant_cry": people.baby_cry,
    "Blender": household.blender,
    "Clapping": people.clapping,
}
"""The drawing of each of LLP's class names."""

PHASES = 8
"""Pictures in one round of a look's movement; each is drawn once, when first needed."""

_LETTERED = ("Fire_alarm",)  # never mirrored
_OFF_THE_GROUND = ("Helicopter", "Fire_alarm", "Clapping")

_REACH = 72  # units from a drawing's centre to the edge of its picture
_FINE = 3  # drawings are made this many times larger and reduced, which smooths their edges


class Look:
    """One appearance of a class: its coat, size, place and movement, fixed when made."""

    def __init__(
        self, class_name: str, rng: np.random.Generator, *, place: tuple[float, float] = (0.5, 0.5), room: float = 1.0
    ) -> None:
        """Sample an appearance.

        Args:
            class_name: One of LLP's class names.
            rng: Source of every choice.
            place: Where the look stands about, as shares of the frame's width and height.
            room: Largest size, as a share of the frame's height.

        Raises:
            ValueError: The class has no drawing.
        """
        if class_name not in DRAWINGS:
            raise ValueError(
                f"class_name must be one of {', '.join(DRAWINGS)}, got {class_name!r}"
                f"{did_you_mean(class_name, DRAWINGS)}"
            )
        self.class_name = class_name
        self._drawing = DRAWINGS[class_name]
        self._coat = Coat.sample(rng)
        self._size = FRAME_HEIGHT * room * rng.uniform(0.3, 1.0)
        self._tilt = rng.normal(0.0, 6.0)
        self._mirror = -1 if rng.random() < 0.5 and class_name not in _LETTERED else 1
        self._squeeze = rng.uniform(0.85, 1.15)
        x = FRAME_WIDTH * (place[0] + rng.normal(0.0, 0.17 * room))
        y = _height_of(class_name, place[1], self._size) + FRAME_HEIGHT * rng.normal(0.0, 0.08)
        self._x, self._y = float(np.clip(x, 8, FRAME_WIDTH - 8)), float(np.clip(y, 12, FRAME_HEIGHT - 8))
        self._swing = self._size * rng.uniform(0, 0.2, size=2)
        self._beat = rng.uniform(0.05, 0.35, size=2)
        self._start = rng.random(3)
        self._rounds_per_second = rng.uniform(0.8, 1.9)
        self._pictures: dict[int, Image.Image] = {}

    def _picture(self, index: int) -> Image.Image:
        """The look at one of its phases, RGBA, drawn on first use."""
        if index not in self._pictures:
            side = max(8, int(self._size * 2 * _REACH / 100)) * _FINE
            canvas = Image.new("RGBA", (side, side), (0, 0, 0, 0))
            unit = side / (2 * _REACH)
            pen = Pen(canvas, np.array([[unit, 0.0, side / 2], [0.0, unit, side / 2]]))
            pen = pen.at(0, 0, degrees=self._tilt, stretch=self._mirror * self._squeeze)
            self._drawing(pen, self._coat, index / PHASES)
            self._pictures[index] = canvas.reduce(_FINE)
        return self._pictures[index]

    def paint(self, image: Image.Image, time: float, *, phase: float | None = None, lift: float = 0.0) -> None:
        """Paste the look as it is at `time` seconds onto an RGB frame.

        Args:
            image: The frame.
            time: In seconds.
            phase: Where it is in its movement, in [0, 1); None for its own pace.
            lift: How far it is off its place, as a share of its size.
        """
        picture, left, top = self._standing(time, phase, lift)
        image.paste(picture, (left, top), picture)

    def box(self, time: float) -> tuple[int, int, int, int] | None:
        """The pixels it covers at `time` seconds at its own pace: left, top, right, bottom; None out of the frame."""
        picture, left, top = self._standing(time)
        drawn = picture.getchannel("A").getbbox()
        if drawn is None:
            return None
        sides = np.clip(np.array(drawn) + (left, top, left, top), 0, (FRAME_WIDTH, FRAME_HEIGHT) * 2).tolist()
        return None if sides[0] >= sides[2] or sides[1] >= sides[3] else tuple(sides)

    def _standing(self, time: float, phase: float | None = None, lift: float = 0.0) -> tuple[Image.Image, int, int]:
        """Its picture at a time, and where the left upper corner of that lies in the frame."""
        turned = time * self._rounds_per_second + self._start[2] if phase is None else phase
        picture = self._picture(int(turned * PHASES) % PHASES)
        x = self._x + self._swing[0] * sin(2 * pi * (self._beat[0] * time + self._start[0]))
        y = self._y + self._swing[1] * 0.5 * sin(2 * pi * (self._beat[1] * time + self._start[1]))
        y -= lift * self._size
        return picture, round(x - picture.width / 2), round(y - picture.height / 2)


def _height_of(class_name: str, height: float, size: float) -> float:
    """Where the middle of a look is, in pixels: small things stand on the ground, unless they fly or hang."""
    if class_name in _OFF_THE_GROUND:
        return FRAME_HEIGHT * (height - 0.12)
    return FRAME_HEIGHT * (height + 0.36) - 0.4 * size


def paint(image: Image.Image, look: Look, time: float) -> None:
    """Paste `look` as it is at `time` seconds onto an RGB frame."""
    look.paint(image, time)


def arrange(class_names: Sequence[str], rng: np.random.Generator) -> list[Look]:
    """Looks of the given classes side by side, so that each can be seen although they may overlap."""
    count = len(class_names)
    order = rng.permutation(count)
    places = [((slot + 0.5) / count if count > 1 else 0.5, 0.52) for slot in order.tolist()]
    room = {0: 1.0, 1: 1.0, 2: 0.8}.get(count, 0.62)
    return [Look(name, rng, place=place, room=room) for name, place in zip(class_names, places, strict=True)]


class Scene:
    """What the camera sees beside the looks: a background panned over, its light and its grain."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Sample a background and the camera's manner."""
        self._background = paint_background(rng)
        self._pan = rng.uniform(0, MARGIN - 2, size=2) * (rng.random(2) < 0.6)
        self._beat = rng.uniform(0.03, 0.2, size=2)
        self._start = rng.random(2)
        self._gain = np.float32(np.clip(rng.normal(0.97, 0.25), 0.35, 1.4))
        self._lift = np.float32(rng.normal(0.0, 10.0))
        grain = np.abs(rng.normal(0.0, 12.0))
        shape = (FRAME_HEIGHT + 32, FRAME_WIDTH + 32, 3)
        self._grain = (rng.standard_normal(shape, dtype=np.float32) * np.float32(grain)).astype(np.int16)
        self._foreground = paint_foreground(rng) if rng.random() < 0.15 else None
        self._blur = ImageFilter.BoxBlur(float(rng.uniform(0.6, 1.6))) if rng.random() < 0.2 else None
        self._levels = np.clip(np.arange(256, dtype=np.float32) * self._gain + self._lift, 0, 255).astype(np.int16)
        self._rng = rng

    def canvas(self, time: float) -> Image.Image:
        """The empty background at `time` seconds: RGB, one frame large, free to be painted on."""
        x, y = (
            MARGIN + reach * sin(2 * pi * (beat * time + start))
            for reach, beat, start in zip(self._pan, self._beat, self._start, strict=True)
        )
        left, top = round(x), round(y)
        return self._background.crop((left, top, left + FRAME_WIDTH, top + FRAME_HEIGHT))

    def expose(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """The painted frame as the camera records it: uint8 [96, 128, 3], with the scene's focus, light and grain."""
        if self._foreground is not None:
            image.paste(self._foreground, (0, 0), self._foreground)
        if self._blur is not None:
            image = image.filter(self._blur)
        down, right = self._rng.integers(0, 32, size=2)
        grain = self._grain[down : down + FRAME_HEIGHT, right : right + FRAME_WIDTH]
        frame: npt.NDArray[np.uint8] = np.clip(self._levels[np.asarray(image)] + grain, 0, 255).astype(np.uint8)
        return frame


def sample_image(class_names: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """One frame showing the given classes over a cluttered background.

    Args:
        class_names: Classes to be seen, possibly none; LLP's names.
        rng: Source of every choice.

    Returns:
        uint8 [96, 128, 3], RGB.

    Raises:
        ValueError: A class has no drawing.
    """
    scene = Scene(rng)
    time = float(rng.uniform(0, 10))
    image = scene.canvas(time)
    for look in arrange(class_names, rng):
        look.paint(image, time)
    return scene.expose(image)
