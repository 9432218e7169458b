"""Names of the state dict of HAN as published in 2020: those of VALOR's, with parts that nothing uses."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .published import to_published

_UNUSED = ("audio_encoder.", "visual_encoder.", "cmt_encoder.", "hat_encoder.norm1.", "hat_encoder.norm2.")
"""Built by the published network, which never runs them: three encoders of earlier trials, two closing norms."""
_CLOSING = ("hat_encoder.norm1", "hat_encoder.norm2")
_TRIALS = ("audio_encoder", "visual_encoder", "cmt_encoder")


def is_han(state: Mapping[str, Tensor]) -> bool:
    """Whether a published state dict is of HAN's code, by the closing norms only it has under these names."""
    return f"{_CLOSING[0]}.weight" in state


def used_by_han(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what the network never runs; the names that stay are those `parsers.published` knows.

    Source:
        Names and unused parts: `nets/net_audiovisual.py` of the repository YapengTian/AVVP-ECCV20.
    """
    return {name: tensor for name, tensor in state.items() if not name.startswith(_UNUSED)}


def to_published_han(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn the state dict of one of our parsers into one that HAN's code loads.

    Args:
        state: Our names to tensors, of a post-norm parser of one layer with a motion stream and attentive pooling.

    Returns:
        HAN's names to the same tensors. The parts that nothing uses are there because loading asks for them; their
        weights are 0, or 1 in norms.
    """
    named = {name: tensor for name, tensor in to_published(state).items() if ".final_norm_" not in name}
    layer = "hat_encoder.layers.0."
    parts = {name.removeprefix(layer): tensor for name, tensor in named.items() if name.startswith(layer)}
    own = {name: tensor for name, tensor in parts.items() if not name.startswith("cm_attn.")}
    unused = {f"{trial}.layers.0.{name}": tensor for trial in _TRIALS for name, tensor in own.items()}
    norms = {f"norm{number}.{name}": own[f"norm1.{name}"] for number in (1, 2) for name in ("weight", "bias")}
    for home in ("cmt_encoder", "hat_encoder"):
        unused |= {f"{home}.{name}": tensor for name, tensor in norms.items()}
    return named | {name: _blank(name, tensor) for name, tensor in unused.items()}


def _blank(name: str, like: Tensor) -> Tensor:
    norm = name.rpartition(".")[0].endswith(("norm1", "norm2")) and name.endswith("weight")
    return torch.ones_like(like) if norm else torch.zeros_like(like)
