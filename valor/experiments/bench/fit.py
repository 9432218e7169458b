"""How the anchors are fitted: five numbers, step by step, until HAN, VALOR and VALOR++ are where published.

Each number has a figure it moves most, and all are moved at once by what that figure lacks over what it was seen to
gain: audible strengths by A of VALOR and of VALOR++, visible ones by V of HAN and of VALOR++, the trace of what is not
seen by V of VALOR. A step is at most a third of what a number is, so that one lucky seed carries it not far.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from valor.data.datasets.dataset import LLP
from valor.eval.scores import FIGURES

from ..jobs import scores_on_test, trained
from .compare import published_figures
from .narrow import jobs_of
from .options import SIZES, Knobs
from .rows import ANCHORS
from .world import make_llp

_LOG = logging.getLogger(__name__)

TARGETS = (
    ("classic_audio", "valor", "audio", 20.0),
    ("joint_audio", "valor++", "audio", 20.0),
    ("classic_visual", "han", "visual", 20.0),
    ("joint_visual", "valor++", "visual", 20.0),
    ("trace", "valor", "visual", -20.0),
)
"""A field of Knobs, the anchor and figure it is fitted to, and points of that figure for twice the strength, or for 1
of the trace: about what was seen on the way to the first fit."""

CLOSE = 0.7
"""Points from the published figure that are near enough: about what a seed is worth."""


def fit_anchors(data: Path | None, out: Path, size_name: str, *, seeds: int, rounds: int, jobs: int) -> Iterator[Knobs]:
    """Look for the strengths at which the anchors have their published figures.

    Args:
        data: A folder that may hold LLP's tables.
        out: Gets a world and runs for each step.
        size_name: A key of SIZES, whose numbers are the start.
        seeds: Trainings of each anchor at each step.
        rounds: Steps of all numbers at once, at most.
        jobs: Trainings at a time.

    Yields:
        The numbers after each round; the last are the result.
    """
    size = SIZES[size_name]
    knobs = size.knobs
    for step in range(rounds):
        figures = _anchor_figures(data, out / f"fit-{size_name}-{step}", size_name, knobs, seeds, jobs)
        changed, off = knobs, {}
        for field, anchor, figure, slope in TARGETS:
            missing = float(published_figures(anchor)[FIGURES.index(figure)] or 0) - figures[anchor][figure]
            off[field] = missing
            now = getattr(changed, field)
            change = missing / slope if field == "trace" else now * (2 ** (missing / slope) - 1)
            bound = max(now / 3, 0.05)
            changed = replace(changed, **{field: max(0.0, now + min(max(change, -bound), bound))})
        _LOG.info("step %d: %s, missing %s", step, knobs, {field: round(value, 1) for field, value in off.items()})
        if all(abs(value) < CLOSE for value in off.values()):
            return
        knobs = changed
        yield knobs


def _anchor_figures(
    data: Path | None, out: Path, size_name: str, knobs: Knobs, seeds: int, jobs: int
) -> dict[str, dict[str, float]]:
    """Figures of the anchors in a world of these strengths, means over seeds."""
    size = SIZES[size_name]
    world = make_llp(data, out, size_name, size, knobs)
    todo = {name: jobs_of(name, world, out / "runs", seeds) for name in ANCHORS}
    for job, outcome in trained([job for own in todo.values() for job in own], jobs):
        if isinstance(outcome, str):
            raise ValueError(f"{job.row}: {outcome}")
    test = LLP.read_split(world.data, "test")
    found = {}
    for name, own in todo.items():
        scores, _ = scores_on_test([job.folder for job in own], own[0].recipe.methods, test)
        found[name] = {figure: fmean(getattr(one.segment, figure) for one in scores) for figure in FIGURES}
    return found
