"""One row of a comparison: figures of a run over its seeds, or of a paper, and all that is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from valor.data.provenance import Provenance
from valor.eval.decide import PRESETS, PostProcessing, rule_text
from valor.eval.scores import FIGURES, LEVELS, TenScores
from valor.training.run_folder import ON_TEST

from .published import RECALLED, SECOND_HAND, Figures

DOUBTS = {RECALLED: " ?", SECOND_HAND: " †"}
"""Marks behind the name of a row, by its confidence."""

Record = dict[str, Any]
"""The post-processing of a score file."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One row of a comparison; what is None was not said."""

    name: str
    figures: Figures
    """Ten percentages, segment level first, and those of `metrics`; the mean over seeds where there are several."""
    spread: Figures
    """Their sample standard deviations over seeds; None for one seed."""
    seeds: int
    group: str
    """run, or the features of a published row."""
    post_processing: Record | str | None
    """A record as in a score file, or the name of a preset or of a published rule."""
    selection: str | None
    """The validation figure the epoch was chosen by."""
    truth_sha256: str | None
    clips: int
    clips_expected: int
    clips_sha256: str | None = None
    """Of the names of the clips, where they are a part of the split."""
    sources: tuple[str, ...] = ()
    """Where its figures were read, by keys."""
    read_in: tuple[str, ...] = ()
    """What the keys of `sources` mean, in their order."""
    confidence: str = "scored here"
    note: str = ""
    impossible: tuple[int, ...] = ()
    """Positions of figures that contradict the others of their row."""
    provenance: Provenance = field(default_factory=Provenance)
    """What is known of what it was trained and scored on; its name says so."""
    metrics: tuple[str, ...] = ()
    """Names of the figures behind the ten."""
    dataset: str = "llp"
    world: str = ""
    """What its truth is of where that has LLP's form and is not LLP's, as `valor.data.tables.Split.world`."""
    is_apart: bool = False
    """Whether it competes with none: beside published rows of another truth, or below another row of the same runs."""
    anchors: Mapping[str, TenScores] = field(default_factory=dict, hash=False)
    """What knows nothing of when, scored on the same clips, by name."""
    extra_data: tuple[str, ...] | None = None
    """What it learned from beside clips, tags and frozen published networks."""
    tuned: tuple[str, ...] | None = None
    """What was chosen on the truth of val."""
    flattered: bool = False
    """Whether its thresholds were chosen on the split it is scored on."""
    unchecked: int = 0
    """How many of its clips have corrections as truth that nobody marked as checked."""

    has_open_gate: bool = False
    """Whether its gate closes nothing, so that its segments decide alone."""

    @property
    def may_be_best(self) -> bool:
        """Whether its figures count when the best are marked: not references, hints from memory, or part of a split."""
        known = self.confidence != RECALLED and self.clips == self.clips_expected
        is_flattered = self.group == "run" and self.selection == ON_TEST
        return known and self.group != "reference" and not (is_flattered or self.is_apart)

    @property
    def doubt(self) -> str:
        """What stands behind its name where no source of its figures was seen, or a third party's account alone."""
        return DOUBTS.get(self.confidence, "")

    @property
    def rule(self) -> str:
        """The post-processing in as few words as possible: a preset's name where it is one."""
        record = self.post_processing
        if record is None:
            return "–" if self.group == "reference" else "not stated"
        if isinstance(record, str):
            return record
        return record.get("preset") or _preset_of(record) or rule_text(record)


def _preset_of(record: Record) -> str | None:
    """The first preset with the values of a record."""
    if record.get("segment_threshold") is None or record.get("rounding"):
        return None
    rule = PostProcessing.from_dict(record)
    return next((name for name, preset in PRESETS.items() if preset == rule), None)


def figure_names(metrics: Sequence[str]) -> list[str]:
    """What programs call the figures of a row: segment.type_av, ..., and figures.NAME of a metric of the data set."""
    ten = [f"{level}.{figure}" for level in LEVELS for figure in FIGURES]
    return [*ten, *(f"figures.{name}" for name in metrics)]


FACTS = ("post_processing", "truth_sha256", "selection", "clips", "clips_expected", "confidence", "note")
"""What CSV and JSON say of a row beside its figures."""

READ_IN = "read_in"
"""The column of CSV and key of JSON that spell the sources of a row out."""

NOTHING = "none"
"""Stands where it is known that there was none."""


def said_of(row: TableRow) -> dict[str, str | int | None]:
    """What a row says of itself beside its figures, a plain value for each column of CSV and data frames."""
    words = {"extra_data": row.extra_data, "tuned": row.tuned}
    names = figure_names(row.metrics)
    return (
        {"post_processing": row.rule}
        | {fact: getattr(row, fact) for fact in FACTS[1:]}
        | {name: None if held is None else "; ".join(held) or NOTHING for name, held in words.items()}
        | {"sources": "; ".join(row.sources), READ_IN: "; ".join(row.read_in)}
        | {"impossible": "; ".join(names[place] for place in row.impossible)}
        | {"world": row.world}
    )
