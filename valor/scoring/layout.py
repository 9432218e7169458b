"""What `valor evaluate` and `valor table` print, as text, Markdown, CSV, LaTeX and JSON.

Here stands what their cells say: marks, differences, sections, notes. `valor.eval.tables.Sheet` writes them.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from valor.data.score_file import OPEN_GATE
from valor.eval import tables
from valor.eval.decide import rule_text
from valor.eval.scores import FIGURES, LEVELS, Scores
from valor.eval.tables import (
    FIGURE_TITLES,
    LEVEL_SPANS,
    LEVEL_TITLES,
    Cell,
    Sheet,
    csv_text,
    latex_comments,
    latex_escaped,
    latex_told,
    score_table,
)
from valor.training.facts import UNSEEN

from .columns import SAID
from .compare import FLATTERED, UNCHECKED, Comparison
from .legend import EMPTY, NOT_CHECKED, open_gate
from .over_seeds import ScoredSeeds
from .published import RECALLED
from .row import FACTS, NOTHING, READ_IN, TableRow, figure_names, said_of
from .system import DIFFERENCES, OWN_FIGURES, ScoredSystem, Section

WIDTH = len(FIGURES)

GROUP_TITLES = {
    "run": "scored here",
    "classic": "published, VGGish + ResNet-152 + R(2+1)D",
    "clip+clap": "published, CLIP + CLAP",
    "training-free": "published, no training on LLP",
    "not stated": "published, features not stated",
    "reference": "no parser at all",
}
"""How tables call the groups of rows."""

OWN_TITLE = "Figures of {dataset}"
"""Above the metrics of a data set."""
MOST_ABREAST = 12
"""Metrics of a data set in one block of text; more stand in blocks of ten."""

CHANCE = 0.05
"""A difference in bold is less likely than this by chance."""

MISSING = "–"
"""Stands where nothing was said or nothing is defined."""

FACT_TITLES = {"extra_data": "extra or fewer data", "tuned": "tuned on validation"}
"""How columns call what a row learned from beside clips and tags, and what of it was chosen on the truth of val."""

SAID_TITLES = {"rule": "rule", **FACT_TITLES, "source": "source"}
"""How columns call all that may be said of a row."""

MARKS = {
    "*": "* best of its column",
    "~": "~ best of its column, of rows that differ in their data or in what was tuned on validation",
    "!": "! Type@AV as printed, which is not the mean of its A, V and AV: copied, not to be compared with",
    "?": "? from memory, no source seen: a hint only",
}
"""Marks beside figures and names, and what they mean."""

NO_TEST = "the best of a column is its highest figure, which is no test"
"""Said of the best that are marked."""
WHICH_ARE_CLEAR = "; `valor evaluate A --compare B` says which differences are clear"
"""Said behind it where there are two runs."""


def to_text(table: Comparison) -> str:
    """Lay a comparison out for the terminal: one block for each level, and one more where there is a baseline."""
    blocks = [_block(table, level, is_delta=False) for level in _levels(table)]
    if table.baseline is not None:
        blocks += [_block(table, level, is_delta=True) for level in _levels(table)]
    seen = "".join(blocks)
    notes = [*_marks_in(table, seen), *table.notes, *_sources(table, _said(table))]
    return "\n\n".join([*blocks, "\n".join(notes)])


def _said(table: Comparison) -> tuple[str, ...]:
    """What is said of rows where room is scarce: of all columns not the sources, which stand there if asked for."""
    return tuple(name for name in table.shown.said if name != "source" or not table.shown.every)


def _sources(table: Comparison, said: Sequence[str]) -> list[str]:
    """What the keys of sources mean, where these are a column."""
    known = {key: words for row in table.rows for key, words in zip(row.sources, row.read_in, strict=False)}
    return [f"source {key}: {words}" for key, words in sorted(known.items())] * ("source" in said)


def _marks_in(table: Comparison, body: str) -> list[str]:
    """What the marks that stand in a table mean; the ? behind what was tuned is another than that behind a name."""
    notes = [text for mark, text in MARKS.items() if mark in body and mark != "?"]
    if notes and notes[0] != MARKS["!"]:
        notes.append(NO_TEST + WHICH_ARE_CLEAR * (sum(row.group == "run" for row in table.rows) > 1))
    notes += [MARKS["?"]] * any(row.confidence == RECALLED for row in table.rows)
    facts, of = [name for name in FACT_TITLES if name not in table.shown.said], table.rows
    if facts and MARKS["~"] in notes:  # what its column would say stands here
        of = tuple(row for row in table.rows if "~" in [_mark(table, row, p) for p in table.shown.positions])
        for row in of:
            said = [f"{FACT_TITLES[name]} {_fact(row, getattr(row, name))}" for name in facts]
            notes.append(f"~ {_name(row)}: {'; '.join(said)}")
    elif facts:
        of = ()
    doubted = {word for row in of for word in row.tuned or () if word.endswith(UNSEEN)}
    words = "perhaps chosen on the truth of validation: nothing says how they were"
    return notes + [f"{', '.join(sorted(doubted))}: {words}"] * bool(doubted)


@dataclass(frozen=True)
class _Level:
    """Figures that stand in one block."""

    title: str
    positions: tuple[int, ...]
    columns: tuple[str, ...]


def _levels(table: Comparison) -> list[_Level]:
    """What is shown of the two levels of the ten figures, and of the metrics of the data set where it has some."""
    titles, ten = _figure_titles(table), len(LEVELS) * WIDTH
    blocks = {LEVEL_TITLES[name]: range(n * WIDTH, (n + 1) * WIDTH) for n, name in enumerate(LEVELS)}
    own, places = OWN_TITLE.format(dataset=table.rows[0].dataset), table.shown.positions
    metrics = [place for place in places if place >= ten]
    for first in range(0, len(metrics), ten if len(metrics) > MOST_ABREAST else MOST_ABREAST):
        part = f" ({first // ten + 1} of {math.ceil(len(metrics) / ten)})" * (len(metrics) > MOST_ABREAST)
        width = ten if part else MOST_ABREAST
        blocks[f"{own}{part}"] = range(metrics[first], metrics[min(first + width, len(metrics)) - 1] + 1)
    levels = {title: tuple(place for place in places if place in block) for title, block in blocks.items()}
    return [_Level(title, held, tuple(titles[place] for place in held)) for title, held in levels.items() if held]


def _figure_titles(table: Comparison) -> list[str]:
    """How columns call the figures, by their positions."""
    return [*list(FIGURE_TITLES.values()) * len(LEVELS), *table.metrics]


def _block(table: Comparison, level: _Level, *, is_delta: bool) -> str:
    """The figures of one level, or their differences from the baseline: rows that have any, under their groups.

    Means stand below each other, each with room for its deviation and one mark behind it.
    """
    tail = max(len(_plain(row, p).partition(" ± ")[2]) for row in table.rows for p in range(len(row.figures)))
    room = tail + len(" ± *") if tail else len("*")
    cells = []
    for row in table.rows:
        if is_delta:
            cells.append([_delta(table.delta(row, position)) for position in level.positions])
            continue
        parts = [(_plain(row, position).partition(" ± "), _mark(table, row, position)) for position in level.positions]
        cells.append([mean + (plus + spread + mark).ljust(room) for (mean, plus, spread), mark in parts])
    shown = [
        (row, line) for row, line in zip(table.rows, cells, strict=True) if any(c.strip(f" {MISSING}") for c in line)
    ]
    gaps = _group_gaps(table, [row for row, _ in shown])
    minus = "" if table.baseline is None else f", minus {table.baseline.name}"
    titles = [one.title + minus for one in _levels(table)]
    title = level.title + minus * is_delta
    first = max(map(len, (*map(_name, table.rows), *titles, *(line for gap in gaps.values() for line in gap))))
    width = max(len(cell) for cell in (*level.columns, *(cell for row in cells for cell in row)))
    if is_delta:
        sheet = Sheet(columns=[title, *level.columns], rows=[[_name(row), *line] for row, line in shown], gaps=gaps)
        return sheet.to_text([first, *[width] * len(level.columns)])
    facts = [SAID_TITLES[name] for name in _said(table)]
    sheet = Sheet(
        columns=[title, *(f"{figure} " for figure in level.columns), *facts],  # marks stand below the spaces
        rows=[[_name(row), *line, *_facts(row, _said(table))] for row, line in shown],
        left=(0, *range(len(level.columns) + 1, len(level.columns) + len(facts) + 1)),
        gaps=gaps,
    )
    said = [facts, *(_facts(row, _said(table)) for row in table.rows)]
    widths = [max(len(text[n]) for text in said) for n in range(len(facts))]
    return sheet.to_text([first, *[width] * len(level.columns), *widths])


def _group_gaps(table: Comparison, rows: Sequence[TableRow]) -> dict[int, list[str]]:
    """What the groups of rows are called, above the first of each; nothing where all rows of the table are of one."""
    if len({row.group for row in table.rows}) == 1:
        return {}
    firsts = [n for n, row in enumerate(rows) if not n or row.group != rows[n - 1].group]
    return {n: [*[""] * bool(n), _group_title(table, rows[n].group)] for n in firsts}


def to_markdown(table: Comparison) -> str:
    """Write a comparison in Markdown: all figures in a line, the best in bold, differences in parentheses."""
    every = [*(f"{level} {title}" for level in LEVELS for title in FIGURE_TITLES.values()), *table.metrics]
    titles = [every[place] for place in table.shown.positions]
    facts = [SAID_TITLES[name] for name in table.shown.said]
    rows: list[list[Cell | str]] = [
        [_name(row), *_figures(table, row), *_facts(row, table.shown.said)] for row in table.rows
    ]
    left = (0, *range(len(titles) + 1, len(titles) + len(facts) + 1))
    gaps = _group_gaps(table, table.rows)
    body = Sheet(columns=["system", *titles, *facts], rows=rows, left=left, gaps=gaps).to_markdown()
    seen = "".join(_mark(table, row, position) for row in table.rows for position in table.shown.positions)
    notes = [*_with_bold(_marks_in(table, seen)), *table.notes, *_sources(table, table.shown.said)]
    return "\n".join([body, "", *(f"- {note}" for note in notes)])


def _with_bold(marks: Sequence[str]) -> list[str]:
    """What marks mean where the best is bold."""
    bold = {"* best": "bold: best", "~ best": "~ bold, best", "the best of a column is its": "bold is the"}
    for said, instead in bold.items():
        marks = [instead + note.removeprefix(said) if note.startswith(said) else note for note in marks]
    return [*marks]


def to_latex(table: Comparison) -> str:
    """Write a comparison as a LaTeX tabular, what marks in it mean and the notes typeset below it."""
    rows: list[list[Cell | str]] = []
    for row in table.rows:
        rule = [Cell(row.rule, latex=latex_escaped(row.rule).replace(">=", r"$\geq$"))] * ("rule" in table.shown.said)
        rows.append([_name(row), *_figures(table, row), *rule, *_facts(row, _said(table))[len(rule) :]])
    facts = [SAID_TITLES[name].capitalize() for name in _said(table)]
    titles, levels = _figure_titles(table), _levels(table)
    sheet = Sheet(
        columns=["System", *(titles[place] for place in table.shown.positions), *facts],
        rows=rows,
        left=(0, *range(end := len(table.shown.positions) + 1, end + len(facts))),
        gaps=_group_gaps(table, table.rows),
    )
    spans = {level.title: len(level.columns) for level in levels if level.title in LEVEL_SPANS}
    seen = "".join(_mark(table, row, position) for row in table.rows for position in table.shown.positions)
    notes = [*_with_bold(_marks_in(table, seen)), *table.notes, *_sources(table, _said(table))]
    narrower = "fewer: `valor table --columns Type@AV,Event@AV --level segment`"
    return latex_comments(table.notes) + sheet.to_latex(spans, narrower=narrower, notes=notes)


def to_csv(table: Comparison) -> str:
    """Write a comparison as comma-separated values, unrounded, an empty cell where nothing was said."""
    every, places = figure_names(table.metrics), table.shown.positions
    figures = [every[place] for place in places]
    spreads = [f"{figure}.sd" for figure in figures]
    deltas = [f"{figure}.delta" for figure in figures] if table.baseline is not None else []
    rows = []
    facts = [*said_of(table.rows[0])]
    if not table.shown.every:  # the mark of its world goes with every row, and that of second-hand figures
        kept = [SAID[one] for one in table.shown.said] + [READ_IN] * ("source" in table.shown.said)
        kept += ["confidence"] * any(row.doubt for row in table.rows)
        facts = [name for name in facts if name in (*kept, "world")]
    for row in table.rows:
        held = [values[place] for values in (row.figures, row.spread) for place in places]
        differences = [table.delta(row, place) for place in places] if deltas else []
        said = said_of(row)
        rows.append([row.name, row.group, row.seeds, *held, *differences, *(said[name] for name in facts)])
    columns = ["system", "group", "seeds", *figures, *spreads, *deltas, *facts]
    return csv_text(columns, rows)


def to_json(table: Comparison) -> str:
    """Write a comparison as JSON: rows in the form of score files with what is known about each, and the notes."""
    rows = []
    for row in table.rows:
        entry = {"name": row.name, "group": row.group, "seeds": row.seeds}
        entry |= _by_level(table, row.figures)
        if row.seeds > 1:
            entry["sd"] = _by_level(table, row.spread)
        if table.baseline is not None:
            differences = tuple(table.delta(row, position) for position in range(len(row.figures)))
            entry["delta"] = _by_level(table, differences)
        entry |= {fact: getattr(row, fact) for fact in FACTS}
        entry |= {fact: None if (held := getattr(row, fact)) is None else list(held) for fact in FACT_TITLES}
        names = [f"{LEVELS[place // WIDTH]}.{FIGURES[place % WIDTH]}" for place in row.impossible]
        entry |= {"sources": list(row.sources), READ_IN: list(row.read_in)}
        entry |= {"impossible": names, **({"world": row.world} if row.world else {})}
        rows.append(entry)
    baseline = table.baseline.name if table.baseline is not None else None
    return json.dumps({"baseline": baseline, "rows": rows, "notes": list(table.notes)}, indent=2, ensure_ascii=False)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "json": to_json,
}
"""What a comparison can be written as."""


def _by_level(table: Comparison, figures: tuple[float | None, ...]) -> dict[str, dict[str, float | None]]:
    """Figures as a score file has them: five by level, and those of the data set's metrics."""
    ten = len(LEVELS) * WIDTH
    found = {
        level: dict(zip(FIGURES, figures[n * WIDTH : (n + 1) * WIDTH], strict=True)) for n, level in enumerate(LEVELS)
    }
    return found | ({"figures": dict(zip(table.metrics, figures[ten:], strict=True))} if table.metrics else {})


