"""Layers one after the other, each segment by itself, and an input that goes on as it is.

The stem and the heads of UWAV's parser are made of these (`ParserOptions.stem`, `fusion_layers`, `head_layers`), which
then equals the golden `uwav_han_ave` and `uwav_han_variant`.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from .cpu.products import Dense


class Perceptron(nn.Module):
    """Linear layers with a ReLU between each two."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Make the layers; widths are those of the input, of what lies between, and of the output."""
        super().__init__()
        self.in_features, self.out_features = widths[0], widths[-1]
        self.layers = nn.ModuleList(Dense(*pair) for pair in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to float [..., input]; returns float [..., output]."""
        first, *others = self.layers
        x = first(x)
        for layer in others:
            x = layer(functional.relu(x))
        return x


class Passed(nn.Identity):
    """Features that enter the network as they are."""

    def __init__(self, width: int) -> None:
        """Take the width, which is asked for where inputs are checked."""
        super().__init__()
        self.in_features = width
