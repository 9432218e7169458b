"""A test of a teacher that has just been loaded: does it tell captions and media apart, and alike in any company?

A checkpoint can be damaged or half converted and still load: of one published CLAP all captions are nearly the same
vector. What is asked holds for every teacher that was trained at all:

* captions that mean different things are different vectors (mean cosine up to `COLLAPSED`; those of CLAP lie about .2);
* answers are finite cosines, and two unlike clips get unlike ones;
* a clip gets the same answer alone and behind another one, to `TOLERANCES`.

Three passes of a second each go through the network. Which colour or tone a teacher would name is not asked: that is
known of no checkpoint here.
"""

import logging
from typing import Any

import numpy as np

from ..media.clip import ClipMedia, Grid
from .teacher import Evidence, Teacher, needs_of

logger = logging.getLogger(__name__)

COLLAPSED = 0.98
"""Largest mean cosine between captions of a text tower that works; in the broken published one it is .999."""
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}
"""How far an answer may be from that of the same clip in other company, by precision; cosines and embeddings of length
1. Other sizes of a batch are summed in another order, which float32 shows at 1e-6."""
_ALIKE = 1 - 1e-6
"""Cosine of the embeddings of two unlike clips from which on a teacher does not look or listen."""
CAPTIONS = (
    "a dog barks",
    "a red bus in a street",
    "a violin is played on a stage",
    "waves on a beach",
    "a plate of spaghetti",
    "an aeroplane takes off",
    "two people talk in an office",
    "a fire alarm rings",
)
"""Captions with nothing in common."""


def self_test(teacher: Teacher, name: str) -> None:
    """Refuse a teacher that could judge nothing.

    Args:
        teacher: Once its captions are encoded.
        name: As typed, for messages.

    Raises:
        ValueError: It failed; says what was seen.
    """
    trouble = text_trouble(teacher) or media_trouble(teacher)
    if trouble:
        raise ValueError(
            f"{name}: the checkpoint fails the self-test: {trouble}; take other weights or another teacher, or harvest "
            "with `skip_self_test` to see what it says"
        )


def text_trouble(teacher: Any) -> str:  # noqa: ANN401, of any class that follows the protocol
    """What is wrong with how a teacher reads, or nothing.

    Captions of classes may mean nearly the same, so captions that do not are asked for where those lie close.
    """
    vectors = getattr(teacher, "class_vectors", None)
    if vectors is None:
        return ""
    if not np.isfinite(vectors).all():
        return "its captions are no finite numbers"
    found = mean_cosine(vectors)
    if found <= COLLAPSED or not hasattr(teacher, "encode_captions"):
        return ""
    unlike = teacher.encode_captions(CAPTIONS)
    found = mean_cosine(unlike)
    if found <= COLLAPSED:
        logger.warning(
            "%s reads the captions of these classes as nearly the same (mean cosine %.3f); say better what sets the "
            "classes apart",
            teacher.identity()["teacher"],
            mean_cosine(vectors),
        )
        return ""
    return (
        f"its text vectors are collapsed, the mean cosine of {len(CAPTIONS)} captions with nothing in common is "
        f"{found:.4f} (up to {COLLAPSED} expected)"
    )


def mean_cosine(vectors: np.ndarray) -> float:
    """Mean cosine of each of [P, D] with each other one; 0 of a single one."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    count = len(unit)
    return float(((unit @ unit.T).sum() - count) / (count * (count - 1))) if count > 1 else 0.0


def media_trouble(teacher: Teacher) -> str:
    """What is wrong with how a teacher looks or listens, or nothing."""
    first, second = probes(teacher)
    (alone,) = teacher.encode_many([first])
    other, behind = teacher.encode_many([second, first])
    for answer in (alone, other, behind):
        if trouble := _answer_trouble(answer):
            return trouble
    embeddings = [answer.features["embedding"] for answer in (alone, other) if "embedding" in answer.features]
    if len(embeddings) == 2 and mean_cosine(np.concatenate(embeddings)) > _ALIKE:
        return "it gives two unlike clips the same embedding"
    tolerance = TOLERANCES.get(str(teacher.identity()["precision"]), max(TOLERANCES.values()))
    apart = max(_distance(alone, behind, name) for name in ("similarity", *alone.features))
    if apart > tolerance:
        return (
            f"a clip is judged otherwise alone than behind another one, by {apart:.2g} (up to {tolerance:g} expected), "
            "so that its labels would depend on the batch"
        )
    return ""


def _answer_trouble(answer: Evidence) -> str:
    """What is wrong with one answer, or nothing."""
    arrays = [*answer.features.values(), *([] if answer.similarity is None else [answer.similarity])]
    if not all(np.isfinite(array).all() for array in arrays):
        return "its answers are no finite numbers"
    if answer.similarity is not None and np.abs(answer.similarity).max() > 1 + 1e-3:
        return f"its cosines reach {np.abs(answer.similarity).max():.3g}"
    return ""


def _distance(one: Evidence, other: Evidence, name: str) -> float:
    """Largest difference of an array in two answers, next to the largest number of it where that is above 1."""
    pair = [answer.similarity if name == "similarity" else answer.features[name] for answer in (one, other)]
    if pair[0] is None or pair[1] is None:
        return 0.0
    return float(np.abs(pair[0] - pair[1]).max() / max(1.0, np.abs(pair[0]).max()))


def probes(teacher: Teacher) -> tuple[ClipMedia, ClipMedia]:
    """Two clips of a second that have nothing in common: red stripes under a tone, and coloured noise under noise."""
    rate = teacher.sample_rate or Grid.sample_rate
    grid = Grid(num_segments=1, sample_rate=rate)
    chance = np.random.default_rng(0)
    stripes = np.zeros((1, 96, 128, 3), np.uint8)
    stripes[:, :, ::16, 0] = stripes[:, :, 1::16, 0] = 255
    noise = chance.integers(0, 256, (1, 12, 16, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    seconds = np.arange(grid.num_samples) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    hiss = (0.1 * chance.standard_normal(grid.num_samples)).astype(np.float32)
    needs = needs_of(teacher)
    return tuple(  # type: ignore[return-value]
        ClipMedia(frames if "frames" in needs else None, sound if "waveform" in needs else None, grid)
        for frames, sound in ((stripes, tone), (noise, hiss))
    )
