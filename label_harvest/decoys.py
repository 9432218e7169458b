"""What a teacher says of nothing in particular, and by that what it says of a class; no label is needed.

Cosines mean nothing by themselves: those of CLIP lie between .15 and .35, those of CLAP elsewhere, and both move with
the footage. Decoys, captions that fit anything and nothing, show where they lie. With x the cosine of a class in a
second and d those of the decoys, over all seconds of the media:

    standing     level and spread, mean and deviation of d over seconds and decoys
    z            (x - level) / spread: the same whatever the teacher's scale and shift are
    competition  z - COMPETITION * max(0, z of the strongest other class or decoy of that second)
    evidence     e, half of that and half of its largest within REACH seconds of the same shot, up to PEAK
    probability  sigmoid(slope * (e - middle))

A few seconds of media say little of how a teacher speaks. So the standing leans on what the teacher says of pictures
and sounds of nothing (`drawn.py`), which counts as LEAN seconds of media, these being livelier by SHIFT and WIDER: the
more media there are, the less. A calibration replaces it by the standing of all of somebody's footage.

Source:
    Ours. Slope, middle and the numbers below were chosen on the validation clips of the demo world, with lists of 3 to
    45 classes; `benchmarks.zero_shot` says what they are worth on its test clips.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .media.cuts import Shot

COMPETITION = 0.15
REACH = 5.0
"""Seconds."""
PEAK = 2.75
"""In spreads: a second that is beyond doubt lends its neighbours no more than one that is nearly so."""
LEAN = 60.0
"""Seconds of media."""
SHIFT, WIDER = {"audio": 0.65, "visual": 0.3}, 1.15
"""How much higher than of what is drawn the level of media is, in spreads, and how much larger their spread."""
SLOPE, MIDDLE = 4.2, 2.03
"""Of probabilities that nobody has calibrated."""
THRESHOLD = 0.4
"""Probability from which a segment is marked: F is highest below 1/2, since a miss costs as much as a false alarm."""
LEAST_SPREAD = 1e-9
"""A smaller one is none: the teacher says the same of everything."""
LEAST_DECOYS = 5
"""Fewer show no spread."""

DECOYS: dict[str, tuple[str, ...]] = {
    "visual": tuple(
        f"A photo of {thing}."
        for thing in (
            "a room|a wall|the sky|grass|a street|trees|water|a building|furniture|a table|a floor|text on a screen|"
            "a dark picture|a blurry picture|nothing|a landscape|a road|a field|a window|a background|"
            "a plain background|an empty scene|an object|a person|the ground|clouds|a corridor|a door|sand|snow|"
            "a curtain|a bridge"
        ).split("|")
    ),
    "audio": tuple(
        f"This is a sound of {thing}"
        for thing in (
            "silence|background noise|wind|rain|room tone|hum|static|hiss|traffic in the distance|ambience|footsteps|"
            "rustling|a click|a thud|water|white noise|low rumble|microphone noise|electrical hum|"
            "birds in the distance|an empty room|a quiet street|crackling|echo|wind in trees|air conditioning|"
            "a distant crowd|music in the background|a muffled sound|an unclear sound|nothing|distortion"
        ).split("|")
    ),
}
"""Those of each modality unless others are given: what most footage holds a little of."""

COLUMNS = 3
"""What is kept of the decoys of a second: the largest, the mean and the variance of their cosines."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the cosines of decoys lie."""

    level: float
    """Their mean."""
    spread: float
    """Their deviation, over seconds and decoys."""
    seconds: float
    """Of the media they were found on."""


def summarised(decoys: np.ndarray) -> np.ndarray:
    """float32 [T, COLUMNS] of the cosines float [T, D] of decoys."""
    held = decoys.astype(np.float64)
    return np.stack([held.max(axis=1), held.mean(axis=1), held.var(axis=1)], axis=1).astype(np.float32)


def standing_of(decoys: np.ndarray, segment_seconds: float) -> Standing:
    """The standing of the segments there are in float [T, COLUMNS], NaN where there is none.

    Raises:
        ValueError: There is no segment.
    """
    held = decoys[np.isfinite(decoys).all(axis=1)].astype(np.float64)
    if not len(held):
        raise ValueError("decoys must have been asked about at least one segment, got none")
    spread = float(np.sqrt(held[:, 2].mean() + held[:, 1].var()))
    return Standing(level=float(held[:, 1].mean()), spread=spread, seconds=len(held) * segment_seconds)


def pooled(standings: Iterable[Standing]) -> Standing:
    """The standing of several media together, each as long as it is."""
    held = list(standings)
    seconds = np.array([standing.seconds for standing in held])
    levels, spreads = (np.array([getattr(standing, name) for standing in held]) for name in ("level", "spread"))
    level = float(np.average(levels, weights=seconds))
    variance = float(np.average(spreads**2 + (levels - level) ** 2, weights=seconds))
    return Standing(level=level, spread=variance**0.5, seconds=float(seconds.sum()))