def _group_title(table: Comparison, group: str) -> str:
    return table.groups.get(group) or GROUP_TITLES.get(group, group)


def _name(row: TableRow) -> str:
    seeds = f" ({row.seeds} seeds)" if row.seeds > 1 else ""
    return f"{row.name}{seeds}{row.doubt}"


def _plain(row: TableRow, position: int) -> str:
    """One figure, with its deviation over seeds where there is one."""
    figure, spread = row.figures[position], row.spread[position]
    if figure is None:
        return MISSING
    return f"{figure:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _mark(table: Comparison, row: TableRow, position: int) -> str:
    if position in row.impossible:
        return "!"
    figure = row.figures[position]
    is_best = row.may_be_best and figure is not None and round(figure, 1) == table.best(position)
    return ("~" if table.is_mixed(position) else "*") if is_best else ""


def _figures(table: Comparison, row: TableRow) -> list[Cell]:
    """The figures of Markdown and LaTeX: the best in bold, `!` behind impossible ones, then the difference."""
    cells = []
    for position in table.shown.positions:
        mark, delta, text = _mark(table, row, position), table.delta(row, position), _plain(row, position)
        after = ("" if mark == "*" else mark) + ("" if delta is None else f" ({_delta(delta)})")
        cells.append(Cell(text, bold=mark in ("*", "~"), after=after, latex="--" if text == MISSING else None))
    return cells


