"""Golden vectors of audio-visual systems: read, put into our networks by a map of names, and compared."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

TOLERANCE = 1e-9
"""Of double precision, relative to the largest value."""

NOISE = 1e-5
"""Share of the largest gradient below which one may be rounding alone, as of key biases, whose true one is zero."""

Source = str | tuple[Callable[..., Tensor], *tuple[str, ...]]
"""What one of our parameters is made of: a published name, or a function of some."""
Names = dict[str, Source]
"""By our name."""

SETS = ("golden_systems", "golden_systems_heldout")
"""Folders of vectors; the second has other sizes and options."""


def read(shared: Path, folder: str, name: str) -> dict[str, Tensor]:
    """One file, arrays as tensors; skips where it is absent."""
    path = shared / folder / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"no golden vectors at {path}")
    with np.load(path, allow_pickle=False) as archive:
        return {key: torch.from_numpy(np.asarray(archive[key])) for key in archive.files}


def below(held: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """What stands below a prefix."""
    return {key.removeprefix(f"{prefix}/"): value for key, value in held.items() if key.startswith(f"{prefix}/")}


def config(held: Mapping[str, Tensor], prefix: str = "config") -> dict[str, int]:
    return {name: int(value) for name, value in below(held, prefix).items() if value.ndim == 0}


def cases(held: Mapping[str, Tensor], group: str) -> list[str]:
    """Cases that have a group of arrays."""
    return sorted({key.split("/")[0] for key in held if f"/{group}/" in key and not key.startswith(f"{group}/")})


def inputs(held: Mapping[str, Tensor], *names: str, prefix: str = "input") -> list[Tensor]:
    """Leaf tensors that gradients can be taken of."""
    return [held[f"{prefix}/{name}"].clone().requires_grad_() for name in names]


def difference(got: Tensor, expected: Tensor) -> float:
    """The largest, relative to the largest expected value."""
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float((got.detach() - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def assert_equal(
    got: Mapping[str, Tensor | float], expected: Mapping[str, Tensor], tolerance: float = TOLERANCE
) -> None:
    """What was computed equals what was published, name by name, and nothing is missing."""
    assert got.keys() == expected.keys(), (sorted(got), sorted(expected))
    apart = {name: difference(got[name], expected[name]) for name in expected}
    assert not {name: value for name, value in apart.items() if not value <= tolerance}


def of(source: Source, published: Mapping[str, Tensor]) -> Tensor | None:
    """A parameter, or its gradient, in our form; None where none of its parts is there."""
    make, *names = (lambda x: x, source) if isinstance(source, str) else source
    there = [name in published for name in names]
    assert all(there) or not any(there), names
    return make(*(published[name] for name in names)) if all(there) else None


def load(network: nn.Module, names: Names, published: Mapping[str, Tensor], *, unused: Iterable[str] = ()) -> None:
    """Put published parameters in; every one has its place, but for those that are known to be unused."""
    network.double()
    own = network.state_dict()
    named = [name for source in names.values() for name in ([source] if isinstance(source, str) else source[1:])]
    assert sorted(names) == sorted(key for key in own if not key.endswith("num_batches_tracked"))
    assert set(published) == {*named, *unused}, set(published) ^ {*named, *unused}
    state = {}
    for ours, source in names.items():
        value = of(source, published)
        assert value is not None, ours
        state[ours] = value.reshape(own[ours].shape)
    network.load_state_dict(state, strict=False)


def assert_gradients(network: nn.Module, names: Names, published: Mapping[str, Tensor], tolerance: float = TOLERANCE):
    """Gradients of all parameters equal the published ones; what has none there has none here."""
    got, expected = {}, {}
    for ours, parameter in network.named_parameters():
        grad = of(names[ours], published)
        if grad is None:
            assert parameter.grad is None or not parameter.grad.any(), ours
            continue
        found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        got[ours], expected[ours] = found, grad.reshape(parameter.shape)
    floor = NOISE * max(value.abs().max() for value in expected.values())
    apart = {
        name: float((got[name] - expected[name]).abs().max() / expected[name].abs().max().clamp_min(floor))
        for name in expected
    }
    assert not {name: value for name, value in apart.items() if not value <= tolerance}


def joined(*parts: Tensor) -> Tensor:
    return torch.cat([part.reshape(-1, part.shape[-1]) if part.ndim > 1 else part for part in parts])


def both(ours: str, theirs: str) -> Names:
    """Weight and bias of a layer or norm."""
    return {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}


def timm_block(ours: str, theirs: str, *, qkv_bias: bool = True) -> Names:
    names: Names = {f"{ours}.attention.in_weight": f"{theirs}.attn.qkv.weight"}
    if qkv_bias:
        names[f"{ours}.attention.in_bias"] = f"{theirs}.attn.qkv.bias"
    pairs = {
        "attention.out_projection": "attn.proj",
        "attention_norm": "norm1",
        "feedforward_norm": "norm2",
        "widen": "mlp.fc1",
        "narrow": "mlp.fc2",
    }
    for our, their in pairs.items():
        names |= both(f"{ours}.{our}", f"{theirs}.{their}")
    return names


def torch_attention(ours: str, theirs: str) -> Names:
    """Of torch.nn.MultiheadAttention."""
    packed = {f"{ours}.in_{kind}": f"{theirs}.in_proj_{kind}" for kind in ("weight", "bias")}
    return {**packed, **both(f"{ours}.out_projection", f"{theirs}.out_proj")}


def torch_layer(ours: str, theirs: str) -> Names:
    """Of torch.nn.TransformerEncoderLayer."""
    names = torch_attention(f"{ours}.attention", f"{theirs}.self_attn")
    pairs = {"widen": "linear1", "narrow": "linear2", "attention_norm": "norm1", "feedforward_norm": "norm2"}
    for our, their in pairs.items():
        names |= both(f"{ours}.{our}", f"{theirs}.{their}")
    return names


def flax_block(ours: str, theirs: str) -> Names:
    """Of scenic's encoder blocks: kernels [in, out], of attention [in, heads, out] and [heads, in, out]."""
    attention = f"{theirs}/MultiHeadDotProductAttention_0"
    qkv = ("query", "key", "value")
    names: Names = {
        f"{ours}.attention.in_weight": (
            lambda *kernels: torch.cat([kernel.flatten(1).T for kernel in kernels]),
            *(f"{attention}/{part}/kernel" for part in qkv),
        ),
        f"{ours}.attention.in_bias": (
            lambda *biases: torch.cat([bias.flatten() for bias in biases]),
            *(f"{attention}/{part}/bias" for part in qkv),
        ),
        f"{ours}.attention.out_projection.weight": (lambda kernel: kernel.flatten(0, 1).T, f"{attention}/out/kernel"),
        f"{ours}.attention.out_projection.bias": f"{attention}/out/bias",
    }
    for our, number in (("attention_norm", 0), ("feedforward_norm", 1)):
        names[f"{ours}.{our}.weight"] = f"{theirs}/LayerNorm_{number}/scale"
        names[f"{ours}.{our}.bias"] = f"{theirs}/LayerNorm_{number}/bias"
    for our, number in (("widen", 0), ("narrow", 1)):
        names[f"{ours}.{our}.weight"] = (lambda kernel: kernel.T, f"{theirs}/MlpBlock_0/Dense_{number}/kernel")
        names[f"{ours}.{our}.bias"] = f"{theirs}/MlpBlock_0/Dense_{number}/bias"
    return names
