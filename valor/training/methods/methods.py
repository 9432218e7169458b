"""The methods by name, those of one training together, and how a recipe names them. Nothing here waits for torch."""
# ruff: noqa: D102 (what a hook does is said once, in Method)

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from valor.data.own_files import told_code
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import file_sha256

from ..override import updated
from .alone import Alone
from .avel import Avel
from .average import Average
from .cmpae import Cmpae
from .coleaf import Coleaf
from .gates import Gates
from .generator import GeneratorMethod
from .hooks import method_fault
from .jomold import Jomold
from .leap import Leap
from .localiser import LocaliserMethod
from .method import Charge, Method, Plan, Run
from .mmcse import MmCse
from .mug import Mug
from .nrep import Nrep
from .onesided import Onesided
from .ppl import Ppl
from .rounds import Rounds
from .supervised import Supervised
from .unlabelled import Unlabelled
from .uwav import Uwav
from .vplan import Vplan
from .windows import Windows

if TYPE_CHECKING:
    from torch import Tensor

    from valor.data.clips import Batch, ClipSet
    from valor.eval.decide import PostProcessing
    from valor.eval.metrics import Metric
    from valor.eval.scores import Scores
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.options import Builder

_LOG = logging.getLogger(__name__)

Answer = TypeVar("Answer")

METHODS: dict[str, type[Method[Any]]] = {
    "uwav": Uwav,
    "jomold": Jomold,
    "vplan": Vplan,
    "average": Average,
    "gates": Gates,
    "supervised": Supervised,
    "rounds": Rounds,
    "unlabelled": Unlabelled,
    "mug": Mug,
    "windows": Windows,
    "avel": Avel,
    "nrep": Nrep,
    "cmpae": Cmpae,
    "mm-cse": MmCse,
    "leap": Leap,
    "coleaf": Coleaf,
    "ppl": Ppl,
    "localiser": LocaliserMethod,
    "generator": GeneratorMethod,
    "alone": Alone,
    "onesided": Onesided,
}
"""The methods a recipe may name; those of one recipe act in this order."""

OWN = "own:"
"""How the name of a method begins that was given as an object."""

_OLD_NOISE = "noise"
"""Of resume points that knew one denoising rule at a time."""


