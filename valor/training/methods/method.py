"""The seam of a method: its options, and what it may change of a training. Nothing here waits for torch.

A method is a class below `Method` with a frozen dataclass of options, in a file of its own; its name is a key of
`valor.training.methods.methods.METHODS`. Every hook leaves things as they are unless a method says otherwise, and of
several methods each gets what the one before it gave. The order of a run:

    check       before anything is read: what the recipe must have for the method to mean something
    network     once the parser is built, and again whenever a checkpoint is read
    start       before the first epoch; then `load`, where a stopped run goes on
    clips       the training set of the coming epochs, at the start and after `before_epoch` has said so; `use_labels`
    part        of every epoch: where a new part of the training begins, the schedule and what is kept begin anew
    before_epoch, learning_rate
    batch, charge, after_step       of every step; `charge` comes between the forward pass and the losses
    judged, decision, metrics, select_by, selected, kept    after every epoch: what is validated, by which rule and
                figure, and what is kept
    state       with the resume point

Random numbers come from torch's global generator, which the resume point holds, so that a stopped run goes on to the
same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Never, Protocol, TypeVar

from valor.label_harvest.did_you_mean import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from valor.data.clips import Batch, ClipSet
    from valor.data.features.feature_options import FeatureOptions
    from valor.eval.decide import PostProcessing
    from valor.eval.metrics import Metric
    from valor.eval.scores import Scores
    from valor.parsers.hybrid import HybridParser, ParserOutput
    from valor.parsers.options import ParserOptions

    from ..options import FitOptions

Opt = TypeVar("Opt")

OWN_TERMS = ("weak", "audio", "visual", "guided", "total", "grad_norm")
"""Names in the log that no further term may have."""


class Plan(Protocol):
    """What a method may ask a recipe."""

    @property
    def features(self) -> FeatureOptions: ...  # noqa: D102

    @property
    def parser(self) -> ParserOptions: ...  # noqa: D102

    @property
    def fit(self) -> FitOptions: ...  # noqa: D102

    @property
    def methods(self) -> Mapping[str, Any]: ...  # noqa: D102


def check_two_parts(option: str, first: int, plan: Plan) -> None:
    """Refuse a training of two parts one of which has no more epochs than the warm-up.

    Args:
        option: The option that says how long the first part is, as a recipe has it.
        first: Its epochs.
        plan: The training.
    """
    epochs, least = plan.fit.epochs, plan.fit.warmup_epochs + 1
    if min(first, epochs - first) >= least:
        return
    fitting = f"{option}={epochs // 2}" if epochs >= 2 * least else f"{option}={least} fit.epochs={2 * least}"
    raise ValueError(
        f"{option} and the epochs after it need more than the warm-up of {least - 1}, got {first} and {epochs} in all; "
        f"say {fitting} too"
    )


class Run(Protocol):
    """What a method may use of a training that is under way."""

    parser: HybridParser
    """What is trained."""
    optimiser: torch.optim.Optimizer
    options: FitOptions
    given: ClipSet
    """The training set with the labels it came with."""
    train: ClipSet
    """The training set in use."""

    @property
    def judged(self) -> HybridParser:
        """The parser that is validated."""

    def restart(self) -> None:
        """Give the parser its initial weights back, and the optimiser its beginnings."""

    def left_by(self, folder: str) -> Mapping[str, Tensor]:
        """What methods left in the resume point of another run, by `NAME.KEY`; nothing where there is none."""


@dataclass(frozen=True)
class Term:
    """One more loss."""

    name: str
    """In the log."""
    weight: float
    """Against the weak loss."""
    take: Callable[[Charge], Tensor]
    """From the charge as all methods left it, once VALOR's own terms are taken."""


@dataclass(frozen=True, eq=False)
class Charge:
    """What the losses of one step are taken from. A method answers a changed copy (`dataclasses.replace`)."""

    parser: HybridParser
    """In training mode."""
    batch: Batch
    """The clips, as the parser saw them."""
    output: ParserOutput
    """What it answered."""
    options: FitOptions
    """Weights of VALOR's own terms."""
    weak_labels: Tensor
    """float [B, C] in [0, 1], the clip tags."""
    pseudo_labels: Tensor | None
    """float [B, T, M, C] in [0, 1]; None where the training has no use for them."""
    kept: Tensor | None = None
    """bool [B, M, C], False where a modality is to have neither the tag nor pseudo labels; None when all stay."""
    segment_weights: Tensor | None = None
    """float, of a shape that broadcasts to [B, T, M, C]: what each counts in the segment losses; None for 1 each."""
    terms: tuple[Term, ...] = ()
    """Losses beside VALOR's own."""
    has_own_terms: bool = True
    """Whether VALOR's own terms are charged at all; a method with a loss of its own leaves them out."""
    modality_tags: Tensor | None = None
    """float [B, M, C] in [0, 1], which tags are heard and which are seen; None where nobody says it."""
    clip_weights: Tensor | None = None
    """float [B], what each clip counts in VALOR's own terms; None for 1 each."""

    if not TYPE_CHECKING:  # what there is not is an error of types, too

        def __getattr__(self, name: str) -> Never:
            """Refuse a field there is not, with those there are."""
            if name.startswith("__"):
                raise AttributeError(name)
            known = [field.name for field in fields(self)]
            below = [f"{of}.{name}" for of in ("output", "batch") if name in _fields_of(self.__dict__.get(of))]
            near = f" (did you mean {below[0]}?)" if below else did_you_mean(name, known)
            raise AttributeError(f"a charge has no {name!r}{near}; it has {', '.join(known)} and own_tags")

    @property
    def own_tags(self) -> Tensor:
        """What a modality alone is held to: float [B, M, C], or the tags of the clip [B, C] where nobody says more."""
        return self.weak_labels if self.modality_tags is None else self.modality_tags

    def plus(self, name: str, weight: float, take: Callable[[Charge], Tensor]) -> Charge:
        """The charge with one more term, see `Term`.

        Raises:
            ValueError: There is a term of this name.
        """
        if name in OWN_TERMS or any(term.name == name for term in self.terms):
            raise ValueError(f"a loss term of the name {name!r} is there already; choose another name")
        return replace(self, terms=(*self.terms, Term(name, weight, take)))


