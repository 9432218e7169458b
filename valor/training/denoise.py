"""Label denoising: a parser that has learned from labels for a while says which of them it finds hard to believe.

Both rules rest on the observation that a network learns clean labels first, so that a label whose loss stays high is
likely wrong. Each looks at the training set once, when the warm-up epochs are over; what it finds is kept for the rest
of the run and is part of the resume point. The strengths, `denoise_audio` and `denoise_visual`, are numbers of their
own in each rule; 0 leaves a modality alone.

jomold: A tag that is true of a clip may be false of one modality. Per modality and class, the noise ratio is the share
    of tagged clips whose pooled probability is below strength (audio 0.6, visual 1.8) times the mean over all clips. In
    each batch a modality then loses a tag if the loss of the tag is among the n highest of the tagged clips in this
    modality and among the n lowest in the other, n being the noise ratio of the batch's tagged clips, rounded down.

    Source: JoMoLD, Cheng et al., ECCV 2022, and its code. Differences: there, a network of its own with a contrastive
    loss and without cross-modal attention estimates the ratios and gives the losses; here it is the parser itself, and
    the loss is that of the step's own pass. There the ratios come in gradually over the first 0.9 epochs; here they
    come in after the warm-up. With pseudo labels in the loss, which JoMoLD does not have, those of a lost tag are
    dropped from the segment losses with it; feature mix-up (`valor.training.step`), where it is on, blends all pseudo
    labels,
    those of lost tags among them. Pseudo labels know their modality already, so the rule is at home in training on tags
    alone.

vplan: A pseudo label is flipped if its loss is abnormally large for its track, the segments of one clip, modality and
    tagged class: more than strength (visual 10, audio 0) times the mean of the lower half of the track's losses.

    Source: VPLAN, Zhou et al., arXiv 2303.02344, and its journal version, IJCV 2024, which flip visual labels whenever
    "abnormally large forward losses occur", of a network trained on them before. Differences: the parser at the end
    of the warm-up is that network, without the paper's richness loss; and a label is only flipped if the parser rather
    believes the opposite, without which every label of a confident track would be at risk. The reference loss and the
    strength are set here; the papers' exact numbers were not at hand.
"""

from dataclasses import replace

import torch
from torch import Tensor

from valor.data.clips import ClipSet
from valor.parsers.hybrid import HybridParser
from valor.parsers.losses import log_likelihood, smoothed_tags

from .options import FitOptions
from .predict import predict_split

STRENGTHS = {"jomold": (0.6, 1.8), "vplan": (0.0, 10.0)}
"""Of audio and visual, where the options leave them open."""


def find_noise(parser: HybridParser, train: ClipSet, options: FitOptions) -> Tensor:
    """Ask the parser about the labels of the training set.

    Args:
        parser: At the end of the warm-up; left as it is.
        train: With its labels.
        options: Rule and strengths.

    Returns:
        On the CPU: for jomold the noise ratios, float64 [M, C]; for vplan bool [N, T, M, C], True where a pseudo label
        is to be flipped.
    """
    given = (options.denoise_audio, options.denoise_visual)
    strengths = [own if value is None else value for value, own in zip(given, STRENGTHS[options.denoise], strict=True)]
    predictions = predict_split(parser, train)
    weak_labels = train.weak_labels.cpu()
    if options.denoise == "jomold":
        return noise_ratios(torch.from_numpy(predictions.modality_probs), weak_labels, strengths)
    if train.pseudo_labels is None:
        raise ValueError("denoise=vplan flips pseudo labels, got a training set without")
    valid = None if train.valid is None else train.valid.cpu()
    return abnormal_labels(
        torch.from_numpy(predictions.segment_probs), train.pseudo_labels.cpu(), weak_labels, strengths, valid
    )


