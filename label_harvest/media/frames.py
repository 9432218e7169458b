"""A media file -> frames on the segment grid and the sound as it lies in the file.

Each file is demuxed once and decoded once. Needs av and numpy alone, so that a decoding process stays small; what
becomes of the sound is in media.py, and recordings of any length are read by media_streams.py. Conventions, all
relative to the start of the container's clock:

* Frames: the video is laid on an even grid of `frame_rate` slots per second; slot k shows the last source frame whose
  timestamp is below (k + 0.5) / frame_rate. Of the n slots, T are taken at evenly spaced indices, the last slot
  included (`frame_indices`). n follows from the length of the video when that is within the tolerance of the grid.
  A longer video is cut to the grid; in a shorter one the segments past its end have no frame.
* Sound: channels are averaged at the rate of the file; gaps in the timestamps are filled with silence.
* Slots, where they are asked for, are scaled down when they are larger than 1280 x 720; frames never are.
* Damage is an error: one packet or frame that the decoder marks as damaged makes the clip `undecodable`. Damage that
  happens to decode cannot be told from the picture.
* Of an H.264 video only those frames are decoded that are picked, the last one, and what these rest on (see
  h264_packets.py). The same frames come out as when all are decoded, which is done whenever one comes out otherwise
  than its packet says. So damage in a frame that nothing picked rests on is not noticed, and touches no evidence.

Decoded frames -> arrays: upright RGB of one size, converted one at a time, so that one is held beside the arrays.

What was decoded of one clip, whichever library did it: frames on the grid of slots, and the sound of the file.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import Grid, MediaError, frame_indices
from .h264 import needed_packets
from .open import opened

if TYPE_CHECKING:
    import av


SLOT_PIXELS = 1280 * 720
"""Larger slots are scaled down to about so many pixels, since a clip has eight times as many of them as of frames."""


class FrameAlbum:
    """The picked frames as arrays, converted one by one as they come, each once."""

    def __init__(self, places: np.ndarray, wanted: np.ndarray, num_slots: int) -> None:
        """Know what will come.

        Args:
            places: Slots of the segments, int [T].
            wanted: Slots of the frames that will come, in this order, ascending.
            num_slots: How many slots, from the first, are kept themselves.
        """
        from av.video.reformatter import VideoReformatter

        self.frames = np.zeros((len(places), 0, 0, 3), np.uint8)
        self.slots: np.ndarray | None = None
        self._places, self._coming, self._num_slots = places, iter(wanted.tolist()), num_slots
        self._source: Any = None
        self._image, self._slot = self.frames, self.frames
        self._size: tuple[int, int] | None = None
        self._turns = 0
        self._converter = VideoReformatter()

    def add(self, frame: Any) -> None:  # noqa: ANN401
        """Take the frame of the next wanted slot."""
        if self._size is None:
            self._size, self._turns = (frame.width, frame.height), round(frame.rotation / 90)
        if frame is not self._source:
            self._convert(frame, *self._size)
        slot = next(self._coming)
        self.frames[self._places == slot] = self._image
        if self.slots is not None and slot < self._num_slots:
            self.slots[slot] = self._slot

    def _convert(self, frame: Any, width: int, height: int) -> None:  # noqa: ANN401
        """Make an upright RGB picture of a frame, as large as the first one was."""
        first, self._source = self._source is None, frame
        colours = self._converter.reformat(frame, width, height, "rgb24")
        self._image = np.rot90(colours.to_ndarray(), self._turns)
        if first:
            self.frames = np.empty((len(self._places), *self._image.shape), np.uint8)
        if self._num_slots:
            self._slot = slot_image(self._image)
            if first:
                self.slots = np.empty((self._num_slots, *self._slot.shape), np.uint8)


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


STILL_LEVELS = 2
"""Largest difference of any pixel, in levels of 255, between the frames of a clip called still (codec noise)."""


@dataclass(frozen=True)
class Picture:
    """The video of a clip on its grid."""

    frames: np.ndarray
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    present: np.ndarray
    """bool [T], False where the video ended before the segment (its frame repeats the last one)."""
    provenance: dict[str, object]
    """What was read, as JSON values."""
    troubles: tuple[tuple[str, str], ...]
    """(status, message) of what is not whole."""
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
        troubles.append(("short", f"{facts.seconds:.1f} s of video, the grid has {grid.seconds:.1f} s"))
    if all(np.abs(frame.astype(np.int16) - frames[0]).max() <= STILL_LEVELS for frame in frames[1:]):
        troubles.append(("still", "all frames equal"))
    provenance: dict[str, object] = {
        "stream": facts.stream,
        "codec": facts.codec,
        "size": [frames.shape[2], frames.shape[1]],
        "seconds": round(facts.seconds, 4),
        "slots": facts.num_slots,
    }
    if slots is not None and slots.shape[1:] != frames.shape[1:]:
        provenance["slot_size"] = [slots.shape[2], slots.shape[1]]
    return Picture(frames, present, provenance, tuple(troubles), slots)


GAP_SECONDS = 0.05
"""Audio timestamps may stray this far from gapless before silence is filled in (or a lead cut off)."""


def decode_clip(path: str | Path, *, grid: Grid, slots: bool = False) -> DecodedClip:
    """Decode the best video and the best audio stream of one file.

    Args:
        path: The file.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, or holds neither video nor audio.
    """
    path = Path(path)
    try:
        return _read_streams(path, grid, slots=slots, all_frames=False)
    except _UnforeseenError:
        return _read_streams(path, grid, slots=slots, all_frames=True)


class _UnforeseenError(Exception):
    """The frames that came out when some were left out are not those the packets promise."""


def _read_streams(path: Path, grid: Grid, *, slots: bool, all_frames: bool) -> DecodedClip:
    """Demux the chosen streams together and decode each."""
    with opened(path) as container:
        video, audio = usable_stream(container, "video"), usable_stream(container, "audio")
        if video is None and audio is None:
            raise MediaError("neither a video nor an audio stream; it is no clip")
        packets = _read_packets(container, [stream for stream in (video, audio) if stream is not None], grid)
        clock = (container.start_time or 0) / 1e6
        picture = sound = None
        if video and packets[video.index]:
            source = _Video(video, packets[video.index], clock, all_frames)
            picture = _read_frames(source, grid, all_slots=slots)
        if audio and packets[audio.index]:
            sound = _read_sound(audio, packets[audio.index], clock, grid)
        if picture is None and sound is None:
            raise MediaError("its streams hold no packets; fetch it again or leave it out")
        return DecodedClip(picture, sound)


def usable_stream(container: "av.container.InputContainer", kind: str) -> Any:  # noqa: ANN401
    """The stream FFmpeg would play; a cover picture is no video."""
    from av.stream import Disposition

    stream = container.streams.best(kind)
    if stream is None or stream.disposition & Disposition.attached_pic:
        return None
    if stream.codec_context is None:
        raise MediaError(f"no decoder for its {kind} stream in this build of FFmpeg; convert the file")
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"err_detect": "explode"}
    return stream


def refuse_packet(packet: "av.Packet") -> None:
    """Refuse compressed data that no decoder can make the right frames of.

    Raises:
        MediaError: It is marked as damaged, or encrypted.
    """
    if packet.is_corrupt:
        raise MediaError(f"a damaged packet in its {packet.stream.type} stream; fetch it again or leave it out")
    if packet.has_sidedata("encryption_info"):
        raise MediaError(f"its {packet.stream.type} is encrypted (DRM); fetch a copy without, or leave it out")


def _read_packets(container: "av.container.InputContainer", streams: list, grid: Grid) -> "dict[int, list[av.Packet]]":
    """Compressed packets per stream, up to a second past the grid and its tolerance."""
    clock = (container.start_time or 0) / 1e6
    limit = grid.seconds + grid.tolerance_seconds + 1.0
    bases = {stream.index: stream.time_base for stream in streams}
    packets: dict[int, list] = {index: [] for index in bases}
    running = set(packets)
    for packet in container.demux(streams):
        if packet.size == 0:
            continue
        refuse_packet(packet)
        index = packet.stream_index
        if packet.dts is not None and _seconds(packet.dts, bases[index]) - clock > limit:
            running.discard(index)
            if not running:
                break
        if index in running:
            packets[index].append(packet)
    return packets


def _decode(stream: Any, packets: "list[av.Packet]") -> Iterator[tuple[float | None, Any]]:  # noqa: ANN401
    """Decoded frames of a stream in presentation order with their times in seconds, refusing what is marked damaged.

    The time is counted in the stream's own time base: frames that come out when the decoder is flushed carry none, and
    their `time` is no number.
    """
    base, context = stream.time_base, stream.codec_context
    for packet in [*packets, None]:
        for frame in context.decode(packet):
            time = None if frame.pts is None else _seconds(frame.pts, base)
            if frame.is_corrupt:
                raise MediaError(f"damaged {stream.type} at {time} s; fetch it again or leave it out")
            yield time, frame


def _seconds(ticks: int, base: Fraction) -> float:
    """So many ticks in seconds, rounded once."""
    return ticks * base.numerator / base.denominator


@dataclass(frozen=True)
class _Video:
    """What there is of a video before it is decoded."""

    stream: Any
    packets: "list[av.Packet]"
    clock: float
    """What the clock of the container says at its start, in seconds."""
    all_frames: bool
    """Whether all frames are to be decoded."""

    def frames_for(self, cutoffs: np.ndarray) -> Iterator[tuple[float | None, Any]]:
        """Frames among which are the last one before each cutoff, the first one if none is, and the very last one."""
        wanted = None if self.all_frames else self._wanted(cutoffs)
        if wanted is None:
            return _decode(self.stream, self.packets)
        extradata = self.stream.codec_context.extradata or b""
        needed = needed_packets(extradata, [bytes(packet) for packet in self.packets], wanted)
        if needed is None:
            return _decode(self.stream, self.packets)
        stamps = {self.packets[place].pts for place in wanted}
        return _as_foreseen(_decode(self.stream, [self.packets[place] for place in needed]), stamps)

    def _wanted(self, cutoffs: np.ndarray) -> set[int] | None:
        """Places of the packets of the frames for these cutoffs; None where packets do not say it."""
        shown = {packet.pts: place for place, packet in enumerate(self.packets) if not packet.is_discard}
        plain = len(shown) == sum(not packet.is_discard for packet in self.packets) and None not in shown
        if self.stream.codec_context.name != "h264" or not plain or not shown:
            return None
        if any(packet.has_sidedata("new_extradata") for packet in self.packets):
            return None
        stamps = sorted(shown)
        base = self.stream.time_base
        times = [_seconds(stamp, base) - self.clock for stamp in stamps]
        picked = {max(0, bisect_left(times, cutoff) - 1) for cutoff in cutoffs}
        return {shown[stamps[index]] for index in (*picked, -1)}


def _as_foreseen(frames: Iterator[tuple[float | None, Any]], stamps: set[int]) -> Iterator[tuple[float | None, Any]]:
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
    if missing:
        raise _UnforeseenError


def _read_frames(video: _Video, grid: Grid, *, all_slots: bool) -> Picture:
    """Pick one frame per segment by the slot rule, converting only what is picked."""
    seconds = _end_of_packets(video.stream, video.packets) - video.clock
    num_slots = slots_of(seconds, grid)
    places = frame_indices(num_slots, grid.num_segments)
    wanted = np.arange(max(num_slots, grid.num_slots)) if all_slots else np.unique(places)
    album = FrameAlbum(places, wanted, grid.num_slots if all_slots else 0)
    cutoffs = (wanted + 0.5) / grid.frame_rate
    last = _pick_frames(video.frames_for(cutoffs), cutoffs, video.clock, album.add)
    if seconds - last > grid.tolerance_seconds + frame_seconds(video.stream):
        raise MediaError(f"video decodes to {last:.1f} s of the {seconds:.1f} s its packets promise; fetch it again")
    facts = VideoFacts(video.stream.index, video.stream.codec_context.name, seconds, num_slots)
    return make_picture(album.frames, album.slots, places, facts, grid)


def frame_seconds(stream: "av.VideoStream") -> float:
    """Nominal time from one frame to the next."""
    rate = stream.average_rate or stream.guessed_rate
    return 1.0 / float(rate) if rate else 0.0


def _end_of_packets(stream: "av.VideoStream", packets: "list[av.Packet]") -> float:
    """Time in seconds at which the last shown frame ends, on the stream's own clock."""
    ends, base = [0.0], stream.time_base
    for packet in packets:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and not packet.is_discard:
            length = _seconds(packet.duration, base) if packet.duration else frame_seconds(stream)
            ends.append(_seconds(time, base) + length)
    return max(ends)


