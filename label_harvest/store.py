"""The one home of the evidence format: shards of clips under a fingerprint of everything that changes their bytes.

    STORE/<first 12 digits of the fingerprint>/
        manifest.json        class names, grid, teacher identities, fingerprint
        00000.safetensors    arrays "<role>.similarity" float32 [n, T, C] and "<role>.<feature>" float16 [n, rows, D]
        00000.json           done-marker, written last: one row per clip (status, tags, ...), sha256 of the shard
        failures.csv         every clip whose status is a failure

Absent evidence is NaN, never zero. A shard without a marker, or whose bytes differ from the marker, does not count.
Thresholds are no part of it: they apply when labels are read. Only numpy and safetensors are needed to read it.
"""

import csv
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

FORMAT_VERSION = 2
"""Raised whenever the same clip and teachers would give other bytes; part of the fingerprint."""


@dataclass(frozen=True)
class ShardRow:
    """One clip of a shard."""

    clip_id: str
    status: str
    message: str
    tags: tuple[str, ...]
    provenance: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EvidenceStore:
    """Cached evidence of one pair of teachers for N clips."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    weak_labels: np.ndarray
    """bool [N, C], the tags of each clip."""
    statuses: tuple[str, ...]
    messages: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    """By name "<role>.<feature>", [N, ...]; NaN where evidence is absent."""
    manifest: dict

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the teachers that made this store."""
        return tuple(sorted(self.manifest["teachers"]))

    def logits(self, role: str) -> np.ndarray:
        """float32 [N, T, C], logit scale * cosine + logit bias of one teacher; NaN where evidence is absent.

        Raises:
            ValueError: The store has no such teacher, or its similarity was not among the arrays read.
        """
        if role not in self.manifest["teachers"] or f"{role}.similarity" not in self.arrays:
            raise ValueError(f"role must be one of {', '.join(self.roles)} with its similarity read, got {role!r}")
        identity = self.manifest["teachers"][role]
        scale, bias = np.float32(identity["logit_scale"]), np.float32(identity["logit_bias"])
        return scale * self.arrays[f"{role}.similarity"] + bias


def fingerprint(description: Mapping[str, object]) -> str:
    """sha256 of the sorted JSON of everything that changes the bytes of the evidence."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def describe(class_names: Sequence[str], grid: Mapping[str, object], teachers: Mapping[str, Mapping]) -> dict:
    """The manifest of a store: what the fingerprint covers, and the fingerprint itself.

    Args:
        class_names: In the order of the class axis.
        grid: The segment grid as JSON values.
        teachers: Identity of each teacher by role; each must hold `logit_scale`, `logit_bias` and one prompt per class.

    Raises:
        ValueError: There is no teacher, or one has other than one prompt per class.
    """
    if not teachers:
        raise ValueError("a store needs at least one teacher, got none; pass a visual, an audio or a fused one")
    for role, identity in teachers.items():
        if len(identity["prompts"]) != len(class_names):
            raise ValueError(
                f"the {role} teacher must have one prompt per class, "
                f"got {len(identity['prompts'])} prompts for {len(class_names)} classes"
            )
    covered = {
        "format": FORMAT_VERSION,
        "class_names": list(class_names),
        "grid": dict(grid),
        "teachers": {role: dict(identity) for role, identity in teachers.items()},
    }
    return {**covered, "fingerprint": fingerprint(covered)}


def open_store(root: str | Path, manifest: dict) -> Path:
    """Make (or find) the folder of this fingerprint and its `manifest.json`.

    Raises:
        ValueError: The root is no folder that can be written, or the folder holds another manifest.
    """
    folder = Path(root) / manifest["fingerprint"][:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "manifest.json").exists():
            write_atomic(folder / "manifest.json", _to_json(manifest))
    except OSError as error:
        raise ValueError(f"{root}: the store cannot be written ({error.strerror}); give another folder") from error
    if _read_json(folder / "manifest.json") != json.loads(_to_json(manifest)):
        raise ValueError(f"{folder}: holds evidence of other teachers than its name says; move it away")
    return folder


@contextmanager
def write_lock(folder: Path) -> Iterator[None]:
    """Hold the only right to write to a store folder; the system frees it even when the process is killed.

    Raises:
        ValueError: Another process holds it.
    """
    with (folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"{folder}: another run is writing to this store; wait for it or give another") from error
        yield


def write_shard(folder: Path, index: int, arrays: Mapping[str, np.ndarray], rows: Sequence[ShardRow]) -> None:
    """Write the arrays of one shard, then its done-marker.

    Args:
        folder: From `open_store`, under `write_lock`.
        index: Number of the shard.
        arrays: float [n, ...] by name, one row per clip.
        rows: The n clips.

    Raises:
        ValueError: An array does not have one row per clip.
    """
    from safetensors.numpy import save

    for name, array in arrays.items():
        if len(array) != len(rows):
            raise ValueError(f"{name} must have {len(rows)} rows, one per clip, got {list(array.shape)}")
    payload = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    marker = {
        "format": FORMAT_VERSION,
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "rows": [{**vars(row), "tags": list(row.tags)} for row in rows],
    }
    write_atomic(folder / f"{index:05d}.safetensors", payload)
    write_atomic(folder / f"{index:05d}.json", _to_json(marker))


def done_shards(folder: Path) -> dict[int, list[ShardRow]]:
    """Rows of each shard whose bytes are those its marker promises; any other shard has to be made again."""
    done = {}
    for path in _marker_paths(folder):
        try:
            marker = _read_json(path)
            payload = path.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(payload).hexdigest() == marker["sha256"]:
                done[int(path.stem)] = _rows(marker)
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            continue
    return done


def write_failures(folder: Path, rows: Sequence[ShardRow]) -> Path:
    """Write `failures.csv`: clip_id, status, message of the given rows, in their order."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("clip_id", "status", "message"))
    table.writerows((row.clip_id, row.status, row.message) for row in rows)
    write_atomic(folder / "failures.csv", text.getvalue().encode("utf-8"))
    return folder / "failures.csv"


