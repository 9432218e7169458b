"""Small evidence stores that tests write without a harvest."""

import hashlib
import json
from pathlib import Path

import numpy as np

from valor.label_harvest.store.listing import write_list
from valor.label_harvest.store.plan import UNREAD
from valor.label_harvest.store.shards import ShardRow, read_markers, to_json, write_failures, write_shard
from valor.label_harvest.store.store import describe, open_store

CLASSES = ("Dog", "Cat")
IDENTITY = {
    "teacher": "fake",
    "weights": "w" * 64,
    "prompts": ["a dog", "a cat"],
    "logit_scale": 10.0,
    "logit_bias": -1.0,
    "precision": "float32",
}
GRID = {"num_segments": 3, "segment_seconds": 1.0, "sample_rate": 48000}


def manifest_of(*, decoder: str = "pyav", **changes) -> dict:
    teachers = {role: {**IDENTITY, **changes} for role in ("visual", "audio")}
    return describe(CLASSES, GRID, teachers, decoder=decoder)


def row_of(clip_id: str, status: str = "ok") -> ShardRow:
    return ShardRow(
        clip_id, status, "" if status == "ok" else "said why", ("Cat",), {"seconds": 10.0, "file_bytes": 100}
    )


def arrays_of(rows: list[ShardRow]) -> dict[str, np.ndarray]:
    """Evidence that depends on the clip alone, absent as its status says."""
    arrays = {}
    for role, absent in (("audio", "no_audio"), ("visual", "no_video")):
        lost = [row.status in (absent, *UNREAD) for row in rows]
        for name, width, dtype in ((f"{role}.similarity", 2, np.float32), (f"{role}.embedding", 4, np.float16)):
            seeds = [list(row.clip_id.encode()) for row in rows]
            array = np.stack([np.random.default_rng(seed).uniform(-1, 1, (3, width)) for seed in seeds]).astype(dtype)
            array[lost] = np.nan
            if not name.endswith("embedding") or not all(lost):
                arrays[name] = array
    return arrays


def write_toy_store(root: Path, shards: dict[int, list[ShardRow]], **changes) -> Path:
    """A store of these shards; the folder of its fingerprint."""
    folder = open_store(root, manifest_of(**changes))
    (folder / ".lock").touch()
    for index, rows in shards.items():
        write_shard(folder, index, arrays_of(rows), rows)
    failed = [row for _, rows in sorted(shards.items()) for row in rows if row.status not in ("ok", "still")]
    write_failures(folder, failed)
    write_list(folder, read_markers(folder))
    return folder


def age_marker(path: Path) -> None:
    """Make a marker what version 2 wrote: without checksums."""
    content = json.loads(path.read_text())
    path.write_bytes(to_json({key: content[key] for key in ("bytes", "rows", "sha256")} | {"format": 2}))


def age_shard(folder: Path, index: int) -> None:
    """Make a shard what version 2 wrote: its arrays do not say whose they are, its marker, if any, has no checksum."""
    from safetensors.numpy import load_file, save

    path = folder / f"{index:05d}.safetensors"
    payload = save(dict(sorted(load_file(path).items())))
    path.write_bytes(payload)
    done = path.with_suffix(".json")
    if done.exists():
        age_marker(done)
        content = json.loads(done.read_text())
        changed = {"bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        done.write_bytes(to_json({**content, **changed}))
