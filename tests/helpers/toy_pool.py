"""Stores of clips without tags, of the teachers of the toy LLP, which judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.toy_run import NAMES
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store

NEW = tuple(f"new-clip-{row:02d}" for row in range(5))


def write_pool_store(root: Path, clip_ids: Sequence[str], classes: Sequence[str] = NAMES, **changes: Any) -> Path:  # noqa: ANN401
    """A store whose numbers of a clip hang on its name."""
    teachers = {
        role: {"weights": "ab" * 32, "prompts": list(classes), "logit_scale": 2.0, "logit_bias": -1.0, **changes}
        for role in ("audio", "visual")
    }
    arrays: dict[str, list[np.ndarray]] = {}
    for name in clip_ids:
        rng = np.random.default_rng(list(name.encode()))
        for role, width in (("audio", 5), ("visual", 6)):
            arrays.setdefault(f"{role}.embedding", []).append(rng.normal(size=(10, width)).astype(np.float16))
            arrays.setdefault(f"{role}.similarity", []).append(rng.normal(size=(10, len(classes))).astype(np.float32))
    folder = open_store(root, describe(classes, {"num_segments": 10}, teachers))
    with write_lock(folder):
        rows = [ShardRow(name, "ok", "", ()) for name in clip_ids]
        write_shard(folder, 0, {name: np.stack(of) for name, of in arrays.items()}, rows)
    return root
