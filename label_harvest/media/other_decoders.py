"""Clips whose packets PyAV reads and whose frames and samples another library decodes, which is decord 0.6.0.

The libraries disagree on what an index, the start of a clock or the best stream is, and say nothing of much that is
wrong with a file. So the container is read here, without decoding: which streams, when each frame is shown, where the
sound has gaps, when both end. A library is then asked for frames by their place among these times and for the samples
of one stream, and what it gives is held against them. The conventions are those of frames.py.

decord is there for comparison with work that was done with it. `get_batch` is never called, since it is known to hang
for ever, and no frame is jumped to; one that hangs all the same is killed with its process. What stays different from
PyAV:

* Damage: a clip with frames that decord had to make up is refused where it admits to them, but other damage decodes to
  a picture or a sound without an error.
* Undecodable are also AV1, sound of more than two channels (decord mixes them; what it calls separate channels is not),
  clips whose best audio stream is not their first, and those whose clock starts again or whose sound overlaps itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import Grid, MediaError, frame_indices
from .frames import (
    DecodedClip,
    Picture,
    Sound,
    VideoFacts,
    clip_streams,
    make_picture,
    make_sound,
    slot_image,
    slots_of,
    window_seconds,
)
from .holes import GAP_SECONDS, Reach
from .open import media_errors
from .packets import HOLE_SECONDS, Recording, base_of, recording
from .sound import gapless, mono_of

if TYPE_CHECKING:
    import av
    from av.stream import Stream


_MOST_OVERLAP = 0.1
"""Seconds of sound that may overlap other sound, since a library puts all of it in a row."""


@dataclass(frozen=True)
class VideoOutline:
    """What the packets of a video stream say."""

    index: int
    """Number of the stream in its file."""
    codec: str
    stamps: np.ndarray
    """float64 [n] ascending, when each frame is shown, in seconds from the start of the container's clock."""
    seconds: float
    """End of the last frame from the start of the clock."""


@dataclass(frozen=True)
class SoundOutline:
    """What the packets of an audio stream say."""

    index: int
    """Number of the stream in its file."""
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


def decode_by_outline(
    path: str | Path, library: Library, *, grid: Grid, slots: bool = False, track: str | None = None
) -> DecodedClip:
    """Decode the best video and the best audio stream of one file with another library.

    Args:
        path: The file.
        library: What decodes.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.
        track: Another audio stream than the best one, see `Recording.stream`.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, holds neither video nor audio, or the library
            does not give what its packets promise.
    """
    path = Path(path)
    with recording(path) as media:
        video, audio = _read_outline(media, grid, track)
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


def _read_outline(media: Recording, grid: Grid, track: str | None) -> tuple[VideoOutline | None, SoundOutline | None]:
    """What the packets of the chosen streams say; None for a stream that is absent or has no packets."""
    video, audio = clip_streams(media, track)
    spans = _packet_spans(media, [stream for stream in (video, audio) if stream is not None], grid)
    if media.restarts:
        when = media.restarts[0] - media.clock
        raise MediaError(f"its clock starts again at {when:.1f} s, which only the decoder pyav follows")
    seen = _video_outline(video, spans[video.index], grid) if video and spans[video.index] else None
    heard = _sound_outline(media, audio, spans[audio.index]) if audio and spans[audio.index] else None
    if seen is None and heard is None:
        raise MediaError("its streams hold no packets; fetch it again or leave it out")
    return seen, heard


def _packet_spans(media: Recording, streams: "Sequence[Stream]", grid: Grid) -> dict[int, list[tuple[float, float]]]:
    """(onset, offset) in seconds of the packets that are shown or heard, by stream, from the start of the clock."""
    of = {stream.index: stream for stream in streams}
    spans: dict[int, list[tuple[float, float]]] = {index: [] for index in of}
    for packet in media.packets(streams, until=window_seconds(grid)):
        if packet.is_discard or packet.size == 0:
            continue
        span = media.span(packet, of[packet.stream_index])
        if span is None:
            raise MediaError(f"{packet.stream.type} packets without timestamps; convert the file")
        spans[packet.stream_index].append(span)
    return spans


def _video_outline(stream: "av.VideoStream", spans: list[tuple[float, float]], grid: Grid) -> VideoOutline:
    """Frames in the order in which they are shown; one packet is one frame."""
    stamps = np.sort([onset for onset, _ in spans])
    seen = max(1, int(np.searchsorted(stamps, window_seconds(grid), side="right")))  # before that none is missing
    return VideoOutline(
        index=stream.index,
        codec=stream.codec_context.name,
        stamps=stamps[:seen],
        seconds=max(0.0, *(offset for _, offset in spans)),
    )


def _sound_outline(media: Recording, stream: "av.AudioStream", spans: list[tuple[float, float]]) -> SoundOutline:
    """Where the sound begins, and the holes in it."""
    rate, reach = stream.codec_context.sample_rate, Reach(stream, media)
    for span in spans:
        reach.add(span)
    if reach.overlaps.seconds > _MOST_OVERLAP:
        raise MediaError(f"its sound overlaps itself by {reach.overlaps.said()}, which only the decoder pyav places")
    if not rate:
        raise MediaError("sound without a sample rate; convert the file")
    start = spans[0][0] if stream.start_time is None else media.at(stream.start_time, base_of(stream))
    held = stream.codec_context.delay / rate or start - spans[0][0]
    holes = [
        (before, after)
        for (_, before), (after, _) in zip(spans, spans[1:], strict=False)
        if after - before > GAP_SECONDS
    ]
    matroska = media.container.format.name.startswith("matroska")
    return SoundOutline(
        index=stream.index,
        codec=stream.codec_context.name,
        rate=rate,
        channels=stream.codec_context.channels,
        first_of_kind=stream.index == media.container.streams.audio[0].index,
        clock=media.clock,
        start=start,
        lead=max(0.0, held) if matroska and spans[0][0] < start else 0.0,
        gaps=tuple(holes),
        seconds=max(offset for _, offset in spans),
    )


