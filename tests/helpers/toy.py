"""Small media files, tiny networks and fake teachers that tests make for themselves."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.teacher import Evidence

SOUND_SECONDS = 0.1
"""Packets of toy audio are this long."""
_QUICKLY = {
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
    "libsvtav1": {"preset": "11", "svtav1-params": "lp=1"},
}
"""Options of encoders that would else take long or talk much."""


@dataclass(frozen=True, kw_only=True)
class ToyVideo:
    """A picture of two grey halves that spell the number of its frame, see `frame_number`."""

    seconds: float = 10.0
    rate: int = 10
    width: int = 64
    height: int = 48
    codec: str = "libx264"
    first_number: int = 0
    """What the first frame says, below 256 with all that follow."""
    still: bool = False
    """Whether every frame says `first_number`."""
    noise: bool = False
    """Whether the lower half is noise, which makes every byte of the stream count."""
    start: float = 0.0
    """Time of the first frame in seconds."""
    skipped: tuple[int, ...] = ()
    """Frames left out, which makes the frame rate variable."""
    b_frames: int = 0
    """Frames in a row predicted from both sides; they leave the decoder late, the last ones only when it is flushed."""
    pixels: str = "yuv420p"
    """How the stream holds its pixels."""
    pixel_shape: Fraction = Fraction(1)
    """Width by height of a pixel as it is shown."""
    images: np.ndarray | None = None
    """uint8 [frames, height, width, 3], what is seen in place of numbers."""


@dataclass(frozen=True, kw_only=True)
class ToySound:
    """A waveform [channels, S] or, where it is None, a quiet tone."""

    seconds: float = 10.0
    rate: int = 48000
    channels: int = 1
    codec: str = "aac"
    level: float = 0.25
    start: float = 0.0
    waveform: np.ndarray | None = None
    language: str = ""
    default: bool = False


def write_toy_clip(
    path: Path,
    *,
    video: ToyVideo | Sequence[ToyVideo] | None = None,
    sound: ToySound | Sequence[ToySound] | None = None,
) -> Path:
    """Encode a toy clip; pass only what it should hold, several pictures or sounds as tracks."""
    import av

    with _scheduled_as_before(), av.open(str(path), "w") as container:
        encoders = []
        for picture in () if video is None else (video,) if isinstance(video, ToyVideo) else video:
            encoders.append(_add_video(container, picture))
        for track in () if sound is None else (sound,) if isinstance(sound, ToySound) else sound:
            encoders.append(_add_sound(container, track))
        frames = sorted((item for stream, frames in encoders for item in ((*f, stream) for f in frames)), key=_time_of)
        for _, frame, stream in frames:
            container.mux(stream.encode(frame))
        for stream, _ in encoders:
            container.mux(stream.encode(None))
    return path


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """SVT-AV1 run by root makes the thread that encodes a real-time one, which nothing else gets past any more."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    yield
    if os.sched_getscheduler(0) != before[0]:
        os.sched_setscheduler(0, *before)


