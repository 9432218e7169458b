"""How long a file says that it is, where its header says so: FFmpeg guesses it, or makes it fit what is there."""

import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .clip import MediaError
from .packets import Recording, base_of, byte_seconds, recording, tag_bytes

if TYPE_CHECKING:
    import av

MOST_SECONDS = 100 * 3600.0
"""Longer media have damaged timestamps, and headers that say more were never filled in."""
RAW_VIDEO = ("h264", "hevc", "vvc", "m4v", "mpegvideo", "av1", "obu", "dirac", "cavsvideo", "h263", "h261", "vc1")
"""Formats that are nothing but packets of video, without times."""
_NO_LENGTH = ("aac", "ac3", "eac3", "dts", "dtshd", "loas", "truehd", "mlp", "amr", "amrnb", "amrwb", "mpegts", "mpeg")
"""Formats without a header that says a length."""
_COUNTED = ("avi", "caf")
"""Formats whose header counts the frames of each stream, or its samples."""
_FROM_ZERO = ("matroska,webm", "nut", "asf")
"""Formats that say when the last frame ends, whenever the first one begins."""
_PLAIN = ("wav", "aiff", "au", "caf", "w64")
"""Formats that hold plain samples and say how many bytes they are."""
_FIRST_FRAME = 2048
"""Bytes behind the tags of an MP3 among which its first frame lies."""
_SAMPLES, _FULL_RATE = 1152, 32000
"""Samples of a frame of MP3 from this rate on; below it has half as many."""
_W64_CHUNK = bytes.fromhex("f3acd3118cd100c04f8edb8a")
"""How the names of the chunks of a W64 go on behind their four letters."""
_MOST_CHUNKS = 1000
"""So many chunks of a WAV or W64 are looked at for the one of its samples."""
_UNFILLED = range(0x7E000000, 0x80000100)
"""Sizes that SoX, recorders and others write who do not know yet how much comes, where they cannot go back."""
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""The name of the object of an ASF that says its length."""
_ASF_HEAD, _OGG_TAIL = 2**16, 2**17
"""Bytes at the start of an ASF, and at the end of an Ogg, that are looked through; a page has no more than 65,307."""


def header_seconds(path: Path) -> float | None:
    """As `promised_seconds`, of a file that is opened for it; None also where it cannot be read."""
    with suppress(MediaError), recording(path) as media:
        return promised_seconds(path, media)
    return None


def promised_seconds(path: Path, media: Recording) -> float | None:
    """The length the header says, in seconds, from the start of the clock on.

    None where there is no header that says one: FFmpeg guesses it then, from the first bit rate or the last packet.
    """
    container = media.container
    name = container.format.name
    counted = _counted_frames(path) if name == "mp3" else math.inf
    if name in _NO_LENGTH or name in RAW_VIDEO or not counted:
        return None
    said = float(container.duration) / 1e6 if container.duration and container.duration > 0 else None
    if said is not None and name == "mp3":  # FFmpeg guesses it where another file was put behind the frames counted
        rate = container.streams.audio[0].sample_rate
        said = min(said, counted * (_SAMPLES if rate >= _FULL_RATE else _SAMPLES // 2) / rate)
    if not media.rubbish:
        said = _written(path, container) or said
    if said is None or said > MOST_SECONDS or (name in _PLAIN and _is_unfilled(path, container, said)):
        return None
    contexts = [stream.codec_context for stream in container.streams]
    opus = name == "ogg" and any(context is not None and context.name == "opus" for context in contexts)
    return said - (max(0.0, media.clock) if name in _FROM_ZERO or opus else 0.0)  # FFmpeg leaves it in Opus alone


def _is_unfilled(path: Path, container: "av.container.InputContainer", said: float) -> bool:
    """Whether a length is that of a size in the place of one that was not known."""
    byte = byte_seconds(container.streams.audio[0]) if container.streams.audio else 0.0
    claimed = round(said / byte) if byte else 0
    return claimed in _UNFILLED and path.stat().st_size < claimed // 2


def _written(path: Path, container: "av.container.InputContainer") -> float | None:
    """What the header says in formats of which FFmpeg says only what is there."""
    name = container.format.name
    if name in _COUNTED:
        lengths = [stream.frames * float(base_of(stream)) for stream in container.streams if stream.frames]
        return max(lengths, default=None)
    with path.open("rb") as file:
        if name == "wav":
            return _wave_seconds(file, 4, 4, b"", 2)
        if name == "w64":
            return _wave_seconds(file, 16, 8, _W64_CHUNK, 8)
        return _asf_seconds(file.read(_ASF_HEAD)) if name == "asf" else None


def _wave_seconds(file: BinaryIO, letters: int, digits: int, rest: bytes, even: int) -> float | None:
    """What the chunks of a WAV or W64 say.

    Args:
        file: At its start.
        letters: Bytes of the name of a chunk.
        digits: Bytes of its size, which in a W64 counts name and size as well.
        rest: What follows the four letters of a name.
        even: Chunks begin at multiples of this.
    """
    length, rate = file.seek(0, 2), 0
    place = letters + digits + (4 if letters == 4 else letters)  # behind RIFF, its size, and WAVE
    for _ in range(_MOST_CHUNKS):
        if place >= length:
            return None
        file.seek(place)
        if len(head := file.read(letters + digits)) < letters + digits:
            return None
        size = int.from_bytes(head[letters:], "little") - (0 if letters == 4 else len(head))
        if head[:letters] == b"fmt " + rest:
            rate = int.from_bytes(file.read(12)[8:], "little")  # nAvgBytesPerSec
        if head[:letters] == b"data" + rest:
            unfilled = size <= 0 or size >= 0xFFFFFF00
            return None if unfilled or not rate or place + len(head) + size <= length else size / rate
        place += len(head) + max(0, size) + -size % even
    return None


def _asf_seconds(head: bytes) -> float | None:
    """Play Duration without Preroll of the File Properties Object, unless the Broadcast Flag makes it invalid."""
    place = head.find(_ASF_PROPERTIES)
    if place < 0 or len(head) < place + 92 or head[place + 88] & 1:
        return None
    play, preroll = (int.from_bytes(head[place + at : place + at + 8], "little") for at in (64, 80))
    return play / 1e7 - preroll / 1e3 if play else None


def _counted_frames(path: Path) -> int:
    """How many frames follow the first one of an MP3 that counts them, behind tags that may hold a picture; else 0."""
    with path.open("rb") as file:
        start = file.read(10)
        while size := tag_bytes(start):
            file.seek(size - 10, 1)
            start = file.read(10)
        start += file.read(_FIRST_FRAME)
    if (place := start.find(b"VBRI")) >= 0:
        return int.from_bytes(start[place + 14 : place + 18])
    place = max(start.find(b"Xing"), start.find(b"Info"))
    said = place >= 0 and int.from_bytes(start[place + 4 : place + 8]) & 1
    return int.from_bytes(start[place + 8 : place + 12]) if said else 0


def lacks_end(path: Path, media: Recording) -> bool:
    """Whether a file cannot be followed to what marks its end: the last page of an Ogg, the trailer of a GIF."""
    if media.container.format.name == "gif":
        with path.open("rb") as file:
            return not _reaches_trailer(file)
    if media.container.format.name != "ogg":
        return False
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _OGG_TAIL))
        tail = file.read()
    page = tail.rfind(b"OggS\0")
    return page >= 0 and len(tail) > page + 5 and not tail[page + 5] & 4


def _reaches_trailer(file: BinaryIO) -> bool:
    """Whether the blocks of a GIF follow one another up to its trailer."""
    flags = file.read(13)[10:11]
    file.seek(_colours(flags), 1)
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b",":  # an image: place and size, colours, the width of its codes
            file.seek(_colours(file.read(9)[8:9]) + 1, 1)
        else:
            file.seek(1, 1)
        while size := file.read(1):
            if size == b"\0":
                break
            file.seek(size[0], 1)
    return kind == b";"


def _colours(flags: bytes) -> int:
    """Bytes of a table of colours of a GIF."""
    return 3 * 2 ** (1 + (flags[0] & 7)) if flags and flags[0] & 128 else 0
