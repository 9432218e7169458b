"""What a bench of clips without tags compares, as values: nothing here waits for torch."""

from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.places.place import Place
from valor.parsers.pretraining.registry import ALIASES, OBJECTIVES

FRESH = "fresh"
"""The arm all others are compared with."""

ARMS = {
    FRESH: "the tagged clips alone",
    "teachers": "the others as well, labelled by the teachers alone",
    "self-training": "the others as well, labelled by the parser of the round before; the first round is fresh",
    "both": "the others as well, labelled by the teachers in the first round and by the parser of it in the next",
    "relabelled": "the tagged clips alone, labelled anew by the parser of the round before",
}
"""What can be learned from, by what is typed. All tags, the upper bound, are the arm fresh at the share 1."""

KNOWN = (*ARMS, *OBJECTIVES)
"""All arms: with an objective, the tagged clips alone begin with what it learned of all clips."""

OF_POOL = ("teachers", "self-training", "both")
"""Arms that are nothing without clips that have no tags."""
OF_ROUNDS = ("self-training", "both", "relabelled")


@dataclass(frozen=True, kw_only=True)
class PretrainBenchOptions:
    """How a bench is run."""

    unlabelled: tuple[Place, ...] = ()
    """Evidence store of clips without tags (repeatable; that of the data, of which the tagged clips beyond the share
    are then the ones without tags)."""
    labels: Path | None = None
    """Folder of pseudo labels of the tagged clips (`labels/valor` beside the data, else the data)."""
    arms: tuple[str, ...] = (FRESH, "teachers", "self-training")
    """What is compared, objectives of `valor pretrain` among it; fresh is always there."""
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
    changes: tuple[str, ...] = ()
    """Changes of the recipe, and so of every arm; those of methods go to the arms that have the method."""
    jobs: int = 1
    """Trainings at a time, one thread each."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse names that are none, and a bench without a training."""
        arms = {ALIASES.get(name, name) for name in (FRESH, *self.arms)}
        if unknown := sorted(arms - {*KNOWN}):
            raise ValueError(f"arms must be of {', '.join(KNOWN)}, got {', '.join(unknown)}")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ValueError(f"shares must be above 0 and at most 1, got {', '.join(map(str, self.shares)) or 'none'}")
        for name in ("seeds", "steps", "whole_steps", "rounds", "pretrain_epochs", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        object.__setattr__(self, "arms", tuple(name for name in KNOWN if name in arms))
        object.__setattr__(self, "shares", tuple(sorted(set(self.shares))))
