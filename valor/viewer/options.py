"""What the viewer shows, as a value: nothing here waits for torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from valor.data.predictions import Predictions
from valor.eval.decide import PostProcessing

Rule = Callable[[Predictions], PostProcessing | None]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Where the rest of a document comes from."""

    class_names: tuple[str, ...]
    """Classes of what names none itself."""
    data: Path | None = None
    """Annotation tables, and features for a run folder."""
    split: str = "test"
    """Split of the tables; train has no truth."""
    truth_version: str = "v2024"
    """Version of the audio annotations."""
    videos: Path | None = None
    """Media files, named as for `valor harvest`."""
    rule: Rule = lambda _: None
    """How probabilities become decisions; None for the predictions' own gate and 0.5."""
