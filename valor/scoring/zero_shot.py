"""Calibration of parses without training, on somebody's own footage: without labels, or with a few corrected clips.

    footage     how high the decoys stand over all of it, in place of each file's own few seconds
    prior       besides, one shift of each modality, so that classes are there as often as somebody says
    corrected   besides, slope and middles that fit corrected clips, as far as these are enough to tell

Of few clips little is believed. Slope, the middle of all classes and that of each one stay near where they were, and
how near they may stray is decided on clips they were not fitted to: where none of `STRAYS` is surely better there, all
stays as it is. Seconds of one clip say nearly the same, so that ten of them count as one.

Source:
    Ours. Mixtures of evidence with and without a class, and shares found by expectation and maximisation, were tried on
    the demo world and were worse than nothing: a level that is a tenth of a spread off looks like a class that is often
    there.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.parse_file import Parse, read_parse
from valor.data.predictions import Predictions
from valor.data.tables import Split
from valor.data.zero_shot_file import Curve, ZeroShotCalibration
from valor.eval.events import MODALITIES
from valor.label_harvest.decoys import MIDDLE, evidence, pooled, probabilities
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.cuts import shots_of

_LOG = logging.getLogger(__name__)

LEAST_SECONDS = 60.0
"""Of footage; of less, a parse leans on drawn pictures and sounds, which no calibration does."""
STRAYS = (0.0, 0.05, 0.1, 0.2)
"""How far the slope (its logarithm), the middle and that of a class may stray, as deviations around those of before."""
STRAY_OF_CLIP = 0.02
"""And no further than this for each corrected clip."""
SURELY = 1.5
"""Standard errors by which a further stray must be better on held-out clips."""
WEIGHT = 0.1
"""Of a second: ten count as one."""
FOLDS = 10
"""At most, of clips that are held out in turn."""
_STEPS = 12
"""Of Newton's method, whose loss has one minimum; halved where a step goes too far."""


@dataclass(frozen=True, kw_only=True)
class FootageOptions:
    """What is known of the footage besides its parses."""

    prior: tuple[float, ...] | None = None
    """Of all classes and seconds, the share in which a class is heard, and the share in which it is seen (nobody
    knows)."""

    def __post_init__(self) -> None:
        """Refuse what are no shares."""
        if self.prior is not None and not (len(self.prior) == 2 and all(0 < share < 1 for share in self.prior)):
            raise ValueError(f"prior must be two shares above 0 and below 1, of heard and of seen, got {self.prior}")


