"""What a demo run is made of, as a value: nothing here waits for torch."""

from dataclasses import dataclass
from pathlib import Path

from valor.label_harvest.did_you_mean import did_you_mean

SPLIT_SHARES = {"train": 0.6, "val": 0.12, "test": 0.28}
"""How the clips of a world are divided."""
PLAIN, STROKES = "plain", "strokes"
WORLDS = (PLAIN, STROKES)
"""Drawings that move at their own pace, or as their sound strikes."""


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a demo run is made of."""

    clips: int = 700
    """Clips in the world, all splits together."""
    films: int | None = None
    """In place of the clips, so many untrimmed films of 20 to 120 s with cuts, silence and still pictures, which are a
    data set of clips of unlike length; 100 are together nearly as long as the 700 clips."""
    seeds: int = 3
    """Trainings per parser."""
    world_seed: int = 2023
    """Seed of the world; its clips are unlike any sample the teachers learned from, whatever the seed."""
    world: str = PLAIN
    """Which: plain, or strokes, where drawings move as their sounds strike (docs/sync.md)."""
    shuffle_teachers: bool = False
    """Control: give each clip the teacher scores of another clip of its split; the gain must vanish (goes to
    OUT/control)."""
    workers: int = 2
    """Processes that render clips and train parsers."""

    def __post_init__(self) -> None:
        """Refuse worlds too small to hold every class, and runs without a training."""
        if self.clips < 50:
            raise ValueError(f"clips must be at least 50, so that every split has some, got {self.clips}")
        if self.films is not None and self.films < 10:
            raise ValueError(f"films must be at least 10, so that every split has some, got {self.films}")
        if self.films is not None and self.shuffle_teachers:
            raise ValueError("shuffle_teachers gives clips the scores of others of their length; leave it or films out")
        if self.world not in WORLDS:
            raise ValueError(
                f"world must be one of {', '.join(WORLDS)}, got {self.world!r}{did_you_mean(self.world, WORLDS)}"
            )
        if self.films is not None and self.world != PLAIN:
            raise ValueError(f"world={self.world} has clips alone; leave it or films out")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")

    def home(self, out: Path) -> Path:
        """Folder of labels, runs and results in the demo folder `out`; the control has its own beside the same data."""
        return out / "control" if self.shuffle_teachers else out

    def split_sizes(self) -> dict[str, int]:
        """Clips of each split."""
        count = self.clips if self.films is None else self.films
        sizes = {split: round(count * share) for split, share in SPLIT_SHARES.items()}
        return sizes | {"train": count - sizes["val"] - sizes["test"]}
