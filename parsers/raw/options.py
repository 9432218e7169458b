"""How towers are built, as a value: nothing here waits for torch."""

from dataclasses import dataclass

PATCHES, MAPS = "patches", "maps"
KINDS = (PATCHES, MAPS)
"""Transformers over patches; convolutions that keep where things are."""


@dataclass(frozen=True, kw_only=True)
class TowerOptions:
    """The two towers of a run."""

    kind: str = MAPS
    """patches, a transformer over patches of 8 x 8; or maps, convolutions that keep where things are."""
    pictures: int = 1
    """Pictures of a second."""
    less_still: bool = False
    """Whether pictures are given less what stands still, the median of their stretch or clip: towers learn what comes,
    goes and moves sooner, and do not see what never does."""
    width: int = 96
    """Of the tokens of patches."""
    num_layers: int = 4
    """Blocks over patches."""
    num_heads: int = 4
    """Of each."""
    drop_share: float = 0.0
    """Share of patches left out in training, DropToken of VATT; 0 of maps."""

    mix_layers: int = 0
    """Blocks over the seconds of a stream, with time codes, for objectives that need to know when a second is; what is
    kept of a run is what the towers say before them."""

    def __post_init__(self) -> None:
        """Refuse what is no tower."""
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for name, least, most in (
            ("pictures", 1, 25),
            ("num_layers", 1, 48),
            ("num_heads", 1, 64),
            ("mix_layers", 0, 8),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from {least} to {most}, got {getattr(self, name)}")
        if self.width < 8 or self.width % self.num_heads:
            raise ValueError(f"width must be at least 8 and divide by num_heads={self.num_heads}, got {self.width}")
        if not 0 <= self.drop_share < 0.95:
            raise ValueError(f"drop_share must be at least 0 and below 0.95, got {self.drop_share:g}")
        if self.drop_share and self.kind != PATCHES:
            raise ValueError(f"drop_share is of kind={PATCHES}, and kind={self.kind} has no patches; leave it out")
