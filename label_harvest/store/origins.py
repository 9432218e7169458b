"""`weights.json` of a store: where the weights of its teachers came from, and what vouches for them.

It lies beside what the fingerprint covers: the same weights give the same evidence, whether somebody vouches or not.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..disk import write_atomic
from ..teachers.teacher import Teacher
from .shards import read_json, to_json

FILE = "weights.json"


def write_origins(folder: Path, teachers: Sequence[Teacher]) -> None:
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
        write_atomic(folder / FILE, to_json(noted | fresh))


def read_origins(folder: Path) -> dict[str, dict[str, str]]:
    """By role, `file`, `file_sha256`, `weights` and `checked` (known, pinned or unverified); empty where none is noted.

    Raises:
        ValueError: The file is no such table.
    """
    if not (folder / FILE).is_file():
        return {}
    return dict(read_json(folder / FILE))
