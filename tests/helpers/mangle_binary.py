"""Arrays, archives and bytes with one thing changed, and a word for what; see `tests.helpers.mangle`."""

import io
import random
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.helpers.mangle_text import Mangled, mangled_json


def mangled_bytes(content: bytes, rng: random.Random) -> Mangled:
    """Bytes with some flipped, lost or added."""
    made = bytearray(content)
    place = rng.randrange(len(made)) if made else 0
    what = rng.choice(
        ["flip", "flips", "cut", "empty", "more behind", "more before", "stretch lost", "zeros", "stretch doubled"]
    )
    if what == "flip" and made:
        made[place] ^= 1 << rng.randrange(8)
    elif what == "flips" and made:
        for _ in range(rng.randrange(2, 30)):
            made[rng.randrange(len(made))] = rng.randrange(256)
    elif what == "cut":
        del made[place:]
    elif what == "empty":
        made.clear()
    elif what == "more behind":
        made += rng.randbytes(rng.randrange(1, 300))
    elif what == "more before":
        made[:0] = rng.randbytes(rng.randrange(1, 300))
    else:
        stretch = slice(place, place + rng.randrange(1, 400))
        if what == "stretch lost":
            del made[stretch]
        elif what == "zeros":
            made[stretch] = bytes(len(made[stretch]))
        else:
            made[place:place] = made[stretch]
    return bytes(made), f"bytes: {what}"


def mangled_array(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, str]:
    """An array of another kind, shape or with other values; one of objects cannot be read without unpickling."""
    made: dict[str, Callable[[], np.ndarray]] = {
        "reversed axes": lambda: array.T,
        "fortran order": lambda: np.asfortranarray(array),
        "flat": lambda: array.ravel(),
        "axis more": lambda: array[np.newaxis],
        "axis behind": lambda: array[..., np.newaxis],
        "none": lambda: array[:0],
        "row less": lambda: array[:-1] if array.ndim else array,
        "row twice": lambda: np.concatenate([array, array[-1:]]) if array.ndim else array,
        "column less": lambda: array[..., :-1] if array.ndim else array,
        "scalar": lambda: array.ravel()[0] if array.size else array,
        "reversed rows": lambda: array[::-1] if array.ndim else array,
        "objects": lambda: array.astype(object),
        "bytes": lambda: np.full(array.shape, b"x"),
        "structured": lambda: np.zeros(array.shape, [("a", "f4"), ("b", "i4")]),
        "dates": lambda: np.zeros(array.shape, "datetime64[s]"),
        "huge text": lambda: np.full(array.shape[:1], "x" * 30_000),
        "half letters": lambda: np.full(array.shape, "\ud800x"),
        "void": lambda: np.zeros(array.shape, "V4"),
    }
    if array.dtype.kind in "bfiu":
        for name in ("float16", "float64", "int8", "int64", "uint8", "bool", "complex64", "S3", "U5"):
            made[f"as {name}"] = lambda name=name: array.astype(name)
        made["other byte order"] = lambda: array.astype(array.dtype.newbyteorder())
        if hasattr(np, "longdouble"):
            made["long double"] = lambda: array.astype(np.longdouble)
        for word, value in {
            "NaN": np.nan,
            "inf": np.inf,
            "-0.1": -0.1,
            "1.1": 1.1,
            "1e30": 1e30,
            "2": 2,
            "-1": -1,
            "-0": -0.0,
        }.items():
            made[f"one {word}"] = lambda value=value: _with(array, value, rng)
        made["all zero"] = lambda: np.zeros_like(array)
    if array.dtype == np.bool_:
        made["bytes of 255"] = lambda: (array.view(np.uint8) * 255).view(np.bool_)
        made["some bytes of 2"] = lambda: (array.view(np.uint8) * np.uint8(2)).view(np.bool_)
    if array.dtype.kind == "U" and array.size:
        for word, name in {
            "no text": "",
            "NUL": "a\x00b",
            "escape": "\x1b[2J",
            "tab": "a\tb",
            "blank": " ",
            "accent": "e\u0301",
            "line": "a\nb",
        }.items():
            made[f"one {word}"] = lambda name=name: _with(array.astype(f"U{max(3, array.itemsize // 4)}"), name, rng)
        made["one twice"] = lambda: _with(array, array.ravel()[0], rng)
        made["capitals"] = lambda: np.char.upper(array)
        made["blank behind"] = lambda: np.char.add(array, " ")
        made["mixed"] = lambda: np.array(rng.sample(array.ravel().tolist(), array.size))
        made["other byte order"] = lambda: array.astype(array.dtype.newbyteorder())
    what = rng.choice(list(made))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return made[what](), what
        except (ValueError, TypeError, OverflowError, IndexError):
            return array[:0], "none"


def _with(array: np.ndarray, value: Any, rng: random.Random) -> np.ndarray:
    """One value of an array replaced, as far as its kind can hold it."""
    made = array.copy()
    if made.size:
        made.reshape(-1)[rng.randrange(made.size)] = value
    return made