def _delta(delta: float | None) -> str:
    return "" if delta is None else f"{round(delta, 1) + 0.0:+.1f}"  # + 0.0: no -0.0


def _facts(row: TableRow, shown: Sequence[str]) -> list[str]:
    """Those of the rule, extra data, what was tuned on validation and sources that are shown, as columns say them."""
    words = [_fact(row, held) for held in (row.extra_data, row.tuned)]
    said = dict(zip(SAID_TITLES, (row.rule, *words, _source(row)), strict=True))
    return [said[name] for name in shown]


def _fact(row: TableRow, held: Sequence[str] | None) -> str:
    unsaid = MISSING if row.group == "reference" else "not stated"
    return unsaid if held is None else ", ".join(held) or NOTHING


def _source(row: TableRow) -> str:
    said = "; ".join(row.sources) if row.sources else ("" if row.group == "run" else "none seen")
    doubt = f" ({row.confidence})" if row.confidence in ("second-hand", "recalled", "computed") else ""
    return said + doubt


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What `valor evaluate` has to say."""

    system: ScoredSystem
    split: str
    truth_version: str
    world: str
    """What clips and truth are of, as `valor.data.tables.Split.world`."""
    seeds: ScoredSeeds | None = None
    """Where the system is the mean of several runs, these."""
    baseline: ScoredSeeds | None = None
    """What it is compared with, on the same clips."""
    anchors: Sequence[tuple[str, Scores]] = ()
    sections: Sequence[Section] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The ten figures of the system, of what it is compared with, and of the anchors."""
        scores = self.seeds.scores if self.seeds else self.system.scores
        beside = [(self.baseline.name, self.baseline.scores)] if self.baseline else []
        report, name = self.system.report, self.system.name
        if unchecked := report.get(UNCHECKED, 0):  # in the row, since the table is what is quoted
            name = f"{name} ({unchecked:,} of {report['clips']:,} clips not checked)"
        return score_table([(name, scores), *beside, *self.anchors])

    @property
    def anchor_names(self) -> list[str]:
        """Names of the rows at the foot."""
        return [name for name, _ in self.anchors]

    @property
    def clear(self) -> list[bool] | None:
        """Of two systems, which of the ten differences leave zero out in every interval and have a p below 0.05.

        In a table of two the larger figure is bold only there. None of a single system.
        """
        found = next((section.frame for section in self.sections if section.key == DIFFERENCES), None)
        if found is None:
            return None
        held = (found["low"] > 0) | (found["high"] < 0)
        held &= (found["clear"] == "yes") if "clear" in found else True
        return (held & (found["p"] < CHANCE)).tolist()

    @property
    def bold_means(self) -> list[str]:
        """What bold figures are, where that is not the best of each column."""
        said = f"bold: the better of the two where every interval leaves zero out and p over clips is below {CHANCE}"
        return [said] * any(self.clear or ())

    @property
    def footer(self) -> str:
        """How many clips, which truth, which rule."""
        report = self.system.report
        covered = f"{report['clips']:,} of {report['clips_expected']:,} {self.split} clips"
        rule = rule_text(report["post_processing"])
        flattered = "; thresholds chosen on this very split, and so flattered" * report.get(FLATTERED, False)
        flattered += f"; {open_gate(report['post_processing'])}" * report.get(OPEN_GATE, False)
        flattered += "".join(f"; {EMPTY.format(*words)}" for words in self.system.empty)
        unchecked = report.get(UNCHECKED, 0)
        judged = f"; {NOT_CHECKED.format(unchecked, report['clips'])}" if unchecked else ""
        return f"{covered}, truth {self.truth_version} {report['truth_sha256'][:12]}, {rule}{flattered}{judged}"


