"""`weights.json` of a store: where the weights of its teachers came from, and what vouches for them.

It lies beside what the fingerprint covers: the same weights give the same evidence, whether somebody vouches or not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..places.place import Place, write_atomic
from ..teachers.teacher import Teacher
from .listing import GUARDED as FILE
from .shards import is_sealed, parse_json, sealed

_SEAL = "checksum"
"""Of the file as of a marker; older versions wrote none."""


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


def read_origins(folder: Place) -> dict[str, dict[str, str]]:
    """By role, `file`, `file_sha256`, `weights` and `checked` (known, pinned or unverified); empty where none is noted.

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
    vouched = [role for role, origin in noted.items() if origin["checked"] != "unverified"]
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
