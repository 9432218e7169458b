"""Where the data of a run came from, as JSON values for its recipe.json and its checkpoint.

Nothing here is read again: it is there so that somebody can ask a checkpoint which features, teachers, thresholds and
truth are behind it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from label_harvest.store import store_manifest
from valor.annotations import Split
from valor.dataset import FeatureOptions
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.labelling import PROVENANCE
from valor.labels_file import FILE_NAME
from valor.packed_store import is_packed, read_packed_card
from valor.simulation_mark import MARK, is_simulated

_PACKED_FACTS = ("dtype", "exact", "source", "sha256")


def describe_data(features: FeatureOptions, data: Path, splits: Sequence[Split], labels: Path | None) -> dict[str, Any]:
    """Say where features, labels and truth of a run come from.

    Args:
        features: Which kinds.
        data: Folder of the annotation tables and the features.
        splits: Those that are used.
        labels: Folder of the pseudo labels, or None.
    """
    kinds = {stream: getattr(features, stream) for stream in ("audio", "visual", "motion")}
    made_by = None if labels is None else describe_labels(labels)
    return {
        "simulated": simulated_features(features, data, splits) or bool(made_by and made_by.get("simulated")),
        "features": {stream: _features(kind, data, splits) for stream, kind in kinds.items() if kind},
        "labels": made_by,
        "truth": {
            split.name: {"version": split.truth_version, "sha256": split.truth_sha256}
            for split in splits
            if split.truth is not None
        },
        "clips": {split.name: len(split.clip_ids) for split in splits},
    }


def simulated_features(features: FeatureOptions, data: Path, splits: Sequence[Split]) -> bool:
    """Whether features are simulated: their folder says so, or a card there; arguments as in `describe_data`."""
    kinds = {kind for kind in (features.audio, features.visual, features.motion) if kind in FEATURE_FILES}
    packed = [(kind, split.name) for kind in kinds for split in splits if is_packed(data, kind, split.name)]
    return is_simulated(data) or any(read_packed_card(data, *one).source.startswith(MARK) for one in packed)


def describe_labels(labels: Path) -> dict[str, Any]:
    """Say who made the pseudo labels of a folder: teachers and thresholds where `labels.json` tells them."""
    folder = labels if labels.is_dir() else labels.parent
    file = labels / FILE_NAME if labels.is_dir() else labels
    if not file.is_file():
        return {"from": "published files", "folders": list(LABEL_FOLDERS)}
    facts: dict[str, Any] = {"from": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    if (folder / PROVENANCE).is_file():
        made = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        made["left_out"] = len(made.get("left_out", ()))
        facts |= made | {"teachers": _teachers(made.get("teachers", {}))}
    return facts


def _features(kind: str, data: Path, splits: Sequence[Split]) -> dict[str, Any]:
    """Where one kind is read from; the same choice as in `valor.dataset`."""
    if "." in kind:
        manifest = store_manifest(data / "store" if (data / "store").is_dir() else data)
        teacher = _teachers(manifest["teachers"]).get(kind.partition(".")[0])
        return {"kind": kind, "from": "evidence store", "fingerprint": manifest["fingerprint"], "teacher": teacher}
    packed: dict[str, Any] = {}
    for split in splits:
        if is_packed(data, kind, split.name):
            card = read_packed_card(data, kind, split.name)
            packed[split.name] = {name: getattr(card, name) for name in _PACKED_FACTS}
    facts: dict[str, Any] = {"kind": kind, "from": "packed store" if packed else "published files"}
    if packed:
        facts["packed"] = packed
    if len(packed) < len(splits):
        facts["folder"] = FEATURE_FILES[kind].folder
    return facts


def _teachers(identities: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The identity of each teacher without its lists of prompts, which the fingerprint of its store covers."""
    return {
        role: {name: value for name, value in identity.items() if not isinstance(value, (list, dict))}
        for role, identity in identities.items()
    }
