"""The deterministic tensors of the golden set (GOLDEN.md, "Deterministic tensors"), vectorised; shared by tests."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from valor.parsers.hybrid import MODALITIES
from valor.parsers.published import published_name

WEIGHT_SEED, BATCH_SEED, TRAJECTORY_SEED, PROBE_SEED = 20241, 20242, 20243, 20240
_FEATURES = {
    "vggish": ((10, 128), -1.0, 1.0),
    "res152": ((80, 2048), 0.0, 2.0),
    "r2plus1d": ((10, 512), 0.0, 2.0),
    "clap": ((64, 768), -1.0, 1.0),
    "clip": ((10, 768), -0.0625, 0.0625),
}
_CLASSES = 25


def uniform(seed: int, name: str, shape: tuple[int, ...], lo: float = 0.0, hi: float = 1.0) -> np.ndarray:
    """float64 of the given shape in [lo, hi), named values of a counter-based generator."""
    start = _mix(np.array([seed ^ _fnv1a64(name)], dtype=np.uint64))
    count = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64)
    bits = _mix(start + count * np.uint64(0x9E3779B97F4A7C15))
    return (lo + (hi - lo) * ((bits >> np.uint64(11)) * 2.0**-53)).reshape(shape)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _fnv1a64(name: str) -> int:
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def feature(seed: int, kind: str, tag: str, batch: int) -> Tensor:
    """float32 [B, ...] raw features of one published kind."""
    shape, lo, hi = _FEATURES[kind]
    return torch.from_numpy(uniform(seed, f"in:{kind}:{tag}", (batch, *shape), lo, hi).astype(np.float32))


def labels(seed: int, tag: str, batch: int) -> tuple[Tensor, Tensor]:
    """Weak labels bool [B, C] and pseudo labels bool [B, T, M, C]."""
    weak = uniform(seed, f"lab:{tag}", (batch, _CLASSES)) < 0.08
    rows = np.arange(batch)
    weak[rows, (7 * rows + 3) % _CLASSES] = True
    drawn = [uniform(seed, f"pl:{modality[0]}:{tag}", (batch, 10, _CLASSES)) < 0.6 for modality in MODALITIES]
    return torch.from_numpy(weak), torch.from_numpy(np.stack(drawn, axis=2) & weak[:, None, None])


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int = WEIGHT_SEED) -> dict[str, Tensor]:
    """float32 weights for parameters given by our names, drawn under their published names."""
    return {name: torch.from_numpy(_weight(published_name(name), shape, seed)) for name, shape in shapes.items()}


AVE_WEIGHT_SEED, AVE_BATCH_SEED = 20270, 20271
"""Of the golden set of AVE and UnAV-100."""


def published_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = AVE_WEIGHT_SEED) -> dict[str, Tensor]:
    """float32 weights for parameters under their published names."""
    return {name: torch.from_numpy(_weight(name, shape, seed)) for name, shape in shapes.items()}


def localiser_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = AVE_WEIGHT_SEED) -> dict[str, Tensor]:
    """The same of UnAV-100's network, whose scalars, scales and norms of channels are drawn by their shape."""
    found = published_weights(shapes, seed)
    for name, shape in shapes.items():
        lo, hi = -0.1, 0.1
        if shape == () or name.endswith("weight"):
            lo, hi = 0.8, 1.2
        elif name.endswith("scale"):
            lo, hi = 0.5, 1.0
        if shape == () or (len(shape) == 3 and shape[0] == shape[2] == 1):
            found[name] = torch.from_numpy(uniform(seed, f"w:{name}", shape, lo, hi).astype(np.float32))
    return found


def ave_input(kind: str, tag: str, shape: tuple[int, ...], lo: float, hi: float) -> Tensor:
    """float32 features of the golden set of AVE and UnAV-100."""
    return torch.from_numpy(uniform(AVE_BATCH_SEED, f"in:{kind}:{tag}", shape, lo, hi).astype(np.float32))


def gradient_difference(found: Mapping[str, Tensor], stored: Mapping, told: Mapping, seed: int = PROBE_SEED) -> float:
    """The largest difference of gradients, by published names, from what is stored of them.

    Args:
        found: Gradients.
        stored: Whole gradients of small parameters, by name.
        told: l2, sum, absmax and dot_probe of each, or None for a parameter without.
        seed: Of the probe.
    """
    differences = [np.abs(found[name].numpy() - held).max() for name, held in stored.items()]
    for name, facts in told.items():
        if facts is None:
            continue
        grad = found[name]
        probe = torch.from_numpy(uniform(seed, f"probe:{name}", tuple(grad.shape), -1, 1).astype(np.float32))
        own = {"l2": grad.norm(), "sum": grad.sum(), "absmax": grad.abs().max(), "dot_probe": (grad * probe).sum()}
        differences += [abs(value.item() - facts[key]) for key, value in own.items()]
    return float(max(differences))


def _weight(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    if len(shape) >= 2:
        lo, hi = -1 / np.sqrt(np.prod(shape[1:])), 1 / np.sqrt(np.prod(shape[1:]))
    elif "norm" in name and name.endswith("weight"):
        lo, hi = 0.8, 1.2
    else:
        lo, hi = -0.1, 0.1
    return uniform(seed, f"w:{name}", shape, lo, hi).astype(np.float32)
