"""Clips that are longer than the grid: how much of them nobody looked at."""

from pathlib import Path

from .clip import UNREAD, Grid
from .frames import DecodedClip
from .packets import recording


def note_length(clip: DecodedClip, path: Path, grid: Grid) -> DecodedClip:
    """Say of a clip that goes on behind the grid how long; as long as its header says, or at least as it was read.

    Args:
        clip: What was decoded of the file; what is to be said goes into the provenance of its streams.
        path: The file, looked into again only where the clip is longer than the grid.
        grid: The segment grid.

    Raises:
        MediaError: The file is not there any more.
    """
    streams = [stream.provenance for stream in (clip.picture, clip.sound) if stream is not None]
    read = max(float(str(stream.get("seconds", 0.0))) for stream in streams)
    if read > grid.seconds + grid.tolerance_seconds:
        from .promised import promised_seconds  # which most clips do without

        with recording(path) as media:
            whole = max(read, promised_seconds(path, media) or 0.0)
        for stream in streams:
            stream[UNREAD] = round(whole - grid.seconds, 3)
    return clip
