"""The audio tracks of a file, and which of them is heard.

Unless one is chosen, that is FFmpeg's best: the one its container marks as the default and not as one for the impaired,
among several the one of the highest bit rate, and then the first.
"""

import re
from typing import TYPE_CHECKING

from .clip import MediaError

if TYPE_CHECKING:
    import av

_TRACK = re.compile(r"0|[1-9][0-9]{0,2}|[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
"""A position, or a language tag."""
_SHOWN = 8
"""Tracks that a message lists before it only counts; a broadcast may hold a hundred."""


def check_track(track: str | None) -> None:
    """Refuse what names no audio track.

    Raises:
        ValueError: It is neither a position nor a language tag.
    """
    if track is not None and not _TRACK.fullmatch(track):
        raise ValueError(f"audio_track must be a position from 0 on or a language such as eng, got {track!r:.80}")


def audio_tracks(container: "av.container.InputContainer") -> tuple[str, ...]:
    """The audio tracks of a file in words, such as `0 eng aac 2 channels`, in its order."""
    return tuple(
        " ".join(filter(None, (str(number), _language(stream), *_kind(stream))))
        for number, stream in enumerate(container.streams.audio)
    )


def video_tracks(container: "av.container.InputContainer") -> tuple[str, ...]:
    """The pictures of a file in words, such as `0 eng h264 480x270`, in its order; a cover picture is none."""
    return tuple(
        " ".join(filter(None, (str(number), _language(stream), *_picture(stream))))
        for number, stream in enumerate(_moving(container))
    )


def _moving(container: "av.container.InputContainer") -> "list[av.VideoStream]":
    from av.stream import Disposition

    return [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]


def _picture(stream: "av.VideoStream") -> tuple[str, ...]:
    context = stream.codec_context
    if context is None:
        return ("of an unknown codec",)
    return context.name, f"{context.width}x{context.height}" if context.width else ""


def _language(stream: "av.AudioStream | av.VideoStream") -> str:
    said = stream.language or ""
    return "" if said == "und" else "".join(filter(str.isprintable, said))[:20]


def _kind(stream: "av.AudioStream") -> tuple[str, ...]:
    context = stream.codec_context
    if context is None or context.type != "audio":  # a stream of a broadcast may change what it is
        return ("of an unknown codec",)
    channels = context.channels
    return context.name, f"{channels} channel{'s' if channels > 1 else ''}" if channels else ""


def track_of(container: "av.container.InputContainer", stream: "av.AudioStream | None") -> int | None:
    """Position of an audio stream among those of its file, from 0 as FFmpeg's `0:a:N` counts."""
    places = [track.index for track in container.streams.audio]
    return places.index(stream.index) if stream is not None else None


def video_track_of(container: "av.container.InputContainer", stream: "av.VideoStream | None") -> int | None:
    """Position of a video stream among `video_tracks`."""
    return None if stream is None else [track.index for track in _moving(container)].index(stream.index)


def chosen_track(container: "av.container.InputContainer", track: str) -> "av.AudioStream | None":
    """The audio stream at a position or of a language; None in a file without sound, where there is none to choose.

    Raises:
        MediaError: There is no such track, or several are of the language.
    """
    streams = container.streams.audio
    if not streams:
        return None
    if track.isdigit():
        found = [stream for number, stream in enumerate(streams) if number == int(track)]
    else:
        found = [stream for stream in streams if _language(stream).lower() == track.lower()]
    if len(found) == 1:
        return found[0]
    wrong = f"{len(found)} audio tracks are {track}, choose by position" if found else f"no audio track {track}"
    raise MediaError(f"{wrong}; it has {listed_tracks(audio_tracks(container))}")


def listed_tracks(tracks: tuple[str, ...]) -> str:
    """The tracks of a file in a message."""
    more = f" and {len(tracks) - _SHOWN} more" if len(tracks) > _SHOWN else ""
    return ", ".join(tracks[:_SHOWN]) + more
