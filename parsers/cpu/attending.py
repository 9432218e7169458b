"""Scores and weights of attention among few segments, with the gradients written so that small products stay fast.

    s = q k':  to q  g k,  to k  g' q;      w = softmax(s):  to s  w (g - sum of w g)

Autograd takes the gradient of k transposed, as q' g, which torch's batched product takes four to ten times as long for,
and torch's softmax five times as long over a dimension this short. Elsewhere than in training on the CPU both go
torch's own way.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def attention_scores(q: Tensor, k: Tensor) -> Tensor:
    """Products of queries float [..., T, D] and keys [..., S, D], float [..., T, S]; leading axes broadcast.

    In training on the CPU the gradient can be taken once, not twice, as in `attention_weights`.
    """
    if not is_training_step(q):
        return q @ k.transpose(-1, -2)
    scores: Tensor = _Scores.apply(q, k)  # type: ignore[no-untyped-call]
    return scores


def attention_weights(scores: Tensor) -> Tensor:
    """Softmax of scores float [..., T, S] over the sources; -inf, or a large negative number, hides one."""
    if not is_training_step(scores):
        return scores.softmax(dim=-1)
    weights: Tensor = _Softmax.apply(scores)  # type: ignore[no-untyped-call]
    return weights


def is_training_step(x: Tensor) -> bool:
    """Whether a backward pass on the CPU is coming, for which gradients are written out.

    Not where torch compiles: what it makes of a written-out pass had no gradients of half of its weights.
    """
    is_plain = not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu")
    return x.device.type == "cpu" and torch.is_grad_enabled() and is_plain


class Attended(NamedTuple):
    """What the backward pass of one attention needs, heads in order."""

    q: Tensor
    k: Tensor
    v: Tensor
    """[groups, S, D / H], as k."""
    weights: Tensor
    """[groups, T, S], the softmax."""
    dropped: Tensor
    """The weights after dropout."""
    mask: Tensor | None


def attend(
    q: Tensor, k: Tensor, v: Tensor, absent: Tensor | None, mask: Tensor | None, *, far: float = float("-inf")
) -> tuple[Tensor, Attended]:
    """Scaled dot-product attention of [groups, T, D / H], without autograd; groups are clips times heads.

    Args:
        q: float [groups, T, D / H].
        k: float [groups, S, D / H].
        v: Likewise.
        absent: bool, [groups or 1, T or 1, S], True at keys that must not be looked at; None for none.
        mask: float [groups, T, S], what dropout multiplies weights with; None for no dropout.
        far: What scores of absent keys are.

    Returns:
        What is gathered, [groups, T, D / H], and what `attend_backward` takes.
    """
    scores = torch.bmm(q, k.transpose(1, 2)).mul_(q.shape[-1] ** -0.5)
    if absent is not None:
        scores.masked_fill_(absent, far)
    weights = scores.sub_(scores.amax(-1, keepdim=True)).exp_()
    weights.div_(weights.sum(-1, keepdim=True))
    dropped = weights if mask is None else weights * mask
    return torch.bmm(dropped, v), Attended(q, k, v, weights, dropped, mask)


def attend_backward(grad: Tensor, saved: Attended, out: tuple[Tensor, Tensor, Tensor]) -> None:
    """Write the gradients of query, key and value, given that of what was gathered."""
    to_q, to_k, to_v = out
    torch.bmm(saved.dropped.transpose(1, 2), grad, out=to_v)
    to_weights = torch.bmm(grad, saved.v.transpose(1, 2))
    if saved.mask is not None:
        to_weights.mul_(saved.mask)
    mean = (to_weights * saved.weights).sum(-1, keepdim=True)
    to_scores = to_weights.sub_(mean).mul_(saved.weights).mul_(saved.q.shape[-1] ** -0.5)
    torch.bmm(to_scores, saved.k, out=to_q)
    torch.bmm(to_scores.transpose(1, 2), saved.q, out=to_k)


def in_heads(x: Tensor, parts: int, segments: int, heads: int) -> Tensor:
    """[clips T, parts D] as [parts, clips H, T, D / H]; `segments` is T."""
    width = x.shape[-1] // (parts * heads)
    by_heads = x.view(-1, segments, parts, heads, width).permute(2, 0, 3, 1, 4)
    return by_heads.reshape(parts, -1, segments, width)


def in_rows(x: Tensor, heads: int) -> Tensor:
    """[parts, clips H, T, D / H] as [clips T, parts D]."""
    parts, _, segments, width = x.shape
    return x.view(parts, -1, heads, segments, width).permute(1, 3, 0, 2, 4).reshape(-1, parts * heads * width)


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
