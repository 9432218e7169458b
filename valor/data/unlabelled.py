"""Clips without a label, of one evidence store or several: features of each stream, and what the teachers say of them.

    stores --read_unlabelled--> UnlabelledSet: clip ids, float [N, T, D] of each stream, logits float32 [N, T, C]

No table is needed, and tags that a store holds are not looked at. Clips that somebody has annotated are kept out: those
of the splits with dense truth of the data folder, by name, unless the pool is to be transductive.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from valor.eval.events import MODALITIES
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.manifest import composed, media_id, some_of
from valor.label_harvest.store.store import EvidenceStore, differences, read_store, store_manifest

from .datasets.dataset import DataSet, chosen_dataset
from .features.feature_options import STREAMS, FeatureOptions

_LOG = logging.getLogger(__name__)

ROLES = (*MODALITIES, "fused")
"""Teachers whose logits may be asked for."""

ANNOTATED = "annotated"
"""Why a clip of an annotated split is left out."""


@dataclass(frozen=True, eq=False, kw_only=True)
class UnlabelledSet:
    """Clips of which nothing is known but what features and teachers say; everything in memory."""

    clip_ids: tuple[str, ...]
    """None of them twice."""
    audio: Tensor
    """float [N, T, D_audio]; zeros behind the end of a clip."""
    visual: Tensor
    """float [N, T, D_visual]."""
    motion: Tensor | None = None
    """float [N, T, D_motion], where the recipe has such a stream."""
    valid: Tensor | None = None
    """bool [N, T], True where a segment exists; None when all do."""
    logits: Mapping[str, Tensor] = field(default_factory=dict)
    """By role, float32 [N, T, C]: scale * cosine + bias of each teacher that judges, zeros behind the end of a clip;
    nothing where they were not asked for."""
    class_names: tuple[str, ...] = ()
    """Names of the axis C of the logits."""
    segment_seconds: float = 1.0
    """Length of a segment."""
    teachers: Mapping[str, Any] = field(default_factory=dict)
    """The identity of the teacher behind each stream and each of the logits, by role, as the stores hold it."""
    stores: tuple[str, ...] = ()
    """Fingerprint of each store."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why each clip of the stores that is not here was left out."""

    def __len__(self) -> int:
        """Return the number of clips, N."""
        return len(self.clip_ids)

    def take(self, rows: Sequence[int]) -> "UnlabelledSet":
        """Keep the clips of these rows, in this order."""
        kept = list(rows)
        streams: dict[str, Any] = {
            name: tensor[kept] for name in (*STREAMS, "valid") if (tensor := getattr(self, name)) is not None
        }
        logits = {role: tensor[kept] for role, tensor in self.logits.items()}
        return replace(self, clip_ids=tuple(self.clip_ids[row] for row in kept), logits=logits, **streams)

    def without(self, clip_ids: Collection[str], why: str) -> "UnlabelledSet":
        """Leave clips out, where they are there, and say why."""
        names = frozenset(clip_ids)
        gone = {name: why for name in self.clip_ids if name in names}
        if not gone:
            return self
        kept = self.take([row for row, name in enumerate(self.clip_ids) if name not in names])
        return replace(kept, left_out={**self.left_out, **gone})

    def widths(self) -> dict[str, int]:
        """Input widths by the names of ParserOptions, to build a network that fits."""
        motion = 0 if self.motion is None else self.motion.shape[-1]
        return {"audio_width": self.audio.shape[-1], "visual_width": self.visual.shape[-1], "motion_width": motion}

    def fingerprint(self) -> str:
        """sha256 over clips, features and logits: what a run must find again to be resumed."""
        digest = hashlib.sha256("\n".join((*self.clip_ids, "", *self.class_names)).encode())
        held = {name: getattr(self, name) for name in (*STREAMS, "valid")}
        for name, tensor in {**held, **{f"logits.{role}": of for role, of in sorted(self.logits.items())}}.items():
            if tensor is not None:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().cpu().numpy().data)
        return digest.hexdigest()


