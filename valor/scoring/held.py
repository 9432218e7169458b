"""Scores and tables as people hold them: a short line in a terminal, a table in a notebook, a figure, a file."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from valor.data.provenance import told_by
from valor.data.score_file import write_scores_json
from valor.data.shown import frame_html, write_figure
from valor.eval import running
from valor.eval.decide import rule_text
from valor.eval.figures.forest import DotPanel, DotRow, dots_figure
from valor.eval.figures.style import ON_SCREEN, PICTURES, Style
from valor.eval.figures.values import ValueRow, values_figure
from valor.eval.intervals import Intervals, bootstrap, difference_line, p_text
from valor.eval.scores import FIGURES, LEVELS
from valor.eval.scores import Scores as PlainScores
from valor.eval.tables import FIGURE_TITLES, LEVEL_TITLES
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced

from .compare import Comparison
from .layout import (
    FORMATS,
    GROUP_TITLES,
    section_to_csv,
    section_to_latex,
    section_to_markdown,
    section_to_text,
)
from .over_seeds import Difference, too_few
from .published import RECALLED
from .row import figure_names
from .system import DIFFERENCES, clip_notes, differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = {".txt": "text", ".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json"}
"""How a table is written, by the ending of its file."""
_RESAMPLES = 2000
"""Drawn for the whiskers of a figure."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Scores(PlainScores):
    """The ten F-scores of a system on a split, with what a score file says of them."""

    report: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What a score file holds: the figures, the truth, the rule; empty of scores of two arrays."""
    scored_on: str = field(default="", compare=False)
    """World and split as figures name them; empty of scores of two arrays."""
    clip_ids: tuple[str, ...] = field(default=(), compare=False)
    """The clips of `per_clip` in its order; empty of scores of two arrays."""

    @classmethod
    def of(
        cls,
        scores: PlainScores,
        report: Mapping[str, Any] | None = None,
        *,
        scored_on: str = "",
        clip_ids: Iterable[str] = (),
    ) -> Self:
        """Scores of `valor.eval.scores.score`, or of `RunningScores`, so that they can be drawn and saved."""
        held = {entry.name: getattr(scores, entry.name) for entry in fields(PlainScores)}
        return cls(**held, report=report or {}, scored_on=scored_on, clip_ids=tuple(clip_ids))

    def intervals(self, *, resamples: int = 10_000, confidence: float = 0.95) -> Intervals:
        """The ten figures with intervals by bootstrap over clips; `to_frame()` has a row for each.

        Raises:
            ValueError: There is a single clip, or an option makes no sense.
        """
        return bootstrap(self, resamples=resamples, confidence=confidence)

    def plot(self, *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
        """Draw the ten figures with 95 % bootstrap intervals over clips, and the metrics of the data set below.

        Args:
            title: A line above; how many clips of what, and how they were decided, unless given. Of simulated features
                it begins so, and of "" nothing but that is left.
            style: Width, theme and colours.
        """
        known = bootstrap(self, resamples=_RESAMPLES) if self.clips > 1 else None
        rows = []
        for level in LEVELS:
            for figure in FIGURES:
                found = None if known is None else known.of(level, figure)
                value = getattr(getattr(self, level), figure)
                ends = None if found is None else (found.low, found.high)
                rows.append(ValueRow(FIGURE_TITLES[figure], LEVEL_TITLES[level], value, ends, system="system"))
        own = [(name, value) for name, value in self.figures.items() if value is not None]
        rows += [ValueRow(name, "Figures of the data set", value, system="system") for name, value in own]
        title = self._title(with_intervals=known is not None) if title is None else title
        title = told_by(self.report).marked(title).strip()
        return values_figure(rows, measure="F-score (%)", title=title, style=style)

    def _title(self, *, with_intervals: bool) -> str:
        """What a figure of the scores shows and rests on."""
        rule = self.report.get("post_processing")
        said = f"F-scores of {self.clips:,} clips{f' ({self.scored_on})' * bool(self.scored_on)}"
        said += f", {rule_text({**rule, 'preset': None})}" if rule else ""
        return said + ", with 95 % intervals over clips" * with_intervals

    def save(self, path: Path | str) -> None:
        """Write a score file, *.json, which `valor.table` and `valor table` read, or the figure, *.png, *.svg or *.pdf.

        Raises:
            ValueError: The name ends in none of these.
        """
        if Path(path).suffix in PICTURES:
            write_figure(path, self.plot())
            return
        if Path(path).suffix != ".json":
            raise ValueError(f"{path}: scores are saved as *.json, or their figure as *{', *'.join(PICTURES)}")
        write_scores_json(path, self.report or {**self.to_dict(), "clips_expected": self.clips}, scored=path)

    def __repr__(self) -> str:
        """How many clips, and two figures of each level."""
        said = [
            f"{level} Type@AV {held.type_av:.1f}, Event@AV {held.event_av:.1f}"
            for level, held in (("segment", self.segment), ("event", self.event))
        ]
        return f"Scores of {self.clips:,} clips: {'; '.join(said)}{', SIMULATED' * bool(self.report.get('simulated'))}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the ten figures."""
        return frame_html(repr(self), self.to_frame().rename(columns=FIGURE_TITLES).round(1))


