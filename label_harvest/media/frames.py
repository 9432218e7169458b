"""A clip: the first window of a recording, its frames on the grid of slots and its sound as it lies in the file.

The file is demuxed once: the packets of the window are held, and each stream is decoded from them by the functions of
streams.py. Needs av and numpy alone, so that a decoding process stays small; read.py brings the sound onto the grid.
Conventions, all relative to the start of the container's clock:

* Frames: the video is laid on an even grid of `frame_rate` slots per second; slot k shows the last source frame whose
  timestamp is below (k + 0.5) / frame_rate. Of the n slots, T are taken at evenly spaced indices, the last slot
  included (`frame_indices`). n follows from the length of the video when that is within the tolerance of the grid.
  A longer video is cut to the grid; in a shorter one the segments past its end have no frame, as in a hole (holes.py).
* Sound: channels are averaged at the rate of the file; gaps in the timestamps are filled with silence, and what
  overlaps is left out. A clip whose sound has a hole has none.
* Slots, where they are asked for, are scaled down when they are larger than 1280 x 720; frames never are.
* Damage with good frames behind it is an error: one packet or frame that the decoder marks as damaged makes the clip
  `undecodable`. So does sound that a broadcast lost. Where nothing good follows damage, the stream ends with its last
  good frame, as that of a file that was cut does. Damage that happens to decode cannot be told from the picture.
* Of an H.264 video only those frames are decoded that are picked, the last one, and what these rest on (see h264.py).
  The same frames come out as when all are decoded, which is done whenever one comes out otherwise than its packet says.
  So damage in a frame that nothing picked rests on is not noticed, and touches no evidence.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .clip import STILL, Grid, MediaError, Trouble, all_equal, ends_early, frame_indices, has_hole
from .h264 import needed_packets
from .holes import GAP_SECONDS, Reach, Span, before, unseen
from .packets import Recording, base_of, carries, recording
from .sound import Timed, heard
from .streams import Pictures, decoded, shown_at

if TYPE_CHECKING:
    import av
    from av.stream import Stream

    from .packets import AnyPacket

SPARE_SECONDS = 1.0
"""Packets are read so far past the grid and its tolerance."""
SLOT_PIXELS = 1280 * 720
"""Larger slots are scaled down to about so many pixels, since a clip has eight times as many of them as of frames."""


@dataclass(frozen=True)
class Picture:
    """The video of a clip on its grid."""

    frames: np.ndarray
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    present: np.ndarray
    """bool [T], False where the video ended before the segment (its frame repeats the last one)."""
    provenance: dict[str, object]
    """What was read, as JSON values."""
    troubles: tuple[Trouble, ...]
    """Damage, holes and ends before the clip's, in the order they were met."""
    slots: np.ndarray | None = None
    """uint8 [grid.num_slots, h, w, 3] RGB, the frame of every slot, where asked for; see `slot_image`."""


@dataclass(frozen=True)
class Sound:
    """The audio of a clip before it is brought to the rate and the length of the grid."""

    samples: np.ndarray
    """float32 [n] mono."""
    rate: int
    """Samples per second."""
    provenance: dict[str, object]
    """What was read, as JSON values."""
    holes: tuple[Span, ...] = ()
    """Stretches without a sound, in seconds; its samples are silent there."""


@dataclass(frozen=True)
class DecodedClip:
    """What one file holds; a stream it lacks is None, and at least one is there."""

    picture: Picture | None
    sound: Sound | None


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video besides its frames."""

    stream: int
    codec: str
    seconds: float
    """Until the last frame ends."""
    num_slots: int
    """Of the even grid its frames lie on."""
    cut: bool = False
    """Whether it ends where the file is damaged."""
    holes: tuple[Span, ...] = ()
    """Stretches without a picture, in seconds."""


def slots_of(seconds: float, grid: Grid) -> int:
    """Slots a video of this length lies on: its own where it is about as long as the grid, else the grid's."""
    whole = abs(seconds - grid.seconds) <= grid.tolerance_seconds
    return max(1, round(seconds * grid.frame_rate)) if whole else grid.num_slots


