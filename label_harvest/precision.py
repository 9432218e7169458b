"""How exactly a network computes: float32 as published, or bfloat16 for speed."""

import torch

PRECISIONS = ("float32", "bfloat16")
"""`bfloat16` keeps weights and activations in 16 bits and pictures in channels-last order; captions, unit lengths and
cosines stay in float32. Some labels near a threshold flip (`valor labels --margin` lists them), so it is part of the
identity of a teacher."""


def check_precision(precision: str) -> None:
    """Refuse unknown precisions.

    Raises:
        ValueError: It is none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def chosen_device() -> torch.device:
    """The first GPU where there is one; float32 then means float32, not the 19 bits of TF32."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cast_network(network: torch.nn.Module, precision: str) -> torch.nn.Module:
    """Bring a network to a precision, in place: weights are cast, since autocast on a CPU is slower than float32."""
    check_precision(precision)
    if precision == "bfloat16":
        network.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    return network


def cast_input(tensor: torch.Tensor, precision: str) -> torch.Tensor:
    """Bring pictures float32 [B, channels, H, W] to what a cast network takes."""
    if precision == "bfloat16":
        return tensor.to(dtype=torch.bfloat16, memory_format=torch.channels_last)
    return tensor
