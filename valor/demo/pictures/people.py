"""Drawings of people: talking, singing, babies, a cheering crowd, clapping hands, basketball.

Each drawing fills about 100 x 100 units around the origin; `phase` in [0, 1) runs once through its movement.
"""

from dataclasses import dataclass
from math import cos, pi, sin

from .pen import Coat, Color, Pen, shade

SKINS: tuple[Color, ...] = ((255, 219, 190), (240, 190, 150), (205, 145, 105), (150, 98, 66), (112, 72, 50))
HAIRS: tuple[Color, ...] = ((30, 25, 25), (84, 54, 34), (150, 92, 42), (222, 184, 96), (140, 140, 140), (165, 66, 32))
SHIRTS: tuple[Color, ...] = (
    (200, 50, 50), (50, 90, 180), (60, 150, 80), (235, 235, 230), (60, 60, 70),
    (230, 180, 60), (140, 80, 160), (80, 170, 190),
)  # fmt: skip
MOUTH: Color = (110, 25, 30)
WHITE: Color = (250, 250, 250)
DARK: Color = (35, 30, 35)


@dataclass(frozen=True)
class Person:
    """Colours and hair of one person."""

    skin: Color
    hair: Color
    shirt: Color
    hair_style: int

    @classmethod
    def of(cls, coat: Coat) -> "Person":
        """The person that a coat stands for."""
        return cls(coat.color(0, SKINS), coat.color(1, HAIRS), coat.color(2, SHIRTS), coat.among(3, (0, 1, 2, 3)))


def head(pen: Pen, person: Person, *, mouth: float = 0.0, eyes: str = "open") -> None:
    """A face of radius about 20 around the origin; `mouth` in [0, 1] is how far it is open."""
    if person.hair_style == 1:  # long
        pen.smooth([(-21, -8), (0, -24), (21, -8), (23, 24), (10, 28), (-10, 28), (-23, 24)], person.hair)
    elif person.hair_style == 2:  # curly
        for angle in range(200, 341, 28):
            pen.oval(19 * cos(angle * pi / 180), 17 * sin(angle * pi / 180), 8, 8, person.hair)
    elif person.hair_style == 3:  # bun
        pen.oval(0, -24, 8, 7, person.hair)
    pen.oval(-18, 2, 4, 5, person.skin)
    pen.oval(18, 2, 4, 5, person.skin)
    pen.oval(0, 0, 18, 21, person.skin)
    pen.smooth([(-18, -4), (-17, -16), (0, -24), (17, -16), (18, -4), (12, -12), (0, -14), (-12, -12)], person.hair)
    _eyes(pen, eyes)
    pen.stroke([(0, 0), (-2, 5), (1, 6)], 1.4, shade(person.skin, 0.65))
    if mouth < 0.12:
        pen.stroke([(-6, 12), (0, 13), (6, 12)], 1.8, MOUTH)
    else:
        pen.oval(0, 12, 7 - 1.5 * mouth, 1.5 + 6 * mouth, MOUTH, outline=1.2)
        pen.box(-4, 12 - 5 * mouth, 4, 13 - 3.2 * mouth, WHITE, outline=0)


def _eyes(pen: Pen, eyes: str) -> None:
    for side in (-7.5, 7.5):
        if eyes == "open":
            pen.oval(side, -2, 3.6, 3.2, WHITE, outline=1)
            pen.oval(side + 0.6, -2, 1.9, 2.1, DARK, outline=0)
            pen.stroke([(side - 4, -8), (side + 4, -8)], 1.6, DARK)
        elif eyes == "happy":
            pen.arc(side, 0, 4.2, 4.5, (190, 350), 2, DARK)
        elif eyes == "squeezed":
            inner = 3.5 if side < 0 else -3.5
            pen.stroke([(side - inner, -5), (side + inner, -1.5), (side - inner, 1)], 2, DARK)
        else:
            pen.arc(side, -3, 4.2, 3, (10, 170), 1.8, DARK)


def torso(pen: Pen, person: Person) -> None:
    """Neck and shoulders under a head at the origin, down to y = 66."""
    pen.box(-6, 14, 6, 30, shade(person.skin, 0.88))
    pen.smooth([(-8, 24), (8, 24), (26, 31), (32, 66), (-32, 66), (-26, 31)], person.shirt)
    pen.shape([(-7, 24), (7, 24), (0, 33)], shade(person.skin, 0.92), outline=1)


