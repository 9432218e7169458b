"""CMPAE: presence and absence as evidence, JoMoLD's lost tags, and agreement of the clip with its modalities.

The network is `parser.network=presence`. With P the smoothed tags each modality has kept, g the whole clip's
probability:

    2 BCE(audio, P) + .6 BCE(visual, P) + .6 BCE(g, y) + contrast + mutual

(`valor.parsers.evidence.mutual_loss`, in every other step towards the clip). Ratios are those of a noise estimator; the
published training takes the ones that lie in its repository, of LLP, or here those of a run of `methods.jomold` with an
estimator. In validation segments are marked from .25 on, behind gates of .45.

Source: CMPAE, CVPR 2023, and its code. Its gates of what is seen are chosen for each class afterwards, on validation:
by `valor calibrate --preset cmpae`, or the published ones of the preset cmpae-2023. Differences: there they are chosen
on the weights after the eighth epoch and used with others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from .jomold import LosingTags, clip_loss, contrast, steps_of, tag_loss
from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.cmpae import PresenceOutput

PUBLISHED = "published"
"""The ratios of LLP that CMPAE and CoLeaF ship."""
PUBLISHED_RATIOS = (
    (
        *(161 / 2494, 35 / 624, 1 / 48, 31 / 761, 13 / 192, 17 / 343, 4 / 91, 5 / 218, 22 / 299),
        *(2 / 43, 1 / 62, 13 / 293, 1 / 23, 58 / 1457, 17 / 495, 3 / 146, 24 / 445, 5 / 112),
        *(16 / 411, 25 / 587, 22 / 503, 1 / 33, 8 / 215, 11 / 291, 2 / 41),
    ),
    (
        *(2479 / 2494, 11 / 312, 1 / 11, 62 / 761, 1 / 12, 27 / 343, 1 / 35, 6 / 109, 1 / 13),
        *(71 / 602, 16 / 93, 83 / 586, 21 / 437, 236 / 1457, 34 / 495, 7 / 73, 63 / 445, 17 / 224),
        *(31 / 411, 39 / 587, 84 / 503, 17 / 99, 37 / 430, 14 / 291, 21 / 82),
    ),
)
"""Of audio and visual, for each class of LLP: tagged clips that were found doubtful, of all tagged ones (reduced)."""


@dataclass(frozen=True, kw_only=True)
class CmpaeOptions:
    """Where the ratios are from, and weights."""

    ratios: str = PUBLISHED
    """`published`, which are of LLP's 25 classes; or a run folder of `methods.jomold` with an estimator."""
    ratio_warmup: float = 0.9
    """Epochs in which the ratios come in, as its code has it; 0 for at once."""
    mutual_weight: float = 1.0
    """Of the agreement of the clip with its modalities."""

    def __post_init__(self) -> None:
        """Refuse weights that are none."""
        for name in ("ratio_warmup", "mutual_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Cmpae(Method[CmpaeOptions]):
    """Its losses, and the decision while it is trained."""

    Options = CmpaeOptions
    excludes = ("uwav", "jomold", "vplan", "supervised", "avel", "nrep", "mug")
    tuned = ("cuts ?",)  # of segments, low ones; how they were chosen is not in its code
    published = "CMPAE"

    def __init__(self, options: CmpaeOptions) -> None:
        """Keep the options."""
        super().__init__(options)
        self.losing: LosingTags | None = None
        self.step = 0
        """Of the epoch, from 0."""

    def check(self, plan: Plan) -> None:
        """Refuse another network, pseudo labels, and ratios of other classes."""
        if plan.parser.network != "presence":
            raise ValueError(f"methods.cmpae needs parser.network=presence, got {plan.parser.network}")
        check_ratios("cmpae", self.options.ratios, plan)

    def start(self, run: Run) -> None:
        """Read the ratios."""
        self.losing = losing_tags("cmpae", self.options.ratios, self.options.ratio_warmup, run)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Count its steps."""
        self.step = 0
        if self.losing is not None:
            self.losing.begin(epoch - 1, steps_of(run))
        return False

    def charge(self, charge: Charge) -> Charge:
        """Its own losses in place of VALOR's."""
        if self.losing is not None:
            charge = self.losing.charged(charge)
        teaches_clip = self.step % 2 == 1
        charge = replace(charge, has_own_terms=False)
        charge = charge.plus("audio_tags", 2.0, lambda charge: tag_loss(charge, 0))
        charge = charge.plus("visual_tags", 0.6, lambda charge: tag_loss(charge, 1))
        charge = charge.plus("clip_tags", 0.6, clip_loss)
        charge = charge.plus("contrast", 1.0, contrast)
        return charge.plus(
            "mutual", self.options.mutual_weight, lambda charge: mutual(charge, teaches_clip=teaches_clip)
        )

    def after_step(self, parser: HybridParser) -> None:
        """Count."""
        self.step += 1

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """Segments from .25 on, behind gates of .45 of their modality."""
        how = ("reach", "reach-double")
        return replace(rule, segment_threshold=0.25, gate="modality", clip_threshold=0.45, comparison=how, preset=None)


def mutual(charge: Charge, *, teaches_clip: bool) -> Tensor:
    """See `valor.parsers.evidence.mutual_loss`."""
    from valor.parsers.evidence import mutual_loss

    output = cast("PresenceOutput", charge.output)
    clip, modality = (output.clip_probs, output.clip_doubt), (output.modality_probs, output.modality_doubt)
    return mutual_loss(clip, modality, charge.weak_labels, teaches_clip=teaches_clip)


def check_ratios(name: str, source: str, plan: Plan) -> None:
    """Refuse pseudo labels, and published ratios of other classes, in a method that loses tags by noise ratios.

    Args:
        name: The method, as messages call it.
        source: As for `read_ratios`.
        plan: The recipe.

    Raises:
        ValueError: There are any.
    """
    if plan.fit.pseudo_label_weight:
        raise ValueError(
            f"methods.{name} trains on clip tags alone, got pseudo_label_weight={plan.fit.pseudo_label_weight:g}; "
            "set it to 0"
        )
    if source == PUBLISHED and plan.parser.num_classes != len(PUBLISHED_RATIOS[0]):
        raise ValueError(
            f"methods.{name}.ratios=published are of LLP's {len(PUBLISHED_RATIOS[0])} classes, got "
            f"{plan.parser.num_classes}; name a run folder of methods.jomold with an estimator"
        )


def losing_tags(name: str, source: str, warmup: float, run: Run) -> LosingTags:
    """JoMoLD's rule of lost tags with the ratios that a method names.

    Args:
        name: The method, as messages call it.
        source: As for `read_ratios`.
        warmup: Epochs in which the ratios come in.
        run: The training.

    Raises:
        ValueError: The ratios are of other classes than the training's, or as for `read_ratios`.
    """
    ratios = read_ratios(source, run, name)
    classes = len(run.given.class_names)
    if ratios.shape[1] != classes:
        raise ValueError(
            f"methods.{name}.ratios={source}: of {ratios.shape[1]} classes, and the training has {classes}; "
            "train methods.jomold on these"
        )
    return LosingTags(ratios, warmup)


def read_ratios(source: str, run: Run, name: str = "cmpae") -> Tensor:
    """Noise ratios, float64 [M, C].

    Args:
        source: `published`, or a run folder of `methods.jomold` with an estimator.
        run: Knows how to read one.
        name: The method, as messages call it.

    Raises:
        ValueError: There is no such run, or its estimator is still in training.
    """
    import torch

    if source == PUBLISHED:
        return torch.tensor(PUBLISHED_RATIOS, dtype=torch.float64)
    ratios = run.left_by(source).get("jomold.noise")
    if ratios is None:
        raise ValueError(
            f"methods.{name}.ratios={source}: no run of methods.jomold lies there that has noise ratios; train one to "
            "the end of its estimator's epochs first"
        )
    return ratios
