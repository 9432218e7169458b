"""LEAP: label vectors, losses on probabilities, and likeness of seconds by the labels they share.

The network is `parser.network=label-queries`. With A, V the pseudo labels, a, v the clip's probabilities by modality, g
whether either reaches .5:

    BCE(a, any A) + BCE(v, any V) + BCE(g, y) + BCE(audio segments, A) + BCE(visual segments, V) + S
    S = mean over pairs (t, s) of (max(0, cos(x_a_t, x_v_s)) - r / (1 + r) - .01)^2
    r = labels that A_t and V_s share, over the largest number of labels in any second of either modality of the clip

What labels mean is told by vectors, which are not trained: 25 of GloVe (300 numbers) of the spelled-out names there. A
file of them is asked for here, of any text encoder (`parser.label_width`); they are kept with the weights.

Source: LEAP, ECCV 2024, and its code. The term of g is of decided bits and has no gradient: it only adds to the loss
that is printed (in float32 a little less for a bit that is wrongly set, as 1 - 1e-7 rounds). r is no overlap over a
union, though the paper calls S so: a full match asks for a cosine of .51, for less in a clip that is busy elsewhere.
One gate serves both modalities: the class is open where either reaches .5. Without pseudo labels its code trains on
smoothed tags in all seconds; that is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.parsers.networks.leap import LabelQueryParser

NETWORK = "label-queries"
"""What these losses are of."""
_LEAST_LIKENESS = 0.01
"""Of seconds that share nothing."""


@dataclass(frozen=True, kw_only=True)
class LeapOptions:
    """Label vectors, and the weight of S."""

    vectors: str = ""
    """A .npy file of numbers [classes, parser.label_width], in the order of the classes."""
    similarity_weight: float = 1.0
    """Of S against the weak loss."""

    def __post_init__(self) -> None:
        """Refuse a weight that is none."""
        if not 0 <= self.similarity_weight < float("inf"):
            raise ValueError(f"similarity_weight must not be negative, got {self.similarity_weight}")


class Leap(Method[LeapOptions]):
    """Its losses in place of VALOR's."""

    Options = LeapOptions
    excludes = ("uwav", "jomold", "vplan", "avel", "nrep", "cmpae", "mug", "mm-cse")
    extra_data = ("label vectors",)
    published = "LEAP, MM-Pyramid encoder"

    def files(self) -> dict[str, tuple[Path, ...]]:
        """The label vectors."""
        return {"vectors": (Path(self.options.vectors),)}

    def check(self, plan: Plan) -> None:
        """Refuse another network, and a training without labels of seconds."""
        if plan.parser.network != NETWORK:
            raise ValueError(f"methods.leap needs parser.network={NETWORK}, got {plan.parser.network}")
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.leap holds seconds to pseudo labels, which fit.pseudo_label_weight=0 leaves out; give them a "
                "weight"
            )

    def start(self, run: Run) -> None:
        """Give the network its label vectors."""
        parser = cast("LabelQueryParser", run.parser)
        parser.label_vectors.copy_(read_vectors(self.options.vectors, tuple(parser.label_vectors.shape)))

    def charge(self, charge: Charge) -> Charge:
        """See the top of this file."""
        charge = replace(charge, has_own_terms=False)
        charge = charge.plus("audio_tags", 1.0, lambda charge: tag_loss(charge, 0))
        charge = charge.plus("visual_tags", 1.0, lambda charge: tag_loss(charge, 1))
        charge = charge.plus("decided_tags", 1.0, decided_loss)
        charge = charge.plus("audio_segments", 1.0, lambda charge: segment_loss(charge, 0))
        charge = charge.plus("visual_segments", 1.0, lambda charge: segment_loss(charge, 1))
        return charge.plus("similarity", self.options.similarity_weight, _similarity)


def read_vectors(source: str, shape: tuple[int, ...], *, option: str = "methods.leap.vectors") -> Tensor:
    """Label vectors, float32 of the shape [C, label width]; `option` names them in messages.

    Raises:
        ValueError: There is no such file, or it holds something else.
    """
    import numpy as np
    import torch

    from valor.label_harvest.arrays import read_npy

    wanted = f"a .npy file of {shape[0]} label vectors of {shape[1]} numbers, in the order of the classes"
    if not source:
        raise ValueError(f"{option} must name {wanted}, got none; embed the class names with any encoder")
    try:
        held = read_npy(Path(source))
    except (FileNotFoundError, ValueError) as error:
        raise ValueError(f"{option}={source}: needs {wanted}: {error}") from error
    if held.shape != shape or held.dtype.kind not in "fiu" or not np.isfinite(held).all():
        hint = "; set parser.label_width to the width of the vectors" if "leap" in option else ""
        raise ValueError(f"{option}={source}: needs {wanted}, got {held.dtype} {list(held.shape)}{hint}")
    return torch.from_numpy(held.astype(np.float32))


def _labels(charge: Charge) -> Tensor:
    assert charge.pseudo_labels is not None  # asked for in `check`
    return charge.pseudo_labels


def tag_loss(charge: Charge, modality: int) -> Tensor:
    """Cross-entropy of one modality of the clip with what is labelled in any of its seconds."""
    from valor.parsers.losses import weak_loss

    tags = _labels(charge)[:, :, modality].amax(dim=1)  # [B, C]
    return weak_loss(charge.output.modality_probs[:, modality], tags)


def decided_loss(charge: Charge) -> Tensor:
    """Cross-entropy of what is decided of the clip with its tags; without any gradient."""
    from valor.parsers.losses import weak_loss

    decided = (charge.output.clip_probs >= 1 / 2).to(charge.weak_labels)
    return weak_loss(decided, charge.weak_labels)


def segment_loss(charge: Charge, modality: int) -> Tensor:
    """Cross-entropy of the segment probabilities of one modality with its labels."""
    from valor.parsers.losses import weak_loss

    probs, labels = charge.output.segment_probs[:, :, modality], _labels(charge)[:, :, modality]
    valid = charge.batch.valid
    return weak_loss(probs, labels) if valid is None else weak_loss(probs[valid], labels[valid])


def _similarity(charge: Charge) -> Tensor:
    return similarity_loss(charge.output.features, _labels(charge), charge.batch.valid)


def similarity_loss(features: Tensor, labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """S, see the top of this file.

    Args:
        features: float [B, T, M, D], encoded.
        labels: float [B, T, M, C] in [0, 1].
        valid: bool [B, T], True where a segment exists; None when all do.

    Returns:
        Scalar, the mean over clips and pairs of existing segments.
    """
    away = (likeness(features) - likeness_target(labels)).square()  # [B, T, T]
    if valid is not None:
        away = away[valid[:, :, None] & valid[:, None]]
    return away.mean()


def likeness(features: Tensor) -> Tensor:
    """Cosine of each second heard with each second seen of a clip, 0 at least, float [B, T, T]."""
    from torch.nn.functional import normalize

    heard, seen = normalize(features, dim=-1).unbind(2)
    return (heard @ seen.transpose(1, 2)).clamp_min(0)


def likeness_target(labels: Tensor) -> Tensor:
    """What it is held to, float [B, T, T], from labels [B, T, M, C]."""
    heard, seen = labels.unbind(2)
    busiest = labels.sum(dim=-1).amax(dim=(1, 2)).clamp_min(1e-8)  # [B]
    shared = heard @ seen.transpose(1, 2) / busiest[:, None, None]
    return shared / (1 + shared) + _LEAST_LIKENESS
