"""The running mean of a parser's weights over its training steps, which is validated and kept in their place."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .method import Method, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.parsers.hybrid import HybridParser

_STEPS = "steps"


@dataclass(frozen=True, kw_only=True)
class AverageOptions:
    """How long the mean remembers."""

    decay: float = 0.99
    """Decay per step of the running mean."""

    def __post_init__(self) -> None:
        """Refuse a mean that never moves, or grows."""
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}")


class Average(Method[AverageOptions]):
    """The mean of the weights in place of the last ones."""

    Options = AverageOptions

    def __init__(self, options: AverageOptions) -> None:
        """Hold no weights yet."""
        super().__init__(options)
        self.mean: WeightAverage | None = None

    def start(self, run: Run) -> None:
        """Begin at the initial weights."""
        self.mean = WeightAverage(run.parser, self.options.decay)

    def after_step(self, parser: HybridParser) -> None:
        """Take the new weights in."""
        if self.mean is not None:
            self.mean.update(parser)

    def judged(self, parser: HybridParser) -> HybridParser:
        """The parser with the mean weights."""
        return parser if self.mean is None else self.mean.parser

    def state(self) -> dict[str, Tensor]:
        """The mean weights by name, and the number of steps."""
        return {} if self.mean is None else self.mean.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from them."""
        if self.mean is not None:
            self.mean.load(state)


class WeightAverage:
    """Exponential moving average of weights: after step n (from 1), mean = d * mean + (1 - d) * weights.

    d is the decay, or (1 + n) / (10 + n) while that is less, so that the initial weights are soon forgotten. The mean
    starts at them.

    Source:
        Polyak and Juditsky, SIAM J. Control Optim. 1992, for averaging; the exponential form and its ramp as in
        TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, parser: HybridParser, decay: float, *, ramp: bool = True) -> None:
        """Start at the weights the parser has, on its device; without the ramp d is the decay from the first step."""
        self.parser = copy.deepcopy(parser).eval().requires_grad_(False)
        """The parser with the mean weights."""
        self.decay, self.ramp = decay, ramp
        self.steps = 0

    def update(self, parser: HybridParser) -> None:
        """Take in the weights after one more step."""
        import torch

        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.ramp else self.decay
        with torch.no_grad():
            torch._foreach_lerp_(list(self.parser.parameters()), list(parser.parameters()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to go on: the mean weights by name, and the number of steps."""
        import torch

        return {**self.parser.state_dict(), _STEPS: torch.tensor(self.steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        weights = dict(state)
        self.steps = int(weights.pop(_STEPS))
        self.parser.load_state_dict(weights)
