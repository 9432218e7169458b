"""The published label generator's work on one clip, step by step and one clip at a time, written from its description.

Scripts for frames, labels and features each open the clip anew: frames go through JPEG files, the sound is decoded for
the labels and for the features, frames are read and CLIP runs for each of these, the captions are encoded for every
clip, and the mel transform is built for every waveform it is used on (ten repeated seconds and the whole clip).
"""

import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from torchaudio.functional import resample
from torchaudio.transforms import MelSpectrogram

from valor.label_harvest.teachers.clap_models import ClapModel
from valor.label_harvest.teachers.clip import IMAGE_MEAN, IMAGE_STD, OpenClipModel

try:
    import librosa
except ImportError:
    librosa = None


FFMPEG = shutil.which("ffmpeg")
"""The program the published scripts call."""
SEGMENTS, FRAME_RATE, SAMPLE_RATE, WINDOW = 10, 8, 48_000, 480_000


@dataclass
class Times:
    """Seconds by step."""

    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.spent[step] = self.spent.get(step, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Networks:
    """Both teachers as loaded; None leaves out what needs them."""

    clip: OpenClipModel
    clap: ClapModel
    captions: list[str]
    audio_captions: torch.Tensor
    """float32 [C, D], encoded once, as published."""


def frames_to_jpeg(path: Path, folder: Path) -> None:
    """All frames at 8 a second as JPEG files, by ffmpeg where it is on the path, else by its libraries."""
    folder.mkdir(parents=True, exist_ok=True)
    if FFMPEG:
        given = [FFMPEG, "-v", "error", "-y", "-i", str(path), "-r", str(FRAME_RATE), f"{folder}/%08d.jpg"]
        subprocess.run(given, stdin=subprocess.DEVNULL, check=True)
        return
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, FRAME_RATE)
        encoder.width, encoder.height = stream.codec_context.width, stream.codec_context.height
        written = 0
        for frame in container.decode(stream):
            while written < SEGMENTS * FRAME_RATE and frame.time is not None and frame.time >= written / FRAME_RATE:
                picture = frame.reformat(format="yuvj420p")
                picture.pts, picture.time_base = written, encoder.time_base
                for packet in encoder.encode(picture):
                    (folder / f"{written:08d}.jpg").write_bytes(bytes(packet))
                written += 1


def read_frames(folder: Path) -> torch.Tensor:
    """Ten of the JPEG files as the network takes them in, float32 [10, 3, 224, 224]."""
    names = sorted(folder.iterdir())
    chosen = np.rint(np.linspace(0, len(names) - 1, SEGMENTS)).astype(int)
    mean, std = torch.tensor(IMAGE_MEAN).view(3, 1, 1), torch.tensor(IMAGE_STD).view(3, 1, 1)
    images = []
    for index in chosen:
        pixels = np.array(Image.open(names[index]).convert("RGB"))
        image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        image = functional.interpolate(image[None], (224, 224), mode="bilinear", antialias=False)[0]
        images.append((image - mean) / std)
    return torch.stack(images)


def load_sound(path: Path) -> np.ndarray:
    """The whole sound, mono at 48 kHz, float32 [n]: librosa's call where it is installed, else PyAV and torchaudio."""
    if librosa is not None:
        with warnings.catch_warnings(action="ignore"):
            return librosa.load(path, sr=SAMPLE_RATE)[0]
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        parts = [frame.to_ndarray().astype(np.float32).mean(axis=0) for frame in container.decode(audio=0)]
    return resample(torch.from_numpy(np.concatenate(parts)), rate, SAMPLE_RATE).numpy()


def mel_of(waveform: np.ndarray) -> torch.Tensor:
    """Log-mel [1001, 64] of a waveform repeated to 10 s, through int16 and a transform of its own."""
    whole = np.tile(waveform, WINDOW // len(waveform)) if len(waveform) < WINDOW else waveform[:WINDOW]
    whole = (np.clip(whole, -1, 1) * 32767).astype(np.int16).astype(np.float32) / 32767
    whole = np.pad(whole, (0, WINDOW - len(whole)))
    transform = MelSpectrogram(
        SAMPLE_RATE, n_fft=1024, hop_length=480, n_mels=64, f_min=50, f_max=14000, norm=None, mel_scale="htk"
    )
    return 10 * torch.log10(transform(torch.from_numpy(whole)).clamp_min(1e-10)).T


def look(networks: Networks, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return functional.normalize(networks.clip.network.encode_image(images), dim=-1)


def listen(networks: Networks, mels: torch.Tensor) -> "tuple[torch.Tensor, torch.Tensor]":
    """Embeddings [B, D] and the last layer of spectrograms [B, 1001, 64]."""
    model = networks.clap.network
    channels = mels[:, None].expand(-1, 4 if networks.clap.fusion else 1, -1, -1)
    with torch.no_grad():
        heard = model.audio_model(input_features=channels, is_longer=torch.zeros(len(mels), 1, dtype=torch.bool))
        return functional.normalize(model.audio_projection(heard.pooler_output), dim=-1), heard.last_hidden_state


def work_on(path: Path, folder: Path, times: Times, networks: Networks | None) -> None:
    """Labels and features of one clip, written as .npy files.

    Args:
        path: The clip.
        folder: For its frames and arrays.
        times: Gets the seconds of each step.
        networks: None for what is done outside of them alone.
    """
    frames = folder / "frames"
    with times.of("frames to JPEG"):
        frames_to_jpeg(path, frames)
    arrays: dict[str, np.ndarray] = {}
    for use in ("labels", "features"):
        with times.of("frames read twice"):
            images = read_frames(frames)
        if networks is not None:
            with times.of("CLIP twice"):
                seen = look(networks, images)
            arrays[f"visual_{use}"] = seen.numpy()
    if networks is not None:
        with times.of("captions"), torch.no_grad():
            text = functional.normalize(
                networks.clip.network.encode_text(networks.clip.tokenize(networks.captions)), dim=-1
            )
        arrays["visual_labels"] = (seen @ text.T).numpy()
    with times.of("sound decoded twice"):
        waveform = load_sound(path)
    cuts = np.array_split(waveform[:WINDOW], SEGMENTS)
    with times.of("mel eleven times"):
        mels = torch.stack([mel_of(piece) for piece in cuts])
    if networks is not None:
        with times.of("CLAP"):
            arrays["audio_labels"] = (listen(networks, mels)[0] @ networks.audio_captions.T).numpy()
    with times.of("sound decoded twice"):
        waveform = load_sound(path)
    with times.of("mel eleven times"):
        mel = mel_of(waveform)
    if networks is not None:
        with times.of("CLAP"):
            arrays["audio_features"] = listen(networks, mel[None])[1].numpy()
    with times.of("arrays written"):
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
