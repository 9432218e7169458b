"""Self-training in rounds: each begins anew on labels that the parser of the round before has had a say in.

Rounds are of equal length, with a schedule of their own. Before each but the first, the best parser of the one before
looks at its own training clips. Of the seconds of a class in a modality, among clips with its tag, as many are labelled
as were at first, now those with the most evidence of parser and given label together:

    s = logit p + trust_m (2 l - 1);   l' = s among the K greatest of its class and modality, K = sum l

so that no cut has to be found, a class is labelled as often as its teachers and their thresholds had it, and what the
teachers get wrong of one clip is outvoted by what the parser has learned of all others.

Source:
    Ours, after the self-training of Yarowsky (1995) and pseudo labels of class-balanced self-training (Zou et al.,
    ECCV 2018), from memory: there a share of the surest is taken, here as many as were labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .method import Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import ClipSet
    from valor.parsers.hybrid import HybridParser

_KEPT = "kept."
"""Before the names of weights in a resume point."""

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

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        if not isinstance(self.rounds, int) or self.rounds < 2:
            raise ValueError(f"rounds must be a whole number of at least 2, got {self.rounds!r}")
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
        """Weights of the best epoch of the round so far."""
        self.labels: Tensor | None = None
        """bool [N, T, M, C] of the round; None in the first."""

    def check(self, plan: Plan) -> None:
        """Refuse a training without pseudo labels, and rounds without an epoch."""
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.rounds relabels by the pseudo labels, which fit.pseudo_label_weight=0 leaves out; give them "
                "a weight"
            )
        epochs, rounds = plan.fit.epochs, self.options.rounds
        if epochs % rounds or epochs // rounds <= plan.fit.warmup_epochs:
            raise ValueError(
                f"methods.rounds has {rounds} rounds of equal length, each longer than the warm-up of "
                f"{plan.fit.warmup_epochs} epochs, and fit.epochs is {epochs}"
            )

    def part(self, epoch: int, epochs: int) -> range:
        """The epochs of the round."""
        length = epochs // self.options.rounds
        first = (epoch - 1) // length * length
        return range(first + 1, first + length + 1)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """At the beginning of a round label the clips anew, and begin again."""
        begins = epoch == self.part(epoch, run.options.epochs).start
        if not begins or epoch == 1:
            return False
        run.parser.load_state_dict(self.best)
        self.labels = _labels_by(run, (self.options.audio, self.options.visual))
        self.best = {}
        run.restart()
        return True

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set with the labels of the round."""
        return train if self.labels is None else replace(train, pseudo_labels=self.labels.to(train.audio.device))

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


def _labels_by(run: Run, trust: tuple[float, float]) -> Tensor:
    """What the parser of a run and the given labels say of the training set together, bool [N, T, M, C] on the CPU."""
    import torch

    from ..predict import predict_split

    given = run.given
    if given.pseudo_labels is None:
        raise ValueError("methods.rounds relabels by the pseudo labels, and this training set has none")
    probs = torch.from_numpy(predict_split(run.parser, given).segment_probs)
    tags = given.own_tags.cpu()
    tags = tags if tags.dim() == 3 else tags[:, None].expand(-1, 2, -1)
    return relabelled(probs, given.pseudo_labels.cpu(), tags, trust, None if given.valid is None else given.valid.cpu())


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

    weighed = labels.to(probs.dtype)
    worth = torch.tensor(trust, dtype=probs.dtype)[:, None]  # [M, 1]
    evidence = probs.clamp(_SUREST, 1 - _SUREST).logit() + worth * (2 * weighed - 1)
    asked = tags[:, None].expand_as(evidence)
    asked = asked if valid is None else asked & valid[:, :, None, None]
    found = torch.zeros_like(asked)
    for m in range(labels.shape[2]):
        for c in range(labels.shape[3]):
            places = asked[:, :, m, c].nonzero()
            wanted = min(round(float(weighed[:, :, m, c][asked[:, :, m, c]].sum())), len(places))
            order = evidence[places[:, 0], places[:, 1], m, c].argsort(descending=True, stable=True)
            chosen = places[order[:wanted]]
            found[chosen[:, 0], chosen[:, 1], m, c] = True
    return found