def npy_bytes(array: np.ndarray) -> bytes:
    """A .npy file, objects and all."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=True)
    return buffer.getvalue()


def _mangled_header(content: bytes, rng: random.Random) -> Mangled:
    """A .npy file whose header says something else."""
    end = content.index(b"\n")
    header, data = content[10:end].decode("latin-1"), content[end + 1 :]
    shape = header[header.index("'shape': ") : header.index("}")].rstrip(", ")
    descr = header[header.index("'descr': ") : header.index(", 'fortran")]
    what, header = rng.choice([
        ("shape of petabytes", header.replace(shape, "'shape': (1125899906842624, 8)")),
        ("negative shape", header.replace(shape, "'shape': (-1, 2)")),
        ("shape of zeros", header.replace(shape, "'shape': (0, 1000000000)")),
        ("shape of text", header.replace(shape, "'shape': ('a',)")),
        ("shape of bools", header.replace(shape, "'shape': (True, True)")),
        ("shape of 100 axes", header.replace(shape, f"'shape': ({'1, ' * 100})")),
        ("shape beyond a word", header.replace(shape, f"'shape': ({2**64}, {2**64})")),
        ("objects", header.replace(descr, "'descr': '|O'")),
        ("kind unknown", header.replace(descr, "'descr': 'zz'")),
        ("kind of nothing", header.replace(descr, "'descr': '<U0'")),
        ("fields", header.replace(descr, "'descr': [('a', '<f4'), ('b', '|O')]")),
        ("shape of no array", header.replace(shape, "'shape': None")),
        ("code", "__import__('os').system('true')"),
        ("nested", "(" * 500 + ")" * 500),
        ("no header", ""),
        ("stranger", header.replace("}", "'x': 1}")),
    ])  # fmt: skip
    padded = header.encode("latin-1")
    padded += b" " * (-(len(padded) + 11) % 64) + b"\n"
    version = rng.choice([b"\x01\x00", b"\x01\x00", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x00"])
    size = struct.pack("<H", len(padded)) if version == b"\x01\x00" else struct.pack("<I", len(padded))
    return b"\x93NUMPY" + version + size + padded + data, f"header: {what}"


def mangled_npy(content: bytes, rng: random.Random) -> Mangled:
    """A .npy file with its array, its header or its bytes changed."""
    draw = rng.random()
    if draw < 0.25:
        return mangled_bytes(content, rng)
    if draw < 0.45:
        return _mangled_header(content, rng)
    array, what = mangled_array(np.load(io.BytesIO(content), allow_pickle=False), rng)
    return npy_bytes(array), what


def mangled_npz(content: bytes, rng: random.Random) -> Mangled:
    """A .npz file with one of its arrays or its archive changed."""
    draw = rng.random()
    if draw < 0.2:
        return mangled_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    plain, held = name.removesuffix(".npy"), members[name]
    if draw < 0.75:
        members[name], what = mangled_npy(held, rng)
        return zip_bytes(list(members.items()), zipfile.ZIP_DEFLATED), f"{plain}: {what}"
    simulated = npy_bytes(np.array(rng.choice([True, False, 2, "x", [True, False]])))
    in_place = {
        "renamed": [(f"{plain}2.npy", held)], "without ending": [(plain, held)], "deeper": [(f"x/{name}", held)],
        "capitals": [(name.upper(), held)], "twice": [(name, held)] * 2, "raw": [(name, b"raw")], "lost": [],
        "twice, other values": [(name, held), (name, mangled_npy(held, rng)[0])],
        "stranger": [(name, held), ("stranger.npy", b"x")], "simulated": [(name, held), ("simulated.npy", simulated)],
        "swapped": [(name, members[rng.choice(list(members))])], "bzip2": [(name, held)], "lzma": [(name, held)],
        "encrypted": [(name, held)],
    }  # fmt: skip
    what = rng.choice(list(in_place))
    pairs = [pair for one in members for pair in (in_place[what] if one == name else [(one, members[one])])]
    made = zip_bytes(pairs, _METHODS.get(what, zipfile.ZIP_DEFLATED))
    return _flagged(made) if what == "encrypted" else made, f"{plain}: {what}"


_METHODS = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}


def zip_bytes(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive, two members of one name and all."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def _flagged(content: bytes) -> bytes:
    """A zip archive whose members say that they are encrypted."""
    made = bytearray(content)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := made.find(mark, place + 1)) >= 0:
            made[place + at] |= 1
    return bytes(made)


def mangled_safetensors(content: bytes, rng: random.Random) -> Mangled:
    """A safetensors file with its header or its bytes changed."""
    draw = rng.random()
    if draw < 0.4:
        return mangled_bytes(content, rng)
    size = struct.unpack("<Q", content[:8])[0]
    header, data = content[8 : 8 + size], content[8 + size :]
    if draw < 0.8:
        made, what = mangled_json(header, rng)
        return struct.pack("<Q", len(made)) + made + data, f"header: {what}"
    claimed = rng.choice([0, 1, size - 1, size + 1, 2**31, 2**62, 2**64 - 1])
    return struct.pack("<Q", claimed) + header + data, "header: other length"


def mangled_zip(content: bytes, rng: random.Random) -> Mangled:
    """A zip archive with hostile members or damaged bytes."""
    if rng.random() < 0.35:
        return mangled_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    name = rng.choice([name for name, _ in members])
    more: dict[str, list[tuple[str | zipfile.ZipInfo, bytes]]] = {
        "twice": [(name, b"other")], "folder below a file": [(f"{name}/x.npy", b"other")],
        "bomb": [("CLIP/features/bomb.npy", bytes(50_000_000))], "link": [(_special(0o120777, rng), b"/etc")],
        "device": [(_special(0o020777, rng), b"")],
    }  # fmt: skip
    what = rng.choice([*HOSTILE_NAMES, *more, *_METHODS, *_CLAIMS, "encrypted"])
    buffer = io.BytesIO()
    method = _METHODS.get(what, zipfile.ZIP_DEFLATED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for one, held in members:
                archive.writestr(HOSTILE_NAMES.get(what, one) if one == name else one, held)
            for info, held in more.get(what, []):
                archive.writestr(info, held)
    made = buffer.getvalue()
    if what in _CLAIMS:
        made = _claiming(made, *_CLAIMS[what])
    return _flagged(made) if what == "encrypted" else made, f"zip: {what}"


def _special(mode: int, rng: random.Random) -> zipfile.ZipInfo:
    """A member that is no plain file."""
    info = zipfile.ZipInfo(rng.choice(["link.npy", "CLIP/features"]))
    info.create_system, info.external_attr = 3, mode << 16
    return info


_CLAIMS = {
    "claims more": (8, lambda size: 2**31),
    "claims less": (8, lambda size: max(size // 2, 1)),
    "crc": (0, lambda crc: crc ^ 1),
}
"""Where behind its CRC a member says something, and what it says instead."""


def _claiming(content: bytes, place: int, other: Callable[[int], int]) -> bytes:
    """A zip archive whose first member says something else of itself, in both of its headers."""
    made = bytearray(content)
    for mark, crc in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = made.find(mark) + crc + place
        made[at : at + 4] = struct.pack("<I", other(struct.unpack("<I", made[at : at + 4])[0]))
    return bytes(made)


HOSTILE_NAMES = {
    "name goes up": "../outside.npy", "name goes up within": "CLIP/../../outside.npy",
    "name absolute": "/tmp/outside.npy",
    "name with backslash": "CLIP\\..\\outside.npy", "name with drive": "C:/outside.npy",
    "name with NUL": "CLIP/features/a\x00b.npy",
    "name with escape": "CLIP/features/\x1b[2J.npy", "name too long": "CLIP/features/" + "x" * 300 + ".npy",
    "no name": ".",
    "name of a folder": "CLIP/features", "name with a dot": "CLIP/./features/x.npy",
    "name in capitals": "clip/FEATURES/x.npy",
    "name too deep": "x/" * 3000 + "y.npy", "name with blanks": " / .npy",
}  # fmt: skip
"""Names a member of an archive may not have, or that are odd."""


def mangled_tar(content: bytes, rng: random.Random) -> Mangled:
    """A tar archive with hostile members or damaged bytes; how it is compressed stays."""
    kind = {b"\x1f\x8b": "gz", b"BZ": "bz2", b"\xfd7": "xz"}.get(content[:2], "")
    if rng.random() < 0.35:
        return mangled_bytes(content, rng)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(info, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]
    row = rng.randrange(len(members))
    info, held = members[row]
    what = rng.choice([*HOSTILE_NAMES, *_TAR_KINDS, "twice", "bomb", "folder below a file", "long note"])
    info.name, info.type = HOSTILE_NAMES.get(what, info.name), _TAR_KINDS.get(what, info.type)
    info.linkname = "/etc/passwd" if what == "symlink" else members[0][0].name
    info.pax_headers = {"comment": "x" * 2_000_000} if what == "long note" else {}
    if what in ("twice", "bomb", "folder below a file"):
        name = {"twice": info.name, "bomb": "CLIP/features/bomb.npy"}.get(what, f"{info.name}/x.npy")
        members.insert(row + 1, (tarfile.TarInfo(name), bytes(30_000_000) if what == "bomb" else held))
    buffer = io.BytesIO()
    form = rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
    with tarfile.open(fileobj=buffer, mode=f"w:{kind}", format=form) as archive:  # type: ignore[call-overload]
        for one, content in members:
            one.size = len(content) if one.type in (tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE) else 0
            archive.addfile(one, io.BytesIO(content))
    return buffer.getvalue(), f"tar: {what}"


_TAR_KINDS = {
    "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE, "device": tarfile.CHRTYPE,
    "sparse": tarfile.GNUTYPE_SPARSE,
}  # fmt: skip