def leaned(own: Standing, drawn: Standing, role: str) -> Standing:
    """The standing of media that leans on that of drawn pictures and sounds."""
    level = drawn.level + SHIFT[role] * drawn.spread
    found = pooled([own, Standing(level=level, spread=WIDER * drawn.spread, seconds=LEAN)])
    return Standing(level=found.level, spread=found.spread, seconds=own.seconds)


def evidence(
    cosines: np.ndarray, best_decoy: np.ndarray, standing: Standing, segment_seconds: float, shots: Sequence[Shot]
) -> np.ndarray:
    """What speaks for each class and, in the last column, for the strongest decoy.

    Args:
        cosines: float [T, C] of one modality; NaN where there is no stream.
        best_decoy: float [T], the largest cosine of a decoy.
        standing: Of the media, or of all footage.
        segment_seconds: Length of a segment.
        shots: Across whose ends nothing is looked for.

    Returns:
        float64 [T, C + 1], NaN where there is no stream.
    """
    joined = np.concatenate([cosines, best_decoy[:, None]], axis=1).astype(np.float64)
    z = (joined - standing.level) / max(standing.spread, LEAST_SPREAD)
    ranked = np.sort(z, axis=1)
    others = np.where(z == ranked[:, -1:], ranked[:, -2:-1], ranked[:, -1:])
    own = z - COMPETITION * others.clip(0, None)
    reach = max(0, round(REACH / segment_seconds))
    found = np.empty_like(own)
    for shot in shots:
        found[shot.start : shot.stop] = _largest_near(own[shot.start : shot.stop], reach)
    result: np.ndarray = (own + np.where(np.isnan(own), np.nan, found.clip(None, PEAK))) / 2
    return result


def _largest_near(values: np.ndarray, reach: int) -> np.ndarray:
    """The largest of [T, C] within so many rows of each; what is NaN counts for nothing."""
    reach = min(reach, len(values))
    found = np.pad(np.nan_to_num(values, nan=-np.inf), ((reach, reach), (0, 0)), constant_values=-np.inf)
    width = 1  # rows whose largest is found, doubled until they are all
    while (step := min(width, 2 * reach + 1 - width)) > 0:
        found = np.maximum(found[:-step], found[step:])
        width += step
    return found


def probabilities(found: np.ndarray, slope: float = SLOPE, middle: float | np.ndarray = MIDDLE) -> np.ndarray:
    """float32 probabilities of evidence, any shape; NaN stays NaN."""
    with np.errstate(over="ignore"):
        probs: np.ndarray = (1 / (1 + np.exp(-slope * (found - middle)))).astype(np.float32)
    return probs


def check_decoys(decoys: Sequence[str], taken: Iterable[str], where: str) -> None:
    """Refuse decoys that cannot stand for nothing.

    Args:
        decoys: Captions of one modality.
        taken: Names and captions of the classes.
        where: Whose they are, for the message.

    Raises:
        ValueError: There are too few, one stands there twice, or one is a class.
    """
    plain = [_plain(text) for text in decoys]
    if len(set(plain)) < len(plain) or len(plain) < LEAST_DECOYS or "" in plain:
        raise ValueError(
            f"{where}: expected at least {LEAST_DECOYS} captions, none of them blank or twice, got {len(plain)}"
        )
    if same := sorted(set(plain) & {_plain(text) for text in taken}):
        raise ValueError(
            f"{where}: a decoy stands for nothing in particular, and {same[0]!r} is a class that is looked for; "
            "take it out of one of the two lists"
        )


def decoys_beside(role: str, names: Iterable[str], captions: Iterable[str] = ()) -> tuple[str, ...]:
    """Our decoys of a modality, but for those whose thing names a class, and those that are a caption of one.

    Raises:
        ValueError: Too few are left.
    """
    words = [held for name in names if (held := set(_plain(name).split()))]
    asked = {_plain(text) for text in captions}
    left = tuple(
        text for text in DECOYS[role] if not any(held <= _thing(text) for held in words) and _plain(text) not in asked
    )
    if len(left) < LEAST_DECOYS:
        raise ValueError(
            f"the classes name all but {len(left)} of our {role} decoys, and {LEAST_DECOYS} are the least that show "
            "where nothing lies; give `decoys` of your own, or take out some classes"
        )
    return left


def _thing(text: str) -> set[str]:
    """Words of what one of our decoys is a picture or a sound of."""
    return set(_plain(text.partition(" of ")[2]).split())


def _plain(text: str) -> str:
    """A caption without case, signs and spare blanks."""
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())
