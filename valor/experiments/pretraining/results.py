"""What a bench of clips without tags found: its cells over seeds, and what each has over others of its share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from valor.experiments.jobs import OverSeeds
from valor.scoring.over_seeds import Difference, difference

from .alone import OneStream
from .cells import Cell, is_coded
from .options import ALL_TAGS, FRESH, TIME_CODES


@dataclass(frozen=True, kw_only=True, eq=False)
class CellResult(OverSeeds):
    """A cell, trained and scored with every seed."""

    cell: Cell
    over_fresh: Difference | None = None
    """Over the arm fresh at the same share; None for that itself."""
    over_codes: Difference | None = None
    """Of an objective that was given time codes, over the tagged clips alone by a parser with these."""
    over_usual: Difference | None = None
    """Of a row whose weight and share were chosen, over the same arm with the usual ones."""
    usual: str | None = None
    """That arm."""
    chosen_on_val: tuple[str, ...] | None = None
    """What was chosen on the truth of validation clips; None where that is not known."""
    one_stream: OneStream | None = None
    """The same parsers where a stream is missing; None where their network cannot do without."""


def with_differences(
    results: Sequence[CellResult], usual: Mapping[str, str] | None = None, whole: CellResult | None = None
) -> list[CellResult]:
    """With what each has over the arm fresh of its share, where that could be trained, and with the upper bound.

    Args:
        results: Of the bench, share by share.
        usual: Of rows that were chosen, the place of the row they were chosen for, by their own.
        whole: The arm fresh at the share 1, where another bench trained it.
    """
    fresh = {result.cell.share: result for result in results if result.cell.arm == FRESH}
    codes = {result.cell.share: result for result in results if result.cell.arm == TIME_CODES}
    by_place = {result.cell.folder: result for result in results}
    bound = fresh.get(1.0, whole)
    found = list[CellResult]()
    for share in dict.fromkeys(result.cell.share for result in results):
        of_share = [result for result in results if result.cell.share == share]
        if share != 1 and bound is not None:
            of_share.append(replace(bound, cell=replace(bound.cell, arm=ALL_TAGS, share=share)))
        for result in of_share:
            base = None if result.cell.arm == FRESH else fresh.get(share)
            if (control := codes.get(share)) and control is not result and is_coded(result.cell):
                result = replace(result, over_codes=difference(result, control))
            place = (usual or {}).get(result.cell.folder) if result.cell.arm != ALL_TAGS else None
            if plain := by_place.get(place or ""):
                result = replace(result, over_usual=difference(result, plain), usual=plain.cell.arm)
            found.append(result if base is None else replace(result, over_fresh=difference(result, base)))
    return found
