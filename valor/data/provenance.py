"""Where the data of a run came from, as JSON values for its recipe.json and its checkpoint.

Nothing here is read again: it is there so that somebody can ask a checkpoint which features, teachers, thresholds and
truth are behind it.

The mark of simulated features: who carries it, and how it is passed on. No score under it means anything.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from valor.data.label_file import PROVENANCE
from valor.label_harvest.store.disk import replaced
from valor.label_harvest.store.store import store_manifest

from .feature_files import FEATURE_FILES, LABEL_FOLDERS
from .feature_options import FeatureOptions
from .label_file import FILE_NAME
from .packed import is_packed, read_packed_card
from .tables import Split

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
    """Where one kind is read from; the same choice as in `valor.data.clips`."""
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


MARK = "SIMULATED"
"""What everything made from simulated features is called by."""

MARK_FILE = f"{MARK}.json"
"""What a data folder of simulated features holds."""


def is_simulated(data: Path) -> bool:
    """Whether a data folder says of itself that its features are simulated."""
    return (data / MARK_FILE).is_file()


def marked(name: str) -> str:
    """A name with the mark before it, once."""
    return name if name.startswith(MARK) else f"{MARK} {name}"


def write_mark(folder: Path, facts: dict[str, Any]) -> None:
    """Write the mark into a folder.

    Args:
        folder: A data folder.
        facts: What was simulated, as JSON values.
    """
    with replaced(folder / MARK_FILE) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def pass_mark(source: Path, out: Path, facts: dict[str, Any]) -> None:
    """Mark what is made from a simulated folder like the folder itself; a mark that is there stays.

    Args:
        source: A data folder; its mark is copied where it has one.
        out: The folder to mark.
        facts: What to write where the source has no mark of its own.
    """
    if is_simulated(out):
        return
    if not is_simulated(source):
        write_mark(out, {"simulated": True, **facts})
        return
    with replaced(out / MARK_FILE) as temporary:
        temporary.write_bytes((source / MARK_FILE).read_bytes())
