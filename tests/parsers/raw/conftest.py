"""Seconds of noise, and small towers over them."""

import pytest
import torch

from valor.parsers.pretraining.objective import Segments
from valor.parsers.raw.options import TowerOptions
from valor.parsers.raw.views import RawViews

SMALL = {"kind": "patches", "width": 8, "num_layers": 1, "num_heads": 2}


@pytest.fixture(scope="session")
def seconds():
    """Three pieces of two seconds."""
    rng = torch.Generator().manual_seed(0)
    return Segments(
        torch.randn(3, 2, 1, 1, 48, 64, generator=rng),
        torch.randn(3, 2, 3, 1, 48, 64, generator=rng),
        rows=torch.arange(3),
    )


@pytest.fixture
def views_of():
    """Towers by their options, with the same weights for the same options."""

    def build(**changes):
        torch.manual_seed(1)
        return RawViews(TowerOptions(**{**SMALL, **changes}))

    return build
