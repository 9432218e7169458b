"""The networks of the tiny teachers: a text tower for any prompt, a tower for frames, one for sound, and both fused.

They have the face of CLIP and CLAP: a caption and a frame (or a second of sound) become unit vectors of one space, and
`logit_scale * cosine + logit_bias` says how well they fit. Their size is that of a demo: they train in minutes on one
core and read more than a thousand frames a second.
"""

import re
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

SAMPLE_RATE = 32000
"""Samples per second of the sound the audio tower was made for; a segment is one second."""
FRAME_HEIGHT, FRAME_WIDTH = 48, 64
"""Frames are averaged down to this size."""
MEL_BANDS, MEL_STEPS = 48, 64
"""A second of sound is a picture of this many frequency bands and time steps."""
FFT_SIZE, HOP = 1024, 500
"""Window and step of the spectrogram in samples."""
BUCKETS = 4096
"""Words and letter groups are hashed into this many entries."""
CHANNELS = (24, 48, 80, 128)
"""Channels of the four convolutions of a tower; each of the first three halves the picture."""
FEATURE_WIDTH = 128
"""Width of a tower's feature, the vector a parser learns from."""
EMBEDDING_WIDTH = 96
"""Width of the space that captions share with frames and sounds."""


def tokens(prompt: str) -> list[int]:
    """Hash the words of a prompt and their groups of three and four letters into [0, BUCKETS).

    No word is unknown: a new one ("barks") shares its letter groups with a known one ("barking").
    """
    pieces = []
    for word in re.findall(r"[a-z0-9]+", prompt.lower()) or ["nothing"]:
        marked = f"<{word}>"
        groups = [marked[start : start + size] for size in (3, 4) for start in range(len(marked) - size + 1)]
        pieces += [marked, marked, *groups]
    return [zlib.crc32(piece.encode()) % BUCKETS for piece in pieces]


class TinyTextTower(nn.Module):
    """Prompts -> unit vectors: a weighted mean of hashed words and letter groups through a two-layer perceptron.

    Each entry learns a vector and how much it matters. Entries start small, so a word never met says next to nothing.
    """

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, 64, mode="sum")
        self.importance = nn.Embedding(BUCKETS, 1)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.zeros_(self.importance.weight)
        self.layers = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, EMBEDDING_WIDTH))

    def forward(self, prompts: Sequence[str]) -> Tensor:
        """Encode C prompts: float32 [C, EMBEDDING_WIDTH], rows of length 1."""
        bags = [tokens(prompt) for prompt in prompts]
        lengths = torch.tensor([len(bag) for bag in bags])
        entries = torch.tensor([index for bag in bags for index in bag])
        weight = self.importance(entries).squeeze(1).exp()  # [all tokens]
        pooled = self.table(entries, lengths.cumsum(0) - lengths, per_sample_weights=weight)  # [C, 64]
        total = torch.zeros(len(bags)).index_add(0, torch.arange(len(bags)).repeat_interleave(lengths), weight)
        return functional.normalize(self.layers(pooled / total[:, None]), dim=-1)


class Trunk(nn.Module):
    """A small convolutional network over a picture of 48 x 64: [B, channels, 48, 64] -> [B, Trunk.WIDTH]."""

    WIDTH = 2 * CHANNELS[-1]
    """Width of what comes out: the mean and the largest response of each channel."""

    def __init__(self, channels: int) -> None:
        """Build it for pictures of `channels` channels."""
        super().__init__()
        widths = (channels, *CHANNELS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(widths[step], widths[step + 1], 3, 2 if step < 3 else 1, 1, bias=True) for step in range(4)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in CHANNELS)

    def forward(self, picture: Tensor) -> Tensor:
        """Pool what the last convolution sees over the picture."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            picture = functional.relu(norm(convolution(picture)))
        return torch.cat([picture.mean(dim=(2, 3)), picture.amax(dim=(2, 3))], dim=1)

    def fold_norms(self) -> None:
        """Fold the batch norms into the convolutions."""
        for step, norm in enumerate(self.norms):
            if isinstance(norm, nn.BatchNorm2d):
                self.convolutions[step] = fuse_conv_bn_eval(self.convolutions[step], norm)
                self.norms[step] = nn.Identity()


class Head(nn.Module):
    """Pooled responses -> the feature (zero mean, unit variance), and from it the unit embedding."""

    def __init__(self, width: int) -> None:
        """Build it for trunks that together give `width` numbers."""
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, 192), nn.GELU(), nn.Linear(192, FEATURE_WIDTH))
        self.norm = nn.LayerNorm(FEATURE_WIDTH)
        self.projection = nn.Linear(FEATURE_WIDTH, EMBEDDING_WIDTH)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Give (feature [B, FEATURE_WIDTH], embedding [B, EMBEDDING_WIDTH])."""
        feature = self.norm(self.inner(pooled))
        return feature, functional.normalize(self.projection(feature), dim=-1)