def _read_frames(path: Path, library: Library, video: VideoOutline, grid: Grid, *, all_slots: bool) -> Picture:
    """One frame per segment by the slot rule of frames.py, asking the library once for each frame."""
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
    frames, slots = np.empty((0, 0, 0, 3), np.uint8), None
    for place, image in zip(places, read(places.tolist()), strict=True):
        if not len(frames):
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
        decoded = library.sound(path, audio, window_seconds(grid))
    held = decoded.samples.shape[1] / decoded.rate
    promised = audio.seconds - audio.start - sum(offset - onset for onset, offset in audio.gaps)
    if promised - held > grid.tolerance_seconds:
        raise MediaError(f"sound decodes to {held:.1f} s of the {promised:.1f} s its packets promise; fetch it again")
    pieces = _between_gaps(mono_of(decoded.samples), audio, decoded.start, decoded.rate)
    samples = np.concatenate(list(gapless(pieces, decoded.rate, window_seconds(grid))), axis=1)[0]
    samples = samples[: round(window_seconds(grid) * decoded.rate)]
    sound = make_sound(samples, decoded.rate, stream=audio.index, codec=audio.codec, channels=audio.channels)
    return replace(sound, holes=tuple(gap for gap in audio.gaps if gap[1] - gap[0] > HOLE_SECONDS))


def _between_gaps(
    samples: np.ndarray, audio: SoundOutline, start: float, rate: int
) -> Iterator[tuple[float, np.ndarray]]:
    """Samples [n] that lie gapless from their start, cut at the gaps of their packets: (start of a piece, [1, n])."""
    taken, time = 0, start
    for onset, offset in audio.gaps:
        stop = taken + max(0, round((onset - time) * rate))
        yield time, samples[None, taken:stop]
        taken, time = stop, offset
    yield time, samples[None, taken:]


_ANY_MADE_UP = 1e-6
"""Share of frames decord may make up before it raises; none, since 0 would mean all."""
_MEAN_OF_MONO = {1: np.float32(1), 2: np.float32(0.5**0.5)}
"""What decord's mono of so many channels is to be multiplied by to give their mean."""
_SAME_SECONDS = 1e-3
"""How far its timestamps, which are float32, may be from those of the packets."""


def decode_with_decord(path: str | Path, *, grid: Grid, slots: bool = False, track: str | None = None) -> DecodedClip:
    """Decode the best video and the best audio stream of one file with decord, see `decode_by_outline`.

    Raises:
        ImportError: decord cannot be loaded; `decoders.check_decoder` says what to do.
        MediaError: See `decode_by_outline`.
    """
    decord = _decord()
    errors = (decord.DECORDError, decord.DECORDLimitReachedError, AssertionError, RuntimeError)
    library = Library(name="decord", frames=_decord_frames, sound=_decord_sound, errors=errors)
    return decode_by_outline(path, library, grid=grid, slots=slots, track=track)


def _decord() -> Any:
    """decord, which few have; what it raises where its libraries are missing becomes an ImportError."""
    try:
        import decord
    except (OSError, RuntimeError) as error:
        raise ImportError(str(error)) from error
    return decord


def _decord_frames(path: Path, video: VideoOutline, places: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames in turn up to the last one wanted: where an edit list hides frames, decord jumps to wrong ones."""
    reader = _decord().VideoReader(str(path.absolute()), num_threads=1, fault_tol=_ANY_MADE_UP)
    _check_times(reader, video)
    wanted = set(places)
    for place in range(max(places) + 1):
        try:
            frame = reader.next()
        except StopIteration:
            raise MediaError(f"decord ends after {place} frames; use the decoder pyav or convert the file") from None
        if place in wanted:
            yield frame.asnumpy()


def _check_times(reader: Any, video: VideoOutline) -> None:
    """Refuse a video of which decord knows other times than the packets; both are counted from the first frame."""
    known = np.array(reader.get_frame_timestamp(list(range(len(reader)))), float).reshape(-1, 2)[:, 0]
    shown, wanted = known[known > -_SAME_SECONDS], video.stamps - video.stamps[0]
    if len(shown) < len(wanted) or np.abs(shown[: len(wanted)] - wanted).max() > _SAME_SECONDS:
        raise MediaError(
            "decord counts its frames otherwise than its packets; use the decoder pyav or convert the file"
        )


def _decord_sound(path: Path, audio: SoundOutline, seconds: float) -> DecodedSound:
    """The first audio stream, the only one decord reads."""
    if not audio.first_of_kind:
        raise MediaError("decord reads the first audio stream alone, and another one is played; use the decoder pyav")
    if audio.channels not in _MEAN_OF_MONO:
        raise MediaError(f"decord gives {audio.channels} channels of sound as a mix; use the decoder pyav")
    reader = _decord().AudioReader(str(path.absolute()), sample_rate=audio.rate, mono=True)
    first, last = (round(time * audio.rate) for time in (audio.lead, audio.lead + seconds - audio.start))
    samples = reader[first : min(last, reader.shape[1])].asnumpy()
    if not samples.size:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    return DecodedSound(samples * _MEAN_OF_MONO[audio.channels], audio.rate, audio.start)
