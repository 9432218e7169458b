"""Drawings of machines: car, motorcycle, helicopter, lawn mower, chainsaw; same conventions as `draw_people`."""

from math import pi, sin

from .pen import Coat, Color, Pen, shade
from .people import Person, head

PAINTS: tuple[Color, ...] = (
    (206, 44, 44), (40, 92, 186), (240, 196, 50), (60, 140, 74), (235, 235, 235), (70, 72, 80), (226, 120, 40),
)  # fmt: skip
GLASS: Color = (176, 214, 232)
TYRE: Color = (42, 42, 46)
STEEL: Color = (176, 180, 186)
DARK: Color = (35, 30, 35)


def wheel(pen: Pen, x: float, y: float, radius: float, turn: float) -> None:
    """A tyre with turning spokes; `turn` in rounds."""
    pen.oval(x, y, radius, radius, TYRE)
    pen.oval(x, y, radius * 0.58, radius * 0.58, STEEL)
    hub = pen.at(x, y, degrees=360 * turn)
    hub.stroke([(-radius * 0.5, 0), (radius * 0.5, 0)], 1.6, DARK)
    hub.stroke([(0, -radius * 0.5), (0, radius * 0.5)], 1.6, DARK)


def _puffs(pen: Pen, x: float, y: float, phase: float, *, color: Color = (205, 205, 205)) -> None:
    """Three exhaust puffs drifting right from (x, y)."""
    for number in range(3):
        age = (phase + number / 3) % 1.0
        pen.oval(x + 16 * age, y - 8 * age, 2 + 4.5 * age, 2 + 4 * age, color, outline=0)


def car(pen: Pen, coat: Coat, phase: float) -> None:
    """A driving car: saloon, van or pick-up from the side, or its front."""
    paint, shake = coat.color(0, PAINTS), 0.8 * sin(4 * pi * phase)
    if coat.draws[4] > 0.8:
        _car_front(pen.at(0, shake), paint)
        return
    body = pen.at(0, 4 + shake)
    _puffs(pen, 44, 22, phase)
    if coat.draws[4] < 0.45:  # saloon
        body.smooth([(-26, -4), (-14, -22), (16, -22), (32, -4)], paint)
        body.shape([(-20, -5), (-11, -18), (0, -18), (0, -5)], GLASS)
        body.shape([(4, -5), (4, -18), (14, -18), (25, -5)], GLASS)
    elif coat.draws[4] < 0.62:  # van
        body.box(-30, -26, 46, 4, paint)
        for x in (-26, -6, 14):
            body.box(x, -21, x + 16, -7, GLASS)
    else:  # pick-up
        body.smooth([(-24, -4), (-16, -22), (4, -22), (8, -4)], paint)
        body.shape([(-18, -5), (-12, -18), (1, -18), (3, -5)], GLASS)
        body.box(8, -10, 46, 2, shade(paint, 0.85))
    body.smooth([(-46, 2), (-40, -6), (40, -6), (46, 0), (47, 14), (-47, 14)], paint)
    body.stroke([(-42, 6), (44, 6)], 1.4, shade(paint, 0.65))
    body.oval(-44, 3, 4, 3.4, (255, 246, 170))
    body.box(42, -1, 47, 5, (190, 30, 30))
    body.stroke([(6, -1), (11, -1)], 1.8, DARK)
    for x in (-26, 27):
        wheel(body, x, 15, 11, -phase)


def _car_front(pen: Pen, paint: Color) -> None:
    for side in (-1, 1):
        pen.box(24 * side - 7, 22, 24 * side + 7, 40, TYRE)
        pen.oval(37 * side, -8, 5, 4, paint)
    pen.smooth([(-26, -4), (-19, -30), (19, -30), (26, -4)], paint)
    pen.shape([(-22, -6), (-16, -24), (16, -24), (22, -6)], GLASS)
    pen.smooth([(-36, 8), (-31, -6), (31, -6), (36, 8), (34, 30), (-34, 30)], paint)
    pen.box(-16, 6, 16, 18, (60, 60, 66))
    pen.box(-36, 22, 36, 30, shade(paint, 0.7))
    pen.box(-9, 22, 9, 29, (245, 245, 240))
    for side in (-1, 1):
        pen.oval(26 * side, 9, 7, 6, (255, 246, 170))


