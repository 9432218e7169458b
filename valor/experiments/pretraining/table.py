"""A bench of clips without tags as text, Markdown, CSV, JSON and a figure; the only place that rounds its numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from valor.eval.figures.forest import DotPanel, DotRow, dots_figure
from valor.eval.figures.style import PAPER_WIDTH, Style, to_pdf, to_png
from valor.eval.intervals import Interval
from valor.eval.scores import FIGURES, LEVELS
from valor.eval.tables import FIGURE_TITLES, RULE, Sheet, csv_text, latex_told
from valor.label_harvest.disk import write_forms
from valor.parsers.pretraining.registry import OBJECTIVES, objective_class
from valor.scoring.over_seeds import Difference
from valor.training.recipes import recipe_to_json

from .alone import OneStream
from .options import ALL_TAGS, ARMS, FRESH, TIME_CODES, base_of
from .results import CellResult
from .run import PretrainBench
from .sections import before_json, one_stream_csv, one_stream_json, probe_csv, sections

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JUDGED = ("segment", "type_av")
"""The figure whose differences are shown."""
SHOWN = (*(("segment", figure) for figure in FIGURES), ("event", "type_av"), ("event", "event_av"))
"""The figures of text and Markdown; CSV and JSON hold all ten."""


def to_text(found: PretrainBench) -> str:
    """Lay a bench out for the terminal."""
    titles, *rows = _cells(found)
    begins = [n for n, result in enumerate(found.results) if n and result.cell.share != found.results[n - 1].cell.share]
    sheet = Sheet(columns=titles, rows=rows, gaps={n: [RULE] for n in (*begins, len(rows))}, left=(0, 1))
    first = "\n".join([found.title, "", sheet.to_text(), *notes(found)])
    return "\n\n".join([first, *(section.to_text() for section in sections(found))])


def to_markdown(found: PretrainBench) -> str:
    """Write a bench in Markdown."""
    titles, *rows = _cells(found)
    table = Sheet(columns=titles, rows=rows, left=(0, 1)).to_markdown()
    first = f"{table}\n\n" + "\n".join(f"- {note.replace('* ', '`*` ', 1)}" for note in notes(found))
    return "\n\n".join([first, *(section.to_markdown() for section in sections(found))])


def to_latex(found: PretrainBench) -> str:
    """Write the table of arms as a LaTeX tabular, its notes as comments above it; Markdown has what stands below."""
    titles, *rows = _cells(found)
    begins = [n for n, result in enumerate(found.results) if n and result.cell.share != found.results[n - 1].cell.share]
    sheet = Sheet(columns=titles, rows=rows, gaps={n: [] for n in begins}, left=(0, 1))
    has_star = any("*" in cell for row in rows for cell in row)
    starred = [note for note in notes(found) if note.startswith("* ") and has_star]
    told = [note for note in notes(found) if note not in starred]
    return latex_told(sheet, [found.title, *told], notes=starred)


def to_csv(found: PretrainBench) -> str:
    """Write a bench as comma-separated values, unrounded: all ten figures and their differences."""
    ten = [(level, figure) for level in LEVELS for figure in FIGURES]
    ends = ("delta", "clips.low", "clips.high", "seeds.low", "seeds.high")
    columns = [f"{level}.{figure}{part}" for level, figure in ten for part in ("", ".sd", *(f".{end}" for end in ends))]
    columns += ["usual", *(f"{level}.{figure}.usual.{end}" for level, figure in ten for end in ends)]
    rows = []
    for result in found.results:
        cell, cells = result.cell, list[Any]()
        for level, figure in ten:
            values = result.figures(level, figure)
            cells += [fmean(values), _sd(values), *_ends(result.over_fresh, level, figure)]
        cells += [result.usual, *(end for of in ten for end in _ends(result.over_usual, *of))]
        first = [cell.share, cell.arm, cell.tagged, cell.others, len(result.val), result.val_mean]
        rows.append([*first, *cells, _tuned(result), found.title])
    return csv_text(["share", "arm", "tagged", "untagged", "seeds", "val", *columns, "tuned", "world"], rows)


def to_json(found: PretrainBench) -> str:
    """Write a bench as JSON: every seed of every cell, and differences with their intervals."""
    fresh = {result.cell.share: result.one_stream for result in found.results if result.cell.arm == FRESH}
    report = {
        "title": found.title,
        "recipe": recipe_to_json(found.recipe),
        "steps": found.options.steps,
        "whole_steps": found.options.whole_steps,
        "rounds": found.options.rounds,
        "seeds": found.options.seeds,
        "cells": [_to_json(result, fresh.get(result.cell.share)) for result in found.results],
        "before_tags": None if found.before_tags is None else before_json(found.before_tags),
        "chosen": [
            {"share": of.cell.share, "arm": of.cell.arm, "chosen": of.best.arm, "val": dict(of.found)}
            for of in found.choices
        ],
        "left_out": found.left_out,
        "failed": found.failed,
        "notes": notes(found),
    }
    return json.dumps(report, indent=1, ensure_ascii=False)


FORMATS: dict[str, Callable[[PretrainBench], str]] = {
    ".txt": to_text,
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
    ".json": to_json,
}
"""What a bench can be written as, by the ending of the file."""


def write_pretrain_bench(out: Path, found: PretrainBench) -> list[Path]:
    """Write the table in every form and the figure; returns the files."""
    made: dict[str, bytes] = {ending: (lay_out(found) + "\n").encode() for ending, lay_out in FORMATS.items()}
    if found.before_tags is not None:
        made["-probe.csv"] = probe_csv(found.before_tags, found.title).encode()
    if any(result.one_stream for result in found.results):
        made["-one-stream.csv"] = one_stream_csv(found).encode()
    if any(result.over_fresh for result in found.results):
        pictures = {".pdf": to_pdf(draw(found)), ".png": to_png(draw(found))}
        made |= pictures | {"-dark.png": to_png(draw(found, theme="dark"))}
    return write_forms(out / "pretraining", made)


def draw(found: PretrainBench, *, theme: str = "light") -> "Figure":
    """Draw what each arm has over the tagged clips alone, at each share."""
    rows = []
    fresh = {result.cell.share: result for result in found.results if result.cell.arm == FRESH}
    for result in found.results:
        clips, seeds = _intervals(result, *JUDGED)
        if clips is None:
            continue
        pairs = zip(result.figures(*JUDGED), fresh[result.cell.share].figures(*JUDGED), strict=True)
        rows.append(
            DotRow(
                name=result.cell.arm,
                group=f"{100 * result.cell.share:g} % of the tags, {fresh[result.cell.share].cell.tagged} clips",
                value=clips.value,
                inner=(clips.low, clips.high),
                outer=None if seeds is None else (seeds.low, seeds.high),
                points=tuple(one - other for one, other in pairs),
            )
        )
    return dots_figure(
        [DotPanel(rows)],
        measure="segment Type@AV, points over the tagged clips alone",
        inner="95 % over clips",
        outer="95 % over seeds",
        points="each seed",
        title=f"What clips without tags are worth: {found.title}",
        style=Style(width=PAPER_WIDTH, theme=theme),
    )


def notes(found: PretrainBench) -> list[str]:
    """What the numbers are, and what was left out."""
    clips, seeds = (found.results[0].scores[0].clips if found.results else 0), found.options.seeds
    bases = dict.fromkeys(base_of(arm) for arm in found.options.arms)
    said = [f"{name}: {what}" for name, what in ARMS.items() if name in bases]
    if objectives := [name for name in bases if name in OBJECTIVES]:
        said.append(
            f"{', '.join(objectives)}: the tagged clips alone, begun with stem and encoder of "
            f"{found.options.pretrain_epochs} epochs of `valor pretrain`"
        )
    if TIME_CODES in bases and (coded := [name for name in objectives if objective_class(name).needs_order]):
        said.append(f"{', '.join(coded)}: by a parser with time codes, as {TIME_CODES} is")
    if any(result.cell.arm == ALL_TAGS for result in found.results):
        where = f" (trained in {found.options.bound})" * (found.options.bound is not None)
        said.append(
            f"{ALL_TAGS}{where}: the arm {FRESH} with all of them, which nothing without them is expected to reach"
        )
    said += [
        f"steps: {found.options.steps} a training and a round, {found.options.whole_steps} with all tags; "
        f"{found.options.rounds} round{'s' * (found.options.rounds > 1)} after the first",
        "val: validation segment Type@AV of the kept epoch; all other figures are of the test split",
        f"Δ: segment Type@AV minus that of fresh at the same share, with 95 % intervals: [over clips] paired bootstrap "
        f"over {clips} clips of the values averaged over seeds"
        + (f"; (over seeds) paired t over {seeds} seeds" if seeds > 1 else "; one seed says nothing of others"),
        f"* {'both intervals leave' if seeds > 1 else 'it leaves'} zero out",
    ]
    if any(result.over_usual for result in found.results):
        said.append(
            "Δ usual: a row whose weight and share were chosen, minus the same arm with the usual ones, likewise"
        )
    if len(every := {result.chosen_on_val for result in found.results}) == 1 and (words := every.pop()):
        said.append(f"chosen on the truth of validation in every row: {', '.join(words)}")
    said += [
        f"{result.cell.name} over {TIME_CODES}: {_delta(result.over_codes)}"
        for result in found.results
        if result.over_codes is not None
    ]
    said += [choice.text() for choice in found.choices]
    said += [f"left out {name}: {reason}" for name, reason in found.left_out.items()]
    return said + [f"failed {name}: {message}" for name, message in found.failed.items()]


def _cells(found: PretrainBench) -> list[list[str]]:
    """A heading and a line for each cell."""
    levels = {"segment": "", "event": "event "}
    titles = [f"{levels[level]}{FIGURE_TITLES[figure]}" for level, figure in SHOWN]
    lines = [["tags", "arm", "tagged", "untagged", "val", *titles, "Δ", "[over clips]", "(over seeds)"]]
    differs = len({result.chosen_on_val for result in found.results}) > 1
    chosen = any(result.over_usual for result in found.results)
    lines[0] += [*["Δ usual", "[over clips]", "(over seeds)"] * chosen, *["tuned on validation"] * differs]
    for result in found.results:
        cell = result.cell
        figures = [_mean(result.val)]
        figures += [_mean(values) if of == JUDGED else f"{fmean(values):.1f}" for of, values in _values(result)]
        delta = _delta_cells(result.over_fresh) + (_delta_cells(result.over_usual) if chosen else [])
        tuned = [_tuned(result)] * differs
        lines.append(
            [f"{100 * cell.share:g} %", cell.arm, str(cell.tagged), str(cell.others), *figures, *delta, *tuned]
        )
    return lines


def _delta_cells(over: Difference | None) -> list[str]:
    """A difference of the figure that is judged, with its star and its intervals."""
    if over is None:
        return [""] * 3
    clips, seeds = over.clips.of(*JUDGED), over.seeds and over.seeds[JUDGED]
    star = "*" * over.is_clear(*JUDGED)
    return [f"{clips.value:+.1f}{star}", f"[{_range(clips)}]", f"({_range(seeds)})" if seeds else ""]


def _ends(over: Difference | None, level: str, figure: str) -> list[float | None]:
    """A difference and the ends of its intervals over clips and over seeds, as far as there are."""
    if over is None:
        return [None] * 5
    clips, seeds = over.clips.of(level, figure), over.seeds and over.seeds[level, figure]
    return [clips.value, clips.low, clips.high, *((seeds.low, seeds.high) if seeds else (None, None))]


def _tuned(result: CellResult) -> str:
    return "?" if result.chosen_on_val is None else ", ".join(result.chosen_on_val)


def _values(result: CellResult) -> list[tuple[tuple[str, str], list[float]]]:
    return [(of, result.figures(*of)) for of in SHOWN]


def _mean(values: "list[float] | tuple[float, ...]") -> str:
    return f"{fmean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def _delta(over: Difference) -> str:
    """A difference of the figure that is judged, with its intervals."""
    return " ".join(filter(None, _delta_cells(over)))


def _intervals(result: CellResult, level: str, figure: str) -> tuple[Interval | None, Interval | None]:
    """Of the difference from fresh: over clips and over seeds, as far as there are."""
    over = result.over_fresh
    if over is None:
        return None, None
    return over.clips.of(level, figure), over.seeds[level, figure] if over.seeds else None


def _to_json(result: CellResult, fresh: OneStream | None) -> dict[str, Any]:
    cell, over = result.cell, result.over_fresh
    entry: dict[str, Any] = {
        "share": cell.share,
        "arm": cell.arm,
        "tagged": cell.tagged,
        "untagged": cell.others,
        "epochs": cell.recipe.fit.epochs,
        "tuned": None if result.chosen_on_val is None else list(result.chosen_on_val),
        "val": list(result.val),
        **{level: {figure: result.figures(level, figure) for figure in FIGURES} for level in LEVELS},
    }
    if result.one_stream is not None:
        entry["one_stream"] = one_stream_json(result, None if result.cell.arm == FRESH else fresh)
    if over is not None:
        entry["over_clips"] = over.clips.to_dict()
        entry["clear"] = over.is_clear(*JUDGED)
    if (usual := result.over_usual) is not None:
        told = {f"{level}.{figure}": vars(i) for (level, figure), i in (usual.seeds or {}).items()}
        entry["over_usual"] = {
            "arm": result.usual,
            "over_clips": usual.clips.to_dict(),
            "over_seeds": told or None,
            "clear": usual.is_clear(*JUDGED),
        }
    if result.over_codes is not None:
        entry["over_time_codes"] = result.over_codes.clips.to_dict()
    if over is not None and over.seeds:
        entry["over_seeds"] = {f"{level}.{figure}": vars(i) for (level, figure), i in over.seeds.items()}
    return entry


def _sd(values: list[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _range(interval: Interval) -> str:
    return f"{interval.low:+.1f}, {interval.high:+.1f}"
