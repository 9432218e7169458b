"""How far a store is, over all its shares and while they run: from the done-markers, their times and the locks."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..media.clip import FAILURES
from ..places.place import Place, modified, place_of
from .shards import known_clips, marker_paths, read_markers
from .share import runs_at_work
from .store import store_folder, store_manifest

_RECENT_SECONDS = 3600.0
"""The rate is that of the shards of the last hour before the newest one."""


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    """How much of a store is done, and what is left."""

    folder: Place
    manifest: Mapping[str, Any]
    """The manifest of the store."""
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
    """Of all shares together; None before the second shard."""
    newest: float | None
    """When the newest shard was written, in seconds since 1970."""

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
            "fingerprint": self.manifest["fingerprint"],
            "clips": self.clips,
            "done": self.done,
            "failed": self.failed,
            "missing": self.missing,
            "left": self.left,
            "by_status": dict(self.by_status),
            "others": self.others,
            "shards": self.shards,
            "bytes": self.num_bytes,
            "running": list(self.running),
            "stopped": list(self.stopped),
            **{name: None if value is None else round(value, 4) for name, value in rounded.items()},
            "newest_shard": newest,
        }


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
    written = [(times[name], len(marker.clips)) for n, marker in markers.items() if (name := f"{n:05d}.json") in times]
    running, stopped = runs_at_work(folder)
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
        clips_per_second=_rate(written, modified(folder / "manifest.json")),
        newest=max(times.values(), default=None),
    )


_GAUGES: dict[str, tuple[str, Callable[[StoreStatus], float | None]]] = {
    "clips_wanted": ("Clips of the table.", lambda status: status.clips),
    "clips_left": ("Clips of the table that are in no shard yet.", lambda status: status.left),
    "clips_per_second": ("Rate of all shares together.", lambda status: status.clips_per_second),
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


def _rate(written: Sequence[tuple[float, int]], began: float) -> float | None:
    """Clips a second, of shards as (when each was written, its clips).

    Counted from the first shard of the last hour on, of a single one from when the store was made.
    """
    shards = sorted(written)
    if not shards:
        return None
    newest = shards[-1][0]
    recent = [one for one in shards if one[0] >= newest - _RECENT_SECONDS]
    recent = recent if len(recent) > 1 else shards[-2:]
    since, counted = (recent[0][0], recent[1:]) if len(recent) > 1 else (began, recent)
    return sum(clips for _, clips in counted) / (newest - since) if newest > since else None
