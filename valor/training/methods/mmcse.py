"""MM-CSE: what the class-wise network is charged with besides VALOR's losses.

    VALOR's + 1/2 (rec_a + rec_v) + .1 (ort_a + ort_v) + .1 (map_aa + map_av + map_va + map_vv)
    rec     mean square of what the features of the classes rebuild of a stream, and the stream
    ort_a   mean cosine of the features of a class with those of background, over seconds and classes
    ort_v   mean cosine of the *mean* of the features of all classes with those of background, over seconds
    map_xy  mean square of the last layer's attention of x to y, and the outer product of their pseudo labels

Source: MM-CSE, AAAI 2025, and its code. Its training script is not public: its rate and schedule are the defaults of
its options with VALOR's optimiser. As there, a row of attention sums to 1 (before dropout) and its target to the number
of labels of the second, so with any other number than one the target cannot be met. The two cosines are not the same
quantity, though the paper has one. Its decision has the clip's gate for audio and the modality's for visual.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from .method import Charge, Method, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.parsers.networks.class_wise import ClassWiseOutput

NETWORK = "class-wise"
"""What these losses are of."""


@dataclass(frozen=True, kw_only=True)
class MmCseOptions:
    """Weights of the further losses against the weak loss; the defaults are those published."""

    rebuilding: float = 0.5
    """Of both `rec`."""
    orthogonality: float = 0.1
    """Of both `ort`."""
    maps: float = 0.1
    """Of the four `map`."""

    def __post_init__(self) -> None:
        """Refuse weights that are none."""
        for name in ("rebuilding", "orthogonality", "maps"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class MmCse(Method[MmCseOptions]):
    """The losses and the decision."""

    Options = MmCseOptions
    excludes = ("uwav", "jomold", "vplan", "avel", "nrep", "cmpae")

    def check(self, plan: Plan) -> None:
        """Refuse another network, and a training without labels of seconds."""
        if plan.parser.network != NETWORK:
            raise ValueError(f"methods.mm-cse needs parser.network={NETWORK}, got {plan.parser.network}")
        if self.options.maps and not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.mm-cse holds attention to pseudo labels, which fit.pseudo_label_weight=0 leaves out; set "
                "methods.mm-cse.maps to 0, or give them a weight"
            )

    def charge(self, charge: Charge) -> Charge:
        """Add the losses."""
        for modality, name in enumerate(("audio", "visual")):
            charge = charge.plus(f"rebuilt_{name}", self.options.rebuilding, _of(rebuilding_loss, modality))
            charge = charge.plus(f"orthogonal_{name}", self.options.orthogonality, _of(orthogonality_loss, modality))
        if self.options.maps:
            for one, first in enumerate("av"):
                for two, second in enumerate("av"):
                    charge = charge.plus(f"map_{first}{second}", self.options.maps, _map(one, two))
        return charge

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """As published."""
        return replace(rule, gate=("clip", "modality"), preset=None)


def rebuilding_loss(output: ClassWiseOutput, modality: int, valid: Tensor | None = None) -> Tensor:
    """Mean square of what is missing of a stream; its gradient goes to the stem as well."""
    missing = (output.rebuilt - output.stemmed)[:, :, modality]  # [B, T, D]
    return (missing if valid is None else missing[valid]).square().mean()


def orthogonality_loss(output: ClassWiseOutput, modality: int, valid: Tensor | None = None) -> Tensor:
    """Likeness of classes and background, in [0, 1], since all features are positive."""
    from torch.nn.functional import cosine_similarity

    apart = output.taken_apart[:, :, modality]
    apart = apart.flatten(0, 1) if valid is None else apart[valid]  # [seconds, C + 1, E]
    classes, background = apart[:, :-1], apart[:, -1:]
    if modality:
        classes = classes.mean(dim=1, keepdim=True)
    return cosine_similarity(classes, background.expand_as(classes), dim=-1).mean()


def map_loss(
    output: ClassWiseOutput, labels: Tensor, modalities: tuple[int, int], valid: Tensor | None = None
) -> Tensor:
    """Mean square of attention and the outer product of the labels [B, T, M, C] of two modalities."""
    rows, columns = (labels[:, :, modality] for modality in modalities)
    away = output.maps[:, :, modalities[0], modalities[1]] - rows[..., :, None] * columns[..., None, :]  # [B, T, C, C]
    return (away if valid is None else away[valid]).square().mean()


def _of(loss: Callable[[Any, int, Tensor | None], Tensor], modality: int) -> Callable[[Charge], Tensor]:
    return lambda charge: loss(charge.output, modality, charge.batch.valid)


def _map(one: int, two: int) -> Callable[[Charge], Tensor]:
    def take(charge: Charge) -> Tensor:
        assert charge.pseudo_labels is not None  # asked for in `check`
        return map_loss(cast("ClassWiseOutput", charge.output), charge.pseudo_labels, (one, two), charge.batch.valid)

    return take
