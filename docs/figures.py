"""The pictures of docs/concepts.md, for light and for dark pages, drawn from a small finished demo.

valor demo --clips 50 --seeds 1 --out small
python docs/figures.py small
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.data.datasets.dataset import LLP
from valor.data.predictions import read_predictions
from valor.eval.figures.style import THEMES, Style, Theme, add_legend, settle, stacked_axes, swatches, to_png
from valor.label_harvest.store.store import read_store
from valor.label_harvest.strict_json import loads

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HERE = Path(__file__).parent
DPI = 110
WIDTH = 7.2
MODALITIES = {"audio": "audible", "visual": "visible"}


def draw_evidence(demo: Path, theme: str, clip: str, name: str) -> bytes:
    """A tag of a clip: logits of both teachers, their thresholds, and the labels that come of it beside the truth."""
    style = Style(width=WIDTH, theme=theme)
    colours = style.colours
    store = read_store(next((demo / "data/store").glob("*/")), names=[f"{role}.similarity" for role in MODALITIES])
    at, of = store.clip_ids.index(clip), store.class_names.index(name)
    cuts = loads((demo / "labels/valor/labels.json").read_text(encoding="utf-8"))["thresholds"]
    test = LLP.read_split(demo / "data", "test")
    assert test.truth is not None
    true = test.truth[test.clip_ids.index(clip), :, :, of]
    figure, axes = stacked_axes([1.15, 0.4, 1.15, 0.4], style)
    for row, role in enumerate(MODALITIES):
        logits = store.logits(role)[at]
        for other in range(len(store.class_names)):
            colour, width = (colours.modalities[row], 2.2) if other == of else (colours.shade, 1.0)
            _steps(axes[2 * row], logits[:, other], zorder=2 + (other == of), color=colour, linewidth=width)
        axes[2 * row].axhline(cuts[role][of], color=colours.systems[1], linewidth=1.4, linestyle="--", zorder=4)
        _name(axes[2 * row], f"logit of the\n{role} teacher", colours)
        _marks(
            axes[2 * row + 1], [(logits[:, of] > cuts[role][of], colours.modalities[row]), (true[:, row], colours.ink)]
        )
        _name(axes[2 * row + 1], MODALITIES[role], colours)
    heard, seen = colours.modalities
    fills = {
        f"{name}, audible": heard,
        f"{name}, visible": seen,
        "threshold of its labels": colours.systems[1],
        "other classes": colours.shade,
    }
    tags = ", ".join(store.class_names[tag] for tag in np.flatnonzero(store.weak_labels[at]))
    title = f"Tagged “{tags}”: from evidence to the pseudo labels of {name}"
    add_legend(figure, swatches({**fills, f"truth of {name}": colours.ink}), title, colours)
    return _finished(figure, axes, colours)


def draw_gate(demo: Path, theme: str, clip: str, name: str) -> bytes:
    """A class whose segments are above their threshold and whose clip is below: the gate leaves nothing of it."""
    style = Style(width=WIDTH, theme=theme)
    colours = style.colours
    found = read_predictions(demo / "runs/valor/seed-0/predictions.npz")
    assert found.segment_probs is not None and found.clip_probs is not None
    at, of = found.clip_ids.index(clip), found.class_names.index(name)
    probs, gate = found.segment_probs[at, :, 0, of], float(found.clip_probs[at, of])
    figure, axes = stacked_axes([1.3, 0.4, 0.4], style)
    _steps(axes[0], probs, color=colours.modalities[0], linewidth=2.2)
    axes[0].axhline(gate, color=colours.systems[0], linewidth=2.2)
    axes[0].axhline(0.5, color=colours.systems[1], linewidth=1.4, linestyle="--")
    axes[0].set_ylim(0, 1)
    _name(axes[0], f"{name},\naudible", colours)
    marks = {"no gate": probs >= 0.5, "gate clip": (probs >= 0.5) & (gate >= 0.5)}
    for row, (said, marked) in enumerate(marks.items()):
        _marks(axes[1 + row], [(marked, colours.modalities[0])])
        _name(axes[1 + row], said, colours)
    fills = {"probability of the segment": colours.modalities[0], "probability of the clip": colours.systems[0]}
    legend = swatches({**fills, "both thresholds": colours.systems[1]})
    add_legend(figure, legend, f"A gate: no {name} in this clip, so none in its segments", colours)
    return _finished(figure, axes, colours)


def _steps(axes: "Axes", values: np.ndarray, **how: object) -> None:
    axes.stairs(values, range(len(values) + 1), baseline=None, **how)


def _marks(axes: "Axes", rows: list[tuple[np.ndarray, str]]) -> None:
    """Bars where segments are marked, one row below the other."""
    for row, (marked, colour) in enumerate(rows):
        for second in np.flatnonzero(marked):
            axes.barh(-row, 1, left=second, height=0.72, color=colour)
        axes.axhline(-row, color=colour, linewidth=0.6, alpha=0.4)
    axes.set_ylim(-len(rows) + 0.4, 0.6)


def _name(axes: "Axes", name: str, colours: Theme) -> None:
    axes.set_yticks([])
    axes.set_ylabel(name, rotation=0, ha="right", va="center", color=colours.ink, fontsize=8)


def _finished(figure: object, axes: "list[Axes]", colours: Theme) -> bytes:
    axes[-1].set_xlim(0, 10)
    axes[-1].set_xticks(range(11))
    axes[-1].set_xlabel("seconds", color=colours.quiet, fontsize=8)
    for one in axes:
        one.grid(axis="x", color=colours.shade, linewidth=0.8)
    settle(figure)
    return to_png(figure, dpi=DPI)


def main(demo: Path) -> None:
    """Draw all of them."""
    for theme in THEMES:
        drawn = {
            "evidence": draw_evidence(demo, theme, "O65QyYZZs3f_140_150", "Speech"),
            "gate": draw_gate(demo, theme, "3Ydbsj5cyzj_90_100", "Singing"),
        }
        for name, image in drawn.items():
            (HERE / f"{name}-{theme}.png").write_bytes(image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
