"""What the tests of the application share beside `tests/conftest.py`."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
import torch

from valor.data.datasets.dataset import DATASETS
from valor.data.own_files import LOADED
from valor.eval.figures import training
from valor.label_harvest.teachers.build import TEACHERS
from valor.parsers.options import ENCODERS, NETWORKS, POOLINGS, STEMS
from valor.training import log
from valor.training.methods.methods import METHODS
from valor.training.recipes import RECIPES

PAINTED = {"training_figure": log.training_figure, "to_png": log.to_png}


def _drawn_up(*systems: Any, **how: Any) -> Any:  # noqa: ANN401
    """The figure of a training with all that is in it, but not laid out."""
    with patch.object(training, "settle"):
        return training.training_figure(*systems, **how)


@pytest.fixture(scope="session", autouse=True)
def unpainted() -> Iterator[None]:
    """Trainings of a moment have a picture beside them that takes longer: it is drawn up, and left blank."""
    with patch.multiple(log, training_figure=_drawn_up, to_png=lambda figure: b"a picture"):
        yield


@pytest.fixture
def painted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of trainings are laid out and painted."""
    for name, function in PAINTED.items():
        monkeypatch.setattr(log, name, function)


@pytest.fixture
def own_parts_go() -> Iterator[None]:
    """A test begins with our parts alone, one thread, and leaves no part of its own."""
    dicts: tuple[dict[str, Any], ...] = (METHODS, ENCODERS, POOLINGS, STEMS, NETWORKS, TEACHERS, DATASETS, RECIPES)
    held, threads = [dict(of) for of in dicts], torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    LOADED.clear()
    for of, before in zip(dicts, held, strict=True):
        of.clear()
        of.update(before)
