"""Feature extractors: frozen networks without prompts, whose answers are input features of a parser.

They follow the `Teacher` protocol and go into the same store, as `<role>.features`; they have no similarity, so no
labels come of them. The weights could not be had where this was written: loading and computation are tested on random
weights, and equality with the published feature files is not claimed.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from .checkpoints import RANDOM, build_random, check_weights, load_exactly, read_state, state_digest, unreachable
from .clip_media import ClipMedia
from .evidence import Evidence
from .picture_features import R2PLUS1D, RES152, PictureFeatures
from .precision import cast_network, chosen_device
from .vggish import PCA_FILE, URL, VARIANTS, Vggish, hear_segments, read_whitening, whiten

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
        raise ValueError(f"features must be among {', '.join(EXTRACTORS)}, got {name!r}")
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

        return kind.look(cast, clip.slots, clip.grid.num_segments, device)

    identity = {
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

    identity = {
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
    state = {key: _widened(tensor) for key, tensor in read_state(path).items() if key not in _CLASSIFIER}
    network = build()
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
    load_exactly(network, counters | state, str(path))  # older files lack the counters
    weights = state_digest(state)
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    known, whose = named.group(1) if named else None, {"teacher": name, "role": EXTRACTORS[name]}
    check_weights(path, weights, **whose, pin=pin, known=known, fetched=checkpoint is None)
    return network.eval().requires_grad_(False), weights


def _widened(tensor: torch.Tensor) -> torch.Tensor:
    """float32 of any float."""
    return tensor.float() if tensor.is_floating_point() else tensor


def weights_file(name: str) -> Path:
    """Where the weights of an extractor are looked for when none are given, whether they are there or not.

    Args:
        name: A key of `EXTRACTORS`.
    """
    url = _PICTURES[name].url() if name in _PICTURES else URL
    return _cache() / url.rpartition("/")[2]


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
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except Exception as error:  # network and file errors share no base class
        raise unreachable(name, url, error) from error
    return path
