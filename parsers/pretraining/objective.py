"""What an objective is: a loss on clips without labels, and what it may see of the network.

    objective = Class(views, Class.Options()); objective.prepare(views, pool)
    for epoch:      if objective.begin_epoch(views, pool, epoch, rng): the weights of the beginning again
        for batch:  terms = objective.loss(views, batch, rng); a step on terms.total; objective.after_step(views, done)

Heads, decoders, queues, centres and frozen teachers are parameters and buffers of the objective: what is in its state
dict is in the resume point, and nothing else is. A parameter that asks for no gradient is not trained and keeps its
value when a training begins again. Random numbers come from `rng`, on the CPU, but for dropout.

**The rule**: what is compared across modalities is computed by `Views.alone`. A layer of the encoder attends across
streams, so that after `Views.together` a second of the picture holds the sound already, and a loss that compares the
two is solved by copying.

Shape legend: B clips of a batch, T segments, C classes, D features of the encoder; modality 0 is audio, 1 is visual.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Segments:
    """Some clips of a pool, on the device of the network."""

    audio: Tensor
    """float [B, T, D_audio]; of raw views whatever they say, [B, T, ...]."""
    visual: Tensor
    """float [B, T, D_visual]."""
    motion: Tensor | None = None
    """float [B, T, D_motion], None for a parser without a motion stream."""
    valid: Tensor | None = None
    """bool [B, T], True where a segment exists; None when all do."""
    evidence: tuple[Tensor, Tensor] | None = None
    """float [B, T, C] each, what the teacher of sound and that of the picture say of the classes; None where an
    objective does not need it."""
    prompts: tuple[Tensor, Tensor] | None = None
    """float [C, E_audio] and [C, E_visual], the teachers' embeddings of the classes; None where they are not needed."""
    rows: Tensor | None = None
    """int64 [B] on the CPU, where the clips stand in the pool."""

    def __len__(self) -> int:
        """B."""
        return len(self.audio)

    @property
    def streams(self) -> tuple[Tensor, Tensor]:
        """Audio and visual features, by modality."""
        return self.audio, self.visual

    def only(self, keep: Tensor) -> "Segments":
        """The same clips of which only the segments of bool [B, T] exist."""
        return replace(self, valid=keep if self.valid is None else keep & self.valid)


class Pool(Protocol):
    """All clips that are learned from, those held out among them."""

    def __len__(self) -> int:
        """Clips."""

    def batch(self, rows: Tensor) -> Segments:
        """Those at int64 [B], on the device of the network."""


def batches(pool: Pool, size: int = 256) -> Iterator[Segments]:
    """The whole pool in its order."""
    for start in range(0, len(pool), size):
        yield pool.batch(torch.arange(start, min(start + size, len(pool))))


class Epoch(NamedTuple):
    """Where a training is."""

    number: int
    """Counted from 1."""
    of: int
    """Epochs of the whole training."""


