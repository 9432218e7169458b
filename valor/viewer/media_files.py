"""Which files a viewer may play: media by name, where the user said, and not reached through a link that leaves."""

import mimetypes
import os
import stat
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import BinaryIO

from valor.label_harvest.store.videos import find_media

TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # browsers play most of these as MP4, and none as video/quicktime
    ".f4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".mka": "audio/x-matroska",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".aac": "audio/aac",
    ".weba": "audio/webm",
}
"""What common endings are served as; others are what Python takes them for."""

UNPLAYED = frozenset(".ac3 .amr .asf .avi .divx .flv .m2ts .mpeg .mpg .mts .mxf .rm .rmvb .ts .vob .wma .wmv".split())
"""Endings of media that no browser plays, whatever is inside."""


def media_type(path: Path) -> str | None:
    """The type a file is served as; None for what no browser plays, or is neither video nor sound by its name."""
    if unplayed(path):
        return None
    found = TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or ""
    return found if found.startswith(("video/", "audio/")) else None


def unplayed(path: Path) -> str:
    """The ending of a media file that no browser plays, in small letters; empty for any other file."""
    ending = path.suffix.lower()
    return ending if ending in UNPLAYED else ""


def placed(path: Path, inside: Path | None = None) -> Path | None:
    """The real place of a media file, played by browsers or not, or None where it must not be shown.

    Args:
        path: The file as it was named.
        inside: Folder it must really lie in, links followed; None where the user or a parse named the file itself.
    """
    try:
        real = path.resolve(strict=True)
        home = inside.resolve(strict=True) if inside is not None else real.parent
    except (OSError, RuntimeError, ValueError):
        return None
    is_media = unplayed(real) or media_type(real) is not None
    return real if real.is_file() and is_media and real.is_relative_to(home) else None


def open_media(path: Path) -> BinaryIO:
    """Open a media file from `placed`: neither a link put in its place since is followed, nor a pipe waited for.

    Raises:
        OSError: It cannot be opened, or is no plain file any more.
    """
    wanted = ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")  # each is there on some systems
    descriptor = os.open(path, os.O_RDONLY | reduce(or_, (getattr(os, name, 0) for name in wanted)))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or path.resolve() != path:
        os.close(descriptor)
        raise FileNotFoundError(f"{path}: no plain file any more")
    return os.fdopen(descriptor, "rb")


def listed_media(videos: Path, clip_ids: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Media of clips in a folder, played by browsers or not, and the names of files that may not be shown.

    Raises:
        ValueError: The folder cannot be listed, or a clip has two candidates.
    """
    media, refused = {}, []
    for clip_id, path in find_media(videos, clip_ids).items():
        if path is None:
            continue
        real = placed(path, videos)
        if real is None:
            refused.append(path.name)
        else:
            media[clip_id] = real
    return media, refused