def read_unlabelled(
    stores: Sequence[Place | str],
    features: FeatureOptions,
    *,
    data: Path | None = None,
    dataset: DataSet | str | None = None,
    transductive: bool = False,
    logits: bool = False,
) -> UnlabelledSet:
    """Read the clips of stores, whatever their tags.

    Args:
        stores: One or more, harvested with the same teachers. A clip that several hold with the same features counts
            once.
        features: Which streams, all of a store (`audio.embedding`); its `missing` is not asked: a clip without all its
            features is left out, and counted in one line of the log.
        data: A data folder. Clips of its annotated splits are left out, and named in one line of the log. None where
            there is none: then nobody knows which clips somebody has annotated, which the log says.
        dataset: What `data` holds, or the name of it; None for what its `dataset.json` says, or LLP.
        transductive: Whether annotated clips stay in the pool. Their annotation is not looked at.
        logits: Whether to read what the teachers that judge say as well.

    Returns:
        The clips in the order of the stores and of their shards.

    Raises:
        ValueError: No store, a feature no store has, stores of different teachers, grids or (with logits) classes, a
            clip twice with other features, one modality missing throughout, no annotated split in the data folder, or
            no clip that is left.
    """
    if not stores:
        raise ValueError("an unlabelled set needs at least one store, got none")
    places = [place_of(store) for store in stores]
    kinds = _kinds_of(features)
    manifests = [store_manifest(place) for place in places]
    for place, manifest in zip(places[1:], manifests[1:], strict=True):
        _refuse_other(place, manifest, places[0], manifests[0], kinds, judged=logits)
    roles = [role for role in ROLES if "logit_scale" in manifests[0]["teachers"].get(role, {})] if logits else []
    if logits and not roles:
        raise ValueError(f"{places[0]}: no teacher of this store judges classes; harvest with one, such as CLIP")
    annotated = {} if transductive else _annotated(data, dataset)
    parts = [_read(place, kinds, roles) for place in places]
    for stream, kind in kinds.items():
        if not any(part.known[stream].any() for part in parts):
            raise ValueError(
                f"{', '.join(map(str, places))}: no clip has {kind}; harvest the {stream} of these clips, or take the "
                "stores of others"
            )
    pool = _joined(parts, places, kinds, manifests, roles, features.precision)
    if data is None and not transductive:
        _LOG.info("no data folder says which of the unlabelled clips are annotated; give one to keep these out")
    found = _without_annotated(pool, annotated)
    if not found.clip_ids:
        raise ValueError(
            f"{', '.join(map(str, places))}: no unlabelled clip is left of {len(found.left_out)}: "
            f"{_reasons(found.left_out)}; harvest more clips"
        )
    without = {name: why for name, why in found.left_out.items() if why != ANNOTATED}
    if without:
        _LOG.warning("%d unlabelled clips without all their features are left out: %s", len(without), _reasons(without))
    return found


def _without_annotated(pool: UnlabelledSet, annotated: Mapping[str, str]) -> UnlabelledSet:
    """The pool without clips of annotated media, which the log names."""
    named = [name for name in pool.clip_ids if media_id(name) in annotated]
    if named:
        splits = " and ".join(sorted({annotated[media_id(name)] for name in named}))
        _LOG.info(
            "%d clips of %s are annotated and stay out of the unlabelled ones: %s", len(named), splits, some_of(named)
        )
    return pool.without(named, ANNOTATED)


@dataclass(frozen=True, eq=False)
class _Part:
    """One store as it was read."""

    evidence: EvidenceStore
    segments: Tensor
    """int64 [N], how many segments each clip has."""
    known: Mapping[str, Tensor]
    """bool [N] by stream, and by role of the logits as `logits.ROLE`: whether a clip has it in all its segments."""
    arrays: Mapping[str, Tensor]
    """By the same names, float [N, T, ...]; zeros where they are not known."""


