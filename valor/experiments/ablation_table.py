"""An ablation as text, Markdown, CSV, LaTeX, JSON and a figure; the only place that rounds its numbers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from valor.eval.figures.forest import DotPanel, DotRow, dots_figure
from valor.eval.figures.style import PAPER_WIDTH, Style, to_pdf, to_png
from valor.eval.intervals import Interval
from valor.eval.scores import FIGURES, LEVELS
from valor.eval.tables import FIGURE_TITLES, LEVEL_TITLES, RULE, Cell, Sheet, csv_text, latex_told
from valor.label_harvest.disk import write_forms
from valor.scoring.over_seeds import too_few
from valor.training.recipes import recipe_to_json

from .ablate import Ablation, RowResult
from .jobs import alike_note
from .rows import GROUPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = (*(("segment", figure) for figure in FIGURES), ("event", "type_av"), ("event", "event_av"))
"""The figures of text and Markdown; CSV and JSON hold all ten."""

SHOWN_COMBINATIONS = 6
"""How many combinations a figure has room for."""

PANELS = (("labels", "teacher", "features"), ("layers", "encoder", "beyond", "combined", "own"))
"""Groups that share a scale in the figure: the parts of the method, and what is added to it."""

MANY_ROWS = 10
"""From so many rows on, one may have a star by chance."""

JUDGED = ("segment", "type_av")
"""The figure whose differences are shown."""


def to_text(found: Ablation) -> str:
    """Lay an ablation out for the terminal."""
    titles, *rows = _cells(found, spread=(JUDGED,))
    gaps: dict[int, list[str]] = {n: [*[RULE] * bool(n), GROUPS[group]] for n, group in _groups(found).items()}
    sheet = Sheet(columns=titles, rows=rows, gaps=gaps | {len(rows): [RULE]})
    return "\n".join([*heads(found), "", sheet.to_text(), *notes(found)])


def heads(found: Ablation) -> list[str]:
    """The lines above a table: which world and split, over how many seeds, and what the base was changed by."""
    seeds = found.options.seeds
    head = f"{found.world.title}; {f'means over {seeds} seeds' if seeds > 1 else 'one seed'}"
    return [head, *[f"base changed: {found.changed}"] * bool(found.changed)]


def to_markdown(found: Ablation) -> str:
    """Write an ablation in Markdown."""
    titles, *lines = _cells(found, spread=("val", *SHOWN))
    groups = _groups(found)
    rows = [[Cell(GROUPS[groups[n]], bold=True) if n in groups else "", *line] for n, line in enumerate(lines)]
    table = Sheet(columns=["", *titles], rows=rows, left=(0, 1)).to_markdown()
    above = "  \n".join(heads(found))  # two spaces end a line
    return f"{above}\n\n{table}\n\n" + "\n".join(f"- {note.replace('* ', '`*` ', 1)}" for note in notes(found))


def to_latex(found: Ablation) -> str:
    """Write an ablation as a LaTeX tabular: the figures of test and the difference from the base with both intervals.

    What is of validation, and what tuning adds, is in the other forms.
    """
    left_out = ("val", "tuning", *["(over seeds)"] * (found.options.seeds == 1))
    titles, *lines = _cells(found, spread=(JUDGED,))
    kept = [number for number, title in enumerate(titles) if title not in left_out]
    sheet = Sheet(
        columns=["Row", *(titles[number].removeprefix("event ") for number in kept[1:])],
        rows=[[line[number] for number in kept] for line in lines],
        gaps={number: [GROUPS[group]] for number, group in _groups(found).items()},
    )
    spans = {title: sum(level == of for of, _ in SHOWN) for level, title in LEVEL_TITLES.items()}
    spans[f"Segment {FIGURE_TITLES[JUDGED[1]]}"] = len(kept) - 1 - len(SHOWN)
    unsaid = tuple(f"{name}: " for name in left_out)
    told = [*heads(found), "figures of the test split", *(note for note in notes(found) if not note.startswith(unsaid))]
    starred = any("*" in cell for row in sheet.rows for cell in row[1:] if isinstance(cell, str))
    told = [note for note in told if starred or note != star_note(found)]
    return latex_told(sheet, told, spans, notes=[star_note(found)] * starred)


def star_note(found: Ablation) -> str:
    """What the star of a row means."""
    by_chance = f"; of {(rows := len(found.results) - 1)} such rows one or so would by chance" * (rows >= MANY_ROWS)
    return f"* {'both intervals leave' if found.options.seeds > 1 else 'it leaves'} zero out{by_chance}"


def to_csv(found: Ablation) -> str:
    """Write an ablation as comma-separated values, unrounded: all ten figures and their differences."""
    ten = [(level, figure) for level in LEVELS for figure in FIGURES]
    ends = ("delta", "clips.low", "clips.high", "seeds.low", "seeds.high")
    columns = [f"{level}.{figure}{part}" for level, figure in ten for part in ("", ".sd", *(f".{end}" for end in ends))]
    columns += [f"{level}.{figure}.tuning" for level, figure in ten]
    rows = []
    for result in found.results:
        row, cells = result.row, []
        for level, figure in ten:
            values = result.figures(level, figure)
            clips, seeds = _intervals(found, result, level, figure)
            cells += [fmean(values), _sd(values), clips and clips.value]
            for interval in (clips, seeds):
                cells += (None, None) if interval is None else (interval.low, interval.high)
        cells += [fmean(added) if (added := result.tuning(*of)) else None for of in ten]
        facts = [row.group, row.name, row.labels, " ".join(row.changes), len(result.val)]
        rows.append([*facts, result.val_mean, _sd(result.val), *cells, found.world.title, found.changed])
    first = ["group", "row", "labels", "changes", "seeds", "val", "val.sd"]
    return csv_text([*first, *columns, "world", "base.changed"], rows)


def to_json(found: Ablation) -> str:
    """Write an ablation as JSON: every seed of every row, differences with intervals, and what was chosen how."""
    report = {
        "world": found.world.title,
        "split": found.world.test.name,
        "base_recipe": recipe_to_json(found.world.base),
        "base_changed": list(found.options.changes),
        "own_files": list(found.own),
        "seeds": found.options.seeds,
        "rows": [_row_to_json(found, result) for result in found.results],
        "chosen_on_validation": {"row": found.winner.row.name, "among": len(found.searched)},
        "left_out": found.left_out,
        "failed": found.failed,
        "notes": notes(found),
    }
    return json.dumps(report, indent=1, ensure_ascii=False)


FORMATS: dict[str, Callable[[Ablation], str]] = {
    ".txt": to_text,
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
    ".json": to_json,
}
"""What an ablation can be written as, by the ending of the file."""


def write_ablation(out: Path, found: Ablation) -> list[Path]:
    """Write the table in every form and the figure; returns the files."""
    made: dict[str, bytes] = {ending: (lay_out(found) + "\n").encode() for ending, lay_out in FORMATS.items()}
    if len(found.results) > 1:
        made |= {
            ".pdf": to_pdf(draw_ablation(found)),
            ".png": to_png(draw_ablation(found)),
            "-dark.png": to_png(draw_ablation(found, theme="dark")),
        }
    return write_forms(out / "ablation", made)


def draw_ablation(found: Ablation, *, theme: str = "light") -> "Figure":
    """Draw the differences from the base.

    Of the combinations only those best on validation are drawn.
    """
    return draw_rows(
        dot_rows(found),
        f"{found.base.row.name}{', changed as said above' * bool(found.changed)}",
        "; base changed: ".join(filter(None, (found.world.title, found.changed))),
        theme=theme,
    )


def draw_rows(rows: Sequence[DotRow], base: str, world: str, *, theme: str = "light") -> "Figure":
    """Draw differences from a base: the parts of the method above, depth and later ideas below on a finer scale.

    Args:
        rows: As `dot_rows` makes them.
        base: What they are compared with.
        world: What was trained on, for the title.
        theme: `light` or `dark`.
    """
    panels = []
    for names in PANELS:
        shown = [row for row in rows if row.group in {GROUPS[name] for name in names}]
        if shown:
            panels.append(DotPanel(shown))
    return dots_figure(
        panels,
        measure=f"segment Type@AV, points over {base}",
        inner="95 % over clips",
        outer="95 % over seeds",
        points="each seed",
        title=f"What each part is worth: {world}",
        style=Style(width=PAPER_WIDTH, theme=theme),
    )


def dot_rows(found: Ablation) -> list[DotRow]:
    """The rows of the figure: differences from the base with their intervals.

    Of the combinations those that are best on validation.
    """
    combined = [result for result in found.results if result.row.group == "combined"]
    best = sorted(combined, key=lambda result: -result.val_mean)[:SHOWN_COMBINATIONS]
    rows = []
    for result in found.results[1:]:
        if result.row.group == "combined" and result not in best:
            continue
        clips, seeds = _intervals(found, result, *JUDGED)
        assert clips is not None  # only the base has none
        pairs = zip(result.figures(*JUDGED), found.base.figures(*JUDGED), strict=True)
        rows.append(
            DotRow(
                name=result.row.name,
                group=GROUPS[result.row.group],
                value=clips.value,
                inner=(clips.low, clips.high),
                outer=None if seeds is None else (seeds.low, seeds.high),
                points=tuple(one - other for one, other in pairs),
            )
        )
    return rows


def notes(found: Ablation) -> list[str]:
    """What the numbers are, and what was left out."""
    clips, seeds = found.results[0].scores[0].clips, found.options.seeds
    compared = [
        f"Δ: segment Type@AV minus that of {found.base.row.name!r}, with {_intervals_in_words(clips, seeds)}",
        star_note(found),
    ]
    said = [
        "val: validation segment Type@AV of the kept epoch; all other figures are of the test split",
        *compared * (len(found.results) > 1),
        "tuning: what gates and cuts of every class, chosen on val for each seed, add to the row's own segment Type@AV",
    ]
    if len(found.searched) > 1:
        said.append(f"chosen on validation among {len(found.searched)}: {winner_line(found)}")
    said += [alike_note(name, found.base.row.name) for name in found.alike]
    said += [f"own parts are of {', '.join(found.own)}"] * bool(found.own)
    said += [f"left out {name!r}: {reason}" for name, reason in found.left_out.items()]
    return said + [f"failed {name!r}: {message}" for name, message in found.failed.items()]


def _intervals_in_words(clips: int, seeds: int) -> str:
    """What the intervals are made from."""
    if seeds == 1:
        return f"a 95 % interval: [over clips] paired bootstrap over {clips} clips; one seed says nothing of others"
    return (
        f"95 % intervals: [over clips] paired bootstrap over {clips} clips of the values averaged over seeds; "
        f"(over seeds) paired t over {seeds} seeds{too_few(seeds)}"
    )


def winner_line(found: Ablation) -> str:
    """The row with the highest validation score, with its difference on test."""
    winner = found.winner
    clips, seeds = _intervals(found, winner, *JUDGED)
    if clips is None:
        return f"{winner.row.name!r}: nothing beyond the base helps"
    over_seeds = "" if seeds is None else f" ({_range(seeds)} over seeds)"
    return f"{winner.row.name!r}, {clips.value:+.1f} on test [{_range(clips)} over clips]{over_seeds}"


def _cells(found: Ablation, *, spread: Sequence[Any]) -> list[list[str]]:
    """A heading and a line for each row; deviations over seeds stand only with the figures named in `spread`."""
    levels = {"segment": "", "event": "event "}
    titles = [f"{levels[level]}{FIGURE_TITLES[figure]}" for level, figure in SHOWN]
    lines = [["row", "val", *titles, "Δ", "[over clips]", "(over seeds)", "tuning"]]
    for result in found.results:
        values: dict[Any, Sequence[float]] = {place: result.figures(*place) for place in SHOWN}
        figures = [
            f"{fmean(v):.1f}" + (f" ± {stdev(v):.1f}" if place in spread and len(v) > 1 else "")
            for place, v in ({"val": result.val} | values).items()
        ]
        clips, seeds = _intervals(found, result, *JUDGED)
        delta = [""] * 3
        if clips is not None:
            star = "*" if found.differences[result.row.name].is_clear(*JUDGED) else ""
            delta = [f"{clips.value:+.1f}{star}", f"[{_range(clips)}]", f"({_range(seeds)})" if seeds else ""]
        tuning = result.tuning(*JUDGED)
        lines.append([result.row.name, *figures, *delta, f"{fmean(tuning):+.1f}" if tuning else ""])
    return lines


def _groups(found: Ablation) -> dict[int, str]:
    """Positions of the rows that begin a group."""
    names = [result.row.group for result in found.results]
    return {number: name for number, name in enumerate(names) if not number or name != names[number - 1]}


def _intervals(found: Ablation, result: RowResult, level: str, figure: str) -> tuple[Interval | None, Interval | None]:
    """Of the difference from the base: over clips and over seeds, as far as there are."""
    compared = found.differences.get(result.row.name)
    if compared is None:
        return None, None
    return compared.clips.of(level, figure), compared.seeds[level, figure] if compared.seeds else None


def _row_to_json(found: Ablation, result: RowResult) -> dict[str, Any]:
    compared = found.differences.get(result.row.name)
    entry: dict[str, Any] = {
        "name": result.row.name,
        "group": result.row.group,
        "labels": result.row.labels,
        "changes": list(result.row.changes),
        "val": list(result.val),
        **{level: {figure: result.figures(level, figure) for figure in FIGURES} for level in LEVELS},
    }
    if result.tuned:
        entry["tuning"] = {f"{level}.{figure}": result.tuning(level, figure) for level in LEVELS for figure in FIGURES}
    if compared is not None:
        entry["over_clips"] = compared.clips.to_dict()
        entry["clear"] = compared.is_clear(*JUDGED)
    if compared is not None and compared.seeds:
        entry["over_seeds"] = {f"{level}.{figure}": vars(i) for (level, figure), i in compared.seeds.items()}
    return entry


def _sd(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _range(interval: Interval) -> str:
    return f"{interval.low:+.1f}, {interval.high:+.1f}"