def speech(pen: Pen, coat: Coat, phase: float) -> None:
    """One person talking to the viewer with a moving hand, or two talking to each other."""
    opening = abs(sin(2 * pi * phase)) * (0.55 + 0.45 * cos(4 * pi * phase) ** 2)
    if coat.draws[4] < 0.6:
        person = Person.of(coat)
        body = pen.at(0, -16, degrees=3 * sin(2 * pi * phase))
        torso(body, person)
        head(body, person, mouth=0.15 + 0.75 * opening)
        lift = 10 * sin(2 * pi * phase + coat.draws[5] * 6)
        arm = pen.at(0, 0, stretch=-1 if coat.draws[5] < 0.5 else 1)
        arm.limb([(-26, 34), (-40, 38), (-38, 20 + lift)], 9, shade(person.shirt, 0.9))
        arm.oval(-38, 14 + lift, 6, 7, person.skin)
        return
    for side, wearer, says in ((-25, coat, opening), (25, coat.reversed(), 1 - opening)):
        person = Person.of(wearer)
        body = pen.at(side, -8, degrees=-side * 0.25, scale=0.8)
        torso(body, person)
        head(body.at(-0.12 * side, 0), person, mouth=0.7 * says)


def singing(pen: Pen, coat: Coat, phase: float) -> None:
    """A swaying person with closed eyes and a wide mouth at a microphone."""
    person = Person.of(coat)
    sway = sin(2 * pi * phase)
    body = pen.at(0, -14, degrees=6 * sway)
    torso(body, person)
    face = body.at(0, 0, degrees=5 * sway - 4)
    head(face, person, mouth=0.75 + 0.25 * cos(4 * pi * phase), eyes="closed")
    metal = coat.color(6, ((70, 70, 75), (150, 150, 155), (35, 35, 38)))
    if coat.draws[5] < 0.55:
        body.limb([(24, 40), (30, 58), (17, 33)], 9, shade(person.shirt, 0.88))
        body.limb([(20, 40), (10, 22)], 4.5, metal)
        body.oval(8, 19, 6.5, 6.5, shade(metal, 1.6))
        body.stroke([(3, 18), (12, 21)], 1.2, DARK)
        body.oval(17, 33, 6, 6, person.skin)
    else:
        pen.limb([(12, 50), (14, 4)], 3, metal)
        pen.limb([(14, 6), (4, 2)], 4.5, metal)
        pen.oval(3, 2, 6, 6, shade(metal, 1.6))
        if coat.draws[5] > 0.8:
            body.limb([(-26, 38), (-44, 22), (-42, -2 + 5 * sway)], 9, shade(person.shirt, 0.88))
            body.oval(-42, -6 + 5 * sway, 6, 6, person.skin)


def _baby_body(pen: Pen, coat: Coat, lift: float) -> Color:
    skin = coat.color(0, SKINS)
    suit = coat.color(2, ((240, 170, 190), (150, 200, 240), (250, 230, 140), (190, 225, 180), (245, 245, 240)))
    for side in (-1, 1):
        pen.limb([(16 * side, 24), (32 * side, 18 - lift * 12)], 10, suit)
        pen.oval(34 * side, 15 - lift * 12, 6, 6, skin)
        pen.oval(22 * side, 46, 12, 7, suit)
    pen.oval(0, 34, 22, 18, suit)
    pen.oval(0, 40, 8, 6, shade(suit, 1.12), outline=0)
    return skin


def _baby_face(pen: Pen, coat: Coat, skin: Color, *, flush: float, eyes: str) -> None:
    red = (min(255, int(skin[0] * 1.02)), int(skin[1] * (1 - 0.25 * flush)), int(skin[2] * (1 - 0.2 * flush)))
    for side in (-1, 1):
        pen.oval(29 * side, 0, 5, 6, red)
    pen.smooth([(-29, 2), (-25, -20), (0, -32), (25, -20), (29, 2), (20, 22), (0, 27), (-20, 22)], red)
    hair = coat.color(1, HAIRS)
    pen.arc(0, -27, 6, 7, (20, 290), 3, hair)
    if coat.draws[3] > 0.6:
        pen.smooth([(-22, -21), (0, -32), (22, -21), (0, -25)], hair)
    elif coat.draws[3] < 0.2:
        pen.shape([(0, -29), (-13, -37), (-13, -23)], (230, 60, 110))
        pen.shape([(0, -29), (13, -37), (13, -23)], (230, 60, 110))
    _eyes(pen.at(0, -2, scale=1.35), eyes)
    pen.oval(0, 4, 3, 2.2, shade(red, 0.85), outline=0)
    for side in (-1, 1):
        pen.oval(19 * side, 8, 5.5, 4, (240, 120, 120), outline=0)


