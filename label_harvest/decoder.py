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

from .clip_media import Grid, MediaError
from .decoded import DecodedClip, Picture, Sound, VideoFacts, make_picture, slots_of
from .frame_album import FrameAlbum
from .h264_packets import needed_packets
from .indices import frame_indices
from .media_opening import opened

if TYPE_CHECKING:
    import av

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
