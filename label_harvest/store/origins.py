"""`weights.json` of a store: where the weights of its teachers came from, and what vouches for them.

It lies beside what the fingerprint covers: the same weights give the same evidence, whether somebody vouches or not.
"""

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..disk import file_sha256
from ..places.place import Place, write_atomic
from ..teachers.teacher import Teacher
from .listing import GUARDED as FILE
from .shards import is_sealed, parse_json, sealed

_SEAL = "checksum"
"""Of the file as of a marker; older versions wrote none."""


OWN_MODULE = "valor_own_"
"""How the modules begin that files of a user's own code are run as."""
OWN_DIGEST = "__valor_sha256__"
"""Name in such a module for the sha256 of the bytes that were run."""
_OWN = "own code"
"""What is noted as `checked` of a teacher that such a file defines."""
_ALSO = "also_sha256"
"""Digests of other versions of that file whose evidence a merge has united, spaces between."""

logger = logging.getLogger(__name__)


def note_own_files(folder: Place, teachers: Sequence[Teacher], *, is_new: bool) -> None:
    """Note which files teachers of one's own are from; of a store begun with another file that is said aloud.

    Args:
        folder: The fingerprint folder, whose list lock is held.
        teachers: Of the run.
        is_new: Whether the store holds no shard yet; of one that does nobody knows which file it was made with.
    """
    noted: dict[str, dict[str, Any]] = {**read_origins(folder)}
    fresh: dict[str, dict[str, Any]] = {}
    for teacher in teachers:
        module = type(teacher).__module__
        ran = sys.modules.get(module)
        place = getattr(ran, "__file__", None)
        if not module.startswith(OWN_MODULE) or place is None or getattr(teacher, "origin", None) is not None:
            continue
        path, before = Path(place), noted.get(teacher.role)
        digest = getattr(ran, OWN_DIGEST, None) or file_sha256(path)
        if before is None and is_new:
            weights = teacher.identity()["weights"]
            fresh[teacher.role] = {"file": path.name, "file_sha256": digest, "weights": weights, "checked": _OWN}
        elif before is not None and before.get("file_sha256") != digest:
            logger.warning(
                "%s: its %s evidence was begun with %s of sha256 %.12s, and %s is another (%.12s) that says it is the "
                "same teacher; where it judges otherwise, change what its `identity` says, or take another `store`",
                folder,
                teacher.role,
                before.get("file"),
                before.get("file_sha256"),
                path,
                digest,
            )
    if fresh:
        write_atomic(folder / FILE, sealed(noted | fresh))


def write_origins(folder: Place, teachers: Sequence[Teacher]) -> None:
    """Note the origins of weights, where teachers know them; what another run vouched for stays vouched for.

    Args:
        folder: The fingerprint folder, whose list lock is held.
        teachers: Of the run; those with an `origin` are noted.
    """
    found = {teacher.role: origin for teacher in teachers if (origin := getattr(teacher, "origin", None)) is not None}
    noted = read_origins(folder)
    fresh = {
        role: asdict(origin)
        for role, origin in found.items()
        if origin.checked != "unverified" or noted.get(role, {}).get("weights") != origin.weights
    }
    if fresh and noted | fresh != noted:
        write_atomic(folder / FILE, sealed(noted | fresh))


def merge_origins(target: Place, sources: Sequence[Place]) -> None:
    """Note in a united store what its parts note of their teachers; files of one's own that differ are said aloud.

    Args:
        target: The united store, whose list lock is held.
        sources: Its parts, of one fingerprint.

    Raises:
        ValueError: What a part notes is damaged.
    """
    merged: dict[str, dict[str, Any]] = {**read_origins(target)}
    for folder in sources:
        for role, origin in read_origins(folder).items():
            before = merged.setdefault(role, {**origin})
            is_own = before.get("checked") == origin.get("checked") == _OWN
            known = [before.get("file_sha256"), *str(before.get(_ALSO, "")).split()]
            if is_own and origin.get("file_sha256") not in known:
                logger.warning(
                    "%s: its %s evidence is of %s of sha256 %.12s, that of the stores before it of %s of %.12s; both "
                    "say that they are the same teacher, so the united store holds evidence of both: where they judge "
                    "otherwise, change what `identity` says and harvest one of them again",
                    folder,
                    role,
                    origin.get("file"),
                    origin.get("file_sha256"),
                    before.get("file"),
                    before.get("file_sha256"),
                )
                before[_ALSO] = " ".join(map(str, [*known[1:], origin.get("file_sha256")]))
            elif before.get("checked") == "unverified" != origin["checked"]:
                merged[role] = {**origin}
    if merged and merged != read_origins(target):
        write_atomic(target / FILE, sealed(merged))


def own_files(folder: Place) -> dict[str, str]:
    """By role of a teacher of one's own, its file and the sha256 of it, of all versions whose evidence was united."""
    found = {}
    for role, origin in read_origins(folder).items():
        if origin["checked"] == _OWN:
            digests = [str(origin.get("file_sha256")), *origin.get(_ALSO, "").split()]
            found[role] = f"{origin.get('file')} of sha256 {' and '.join(digest[:12] for digest in digests)}"
    return found


def read_origins(folder: Place) -> dict[str, dict[str, str]]:
    """By role, `file`, `file_sha256`, `weights` and `checked` (known, pinned, unverified, own code); empty of none.

    Raises:
        ValueError: The file is no such table.
    """
    if not (folder / FILE).is_file():
        return {}
    return _read(folder)[0]


def _read(folder: Place) -> tuple[dict[str, dict[str, str]], bool]:
    """What the file says, and whether it has a checksum."""
    path = folder / FILE
    payload = path.read_bytes()
    content = parse_json(path, payload)
    has_seal = _SEAL in content
    if has_seal and not is_sealed(payload):
        raise ValueError(f"{path}: not as it was written, its checksum differs; `valor store repair` sets it aside")
    noted = {role: origin for role, origin in content.items() if role != _SEAL}
    if not all(isinstance(origin, dict) and isinstance(origin.get("checked"), str) for origin in noted.values()):
        raise ValueError(f"{path}: no table of weights by role; `valor store repair` sets it aside")
    return noted, has_seal


def origins_problems(folder: Place, manifest: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the origins that a store notes.

    Args:
        folder: The fingerprint folder.
        manifest: Of the store.
    """
    if not (folder / FILE).exists():
        return
    try:
        noted, has_seal = _read(folder)
    except (ValueError, OSError) as error:
        yield str(error)
        return
    for role, origin in noted.items():
        if origin.get("weights") != manifest["teachers"].get(role, {}).get("weights"):
            yield f"{FILE}: is of other {role} weights than those that judged"
    vouched = [role for role, origin in noted.items() if origin["checked"] not in ("unverified", _OWN)]
    if vouched and not has_seal:
        yield (
            f"{FILE}: calls the weights of {' and '.join(vouched)} checked and has no checksum, so that cannot be told "
            "from an edit; `valor store repair` gives it one as it is"
        )


def mend_origins(folder: Place, manifest: Mapping[str, Any]) -> str:
    """Give the origins the checksum they lack, or set aside what is damaged: `sealed`, `aside` or nothing."""
    if not (folder / FILE).exists():
        return ""
    try:
        noted, has_seal = _read(folder)
    except (ValueError, OSError):
        return "aside"
    judges = manifest["teachers"]
    if any(origin.get("weights") != judges.get(role, {}).get("weights") for role, origin in noted.items()):
        return "aside"
    if has_seal:
        return ""
    write_atomic(folder / FILE, sealed(noted))
    return "sealed"
