"""A media file -> frames and a mono waveform on the segment grid; the only place that decodes.

Each file is demuxed once and decoded once. Conventions, all relative to the start of the container's clock:

* Frames: the video is laid on an even grid of `frame_rate` slots per second; slot k shows the last source frame whose
  timestamp is below (k + 0.5) / frame_rate. Of the n slots, T are taken at evenly spaced indices, the last slot
  included (`frame_indices`). n follows from the length of the video when that is within the tolerance of the grid.
  A longer video is cut to the grid; in a shorter one the segments past its end have no frame.
* Waveform: channels are averaged at the rate of the file, then resampled. Longer audio is cut to exactly S samples,
  audio short by at most the tolerance is filled with silence (noted in the provenance), shorter audio is refused.
* Damage is an error: one packet or frame that the decoder marks as damaged makes the clip `undecodable`. Damage that
  happens to decode cannot be told from the picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .indices import frame_indices

if TYPE_CHECKING:
    import av

STATUSES = ("ok", "still", "silent", "short", "no_audio", "no_video", "undecodable", "timeout", "missing")
"""What can be said of a clip, mildest first; a clip with several troubles carries the last one that applies."""
FAILURES = STATUSES[2:]
"""Statuses that make a run end with a failure: some evidence of the clip is absent or speaks of silence.

