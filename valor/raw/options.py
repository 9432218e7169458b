"""How raw media are read, as a value: nothing here waits for torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """What is kept of raw media."""

    pictures: int = 1
    """Pictures of each second: one in its middle, or eight for what moves."""
    seconds: int = 10
    """Length of a stretch; shorter media are one of their length."""
    stretches: int = 6
    """Stretches of one file at most, evenly spread over it."""
    least: int = 2
    """Seconds of sound and picture below which a file is left out."""

    def __post_init__(self) -> None:
        """Refuse what keeps nothing."""
        for name, most in (("pictures", 25), ("seconds", 3600), ("stretches", 10_000), ("least", 3600)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from 1 to {most}, got {getattr(self, name)}")
        if self.least > self.seconds:
            raise ValueError(f"least must be at most seconds={self.seconds}, got {self.least}")
