"""What a bench of clips without tags compares, as values: nothing here waits for torch.

An arm is typed by its name, or with options of its own: `xdc:variant=single`, `teachers:weight=0.3:cuts=val`.
"""

from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.places.place import Place
from valor.parsers.pretraining.registry import ALIASES, OBJECTIVES

FRESH = "fresh"
"""The arm all others are compared with."""
TIME_CODES = "time-codes"
"""The arm that objectives which need an order are to be held against; comes with them."""

ARMS = {
    FRESH: "the tagged clips alone",
    TIME_CODES: "the tagged clips alone, by a parser with time codes: the control of objectives that need these",
    "teachers": "the others as well, labelled by the teachers alone",
    "self-training": "the others as well, labelled by the parser of the round before; the first round is fresh",
    "both": "the others as well, labelled by the teachers in the first round and by the parser of it in the next",
    "relabelled": "the tagged clips alone, labelled anew by the parser of the round before",
}
"""What can be learned from, by what is typed."""
ALL_TAGS = "all tags"
"""The row of the arm fresh at the share 1 among those of a smaller one: what could be had at most."""

KNOWN = (*ARMS, *OBJECTIVES)
"""All arms: with an objective, the tagged clips alone begin with what it learned of all clips."""

OF_POOL = ("teachers", "self-training", "both")
"""Arms that are nothing without clips that have no tags."""
OF_ROUNDS = ("self-training", "both", "relabelled")
OPTIONS_OF = {
    "unlabelled": ("weight", "share", "cuts", "temperature"),
    "rounds": ("audio", "visual", "soft"),
}
"""Options an arm may have of its own, by its method; those of an objective are all that `valor pretrain` knows."""


def arm_name(typed: str) -> str:
    """An arm as it is called everywhere, without aliases.

    Raises:
        ValueError: There is no such arm, or it has no such option.
    """
    name, *own = typed.split(":")
    name = ALIASES.get(name, name)
    if name not in KNOWN:
        raise ValueError(f"arms must be known, got {name}{did_you_mean(name, KNOWN)}; known are {', '.join(KNOWN)}")
    known = [
        *(OPTIONS_OF["unlabelled"] if name in OF_POOL else ()),
        *(OPTIONS_OF["rounds"] if name in OF_ROUNDS else ()),
    ]
    for change in own:
        option, equals, value = change.partition("=")
        if not equals or not value:
            raise ValueError(f"arms must be of NAME or NAME:OPTION=VALUE, got {typed}")
        if name not in OBJECTIVES and option not in known:
            raise ValueError(f"arms must be of known options, got {typed}; {name} has {', '.join(known) or 'none'}")
    return ":".join((name, *sorted(own)))


def base_of(arm: str) -> str:
    """What an arm is without options of its own."""
    return arm.partition(":")[0]


def own_changes(arm: str) -> list[str]:
    """The options of an arm as overrides: `objective.*` of an objective, `methods.*` of what is learned by labels."""
    base, *own = arm.split(":")
    if base in OBJECTIVES:
        return [f"objective.{change}" for change in own]
    of = {option: method for method, options in OPTIONS_OF.items() for option in options}
    return [f"methods.{of[change.partition('=')[0]]}.{change}" for change in own]


_OF_BENCH = {
    "fit.epochs": "`steps`, and `whole_steps` at the share 1: all trainings take as many",
    "fit.epoch_steps": "the steps of all tagged clips: every arm is validated as often",
    "fit.label_share": "`shares`",
}
"""What a bench sets for each of its trainings, and by which of its options."""


@dataclass(frozen=True, kw_only=True)
class PretrainBenchOptions:
    """How a bench is run."""

    unlabelled: tuple[Place, ...] = ()
    """Evidence store of clips without tags (repeatable; that of the data, of which the tagged clips beyond the share
    are then the ones without tags)."""
    labels: Path | None = None
    """Folder of pseudo labels of the tagged clips (`labels/valor` beside the data, else the data)."""
    arms: tuple[str, ...] = (FRESH, "teachers", "self-training")
    """What is compared, objectives of `valor pretrain` among it; fresh is always there. `NAME:OPTION=VALUE` has options
    of its own: `xdc:variant=single`, `teachers:temperature=0.5`, `self-training:soft=true`."""
    shares: tuple[float, ...] = (0.05, 0.1, 0.2, 1.0)
    """Shares of the tagged clips that keep their tags, drawn by the seed."""
    seeds: int = 5
    """Trainings of each arm and share, from the recipe's seed upwards."""
    steps: int = 540
    """Steps of a training, and of each round of one, whatever the number of clips."""
    whole_steps: int = 1080
    """The same at the share 1."""
    rounds: int = 1
    """Rounds after the first."""
    pretrain_epochs: int = 20
    """Epochs of a pre-training, on all clips of the stores but annotated ones."""
    choose: bool = False
    """Choose weight and share of the clips without tags on validation, by trainings with the first seed, and train
    with what is best there as well where it is not the usual weight and share, 1."""
    bound: Path | None = None
    """Folder of a bench of the same recipe and clips that has the share 1, whose arm fresh is the upper bound here (the
    share 1 of this one)."""
    changes: tuple[str, ...] = ()
    """Changes of the recipe, and so of every arm; those of methods go to the arms that have the method."""
    jobs: int = 1
    """Trainings at a time, one thread each."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse names that are none, and a bench without a training."""
        arms = dict.fromkeys((FRESH, *map(arm_name, self.arms)))
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ValueError(f"shares must be above 0 and at most 1, got {', '.join(map(str, self.shares)) or 'none'}")
        if self.bound is not None and 1 in self.shares:
            raise ValueError("`bound` is for a bench without the share 1, which is the bound itself; leave one out")
        for name in ("seeds", "steps", "whole_steps", "rounds", "pretrain_epochs", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for change in self.changes:
            if other := _OF_BENCH.get(change.partition("=")[0].strip()):
                raise ValueError(f"changes must be of what arms have in common, got {change}; that is set by {other}")
        object.__setattr__(self, "arms", tuple(sorted(arms, key=lambda arm: KNOWN.index(base_of(arm)))))
        object.__setattr__(self, "shares", tuple(sorted(set(self.shares))))
