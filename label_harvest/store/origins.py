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
from .shards import Marker, is_sealed, parse_json, read_markers, sealed

_SEAL = "checksum"
"""Of the file as of a marker; older versions wrote none."""


OWN_MODULE = "valor_own_"
"""How the modules begin that files of a user's own code are run as."""
OWN_DIGEST = "__valor_sha256__"
"""Name in such a module for the sha256 of the bytes that were run."""
_OWN = "own code"
"""What is noted as `checked` of a teacher that such a file defines."""
_ALSO = "also_sha256"
"""Digests of other versions of that file that the store has evidence of too, spaces between."""

logger = logging.getLogger(__name__)


def own_digests(teachers: Sequence[Teacher]) -> dict[str, str]:
    """By role of the teachers of one's own, the sha256 of the file that was run."""
    return {role: digest for role, (_, digest) in _own(teachers).items()}


def _own(teachers: Sequence[Teacher]) -> dict[str, tuple[Path, str]]:
    """By role of the teachers of one's own, the file and the sha256 of what was run of it."""
    found = {}
    for teacher in teachers:
        module = type(teacher).__module__
        ran = sys.modules.get(module)
        place = getattr(ran, "__file__", None)
        if module.startswith(OWN_MODULE) and place is not None and getattr(teacher, "origin", None) is None:
            found[teacher.role] = Path(place), getattr(ran, OWN_DIGEST, None) or file_sha256(Path(place))
    return found


def note_own_files(
    folder: Place, teachers: Sequence[Teacher], markers: Mapping[int, Marker], *, allow_edited: bool = False
) -> None:
    """Note which files teachers of one's own are from; a store that was begun with another version is refused.

    Args:
        folder: The fingerprint folder, whose list lock is held.
        teachers: Of the run.
        markers: Of its shards. Where there are some that do not say it, nobody knows which file they were made with.
        allow_edited: Whether evidence by another version of the file may stand beside what is there.

    Raises:
        ValueError: It is of another version of the file; names both.
    """
    noted: dict[str, dict[str, Any]] = {**read_origins(folder)}
    fresh: dict[str, dict[str, Any]] = {}
    before, judges = _versions(noted, markers), {teacher.role: teacher for teacher in teachers}
    for role, (path, digest) in _own(teachers).items():
        known, was = before.get(role, []), noted.get(role)
        if known and digest not in known:
            if not allow_edited:
                raise ValueError(_of_another_file(folder, role, path, digest, known))
            logger.warning(
                "%s: its %s evidence will be by two versions of %s; the marker of each shard says by which",
                folder,
                role,
                path.name,
            )
        if was is None and (known or not markers):
            weights = judges[role].identity()["weights"]
            fresh[role] = {"file": path.name, "file_sha256": digest, "weights": weights, "checked": _OWN}
        elif was is not None and digest not in known:
            fresh[role] = {**was, _ALSO: " ".join([*str(was.get(_ALSO, "")).split(), digest])}
    if fresh:
        write_atomic(folder / FILE, sealed(noted | fresh))


def refuse_edited(folder: Place, own: Mapping[str, tuple[Path, str]], markers: Mapping[int, Marker]) -> None:
    """Refuse a store that was begun with another version of a file, before a teacher is built.

    Args:
        folder: The fingerprint folder.
        own: By role of teachers of one's own, the file and its sha256.
        markers: Of its shards.

    Raises:
        ValueError: It is of another version of the file; names both.
    """
    known = _versions(read_origins(folder), markers)
    for role, (path, digest) in own.items():
        if known.get(role) and digest not in known[role]:
            raise ValueError(_of_another_file(folder, role, path, digest, known[role]))


def _of_another_file(folder: Place, role: str, path: Path, digest: str, known: Sequence[str]) -> str:
    return (
        f"{folder}: its {role} evidence is by {path.name} of sha256 {' and '.join(one[:12] for one in known)}, and "
        f"{path} is another version ({digest[:12]}) that says it is the same teacher; give the file as it was; where "
        "it judges otherwise, change what its `identity` says, which begins a store of its own; where it judges alike "
        "(an edited comment, say), go on with `allow_edited`, and the marker of each shard says by which version it is"
    )


