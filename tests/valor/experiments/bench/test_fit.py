"""The anchors are fitted: a bounded step for each number, until all are near enough."""

from dataclasses import astuple
from pathlib import Path

import pytest

from valor.experiments.bench import fit
from valor.experiments.bench.fit import fit_anchors
from valor.experiments.bench.options import Knobs
from valor.experiments.bench.rows import ANCHORS

TRUE = Knobs(classic_audio=3.0, classic_visual=8.0, joint_audio=6.0, joint_visual=7.0, trace=0.3)


def world_of(knobs, published=fit.published_figures):
    """Figures that are as published where the strengths are TRUE, and otherwise move about as the first guess says."""
    figures = {name: dict(zip(fit.FIGURES, published(name), strict=True)) for name in ANCHORS}
    for field, anchor, figure, slope in fit.TARGETS:
        figures[anchor][figure] += 1.3 * slope * (getattr(knobs, field) - getattr(TRUE, field)) / (slope > 0 and 4 or 1)
    return figures


def test_strengths_are_found_again(monkeypatch):
    seen = []

    def figures(_data, _out, _name, knobs, *_):
        seen.append(knobs)
        return world_of(knobs)

    monkeypatch.setattr(fit, "_anchor_figures", figures)
    found = list(fit_anchors(None, Path(), "small", seeds=1, rounds=20, jobs=1))
    assert len(seen) < 20, "it ends where all are near enough"
    for value, true in zip(astuple(found[-1]), astuple(TRUE), strict=True):
        assert value == pytest.approx(true, abs=0.4)
    for one, other in zip(seen, seen[1:], strict=False):
        for before, after in zip(astuple(one), astuple(other), strict=True):
            assert abs(after - before) <= max(before / 3, 0.05) + 1e-9, "one lucky seed carries it not far"