@dataclass(frozen=True, kw_only=True)
class Footage:
    """Parses of one system with what its teachers said."""

    files: tuple[Path, ...]
    parses: tuple[Parse, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all parses."""
        return self.parses[0].class_names

    def seconds(self, role: str) -> float:
        """Of media with a modality."""
        held = [parse.evidence.standing[role] for parse in self.parses if _has(parse, role)]  # type: ignore[union-attr]
        return float(sum(standing.seconds for standing in held))


def read_footage(files: Sequence[Path]) -> Footage:
    """Read parses to calibrate on.

    Raises:
        ValueError: One was not parsed against decoys, or by another system than the first.
    """
    parses = tuple(read_parse(file) for file in files)
    first = parses[0]
    for file, parse in zip(files, parses, strict=True):
        if parse.evidence is None or not all(isinstance(parse.system.get(what), dict) for what in _WHO):
            raise ValueError(
                f"{file}: holds no evidence of decoys, which `valor parse VIDEO --zero-shot NAMES` keeps; parse it so, "
                "without thresholds on logits"
            )
        if not all(role in parse.system[what] for what in _WHO for role in parse.evidence.standing):
            raise ValueError(f"{file}: does not say whose cosines it holds; parse it again")
        if (what := _unlike(parse, first)) is not None:
            raise ValueError(f"{file}: has other {what} than {files[0]}; calibrate parses of one system")
    return Footage(files=tuple(files), parses=parses)


_WHO = ("teachers", "prompts", "decoys")
"""Of a parse's system, whose cosines these are."""


def _unlike(parse: Parse, first: Parse) -> str | None:
    if parse.class_names != first.class_names:
        return "classes"
    if parse.segment_seconds != first.segment_seconds:
        return "segments"
    return next((what for what in _WHO if parse.system.get(what) != first.system.get(what)), None)


def calibrate_zero_shot(
    footage: Footage,
    options: FootageOptions | None = None,
    *,
    split: Split | None = None,
    known: Predictions | None = None,
    sources: Mapping[str, str] | None = None,
) -> ZeroShotCalibration:
    """Find how parses of one system are to decide.

    Args:
        footage: Its parses.
        options: What else is known; None for nothing.
        split: Corrected clips, with their truth; None for none.
        known: The parses as predictions of the split, in the order of the footage, which says which clip each is.
        sources: Fingerprints for the file.

    Raises:
        ValueError: There is too little footage, no parse is of a corrected clip, or no class is there in those.
    """
    options = options or FootageOptions()
    roles = [role for role in MODALITIES if footage.seconds(role)]
    if not roles:
        raise ValueError(f"{footage.files[0].parent}: holds no second of sound or picture to calibrate on; parse more")
    for role in roles:
        if footage.seconds(role) < LEAST_SECONDS:
            raise ValueError(
                f"{footage.files[0].parent}: holds {footage.seconds(role):.0f} s of {role} footage, of which "
                f"{LEAST_SECONDS:.0f} s are the least to calibrate on; parse more"
            )
    standing = {
        role: pooled(p.evidence.standing[role] for p in footage.parses if p.evidence and _has(p, role))
        for role in roles
    }
    found = {role: [_evidence(parse, role, standing[role]) for parse in footage.parses] for role in roles}
    middles = {role: MIDDLE for role in roles}
    if options.prior is not None:
        middles = {role: _matched(found[role], options.prior[MODALITIES.index(role)]) for role in roles}
    classes = len(footage.class_names)
    curves = {role: Curve(middle=(middles[role],) * classes) for role in roles}
    told: dict[str, Any] = {"criterion": "footage" if options.prior is None else "prior", "prior": options.prior}
    if split is not None:
        assert known is not None  # who knows the clips knows which parse is which
        curves, corrected = _corrected(found, split, known, curves)
        told |= {
            "criterion": "corrected",
            "corrected": corrected,
            "split": split.name,
            "truth_sha256": split.truth_sha256,
        }
    seconds = {role: round(footage.seconds(role), 3) for role in roles}
    system = footage.parses[0].system
    return ZeroShotCalibration(
        class_names=footage.class_names,
        standing=standing,
        curves=curves,
        teachers=system["teachers"],
        prompts=system["prompts"],
        decoys=system["decoys"],
        provenance={**told, "media": len(footage.parses), "seconds": seconds, "sources": dict(sources or {})},
    )


def _has(parse: Parse, role: str) -> bool:
    return parse.evidence is not None and role in parse.evidence.standing


def _evidence(parse: Parse, role: str, standing: Any) -> np.ndarray:  # noqa: ANN401
    """float64 [T, C + 1] of one modality; NaN where there is no stream."""
    assert parse.evidence is not None
    grid = Grid(segment_seconds=parse.segment_seconds)
    shots = shots_of([cut - parse.media.start_time for cut in parse.cuts], len(parse.segment_probs), grid)
    m = MODALITIES.index(role)
    held = parse.evidence
    return evidence(held.similarity[:, m], held.decoy[:, m], standing, parse.segment_seconds, shots)


def _matched(found: Sequence[np.ndarray], share: float) -> float:
    """The middle at which classes are as probable, on average, as they are there."""
    values = np.concatenate([of[:, :-1].ravel() for of in found])
    values = values[np.isfinite(values)]
    low, high = float(values.min()) - 5, float(values.max()) + 5
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if probabilities(values, middle=middle).mean() > share else (low, middle)
    return round((low + high) / 2, 6)


def _corrected(
    found: Mapping[str, Sequence[np.ndarray]], split: Split, known: Predictions, before: Mapping[str, Curve]
) -> tuple[dict[str, Curve], int]:
    """Curves that fit corrected clips, and how many these are."""
    assert split.truth is not None
    if known.segment_seconds not in (None, split.segment_seconds):
        raise ValueError(
            f"the corrected clips have segments of {split.segment_seconds:g} s and the parses of "
            f"{known.segment_seconds:g} s; parse in segments as they are corrected in"
        )
    row_of = {clip_id: row for row, clip_id in enumerate(split.clip_ids)}
    pairs = [(n, row_of[clip_id]) for n, clip_id in enumerate(known.clip_ids) if clip_id in row_of]
    if not pairs:
        raise ValueError(
            f"none of the {len(known.clip_ids)} parses is of a clip of the split {split.name!r}; give the corrections "
            "of these parses"
        )
    if not any(split.truth[row].any() for _, row in pairs):
        raise ValueError(
            f"no class is there in any of the {len(pairs)} corrected clips, which says nothing of where it would be; "
            "correct clips that hold some, or calibrate without annotations"
        )
    curves = {}
    for role, of in found.items():
        m, clips = MODALITIES.index(role), []
        for n, row in pairs:
            length = min(len(of[n]), split.truth.shape[1])
            there = np.isfinite(of[n][:length]).all(axis=1)
            if there.any():
                clips.append((of[n][:length][there, :-1], split.truth[row, :length, m][there]))
        curves[role] = fitted(clips, before[role]) if clips else before[role]
    return curves, len(pairs)


Clips = Sequence[tuple[np.ndarray, np.ndarray]]
"""Evidence float [T, C] and truth bool [T, C] of each corrected clip."""


def fitted(clips: Clips, before: Curve) -> Curve:
    """The curve that fits corrected clips and strays from an earlier one no further than held-out clips bear out."""
    if len(clips) < 2:
        return before
    fold = np.arange(len(clips)) % min(len(clips), FOLDS)
    strays = [stray for stray in STRAYS if stray <= STRAY_OF_CLIP * len(clips)]
    lost = np.zeros((fold.max() + 1, len(strays)))
    for number in range(fold.max() + 1):
        kept, held_out = (
            [c for c, its in zip(clips, fold, strict=True) if (its == number) == out] for out in (False, True)
        )
        for column, stray in enumerate(strays):
            curve = _fit(kept, before, stray)
            lost[number, column] = sum(_loss(found, true, curve) for found, true in held_out)
    best = int(lost.sum(axis=0).argmin())
    for column in range(best):  # the first that the best one does not surely beat
        gain = lost[:, column] - lost[:, best]
        if gain.sum() <= SURELY * gain.std(ddof=1) * len(gain) ** 0.5:
            best = column
            break
    _LOG.debug("strays by %g, held-out losses %s", strays[best], lost.sum(axis=0).round(3).tolist())
    return _fit(clips, before, strays[best])


def _loss(found: np.ndarray, true: np.ndarray, curve: Curve) -> float:
    logits = curve.slope * (found - np.asarray(curve.middle))
    return float((np.logaddexp(0, logits) - true * logits).sum())


def _fit(clips: Clips, before: Curve, stray: float) -> Curve:
    """The likeliest curve where slope and middles lie around those of before, as `stray` says."""
    if not stray:
        return before
    found, true = (np.concatenate(parts) for parts in zip(*clips, strict=True))
    classes = found.shape[1]
    start = np.broadcast_to(before.middle, classes)
    moved, stiff = np.zeros(2 + classes), 1 / stray**2  # the slope's logarithm, the middle, that of each class

    def curve(moves: np.ndarray) -> Curve:
        return Curve(slope=before.slope * float(np.exp(moves[0])), middle=tuple(start + moves[1] + moves[2:]))

    def cost(moves: np.ndarray) -> float:
        return WEIGHT * _loss(found, true, curve(moves)) + stiff * float(moves @ moves) / 2

    for _ in range(_STEPS):
        step = _newton(found, true, curve(moved), stiff, moved)
        part = 1.0
        while cost(moved - part * step) > cost(moved) and part > 1e-3:
            part /= 2
        moved = moved - part * step
    return curve(moved)


def _newton(found: np.ndarray, true: np.ndarray, now: Curve, stiff: float, moved: np.ndarray) -> np.ndarray:
    """The step of Newton's method (Gauss-Newton in the slope) from moves [2 + C]."""
    logits = now.slope * (found - np.asarray(now.middle))
    probs = probabilities(logits, 1.0, 0.0).astype(np.float64)
    wrong, weight = WEIGHT * (probs - true), WEIGHT * probs * (1 - probs)
    slope = now.slope
    gradient = np.concatenate([[(wrong * logits).sum(), -(wrong * slope).sum()], -(wrong * slope).sum(axis=0)])
    bent = np.zeros((len(moved), len(moved)))
    each, mixed = (weight * slope**2).sum(axis=0), -(weight * logits * slope).sum(axis=0)
    bent[0, 0], bent[1, 1], bent[0, 1] = (weight * logits**2).sum(), each.sum(), mixed.sum()
    bent[0, 2:], bent[1, 2:] = mixed, each
    bent = np.triu(bent) + np.triu(bent, 1).T + np.diag(np.r_[0, 0, each] + stiff)
    return np.asarray(np.linalg.solve(bent, gradient + stiff * moved))
