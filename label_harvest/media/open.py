"""The one place where media files are opened: nothing but the file itself is read, whatever it says inside."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .clip import MediaError

if TYPE_CHECKING:
    import av

_NAME_OTHERS = frozenset(("applehttp", "concat", "dash", "hls", "imf", "mlv", "rtp", "rtsp", "sap", "sdp", "vobsub"))
"""Formats of FFmpeg whose files name or imply other files or addresses, which it would open."""
_FIRST_BYTES = {b"#EXTM3U": "a playlist", b"ffconcat version": "a playlist", b"v=0\r\n": "a session description"}
"""How such files begin."""
_FIRSTS = (
    b"ftyp",  # MP4, behind the size of the box
    b"\x1aE\xdf\xa3",  # Matroska and WebM
    b"FLV\x01",
    b"TTA1",
    b"FORM",  # AIFF
    b"caff",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),  # ASF
)
"""How files begin of which FFmpeg may read but the first, where several lie behind one another."""
_BLOCK = 2**20
"""Bytes looked through at once."""
_LONGEST_START = 512
"""Bytes among which a DASH playlist says that it is one."""


@contextmanager
def opened(path: Path) -> "Iterator[av.container.InputContainer]":
    """Open a media file; whatever goes wrong inside the block becomes a `MediaError` that names the file.

    A file that names others (a playlist, a list of files to join) is refused before any of them is looked for, and
    FFmpeg may read nothing but files, so that a clip from anywhere can reach neither the network nor another file.

    Raises:
        MediaError: The file is missing, a folder, empty, a playlist, or no media file.
    """
    import av

    if path.is_dir():
        raise MediaError(f"{path}: is a folder, expected a media file", "missing")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check its name and its folder", "missing")
    with media_errors(path):
        refuse_playlists(path)
        options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
        with av.open(str(path.absolute()), metadata_errors="replace", options=options) as container:
            yield container


def refuse_playlists(path: Path) -> None:
    """Refuse an empty file and one that names others; for libraries that cannot be told what they may open.

    Raises:
        MediaError: The file is one of these.
    """
    with path.open("rb") as file:
        start = file.read(_LONGEST_START).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        raise MediaError("is empty (0 bytes); fetch it again or leave it out")
    kind = next((kind for first, kind in _FIRST_BYTES.items() if start.startswith(first)), None)
    if kind is None and start.startswith(b"<") and b"<MPD" in start:
        kind = "a playlist"
    if kind:
        raise MediaError(f"is {kind}, which names other files; fetch the recording itself or leave it out")


@contextmanager
def media_errors(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a media file inside the block into a `MediaError` that names the file."""
    import av

    try:
        yield
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = _known_damage(path, error) or getattr(error, "strerror", None) or error
        raise MediaError(f"{path.name}: cannot be decoded ({reason}); fetch it again or leave it out") from error
    except MediaError as error:
        raise MediaError(f"{path.name}: {error}", error.status) from error


def _known_damage(path: Path, error: Exception) -> str:
    """What is wrong with a file of which FFmpeg says only that it is invalid; empty where that is not known."""
    import av

    if not isinstance(error, av.error.InvalidDataError):
        return ""
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"PK\x03\x04"):
            return "is a ZIP archive; unpack it"
        if start[4:] == b"ftyp" and b"moov" not in _boxes(file):
            return "its index (moov) is missing, so it was cut off or never finished"
    return ""


def is_followed(path: Path, read: int) -> bool:
    """Whether another file of the kind was put behind this one, of which FFmpeg reads nothing.

    Args:
        path: The file.
        read: Where its last packet ends, in bytes from its start.
    """
    with path.open("rb") as file:
        start = file.read(16)
        if (begins := next((first for first in _FIRSTS if first in (start[: len(first)], start[4:8])), None)) and read:
            file.seek(read)
            return _holds(file, begins)
        size = int.from_bytes(start[4:8], "little")
        if start[:4] != b"RIFF" or start[8:12] != b"WAVE" or not size:
            return False
        file.seek(8 + size + size % 2)
        behind = file.read(12)
        return (behind[:4], behind[8:]) == (b"RIFF", b"WAVE")


def _holds(file: BinaryIO, wanted: bytes) -> bool:
    """Whether the rest of a file holds some bytes."""
    kept = b""
    while block := file.read(_BLOCK):
        if wanted in kept + block:
            return True
        kept = block[-len(wanted) :]
    return False


def _boxes(file: BinaryIO) -> list[bytes]:
    """The kinds of the outermost boxes of an MP4 file."""
    kinds, place = list[bytes](), 0
    while file.seek(place) == place and len(head := file.read(16)) >= 8:
        size = int.from_bytes(head[:4])
        kinds.append(head[4:8])
        size = int.from_bytes(head[8:16]) if size == 1 else size
        if size < 8:  # up to the end of the file, or damaged
            break
        place += size
    return kinds


@lru_cache(maxsize=1)
def _formats() -> str:
    """All formats of this FFmpeg that keep to their own file, as it wants them listed."""
    import av

    return ",".join(sorted(av.formats_available - _NAME_OTHERS))
