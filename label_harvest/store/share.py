"""Runs that work on one store: which shards are whose, who may write, and what killed ones left."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..disk import writer_is_gone
from ..places.place import Place, is_locked, locked, matching

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

    A run on its own shares it with nobody, runs of different shares with each other.

    Raises:
        ValueError: Another process holds it, or the folder cannot be written.
    """

    def busy(who: str) -> str:
        return f"{folder}: {who} is writing to this store; wait for it, give another, or divide the work by share"

    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / LOCK, busy("another run"), shared=not share.is_whole))
            if not share.is_whole:
                own = folder / f"{LOCK}-{share.index}-of-{share.count}"
                held.enter_context(locked(own, busy(f"another run of share {share}"), remove=True))
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{folder}: the store cannot be written ({reason}); give another folder") from error
        yield


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
