"""F-scores as papers print them: the rows of published_scores.json, and which of their figures cannot be right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.scores import FIGURES, LEVELS

DATA = Path(__file__).with_name("published_scores.json")
"""The data file: figures with their sources, and the legend of every word used in it."""

ROUNDING = 0.1
"""How far Type@AV printed with one decimal may lie from the mean of A, V and AV printed so: 0.05 for itself and 0.05
for the mean of three."""

Figures = tuple[float | None, ...]
"""Ten figures in percent, segment level then event level, each in the order of FIGURES; None where none was seen."""

TYPE_AV = tuple(level * len(FIGURES) + FIGURES.index("type_av") for level in range(len(LEVELS)))
"""Where Type@AV stands among the ten."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of a published table on the LLP test split."""

    method: str
    venue: str | None
    year: int | None
    features: str
    """classic, clip+clap, training-free, not stated, or reference for what parses nothing."""
    figures: Figures
    sources: tuple[str, ...]
    """Where the figures were read; the data file says what each key means."""
    confidence: str
    """seen, second-hand, recalled or computed."""
    post_processing: str | None
    """A preset of eval.post_processing, a rule of the data file, or None where no source says."""
    selection: str | None
    """The validation figure the epoch was chosen by, or None where no source says."""
    truth: str | None
    """v2020, v2024 or None where no source says."""
    clips: int = 1200
    """How many of the 1,200 clips were scored."""
    note: str = ""

    @property
    def title(self) -> str:
        """The method with its venue and year, as far as known."""
        where = " ".join(str(part) for part in (self.venue, self.year) if part)
        return f"{self.method} ({where})" if where else self.method

    @property
    def impossible(self) -> tuple[int, ...]:
        """Positions of Type@AV figures that are not the mean of their A, V and AV within rounding."""
        return tuple(position for position in TYPE_AV if not _is_mean(self.figures, position))


@dataclass(frozen=True)
class Published:
    """All published rows, and the hash of each version of the truth they name."""

    rows: tuple[PublishedRow, ...]
    truths: Mapping[str, str]
    """sha256 of the event tables of LLP by version, as in a score file."""
    rules: Mapping[str, str]
    """Rules that are no presets, in words."""


def read_published(path: Path = DATA) -> Published:
    """Read the published rows.

    Args:
        path: A file in the form of published_scores.json; the one shipped unless said otherwise.

    Raises:
        ValueError: The file is not of that form.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(_row(entry) for entry in table["rows"])
        return Published(rows, dict(table["truths"]), dict(table["rules"]))
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected published scores as in {DATA.name}, failed at {error!r}") from error


def _row(entry: dict[str, Any]) -> PublishedRow:
    fields = dict(entry)
    figures: list[float | None] = []
    for level in LEVELS:
        five = fields.pop(level) or [None] * len(FIGURES)
        if len(five) != len(FIGURES):
            raise ValueError(f"{entry['method']}: expected {len(FIGURES)} figures at {level} level, got {five}")
        figures += [None if figure is None else float(figure) for figure in five]
    return PublishedRow(figures=tuple(figures), sources=tuple(fields.pop("sources")), **fields)


def _is_mean(figures: Figures, position: int) -> bool:
    """Whether the Type@AV at a position is the mean of the three figures before it, or that cannot be told."""
    known = [figure for figure in figures[position - 3 : position + 1] if figure is not None]
    return len(known) < 4 or abs(known[3] - sum(known[:3]) / 3) <= ROUNDING + 1e-9
