"""Scores and weights of attention among few segments, with the gradients written so that small products stay fast.

    s = q k':  to q  g k,  to k  g' q;      w = softmax(s):  to s  w (g - sum of w g)

Autograd takes the gradient of k transposed, as q' g, which torch's batched product takes four to ten times as long for,
and torch's softmax five times as long over a dimension this short. Elsewhere than in training on the CPU both go
torch's own way.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def attention_scores(q: Tensor, k: Tensor) -> Tensor:
    """Products of queries float [..., T, D] and keys [..., S, D], float [..., T, S]; leading axes broadcast.

    In training on the CPU the gradient can be taken once, not twice, as in `attention_weights`.
    """
    if not _is_training_step(q):
        return q @ k.transpose(-1, -2)
    scores: Tensor = _Scores.apply(q, k)  # type: ignore[no-untyped-call]
    return scores


def attention_weights(scores: Tensor) -> Tensor:
    """Softmax of scores float [..., T, S] over the sources; -inf, or a large negative number, hides one."""
    if not _is_training_step(scores):
        return scores.softmax(dim=-1)
    weights: Tensor = _Softmax.apply(scores)  # type: ignore[no-untyped-call]
    return weights


def _is_training_step(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor) -> Tensor:
        ctx.save_for_backward(q, k)
        return q @ k.transpose(-1, -2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        q, k = ctx.saved_tensors
        return (grad @ k).sum_to_size(q.shape), (grad.transpose(-1, -2) @ q).sum_to_size(k.shape)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        weights = (scores - scores.amax(dim=-1, keepdim=True)).exp_()
        weights.div_(weights.sum(dim=-1, keepdim=True))
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        to_scores: Tensor = grad * weights
        return to_scores.sub_(weights * to_scores.sum(dim=-1, keepdim=True))
