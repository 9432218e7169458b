"""Runs that work on one store: which shards are whose, who may write, and what killed ones left."""

import calendar
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..disk import LockedError, writer_is_gone
from ..places.place import Place, is_locked, locked, matching, modified
from ..strict_json import loads

LOCK = ".lock"
"""Held by the one run that writes to a store, or by all runs that share it."""


@dataclass(frozen=True)
class Share:
    """Run `index` of `count`, counted from 1, as the tasks of a cluster job are; it makes every count-th shard."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse shares that do not exist."""
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"a share must be i/n with i from 1 to n, got {self}; a job array from 1 to n gives such numbers"
            )

    def __str__(self) -> str:
        """The share as it is typed: index/count."""
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether there are no other runs."""
        return self.count == 1

    def holds(self, shard: int) -> bool:
        """Whether a shard, by its number, is made by this run."""
        return shard % self.count == self.index - 1


WHOLE = Share()
"""A run on its own."""


def read_share(text: str) -> Share:
    """Read `i/n`.

    Raises:
        ValueError: The text is not two such numbers.

    >>> read_share("2/40")
    Share(index=2, count=40)
    """
    index, _, count = text.partition("/")
    if not (text.isascii() and index.isdecimal() and count.isdecimal()):
        raise ValueError(f"a share must be i/n, such as 1/4, got {text!r}")
    return Share(int(index), int(count))


@contextmanager
def write_lock(folder: Place, share: Share = WHOLE) -> Iterator[None]:
    """Hold the right to write to a store folder.

    A run on its own shares it with nobody, runs of different shares with each other. On a disk the file of a lock says
    who holds it, as a lease does.

    Raises:
        ValueError: Another process holds it, or the folder cannot be written; says who, where that is known.
    """

    def busy(who: str) -> str:
        return f"{folder}: {who} is writing to this store; wait for it, give another, or divide the work by share"

    with ExitStack() as held:
        own = folder / LOCK
        try:
            held.enter_context(locked(own, busy("another run"), shared=not share.is_whole))
            if not share.is_whole:
                own = folder / f"{LOCK}-{share.index}-of-{share.count}"
                held.enter_context(locked(own, busy(f"another run of share {share}"), remove=True))
            if isinstance(own, Path):
                held.enter_context(_signed(own))
        except LockedError as error:
            raise LockedError(f"{error}{_holders(folder)}") from error
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{folder}: the store cannot be written ({reason}); give another folder") from error
        yield


@contextmanager
def _signed(lock: Path) -> Iterator[None]:
    """Have the file of a lock say who holds it, as long as it is held."""
    who = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with suppress(OSError):  # of a disk that is full, where the run itself will say so
        lock.write_text(json.dumps(who), encoding="ascii")
    try:
        yield
    finally:
        with suppress(OSError):
            os.truncate(lock, 0)


def refuse_at_work(folder: Place) -> None:
    """Refuse a store that a run is writing to, as far as locks are seen from here.

    Raises:
        LockedError: One is; says who, where that is known.
    """
    if runs_at_work(folder)[0]:
        raise LockedError(f"{folder}: another run is writing to this store; wait for its end{_holders(folder)}")


def _holders(folder: Place) -> str:
    """Who writes to a store, as far as the locks say it: ` (process 12 on node7 since 2026-11-30T10:00:00Z)`."""
    known = list[str]()
    for path in matching(folder, f"{LOCK}*"):
        with suppress(
            OSError, ValueError, KeyError, TypeError
        ):  # gone meanwhile, or of an older run, which says nothing
            if is_locked(path):
                who = loads(path.read_bytes())
                known.append(f"process {who['process']} on {who['host']} since {who['since']}")
    return f" ({'; '.join(known)})" if known else ""


@contextmanager
def list_lock(folder: Place) -> Iterator[None]:
    """Wait for the turn to write a list over all shards; whoever comes last has seen the shards of all."""
    with locked(folder / f"{LOCK}-list", "", wait=True, remove=True):
        yield


def remove_leftovers(folder: Place, share: Share = WHOLE) -> list[str]:
    """Remove the temporary files of runs that were killed; call under `write_lock`.

    Returns:
        Their names.
    """
    removed = []
    for path in matching(folder, ".*.tmp"):
        if share.is_whole or writer_is_gone(Path(path.name)):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def begun_at(folder: Place, running: Iterable[str]) -> dict[str, float]:
    """When shares at work began, in seconds since 1970, as far as their locks say it.

    On a disk that is when the file of the lock was signed, by the clock that the times of shards are by.
    """
    found = {}
    for share in running:
        index, _, count = share.partition("/")
        lock = folder / (LOCK if share == str(WHOLE) else f"{LOCK}-{index}-of-{count}")
        with suppress(OSError, ValueError, KeyError, TypeError):  # gone meanwhile, or of an older run
            since = loads(lock.read_bytes())["since"]
            moment = calendar.timegm(time.strptime(since, "%Y-%m-%dT%H:%M:%SZ"))
            found[share] = modified(lock) if isinstance(lock, Path) else float(moment)
    return found


def runs_at_work(folder: Place) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(shares whose process is at work, shares that were killed), as they are typed; a run on its own is 1/1.

    Where there are no locks, or not those of other machines, runs are seen as killed that are not.
    """
    running, stopped = list[str](), list[str]()
    if is_locked(folder / LOCK):
        running.append(str(WHOLE))
    for path in matching(folder, f"{LOCK}-*-of-*"):
        index, _, count = path.name.removeprefix(f"{LOCK}-").partition("-of-")
        if index.isdecimal() and count.isdecimal():
            (running if is_locked(path) else stopped).append(f"{index}/{count}")

    def by_number(share: str) -> int:
        return int(share.partition("/")[0])

    return tuple(sorted(running, key=by_number)), tuple(sorted(stopped, key=by_number))
