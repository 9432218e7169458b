"""Files that are almost right: one thing about a file is changed where it lies, by what kind of file it is.

Each mangler takes the bytes of a whole file and a `random.Random`, and gives other bytes and what was done to them,
such
as `clips[].audio[].onset: NaN`. What was done names no row, so that like changes are counted together.
"""

import random
from collections.abc import Callable
from pathlib import Path

from tests.helpers.mangle_binary import (
    mangled_bytes,
    mangled_npy,
    mangled_npz,
    mangled_safetensors,
    mangled_tar,
    mangled_zip,
)
from tests.helpers.mangle_text import Mangled, mangled_json, mangled_lines, mangled_table

MANGLERS: dict[str, Callable[[bytes, random.Random], Mangled]] = {
    ".json": mangled_json, ".jsonl": mangled_lines, ".csv": mangled_table, ".tsv": mangled_table, ".txt": mangled_table,
    ".npz": mangled_npz, ".npy": mangled_npy, ".safetensors": mangled_safetensors, ".zip": mangled_zip,
    ".tar": mangled_tar,
    ".gz": mangled_tar, ".xz": mangled_tar, ".bz2": mangled_tar,
}  # fmt: skip
"""By the ending of a file; any other is bytes."""


def mangle_file(path: Path, rng: random.Random) -> str:
    """Change one thing about a file where it lies; what."""
    draw = rng.random()
    if draw < 0.02:
        path.unlink()
        return "file: lost"
    if draw < 0.05:
        path.unlink()
        what = rng.choice(["a folder", "a link to itself", "a link to nothing"])
        if what == "a folder":
            path.mkdir()
        else:
            path.symlink_to(path if what == "a link to itself" else path.parent / "nothing")
        return f"file: {what}"
    content = path.read_bytes()
    mangler = MANGLERS.get(path.suffix, mangled_bytes)
    if path.suffix not in MANGLERS or draw < 0.08:
        mangler = mangled_bytes
    try:
        made, what = mangler(content, rng)
    except Exception:  # what an earlier change left cannot be taken apart
        made, what = mangled_bytes(content, rng)
    path.unlink()  # may be a hard link of the whole one
    path.write_bytes(made)
    return what if made != content else "same"
