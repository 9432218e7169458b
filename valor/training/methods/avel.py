"""The network and the loss of 2018 that came with AVE: `valor.parsers.networks.avel` on the seam of a method.

What is marked is the likeliest of the classes and background in each second, so no clip probability gates it. Without
`methods.supervised` it is trained on the tags of clips alone, by its highest second; with it on every second.

Source: Tian et al., ECCV 2018, and its code: Adam at 1e-3, batches of 64, 250 epochs on tags and 300 on seconds.
Differences: there batches come in the order of the file and a last short one is dropped; the step size is cut to a
tenth after 15,000 steps, here after as many epochs (`recipes.py`); the weak script keeps the last epoch, here the best
on val.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from .method import Charge, Method, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.avel import AvelOutput


@dataclass(frozen=True, kw_only=True)
class AvelOptions:
    """Sizes of the network; the defaults are the published ones."""

    places: int = 49
    """Places of a picture, which visual features are one after the other: 49 of VGG-19's last map."""
    width: int = 128
    """Of each recurrent network, each way."""
    attention_width: int = 512
    """Of the projections in which sound and picture are compared."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name in ("places", "width", "attention_width"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")


class Avel(Method[AvelOptions]):
    """Another network, and its loss in place of VALOR's."""

    Options = AvelOptions
    excludes = ("uwav", "jomold", "vplan")

    def check(self, plan: Plan) -> None:
        """Refuse features and losses that are of other networks."""
        if plan.parser.visual_width % self.options.places or plan.parser.motion_width:
            raise ValueError(
                f"methods.avel takes visual features of {self.options.places} places, one after the other, and no "
                f"motion, got parser.visual_width={plan.parser.visual_width} and "
                f"parser.motion_width={plan.parser.motion_width}"
            )
        if plan.fit.pseudo_label_weight and "supervised" not in plan.methods:
            raise ValueError(
                "methods.avel trains on tags, or on the truth of every second with methods.supervised=on; set "
                "fit.pseudo_label_weight=0 for tags"
            )

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """The network of 2018 in place of the one the options of the parser describe."""
        from valor.parsers.build import options_of
        from valor.parsers.networks.avel import AvelParser

        sizes = self.options
        return AvelParser(
            options_of(parser), places=sizes.places, width=sizes.width, attention_width=sizes.attention_width
        )

    def charge(self, charge: Charge) -> Charge:
        """The published loss alone."""
        return replace(charge, has_own_terms=False).plus("soft_margin", 1.0, _soft_margin)

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """The class of a second is that of its scores alone."""
        return replace(rule, gate="none")


def _soft_margin(charge: Charge) -> Tensor:
    """Of each second where there are labels of it, else of the clip."""
    from valor.parsers.networks.avel import soft_margin, with_background

    output = cast("AvelOutput", charge.output)
    if charge.pseudo_labels is None:
        return soft_margin(output.clip_scores, with_background(charge.weak_labels))
    labels = with_background(charge.pseudo_labels.amin(dim=2))  # [B, T, C + 1], audible and visible
    return soft_margin(output.class_logits.softmax(dim=-1), labels, charge.batch.valid)
