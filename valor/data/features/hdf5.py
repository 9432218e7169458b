"""The plain HDF5 files of published data sets: one array each, uncompressed, as h5py writes them unless told otherwise.

A superblock of version 0, a root group of a few names, and under a name an array of whole numbers or floats that lies
in one piece. That is what AVE's orders and labels are, and it can be read in a page. Everything else HDF5 can do,
chunks and compression above all, is refused by name: such a file has to be written anew.
"""

import math
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MOST_BYTES = 1 << 28
"""Of a file: 256 MB, far above any list of labels; features are opened."""

_ROOT_TREE = 80
"""Where the superblock says where the tree of the root group lies; behind it, where the names lie."""
_ENTRY = 40
"""Bytes of an entry of a group: where its name and its header lie, and 24 that matter to no reader."""
_SPACE, _TYPE, _LAYOUT, _FILTERS, _CONTINUED = 0x1, 0x3, 0x8, 0xB, 0x10
"""Kinds of messages in the header of an array: its shape, its numbers, where they lie, how they are packed, and more
messages elsewhere."""
_SIGNED = 8
"""Of the bits of a whole number."""
_NUMBERS = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_LONGEST_NAME = 256


def read_hdf5(path: Path, name: str) -> npt.NDArray[Any]:
    """Read one array.

    Args:
        path: The file.
        name: What the array is called in it.

    Returns:
        The array in its own type.

    Raises:
        ValueError: The file is none, is cut off, has no such array, or has it in a form that is not read here.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path}: expected an HDF5 file of at most {MOST_BYTES:,} bytes; is it one of features?")
    return _read(path, path.read_bytes(), name)


def open_hdf5(path: Path, name: str) -> npt.NDArray[Any]:
    """As `read_hdf5`, of any size: the array lies in the file, and only what is looked at is read."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.stat().st_size:
        raise ValueError(f"{path}: expected an HDF5 file, got an empty one; fetch it again")
    with path.open("rb") as file:
        return _read(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), name)


def _read(path: Path, held: bytes | mmap.mmap, name: str) -> npt.NDArray[Any]:
    """The array of a file whose bytes these are."""
    try:
        return _array(held, _header_of(held, name), name)
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"{path}: the HDF5 file is cut off or damaged; fetch it again") from error
    except _NotReadError as error:
        raise ValueError(f"{path}: {error}") from None


class _NotReadError(Exception):
    """What stands in the file is no array of the plain form."""


def _header_of(held: bytes | mmap.mmap, name: str) -> int:
    """Where the header of the array of a name lies."""
    if held[:8] != SIGNATURE:
        raise _NotReadError("expected an HDF5 file, got something else; was it fetched from Git LFS or a web page?")
    if held[8] != 0 or held[13:15] != b"\x08\x08":
        raise _NotReadError(f"expected an HDF5 superblock of version 0, got version {held[8]}; write the file anew")
    tree, heap = struct.unpack_from("<QQ", held, _ROOT_TREE)
    if held[tree : tree + 4] != b"TREE" or held[heap : heap + 4] != b"HEAP" or held[tree + 5 : tree + 8] != b"\0\1\0":
        raise _NotReadError("expected a root group of a few names, got another; write the file anew")
    (texts,) = struct.unpack_from("<Q", held, heap + 24)
    (node,) = struct.unpack_from("<Q", held, tree + 32)
    if held[node : node + 4] != b"SNOD":
        raise _NotReadError("the HDF5 file is damaged: its root group names nothing; fetch it again")
    (entries,) = struct.unpack_from("<H", held, node + 6)
    found = []
    for entry in range(entries):
        text, header = struct.unpack_from("<QQ", held, node + 8 + _ENTRY * entry)
        known = held[texts + text : texts + text + _LONGEST_NAME].partition(b"\0")[0]
        if known == name.encode():
            return int(header)
        found.append(known.decode("utf-8", "replace"))
    raise _NotReadError(f"expected an array {name!r}, found {', '.join(map(repr, found[:5])) or 'none'}")


def _array(held: bytes | mmap.mmap, header: int, name: str) -> npt.NDArray[Any]:
    """The array whose header lies there."""
    messages = _messages(held, header, name)
    if strange := {_FILTERS: "compressed", _CONTINUED: "described in several places"}.get(
        next((kind for kind in (_FILTERS, _CONTINUED) if kind in messages), -1)
    ):
        raise _NotReadError(f"{name!r} is {strange}, which is not read here; write it anew, uncompressed")
    if not {_SPACE, _TYPE, _LAYOUT} <= set(messages):
        raise _NotReadError(f"{name!r} is no array, or one of another form; write it anew, uncompressed")
    space, kind, layout = messages[_SPACE], messages[_TYPE], messages[_LAYOUT]
    if space[0] != 1 or layout[0] != 3 or layout[1] != 1:
        raise _NotReadError(f"{name!r} lies in chunks or is of another form; write it anew, uncompressed")
    shape = struct.unpack_from(f"<{space[1]}Q", space, 8)
    (size,) = struct.unpack_from("<I", kind, 4)
    letter = {0: "i" if kind[1] & _SIGNED else "u", 1: "f"}.get(kind[0] & 15, "")
    if f"{letter}{size}" not in _NUMBERS or kind[1] & 1:  # of which the last says that the first byte is the highest
        raise _NotReadError(f"{name!r} must hold whole numbers or floats, lowest byte first")
    start, length = struct.unpack_from("<QQ", layout, 2)
    if math.prod(shape) * size != length or start + length > len(held):
        raise _NotReadError(f"the HDF5 file ends before its array {name!r} {shape} does; fetch it again")
    return np.frombuffer(held, dtype=f"<{letter}{size}", count=math.prod(shape), offset=start).reshape(shape)


def _messages(held: bytes | mmap.mmap, header: int, name: str) -> dict[int, bytes]:
    """The first message of each kind in a header of version 1."""
    version, count, length = held[header], *struct.unpack_from("<H4xI", held, header + 2)
    if version != 1:
        raise _NotReadError(f"{name!r} has a header of another version; write the file anew")
    found: dict[int, bytes] = {}
    at, end = header + 16, header + 16 + length
    for _ in range(count):
        if at >= end:
            break
        kind, size = struct.unpack_from("<HH", held, at)
        found.setdefault(kind, held[at + 8 : at + 8 + size])
        at += 8 + size
    return found
