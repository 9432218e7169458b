"""Drawings of instruments: violin, cello, guitar, banjo (alike on purpose), accordion; conventions as `draw_people`."""

from math import pi, sin

from .pen import Coat, Color, Pen, shade
from .people import Person, head, torso

WOODS: tuple[Color, ...] = ((176, 96, 44), (146, 70, 34), (206, 138, 66), (110, 56, 32), (222, 170, 96))
STRING: Color = (236, 232, 220)
DARK: Color = (35, 30, 35)


def _player(pen: Pen, coat: Coat, *, chance: float) -> None:
    """With probability `chance` of this look, a silent player behind the instrument."""
    if coat.draws[5] < chance:
        person = Person.of(coat)
        body = pen.at(0, -24, scale=0.92)
        torso(body, person)
        head(body, person, eyes="closed" if coat.draws[6] < 0.5 else "open")


def _waisted(pen: Pen, size: float, wood: Color) -> None:
    """The waisted body of violin, cello and guitar around the origin, neck towards -y."""
    outline = [
        (-11, -22),
        (0, -24),
        (11, -22),
        (15, -14),
        (9, -3),
        (13, 4),
        (19, 14),
        (14, 26),
        (0, 29),
        (-14, 26),
        (-19, 14),
    ]
    outline += [(-13, 4), (-9, -3), (-15, -14)]
    pen.smooth([(x * size, y * size) for x, y in outline], wood)
    pen.smooth([(x * size * 0.8, y * size * 0.86) for x, y in outline], shade(wood, 1.16), outline=0)


def _neck(pen: Pen, top: float, bottom: float, width: float, *, scroll: bool) -> None:
    """Fingerboard from `bottom` up to `top`, pegs, and a scroll or a flat head."""
    pen.shape([(-width, bottom), (width, bottom), (width * 0.75, top), (-width * 0.75, top)], (48, 36, 32))
    for peg in (2, 7):
        pen.stroke([(-width - 4, top - peg), (width + 4, top - peg)], 2.4, (60, 44, 36))
    if scroll:
        pen.box(-width * 0.8, top - 10, width * 0.8, top + 1, (96, 56, 36))
        pen.oval(0, top - 11, width * 1.2, width * 1.2, (96, 56, 36))
    else:
        pen.shape(
            [(-width, top + 1), (width, top + 1), (width * 1.5, top - 12), (-width * 1.5, top - 12)], (96, 56, 36)
        )


def _strings(pen: Pen, top: float, bottom: float) -> None:
    for x in (-1.8, 0, 1.8):
        pen.stroke([(x * 0.8, top), (x, bottom)], 0.7, STRING)


def _bow(pen: Pen, y: float, stroke: float, *, tilt: float) -> None:
    """A bow across the strings at height `y`, moved by `stroke`."""
    bow = pen.at(stroke, y, degrees=tilt)
    bow.stroke([(-38, 2.2), (34, 2.2)], 1.6, (244, 240, 226))
    bow.limb([(-38, -1), (0, -3.4), (36, -1)], 1.8, (96, 44, 30))
    bow.box(28, -2, 36, 4, DARK)


def _holes(pen: Pen, size: float) -> None:
    for side in (-1, 1):
        pen.stroke(
            [(7 * side * size, 2 * size), (5.5 * side * size, 7 * size), (8 * side * size, 12 * size)], 1.7 * size, DARK
        )


def _arm(pen: Pen, coat: Coat, hand: tuple[float, float], elbow: tuple[float, float]) -> None:
    if coat.draws[5] < 0.75:
        person = Person.of(coat)
        pen.limb([elbow, hand], 7.5, shade(person.shirt, 0.86))
        pen.oval(*hand, 5.5, 5.5, person.skin)


def violin(pen: Pen, coat: Coat, phase: float) -> None:
    """A small waisted body held slanting, with a bow drawn across; mostly under a player's chin."""
    _player(pen.at(10, -4), coat, chance=0.6)
    wood, pull = coat.color(7, WOODS), sin(2 * pi * phase)
    held = pen.at(-4, 8, degrees=-62 + 44 * coat.draws[4], scale=1.0 if coat.draws[5] < 0.6 else 1.25)
    _waisted(held, 0.92, wood)
    _holes(held, 0.9)
    held.smooth([(-2, 15), (2, 15), (3.5, 25), (-3.5, 25)], DARK, outline=0)
    _neck(held, -44, 2, 2.6, scroll=True)
    _strings(held, -44, 16)
    held.box(-5, 8, 5, 10, (222, 184, 130), outline=0.8)
    held.oval(-8, 22, 5.5, 4.5, DARK)
    _bow(held, 4, 14 * pull, tilt=8 - 16 * coat.draws[3])
    _arm(pen, coat, (26 + 8 * pull, 16 + 5 * pull), (42, 38))


