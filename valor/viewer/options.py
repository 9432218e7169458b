"""What the viewer shows, as a value: nothing here waits for torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valor.data.predictions import Predictions
from valor.eval.decide import PostProcessing

HOST = "127.0.0.1"
"""Where the viewer listens unless another address is asked for: reached from this machine alone."""

Rule = Callable[[Predictions], PostProcessing | None]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the rest of a document comes from."""

    class_names: tuple[str, ...] | None = None
    """Classes of what names none itself (None: those of the data set), and more to show than sources know."""
    data: Path | None = None
    """Annotation tables, and features for a run folder."""
    split: str | None = None
    """Split of the tables (test, or what the data set is scored on); LLP's train has no truth. One that is said
    selects: clips of other splits are left out."""
    truth_version: str | None = None
    """Version of the annotations (the newest; LLP: v2024, v2020)."""
    videos: Path | None = None
    """Media files, named as for `valor harvest`."""
    rule: Rule = lambda _: None
    """How probabilities become decisions; None for the predictions' own gate and 0.5."""
