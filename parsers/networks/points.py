"""What the points of the localiser are trained to say, what they are charged with, and events from them.

Places are steps of the features. A point of level l stands at every 2^l-th step and is for events whose farther end is
as far away as its level says (`RANGES`, both included). It is positive for an event it lies strictly within; of several
the shortest counts. Where classes have ends of their own each class is decided by itself.

Targets, losses, rates and events equal the golden `unav_targets`, `unav_net_*` and `unav_schedule`.

Source: Geng et al., CVPR 2023, and its code; Zhang et al., "ActionFormer", ECCV 2022; focal loss of Lin et al., ICCV
2017; distance-IoU of Zheng et al., AAAI 2020, in one dimension.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .localiser import LEVELS, LocaliserOutput

RANGES = ((0, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 10_000))
"""Steps from a point to the farther end of an event, of each level."""
SAME = 1e-3
"""Events whose lengths differ by less are equally short: a point has the classes of both."""
NORMALISER, MOMENTUM = 250.0, 0.9
"""Where the running number of positive points begins, and how much of it stays with a step."""
_SMALL = 1e-8


class Targets(NamedTuple):
    """What the points of a clip should say."""

    classes: Tensor
    """bool [P, C]."""
    offsets: Tensor
    """float32 [P, C or 1, 2], in points of the level; 0 where nothing is positive."""


def points_of(steps: int) -> Tensor:
    """float32 [P, 4]: place, least and greatest distance of an end, and stride, of all levels one after another.

    Args:
        steps: T, a multiple of 32.
    """
    levels = []
    for level, (least, greatest) in zip(range(LEVELS), RANGES, strict=True):
        place = torch.arange(0, steps, 2**level, dtype=torch.float32)
        facts = torch.tensor([least, greatest, 2**level], dtype=torch.float32).expand(len(place), 3)
        levels.append(torch.cat([place[:, None], facts], dim=1))
    return torch.cat(levels)


def to_steps(seconds: Tensor, *, rate: float = 25.0, hop: int = 8, frames: int = 24) -> Tensor:
    """Times as places among features of windows of some frames, `hop` frames apart; the defaults are UnAV-100's."""
    return (seconds * rate - frames / 2) / hop


def to_seconds(places: Tensor, *, rate: float = 25.0, hop: int = 8, frames: int = 24) -> Tensor:
    """The reverse of `to_steps`."""
    return (places * hop + frames / 2) / rate


def targets_of(points: Tensor, events: Tensor, classes: Tensor, num_classes: int, *, class_aware: bool) -> Targets:
    """The targets of a clip.

    Args:
        points: As `points_of` gives them.
        events: float32 [E, 2], places of both ends.
        classes: int64 [E].
        num_classes: C.
        class_aware: Whether each class has ends of its own.
    """
    shown = torch.zeros(len(points), num_classes, dtype=torch.bool)
    ends = torch.zeros(len(points), num_classes if class_aware else 1, 2)
    if not len(events):
        return Targets(shown, ends)
    away = torch.stack([points[:, :1] - events[:, 0], events[:, 1] - points[:, :1]], dim=2)  # [P, E, 2]
    far = away.amax(dim=2)
    fits = (away.amin(dim=2) > 0) & (far >= points[:, 1:2]) & (far <= points[:, 2:3])
    length = (events[:, 1] - events[:, 0]).expand(len(points), -1).masked_fill(~fits, math.inf)  # [P, E]
    away = away / points[:, 3, None, None]
    for column, rows in enumerate([classes == one for one in range(num_classes)] if class_aware else [classes >= 0]):
        if rows.any():
            shortest, which = length[:, rows].min(dim=1)
            found = shortest.isfinite()
            ends[found, column] = away[:, rows][found, which[found]]
            near = (length[:, rows] <= shortest[:, None] + SAME) & found[:, None]
            for event, name in enumerate(classes[rows].tolist()):
                shown[:, name] |= near[:, event]
    return Targets(shown, ends)


