"""Drawings of household things: vacuum, blender, frying pan, telephone, fire alarm; conventions as `draw_people`."""

from math import cos, pi, sin

from .pen import Coat, Color, Pen, shade

PAINTS: tuple[Color, ...] = (
    (206, 44, 44), (40, 92, 186), (240, 196, 50), (60, 140, 74), (228, 228, 228), (70, 72, 80), (140, 80, 160),
)  # fmt: skip
STEEL: Color = (176, 180, 186)
DARK: Color = (35, 30, 35)
_FIRE = (
    (((0, 1), (0, 0), (1, 0)), ((0, 0.5), (0.8, 0.5))),
    (((0.5, 0), (0.5, 1)),),
    (((0, 1), (0, 0), (1, 0.1), (1, 0.4), (0, 0.5)), ((0.3, 0.5), (1, 1))),
    (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
)  # the letters F, I, R, E as strokes in a unit square


def vacuum_cleaner(pen: Pen, coat: Coat, phase: float) -> None:
    """An upright vacuum cleaner pushed to and fro, or a canister with hose and nozzle."""
    paint, push = coat.color(0, PAINTS), sin(2 * pi * phase)
    if coat.draws[4] < 0.5:
        cleaner = pen.at(6 * push, 0)
        handle = cleaner.at(-6, 34, degrees=18 + 5 * push)
        handle.limb([(0, -40), (0, -78), (6, -86)], 3.6, (70, 72, 80))
        handle.smooth([(-10, 0), (-11, -36), (0, -48), (11, -36), (10, 0)], paint)
        handle.box(-6, -34, 6, -10, (196, 220, 230))
        handle.stroke([(-3, -14), (3, -30)], 1.5, (150, 150, 150))
        cleaner.smooth([(-38, 46), (-34, 34), (0, 30), (12, 36), (12, 46)], shade(paint, 0.75))
        cleaner.oval(4, 43, 6, 6, (50, 50, 54))
    else:
        nozzle = 7 * push
        pen.stroke([(12, 20), (4, -16), (-16, -36), (-30 + nozzle / 2, -26)], 6.4, DARK)
        pen.stroke([(12, 20), (4, -16), (-16, -36), (-30 + nozzle / 2, -26)], 4.2, (110, 112, 118))
        pen.limb([(-30 + nozzle / 2, -26), (-36 + nozzle, 40)], 3.6, STEEL)
        pen.smooth([(-50 + nozzle, 47), (-46 + nozzle, 39), (-28 + nozzle, 39), (-24 + nozzle, 47)], shade(paint, 0.7))
        pen.smooth([(-4, 40), (0, 18), (20, 8), (42, 14), (50, 40)], paint)
        pen.smooth([(10, 20), (22, 13), (36, 18), (30, 24), (14, 25)], shade(paint, 1.35))
        pen.oval(6, 40, 6, 6, (50, 50, 54))
        pen.oval(38, 38, 10, 10, (50, 50, 54))
        pen.oval(38, 38, 4, 4, STEEL)


def blender(pen: Pen, coat: Coat, phase: float) -> None:
    """A kitchen blender: a glass jug with whirling fruit on a motor base."""
    paint, shake = coat.color(0, PAINTS), 1.1 * sin(6 * pi * phase)
    juice = coat.color(1, ((232, 90, 110), (150, 200, 80), (250, 190, 70), (190, 120, 200), (150, 96, 60)))
    base = pen.at(shake, 0)
    base.limb([(19, -24), (33, -20), (31, 6), (15, 8)], 4, (206, 222, 228))
    base.shape([(-22, -34), (22, -34), (15, 16), (-15, 16)], (214, 232, 238))
    level = -18 + 3 * sin(2 * pi * phase)
    wave = [(-20 + 5 * x, level + 4 * sin(2 * pi * phase + x)) for x in range(9)]
    base.shape([*wave, (15, 15), (-15, 15)], juice, outline=0)
    for number in range(6):
        angle = 2 * pi * (phase + number / 6)
        base.oval(11 * cos(angle), -2 + 2.2 * number - 4 + 3 * sin(angle), 2.6, 2.2, shade(juice, 1.3), outline=0)
    base.stroke([(-8, 13), (8, 10)], 2, DARK)
    base.stroke([(-15, -28), (-11, 10)], 2, (250, 252, 252))
    base.box(-24, -42, 24, -33, shade(paint, 0.7))
    base.box(-7, -48, 7, -41, shade(paint, 0.7))
    base.smooth([(-16, 16), (16, 16), (24, 46), (-24, 46)], paint)
    base.oval(0, 32, 7, 7, (230, 230, 230))
    base.at(0, 32, degrees=coat.between(3, -60, 60)).stroke([(0, 0), (0, -6)], 1.8, DARK)


def frying(pen: Pen, coat: Coat, phase: float) -> None:
    """A pan seen from above with sizzling food, bubbles and steam."""
    iron = coat.color(0, ((52, 52, 58), (84, 84, 92), (120, 60, 50), (40, 60, 70)))
    if coat.draws[3] < 0.5:
        for number in range(8):
            flame = 5 + 3 * sin(2 * pi * phase + 2 * number)
            x = -30 + 7 * number
            pen.shape([(x - 4, 40), (x, 44 + flame), (x + 4, 40)], (90, 150, 250), outline=0)
    pen.limb([(24, 20), (52, 36)], 8, (60, 40, 34))
    pen.oval(-6, 8, 40, 31, shade(iron, 0.8), outline=1.8)
    pen.oval(-6, 6, 34, 25, iron)
    oil = coat.color(1, ((150, 110, 50), (120, 90, 50), (90, 76, 60)))
    pen.oval(-6, 7, 29, 20, oil, outline=0)
    _food(pen.at(-6, 6 + 0.8 * sin(6 * pi * phase)), coat)
    for number in range(9):
        age = (1.7 * number + phase) % 1.0
        angle = 2.4 * number
        pen.oval(-6 + 26 * cos(angle), 7 + 18 * sin(angle), 1 + 1.8 * age, 1 + 1.8 * age, (244, 226, 170), outline=0.6)
    for number, x in enumerate((-22, -4, 14)):
        drift = 3 * sin(2 * pi * phase + number)
        rise = -8 * ((phase + number / 3) % 1.0)
        trail = [(x + drift, -18 + rise), (x + 4 - drift, -27 + rise), (x - 3 + drift, -36 + rise), (x + 2, -43 + rise)]
        pen.stroke(trail, 3, (232, 232, 236))


def _food(pen: Pen, coat: Coat) -> None:
    """Eggs, sausages, fish or vegetables in the pan."""
    kind = coat.among(4, ("eggs", "sausages", "steak", "vegetables"))
    if kind == "eggs":
        for x, y in ((-11, -2), (11, 3)):
            pen.smooth(
                [(x - 12, y), (x - 4, y - 9), (x + 9, y - 7), (x + 12, y + 3), (x + 2, y + 10), (x - 9, y + 7)],
                (252, 250, 242),
            )
            pen.oval(x, y, 4.6, 4.2, (252, 190, 40), outline=0.8)
    elif kind == "sausages":
        for y in (-9, 0, 9):
            pen.limb([(-16, y + 2), (0, y - 1), (15, y + 1)], 6, (170, 76, 48))
            pen.stroke([(-8, y - 2), (-5, y + 1)], 1.3, (110, 44, 30))
    elif kind == "steak":
        pen.smooth([(-19, 2), (-10, -12), (8, -12), (20, -2), (12, 12), (-8, 12)], (150, 70, 56))
        pen.smooth([(-12, 1), (-6, -7), (4, -7), (8, 0), (0, 6)], (196, 110, 90), outline=0)
    else:
        greens: tuple[Color, ...] = ((96, 170, 70), (230, 120, 50), (200, 50, 50), (240, 220, 120))
        for number in range(11):
            pen.oval(
                19 * cos(2.4 * number) * (number / 11),
                13 * sin(2.4 * number),
                4.2,
                3.4,
                greens[number % 4],
                outline=0.9,
            )


def telephone(pen: Pen, coat: Coat, phase: float) -> None:
    """A ringing telephone: an old one with a dancing receiver, or a lit, trembling mobile phone."""
    paint, ring = coat.color(0, PAINTS), sin(6 * pi * phase)
    bow = coat.color(6, ((255, 236, 120), (250, 250, 250)))
    if coat.draws[4] < 0.65:
        pen.smooth([(-24, -4), (24, -4), (40, 34), (38, 42), (-38, 42), (-40, 34)], paint)
        pen.box(-22, -10, -12, 0, shade(paint, 0.8))
        pen.box(12, -10, 22, 0, shade(paint, 0.8))
        pen.oval(0, 19, 17, 15, (240, 236, 226))
        for number in range(10):
            angle = 2 * pi * number / 12 - 1
            pen.oval(11.5 * cos(angle), 19 + 10 * sin(angle), 2.4, 2.2, (60, 56, 60), outline=0)
        pen.oval(0, 19, 5, 4.6, paint, outline=1)
        receiver = pen.at(1.5 * ring, -18 - 2.5 * abs(ring), degrees=6 * ring)
        receiver.limb([(-30, 0), (0, -7), (30, 0)], 9, shade(paint, 0.9))
        for side in (-1, 1):
            receiver.oval(32 * side, 4, 10, 8, shade(paint, 0.75))
    else:
        phone = pen.at(1.5 * ring, 2, degrees=4 * ring + 20 * (coat.draws[3] - 0.5))
        phone.box(-21, -42, 21, 42, (40, 40, 46))
        phone.box(-18, -36, 18, 36, coat.color(5, ((110, 190, 240), (120, 220, 160), (240, 240, 244))))
        phone.oval(0, -14, 9, 9, (240, 220, 200))
        for x, color in ((-9, (210, 50, 50)), (9, (50, 170, 80))):
            phone.oval(x, 24, 6, 6, color)
        phone.limb([(-4, -39), (4, -39)], 1.5, (90, 90, 96))
    for side in (-1, 1):
        for reach in (0, 8):
            if ring * side > -0.5:
                pen.arc(side * (36 + reach), -24, 7, 12, (-50, 50) if side > 0 else (130, 230), 2.4, bow)


def fire_alarm(pen: Pen, coat: Coat, phase: float) -> None:
    """A fire alarm: a red bell with its clapper, a red call box with a flashing lamp, or a smoke detector."""
    flash = sin(2 * pi * phase) > 0
    red, shake = coat.color(0, ((214, 36, 36), (190, 28, 40), (228, 60, 40))), sin(6 * pi * phase)
    lamp = (255, 250, 210) if flash else (200, 120, 110)
    if coat.draws[4] < 0.45:
        bell = pen.at(shake, 0)
        bell.box(-12, 30, 12, 46, (176, 180, 186))
        bell.oval(0, 2, 36, 36, red)
        bell.oval(0, 2, 27, 27, shade(red, 1.22), outline=1)
        bell.oval(0, 2, 8, 8, (236, 230, 220))
        bell.oval(-12, -14, 7, 5, (255, 170, 160), outline=0)
        bell.limb([(4, 36), (25 + 4 * shake, 38)], 3, DARK)
        bell.oval(28 + 4 * shake, 37, 5, 5, (90, 90, 96))
    elif coat.draws[4] < 0.88:
        pen.box(-30, -28, 30, 46, red)
        pen.box(-25, -16, 25, 8, (248, 244, 238))
        for number, letter in enumerate(_FIRE):
            for line in letter:
                pen.stroke([(x * 7 - 20 + 11 * number, y * 14 - 11) for x, y in line], 2.8, red)
        pen.smooth([(-9, 36), (-10, 28), (-3, 22), (0, 12), (7, 24), (10, 30), (7, 37), (0, 40)], (255, 190, 60))
        pen.smooth([(-4, 37), (0, 27), (4, 35), (0, 39)], (255, 240, 170), outline=0)
        pen.smooth([(-13, -28), (-11, -42), (0, -47), (11, -42), (13, -28)], lamp)
    else:
        pen.oval(0, 6, 40, 30, (232, 230, 224))
        pen.oval(0, 2, 30, 21, (246, 244, 240))
        for turn in range(0, 360, 30):
            pen.oval(23 * cos(turn * pi / 180), 2 + 15 * sin(turn * pi / 180), 2.2, 1.7, (90, 90, 96), outline=0)
        pen.oval(0, 2, 6, 5, (255, 60, 50) if flash else (130, 40, 40))
    if flash:
        for turn in (-60, -30, 0, 30, 60):
            pen.at(0, -12, degrees=turn).stroke([(0, -40), (0, -49)], 2.6, (255, 220, 90))
