"""An evaluation as text, Markdown, CSV, LaTeX or JSON: the ten figures, further sections, and what was scored."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval import tables
from eval.post_processing import rule_text
from eval.scores import Scores
from eval.tables import latex_escaped, score_table
from valor.score_sections import Section
from valor.scored import ScoredSystem


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


def to_text(evaluation: Evaluation) -> str:
    """For the terminal."""
    parts = [tables.to_text(evaluation.table, anchors=evaluation.anchor_names)]
    parts += [f"{section.title}\n{_aligned(section.frame)}" for section in evaluation.sections]
    return "\n\n".join([*parts, evaluation.footer])


def to_markdown(evaluation: Evaluation) -> str:
    """For a README or an issue."""
    parts = [tables.to_markdown(evaluation.table, anchors=evaluation.anchor_names)]
    for section in evaluation.sections:
        header, *rows = _cells(section.frame)
        lines = [header, ["---" if text else "---:" for text in _is_text(section.frame)], *rows]
        body = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        parts.append(f"{section.title}\n\n{body}")
    return "\n\n".join([*parts, evaluation.footer])


def to_latex(evaluation: Evaluation) -> str:
    r"""For a paper (it needs \usepackage{booktabs}); one tabular for each table, titles and footer as comments."""
    parts = [f"% {evaluation.footer}\n" + tables.to_latex(evaluation.table, anchors=evaluation.anchor_names)]
    for section in evaluation.sections:
        columns = "".join("l" if text else "r" for text in _is_text(section.frame))
        header, *rows = [" & ".join(map(latex_escaped, line)) + r" \\" for line in _cells(section.frame)]
        lines = [f"% {section.title}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", header, r"\midrule", *rows]
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}"]))
    return "\n\n".join(parts)


def to_csv(evaluation: Evaluation) -> str:
    """For a spreadsheet, unrounded; an empty line between tables."""
    report = evaluation.system.report
    facts = {name: report[name] for name in ("clips", "clips_expected", "truth_sha256")}
    facts["post_processing"] = f'"{rule_text(report["post_processing"])}"'
    header, *rows = tables.to_csv(evaluation.table).splitlines()
    tail = ",".join(map(str, facts.values()))
    parts = ["\n".join([f"{header},{','.join(facts)}", *(f"{row},{tail}" for row in rows)]) + "\n"]
    parts += [section.frame.to_csv(index=False, lineterminator="\n") for section in evaluation.sections]
    return "\n".join(parts).rstrip("\n")


def to_json(evaluation: Evaluation) -> str:
    """For programs: what a score file holds, and the sections under their keys."""
    return json.dumps(full_report(evaluation), indent=2, allow_nan=False)


def full_report(evaluation: Evaluation) -> dict[str, Any]:
    """The score file with anchors and sections, where there are any."""
    report = dict(evaluation.system.report)
    if evaluation.anchors:
        report["anchors"] = {name: scores.to_dict() for name, scores in evaluation.anchors}
    for section in evaluation.sections:
        records = section.frame.astype(object).to_dict(orient="records")
        report[section.key] = [{name: _plain(value) for name, value in record.items()} for record in records]
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

FORMATS: dict[str, Callable[[Evaluation], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "csv": to_csv,
    "latex": to_latex,
    "json": to_json,
}
"""What an evaluation can be written as."""


def _plain(value: Any) -> str | int | float | None:  # noqa: ANN401
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
        lines.append([_cell(_plain(value)) for value in row])
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
