"""The terms a parser is trained on, as plain functions of its output; each is a mean over all its elements."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .hybrid import ParserOutput

_SMALLEST_PROB = 1e-7
_CONTRAST_TEMPERATURE = 0.2


class LossTerms(NamedTuple):
    """What one batch is charged with, before weighting; scalars."""

    weak: Tensor
    """Pooled clip probability against the clip tags."""
    audio: Tensor | None
    """Audio segment logits against their pseudo labels; None when the batch has none."""
    visual: Tensor | None
    """Visual segment logits against their pseudo labels; None when the batch has none."""
    guided: Tensor | None = None
    """Pooled probability of each modality against the smoothed clip tags; None when not asked for."""


def weak_loss(clip_probs: Tensor, weak_labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of the pooled probability, clamped to [1e-7, 1 - 1e-7]; no gradient where the clamp acts.

    Args:
        clip_probs: float [B, C].
        weak_labels: float [B, C] in [0, 1].
        weights: float [B], what each clip counts; the mean is over all of them nevertheless. None for 1 each.

    Returns:
        Scalar, the mean over clips and classes, absent classes included.

    Source:
        VALOR code, NeurIPS 2023.
    """
    likelihood = log_likelihood(clip_probs, weak_labels)
    return -(likelihood if weights is None else likelihood * weights[:, None]).mean()


def log_likelihood(probs: Tensor, labels: Tensor) -> Tensor:
    """Log-likelihood of each label under its probability, clamped to [1e-7, 1 - 1e-7].

    Args:
        probs: float, any shape.
        labels: float in [0, 1], of the same shape.

    Returns:
        float, of the same shape; the binary cross-entropy is its negative.
    """
    # Written out: torch's binary_cross_entropy aborts on NaN before anyone can say which clips it came from.
    probs = probs.clamp(_SMALLEST_PROB, 1 - _SMALLEST_PROB)
    return labels * probs.log() + (1 - labels) * (1 - probs).log()


def smoothed_tags(weak_labels: Tensor, smoothing: tuple[float, float]) -> Tensor:
    """What the guided loss holds each modality to.

    Args:
        weak_labels: float [B, C] in [0, 1]; or [B, M, C], where it is known which tags are heard and which are seen.
        smoothing: Of audio and of visual, in [0, 1]; a tag y becomes (1 - smoothing) * y + smoothing / 2.

    Returns:
        float [B, M, C].
    """
    of_modality = (weak_labels, weak_labels) if weak_labels.dim() == 2 else weak_labels.unbind(1)
    return torch.stack(
        [(1 - share) * tags + share / 2 for tags, share in zip(of_modality, smoothing, strict=True)], dim=1
    )


