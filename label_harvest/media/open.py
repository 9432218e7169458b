"""The one place where media files are opened: nothing but the file itself is read, whatever it says inside."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..machine import OPEN_FILES, remedy
from .clip import MediaError

if TYPE_CHECKING:
    import av
    from av.stream import Stream

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
_SEARCHED = 2**16
"""Bytes at the start of a file among which the recording may begin, behind rubbish."""
_HEADS = re.compile(
    rb"fLaC\0\0\0\x22|OggS\0\x02|RIFF....(?:WAVEfmt |AVI LIST)|FORM....AIF[FC]|FLV\x01[\x01\x04\x05]\0\0\0\x09"
    rb"|\x1aE\xdf\xa3.{,60}(?:matroska|webm)|\0\0\0[\x10-\x80]ftyp|caff\0\x01\0\0desc|wvpk....[\x02-\x10]\x04"
    rb"|TTA1[\x01-\x03]\0|\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c",
    re.DOTALL,
)
"""How recordings begin, so that it is no chance."""
_ARCHIVES = re.compile(rb"PK\x03\x04|.{257}ustar", re.DOTALL)
"""How files begin that may hold recordings as they are, of which the first is not meant more than the others."""
_HEADLESS = ("aac", "ac3", "eac3", "flac", "h264", "hevc", "m4v", "mp3", "mpegvideo")
"""Formats that FFmpeg takes files for which begin as none."""
FAR_BYTES = 2**26
"""So far into a file FFmpeg looks for a stream of which the start says too little; it keeps in memory what it reads."""
_FAR = {"probesize": str(FAR_BYTES), "analyzeduration": str(86_400 * 10**6)}
"""How it is told so; else it gives up after 5 MB, or 5 to 90 s of one stream, whatever the others do."""
_UNLISTED = ("mpegts", "mpeg", "flv")
"""Formats with no list of all their streams at the start."""
_LONGEST_START = 512
"""Bytes among which a DASH playlist says that it is one."""


@dataclass(frozen=True)
class Part:
    """The bytes of a file that are read as a recording."""

    begin: int = 0
    end: int = 0
    """Where what is whole ends in a fragmented MP4 that was cut within the head of a fragment; 0 for all."""


WHOLE = Part()


@contextmanager
def opened(path: Path) -> "Iterator[tuple[av.container.InputContainer, Part]]":
    """Open a media file; whatever goes wrong inside the block becomes a `MediaError` that names the file.

    A file that names others (a playlist, a list of files to join) is refused before any of them is looked for, and
    FFmpeg may read nothing but files, so that a clip from anywhere can reach neither the network nor another file.
    Where it can make nothing of a file, the part of it is opened that is a recording, if there is one.

    Yields:
        The container, and which part of the file it is.

    Raises:
        MediaError: The file is missing, a folder, empty, a playlist, or no media file.
    """
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, expected a media file", "missing")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check its name and its folder", "missing")
    with media_errors(path):
        refuse_playlists(path)
        container, part = _opened(path)
        with container:
            _own_layouts(container)
            yield container, part


def _opened(path: Path) -> "tuple[av.container.InputContainer, Part]":
    import av

    options = {"protocol_whitelist": "file,subfile", "format_whitelist": _formats()}
    place, part = str(path.absolute()), WHOLE
    try:
        container = av.open(place, metadata_errors="replace", options=options)
        if container.format.name in _HEADLESS and (part := _part(path)) != WHOLE:
            container.close()
    except (av.error.InvalidDataError, av.error.EOFError):
        if (part := _part(path)) == WHOLE:
            raise
    if part != WHOLE:
        place = f"subfile,,start,{part.begin},end,{part.end},,:{place}"
        container = av.open(place, metadata_errors="replace", options=options)
    if _lacks_streams(container):
        container.close()
        container = av.open(place, metadata_errors="replace", options=options | _FAR)
    return container, part


def _lacks_streams(container: "av.container.InputContainer") -> bool:
    """Whether a stream may come farther behind the others than FFmpeg looks on its own."""
    streams = container.streams
    if any(stream.codec_context is not None and not is_known(stream) for stream in (*streams.video, *streams.audio)):
        return True
    return container.format.name in _UNLISTED and not (streams.video and streams.audio)


def is_known(stream: "Stream") -> bool:
    """Whether anything of a stream was met that says what it is; FFmpeg plays no other."""
    context: Any = stream.codec_context
    return context is not None and bool(context.width if context.type == "video" else context.sample_rate)


def _own_layouts(container: "av.container.InputContainer") -> None:
    """Let no channels lie in an order that only a list says, as those of AIFF, CAF and MOV may.

    PyAV frees that list with everything that is ever asked for the layout of the stream or of a frame, and so ends the
    process. Here all channels count alike, so it does to know how many there are.
    """
    for stream in container.streams.audio:
        if stream.codec_context is not None and (layout := stream.codec_context.layout).nb_channels:
            listed = " channels" in layout.name or "+" in layout.name  # as 8 channels (FL+FR+FC+LFE+SL+SR+BL+BR)
            stream.codec_context.layout = f"{layout.nb_channels}C" if listed else layout.name
            del layout  # after which nobody has the list


def _part(path: Path) -> Part:
    """The part of a file that can be opened, where that is not the whole: behind rubbish, or before a cut."""
    with path.open("rb") as file:
        start = file.read(_SEARCHED)
        if start[4:8] == b"ftyp":
            file.seek(0)
            kinds, end = _boxes(file)
            return Part(end=end) if b"moov" in kinds and b"moof" in kinds else WHOLE
    found = None if _ARCHIVES.match(start) or start.startswith(b"ID3") else _HEADS.search(start)
    return Part(begin=found.start()) if found else WHOLE


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
    """Turn whatever goes wrong with a media file inside the block into a `MediaError` that names the file.

    Raises:
        MediaError: It cannot be read.
        OSError: No more files can be opened, whatever they are.
    """
    import av

    try:
        yield
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        code = getattr(error, "errno", None)
        if code in OPEN_FILES:
            raise OSError(code, f"{os.strerror(code)}; {remedy(code)}", str(path)) from error
        reason = _known_damage(path, error) or getattr(error, "strerror", None) or error
        raise MediaError(f"{path.name}: cannot be decoded ({reason}); fetch it again or leave it out") from error
    except MediaError as error:
        raise MediaError(f"{path.name}: {error}", error.status, salvageable=error.salvageable) from error


def _known_damage(path: Path, error: Exception) -> str:
    """What is wrong with a file of which FFmpeg says only that it is invalid; empty where that is not known."""
    import av

    if not isinstance(error, av.error.InvalidDataError):
        return ""
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"PK\x03\x04"):
            return "is a ZIP archive; unpack it"
        if start[4:] == b"ftyp" and b"moov" not in _boxes(file)[0]:
            return (
                "its index (moov) is missing, so it was cut off or never finished; of a recording of your own, the "
                "tool untrunc may make it anew by another of the same camera"
            )
    return ""


def is_cut(path: Path) -> bool:
    """Whether a fragmented MP4 ends within a box."""
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return False
        kinds, end = _boxes(file)
        return b"moof" in kinds and end < file.seek(0, 2)


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


def _boxes(file: BinaryIO) -> tuple[list[bytes], int]:
    """The kinds of the outermost boxes of an MP4 file, and where the last whole one ends."""
    kinds, place, end = list[bytes](), 0, 0
    length = file.seek(0, 2)
    while place < length and file.seek(place) == place and len(head := file.read(16)) >= 8:
        size = int.from_bytes(head[:4])
        kinds.append(head[4:8])
        size = int.from_bytes(head[8:16]) if size == 1 else size
        if size < 8:  # up to the end of the file, or damaged
            break
        place += size
        end = place if place <= length else end
    return kinds, end


@lru_cache(maxsize=1)
def _formats() -> str:
    """All formats of this FFmpeg that keep to their own file, as it wants them listed."""
    import av

    return ",".join(sorted(av.formats_available - _NAME_OTHERS))
