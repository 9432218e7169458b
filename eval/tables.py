"""Every table as text, Markdown, LaTeX, HTML and CSV, and the table of the ten F-scores of systems side by side.

`Sheet` holds cells as they are shown and writes them in each format; whoever has a table decides only what stands in
the cells. Who fills the cells rounds the numbers; CSV and JSON hold them unrounded.

In a table of scores a row is a system, or one system trained with several seeds: then it shows mean ± standard
deviation over the seeds (the sample deviation, with n - 1), and `seeds` says over how many.
"""

import csv
import io
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isnan
from statistics import fmean, stdev

import numpy as np
import pandas as pd

from .scores import FIGURES, LEVELS, TenScores
from .spreadsheet import unformula

MOST_COLUMNS = 8
"""More may be wider than the text of a paper."""

RULE = "-"
"""Stands in the gaps of a sheet for a rule through its whole width."""


@dataclass(frozen=True)
class Cell:
    """What one cell shows."""

    text: str
    bold: bool = False
    """Set apart in Markdown and LaTeX; text has no bold."""
    after: str = ""
    """Follows the text, never bold: a mark, a difference in parentheses."""
    latex: str | None = None
    """What LaTeX writes for the text, where escaping it is not enough."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    r"""A table as it is shown, the same in every format.

    Example:
        >>> rows = [["one", Cell("7.0", bold=True)], ["two|", "12.5"]]
        >>> sheet = Sheet(columns=["clip", "F"], rows=rows, gaps={1: [RULE]})
        >>> print(sheet.to_text())
        clip     F
        ----------
        one    7.0
        ----------
        two|  12.5
        >>> print(sheet.to_markdown())
        | clip | F |
        | --- | ---: |
        | one | **7.0** |
        | two\| | 12.5 |
    """

    columns: Sequence[str]
    """Titles."""
    rows: Sequence[Sequence[Cell | str]]
    left: Collection[int] = (0,)
    """Columns of words, which begin at their left; numbers end at their right."""
    gaps: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Lines above a row by its position, or below the last: RULE, a title, or nothing for an empty line. Markdown has
    a row for a title and no rules; LaTeX a rule, but for the first row, which has one anyway, and a row for a title."""

    def to_text(self, widths: Sequence[int] | None = None) -> str:
        """Lay it out for the terminal, two spaces between columns and a rule under the titles.

        Args:
            widths: Characters of each column; as wide as its widest cell if None.

        Returns:
            Lines without a line break at the end.
        """
        lines = [list(self.columns), *([cell.text + cell.after for cell in _cells(row)] for row in self.rows)]
        room = widths or [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = "-" * (sum(room) + 2 * (len(room) - 1))
        text = []
        for number, line in enumerate(lines):
            text += [rule if gap == RULE else gap for gap in self.gaps.get(number - 1, ())] if number else []
            laid_out = ""
            for column, (cell, width) in enumerate(zip(line, room, strict=True)):
                between = 2 if column else 0
                is_left = column in self.left
                laid_out += " " * between + cell.ljust(width) if is_left else cell.rjust(width + between)
            text += [laid_out.rstrip(), *([] if number else [rule])]
        return "\n".join([*text, *(rule if gap == RULE else gap for gap in self.gaps.get(len(self.rows), ()))])

    def to_markdown(self) -> str:
        """Write it in Markdown; lines without a line break at the end."""
        marks = ["---" if column in self.left else "---:" for column in range(len(self.columns))]
        lines = [[markdown_escaped(title) for title in self.columns], marks]
        for number, row in enumerate(self.rows):
            titles = [markdown_escaped(title) for title in self._titles_above(number)]
            lines += [[f"**{title}**", *[""] * (len(self.columns) - 1)] for title in titles]
            escaped = [(cell, markdown_escaped(cell.text), markdown_escaped(cell.after)) for cell in _cells(row)]
            lines.append([(f"**{text}**" if cell.bold else text) + after for cell, text, after in escaped])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)

    def to_latex(self, spans: Mapping[str, int] | None = None, *, narrower: str = "", notes: Iterable[str] = ()) -> str:
        r"""Write it as a LaTeX tabular below comments: that it needs booktabs and, of many columns, how it gets to fit.

        Args:
            spans: Titles above those of the columns, with the number of columns each stands over, from the second on.
            narrower: How to get fewer columns, where there is a way.
            notes: Below the table, for what its marks mean, in lines about as long as it is wide.

        Returns:
            Lines without a line break at the end.
        """
        kinds = "".join("l" if column in self.left else "r" for column in range(len(self.columns)))
        lines = [r"% needs \usepackage{booktabs}"]
        if len(kinds) > MOST_COLUMNS:
            fits = r"\resizebox{\textwidth}{!}{...} of graphicx makes it fit"
            lines.append(f"% {len(kinds)} columns may be wider than a page: {f'{narrower}; ' * bool(narrower)}{fits}")
        lines += [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule"]
        if spans:
            over = [rf"\multicolumn{{{width}}}{{c}}{{{latex_escaped(title)}}}" for title, width in spans.items()]
            beyond = [""] * (len(self.columns) - 1 - sum(spans.values()))
            first, rules = 2, []
            for width in spans.values():
                rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
                first += width
            lines += [" & ".join(["", *over, *beyond]).rstrip() + r" \\", " ".join(rules)]
        lines += [" & ".join(map(latex_escaped, self.columns)) + r" \\", r"\midrule"]
        for number, row in enumerate(self.rows):
            lines += [r"\midrule"] if number and number in self.gaps else []
            titles = [rf"\textit{{{latex_escaped(title)}}}" for title in self._titles_above(number)]
            lines += [rf"\multicolumn{{{len(self.columns)}}}{{l}}{{{title}}} \\" for title in titles]
            written = [latex_escaped(cell.text) if cell.latex is None else cell.latex for cell in _cells(row)]
            bold = [
                (rf"\textbf{{{text}}}" if cell.bold else text) + latex_escaped(cell.after)
                for cell, text in zip(_cells(row), written, strict=True)
            ]
            lines.append(" & ".join(bold) + r" \\")
        cells = [[cell.text + cell.after for cell in _cells(row)] for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        room = min(max(60, sum(widths) + 2 * len(widths)), 120)  # letters of a line, as many as the table is wide
        said = [line for note in notes for line in textwrap.wrap(_commands_whole(note), room, break_on_hyphens=False)]
        below = [
            rf"\multicolumn{{{len(self.columns)}}}{{l}}{{\footnotesize {latex_escaped(line)}}} \\" for line in said
        ]
        return "\n".join([*lines, r"\bottomrule", *below, r"\end{tabular}"])

    def _titles_above(self, number: int) -> list[str]:
        return [gap for gap in self.gaps.get(number, ()) if gap not in ("", RULE)]

    def to_html(self, spans: Mapping[str, int] | None = None) -> str:
        """Write it as an HTML table; what stands in its cells stays text, with deviations in small letters.

        Args:
            spans: As for LaTeX. A column that one of them begins has the class `edge`, a bold cell `bold`, a row with
                a gap above it `ruled`.
        """
        firsts, first = set(), 1
        for width in (spans or {}).values():
            firsts.add(first)
            first += width
        edges = [" edge" * (column in firsts) for column in range(len(self.columns))]
        over = [f'<th class="edge" colspan="{width}">{escape(title)}</th>' for title, width in (spans or {}).items()]
        titles = [f'<th class="{edge}">{escape(title)}</th>' for title, edge in zip(self.columns, edges, strict=True)]
        above = f"<tr><th></th>{''.join(over)}</tr>\n" if over else ""
        lines = [f"<table><thead>{above}<tr>{''.join(titles)}</tr></thead><tbody>"]
        for number, row in enumerate(self.rows):
            name, *cells = _cells(row)
            shown = [f'<th scope="row">{escape(name.text + name.after)}</th>']
            for cell, edge in zip(cells, edges[1:], strict=True):
                mean, mark, deviation = cell.text.partition(" ± ")
                after = mark.strip() + deviation + cell.after
                small = f"<small>{escape(after)}</small>" if after else ""
                shown.append(f'<td class="{"bold" * cell.bold}{edge}">{escape(mean)}{small}</td>')
            lines.append(f'<tr class="{"ruled" * (number in self.gaps)}">{"".join(shown)}</tr>')
        return "\n".join([*lines, "</tbody></table>"])


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Comma-separated values, unrounded: None and NaN are empty; no line break at the end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        ["" if isinstance(cell, float) and isnan(cell) else unformula(cell) for cell in row] for row in rows
    )
    return text.getvalue().rstrip("\n")


def markdown_escaped(text: str) -> str:
    """Text as a cell or a line of Markdown holds it: in one line, no border of a table and no tag of HTML."""
    return " ".join(re.split(r"[\r\n]+", text)).replace("|", r"\|").replace("<", "&lt;")


def latex_comments(notes: Iterable[str]) -> str:
    """Notes as comments above a tabular, each in a line that ends."""
    return "".join(f"% {' '.join(note.split())}\n" for note in notes)


def latex_told(
    sheet: Sheet, told: Sequence[str], spans: Mapping[str, int] | None = None, *, notes: Sequence[str] = ()
) -> str:
    """A tabular with what is told of it in comments above, and below it, typeset, where a reader of the paper sees it.

    Args:
        sheet: The table.
        told: Of which world and how many seeds it is, and what else is to be known.
        spans: As of `Sheet.to_latex`.
        notes: What marks in it mean, which stands first below it.
    """
    below = [*notes, *(note for note in told if note not in notes)]
    return latex_comments(told) + sheet.to_latex(spans, notes=below)


def latex_escaped(text: str) -> str:
    """Escape what LaTeX reads as commands, and set `commands` as such; a minus before a number is one, no hyphen."""
    special = {character: rf"\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    special |= {"†": r"$\dagger$", _UNBROKEN: "~"}
    special |= {"<": "$<$", ">": "$>$", "≤": r"$\leq$", "Δ": r"$\Delta$", "≥": r"$\geq$", "−": "$-$"}
    minus = re.sub(r"(?<![\w.-])-(?=\d)", "−", text.replace(">=", "≥").replace("<=", "≤"))
    escaped = "".join(special.get(character, character) for character in minus).replace(r" $\pm$ ", r"\,$\pm$\,")
    return re.sub(r"`([^`]+)`", lambda typed: rf"\texttt{{{typed[1].replace('--', '-{}-')}}}", escaped)


_UNBROKEN = "\N{NO-BREAK SPACE}"


def _commands_whole(note: str) -> str:
    """A note in which no line ends within a command."""
    return re.sub(r"`[^`]+`", lambda typed: typed[0].replace(" ", _UNBROKEN), note)


def _cells(row: Sequence[Cell | str]) -> list[Cell]:
    return [Cell(cell) if isinstance(cell, str) else cell for cell in row]


LEVEL_TITLES = {"segment": "Segment level", "event": "Event level"}
"""How tables and figures call the levels."""

FIGURE_TITLES = {
    "audio": "A",
    "visual": "V",
    "audio_visual": "AV",
    "type_av": "Type@AV",
    "event_av": "Event@AV",
}
"""How tables and figures call the five figures, as every published table does."""

LEVEL_SPANS = dict.fromkeys(LEVEL_TITLES.values(), len(FIGURES))
"""Titles of the levels over their five figures, for LaTeX and HTML."""

Row = tuple[str, TenScores | Sequence[TenScores]]
"""The name of a system and its scores, one for each seed."""


def score_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Collect the scores of several systems.

    Args:
        rows: (name, scores) pairs in the order of the table; scores of several seeds are averaged.

    Returns:
        A frame of unrounded percentages: one row for each system, indexed by (system, seeds), and columns
        (level, figure, statistic) where the statistic is mean or sd; sd is NaN for a single seed.

    Raises:
        ValueError: There is no row, a row has no score, two rows share a name, or the rows score unlike many clips.
    """
    table = {name: [scores] if isinstance(scores, TenScores) else list(scores) for name, scores in rows}
    clips = {scores.clips for seeds in table.values() for scores in seeds}
    if len(table) != len(rows) or not all(table.values()) or len(clips) != 1:
        found = ", ".join(f"{name!r} ({len(seeds)} scores)" for name, seeds in table.items()) or "no row"
        raise ValueError(
            "a table needs rows of different names with at least one score each, all over the same number of clips, "
            f"got {len(rows)} rows {found} over {sorted(clips)} clips"
        )
    columns = [(level, figure, statistic) for level in LEVELS for figure in FIGURES for statistic in ("mean", "sd")]
    values = [[_statistic(seeds, *column) for column in columns] for seeds in table.values()]
    index = [(name, len(seeds)) for name, seeds in table.items()]
    return pd.DataFrame(
        values,
        index=pd.MultiIndex.from_tuples(index, names=["system", "seeds"]),
        columns=pd.MultiIndex.from_tuples(columns, names=["level", "figure", "statistic"]),
    )


def to_text(table: pd.DataFrame, *, anchors: Sequence[str] = (), decimals: int = 1) -> str:
    """Lay a table out for the terminal: one block for each level, at most 100 columns wide for names of usual length.

    Args:
        table: a frame of `score_table`.
        anchors: names of the rows to set apart at the foot, such as the prediction of nothing.
        decimals: digits after the point.

    Returns:
        Lines without a line break at the end.
    """
    lines = _lines(table, anchors, decimals)
    tail = max(len(cell) - len(cell.partition(" ± ")[0]) for line in lines for cell in line.cells)
    padded = [[_padded(cell, tail) for cell in line.cells] for line in lines]
    heading = max(len(text) for text in (*(line.name for line in lines), *LEVEL_TITLES.values()))
    width = max(len(text) for text in (*(cell for cells in padded for cell in cells), *FIGURE_TITLES.values()))
    blocks = []
    for position, level in enumerate(LEVELS):
        of_level = slice(position * len(FIGURES), (position + 1) * len(FIGURES))
        block = Sheet(
            columns=[LEVEL_TITLES[level], *FIGURE_TITLES.values()],
            rows=[[line.name, *cells[of_level]] for line, cells in zip(lines, padded, strict=True)],
            gaps=_anchor_gap(lines),
        )
        blocks.append(block.to_text([heading, *[width] * len(FIGURES)]))
    return "\n\n".join(blocks)


def to_markdown(
    table: pd.DataFrame, *, anchors: Sequence[str] = (), decimals: int = 1, clear: Sequence[bool] | None = None
) -> str:
    """Write a table in Markdown, all ten figures in one line, the best system of each in bold.

    Args:
        table: a frame of `score_table`.
        anchors: names of the rows to set apart at the foot; they are italic and never the best.
        decimals: digits after the point.
        clear: of each of the ten figures, whether its best is to be bold; None for all.

    Returns:
        Lines without a line break at the end.
    """
    titles = [f"{level} {title}" for level in LEVELS for title in FIGURE_TITLES.values()]
    rows: list[list[Cell | str]] = [
        [f"*{line.name}*" if line.is_anchor else line.name, *line.bold]
        for line in _lines(table, anchors, decimals, clear)
    ]
    return Sheet(columns=["system", *titles], rows=rows).to_markdown()


def to_latex(
    table: pd.DataFrame,
    *,
    anchors: Sequence[str] = (),
    decimals: int = 1,
    clear: Sequence[bool] | None = None,
    notes: Iterable[str] = (),
) -> str:
    r"""Write a table as a LaTeX tabular of booktabs, the best system of each figure in bold.

    Args:
        table: a frame of `score_table`.
        anchors: names of the rows to set apart at the foot, below a rule.
        decimals: digits after the point.
        clear: of each of the ten figures, whether its best is to be bold; None for all.
        notes: below the table.

    Returns:
        Lines without a line break at the end.
    """
    return score_sheet(table, anchors=anchors, decimals=decimals, clear=clear).to_latex(LEVEL_SPANS, notes=notes)


def score_sheet(
    table: pd.DataFrame, *, anchors: Sequence[str] = (), decimals: int = 1, clear: Sequence[bool] | None = None
) -> Sheet:
    """All ten figures of a system in one row, the best of each in bold and the anchors at the foot; see `to_latex`."""
    lines = _lines(table, anchors, decimals, clear)
    return Sheet(
        columns=["System", *[*FIGURE_TITLES.values()] * len(LEVELS)],
        rows=[[line.name, *line.bold] for line in lines],
        gaps=_anchor_gap(lines),
    )


def to_csv(table: pd.DataFrame) -> str:
    """Write a table as comma-separated values: unrounded, columns such as segment.type_av and segment.type_av.sd."""
    flat = table.copy()
    flat.columns = pd.Index([".".join(column).removesuffix(".mean") for column in table.columns.to_list()])
    return str(flat.reset_index().map(unformula).to_csv(index=False, lineterminator="\n"))


@dataclass(frozen=True)
class _Line:
    """One row as text: ten cells, segment level first."""

    name: str
    cells: list[str]
    best: list[bool]
    is_anchor: bool

    @property
    def bold(self) -> list[Cell]:
        return [Cell(cell, bold=best) for cell, best in zip(self.cells, self.best, strict=True)]


def _anchor_gap(lines: Sequence[_Line]) -> dict[int, list[str]]:
    """A rule above the first anchor."""
    return {number: [RULE] for number, line in enumerate(lines) if line.is_anchor and not lines[number - 1].is_anchor}


def _lines(
    table: pd.DataFrame, anchors: Sequence[str], decimals: int, clear: Sequence[bool] | None = None
) -> list[_Line]:
    """Turn a frame into text, systems first and anchors last, each in the order given."""
    names = [str(name) for name in table.index.get_level_values("system")]
    seeds = [int(count) for count in table.index.get_level_values("seeds")]
    unknown = sorted(set(anchors) - set(names))
    if unknown:
        raise ValueError(f"anchors must be rows of the table {names}, got {unknown}")
    means = table.xs("mean", axis=1, level="statistic").to_numpy()
    deviations = table.xs("sd", axis=1, level="statistic").to_numpy()
    systems = [row for row, name in enumerate(names) if name not in anchors]
    highest = means[systems].round(decimals).max(axis=0) if len(systems) > 1 else None
    lines: list[_Line] = []
    for row in systems + [row for row, name in enumerate(names) if name in anchors]:
        is_anchor = row not in systems
        pairs = zip(means[row].tolist(), deviations[row].tolist(), strict=True)
        cells = [f"{mean:.{decimals}f}" + ("" if isnan(sd) else f" ± {sd:.{decimals}f}") for mean, sd in pairs]
        best = [False] * len(cells)
        if highest is not None and not is_anchor:
            best = ((means[row].round(decimals) == highest) & (True if clear is None else np.array(clear))).tolist()
        name = names[row] if seeds[row] == 1 else f"{names[row]} ({seeds[row]} seeds)"
        lines.append(_Line(name, cells, best, is_anchor))
    return lines


def _padded(cell: str, tail: int) -> str:
    """Fill what follows the mean to `tail` characters, so that means stand below each other."""
    mean, mark, deviation = cell.partition(" ± ")
    return mean + (mark + deviation).ljust(tail)


def _statistic(seeds: Sequence[TenScores], level: str, figure: str, statistic: str) -> float:
    """Mean or sample standard deviation of one figure over seeds; the deviation of one seed is NaN."""
    values = [float(getattr(getattr(scores, level), figure)) for scores in seeds]
    if statistic == "mean":
        return fmean(values)
    return stdev(values) if len(values) > 1 else float("nan")
