"""What simulated networks hear and see of clips whose truth is known: features, and the scores of teachers.

A feature of a second is a sum over classes, each along a direction of its own, behind noise:

    x = strength sum_c e_c d_c + scene b + s,     e_c = g (on_c + trace r_c (in the clip, not on_c))

    g       how clearly a clip shows a class, log-normal: what is faint is faint for every network of a modality
    r_c     in [0, 1], the same in every second: a class that occurs in the clip, in the other modality or at another
            time, leaves a trace, since the speaker stands in the picture while he is silent
    d_c     unit vectors; those of LLP's look-alikes lie close together
    b, s    noise of the whole clip and of the second: a longer look helps against one and not against the other

A teacher's score of a class is the evidence e_c, with a share of its look-alike's, behind noise that is half of the
clip and half of the second, and partly that of its own embedding. How much noise is not chosen: it is what brings
labels by the scores to the published quality (`quality_noise`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from valor.eval.events import BoolArray, FloatArray

LOOK_ALIKES = (
    ("Speech", "Singing"),
    ("Cello", "Violin_fiddle"),
    ("Cheering", "Clapping"),
    ("Baby_cry_infant_cry", "Baby_laughter"),
    ("Acoustic_guitar", "Banjo"),
    ("Chainsaw", "Lawn_mower"),
    ("Car", "Motorcycle"),
    ("Vacuum_cleaner", "Blender"),
)
"""Classes that teachers confuse; the first four are those named for LLP, the others our guess. None is fitted."""

LIKENESS = 0.6
"""Cosine of the directions of look-alikes, and the share a teacher's score has of the other's evidence is its half."""

FAINTNESS = 0.4
"""Deviation of the logarithm of g."""

SCENE = 1.0
"""Deviation of the noise of a clip against that of a second."""

OWN_NOISE = 0.5
"""Share of a teacher's noise, as variance, that its embedding has too, so that a parser of the embedding learns it."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of which all is known, in one modality."""

    truth: BoolArray
    """bool [N, T, C]."""
    occurs: BoolArray
    """bool [N, C], in either modality."""
    clear: FloatArray
    """float32 [N, C], g."""
    trace: FloatArray
    """float32 [N, C], r in [0, 1]."""

    def evidence(self, trace: float) -> FloatArray:
        """float32 [N, T, C], e."""
        absent = self.occurs[:, None] & ~self.truth
        shown: FloatArray = self.clear[:, None] * (self.truth + np.float32(trace) * self.trace[:, None] * absent)
        return shown


def draw_clips(truth: BoolArray, modality: int, seed: tuple[int, ...]) -> Clips:
    """What of clips is the same for every network of a modality.

    Args:
        truth: bool [N, T, M, C].
        modality: Which of the two.
        seed: Of what is drawn.
    """
    rng = np.random.default_rng([*seed, modality])
    shape = (len(truth), truth.shape[-1])
    clear = np.exp(FAINTNESS * rng.standard_normal(shape, np.float32) - np.float32(FAINTNESS**2 / 2))
    return Clips(truth[:, :, modality], np.asarray(truth.any(axis=(1, 2))), clear, rng.random(shape, np.float32))


def directions(class_names: tuple[str, ...], width: int, seed: tuple[int, ...]) -> FloatArray:
    """Unit vectors float32 [C, D] in random places, look-alikes at LIKENESS of one another."""
    found = np.random.default_rng(seed).standard_normal((len(class_names), width), np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    place = {name: number for number, name in enumerate(class_names)}
    for one, other in LOOK_ALIKES:
        if one in place and other in place:
            first, second = found[place[one]], found[place[other]]
            apart = second - (second @ first) * first
            found[place[other]] = LIKENESS * first + np.sqrt(1 - LIKENESS**2) * apart / np.linalg.norm(apart)
    return found


def draw_features(
    evidence: FloatArray, axes: FloatArray, strength: float, seed: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Features of clips, and how much of their noise lies along each class.

    Args:
        evidence: float32 [N, T, C].
        axes: float32 [C, D].
        strength: Of the evidence against the noise of a second.
        seed: Of the noise.

    Returns:
        float32 [N, T, D] and [N, T, C], the second of deviation 1.
    """
    rng = np.random.default_rng(seed)
    clips, segments, _ = evidence.shape
    noise = rng.standard_normal((clips, segments, axes.shape[1]), np.float32)
    noise += SCENE * rng.standard_normal((clips, 1, axes.shape[1]), np.float32)
    along: FloatArray = noise @ axes.T / np.float32(np.sqrt(1 + SCENE**2))
    return np.float32(strength) * (evidence @ axes) + noise, along


def draw_scores(
    evidence: FloatArray, along: FloatArray, class_names: tuple[str, ...], seed: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """What a teacher says without noise, and its noise at a deviation of 1: float32 [N, T, C] each."""
    rng = np.random.default_rng(seed)
    mixed = evidence.copy()
    place = {name: number for number, name in enumerate(class_names)}
    for one, other in LOOK_ALIKES:
        if one in place and other in place:
            a, b = place[one], place[other]
            mixed[..., [a, b]] += np.float32(LIKENESS / 2) * evidence[..., [b, a]]
    clips, segments, classes = evidence.shape
    alone = rng.standard_normal((clips, segments, classes), np.float32)
    alone += rng.standard_normal((clips, 1, classes), np.float32)
    noise: FloatArray = np.sqrt(np.float32(OWN_NOISE)) * along + np.sqrt(np.float32((1 - OWN_NOISE) / 2)) * alone
    return mixed, noise


def matched_cuts(scores: FloatArray, truth: BoolArray, tags: BoolArray, share: float = 1.0) -> FloatArray:
    """For each class the threshold above which as many seconds of tagged clips lie as are true there, or a share of it.

    Args:
        scores: float [N, T, C].
        truth: bool [N, T, C].
        tags: bool [N, C].
        share: Labels for each true second.

    Returns:
        float32 [C]; of a class without a tag, that of all classes together.
    """
    tagged = np.broadcast_to(tags[:, None], truth.shape)

    def cut(said: FloatArray, true: BoolArray) -> float:
        kept = min(share * true.mean(), 1.0)
        return float(np.quantile(said, 1 - kept)) if kept < 1 else float(said.min()) - 1

    overall = cut(scores[tagged], truth[tagged])
    return np.array(
        [
            cut(scores[tags[:, c], :, c].ravel(), truth[tags[:, c], :, c].ravel()) if tags[:, c].any() else overall
            for c in range(scores.shape[-1])
        ],
        np.float32,
    )


def quality_noise(quality: Callable[[float], float], wanted: float) -> float:
    """The noise at which labels are as good as wanted, found by halving between none and more than any teacher has.

    Args:
        quality: The figure of labels at a deviation of the noise, which falls as it rises.
        wanted: The figure to reach.
    """
    low, high = 0.0, 8.0
    for _ in range(16):  # to a ten-thousandth
        middle = (low + high) / 2
        low, high = (middle, high) if quality(middle) > wanted else (low, middle)
    return (low + high) / 2
