"""The upper bound of a bench from the folder of another, in which the tagged clips were trained with all their tags."""

from pathlib import Path

from valor.data.tables import Split
from valor.experiments.jobs import scores_on_test
from valor.label_harvest.strict_json import as_object, loads
from valor.training.checkpoint import read_tensors
from valor.training.facts import facts_beside
from valor.training.run_folder import BEST, PREDICTIONS

from .cells import Cell
from .results import CellResult

IDENTITY = "bench.json"
"""File of what a bench was begun with, and must find again."""

_OF_BOUND = ("recipe", "whole_steps", "changes", "tagged")
"""What of it the arm fresh at the share 1 rests on."""


def whole_from(folder: Path, cell: Cell, held: dict[str, object], seeds: range, test: Split) -> CellResult:
    """The arm fresh at the share 1 as another bench trained it.

    Args:
        folder: Of that bench.
        cell: The arm at that share, as this bench would train it.
        held: What this bench was begun with.
        seeds: Of this bench.
        test: The test split.

    Raises:
        ValueError: There is no bench, it was begun with something else, or lacks a seed; names it.
    """
    if not (folder / IDENTITY).is_file():
        raise ValueError(f"{folder}: expected the folder of a bench, which has a {IDENTITY}; give its `out` as `bound`")
    there = as_object(loads((folder / IDENTITY).read_text(encoding="utf-8")), str(folder / IDENTITY))
    if other := [key for key in _OF_BOUND if there.get(key) != held[key]]:
        raise ValueError(f"{folder}: is a bench with other {', '.join(other)}, whose share 1 is no bound of this one")
    folders = [folder / "runs" / cell.folder / f"seed-{seed}" for seed in seeds]
    needed = (BEST, PREDICTIONS)
    if lost := [run.name for run in folders if not all((run / name).is_file() for name in needed)]:
        raise ValueError(
            f"{folder}: has no {cell.arm} at the share 1 with {', '.join(lost)}; train it there with shares=1 and "
            f"seeds={len(seeds)}"
        )
    scores, tuned = scores_on_test(folders, cell.recipe.methods, test)
    val = tuple(float(read_tensors(run / BEST)[1]["val_type_av"]) for run in folders)
    known = facts_beside(folders[0]).tuned
    return CellResult(cell=cell, val=val, scores=scores, tuned=tuned, chosen_on_val=known)
