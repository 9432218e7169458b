"""What a finished run is scored by, and whether its predictions and scores are as they were written."""

import logging
from collections.abc import Collection
from pathlib import Path

from valor.data.predictions import Predictions, read_predictions
from valor.data.score_file import KIND, named_beside, read_scores_json
from valor.data.seal import unsealed
from valor.data.tables import Split
from valor.label_harvest.disk import file_sha256
from valor.label_harvest.places.place import Place

from .run_folder import PREDICTIONS, SCORES

_LOG = logging.getLogger(__name__)


def seed_predictions(folder: Path, clip_ids: Collection[str]) -> Path:
    """What is scored of the folder of a seed: its predictions, where they are of these clips, or the run itself."""
    held = folder / PREDICTIONS
    return held if held.is_file() and set(read_predictions(held).clip_ids) == set(clip_ids) else folder


def answers_of_run(run: Path, split: Split, data: Path, *, store: Place | None = None) -> Predictions:
    """What the parser of a run says of a split, see `predict_run`; what the folder holds of it where that cannot run.

    Raises:
        ValueError: As of `predict_run`; or a package is absent that the parser needs, and the folder holds nothing of
            these clips.
    """
    try:
        from valor.training.run import predict_run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "valor":
            raise
        if (held := seed_predictions(run, split.clip_ids)) == run:
            raise ValueError(
                f"{run}: holds no {PREDICTIONS} of the split {split.name}, and its parser needs the package "
                f"{error.name}, which is not installed here; where it is, `valor predict RUN --split NAME "
                "--out FILE` makes what can be scored here"
            ) from error
        _LOG.info("note: scored by %s, since the package %s is not installed here", held, error.name)
        return read_predictions(held)
    return predict_run(run, data, split, store=store)


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
