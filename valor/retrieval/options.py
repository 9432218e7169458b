"""What is searched for and how, as values: nothing here waits for torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valor.eval.events import MODALITIES
from valor.label_harvest.did_you_mean import did_you_mean

BOTH = "both"
LARGE = 300_000
"""Seconds from which a search without an index says that there is one: reading that many takes seconds."""
NETS = ("joint", "context", "labels")
"""Spaces that can be trained: Everything at Once's, after MVPt, and with the complete cross-triplet loss."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What is searched for, and where."""

    text: str | None = None
    """Words that the seconds should fit."""
    like: Path | None = None
    """A video or recording that the seconds should be like, in what is heard and seen."""
    like_sound: Path | None = None
    """A sound that the seconds should be like; of a video its sound."""
    within: str | None = None
    """What is compared: audio, visual or both (what the query has and the store knows)."""
    top: int = 20
    """Stretches that are listed at most."""
    space: Path | None = None
    """Space of `valor search fit`, in which sounds are compared with pictures too."""
    exact: bool = False
    """Compare every second of the store, though there is an index."""
    index: Path | None = None
    """Folder of the index (STORE.search beside the store)."""
    teacher_checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Local weights of the teachers, by role."""

    def __post_init__(self) -> None:
        """Refuse what says nothing, or two things."""
        asked = [what for what in (self.text, self.like, self.like_sound) if what is not None]
        if len(asked) != 1:
            raise ValueError(
                "a search needs words, or a file with `like` or `like_sound`, one of the three, got "
                + (f"{len(asked)} of them" if asked else "none")
            )
        if self.text is not None and not any(letter.isalnum() for letter in self.text):
            raise ValueError(f"the words to search for must have a letter or a digit, got {self.text!r:.80}")
        check_within(self.within)
        if self.top < 1:
            raise ValueError(f"top must be at least 1, got {self.top}")


def check_within(within: str | None) -> None:
    """Refuse what is no modality.

    Raises:
        ValueError: It is none.
    """
    if within not in (None, BOTH, *MODALITIES):
        raise ValueError(f"within must be {', '.join(MODALITIES)} or {BOTH}, got {within!r}")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a space is trained."""

    net: str = "joint"
    """Which: joint (sound, picture and words; Everything at Once), context (sound and picture, each second with those
    around it; after MVPt), or labels (what shares a tag is near; complete cross-triplet loss)."""
    epochs: int = 30
    """Times that every clip is seen."""
    batch_size: int = 64
    """Clips of a step, which are told from one another."""
    width: int = 128
    """Of the space, and of the network inside."""
    layers: int = 1
    """Blocks of joint and context."""
    rate: float = 1e-3
    """Learning rate of Adam."""
    seed: int = 0
    """Of the weights and the order of clips."""
    data: Path | None = None
    """Data folder: train on the clips of its split for training alone."""
    split: str | None = None
    """With `data`: another split than that for training."""
    teacher_checkpoints: Mapping[str, str] = field(default_factory=dict)
    """Local weights of the teachers, by role, whose text towers joint needs."""

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.net not in NETS:
            raise ValueError(f"net must be one of {', '.join(NETS)}, got {self.net!r}{did_you_mean(self.net, NETS)}")
        for name, least in (("epochs", 1), ("batch_size", 2), ("layers", 1), ("width", 8)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, got {self.width}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, got {self.rate}")
        if self.split and self.data is None:
            raise ValueError("`split` is of a data folder; give `data` too")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """How searching is judged."""

    data: Path
    """Data folder whose clips and tags are searched."""
    split: str | None = None
    """Which split (test, or what the data set is scored on)."""
    space: Path | None = None
    """Space of `valor search fit`, which must not have seen these clips."""
    seed: int = 0
    """Of the shuffled controls."""


@dataclass(frozen=True, kw_only=True)
class ExploreOptions:
    """How the seconds of a store are divided into groups."""

    clusters: int = 64
    """Groups of each modality."""
    within: str | None = None
    """What is divided: audio, visual or both (what the store has)."""
    clips: int = 5
    """Clips of each group that a table shows; JSON has all."""
    seed: int = 0
    """Of the first centres."""

    def __post_init__(self) -> None:
        """Refuse what divides nothing."""
        check_within(self.within)
        for name, least in (("clusters", 2), ("clips", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