def motorcycle(pen: Pen, coat: Coat, phase: float) -> None:
    """A motorcycle from the side, with or without a rider in a helmet."""
    paint = coat.color(0, PAINTS)
    bike = pen.at(0, 8 + 0.9 * sin(4 * pi * phase), degrees=1.5 * sin(2 * pi * phase))
    _puffs(bike, 44, 26, phase)
    for x in (-32, 32):
        wheel(bike, x, 22, 16, -phase)
    bike.limb([(-32, 22), (-20, -10), (-16, -18)], 4, STEEL)
    bike.limb([(-24, -18), (-12, -17)], 3.5, DARK)
    bike.limb([(32, 22), (8, 20)], 4.5, (110, 112, 118))
    bike.box(-12, 8, 12, 28, (120, 122, 128))
    for y in (12, 17, 22):
        bike.stroke([(-10, y), (10, y)], 1.5, DARK)
    bike.limb([(4, 28), (40, 28)], 4.5, STEEL)
    bike.smooth([(-20, -2), (-12, -12), (4, -9), (8, 4), (-10, 8)], paint)
    bike.smooth([(2, -4), (22, -8), (40, -12), (36, 2), (8, 6)], (46, 42, 44))
    bike.smooth([(-48, 12), (-34, 1), (-18, 10), (-32, 7)], paint)
    bike.oval(-25, -10, 6, 6, (255, 246, 170))
    if coat.draws[4] < 0.6:
        suit = coat.color(2, ((50, 50, 58), (120, 40, 40), (60, 80, 120)))
        bike.limb([(16, -8), (-4, 2), (2, 20)], 8, shade(suit, 0.85))
        bike.smooth([(6, -8), (2, -32), (14, -36), (24, -8)], suit)
        bike.limb([(8, -28), (-6, -18), (-17, -18)], 6.5, shade(suit, 1.2))
        bike.oval(2, -43, 11, 11, shade(paint, 0.9))
        bike.smooth([(-9, -46), (0, -47), (1, -40), (-8, -38)], (60, 80, 96))


def helicopter(pen: Pen, coat: Coat, phase: float) -> None:
    """A helicopter in the air with a turning main and tail rotor."""
    paint = coat.color(0, PAINTS)
    body = pen.at(0, 2 * sin(2 * pi * phase), degrees=-4 + 8 * coat.draws[3])
    body.shape([(8, -6), (46, -12), (46, -6), (10, 10)], paint)
    body.smooth([(42, -8), (48, -26), (53, -26), (50, -6)], shade(paint, 0.8))
    tail = body.at(49, -14, degrees=360 * phase * 2 + 20)
    tail.stroke([(0, -10), (0, 10)], 2.2, DARK)
    tail.stroke([(-10, 0), (10, 0)], 2.2, DARK)
    for x in (-16, 8):
        body.stroke([(x, 18), (x - 3, 30)], 2.4, DARK)
    body.limb([(-34, 27), (-30, 31), (22, 31)], 2.6, (120, 122, 128))
    body.smooth([(-40, 8), (-32, -12), (-10, -18), (14, -12), (18, 8), (4, 20), (-26, 21)], paint)
    body.smooth([(-38, 6), (-30, -10), (-14, -14), (-14, 7)], GLASS)
    body.box(-9, -9, 4, 5, GLASS)
    body.stroke([(-32, 13), (14, 13)], 2, shade(paint, 0.6))
    body.box(-9, -26, -1, -16, (110, 112, 118))
    reach = 30 + 22 * abs(sin(2 * pi * phase + 0.5))
    body.smooth([(-5 - reach, -28), (-5, -30), (-5 + reach, -28), (-5, -25)], (86, 88, 94), outline=0.8)
    body.stroke([(-5 - 0.55 * (82 - reach), -31), (-5 + 0.55 * (82 - reach), -23)], 2, (120, 122, 128))