def in_order(methods: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name in the order of METHODS.

    Raises:
        ValueError: A name is unknown, its options are of another method, or two methods exclude one another.
    """
    for name, options in methods.items():
        if name not in METHODS:
            raise ValueError(unknown_method(name))
        wanted = METHODS[name].Options
        if not isinstance(options, wanted):
            raise ValueError(f"methods.{name} takes {wanted.__name__}, got {type(options).__name__}")
    for name in methods:
        others = [other for other in METHODS[name].excludes if other in methods]
        if others:
            raise ValueError(f"methods.{name} and methods.{others[0]} exclude one another; switch one of them off")
    return {name: methods[name] for name in METHODS if name in methods}


def changed_methods(methods: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Options by method after some changes.

    Args:
        methods: Options by method before.
        changes: For each method its options by name, which switches it on where it is not; or `on`, or `off`.

    Raises:
        ValueError: A method or an option is unknown, or a value is refused.
    """
    found = dict(methods)
    for name, change in changes.items():
        if name not in METHODS:
            raise ValueError(unknown_method(name))
        if isinstance(change, Mapping):
            found[name] = updated(found.get(name, METHODS[name].Options()), change, f"methods.{name}.")
        elif str(change).lower() in ("on", "true"):
            found[name] = METHODS[name].on()
        elif str(change).lower() in ("off", "false", "none"):
            found.pop(name, None)
        else:
            known = ", ".join(f"methods.{name}.{option.name}" for option in fields(METHODS[name].Options))
            raise ValueError(f"methods.{name} is on or off, or has options of its own ({known}), got {str(change)!r}")
    return found


def unknown_method(name: str) -> str:
    """The message for a name that is no method."""
    return (
        f"unknown method {name!r}{did_you_mean(name, tuple(METHODS))}; known are {', '.join(METHODS)}; for one of your "
        "own give the file that defines it as `own_files`"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnParts:
    """Parts of a user's own that are given as objects; those with a name are in the dicts of names instead."""

    encoder: Builder | None = None
    """Builds the encoder, see `valor.parsers.options`."""
    pooling: Builder | None = None
    """Builds the pooling."""
    methods: tuple[Method[Any], ...] = ()
    """Act after those of the recipe. A method holds the state of one training: give every training its own."""


NOTHING_OWN = OwnParts()


class Methods:
    """The methods of one training, one after the other; what each hook does is said in `Method`."""

    def __init__(self, options: Mapping[str, Any] | None = None, own: Sequence[Method[Any]] = ()) -> None:
        """Make them from the options of a recipe, and take those that are given as objects."""
        self.by_name: dict[str, Method[Any]] = {
            name: METHODS[name](held) for name, held in in_order(options or {}).items()
        }
        for method in own:
            name = OWN + type(method).__name__
            if fault := method_fault(type(method)):
                raise ValueError(fault)
            if name in self.by_name:
                raise ValueError(f"a method is given once, got {type(method).__name__} twice")
            self.by_name[name] = method

    @classmethod
    def from_json(
        cls, values: Mapping[str, Any], *, only: Sequence[str] | None = None, own: Sequence[Method[Any]] = ()
    ) -> Methods:
        """Make them from what `to_json` gave.

        Args:
            values: Options by name.
            only: The methods wanted; None for all.
            own: Those that were given as objects, by which `own:` names are meant.

        Raises:
            ValueError: A method is not known, or an option of it.
        """
        wanted = [name for name in values if only is None or name in only]
        named = {name: values[name] for name in wanted if not name.startswith(OWN)}
        found = cls(changed_methods({}, named), own)
        lost = [name for name in wanted if name.startswith(OWN) and name not in found.by_name]
        if lost:
            raise ValueError(f"the method {lost[0]} was given as an object when this was trained; give it again")
        return found

    def __iter__(self) -> Iterator[Method[Any]]:
        """The methods in their order."""
        return iter(self.by_name.values())

    def to_json(self) -> dict[str, Any]:
        """Their options by name."""
        return {name: asdict(method.options) for name, method in self.by_name.items()}

    def identity(self) -> dict[str, Any]:
        """Their options by name, with digests in the place of names where files are there."""
        found = self.to_json()
        for name, method in self.by_name.items():
            for option, files in method.files().items():
                if all(file.is_file() for file in files):
                    found[name][option] = " ".join(map(file_sha256, files))
        return found

    def networks(self) -> tuple[str, ...]:
        """Names of those that change the network, which a checkpoint cannot be read without."""
        return tuple(name for name, method in self.by_name.items() if type(method).network is not Method.network)

    @property
    def bring_labels(self) -> bool:
        """Whether one of them has labels of its own."""
        return any(method.brings_labels for method in self)

    def check(self, plan: Plan) -> None:
        for method in self:
            method.check(plan)

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        for name, method in self.by_name.items():
            parser = _answered(name, method, "network", method.network(parser, class_names))
        return parser

    def start(self, run: Run) -> None:
        for method in self:
            method.start(run)

    def clips(self, train: ClipSet) -> ClipSet:
        for name, method in self.by_name.items():
            train = _answered(name, method, "clips", method.clips(train))
        return train

    def use_labels(self, train: ClipSet) -> None:
        for method in self:
            method.use_labels(train)

    def part(self, epoch: int, epochs: int) -> range:
        whole = range(1, epochs + 1)
        parts = [part for method in self if (part := method.part(epoch, epochs)) != whole]
        return parts[0] if parts else whole

    @property
    def has_parts(self) -> bool:
        """Whether one of them trains in parts."""
        return any(type(method).part is not Method.part for method in self)

    def keeps_parts(self) -> bool:
        return any(method.keeps_parts() for method in self)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        return any([method.before_epoch(run, epoch) for method in self])  # a list: each is asked

    def learning_rate(self, rate: float, epoch: int) -> float:
        for method in self:
            rate = method.learning_rate(rate, epoch)
        return rate

    def batch(self, batch: Batch) -> Batch:
        for name, method in self.by_name.items():
            batch = _answered(name, method, "batch", method.batch(batch))
        return batch

    def charge(self, charge: Charge) -> Charge:
        for name, method in self.by_name.items():
            charge = _answered(name, method, "charge", method.charge(charge))
        return charge

    def after_step(self, parser: HybridParser) -> None:
        for method in self:
            method.after_step(parser)

    def judged(self, parser: HybridParser) -> HybridParser:
        for name, method in self.by_name.items():
            parser = _answered(name, method, "judged", method.judged(parser))
        return parser

    def decision(self, rule: PostProcessing) -> PostProcessing:
        for name, method in self.by_name.items():
            rule = _answered(name, method, "decision", method.decision(rule))
        return rule

    def metrics(self) -> dict[str, Metric]:
        return {name: metric for method in self for name, metric in method.metrics().items()}

    def select_by(self, figure: str, epoch: int) -> str:
        for method in self:
            figure = method.select_by(figure, epoch)
        return figure

    def selected(self, scores: Scores, selected: bool) -> bool:  # noqa: FBT001, as in Method
        for method in self:
            selected = method.selected(scores, selected)
        return selected

    def kept(self, parser: HybridParser) -> HybridParser:
        for name, method in self.by_name.items():
            parser = _answered(name, method, "kept", method.kept(parser))
        return parser

    def state(self) -> dict[str, Tensor]:
        """State of each under its own name."""
        return {
            f"{name}.{key}": tensor for name, method in self.by_name.items() for key, tensor in method.state().items()
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Give each its own; a resume point of before is understood."""
        state = dict(state)
        if _OLD_NOISE in state:
            rule = next(name for name in ("jomold", "vplan") if name in self.by_name)
            state[f"{rule}.{_OLD_NOISE}"] = state.pop(_OLD_NOISE)
        for name, method in self.by_name.items():
            own = {key.removeprefix(f"{name}."): held for key, held in state.items() if key.startswith(f"{name}.")}
            if own:
                method.load(own)


_ANSWERS = {"network": "Module", "judged": "Module", "kept": "Module", "clips": "ClipSet", "batch": "Batch"}
_ANSWERS |= {"charge": "Charge", "decision": "PostProcessing"}
"""What a hook that changes something answers: a class of this name, or one below it."""


def _answered(name: str, method: Method[Any], hook: str, answer: Answer) -> Answer:
    """The answer of a hook, refused where it is something else."""
    if not any(of.__name__ == _ANSWERS[hook] for of in type(answer).__mro__):
        got = "None, as without a `return`" if answer is None else f"a {type(answer).__name__}"
        raise ValueError(
            f"{told_code(getattr(method, hook))}: {hook} of the method {name} must answer what it was given, or a "
            f"changed {_ANSWERS[hook]}, got {got}"
        )
    return answer


NO_METHODS = Methods()
"""VALOR alone."""

RENAMED = {
    "class_balance": "uwav.class_balance",
    "mixup_alpha": "uwav.mixup_alpha",
    "mixup_weight": "uwav.mixup_weight",
    "denoise": "jomold or methods.vplan",
    "denoise_warmup_epochs": "jomold.warmup_epochs or methods.vplan.warmup_epochs",
    "denoise_audio": "jomold.audio or methods.vplan.audio",
    "denoise_visual": "jomold.visual or methods.vplan.visual",
    "ema_decay": "average.decay",
    "gate": "gates.gate",
}
"""Options that were of `fit` before methods had options of their own, and what they are below `methods` now."""

_SWITCHES = {"uwav": ("class_balance", "mixup_alpha"), "average": ("ema_decay",), "gates": ("gate",)}
"""Old options that switch a method off where all of them have the value below."""
_OFF: dict[str, Any] = {"class_balance": 0, "mixup_alpha": 0, "ema_decay": 0, "gate": "clip", "denoise": "none"}


def from_old_names(fit: Mapping[str, Any], on: Sequence[str] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split options of `fit` into those that still are and those of methods.

    Args:
        fit: Options by name, as JSON values or as typed.
        on: Methods that are on already.

    Returns:
        The options of `fit`, and options by method; "off" for a method that old options switch off.

    Raises:
        ValueError: An option of a denoising rule is given, and none is on.

    >>> from_old_names({"epochs": 3, "mixup_alpha": 1.7, "ema_decay": 0.0})
    ({'epochs': 3}, {'uwav': {'mixup_alpha': 1.7}, 'average': 'off'})
    """
    held = {name: value for name, value in fit.items() if name not in RENAMED}
    old = {name: value for name, value in fit.items() if name in RENAMED}
    found: dict[str, Any] = {}
    for name, value in old.items():
        if not name.startswith("denoise"):
            method, _, option = RENAMED[name].partition(".")
            found.setdefault(method, {})[option] = value
    for method, switches in _SWITCHES.items():
        named = [name for name in switches if name in old]
        if named and all(_is_off(name, old[name]) for name in named) and (method not in on or named == [*switches]):
            found[method] = "off"
    rule = old.get("denoise", next((name for name in ("jomold", "vplan") if name in on), None))
    if "denoise" in old:
        found |= {name: "off" for name in ("jomold", "vplan") if name != rule and name in on}
    strengths = {
        name.removeprefix("denoise_"): value
        for name, value in old.items()
        if name.startswith("denoise_") and str(value).lower() not in ("none", "null")
    }
    if rule in ("jomold", "vplan"):
        found[rule] = strengths
    elif strengths and "denoise" not in old:
        name = f"denoise_{next(iter(strengths))}"
        raise ValueError(f"fit.{name} is now methods.{RENAMED[name]}; switch one of them on")
    elif rule not in (None, "none"):
        raise ValueError(f"fit.denoise must be one of none, jomold, vplan, got {rule!r}; it is now methods.jomold=on")
    return held, found


def note_renamed(names: Sequence[str]) -> None:
    """Say what options that somebody typed are called now."""
    for name in names:
        _LOG.info("fit.%s is now methods.%s", name, RENAMED[name])


def _is_off(name: str, value: Any) -> bool:  # noqa: ANN401, as JSON or as typed
    try:
        return bool(float(value) == _OFF[name])
    except (TypeError, ValueError):
        return bool(value == _OFF[name])
