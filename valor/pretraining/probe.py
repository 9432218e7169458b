"""What a pre-training is worth before any parser is trained: beside the raw features, and beside a random encoder.

    linear    ridge regression fitted to the truth of val, segment mAP of audible and of visible seconds of test; from
              each modality alone, and from both streams encoded together
    retrieval the sound of a clip looks for its picture among all of test, and the other way round
    in step   the sound of a second looks for its picture among the seconds of its clip, which are played in another
              order for that: time codes, which both streams have, would tell each where the other is

A random encoder has most of the apparent benefit of a trained one, so no figure stands without it. Raw features of two
teachers have no common space; there the teachers' scores of the classes are compared, standardised by those of val.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from valor.data.clips import ClipSet, read_clip_set
from valor.data.datasets.dataset import DataSet, chosen_dataset
from valor.data.features.feature_options import FeatureOptions
from valor.data.provenance import describe_data
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

from .measure import Seconds, in_step, probe, retrieved
from .options import ProbeOptions
from .run import Pretrained, rebuilt

_BLOCK = 64
"""Clips encoded together."""
FEATURES, RANDOM = "features as they are", "random encoder"
"""Controls, as the table calls them."""


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """Figures of one way to see a second, in percent; None where there is no such figure."""

    name: str
    alone: tuple[Interval, Interval] | None = None
    """mAP of audible and of visible seconds, from the modality alone."""
    together: tuple[Interval, Interval] | None = None
    """The same from what is seen of both."""
    recall: Mapping[int, float] | None = None
    """Of sound and picture of a clip, both ways, by how many answers are looked at."""
    in_step: float | None = None
    """Seconds whose picture is the nearest of their clip."""

    def cells(self) -> list[str]:
        """As the table shows it."""
        pairs = [["-", "-"] if pair is None else [_ranged(one) for one in pair] for pair in (self.alone, self.together)]
        recalls = [self.recall[first] if self.recall else None for first in FIRST]
        return [self.name, *pairs[0], *pairs[1], *(_cell(x) for x in (*recalls, self.in_step))]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""

        def pair(of: tuple[Interval, Interval] | None) -> dict[str, Any] | None:
            if of is None:
                return None
            return {
                m: {"mAP": one.value, "low": one.low, "high": one.high} for m, one in zip(MODALITIES, of, strict=True)
            }

        recall = None if self.recall is None else {f"R@{first}": value for first, value in self.recall.items()}
        return {
            "name": self.name,
            "alone": pair(self.alone),
            "together": pair(self.together),
            "retrieval": recall,
            "in_step": self.in_step,
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
    notes: tuple[str, ...] = ()

    def sheet(self) -> Sheet:
        """As a table; chance stands at its foot."""
        columns = ["seconds as", "audible", "visible", "audible, both", "visible, both"]
        columns += [*(f"R@{first}" for first in FIRST), "in step"]
        return Sheet(columns=columns, rows=[row.cells() for row in self.rows], gaps={len(self.rows) - 1: [RULE]})

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [row.to_dict() for row in self.rows]
        told = {"objective": self.objective, "clips": self.clips, "learned": self.learned}
        return {**told, "rows": rows, "notes": list(self.notes)}


@dataclass(frozen=True, eq=False)
class _Sets:
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
    sets = _Sets(val, test, _class_scores(data, splits, features, store))
    device = pick_device(options.device)
    rows = [_raw_row(sets, options)]
    for name, fresh in ((RANDOM, True), (held.card.objective, False)):
        rows.append(_row(name, rebuilt(held, fresh=fresh, seed=options.seed), sets, options, device))
    rows.append(_chance(test))
    return ProbeReport(
        objective=held.card.objective,
        clips=len(test),
        learned=len(val),
        rows=tuple(rows),
        notes=_notes(held),
    )


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
    seen: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]], sets: _Sets, options: ProbeOptions
) -> tuple[Interval, Interval]:
    """MAP of both modalities from vectors of val and of test, [set][modality] float [N, T, D]."""
    found = []
    for m in range(len(MODALITIES)):
        learned, scored = (
            Seconds(of[m], clips.truth[:, :, m].numpy(), _valid(clips))  # type: ignore[index]
            for of, clips in zip(seen, sets.each(), strict=True)
        )
        found.append(probe(learned, scored, resamples=options.resamples))
    return found[0], found[1]


def _raw_row(sets: _Sets, options: ProbeOptions) -> ProbeRow:
    """The features themselves, and what their teachers say of classes."""
    streams = [
        [x.float().numpy() for x in (clips.audio, clips.visual, clips.motion) if x is not None] for clips in sets.each()
    ]
    alone = [(of[0], np.concatenate(of[1:], axis=-1)) for of in streams]
    both = [(np.concatenate(of, axis=-1),) * 2 for of in streams]
    recall = step = None
    if sets.scores is not None:
        audio, visual = (_standardised(sets.scores, name, sets) for name in MODALITIES)
        recall, step = retrieved(audio, visual, _valid(sets.test)), in_step(audio, visual, _valid(sets.test))[0]
    return ProbeRow(
        name=FEATURES,
        alone=_probed((alone[0], alone[1]), sets, options),
        together=_probed((both[0], both[1]), sets, options),
        recall=recall,
        in_step=step,
    )


def _standardised(scores: tuple[ClipSet, ClipSet], name: str, sets: _Sets) -> Float64Array:
    """What a teacher says of the classes in test, by mean and deviation of val, float64 [N, T, C]."""
    val, test = (getattr(clips, name).double().numpy() for clips in scores)
    there = val[_valid(sets.val)]
    found: Float64Array = (test - there.mean(axis=0)) / np.maximum(there.std(axis=0), 1e-12)
    return found


@torch.no_grad()
def _row(name: str, net: Pretrained, sets: _Sets, options: ProbeOptions, device: torch.device) -> ProbeRow:
    """A network, trained or not."""
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
    audio, visual, shuffled = seen[1][4:]
    return ProbeRow(
        name=name,
        alone=_probed(((seen[0][0], seen[0][1]), (seen[1][0], seen[1][1])), sets, options),
        together=_probed(((seen[0][2], seen[0][3]), (seen[1][2], seen[1][3])), sets, options),
        recall=retrieved(audio, visual, _valid(sets.test)),
        in_step=in_step(audio, shuffled, _valid(sets.test))[0],
    )


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
    shares = []
    for m in range(len(MODALITIES)):
        held = truth[:, :, m].numpy()[valid]
        share = 100 * float(held.mean(axis=0)[held.any(axis=0)].mean())
        shares.append(Interval(share, share, share))
    length = valid.sum(axis=1)
    recall = {first: 100 * min(1.0, first / len(test)) for first in FIRST}
    return ProbeRow(
        name="chance", alone=(shares[0], shares[1]), recall=recall, in_step=100 * float((1 / length).mean())
    )


def _ranged(one: Interval) -> str:
    return one.text() if one.low < one.high else _cell(one.value)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
