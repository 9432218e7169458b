"""What lies behind the looks: rooms, streets, stages, gradients and clutter, painted once per clip and panned over."""

import numpy as np
from PIL import Image, ImageFilter

from .pen import Coat, Color, Pen, shade
from .people import Person, head, torso

FRAME_WIDTH, FRAME_HEIGHT = 128, 96
"""Size of every frame of the demo world in pixels."""

MARGIN = 16
"""Pixels a background reaches beyond the frame on each side, for the camera to pan over."""

_FINE = 2  # backgrounds are drawn this many times larger and reduced, which softens their edges


def _color(rng: np.random.Generator, low: int = 30, high: int = 225) -> Color:
    red, green, blue = rng.integers(low, high, size=3).tolist()
    return red, green, blue


def _muted(rng: np.random.Generator) -> Color:
    grey, spread = rng.uniform(60, 215), rng.uniform(-35, 35, size=3)
    red, green, blue = np.clip(grey + spread, 0, 255).astype(int).tolist()
    return red, green, blue


def _gradient(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """A slanting gradient between two colours."""
    ends = np.array([_muted(rng), _color(rng)], dtype=np.float32)
    corners = rng.random(4).astype(np.float32).reshape(2, 2)
    small = ends[0] + corners[..., None] * (ends[1] - ends[0])
    return Image.fromarray(small.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


def _room(pen: Pen, rng: np.random.Generator, width: float, height: float) -> None:
    """Wall, floor, window, picture and furniture."""
    floor = height * rng.uniform(0.62, 0.82)
    wall, boards = _muted(rng), _muted(rng)
    pen.shape([(0, 0), (width, 0), (width, floor), (0, floor)], wall, outline=0)
    if rng.random() < 0.3:
        for x in np.arange(0, width, rng.uniform(8, 20)):
            pen.stroke([(x, 0), (x, floor)], 2, shade(wall, 0.92))
    pen.shape([(0, floor), (width, floor), (width, height), (0, height)], boards, outline=0)
    for x in np.linspace(-width, 2 * width, 13):
        pen.stroke([(x, height), (width / 2 + (x - width / 2) * 0.5, floor)], 1, shade(boards, 0.85))
    if rng.random() < 0.6:
        x, y, w, h = rng.uniform(0, width), rng.uniform(4, 20), rng.uniform(20, 42), rng.uniform(20, 38)
        pen.box(x, y, x + w, y + h, (230, 230, 225))
        pen.box(x + 2, y + 2, x + w - 2, y + h - 2, (160, 200, 230))
        pen.stroke([(x + w / 2, y), (x + w / 2, y + h)], 1.6, (230, 230, 225))
    for _ in range(rng.integers(0, 3)):
        x, y, w, h = rng.uniform(0, width), rng.uniform(6, 34), rng.uniform(10, 26), rng.uniform(8, 20)
        pen.box(x, y, x + w, y + h, _color(rng))
        pen.box(x + 2, y + 2, x + w - 2, y + h - 2, _color(rng))


def _street(pen: Pen, rng: np.random.Generator, width: float, height: float) -> None:
    """Sky, houses or hills, and a road or meadow."""
    ground = height * rng.uniform(0.6, 0.85)
    sky = (int(rng.uniform(120, 200)), int(rng.uniform(160, 215)), int(rng.uniform(195, 250)))
    pen.shape([(0, 0), (width, 0), (width, ground), (0, ground)], sky, outline=0)
    for _ in range(rng.integers(0, 4)):
        x, y = rng.uniform(0, width), rng.uniform(0, ground * 0.4)
        for shift in (-8, 0, 8):
            pen.oval(x + shift, y - abs(shift) / -4, 9, 5, (240, 242, 245), outline=0)
    if rng.random() < 0.6:
        x = 0.0
        while x < width:
            w, top = rng.uniform(18, 44), ground - rng.uniform(20, 62)
            wall = _muted(rng)
            pen.shape([(x, ground), (x, top), (x + w, top), (x + w, ground)], wall, outline=0.8)
            for wx in np.arange(x + 4, x + w - 6, 10):
                for wy in np.arange(top + 5, ground - 8, 13):
                    pen.shape([(wx, wy), (wx + 5, wy), (wx + 5, wy + 7), (wx, wy + 7)], shade(wall, 0.6), outline=0)
            x += w
    else:
        for _ in range(rng.integers(2, 6)):
            x, r = rng.uniform(0, width), rng.uniform(12, 30)
            pen.limb([(x, ground), (x, ground - r)], 4, (96, 70, 50))
            pen.oval(x, ground - r * 1.3, r * 0.7, r * 0.8, (int(rng.uniform(40, 90)), int(rng.uniform(100, 150)), 60))
    grass = rng.random() < 0.5
    soil = (int(rng.uniform(70, 120)), int(rng.uniform(130, 165)), 70) if grass else _muted(rng)
    pen.shape([(0, ground), (width, ground), (width, height), (0, height)], soil, outline=0)
    if not grass:
        for x in np.arange(0, width, 24):
            pen.stroke([(x, (ground + height) / 2), (x + 12, (ground + height) / 2)], 2, (235, 235, 225))


def _stage(pen: Pen, rng: np.random.Generator, width: float, height: float) -> None:
    """A dark stage with curtain folds and cones of light."""
    cloth = shade(_color(rng, 60, 200), 0.5)
    pen.shape([(0, 0), (width, 0), (width, height), (0, height)], cloth, outline=0)
    for x in np.arange(0, width, rng.uniform(9, 16)):
        pen.stroke([(x, 0), (x + 3, height)], 4, shade(cloth, rng.uniform(0.75, 1.25)))
    for _ in range(rng.integers(1, 4)):
        x, reach = rng.uniform(0, width), rng.uniform(10, 26)
        pen.shape([(x, 0), (x - reach, height), (x + reach, height)], shade(cloth, 1.9), outline=0)
    pen.shape([(0, height * 0.85), (width, height * 0.85), (width, height), (0, height)], (84, 62, 46), outline=0)


def _shapes(pen: Pen, rng: np.random.Generator, width: float, height: float) -> None:
    """Shapes of every kind and colour lying about."""
    for _ in range(rng.integers(4, 16)):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 22)
        kind = rng.integers(4)
        if kind == 0:
            pen.oval(x, y, r, r * rng.uniform(0.4, 1), _color(rng), outline=float(rng.random() < 0.5))
        elif kind == 1:
            pen.at(x, y, degrees=rng.uniform(0, 90)).box(-r, -r * 0.6, r, r * 0.6, _color(rng))
        elif kind == 2:
            pen.stroke(np.array([x, y]) + rng.uniform(-2 * r, 2 * r, size=(3, 2)), rng.uniform(1, 6), _color(rng))
        else:
            pen.shape(np.array([x, y]) + rng.uniform(-r, r, size=(3, 2)), _color(rng))


def _lamp(pen: Pen, color: Color, _: np.random.Generator) -> None:
    pen.limb([(0, 20), (0, -40)], 3, (80, 76, 72))
    pen.shape([(-18, -30), (-10, -54), (10, -54), (18, -30)], color)


def _plant(pen: Pen, _color: Color, _rng: np.random.Generator) -> None:
    for lean in (-40, -15, 15, 40):
        pen.at(0, 0, degrees=lean).smooth([(-4, 0), (-6, -30), (0, -44), (6, -30), (4, 0)], (60, 140, 70))
    pen.shape([(-14, 0), (14, 0), (10, 24), (-10, 24)], (180, 100, 60))


def _chair(pen: Pen, color: Color, _: np.random.Generator) -> None:
    pen.box(-20, -6, 20, 2, color)
    pen.box(12, -40, 20, 0, color)
    for x in (-16, 16):
        pen.limb([(x, 2), (x, 30)], 3, color)


def _table(pen: Pen, color: Color, _: np.random.Generator) -> None:
    pen.box(-50, -4, 50, 4, color)
    for x in (-40, 40):
        pen.limb([(x, 4), (x, 40)], 5, shade(color, 0.8))


def _shelf(pen: Pen, color: Color, rng: np.random.Generator) -> None:
    pen.box(-30, -50, 30, 30, shade(color, 0.7))
    for x in range(-26, 22, 8):
        for y in (-46, -8):
            pen.box(x, y, x + 6, y + 30, _color(rng))


def _bystander(pen: Pen, _: Color, rng: np.random.Generator) -> None:
    person = Person.of(Coat.sample(rng))
    torso(pen.at(0, -20), person)
    head(pen.at(0, -20), person)


_PROPS = (_lamp, _plant, _chair, _table, _shelf, _bystander)


def _props(pen: Pen, rng: np.random.Generator, width: float, height: float) -> None:
    """Up to three things that make no sound: furniture, plants, a bystander who says nothing."""
    for _ in range(rng.integers(0, 4)):
        one = pen.at(rng.uniform(0, width), rng.uniform(0.55, 0.95) * height, scale=rng.uniform(0.3, 0.75))
        draw, color = _PROPS[rng.integers(len(_PROPS))], _color(rng)
        draw(one, color, rng)


def paint_background(rng: np.random.Generator) -> Image.Image:
    """A cluttered scene in RGB, larger than the frame by `MARGIN` pixels on each side."""
    width, height = FRAME_WIDTH + 2 * MARGIN, FRAME_HEIGHT + 2 * MARGIN
    image = _gradient((width * _FINE, height * _FINE), rng)
    pen = Pen(image, np.array([[_FINE, 0.0, 0.0], [0.0, _FINE, 0.0]]), (50, 46, 50))
    scene = rng.random()
    if scene < 0.36:
        _room(pen, rng, width, height)
    elif scene < 0.66:
        _street(pen, rng, width, height)
    elif scene < 0.78:
        _stage(pen, rng, width, height)
    if scene >= 0.78 or rng.random() < 0.25:
        _shapes(pen, rng, width, height)
    if rng.random() < 0.75:
        _props(pen, rng, width, height)
    image = image.reduce(_FINE)
    if rng.random() < 0.45:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.5, 2.5))))
    return image


def paint_foreground(rng: np.random.Generator) -> Image.Image:
    """A post, a rail or leaves near the camera: RGBA of the frame's size, hiding a small part of it."""
    image = Image.new("RGBA", (FRAME_WIDTH, FRAME_HEIGHT), (0, 0, 0, 0))
    pen = Pen(image, np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), None)
    x, thick, kind = rng.uniform(0, FRAME_WIDTH), rng.uniform(4, 13), rng.integers(3)
    if kind == 0:
        pen.box(x, -9, x + thick, FRAME_HEIGHT + 9, _muted(rng))
    elif kind == 1:
        y = rng.uniform(0.5, 0.95) * FRAME_HEIGHT
        pen.box(-9, y, FRAME_WIDTH + 9, y + thick, _muted(rng))
    else:
        for _ in range(rng.integers(5, 12)):
            leaf = pen.at(x + rng.normal(0, 12), rng.normal(2, 8), degrees=rng.uniform(90, 270))
            leaf.smooth([(-4, 0), (-5, -14), (0, -22), (5, -14), (4, 0)], (40, int(rng.uniform(90, 150)), 50))
    return image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.0, 1.2))))