def _kinds_of(features: FeatureOptions) -> dict[str, str]:
    """Array of the store by stream."""
    kinds = {stream: kind for stream in STREAMS if (kind := getattr(features, stream)) is not None}
    for stream, kind in kinds.items():
        if "." not in kind:
            raise ValueError(
                f"features.{stream} must be an array of a store, such as {stream}.embedding, where clips without "
                f"labels are read, got {kind!r}, published files of a data set; take another recipe"
            )
    return kinds


def _refuse_other(
    place: Place,
    manifest: Mapping[str, Any],
    first: Place,
    of_first: Mapping[str, Any],
    kinds: Mapping[str, str],
    *,
    judged: bool,
) -> None:
    """Refuse a store whose features or logits mean something else than those of the first."""
    roles = [*dict.fromkeys(kind.partition(".")[0] for kind in kinds.values()), *(ROLES if judged else ())]
    unjudged = ("prompts", "logit_scale", "logit_bias")
    wanted, found = (
        {
            role: {key: value for key, value in held.items() if judged or key not in unjudged}
            for role in roles
            if (held := told["teachers"].get(role)) is not None
        }
        for told in (of_first, manifest)
    )
    if other := differences(found, wanted):
        role = other[0].partition(".")[0]
        raise ValueError(
            f"{place}: its {role} teacher is another than that of {first} ({other[0].replace(' here', ' there')}); "
            "clips of both need one space: harvest them with the same teachers"
        )
    if other := differences(manifest["grid"], of_first["grid"]):
        raise ValueError(
            f"{place}: its segments are others than those of {first} ({other[0].replace(' here', ' there')}); harvest "
            "both on one grid"
        )
    if judged and manifest["class_names"] != of_first["class_names"]:
        raise ValueError(
            f"{place}: its teachers were asked for other classes than those of {first} "
            f"({some_of(manifest['class_names'], 3)}; {some_of(of_first['class_names'], 3)}); harvest both with those"
        )


def _annotated(data: Path | None, dataset: DataSet | str | None) -> dict[str, str]:
    """Split of every annotated clip of a data folder, by the name of its media: another part of them is known too."""
    if data is None:
        return {}
    known = chosen_dataset(dataset, data)
    found: dict[str, str] = {}
    splits = [split for split in known.annotated if split != known.split_for("train")]
    absent = []
    for split in splits:
        try:
            found |= dict.fromkeys((media_id(composed(name)) for name in known.read_ids(data, split)), split)
        except FileNotFoundError:  # of a split that is not there no clip can be read either
            absent.append(split)
            _LOG.warning("%s: the split %s is not there; its clips cannot be told from unlabelled ones", data, split)
    if splits and absent == splits:
        raise ValueError(
            f"{data}: expected tables of annotated splits, whose clips stay out of the unlabelled ones, and has none "
            f"of {' and '.join(splits)}; give the folder that has them, or leave `data` out where nothing is annotated"
        )
    return found


def _read(place: Place, kinds: Mapping[str, str], roles: Sequence[str]) -> _Part:
    """Streams and logits of one store, with zeros where there is nothing."""
    evidence = read_store(place, names=sorted({*kinds.values(), *(f"{role}.similarity" for role in roles)}))
    wanted = {stream: torch.from_numpy(evidence.arrays[kind]) for stream, kind in kinds.items()}
    wanted |= {f"logits.{role}": torch.from_numpy(evidence.logits(role)) for role in roles}
    longest = next(iter(wanted.values())).shape[1]
    if evidence.segments is None:
        segments = torch.full((len(evidence.clip_ids),), longest)
    else:
        segments = torch.from_numpy(evidence.segments)
    behind = torch.arange(longest) >= segments[:, None]
    known, arrays = {}, {}
    for name, tensor in wanted.items():
        if tensor.dim() != 3 or tensor.shape[1] != longest:
            raise ValueError(
                f"{place}: {kinds.get(name, name)} must be of {longest} segments a clip, got "
                f"{list(tensor.shape[1:])}; take an array that has one row for each segment"
            )
        known[name] = (tensor.isfinite().all(dim=2) | behind).all(dim=1) & (segments > 0)
        arrays[name] = tensor.masked_fill((~known[name][:, None] | behind)[..., None], 0)
    return _Part(evidence, segments, known, arrays)