def lawn_mower(pen: Pen, coat: Coat, phase: float) -> None:
    """A push mower throwing grass, or a ride-on mower with its driver."""
    paint, shake = coat.color(0, PAINTS[:4] + PAINTS[6:]), 0.9 * sin(4 * pi * phase)
    for x in range(-50, 51, 7):
        pen.shape([(x - 4, 50), (x, 37 + 5 * ((x * 7) % 3) / 2), (x + 4, 50)], (70, 150, 60), outline=0)
    mower = pen.at(0, 4 + shake)
    if coat.draws[4] < 0.7:
        mower.limb([(6, 18), (32, -30), (46, -34)], 3.6, (60, 60, 66))
        mower.limb([(14, 20), (38, -30)], 3.2, (60, 60, 66))
        mower.limb([(40, -36), (50, -32)], 4.5, DARK)
        mower.smooth([(-44, 28), (-40, 12), (14, 10), (20, 28)], paint)
        mower.box(-27, -4, 0, 12, (70, 72, 80))
        mower.oval(-14, -5, 11, 5, shade(paint, 0.8))
        mower.limb([(0, 4), (7, 2)], 4, STEEL)
        for x, radius in ((-34, 9), (14, 11)):
            wheel(mower, x, 40 - radius, radius, -phase)
    else:
        person = Person.of(coat)
        mower.smooth([(-46, 22), (-44, 2), (-14, 0), (-8, 18), (36, 16), (40, 26)], paint)
        mower.smooth([(16, 16), (22, -10), (30, -8), (34, 14)], (60, 60, 66))
        mower.smooth([(8, 8), (8, -18), (20, -20), (26, 8)], person.shirt)
        mower.limb([(12, -12), (0, -4), (-10, -4)], 6, person.skin)
        mower.limb([(14, 8), (-4, 8), (-6, 20)], 8, (60, 80, 130))
        mower.stroke([(-16, 4), (-10, -8)], 3, DARK)
        head(mower.at(12, -33, scale=0.62), person)
        for x, radius in ((-30, 11), (26, 15)):
            wheel(mower, x, 42 - radius, radius, -phase)
    for number in range(5):
        age = (phase + number / 5) % 1.0
        mower.stroke(
            [(-40 - 12 * age, 26 - 24 * age + 9 * number), (-43 - 12 * age, 24 - 24 * age + 9 * number)],
            2,
            (90, 170, 70),
        )


def chainsaw(pen: Pen, coat: Coat, phase: float) -> None:
    """A trembling chainsaw with a toothed bar, cutting a log or held in gloves."""
    paint, shake = coat.color(0, PAINTS[:4] + PAINTS[6:]), 1.6 * sin(6 * pi * phase)
    if coat.draws[4] < 0.65:
        bark = coat.color(2, ((120, 78, 48), (96, 66, 46), (150, 110, 76)))
        pen.box(-48, 22, 14, 46, bark)
        for y in (28, 34, 40):
            pen.stroke([(-44, y), (8, y - 1)], 1.3, shade(bark, 0.7))
        pen.oval(14, 34, 7, 12, (222, 184, 130))
        pen.oval(14, 34, 3.5, 6, (190, 148, 98))
    saw = pen.at(shake, 2 + 0.6 * shake, degrees=-14 + 24 * coat.draws[3])
    saw.smooth([(-4, -2), (-46, -1), (-51, 5), (-46, 11), (-4, 12)], STEEL)
    for number in range(9):
        x = -46 + 5 * ((number + 2 * phase) % 9)
        for y, tip in ((-2, -5), (12, 15)):
            saw.shape([(x - 2, y), (x, tip), (x + 2, y)], (64, 64, 70), outline=0)
    saw.stroke([(-42, 5), (-8, 5)], 1.6, (130, 132, 138))
    saw.smooth([(-6, -12), (10, -16), (28, -12), (30, 14), (-6, 16)], paint)
    saw.box(0, 0, 20, 10, shade(paint, 0.62))
    saw.limb([(26, -10), (44, -8), (48, 6), (42, 14), (28, 12)], 5.5, (50, 50, 56))
    saw.limb([(-2, -10), (2, -26), (16, -28), (22, -12)], 4.5, (50, 50, 56))
    if coat.draws[5] < 0.5:
        glove = coat.color(6, ((200, 160, 90), (90, 90, 96), (220, 220, 210)))
        saw.limb([(30, -50), (16, -32)], 10, coat.color(7, PAINTS))
        saw.oval(11, -27, 8, 6, glove)
        saw.limb([(50, -30), (46, -4)], 10, coat.color(7, PAINTS))
        saw.oval(46, 2, 7, 8, glove)
    for number in range(6):
        age = (phase + number / 6) % 1.0
        saw.oval(-8 + (4 + 3 * number) * age, 14 + 22 * age, 1.7, 1.7, (226, 190, 130), outline=0)
