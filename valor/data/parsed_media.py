"""The media file that a parse is of: its name, its streams, its clock, and how the JSON of a parse holds that."""

from dataclasses import MISSING, dataclass, fields

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
