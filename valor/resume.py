"""The point a stopped training run goes on from: weights, optimiser, random generators and progress, in one file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from valor.checkpoint import read_tensors, write_tensors


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """Epochs done."""
    best_epoch: int = 0
    """Epoch selected so far, 0 for none."""
    best_score: float | None = None
    """The figure it was selected by, in percent."""
    best_type_av: float | None = None
    """Its validation segment Type@AV, in percent."""


def write_resume_point(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
    *,
    progress: Progress,
    identity: Mapping[str, Any],
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write everything the next epoch depends on, whole or not at all.

    Args:
        path: File to write, usually RUN/last.safetensors.
        model: What is trained.
        optimiser: Over the parameters of the model, in their order.
        order: Generator of the batch order.
        progress: How far the run has come.
        identity: What makes this run this run, as JSON values; must be found again to go on.
        extra: Other tensors the next epoch depends on, by name.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_parameters()]
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{names[index]}|{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {"random.order": order.get_state(), "random.cpu": torch.get_rng_state()}
    tensors |= {f"extra.{name}": tensor for name, tensor in (extra or {}).items()}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    write_tensors(path, tensors, {"format": 1, "progress": asdict(progress), "identity": dict(identity)})


def read_resume_point(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    order: torch.Generator,
    *,
    identity: Mapping[str, Any],
) -> tuple[Progress, dict[str, Tensor]]:
    """Put model, optimiser and generators back where they were.

    Args:
        path: What `write_resume_point` wrote.
        model: Changed in place.
        optimiser: Changed in place.
        order: Changed in place; torch's global generators are, too.
        identity: Of the run that wants to go on.

    Returns:
        How far the run had come, and the extra tensors, on the CPU.

    Raises:
        ValueError: The file is of another run, names what differs; or it is damaged.
    """
    try:
        tensors, header = read_tensors(path)
    except ValueError as error:
        raise ValueError(f"{error}; remove it to start the run anew") from error
    stored = header.get("identity", {})
    differing = sorted(key for key in {*stored, *identity} if stored.get(key) != identity.get(key))
    if differing:
        raise ValueError(
            f"{path}: belongs to a run with other {', '.join(differing)}; continue that run with what it was started "
            "with, or choose another --out"
        )
    model.load_state_dict(_group(tensors, "model."))
    optimiser.load_state_dict(_optimiser_state(_group(tensors, "optimiser."), model, optimiser))
    order.set_state(tensors["random.order"])
    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return Progress(**header["progress"]), _group(tensors, "extra.")


def _group(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _optimiser_state(
    tensors: Mapping[str, Tensor], model: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    """The stored moments in the form `load_state_dict` wants, options as the optimiser has them."""
    index = {name: position for position, (name, _) in enumerate(model.named_parameters())}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, key = name.split("|")
        state.setdefault(index[parameter], {})[key] = tensor
    return {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