A `still` clip (a photograph under a sound) has whole evidence and is only pointed out.
"""
SILENCE_PEAK = 1e-4
"""Largest absolute sample of a waveform called silent (-80 dB of full scale)."""
STILL_LEVELS = 2
"""Largest difference of any pixel, in levels of 255, between the frames of a clip called still (codec noise)."""
GAP_SECONDS = 0.05
"""Audio timestamps may stray this far from gapless before silence is filled in (or a lead cut off)."""
_MAX_RATIO = 1000
"""Largest reduced rate the resampler builds a filter bank for (44.1 -> 48 kHz needs 160)."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a clip is cut into segments, and what is sampled from each."""

    num_segments: int = 10
    """Segments per clip, T."""
    segment_seconds: float = 1.0
    """Length of a segment in seconds."""
    frame_rate: int = 8
    """Slots per second of the even frame grid from which one frame per segment is taken."""
    sample_rate: int = 48000
    """Samples per second of the waveform."""
    tolerance_seconds: float = 0.5
    """How much a stream may differ from the grid in length and still count as whole."""

    def __post_init__(self) -> None:
        """Refuse grids that hold nothing."""
        for name in ("num_segments", "segment_seconds", "frame_rate", "sample_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.tolerance_seconds < self.seconds:
            raise ValueError(f"tolerance_seconds must be in [0, {self.seconds}), got {self.tolerance_seconds}")

    @property
    def seconds(self) -> float:
        """Length of the whole grid in seconds."""
        return self.num_segments * self.segment_seconds

    @property
    def num_samples(self) -> int:
        """Samples of the whole grid, S."""
        return round(self.seconds * self.sample_rate)

    @property
    def num_slots(self) -> int:
        """Frame slots of the whole grid."""
        return max(1, round(self.seconds * self.frame_rate))


@dataclass(frozen=True)
class ClipMedia:
    """One clip on its grid. A stream that cannot be used is None and the status says why."""

    frames: np.ndarray | None
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    waveform: np.ndarray | None
    """float32 [S] mono, nominally in [-1, 1]; exactly `grid.num_samples` long."""
    grid: Grid
    status: str = "ok"
    """One of `STATUSES`."""
    message: str = ""
    """The troubles in words, empty for `ok`."""
    provenance: dict[str, object] = field(default_factory=dict)
    """What was read and what was cut or filled, as JSON values."""
    frames_present: np.ndarray | None = None
    """bool [T], False where the video ended before the segment (its frame repeats the last one); None means all."""

    def __post_init__(self) -> None:
        """Refuse arrays that do not lie on the grid."""
        if self.frames is not None and (
            self.frames.dtype != np.uint8 or self.frames.ndim != 4 or len(self.frames) != self.grid.num_segments
        ):
            raise ValueError(
                f"frames must be uint8 [{self.grid.num_segments}, height, width, 3], "
                f"got {self.frames.dtype} {list(self.frames.shape)}"
            )
        if self.waveform is not None and (
            self.waveform.dtype != np.float32 or self.waveform.shape != (self.grid.num_samples,)
        ):
            raise ValueError(
                f"waveform must be float32 [{self.grid.num_samples}], "
                f"got {self.waveform.dtype} {list(self.waveform.shape)}"
            )


class MediaError(Exception):
    """A clip of which nothing can be used; `status` is `undecodable`, `timeout` or `missing`."""

    def __init__(self, message: str, status: str = "undecodable") -> None:
        """Keep the status beside the message."""
        super().__init__(message)
        self.status = status


def read_clip(path: str | Path, *, grid: Grid) -> ClipMedia:
    """Decode the best video and the best audio stream of one file onto the grid.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, or holds neither video nor audio.
    """
    import av

    path = Path(path)
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the folder of videos", "missing")
    try:
        with av.open(str(path.absolute())) as container:
            media = _read_streams(container, grid)
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{path.name}: cannot be decoded ({reason}); fetch it again or leave it out") from error
    except MediaError as error:
        raise MediaError(f"{path.name}: {error}", error.status) from error
    return media


@dataclass(frozen=True)
class _Track:
    """One stream on the grid: its array (None if refused), what was done, and the troubles found."""

    array: np.ndarray | None
    provenance: dict[str, object]
    troubles: list[tuple[str, str]]
    present: np.ndarray | None = None


def _read_streams(container: "av.container.InputContainer", grid: Grid) -> ClipMedia:
    """Demux the chosen streams together, decode each, and name the worst trouble."""
    video, audio = _usable_stream(container, "video"), _usable_stream(container, "audio")
    if video is None and audio is None:
        raise MediaError("neither a video nor an audio stream; it is no clip")
    packets = _read_packets(container, [stream for stream in (video, audio) if stream is not None], grid)
    clock = (container.start_time or 0) / 1e6
    picture = _read_frames(video, packets[video.index], clock, grid) if video and packets[video.index] else None
    sound = _read_waveform(audio, packets[audio.index], clock, grid) if audio and packets[audio.index] else None
    troubles = [("no_video", "no video stream")] if picture is None else picture.troubles
    troubles = troubles + ([("no_audio", "no audio stream")] if sound is None else sound.troubles)
    if picture is None and sound is None:
        raise MediaError("its streams hold no packets; fetch it again or leave it out")
    worst = max((status for status, _ in troubles), key=STATUSES.index, default="ok")
    return ClipMedia(
        frames=picture.array if picture else None,
        waveform=sound.array if sound else None,
        grid=grid,
        status=worst,
        message="; ".join(message for _, message in troubles),
        provenance={
            "video": picture.provenance if picture else None,
            "audio": sound.provenance if sound else None,
        },
        frames_present=picture.present if picture else None,
    )


def _usable_stream(container: "av.container.InputContainer", kind: str) -> Any:  # noqa: ANN401
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


def _read_frames(stream: "av.VideoStream", packets: "list[av.Packet]", clock: float, grid: Grid) -> _Track:
    """Pick one frame per segment by the slot rule, decoding every packet but converting only what is picked."""
    seconds = _end_of_packets(stream, packets) - clock
    whole = abs(seconds - grid.seconds) <= grid.tolerance_seconds
    num_slots = max(1, round(seconds * grid.frame_rate)) if whole else grid.num_slots
    slots = frame_indices(num_slots, grid.num_segments)
    picked, last = _pick_frames(_decode(stream, packets), (slots + 0.5) / grid.frame_rate, clock)
    if seconds - last > grid.tolerance_seconds + _frame_seconds(stream):
        raise MediaError(f"video decodes to {last:.1f} s of the {seconds:.1f} s its packets promise; fetch it again")
    frames = _to_rgb(picked)
    present = slots < seconds * grid.frame_rate
    present[0] = True
    troubles = []
    if not present.all():
        troubles.append(("short", f"{seconds:.1f} s of video, the grid has {grid.seconds:.1f} s"))
    if np.abs(frames.astype(np.int16) - frames[0]).max() <= STILL_LEVELS:
        troubles.append(("still", "all frames equal"))
    provenance = {
        "stream": stream.index,
        "codec": stream.codec_context.name,
        "size": [frames.shape[2], frames.shape[1]],
        "seconds": round(seconds, 4),
        "slots": num_slots,
    }
    return _Track(frames, provenance, troubles, present)


def _frame_seconds(stream: "av.VideoStream") -> float:
    """Nominal time from one frame to the next."""
    rate = stream.average_rate or stream.guessed_rate
    return 1.0 / float(rate) if rate else 0.0


def _end_of_packets(stream: "av.VideoStream", packets: "list[av.Packet]") -> float:
    """Time in seconds at which the last shown frame ends, on the stream's own clock."""
    ends = [0.0]
    for packet in packets:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and not packet.is_discard:
            length = float(packet.duration * packet.time_base) if packet.duration else _frame_seconds(stream)
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


def _read_waveform(stream: "av.AudioStream", packets: "list[av.Packet]", clock: float, grid: Grid) -> _Track:
    """Average the channels, resample, and cut or fill to exactly the samples of the grid."""
    native, rate = _join_frames(_decode(stream, packets), clock, grid)
    waveform = resample(native, rate, grid.sample_rate)
    seconds = len(native) / rate
    missing = grid.num_samples - len(waveform)
    provenance: dict[str, object] = {
        "stream": stream.index,
        "codec": stream.codec_context.name,
        "sample_rate": rate,
        "channels": stream.codec_context.channels,
        "seconds": round(seconds, 4),
    }
    if missing > grid.tolerance_seconds * grid.sample_rate:
        return _Track(None, provenance, [("short", f"{seconds:.1f} s of audio, the grid has {grid.seconds:.1f} s")])
    provenance["filled_samples" if missing > 0 else "cut_samples"] = abs(missing)
    waveform = np.pad(waveform[: grid.num_samples], (0, max(missing, 0)))
    peak = float(np.abs(waveform).max())
    provenance["peak"] = round(peak, 6)
    silent = [("silent", f"audio peaks at {peak:.1e} of full scale")] if peak < SILENCE_PEAK else []
    return _Track(waveform, provenance, silent)


def _join_frames(frames: Iterator[tuple[float | None, Any]], clock: float, grid: Grid) -> tuple[np.ndarray, int]:
    """Mono float32 samples from the start of the clock, silence where the timestamps leave a gap."""
    pieces, position, rate = [np.zeros(0, np.float32)], 0, 0
    for stamp, frame in frames:
        rate = rate or frame.sample_rate
        if frame.sample_rate != rate:
            raise MediaError(f"its sample rate changes from {rate} to {frame.sample_rate} Hz; convert the file")
        mono = _mono(frame)
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


def _mono(frame: "av.AudioFrame") -> np.ndarray:
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


def resample(waveform: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Resample float32 [n] by a windowed sinc filter (Kaiser window, 64 zero crossings); equal rates return the input.

    Raises:
        MediaError: The rates have no small common ratio (44.1 to 48 kHz is 147 to 160).
    """
    if rate == new_rate:
        return waveform
    if max(rate, new_rate) // np.gcd(rate, new_rate) > _MAX_RATIO:
        raise MediaError(f"{rate} Hz audio has no small ratio to {new_rate} Hz; convert the file to a usual rate")
    import torch
    from torchaudio.functional import resample as sinc_resample

    return sinc_resample(
        torch.from_numpy(waveform),
        rate,
        new_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    ).numpy()
