"""Clips that a teacher of one's own fails at: each costs itself, unless the teacher fails at all of its first ones."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from .engine import Batch, Judged
from .store.plan import UNREAD
from .store.shards import Marker, ShardRow, known_clips

logger = logging.getLogger(__name__)

FIRST = 3
"""A teacher that failed at so many clips before it judged one is at fault itself."""
_IN_PART = ("no_audio", "no_video", *UNREAD)
"""Statuses of a clip that some teacher may have said nothing of."""


def have_judged(markers: Mapping[int, Marker]) -> bool:
    """Whether a store has a clip that all its teachers judged."""
    return any(clip.status not in _IN_PART for clip in known_clips(markers))


def settled(judged: Iterable[tuple[Batch, Judged]], *, are_proven: bool) -> Iterator[tuple[Batch, Judged]]:
    """Batches in whose rows the clips that a teacher failed at are `unjudged`; the first such fault is said in full.

    A batch with a fault of a teacher that has judged nothing yet comes when it has.

    Args:
        judged: As an engine gives them.
        are_proven: Whether the teachers judged other clips of the store. Then they are believed where a run has fewer
            than `FIRST` clips and all of them fail.

    Raises:
        ClipFaultError: A teacher fails at all of the first clips it is asked about, `FIRST` or more or all there are;
            says what it raised of the first.
    """
    failed = 0
    for batch, found in _believed(judged, are_proven=are_proven):
        for fault in found.faults.values():
            failed += 1
            if failed == 1:
                logger.warning("%s. The clip is unjudged, and the run goes on\n%s", fault, fault.trace)
            fault.forget()
        yield batch, replace(found, rows=_unjudged_rows(found))
    if failed > 1:
        logger.warning("teachers failed at %d clips in all; failures.csv has the exception and line of each", failed)


def _believed(judged: Iterable[tuple[Batch, Judged]], *, are_proven: bool) -> Iterator[tuple[Batch, Judged]]:
    """Batches as they come, but for those that wait until all teachers that fail in them have judged a clip."""
    proven, waiting = set[str](), list[tuple[Batch, Judged]]()
    for batch, found in judged:
        proven |= {role for role, answers in found.answers.items() if any(answer is not None for answer in answers)}
        waiting.append((batch, found))
        doubts = [fault for _, of in waiting for fault in of.faults.values() if fault.role not in proven]
        for first in doubts:
            if sum(fault.role == first.role for fault in doubts) >= FIRST:
                raise first
        still = []
        for entry in waiting:
            if {fault.role for fault in entry[1].faults.values()} <= proven:
                yield entry
            else:
                still.append(entry)
        waiting = still
    if waiting and not are_proven:
        raise next(fault for _, of in waiting for fault in of.faults.values() if fault.role not in proven)
    yield from waiting


def _unjudged_rows(found: Judged) -> list[ShardRow]:
    return [
        replace(row, status="unjudged", message="; ".join(filter(None, (row.message, found.faults[place].told))))
        if place in found.faults
        else row
        for place, row in enumerate(found.rows)
    ]
