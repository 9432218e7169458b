"""The running mean of a parser's weights over its training steps."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from parsers.hybrid import HybridParser

_STEPS = "steps"


class WeightAverage:
    """Exponential moving average of weights: after step n (from 1), mean = d * mean + (1 - d) * weights.

    d is the decay, or (1 + n) / (10 + n) while that is less, so that the initial weights are soon forgotten. The mean
    starts at them.

    Source:
        Polyak and Juditsky, SIAM J. Control Optim. 1992, for averaging; the exponential form and its ramp as in
        TensorFlow's `ExponentialMovingAverage`.
    """

    def __init__(self, parser: HybridParser, decay: float) -> None:
        """Start at the weights the parser has, on its device."""
        self.parser = copy.deepcopy(parser).eval().requires_grad_(False)
        """The parser with the mean weights."""
        self.decay = decay
        self.steps = 0

    def update(self, parser: HybridParser) -> None:
        """Take in the weights after one more step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.parser.parameters()), list(parser.parameters()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """What `load` needs to go on: the mean weights by name, and the number of steps."""
        return {**self.parser.state_dict(), _STEPS: torch.tensor(self.steps)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        weights = dict(state)
        self.steps = int(weights.pop(_STEPS))
        self.parser.load_state_dict(weights)
