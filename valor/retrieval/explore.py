"""What is in a store that nobody has labelled: its seconds in groups, and what the teachers would call each.

    embeddings of a modality, of length 1 --k-means--> groups of seconds --mean cosine--> the prompts nearest to each

A group is called by the prompt whose mean cosine in it lies farthest above that of the whole store, in deviations of a
second: some prompts are near to everything. The cosines are those of the store, so that no weights are needed. The
groups are those with which XDC's training begins (`valor.parsers.pretraining.xdc`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from valor.eval.events import MODALITIES, BoolArray, FloatArray
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.store import EvidenceStore, read_store, store_folder, store_manifest
from valor.parsers.pretraining.clustering import evenness, k_means, nmi

from .options import BOTH, ExploreOptions

IntArray = npt.NDArray[np.int64]

NAMES = 3
"""Prompts that are kept of a group."""
STARTS = 4
"""Divisions from other first centres, of which the closest is taken."""
LEAST_ABOVE = 0.5
"""Deviations below which a group is called by none of them."""


@dataclass(frozen=True)
class Named:
    """A class that a group may be of."""

    name: str
    cosine: float
    """Mean in the group."""
    above: float
    """How far that lies above the mean of the store, in deviations."""


@dataclass(frozen=True)
class Member:
    """A clip with seconds in a group."""

    clip_id: str
    spans: tuple[tuple[float, float], ...]
    """Onset and offset in seconds of each run of them."""
    seconds: float
    """Of all of them."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Seconds that are alike."""

    modality: str
    number: int
    """From 1, the largest first."""
    seconds: float
    names: tuple[Named, ...]
    """The likeliest first, however far; nothing where the teacher judges no classes."""
    members: tuple[Member, ...]
    """All clips with seconds in it, those with most of them first."""

    @property
    def name(self) -> str | None:
        """What it is called; None where no prompt is near."""
        return self.names[0].name if self.names and self.names[0].above >= LEAST_ABOVE else None