def _pick_frames(
    frames: Iterator[tuple[float | None, Any]], cutoffs: np.ndarray, clock: float, add: Callable[[Any], None]
) -> float:
    """Hand on the last frame before each cutoff (the first frame if none is); returns the time of the last frame."""
    shown, time, done = None, 0.0, 0
    for stamp, frame in frames:
        if stamp is None:
            raise MediaError("video frames without timestamps; convert the file")
        time = stamp - clock
        while done < len(cutoffs) and time >= cutoffs[done]:
            add(frame if shown is None else shown)
            done += 1
        shown = frame
    if shown is None:
        raise MediaError("no frame of its video decodes; fetch it again or leave it out")
    for _ in cutoffs[done:]:
        add(shown)
    return time


def _read_sound(stream: "av.AudioStream", packets: "list[av.Packet]", clock: float, grid: Grid) -> Sound:
    """Average the channels at the rate of the file."""
    samples, rate = _join_frames(_decode(stream, packets), clock, grid)
    provenance: dict[str, object] = {
        "stream": stream.index,
        "codec": stream.codec_context.name,
        "sample_rate": rate,
        "channels": stream.codec_context.channels,
        "seconds": round(len(samples) / rate, 4),
    }
    return Sound(samples, rate, provenance)


def _join_frames(frames: Iterator[tuple[float | None, Any]], clock: float, grid: Grid) -> tuple[np.ndarray, int]:
    """Mono float32 samples from the start of the clock, silence where the timestamps leave a gap."""
    pieces: list[np.ndarray] = []
    position, rate = 0, 0
    for stamp, frame in frames:
        rate = rate or frame.sample_rate
        if frame.sample_rate != rate:
            raise MediaError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz; convert the file")
        samples = samples_of(frame)
        gap = 0 if stamp is None else round((stamp - clock) * rate) - position
        if gap > GAP_SECONDS * rate:
            pieces.append(np.zeros((1, min(gap, round((grid.seconds + 2) * rate))), np.float32))
            position += pieces[-1].shape[1]
        elif position == 0 and -gap > GAP_SECONDS * rate:
            samples = samples[:, -gap:]
        pieces.append(samples)
        position += samples.shape[1]
    if not rate:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    runs = groupby(pieces, key=lambda piece: (len(piece), piece.dtype))
    return np.concatenate([mono_of(np.concatenate(list(run), axis=1)) for _, run in runs]), rate


def samples_of(frame: "av.AudioFrame") -> np.ndarray:
    """The samples of a frame as its codec gives them, [channels, n]."""
    samples = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T


def mono_of(samples: np.ndarray) -> np.ndarray:
    """float32 [n], the plain mean over channels, which keeps the level of one channel (a mixer would not).

    Args:
        samples: [channels, n] of uint8, integers or floats.

    Raises:
        MediaError: A sample is no number.
    """
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
    mono = samples.astype(np.float32, copy=False).mean(axis=0, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise MediaError("audio samples that are no numbers; fetch it again or leave it out")
    return mono