def baby_laughter(pen: Pen, coat: Coat, phase: float) -> None:
    """A bouncing baby with happy eyes and a broad open smile."""
    bounce = abs(sin(2 * pi * phase))
    body = pen.at(0, -4 * bounce)
    skin = _baby_body(body, coat, bounce)
    face = body.at(0, -14, degrees=5 * sin(2 * pi * phase))
    _baby_face(face, coat, skin, flush=0.1, eyes="happy" if coat.draws[6] < 0.75 else "open")
    depth = 5 + 7 * bounce
    face.smooth([(-13, 9), (0, 11), (13, 9), (8, 9 + depth), (0, 11 + depth), (-8, 9 + depth)], MOUTH)
    face.box(-4, 10, 4, 13, WHITE, outline=0)


def baby_cry(pen: Pen, coat: Coat, phase: float) -> None:
    """A red-faced baby with squeezed eyes, a down-turned open mouth and running tears."""
    shake = sin(4 * pi * phase)
    skin = _baby_body(pen, coat, 0.4 + 0.4 * sin(2 * pi * phase))
    face = pen.at(0, -14, degrees=4 * shake)
    _baby_face(face, coat, skin, flush=1.0, eyes="squeezed" if coat.draws[6] < 0.75 else "closed")
    depth = 4 + 3 * abs(shake)
    face.smooth(
        [(-11, 20), (-9, 10 - depth / 3), (0, 8 - depth / 2), (9, 10 - depth / 3), (11, 20), (0, 15 + depth / 2)], MOUTH
    )
    for side in (-1, 1):
        for drop in (0.0, 0.5):
            fall = (phase + drop) % 1.0
            face.oval((13 + 7 * fall) * side, 2 + 20 * fall, 2.6, 4, (120, 190, 250), outline=0.8)


def cheering(pen: Pen, coat: Coat, phase: float) -> None:
    """A crowd of people jumping with arms up, some with pennants."""
    places = ((-34, 4), (-12, -4), (12, -3), (34, 3), (-24, 24), (1, 26), (25, 24))
    for number, (x, y) in enumerate(places[: 4 + int(coat.draws[4] * 4)]):
        look = Coat(tuple((draw + 0.29 * number) % 1.0 for draw in coat.draws), coat.tint)
        person = Person.of(look)
        beat = abs(sin(2 * pi * (phase + look.draws[5]) / 1.0))
        one = pen.at(x, y - 6 * beat, scale=0.5)
        for side in (-1, 1):
            tip = (34 * side + 6 * sin(2 * pi * phase + number), -34 + 8 * beat)
            one.limb([(24 * side, 36), (30 * side, 6), tip], 10, person.shirt)
            one.oval(*tip, 8, 8, person.skin)
        if number % 3 == 1:
            one.limb([(36, -34), (38, -62)], 3, DARK)
            one.shape([(38, -62), (66, -54), (38, -44)], shade(person.shirt, 1.25))
        torso(one, person)
        head(one, person, mouth=0.5 + 0.5 * beat, eyes="happy" if number % 2 else "open")


def _hand(pen: Pen, skin: Color, sleeve: Color) -> None:
    """A hand seen from the side, fingers up, palm facing right, wrist at the origin."""
    pen.shape([(-10, 2), (8, 2), (14, 46), (-16, 46)], sleeve)
    pen.box(-11, -2, 9, 8, shade(sleeve, 1.2))
    for number, (x, height) in enumerate(((-8, -46), (-3, -51), (2, -49), (6, -44))):
        pen.limb([(x, -18), (x + number, height)], 5.4, skin)
    pen.smooth([(-10, 0), (-12, -20), (-4, -28), (8, -24), (9, -2)], skin)
    pen.limb([(5, -10), (15, -24), (16, -32)], 5.4, skin)


