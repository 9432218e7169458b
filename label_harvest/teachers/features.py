"""Feature extractors: frozen networks without prompts, whose answers are input features of a parser.

They follow the `Teacher` protocol and go into the same store, as `<role>.features`; they have no similarity, so no
labels come of them. The weights could not be had where this was written: loading and computation are tested on random
weights, and equality with the published feature files is not claimed.

ResNet-152 and R(2+1)D-18 come through torchvision, on the frame slots of each segment (8 a second). VGGish, 128 numbers
for each second of sound, is built from the published definition; the traps of its ports are:

* The network of AudioSet ends in a linear layer. The usual PyTorch port puts a ReLU after it: another feature
  (`vggish-relu`). AudioSet's released embeddings are whitened and cut to 8 bits on top (`vggish-pca`).
* One example is 0.96 s of sound. Over a whole clip examples of 0.96 s drift away from the seconds; here, as in the
  features of LLP, each segment is cut out first and its first 0.96 s are heard.
* With equal weights the network equals that port to the bit up to the ReLU, and the spectra differ by 6e-6 of 3.1.
* Published files are not regenerable to the bit (other resamplers, other decoders): do not mix them with these.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ..arrays import read_npz
from ..did_you_mean import did_you_mean
from ..media.clip import ClipMedia, audio_segments
from ..media.frames import SLOT_PIXELS
from ..media.resample import resample
from .precision import cast_network, chosen_device
from .published_weights import check_weights
from .teacher import Evidence, stream_of
from .weights import RANDOM, build_random, load_exactly, read_state, state_digest, unreachable

Network = Callable[[torch.Tensor], torch.Tensor]
"""Pictures or spectrograms in, features [B, D] out."""
_BATCH = 40
"""Frames that go through ResNet-152 at once."""


@dataclass(frozen=True, kw_only=True)
class PictureFeatures:
    """One of the two networks: what it is built of and what it is shown."""

    architecture: str
    """Name of the network in torchvision."""
    weights: str
    """Name of its published weights in torchvision."""
    file: str
    """And of their file, which torchvision need not be asked for."""
    resize: int | tuple[int, int]
    """Shorter side, or (height, width), that frames are resized to; bilinear with antialiasing."""
    crop: int
    """Side of the square cut from the middle."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    width: int
    """Length of the feature."""
    moving: bool
    """Whether the network sees the slots of a segment together, rather than one by one."""

    def build(self) -> torch.nn.Module:
        """The network without its classifier, unfilled."""
        import torchvision.models as models

        make: Callable[..., torch.nn.Module] = models.video.r2plus1d_18 if self.moving else models.resnet152
        return make(weights=None)

    def url(self) -> str:
        """Where torchvision has the weights; the name holds the first digits of their sha256."""
        import torchvision.models as models

        kinds = models.video.R2Plus1D_18_Weights if self.moving else models.ResNet152_Weights
        return kinds[self.weights].url

    def prepare(self, slots: np.ndarray) -> torch.Tensor:
        """Frames uint8 [K, H, W, 3] RGB -> float32 [K, 3, crop, crop]."""
        size = self.resize if isinstance(self.resize, tuple) else _by_short_side(slots.shape[1:3], self.resize)
        top, left = (round((side - self.crop) / 2) for side in size)
        images = torch.empty(len(slots), 3, self.crop, self.crop)
        for image, slot in zip(images, slots, strict=True):  # one by one: floats of large frames would fill the memory
            whole = torch.from_numpy(np.ascontiguousarray(slot)[None]).permute(0, 3, 1, 2).float().div_(255.0)
            small = functional.interpolate(whole, size, mode="bilinear", align_corners=False, antialias=True)[0]
            image.copy_(small[:, top : top + self.crop, left : left + self.crop])
        return images.sub_(torch.tensor(self.mean).view(3, 1, 1)).div_(torch.tensor(self.std).view(3, 1, 1))

    def look(self, network: Network, slots: np.ndarray, num_segments: int, device: torch.device) -> torch.Tensor:
        """Features float32 [T, D] of the slots uint8 [T * F, H, W, 3] of a clip; those of frames are averaged."""
        images = self.prepare(slots).to(device)
        if self.moving:
            clips = images.unflatten(0, (num_segments, -1)).transpose(1, 2)  # [T, 3, F, crop, crop]
            return network(clips)
        return torch.cat([network(part) for part in images.split(_BATCH)]).unflatten(0, (num_segments, -1)).mean(1)

    def __str__(self) -> str:
        """What goes into the identity of an extractor."""
        size = self.resize if isinstance(self.resize, int) else "x".join(str(side) for side in self.resize)
        seen = "all slots of a segment together" if self.moving else "mean over the slots of a segment"
        return (
            f"slots above {SLOT_PIXELS} pixels averaged down to these, resize to {size}, bilinear, antialiasing, "
            f"centre {self.crop}x{self.crop}, {seen}"
        )