@dataclass(frozen=True, eq=False)
class Terms:
    """What a step is charged with."""

    total: Tensor
    """Scalar, what the gradient is of."""
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Its terms by name, before weighting."""
    figures: Mapping[str, Tensor] = field(default_factory=dict)
    """What is logged beside: accuracies, deviations; of any device, no gradient."""


def weighted(terms: Mapping[str, tuple[float, Tensor]], figures: Mapping[str, Tensor] | None = None) -> Terms:
    """Terms from pairs of a weight and a scalar, by name; a weight of 0 leaves a term out of the sum."""
    charged = [weight * term for weight, term in terms.values() if weight]
    total = torch.stack(charged).sum()
    return Terms(total, {name: term for name, (_, term) in terms.items()}, figures or {})


Masks: TypeAlias = tuple[Tensor | None, Tensor | None]
"""Of sound and of picture, bool [B, T], True where a second is replaced by the learned `mask` row; None hides none."""


class Views(Protocol):
    """What is seen of a network: `valor.parsers.pretraining.views.SegmentViews`, or towers on what is raw."""

    width: int
    """D, of what `together` and `alone` give."""
    target_widths: tuple[int, int]
    """Numbers a second that `targets` gives of sound and of picture."""
    says_when: bool
    """Whether tokens know where they stand."""
    motion_width: int
    """Numbers of motion, the last of the targets of picture; 0 where there are none."""

    def together(self, batch: Segments, masks: Masks = (None, None)) -> tuple[Tensor, Tensor]:
        """Both streams, each of which sees the other, float [B, T, D] each; what the masks hide is the `mask` row."""

    def alone(self, batch: Segments, modality: int, mask: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """One stream, the other `absent` at every second, float [B, T, D] or [B, L, D].

        Args:
            batch: Of which nothing but the stream of the modality has any influence.
            modality: 0 or 1.
            mask: bool [B, T], or [B, L] of what is played: seconds that are replaced by the learned `mask` row.
            rows: int64 [B, L], the seconds of each clip in the order in which they are played; time codes follow that
                order, not where a second was. None plays all as they are.
        """

    def pooled(self, tokens: Tensor, batch: Segments) -> Tensor:
        """Mean of float [B, T, D] over the segments that exist, [B, D]; all of them where the lengths differ."""

    def targets(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """What may be reconstructed of sound and picture, float [B, T, F] each.

        It has mean 0 and deviation 1 over the pool; of SegmentViews it is the input features, motion beside appearance.
        """

    def varied(self, batch: Segments, rng: torch.Generator, *, dropout: float, noise: float) -> Segments:
        """The same clips as another observer would have them.

        Features are dropped, and get noise of a share of their deviation; what is raw is cut and shifted instead.
        """


class Objective(nn.Module):
    """A loss on clips without labels."""

    name: ClassVar[str]
    """As it is typed, a key of `valor.parsers.pretraining.registry.OBJECTIVES`."""
    Options: ClassVar[type[Any]]
    """Its frozen dataclass of options, which needs no torch."""
    needs: ClassVar[frozenset[str]] = frozenset({"audio", "visual"})
    """Of audio, visual, motion, evidence, prompts; see `needed`."""
    needs_order: ClassVar[bool] = False
    """Whether it makes no sense where `Views.says_when` is not true; such a parser is refused."""
    least_clips: ClassVar[int] = 2
    """The fewest clips of a batch: a contrast needs another clip."""

    def __init__(self, views: Views, options: Any) -> None:  # noqa: ANN401, of its own kind
        """Make the heads for the widths of the views; torch's generator was seeded."""
        super().__init__()
        self.options = options

    @classmethod
    def needed(cls, options: Any) -> frozenset[str]:  # noqa: ANN401, of its own kind
        """What is needed with these options: `needs`, unless they leave some of it out."""
        return cls.needs

    def prepare(self, views: Views, pool: Pool) -> None:
        """Give buffers the size that a pool asks for, or refuse it in one sentence (ValueError).

        Before the first epoch, and before a stopped run takes back its state dict; nothing is drawn here.
        """

    def part(self, epoch: Epoch) -> Epoch:
        """Where a training is in a part of it that has a schedule of the step size of its own; it is one part."""
        return epoch

    def begin_epoch(self, views: Views, pool: Pool, epoch: Epoch, rng: torch.Generator) -> bool:
        """Look at the pool, exchange a teacher; True to begin again with the weights of the beginning."""
        return False

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """What a batch is charged with; of a held-out batch without gradient and in evaluation mode."""
        raise NotImplementedError

    def after_step(self, views: Views, done: float) -> None:
        """Move teachers and queues along; `done` is the share in (0, 1] of all steps that are done."""

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """Sound and picture of every second in the space in which the objective compares them, float [B, T, E] each.

        For retrieval and synchronisation; what `alone` gives where there is no such space.
        """
        return views.alone(batch, 0), views.alone(batch, 1)