def flip_labels(train: ClipSet, flipped: Tensor) -> ClipSet:
    """The training set with the labels changed that `find_noise` found by the rule vplan."""
    labels, flipped = train.pseudo_labels, flipped.to(train.weak_labels.device)
    if labels is None:
        raise ValueError("denoise=vplan flips pseudo labels, got a training set without")
    changed = labels ^ flipped if labels.dtype == torch.bool else torch.where(flipped, 1 - labels, labels)
    return replace(train, pseudo_labels=changed)


def noise_ratios(modality_probs: Tensor, weak_labels: Tensor, strengths: list[float]) -> Tensor:
    """Share of the clips tagged with a class in which a modality hardly shows it (rule jomold).

    Args:
        modality_probs: float [N, M, C].
        weak_labels: bool [N, C].
        strengths: Of audio and visual, in means over all clips.

    Returns:
        float64 [M, C] in [0, 1]; 0 for a class no clip is tagged with.
    """
    probs, tagged = modality_probs.double(), weak_labels[:, None]
    doubtful = tagged & (probs < torch.tensor(strengths).double()[:, None] * probs.mean(dim=0))  # [N, M, C]
    return doubtful.sum(dim=0) / tagged.sum(dim=0).clamp_min(1).double()


def lost_tags(
    modality_probs: Tensor, weak_labels: Tensor, ratios: Tensor, smoothing: tuple[float, float] = (0.0, 0.0)
) -> Tensor:
    """Tags a modality of the clips of a batch is to lose (rule jomold).

    Args:
        modality_probs: float [B, M, C], of this step.
        weak_labels: float [B, C] of 0 and 1.
        ratios: float64 [M, C], of `noise_ratios`.
        smoothing: Of the tags the losses are taken against, see `valor.parsers.losses.smoothed_tags`.

    Returns:
        bool [B, M, C], only where the clip is tagged.
    """
    tagged = (weak_labels > 1 / 2)[:, None]  # [B, 1, C]
    losses = -log_likelihood(modality_probs.detach(), smoothed_tags(weak_labels, smoothing))  # [B, M, C]
    count = (ratios * tagged.sum(dim=0)).floor()  # [M, C]
    from_top = _ranks(losses.masked_fill(~tagged, -torch.inf), descending=True)
    from_bottom = _ranks(losses.masked_fill(~tagged, torch.inf), descending=False)
    return tagged & (from_top < count) & (from_bottom.flip(1) < count)


def abnormal_labels(
    segment_probs: Tensor, labels: Tensor, weak_labels: Tensor, strengths: list[float], valid: Tensor | None = None
) -> Tensor:
    """Pseudo labels to flip (rule vplan).

    Args:
        segment_probs: float [N, T, M, C].
        labels: [N, T, M, C], bool or float in [0, 1].
        weak_labels: bool [N, C].
        strengths: Of audio and visual, in mean losses of the lower half of a track; 0 leaves a modality alone.
        valid: bool [N, T], True where a segment exists; None when all do.

    Returns:
        bool [N, T, M, C].
    """
    wanted = labels.to(segment_probs.dtype)
    losses = -log_likelihood(segment_probs, wanted)  # [N, T, M, C]
    if valid is None:
        valid = torch.ones(losses.shape[:2], dtype=torch.bool)
    half = (valid.sum(dim=1) + 1).div(2, rounding_mode="floor")[:, None, None]  # [N, 1, 1], at least 1
    rising = losses.where(valid[:, :, None, None], torch.inf).sort(dim=1).values
    lower = torch.arange(losses.shape[1])[:, None, None] < half[:, None]  # [N, T, 1, 1]
    reference = rising.where(lower, 0).sum(dim=1) / half  # [N, M, C]
    factor = torch.tensor(strengths, dtype=losses.dtype)[:, None]
    abnormal = (factor > 0) & (losses > (factor * reference)[:, None])
    opposite = (segment_probs - wanted).abs() > 1 / 2
    return abnormal & opposite & weak_labels[:, None, None] & valid[:, :, None, None]


def _ranks(values: Tensor, *, descending: bool) -> Tensor:
    """Place of each clip among those of the batch, from 0."""
    return values.argsort(dim=0, descending=descending, stable=True).argsort(dim=0)