def make_picture(
    frames: np.ndarray, slots: np.ndarray | None, places: np.ndarray, facts: VideoFacts, grid: Grid
) -> Picture:
    """The frames of a clip and what is to be said of them.

    Args:
        frames: uint8 [T, H, W, 3].
        slots: uint8 [num_slots, h, w, 3], where asked for.
        places: int [T], the slot each of the frames is of.
        facts: Of the video.
        grid: The segment grid.
    """
    present = places < facts.seconds * grid.frame_rate
    present[0] = True
    troubles = []
    if not present.all():
        troubles.append(ends_early("video", facts.seconds, grid, damaged=facts.cut))
    times = (places + 0.5) / grid.frame_rate
    for start, end in facts.holes:
        if (hidden := present & (times > start) & (times < end)).any():
            present &= ~hidden
            troubles.append(has_hole("picture", start, end))
    if all_equal(frames[1:], frames[0]):
        troubles.append(STILL)
    provenance: dict[str, object] = {
        "stream": facts.stream,
        "codec": facts.codec,
        "size": [frames.shape[2], frames.shape[1]],
        "seconds": round(facts.seconds, 4),
        "slots": facts.num_slots,
    }
    if facts.cut:
        provenance["damaged_from"] = round(facts.seconds, 4)
    if slots is not None and slots.shape[1:] != frames.shape[1:]:
        provenance["slot_size"] = [slots.shape[2], slots.shape[1]]
    return Picture(frames, present, provenance, tuple(troubles), slots)


class FrameAlbum:
    """The picked frames as arrays, converted one by one as they come: beside the arrays one frame is held."""

    def __init__(self, places: np.ndarray, wanted: np.ndarray, num_slots: int) -> None:
        """Know what will come.

        Args:
            places: Slots of the segments, int [T].
            wanted: Slots of the frames that will come, in this order, ascending.
            num_slots: How many slots, from the first, are kept themselves.
        """
        self.frames = np.zeros((len(places), 0, 0, 3), np.uint8)
        self.slots: np.ndarray | None = None
        self._places, self._coming, self._num_slots = places, iter(wanted.tolist()), num_slots
        self._pictures = Pictures()
        self._image: np.ndarray | None = None
        self._slot = self.frames

    def add(self, frame: "av.VideoFrame") -> None:
        """Take the frame of the next wanted slot."""
        image = self._pictures.of(frame)
        if image is not self._image:
            if self._num_slots:
                self._slot = slot_image(image)
            if self._image is None:
                self.frames = np.empty((len(self._places), *image.shape), np.uint8)
                self.slots = np.empty((self._num_slots, *self._slot.shape), np.uint8) if self._num_slots else None
            self._image = image
        slot = next(self._coming)
        self.frames[self._places == slot] = image
        if self.slots is not None and slot < self._num_slots:
            self.slots[slot] = self._slot


