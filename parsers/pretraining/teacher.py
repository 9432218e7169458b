"""A copy of a network that follows it slowly, an exponential moving average, and is learnt from."""

import copy
import math
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def frozen_copy(module: Module) -> Module:
    """A copy that answers without dropout, also while what holds it is trained, and is given no gradient."""
    copied = copy.deepcopy(module).eval()
    copied.requires_grad_(requires_grad=False)
    copied.__dict__["train"] = lambda mode=True: copied  # in place of the method, which its holder calls
    return copied


def momentum_at(done: float, first: float, last: float = 1.0) -> float:
    """What a teacher keeps of itself in a step, along half a cosine from `first` to `last`.

    Args:
        done: The share of all steps that are done, 0..1.
        first: At 0.
        last: At 1.
    """
    return last - (last - first) * (math.cos(math.pi * done) + 1) / 2


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move every weight of the teacher to momentum x itself + (1 - momentum) x the student's.

    Buffers are taken over as they are.

    Raises:
        ValueError: They are not of one shape.
    """
    ours, theirs = dict(teacher.named_parameters()), dict(student.named_parameters())
    if {name: x.shape for name, x in ours.items()} != {name: x.shape for name, x in theirs.items()}:
        raise ValueError("a teacher follows a network of its own shape; make it with frozen_copy")
    for name, weight in ours.items():
        weight.mul_(momentum).add_(theirs[name], alpha=1 - momentum)
    for kept, given in zip(teacher.buffers(), student.buffers(), strict=True):
        kept.copy_(given)
