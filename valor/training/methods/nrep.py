"""NREP: logits for and against each class, two networks of one beginning, each kept by a figure of its own.

The network is `parser.network=for-against`. With l the cross-entropy of pairs (`valor.parsers.evidence.pair_loss`), l2
that of both their columns added, A and V the pseudo labels, y the tags, F the frame attention and t the joint one:

    2 l(audio segments, A) + l(visual segments, V) + contrast of the blended streams
    + w1 l2(audio, any A) + w2 l2(visual, any V)            w = (2, 1) of the audio network, (1, 3) of the other
    + .01 (l2(clip, y) + l2(joint segments, A V y))
    + .01 sum over sides of mean[sp(-F) + F + sp(-t) - 2 log 2]    F the higher of both modalities

The first network is trained and kept by what it hears; then the second begins at the same weights, is kept by
event-level Event@AV, and is the one asked what is seen. In the second part the first stands at its last epoch when an
epoch is judged, and not at the one that is kept, as in the published code.

Source: NREP, TNNLS, and its code. Differences: batches of the second network are those that follow, where the code
starts its shuffles anew.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from valor.label_harvest.did_you_mean import did_you_mean

from .method import Charge, Method, Plan, Run, check_two_parts

if TYPE_CHECKING:
    from torch import Tensor

    from valor.eval.decide import PostProcessing
    from valor.parsers.hybrid import HybridParser
    from valor.parsers.networks.nrep import ForAgainstOutput, TwoParsers

_PAIR_LOSSES = ("softmax", "belief", "log")
_KEPT = "audio."
"""Before the names of the audio network's weights in a resume point."""
_CLIP_WEIGHTS = ((2.0, 1.0), (1.0, 3.0))
"""Of audio and visual tags, for the audio network and for the visual one."""


