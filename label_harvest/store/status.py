"""How far a store is, over all its shares and while they run: from the done-markers, their times and the locks."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from ..media.clip import FAILURES
from ..places.place import Place, modified, place_of
from .manifest import composed
from .origins import own_files
from .owed import unfinished
from .shards import known_clips, marker_paths, read_markers
from .share import begun_at, read_share, runs_at_work
from .store import store_folder, store_manifest

_LEAST_SECONDS = 1.0
"""A share whose shards were all written within so little says no rate."""
_RECENT_SECONDS = 3600.0
"""The rate of a share is that of its shards of the last hour before its newest one."""


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    """How much of a store is done, and what is left."""

    folder: Place
    manifest: Mapping[str, Any]
    """The manifest of the store; empty where no run has made one yet."""
    shards: int
    num_bytes: int
    by_status: Mapping[str, int]
    """Clips by status, most frequent first; of the table, where one is given."""
    clips: int | None
    """Clips of the table; None without one."""
    others: int
    """Clips of the store that are not in the table."""
    running: tuple[str, ...]
    """Shares whose process is at work, such as 2/40; 1/1 of a run on its own. Empty where the file system has no locks,
    and of runs on other machines where its locks are not shared."""
    stopped: tuple[str, ...]
    """Shares that were killed."""
    clips_per_second: float | None
    """Of all shares at work together, counted from the start of each; None where nobody is seen at work, and until half
    of them have written a shard."""
    own: Mapping[str, Mapping[str, Any]]
    """Which files of one's own the evidence is by, as `origins.own_files` says it."""
    newest: float | None
    """When the newest shard was written, in seconds since 1970."""
    owed: int
    """Clips that runs were asked for and that are in no shard yet, whatever the table."""

    @property
    def done(self) -> int:
        """Clips with evidence that are no failures."""
        return sum(count for status, count in self.by_status.items() if status not in FAILURES)

    @property
    def missing(self) -> int:
        """Clips whose file was not there."""
        return self.by_status.get("missing", 0)

    @property
    def failed(self) -> int:
        """Clips that failed otherwise."""
        return sum(self.by_status.values()) - self.done - self.missing

    @property
    def left(self) -> int | None:
        """Clips of the table that are in no shard yet."""
        return None if self.clips is None else self.clips - sum(self.by_status.values())

    @property
    def seconds_left(self) -> float | None:
        """Until the rest is done at this rate; None where nobody is at work or the rate is not known."""
        if self.left == 0:
            return 0.0
        known = self.left is not None and self.clips_per_second and self.running
        return (self.left or 0) / (self.clips_per_second or 1.0) if known else None

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        rounded = {"clips_per_second": self.clips_per_second, "seconds_left": self.seconds_left}
        newest = None if self.newest is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.newest))
        return {
            "store": str(self.folder),
            "fingerprint": self.manifest.get("fingerprint"),
            "clips": self.clips,
            "done": self.done,
            "failed": self.failed,
            "missing": self.missing,
            "left": self.left,
            "by_status": dict(self.by_status),
            "others": self.others,
            "owed": self.owed,
            "shards": self.shards,
            "bytes": self.num_bytes,
            "running": list(self.running),
            "stopped": list(self.stopped),
            **{name: None if value is None else round(value, 4) for name, value in rounded.items()},
            "newest_shard": newest,
            **({"own_files": self.own} if self.own else {}),
        }


def status_before(path: str | Place, clip_ids: Collection[str]) -> StoreStatus:
    """How far a store is that no run has made yet: nothing is done, and all of the table is left.

    Args:
        path: Where it will be.
        clip_ids: The clips that are to be in it.
    """
    nothing = {"shards": 0, "num_bytes": 0, "others": 0, "owed": 0}
    return StoreStatus(
        folder=place_of(path),
        manifest={},
        by_status={},
        clips=len(set(clip_ids)),
        running=(),
        stopped=(),
        clips_per_second=None,
        own={},
        newest=None,
        **nothing,
    )


def store_status(path: str | Place, clip_ids: Collection[str] | None = None) -> StoreStatus:
    """Look at a store; nothing is locked or waited for, so it may be asked while others write.

    Args:
        path: The store.
        clip_ids: The clips that are to be in it; None for those that are.

    Raises:
        ValueError: There is no store, or its manifest does not match its fingerprint.
    """
    folder = store_folder(place_of(path))
    manifest, times = store_manifest(folder), {path.name: modified(path) for path in marker_paths(folder)}
    markers = read_markers(folder)
    wanted = None if clip_ids is None else set(clip_ids)
    ours = [clip for clip in known_clips(markers) if wanted is None or clip.clip_id in wanted]
    held = {n: len(marker.clips) for n, marker in markers.items()}
    written = {n: (times[name], clips) for n, clips in held.items() if (name := f"{n:05d}.json") in times}
    running, stopped = runs_at_work(folder)
    lacks = unfinished(folder, markers)
    return StoreStatus(
        folder=folder,
        manifest=manifest,
        shards=len(markers),
        num_bytes=sum(marker.num_bytes for marker in markers.values()),
        by_status=dict(Counter(clip.status for clip in ours).most_common()),
        clips=None if wanted is None else len(wanted),
        others=sum(len(marker.clips) for marker in markers.values()) - len(ours),
        running=running,
        stopped=stopped,
        clips_per_second=_rate(written, begun_at(folder, running)),
        own=own_files(folder, markers),
        newest=max(times.values(), default=None),
        owed=lacks.owed if lacks else 0,
    )