def cello(pen: Pen, coat: Coat, phase: float) -> None:
    """A large upright waisted body on a spike, with a bow drawn across; mostly before a seated player."""
    _player(pen.at(14, -2), coat, chance=0.6)
    wood, pull = coat.color(7, WOODS), sin(2 * pi * phase)
    held = pen.at(-2, 12, degrees=-12 + 18 * coat.draws[4])
    held.stroke([(0, 28), (0, 44)], 2, DARK)
    _waisted(held, 1.12, wood)
    _holes(held, 1.15)
    held.smooth([(-2.5, 17), (2.5, 17), (4, 29), (-4, 29)], DARK, outline=0)
    _neck(held, -50, -4, 3, scroll=True)
    _strings(held, -50, 18)
    held.box(-6, 9, 6, 11.5, (222, 184, 130), outline=0.8)
    _bow(held, 2, 12 * pull, tilt=-4 + 14 * coat.draws[3])
    _arm(pen, coat, (30 + 9 * pull, 16), (44, 2))


def guitar(pen: Pen, coat: Coat, phase: float) -> None:
    """A guitar with a round hole held across, and a strumming hand."""
    _player(pen.at(-4, -8), coat, chance=0.6)
    wood, strum = coat.color(7, WOODS), sin(4 * pi * phase)
    held = pen.at(-8, 16, degrees=58 + 26 * coat.draws[4], scale=1.05)
    _waisted(held, 1.1, wood)
    held.oval(0, -4, 6.6, 6.6, (46, 34, 30), outline=1.6)
    _neck(held, -56, -8, 3, scroll=False)
    for fret in range(-52, -10, 8):
        held.stroke([(-2.4, fret), (2.4, fret)], 1, (190, 186, 176))
    held.box(-8, 13, 8, 17, (60, 40, 34))
    _strings(held, -56, 15)
    _arm(pen, coat, (-14, 15 + 8 * strum), (-40, 2))
    if coat.draws[5] < 0.75:
        pen.oval(26, 6 + 3 * strum, 5.5, 5.5, Person.of(coat).skin)


def banjo(pen: Pen, coat: Coat, phase: float) -> None:
    """A round drum with a long neck held across, and a picking hand."""
    _player(pen.at(-4, -8), coat, chance=0.6)
    pick = sin(6 * pi * phase)
    held = pen.at(-10, 16, degrees=58 + 26 * coat.draws[4], scale=1.05)
    held.oval(0, 4, 22, 22, coat.color(7, ((176, 180, 186), *WOODS[:3])))
    held.oval(0, 4, 18, 18, (244, 238, 222))
    for turn in range(0, 360, 45):
        held.at(0, 4, degrees=turn).box(-1.5, -23, 1.5, -18, (120, 122, 128), outline=0)
    _neck(held, -58, -14, 2.6, scroll=False)
    for fret in range(-54, -16, 8):
        held.stroke([(-2.2, fret), (2.2, fret)], 1, (190, 186, 176))
    held.box(-6, 9, 6, 12, (140, 90, 50))
    _strings(held, -58, 20)
    _arm(pen, coat, (-12 + 3 * pick, 18 + 3 * pick), (-40, 4))
    if coat.draws[5] < 0.75:
        pen.oval(26, 6, 5.5, 5.5, Person.of(coat).skin)


def accordion(pen: Pen, coat: Coat, phase: float) -> None:
    """Pleated bellows between two boxes, opening and closing, with keys; mostly held by a player."""
    _player(pen.at(0, -6), coat, chance=0.6)
    paint = coat.color(7, ((190, 36, 44), (36, 36, 42), (40, 80, 160), (230, 226, 214), (110, 40, 60)))
    half = 15 + 9 * (0.5 + 0.5 * sin(2 * pi * phase))
    folds = 9
    for number in range(folds):
        left = -half + 2 * half * number / folds
        color = (232, 226, 210) if number % 2 else shade(paint, 0.6)
        pen.box(left, -8 + 2 * (number % 2), left + 2 * half / folds, 40 - 2 * (number % 2), color, outline=0.9)
    buttons = pen.at(-half, 0, degrees=-4)
    buttons.box(-18, -12, 1, 43, paint)
    for row in range(5):
        for column in range(2):
            buttons.oval(-13 + 7 * column, -5 + 10 * row, 2.3, 2.3, (250, 250, 245), outline=0.8)
    right = pen.at(half, 0, degrees=4)
    right.box(-1, -12, 18, 43, paint)
    right.box(8, -10, 18, 41, (250, 250, 245))
    for key in range(-6, 40, 7):
        right.stroke([(8, key), (18, key)], 1, DARK)
        right.box(8, key + 2, 13, key + 5, DARK, outline=0)
    if coat.draws[5] < 0.75:
        person = Person.of(coat)
        pen.oval(half + 17, 18, 6, 7, person.skin)
        pen.oval(-half - 17, 20, 6, 7, person.skin)
