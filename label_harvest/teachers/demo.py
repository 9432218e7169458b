"""The tiny teachers of the demo world: small contrastive networks behind the same face as CLIP and CLAP.

A caption and a frame (or a second of sound, or both) become unit vectors of one space, and `logit_scale * cosine +
logit_bias` says how well they fit. Their size is that of a demo: they train in minutes on one core and read more than a
thousand frames a second.
"""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..did_you_mean import did_you_mean
from ..disk import file_sha256
from ..media.clip import ClipMedia, audio_segments
from .teacher import Evidence, unit_rows
from .weights import RANDOM, build_random, read_state

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
                convolution = self.convolutions[step]
                assert isinstance(convolution, nn.Conv2d)
                self.convolutions[step] = fuse_conv_bn_eval(convolution, norm)
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
            meant = did_you_mean(role, self.STREAMS)
            raise ValueError(f"role must be one of {', '.join(self.STREAMS)}, got {role!r}{meant}")
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
            assert isinstance(trunk, Trunk)
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
    return (shrunk - 127.5) / 64  # the middle of 0..255, and a quarter of its width


def mel_filters() -> Tensor:
    """Triangles that sum the bins of a spectrum into mel bands: float32 [FFT_SIZE / 2 + 1, MEL_BANDS].

    The mel scale is HTK's: 2595 * log10(1 + hertz / 700).
    """
    lowest, highest = 2595 * np.log10(1 + np.array([50.0, 14500.0]) / 700)  # the band in Hz, well below SAMPLE_RATE / 2
    mel = np.linspace(lowest, highest, MEL_BANDS + 2)
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


WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where the shipped weights lie, one `demo_<role>.safetensors` per role."""
BATCH = 128
"""Segments that go through a network at once."""


class TinyTeacher:
    """A frozen tiny network that scores the segments of a clip against one prompt per class.

    The visual one looks at one frame per segment, the audio one listens to the segment's second, and the fused one does
    both and says in one number whether the class is there at all, seen or heard.
    """

    def __init__(self, network: TinyNetwork, prompts: Sequence[str], weights: str) -> None:
        """Freeze a network and encode its prompts once.

        Args:
            network: Trained or random, its batch norms folded away.
            prompts: One caption per class, in class order; any words will do.
            weights: The sha256 of the weight file, or `random`.
        """
        self.network: TinyNetwork = network.requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.prompts = tuple(prompts)
        self.weights = weights
        with torch.inference_mode():
            self.text = network.text(self.prompts)  # [C, D]

    @property
    def role(self) -> str:
        """`visual`, `audio` or `fused`."""
        return self.network.role

    @property
    def sample_rate(self) -> int | None:
        """Samples per second the waveform must have, None for the visual teacher."""
        return SAMPLE_RATE if "audio" in self.network.trunks else None

    def identity(self) -> dict[str, object]:
        """Everything that changes the evidence, as JSON values."""
        return {
            "teacher": f"demo-{self.role}",
            "weights": self.weights,
            "prompts": list(self.prompts),
            "logit_scale": float(self.network.log_scale.exp()),
            "logit_bias": float(self.network.bias),
            "precision": "float32",
        }

    def encode(self, media: ClipMedia) -> Evidence:
        """Score one clip."""
        return self.encode_many([media])[0]

    of_whole_clips = ()

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        """See `SegmentTeacher.encode_segments`."""
        return self.encode(clip).features

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        """See `SegmentTeacher.encode_wholes`; there are none."""
        return [{} for _ in clips]

    @torch.inference_mode()
    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Other captions than those of the classes, float32 [P, D] of length 1."""
        return np.asarray(self.network.text(list(captions)).numpy())

    @property
    def caption_embeddings(self) -> np.ndarray:
        """See `SearchedTeacher.caption_embeddings`."""
        return self.text.numpy()

    @torch.inference_mode()
    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """See `SearchedTeacher.among_captions`: what is kept is projected as `Head` does it."""
        return unit_rows(self.network.head.projection(torch.from_numpy(np.asarray(embedding, np.float32))).numpy())

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Score clips together.

        Args:
            clips: Each with the streams the role needs; their segment counts may differ.

        Returns:
            One `Evidence` per clip: the feature `embedding` float32 [T, 128] (zero mean, unit variance, what the unit
            embedding is projected from) and the cosines to the prompts float32 [T, C].

        Raises:
            ValueError: A clip lacks a stream the role needs, or its sound has another sample rate or segment length.
        """
        if not clips:
            return []
        streams = {}
        if "visual" in self.network.trunks:
            streams["visual"] = torch.cat([shrink_frames(torch.from_numpy(_frames(clip))) for clip in clips])
        if "audio" in self.network.trunks:
            streams["audio"] = torch.cat([torch.from_numpy(_seconds(clip)) for clip in clips])
        feature, cosine = self._encode_segments(streams)
        ends = np.cumsum([clip.grid.num_segments for clip in clips])[:-1]
        return [
            Evidence({"embedding": rows}, cosines)
            for rows, cosines in zip(np.split(feature, ends), np.split(cosine, ends), strict=True)
        ]

    @torch.inference_mode()
    def _encode_segments(self, streams: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Give (feature [N, 128], cosine [N, C]) of N segments; streams hold shrunk frames and seconds of sound."""
        features, cosines = [], []
        for start in range(0, len(next(iter(streams.values()))), BATCH):
            pictures = {}
            for name, rows in streams.items():
                make = frame_pictures if name == "visual" else sound_pictures
                picture = make(rows[start : start + BATCH])
                pictures[name] = picture.contiguous(memory_format=torch.channels_last)
            feature, embedding = self.network(pictures)
            features.append(feature)
            cosines.append((embedding @ self.text.T).clamp(-1, 1))
        return torch.cat(features).numpy(), torch.cat(cosines).numpy()


