"""A media file -> frames on the segment grid and the sound as it lies in the file.

Each file is demuxed once and decoded once. Needs av and numpy alone, so that a decoding process stays small; what
becomes of the sound is in media.py, and recordings of any length are read by media_streams.py. Conventions, all
relative to the start of the container's clock:

* Frames: the video is laid on an even grid of `frame_rate` slots per second; slot k shows the last source frame whose
  timestamp is below (k + 0.5) / frame_rate. Of the n slots, T are taken at evenly spaced indices, the last slot
  included (`frame_indices`). n follows from the length of the video when that is within the tolerance of the grid.
  A longer video is cut to the grid; in a shorter one the segments past its end have no frame.
* Sound: channels are averaged at the rate of the file; gaps in the timestamps are filled with silence.
* Damage is an error: one packet or frame that the decoder marks as damaged makes the clip `undecodable`. Damage that
  happens to decode cannot be told from the picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip_media import Grid, MediaError
from .indices import frame_indices

if TYPE_CHECKING:
    import av

STILL_LEVELS = 2
"""Largest difference of any pixel, in levels of 255, between the frames of a clip called still (codec noise)."""
GAP_SECONDS = 0.05
"""Audio timestamps may stray this far from gapless before silence is filled in (or a lead cut off)."""


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
    """uint8 [grid.num_slots, H, W, 3] RGB, the frame of every slot, where asked for."""


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


def decode_clip(path: str | Path, *, grid: Grid, slots: bool = False) -> DecodedClip:
    """Decode the best video and the best audio stream of one file.

    Args:
        path: The file.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, or holds neither video nor audio.
    """
    import av

    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the folder of videos", "missing")
    with media_errors(path), av.open(str(path.absolute()), metadata_errors="replace") as container:
        return _read_streams(container, grid, slots=slots)


@contextmanager
def media_errors(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a media file inside the block into a `MediaError` that names the file."""
    import av

    try:
        yield
    except MemoryError:
        raise
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path.name}: cannot be decoded ({reason}); fetch it again or leave it out") from error
    except MediaError as error:
        raise MediaError(f"{path.name}: {error}", error.status) from error


def _read_streams(container: "av.container.InputContainer", grid: Grid, *, slots: bool) -> DecodedClip:
    """Demux the chosen streams together and decode each."""
    video, audio = usable_stream(container, "video"), usable_stream(container, "audio")
    if video is None and audio is None:
        raise MediaError("neither a video nor an audio stream; it is no clip")
    packets = _read_packets(container, [stream for stream in (video, audio) if stream is not None], grid)
    clock = (container.start_time or 0) / 1e6
    picture = None
    if video and packets[video.index]:
        picture = _read_frames(video, packets[video.index], clock, grid, all_slots=slots)
    sound = _read_sound(audio, packets[audio.index], clock, grid) if audio and packets[audio.index] else None
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


def _read_packets(container: "av.container.InputContainer", streams: list, grid: Grid) -> "dict[int, list[av.Packet]]":
    """Compressed packets per stream, up to a second past the grid and its tolerance."""
    clock = (container.start_time or 0) / 1e6
    limit = grid.seconds + grid.tolerance_seconds + 1.0
    packets: dict[int, list] = {stream.index: [] for stream in streams}
    running = set(packets)
    for packet in container.demux(streams):
        if packet.size == 0:
            continue
        if packet.is_corrupt:
            raise MediaError(f"a damaged packet in its {packet.stream.type} stream; fetch it again or leave it out")
        if packet.dts is not None and float(packet.dts * packet.time_base) - clock > limit:
            running.discard(packet.stream_index)
            if not running:
                break
        if packet.stream_index in running:
            packets[packet.stream_index].append(packet)
    return packets


def _decode(stream: Any, packets: "list[av.Packet]") -> Iterator[tuple[float | None, Any]]:  # noqa: ANN401
    """Decoded frames of a stream in presentation order with their times in seconds, refusing what is marked damaged.

    The time is counted in the stream's own time base: frames that come out when the decoder is flushed carry none, and
    their `time` is no number.
    """
    for packet in [*packets, None]:
        for frame in stream.codec_context.decode(packet):
            time = None if frame.pts is None else float(frame.pts * stream.time_base)
            if frame.is_corrupt:
                raise MediaError(f"damaged {stream.type} at {time} s; fetch it again or leave it out")
            yield time, frame