def focal_loss(logits: Tensor, labels: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The sum over points and classes of the focal loss of logits against labels of the same shape."""
    probs = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    missed = 1 - (probs * labels + (1 - probs) * (1 - labels))
    return ((alpha * labels + (1 - alpha) * (1 - labels)) * (entropy * missed**gamma)).sum()


def distance_loss(offsets: Tensor, wanted: Tensor) -> Tensor:
    """The sum of 1 - IoU + (distance of the centres over the span)^2 of intervals around points.

    Args:
        offsets: float [..., 2], how far both ends are.
        wanted: float of the same shape.
    """
    shared, span = torch.minimum(offsets, wanted).sum(dim=-1), torch.maximum(offsets, wanted).sum(dim=-1)
    union = offsets.sum(dim=-1) + wanted.sum(dim=-1) - shared
    apart = 0.5 * (offsets[..., 1] - offsets[..., 0] - wanted[..., 1] + wanted[..., 0])
    return (1 - shared / union.clamp_min(_SMALL) + (apart / span.clamp_min(_SMALL)).square()).sum()


class PointLosses(NamedTuple):
    """What a batch is charged with; scalars."""

    classes: Tensor
    offsets: Tensor
    normaliser: float
    """The running number of positive points, with those of this batch."""


def point_losses(output: LocaliserOutput, targets: Sequence[Targets], normaliser: float = NORMALISER) -> PointLosses:
    """Charge a batch, in float32 as published; both terms count alike.

    Args:
        output: Of the B clips.
        targets: Of each.
        normaliser: The running number of positive points before this batch.
    """
    logits, offsets = torch.cat(output.logits, dim=1).float(), torch.cat(output.offsets, dim=1).float()
    valid = torch.cat(output.valid, dim=1)  # [B, P]
    classes = torch.stack([of.classes for of in targets]).to(valid.device) & valid[..., None]
    wanted = torch.stack([of.offsets for of in targets]).to(offsets)
    positive = classes.any(dim=-1)
    normaliser = MOMENTUM * normaliser + (1 - MOMENTUM) * max(int(positive.sum()), 1)
    shown = classes if wanted.shape[2] == classes.shape[2] else positive[..., None]  # [B, P, C or 1]
    return PointLosses(
        focal_loss(logits[valid], classes[valid].float()) / normaliser,
        distance_loss(offsets[shown], wanted[shown]) / normaliser,
        normaliser,
    )


class PointEvents(NamedTuple):
    """Events of a clip before any is suppressed."""

    places: Tensor
    """float [n, 2], of both ends."""
    classes: Tensor
    """int64 [n]."""
    scores: Tensor
    """float [n]."""


def events_of(
    output: LocaliserOutput, clip: int, *, above: float = 0.001, most: int = 2_000, shortest: float = 0.05
) -> PointEvents:
    """The events the points of a clip name, level by level, the surest first.

    Args:
        output: Of a batch.
        clip: Which of it.
        above: Probability they must exceed.
        most: Of a level.
        shortest: Steps an event must exceed.
    """
    found = []
    for level, (logits, offsets, valid) in enumerate(zip(output.logits, output.offsets, output.valid, strict=True)):
        probs = (logits[clip].sigmoid() * valid[clip, :, None]).flatten()
        sure = (probs > above).nonzero().flatten()
        order = probs[sure].sort(descending=True).indices[:most]
        rows = sure[order]
        point, name = rows.div(logits.shape[2], rounding_mode="floor"), rows % logits.shape[2]
        ends = offsets[clip, point, name if offsets.shape[2] > 1 else torch.zeros_like(name)]
        places = 2**level * torch.stack([point - ends[:, 0], point + ends[:, 1]], dim=1)
        kept = places[:, 1] - places[:, 0] > shortest
        found.append(PointEvents(places[kept], name[kept], probs[rows][kept]))
    return PointEvents(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def point_rate(step: float, warmup: int, steps: int, *, base: float = 1e-4, least: float = 1e-8) -> float:
    """The rate of a step, counted from 0: linear from 0 over the warm-up, then half a cosine down.

    Args:
        step: Which; a fraction where steps are of unlike size.
        warmup: Steps of the warm-up.
        steps: Of the whole training.
        base: At the end of the warm-up.
        least: At the end.
    """
    if step < warmup:
        return base * step / max(warmup - 1, 1)
    return least + (base - least) / 2 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