class RunningScores(running.RunningScores):
    """The ten F-scores of clips that come in batches, see `valor.eval.running`; `compute` answers what `score` does."""

    def compute(self, clip_ids: Iterable[str] | None = None) -> Scores:
        """The figures of all clips so far, as `score` of them at once.

        Args:
            clip_ids: Clips that must be there, and no others, averaged in this order; None for that of coming.

        Raises:
            ValueError: There is no clip yet, or not those.
        """
        return Scores.of(super().compute(clip_ids))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Differences(Difference):
    """What a system has over another on the same clips: ten differences with intervals over clips and over seeds."""

    name: str
    baseline: str
    num_seeds: tuple[int, int]
    """Of the system and of the baseline."""
    paired: bool
    """Whether both have the same seeds."""
    world: str = ""
    """Of the truth both were scored on, where that is known."""

    def plot(self, *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
        """Draw the ten differences with 95 % intervals over clips and, of several seeds, over seeds."""
        rows = []
        for level in LEVELS:
            for figure in FIGURES:
                clips, seeds = self.clips.of(level, figure), None if self.seeds is None else self.seeds[level, figure]
                outer = None if seeds is None else (seeds.low, seeds.high)
                name, group = FIGURE_TITLES[figure], LEVEL_TITLES[level]
                rows.append(DotRow(name, group, clips.value, (clips.low, clips.high), outer, system=self.name))
        return dots_figure(
            [DotPanel(rows)],
            measure=f"{self.name} minus {self.baseline}, points",
            inner="95 % over clips",
            outer="95 % over seeds",
            title=f"{self._line()}{f' ({self.world})' * bool(self.world)}" if title is None else title,
            style=style,
        )

    def save(self, path: Path | str) -> None:
        """Write the ten differences, *.txt, *.md, *.csv, *.tex or *.json, or the figure, *.png, *.svg or *.pdf.

        Raises:
            ValueError: The name ends in none of these.
        """
        suffix = _suffix_of(path, "differences are")
        if suffix in PICTURES:
            write_figure(path, self.plot())
            return
        frame = self.to_frame()
        plain = frame.assign(**{"clear": frame["clear"].map({True: "yes", False: "no"})} if "clear" in frame else {})
        section = differences(f"{self._line()}; all ten differences:", plain, self.name, self.baseline, self.notes)
        said = {"system": self.name, "baseline": self.baseline, "world": self.world, "clips": self.clips.clips}
        made: dict[str, Callable[[], str]] = {
            "text": lambda: section_to_text(section),
            "markdown": lambda: section_to_markdown(section),
            "csv": lambda: section_to_csv(section, self.world),
            "latex": lambda: section_to_latex(section),
            "json": lambda: json.dumps({**said, DIFFERENCES: frame.to_dict(orient="records")}, indent=1),
        }
        with replaced(path) as temporary:
            temporary.write_text(made[SUFFIXES[suffix]]() + "\n", encoding="utf-8")

    @property
    def notes(self) -> list[str]:
        """What is to be known of the ten differences: that clips are few, and where interval and p do not agree."""
        return clip_notes(self.clips)

    def __repr__(self) -> str:
        """The first difference, over what its intervals are, whether they leave out zero, and the notes below."""
        return "\n  ".join([self._line(), *self.notes])

    def _line(self) -> str:
        """The first difference in a line."""
        first = difference_line(self.name, self.baseline, self.clips.of("segment", "type_av"))
        said = f"Segment Type@AV: {first} paired over {self.clips.clips:,} clips"
        if self.seeds is None:
            return said + f", runs: {self.num_seeds[0]} and {self.num_seeds[1]}" * (max(self.num_seeds) > 1)
        at = self.seeds["segment", "type_av"]
        own, other = self.num_seeds
        how = f"paired over {own} seeds" if self.paired else f"over {own} and {other} seeds, unpaired"
        clear = "clear" if self.is_clear() else "not clear"
        return f"{said}, ({at.low:+.1f}, {at.high:+.1f}) {how}{too_few(own, other)}, {clear}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the ten differences."""
        frame = self.to_frame().set_index(["level", "figure"])
        frame = frame.assign(**{name: frame[name].map(p_text) for name in ("p", "seeds_p") if name in frame})
        return frame_html(repr(self), frame.round(1))


def _suffix_of(path: Path | str, what: str) -> str:
    """The ending a table or a picture is written by, refused where it is neither's."""
    suffix = Path(path).suffix
    if suffix not in (*SUFFIXES, *PICTURES):
        raise ValueError(f"{path}: {what} saved as *{', *'.join((*SUFFIXES, *PICTURES))}")
    return suffix


def _in_words(figure: str) -> str:
    """A column of `to_frame()` as axes and titles say it: segment.type_av is "segment Type@AV"."""
    level, _, name = figure.partition(".")
    return f"{level} {FIGURE_TITLES[name]}" if level in LEVELS else name


@dataclass(frozen=True, repr=False)
class Table(Comparison):
    """Rows that may stand in one table, and what the reader must know about them."""

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        """What `valor.scoring.compare.compare` made, so that it can be drawn and saved."""
        return cls(**{entry.name: getattr(comparison, entry.name) for entry in fields(Comparison)})

    def plot(self, figure: str = "segment.type_av", *, title: str | None = None, style: Style = ON_SCREEN) -> "Figure":
        """Draw one figure of every row that has it, with its deviation over seeds where there are several.

        Runs have the colours of systems in their order, as in other figures; published rows have none. Left
        out are published figures that contradict the others of their row or that no source was seen of.

        Args:
            figure: A column of `to_frame()`, such as `event.event_av` or `figures.accuracy`.
            title: A line above; which figure of what, over how many seeds and who is left out, unless given.
            style: Width, theme and colours.

        Raises:
            ValueError: There is no such figure.
        """
        names = figure_names(self.metrics)
        if figure not in names:
            raise ValueError(f"figure must be one of {', '.join(names)}, got {figure!r}{did_you_mean(figure, names)}")
        place = names.index(figure)
        rows, left_out = [], []
        for row in self.rows:
            value, spread = row.figures[place], row.spread[place]
            if value is not None and place not in row.impossible and row.confidence != RECALLED:
                group = self.groups.get(row.group) or GROUP_TITLES.get(row.group, row.group)
                ends = (value - spread, value + spread) if spread else None
                system = row.name if row.group == "run" else ""  # published rows are in no other figure
                rows.append(ValueRow(row.name + row.doubt, group, value, ends, system=system))
            elif value is not None:
                left_out.append(row.name)
        order = list(dict.fromkeys(row.group for row in rows))
        rows.sort(key=lambda row: order.index(row.group))
        measure = f"{_in_words(figure)} (%)"
        return values_figure(
            rows, measure=measure, title=self._title(figure, left_out) if title is None else title, style=style
        )

    def _title(self, figure: str, left_out: Sequence[str]) -> str:
        """What a figure of the rows shows and rests on."""
        runs = [row for row in self.rows if row.group == "run"]
        seeds = sorted({row.seeds for row in runs})
        kinds = {row.world or ("LLP" if row.dataset == "llp" else row.dataset): row.truth_sha256 for row in self.rows}
        said = [f"{_in_words(figure)} on {', '.join(kinds)}"]
        said += [f"rule {', '.join(dict.fromkeys(row.rule for row in runs))}"] * bool(runs)
        if seeds and seeds[-1] > 1:
            said += [f"{' or '.join(map(str, seeds))} seeds, whiskers ± 1 sd"]
        elif seeds:
            said += ["single runs, without intervals"]
        why = "left out, as their figures contradict each other or were seen in no source"
        said += [f"{why}: {', '.join(left_out)}"] * bool(left_out)
        said += [note for note in self.notes if note.startswith(("truth: ", "†"))]
        return "; ".join(said)

    def save(self, path: Path | str) -> None:
        """Write it by the ending of the name: .txt, .md, .csv, .tex or .json, or its figure as .png, .svg or .pdf.

        Raises:
            ValueError: The name ends in none of these.
        """
        suffix = _suffix_of(path, "a table is")
        if suffix in PICTURES:
            write_figure(path, self.plot())
            return
        with replaced(path) as temporary:
            temporary.write_text(FORMATS[SUFFIXES[suffix]](self) + "\n", encoding="utf-8")

    def __repr__(self) -> str:
        """The table as text, as `valor table` prints it."""
        return FORMATS["text"](self)

    def _repr_html_(self) -> str:
        """What notebooks show: the ten figures of all rows, and the notes below."""
        frame = self.to_frame()[[*figure_names(self.metrics), "seeds"]].round(1)
        frame = frame.rename(index={row.name: row.name + row.doubt for row in self.rows})
        return frame_html("; ".join(self.notes), frame, most=len(frame))
