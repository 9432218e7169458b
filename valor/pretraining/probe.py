"""What a pre-training is worth before any parser is trained: beside the raw features, and beside a random encoder.

    linear      ridge regression fitted to the truth of val, segment mAP of audible and of visible seconds of test; from
                each modality alone, and from both streams encoded together
    one missing the regression fitted to both streams together, asked where one of them is not there
    retrieval   the sound of a clip looks for its picture among all of test, and the other way round
    in step     the sound of a second looks for its picture among the seconds of its clip, which are played in another
                order for that: time codes, which both streams have, would tell each where the other is

A random encoder has most of the apparent benefit of a trained one, so no figure stands without it, and the difference
is drawn over the same clips. Raw features of two teachers have no common space; there the teachers' scores of the
classes are compared, standardised by those of val.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from valor.data.clips import ClipSet
from valor.data.datasets.dataset import DataSet, chosen_dataset
from valor.data.features.feature_options import FeatureOptions
from valor.data.provenance import describe_data
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.eval.events import MODALITIES, BoolArray, Float64Array, FloatArray
from valor.eval.intervals import Interval
from valor.eval.retrieval import FIRST
from valor.eval.tables import RULE, Sheet
from valor.label_harvest.places.place import Place
from valor.parsers.pretraining.objective import Segments
from valor.training.encoder_file import EncoderFile, read_encoder, refuse_other_features, refuse_towers
from valor.training.override import updated
from valor.training.run import pick_device

from .measure import Drawn, Seconds, draws_of, fit_probe, in_step, over_clips, retrieved
from .options import ProbeOptions
from .run import rebuilt

_BLOCK = 64
"""Clips encoded together."""
Seen: TypeAlias = Sequence[tuple[FloatArray, FloatArray]]
"""Vectors of val and of test by modality."""
FEATURES, RANDOM = "features as they are", "random encoder"
"""Controls, as the table calls them."""


ALONE, TOGETHER, MISSING = (
    {modality: f"{kind}.{modality}" for modality in MODALITIES} for kind in ("alone", "together", "missing")
)
"""Keys of a probe's figures by modality: from it alone, from both, and from it alone by what was fitted to both."""
STEP = "in_step"
FIGURE_NAMES = {
    ALONE["audio"]: "audible, sound alone",
    ALONE["visual"]: "visible, picture alone",
    TOGETHER["audio"]: "audible, both",
    TOGETHER["visual"]: "visible, both",
    MISSING["audio"]: "audible, picture missing",
    MISSING["visual"]: "visible, sound missing",
    **{f"R@{first}": f"R@{first}" for first in FIRST},
    STEP: "in step",
}
"""What is measured, as tables call it: mAP of seconds, then retrieval."""


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """Figures of one way to see a second, in percent."""

    name: str
    figures: Mapping[str, Drawn]
    """By keys of `FIGURE_NAMES`, without those there is no such figure of."""

    def over(self, other: "ProbeRow") -> dict[str, Interval]:
        """What it has over another one of the same clips, drawn in pairs."""
        both = [key for key in FIGURE_NAMES if key in self.figures and key in other.figures]
        return {key: self.figures[key].minus(other.figures[key]).interval() for key in both}

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""

        def pair(of: Mapping[str, str]) -> dict[str, Any] | None:
            held = {modality: self.figures.get(key) for modality, key in of.items()}
            found = {modality: one.interval() for modality, one in held.items() if one is not None}
            return {m: {"mAP": one.value, "low": one.low, "high": one.high} for m, one in found.items()} or None

        recall = {key: self.figures[key].value for first in FIRST if (key := f"R@{first}") in self.figures}
        step = self.figures.get(STEP)
        return {
            "name": self.name,
            "alone": pair(ALONE),
            "together": pair(TOGETHER),
            "missing": pair(MISSING),
            "retrieval": recall or None,
            "in_step": None if step is None else step.value,
        }


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What a pre-training is worth."""

    objective: str
    clips: int
    """That are scored."""
    learned: int
    """Clips the probe is fitted to."""
    rows: tuple[ProbeRow, ...]
    """The features, a random encoder, the pre-trained one, chance."""
    notes: tuple[str, ...] = ()

    @property
    def gained(self) -> dict[str, Interval]:
        """What the pre-trained encoder has over the random one, by figure."""
        return self.rows[2].over(self.rows[1])

    def sheet(self) -> Sheet:
        """As a table: a line for each figure, what is pre-trained beside its controls."""
        *measured, chance = self.rows
        titles = ["seconds as", *(row.name for row in measured), f"over {RANDOM}", chance.name]
        lines = []
        for key, name in FIGURE_NAMES.items():
            cells = [_ranged(row.figures.get(key)) for row in measured]
            lines.append([name, *cells, signed(self.gained[key]), _ranged(chance.figures.get(key))])
        return Sheet(columns=titles, rows=lines, gaps={len(lines) - len(FIRST) - 1: [RULE]})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [row.to_dict() for row in self.rows]
        gained = {key: {"value": one.value, "low": one.low, "high": one.high} for key, one in self.gained.items()}
        told = {"objective": self.objective, "clips": self.clips, "learned": self.learned}
        return {**told, "rows": rows, "over_random": gained, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class ProbeSets:
    """What is read of a data folder."""

    val: ClipSet
    test: ClipSet
    scores: tuple[ClipSet, ClipSet] | None
    """What the teachers say of the classes, of both; None where the features are of no store."""

    def each(self) -> tuple[ClipSet, ClipSet]:
        """What a probe learns from, and what is scored."""
        return self.val, self.test


def probe_run(
    run: Path,
    data: Path,
    options: ProbeOptions | None = None,
    *,
    store: Place | None = None,
    dataset: DataSet | str | None = None,
) -> ProbeReport:
    """Measure a pre-training.

    Args:
        run: Its folder.
        data: A data folder with truth of val and test.
        options: How.
        store: Evidence store of the features; None for the one among the data.
        dataset: What the data folder holds; None for what it says itself.

    Raises:
        FileNotFoundError: There is no pre-training.
        ValueError: The features are not those it learned from, or the data has no truth of two splits.
    """
    options = options or ProbeOptions()
    held = read_encoder(run)
    sets = read_probe_sets(held, data, store=store, dataset=dataset)
    rows = [features_row(sets, options), *(encoder_row(held, sets, options, fresh=fresh) for fresh in (True, False))]
    return ProbeReport(
        objective=held.card.objective,
        clips=len(sets.test),
        learned=len(sets.val),
        rows=(*rows, _chance(sets.test)),
        notes=_notes(held),
    )


def read_probe_sets(
    held: EncoderFile, data: Path, *, store: Place | None = None, dataset: DataSet | str | None = None
) -> ProbeSets:
    """Read what a pre-training is measured on; arguments and errors as of `probe_run`."""
    refuse_towers(held)
    features = updated(FeatureOptions(), dict(held.card.features), "features.")
    known = chosen_dataset(dataset, data)
    splits = [known.read_split(data, known.split_for(role), known.names_in(data)) for role in ("val", "test")]
    for split in splits:
        if split.truth is None:
            raise ValueError(f"{data}: the split {split.name} has no truth of seconds, which a probe is held against")
    val, test = (read_clip_set(data, split, features, store=store) for split in splits)
    made_by = describe_data(features, data, (), None, store)["features"]
    refuse_other_features(held, test.widths(), made_by)
    return ProbeSets(val, test, _class_scores(data, splits, features, store))


def _notes(held: EncoderFile) -> tuple[str, ...]:
    """What has to be known beside the figures."""
    if held.card.pool.get("transductive"):
        return ("the pool may hold clips that are scored here: it was transductive",)
    if not held.card.pool.get("annotated_known", True):
        return ("the pool may hold clips that are scored here: no data folder said which are annotated",)
    return ()


def _class_scores(
    data: Path, splits: list[Split], features: FeatureOptions, store: Place | None
) -> tuple[ClipSet, ClipSet] | None:
    """What teachers say of classes, as features; None where a store has none."""
    if "." not in features.audio or "." not in features.visual:
        return None
    kinds = replace(features, audio="audio.similarity", visual="visual.similarity", motion=None)
    try:
        val, test = (read_clip_set(data, split, kinds, store=store) for split in splits)
    except (ValueError, FileNotFoundError, KeyError):
        return None
    return val, test


def _valid(clips: ClipSet) -> BoolArray:
    if clips.valid is None:
        return np.ones(clips.audio.shape[:2], dtype=np.bool_)
    found: BoolArray = clips.valid.numpy()
    return found


def _probed(
    alone: Seen, together: Seen, lacking: tuple[FloatArray, FloatArray], sets: ProbeSets, options: ProbeOptions
) -> dict[str, Drawn]:
    """MAP of both modalities.

    Args:
        alone: Vectors of val and of test from each modality alone, [set][modality] float [N, T, D].
        together: The same from both.
        lacking: Those of test where the other modality is not there, as the regression of both takes them.
        sets: The clips.
        options: How many draws.
    """
    times, found = draws_of(len(sets.test), options.resamples), {}
    for m, modality in enumerate(MODALITIES):

        def of(vectors: FloatArray, clips: ClipSet, m: int = m) -> Seconds:
            assert clips.truth is not None  # looked at when it was read
            return Seconds(vectors, clips.truth[:, :, m].numpy(), _valid(clips))

        found[ALONE[modality]] = fit_probe(of(alone[0][m], sets.val)).judge(of(alone[1][m], sets.test), times)
        both = fit_probe(of(together[0][m], sets.val))
        found[TOGETHER[modality]] = both.judge(of(together[1][m], sets.test), times)
        found[MISSING[modality]] = both.judge(of(lacking[m], sets.test), times)
    return found


def _compared(
    audio: FloatArray, visual: FloatArray, shuffled: FloatArray, sets: ProbeSets, options: ProbeOptions
) -> dict[str, Drawn]:
    """Retrieval among clips of test, and among the seconds of one."""
    times, valid = draws_of(len(sets.test), options.resamples), _valid(sets.test)
    recall = retrieved(audio, visual, valid)
    found = {f"R@{first}": over_clips(shares, times) for first, shares in recall.items()}
    return found | {STEP: over_clips(in_step(audio, shuffled, valid), times)}


def features_row(sets: ProbeSets, options: ProbeOptions) -> ProbeRow:
    """The features themselves, and what their teachers say of classes; a missing stream is the mean of val."""
    streams = [
        [x.float().numpy() for x in (clips.audio, clips.visual, clips.motion) if x is not None] for clips in sets.each()
    ]
    alone = [(of[0], np.concatenate(of[1:], axis=-1)) for of in streams]
    both = [(np.concatenate(of, axis=-1),) * 2 for of in streams]
    absent = both[0][0][_valid(sets.val)].mean(axis=0)
    width, lacking = streams[0][0].shape[-1], (both[1][0].copy(), both[1][0].copy())
    lacking[0][..., width:], lacking[1][..., :width] = absent[width:], absent[:width]
    figures = _probed(alone, both, lacking, sets, options)
    if sets.scores is not None:
        audio, visual = (_standardised(sets.scores, name, sets) for name in MODALITIES)
        figures |= _compared(audio, visual, visual, sets, options)
    return ProbeRow(name=FEATURES, figures=figures)


def _standardised(scores: tuple[ClipSet, ClipSet], name: str, sets: ProbeSets) -> Float64Array:
    """What a teacher says of the classes in test, by mean and deviation of val, float64 [N, T, C]."""
    val, test = (getattr(clips, name).double().numpy() for clips in scores)
    there = val[_valid(sets.val)]
    found: Float64Array = (test - there.mean(axis=0)) / np.maximum(there.std(axis=0), 1e-12)
    return found


@torch.no_grad()
def encoder_row(held: EncoderFile, sets: ProbeSets, options: ProbeOptions, *, fresh: bool) -> ProbeRow:
    """A pre-trained encoder, or with `fresh` the same network with initial weights."""
    device, net = pick_device(options.device), rebuilt(held, fresh=fresh, seed=options.seed)
    net.views.to(device)
    net.objective.to(device)
    seen = []
    for clips in sets.each():
        order = _shuffled(clips, options.seed)
        parts: list[list[Tensor]] = [[] for _ in range(7)]
        for start in range(0, len(clips), _BLOCK):
            batch = _segments(clips, start, device)
            played = order[start : start + _BLOCK].to(device)
            found = (
                *(net.views.alone(batch, m) for m in range(2)),
                *net.views.together(batch),
                *net.objective.embedded(net.views, batch),
                _in_order(net.objective.embedded(net.views, _reordered(batch, played))[1], played.argsort(dim=1)),
            )
            for part, x in zip(parts, found, strict=True):
                part.append(x.cpu())
        seen.append([torch.cat(part).numpy() for part in parts])
    alone, together = ([(of[n], of[n + 1]) for of in seen] for n in (0, 2))
    figures = _probed(alone, together, alone[1], sets, options)  # the row `absent` stands for what is missing
    audio, visual, shuffled = seen[1][4:]
    name = RANDOM if fresh else held.card.objective
    return ProbeRow(name=name, figures=figures | _compared(audio, visual, shuffled, sets, options))


def _shuffled(clips: ClipSet, seed: int) -> Tensor:
    """An order of the seconds that exist of each clip, int64 [N, T]."""
    rng = np.random.default_rng(seed)
    found = []
    for exists in _valid(clips):
        places = np.arange(len(exists))
        places[exists] = rng.permutation(places[exists])
        found.append(places)
    return torch.from_numpy(np.stack(found))


def _in_order(x: Tensor, order: Tensor) -> Tensor:
    """Float [B, T, D], seconds in the order of int64 [B, T]."""
    return x.gather(1, order[..., None].expand_as(x))


def _reordered(batch: Segments, order: Tensor) -> Segments:
    """The same clips, what is seen of them in another order."""
    motion = None if batch.motion is None else _in_order(batch.motion, order)
    return replace(batch, visual=_in_order(batch.visual, order), motion=motion)


def _segments(clips: ClipSet, start: int, device: torch.device) -> Segments:
    """Some clips, whole."""
    rows = slice(start, start + _BLOCK)
    taken = [None if x is None else x[rows].to(device) for x in (clips.audio, clips.visual, clips.motion, clips.valid)]
    audio, visual, motion, valid = (x if x is None or x.dtype == torch.bool else x.float() for x in taken)
    assert audio is not None
    assert visual is not None
    return Segments(audio, visual, motion, valid)


def _chance(test: ClipSet) -> ProbeRow:
    """What knowing nothing gives: the share of true seconds, and of right answers."""
    truth, valid = test.truth, _valid(test)
    assert truth is not None
    figures = {}
    for m, modality in enumerate(MODALITIES):
        held = truth[:, :, m].numpy()[valid]
        figures[ALONE[modality]] = 100 * float(held.mean(axis=0)[held.any(axis=0)].mean())
    figures |= {f"R@{first}": 100 * min(1.0, first / len(test)) for first in FIRST}
    figures[STEP] = 100 * float((1 / valid.sum(axis=1)).mean())
    return ProbeRow(name="chance", figures={key: Drawn(value, np.empty(0)) for key, value in figures.items()})


def signed(one: Interval) -> str:
    """A difference with its interval, as tables show it; with a star where it leaves zero out."""
    star = "*" if one.low > 0 or one.high < 0 else ""
    return f"{one.value:+.1f}{star} [{one.low:+.1f}, {one.high:+.1f}]"


def _ranged(one: Drawn | None) -> str:
    if one is None:
        return "-"
    return one.interval().text() if len(one.draws) else f"{one.value:.1f}"
