"""Self-training in rounds: each begins anew on labels that the parser of the round before has had a say in.

Rounds are of equal length, with a schedule of their own. Before each but the first, the best parser of the one before
looks at its own training clips. Of the seconds of a class in a modality, among clips with its tag, as many are labelled
as were at first, now those with the most evidence of parser and given label together:

    s = logit p + trust_m (2 l - 1);   l' = s among the K greatest of its class and modality, K = sum l

so that no cut has to be found, a class is labelled as often as its teachers and their thresholds had it, and what the
teachers get wrong of one clip is outvoted by what the parser has learned of all others. Clips without tags, where there
are such (`unlabelled.py`), are labelled in the same way among themselves, all classes being candidates.

Source:
    Ours, after the self-training of Yarowsky (1995) and pseudo labels of class-balanced self-training (Zou et al.,
    ECCV 2018), from memory: there a share of the surest is taken, here as many as were labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from valor.label_harvest.did_you_mean import did_you_mean

from .method import Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet
    from valor.parsers.hybrid import HybridParser

_KEPT = "kept."
"""Before the names of weights in a resume point."""

KEEP = ("last", "best")
"""Of which rounds the best epoch is kept."""

_SUREST = 1e-6
"""Probabilities nearer to 0 or 1 count as this near."""


@dataclass(frozen=True, kw_only=True)
class RoundsOptions:
    """How often, and what a label that was given still counts."""

    rounds: int = 2
    """Trainings, the first on the labels as they were given."""
    audio: float = 2.0
    """What a given label of 1 or 0 of something heard is worth beside the parser, in logits."""
    visual: float = 0.0
    """The same of something seen, where VALOR's teacher is hardly better than copying the tags; 0 counts the parser
    alone."""
    keep: str = "last"
    """Which parser is kept: the best epoch of the `last` round, or of all rounds (`best`), so that a round which does
    not help on validation is none; what comes after it is labelled by the best so far."""
    tagged_first: bool = False
    """Whether the first round is of tagged clips alone, where there are others (methods.unlabelled): these join with
    the labels its parser gives them."""
    first_epochs: int = 0
    """Epochs of the first round, where it is of fewer clips and needs more of them; 0 for as many as the others."""
    soft: bool = False
    """Whether labels are the probability of the evidence, in place of the K seconds with the most of it."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        if not isinstance(self.rounds, int) or self.rounds < 2:
            raise ValueError(f"rounds must be a whole number of at least 2, got {self.rounds!r}")
        if not isinstance(self.first_epochs, int) or self.first_epochs < 0:
            raise ValueError(f"first_epochs must be a whole number of at least 0, got {self.first_epochs!r}")
        if self.keep not in KEEP:
            raise ValueError(f"keep must be one of {', '.join(KEEP)}, got {self.keep!r}{did_you_mean(self.keep, KEEP)}")
        for name in ("audio", "visual"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Rounds(Method[RoundsOptions]):
    """Labels of the round before."""

    Options = RoundsOptions
    excludes = ("jomold", "nrep", "vplan", "average", "supervised", "windows", "cmpae", "coleaf", "ppl", "avel",
                "localiser", "generator")  # fmt: skip
    """Parts, labels, clips and means of their own that run through the whole training."""

    def __init__(self, options: RoundsOptions) -> None:
        """Keep the options; labels are looked at when the second round begins."""
        super().__init__(options)
        self.best: dict[str, Tensor] = {}
        """Weights of the best epoch of the round so far, or of all rounds."""
        self.labels: Tensor | None = None
        """[N, T, M, C] of the round, bool or soft; None in the first."""

    def check(self, plan: Plan) -> None:
        """Refuse a training without pseudo labels, and rounds without an epoch."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.rounds relabels by the pseudo labels, which fit.pseudo_label_weight=0 leaves out; give them "
                "a weight"
            )
        epochs, rounds, first = plan.fit.epochs, self.options.rounds, self.options.first_epochs
        if self.options.tagged_first and "unlabelled" not in plan.methods:
            raise ValueError(
                "methods.rounds.tagged_first is of trainings with clips without tags; give these (methods.unlabelled), "
                "or leave it out"
            )
        rest, others = epochs - first, rounds - bool(first)
        least = plan.fit.warmup_epochs + 1
        if 0 < first < least or rest % others or rest // others < least:
            begun = max(first, least) if first else 0
            after = f" after the first of {first} epochs" * bool(first)
            also = f" methods.rounds.first_epochs={begun}" * (begun != first)
            raise ValueError(
                f"methods.rounds has {others} rounds of equal length{after}, each longer than the warm-up of "
                f"{least - 1} epochs, and fit.epochs is {epochs}; say "
                f"fit.epochs={begun + others * max(least, -(-rest // others))}{also}"
            )

    def part(self, epoch: int, epochs: int) -> range:
        """The epochs of the round."""
        first = self.options.first_epochs or epochs // self.options.rounds
        if epoch <= first:
            return range(1, first + 1)
        length = (epochs - first) // (self.options.rounds - 1)
        before = first + (epoch - first - 1) // length * length
        return range(before + 1, before + length + 1)

    def keeps_parts(self) -> bool:
        """Whether the best of all rounds is kept."""
        return self.options.keep == "best"

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """At the beginning of a round label the clips anew, and begin again."""
        begins = epoch == self.part(epoch, run.options.epochs).start
        if not begins or epoch == 1:
            return False
        run.parser.load_state_dict(self.best)
        self.labels = _labels_by(run, self.options)
        self.best = self.best if self.keeps_parts() else {}
        run.restart()
        return True

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set with the labels of the round."""
        import torch

        if self.labels is None:
            if train.tagged is None or not self.options.tagged_first:
                return train
            return train.take(train.tagged.nonzero().flatten().tolist())
        labels = self.labels.to(train.audio.device)
        found = replace(train, pseudo_labels=labels)
        if train.tagged is None:
            return found
        held = labels.amax(dim=1) > 1 / 2 if labels.is_floating_point() else labels.any(dim=1)  # [N, M, C]
        given = train.tagged[:, None]
        tags = train.modality_tags
        return replace(
            found,
            weak_labels=torch.where(given, train.weak_labels, held.any(dim=1)),
            modality_tags=None if tags is None else torch.where(given[..., None], tags, held),
        )

    def kept(self, parser: HybridParser) -> HybridParser:
        """The parser; its weights are remembered for the next round."""
        self.best = {name: tensor.detach().clone() for name, tensor in parser.state_dict().items()}
        return parser

    def state(self) -> dict[str, Tensor]:
        """The labels of the round, and its best weights so far."""
        found = {} if self.labels is None else {"labels": self.labels}
        return found | {f"{_KEPT}{name}": tensor for name, tensor in self.best.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self.labels = state.get("labels")
        held = {name: tensor for name, tensor in state.items() if name.startswith(_KEPT)}
        self.best = {name.removeprefix(_KEPT): tensor for name, tensor in held.items()}


def _labels_by(run: Run, options: RoundsOptions) -> Tensor:
    """What the parser of a run and the given labels say of the training set together, [N, T, M, C] on the CPU."""
    import torch

    from ..predict import predict_split

    given = run.given
    if given.pseudo_labels is None:
        raise ValueError("methods.rounds relabels by the pseudo labels, and this training set has none")
    probs = torch.from_numpy(predict_split(run.parser, given).segment_probs)
    labels, valid = given.pseudo_labels.cpu(), None if given.valid is None else given.valid.cpu()
    tags = given.own_tags.cpu()
    tags = tags if tags.dim() == 3 else tags[:, None].expand(-1, 2, -1)
    label = softened if options.soft else relabelled
    trust = (options.audio, options.visual)
    if given.tagged is None:
        return label(probs, labels, tags, trust, valid)
    tagged = given.tagged.cpu()
    found = torch.zeros(labels.shape, dtype=torch.float32 if options.soft else torch.bool)
    for rows, asked in ((tagged, tags), (~tagged, torch.ones_like(tags))):
        if rows.any():
            there = None if valid is None else valid[rows]
            found[rows] = label(probs[rows], labels[rows], asked[rows], trust, there)
    return found


def relabelled(
    probs: Tensor, labels: Tensor, tags: Tensor, trust: Sequence[float], valid: Tensor | None = None
) -> Tensor:
    """As many seconds of each class as were labelled, those with the most evidence.

    Args:
        probs: float [N, T, M, C] of a parser.
        labels: [N, T, M, C] as they were given, bool, or float in [0, 1], whose sum then counts.
        tags: bool [N, M, C].
        trust: Logits that a given label of 1 or 0 is worth, by modality.
        valid: bool [N, T], True where a segment exists; None when all do.

    Returns:
        bool [N, T, M, C], only where tagged; of seconds with equal evidence the first.
    """
    import torch

    weighed, evidence = labels.to(probs.dtype), _evidence(probs, labels, trust)
    asked = _asked(evidence, tags, valid)
    found = torch.zeros_like(asked)
    for m in range(labels.shape[2]):
        for c in range(labels.shape[3]):
            places = asked[:, :, m, c].nonzero()
            wanted = min(round(float(weighed[:, :, m, c][asked[:, :, m, c]].sum())), len(places))
            order = evidence[places[:, 0], places[:, 1], m, c].argsort(descending=True, stable=True)
            chosen = places[order[:wanted]]
            found[chosen[:, 0], chosen[:, 1], m, c] = True
    return found


def softened(
    probs: Tensor, labels: Tensor, tags: Tensor, trust: Sequence[float], valid: Tensor | None = None
) -> Tensor:
    """The probability of the evidence, float32 [N, T, M, C], 0 where there is no tag; arguments as of `relabelled`."""
    return _evidence(probs, labels, trust).sigmoid().float() * _asked(probs, tags, valid)


def _evidence(probs: Tensor, labels: Tensor, trust: Sequence[float]) -> Tensor:
    """What parser and given label say together, in logits."""
    import torch

    worth = torch.tensor(trust, dtype=probs.dtype)[:, None]  # [M, 1]
    return probs.clamp(_SUREST, 1 - _SUREST).logit() + worth * (2 * labels.to(probs.dtype) - 1)


def _asked(like: Tensor, tags: Tensor, valid: Tensor | None) -> Tensor:
    """Bool [N, T, M, C], the seconds that may be labelled."""
    asked = tags[:, None].expand_as(like)
    return asked if valid is None else asked & valid[:, :, None, None]