def remuxed(
    source: Path,
    target: Path,
    *,
    change: Callable[[Any], bool] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A copy of a file without encoding anew, after `change` of every packet, which says whether it is kept."""
    import av

    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        streams = {stream.index: new.add_stream_from_template(stream) for stream in old.streams}
        for packet in old.demux():
            if packet.size and (change is None or change(packet)):
                packet.stream = streams[packet.stream_index]
                new.mux(packet)
    return target


def frame_number(image: np.ndarray) -> int:
    """The number a toy frame uint8 [H, W, 3] spells: sixteens on the left, ones on the right."""
    quarter = image.shape[1] // 4
    left, right = image[:, :quarter].mean(), image[:, -quarter:].mean()
    return 16 * round((left - 8) / 15) + round((right - 8) / 15)


def write_toy_world(folder: Path, clip_ids: Sequence[str], *, seconds: float = 10.0) -> Path:
    """A folder with one whole toy clip per id, small and fast to decode."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip_id in enumerate(clip_ids):
        video = ToyVideo(seconds=seconds, rate=8, width=32, height=32, first_number=10 * number)
        sound = ToySound(seconds=seconds, rate=8000, codec="pcm_s16le", level=0.1 + 0.05 * number)
        write_toy_clip(folder / f"{clip_id}.mkv", video=video, sound=sound)
    return folder


def _time_of(item: tuple) -> float:
    return item[0]


def _add_video(container, video: ToyVideo) -> tuple:  # noqa: ANN001
    import av

    stream = container.add_stream(video.codec, rate=video.rate)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, video.pixels
    if video.pixel_shape != 1:
        stream.codec_context.sample_aspect_ratio = video.pixel_shape
    stream.codec_context.time_base = Fraction(1, video.rate)
    if video.codec == "libx264":
        stream.options = {"crf": "1", "preset": "ultrafast", "bf": str(video.b_frames)}
    elif video.codec in _QUICKLY:
        stream.options = _QUICKLY[video.codec]
    frames = []
    for index in range(round(video.seconds * video.rate)):
        if index in video.skipped:
            continue
        number = video.first_number + (0 if video.still else index)
        image = np.empty((video.height, video.width, 3), np.uint8)
        image[:, : video.width // 2], image[:, video.width // 2 :] = 8 + 15 * (number // 16), 8 + 15 * (number % 16)
        if video.images is not None:
            image = video.images[index]
        if video.noise:
            half = image[video.height // 2 :]
            half[:] = np.random.default_rng(index).integers(0, 256, half.shape)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = index + round(video.start * video.rate), Fraction(1, video.rate)
        frames.append((video.start + index / video.rate, frame))
    return stream, frames


def _add_sound(container, sound: ToySound) -> tuple:  # noqa: ANN001
    import av
    from av.stream import Disposition

    layout = {1: "mono", 2: "stereo", 6: "5.1", 7: "6.1", 8: "7.1", 16: "hexadecagonal"}[sound.channels]
    stream = container.add_stream(sound.codec, rate=sound.rate, layout=layout)
    if sound.codec == "wmav2":
        stream.codec_context.bit_rate = 128000  # its encoder has no usual one
    if sound.language:
        stream.metadata["language"] = sound.language
    if sound.default:
        stream.disposition = Disposition.default
    waveform = sound.waveform
    if waveform is None:
        time = np.arange(round(sound.seconds * sound.rate)) / sound.rate
        waveform = np.tile(sound.level * np.sin(2 * np.pi * 440 * time), (sound.channels, 1))
    floats = sound.codec in ("aac", "ac3", "libmp3lame")
    samples = waveform.astype(np.float32) if floats else np.round(waveform * 32767).astype(np.int16)
    chunk, frames = (
        {"aac": 1024, "ac3": 1536, "libmp3lame": 1152}.get(sound.codec, round(SOUND_SECONDS * sound.rate)),
        [],
    )
    for start in range(0, samples.shape[1], chunk):
        planar = floats and sound.channels < 8  # PyAV cannot fill the planes of eight channels
        part = samples[:, start : start + chunk]
        data = np.ascontiguousarray(part if planar else part.T.reshape(1, -1))
        kind = ("fltp" if planar else "flt") if floats else "s16"
        frame = av.AudioFrame.from_ndarray(data, format=kind, layout=layout)
        frame.sample_rate = sound.rate
        frame.pts, frame.time_base = start + round(sound.start * sound.rate), Fraction(1, sound.rate)
        frames.append((sound.start + start / sound.rate, frame))
    return stream, frames


@dataclass
class FakeTeacher:
    """A teacher without a network: its answers are simple functions of the pixels or samples of each segment."""

    role: str = "visual"
    sample_rate: int | None = None
    prompts: tuple[str, ...] = ("a dog", "a cat")
    logit_scale: float = 10.0
    logit_bias: float = 0.0
    weights: str = "fake"
    batches: int = 0
    """How often it was called."""

    def identity(self) -> dict[str, object]:
        return {
            "teacher": "fake",
            "weights": self.weights,
            "prompts": list(self.prompts),
            "logit_scale": self.logit_scale,
            "logit_bias": self.logit_bias,
            "precision": "float32",
        }

    def encode(self, media: ClipMedia) -> Evidence:
        return self.encode_many([media])[0]

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        self.batches += 1
        return [self._answer(clip) for clip in clips]

    def _answer(self, clip: ClipMedia) -> Evidence:
        if self.role == "audio":
            level = np.abs(clip.waveform).reshape(clip.grid.num_segments, -1).max(1)
        else:
            level = clip.frames.reshape(clip.grid.num_segments, -1).mean(1) / 255
        level = level.astype(np.float32)
        similarity = np.stack([(-1) ** c * level for c in range(len(self.prompts))], axis=1).astype(np.float32)
        return Evidence({"embedding": np.stack([level, 1 - level, level**2], axis=1)}, similarity)


def build_fake_teacher(name: str, prompts: Sequence[str], **_: object) -> FakeTeacher:
    """What `valor.teachers.build_teacher` makes where teachers of the demo are to have no network."""
    rate = 8000 if "audio" in name else None
    return FakeTeacher(name.removeprefix("demo-"), prompts=tuple(prompts), sample_rate=rate)


def toy_media(*, grid: Grid | None = None, seed: int = 0, height: int = 24, width: int = 32) -> ClipMedia:
    """A clip of noise that was never a file."""
    grid = grid or Grid()
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (grid.num_segments, height, width, 3), dtype=np.uint8)
    waveform = rng.uniform(-0.5, 0.5, grid.num_samples).astype(np.float32)
    return ClipMedia(frames, waveform, grid)
