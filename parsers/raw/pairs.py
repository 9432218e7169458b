"""Sound and picture of a second find each other among those of a batch: InfoNCE, with DropToken it is VATT's.

    z_a, z_v = heads of what the towers say; loss = InfoNCE(z_a, z_v), both ways, tau 0.07; heads end in a batch norm

VATT has a text beside sound and picture, which raw media have not: what is left is its contrast of the two, and that
half of the patches are left out in training (`tower.drop_share`). On towers of convolutions it is plain contrast.

Sources: Akbari et al., NeurIPS 2021, and its code (google-research/vatt) for temperature, heads and dropped tokens.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..pretraining.contrast import info_nce
from ..pretraining.objective import Objective, Segments, Terms, Views


@dataclass(frozen=True, kw_only=True)
class PairsOptions:
    """How pairs are told."""

    width: int = 128
    """Of the space in which they are compared."""
    temperature: float = 0.07
    """Of the contrast."""

    def __post_init__(self) -> None:
        """Refuse what learns nothing."""
        if self.width < 2:
            raise ValueError(f"width must be at least 2, got {self.width}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature:g}")


class Pairs(Objective):
    """Contrast of the two streams of a second."""

    name: ClassVar[str] = "vatt"
    Options: ClassVar[type[Any]] = PairsOptions

    def __init__(self, views: Views, options: PairsOptions) -> None:
        """Make the heads."""
        super().__init__(views, options)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(views.width, views.width), nn.BatchNorm1d(views.width), nn.ReLU(),
                nn.Linear(views.width, options.width), nn.BatchNorm1d(options.width),
            )
            for _ in range(2)
        )  # fmt: skip

    def embedded(self, views: Views, batch: Segments) -> tuple[Tensor, Tensor]:
        """What the heads say of every second."""
        said = [views.alone(batch, m) for m in range(2)]
        heard, seen = (head(x.flatten(0, 1)).view(*x.shape[:2], -1) for head, x in zip(self.heads, said, strict=True))
        return heard, seen

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective; every second of a batch is by itself."""
        heard, seen = (x.flatten(0, 1) for x in self.embedded(views, batch))
        loss = info_nce(heard, seen, self.options.temperature)
        with torch.no_grad():
            similar = nn.functional.normalize(heard, dim=1) @ nn.functional.normalize(seen, dim=1).T
            found = (similar.argmax(dim=1).cpu() == torch.arange(len(similar))).float().mean()
        return Terms(loss, {"contrast": loss}, {"found": found})