def evaluation_to_text(evaluation: Evaluation) -> str:
    """For the terminal."""
    parts = [tables.to_text(evaluation.table, anchors=evaluation.anchor_names)]
    return "\n\n".join([*parts, *map(section_to_text, evaluation.sections), evaluation.footer])


def evaluation_to_markdown(evaluation: Evaluation) -> str:
    """For a README or an issue."""
    parts = [tables.to_markdown(evaluation.table, anchors=evaluation.anchor_names, clear=evaluation.clear)]
    parts += evaluation.bold_means
    return "\n\n".join([*parts, *map(section_to_markdown, evaluation.sections), evaluation.footer])


def evaluation_to_latex(evaluation: Evaluation) -> str:
    """For a paper; one tabular for each table, titles and footer as comments above and typeset below."""
    look: dict[str, Any] = {"clear": evaluation.clear, "notes": [*evaluation.bold_means, evaluation.footer]}
    shown = tables.to_latex(evaluation.table, anchors=evaluation.anchor_names, **look)
    parts = [latex_comments([evaluation.footer]) + shown]
    return "\n\n".join([*parts, *map(section_to_latex, evaluation.sections)])


def section_to_text(section: Section) -> str:
    """One further table for the terminal, below what it shows."""
    return "\n".join([section.title, _sheet(section).to_text(), *section.notes])


