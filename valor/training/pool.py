"""Clips without tags laid behind the tagged ones of a training set, labelled by the teachers alone.

    stores --read_pool--> Pool, once for all seeds --with_pool--> the training set of a seed

Of the tagged clips a seed may keep a share (`share.py`); whatever is in the stores and is not among those it keeps, nor
annotated, is a clip without tags. Labels are those of `valor.label_harvest.untagged`: of each teacher one cut for all
classes, at which seconds are labelled as often as those of the tagged clips are, times a factor where the factor is
chosen on validation.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from valor.data.clips import ClipSet
from valor.data.datasets.dataset import DataSet
from valor.data.features.feature_options import STREAMS
from valor.data.unlabelled import ANNOTATED, UnlabelledSet, read_unlabelled
from valor.eval.events import MODALITIES
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.manifest import some_of
from valor.label_harvest.untagged import Level, cut_for, level_of, marks_of, untagged_evidence

from .methods.unlabelled import UnlabelledOptions
from .recipe import Recipe
from .share import of_share, share_rows

_LOG = logging.getLogger(__name__)

NAME = "unlabelled"
"""Of the method, and of the key of a run's recipe that says which clips took part."""

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 2.0)
"""Of the rate of the tagged clips, tried on validation."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """Clips of stores, and what the teachers say of validation clips."""

    clips: UnlabelledSet
    """With logits of the classes of the training set, in their order; tagged clips among them."""
    val: UnlabelledSet | None = None
    """The validation clips likewise, in the order of their split; None where no cut is chosen on them."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """By role, over all clips of the pool."""


def read_pool(
    recipe: Recipe, stores: Sequence[Place], data: Path, train: ClipSet, val: ClipSet, dataset: DataSet | None = None
) -> Pool:
    """Read the clips of stores that a recipe with `methods.unlabelled` learns from.

    Args:
        recipe: Says which features and how they are labelled.
        stores: One or more.
        data: Folder of the annotation tables, whose annotated clips stay out.
        train: The tagged clips, all of them.
        val: The validation clips.
        dataset: What `data` holds.

    Raises:
        ValueError: There is no store, or the clips do not fit the tagged ones: another width, length of segments or
            other classes; or what `read_unlabelled` refuses.
    """
    options = recipe.methods[NAME]
    if not stores:
        raise ValueError(
            "methods.unlabelled learns from clips of evidence stores, and none was given; give it as `unlabelled`, or "
            "go without (methods.unlabelled=off)"
        )
    found = read_unlabelled(stores, recipe.features, data=data, dataset=dataset, logits=True)
    named = ", ".join(map(str, stores))
    widths = found.widths()
    for name, width in train.widths().items():
        if name in widths and widths[name] != width:
            raise ValueError(
                f"{named}: {name} is {widths[name]} there and {width} of the tagged clips; harvest both with the same "
                "teachers"
            )
    if mute := [role for role in MODALITIES if role not in found.logits and "fused" not in found.logits]:
        raise ValueError(
            f"{named}: no teacher there judges the {mute[0]} of clips, so nobody can label it; harvest with one"
        )
    if found.segment_seconds != train.segment_seconds:
        raise ValueError(
            f"{named}: has segments of {found.segment_seconds:g} s and the tagged clips of {train.segment_seconds:g} "
            "s; harvest both on one grid"
        )
    clips = _of_classes(found, train.class_names, named)
    levels = {role: level_of(of.numpy(), _numpy(clips.valid)) for role, of in clips.logits.items()}
    held = _of_val(recipe, stores, val, named) if options.cuts == "val" else None
    return Pool(clips=clips, val=held, levels=levels)


def with_pool(train: ClipSet, val: ClipSet, pool: Pool | None, recipe: Recipe) -> tuple[ClipSet, dict[str, Any]]:
    """The training set of a seed: its share of the tagged clips, and behind them the clips without tags.

    Args:
        train: All tagged clips, with pseudo labels.
        val: With truth.
        pool: What was read; None for a recipe without `methods.unlabelled`.
        recipe: With the seed.

    Returns:
        The set, which is `train` itself where all clips keep their tags and there are no others; and what `recipe.json`
        says of those others, as JSON values.
    """
    kept = of_share(train, recipe.fit)
    if pool is None:
        return kept, {}
    options: UnlabelledOptions = recipe.methods[NAME]
    others = pool.clips.without(kept.clip_ids, "tagged")
    rows = share_rows(len(others), options.share, recipe.fit.seed) if len(others) else []
    others = others.take(rows)
    facts: dict[str, Any] = {
        "clips": len(others),
        "stores": list(others.stores),
        "annotated": sum(why == ANNOTATED for why in others.left_out.values()),
        "without_features": sum(why.startswith("without") for why in others.left_out.values()),
    }
    if not len(others):
        _LOG.warning("no clip of the stores is without tags: all %d are tagged or annotated", len(others.left_out))
        return kept, facts
    shares = _shares(kept)
    factors = _factors(pool, val, shares) if options.cuts == "val" else (1.0, 1.0)
    labels, cuts = labelled(others, pool.levels, [s * f for s, f in zip(shares, factors, strict=True)], options)
    told = {"labelled_share": [round(share, 6) for share in shares], "factors": list(factors), "cuts": cuts}
    return _behind(kept, others, labels), facts | told


def labelled(
    clips: UnlabelledSet, levels: Mapping[str, Level], shares: Sequence[float], options: UnlabelledOptions
) -> tuple[Tensor, dict[str, float]]:
    """What the teachers alone say of clips.

    Args:
        clips: With logits.
        levels: By role.
        shares: Of seconds and classes that are to be labelled, by modality.
        options: Hard or soft.

    Returns:
        [N, T, M, C], bool or float32, and the cut of each modality.
    """
    tracks, cuts = [], {}
    valid = _numpy(clips.valid)
    for modality, share in zip(MODALITIES, shares, strict=True):
        evidence = _evidence(clips, levels, modality)
        cuts[modality] = cut_for(evidence, share, valid)
        tracks.append(marks_of(evidence, cuts[modality], options.temperature))
    return torch.from_numpy(np.stack(tracks, axis=2)), cuts


def _evidence(clips: UnlabelledSet, levels: Mapping[str, Level], modality: str) -> np.ndarray:
    """Of the teacher of a modality, or the one for both."""
    role = modality if modality in clips.logits else "fused"
    return untagged_evidence(clips.logits[role].numpy(), levels[role], _numpy(clips.valid))


def _shares(tagged: ClipSet) -> tuple[float, ...]:
    """How often seconds of tagged clips are labelled, by modality."""
    labels = tagged.pseudo_labels
    if labels is None:
        raise ValueError(
            "methods.unlabelled labels clips as often as the tagged ones are, and these have no pseudo labels; make "
            "them (valor labels)"
        )
    held = labels.float() if tagged.valid is None else labels[tagged.valid].float()
    axes = tuple(range(held.dim() - 2))
    return tuple(held.mean(dim=(*axes, -1)).tolist())


def _factors(pool: Pool, val: ClipSet, shares: Sequence[float]) -> tuple[float, ...]:
    """By modality, the factor whose labels have the best segment F on validation clips, the least of equal ones."""
    assert pool.val is not None and val.truth is not None  # read for it; no training without
    best = []
    for m, modality in enumerate(MODALITIES):
        everywhere = _evidence(pool.clips, pool.levels, modality)
        evidence = _evidence(pool.val, pool.levels, modality)
        truth = val.truth.cpu().numpy()[:, : evidence.shape[1], m]
        scores = []
        for factor in FACTORS:
            marked = evidence > cut_for(everywhere, shares[m] * factor, _numpy(pool.clips.valid))
            scores.append(2 * (marked & truth).sum() / max(marked.sum() + truth.sum(), 1))
        best.append(FACTORS[int(np.argmax(scores))])
    return tuple(best)


def _of_val(recipe: Recipe, stores: Sequence[Place], val: ClipSet, named: str) -> UnlabelledSet:
    """Evidence of the validation clips, in their order."""
    found = _of_classes(
        read_unlabelled(stores, recipe.features, transductive=True, logits=True), val.class_names, named
    )
    rows = {name: row for row, name in enumerate(found.clip_ids)}
    if absent := [name for name in val.clip_ids if name not in rows]:
        raise ValueError(
            f"{named}: no evidence of {len(absent)} validation clips, such as {some_of(absent, 3)}, on which "
            "methods.unlabelled.cuts=val chooses; harvest them too, or set it to tagged"
        )
    return found.take([rows[name] for name in val.clip_ids])


def _of_classes(clips: UnlabelledSet, names: Sequence[str], where: str) -> UnlabelledSet:
    """With logits of these classes alone, in their order."""
    if strange := [name for name in names if name not in clips.class_names]:
        raise ValueError(
            f"{where}: the teachers there were not asked for {some_of(strange, 3)}, of which tagged clips are; harvest "
            "with the classes of the data"
        )
    order = [clips.class_names.index(name) for name in names]
    return replace(clips, class_names=tuple(names), logits={role: of[..., order] for role, of in clips.logits.items()})


def _behind(tagged: ClipSet, others: UnlabelledSet, labels: Tensor) -> ClipSet:
    """Tagged clips and those without tags as one set."""
    assert tagged.pseudo_labels is not None  # asked for their share
    if labels.is_floating_point() or tagged.pseudo_labels.is_floating_point():
        labels, own = labels.float(), tagged.pseudo_labels.float()
    else:
        own = tagged.pseudo_labels
    held = labels.amax(dim=1) > 1 / 2 if labels.is_floating_point() else labels.any(dim=1)  # [n, M, C]
    longest = max(tagged.audio.shape[1], others.audio.shape[1])
    tensors: dict[str, Any] = {}
    for name in STREAMS:
        one, other = getattr(tagged, name), getattr(others, name)
        tensors[name] = None if one is None else torch.cat([_to(one, longest), _to(other.to(one.dtype), longest)])
    valid = [_valid(of.valid, len(of), of.audio.shape[1], longest) for of in (tagged, others)]
    joined = torch.cat(valid)
    tags = tagged.modality_tags
    return replace(
        tagged,
        clip_ids=(*tagged.clip_ids, *others.clip_ids),
        weak_labels=torch.cat([tagged.weak_labels, held.any(dim=1)]),
        modality_tags=None if tags is None else torch.cat([tags, held]),
        pseudo_labels=torch.cat([_to(own, longest), _to(labels, longest)]),
        valid=None if tagged.valid is None and joined.all() else joined,
        truth=None,
        events=None,
        clip_seconds=None,
        subsets={},
        tagged=torch.arange(len(tagged) + len(others)) < len(tagged),
        **tensors,
    )


def _to(tensor: Tensor, longest: int) -> Tensor:
    """[N, T, ...] with zeros up to so many segments."""
    return pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, longest - tensor.shape[1]))


def _valid(valid: Tensor | None, clips: int, length: int, longest: int) -> Tensor:
    held = torch.ones(clips, length, dtype=torch.bool) if valid is None else valid
    return pad(held, (0, longest - length))


def _numpy(valid: Tensor | None) -> np.ndarray | None:
    return None if valid is None else valid.numpy()
