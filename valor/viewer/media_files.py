"""Which files a viewer may play: media by name, where the user said, and not reached through a link that leaves."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from label_harvest.manifest import find_media

TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # browsers play most of these as MP4, and none as video/quicktime
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
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


def media_type(path: Path) -> str | None:
    """The type a file is served as; None for what is neither video nor sound by its name."""
    found = TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or ""
    return found if found.startswith(("video/", "audio/")) else None


def playable(path: Path, inside: Path | None = None) -> Path | None:
    """The real place of a media file, or None where it must not be played.

    Args:
        path: The file as it was named.
        inside: Folder it must really lie in, links followed; None where the user or a parse named the file itself.
    """
    try:
        real = path.resolve(strict=True)
        home = inside.resolve(strict=True) if inside is not None else real.parent
    except (OSError, RuntimeError, ValueError):
        return None
    good = real.is_file() and media_type(real) is not None and real.is_relative_to(home)
    return real if good else None


def listed_media(videos: Path, clip_ids: Sequence[str]) -> tuple[dict[str, Path], list[str]]:
    """Media of clips in a folder, and the names of files that are there but may not be played.

    Raises:
        ValueError: The folder cannot be listed, or a clip has two candidates.
    """
    media, refused = {}, []
    for clip_id, path in find_media(videos, clip_ids).items():
        if path is None:
            continue
        real = playable(path, videos)
        if real is None:
            refused.append(path.name)
        else:
            media[clip_id] = real
    return media, refused