def section_to_markdown(section: Section) -> str:
    """The same in Markdown."""
    notes = "".join(f"\n- {note}" for note in section.notes)
    return f"{section.title}\n\n{_sheet(section).to_markdown()}" + f"\n{notes}" * bool(notes)


def section_to_latex(section: Section) -> str:
    """The same as a tabular, what it shows as a comment above and typeset below."""
    sheet = _sheet(section)
    titles = [title.capitalize() if re.match(r"[a-z]{2,}$", title) else title for title in sheet.columns]
    return latex_told(replace(sheet, columns=titles, gaps={}), [section.title, *section.notes])


def section_to_csv(section: Section, world: str, name: str = "") -> str:
    """The same as comma-separated values, unrounded, with the systems it is of and their world in every row."""
    of, held = section.of or {"system": name}, section.frame
    lines = held.astype(object).where(held.notna(), None).itertuples(index=False, name=None)
    return csv_text([*of, *map(str, held.columns), "world"], [[*of.values(), *line, world] for line in lines])


def evaluation_to_csv(evaluation: Evaluation) -> str:
    """For a spreadsheet, unrounded; an empty line between tables."""
    return "\n\n".join(evaluation_tables(evaluation).values())


def evaluation_tables(evaluation: Evaluation) -> dict[str, str]:
    """Each table as CSV of its own, unrounded, with the names of its systems and its world in every row.

    Returns:
        By the key of its section, first that of the scores, which has none.
    """
    report = evaluation.system.report
    facts = {name: report[name] for name in ("clips", "clips_expected", "truth_sha256")}
    facts["post_processing"] = f'"{rule_text(report["post_processing"])}"'
    facts["world"] = evaluation.world
    facts |= {UNCHECKED: report[UNCHECKED]} if UNCHECKED in report else {}
    header, *rows = tables.to_csv(evaluation.table).splitlines()
    tail = ",".join(map(str, facts.values()))
    made = {"": "\n".join([f"{header},{','.join(facts)}", *(f"{row},{tail}" for row in rows)])}
    for section in evaluation.sections:
        made[section.key] = section_to_csv(section, evaluation.world, evaluation.system.name)
    return made


