"""How a training went: losses, validation F, gradient norm and learning rate over the epochs, one seed or several.

One system shows every loss term and five F-scores, named at the ends of their lines. Several systems show one colour
each, their total loss and their Type@AV. Several seeds of a system are thin lines with their mean on top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from ..events import CountArray, Float64Array
from ..intervals import FEW_CLIPS
from ..tables import FIGURE_TITLES
from .style import ON_SCREEN, Style, Theme, add_legend, settle, stacked_axes

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SCORES = {
    "segment.audio": "A",
    "segment.visual": "V",
    "segment.audio_visual": "AV",
    "segment.type_av": "Type@AV",
    "event.type_av": "event Type@AV",
}
"""The validation figures that are drawn, by level.figure, and what they are called at the ends of their lines."""

_HEIGHTS = (1.9, 1.0)
"""Inches of the upper and the lower panels."""
_TWO_COLUMNS = 5.0
"""Inches of width from which the panels stand two beside each other."""
_LINE_GAP = 8.5
"""Points between the names at the ends of lines."""
_DASHED: Any = (0, (3.2, 1.4))


@dataclass(frozen=True, kw_only=True, eq=False)
class LoggedRun:
    """What one training wrote down, epoch by epoch; E epochs."""

    epochs: CountArray
    """int64 [E], ascending from 1."""
    losses: Mapping[str, Float64Array]
    """float64 [E] by term, `total` among them; NaN where a term was not logged."""
    scores: Mapping[str, Float64Array]
    """float64 [E] in percent by level.figure, at least SCORES."""
    grad_norm: Float64Array
    """float64 [E], before clipping."""
    learning_rate: Float64Array
    """float64 [E]."""
    selected: int | None = None
    """The epoch whose weights were kept."""
    clips: int | None = None
    """How many clips the scores are of; of fewer than FEW_CLIPS the panel says so."""


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One quantity in one panel: a curve for each seed."""

    name: str
    curves: Sequence[tuple[CountArray, Float64Array]]
    colour: str
    dashes: Any = "solid"
    weight: float = 1.3
    selected: Sequence[int | None] = ()
    """The kept epoch of each curve, marked on it."""

    @property
    def drawn(self) -> "tuple[CountArray, Float64Array]":
        """The mean over the epochs all seeds have, or the only curve."""
        length = min(len(epochs) for epochs, _ in self.curves)
        return self.curves[0][0][:length], np.mean([values[:length] for _, values in self.curves], axis=0)


