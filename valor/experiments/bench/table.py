"""The bench as text, Markdown, CSV, JSON and a figure, all of it called SIMULATED; the only place that rounds it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valor.data.provenance import MARK
from valor.eval.figures.agreement import AgreementDot, agreement_figure
from valor.eval.figures.style import PAPER_WIDTH, Style, to_pdf, to_png
from valor.eval.intervals import Interval
from valor.eval.scores import FIGURES
from valor.eval.tables import FIGURE_TITLES, RULE, Cell, Sheet, csv_text, latex_told
from valor.label_harvest.disk import write_forms

from ..jobs import alike_note
from .compare import BenchLine, Order, anchor_errors
from .options import SIZES
from .rows import ROWS, trained_as
from .run import Bench
from .world import QUALITY

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AT = FIGURES.index("type_av")
_MISSING = "–"
_GROUPS = {"": "Anchors", "han": "On clip tags, over HAN", "valor": "Over VALOR", "valor++": "Over VALOR++"}


def to_text(found: Bench) -> str:
    """Lay a bench out for the terminal."""
    rows = list(map(_cells, found.lines))
    sheet = Sheet(columns=_COLUMNS, rows=rows, gaps=_group_gaps(found) | {len(rows): [RULE]})
    return "\n".join([_head(found), "", sheet.to_text(), *notes(found)])


def to_markdown(found: Bench) -> str:
    """Write a bench in Markdown."""
    rows = []
    for number, line in enumerate(found.lines):
        is_first = not number or _group(line) != _group(found.lines[number - 1])
        rows.append([Cell(_group(line), bold=True) if is_first else "", *_cells(line)])
    table = Sheet(columns=["", *_COLUMNS], rows=rows, left=(0, 1)).to_markdown()
    return f"{_head(found)}\n\n{table}\n\n" + "\n".join(f"- {note.replace('* ', '`*` ', 1)}" for note in notes(found))


def to_latex(found: Bench) -> str:
    """Write a bench as a LaTeX tabular, its world and notes as comments above it."""
    sheet = Sheet(columns=_COLUMNS, rows=list(map(_cells, found.lines)), gaps=_group_gaps(found))
    return latex_told(sheet, [_head(found), *notes(found)])


def _group_gaps(found: Bench) -> dict[int, list[str]]:
    """What the groups of rows are called, above the first of each."""
    groups = list(map(_group, found.lines))
    firsts = [n for n, group in enumerate(groups) if not n or group != groups[n - 1]]
    return {n: [*[RULE] * bool(n), groups[n]] for n in firsts}


def to_csv(found: Bench) -> str:
    """Write a bench as comma-separated values, unrounded."""
    facts = ["row", "recipe", "features", "labels", "over", "published as", "simulated"]
    ends = ["delta.published", "delta", "delta.low", "delta.high", "misses"]
    columns = [*facts, *(f"segment.{f}" for f in FIGURES), "sd", "tuned", *(f"published.{f}" for f in FIGURES), *ends]
    rows: list[list[Any]] = []
    for line in found.lines:
        row, delta = ROWS[line.name], line.delta
        rows.append(
            [
                *(line.name, row.recipe, row.features, row.labels, row.over, row.published, "true"),
                *(*line.simulated, line.deviation, line.tuned, *line.published, line.published_delta),
                *((None, None, None) if delta is None else (delta.value, delta.low, delta.high)),
                line.misses if line.counts else None,
            ]
        )
    return csv_text(columns, rows)


def to_json(found: Bench) -> str:
    """Write a bench as JSON, unrounded."""
    lines = [
        {**asdict(line), **asdict(ROWS[line.name]), "name": line.name, "misses": line.misses} for line in found.lines
    ]
    report = {
        "title": found.world.title,
        "simulated": True,
        "world": found.options.world,
        "size": found.options.size,
        "knobs": asdict(SIZES[found.options.size].knobs) if found.options.world == "llp" else None,
        "seeds": found.options.seeds,
        "label_quality": {kind: dict(reached) for kind, reached in found.world.quality.items()},
        "published_label_quality": QUALITY,
        "figures": list(FIGURES),
        "rows": lines,
        "orders": [asdict(order) for order in found.orders],
        "failed": found.failed,
        "minutes": found.minutes,
        "notes": notes(found),
    }
    return json.dumps(report, indent=1, ensure_ascii=False)


FORMATS: dict[str, Callable[[Bench], str]] = {
    ".txt": to_text,
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
    ".json": to_json,
}
"""What a bench can be written as, by the ending of the file."""


def write_bench(out: Path, found: Bench) -> list[Path]:
    """Write the table in every form and, where a row counts, the figure; returns the files."""
    made = {ending: (lay_out(found) + "\n").encode() for ending, lay_out in FORMATS.items()}
    if any(line.counts for line in found.lines):
        made |= {".pdf": to_pdf(draw_bench(found)), ".png": to_png(draw_bench(found))}
    return write_forms(out / found.name, made)


def draw_bench(found: Bench, *, theme: str = "light") -> "Figure":
    """Draw foretold over published differences."""
    dots = [
        AgreementDot(line.name, known, line.delta.value, (line.delta.low, line.delta.high), _group(line))
        for line in found.lines
        if line.delta is not None and (known := line.published_delta) is not None
    ]
    return draw_dots(dots, found.world.title, theme=theme)


def draw_dots(dots: Sequence[AgreementDot], world: str, *, theme: str = "light") -> "Figure":
    """Draw foretold over published differences, as dots; `world` is the title."""
    return agreement_figure(
        dots,
        known="published segment Type@AV, points over its anchor",
        foretold=f"{MARK}, points over its anchor",
        title=world,
        style=Style(width=PAPER_WIDTH, theme=theme),
    )


def notes(found: Bench) -> list[str]:
    """What the numbers are, how far the bench can be believed, and where it is wrong."""
    seeds = found.options.seeds
    fitted = "nothing is fitted here"
    if found.options.world == "llp":
        is_fitted = SIZES[found.options.size].fitted
        fitted = "the world is fitted to these rows and to no other" if is_fitted else _UNFITTED
    errors = ", ".join(f"{name} {error:+.1f}" for name, error in anchor_errors(found.lines).items())
    said = [
        f"{MARK}: every figure but the published ones; nothing here is a score on LLP",
        f"Δ: segment Type@AV over the anchor, with a 95 % interval over clips and {_seeds(seeds)}; tuned: by gates and "
        "cuts of every class chosen on val; ± over seeds",
        f"anchors: {fitted}; simulated less published Type@AV: {errors}",
        *(_quality_line(kind, found.world.quality[kind]) for kind in QUALITY),
        *(_order_line(order) for order in found.orders),
        *(_miss_line(line) for line in _misses(found)),
    ]
    if found.orders and not any(line.misses for line in found.lines):
        said.append("no published difference lies outside its interval")
    if chosen := [line.name for line in found.lines if ROWS[line.name].chosen_on_val]:
        said.append(f"decided by numbers chosen on val, as those of their papers were: {', '.join(chosen)}")
    said += [alike_note(name, ROWS[name].over or "") for name in found.alike]
    said += [f"{line.name}: {ROWS[line.name].open}" for line in found.lines if ROWS[line.name].open]
    said += [f"failed {name}: {message}" for name, message in found.failed.items()]
    same = {line.name: trained_as(line.name) for line in found.lines}
    said += [f"{name} is the training of {other}, read once more" for name, other in same.items() if name != other]
    trainings = len({*same.values()}) * seeds
    return [*said, f"{trainings} trainings took {found.minutes:.0f} minutes of one thread"]


def _group(line: BenchLine) -> str:
    """What its part of the table is called."""
    over = ROWS[line.name].over or ""
    return _GROUPS[over] if over in _GROUPS else f"{'Over' if ROWS[over].published else 'Parts of'} {over}"


def _head(found: Bench) -> str:
    seeds = found.options.seeds
    return f"{found.world.title}; {f'means over {seeds} seeds' if seeds > 1 else 'one seed'}"


_UNFITTED = "the strengths are those fitted at the small size, and not at this one"
_COLUMNS = ("row", *(FIGURE_TITLES[f] for f in FIGURES), "tuned", "published", "Δ", "[95 %]", "published Δ", "")


def _cells(line: BenchLine) -> list[str]:
    figures = [f"{value:.1f}" for value in line.simulated]
    if line.deviation:
        figures[_AT] += f" ± {line.deviation:.1f}"
    published, delta = line.published[_AT], line.delta
    return [
        line.name,
        *figures,
        _MISSING if line.tuned is None else f"{line.tuned:.1f}",
        _MISSING if published is None else f"{published:.1f}",
        "" if delta is None else f"{delta.value:+.1f}",
        "" if delta is None else f"[{_range(delta)}]",
        _MISSING if line.published_delta is None else f"{line.published_delta:+.1f}",
        "misses" if line.misses else "",
    ]


def _seeds(count: int) -> str:
    return (
        f"{count} seeds (their deviation pooled over rows)" if count > 1 else "none over seeds, of which there is one"
    )


def _quality_line(kind: str, reached: Any) -> str:  # noqa: ANN401, a mapping of figures
    set_by = ("audio", "visual")
    words = ", ".join(
        f"{FIGURE_TITLES[f]} {reached[f]:.1f} (published {QUALITY[kind][f]:.1f}{', set' if f in set_by else ''})"
        for f in QUALITY[kind]
    )
    whose = "VALOR's teachers" if kind == "teachers" else "UWAV's generator"
    return f"labels of {whose} on test: {words}"


def _order_line(order: Order) -> str:
    return (
        f"order of {order.of} over {order.rows} rows that nothing was fitted to: Spearman {order.spearman.value:+.2f} "
        f"[{order.spearman.low:+.2f}, {order.spearman.high:+.2f}], Kendall {order.kendall.value:+.2f} "
        f"[{order.kendall.low:+.2f}, {order.kendall.high:+.2f}]"
    )


def _misses(found: Bench) -> list[BenchLine]:
    """Rows whose published difference lies outside the interval, the worst first."""
    missed = [line for line in found.lines if line.misses]
    return sorted(missed, key=lambda line: -abs((line.delta.value if line.delta else 0) - (line.published_delta or 0)))


def _miss_line(line: BenchLine) -> str:
    assert line.delta is not None and line.published_delta is not None  # of a row that misses
    off = line.delta.value - line.published_delta
    return (
        f"wrong: {line.name} is {abs(off):.1f} points too {'good' if off > 0 else 'bad'} here, {line.delta.value:+.1f} "
        f"[{_range(line.delta)}] over {ROWS[line.name].over}, published {line.published_delta:+.1f}"
    )


def _range(interval: Interval) -> str:
    return f"{interval.low:+.1f}, {interval.high:+.1f}"
