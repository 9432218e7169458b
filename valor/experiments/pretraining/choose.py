"""Weight and share of the clips without tags, chosen on validation by trainings with the first seed.

First each weight with all of these clips, then each share with the weight that is best; of equal ones the first, so
that what is usual stays where nothing is better. A candidate is an arm like any other (`teachers:weight=0.3`): its run
folder is found done, and what is chosen goes on from it with the other seeds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .cells import Cell
from .options import OF_POOL, base_of

WEIGHTS = (1.0, 0.3, 3.0)
"""Tried of the clips without tags, a tagged one counting 1; the first is the usual one."""
SHARES = (1.0, 0.5)
"""Tried of their number likewise."""
WORDS = ("weight of untagged clips", "share of untagged clips")
"""How it is said that these were chosen on val."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen for an arm at a share."""

    cell: Cell
    """The arm without the choice."""
    found: Mapping[str, float]
    """Validation segment Type@AV of the first seed by candidate, as an arm."""
    best: Cell
    """The candidate that is best, the arm itself where that is the usual weight and share."""

    def text(self) -> str:
        """In one line of the notes."""
        tried = ", ".join(f"{arm} {value:.1f}" for arm, value in self.found.items())
        return f"chosen on validation, first seed, for {self.cell.name}: {self.best.arm} (of {tried})"


def can_choose(cell: Cell) -> bool:
    """Whether an arm learns from clips without tags and leaves weight and share open."""
    typed = {change.partition("=")[0] for change in cell.arm.split(":")[1:]}
    return base_of(cell.arm) in OF_POOL and not typed & {"weight", "share"}


def chosen(
    cells: Sequence[Cell],
    made: Callable[[Cell, str], Cell],
    train: Callable[[Sequence[Cell]], Mapping[str, float]],
) -> list[Choice]:
    """Choose for every cell that can.

    Args:
        cells: Of the bench.
        made: The same cell as another arm.
        train: Validation figures of the first seed by `Cell.folder`, without those that failed.
    """
    open_cells = [cell for cell in cells if can_choose(cell)]
    tried = {cell.folder: [made(cell, _named(cell.arm, weight, 1.0)) for weight in WEIGHTS] for cell in open_cells}
    found = dict(train([one for each in tried.values() for one in each]))
    more = []
    for cell in open_cells:
        if known := [one for one in tried[cell.folder] if one.folder in found]:
            best = max(known, key=lambda one: found[one.folder])
            weight = WEIGHTS[tried[cell.folder].index(best)]
            tried[cell.folder] += (fewer := [made(cell, _named(cell.arm, weight, share)) for share in SHARES[1:]])
            more += fewer
    found |= train(more)
    choices = []
    for cell in open_cells:
        if known := [one for one in tried[cell.folder] if one.folder in found]:
            best = max(known, key=lambda one: found[one.folder])
            figures = {one.arm: found[one.folder] for one in known}
            choices.append(Choice(cell=cell, found=figures, best=best))
    return choices


def _named(arm: str, weight: float, share: float) -> str:
    """An arm with a weight and a share of clips without tags, which are not said where they are the usual ones."""
    own = [f"share={share:g}"] * (share != 1) + [f"weight={weight:g}"] * (weight != 1)
    base, *others = arm.split(":")
    return ":".join((base, *sorted([*others, *own])))
