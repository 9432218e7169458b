"""How a language of events is learned, as a value: nothing here waits for torch."""

import math
from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.did_you_mean import did_you_mean

WORDS = ("one", "many")
"""One class or none in each segment, heard and seen, as in AVE; or any number of them in each modality."""


@dataclass(frozen=True, kw_only=True)
class LanguageOptions:
    """What is learned of the order of events."""

    words: str | None = None
    """Words of the language: one (a class or none in each segment, as in AVE) or many (any number, of each modality);
    whichever the sources are."""
    length: int = 9
    """Words of a sequence, an odd number."""
    step: int = 1
    """Segments from one word of a sequence to the next: more of them look further around."""
    width: int = 64
    """Of the network."""
    layers: int = 4
    """Times its one layer is applied."""
    steps: int = 1000
    """Steps of the training, of 64 sequences each."""
    rate: float = 3e-3
    """Learning rate of Adam; 1e-3 as published takes three times the steps."""
    seed: int = 0
    """Of the weights and of the sequences that are drawn."""
    split: str | None = None
    """Split whose truth is learned from, of data folders among the sources; that for training."""
    val: Path | None = None
    """Predictions of clips of validation, on which the weight of the language is chosen."""
    annotations: Path | None = None
    """Data folder of `val`."""

    def __post_init__(self) -> None:
        """Refuse what nothing is learned by."""
        if self.words not in (None, *WORDS):
            raise ValueError(
                f"words must be one of {', '.join(WORDS)}, got {self.words!r}{did_you_mean(self.words, WORDS)}"
            )
        for name, least in (("length", 3), ("step", 1), ("layers", 1), ("steps", 1), ("width", 8)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.length % 2 == 0:
            raise ValueError(f"length must be odd, so that a sequence has a middle, got {self.length}")
        if self.width % 8:
            raise ValueError(f"width must be a multiple of 8, got {self.width}")
        if not 0 < self.rate < math.inf:
            raise ValueError(f"rate must be positive, got {self.rate}")
        if (self.val is None) != (self.annotations is None):
            raise ValueError("val=PREDICTIONS needs annotations=DIR, their truth, and the other way round; give both")


def check_alpha(alpha: float) -> None:
    """Refuse what is no weight of a language.

    Raises:
        ValueError: It is none.
    """
    if not 0 <= alpha < 1:
        raise ValueError(f"alpha must be from 0 up to, not including, 1, got {alpha}")