class TinyNetwork(nn.Module):
    """A contrastive pair of towers; the role says which streams its trunks see."""

    STREAMS = {"visual": ("visual",), "audio": ("audio",), "fused": ("visual", "audio")}
    """Streams of each role, in the order of their trunks."""

    def __init__(self, role: str) -> None:
        """Build it with random weights.

        Raises:
            ValueError: The role is none of visual, audio and fused.
        """
        super().__init__()
        if role not in self.STREAMS:
            raise ValueError(f"role must be one of {', '.join(self.STREAMS)}, got {role!r}")
        self.role = role
        self.text = TinyTextTower()
        self.trunks = nn.ModuleDict({name: Trunk(3 if name == "visual" else 1) for name in self.STREAMS[role]})
        self.head = Head(Trunk.WIDTH * len(self.trunks))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def forward(self, streams: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give (feature, embedding) of B segments; `streams` maps a stream to its pictures [B, channels, 48, 64]."""
        return self.head(torch.cat([trunk(streams[name]) for name, trunk in self.trunks.items()], dim=1))

    def fold_norms(self) -> "TinyNetwork":
        """Switch to eval mode and fold the batch norms away: the same answers, faster, and fewer weights to ship."""
        self.eval()
        for trunk in self.trunks.values():
            trunk.fold_norms()
        return self

    def logits(self, cosine: Tensor) -> Tensor:
        """Turn cosines into logits with the learned scale and bias."""
        return self.log_scale.exp() * cosine + self.bias


def shrink_frames(frames: Tensor) -> Tensor:
    """Average frames uint8 [B, H, W, 3] down to float32 [B, 3, 48, 64] in [0, 255]."""
    pictures = frames.permute(0, 3, 1, 2).float()
    return functional.adaptive_avg_pool2d(pictures, (FRAME_HEIGHT, FRAME_WIDTH))


def frame_pictures(shrunk: Tensor) -> Tensor:
    """Bring shrunk frames [B, 3, 48, 64] from [0, 255] to about [-2, 2]."""
    return (shrunk - 127.5) / 64


def mel_filters() -> Tensor:
    """Triangles that sum the bins of a spectrum into mel bands: float32 [FFT_SIZE / 2 + 1, MEL_BANDS]."""
    mel = np.linspace(*(2595 * np.log10(1 + np.array([50.0, 14500.0]) / 700)), MEL_BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.fft.rfftfreq(FFT_SIZE, 1 / SAMPLE_RATE)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    return torch.tensor(triangles / triangles.sum(axis=0), dtype=torch.float32)


def sound_pictures(waveforms: Tensor) -> Tensor:
    """Turn seconds of sound float32 [B, SAMPLE_RATE] into log-mel pictures float32 [B, 1, 48, 64], about in [-2, 2]."""
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(waveforms, FFT_SIZE, HOP, window=window, center=True, return_complex=True)
    power = torch.view_as_real(spectrum[:, :, :MEL_STEPS]).square().sum(dim=-1)  # [B, bins, steps]
    mel = torch.einsum("bft,fm->bmt", power, mel_filters())
    return ((mel + 1e-5).log10().unsqueeze(1) + 1.5) / 1.5
