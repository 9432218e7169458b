"""Where do I cut? Zero-shot parses of the demo world at the default threshold against the best there is.

    python -m benchmarks.zero_shot --demo demo [--films 32]

DEMO is the folder of a finished `valor demo`, which is only read. Its test clips, and films of six of them each, are
parsed once by the demo's teachers asked about all names below; from what they said, the probabilities of every list of
classes are made in these ways:

    before      thresholds on logits, 0 for teachers that were trained with a sigmoid (`decoys` none)
    default     against decoys, each file by itself
    footage     the same with the standing of the decoys over the val clips, no label (`valor calibrate --parses`)
    five        besides, five corrected val clips: the mean and the worst of several draws

Of each: segment Type@AV at the default threshold, the same at the best cut of each modality, chosen on the very truth
it is scored on, the gap, and the calibration error (ECE) of what is heard and seen, in percent. Then what all of it is
under cosines that lie like CLIP's, .27 + .05 times the demo's, where `before` has CLIP's threshold of .20; and how
often an event that is marked as unsure is right.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.films import made, media
from benchmarks.machine import processor
from valor.data.datasets.dataset import LLP
from valor.data.parse_evidence import ParseEvidence
from valor.data.parse_file import Parse
from valor.data.predictions import Predictions
from valor.data.tables import Split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.data.zero_shot_file import Curve, ZeroShotCalibration
from valor.eval.events import MODALITIES
from valor.eval.reliability import reliability
from valor.eval.scores import score
from valor.label_harvest.decoys import THRESHOLD, Standing, evidence, leaned
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.cuts import shots_of
from valor.scoring.zero_shot import Footage, calibrate_zero_shot
from valor.video.against_decoys import DecoySystem
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.zero_shot import load_zero_shot

OTHER = (
    "people talking|automobile|excited audience|puppy|kitten|sizzling food|dribbling|smoke detector|chain saw|"
    "violoncello|bluegrass banjo|choir|rooster|violinist|hoover|giggling infant|squeezebox|mower|motorbike|chopper|"
    "guitarist|ringing phone|crying infant|food processor|applause"
).split("|")
"""LLP's classes as other people would call them, in its order."""
NEVER = (
    "penguin|submarine|volcano|tractor|whale|piano|drum kit|skateboard|fountain|printer|typewriter|horse|owl|elevator|"
    "hammer|bicycle|kettle|thunder|waterfall|train"
).split("|")
"""What never occurs there."""
LLP_NAMES = class_names(LLP_CLASSES)
LISTS = {
    "25": [*range(25)],
    "25, other names": [*range(25, 50)],
    "25 and 20 that never occur": [*range(25), *range(50, 70)],
    "5 and 20 that never occur": [0, 1, 3, 10, 24, *range(50, 70)],
    "8": [*range(0, 24, 3)],
    "3 common": [0, 3, 1],
    "3 rare": [9, 12, 20],
    "3, other names": [27, 36, 42],
}
"""Columns of LLP's names, OTHER and NEVER."""
CLIP_LIKE = (0.27, 0.05)
"""Level and scale of cosines like CLIP's."""
DRAWS, CORRECTED = 10, 5