def evaluation_to_json(evaluation: Evaluation) -> str:
    """For programs: what a score file holds, and the sections under their keys."""
    return json.dumps(full_report(evaluation), indent=2, allow_nan=False)


def full_report(evaluation: Evaluation) -> dict[str, Any]:
    """The score file with anchors and sections, where there are any."""
    report = evaluation.seeds.report() if evaluation.seeds else dict(evaluation.system.report)
    if evaluation.anchors:
        report["anchors"] = {name: scores.to_dict() for name, scores in evaluation.anchors}
    if evaluation.baseline:
        held = evaluation.baseline.report()
        known = {key: held[key] for key in (*LEVELS, "seeds", "sd") if key in held}
        report["compared_with"] = {"name": evaluation.baseline.name, **known}
    for section in evaluation.sections:
        if section.key == OWN_FIGURES:  # in the score file already
            continue
        records = [{**section.of, **record} for record in section.frame.astype(object).to_dict(orient="records")]
        report[section.key] = [{str(name): _plain_value(value) for name, value in record.items()} for record in records]
    return report


TITLES = {
    **tables.FIGURE_TITLES,
    "audio": "audio",
    "visual": "visual",
    "audio_visual": "audio-visual",
    "f": "F",
    "f_sd": "sd",
    "f_low": "low",
    "f_high": "high",
    "clip_f": "clip F",
    "f_other": "other F",
    "f_delta": "Δ F",
}
"""How sections call what has another name in JSON and CSV."""

EVALUATION_FORMATS: dict[str, Callable[[Evaluation], str]] = {
    "text": evaluation_to_text,
    "markdown": evaluation_to_markdown,
    "csv": evaluation_to_csv,
    "latex": evaluation_to_latex,
    "json": evaluation_to_json,
}
"""What an evaluation can be written as."""


def _plain_value(value: Any) -> str | int | float | None:  # noqa: ANN401
    """A cell as JSON knows it; None for what is not defined."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else value.item() if hasattr(value, "item") else value


def _sheet(section: Section) -> Sheet:
    """Percentages with one decimal, counts with thousands, a line of space where the first of several texts changes."""
    frame = section.frame if section.shown is None else section.shown
    signs = ["+" * str(name).endswith("_delta") for name in frame.columns]
    held = frame.astype(object).itertuples(index=False)
    rows = [[_cell(_plain_value(cell), sign) for cell, sign in zip(row, signs, strict=True)] for row in held]
    texts = [n for n, kind in enumerate(frame.dtypes) if not pd.api.types.is_numeric_dtype(kind)]
    left = [n for n in texts if not all(re.match(r"[\[(+-]*\d", row[n]) for row in rows)]
    firsts = [row[0] for row in rows]
    changes = [n for n in range(1, len(rows)) if firsts[n] != firsts[n - 1]] if len(left) > 1 else []
    titles = [TITLES.get(str(name), str(name)) for name in frame.columns]
    return Sheet(columns=titles, rows=rows, left=left, gaps={n: [""] for n in changes})


def _cell(value: str | int | float | None, sign: str = "") -> str:
    if value is None:
        return MISSING
    if isinstance(value, str):
        return TITLES.get(value, value)
    return f"{value:{sign}.1f}" if isinstance(value, float) else f"{value:,}"