def guided_loss(
    modality_probs: Tensor,
    weak_labels: Tensor,
    smoothing: tuple[float, float],
    kept: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of the pooled probability of each modality with its tags, smoothed by modality.

    A tag may be true of one modality alone; smoothing says how little a modality should trust it. Without pseudo labels
    this term is what makes each modality speak for itself.

    Args:
        modality_probs: float [B, M, C], M is (audio, visual).
        weak_labels: float [B, C] in [0, 1], the tags of the clip; or [B, M, C], those of each modality.
        smoothing: Of audio and of visual, see `smoothed_tags`.
        kept: bool [B, M, C], False where a modality is to have no such tag, a target of 0; None when all stay.
        weights: As for `weak_loss`.

    Returns:
        Scalar, the sum over modalities of the mean over clips and classes.

    Source:
        Tian et al., ECCV 2020 (HAN), "individual-guided learning with label smoothing"; HAN smooths audio by 0 and
        visual by 0.1.
    """
    targets = smoothed_tags(weak_labels, smoothing)  # [B, M, C]
    if kept is not None:
        targets = targets * kept
    audio, visual = (
        weak_loss(probs, tags, weights) for probs, tags in zip(modality_probs.unbind(1), targets.unbind(1), strict=True)
    )
    return audio + visual


def pseudo_label_loss(
    segment_logits: Tensor, pseudo_labels: Tensor, valid: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy with logits of one modality's segments against its pseudo labels.

    Args:
        segment_logits: float [B, T, C].
        pseudo_labels: float [B, T, C] in [0, 1].
        valid: bool [B, T], True where a segment exists; None when all do.
        weights: float, what each counts, of a shape that broadcasts to [B, T, C]; None for 1 each.

    Returns:
        Scalar, the mean over the valid segments and all classes.

    Source:
        Lai, Chen and Wang, NeurIPS 2023 (VALOR).
    """
    if weights is not None:
        weights = weights.expand_as(segment_logits)  # [B, T, C]
        weights = weights if valid is None else weights[valid]
    if valid is not None:
        segment_logits, pseudo_labels = segment_logits[valid], pseudo_labels[valid]  # [valid segments, C]
    return functional.binary_cross_entropy_with_logits(segment_logits, pseudo_labels, weight=weights)


def contrast_loss(audio: Tensor, visual: Tensor, valid: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Whether what is heard in a second is more like what is seen in it than like what is seen in others of the clip.

    Args:
        audio: float [B, T, D], encoded.
        visual: float [B, T, D].
        valid: bool [B, T], True where a segment exists; None when all do.
        weights: float [B, T], what each segment counts; the mean is over all of them nevertheless. None for 1 each.

    Returns:
        Scalar, the mean over clips and segments of `choice_loss` of the cosines over 0.2.

    Source:
        Codes of JoMoLD, ECCV 2022, CMPAE and NREP.
    """
    logits = similarities(audio, visual)  # [B, T, T]
    right = torch.arange(audio.shape[1], device=audio.device).expand(audio.shape[:2])  # [B, T]
    if valid is None:
        return choice_loss(logits, right, weights=weights)
    kept = None if weights is None else weights[valid]
    return choice_loss(logits.masked_fill(~valid[:, None], float("-inf"))[valid], right[valid], weights=kept)


def similarities(audio: Tensor, visual: Tensor) -> Tensor:
    """Cosines over 0.2 of each second heard with each second seen of the same clip, float [B, T, T]."""
    cosines = functional.normalize(audio, dim=-1) @ functional.normalize(visual, dim=-1).transpose(1, 2)
    return cosines / _CONTRAST_TEMPERATURE


def choice_loss(logits: Tensor, right: Tensor, smoothing: float = 0.1, *, weights: Tensor | None = None) -> Tensor:
    """The negative logarithm of the probability of the right one among several, a share of it taken from the others.

    The share is inside the logarithm: -log((1 - smoothing) p_right + smoothing / (S - 1) * sum of the others).

    Args:
        logits: float [..., S].
        right: int64 [...].
        smoothing: What the others have together.
        weights: float [...], what each counts; None for 1 each.

    Returns:
        Scalar, the mean.
    """
    probs = logits.softmax(dim=-1)
    chosen = probs.gather(-1, right[..., None])[..., 0]
    others = max(logits.shape[-1] - 1, 1)
    losses = -((1 - smoothing) * chosen + smoothing / others * (probs.sum(dim=-1) - chosen)).log()
    return (losses if weights is None else losses * weights).mean()


def loss_terms(  # noqa: PLR0913, what terms are taken from
    output: ParserOutput,
    weak_labels: Tensor,
    pseudo_labels: Tensor | None = None,
    valid: Tensor | None = None,
    *,
    smoothing: tuple[float, float] | None = None,
    kept: Tensor | None = None,
    weights: Tensor | None = None,
    modality_tags: Tensor | None = None,
    clip_weights: Tensor | None = None,
) -> LossTerms:
    """All terms of one batch.

    Args:
        output: The parser's answer.
        weak_labels: float [B, C] in [0, 1].
        pseudo_labels: float [B, T, M, C] in [0, 1]; None leaves their terms out.
        valid: bool [B, T], True where a segment exists; None when all do.
        smoothing: Of the guided term, see `guided_loss`; None leaves it out.
        kept: bool [B, M, C], False where a modality is to have neither the tag nor pseudo labels; None when all stay.
        weights: float, what each segment and class counts in the segment losses, of a shape that broadcasts to
            [B, T, M, C]; None for 1 each.
        modality_tags: float [B, M, C] in [0, 1], which tags are heard and which are seen, for the guided term; None
            where nobody says it.
        clip_weights: float [B], what each clip counts in all terms, whose means are over all clips nevertheless; None
            for 1 each.

    Returns:
        The terms, unweighted.
    """
    weak = weak_loss(output.clip_probs, weak_labels, clip_weights)
    tags = weak_labels if modality_tags is None else modality_tags
    guided = None if smoothing is None else guided_loss(output.modality_probs, tags, smoothing, kept, clip_weights)
    if pseudo_labels is None:
        return LossTerms(weak, None, None, guided)
    if kept is not None:
        pseudo_labels = pseudo_labels * kept[:, None]  # [B, T, M, C]
    if clip_weights is not None:
        of_clips = clip_weights[:, None, None, None]
        weights = of_clips if weights is None else of_clips * weights
    by_modality = (None, None) if weights is None else weights.expand_as(output.segment_logits).unbind(2)
    audio, visual = (
        pseudo_label_loss(logits, labels, valid, counts)
        for logits, labels, counts in zip(
            output.segment_logits.unbind(2), pseudo_labels.unbind(2), by_modality, strict=True
        )
    )
    return LossTerms(weak, audio, visual, guided)


def total_loss(terms: LossTerms, *, pseudo_label_weight: float = 1.0, guided_weight: float = 1.0) -> Tensor:
    """Weighted sum of the terms, each times its own weight: weak + guided + audio + visual."""
    total = terms.weak if terms.guided is None else terms.weak + guided_weight * terms.guided
    for term in (terms.audio, terms.visual):
        if term is not None:
            total = total + pseudo_label_weight * term
    return total
