"""A comparison as text, Markdown, CSV, LaTeX or JSON; the only place that rounds its figures.

An evaluation as text, Markdown, CSV, LaTeX or JSON: the ten figures, further sections, and what was scored.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from valor.eval import tables
from valor.eval.decide import rule_text
from valor.eval.scores import FIGURES, LEVELS, Scores
from valor.eval.tables import FIGURE_TITLES, LEVEL_TITLES, latex_escaped, score_table

from .compare import Comparison, TableRow
from .system import ScoredSystem, Section

GROUP_TITLES = {
    "run": "scored here",
    "classic": "published, VGGish + ResNet-152 + R(2+1)D",
    "clip+clap": "published, CLIP + CLAP",
    "training-free": "published, no training on LLP",
    "not stated": "published, features not stated",
    "reference": "no parser at all",
}
"""How tables call the groups of rows."""

WIDTH = len(FIGURES)

MARKS = {
    "*": "* best of its column",
    "!": "! Type@AV as printed, which is not the mean of its A, V and AV: copied, not to be compared with",
    "?": "? from memory, no source seen: a hint only",
}
"""Marks beside figures and names, and what they mean."""


def to_text(table: Comparison) -> str:
    """Lay a comparison out for the terminal: one block for each level, and one more where there is a baseline."""
    tail = max(len(_plain(row, p).partition(" ± ")[2]) for row in table.rows for p in range(2 * WIDTH))
    blocks = []
    for level in range(len(LEVELS)):
        cells = [[_marked(table, row, p, tail) for p in _positions(level)] for row in table.rows]
        blocks.append(_block(LEVEL_TITLES[LEVELS[level]], table, cells, with_rules=True))
    for level in range(len(LEVELS) if table.baseline is not None else 0):
        cells = [[_delta(table.delta(row, p)) for p in _positions(level)] for row in table.rows]
        blocks.append(_block(_delta_title(LEVELS[level], table), table, cells, with_rules=False))
    seen = "".join(blocks)
    notes = [text for mark, text in MARKS.items() if mark in seen] + list(table.notes)
    return "\n\n".join([*blocks, "\n".join(notes)])


def _block(title: str, table: Comparison, cells: list[list[str]], *, with_rules: bool) -> str:
    """One level of the text table: the rows that have a figure there, under the titles of their groups."""
    shown = [(row, line) for row, line in zip(table.rows, cells, strict=True) if any(c.strip(" –") for c in line)]
    groups = dict.fromkeys(row.group for row, _ in shown) if len({row.group for row in table.rows}) > 1 else {}
    titles = [_delta_title(level, table) for level in LEVELS] if table.baseline else list(LEVEL_TITLES.values())
    left = max(map(len, (*map(_name, table.rows), *titles, *(GROUP_TITLES[group] for group in groups))))
    width = max(len(cell) for cell in (*FIGURE_TITLES.values(), *(cell for row in cells for cell in row))) + 2
    right = max(len(row.rule) for row in table.rows) + 2 if with_rules else 0
    head = title.ljust(left) + "".join(f"{text}{' ' * with_rules}".rjust(width) for text in FIGURE_TITLES.values())
    lines = [(head + ("  rule" if with_rules else "")).rstrip(), "-" * (left + width * WIDTH + right)]
    previous = None
    for row, line in shown:
        if row.group in groups and row.group != previous:
            lines += [*([""] if previous else []), GROUP_TITLES[row.group]]
            previous = row.group
        text = _name(row).ljust(left) + "".join(cell.rjust(width) for cell in line)
        lines.append((text + (f"  {row.rule}" if with_rules else "")).rstrip())
    return "\n".join(lines)


def to_markdown(table: Comparison) -> str:
    """Write a comparison in Markdown: all ten figures in a line, the best in bold, differences in parentheses."""
    titles = [f"{level} {title}" for level in LEVELS for title in FIGURE_TITLES.values()]
    lines = [["system", *titles, "rule", "source"], ["---", *("---:" for _ in titles), "---", "---"]]
    for row in table.rows:
        cells = [_in_line(table, row, position, "**{}**".format) for position in range(2 * WIDTH)]
        lines.append([_name(row), *cells, row.rule, _source(row)])
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
    notes = [text for mark, text in MARKS.items() if mark != "*" and mark in body]
    return "\n".join([body, "", *(f"- {note}" for note in (*notes, *table.notes))])


def to_latex(table: Comparison) -> str:
    r"""Write a comparison as a LaTeX tabular (it needs \usepackage{booktabs}), the notes as comments above it."""
    groups = " & ".join(rf"\multicolumn{{{WIDTH}}}{{c}}{{{LEVEL_TITLES[level]}}}" for level in LEVELS)
    rules = rf"\cmidrule(lr){{2-{WIDTH + 1}}} \cmidrule(lr){{{WIDTH + 2}-{2 * WIDTH + 1}}}"
    lines = [f"% {note}" for note in (*MARKS.values(), *table.notes)]
    lines += [rf"\begin{{tabular}}{{l{'r' * 2 * WIDTH}l}}", r"\toprule", rf" & {groups} & \\", rules]
    lines += [rf"System & {' & '.join([*FIGURE_TITLES.values()] * len(LEVELS))} & Rule \\", r"\midrule"]
    previous = None
    for row in table.rows:
        if previous not in (None, row.group):
            lines.append(r"\midrule")
        previous = row.group
        cells = [_in_line(table, row, position, r"\textbf{{{}}}".format) for position in range(2 * WIDTH)]
        cells = [cell.replace(" ± ", r"\,$\pm$\,").replace("–", "--") for cell in cells]
        lines.append(rf"{latex_escaped(_name(row))} & {' & '.join(cells)} & {_latex_rule(row)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def to_csv(table: Comparison) -> str:
    """Write a comparison as comma-separated values, unrounded, an empty cell where nothing was said."""
    figures = [f"{level}.{figure}" for level in LEVELS for figure in FIGURES]
    deltas = [f"{figure}.delta" for figure in figures] if table.baseline is not None else []
    facts = ("post_processing", "truth_sha256", "selection", "clips", "clips_expected", "confidence", "note")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    spreads = [f"{figure}.sd" for figure in figures]
    writer.writerow(["system", "group", "seeds", *figures, *spreads, *deltas, *facts, "sources", "impossible"])
    for row in table.rows:
        differences = [table.delta(row, position) for position in range(len(deltas))]
        said = [row.rule, *(getattr(row, fact) for fact in facts[1:])]
        doubts = [figures[position] for position in row.impossible]
        lists = ["; ".join(row.sources), "; ".join(doubts)]
        writer.writerow([row.name, row.group, row.seeds, *row.figures, *row.spread, *differences, *said, *lists])
    return text.getvalue().rstrip("\n")


def to_json(table: Comparison) -> str:
    """Write a comparison as JSON: rows in the form of score files with what is known about each, and the notes."""
    rows = []
    for row in table.rows:
        entry = {"name": row.name, "group": row.group, "seeds": row.seeds}
        entry |= {level: _five(row.figures, number) for number, level in enumerate(LEVELS)}
        if row.seeds > 1:
            entry["sd"] = {level: _five(row.spread, number) for number, level in enumerate(LEVELS)}
        if table.baseline is not None:
            differences = tuple(table.delta(row, position) for position in range(2 * WIDTH))
            entry["delta"] = {level: _five(differences, number) for number, level in enumerate(LEVELS)}
        for fact in ("post_processing", "truth_sha256", "selection", "clips", "clips_expected", "confidence", "note"):
            entry[fact] = getattr(row, fact)
        entry |= {"sources": list(row.sources), "impossible": [_figure_name(p) for p in row.impossible]}
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


def _positions(level: int) -> range:
    return range(level * WIDTH, (level + 1) * WIDTH)


def _five(figures: tuple[float | None, ...], level: int) -> dict[str, float | None]:
    return dict(zip(FIGURES, (figures[position] for position in _positions(level)), strict=True))


def _figure_name(position: int) -> str:
    return f"{LEVELS[position // WIDTH]}.{FIGURES[position % WIDTH]}"


def _name(row: TableRow) -> str:
    seeds = f" ({row.seeds} seeds)" if row.seeds > 1 else ""
    return f"{row.name}{seeds}{' ?' if row.confidence == 'recalled' else ''}"


def _plain(row: TableRow, position: int) -> str:
    """One figure, with its deviation over seeds where there is one."""
    figure, spread = row.figures[position], row.spread[position]
    if figure is None:
        return "–"
    return f"{figure:.1f}" + ("" if spread is None else f" ± {spread:.1f}")


def _mark(table: Comparison, row: TableRow, position: int) -> str:
    if position in row.impossible:
        return "!"
    figure = row.figures[position]
    is_best = row.may_be_best and figure is not None and round(figure, 1) == table.best(position)
    return "*" if is_best else ""


def _marked(table: Comparison, row: TableRow, position: int, tail: int) -> str:
    """A figure of the text table with its mark, means standing below each other."""
    mean, plus, spread = _plain(row, position).partition(" ± ")
    room = tail + len(" ± *") if tail else len("*")
    return mean + (plus + spread + _mark(table, row, position)).ljust(room)


def _in_line(table: Comparison, row: TableRow, position: int, bold: Callable[[str], str]) -> str:
    """A figure of Markdown or LaTeX: bold if best, with `!` if impossible, with its difference if there is one."""
    mark, delta = _mark(table, row, position), table.delta(row, position)
    text = _plain(row, position)
    text = bold(text) if mark == "*" else text + mark
    return text if delta is None else f"{text} ({_delta(delta)})"


def _delta(delta: float | None) -> str:
    return "" if delta is None else f"{round(delta, 1) + 0.0:+.1f}"  # + 0.0: no -0.0


def _delta_title(level: str, table: Comparison) -> str:
    return f"{level.capitalize()} level, minus {table.baseline.name if table.baseline else ''}"


def _source(row: TableRow) -> str:
    said = "; ".join(row.sources) if row.sources else ("" if row.group == "run" else "none seen")
    doubt = f" ({row.confidence})" if row.confidence in ("second-hand", "recalled", "computed") else ""
    return said + doubt


def _latex_rule(row: TableRow) -> str:
    return latex_escaped(row.rule).replace(">=", r"$\geq$")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What `valor evaluate` has to say."""

    system: ScoredSystem
    split: str
    truth_version: str
    anchors: Sequence[tuple[str, Scores]] = ()
    sections: Sequence[Section] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The ten figures of the system and of the anchors."""
        return score_table([(self.system.name, self.system.scores), *self.anchors])

    @property
    def anchor_names(self) -> list[str]:
        """Names of the rows at the foot."""
        return [name for name, _ in self.anchors]

    @property
    def footer(self) -> str:
        """How many clips, which truth, which rule."""
        report = self.system.report
        covered = f"{report['clips']:,} of {report['clips_expected']:,} {self.split} clips"
        rule = rule_text(report["post_processing"])
        return f"{covered}, truth {self.truth_version} {report['truth_sha256'][:12]}, {rule}"


def evaluation_to_text(evaluation: Evaluation) -> str:
    """For the terminal."""
    parts = [tables.to_text(evaluation.table, anchors=evaluation.anchor_names)]
    parts += [f"{section.title}\n{_aligned(section.frame)}" for section in evaluation.sections]
    return "\n\n".join([*parts, evaluation.footer])


def evaluation_to_markdown(evaluation: Evaluation) -> str:
    """For a README or an issue."""
    parts = [tables.to_markdown(evaluation.table, anchors=evaluation.anchor_names)]
    for section in evaluation.sections:
        header, *rows = _cells(section.frame)
        lines = [header, ["---" if text else "---:" for text in _is_text(section.frame)], *rows]
        body = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        parts.append(f"{section.title}\n\n{body}")
    return "\n\n".join([*parts, evaluation.footer])


def evaluation_to_latex(evaluation: Evaluation) -> str:
    r"""For a paper (it needs \usepackage{booktabs}); one tabular for each table, titles and footer as comments."""
    parts = [f"% {evaluation.footer}\n" + tables.to_latex(evaluation.table, anchors=evaluation.anchor_names)]
    for section in evaluation.sections:
        columns = "".join("l" if text else "r" for text in _is_text(section.frame))
        header, *rows = [" & ".join(map(latex_escaped, line)) + r" \\" for line in _cells(section.frame)]
        lines = [f"% {section.title}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    return "\n\n".join(parts)


def evaluation_to_csv(evaluation: Evaluation) -> str:
    """For a spreadsheet, unrounded; an empty line between tables."""
    report = evaluation.system.report
    facts = {name: report[name] for name in ("clips", "clips_expected", "truth_sha256")}
    facts["post_processing"] = f'"{rule_text(report["post_processing"])}"'
    header, *rows = tables.to_csv(evaluation.table).splitlines()
    tail = ",".join(map(str, facts.values()))
    parts = ["\n".join([f"{header},{','.join(facts)}", *(f"{row},{tail}" for row in rows)]) + "\n"]
    parts += [section.frame.to_csv(index=False, lineterminator="\n") for section in evaluation.sections]
    return "\n".join(parts).rstrip("\n")


def evaluation_to_json(evaluation: Evaluation) -> str:
    """For programs: what a score file holds, and the sections under their keys."""
    return json.dumps(full_report(evaluation), indent=2, allow_nan=False)


def full_report(evaluation: Evaluation) -> dict[str, Any]:
    """The score file with anchors and sections, where there are any."""
    report = dict(evaluation.system.report)
    if evaluation.anchors:
        report["anchors"] = {name: scores.to_dict() for name, scores in evaluation.anchors}
    for section in evaluation.sections:
        records = section.frame.astype(object).to_dict(orient="records")
        report[section.key] = [{name: _plain_evaluation(value) for name, value in record.items()} for record in records]
    return report


TITLES = {
    **tables.FIGURE_TITLES,
    "audio": "audio",
    "visual": "visual",
    "audio_visual": "audio-visual",
    "f": "F",
    "f_low": "low",
    "f_high": "high",
    "clip_f": "clip F",
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


def _plain_evaluation(value: Any) -> str | int | float | None:  # noqa: ANN401
    """A cell as JSON knows it; None for what is not defined."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, str) else value.item() if hasattr(value, "item") else value


def _is_text(frame: pd.DataFrame) -> list[bool]:
    return [not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    """Header and rows as text: percentages with one decimal, counts with thousands, a dash where nothing is defined."""
    lines = [[TITLES.get(str(name), str(name)) for name in frame.columns]]
    for row in frame.astype(object).itertuples(index=False):
        lines.append([_cell(_plain_evaluation(value)) for value in row])
    return lines


def _cell(value: str | int | float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return TITLES.get(value, value)
    return f"{value:.1f}" if isinstance(value, float) else f"{value:,}"


def _aligned(frame: pd.DataFrame) -> str:
    """Columns below each other, a rule under the header, a line of space where the first text changes."""
    lines, texts = _cells(frame), _is_text(frame)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    laid_out = [
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(line, widths, texts, strict=True)
        )
        for line in lines
    ]
    body = []
    for number, (line, text) in enumerate(zip(lines[1:], laid_out[1:], strict=True)):
        if number and line[0] != lines[number][0] and sum(texts) > 1:
            body.append("")
        body.append(text.rstrip())
    return "\n".join([laid_out[0].rstrip(), "-" * len(laid_out[0]), *body])
