"""Parsers of a bench, trained on sound and picture, where one of the two is missing: as media without it are parsed.

    OUT/one-stream/<share>/<arm>/seed-<n>.npz    what each clip scores, and mAP of seconds

What is audible is parsed from the sound alone, what is visible from the picture alone, by the same weights
(`valor.video.trained`); marks of both passes together are scored as any other. mAP of seconds needs no threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from valor.data.clips import ClipSet
from valor.data.predictions import Predictions, decisions, read_predictions
from valor.data.tables import Split
from valor.eval.average_precision import resampled_precision
from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES, BoolArray, Float64Array
from valor.eval.scores import Scores, score
from valor.experiments.jobs import OverSeeds
from valor.label_harvest.disk import file_sha256
from valor.parsers.hybrid import HybridParser
from valor.pretraining.measure import Drawn, draws_of
from valor.scoring.over_seeds import Difference, difference
from valor.training.checkpoint import read_checkpoint
from valor.training.methods.methods import Methods
from valor.training.recipes import Recipe
from valor.training.run_folder import BEST, PREDICTIONS
from valor.training.train import VALOR_RULE
from valor.video.trained import WindowFeatures, parse_windows

from .before import Gain
from .kept import kept

VERSION = 1
"""Of what is measured; what another one has kept is measured again."""
_BLOCK = 256
"""Clips parsed at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OneStream:
    """A row of the bench, each modality parsed from its own stream alone."""

    over: OverSeeds
    """What is scored."""
    alone: tuple[tuple[Drawn, Drawn], ...]
    """By seed, mAP of audible and of visible seconds."""
    both: tuple[tuple[Drawn, Drawn], ...]
    """The same where neither is missing."""

    def lost(self, whole: OverSeeds) -> Difference:
        """What it has over the same parsers with both streams."""
        return difference(self.over, whole)

    def gain(self, fresh: "OneStream") -> Difference:
        """What it has over the arm fresh, one stream missing there too."""
        return difference(self.over, fresh.over)

    def precision(self, m: int) -> tuple[float, float, Gain]:
        """Mean mAP of a modality alone, with both streams, and what is lost."""
        pairs = [(alone[m], both[m]) for alone, both in zip(self.alone, self.both, strict=True)]
        values = [fmean(of) for of in zip(*((one.value, other.value) for one, other in pairs), strict=True)]
        return values[0], values[1], Gain.of(pairs)


def one_stream(
    folders: Sequence[Path], places: Sequence[Path], recipe: Recipe, clips: ClipSet, test: Split
) -> OneStream:
    """Parse the test split with one stream missing, by the parsers of every seed, or find it done.

    Args:
        folders: Their runs.
        places: Where what is found of each is kept.
        recipe: Theirs.
        clips: The test split with their features.
        test: With its truth.

    Raises:
        ValueError: The network of these parsers cannot do without a stream.
    """
    rule, digest = Methods(recipe.methods).decision(VALOR_RULE), clips.fingerprint()
    found = []
    for folder, place in zip(folders, places, strict=True):
        of = [digest, file_sha256(folder / BEST), file_sha256(folder / PREDICTIONS), VERSION]
        found.append(kept(place, of, partial(_measured, folder, clips, test, rule)))
    alone, both = (
        tuple((_drawn(held[f"{kind}.audio"]), _drawn(held[f"{kind}.visual"])) for held in found)
        for kind in ("alone", "both")
    )
    scores = tuple(Scores.of_clips(held["per_clip"]) for held in found)
    return OneStream(over=OverSeeds(val=(), scores=scores), alone=alone, both=both)


def _drawn(held: Float64Array) -> Drawn:
    """A figure in percent, before its draws."""
    return Drawn(float(held[0]), held[1:])


def _measured(folder: Path, clips: ClipSet, test: Split, rule: PostProcessing) -> dict[str, Float64Array]:
    parser, _ = read_checkpoint(folder / BEST)
    place_of = {clip_id: row for row, clip_id in enumerate(test.clip_ids)}
    rows = [place_of[clip_id] for clip_id in clips.clip_ids]
    assert test.truth is not None
    truth = test.truth[rows]
    valid = np.ones(truth.shape[:2], np.bool_) if clips.valid is None else clips.valid.numpy()
    times, marks, found = draws_of(len(clips)), list[BoolArray](), dict[str, Float64Array]()
    whole = read_predictions(folder / PREDICTIONS)
    assert whole.segment_probs is not None  # of a parser
    order = [whole.clip_ids.index(clip_id) for clip_id in clips.clip_ids]
    for m, modality in enumerate(MODALITIES):
        alone = parsed_alone(parser.eval(), clips, m)
        marks.append(decisions(alone, rule)[0][:, :, m])
        assert alone.segment_probs is not None
        for name, probs in (("alone", alone.segment_probs), ("both", whole.segment_probs[order])):
            precision = resampled_precision(probs[:, :, m], truth[:, :, m], times, valid=valid)
            found[f"{name}.{modality}"] = 100 * precision
    predicted: BoolArray = np.stack(marks, axis=2) & valid[:, :, None, None]
    return {"per_clip": score(predicted, truth, valid=valid).per_clip, **found}


def parsed_alone(parser: HybridParser, clips: ClipSet, m: int) -> Predictions:
    """Predictions from the stream of a modality alone; 0 for the other."""
    parts = []
    for start in range(0, len(clips), _BLOCK):
        rows = slice(start, start + _BLOCK)
        valid = torch.ones(clips.audio[rows].shape[:2], dtype=torch.bool) if clips.valid is None else clips.valid[rows]
        given = {"audio": clips.audio, "visual": clips.visual, "motion": clips.motion}
        its = ("audio",) if m == 0 else ("visual", "motion")
        streams = {name: x[rows] if name in its and x is not None else None for name, x in given.items()}
        parts.append(parse_windows(parser, WindowFeatures(**streams, valid=valid), clips.class_names))
    segment, clip, modality = (
        np.nan_to_num(np.concatenate([getattr(part, name) for part in parts]))
        for name in ("segment", "clip", "modality")
    )
    return Predictions(
        clip_ids=clips.clip_ids,
        class_names=clips.class_names,
        segment_probs=segment,
        clip_probs=clip,
        modality_probs=modality,
        valid=None if clips.valid is None else clips.valid.numpy(),
    )
