"""Sizes of the bench, what is fitted of it, and how it is run, as values: nothing here waits for torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from valor.label_harvest.did_you_mean import did_you_mean

from .rows import PARTS, ROWS

WORLDS = ("llp", "demo")
"""LLP's tables with all that is seen and heard drawn, or the demo's films with teachers as poor as LLP's."""

SHARES = {"audio": 1.0, "visual": 1.0}
"""Labels of a teacher for each true second, by modality: thresholds that neither over- nor understate."""

AUDIO_TRACE = 0.25
"""How much a silent class can be heard, against the trace of what is not seen, which is fitted."""


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What is fitted: five numbers to segment-level A and V of the three anchors, HAN, VALOR and VALOR++."""

    classic_audio: float
    """Strength of a class in VGGish features."""
    classic_visual: float
    """In ResNet and R(2+1)D features."""
    joint_audio: float
    """In CLAP features."""
    joint_visual: float
    """In CLIP features."""
    trace: float
    """How much of a class shows in the picture while it is not in it."""


@dataclass(frozen=True, kw_only=True)
class BenchSize:
    """How large a bench is, and how published recipes are brought to it."""

    clips: Mapping[str, int] = field(hash=False)
    """By split."""
    width: int
    """Of features and of every network; those published are 256 to 768 wide."""
    layers: int
    """At most so many."""
    knobs: Knobs
    fitted: bool
    """Whether the knobs were fitted at this size."""
    demo_clips: int
    """Of a demo world that is made."""
    epochs: int | None = None
    """Of every network of a row, behind one of warm-up and down a cosine; None for the published schedule."""
    batch: int | None = None
    """Clips of a step, likewise."""
    rate: float | None = None
    """The highest rate, likewise; published ones grow as the width shrinks."""


_FITTED = Knobs(classic_audio=4.4, classic_visual=6.3, joint_audio=5.4, joint_visual=6.0, trace=0.1)

SIZES = {
    "small": BenchSize(
        clips={"train": 5000, "val": 300, "test": 600},
        width=64,
        layers=2,
        fitted=True,
        demo_clips=1400,
        epochs=6,
        batch=32,
        rate=2e-3,
        knobs=_FITTED,
    ),
    "llp": BenchSize(
        clips={"train": 10_000, "val": 649, "test": 1200},
        width=128,
        layers=4,
        fitted=False,
        demo_clips=4000,
        knobs=_FITTED,
    ),
}
"""The sizes by name. Their knobs are found by `valor bench --data DIR --size NAME --fit 4`, from these on."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """How a bench is run."""

    world: str = "llp"
    """LLP's tables with simulated features (`llp`), or the demo's films with teachers as poor as LLP's (`demo`)."""
    size: str = "small"
    """`small`, 5,900 clips, mostly 1 to 1.5 minutes of one thread a training, or `llp`, all 11,849, many hours."""
    seeds: int = 2
    """Trainings of each row."""
    rows: tuple[str, ...] = tuple(name for name in ROWS if name not in PARTS)
    """Rows by name (all but those that say what a part of ours is worth); those they are compared with are added."""
    jobs: int = 1
    """Trainings at a time, one thread each."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse names that are none, and a bench without a training."""
        for name, known in (("world", WORLDS), ("size", tuple(SIZES))):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                    f"{did_you_mean(getattr(self, name), known)}"
                )
        if unknown := [row for row in self.rows if row not in ROWS]:
            raise ValueError(f"rows must be of {', '.join(ROWS)}, got {', '.join(unknown)}")
        for name in ("seeds", "jobs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
