"""Sparse label competition: classes share the evidence of a second through one sparse code.

A second u is written as a sum of class texts D_c with weights W >= 0 that cost something,

    W = argmin  |u - sum_c W_c D_c|^2 + sum_c penalty_c W_c,

so that of look-alikes (Speech and Singing, Cello and Violin) the one that explains more takes what both would have had.
A class that is credible in the other modality costs less in a second solve. It takes a teacher's embeddings of the
seconds and of the class prompts, and no tags; where tags are known, the texts may be those of the tagged classes, of
some absent ones and of a background.

Everything is in float32, and the number of steps is part of the rule: after 200 coefficients still move by a hundredth.
With two to six survivors that are not equal the largest always passes, so nearly every second with any coefficient gets
an event: there is no "nothing here" without a background among the texts.

Source:
    Code of a sparse label competition by the first author of SCoPE (May 2026); no paper of it is known here.
"""

from dataclasses import dataclass

import numpy as np

_TINY = 1e-8
"""What counts as nothing: norms, and coefficients where survivors are counted."""
_STEP_ROOM = 2.1
"""Times the largest eigenvalue of the Gram matrix: the curvature that steps are made for."""
_FULL_SPREAD = 16
"""Survivors at which z-scores are taken as they are."""
_TEMPERATURES = (np.float32(0.25), np.float32(1.25))
"""Least and largest temperature of the z-scores."""
_SHUT_OUT = 1e6
"""Penalty of classes that take no part in the second solve."""


@dataclass(frozen=True, kw_only=True)
class CompetitionOptions:
    """Numbers of the rule; the defaults are those of the code."""

    penalty: float = 0.3
    """Of a coefficient, before the other modality has spoken."""
    steps: int = 200
    """Of the solver."""
    trust: float = 4.0
    """How much a second of the other modality adds to what its whole clip says for a class."""
    least_scale: float = 0.1
    """What at least is left of the penalty."""
    threshold: float = 0.75
    """Probabilities above it mark a class."""
    least_seconds: int = 2
    """Seconds, together or not, a class needs in a clip."""
    prior_with_reliability: bool = False
    """Whether the clip's part is of reliable confidences, as in an older variant."""
    only_survivors: bool = False
    """Whether only classes that had a coefficient in the first solve take part in the second."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not self.penalty >= 0 or not self.trust >= 0 or not 0 <= self.least_scale <= 1:
            raise ValueError(
                "penalty and trust must not be negative and least_scale must be in 0..1, got "
                f"{self.penalty}, {self.trust} and {self.least_scale}"
            )
        if self.steps < 1 or self.least_seconds < 1:
            raise ValueError(f"steps and least_seconds must be at least 1, got {self.steps} and {self.least_seconds}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """Sparse codes of one modality's seconds, and what they say; float32 [N, T, C] but where another shape is named."""

    coefficients: np.ndarray
    """W."""
    probs: np.ndarray
    """See `competition_probs`."""
    marked: np.ndarray
    """bool, see `CompetitionOptions`."""
    confidence: np.ndarray
    """Coefficients over the largest of their second."""
    reliability: np.ndarray
    """[N, T], cosine of a second with its code, 0 at least."""
    penalty: np.ndarray
    """Of each coefficient."""


def competition(
    segments: tuple[np.ndarray, np.ndarray],
    texts: tuple[np.ndarray, np.ndarray],
    means: tuple[np.ndarray, np.ndarray] | None = None,
    options: CompetitionOptions = CompetitionOptions(),  # noqa: B008, frozen
) -> tuple[tuple[Solved, Solved], tuple[Solved, Solved]]:
    """Solve both modalities twice, the second time with what the other one said.

    Args:
        segments: float [N, T, D] embeddings of audio and of visual seconds.
        texts: float [C, D] of the class prompts, by modality.
        means: float [D] by modality, the mean of unit vectors of that kind; None for that over the given seconds.
        options: Numbers of the rule.

    Returns:
        The first solve, (audio, visual), and the second, whose `marked` are the decision.

    Raises:
        ValueError: Shapes do not fit.
    """
    for rows, words in zip(segments, texts, strict=True):
        if rows.ndim != 3 or words.ndim != 2 or rows.shape[-1] != words.shape[-1]:
            raise ValueError(
                "segments must be [clips, seconds, features] and texts [classes, features], got "
                f"{list(rows.shape)} and {list(words.shape)}"
            )
    if segments[0].shape[:2] != segments[1].shape[:2] or len(texts[0]) != len(texts[1]):
        raise ValueError("audio and visual must be of the same clips, seconds and classes")
    own = [rows.reshape(-1, rows.shape[-1]) for rows in segments]
    held = means if means is not None else tuple(unit(rows).mean(axis=0) for rows in own)
    coded = [
        (centred(rows, mean).reshape(whole.shape), centred_texts(words))
        for rows, mean, whole, words in zip(own, held, segments, texts, strict=True)
    ]
    first = [_solved(*pair, np.array(options.penalty, dtype=np.float32), options) for pair in coded]
    second = [
        _solved(*pair, weighted_penalty(first[1 - modality], first[modality], options), options)
        for modality, pair in enumerate(coded)
    ]
    return (first[0], first[1]), (second[0], second[1])