@dataclass(frozen=True, kw_only=True)
class Lacking:
    """What a table names and a store does not hold."""

    clip_ids: tuple[str, ...]
    """In the order of the table."""
    clips: int
    """Of the table."""
    shards: tuple[int, ...]
    """Numbers of the shards that a run over the table would make of them."""
    shares: tuple[str, ...]
    """Shares that make just these shards, such as 2/40, as far as the numbers tell."""

    def __str__(self) -> str:
        """A sentence without an end."""
        names = ", ".join(self.clip_ids[:_MOST_NAMED]) + ", ..." * (len(self.clip_ids) > _MOST_NAMED)
        said = f"{len(self.clip_ids):,} of the {self.clips:,} clips of the table are in no shard: {names}"
        if self.shares:
            which, have = ("share", "has") if len(self.shares) == 1 else ("shares", "have")
            return f"{said}; {which} {', '.join(self.shares[:_MOST_NAMED])} {have} not run or not ended"
        numbers = ", ".join(f"{n:05d}" for n in self.shards[:_MOST_NAMED]) + ", ..." * (len(self.shards) > _MOST_NAMED)
        return f"{said}; shard {numbers} (of N shares, shard k is made by share k % N + 1)"


_MOST_NAMED = 5
"""So many clips and shards are named."""


def lacking(path: str | Place, clip_ids: Sequence[str]) -> Lacking | None:
    """What a table names and a store does not hold; None where it holds all of it, be it as failures.

    Args:
        path: The store.
        clip_ids: The clips of the table.

    Raises:
        ValueError: There is no store, or its manifest does not match its fingerprint.
    """
    folder = store_folder(place_of(path))
    store_manifest(folder)
    markers = read_markers(folder)
    held = {composed(clip.clip_id) for clip in known_clips(markers)}
    absent = tuple(clip_id for clip_id in clip_ids if composed(clip_id) not in held)
    if not absent:
        return None
    size = max((len(marker.clips) for marker in markers.values()), default=len(absent))
    shards = tuple(islice((number for number in count() if number not in markers), -(-len(absent) // size)))
    return Lacking(clip_ids=absent, clips=len(clip_ids), shards=shards, shares=_shares_of(shards, markers))


def _shares_of(shards: Sequence[int], there: Collection[int]) -> tuple[str, ...]:
    """The shares that make just these shards, none where others fit as well.

    >>> _shares_of([1, 5, 9], [0, 2, 3, 4, 6, 7, 8, 10, 11]), _shares_of([2], [0, 1, 3])
    (('2/4',), ())
    """
    total = max(*shards, *there, 0) + 1
    for num_shares in range(2, total // 2 + 1):
        classes = sorted({number % num_shares for number in shards})
        whole = {number for number in range(total) if number % num_shares in classes}
        if whole == set(shards) and len(classes) < num_shares:
            return tuple(f"{index + 1}/{num_shares}" for index in classes)
    return ()


_GAUGES: dict[str, tuple[str, Callable[[StoreStatus], float | None]]] = {
    "clips_wanted": ("Clips of the table.", lambda status: status.clips),
    "clips_left": ("Clips of the table that are in no shard yet.", lambda status: status.left),
    "clips_owed": ("Clips that runs were asked for and that are in no shard yet.", lambda status: status.owed),
    "clips_per_second": ("Rate of all shares at work together.", lambda status: status.clips_per_second),
    "seconds_left": ("Until the rest is done at this rate.", lambda status: status.seconds_left),
    "shards": ("Finished shards.", lambda status: status.shards),
    "bytes": ("Size of the arrays of finished shards.", lambda status: status.num_bytes),
    "shares_running": ("Shares that are at work.", lambda status: len(status.running)),
    "shares_stopped": ("Shares that were killed.", lambda status: len(status.stopped)),
    "newest_shard_timestamp_seconds": ("When the newest shard was written.", lambda status: status.newest),
}


def prometheus_text(statuses: Sequence[StoreStatus]) -> str:
    """Stores as gauges in Prometheus' text format; what is not known of a store is left out."""

    def sample(name: str, of: StoreStatus, value: float, **labels: str) -> str:
        named = {"store": str(of.folder), **labels}
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in named.items())
        return f"valor_store_{name}{{{told}}} {value:.15g}"

    def head(name: str, told: str) -> list[str]:
        return [f"# HELP valor_store_{name} {told}", f"# TYPE valor_store_{name} gauge"]

    lines = head("clips", "Clips in finished shards, by what became of them.")
    for status in statuses:
        lines += [sample("clips", status, count, status=which) for which, count in status.by_status.items()]
    for name, (told, value) in _GAUGES.items():
        known = [(status, found) for status in statuses if (found := value(status)) is not None]
        lines += head(name, told) if known else []
        lines += [sample(name, status, found) for status, found in known]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _rate(written: Mapping[int, tuple[float, int]], begun: Mapping[str, float]) -> float | None:
    """Clips a second of the shares at work, each counted from its start over the shards of its last hour.

    None where nobody is at work, or fewer than half of them have written a shard yet; the others go as fast as these.

    Args:
        written: By number of a shard, when it was written, and its clips.
        begun: When each share at work began.
    """
    rates = []
    for share, since in begun.items():
        mine = read_share(share)
        own = sorted(one for number, one in written.items() if mine.holds(number) and one[0] > since)
        if own and own[-1][0] - since >= _LEAST_SECONDS:
            newest = own[-1][0]
            since = max([since, *(moment for moment, _ in own if moment < newest - _RECENT_SECONDS)])
            rates.append(sum(clips for moment, clips in own if moment > since) / (newest - since))
    return sum(rates) / len(rates) * len(begun) if rates and 2 * len(rates) >= len(begun) else None