def clapping(pen: Pen, coat: Coat, phase: float) -> None:
    """Two large hands that meet, or a row of people with their hands together."""
    apart = 0.5 + 0.5 * cos(2 * pi * phase)
    if coat.draws[4] < 0.55:
        skin, sleeve = coat.color(0, SKINS), coat.color(2, SHIRTS)
        _hand(pen.at(-14 - 14 * apart, 16, degrees=14 - 12 * apart), skin, sleeve)
        _hand(pen.at(14 + 14 * apart, 16, degrees=-14 + 12 * apart, stretch=-1), shade(skin, 0.94), sleeve)
        if apart < 0.35:
            for tip in (-50, -25, 0, 25, 50):
                pen.at(0, -30, degrees=tip).stroke([(0, -10), (0, -20)], 2.6, (255, 240, 150))
        return
    for number, x in enumerate((-32, 0, 32)[: 2 + int(coat.draws[5] * 2)]):
        look = Coat(tuple((draw + 0.31 * number) % 1.0 for draw in coat.draws), coat.tint)
        person = Person.of(look)
        one = pen.at(x, -8 + 6 * (number % 2), scale=0.66)
        torso(one, person)
        head(one, person, mouth=0.1, eyes="happy")
        gap = 4 + 13 * (0.5 + 0.5 * cos(2 * pi * (phase + 0.2 * number)))
        for side in (-1, 1):
            one.limb([(26 * side, 38), (27 * side, 58), (gap * side, 44)], 9, shade(person.shirt, 0.85))
            one.at(gap * side, 38, degrees=8 * side).oval(0, 0, 5, 10, person.skin)


def _ball(pen: Pen, spin: float) -> None:
    """A basketball of radius 15 around the origin."""
    pen.oval(0, 0, 15, 15, (226, 118, 40))
    pen.oval(-5, -6, 5, 4, (242, 156, 88), outline=0)
    turned = pen.at(0, 0, degrees=spin)
    turned.stroke([(-15, 0), (15, 0)], 1.6, DARK)
    turned.stroke([(0, -15), (0, 15)], 1.6, DARK)
    turned.arc(-15, 0, 9, 13, (-62, 62), 1.6, DARK)
    turned.arc(15, 0, 9, 13, (118, 242), 1.6, DARK)


def basketball(pen: Pen, coat: Coat, phase: float) -> None:
    """A bouncing basketball, under a hoop or beside a dribbling player."""
    height = 1 - (2 * phase - 1) ** 2
    squash = 0.82 if height < 0.15 else 1.0
    spin = 360 * phase * (1 if coat.draws[6] < 0.5 else -1)
    if coat.draws[4] < 0.35:  # hoop
        pen.box(-8, -50, 46, -14, (240, 240, 240))
        pen.box(8, -36, 30, -20, (240, 240, 240), outline=2.2)
        for x in (6, 14, 22, 30):
            pen.stroke([(x, -14), (10 + x * 0.5, 6)], 1.4, (225, 225, 225))
        pen.arc(19, -13, 15, 4, (0, 360), 3.2, (220, 60, 30))
        x = -20
    elif coat.draws[4] < 0.75:  # player
        person = Person.of(coat)
        for foot in (6, 30):
            pen.limb([(18, 14), (foot + 2, 30), (foot, 46)], 7, person.skin)
            pen.oval(foot - 2, 48, 7, 4, WHITE)
        pen.box(6, 4, 30, 24, shade(person.shirt, 0.75))
        pen.smooth([(6, -18), (30, -18), (29, 10), (7, 10)], person.shirt)
        pen.limb([(8, -14), (-8, -4), (-18, 2 - 12 * height)], 6, person.skin)
        pen.limb([(28, -14), (38, 0), (34, 12)], 6, person.skin)
        head(pen.at(18, -34, scale=0.68), person)
        x = -22
    else:
        x = 0
    reach = 44 if coat.draws[4] < 0.75 else 66
    pen.oval(x, 47, 13 - 5 * height, 3, (60, 55, 55), outline=0)
    size = 0.95 if coat.draws[4] < 0.75 else 1.5
    ball = pen.at(x, 46 - 15 * size * squash - reach * 0.55 * height, scale=size * squash, stretch=1 / squash**2)
    _ball(ball, spin)
