"""What lies in a run folder, by name, and the lock that keeps two trainings from writing into one; needs no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valor.label_harvest.disk import locked

BEST, LAST = "best.safetensors", "last.safetensors"
"""The epoch that was selected, and the point a stopped run goes on from."""

LOG, RECIPE = "log.jsonl", "recipe.json"
"""One JSON object per epoch, and everything needed to build and run the parser."""

STORE_NOTE = "store.txt"
"""Where the evidence store lay that a run was told to read, a path of that machine."""

PREDICTIONS, SCORES = "predictions.npz", "scores.json"
"""Probabilities and scores of the test split, once it is scored; of a folder of seeds, their mean and deviation."""

ON_TEST_SCORES = "chosen-on-test.json"
"""Scores of the epoch that is best on the test split itself, where every epoch was scored on it."""

TUNED_SCORES, HALF_SCORES = "tuned.json", "at-half.json"
"""Scores of the same predictions by gates and cuts of every class, tuned on val; and, where the run decides otherwise,
with both thresholds 0.5."""

ON_TEST = "test accuracy"
"""How score files and published rows say that their epoch was chosen so."""

PICTURE = "training.png"
"""Losses, validation scores and learning rate over the epochs."""

LOCK = ".lock"
"""There while a training writes, and after one that was killed, which holds it no longer."""


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Keep the run folder, which is made if need be, for one training; the lock file goes with it.

    Raises:
        ValueError: Another training holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"{folder}: another training is writing here; wait for it, or choose another `out`"
    with locked(folder / LOCK, busy, remove=True):
        yield


def seed_folders(run: Path) -> dict[int, Path]:
    """The folders of a folder of seeds that hold weights or predictions, by seed; none of a single run or another."""
    if (run / BEST).is_file():
        return {}
    found = {path.parent for name in (BEST, PREDICTIONS) for path in run.glob(f"seed-*/{name}")}
    seeds = {seed: path for path in found if (seed := path.name.removeprefix("seed-")).isdecimal()}
    return {int(seed): seeds[seed] for seed in sorted(seeds, key=int)}


def refuse_several_seeds(run: Path) -> None:
    """Refuse a folder of seeds, of runs or of a demo where a single run is wanted.

    Raises:
        ValueError: The folder holds runs, and is none itself; names them.
    """
    if (run / BEST).is_file():
        return
    seeds = [path.parent.name for path in run.glob(f"seed-*/{BEST}")]
    if seeds:
        seeds.sort(key=lambda name: (len(name), name))
        raise ValueError(f"{run} holds runs of the seeds {', '.join(seeds)}; name one, such as {run / seeds[0]}")
    below = sorted(path.parent for pattern in _BELOW for path in run.glob(f"{pattern}/{BEST}"))
    if below:
        listed = ", ".join(str(path.relative_to(run)) for path in below[:6]) + (", ..." if len(below) > 6 else "")
        raise ValueError(f"{run} is no run and holds some: {listed}; name one, such as {below[-1]}")


_BELOW = ("*", "*/seed-*", "runs/*", "runs/*/seed-*")
"""Where runs lie in a folder of runs, of a demo or of an ablation."""
