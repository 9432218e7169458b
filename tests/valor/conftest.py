"""What the tests of the application share beside `tests/conftest.py`."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest

from valor.eval.figures import training
from valor.training import log

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