def _frames(clip: ClipMedia) -> np.ndarray:
    """The frames of a clip, uint8 [T, H, W, 3]."""
    if clip.frames is None:
        raise ValueError(f"a demo teacher that looks needs frames, got a clip without ({clip.status}); leave it out")
    return clip.frames


def _seconds(clip: ClipMedia) -> np.ndarray:
    """The sound of a clip cut into segments, float32 [T, SAMPLE_RATE]."""
    if clip.waveform is None:
        raise ValueError(f"a demo teacher that listens needs sound, got a clip without ({clip.status}); leave it out")
    pieces = audio_segments(len(clip.waveform), clip.grid.num_segments)
    if clip.grid.sample_rate != SAMPLE_RATE or pieces[0, 1] - pieces[0, 0] != SAMPLE_RATE:
        raise ValueError(
            f"the demo teachers listen to segments of 1 s at {SAMPLE_RATE} Hz, got {clip.grid.segment_seconds} s at "
            f"{clip.grid.sample_rate} Hz; take such segments, or another teacher"
        )
    return np.stack([clip.waveform[start:stop] for start, stop in pieces])


def build_tiny(role: str, prompts: Sequence[str], checkpoint: str | Path | None = None) -> TinyTeacher:
    """Build a tiny teacher.

    Args:
        role: visual, audio or fused.
        prompts: One caption per class, in class order.
        checkpoint: A weight file, `random` for seeded random weights, or None for the weights shipped with the project.

    Raises:
        ValueError: The role is unknown, or the file does not hold the weights of this role.
        FileNotFoundError: There is no such file.
    """
    if str(checkpoint) == RANDOM:
        network = build_random(lambda: TinyNetwork(role).fold_norms(), f"demo-{role}")
        return TinyTeacher(network, prompts, RANDOM)
    network = TinyNetwork(role).fold_norms()
    path = WEIGHTS / f"demo_{role}.safetensors" if checkpoint is None else Path(checkpoint)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such weight file; python -m valor.demo.teachers.train_teachers makes the demo's"
        )
    weights = {name: tensor.float() for name, tensor in read_state(path).items()}
    wanted, held = dict(network.state_dict()), set(weights)
    wrong = [name for name in wanted if name not in held or wanted[name].shape != weights[name].shape]
    if wrong or held - set(wanted):
        raise ValueError(
            f"{path}: expected the weights of the {role} demo teacher, but {len(wrong)} tensors are missing or of "
            f"another shape and {len(held - set(wanted))} unknown; give a file made for this role"
        )
    network.load_state_dict(weights)
    return TinyTeacher(network, prompts, file_sha256(path))
