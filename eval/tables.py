"""Ten F-scores of several systems side by side: one data frame, printed as text, Markdown, LaTeX or CSV.

A row is a system, or one system trained with several seeds: then it shows mean ± standard deviation over the seeds (the
sample deviation, with n - 1), and `seeds` says over how many. Numbers are rounded here and nowhere else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from statistics import fmean, stdev

import pandas as pd

from .scores import FIGURES, LEVELS, TenScores

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
    heading = max(len(text) for text in (*(line.name for line in lines), *LEVEL_TITLES.values()))
    tail = max(len(cell) - len(cell.partition(" ± ")[0]) for line in lines for cell in line.cells)
    cells = [_padded(cell, tail) for line in lines for cell in line.cells]
    width = max(len(text) for text in (*cells, *FIGURE_TITLES.values())) + 2

    def laid_out(name: str, cells: Iterable[str]) -> str:
        return (name.ljust(heading) + "".join(cell.rjust(width) for cell in cells)).rstrip()

    rule = "-" * (heading + width * len(FIGURES))
    blocks = []
    for position, level in enumerate(LEVELS):
        block = [laid_out(LEVEL_TITLES[level], FIGURE_TITLES.values()), rule]
        for line in lines:
            if line.is_first_anchor:
                block.append(rule)
            block.append(laid_out(line.name, (_padded(cell, tail) for cell in line.of_level(position))))
        blocks.append("\n".join(block))
    return "\n\n".join(blocks)


def to_markdown(table: pd.DataFrame, *, anchors: Sequence[str] = (), decimals: int = 1) -> str:
    """Write a table in Markdown, all ten figures in one line, the best system of each in bold.

    Args:
        table: a frame of `score_table`.
        anchors: names of the rows to set apart at the foot; they are italic and never the best.
        decimals: digits after the point.

    Returns:
        Lines without a line break at the end.
    """
    titles = [f"{level} {title}" for level in LEVELS for title in FIGURE_TITLES.values()]
    rows = [["system", *titles], ["---", *("---:" for _ in titles)]]
    for line in _lines(table, anchors, decimals):
        name = line.name.replace("|", r"\|")
        cells = [f"**{cell}**" if best else cell for cell, best in zip(line.cells, line.best, strict=True)]
        rows.append([f"*{name}*" if line.is_anchor else name, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def to_latex(table: pd.DataFrame, *, anchors: Sequence[str] = (), decimals: int = 1) -> str:
    r"""Write a table as a LaTeX tabular (it needs \usepackage{booktabs}), the best system of each figure in bold.

    Args:
        table: a frame of `score_table`.
        anchors: names of the rows to set apart at the foot, below a rule.
        decimals: digits after the point.

    Returns:
        Lines without a line break at the end.
    """
    span = len(FIGURES)
    groups = " & ".join(rf"\multicolumn{{{span}}}{{c}}{{{LEVEL_TITLES[level]}}}" for level in LEVELS)
    rules = rf"\cmidrule(lr){{2-{span + 1}}} \cmidrule(lr){{{span + 2}-{2 * span + 1}}}"
    titles = " & ".join([*FIGURE_TITLES.values()] * len(LEVELS))
    rows = [rf"\begin{{tabular}}{{l{'r' * span * len(LEVELS)}}}", r"\toprule"]
    rows += [rf" & {groups} \\", rules, rf"System & {titles} \\", r"\midrule"]
    for line in _lines(table, anchors, decimals):
        if line.is_first_anchor:
            rows.append(r"\midrule")
        cells = [cell.replace(" ± ", r"\,$\pm$\,") for cell in line.cells]
        cells = [rf"\textbf{{{cell}}}" if best else cell for cell, best in zip(cells, line.best, strict=True)]
        rows.append(rf"{latex_escaped(line.name)} & {' & '.join(cells)} \\")
    return "\n".join([*rows, r"\bottomrule", r"\end{tabular}"])


def to_csv(table: pd.DataFrame) -> str:
    """Write a table as comma-separated values: unrounded, columns such as segment.type_av and segment.type_av.sd."""
    flat = table.copy()
    flat.columns = pd.Index([".".join(column).removesuffix(".mean") for column in table.columns.to_list()])
    return str(flat.reset_index().to_csv(index=False, lineterminator="\n"))


@dataclass(frozen=True)
class _Line:
    """One row as text: ten cells, segment level first."""

    name: str
    cells: list[str]
    best: list[bool]
    is_anchor: bool
    is_first_anchor: bool

    def of_level(self, position: int) -> list[str]:
        return self.cells[position * len(FIGURES) : (position + 1) * len(FIGURES)]


def _lines(table: pd.DataFrame, anchors: Sequence[str], decimals: int) -> list[_Line]:
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
            best = (means[row].round(decimals) == highest).tolist()
        name = names[row] if seeds[row] == 1 else f"{names[row]} ({seeds[row]} seeds)"
        lines.append(_Line(name, cells, best, is_anchor, is_anchor and len(lines) == len(systems)))
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


def latex_escaped(name: str) -> str:
    """Escape what LaTeX reads as commands."""
    special = {character: rf"\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(character, character) for character in name)