def _by_short_side(size: tuple[int, ...], short: int) -> tuple[int, int]:
    """(height, width) whose shorter side is `short`."""
    height, width = size
    if height <= width:
        return short, int(short * width / height)
    return int(short * height / width), short


RES152 = PictureFeatures(
    architecture="resnet152",
    weights="IMAGENET1K_V1",
    file="resnet152-394f9c45.pth",
    resize=256,
    crop=224,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    width=2048,
    moving=False,
)
"""The frame features of Look, Listen, and Parse; averaging eight frames is what the parser's stem does anyway."""
R2PLUS1D = PictureFeatures(
    architecture="r2plus1d_18",
    weights="KINETICS400_V1",
    file="r2plus1d_18-91a641e6.pth",
    resize=(128, 171),
    crop=112,
    mean=(0.43216, 0.394666, 0.37645),
    std=(0.22803, 0.22145, 0.216989),
    width=512,
    moving=True,
)
"""The motion features of Look, Listen, and Parse."""
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


def hear_segments(network: Network, clip: ClipMedia, device: torch.device) -> torch.Tensor:
    """Features float32 [T, 128] of the segments of a clip, at whatever rate its waveform is."""
    sound = resample(stream_of(clip, "waveform"), clip.grid.sample_rate, SAMPLE_RATE)
    cuts = audio_segments(len(sound), clip.grid.num_segments)
    pieces = torch.from_numpy(np.stack([sound[start:stop] for start, stop in cuts]))
    return network(log_mel_example(pieces.to(device)))


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


@lru_cache(maxsize=1)
def _mel_bank() -> torch.Tensor:
    """float32 [257, 64], triangles whose sides are straight in mel (not in Hz)."""
    hz = np.linspace(0.0, SAMPLE_RATE / 2, TRANSFORM_SAMPLES // 2 + 1)
    mel = 1127.0 * np.log(1.0 + hz / 700.0)
    lowest, highest = (1127.0 * np.log(1.0 + edge / 700.0) for edge in (LOWEST_HZ, HIGHEST_HZ))
    corners = np.linspace(lowest, highest, NUM_BANDS + 2)
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (mel[:, None] - left) / (peak - left)
    falling = (right - mel[:, None]) / (right - peak)
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))


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
    names = ("pca_eigen_vectors", "pca_means")
    try:
        held = read_npz(path, names)
    except ValueError as error:
        raise ValueError(
            f"{path}: expected AudioSet's whitening parameters, which could not be read ({error})"
        ) from error
    fits = not set(names) - set(held) and held[names[0]].shape == (WIDTH, WIDTH) and held[names[1]].size == WIDTH
    if not fits or not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in held.values()):
        raise ValueError(f"{path}: expected pca_eigen_vectors [{WIDTH}, {WIDTH}] and pca_means [{WIDTH}]")
    return held[names[0]], held[names[1]].reshape(-1)


EXTRACTORS: dict[str, str] = {"res152": "res152", "r2plus1d": "r2plus1d", **dict.fromkeys(VARIANTS, "vggish")}
"""Role of each named extractor, which is also the first part of its array's name in a store."""
_PICTURES = {"res152": RES152, "r2plus1d": R2PLUS1D}
_CLASSIFIER = ("fc.weight", "fc.bias")
"""Tensors of torchvision's files that no feature needs."""