def _fields_of(held: object) -> Collection[str]:
    """Names of the fields of a dataclass; none of anything else."""
    return getattr(type(held), "__dataclass_fields__", {}).keys()


@dataclass(frozen=True)
class NoOptions:
    """Of a method that leaves nothing to choose."""


class Method(Generic[Opt]):
    """A method that changes nothing; see the top of this file."""

    Options: ClassVar[type[Any]] = NoOptions
    """A frozen dataclass. Its defaults are what a recipe has that names one option only."""
    excludes: ClassVar[tuple[str, ...]] = ()
    """Methods it cannot be together with."""
    brings_labels: ClassVar[bool] = False
    """Whether it has labels of its own (`clips`) in the place of pseudo labels, which then are not read."""
    extra_data: ClassVar[tuple[str, ...]] = ()
    """What it learns from beside clips and tags of train and frozen published networks, see `valor.training.facts`."""
    tuned: tuple[str, ...] = ()
    """What of it was chosen on the truth of val, beside the epoch and the thresholds of labels."""
    published: ClassVar[str | None] = None
    """Its row of published scores, by the name of the method in published_scores.json."""

    def __init__(self, options: Opt) -> None:
        """Take the options; nothing is computed yet."""
        self.options = options

    @classmethod
    def on(cls) -> Any:  # noqa: ANN401, an instance of Options
        """The options that `methods.NAME=on` stands for: the published ones."""
        return cls.Options()

    def files(self) -> dict[str, tuple[Path, ...]]:
        """Files that options name, by option: their bytes are part of a run, and not where they lie."""
        return {}

    def check(self, plan: Plan) -> None:
        """Refuse a recipe the method cannot work in, with a ValueError of one sentence."""

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """The network to train: the same with other parts, or another module that answers ParserOutput.

        New weights are drawn from torch's global generator, which is seeded. A checkpoint is read into what this gives,
        so it may depend on nothing but its arguments and the options.
        """
        return parser

    def start(self, run: Run) -> None:
        """Get ready, before the first epoch."""

    def clips(self, train: ClipSet) -> ClipSet:
        """The training set of the coming epochs, from the one before: other labels, other clips."""
        return train

    def use_labels(self, train: ClipSet) -> None:
        """Take from the training set in use what a step needs of it as a whole."""

    def part(self, epoch: int, epochs: int) -> range:
        """The epochs, counted from 1, of the part of the training that an epoch belongs to.

        In each part the schedule begins anew, and the epochs compete with one another alone: what is kept at the end is
        of the last part.

        Args:
            epoch: The epoch.
            epochs: Those of the whole training.
        """
        return range(1, epochs + 1)

    def keeps_parts(self) -> bool:
        """Whether what is kept of earlier parts stays in the competition, so that the best of all is kept."""
        return False

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Look at the training before an epoch, counted from 1.

        Returns:
            Whether `clips` answers something else from this epoch on.
        """
        return False

    def learning_rate(self, rate: float, epoch: int) -> float:
        """The step size of an epoch."""
        return rate

    def batch(self, batch: Batch) -> Batch:
        """The clips of a step, on the parser's device: recombined, or with a modality dropped."""
        return batch

    def charge(self, charge: Charge) -> Charge:
        """What a step is charged with. This is the one hook between the forward pass and the losses."""
        return charge

    def after_step(self, parser: HybridParser) -> None:
        """Take note of the weights after a step."""

    def judged(self, parser: HybridParser) -> HybridParser:
        """The parser that is validated after an epoch."""
        return parser

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """How probabilities become events, in validation and where the trained parser is scored."""
        return rule

    def metrics(self) -> Mapping[str, Metric]:
        """Figures of its own, by name, that validation gives and an epoch may be kept by (`figures.NAME`)."""
        return {}

    def select_by(self, figure: str, epoch: int) -> str:
        """The validation figure an epoch is kept by, as `FitOptions.select_by` names it."""
        return figure

    def selected(self, scores: Scores, selected: bool) -> bool:  # noqa: FBT001, what was decided so far
        """Whether an epoch with these validation scores is kept."""
        return selected

    def kept(self, parser: HybridParser) -> HybridParser:
        """The parser that is written when an epoch is kept, from the one that was validated."""
        return parser

    def state(self) -> dict[str, Tensor]:
        """What a stopped run needs to go on, beside weights, optimiser and generators."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave, on the CPU. Not called where that was nothing."""
