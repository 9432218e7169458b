"""The pen every look is drawn with: soft-edged shapes in a turnable coordinate frame, and the coat of free choices."""

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Choice = TypeVar("Choice")

_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 21)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 21)[:-1])], axis=1)


def shade(color: Color, factor: float) -> Color:
    """`color` made darker (`factor` below 1) or lighter (above 1)."""
    red, green, blue = (int(min(max(channel * factor, 0), 255)) for channel in color)
    return red, green, blue


@dataclass(frozen=True)
class Coat:
    """What one look of a class has chosen freely: numbers in [0, 1) that its drawing turns into colours and shapes."""

    draws: tuple[float, ...]
    """Eight free numbers; a drawing uses each for one decision."""
    tint: tuple[float, float, float]
    """Factors on red, green and blue: the light this look stands in."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Self:
        """A new coat from `rng`."""
        light = rng.uniform(0.8, 1.12)
        red, green, blue = (light * rng.uniform(0.92, 1.08, size=3)).tolist()
        return cls(tuple(rng.random(8).tolist()), (red, green, blue))

    def among(self, index: int, options: tuple[Choice, ...]) -> Choice:
        """The option that free number `index` falls on."""
        return options[int(self.draws[index] * len(options))]

    def between(self, index: int, low: float, high: float) -> float:
        """Free number `index` stretched to [low, high)."""
        return low + (high - low) * self.draws[index]

    def color(self, index: int, options: tuple[Color, ...]) -> Color:
        """The colour that free number `index` falls on, in this look's light."""
        red, green, blue = (
            int(min(channel * factor, 255))
            for channel, factor in zip(self.among(index, options), self.tint, strict=True)
        )
        return red, green, blue

    def reversed(self) -> Self:
        """A second coat with other choices, for the second person of a look."""
        return type(self)(tuple((draw + 0.37) % 1.0 for draw in reversed(self.draws)), self.tint)


class Pen:
    """Draws filled shapes on an image in its own coordinate frame: x right, y down, about 100 units per look."""

    def __init__(self, image: Image.Image, matrix: np.ndarray, ink: Color | None = (35, 30, 35)) -> None:
        """Hold the pen over `image`.

        Args:
            image: RGBA picture to draw on.
            matrix: float64 [2, 3], from the pen's units to pixels.
            ink: Colour of outlines; None draws shapes without outline.
        """
        self._draw = ImageDraw.Draw(image)
        self._image = image
        self._matrix = matrix
        self._ink = ink
        self._unit = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))

    def at(self, x: float, y: float, *, degrees: float = 0.0, scale: float = 1.0, stretch: float = 1.0) -> "Pen":
        """The same pen in a frame whose origin is (x, y), turned clockwise, scaled, and stretched along its x."""
        turn = np.deg2rad(degrees)
        frame = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
        frame[:, 0] *= stretch
        linear, shift = self._matrix[:, :2], self._matrix[:, 2]
        matrix = np.column_stack([linear @ frame, linear @ np.array([x, y]) + shift])
        return Pen(self._image, matrix, self._ink)

    def _pixels(self, points: np.ndarray) -> list[float]:
        moved: list[float] = (points @ self._matrix[:, :2].T + self._matrix[:, 2]).ravel().tolist()
        return moved

    def _width(self, width: float) -> int:
        return max(1, round(width * self._unit))

    def shape(self, points: list[tuple[float, float]] | np.ndarray, fill: Color, *, outline: float = 1.4) -> None:
        """A filled polygon with an ink line of `outline` units around it (0: none)."""
        pixels = self._pixels(np.asarray(points, dtype=float))
        self._draw.polygon(pixels, fill=fill)
        if outline and self._ink is not None:
            self._draw.line(pixels + pixels[:4], fill=self._ink, width=self._width(outline))

    def smooth(self, points: list[tuple[float, float]], fill: Color, *, outline: float = 1.4) -> None:
        """A filled closed curve through `points` (Catmull-Rom)."""
        knots = np.asarray(points, dtype=float)
        before, after, beyond = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
        parts = []
        for step in (0.0, 0.25, 0.5, 0.75):
            square, cube = step * step, step**3
            parts.append(
                0.5
                * (
                    (2 * knots)
                    + (after - before) * step
                    + (2 * before - 5 * knots + 4 * after - beyond) * square
                    + (3 * knots - before - 3 * after + beyond) * cube
                )
            )
        self.shape(np.stack(parts, axis=1).reshape(-1, 2), fill, outline=outline)

    def oval(self, x: float, y: float, rx: float, ry: float, fill: Color, *, outline: float = 1.4) -> None:
        """A filled ellipse about (x, y)."""
        self.shape(_CIRCLE * (rx, ry) + (x, y), fill, outline=outline)

    def box(self, left: float, top: float, right: float, bottom: float, fill: Color, *, outline: float = 1.4) -> None:
        """A filled rectangle with slightly cut corners."""
        cut = 0.16 * min(right - left, bottom - top)
        self.shape(
            [
                (left + cut, top), (right - cut, top), (right, top + cut), (right, bottom - cut),
                (right - cut, bottom), (left + cut, bottom), (left, bottom - cut), (left, top + cut),
            ],
            fill,
            outline=outline,
        )  # fmt: skip

    def stroke(self, points: list[tuple[float, float]] | np.ndarray, width: float, fill: Color) -> None:
        """A line through `points` with round ends."""
        path = np.asarray(points, dtype=float)
        pixels = self._pixels(path)
        thick = self._width(width)
        self._draw.line(pixels, fill=fill, width=thick, joint="curve" if thick > 5 else None)
        radius = thick / 2 - 0.5
        if radius >= 1.5:
            for x, y in ((pixels[0], pixels[1]), (pixels[-2], pixels[-1])):
                self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)

    def limb(self, points: list[tuple[float, float]] | np.ndarray, width: float, fill: Color) -> None:
        """A stroke with an ink line around it, as for arms and legs."""
        if self._ink is not None:
            self.stroke(points, width + 2.4, self._ink)
        self.stroke(points, width, fill)

    def arc(
        self, x: float, y: float, rx: float, ry: float, degrees: tuple[float, float], width: float, fill: Color
    ) -> None:
        """A piece of an ellipse's edge, clockwise from the right, between two angles in degrees."""
        turn = np.deg2rad(np.linspace(degrees[0], degrees[1], 9))
        self.stroke(np.stack([x + rx * np.cos(turn), y + ry * np.sin(turn)], axis=1), width, fill)