def _joined(
    parts: Sequence[_Part],
    places: Sequence[Place],
    kinds: Mapping[str, str],
    manifests: Sequence[Mapping[str, Any]],
    roles: Sequence[str],
    precision: str,
) -> UnlabelledSet:
    """The clips of all stores that have everything, each once."""
    held: dict[str, tuple[int, int]] = {}
    left_out: dict[str, str] = {}
    rows: list[list[int]] = [[] for _ in parts]
    for number, part in enumerate(parts):
        whole = torch.stack([*part.known.values()]).all(dim=0).tolist()
        for row, name in enumerate(part.evidence.clip_ids):
            if not whole[row]:
                lacks = next(what for what, known in part.known.items() if not known[row])
                left_out[name] = f"without {lacks.replace('logits.', 'logits of ')}"
            elif name in held:
                _refuse_unlike(name, parts, places, held[name], (number, row))
            else:
                held[name] = (number, row)
                rows[number].append(row)
    longest = (
        max(int(part.segments[rows[number]].max()) for number, part in enumerate(parts) if rows[number]) if held else 0
    )
    tensors: dict[str, Tensor] = {}
    for name in (*kinds, *(f"logits.{role}" for role in roles)):
        blocks = [part.arrays[name][rows[number], :longest] for number, part in enumerate(parts)]
        padded = [torch.nn.functional.pad(of, (0, 0, 0, longest - of.shape[1])) for of in blocks]
        joined = torch.cat(padded)
        keeps_half = name in kinds and (joined.dtype == torch.float16 or precision == "float16")
        tensors[name] = joined.half() if keeps_half else joined.float()
    segments = torch.cat([part.segments[rows[number]] for number, part in enumerate(parts)])
    grid = manifests[0]["grid"]
    asked = dict.fromkeys((*(kind.partition(".")[0] for kind in kinds.values()), *roles))
    return UnlabelledSet(
        clip_ids=tuple(held),
        valid=None if bool((segments == longest).all()) else torch.arange(longest) < segments[:, None],
        logits={role: tensors.pop(f"logits.{role}") for role in roles},
        class_names=tuple(manifests[0]["class_names"]) if roles else (),
        segment_seconds=float(grid.get("segment_seconds", Grid.segment_seconds)),
        teachers={role: manifests[0]["teachers"][role] for role in asked},
        stores=tuple(manifest["fingerprint"] for manifest in manifests),
        left_out={name: why for name, why in left_out.items() if name not in held},
        **tensors,
    )


def _refuse_unlike(
    name: str, parts: Sequence[_Part], places: Sequence[Place], one: tuple[int, int], other: tuple[int, int]
) -> None:
    """Refuse a clip that two stores hold with other numbers; where they are the same it counts once."""
    first, second = (parts[number] for number, _ in (one, other))
    for what, tensor in first.arrays.items():
        a, b = tensor[one[1]], second.arrays[what][other[1]]
        length = int(first.segments[one[1]])
        if length != int(second.segments[other[1]]) or not torch.equal(a[:length], b[:length]):
            raise ValueError(
                f"{places[other[0]]}: the clip {name} is in {places[one[0]]} too, with other {what}; clips of one name "
                "must be one clip: leave one of the stores out"
            )


def _reasons(left_out: Mapping[str, str]) -> str:
    """How many clips each reason has left out."""
    whys = sorted(set(left_out.values()))
    return ", ".join(f"{sum(why == of for of in left_out.values())} {why}" for why in whys)
