"""VGGish: 128 numbers for each second of sound, from the published definition, with the traps of its ports named.

* The network of AudioSet ends in a linear layer. The usual PyTorch port puts a ReLU after it: another feature
  (`vggish-relu`). AudioSet's released embeddings are whitened and cut to 8 bits on top (`vggish-pca`).
* One example is 0.96 s of sound. Over a whole clip examples of 0.96 s drift away from the seconds; here, as in the
  features of LLP, each segment is cut out first and its first 0.96 s are heard.
* With equal weights the network equals that port to the bit up to the ReLU, and the spectra differ by 6e-6 of 3.1.
* Published files are not regenerable to the bit (other resamplers, other decoders): do not mix them with these.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from .clip_media import ClipMedia
from .indices import audio_segments
from .media import resample

SAMPLE_RATE = 16000
"""Samples per second VGGish hears."""
WINDOW_SAMPLES, HOP_SAMPLES, TRANSFORM_SAMPLES = 400, 160, 512
"""25 ms Hann window, 10 ms steps, and the length of the Fourier transform."""
NUM_BANDS, LOWEST_HZ, HIGHEST_HZ = 64, 125.0, 7500.0
"""Mel bands and their range."""
LOG_OFFSET = 0.01
"""Added to a band's magnitude before the logarithm."""
EXAMPLE_FRAMES = 96
"""Spectra of one example, 0.96 s."""
WIDTH = 128
"""Length of the feature."""
VARIANTS = ("vggish", "vggish-relu", "vggish-pca")
"""As TensorFlow's network; with the port's last ReLU; whitened and cut to 8 bits as AudioSet's release."""
URL = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"
"""Where the converted weights are published; the name holds the first digits of their sha256."""
PCA_FILE = "vggish_pca_params.npz"
"""AudioSet's whitening parameters, looked for beside the weights."""
_PCA_RANGE = 2.0
_CHANNELS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
"""Output channels of the convolutions; 0 halves the picture."""


class Vggish(torch.nn.Module):
    """The network: six convolutions and three linear layers."""

    def __init__(self) -> None:
        """Build it unfilled, with the tensor names of the converted weights."""
        super().__init__()
        layers: list[torch.nn.Module] = []
        last = 1
        for channels in _CHANNELS:
            if channels:
                layers += [torch.nn.Conv2d(last, channels, 3, padding=1), torch.nn.ReLU()]
                last = channels
            else:
                layers.append(torch.nn.MaxPool2d(2))
        self.features = torch.nn.Sequential(*layers)
        widths = (last * (EXAMPLE_FRAMES // 16) * (NUM_BANDS // 16), 4096, 4096)
        hidden = [
            part for a, b in zip(widths, widths[1:], strict=False) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())
        ]
        self.embeddings = torch.nn.Sequential(*hidden, torch.nn.Linear(4096, WIDTH))

    def forward(self, examples: torch.Tensor) -> torch.Tensor:
        """Examples float32 [B, 96, 64] -> features float32 [B, 128], before any activation."""
        picture = self.features(examples[:, None])  # [B, 512, 6, 4]
        return self.embeddings(picture.permute(0, 2, 3, 1).flatten(1))  # channels last, as in TensorFlow


def log_mel_example(waveform: torch.Tensor) -> torch.Tensor:
    """The example at the start of each waveform.

    Args:
        waveform: float32 [..., S] at 16 kHz, at least 0.975 s.

    Returns:
        float32 [..., 96, 64], log of the mel magnitude.

    Raises:
        ValueError: The waveform is too short.

    Source:
        Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017, and AudioSet's VGGish.
    """
    needed = WINDOW_SAMPLES + (EXAMPLE_FRAMES - 1) * HOP_SAMPLES
    if waveform.shape[-1] < needed:
        raise ValueError(f"VGGish needs {needed} samples (0.975 s), got {waveform.shape[-1]}; use segments of a second")
    windows = waveform[..., :needed].unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES)  # [..., 96, 400]
    spectrum = torch.fft.rfft(windows * torch.hann_window(WINDOW_SAMPLES, device=waveform.device), TRANSFORM_SAMPLES)
    return torch.log(spectrum.abs() @ _mel_bank().to(waveform.device) + LOG_OFFSET)


def hear_segments(network: Vggish, clip: ClipMedia, device: torch.device) -> torch.Tensor:
    """Features float32 [T, 128] of the segments of a clip, at whatever rate its waveform is."""
    sound = resample(clip.waveform, clip.grid.sample_rate, SAMPLE_RATE)
    cuts = audio_segments(len(sound), clip.grid.num_segments)
    pieces = torch.from_numpy(np.stack([sound[start:stop] for start, stop in cuts]))
    return network(log_mel_example(pieces.to(device)))


def whiten(features: np.ndarray, matrix: np.ndarray, means: np.ndarray) -> np.ndarray:
    """AudioSet's post-processing: whitened, clipped to [-2, 2], cut down to whole numbers in 0..255.

    The PyTorch port rounds to the nearest number instead, which is up to one more.

    Args:
        features: float32 [T, 128].
        matrix: float [128, 128], one component per row.
        means: float [128].
    """
    whitened = (features - means) @ matrix.T
    levels = (np.clip(whitened, -_PCA_RANGE, _PCA_RANGE) + _PCA_RANGE) * (255 / (2 * _PCA_RANGE))
    return np.floor(levels).astype(np.float32)


def read_whitening(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(matrix [128, 128], means [128]) of AudioSet's file.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; put AudioSet's whitening parameters beside the weights")
    with np.load(path, allow_pickle=False) as held:
        names = ("pca_eigen_vectors", "pca_means")
        if set(names) - set(held.files) or held[names[0]].shape != (WIDTH, WIDTH) or held[names[1]].size != WIDTH:
            raise ValueError(f"{path}: expected pca_eigen_vectors [{WIDTH}, {WIDTH}] and pca_means [{WIDTH}]")
        return held[names[0]], held[names[1]].reshape(-1)


@lru_cache(maxsize=1)
def _mel_bank() -> torch.Tensor:
    """float32 [257, 64], triangles whose sides are straight in mel (not in Hz)."""
    hz = np.linspace(0.0, SAMPLE_RATE / 2, TRANSFORM_SAMPLES // 2 + 1)
    mel = 1127.0 * np.log(1.0 + hz / 700.0)
    corners = np.linspace(*(1127.0 * np.log(1.0 + edge / 700.0) for edge in (LOWEST_HZ, HIGHEST_HZ)), NUM_BANDS + 2)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (mel[:, None] - left) / (peak - left)
    falling = (right - mel[:, None]) / (right - peak)
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))