def read_store(path: str | Path, *, names: Sequence[str] | None = None) -> EvidenceStore:
    """Read a store.

    Args:
        path: The store, holding exactly one fingerprint folder, or such a folder.
        names: Arrays to read (`"visual.similarity"`), None for all.

    Returns:
        All clips in the order of their shards.

    Raises:
        ValueError: No store, several fingerprints, a shard whose bytes are not those of its marker, a clip that
            occurs twice, or an array that no shard has.
    """
    folder = _store_folder(Path(path))
    manifest = store_manifest(folder)
    shards = [_read_shard(marker, names) for marker in _marker_paths(folder)]
    rows = [row for shard_rows, _ in shards for row in shard_rows]
    if not rows:
        raise ValueError(f"{folder}: no finished shard; run the harvest first")
    _check_unique(folder, [row.clip_id for row in rows])
    return EvidenceStore(
        clip_ids=tuple(row.clip_id for row in rows),
        class_names=tuple(manifest["class_names"]),
        weak_labels=_weak_labels(rows, manifest["class_names"]),
        statuses=tuple(row.status for row in rows),
        messages=tuple(row.message for row in rows),
        arrays=_join_arrays(folder, shards, names),
        manifest=manifest,
    )


def store_manifest(path: str | Path) -> dict:
    """Read what a store says of itself, without its shards: class names, grid, teachers, fingerprint.

    Raises:
        ValueError: No store, several fingerprints, or a manifest that does not match its fingerprint.
    """
    folder = _store_folder(Path(path))
    manifest = _read_json(folder / "manifest.json")
    covered = {key: manifest.get(key) for key in ("format", "class_names", "grid", "teachers")}
    if manifest.get("format") != FORMAT_VERSION or manifest.get("fingerprint") != fingerprint(covered):
        raise ValueError(f"{folder}: manifest.json does not match its fingerprint; it was edited or is newer")
    return manifest


def write_atomic(path: Path, payload: bytes) -> None:
    """Write under a temporary name, flush to disk, and rename: a reader sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _store_folder(path: Path) -> Path:
    """The one fingerprint folder that `path` is or holds."""
    if (path / "manifest.json").is_file():
        return path
    folders = sorted(entry for entry in path.iterdir() if (entry / "manifest.json").is_file()) if path.is_dir() else []
    if len(folders) == 1:
        return folders[0]
    if folders:
        listed = ", ".join(folder.name for folder in folders)
        raise ValueError(f"{path}: holds evidence of several fingerprints ({listed}); give one of these folders")
    raise ValueError(f"{path}: expected an evidence store (with a manifest.json), got none; run the harvest first")


def _read_shard(marker_path: Path, names: Sequence[str] | None) -> tuple[list[ShardRow], dict[str, np.ndarray]]:
    """Rows and arrays of one finished shard, its bytes checked."""
    from safetensors.numpy import load

    path = marker_path.with_suffix(".safetensors")
    marker = _read_json(marker_path)
    payload = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(payload).hexdigest() != marker.get("sha256"):
        raise ValueError(f"{path}: its bytes are not those of its done-marker; run the same harvest again to mend it")
    arrays = load(payload)
    return _rows(marker), {name: arrays[name] for name in arrays if names is None or name in names}


def _join_arrays(folder: Path, shards: list, names: Sequence[str] | None) -> dict[str, np.ndarray]:
    """[N, ...] by name; a shard in which nobody had an array adds NaN rows."""
    shapes = {name: array for _, arrays in shards for name, array in arrays.items()}
    absent = sorted(set(names or ()) - set(shapes))
    if absent:
        raise ValueError(f"{folder}: no shard holds {', '.join(absent)}; ask for arrays of its teachers")
    joined = {}
    for name, example in sorted(shapes.items()):
        parts = [
            arrays[name] if name in arrays else np.full((len(rows), *example.shape[1:]), np.nan, example.dtype)
            for rows, arrays in shards
        ]
        joined[name] = np.concatenate(parts)
    return joined


def _weak_labels(rows: Sequence[ShardRow], class_names: Sequence[str]) -> np.ndarray:
    """Tags of each row as bool [N, C]."""
    index = {name: position for position, name in enumerate(class_names)}
    weak_labels = np.zeros((len(rows), len(class_names)), dtype=bool)
    for row, entry in enumerate(rows):
        weak_labels[row, [index[tag] for tag in entry.tags]] = True
    return weak_labels


def _check_unique(folder: Path, clip_ids: Sequence[str]) -> None:
    """Refuse a store in which a clip occurs twice."""
    if len(set(clip_ids)) != len(clip_ids):
        twice = sorted({clip_id for clip_id in clip_ids if clip_ids.count(clip_id) > 1})
        raise ValueError(f"{folder}: {len(twice)} clips occur twice, such as {twice[0]}; two stores were mixed")


def _marker_paths(folder: Path) -> list[Path]:
    """Done-markers in shard order."""
    return sorted(path for path in folder.glob("*.json") if path.stem.isdecimal())


def _rows(marker: Mapping) -> list[ShardRow]:
    """Rows of a done-marker."""
    return [ShardRow(**{**row, "tags": tuple(row["tags"])}) for row in marker["rows"]]


def _to_json(value: object) -> bytes:
    """Readable JSON, same bytes for the same value."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode("utf-8")


def _read_json(path: Path) -> dict:
    """JSON object of a file of the store."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); the store is damaged, move it away") from error