@dataclass(frozen=True, kw_only=True)
class Explored:
    """The groups of a store."""

    groups: tuple[Group, ...]
    """By modality, the largest first."""
    clips: int
    """That have seconds in a group; others of the store have no embeddings."""
    evenness: dict[str, float]
    """By modality, the entropy of the sizes of groups: 1 where they are equal."""
    agreement: float | None
    """What groups of sound and of picture have in common (NMI, 0 to 1); None where one of them was not grouped."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                "in": group.modality,
                "number": group.number,
                "name": group.name,
                "seconds": group.seconds,
                "nearest": [
                    {"class": of.name, "cosine": round(of.cosine, 4), "above": round(of.above, 3)} for of in group.names
                ],
                "clips": [{"clip_id": of.clip_id, "seconds": of.seconds, "spans": of.spans} for of in group.members],
            }
            for group in self.groups
        ]
        even = {name: round(value, 4) for name, value in self.evenness.items()}
        agreement = None if self.agreement is None else round(self.agreement, 4)
        return {"clips": self.clips, "evenness": even, "agreement": agreement, "groups": rows}


def explore_store(store: Place, options: ExploreOptions) -> Explored:
    """Divide the seconds of a store into groups.

    Args:
        store: The store, or the folder of a fingerprint.
        options: How many, and of what.

    Raises:
        ValueError: The store has no embeddings of what was asked for, or fewer different seconds than groups.
    """
    folder = store_folder(store)
    modalities = _wanted(folder, options.within)
    held = read_store(folder, names=_arrays(folder, modalities))
    length = float(store_manifest(folder)["grid"]["segment_seconds"])
    groups, even, labels = list[Group](), dict[str, float](), dict[str, IntArray]()
    for modality in modalities:
        rows = held.arrays[f"{modality}.embedding"].astype(np.float32)  # [N, T, P]
        there = ~np.asarray(np.isnan(rows).any(axis=-1))
        if there.sum() < options.clusters:
            raise ValueError(
                f"clusters must be at most the seconds there are, {int(there.sum()):,} with {modality} embeddings, "
                f"got {options.clusters}"
            )
        found = _divided(rows[there], options)
        labels[modality] = np.full(there.shape, -1)
        labels[modality][there] = found
        even[modality] = evenness(torch.from_numpy(found), options.clusters)
        groups += _groups(held, modality, labels[modality], length)
    agreement = None
    if len(modalities) == len(MODALITIES):
        one, other = (torch.from_numpy(labels[modality]) for modality in modalities)
        both = (one >= 0) & (other >= 0)
        agreement = nmi(one[both], other[both]) if bool(both.any()) else None
    grouped = np.any([(of >= 0).any(axis=1) for of in labels.values()], axis=0)
    return Explored(groups=tuple(groups), clips=int(grouped.sum()), evenness=even, agreement=agreement)


def _wanted(folder: Place, within: str | None) -> list[str]:
    teachers = store_manifest(folder)["teachers"]
    judged = [name for name in MODALITIES if name in teachers]
    wanted = list(MODALITIES) if within == BOTH else [within] if within else judged
    absent = [name for name in wanted if name not in judged]
    if absent or not wanted:
        raise ValueError(
            f"{folder}: has no teacher of {' and '.join(absent or MODALITIES)}; harvest with one, or explore what is "
            "there"
        )
    return wanted


def _arrays(folder: Place, modalities: Sequence[str]) -> list[str]:
    """The arrays to read: embeddings, and cosines where a teacher judges classes."""
    teachers = store_manifest(folder)["teachers"]
    judged = [f"{name}.similarity" for name in modalities if "logit_scale" in teachers[name]]
    return [*(f"{name}.embedding" for name in modalities), *judged]


def _divided(rows: FloatArray, options: ExploreOptions) -> IntArray:
    """The group of each row, int64 [n], the largest group being 0."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    normed = torch.from_numpy(rows / np.where(lengths > 0, lengths, 1))
    rng = torch.Generator().manual_seed(options.seed)
    tried = [k_means(normed, options.clusters, rng) for _ in range(STARTS)]
    found = min(tried, key=lambda clusters: clusters.within)
    place = found.sizes.argsort(descending=True, stable=True).argsort()
    labels: IntArray = place[found.labels].numpy()
    return labels


def _groups(held: EvidenceStore, modality: str, labels: IntArray, length: float) -> list[Group]:
    """The groups of a modality by their labels [N, T], -1 where there is no second."""
    cosines = held.arrays.get(f"{modality}.similarity")
    there = labels >= 0
    if cosines is not None:
        mean, deviation = cosines[there].mean(axis=0), cosines[there].std(axis=0)
    groups = []
    for number in range(int(labels.max()) + 1):
        inside = labels == number
        names: tuple[Named, ...] = ()
        if cosines is not None:
            own = cosines[inside].mean(axis=0)
            above = (own - mean) / np.where(deviation > 0, deviation, 1)
            best = np.argsort(-above, kind="stable")[:NAMES]
            names = tuple(Named(held.class_names[c], float(own[c]), float(above[c])) for c in best)
        members = [_member(held.clip_ids[row], inside[row], length) for row in np.flatnonzero(inside.any(axis=1))]
        groups.append(
            Group(
                modality=modality,
                number=number + 1,
                seconds=float(inside.sum() * length),
                names=names,
                members=tuple(sorted(members, key=lambda member: -member.seconds)),
            )
        )
    return groups


def _member(clip_id: str, inside: BoolArray, length: float) -> Member:
    """A clip by which of its seconds, bool [T], are in a group."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], inside, [False])).astype(int)))
    spans = tuple((float(start * length), float(stop * length)) for start, stop in edges.reshape(-1, 2))
    return Member(clip_id, spans, float(inside.sum() * length))
