"""JoMoLD: tags are taken away from the modality that most likely does not hold them.

A network learns clean labels first, so a label whose loss stays high is likely wrong. A tag that is true of a clip may
be false of one modality. Per modality and class, the noise ratio is the share of tagged clips whose pooled probability
is below a strength times the mean over all clips; the training set is looked at once, when the warm-up epochs are over.
In each batch a modality then loses a tag if the loss of the tag is among the n highest of the tagged clips in this
modality and among the n lowest in the other, n being the noise ratio of the batch's tagged clips, rounded down.

Source: Cheng et al., ECCV 2022, and its code. There, a network of its own, trained without cross-modal attention and
with a contrastive loss, estimates the ratios, and the training proper has losses of its own and takes those that tags
are lost by from a pass without cross-modal attention: that is `estimator_epochs=25`, in one run of two parts, as the
recipe `jomold` has it. Without, on any recipe, it is the parser itself that is asked, the loss is that of the step's
own pass, the ratios come in after the warm-up and means are over clips. With pseudo labels in the loss, which JoMoLD
does not have, those of a lost tag are dropped from the segment losses with it; feature mix-up, where it is on, blends
all pseudo labels, those of lost tags among them. Pseudo labels know their modality already, so the rule is at home in
training on tags alone.

What the code does and the paper does not say: the gradual warm-up overwrites the ratios it scales, so that nothing is
lost in the first epoch and everything from the second on; a seen tag is compared after smoothing (.95 of its
probability against 1.8 means); ratios are over means of batch means; a lost tag's target is 0 where one that was never
there has .05.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .method import Charge, Method, Plan, Run, check_two_parts

if TYPE_CHECKING:
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.parsers.hybrid import HybridParser


def check_denoising(options: Any, plan: Plan, name: str) -> None:  # noqa: ANN401, of either rule
    """Refuse a warm-up that lasts to the end."""
    if options.warmup_epochs >= plan.fit.epochs:
        fitting = f"methods.{name}.warmup_epochs={max(1, plan.fit.epochs // 2)}" + " fit.epochs=2" * (
            plan.fit.epochs < 2
        )
        raise ValueError(
            f"methods.{name}.warmup_epochs must be fewer than the {plan.fit.epochs} epochs, got "
            f"{options.warmup_epochs}; say {fitting} too"
        )


def check_strengths(options: Any) -> None:  # noqa: ANN401, of either rule
    """Refuse a warm-up of no epoch, and strengths that are none."""
    if not isinstance(options.warmup_epochs, int) or options.warmup_epochs < 1:
        raise ValueError(f"warmup_epochs must be a whole number of at least 1, got {options.warmup_epochs!r}")
    for name in ("audio", "visual"):
        if not 0 <= getattr(options, name) < math.inf:
            raise ValueError(f"{name} must not be negative, got {getattr(options, name)}")


@dataclass(frozen=True, kw_only=True)
class JomoldOptions:
    """When the labels are looked at, and how strictly."""

    warmup_epochs: int = 5
    """Epochs trained on the labels as they are, before the parser is asked about them; without an estimator alone."""
    audio: float = 0.6
    """A heard tag is doubtful below this many mean probabilities; 0 leaves audio alone."""
    visual: float = 1.8
    """The same for a seen tag."""
    estimator_epochs: int = 0
    """Epochs, at the beginning of the training, of a network of its own that estimates the ratios, as published (25); 0
    for none."""
    ratio_warmup: float = 0.9
    """Epochs after the estimator's in which the ratios come in, as its code has it; 0 for at once."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        check_strengths(self)
        if not isinstance(self.estimator_epochs, int) or self.estimator_epochs < 0:
            raise ValueError(f"estimator_epochs must be a whole number of at least 0, got {self.estimator_epochs!r}")
        if not 0 <= self.ratio_warmup < math.inf:
            raise ValueError(f"ratio_warmup must not be negative, got {self.ratio_warmup}")


