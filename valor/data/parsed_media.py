"""The media file that a parse is of: its name, its streams, its clock, in JSON too; and whether it still lies there."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from valor.label_harvest.disk import file_sha256
from valor.label_harvest.strict_json import MOST_SECONDS, as_flag, as_list, as_number, as_object, as_text, as_whole

_RANGES = {"start_time": (-MOST_SECONDS, MOST_SECONDS), "modified": (-(2.0**53), 2.0**53)}
"""Of times that may lie below zero, or on the clock of a computer."""


@dataclass(frozen=True, kw_only=True)
class MediaInfo:
    """The media file that was parsed."""

    name: str
    """Name of the file."""
    path: str
    """Where it lay, absolute."""
    duration: float
    """Length of its longest stream in seconds."""
    start_time: float = 0.0
    """What the clock of the container says at its start, in seconds."""
    has_audio: bool
    has_visual: bool
    width: int | None = None
    """Of a frame as it is stored, in pixels."""
    height: int | None = None
    frame_rate: float | None = None
    """Average frames per second."""
    constant_rate: bool | None = None
    """Whether frame n is shown at n / `frame_rate`, half a frame more or less, all along; None where nobody knows."""
    audio_track: int | None = None
    """Which of its audio tracks was heard, from 0; None where nobody knows."""
    audio_tracks: tuple[str, ...] = ()
    """All of them in words."""
    sha256: str | None = None
    """Digest of the bytes of the file."""
    size: int | None = None
    """Bytes of the file."""
    modified: float | None = None
    """When the file was last changed, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class MediaFile:
    """What tells a media file from others of its name: fields of `MediaInfo`."""

    name: str
    path: str
    sha256: str | None = None
    size: int | None = None
    modified: float | None = None

    @classmethod
    def of(cls, media: MediaInfo | None) -> "MediaFile | None":
        """The file of a parse; None where nothing tells it from others."""
        if media is None or (media.sha256 is None and media.size is None):
            return None
        return cls(**{entry.name: getattr(media, entry.name) for entry in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """As JSON knows it."""
        return asdict(self)


def media_file_from_json(value: object) -> MediaFile:
    """What `MediaFile.to_dict` gave."""
    held = as_object(value, "media")
    size, modified, sha256 = (held.get(name) for name in ("size", "modified", "sha256"))
    return MediaFile(
        name=as_text(held["name"], "media: name"),
        path=as_text(held["path"], "media: path", blank=True),
        sha256=None if sha256 is None else as_text(sha256, "media: sha256"),
        size=None if size is None else as_whole(size, "media: size"),
        modified=None if modified is None else as_number(modified, "media: modified", *_RANGES["modified"]),
    )


def media_from_json(value: object) -> MediaInfo:
    """The media file of a parse, every field of its kind."""
    held = as_object(value, "media")
    known = {entry.name: entry for entry in fields(MediaInfo)}
    tracks: tuple[str, ...] = ()
    if unknown := sorted(set(held) - set(known)):
        raise ValueError(f"media: unknown keys {', '.join(unknown):.80}")
    for name, entry in known.items():
        if name not in held:
            if entry.default is MISSING:
                raise KeyError(f"media: {name}")
            continue
        of, where = held[name], f"media: {name}"
        if of is None and entry.default is None:
            continue
        if name in ("name", "path", "sha256"):
            as_text(of, where, blank=name != "name")
        elif name in ("has_audio", "has_visual", "constant_rate"):
            as_flag(of, where)
        elif name == "audio_tracks":
            tracks = tuple(as_text(track, where) for track in as_list(of, where))
        elif name in ("width", "height", "size", "audio_track"):
            as_whole(of, where)
        else:
            as_number(of, where, *_RANGES.get(name, (0, MOST_SECONDS)))
    return MediaInfo(**{**held, "audio_tracks": tracks})


def told_apart(paths: Sequence[str]) -> list[str]:
    """What files are called where several are shown: their names, and as much of their folders as tells them apart.

    >>> told_apart(["/films/a/x.mp4", "/films/b/x.mp4", "/films/y.mp4"])
    ['a/x.mp4', 'b/x.mp4', 'y.mp4']
    """
    parts = [Path(path).parts for path in paths]
    called: dict[tuple[str, ...], str] = {}
    length, left = 1, set(parts)
    while left:
        counts = Counter(each[-length:] for each in set(parts))
        done = {each for each in left if counts[each[-length:]] == 1 or length >= len(each)}
        called |= {each: "/".join(each[-length:]).replace("//", "/") for each in done}
        left, length = left - done, length + 1
    return [called[each] for each in parts]


def modified_at(facts: os.stat_result) -> float:
    """When a file was last changed, in seconds since 1970 to the microsecond."""
    return round(facts.st_mtime, 6)


def is_file_of(held: MediaInfo | MediaFile, path: Path) -> bool | None:
    """Whether a file is the one that was parsed: recordings of one length often have one size. None: nothing tells.

    Raises:
        OSError: The file cannot be read.
    """
    facts = path.stat()
    if held.size is not None and held.size != facts.st_size:
        return False
    if held.modified == modified_at(facts):
        return True
    return None if held.sha256 is None else held.sha256 == file_sha256(path)


_READ_WHOLE = 2**28
"""Bytes up to which a file of the same size and another time of change is read, to tell whether it is the same."""


def was_replaced(held: MediaInfo | MediaFile) -> bool:
    """Whether another file lies now where the one lay that was parsed; False too where none does."""
    path = Path(held.path)
    try:
        if not held.path or not path.is_file() or held.size == path.stat().st_size and held.size > _READ_WHOLE:
            return False
        return is_file_of(held, path) is False
    except (OSError, ValueError):
        return False


def is_other(held: MediaFile, now: MediaInfo | None) -> bool:
    """Whether what was made of a file is of another one than there is now; False too where nothing tells.

    Args:
        held: The file it was made of.
        now: The file of the parse that it is to go with, which is then asked for; None without a parse.
    """
    if now is None:
        return was_replaced(held)
    facts = (held.sha256, now.sha256) if held.sha256 and now.sha256 else (held.size, now.size)
    return (None not in facts and facts[0] != facts[1]) or was_replaced(now)


def replaced_note(names: Sequence[str]) -> str:
    """What is said of parses whose media were replaced, by the names of these files; empty of none."""
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]} is not the file that was parsed, another lies there now; parse it again"
    said = ", ".join(names[:3]) + ", ..." * (len(names) > 3)
    return f"{len(names)} media ({said}) are not the files that were parsed, others lie there now; parse them again"
