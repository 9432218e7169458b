"""How patiently files are fetched, as a value: nothing here waits for torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """How patiently files are fetched."""

    attempts: int = 6
    """Failures in a row that are borne, each after five tries of the hub's client; new bytes start the count again."""
    timeout: float = 60.0
    """Seconds without a byte before a connection counts as dead."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubles each time, up to a minute."""
    offline: bool = False
    """Make no connection; check what is there."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse values nothing could be fetched with."""
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be positive seconds, got {self.timeout}")
        if not self.backoff >= 0:
            raise ValueError(f"backoff must not be negative, got {self.backoff}")