class FeatureExtractor:
    """A frozen network that turns a clip into one row of features per segment."""

    sample_rate = None

    def __init__(
        self, role: str, extract: Callable[[ClipMedia], torch.Tensor | np.ndarray], identity: dict[str, object]
    ) -> None:
        """Keep what is needed.

        Args:
            role: A key of `evidence.NEEDS`.
            extract: Clip to features [T, D].
            identity: Everything that changes the features.
        """
        self.role = role
        self._extract, self._identity = extract, identity

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`; there are no prompts."""
        return dict(self._identity)

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Feature `features` float32 [T, D] of each clip; one clip is a batch large enough for these networks."""
        with torch.inference_mode():
            found = [torch.as_tensor(self._extract(clip)).float().cpu().numpy() for clip in clips]
        return [Evidence({"features": rows}) for rows in found]

    def encode(self, media: ClipMedia) -> Evidence:
        """See `Teacher.encode`."""
        return self.encode_many([media])[0]


def build_extractor(
    name: str, *, checkpoint: str | Path | None = None, pin: str | None = None, precision: str = "float32"
) -> FeatureExtractor:
    """Build a named feature extractor.

    Args:
        name: A key of `EXTRACTORS`.
        checkpoint: None fetches the published weights (or finds them in torch's cache), a path is a local file of
            torchvision's (or of the VGGish conversion), `random` builds seeded random weights.
        pin: sha256 the weights must have, see `check_weights`.
        precision: `float32`, or `bfloat16` for the two picture networks.

    Raises:
        FileNotFoundError: No such checkpoint.
        ValueError: The name is unknown, the checkpoint is of another network, is damaged or is not the pinned one, or
            VGGish is asked for in bfloat16.
        RuntimeError: The weights could not be fetched.
    """
    if name not in EXTRACTORS:
        raise ValueError(
            f"features must be among {', '.join(EXTRACTORS)}, got {name!r}{did_you_mean(name, EXTRACTORS)}"
        )
    if name in _PICTURES:
        return _picture_extractor(name, _PICTURES[name], checkpoint, pin, precision)
    if precision != "float32":
        raise ValueError(f"{name} computes in float32, got {precision}; it takes no time worth saving")
    return _vggish_extractor(name, checkpoint, pin)


def _picture_extractor(
    name: str, kind: PictureFeatures, checkpoint: str | Path | None, pin: str | None, precision: str
) -> FeatureExtractor:
    """ResNet-152 or R(2+1)D-18."""

    def build() -> torch.nn.Module:
        network = kind.build()
        network.fc = torch.nn.Identity()
        return network

    network, weights = _load(name, build, kind.url(), checkpoint, pin)
    device = chosen_device()
    network = cast_network(network, precision).to(device)

    def extract(clip: ClipMedia) -> torch.Tensor:
        def cast(images: torch.Tensor) -> torch.Tensor:
            return network(images.bfloat16() if precision == "bfloat16" else images)

        return kind.look(cast, stream_of(clip, "slots"), clip.grid.num_segments, device)

    identity: dict[str, object] = {
        "teacher": name,
        "architecture": f"torchvision {kind.architecture}",
        "weights": weights,
        "precision": precision,
        "preprocessing": str(kind),
    }
    return FeatureExtractor(name, extract, identity)


def _vggish_extractor(name: str, checkpoint: str | Path | None, pin: str | None) -> FeatureExtractor:
    """One of the three variants of VGGish."""
    network, weights = _load(name, Vggish, URL, checkpoint, pin)
    device = chosen_device()
    network = network.to(device)
    whitening = None
    if name == "vggish-pca":
        folder = Path(checkpoint).parent if checkpoint not in (None, RANDOM) else _cache()
        whitening = read_whitening(folder / PCA_FILE)

    def extract(clip: ClipMedia) -> torch.Tensor | np.ndarray:
        features = hear_segments(network, clip, device)
        if whitening is not None:
            return whiten(features.cpu().numpy(), *whitening)
        return features.relu() if name == "vggish-relu" else features

    identity: dict[str, object] = {
        "teacher": name,
        "architecture": "VGGish",
        "weights": weights,
        "precision": "float32",
        "preprocessing": "16 kHz, 0.96 s from the start of each segment",
    }
    return FeatureExtractor("vggish", extract, identity)


def _load(
    name: str, build: Callable[[], torch.nn.Module], url: str, checkpoint: str | Path | None, pin: str | None
) -> tuple[torch.nn.Module, str]:
    """(network, sha256 of its weights or `random`), frozen."""
    if checkpoint == RANDOM:
        return build_random(build, name).eval().requires_grad_(False), RANDOM
    path = Path(checkpoint) if checkpoint is not None else _fetch(name, url)
    state = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in read_state(path).items()
        if key not in _CLASSIFIER
    }
    network = build()
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    load_exactly(network, counters | state, str(path))  # older files lack the counters
    weights = state_digest(state)
    check_weights(
        path,
        weights,
        teacher=name,
        role=EXTRACTORS[name],
        pin=pin,
        known=_named_digest(path.name),
        fetched=checkpoint is None,
    )
    return network.eval().requires_grad_(False), weights


def _named_digest(file: str) -> str | None:
    """The first digits of the sha256 of a published file, which its name holds."""
    named = re.search(r"-([0-9a-f]{8})\.pth$", file)
    return named.group(1) if named else None


def weights_file(name: str) -> Path:
    """Where the weights of an extractor are looked for when none are given, whether they are there or not.

    Args:
        name: A key of `EXTRACTORS`.
    """
    return _cache() / (_PICTURES[name].file if name in _PICTURES else URL.rpartition("/")[2])


def _cache() -> Path:
    """Where torch keeps what it fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _fetch(name: str, url: str) -> Path:
    """The published file, fetched once into torch's cache."""
    path = _cache() / url.rpartition("/")[2]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_named_digest(path.name), progress=False)
    except Exception as error:  # network and file errors share no base class
        raise unreachable(name, url, error) from error
    return path