def training_figure(
    systems: Sequence[tuple[str, Sequence[LoggedRun]]],
    *,
    select_by: str = "segment.type_av",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw trainings.

    Args:
        systems: (name, runs of its seeds), at least one of each.
        select_by: level.figure of the validation score the kept epoch is best in.
        title: A line above the figure.
        style: Width, theme and colours; narrow figures stack the panels.

    Returns:
        A matplotlib figure. Dots mark the kept epochs on the curve they were chosen by.

    Raises:
        ValueError: There is no system, one has no run, a run has no epoch, or arrays that are no curves.
    """
    _check(systems)
    colours = style.colours
    columns = 2 if style.width >= _TWO_COLUMNS else 1
    heights = _HEIGHTS if columns == 2 else tuple(height for height in _HEIGHTS for _ in range(2))
    figure, panels = stacked_axes(heights, style, columns=columns)
    contents = _one_system(systems[0][1], select_by, colours) if len(systems) == 1 else _many(systems, select_by, style)
    exponent = floor(log10(max(run.learning_rate.max() for _, runs in systems for run in runs) or 1))
    few = {run.clips for _, runs in systems for run in runs if run.clips is not None and run.clips < FEW_CLIPS}
    of_clips = f" of {min(few)} clip{'s' * (few != {1})}" if few else ""
    titles = ("Loss", f"Validation F (%){of_clips}", "Gradient norm", f"Learning rate × 1e{exponent}")
    for number, (axes, lines, heading) in enumerate(zip(panels, contents, titles, strict=True)):
        scale = 10.0**-exponent if number == 3 else 1.0
        for line in lines:
            _draw(axes, line, scale, colours)
        _frame(axes, heading, lines, logarithmic=number in (0, 2), colours=colours)
        if len(systems) == 1 and len(lines) > 1:
            _name_ends(axes, lines, heights[number // columns], colours)
        if number >= len(panels) - columns:
            axes.set_xlabel("epoch", fontsize=7.5, color=colours.quiet, labelpad=1)
    add_legend(figure, _legend(systems, select_by, style), title, colours)
    settle(figure)
    return figure


def _one_system(runs: Sequence[LoggedRun], select_by: str, colours: Theme) -> list[list[_Line]]:
    """Every term and five scores of one system; what is audible and visible keeps its colour."""
    palette = {"total": colours.ink, "audio": colours.modalities[0], "visual": colours.modalities[1]}
    spare = [*colours.systems[:3], colours.quiet]
    terms = [name for name in runs[0].losses if all(np.isfinite(run.losses[name]).any() for run in runs)]
    others = [name for name in terms if name not in palette]
    palette |= {name: spare[number % len(spare)] for number, name in enumerate(others)}
    losses = [
        _Line(name=name, curves=[(run.epochs, run.losses[name]) for run in runs], colour=palette[name])
        for name in sorted(terms, key=list(palette).index)
    ]
    looks = (
        (palette["audio"], "solid"),
        (palette["visual"], "solid"),
        (colours.systems[0], "solid"),
        (colours.ink, "solid"),
        (colours.ink, _DASHED),
        (colours.quiet, "solid"),
    )
    called = select_by.removeprefix("figures.").replace(".", " ").replace("_", " ")
    selecting = {} if select_by in SCORES else {select_by: called}
    scores = [
        _Line(
            name=name,
            curves=[(run.epochs, run.scores[key]) for run in runs],
            colour=colour,
            dashes=dashes,
            weight=1.7 if key == select_by else 1.2,
            selected=[run.selected for run in runs] if key == select_by else (),
        )
        for (key, name), (colour, dashes) in zip((SCORES | selecting).items(), looks, strict=False)
    ]
    return [losses, scores, *_plain(runs, "", colours.ink)]


def _many(systems: Sequence[tuple[str, Sequence[LoggedRun]]], select_by: str, style: Style) -> list[list[_Line]]:
    """The same four panels for several systems, one colour each."""
    fills = style.fills([name for name, _ in systems])
    panels: list[list[_Line]] = [[], [], [], []]
    for name, runs in systems:
        totals = [(run.epochs, run.losses["total"]) for run in runs]
        panels[0].append(_Line(name=name, curves=totals, colour=fills[name]))
        for key, dashes in _compared(select_by):
            chosen = [run.selected for run in runs] if key == select_by else []
            curves = [(run.epochs, run.scores[key]) for run in runs]
            panels[1].append(_Line(name=name, curves=curves, colour=fills[name], dashes=dashes, selected=chosen))
        for panel, lines in zip(panels[2:], _plain(runs, name, fills[name]), strict=True):
            panel += lines
    return panels


def _compared(select_by: str) -> list[tuple[str, Any]]:
    """The scores of several systems that are drawn, and how: what selected, and event Type@AV where it did not."""
    looks: list[tuple[str, Any]] = [(select_by, "solid"), ("event.type_av", _DASHED)]
    return looks[:1] if select_by == "event.type_av" else looks


def _plain(runs: Sequence[LoggedRun], name: str, colour: str) -> list[list[_Line]]:
    """Gradient norm and learning rate, a line each; seeds share their learning rate."""
    norms = [(run.epochs, run.grad_norm) for run in runs]
    longest = max(runs, key=lambda run: len(run.epochs))
    rates = [(longest.epochs, longest.learning_rate)]
    return [[_Line(name=name, curves=curves, colour=colour)] for curves in (norms, rates)]


def _draw(axes: "Axes", line: _Line, scale: float, colours: Theme) -> None:
    """Draw one line: its seeds thin, their mean on top, dots where the kept epochs are."""
    style = {"color": line.colour, "linestyle": line.dashes, "solid_joinstyle": "round"}
    marker = "o" if len(line.drawn[0]) == 1 else ""
    if len(line.curves) > 1:
        for epochs, values in line.curves:
            axes.plot(epochs, scale * values, **style, linewidth=0.6, alpha=0.45, zorder=2)
    epochs, values = line.drawn
    axes.plot(epochs, scale * values, **style, linewidth=line.weight, marker=marker, markersize=3, zorder=3)
    for (epochs, values), epoch in zip(line.curves, line.selected, strict=False):
        if epoch is not None:
            height = values[int(np.flatnonzero(epochs == epoch)[0])]
            axes.plot(
                epoch, height, "o", color=colours.paper, markeredgecolor=line.colour, markersize=4.6, zorder=4
            )  # fmt: skip
            if len(line.curves) == 1:
                axes.axvline(epoch, color=colours.quiet, linewidth=0.6, zorder=1)


def _frame(axes: "Axes", heading: str, lines: Sequence[_Line], *, logarithmic: bool, colours: Theme) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

    axes.set_title(heading, fontsize=9, fontweight="bold", color=colours.ink, loc="left", pad=3)
    last = max(int(epochs[-1]) for line in lines for epochs, _ in line.curves)
    axes.set_xlim(0, 1.02 * last)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if logarithmic:
        axes.set_yscale("log")
        narrow = MaxNLocator(4, steps=[1, 2, 2.5, 5, 10])  # less than two of the ticks 1, 2, 5, 10 need be in it
        axes.yaxis.set_major_locator(narrow if _is_narrow(lines) else LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0 if heading.startswith("Learning") else _floor(lines))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(color=colours.shade, linewidth=0.6)


def _is_narrow(lines: Sequence[_Line]) -> bool:
    """Whether the highest is less than five times the lowest, of what a logarithmic axis has."""
    known = [values[np.isfinite(values) & (values > 0)] for line in lines for _, values in line.curves]
    every = np.concatenate(known)
    return bool(every.size) and bool(every.max() < 5 * every.min())


def _floor(lines: Sequence[_Line]) -> float:
    """Where a panel of scores begins: the first sixth of the epochs may lie below it, to tell the rest apart."""
    late = [values[len(values) // 6 :] for line in lines for _, values in line.curves]
    lowest, highest = min(map(np.min, late)), max(map(np.max, late))
    return max(float(lowest - 0.06 * (highest - lowest)) - 0.5, 0.0)


def _name_ends(axes: "Axes", lines: Sequence[_Line], height: float, colours: Theme) -> None:
    """Write the name of each line at its end, moved apart where lines end close together."""
    points = 72 * height
    to_axes = axes.transData + axes.transAxes.inverted()
    with np.errstate(invalid="ignore", divide="ignore"):  # no number, or none that a logarithmic axis has
        heights = [to_axes.transform(np.stack(line.drawn, axis=1).astype(float))[:, 1] for line in lines]
    known = [drawn[np.isfinite(drawn)] for drawn in heights]
    ends = [float(np.clip(drawn[-1], 0, 1)) if drawn.size else 0.0 for drawn in known]
    places = _spread([points * end for end in ends], _LINE_GAP, points)
    for line, end, place in zip(lines, ends, places, strict=True):
        axes.annotate(
            line.name,
            (1, end),
            xycoords="axes fraction",
            xytext=(11, place - points * end),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=colours.ink,
            arrowprops={"arrowstyle": "-", "color": line.colour, "linewidth": 1.2, "linestyle": line.dashes,
                        "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def _spread(places: Sequence[float], gap: float, top: float) -> list[float]:
    """Move places apart to at least `gap`, each cluster around its middle and within [0, top]."""
    order = np.argsort(places, kind="stable")
    clusters: list[tuple[list[int], float]] = []
    for index in order.tolist():
        members, middle = [index], places[index]
        while clusters and middle - clusters[-1][1] < gap * (len(members) + len(clusters[-1][0])) / 2:
            earlier, _ = clusters.pop()
            members = earlier + members
            middle = float(np.mean([places[member] for member in members]))
            reach = gap * (len(members) - 1) / 2
            middle = min(max(middle, reach), max(top - reach, reach))
        clusters.append((members, middle))
    moved = list(places)
    for members, middle in clusters:
        for position, member in enumerate(members):
            moved[member] = middle + gap * (position - (len(members) - 1) / 2)
    return moved


def _legend(systems: Sequence[tuple[str, Sequence[LoggedRun]]], select_by: str, style: Style) -> "list[Artist]":
    from matplotlib.lines import Line2D

    colours = style.colours
    entries: list[Artist] = []
    if len(systems) > 1:
        fills = style.fills([name for name, _ in systems])
        entries += [Line2D([], [], color=fills[name], linewidth=1.6, label=name) for name, _ in systems]
        for key, dashes in _compared(select_by):
            entries.append(Line2D([], [], color=colours.quiet, linestyle=dashes, label=_spoken(key)))
    seeds = max(len(runs) for _, runs in systems)
    if seeds > 1:
        entries.append(Line2D([], [], color=colours.quiet, linewidth=1.7, label=f"mean of {seeds} seeds"))
        entries.append(Line2D([], [], color=colours.quiet, linewidth=0.6, label="one seed"))
    kept = [run.selected for _, runs in systems for run in runs if run.selected is not None]
    if kept:
        where = f"kept epoch {kept[0]}" if len(kept) == 1 else "kept epochs"
        entries.append(
            Line2D([], [], color=colours.paper, marker="o", markeredgecolor=colours.quiet, markersize=4.6,
                   linestyle="none", label=f"{where}, best {_spoken(select_by)}")
        )  # fmt: skip
    return entries or [Line2D([], [], linestyle="none", label="")]


def _spoken(key: str) -> str:
    """segment.type_av as it is said: segment Type@AV."""
    level, _, figure = key.partition(".")
    return f"{level} {FIGURE_TITLES.get(figure, figure)}"


def _check(systems: Sequence[tuple[str, Sequence[LoggedRun]]]) -> None:
    if not systems or not all(runs for _, runs in systems):
        raise ValueError("a training figure needs at least one system with at least one run, got none")
    if len({name for name, _ in systems}) < len(systems):
        raise ValueError(f"systems need names of their own, got {', '.join(name for name, _ in systems)}")
    for name, runs in systems:
        for run in runs:
            arrays = [*run.losses.values(), *run.scores.values(), run.grad_norm, run.learning_rate]
            shapes = {array.shape for array in arrays} | {run.epochs.shape}
            if len(shapes) != 1 or len(run.epochs.shape) != 1 or not len(run.epochs):
                raise ValueError(f"{name}: a run needs curves of one length, at least an epoch, got {sorted(shapes)}")
            if "total" not in run.losses or not set(SCORES) <= set(run.scores):
                raise ValueError(f"{name}: a run needs the loss `total` and the scores {', '.join(SCORES)}")
