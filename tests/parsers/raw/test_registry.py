from dataclasses import replace

import pytest
import torch

from tests.parsers.raw.conftest import SMALL
from valor.parsers.pretraining.objective import Epoch, Segments
from valor.parsers.raw.options import TowerOptions
from valor.parsers.raw.registry import RAW_OBJECTIVES, raw_objective
from valor.parsers.raw.views import RawViews


class Pool:
    """Three pieces of noise."""

    def __init__(self, seconds, pictures):
        rng = torch.Generator().manual_seed(0)
        self.whole = Segments(
            torch.randn(3, seconds, 1, 1, 48, 64, generator=rng),
            torch.randn(3, seconds, 3, pictures, 48, 64, generator=rng),
        )

    def __len__(self):
        return 3

    def batch(self, rows):
        return Segments(self.whole.audio[rows], self.whole.visual[rows], rows=rows)


@pytest.mark.parametrize("name", RAW_OBJECTIVES)
def test_every_objective_takes_a_step_on_raw_seconds(name, monkeypatch):
    found, kind, made = raw_objective(name)
    towers = TowerOptions(**kind.towers)
    towers = towers if name == "avol" else replace(towers, **SMALL, pictures=min(2, towers.pictures))
    torch.manual_seed(0)
    views = RawViews(towers)
    changes = dict(kind.changes) | ({"clusters": 2} if name == "xdc" else {})
    objective = made(views, made.Options(**changes))
    pool, rng = Pool(kind.seconds, towers.pictures), torch.Generator().manual_seed(0)
    objective.prepare(views, pool)
    objective.begin_epoch(views, pool, Epoch(1, 2), rng)
    assert found == name and (views.says_when or not objective.needs_order)
    terms = objective.loss(views, pool.batch(torch.arange(3)), rng)
    terms.total.backward()
    objective.after_step(views, 0.5)
    assert terms.total.isfinite()
    assert all(any(weight.grad is not None for weight in tower.parameters()) for tower in views.towers)


def test_names_that_are_none_are_refused_and_aliases_are_known():
    assert raw_objective("avc")[0] == "correspondence"
    with pytest.raises(ValueError, match="objective must be one of avol, .* for raw media, got 'lava'"):
        raw_objective("lava")