def weighted_penalty(other: Solved, own: Solved, options: CompetitionOptions) -> np.ndarray:
    """What each coefficient costs once the other modality has spoken.

    Args:
        other: First solve of the other modality.
        own: That of this one, of which `only_survivors` asks.
        options: Numbers of the rule.

    Returns:
        float32 [N, T, C].
    """
    scale = np.exp(-heard_of(other, options)).clip(options.least_scale, 1)
    weighted = np.float32(options.penalty) * scale
    shut_out = options.only_survivors & (own.coefficients <= _TINY)
    cost: np.ndarray = np.where(shut_out, _SHUT_OUT, weighted).astype(np.float32)
    return cost


def heard_of(other: Solved, options: CompetitionOptions) -> np.ndarray:
    """How much the other modality speaks for each class in each second, float32 [N, T, C]."""
    reliable = other.confidence * other.reliability[..., None]
    clip = (reliable if options.prior_with_reliability else other.confidence).max(axis=1, keepdims=True)  # [N, 1, C]
    heard: np.ndarray = clip * (1 + np.float32(options.trust) * reliable)
    return heard


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1, float32."""
    rows = rows.astype(np.float32)
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), np.float32(_TINY))
    return scaled


def centred(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Directions from the mean of their kind, float32 [..., D] of rows [..., D] and of the mean [D] of unit vectors."""
    return unit(unit(rows) - mean.astype(np.float32))


def centred_texts(texts: np.ndarray) -> np.ndarray:
    """The atoms: directions of class texts from their own mean, float32 [C, D]."""
    words = unit(texts)
    return unit(words - words.mean(axis=0))


def sparse_code(rows: np.ndarray, atoms: np.ndarray, penalty: np.ndarray | float, *, steps: int = 200) -> np.ndarray:
    """Non-negative codes by FISTA, after a given number of steps.

    Args:
        rows: float32 [..., D], what is to be written.
        atoms: float32 [C, D].
        penalty: One; [C]; or [..., C].
        steps: How many; more of them are another rule.

    Returns:
        float32 [..., C].
    """
    penalty = np.asarray(penalty, dtype=np.float32)
    curvature = np.float32(_STEP_ROOM * float(np.linalg.eigvalsh(atoms @ atoms.T)[-1]) + 1e-6)
    code = ahead = np.zeros((*rows.shape[:-1], len(atoms)), dtype=np.float32)
    pace = 1.0
    for _ in range(steps):
        moved = np.maximum(0, ahead - (2 * ((ahead @ atoms - rows) @ atoms.T) + penalty) / curvature)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead = moved + np.float32((pace - 1) / faster) * (moved - code)
        code, pace = moved, faster
    return code


def survivors(coefficients: np.ndarray) -> np.ndarray:
    """How many coefficients of each second are above nothing, float32 [...] of [..., C]."""
    count: np.ndarray = np.count_nonzero(coefficients > _TINY, axis=-1).astype(np.float32)
    return count


def temperatures(count: np.ndarray) -> np.ndarray:
    """What z-scores are divided by, float32, from the number of survivors."""
    cut: np.ndarray = np.clip(
        count / np.float32(_FULL_SPREAD), np.float32(_TEMPERATURES[0]), np.float32(_TEMPERATURES[1])
    )
    return cut


def competition_probs(
    coefficients: np.ndarray, *, temperature: float | None = None, among_all: bool = False
) -> np.ndarray:
    """Probabilities of the coefficients of each second: the sigmoid of their z-scores among one another.

    Args:
        coefficients: float32 [..., C].
        temperature: Of the z-scores; None for that which grows with the number of survivors.
        among_all: Whether classes without a coefficient have a z-score too.

    Returns:
        float32 [..., C]: 0 for classes without a z-score; 1 for one that has it alone, and for several that are equal
        (1/2 among all).
    """
    alive = coefficients > _TINY
    asked = np.ones_like(alive) if among_all else alive
    count = np.maximum(np.count_nonzero(asked, axis=-1, keepdims=True), 1).astype(np.float32)
    mean = np.where(asked, coefficients, 0).sum(axis=-1, keepdims=True) / count
    away = np.where(asked, coefficients - mean, 0)
    spread = np.sqrt(np.square(away).sum(axis=-1, keepdims=True) / count)
    divided_by = temperatures(survivors(coefficients))[..., None] if temperature is None else np.float32(temperature)
    score = (away / np.maximum(spread, np.float32(_TINY))).clip(-50, 50) / divided_by
    largest, least = (np.where(asked, coefficients, end) for end in (-np.inf, np.inf))
    is_flat = largest.max(axis=-1, keepdims=True) - least.min(axis=-1, keepdims=True) <= _TINY
    probs = np.where(is_flat, 1 / 2 if among_all else 1, 1 / (1 + np.exp(-score)))
    return np.where(asked, probs, 0).astype(np.float32)


def with_least(marked: np.ndarray, least_seconds: int) -> np.ndarray:
    """Leave out classes with fewer seconds than that in a clip, together or not; bool [N, T, C] of the same."""
    kept: np.ndarray = marked & (np.count_nonzero(marked, axis=1, keepdims=True) >= least_seconds)
    return kept


def _solved(rows: np.ndarray, atoms: np.ndarray, penalty: np.ndarray, options: CompetitionOptions) -> Solved:
    """Solve one modality: rows [N, T, D] and atoms [C, D], both centred."""
    code = sparse_code(rows, atoms, penalty, steps=options.steps)
    probs = competition_probs(code)
    made = unit(code @ atoms)
    return Solved(
        coefficients=code,
        probs=probs,
        marked=with_least(probs > options.threshold, options.least_seconds),
        confidence=code / (code.max(axis=-1, keepdims=True) + np.float32(_TINY)),
        reliability=(rows * made).sum(axis=-1).clip(0, 1),
        penalty=np.broadcast_to(penalty, code.shape),
    )
