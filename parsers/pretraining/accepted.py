"""The text of a clip that nobody has described: prompts of classes that the teachers accept.

A teacher accepts the prompt of a class in a second where what it says of the class lies a number of deviations above
the mean of that class over the pool. No tag has a part in it; a class that is there most of the time is never accepted,
and of one that never is a few seconds are, by chance.

**What is learnt from such text is distilled from the teachers**, and is not self-supervision: their answers are labels.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cpu.products import dense
from .objective import Pool, Segments, batches

LEAST_DEVIATION = 1e-6
"""A class of which a teacher says the same everywhere is never accepted."""


class Accepted(nn.Module):
    """Which prompts stand for a second, by what each teacher says of the whole pool."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, accept: float, nearby: int, *, shared: bool = False) -> None:
        """Take how many deviations above its mean an answer must lie, and how many seconds around count.

        With `shared`, sound and picture have one text: the answers of both teachers are averaged, in deviations.
        """
        super().__init__()
        self.accept, self.nearby, self.shared = accept, nearby, shared
        self.register_buffer("mean", torch.zeros(2, 0))
        self.register_buffer("deviation", torch.ones(2, 0))

    @torch.no_grad()
    def prepare(self, pool: Pool, used: tuple[str, ...] = ("audio", "visual")) -> tuple[int, int]:
        """Note what the teachers say of the pool.

        Args:
            pool: Of clips with evidence and prompts.
            used: Modalities whose prompts are learned from, and must be accepted somewhere.

        Returns:
            The widths of the prompts of the teacher of sounds and of that of pictures.

        Raises:
            ValueError: The pool has no prompts, or none of a modality is accepted anywhere.
        """
        prompts, said = None, []
        for batch in batches(pool):
            prompts = batch.prompts
            if prompts is None or batch.evidence is None:
                raise ValueError(
                    "this objective learns from prompts, and the store has none; harvest with teachers that judge "
                    "classes, such as CLIP and CLAP, or take another objective"
                )
            both = torch.stack(_evidence(batch), dim=2).float()  # [B, T, M, C]
            said.append(both.flatten(0, 1) if batch.valid is None else both[batch.valid])
        every = torch.cat(said)  # [n, M, C]
        self.mean, self.deviation = every.mean(dim=0), every.std(dim=0, correction=0)
        for m, stream in enumerate(("audio", "visual")):
            if stream in used and not bool(self._above(every[:, None])[..., m, :].any()):
                raise ValueError(
                    f"no prompt of the {stream} lies {self.accept:g} deviations above its mean anywhere in the pool of "
                    f"{len(pool):,} clips, so that there is no text to learn from; lower objective.accept"
                )
        heard, seen = cast(tuple[Tensor, Tensor], prompts)
        return heard.shape[1], seen.shape[1]

    def forward(self, batch: Segments) -> tuple[Tensor, Tensor]:
        """The prompts of each second by sound and by picture, bool [B, T, C] each; none where a second is not there."""
        found = self._above(torch.stack(_evidence(batch), dim=2).float())  # [B, T, M, C]
        if batch.valid is not None:
            found = found & batch.valid[..., None, None]
        if self.nearby:
            size = 2 * self.nearby + 1
            lined = found.movedim(1, -1).flatten(1, 2).float()  # [B, M C, T]
            near = functional.max_pool1d(lined, size, stride=1, padding=self.nearby)
            found = near.view(len(found), *found.shape[2:], -1).movedim(-1, 1) > 0
            found = found if batch.valid is None else found & batch.valid[..., None, None]
        heard, seen = found.unbind(2)
        return heard, seen

    def _above(self, evidence: Tensor) -> Tensor:
        """Float [B, T, M, C] to bool."""
        z = (evidence - self.mean) / self.deviation.clamp_min(LEAST_DEVIATION)
        z = z.where(self.deviation > LEAST_DEVIATION, -torch.inf)
        return (z.mean(dim=2, keepdim=True).expand_as(z) if self.shared else z) > self.accept


class SizedLater(nn.Module):
    """A linear layer whose input width a pool says, or a state dict."""

    def __init__(self, width: int) -> None:
        """Take the output width; there are no inputs yet."""
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(width, 0)), nn.Parameter(torch.zeros(width))

    def take(self, width: int) -> None:
        """Begin anew for inputs of a width, with the same weights whenever that is done."""
        bound = width**-0.5
        drawn = torch.empty(len(self.bias), width).uniform_(-bound, bound, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(drawn.to(self.bias.device))

    def forward(self, x: Tensor) -> Tensor:
        """Float [..., F] to [..., D]."""
        return dense(x, self.weight, self.bias)

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *others: Any) -> None:  # noqa: ANN401
        held = state_dict.get(f"{prefix}weight")
        if held is not None and held.shape != self.weight.shape:
            self.weight = nn.Parameter(self.weight.new_zeros(held.shape))
        super()._load_from_state_dict(state_dict, prefix, *others)


def _evidence(batch: Segments) -> tuple[Tensor, Tensor]:
    return cast(tuple[Tensor, Tensor], batch.evidence)
