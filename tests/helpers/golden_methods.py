"""The golden vectors of the later methods (GOLDEN_METHODS.md): arrays, weights by recipe, figures of a gradient."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from valor.data.clips import Batch
from valor.parsers.folding import fold_clap_map, fold_frames, lay_clap_map, lay_frames
from valor.parsers.published import PublishedNames, published_name

from .golden_recipe import uniform

SEGMENTS = 10
LARGE = 600_000
"""Parameters of more numbers are compared by their norms alone: drawing their probes is most of a test's time."""
_FEATURES = {
    "vggish": ((10, 128), -1.0, 1.0),
    "res152": ((80, 2048), 0.0, 2.0),
    "r2plus1d": ((10, 512), 0.0, 2.0),
    "clapmap": ((64, 768), -1.0, 1.0),
    "clip": ((10, 768), -0.0625, 0.0625),
    "clap": ((10, 512), -0.0625, 0.0625),
}
_BRINGS = {
    "folded": {"clapmap": fold_clap_map, "res152": lambda frames: fold_frames(frames, SEGMENTS)},
    "laid": {"clapmap": lay_clap_map, "res152": lambda frames: lay_frames(frames, SEGMENTS)},
}

UWAV_NAMES = PublishedNames(
    {
        "fc_prob": "classifier",
        "fc_frame_att.layers.0": "pooling.temporal_attention",
        "fc_av_att.layers.0": "pooling.modality_attention",
        "fc_a.layers.0": "stem.audio.layers.0",
        "fc_a.layers.1": "stem.audio.layers.1",
        "fc_fusion.layers.0": "stem.fusion.layers.0",
    }
)
"""Of UWAV's network as published, for `published_name`; `from_published` reads its state dicts by themselves."""


class Golden:
    """One file of the set."""

    def __init__(self, shared: Path, name: str) -> None:
        path = shared / "golden_methods" / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        with np.load(path) as held:
            self.arrays = {key: held[key] for key in held.files}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """An array as a tensor; 0/1 arrays as bool unless a type is given."""
        found = torch.from_numpy(np.array(self.arrays[name]))
        if dtype is None and found.dtype == torch.uint8:
            return found.bool()
        return found if dtype is None else found.to(dtype)

    def both(self, name: str, dtype: torch.dtype | None = None, axis: int = 2) -> Tensor:
        """Arrays of audio and visual, stacked along the modality axis."""
        return torch.stack([self.tensor(f"{name}_{modality}", dtype) for modality in "av"], dim=axis)

    def figures(self, name: str, key: str = "param_names", prefix: str = "") -> dict[str, float]:
        """A vector of one figure for each parameter, by published name."""
        names = [held.decode() for held in self.arrays[prefix + key]]
        return dict(zip(names, self.arrays[name].tolist(), strict=True))

    def feature(self, kind: str, tag: str, batch: int, dtype: torch.dtype, *, how: str = "folded") -> Tensor:
        """Features of the recipe, folded to segments or laid into them."""
        shape, lo, hi = _FEATURES[kind]
        drawn = uniform(int(self.arrays["seed_inputs"]), f"in:{kind}:{tag}", (batch, *shape), lo, hi)
        found = torch.from_numpy(drawn.astype(np.float32)).to(dtype)
        bring = _BRINGS[how].get(kind)
        return found if bring is None else bring(found)

    def fill(self, module: nn.Module, names: PublishedNames, prefix: str = "") -> None:
        """Give a network the weights of the recipe."""
        seed = int(self.arrays["seed_weights"])
        state = module.state_dict()
        drawn = {
            ours: weight(published_name(ours, names), tuple(tensor.shape), seed, prefix)
            for ours, tensor in state.items()
        }
        module.load_state_dict(drawn)

    def compare_gradients(
        self,
        module: nn.Module,
        names: PublishedNames | None,
        *,
        stem: str = "",
        suffix: str = "",
        key: str = "param_names",
    ) -> None:
        """Hold the gradients of a network against grad_norm, grad_dot and grad_total of a run.

        Without names, its parameters are called as they are there.
        """
        double = suffix == "_64"
        norms, dots = self.figures(f"{stem}grad_norm{suffix}", key), self.figures(f"{stem}grad_dot{suffix}", key)
        total = float(self.arrays[f"{stem}grad_total{suffix}"])
        left = {name for name, norm in norms.items() if not np.isnan(norm)}
        sums = 0.0
        for ours, parameter in module.named_parameters():
            name = ours if names is None else published_name(ours, names)
            if parameter.grad is None:
                assert np.isnan(norms[name]), name
                continue
            left.discard(name)
            got = parameter.grad.double()
            sums += float(got.square().sum())
            assert abs(got.norm().item() - norms[name]) < (1e-13 if double else 5e-5) * total, name
            if got.numel() > LARGE:
                continue
            dot = float((got * self.probe(name, got)).sum())
            assert abs(dot - dots[name]) < (1e-10 if double else 1e-2), name
        assert not left
        assert np.sqrt(sums) == pytest.approx(total, rel=1e-12 if double else 5e-4)

    def compare_step(
        self,
        module: nn.Module,
        before: Mapping[str, Tensor],
        names: PublishedNames | None,
        *,
        stem: str = "",
        key: str = "param_names",
    ) -> None:
        """Hold the change of each parameter of a float64 run against step_l2 and step_dot."""
        lengths, dots = self.figures(f"{stem}step_l2_64", key), self.figures(f"{stem}step_dot_64", key)
        for ours, parameter in module.named_parameters():
            name = ours if names is None else published_name(ours, names)
            change = parameter.detach().double() - before[ours].double()
            assert abs(change.norm().item() - lengths[name]) < 1e-9, name
            if change.numel() <= LARGE:
                assert abs(float((change * self.probe(name, change)).sum()) - dots[name]) < 1e-9, name

    def probe(self, name: str, like: Tensor) -> Tensor:
        """The probe tensor of a parameter."""
        return _probe(name, tuple(like.shape), int(self.arrays["seed_weights"])).double()


@cache
def _probe(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(uniform(seed, f"probe:{name}", shape, -1, 1).astype(np.float32))


@cache
def weight(name: str, shape: tuple[int, ...], seed: int, prefix: str = "") -> Tensor:
    """A parameter of the recipe, by its published name."""
    if len(shape) > 1:
        reach = 1 / np.sqrt(np.prod(shape[1:]))
        lo, hi = -reach, reach
    elif "norm" in name and name.endswith("weight"):
        lo, hi = 0.8, 1.2
    else:
        lo, hi = -0.1, 0.1
    return torch.from_numpy(uniform(seed, f"w:{prefix}{name}", shape, lo, hi).astype(np.float32))


def largest(got: Tensor, expected: np.ndarray) -> float:
    """The largest difference."""
    assert tuple(got.shape) == expected.shape, (tuple(got.shape), expected.shape)
    return float(np.abs(got.detach().cpu().numpy() - expected).max())


def golden_batch(tags: Tensor, features: Sequence[Tensor | None], pseudo_labels: Tensor | None = None) -> Batch:
    """Clips of all segments, from tags float [B, C] and features of sound, picture and motion."""
    audio, visual, motion = features
    assert audio is not None and visual is not None
    clip_ids = tuple(map(str, range(len(tags))))
    return Batch(clip_ids, audio, visual, motion, valid=None, weak_labels=tags, pseudo_labels=pseudo_labels)