@dataclass(frozen=True, kw_only=True)
class NrepOptions:
    """How long the first network is trained, and what both are charged."""

    audio_epochs: int = 10
    """Epochs of the network that is asked what is heard; those after them are of the other."""
    pair_loss: str = "softmax"
    """softmax, as its run script trains; or belief, or log, which its code has too, see `valor.parsers.evidence`."""
    contrast_weight: float = 1.0
    """Of the contrast of blended seconds."""
    clip_weight: float = 1.0
    """Of the pooled logits of each modality against its pseudo labels."""
    joint_weight: float = 0.01
    """Of what both modalities say together."""
    attention_weight: float = 0.01
    """Of the attention over time of the modalities, held to the joint one."""

    def __post_init__(self) -> None:
        """Refuse what would do nothing or harm."""
        if not isinstance(self.audio_epochs, int) or self.audio_epochs < 1:
            raise ValueError(f"audio_epochs must be a whole number of at least 1, got {self.audio_epochs!r}")
        if self.pair_loss not in _PAIR_LOSSES:
            raise ValueError(
                f"pair_loss must be one of {', '.join(_PAIR_LOSSES)}, got {self.pair_loss!r}"
                f"{did_you_mean(self.pair_loss, _PAIR_LOSSES)}"
            )
        for name in ("contrast_weight", "clip_weight", "joint_weight", "attention_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


class Nrep(Method[NrepOptions]):
    """Two networks, their losses, and the decision by beliefs."""

    Options = NrepOptions
    excludes = ("uwav", "jomold", "vplan", "average", "supervised", "avel", "mug")
    tuned = ("cuts",)
    published = "NREP"

    def __init__(self, options: NrepOptions) -> None:
        """Keep the options."""
        super().__init__(options)
        self.audio_kept: dict[str, Tensor] = {}
        """Weights of the audio network's best epoch so far."""
        self.second = False
        """Whether it is the second network's turn."""

    def check(self, plan: Plan) -> None:
        """Refuse another network, trainings without pseudo labels, and parts without an epoch."""
        if plan.parser.network != "for-against":
            raise ValueError(f"methods.nrep needs parser.network=for-against, got {plan.parser.network}")
        if not plan.fit.pseudo_label_weight:
            raise ValueError(
                "methods.nrep learns from pseudo labels, which pseudo_label_weight=0 leaves out; set it to 1"
            )
        check_two_parts("methods.nrep.audio_epochs", self.options.audio_epochs, plan)

    def network(self, parser: HybridParser, class_names: tuple[str, ...]) -> HybridParser:
        """Two of it, with the same weights."""
        from valor.parsers.networks.nrep import TwoParsers

        return TwoParsers([parser, copy.deepcopy(parser)], parser.options)

    def part(self, epoch: int, epochs: int) -> range:
        """The first network's epochs, then the second's."""
        first = self.options.audio_epochs
        return range(1, first + 1) if epoch <= first else range(first + 1, epochs + 1)

    def before_epoch(self, run: Run, epoch: int) -> bool:
        """Choose the network that is trained."""
        self.second = epoch > self.options.audio_epochs
        cast("TwoParsers", run.parser).trained = int(self.second)
        return False

    def select_by(self, figure: str, epoch: int) -> str:
        """What each is kept by."""
        return "event.event_av" if epoch > self.options.audio_epochs else "segment.audio"

    def kept(self, parser: HybridParser) -> HybridParser:
        """Both networks, the first as it was kept."""
        first = cast("TwoParsers", parser).parsers[0]
        if not self.second:
            self.audio_kept = {name: tensor.detach().clone() for name, tensor in first.state_dict().items()}
            return parser
        both = copy.deepcopy(cast("TwoParsers", parser))
        both.parsers[0].load_state_dict(self.audio_kept)
        return both

    def decision(self, rule: PostProcessing) -> PostProcessing:
        """Beliefs of segments from .25 on, behind those of their modality from .45 on."""
        return replace(rule, segment_threshold=0.25, gate="modality", clip_threshold=0.45, preset="nrep")

    def charge(self, charge: Charge) -> Charge:
        """Its own losses in place of VALOR's."""
        options, weights = self.options, _CLIP_WEIGHTS[self.second]
        charge = replace(charge, has_own_terms=False)
        charge = charge.plus("audio_segments", 2.0, lambda charge: self._segments(charge, 0))
        charge = charge.plus("visual_segments", 1.0, lambda charge: self._segments(charge, 1))
        charge = charge.plus("audio_clip", options.clip_weight * weights[0], lambda charge: self._clip(charge, 0))
        charge = charge.plus("visual_clip", options.clip_weight * weights[1], lambda charge: self._clip(charge, 1))
        charge = charge.plus("joint_clip", options.joint_weight, self._joint_clip)
        charge = charge.plus("joint_segments", options.joint_weight, self._joint_segments)
        charge = charge.plus("contrast", options.contrast_weight, blended_contrast)
        charge = charge.plus("attention_for", options.attention_weight, lambda charge: attention_loss(charge, 0))
        return charge.plus("attention_against", options.attention_weight, lambda charge: attention_loss(charge, 1))

    def _loss(self, pairs: Tensor, targets: Tensor, sides: int) -> Tensor:
        from valor.parsers.evidence import pair_loss

        return pair_loss(pairs, targets, sides=sides, kind=self.options.pair_loss)

    def _segments(self, charge: Charge, modality: int) -> Tensor:
        pairs, labels = _output(charge).segment_pairs[:, :, modality], _labels(charge)[:, :, modality]
        return self._loss(*_where_valid(charge, pairs, labels), sides=1)

    def _clip(self, charge: Charge, modality: int) -> Tensor:
        return self._loss(
            _output(charge).modality_pairs[:, modality], _labels(charge)[:, :, modality].amax(dim=1), sides=2
        )

    def _joint_clip(self, charge: Charge) -> Tensor:
        return self._loss(_output(charge).clip_pairs, charge.weak_labels, sides=2)

    def _joint_segments(self, charge: Charge) -> Tensor:
        both = _labels(charge).prod(dim=2) * charge.weak_labels[:, None]  # [B, T, C]
        return self._loss(*_where_valid(charge, _output(charge).joint_pairs, both), sides=2)

    def state(self) -> dict[str, Tensor]:
        """The audio network as it was kept."""
        return {f"{_KEPT}{name}": tensor for name, tensor in self.audio_kept.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take it back."""
        self.audio_kept = {name.removeprefix(_KEPT): tensor for name, tensor in state.items()}


def blended_contrast(charge: Charge) -> Tensor:
    """See `valor.parsers.losses.contrast_loss`; of the streams that both passes blend into."""
    from valor.parsers.losses import contrast_loss

    heard, seen = _output(charge).blend.unbind(2)
    return contrast_loss(heard, seen, charge.batch.valid)


def attention_loss(charge: Charge, side: int) -> Tensor:
    """What keeps the attention of the modalities and the joint one together, of one side."""
    output = _output(charge)
    frame, joint = output.attention[..., side].amax(dim=2), output.joint_attention[..., side]  # [B, T, C]
    return attention_agreement(*_where_valid(charge, frame, joint))


def attention_agreement(frame: Tensor, joint: Tensor) -> Tensor:
    """Mean of sp(-F) + F + sp(-t) - 2 log 2, scalar of two tensors of one shape."""
    from torch.nn.functional import softplus

    return (softplus(-frame) + frame + softplus(-joint) - 2 * math.log(2)).mean()


def _output(charge: Charge) -> ForAgainstOutput:
    return cast("ForAgainstOutput", charge.output)


def _labels(charge: Charge) -> Tensor:
    assert charge.pseudo_labels is not None  # asked by check
    return charge.pseudo_labels


def _where_valid(charge: Charge, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Segments that exist, of two tensors [B, T, ...]."""
    valid = charge.batch.valid
    return (first, second) if valid is None else (first[valid], second[valid])
