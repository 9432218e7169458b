"""Drawings of animals: cat, dog, rooster; same conventions as `draw_people`."""

from math import pi, sin

from .pen import Coat, Color, Pen, shade

FURS: tuple[Color, ...] = (
    (222, 150, 72), (120, 120, 125), (60, 56, 60), (240, 232, 220), (156, 108, 66), (205, 178, 138),
)  # fmt: skip
PINK: Color = (240, 140, 150)
WHITE: Color = (250, 250, 250)
DARK: Color = (35, 30, 35)


def _eye(pen: Pen, x: float, y: float, iris: Color, *, slit: bool = False) -> None:
    pen.oval(x, y, 4.4, 4.6, iris, outline=1.2)
    pen.oval(x, y, 1.2 if slit else 2.6, 3.8 if slit else 2.8, DARK, outline=0)
    pen.oval(x + 1.2, y - 1.4, 1, 1, WHITE, outline=0)


def _cat_head(pen: Pen, coat: Coat, meow: float) -> None:
    fur = coat.color(0, FURS)
    for side in (-1, 1):
        pen.shape([(20 * side, -4), (19 * side, -28), (4 * side, -15)], fur)
        pen.shape([(17 * side, -9), (16.5 * side, -21), (8 * side, -14)], PINK, outline=0)
    pen.smooth([(-23, 2), (-15, -14), (0, -17), (15, -14), (23, 2), (14, 15), (0, 18), (-14, 15)], fur)
    if coat.draws[1] < 0.6:
        for x in (-5, 0, 5):
            pen.stroke([(x, -15), (x * 0.7, -8)], 2, shade(fur, 0.6))
    iris = coat.color(2, ((150, 200, 70), (230, 190, 60), (110, 180, 220)))
    _eye(pen, -9, -1, iris, slit=True)
    _eye(pen, 9, -1, iris, slit=True)
    pen.oval(0, 10, 8, 5.5, shade(fur, 1.25), outline=0)
    pen.shape([(-3, 5), (3, 5), (0, 8.5)], PINK, outline=0.8)
    if meow > 0.4:
        pen.oval(0, 12.5, 3.6, 1.5 + 3.5 * meow, (150, 40, 50), outline=1)
    else:
        pen.stroke([(-5, 11), (-2, 12.5), (0, 10), (2, 12.5), (5, 11)], 1.3, DARK)
    for side in (-1, 1):
        for lift in (-3, 0, 3):
            pen.stroke([(8 * side, 9 + lift * 0.4), (29 * side, 8 + lift * 1.8)], 0.9, WHITE)


def cat(pen: Pen, coat: Coat, phase: float) -> None:
    """A cat with pointed ears, whiskers and a swinging tail, sitting or walking."""
    fur, wave, meow = coat.color(0, FURS), sin(2 * pi * phase), max(0.0, sin(2 * pi * phase + 1))
    if coat.draws[4] < 0.6:
        pen.stroke([(14, 44), (34, 42), (42, 26), (38 + 6 * wave, 10), (44 + 7 * wave, 0)], 8.5, DARK)
        pen.stroke([(14, 44), (34, 42), (42, 26), (38 + 6 * wave, 10), (44 + 7 * wave, 0)], 6.4, fur)
        pen.smooth([(-12, 0), (12, 0), (22, 28), (20, 48), (-20, 48), (-22, 28)], fur)
        pen.smooth([(-7, 8), (7, 8), (9, 28), (0, 36), (-9, 28)], shade(fur, 1.25), outline=0)
        for side in (-7, 7):
            pen.limb([(side, 24), (side, 44)], 7, fur)
            pen.oval(side, 47, 6, 4, shade(fur, 1.2))
        _cat_head(pen.at(0, -16, degrees=4 * wave), coat, meow)
        return
    pen.stroke([(34, 4), (46, -8), (44, -24 + 5 * wave), (50, -36 + 6 * wave)], 7.4, DARK)
    pen.stroke([(34, 4), (46, -8), (44, -24 + 5 * wave), (50, -36 + 6 * wave)], 5.4, fur)
    _legs(pen, fur, wave, x=(-16, -8, 24, 31), top=14, length=27)
    pen.smooth([(-22, 0), (0, -4), (34, -2), (38, 14), (24, 24), (-12, 24), (-24, 14)], fur)
    if coat.draws[1] < 0.6:
        for x in (0, 10, 20):
            pen.stroke([(x, -2), (x + 2, 10)], 2.6, shade(fur, 0.62))
    _cat_head(pen.at(-26, -10, degrees=3 * wave, scale=0.9), coat, meow)


def _legs(pen: Pen, fur: Color, wave: float, *, x: tuple[float, ...], top: float, length: float) -> None:
    """Four walking legs hanging from `top`."""
    for number, hip in enumerate(x):
        swing = 6 * wave * (-1 if number % 2 else 1)
        pen.limb(
            [(hip, top), (hip + swing * 0.4, top + length / 2), (hip + swing, top + length)], 6.5, shade(fur, 0.92)
        )
        pen.oval(hip + swing - 2, top + length + 1, 5, 3, shade(fur, 1.15))