def _versions(noted: Mapping[str, Mapping[str, Any]], markers: Mapping[int, Marker]) -> dict[str, list[str]]:
    """By role, sha256 of all files of one's own that a store has evidence of."""
    found: dict[str, list[str]] = {}
    for role, origin in noted.items():
        if origin.get("checked") == _OWN:
            found[role] = [str(origin.get("file_sha256")), *str(origin.get(_ALSO, "")).split()]
    for marker in markers.values():
        for role, digests in marker.own.items():
            found[role] = list(dict.fromkeys([*found.get(role, []), *digests]))
    return found


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


def refuse_other_files(folders: Sequence[Place]) -> None:
    """Refuse to unite stores whose evidence is by other versions of a file of one's own.

    Args:
        folders: The stores, of one fingerprint, also the one that they are united in.

    Raises:
        ValueError: Two say that they are of the same teacher and are by different files; or what one notes is damaged.
    """
    first: dict[str, tuple[Place, list[str]]] = {}
    for folder in folders:
        for role, digests in _versions(read_origins(folder), read_markers(folder)).items():
            place, known = first.setdefault(role, (folder, digests))
            if not set(digests) <= set(known):
                ours, theirs = (" and ".join(one[:12] for one in of) for of in (digests, known))
                raise ValueError(
                    f"{folder}: its {role} evidence is by a file of sha256 {ours}, that of {place} by {theirs}, and "
                    "both say that they are the same teacher; where they judge otherwise, change what `identity` says "
                    "and harvest one of them again; "
                    "where they judge alike, unite them with `allow_edited`"
                )


def merge_origins(target: Place, sources: Sequence[Place]) -> None:
    """Note in a united store what its parts note of their teachers, of files of one's own all versions.

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
            if before.get("checked") == origin.get("checked") == _OWN:
                first, *more = dict.fromkeys([d for one in (before, origin) for d in _versions({role: one}, {})[role]])
                merged[role] = {**before, "file_sha256": first, **({_ALSO: " ".join(more)} if more else {})}
            elif before.get("checked") == "unverified" != origin["checked"]:
                merged[role] = {**origin}
    if merged and merged != read_origins(target):
        write_atomic(target / FILE, sealed(merged))


def own_files(folder: Place, markers: Mapping[int, Marker]) -> dict[str, dict[str, Any]]:
    """By role of a teacher of one's own, its `file`, and `shards`: by sha256 of each version the numbers of its shards.

    Shards of versions that wrote no such marker are in none.
    """
    noted, found = read_origins(folder), dict[str, dict[str, Any]]()
    for role, digests in _versions(noted, markers).items():
        shards = {
            one: [n for n, marker in sorted(markers.items()) if one in marker.own.get(role, ())] for one in digests
        }
        found[role] = {"file": noted.get(role, {}).get("file"), "shards": shards}
    return found


def told_own(own: Mapping[str, Any]) -> str:
    """One entry of `own_files` in words: the file, its versions, and where there are several the shards of each.

    >>> told_own({"file": "a.py", "shards": {"c" * 64: [0], "d" * 64: [1, 2]}})
    'a.py of sha256 cccccccccccc (shard 00000) and dddddddddddd (shards 00001, 00002)'
    """
    told = []
    for digest, shards in own["shards"].items():
        named = ", ".join(f"{n:05d}" for n in shards[:_MOST_NAMED]) + ", ..." * (len(shards) > _MOST_NAMED)
        where = f" ({'shard' if len(shards) == 1 else 'shards'} {named})" if shards and len(own["shards"]) > 1 else ""
        told.append(f"{digest[:12]}{where}")
    return f"{own['file'] or 'a file'} of sha256 {' and '.join(told)}"


_MOST_NAMED = 10
"""So many shards are named of each version."""


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
