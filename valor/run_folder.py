"""What lies in a run folder, by name, and the lock that keeps two trainings from writing into one."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_LOG = logging.getLogger(__name__)

BEST, LAST = "best.safetensors", "last.safetensors"
"""The epoch that was selected, and the point a stopped run goes on from."""

LOG, RECIPE = "log.jsonl", "recipe.json"
"""One JSON object per epoch, and everything needed to build and run the parser."""

PREDICTIONS, SCORES = "predictions.npz", "scores.json"
"""Probabilities and scores of the test split, once it is scored; of a folder of seeds, their mean and deviation."""

PICTURE = "training.png"
"""Losses, validation scores and learning rate over the epochs."""

LOCK = ".lock"
"""There while a training writes, and after one that was killed, which holds it no longer."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep the run folder, which is made if need be, for one training; the lock file goes with it.

    The system lets go of the lock when the process ends, however it ends.

    Raises:
        ValueError: Another training holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path, at_its_name = folder / LOCK, False
    while not at_its_name:  # its last holder may have removed the file between our opening and locking it
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                message = f"{folder}: another training is writing here; wait for it, or choose another --out"
                raise ValueError(message) from error
            except OSError as error:
                _LOG.warning("%s: no locks on this file system (%s); see that no second training starts", folder, error)
            at_its_name = _is_at(file, path)
            if at_its_name:
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is still the one of this name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def refuse_several_seeds(run: Path) -> None:
    """Refuse a folder of seeds where a single run is wanted.

    Raises:
        ValueError: The folder holds runs of several seeds, and is none itself.
    """
    seeds = [path.parent.name for path in run.glob(f"seed-*/{BEST}")]
    if seeds and not (run / BEST).is_file():
        seeds.sort(key=lambda name: (len(name), name))
        raise ValueError(f"{run} holds runs of the seeds {', '.join(seeds)}; name one, such as {run / seeds[0]}")
