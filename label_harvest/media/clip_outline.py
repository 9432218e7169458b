"""A clip whose packets PyAV reads and whose frames and samples another library decodes.

The libraries disagree on what an index, the start of a clock or the best stream is, and say nothing of much that is
wrong with a file. So the container is read here, without decoding: which streams, when each frame is shown, where the
sound has gaps, when both end. A library is then asked for frames by their place among these times and for the samples
of one stream, and what it gives is held against them. The conventions are those of decoder.py.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .clip import Grid, MediaError, frame_indices
from .frames import (
    GAP_SECONDS,
    DecodedClip,
    Picture,
    Sound,
    VideoFacts,
    frame_seconds,
    make_picture,
    refuse_packet,
    slot_image,
    slots_of,
    usable_stream,
)
from .open import media_errors, opened

if TYPE_CHECKING:
    import av

SPARE_SECONDS = 1.0
"""Packets are read so far past the grid and its tolerance."""


@dataclass(frozen=True)
class VideoOutline:
    """What the packets of a video stream say."""

    index: int
    """Of the stream in its file."""
    codec: str
    stamps: np.ndarray
    """float64 [n] ascending, when each frame is shown, in seconds from the start of the container's clock."""
    clock: float
    """What the clock of the container says at its start, in seconds."""
    seconds: float
    """End of the last frame from the start of the clock."""


@dataclass(frozen=True)
class SoundOutline:
    """What the packets of an audio stream say."""

    index: int
    """Of the stream in its file."""
    codec: str
    rate: int
    """Samples per second."""
    channels: int
    first_of_kind: bool
    """Whether it is the first audio stream of its file."""
    clock: float
    """What the clock of the container says at its start, in seconds."""
    start: float
    """When the sound begins, in seconds from the start of the clock."""
    lead: float
    """Seconds of packets before the start that the codec needs and no one is to hear; 0 where an edit list says so."""
    gaps: tuple[tuple[float, float], ...]
    """(onset, offset) of each hole in the timestamps, in seconds from the start of the clock."""
    seconds: float
    """End of the last packet from the start of the clock."""


@dataclass(frozen=True)
class DecodedSound:
    """The samples of one stream as a library gives them."""

    samples: np.ndarray
    """float32 [channels, n], or [1, n] of a library that averages them."""
    rate: int
    """Samples per second."""
    start: float
    """When the first sample is heard, in seconds from the start of the clock."""


@dataclass(frozen=True)
class Library:
    """What decodes."""

    name: str
    frames: Callable[[Path, VideoOutline, Sequence[int]], Iterator[np.ndarray]]
    """The frames at ascending places among the stamps, one by one, each uint8 [H, W, 3] RGB upright."""
    sound: Callable[[Path, SoundOutline, float], DecodedSound]
    """The stream up to so many seconds from the start of the clock, or longer."""
    errors: tuple[type[Exception], ...]
    """What it raises when it cannot decode a file."""


def decode_by_outline(path: str | Path, library: Library, *, grid: Grid, slots: bool = False) -> DecodedClip:
    """Decode the best video and the best audio stream of one file with another library.

    Args:
        path: The file.
        library: What decodes.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, holds neither video nor audio, or the library
            does not give what its packets promise.
    """
    path = Path(path)
    with opened(path) as container:
        video, audio = _read_outline(container, grid)
    with media_errors(path):
        picture = _read_frames(path, library, video, grid, all_slots=slots) if video else None
        sound = _read_sound(path, library, audio, grid) if audio else None
    return DecodedClip(picture, sound)


@contextmanager
def _decoding(library: Library, what: str) -> Iterator[None]:
    """Turn what the library raises into a `MediaError` of always the same words, since stores hold them."""
    try:
        yield
    except library.errors as error:
        raise MediaError(f"{library.name} cannot decode its {what}; fetch it again or leave it out") from error


def _read_outline(
    container: "av.container.InputContainer", grid: Grid
) -> tuple[VideoOutline | None, SoundOutline | None]:
    """What the packets of the chosen streams say; None for a stream that is absent or has no packets."""
    video, audio = usable_stream(container, "video"), usable_stream(container, "audio")
    if video is None and audio is None:
        raise MediaError("neither a video nor an audio stream; it is no clip")
    spans = _packet_spans(container, [stream for stream in (video, audio) if stream is not None], grid)
    seen = _video_outline(container, video, spans[video.index], grid) if video and spans[video.index] else None
    heard = _sound_outline(container, audio, spans[audio.index]) if audio and spans[audio.index] else None
    if seen is None and heard is None:
        raise MediaError("its streams hold no packets; fetch it again or leave it out")
    return seen, heard


def _clock(container: "av.container.InputContainer") -> float:
    """What the clock of the container says at its start, in seconds."""
    return (container.start_time or 0) / 1e6


def _packet_spans(
    container: "av.container.InputContainer", streams: list, grid: Grid
) -> dict[int, list[tuple[float, float]]]:
    """(onset, offset) in seconds of the packets that are shown or heard, by stream, from the start of the clock."""
    clock = _clock(container)
    limit = _limit(grid)
    spans: dict[int, list[tuple[float, float]]] = {stream.index: [] for stream in streams}
    running = set(spans)
    for packet in container.demux(streams):
        if packet.size == 0:
            continue
        refuse_packet(packet)
        if packet.dts is not None and float(packet.dts * packet.time_base) - clock > limit:
            running.discard(packet.stream_index)
            if not running:
                break
        if packet.stream_index not in running or packet.is_discard:
            continue
        time = packet.pts if packet.pts is not None else packet.dts
        if time is None:
            raise MediaError(f"{packet.stream.type} packets without timestamps; convert the file")
        onset = float(time * packet.time_base) - clock
        length = float(packet.duration * packet.time_base) if packet.duration else 0.0
        if not length and packet.stream.type == "video":
            length = frame_seconds(packet.stream)
        spans[packet.stream_index].append((onset, onset + length))
    return spans


