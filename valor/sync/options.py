"""How synchronisation is learned and judged, as values: nothing here waits for torch."""

from dataclasses import dataclass

STEP = 0.05
"""Seconds of a step, of which there is one picture and five spectra."""
FOUND = 0.1
"""Seconds by which an offset may be missed and still count as found."""
LEAST_SECONDS = 4.0
"""Media of which less can be compared are not judged."""
MOST_SECONDS = 600.0
"""So much of long media is looked at unless something else is said."""


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a run is trained."""

    epochs: int = 30
    """Times that every piece is seen."""
    batch_size: int = 16
    """Pieces of a step."""
    piece_seconds: float = 10.0
    """Length of a piece of media; longer media are several, shorter ones one of their length."""
    pieces: int = 6
    """Pieces of one file at most, evenly spread over it."""
    reach: float = 2.5
    """Offsets that are told apart, in seconds to either side."""
    rate: float = 3e-3
    """Learning rate of Adam."""
    seed: int = 0
    """Of the weights, the order and the offsets."""

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        for name, least in (("epochs", 1), ("batch_size", 2), ("pieces", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must be between 0 and 1, got {self.rate}")
        if not 2 * FOUND <= self.reach <= 60:
            raise ValueError(f"reach must be {2 * FOUND:g} to 60 seconds, got {self.reach}")
        if not self.reach + 2 <= self.piece_seconds <= 60:
            raise ValueError(
                f"piece_seconds must be at least 2 s more than reach={self.reach:g} and 60 at most, "
                f"got {self.piece_seconds:g}"
            )


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """What is said of media."""

    sure: float = 0.8
    """Confidence below which nothing is said."""
    tolerance: float = 0.15
    """Seconds that sound and picture may be apart and still count as together."""
    seconds: float = MOST_SECONDS
    """How much of long media is looked at, from where both streams have begun."""

    def __post_init__(self) -> None:
        """Refuse what judges nothing."""
        if not 0 <= self.sure < 1:
            raise ValueError(f"sure must be at least 0 and less than 1, got {self.sure:g}")
        if not 0 < self.tolerance <= 10:
            raise ValueError(f"tolerance must be above 0 and at most 10 seconds, got {self.tolerance:g}")
        if not self.seconds >= LEAST_SECONDS:
            raise ValueError(f"seconds must be at least {LEAST_SECONDS:g}, got {self.seconds:g}")
