"""Published rows: the figures papers print, with their sources, read from the file of a data set.

Figures that cannot be right are told: a Type@AV is the mean of three others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from valor.data.datasets.dataset import LLP, DataSet
from valor.data.provenance import EXTRA, TUNED
from valor.eval.scores import FIGURES, LEVELS
from valor.label_harvest.strict_json import as_list, as_number, as_object, as_text, as_whole, loads, reason
from valor.training.facts import facts_from_json

PUBLISHED = "published_scores.json"
"""LLP's file of published rows: figures with their sources, and the legend of every word used in it."""

ROUNDING = 0.1
"""How far Type@AV printed with one decimal may lie from the mean of A, V and AV printed so: 0.05 for itself and 0.05
for the mean of three."""

Figures = tuple[float | None, ...]
"""Ten figures in percent, segment level then event level, each in the order of FIGURES, and behind them those of the
data set's own metrics; None where none was seen."""

TYPE_AV = tuple(level * len(FIGURES) + FIGURES.index("type_av") for level in range(len(LEVELS)))
"""Where Type@AV stands among the ten."""


RECALLED = "recalled"
"""The confidence of figures that come from memory: a hint, and no row of a table."""

SECOND_HAND = "second-hand"
"""The confidence of figures that were read in a third party's account alone, not in a paper's table."""


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of a published table on the test split of a data set."""

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
    """A preset of valor.eval.decide, a rule of the data file, or None where no source says."""
    selection: str | None
    """The validation figure the epoch was chosen by, or None where no source says."""
    truth: str | None
    """v2020, v2024 or None where no source says."""
    extra_data: tuple[str, ...] | None = None
    """What it learned from beside clips, tags and frozen published networks; None where no source says."""
    tuned: tuple[str, ...] | None = None
    """What was chosen on the truth of val; None where no source says."""
    clips: int = 1200
    """How many of the clips of the split were scored."""
    note: str = ""
    metrics: tuple[str, ...] = ()
    """Names of the figures behind the ten."""

    @property
    def title(self) -> str:
        """The method with its venue and year, as far as known."""
        where = " ".join(str(part) for part in (self.venue, self.year) if part)
        return f"{self.method} ({where})" if where else self.method

    @property
    def sourced(self) -> Figures:
        """The figures, or none where no source of them was seen: what stands beside a method that nobody asked for."""
        return self.figures if self.confidence != RECALLED else (None,) * len(self.figures)

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
    clips: int = 1200
    """Clips of the split."""
    dataset: str = "llp"
    features: Mapping[str, str] = field(default_factory=dict)
    """What the features of rows are, in words."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """What the keys of sources mean."""

    def in_words(self, source: str) -> str:
        """What a source of a row means: its key, and the table of it that stands behind the key.

        >>> Published((), {}, {}, sources={"UWAV": "the UWAV paper"}).in_words("UWAV T-A6")
        'the UWAV paper, table A6'
        """
        key = max((key for key in self.sources if f"{source} ".startswith(f"{key} ")), key=len, default="")
        return self.sources.get(key, "").removesuffix(" (T: table)") + re.sub(
            r"^ T-?", ", table ", source.removeprefix(key)
        )


def read_published(dataset: DataSet = LLP) -> Published:
    """Read the published rows of a data set.

    Raises:
        ValueError: It has none, or its file is not of the form of LLP's published_scores.json.
    """
    path = dataset.published
    if path is None:
        raise ValueError(f"there are no published rows of {dataset.title}; name a file of them in its description")
    try:
        table = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        clips = as_whole(table["clips"], "clips", 1)
        rows = tuple(_row(as_object(entry, "a row"), clips) for entry in as_list(table["rows"], "rows"))
        legends = ("truths", "rules", "features", "sources")
        words = {name: dict(as_object(table.get(name, {}), name)) for name in legends}
        name = as_text(table["dataset"], "dataset")
        return Published(rows, words["truths"], words["rules"], clips, name, words["features"], words["sources"])
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: expected published scores as in {PUBLISHED}, failed at {reason(error)}") from error


def _row(entry: dict[str, Any], clips: int) -> PublishedRow:
    fields = {"clips": clips, **entry}
    figures: list[float | None] = []
    for level in LEVELS:
        five = fields.pop(level, None) or [None] * len(FIGURES)
        if len(five) != len(FIGURES):
            raise ValueError(f"{entry['method']}: expected {len(FIGURES)} figures at {level} level, got {five}")
        figures += [None if figure is None else as_number(figure, level, 0, 100) for figure in five]
    own = as_object(fields.pop("figures", {}), "figures")
    figures += [None if figure is None else as_number(figure, name, 0, 100) for name, figure in own.items()]
    facts = facts_from_json({key: fields.pop(key, None) for key in (EXTRA, TUNED)})
    return PublishedRow(
        figures=tuple(figures),
        metrics=tuple(own),
        sources=tuple(fields.pop("sources")),
        extra_data=facts.extra_data,
        tuned=facts.tuned,
        **fields,
    )


def _is_mean(figures: Figures, position: int) -> bool:
    """Whether the Type@AV at a position is the mean of the three figures before it, or that cannot be told."""
    known = [figure for figure in figures[position - 3 : position + 1] if figure is not None]
    return len(known) < 4 or abs(known[3] - sum(known[:3]) / 3) <= ROUNDING + 1e-9