@dataclass(frozen=True)
class Judged:
    """Media, and what the teachers said of them."""

    parses: tuple[Parse, ...]
    truth: tuple[np.ndarray, ...]
    """bool [T, M, 25] of each."""

    def marks(self, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Truth bool [N, T, M, C] of some columns, and which segments there are, bool [N, T]."""
        length = max(len(true) for true in self.truth)
        valid = np.array([np.arange(length) < len(true) for true in self.truth])
        marks = np.zeros((len(self.truth), length, len(MODALITIES), len(columns)), bool)
        for row, true in enumerate(self.truth):
            for place, column in enumerate(columns):
                if column < 50:
                    marks[row, : len(true), :, place] = true[:, :, column % 25]
        return marks, valid


Probs = Callable[[Parse, Sequence[int]], np.ndarray]
"""float [T, M, C] of a parse and some columns."""


def against_decoys(standing: Callable[[Parse, str], Standing], curves: Mapping[str, Curve]) -> Probs:
    def probs(parse: Parse, columns: Sequence[int]) -> np.ndarray:
        held, grid = parse.evidence, Grid(segment_seconds=parse.segment_seconds)
        assert held is not None
        shots = shots_of([cut - parse.media.start_time for cut in parse.cuts], len(parse.segment_probs), grid)
        found = np.zeros((len(parse.segment_probs), len(MODALITIES), len(columns)), np.float32)
        for m, role in enumerate(MODALITIES):
            told = held.similarity[:, m][:, columns]
            of = evidence(told, held.decoy[:, m], standing(parse, role), parse.segment_seconds, shots)
            found[:, m] = np.nan_to_num(curves[role].probabilities(of)[0])
        return found

    return probs


def by_logits(scales: Mapping[str, tuple[float, float]]) -> Probs:
    def probs(parse: Parse, columns: Sequence[int]) -> np.ndarray:
        assert parse.evidence is not None
        tracks = [
            scale * parse.evidence.similarity[:, m][:, columns] + bias
            for m, (scale, bias) in enumerate(scales.values())
        ]
        return np.nan_to_num(1 / (1 + np.exp(-np.stack(tracks, axis=1)))).astype(np.float32)

    return probs


def laid(judged: Judged, columns: Sequence[int], probs: Probs, length: int) -> np.ndarray:
    """float [N, T, M, C]."""
    found = [probs(parse, columns) for parse in judged.parses]
    return np.stack([np.pad(of[:length], ((0, max(0, length - len(of))), (0, 0), (0, 0))) for of in found])


def figures(judged: Judged, columns: Sequence[int], probs: Probs, cut: float) -> tuple[float, float, list[float]]:
    """Type@AV at a cut and at the best one of each modality, and two calibration errors; all in percent."""
    truth, valid = judged.marks(columns)
    held = laid(judged, columns, probs, truth.shape[1])

    def type_av(cuts: Sequence[float]) -> float:
        return score((held >= np.array(cuts)[:, None]) & valid[:, :, None, None], truth, valid=valid).segment.type_av

    tried = np.unique(np.r_[np.arange(0.04, 1, 0.04), 0.99])
    apart = []
    for m in range(2):
        marked = held[:, :, [m, m]] >= tried[:, None, None, None, None]  # the same in both places: the figure of one
        apart.append(
            [score(at & valid[:, :, None, None], truth[:, :, [m, m]], valid=valid).segment.audio for at in marked]
        )
    near = [tried[np.argsort(of)[-6:]] for of in apart]
    best = max(type_av((heard, seen)) for heard in near[0] for seen in near[1])
    error = reliability(held, truth, valid=valid).expected_error
    return type_av((cut, cut)), best, [100 * float(value) for value in error]


def told(name: str, default: float, best: float, error: Sequence[float]) -> None:
    print(f"  {name:22} {default:5.1f} {best:5.1f} {best - default:5.1f}   {error[0]:5.1f} {error[1]:5.1f}", flush=True)


def affine(judged: Judged, level: float, scale: float) -> Judged:
    """The same as another teacher would say it."""
    parses = []
    for parse in judged.parses:
        held = parse.evidence
        assert held is not None
        standing = {
            role: Standing(level=level + scale * of.level, spread=scale * of.spread, seconds=of.seconds)
            for role, of in held.standing.items()
        }
        moved = ParseEvidence(
            similarity=level + scale * held.similarity, decoy=level + scale * held.decoy, standing=standing
        )
        parses.append(replace(parse, evidence=moved))
    return replace(judged, parses=tuple(parses))


def corrected(footage: Footage, split: Split, columns: Sequence[int], test: Judged) -> list[float]:
    """Type@AV on test with five corrected clips, of several draws."""
    names = tuple(LLP_NAMES[c % 25] if c < 50 else NEVER[c - 50] for c in columns)
    assert split.truth is not None
    held = Judged(footage.parses, tuple(split.truth))
    truth, _ = held.marks(columns)
    parses = []
    for parse in footage.parses:
        assert parse.evidence is not None
        narrow = replace(parse.evidence, similarity=parse.evidence.similarity[:, :, columns])
        probs = parse.segment_probs[:, :, columns]
        parses.append(replace(parse, class_names=names, segment_probs=probs, evidence=narrow))
    narrowed, found = Footage(files=footage.files, parses=tuple(parses)), []
    for draw in range(DRAWS):
        rows = np.sort(np.random.default_rng(draw).choice(len(parses), CORRECTED, replace=False))
        ids = tuple(split.clip_ids[row] for row in rows)
        few = replace(
            split, clip_ids=ids, class_names=names, truth=truth[rows], weak_labels=truth[rows].any(axis=(1, 2))
        )
        known = Predictions(clip_ids=split.clip_ids, class_names=names, predicted=truth)
        fitted = (
            calibrate_zero_shot(narrowed, split=few, known=known)
            if truth[rows].any()
            else calibrate_zero_shot(narrowed)
        )
        rule = against_decoys(partial(_of, fitted), fitted.curves)
        marks, valid = test.marks(columns)
        marked = (laid(test, columns, rule, marks.shape[1]) >= THRESHOLD) & valid[:, :, None, None]
        found.append(score(marked, marks, valid=valid).segment.type_av)
    return found


def _of(fitted: ZeroShotCalibration, parse: Parse, role: str) -> Standing:
    return fitted.standing[role]


def sure_and_unsure(system: DecoySystem, judged: Judged) -> None:
    """How many seconds of events are right, of those that are marked unsure and of the others."""
    rights: dict[bool, list[float]] = {False: [], True: []}
    for parse, true in zip(judged.parses, judged.truth, strict=True):
        probs, background = _settled(system, parse, LISTS["25"])
        narrow = replace(parse, class_names=LLP_NAMES, segment_probs=probs, background_probs=background, evidence=None)
        for event in narrow.events:
            start, stop = (
                round((at - parse.media.start_time) / parse.segment_seconds) for at in (event.onset, event.offset)
            )
            m, c = MODALITIES.index(event.modality), LLP_NAMES.index(event.class_name)
            rights[event.unsure].append(float(true[start : min(stop, len(true)), m, c].mean()))
    for unsure, shares in rights.items():
        share = fmean(shares) if shares else 0
        print(
            f"  {'unsure' if unsure else 'sure':7} {len(shares):5} events, {100 * share:.0f} % of their seconds right"
        )


def _settled(system: DecoySystem, parse: Parse, columns: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    held = parse.evidence
    assert held is not None
    grid = Grid(segment_seconds=parse.segment_seconds)
    shots = shots_of([cut - parse.media.start_time for cut in parse.cuts], len(parse.segment_probs), grid)
    probs = np.zeros((len(parse.segment_probs), len(MODALITIES), len(columns)), np.float32)
    background = np.zeros(probs.shape[:2], np.float32)
    for m, role in enumerate(MODALITIES):
        standing = leaned(held.standing[role], system.drawn[role], role)
        of = evidence(held.similarity[:, m][:, columns], held.decoy[:, m], standing, parse.segment_seconds, shots)
        probs[:, m], background[:, m] = Curve().probabilities(of)
    return probs, background


def judged_media(system: DecoySystem, data: Path, films: int) -> dict[str, Judged]:
    """The clips of val and test, and films of test's."""
    options, held = ParseOptions(limits=None, hashed=False), {}
    for name in ("val", "test"):
        split = LLP.read_split(data, name)
        assert split.truth is not None
        files = [media(data / "videos", clip_id) for clip_id in split.clip_ids]
        held[name] = Judged(tuple(parse_media(system, file, options) for file in files), tuple(split.truth))
    with tempfile.TemporaryDirectory() as folder:
        joined = made(data / "videos", split, Path(folder), films, "whole", "own")
        parses = tuple(parse_media(system, film.path, options) for film in joined)
    assert split.truth is not None
    return held | {"films": Judged(parses, tuple(film.spread(split.truth) for film in joined))}


def by_default(drawn: Mapping[str, Standing]) -> Probs:
    """Each file by itself."""

    def standing(parse: Parse, role: str) -> Standing:
        assert parse.evidence is not None
        return leaned(parse.evidence.standing[role], drawn[role], role)

    return against_decoys(standing, PLAIN)


PLAIN = dict.fromkeys(MODALITIES, Curve())


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--demo", type=Path, required=True, help="folder of a finished `valor demo`")
    cli.add_argument("--films", type=int, default=32)
    typed = cli.parse_args()
    print(f"python -m benchmarks.zero_shot {' '.join(sys.argv[1:])}\n{processor()}")
    data = typed.demo / "data"
    system = load_zero_shot([*LLP_NAMES, *OTHER, *NEVER], teachers={"audio": "demo-audio", "visual": "demo-visual"})
    assert isinstance(system, DecoySystem)
    held = judged_media(system, data, typed.films)
    val, footage = LLP.read_split(data, "val"), Footage(files=(data,), parses=held["val"].parses)
    found = calibrate_zero_shot(footage)
    said = {teacher.role: teacher.identity() for teacher in system.teachers}
    scales = {role: (float(str(of["logit_scale"])), float(str(of["logit_bias"]))) for role, of in said.items()}
    ways: dict[str, tuple[Probs, float]] = {
        "before": (by_logits(scales), 0.5),
        "default": (by_default(system.drawn), THRESHOLD),
        "footage": (against_decoys(lambda _, role: found.standing[role], PLAIN), THRESHOLD),
    }
    for name in ("test", "films"):
        for title, columns in LISTS.items():
            print(f"{name}, {title:30} at default, at best, gap, ECE heard and seen")
            for way, (probs, cut) in ways.items():
                told(way, *figures(held[name], columns, probs, cut))
            if name == "test":
                of = corrected(footage, val, columns, held[name])
                print(f"  five                   {fmean(of):5.1f}, worst {min(of):.1f}")
    print("events of the test clips, 25")
    sure_and_unsure(system, held["test"])
    clip_like(system, held["test"])


def clip_like(system: DecoySystem, judged: Judged) -> None:
    level, scale = CLIP_LIKE
    moved = affine(judged, level, scale)
    drawn = {
        role: Standing(level=level + scale * of.level, spread=scale * of.spread, seconds=of.seconds)
        for role, of in system.drawn.items()
    }
    print(f"test, 25, cosines {level} + {scale} x")
    told("before", *figures(moved, LISTS["25"], by_logits(dict.fromkeys(MODALITIES, (100.0, -20.0))), 0.5))
    told("default", *figures(moved, LISTS["25"], by_default(drawn), THRESHOLD))


if __name__ == "__main__":
    main()
