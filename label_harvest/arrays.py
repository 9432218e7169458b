"""Arrays from elsewhere, in .npy and .npz: one may not claim more bytes than its file has, and nothing is unpickled.

Headers are compared with the bytes that are there before memory is given to an array. Whatever is a ZIP archive, of
arrays, weights or features, is opened here.
"""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
"""Readers of a .npy header by its version; 3.0 is for names of fields, which no array of numbers has."""
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    RuntimeError,  # encrypted; NotImplementedError: a version, a method or a flag that zipfile does not know
    struct.error,
    OverflowError,
    EOFError,
    UnicodeDecodeError,
    zlib.error,
    lzma.LZMAError,
)
"""What zipfile raises at archives that are damaged or something else, where no member lies outside the file."""
_FAULTS = (
    *_ZIP_FAULTS,
    ValueError,
    TypeError,
    KeyError,
    OSError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)
"""What numpy raises at files that are damaged or something else, and zipfile at archives."""

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How numpy packs arrays."""
_MOST_DEFLATED = 1032
"""Unpacked over packed size that deflate can reach."""

_LAST_LETTER = 0x10FFFF
"""Of Unicode; numpy makes text of higher numbers, which no file can be written with."""

Array = npt.NDArray[Any]


def read_npy(path: Path) -> Array:
    """Read the array of a .npy file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or something else; the message says how, without the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            return _array(file, path.stat().st_size)
    except _FAULTS as error:
        raise ValueError(_fault(error)) from error


def map_npy(path: Path) -> Array:
    """Map the array of a .npy file into memory, of which only what is used is read.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Its header is damaged, or claims another size than the file has.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.offset + array.nbytes != path.stat().st_size:  # type: ignore[attr-defined]  # of numpy's memmap
            raise ValueError(f"it has {path.stat().st_size:,} bytes and claims {array.nbytes:,} beside its header")
    except _FAULTS as error:
        raise ValueError(_fault(error)) from error
    return array


def read_npz(path: Path, names: Collection[str]) -> dict[str, Array]:
    """Read those of some arrays that a .npz file holds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged or something else; the message says how, without the path.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with opened_zip(path) as archive:
            held = {info.filename: info for info in archive.infolist()}
            if len(held) < len(archive.infolist()):
                raise ValueError("two arrays of it have one name")
            packed = path.stat().st_size
            arrays = {}
            for name in names:
                if name in held:
                    raise ValueError(f"{name} is no array")
                if info := held.get(f"{name}.npy"):
                    if info.compress_type not in _METHODS:
                        raise ValueError(f"{name} is packed by a method that no array file has")
                    if info.file_size > _MOST_DEFLATED * packed:
                        raise ValueError(f"it has {packed:,} bytes, and {name} claims {info.file_size:,}")
                    try:
                        with archive.open(info) as file:
                            arrays[name] = _array(file, info.file_size)
                    except _FAULTS as error:
                        raise ValueError(f"{name}: {_fault(error)}") from error
            return arrays
    except _FAULTS as error:
        raise ValueError(_fault(error)) from error


def npz_names(path: Path) -> tuple[str, ...]:
    """Names of the arrays of a .npz file that can be read."""
    with opened_zip(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP archive from elsewhere.

    Raises:
        zipfile.BadZipFile: It is damaged or something else, whatever zipfile made of it, there or inside the block.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = path.stat().st_size
            for info in archive.infolist():
                if not 0 <= info.header_offset < size:
                    raise zipfile.BadZipFile(f"{info.filename[:80]} begins outside of the file")
            yield archive
    except _ZIP_FAULTS as error:
        raise zipfile.BadZipFile(str(error) or type(error).__name__) from error


def _array(file: IO[bytes], size: int) -> Array:
    """The array of an open .npy file of `size` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"it is a .npy file of version {version}")
    shape, _, dtype = _HEADERS[version](file)
    claimed = file.tell() + prod(shape) * dtype.itemsize
    if claimed != size and not dtype.hasobject:
        raise ValueError(f"it has {size:,} bytes and claims {claimed:,}")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).view(np.uint32)
        if ((letters > _LAST_LETTER) | ((letters >= 0xD800) & (letters <= 0xDFFF))).any():  # halves of letters
            raise ValueError("its text holds what is no letter")
    return array


def _fault(error: BaseException) -> str:
    """What happened, without numpy's advice to unpickle what nobody vouches for."""
    strange = "allow_pickle" in str(error) or "magic string" in str(error)
    return "it holds Python objects or is no .npy file" if strange else str(error) or "it is damaged"
