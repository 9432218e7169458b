"""CoLeaF: reference networks of one modality each, trained beside an anchor, teach it what is heard or seen alone.

The anchor is CMPAE's network (`parser.network=presence`). In each step the reference networks step first, each with an
Adam of its own, and are asked again. With P the smoothed tags a modality has kept (JoMoLD's rule, as in
`methods.cmpae`), L the sum of `valor.parsers.networks.coleaf.asymmetric_loss`, k the class tokens:

    audio     L(p, P) + 1.2 L(k, P);  from epoch 4  1/2 L(p, P) + .001 L(k, P) + 1/2 L(p, P where the anchor reaches .5)
    visual    L(p, P) + L(k, P);      from epoch 4  1/2 L(p, P) +              1/2 L(p, P where the anchor reaches .6)
    anchor    2 BCE(audio, P) + BCE(visual, P) + 2 BCE(g, y) + contrast + mutual
              from epoch 2  + 1e-4 (K_audio + K_visual) + .009 C_audio + C_visual

C is the contrast of the reference network's seconds with the anchor's, each clip counting by how far its events are of
that modality alone. K compares which classes go together; its code sums where a mean was meant, so that it grows with
the square of the batch.

Source: CoLeaF, ECCV 2024, and its code, which keeps the epoch by the mean of the ten figures on events of one modality
alone (`figures.exclusive_mean`). Every layer call there draws random numbers that nothing uses, so that seeds cannot be
matched; the dropping of the other stream that they were meant for is not applied there and not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .cmpae import PUBLISHED, check_ratios, losing_tags, mutual
from .jomold import LosingTags, clip_loss, contrast, steps_of, tag_loss
from .method import Charge, Method, Plan, Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.eval.metrics import Judged, Metric
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.coleaf import ReferenceNet, ReferenceOutput

FROM_TEACHING, FROM_ANCHOR = 2, 4
"""Epochs from which the anchor is taught, and the reference networks are held to what the anchor finds."""
REACHED = (0.5, 0.6)
"""What the anchor must say of a class for that, of audio and visual."""
TOGETHER, ALIKE = 1e-4, (0.009, 1.0)
"""Weights of K, and of both C."""
EXCLUSIVE = "exclusive_mean"
"""The figure epochs are kept by."""


@dataclass(frozen=True, kw_only=True)
class ColeafOptions:
    """Where the ratios are from."""

    ratios: str = PUBLISHED
    """`published`, which are of LLP's 25 classes; or a run folder of `methods.jomold` with an estimator."""
    ratio_warmup: float = 0.9
    """Epochs in which the ratios come in, as its code has it; 0 for at once."""

    def __post_init__(self) -> None:
        """Refuse a warm-up that is none."""
        if not 0 <= self.ratio_warmup < math.inf:
            raise ValueError(f"ratio_warmup must not be negative, got {self.ratio_warmup}")


