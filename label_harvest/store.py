"""The one home of the evidence format: shards of clips under a fingerprint of everything that changes their bytes.

    STORE/<first 12 digits of the fingerprint>/
        manifest.json        class names, grid, teacher identities, fingerprint
        00000.safetensors    arrays "<role>.similarity" float32 [n, T, C] and "<role>.<feature>" float16 [n, rows, D]
        00000.json           done-marker, written last: one row per clip (status, tags, ...), sha256 of the shard
        failures.csv         every clip whose status is a failure

Absent evidence is NaN, never zero. A shard without a marker, or whose bytes differ from the marker, does not count.
Thresholds are no part of it: they apply when labels are read. Only numpy and safetensors are needed to read it
(docs/store.md). Names that begin with a dot are locks and work under way.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .shards import FORMAT_VERSION, ShardRow, marker_paths, read_json, read_shard, to_json
from .shards import write_shard as write_shard
from .store_files import sync_folder, write_atomic
from .store_files import write_lock as write_lock

logger = logging.getLogger(__name__)


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
        teachers: Identity of each teacher by role; one that judges holds `logit_scale`, `logit_bias` and one prompt per
            class, a feature extractor holds none of these.

    Raises:
        ValueError: There is no teacher, or one has other than one prompt per class.
    """
    if not teachers:
        raise ValueError("a store needs at least one teacher, got none; pass a visual, an audio or a fused one")
    for role, identity in teachers.items():
        if "prompts" in identity and len(identity["prompts"]) != len(class_names):
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
    root = Path(root)
    inside = (root / "manifest.json").is_file()
    folder = root if inside else root / manifest["fingerprint"][:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "manifest.json").exists():
            _warn_of_others(root)
            write_atomic(folder / "manifest.json", to_json(manifest))
            sync_folder(root)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"{root}: the store cannot be written ({reason}); give another folder") from error
    found = read_json(folder / "manifest.json")
    if found != json.loads(to_json(manifest)):
        told = "; ".join(_differences(found, manifest)[:3]) or "its manifest was edited"
        hint = "give the folder above it" if inside else "move it away"
        raise ValueError(
            f"{folder}: holds evidence of other teachers than its name says or this run has: {told}; {hint}"
        )
    return folder


def _warn_of_others(root: Path) -> None:
    """Say that a store will hold evidence of several teachers, which no reader takes without being told which."""
    others = sorted(path.parent.name for path in root.glob("*/manifest.json"))
    if others:
        named = ", ".join(others)
        logger.warning("%s: holds evidence of other teachers too (%s); name one folder to read it", root, named)


_TELLING = ("teacher", "weights", "prompts")
"""What is told first of two teachers that differ."""


def _differences(found: object, wanted: object, place: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        keys = sorted({*found, *wanted} - {"fingerprint"}, key=lambda key: (key not in _TELLING, key))
        return [text for key in keys for text in _differences(found.get(key), wanted.get(key), f"{place}.{key}")]
    if found == wanted or (isinstance(wanted, tuple) and found == list(wanted)):
        return []
    short = [text if len(text) < 50 else f"{text[:47]}..." for text in (json.dumps(found), json.dumps(wanted))]
    return [f"{place[1:]} is {short[0]} in the store and {short[1]} here"]


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
    folder = store_folder(Path(path))
    manifest = store_manifest(folder)
    shards = [read_shard(folder, int(path.stem), names) for path in marker_paths(folder)]
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
    folder = store_folder(Path(path))
    manifest = read_json(folder / "manifest.json")
    covered = {key: manifest.get(key) for key in ("format", "class_names", "grid", "teachers")}
    if manifest.get("format") != FORMAT_VERSION or manifest.get("fingerprint") != fingerprint(covered):
        raise ValueError(f"{folder}: manifest.json does not match its fingerprint; it was edited or is newer")
    return manifest


def store_folder(path: Path) -> Path:
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
