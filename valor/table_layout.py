"""A comparison as text, Markdown, CSV, LaTeX or JSON; the only place that rounds its figures."""

import csv
import io
import json
from collections.abc import Callable

from eval.scores import FIGURES, LEVELS
from eval.tables import FIGURE_TITLES, LEVEL_TITLES, latex_escaped
from valor.table import Comparison, TableRow

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
