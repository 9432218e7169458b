"""Whether the predictions and the scores of a finished run are as they were written."""

import logging
from pathlib import Path

from valor.data.predictions import read_predictions
from valor.data.score_file import KIND, named_beside, read_scores_json
from valor.data.seal import unsealed
from valor.label_harvest.disk import file_sha256

from .run_folder import PREDICTIONS, SCORES

_LOG = logging.getLogger(__name__)


def damaged_predictions(folder: Path) -> bool:
    """Whether the predictions of a run are missing, damaged, or others than its scores name; damage is said aloud."""
    path = folder / PREDICTIONS
    return not path.is_file() or _said(path, _fault_of_predictions(folder))


def damaged_scores(folder: Path) -> bool:
    """Whether the scores of a run are missing, damaged, or of other files than those beside them; said aloud.

    What was written by hand is its writer's.
    """
    path = folder / SCORES
    return not path.is_file() or _said(path, _fault_of_scores(folder))


def refuse_damaged(folder: Path) -> None:
    """Refuse a run whose predictions or scores are damaged; that they are not there is no damage.

    Raises:
        ValueError: Names the file and what is wrong.
    """
    for name, fault_of in ((PREDICTIONS, _fault_of_predictions), (SCORES, _fault_of_scores)):
        if (folder / name).is_file() and (fault := fault_of(folder)):
            raise ValueError(f"{folder / name}: {fault}; train again with the test split there to make it anew")


def _said(path: Path, fault: str | None) -> bool:
    if fault:
        _LOG.warning("%s: %s; made anew", path, fault)
    return fault is not None


def _fault_of_predictions(folder: Path) -> str | None:
    path = folder / PREDICTIONS
    try:
        read_predictions(path)
    except (OSError, ValueError) as error:
        return f"is damaged ({error})"
    try:
        named = named_beside(unsealed((folder / SCORES).read_bytes(), KIND)).get(PREDICTIONS)
    except (OSError, ValueError):
        return None  # the scores will be made anew, and nothing else tells
    return None if named in (None, file_sha256(path)) else f"is not what {SCORES} is of"


def _fault_of_scores(folder: Path) -> str | None:
    try:
        read_scores_json(folder / SCORES)
    except (OSError, ValueError) as error:
        return f"is damaged or of another run (expected the scores of this one, got {error})"
    return None