class Coleaf(Method[ColeafOptions]):
    """The reference networks, the losses, and the decision."""

    Options = ColeafOptions
    excludes = ("uwav", "jomold", "vplan", "supervised", "avel", "nrep", "cmpae", "mug", "mm-cse", "leap")
    tuned = ("cuts ?", "gates ?")
    published = "CoLeaF"

    def __init__(self, options: ColeafOptions) -> None:
        """Keep the options; the networks are made when training begins."""
        super().__init__(options)
        self.losing: LosingTags | None = None
        self.nets: tuple[ReferenceNet, ...] = ()
        self.optimisers: tuple[torch.optim.Optimizer, ...] = ()
        self.epoch, self.step = 0, 0

    def check(self, plan: Plan) -> None:
        """Refuse another network, pseudo labels, and ratios of other classes."""
        if plan.parser.network != "presence" or plan.parser.audio_map:
            raise ValueError(
                "methods.coleaf needs parser.network=presence on features without whole HTSAT maps, got "
                f"{plan.parser.network}{' with audio_map' * plan.parser.audio_map}"
            )
        check_ratios("coleaf", self.options.ratios, plan)

    def start(self, run: Run) -> None:
        """Read the ratios, and make the reference networks."""
        import torch

        from valor.parsers.networks.coleaf import ReferenceNet

        classes = len(run.given.class_names)
        self.losing = losing_tags("coleaf", self.options.ratios, self.options.ratio_warmup, run)
        options, device = run.parser.options, next(run.parser.parameters()).device
        visual = (options.visual_width // options.visual_frames, *[options.motion_width] * (options.motion_width > 0))
        given = {"heads": options.num_heads, "feedforward_width": options.feedforward_width}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(run.options.seed)
            nets = [
                ReferenceNet(held, options.hidden_width, classes, **given) for held in ((options.audio_width,), visual)
            ]
        self.take(tuple(net.to(device) for net in nets))

    def take(self, nets: tuple[ReferenceNet, ...]) -> None:
        """Train these reference networks, of audio and visual, from their beginnings."""
        import torch

        self.nets = nets
        self.optimisers = tuple(torch.optim.Adam(net.parameters()) for net in nets)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Count."""
        self.epoch, self.step = epoch, 0
        if self.losing is not None:
            self.losing.begin(epoch - 1, steps_of(run))
        return False

    def learning_rate(self, rate: float, epoch: int) -> float:
        """The reference networks have the same."""
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        return rate

    def charge(self, charge: Charge) -> Charge:
        """Let the reference networks step, and charge the anchor."""
        from valor.parsers.losses import smoothed_tags

        if self.losing is not None:
            charge = self.losing.charged(charge)
        options, teaches_clip = charge.options, self.step % 2 == 1
        targets = smoothed_tags(charge.own_tags, (options.audio_smoothing, options.visual_smoothing))
        targets = targets if charge.kept is None else targets * charge.kept  # [B, M, C]
        told = self.references(charge, targets)
        charge = replace(charge, has_own_terms=False)
        charge = charge.plus("audio_tags", 2.0, lambda charge: tag_loss(charge, 0))
        charge = charge.plus("visual_tags", 1.0, lambda charge: tag_loss(charge, 1))
        charge = charge.plus("clip_tags", 2.0, clip_loss)
        charge = charge.plus("contrast", 1.0, contrast)
        charge = charge.plus("mutual", 1.0, lambda charge: mutual(charge, teaches_clip=teaches_clip))
        if self.epoch < FROM_TEACHING:
            return charge
        for modality, name in enumerate(("audio", "visual")):
            charge = charge.plus(f"together_{name}", TOGETHER, _together(modality, told, targets))
            charge = charge.plus(f"alike_{name}", ALIKE[modality], _alike(modality, told))
        return charge

    def references(self, charge: Charge, targets: Tensor) -> tuple[ReferenceOutput, ReferenceOutput]:
        """Let both reference networks step, and ask them again; targets float [B, M, C]."""
        import torch

        batch = charge.batch
        visual = (batch.visual,) if batch.motion is None else (batch.visual, batch.motion)
        told = []
        for modality, (net, optimiser, given) in enumerate(
            zip(self.nets, self.optimisers, ((batch.audio,), visual), strict=True)
        ):
            anchor = charge.output.modality_probs[:, modality].detach()
            asked = net(*given, valid=batch.valid, ask_tokens=token_weight(modality, self.epoch) > 0)
            loss = reference_loss(asked, targets[:, modality], anchor, modality, self.epoch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            with torch.no_grad():
                told.append(net(*given, valid=batch.valid, ask_tokens=False))
        return told[0], told[1]

    def after_step(self, parser: HybridParser) -> None:
        """Count."""
        self.step += 1

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """Segments from .25 on, behind gates of .52 of their modality."""
        how = ("reach", "reach-double")
        return replace(rule, segment_threshold=0.25, gate="modality", clip_threshold=0.52, comparison=how, preset=None)

    def metrics(self) -> Mapping[str, Metric]:
        """The mean of the ten figures on events of one modality alone."""
        return {EXCLUSIVE: exclusive_mean}

    def state(self) -> dict[str, Tensor]:
        """Weights of the reference networks, and what their optimisers remember."""
        found: dict[str, Tensor] = {}
        for number, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            for name, parameter in net.named_parameters():
                found[f"{number}.weight.{name}"] = parameter.detach()
                for kind, held in optimiser.state.get(parameter, {}).items():
                    found[f"{number}.{kind}.{name}"] = held
        return found

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take them back."""
        for number, (net, optimiser) in enumerate(zip(self.nets, self.optimisers, strict=True)):
            for name, parameter in net.named_parameters():
                parameter.data.copy_(state[f"{number}.weight.{name}"])
                kinds = {kind: state.get(f"{number}.{kind}.{name}") for kind in ("step", "exp_avg", "exp_avg_sq")}
                held = {kind: tensor for kind, tensor in kinds.items() if tensor is not None}
                if held:
                    optimiser.state[parameter] = {
                        kind: tensor.clone() if kind == "step" else tensor.to(parameter.device, copy=True)
                        for kind, tensor in held.items()
                    }


def reference_loss(told: ReferenceOutput, targets: Tensor, anchor: Tensor, modality: int, epoch: int) -> Tensor:
    """What a reference network is charged with in an epoch; targets and probabilities of the anchor float [B, C]."""
    from valor.parsers.networks.coleaf import asymmetric_loss

    loss = asymmetric_loss(told.probs, targets)
    if epoch >= FROM_ANCHOR:
        loss = (loss + asymmetric_loss(told.probs, targets * (anchor >= REACHED[modality]))) / 2
    weight = token_weight(modality, epoch)
    return loss if told.token_probs is None else loss + weight * asymmetric_loss(told.token_probs, targets)


def token_weight(modality: int, epoch: int) -> float:
    """What the class tokens of a reference network count in an epoch; those of visual nothing from the fourth on."""
    return ((0.001, 0.0) if epoch >= FROM_ANCHOR else (1.2, 1.0))[modality]


def exclusive_mean(judged: Judged) -> float | None:
    """See the top of this file; in percent."""
    from valor.eval.breakdown import exclusive_ten
    from valor.eval.scores import FIGURES, LEVELS

    ten = exclusive_ten(judged.predicted, judged.truth, valid=judged.valid)
    return float(sum(getattr(getattr(ten, level), figure) for level in LEVELS for figure in FIGURES) / 10)


def _together(
    modality: int, told: tuple[ReferenceOutput, ReferenceOutput], targets: Tensor
) -> Callable[[Charge], Tensor]:
    from valor.parsers.networks.coleaf import cooccurrence_loss, teacher_probs

    def take(charge: Charge) -> Tensor:
        own = charge.output.modality_probs[:, modality]
        return cooccurrence_loss(own, teacher_probs(own, told[modality].probs, targets[:, modality], modality))

    return take


def _alike(modality: int, told: tuple[ReferenceOutput, ReferenceOutput]) -> Callable[[Charge], Tensor]:
    from valor.parsers.losses import contrast_loss
    from valor.parsers.networks.coleaf import event_weights

    def take(charge: Charge) -> Tensor:
        features = charge.output.features[:, :, modality]
        weights = event_weights((told[0].probs, told[1].probs))[modality]
        counts = weights[:, None].expand(features.shape[:2])
        return contrast_loss(told[modality].features, features, charge.batch.valid, counts)

    return take