def _read_frames(
    stream: "av.VideoStream", packets: "list[av.Packet]", clock: float, grid: Grid, *, all_slots: bool
) -> Picture:
    """Pick one frame per segment by the slot rule, decoding every packet but converting only what is picked."""
    seconds = _end_of_packets(stream, packets) - clock
    whole = abs(seconds - grid.seconds) <= grid.tolerance_seconds
    num_slots = max(1, round(seconds * grid.frame_rate)) if whole else grid.num_slots
    slots = frame_indices(num_slots, grid.num_segments)
    wanted = np.arange(max(num_slots, grid.num_slots)) if all_slots else slots
    picked, last = _pick_frames(_decode(stream, packets), (wanted + 0.5) / grid.frame_rate, clock)
    if seconds - last > grid.tolerance_seconds + frame_seconds(stream):
        raise MediaError(f"video decodes to {last:.1f} s of the {seconds:.1f} s its packets promise; fetch it again")
    images = _to_rgb(picked)
    frames = images[slots] if all_slots else images
    present = slots < seconds * grid.frame_rate
    present[0] = True
    troubles = []
    if not present.all():
        troubles.append(("short", f"{seconds:.1f} s of video, the grid has {grid.seconds:.1f} s"))
    if all(np.abs(frame.astype(np.int16) - frames[0]).max() <= STILL_LEVELS for frame in frames[1:]):
        troubles.append(("still", "all frames equal"))
    provenance = {
        "stream": stream.index,
        "codec": stream.codec_context.name,
        "size": [frames.shape[2], frames.shape[1]],
        "seconds": round(seconds, 4),
        "slots": num_slots,
    }
    return Picture(frames, present, provenance, tuple(troubles), images[: grid.num_slots] if all_slots else None)


def frame_seconds(stream: "av.VideoStream") -> float:
    """Nominal time from one frame to the next."""
    rate = stream.average_rate or stream.guessed_rate
    return 1.0 / float(rate) if rate else 0.0


def _end_of_packets(stream: "av.VideoStream", packets: "list[av.Packet]") -> float:
    """Time in seconds at which the last shown frame ends, on the stream's own clock."""
    ends = [0.0]
    for packet in packets:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and not packet.is_discard:
            length = float(packet.duration * packet.time_base) if packet.duration else frame_seconds(stream)
            ends.append(float(time * packet.time_base) + length)
    return max(ends)


def _pick_frames(frames: Iterator[tuple[float | None, Any]], cutoffs: np.ndarray, clock: float) -> tuple[list, float]:
    """The last frame before each cutoff (the first frame if none is), and the time of the last frame."""
    picked: list = []
    shown, time = None, 0.0
    for stamp, frame in frames:
        if stamp is None:
            raise MediaError("video frames without timestamps; convert the file")
        time = stamp - clock
        while len(picked) < len(cutoffs) and time >= cutoffs[len(picked)]:
            picked.append(shown if shown is not None else frame)
        shown = frame
    if shown is None:
        raise MediaError("no frame of its video decodes; fetch it again or leave it out")
    return picked + [shown] * (len(cutoffs) - len(picked)), time


def _to_rgb(picked: list) -> np.ndarray:
    """uint8 [T, H, W, 3] upright, every frame at the size of the first; equal frames are converted once."""
    width, height = picked[0].width, picked[0].height
    converted: dict[int, np.ndarray] = {}
    for frame in picked:
        if id(frame) not in converted:
            image = frame.to_ndarray(format="rgb24", width=width, height=height)
            converted[id(frame)] = np.rot90(image, round(picked[0].rotation / 90))
    return np.stack([converted[id(frame)] for frame in picked])


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
    pieces, position, rate = [np.zeros(0, np.float32)], 0, 0
    for stamp, frame in frames:
        rate = rate or frame.sample_rate
        if frame.sample_rate != rate:
            raise MediaError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz; convert the file")
        mono = mono_of(frame)
        gap = 0 if stamp is None else round((stamp - clock) * rate) - position
        if gap > GAP_SECONDS * rate:
            pieces.append(np.zeros(min(gap, round((grid.seconds + 2) * rate)), np.float32))
        elif position == 0 and -gap > GAP_SECONDS * rate:
            mono = mono[-gap:]
        pieces.append(mono)
        position += len(pieces[-1]) + (len(pieces[-2]) if gap > GAP_SECONDS * rate else 0)
    if not rate:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    return np.concatenate(pieces), rate


def mono_of(frame: "av.AudioFrame") -> np.ndarray:
    """float32 [n], the plain mean over channels, which keeps the level of one channel (a mixer would not)."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / float(2 ** (8 * samples.dtype.itemsize - 1))
    mono = samples.astype(np.float32, copy=False).mean(axis=0, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise MediaError("audio samples that are no numbers; fetch it again or leave it out")
    return mono