def slot_image(image: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] as it is kept for a slot: as it is up to `SLOT_PIXELS`, else scaled down."""
    scale = math.sqrt(SLOT_PIXELS / (image.shape[0] * image.shape[1]))
    if scale >= 1:
        return image
    import av
    from av.video.reformatter import Interpolation

    height, width = (max(2, round(side * scale)) for side in image.shape[:2])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.to_ndarray(width=width, height=height, interpolation=Interpolation.AREA)


def decode_clip(path: str | Path, *, grid: Grid, slots: bool = False, track: str | None = None) -> DecodedClip:
    """Decode the best video and the best audio stream of one file.

    Args:
        path: The file.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.
        track: Another audio stream than the best one, see `Recording.stream`.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, holds neither video nor audio, or no such track.
    """
    all_frames, ends = False, dict[int, float]()
    while True:
        try:
            return _first_window(Path(path), grid, ends, slots=slots, all_frames=all_frames, track=track)
        except _UnforeseenError:
            all_frames = True
        except _EndsEarlyError as early:
            ends |= early.ends
            all_frames = True


class _EndsEarlyError(Exception):
    """A stream ends before its packets do, which was not known when the slots were chosen."""

    def __init__(self, ends: dict[int, float]) -> None:
        """Say when, see `Recording.ends`."""
        super().__init__()
        self.ends = ends


class _UnforeseenError(Exception):
    """The frames that came out when some were left out are not those the packets promise."""


def window_seconds(grid: Grid) -> float:
    """How much of a file is read for a clip, in seconds from the start of the clock."""
    return grid.seconds + grid.tolerance_seconds + SPARE_SECONDS


def clip_streams(media: Recording, track: str | None = None) -> "tuple[av.VideoStream | None, av.AudioStream | None]":
    """The streams of a clip, of which it has at least one."""
    video, audio = media.stream("video"), media.stream("audio", track)
    if video is None and audio is None:
        raise MediaError("neither a video nor an audio stream; it is no clip")
    return video, audio


def _first_window(
    path: Path, grid: Grid, ends: dict[int, float], *, slots: bool, all_frames: bool, track: str | None
) -> DecodedClip:
    """Hold the packets of the window and decode each stream from them; `ends` as in `Recording`, what is known."""
    with recording(path) as media:
        video, audio = clip_streams(media, track)
        held: dict[int, list[AnyPacket]] = {stream.index: [] for stream in (video, audio) if stream is not None}
        streams = [stream for stream in (video, audio) if stream is not None]
        for packet in media.packets(streams, until=window_seconds(grid), damaged=True):
            held[packet.stream_index].append(packet)
        if not any(held.values()):
            raise MediaError("its streams hold no packets; fetch it again or leave it out")
        picture = sound = None
        reaches = {stream.index: _reach(stream, held[stream.index], media) for stream in streams}
        reach = reaches[audio.index] if audio and held[audio.index] else None
        if video and held[video.index]:
            holes = tuple(unseen(reaches[video.index], reach, media))
            source = _Video(video, held[video.index], media, all_frames, ends.get(video.index), holes)
            picture = _read_frames(source, grid, all_slots=slots)
        if audio and reach:
            if media.loses and reach.gaps.longest > GAP_SECONDS:
                raise MediaError(f"lost sound at {reach.gaps.first:.2f} s; fetch it again or leave it out")
            sound = _read_sound(audio, held[audio.index], reach, media, grid)
        restarts = [round(start - media.clock, 4) for start in media.restarts]
        for stream in (picture, sound):
            if restarts and stream is not None:
                stream.provenance["clock_restarts"] = restarts
        if not media.ends.keys() <= ends.keys() and video and video.index in media.ends:
            raise _EndsEarlyError(media.ends)
        return DecodedClip(picture, sound)


@dataclass(frozen=True)
class _Video:
    """What there is of a video before it is decoded."""

    stream: "av.VideoStream"
    packets: "list[AnyPacket]"
    media: Recording
    all_frames: bool
    """Whether all frames are to be decoded."""
    end: float | None = None
    """When its last good frame ends, where what follows is damaged."""
    holes: tuple[Span, ...] = ()
    """Stretches without a picture, in seconds."""

    def frames_for(self, cutoffs: np.ndarray) -> Iterator[Timed]:
        """Frames among which are the last one before each cutoff, the first one if none is, and the very last one."""
        wanted = None if self.all_frames else self._wanted(cutoffs)
        needed = None
        if wanted is not None:
            extradata = self.stream.codec_context.extradata or b""
            needed = needed_packets(extradata, [memoryview(packet) for packet in self.packets], wanted)
        if wanted is None or needed is None:
            return decoded(self.stream, self.packets, self.media)
        stamps = {self.packets[place].pts for place in wanted}
        frames = decoded(self.stream, [self.packets[place] for place in needed], self.media)
        return _as_foreseen(frames, stamps)

    def _wanted(self, cutoffs: np.ndarray) -> set[int] | None:
        """Places of the packets of the frames for these cutoffs; None where packets do not say it."""
        shown = {packet.pts: place for place, packet in enumerate(self.packets) if not packet.is_discard}
        plain = len(shown) == sum(not packet.is_discard for packet in self.packets) and None not in shown
        if self.stream.codec_context.name != "h264" or not plain or not shown:
            return None
        if any(packet.size == 0 or packet.is_corrupt or carries(packet, "new_extradata") for packet in self.packets):
            return None
        stamps = sorted(stamp for stamp in shown if stamp is not None)
        base = base_of(self.stream)
        times = [self.media.at(stamp, base) for stamp in stamps]
        picked = {max(0, bisect_left(times, cutoff) - 1) for cutoff in cutoffs}
        return {shown[stamps[index]] for index in (*picked, -1)}


def _as_foreseen(frames: Iterable[Timed], stamps: set[int | None]) -> Iterator[Timed]:
    """The same frames; `_UnforeseenError` for any trouble, if they are out of order, or when these do not all come."""
    import av

    last, missing = -math.inf, set(stamps)
    try:
        for time, frame in frames:
            if time is None or time <= last:
                raise _UnforeseenError
            last = time
            missing.discard(frame.pts)
            yield time, frame
    except (av.error.FFmpegError, MediaError) as error:
        if isinstance(error, MemoryError):
            raise
        raise _UnforeseenError from error
    if missing:  # also where the stream ended early
        raise _UnforeseenError


def _read_frames(video: _Video, grid: Grid, *, all_slots: bool) -> Picture:
    """Pick one frame per segment by the slot rule, converting only what is picked."""
    spans = [video.media.span(packet, video.stream) for packet in video.packets]
    seconds = max((span[1] for span in spans if span is not None), default=0.0)
    seconds = seconds if video.end is None else min(seconds, video.end)
    num_slots = slots_of(seconds, grid)
    places = frame_indices(num_slots, grid.num_segments)
    wanted = np.arange(max(num_slots, grid.num_slots)) if all_slots else np.array(sorted(set(places.tolist())))
    album = FrameAlbum(places, wanted, grid.num_slots if all_slots else 0)
    cutoffs = (wanted + 0.5) / grid.frame_rate
    frames = video.frames_for(cutoffs)
    try:
        for frame in shown_at(video.stream, frames, cutoffs, seconds=seconds, grid=grid, to_end=True):
            album.add(frame)
    except MediaError:
        if video.end is None and video.media.ends.get(video.stream.index):
            raise _EndsEarlyError(video.media.ends) from None
        raise
    cut = bool(video.media.unread) or video.end is not None
    begins = video.media.begins.get(video.stream.index)
    first = min((span[0] for span in spans if span is not None), default=0.0)
    late = before(first) if begins is None else [(0.0, begins)] if begins > grid.tolerance_seconds else []
    facts = VideoFacts(
        video.stream.index, video.stream.codec_context.name, seconds, num_slots, cut, (*late, *video.holes)
    )
    picture = make_picture(album.frames, album.slots, places, facts, grid)
    if begins is not None:
        picture.provenance["damaged_until"] = round(begins, 4)
    return picture


def _reach(stream: "Stream", packets: "list[AnyPacket]", media: Recording) -> Reach:
    reach = Reach(stream, media)
    for packet in packets:
        if (span := media.span(packet, stream)) is not None:
            reach.add(span)
    return reach


def _read_sound(
    stream: "av.AudioStream", packets: "list[AnyPacket]", reach: Reach, media: Recording, grid: Grid
) -> Sound:
    """Average the channels at the rate of the file."""
    rate, pieces = heard(decoded(stream, packets, media), grid.seconds + 2)
    samples = np.concatenate(list(pieces))
    context = stream.codec_context
    sound = make_sound(samples, rate, stream=stream.index, codec=context.name, channels=context.channels)
    falls_silent = reach.end - len(samples) / rate > grid.tolerance_seconds
    if media.unread or stream.index in media.ends or falls_silent:
        sound.provenance["damaged_from"] = sound.provenance["seconds"]
    if (begins := media.begins.get(stream.index)) is not None:
        sound.provenance["damaged_until"] = round(begins, 4)
    return replace(sound, holes=(*before(reach.start), *reach.holes))


def make_sound(samples: np.ndarray, rate: int, *, stream: int, codec: str, channels: int) -> Sound:
    """The sound of a clip and what is to be said of it."""
    provenance: dict[str, object] = {
        "stream": stream,
        "codec": codec,
        "sample_rate": rate,
        "channels": channels,
        "seconds": round(len(samples) / rate, 4),
    }
    return Sound(samples, rate, provenance)
