"""UnAV-100's network and its training on events in seconds: `valor.parsers.networks.localiser` on the seam of a method.

    focal loss of all points / n + distance-IoU of the positive ones / n,   n = .9 n + .1 positive points, from 250 on

The rate rises from 0 step by step and falls along half a cosine; weights of convolutions alone decay; every clip is cut
to nine tenths of its length or more, at random, an event that loses more than half of itself being none. Validated are
the weights of the last step and kept their running mean of that epoch, as published; `judged=mean` validates what is
kept. Its events, ranked by the published soft-NMS, are the predictions; a segment is as probable as the surest event
that touches it.

Source: Geng et al., CVPR 2023, and its code. Differences: clips of like length come together and the last, smaller step
of an epoch is kept; no clip is masked by the length of another (`localiser.py` of the networks); random numbers are
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from .average import WeightAverage
from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from valor.data.clips import Batch, ClipSet
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.localiser import PointOutput

PUBLISHED_KINDS = {"audio": "unav-vggish", "visual": "unav-i3d"}
"""The features the network was published with, by stream."""
JUDGED = ("last", "mean")
"""The weights that can be validated."""
_TRIES = 200
"""Cuts of a clip that are tried until one holds an event."""
_MEAN, _NORMALISER = "mean.", "normaliser"
"""Names in the resume point."""


@dataclass(frozen=True, kw_only=True)
class LocaliserMethodOptions:
    """Sizes and training; the defaults are the published ones."""

    width: int = 512
    """Of each modality."""
    num_heads: int = 4
    """Attention heads of a block."""
    head_width: int = 512
    """Of the layers that classify and regress."""
    table_length: int = 224
    """Steps every clip is filled up to, a multiple of 32, and is cut to in training where it is longer."""
    class_aware: bool = True
    """Whether each class has ends of its own."""
    dependency: bool = True
    """Whether classes say something of one another."""
    drop_path: float = 0.1
    """Share of clips in which the answer of a block is left out, in training."""
    window: int = 3
    """Steps that a feature is made of: 3 of those of UnAV-100 (24 frames, 8 apart), 1 of segments side by side."""
    least_share: float = 0.9
    """Of a clip, that a cut at random keeps in training; 1 cuts none."""
    decay: float = 0.999
    """Of the running mean of the weights, which is what is kept."""
    judged: str = "last"
    """Which weights are validated: those of the `last` step, as the public code does, or the `mean` that is kept."""

    def __post_init__(self) -> None:
        """Refuse sizes and shares that are none."""
        for name in ("width", "num_heads", "head_width", "table_length", "window"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        if self.table_length % 32 or self.width % self.num_heads:
            raise ValueError(
                f"table_length must be a multiple of 32 and width one of num_heads, got {self.table_length}, "
                f"{self.width} and {self.num_heads}"
            )
        if not (0 < self.least_share <= 1 and 0 <= self.decay < 1 and 0 <= self.drop_path < 1):
            raise ValueError(
                f"least_share must be in (0, 1], decay and drop_path in [0, 1), got {self.least_share}, {self.decay} "
                f"and {self.drop_path}"
            )
        if self.judged not in JUDGED:
            raise ValueError(f"judged must be {' or '.join(JUDGED)}, got {self.judged!r}")


class LocaliserMethod(Method[LocaliserMethodOptions]):
    """Another network, which learns from events in seconds, and names such."""

    Options = LocaliserMethodOptions
    excludes = (
        "uwav", "jomold", "vplan", "average", "gates", "supervised", "mug", "windows", "avel", "nrep", "cmpae",
        "mm-cse", "leap", "coleaf", "generator",
    )  # fmt: skip
    published = "UnAV"
    extra_data = ("events in seconds",)

    def __init__(self, options: LocaliserMethodOptions) -> None:
        """Keep the options; the rest is known when training begins."""
        super().__init__(options)
        self.mean: WeightAverage | None = None
        self.truth: dict[str, tuple[Tensor, Tensor]] = {}
        """Places of the events of each training clip, float32 [E, 2], and their classes, int64 [E]."""
        self.wanted: list[tuple[Tensor, Tensor]] = []
        """The same of the clips of a step, as they were cut."""
        self.normaliser = 0.0
        self.optimiser: torch.optim.Optimizer | None = None
        self.steps = self.warmup = 0
        """Of the whole training, and of its warm-up."""
        self.each, self.done, self.batch_size, self.rates = 1, 0.0, 1, (0.0, 0.0)
        """Steps of an epoch; steps that are done; clips of a step; the highest rate and the least."""
        self.steps_alike = True
        """Whether every step counts as one, as published; otherwise as many as it has clips of a whole one."""

    def check(self, plan: Plan) -> None:
        """Refuse features and losses that are of other networks."""
        if plan.parser.motion_width or plan.parser.network != "hybrid":
            raise ValueError(
                "methods.localiser is a network of its own without motion, got "
                f"parser.motion_width={plan.parser.motion_width} and parser.network={plan.parser.network}"
            )
        if plan.fit.pseudo_label_weight or plan.fit.guided_weight:
            raise ValueError(
                "methods.localiser learns from events in seconds, and from no labels of segments or tags; set "
                "fit.pseudo_label_weight=0 and fit.guided_weight=0"
            )
        as_published = {getattr(plan.features, stream) in PUBLISHED_KINDS.values() for stream in PUBLISHED_KINDS}
        if as_published != {self.options.window == 3}:
            raise ValueError(
                f"methods.localiser.window must be 3 with the features {' and '.join(PUBLISHED_KINDS.values())} and 1 "
                f"with others, got {self.options.window} with {plan.features.audio} and {plan.features.visual}"
            )

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """The network in place of the one the options of the parser describe."""
        from valor.parsers.build import options_of
        from valor.parsers.networks.localiser import LocaliserOptions, LocaliserParser

        of, own = options_of(parser), self.options
        sizes = LocaliserOptions(
            audio_width=of.audio_width,
            visual_width=of.visual_width,
            num_classes=of.num_classes,
            width=own.width,
            num_heads=own.num_heads,
            head_width=own.head_width,
            table_length=own.table_length,
            class_aware=own.class_aware,
            dependency=own.dependency,
            drop_path=own.drop_path,
        )
        return LocaliserParser(of, sizes, window=own.window)

    def start(self, run: Run) -> None:
        """Look up the events, part the weights into those that decay and those that do not, and begin the mean."""
        from valor.parsers.networks.points import NORMALISER

        self.truth = _events_by_clip(run.given, self.options.window)
        self.mean, self.normaliser = WeightAverage(run.parser, self.options.decay, ramp=False), NORMALISER
        self.optimiser, self.batch_size = run.optimiser, run.options.batch_size
        self.steps_alike = run.options.batch_segments is None
        self.each = run.options.steps_of_epoch(len(run.given))
        self.steps, self.warmup = run.options.epochs * self.each, run.options.warmup_epochs * self.each
        self.rates = (run.options.learning_rate, run.options.min_learning_rate)
        _let_convolutions_decay(run.optimiser, run.parser)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Count from the beginning of the epoch."""
        self.done = float((epoch - 1) * self.each)
        return False

    def learning_rate(self, rate: float, epoch: int) -> float:
        """That of the last step of an epoch, for the log: every step has its own."""
        return self._rate(epoch * self.each - 1)

    def _rate(self, step: float) -> float:
        from valor.parsers.networks.points import point_rate

        return point_rate(step, self.warmup, self.steps, base=self.rates[0], least=self.rates[1])

    def batch(self, batch: Batch) -> Batch:
        """Set the rate of the step, and cut the clips at random."""
        assert self.optimiser is not None  # since `start`
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(self.done)
        self.done += 1 if self.steps_alike else len(batch.clip_ids) / self.batch_size
        cut, self.wanted = cut_clips(
            batch, [self.truth[clip_id] for clip_id in batch.clip_ids], self.options.least_share,
            self.options.table_length,
        )  # fmt: skip
        return cut

    def charge(self, charge: Charge) -> Charge:
        """The published losses alone."""
        from valor.parsers.networks.points import point_losses, points_of, targets_of

        output = cast("PointOutput", charge.output).points
        points, classes = points_of(output.logits[0].shape[1]), output.logits[0].shape[2]
        aware = self.options.class_aware
        targets = [targets_of(points, places, names, classes, class_aware=aware) for places, names in self.wanted]
        losses = point_losses(output, targets, self.normaliser)
        self.normaliser = losses.normaliser
        charge = replace(charge, has_own_terms=False).plus("classes", 1.0, lambda _: losses.classes)
        return charge.plus("offsets", 1.0, lambda _: losses.offsets)

    def after_step(self, parser: HybridParser) -> None:
        """Take the new weights in."""
        if self.mean is not None:
            self.mean.update(parser)

    def judged(self, parser: HybridParser) -> HybridParser:
        """The parser with the weights of the last step, or the mean ones."""
        return self.mean.parser if self.mean is not None and self.options.judged == "mean" else parser

    def kept(self, parser: HybridParser) -> HybridParser:
        """The parser with the mean weights."""
        return parser if self.mean is None else self.mean.parser

    def state(self) -> dict[str, Tensor]:
        """The mean weights and the running number of positive points."""
        import torch

        held = {} if self.mean is None else self.mean.state()
        named = {f"{_MEAN}{name}": tensor for name, tensor in held.items()}
        return {**named, _NORMALISER: torch.tensor(self.normaliser, dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from them."""
        self.normaliser = float(state[_NORMALISER])
        if self.mean is not None:
            held = {name.removeprefix(_MEAN): of for name, of in state.items() if name.startswith(_MEAN)}
            self.mean.load(held)


def _events_by_clip(train: ClipSet, window: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Places of the events of each clip and their classes.

    Raises:
        ValueError: Nothing says when events are.
    """
    import torch

    from valor.data.datasets.unav import marked_events
    from valor.parsers.networks.points import to_steps

    if train.events is None and train.truth is None:
        raise ValueError(
            "methods.localiser needs the events of the training split in seconds, or the truth of every segment, which "
            "this data set has not; train on tags or pseudo labels"
        )
    events = train.events
    if events is None:
        assert train.truth is not None
        events = marked_events(train.truth.cpu().numpy(), train.segment_seconds)
    ends = torch.stack([torch.from_numpy(events.onset), torch.from_numpy(events.offset)], dim=1)
    places = to_steps(ends, rate=1 / train.segment_seconds, hop=1, frames=window).float()
    names, clip = torch.from_numpy(events.class_index), torch.from_numpy(events.clip)
    rows = {clip_id: (clip == row).nonzero().flatten() for row, clip_id in enumerate(train.clip_ids)}
    return {clip_id: (places[of], names[of]) for clip_id, of in rows.items()}


def _let_convolutions_decay(optimiser: torch.optim.Optimizer, parser: HybridParser) -> None:
    """Two groups in place of one: weights of convolutions, and all else, which does not decay."""
    from torch import nn

    held: dict[str, Any] = optimiser.param_groups[0]
    heavy = {id(module.weight) for module in parser.modules() if isinstance(module, nn.Conv1d)}
    parts = [[one for one in held["params"] if (id(one) in heavy) == decays] for decays in (True, False)]
    optimiser.param_groups[:] = [{**held, "params": parts[0]}, {**held, "params": parts[1], "weight_decay": 0.0}]


def cut_clips(
    batch: Batch, events: list[tuple[Tensor, Tensor]], least_share: float, most: int
) -> tuple[Batch, list[tuple[Tensor, Tensor]]]:
    """Cut the clips of a step at random.

    Args:
        batch: The clips, which begin at their first step.
        events: Places and classes of each clip.
        least_share: Of a clip that is kept at least.
        most: Steps that are kept at most.

    Returns:
        The clips, padded to the longest, and the events of which half or more is left, as far as they are left.
        Draws from torch's global generator, for every clip alike.
    """
    import torch

    steps = batch.audio.shape[1]
    lengths = [steps] * len(events) if batch.valid is None else batch.valid.sum(dim=1).tolist()
    spans, left = [], []
    for length, (places, names) in zip(lengths, events, strict=True):
        start, kept = _span(length, places, least_share, most)
        inside = places.clamp(start, start + kept)
        enough = _shares(places, start, kept) >= 1 / 2
        spans.append((start, kept))
        left.append((inside[enough] - start, names[enough]))
    longest = max(kept for _, kept in spans)
    cut: dict[str, Any] = {}
    for name in ("audio", "visual"):
        stream = getattr(batch, name)
        cut[name] = stream.new_zeros(len(spans), longest, stream.shape[2])
        for row, (start, kept) in enumerate(spans):
            cut[name][row, :kept] = stream[row, start : start + kept]
    kept_steps = torch.tensor([kept for _, kept in spans])[:, None]
    cut["valid"] = (torch.arange(longest) < kept_steps).to(batch.audio.device)
    return replace(batch, pseudo_labels=None, **cut), left


def _span(length: int, places: Tensor, least_share: float, most: int) -> tuple[int, int]:
    """Where a clip is cut: its first step, and how many are kept; with an event in it, where some cut has one."""
    import torch

    least, top = max(1, min(round(least_share * length), most)), min(length, most)
    kept = top if length > most else int(torch.randint(min(least, top), top + 1, ()))
    start = 0
    for _ in range(_TRIES):
        start = int(torch.randint(0, length - kept + 1, ()))
        if not len(places) or kept == length or (_shares(places, start, kept) >= 1 / 2).any():
            break
    return start, kept


def _shares(places: Tensor, start: int, kept: int) -> Tensor:
    """How much of each event lies within a cut, float [E]."""
    inside = places.clamp(start, start + kept)
    return (inside[:, 1] - inside[:, 0]) / (places[:, 1] - places[:, 0])