_ESTIMATOR = "estimator."
"""Before the names of its weights in a resume point."""

ESTIMATOR_WEIGHTS = (1.0, 1.0, 1.0)
TRAINING_WEIGHTS = (2.0, 1.0, 1.0)
"""Of the losses of audio tags, visual tags and clip tags."""


class Jomold(Method[JomoldOptions]):
    """Tags lost by one modality."""

    Options = JomoldOptions
    excludes = ("vplan",)
    published = "JoMoLD"

    def __init__(self, options: JomoldOptions) -> None:
        """Keep the options; labels are looked at when training begins."""
        super().__init__(options)
        self.ratios: Tensor | None = None
        """float64 [M, C] of `noise_ratios`, once the labels were looked at."""
        self.losing: LosingTags | None = None
        """Of the training proper, where an estimator came before it."""
        self.estimator: dict[str, Tensor] = {}
        """Weights of the estimator's best epoch so far."""

    def check(self, plan: Plan) -> None:
        """Refuse a training in which no modality is held to tags or labels of its own."""
        first = self.options.estimator_epochs
        if not first and not (plan.fit.pseudo_label_weight or plan.fit.guided_weight):
            raise ValueError(
                "methods.jomold takes labels away from one modality, and the weak loss knows none; set "
                "guided_weight or pseudo_label_weight"
            )
        if not first:
            return check_denoising(self.options, plan, "jomold")
        if plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.jomold.estimator_epochs trains on clip tags alone, got pseudo_label_weight="
                f"{plan.fit.pseudo_label_weight:g}; set it to 0"
            )
        if plan.parser.encoder != "hybrid" or plan.parser.network != "hybrid":
            raise ValueError(
                "methods.jomold.estimator_epochs asks each stream alone, which the encoder and network hybrid can; got "
                f"{plan.parser.encoder} and {plan.parser.network}"
            )
        if "average" in plan.methods:
            raise ValueError("methods.average runs through both parts of methods.jomold; switch one of them off")
        if "mug" in plan.methods:
            raise ValueError(
                "methods.jomold.estimator_epochs contrasts sound and picture of one scene, which clips of methods.mug "
                "are not; switch one of them off"
            )
        check_two_parts("methods.jomold.estimator_epochs", first, plan)

    def part(self, epoch: int, epochs: int) -> range:
        """The estimator's epochs, then the others."""
        first = self.options.estimator_epochs
        return range(1, first + 1) if epoch <= first else range(first + 1, epochs + 1)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Look at the labels once, in the first epoch after the warm-up, on the weights that would be kept."""
        first = self.options.estimator_epochs
        if first:
            self._before_epoch_of_two(run, epoch)
        elif self.ratios is None and epoch > self.options.warmup_epochs:
            import torch

            from ..predict import predict_split

            probs = torch.from_numpy(predict_split(run.judged, run.given).modality_probs)
            self.ratios = noise_ratios(probs, run.given.own_tags.cpu(), (self.options.audio, self.options.visual))
        return False

    def _before_epoch_of_two(self, run: Run, epoch: int) -> None:
        """Train the estimator, ask it, and begin again."""
        first = self.options.estimator_epochs
        run.parser.crossed = epoch > first
        if epoch <= first:
            return
        if self.ratios is None:
            import torch

            from ..predict import predict_split

            run.parser.load_state_dict(self.estimator)
            run.parser.crossed = False
            probs = torch.from_numpy(predict_split(run.parser, run.given).modality_probs)
            self.ratios = noise_ratios(
                probs,
                run.given.own_tags.cpu(),
                (self.options.audio, self.options.visual),
                smoothing=(run.options.audio_smoothing, run.options.visual_smoothing),
                batch_size=run.options.batch_size,
            )
            self.estimator, run.parser.crossed = {}, True
            run.restart()
        self.losing = LosingTags(self.ratios, self.options.ratio_warmup)
        self.losing.begin(epoch - first - 1, steps_of(run))

    def charge(self, charge: Charge) -> Charge:
        """Take the lost tags of the batch away."""
        if self.losing is not None:
            return charge_tags(self.losing.charged(charge), TRAINING_WEIGHTS)
        if self.options.estimator_epochs:
            return charge_tags(charge, ESTIMATOR_WEIGHTS)
        if self.ratios is None:
            return charge
        self.ratios = self.ratios.to(charge.weak_labels.device)
        smoothing = (charge.options.audio_smoothing, charge.options.visual_smoothing)
        kept = ~lost_tags(charge.output.modality_probs, charge.own_tags, self.ratios, smoothing)
        return replace(charge, kept=kept if charge.kept is None else kept & charge.kept)

    def kept(self, parser: HybridParser) -> HybridParser:
        """The parser; of the estimator's epochs the weights are remembered."""
        if self.options.estimator_epochs and self.losing is None:
            self.estimator = {name: tensor.detach().clone() for name, tensor in parser.state_dict().items()}
        return parser

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """With an estimator, as published: each modality by its own gate."""
        return replace(rule, gate="modality", preset=None) if self.options.estimator_epochs else rule

    def state(self) -> dict[str, Tensor]:
        """The noise ratios, or the estimator so far."""
        found = {} if self.ratios is None else {"noise": self.ratios}
        return found | {f"{_ESTIMATOR}{name}": tensor for name, tensor in self.estimator.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        self.ratios = state.get("noise")
        held = {name: tensor for name, tensor in state.items() if name.startswith(_ESTIMATOR)}
        self.estimator = {name.removeprefix(_ESTIMATOR): tensor for name, tensor in held.items()}


def steps_of(run: Run) -> int:
    """Steps of an epoch."""
    return run.options.steps_of_epoch(len(run.train))


class LosingTags:
    """The published rule in a training: who loses which tag is decided on a pass without cross-modal attention."""

    def __init__(self, ratios: Tensor, warmup: float) -> None:
        """Take the ratios, float64 [M, C], and the epochs in which they come in."""
        self.ratios, self.warmup = ratios, warmup
        self.now = ratios
        """Those of the coming step, as the warm-up has left them."""
        self.step, self.steps = 0, 1

    def begin(self, epochs_done: int, steps: int) -> None:
        """Begin an epoch of so many steps."""
        self.now, self.step, self.steps = self.ratios, epochs_done * steps, steps

    def next_ratios(self) -> Tensor:
        """The ratios of the coming step. The published warm-up scales what it scaled before."""
        if self.warmup:
            self.now = self.now.minimum(self.now * (self.step / (self.warmup * self.steps)))
        self.step += 1
        return self.now

    def charged(self, charge: Charge) -> Charge:
        """The charge without the lost tags of its batch."""
        import torch

        batch, options = charge.batch, charge.options
        with torch.no_grad():
            alone = charge.parser.answer_alone(
                batch.audio, batch.visual, batch.motion, batch.valid, after=charge.output
            )
        ratios = self.next_ratios().to(charge.weak_labels.device)
        smoothing = (options.audio_smoothing, options.visual_smoothing)
        return replace(charge, kept=~lost_tags(alone.modality_probs, charge.own_tags, ratios, smoothing))


def charge_tags(charge: Charge, weights: tuple[float, float, float]) -> Charge:
    """A charge of the tags of each modality and of the clip, and of the contrast of its seconds, instead of VALOR's."""
    charge = replace(charge, has_own_terms=False)
    charge = charge.plus("audio_tags", weights[0], lambda charge: tag_loss(charge, 0))
    charge = charge.plus("visual_tags", weights[1], lambda charge: tag_loss(charge, 1))
    charge = charge.plus("clip_tags", weights[2], clip_loss)
    return charge.plus("contrast", 1.0, contrast)


def tag_loss(charge: Charge, modality: int) -> Tensor:
    """Cross-entropy of one modality with the smoothed tags it has kept."""
    from valor.parsers.losses import smoothed_tags, weak_loss

    options = charge.options
    targets = smoothed_tags(charge.own_tags, (options.audio_smoothing, options.visual_smoothing))
    if charge.kept is not None:
        targets = targets * charge.kept
    return weak_loss(charge.output.modality_probs[:, modality], targets[:, modality])


def clip_loss(charge: Charge) -> Tensor:
    """Cross-entropy of the clip with its tags."""
    from valor.parsers.losses import weak_loss

    return weak_loss(charge.output.clip_probs, charge.weak_labels)


def contrast(charge: Charge) -> Tensor:
    """See `valor.parsers.losses.contrast_loss`."""
    from valor.parsers.losses import contrast_loss

    heard, seen = charge.output.features.unbind(2)
    return contrast_loss(heard, seen, charge.batch.valid)


def noise_ratios(
    modality_probs: Tensor,
    weak_labels: Tensor,
    strengths: tuple[float, float],
    *,
    smoothing: tuple[float, float] = (0.0, 0.0),
    batch_size: int | None = None,
) -> Tensor:
    """Share of the clips tagged with a class in which a modality hardly shows it.

    Args:
        modality_probs: float [N, M, C].
        weak_labels: bool [N, C], or [N, M, C] of tags of each modality.
        strengths: Of audio and visual, in means over all clips.
        smoothing: Of the tags a probability is multiplied by before it is compared, see
            `valor.parsers.losses.smoothed_tags`.
        batch_size: Clips of which means are taken, whose mean then counts, the last ones as much as the others; None
            for the mean over all clips.

    Returns:
        float64 [M, C] in [0, 1]; 0 for a class no clip is tagged with.
    """
    import torch

    from valor.parsers.losses import smoothed_tags

    probs, tagged = modality_probs.double(), weak_labels[:, None] if weak_labels.dim() == 2 else weak_labels
    batches = torch.split(probs, batch_size or len(probs))
    means = torch.stack([batch.mean(dim=0) for batch in batches]).mean(dim=0)  # [M, C]
    shown = probs * smoothed_tags(weak_labels.double(), smoothing)
    doubtful = tagged & (shown < torch.tensor(strengths).double()[:, None] * means)  # [N, M, C]
    return doubtful.sum(dim=0) / tagged.sum(dim=0).clamp_min(1).double()


def lost_tags(
    modality_probs: Tensor, weak_labels: Tensor, ratios: Tensor, smoothing: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Tags a modality of the clips of a batch is to lose.

    Args:
        modality_probs: float [B, M, C], of this step.
        weak_labels: float [B, C] of 0 and 1, or [B, M, C] of tags of each modality.
        ratios: float64 [M, C], of `noise_ratios`.
        smoothing: Of the tags the losses are taken against, see `valor.parsers.losses.smoothed_tags`.

    Returns:
        bool [B, M, C], only where the clip is tagged.
    """
    from valor.parsers.losses import log_likelihood, smoothed_tags

    tagged = weak_labels > 1 / 2
    tagged = tagged[:, None] if tagged.dim() == 2 else tagged  # [B, 1 or M, C]
    losses = -log_likelihood(modality_probs.detach(), smoothed_tags(weak_labels, smoothing))  # [B, M, C]
    count = (ratios * tagged.sum(dim=0)).floor()  # [M, C]
    from_top = _ranks(losses.masked_fill(~tagged, -math.inf), descending=True)
    from_bottom = _ranks(losses.masked_fill(~tagged, math.inf), descending=False)
    return tagged & (from_top < count) & (from_bottom.flip(1) < count)


def _ranks(values: Tensor, *, descending: bool) -> Tensor:
    """Place of each clip among those of the batch, from 0."""
    return values.argsort(dim=0, descending=descending, stable=True).argsort(dim=0)
