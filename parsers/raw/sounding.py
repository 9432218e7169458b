"""AVOL-Net: which place of a picture sounds, learned from whether a second of sound and a picture belong together.

    s(a, v) at a place = w (a . v_place) + b, clip score = the largest over places, then a yes or no of pairs

The picture's vector stays at its place, without normalisation, so that only the place where the sounding thing is has
to fit (multiple instances). A pair of one second is a yes, of two seconds a no; as in the paper these are of two files
where there are many, but of one where there is one long film. All pairs of a batch are asked, those of one second
weighted to half of the loss, where the paper draws one no for each yes: the same expectation, less noise.
Sound and pictures are always cut at whole seconds, so nothing in how they are cut tells a yes from a no.

Source: Arandjelovic & Zisserman, Objects that Sound, ECCV 2018.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..joint_space import unit
from ..pretraining.objective import Objective, Segments, Terms, Views
from .options import MAPS
from .towers import MapTower
from .views import RawViews


@dataclass(frozen=True, kw_only=True)
class SoundingOptions:
    """How places that sound are learned."""

    first_scale: float = 1.0
    """Of dot products at first; it is learned."""

    def __post_init__(self) -> None:
        """Refuse what learns nothing."""
        if not 0 < self.first_scale <= 100:
            raise ValueError(f"first_scale must be above 0 and at most 100, got {self.first_scale:g}")


class Sounding(Objective):
    """Pairs of sounds and places."""

    name: ClassVar[str] = "avol"
    Options: ClassVar[type[Any]] = SoundingOptions

    def __init__(self, views: Views, options: SoundingOptions) -> None:
        """Make scale and shift.

        Raises:
            ValueError: The towers keep no maps.
        """
        super().__init__(views, options)
        assert isinstance(views, RawViews)
        if views.options.kind != MAPS:
            raise ValueError(f"avol compares places, and kind={views.options.kind} pools them; take kind={MAPS}")
        self.log_scale = nn.Parameter(torch.tensor(options.first_scale).log())
        self.shift = nn.Parameter(torch.tensor(-2.0))

    def loss(self, views: Views, batch: Segments, rng: torch.Generator) -> Terms:
        """See Objective; every second of a batch is by itself."""
        assert isinstance(views, RawViews)
        heard, seen = (views.prepared(x, m).flatten(0, 1) for m, x in enumerate(batch.streams))
        logits = self.log_scale.exp() * pair_maps(views, heard, seen).amax(dim=(2, 3)) + self.shift  # [N, N]
        own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        yes = functional.softplus(-logits[own]).mean()
        no = functional.softplus(logits[~own]).mean()
        with torch.no_grad():
            rolled = logits.roll(1, dims=1)[own]
            right = ((logits[own] > 0).float().mean() + (rolled < 0).float().mean()) / 2
        return Terms((yes + no) / 2, {"yes": yes, "no": no}, {"pairs_right": right})


def pair_maps(views: RawViews, heard: Tensor, seen: Tensor) -> Tensor:
    """How each sound [N, 1, 1, 48, 64] fits each place of each picture [K, 3, F, 48, 64], float [N, K, 6, 8]."""
    tower = views.visual
    assert isinstance(tower, MapTower)
    sounds = views.audio(heard)
    maps: Tensor = torch.einsum("nd,kdhw->nkhw", sounds, tower.map(seen))
    return maps / math.sqrt(sounds.shape[1])


def own_maps(views: RawViews, objective: Objective, heard: Tensor, seen: Tensor) -> Tensor:
    """How each sound [N, 1, 1, 48, 64] fits each place of its own picture [N, 3, F, 48, 64], float [N, 6, 8].

    As the objective compares them: AVOL-Net by dot products, the others in the space of their heads, where the vector
    of a place takes that of the picture's part.
    """
    tower = views.visual
    assert isinstance(tower, MapTower)
    maps = tower.map(seen)
    if isinstance(objective, Sounding):
        found: Tensor = torch.einsum("nd,ndhw->nhw", views.audio(heard), maps)
        return found
    sounds, spots = objective.embedded(_Places(views.audio(heard), maps), Segments(heard, seen))  # type: ignore[arg-type]
    return (unit(spots) @ unit(sounds).mT).view(len(maps), *maps.shape[2:])


class _Places:
    """What an objective sees of seconds whose picture is a row of places: a part of `Views`."""

    def __init__(self, sounds: Tensor, maps: Tensor) -> None:
        self.said = sounds[:, None], maps.flatten(2).mT

    def alone(self, batch: Segments, modality: int) -> Tensor:
        return self.said[modality]