def _limit(grid: Grid) -> float:
    """Seconds from the start of the clock after which nothing is read."""
    return grid.seconds + grid.tolerance_seconds + SPARE_SECONDS


def _video_outline(
    container: "av.container.InputContainer", stream: "av.VideoStream", spans: list[tuple[float, float]], grid: Grid
) -> VideoOutline:
    """Frames in the order in which they are shown; one packet is one frame."""
    stamps = np.sort([onset for onset, _ in spans])
    return VideoOutline(
        index=stream.index,
        codec=stream.codec_context.name,
        stamps=stamps[: max(1, np.searchsorted(stamps, _limit(grid), side="right"))],  # before that none is missing
        clock=_clock(container),
        seconds=max(0.0, *(offset for _, offset in spans)),
    )


def _sound_outline(
    container: "av.container.InputContainer", stream: "av.AudioStream", spans: list[tuple[float, float]]
) -> SoundOutline:
    """Where the sound begins, and the holes in it."""
    clock, rate = _clock(container), stream.codec_context.sample_rate
    if not rate:
        raise MediaError("sound without a sample rate; convert the file")
    start = spans[0][0] if stream.start_time is None else float(stream.start_time * stream.time_base) - clock
    held = stream.codec_context.delay / rate or start - spans[0][0]
    holes = [
        (before, after)
        for (_, before), (after, _) in zip(spans, spans[1:], strict=False)
        if after - before > GAP_SECONDS
    ]
    return SoundOutline(
        index=stream.index,
        codec=stream.codec_context.name,
        rate=rate,
        channels=stream.codec_context.channels,
        first_of_kind=stream.index == container.streams.audio[0].index,
        clock=clock,
        start=start,
        lead=max(0.0, held) if container.format.name.startswith("matroska") and spans[0][0] < start else 0.0,
        gaps=tuple(holes),
        seconds=max(offset for _, offset in spans),
    )


def _read_frames(path: Path, library: Library, video: VideoOutline, grid: Grid, *, all_slots: bool) -> Picture:
    """One frame per segment by the slot rule of decoder.py, asking the library once for each frame."""
    num_slots = slots_of(video.seconds, grid)
    chosen = frame_indices(num_slots, grid.num_segments)
    cutoffs = (np.arange(max(num_slots, grid.num_slots)) + 0.5) / grid.frame_rate
    shown = np.maximum(np.searchsorted(video.stamps, cutoffs, side="left") - 1, 0)  # place of the frame of each slot
    with _decoding(library, f"{video.codec} video"):
        frames, slots = _collect(
            lambda places: library.frames(path, video, places),
            shown[chosen],
            shown[: grid.num_slots] if all_slots else None,
        )
    facts = VideoFacts(video.index, video.codec, video.seconds, num_slots)
    return make_picture(frames, slots, chosen, facts, grid)


def _collect(
    read: Callable[[Sequence[int]], Iterator[np.ndarray]], of_segments: np.ndarray, of_slots: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(frames [T, H, W, 3], slots [n, h, w, 3] or None), given the place of the frame of each."""
    places = np.unique(of_segments if of_slots is None else np.concatenate([of_segments, of_slots]))
    frames = slots = None
    for place, image in zip(places, read(places.tolist()), strict=True):
        if frames is None:
            frames = np.empty((len(of_segments), *image.shape), np.uint8)
        frames[of_segments == place] = image
        if of_slots is not None:
            kept = slot_image(image)
            if slots is None:
                slots = np.empty((len(of_slots), *kept.shape), np.uint8)
            slots[of_slots == place] = kept
    return frames, slots


def _read_sound(path: Path, library: Library, audio: SoundOutline, grid: Grid) -> Sound:
    """The plain mean over channels, from the start of the clock, with silence in the gaps."""
    with _decoding(library, f"{audio.codec} sound"):
        decoded = library.sound(path, audio, _limit(grid))
    held = decoded.samples.shape[1] / decoded.rate
    promised = audio.seconds - audio.start - sum(offset - onset for onset, offset in audio.gaps)
    if promised - held > grid.tolerance_seconds:
        raise MediaError(f"sound decodes to {held:.1f} s of the {promised:.1f} s its packets promise; fetch it again")
    mono = decoded.samples.mean(axis=0, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise MediaError("audio samples that are no numbers; fetch it again or leave it out")
    samples = place_sound(mono, decoded.rate, decoded.start, audio.gaps)[: round(_limit(grid) * decoded.rate)]
    provenance: dict[str, object] = {
        "stream": audio.index,
        "codec": audio.codec,
        "sample_rate": decoded.rate,
        "channels": audio.channels,
        "seconds": round(len(samples) / decoded.rate, 4),
    }
    return Sound(samples, decoded.rate, provenance)


def place_sound(samples: np.ndarray, rate: int, start: float, gaps: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Samples without gaps, float32 [n], laid on the clock: silence before a late start and in each gap.

    >>> place_sound(np.ones(4, np.float32), 2, 0.5, ((1.5, 2.0),)).tolist()
    [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]
    """
    if start < -GAP_SECONDS:
        samples, start = samples[round(-start * rate) :], 0.0
    pieces, taken, heard = [], 0, start
    if start > GAP_SECONDS:
        pieces.append(np.zeros(round(start * rate), np.float32))
    for onset, offset in gaps:
        stop = taken + max(0, round((onset - heard) * rate))
        pieces += [samples[taken:stop], np.zeros(round((offset - onset) * rate), np.float32)]
        taken, heard = stop, offset
    return np.concatenate([*pieces, samples[taken:]])
