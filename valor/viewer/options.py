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
    """Annotation folder with tags and, for val and test, truth."""
    split: str = "test"
    truth_version: str = "v2024"
    videos: Path | None = None
    """Folder of media files."""
    rule: Rule = lambda _: None
    """How probabilities become decisions; None for the predictions' own gate and 0.5."""