def _dog_head(pen: Pen, coat: Coat, bark: float) -> None:
    fur, ear = coat.color(0, FURS), shade(coat.color(0, FURS), 0.62)
    pen.smooth([(-18, -6), (-12, -19), (0, -21), (12, -19), (18, -6), (15, 10), (0, 14), (-15, 10)], fur)
    if coat.draws[1] < 0.4:
        pen.oval(8, -5, 8, 9, shade(fur, 0.6), outline=0)
    for side in (-1, 1):
        pen.smooth([(12 * side, -20), (21 * side, -16), (28 * side, 4), (23 * side, 12), (17 * side, 0)], ear)
    _eye(pen, -7.5, -6, (110, 70, 40))
    _eye(pen, 7.5, -6, (110, 70, 40))
    if bark > 0.3:
        pen.smooth([(-8, 12), (8, 12), (6, 16 + 8 * bark), (-6, 16 + 8 * bark)], (140, 40, 50))
    pen.smooth([(-12, 8), (-6, -1), (6, -1), (12, 8), (6, 15), (-6, 15)], shade(fur, 1.22))
    if bark > 0.3 or coat.draws[3] < 0.6:
        pen.smooth([(-4, 13), (4, 13), (4, 22 + 3 * bark), (0, 25 + 3 * bark), (-4, 22 + 3 * bark)], PINK)
    pen.oval(0, 2, 5.5, 4, DARK, outline=0)
    pen.stroke([(0, 5), (0, 10)], 1.3, DARK)


def dog(pen: Pen, coat: Coat, phase: float) -> None:
    """A dog with hanging ears, a long muzzle, tongue and a wagging tail, sitting or standing."""
    fur, wag, bark = coat.color(0, FURS), sin(4 * pi * phase), max(0.0, sin(2 * pi * phase))
    collar = coat.color(5, ((200, 40, 40), (40, 80, 200), (40, 150, 70)))
    if coat.draws[4] < 0.5:
        pen.limb([(18, 40), (34, 34), (42 + 3 * wag, 18 + 6 * wag)], 7, fur)
        pen.smooth([(-14, 2), (14, 2), (24, 30), (24, 48), (-24, 48), (-24, 30)], fur)
        pen.smooth([(-8, 10), (8, 10), (8, 32), (-8, 32)], shade(fur, 1.22), outline=0)
        for side in (-9, 9):
            pen.limb([(side, 22), (side, 44)], 8.5, fur)
            pen.oval(side, 47, 7.5, 4.5, shade(fur, 1.15))
        pen.limb([(-12, 6), (0, 9), (12, 6)], 4, collar)
        _dog_head(pen.at(0, -16 - 2 * bark, degrees=5 * wag, scale=1.15), coat, bark)
        return
    pen.limb([(32, 0), (42, -10), (47 + 5 * wag, -24)], 6, fur)
    _legs(pen, fur, sin(2 * pi * phase), x=(-14, -6, 24, 31), top=14, length=29)
    pen.smooth([(-20, -6), (6, -6), (34, -4), (38, 12), (20, 18), (2, 24), (-16, 22), (-24, 8)], fur)
    if coat.draws[1] < 0.4:
        pen.oval(16, 2, 9, 6, shade(fur, 0.6), outline=0)
    pen.limb([(-24, 4), (-16, 8), (-10, 2)], 4, collar)
    _dog_head(pen.at(-26, -14 - 2 * bark, degrees=-4 + 4 * wag, scale=0.95), coat, bark)


def rooster(pen: Pen, coat: Coat, phase: float) -> None:
    """A rooster with red comb, fanned tail and a beak that opens to crow; or a hen, plainer and pecking."""
    body = coat.color(0, ((176, 92, 44), (240, 236, 226), (90, 60, 46), (210, 150, 80)))
    tail = coat.color(1, ((30, 70, 60), (50, 50, 90), (40, 36, 40), (120, 50, 30)))
    crow, hen = max(0.0, sin(2 * pi * phase)), coat.draws[4] < 0.35
    leg, red = (238, 176, 50), (214, 36, 40)
    for x in (-3, 9):
        pen.stroke([(x, 22), (x, 44), (x - 8, 48)], 3, leg)
        pen.stroke([(x, 44), (x + 6, 48)], 3, leg)
    for number, spread in enumerate((-8, 10, 28, 46, 62) if not hen else (20, 40)):
        feather = pen.at(22, 6, degrees=spread + 3 * sin(2 * pi * phase + number))
        feather.smooth([(-2, 0), (0, -30), (12, -40), (14, -26), (6, 2)], shade(tail, 0.8 + 0.25 * number))
    pen.smooth([(-18, -4), (-14, -16), (0, -6), (24, -6), (32, 4), (22, 22), (2, 28), (-16, 18)], body)
    pen.smooth([(0, 2), (18, 0), (26, 8), (12, 16), (2, 12)], shade(body, 0.78))
    neck = pen.at(-13, -4, degrees=-14 * crow if not hen else -46 * crow)
    neck.smooth([(-8, 10), (-7, -12), (-4, -26), (6, -26), (9, -8), (12, 10)], shade(body, 1.2))
    comb = 1.0 if not hen else 0.55
    neck.smooth(
        [(-5, -30), (-7, -30 - 12 * comb), (-2, -34), (2, -30 - 15 * comb), (5, -34), (10, -30 - 10 * comb), (8, -28)],
        red,
    )
    neck.oval(0, -27, 9, 9, shade(body, 1.2))
    neck.smooth([(-8, -22), (-3, -21), (-4, -8), (-9, -12)], red)
    neck.shape([(-8, -31), (-20, -27 - 4 * crow), (-8, -25)], leg)
    neck.shape([(-8, -26), (-17, -23 + 4 * crow), (-7, -22)], shade(leg, 0.85))
    neck.oval(-3, -29, 2.6, 2.6, WHITE, outline=1)
    neck.oval(-3.4, -29, 1.3, 1.3, DARK, outline=0)
