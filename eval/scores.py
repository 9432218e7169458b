"""The ten F-scores of audio-visual video parsing, from counts: per clip, then averaged over clips.

Convention
    Per clip. F of a class is 2 hits / (2 hits + false alarms + misses); a clip scores the plain mean of F over the
    classes marked in its prediction or its truth. The figure is the plain mean over clips, in percent. It is not the
    F of counts added over the data set, and a class that is rare weighs as much as its clips do.
    Empty case. A clip in which neither prediction nor truth marks any class scores 1. So a prediction without a mark
    earns full points for every clip whose truth is empty in that modality.
    Five figures per level (segment, event; the levels are defined in counts.py):
        audio, visual, audio_visual: the three modalities;
        type_av (Type@AV): the mean of those three figures;
        event_av (Event@AV): hits, false alarms and misses of audio and visual added per class before F. The
        audio-visual modality has no part in it.
    Averages are taken in float64 and never rounded; rounding is for tables.

Anchors
    Since clips without a mark score 1, and most events last for most of their clip, knowing nothing, or nothing but the
    tags, scores well above zero. Read every table against `nothing_predicted` and `tags_copied`; on the LLP test split,
    segment level:

        ====================  =====  ======  ============  =======  ========
        prediction            audio  visual  audio-visual  Type@AV  Event@AV
        ====================  =====  ======  ============  =======  ========
        nothing predicted       0.5    10.1          14.5      8.4       0.0
        tags copied            76.1    60.3          52.6     63.0      71.7
        ====================  =====  ======  ============  =======  ========

Difference from the published script
    None in any figure: per-clip values within 1e-12, the ten figures within 1e-9 points on every golden vector.

Source
    Tian et al., "Unified multisensory perception: weakly-supervised audio-visual video parsing", ECCV 2020,
    section 5.1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
from .counts import check_marks, count_events, count_segments, pack_marks, words_with_audio_visual
from .events import MODALITIES, BoolArray, CountArray, Float64Array, Positions, Words, as_marks, overlap_fraction

LEVELS = ("segment", "event")
"""The level axis of per-clip scores."""

PER_CLIP = ("audio", "visual", "audio_visual", "event_av")
"""The figure axis of per-clip scores. Type@AV has no per-clip value of its own: it is the mean of three figures."""

BLOCK = 2048
"""Clips scored at a time: few enough for their counts to stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class LevelScores:
    """The five figures of one level, in percent."""

    audio: float
    visual: float
    audio_visual: float
    type_av: float
    event_av: float


FIGURES = tuple(figure.name for figure in fields(LevelScores))
"""The five figures of a level, in the order every published table prints them."""


@dataclass(frozen=True, kw_only=True)
class TenScores:
    """The ten F-scores of one system on one split: what a results file holds and a table shows."""

    segment: LevelScores
    event: LevelScores
    clips: int
    """How many clips were scored."""
    figures: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    """Figures of the data set's own metrics, in percent by name; None where one is not defined."""

    def to_dict(self) -> dict[str, Any]:
        """Return {"segment": {five figures}, "event": {five figures}, "clips": N}, percentages unrounded.

        Where the data set has metrics of its own, {"figures": {name: percentage}} as well.
        """
        own = {"figures": dict(self.figures)} if self.figures else {}
        return {"segment": asdict(self.segment), "event": asdict(self.event), "clips": self.clips} | own

    def to_frame(self) -> "pd.DataFrame":
        """The ten figures in percent as a table: a row for each level, the five figures as columns."""
        import pandas as pd

        return pd.DataFrame([asdict(self.segment), asdict(self.event)], index=pd.Index(LEVELS, name="level"))

    @staticmethod
    def from_dict(figures: Mapping[str, Any]) -> "TenScores":
        """Read back what `to_dict` wrote; other keys are left alone.

        Raises:
            ValueError: A level or a figure is missing, or is no number from 0 to 100.
        """
        try:
            levels = {
                level: {figure: _percentage(figures[level][figure], figure) for figure in FIGURES} for level in LEVELS
            }
            own = {
                str(name): None if value is None else _percentage(value, str(name))
                for name, value in dict(figures.get("figures", {})).items()
            }
            clips = figures["clips"]
            if not isinstance(clips, int) or isinstance(clips, bool) or clips < 1:
                raise ValueError(f"clips must be a whole number from 1 on, got {clips!r:.80}")
        except (KeyError, TypeError, ValueError) as error:
            what = f"{error.args[0]!r}, which is missing" if isinstance(error, KeyError) else error
            raise ValueError(
                f"scores need 'clips' and, under {' and '.join(LEVELS)}, the figures {', '.join(FIGURES)}; "
                f"failed at {what}; score the predictions again"
            ) from error
        segment, event = (LevelScores(**levels[level]) for level in LEVELS)
        return TenScores(segment=segment, event=event, clips=clips, figures=own)


def _percentage(figure: object, name: str) -> float:
    if isinstance(figure, bool) or not isinstance(figure, int | float) or not 0 <= figure <= 100 + 1e-9:
        raise ValueError(f"{name} must be a percentage from 0 to 100, got {figure!r:.80}")
    return float(figure)


@dataclass(frozen=True, kw_only=True)
class Scores(TenScores):
    """The ten F-scores and the per-clip values they are the means of."""

    per_clip: Float64Array = field(repr=False, compare=False)
    """float64 [N, 2 levels, 4 figures] in 0..1, axes LEVELS and PER_CLIP."""

    @classmethod
    def of_clips(cls, per_clip: Float64Array) -> Self:
        """Average per-clip values: for all clips, a subset, or a resample of them.

        Args:
            per_clip: float64 [N, 2 levels, 4 figures] in 0..1.

        Raises:
            ValueError: There is no clip to average over.
        """
        if per_clip.ndim != 3 or per_clip.shape[1:] != (len(LEVELS), len(PER_CLIP)) or not per_clip.shape[0]:
            raise ValueError(
                f"per_clip must be [clips, {len(LEVELS)} levels, {len(PER_CLIP)} figures] with at least one clip, "
                f"got {per_clip.shape}; there is nothing to average"
            )
        segment, event = (_level_scores(means) for means in per_clip.mean(axis=0).tolist())
        return cls(segment=segment, event=event, clips=per_clip.shape[0], per_clip=per_clip)


def score(predicted: BoolArray, truth: BoolArray, *, valid: BoolArray | None = None, min_iou: float = 0.5) -> Scores:
    """Score the decisions of a parser against the truth: the ten F-scores.

    Args:
        predicted: bool [N, T, M=2, C], True where the parser marks a segment; modalities (audio, visual). An array or
            a tensor; numbers that are all 0 or 1 count as marks.
        truth: bool [N, T, M=2, C], the annotated segments, same axes.
        valid: bool [N, T], True where a segment exists; None for clips of one length.
        min_iou: the overlap an event needs to be found, from 0.5 to 1.

    Returns:
        The ten figures in percent, with the per-clip values behind them.

    Raises:
        ValueError: An array is not bool, the shapes do not belong together, or a clip has no valid segment.

    Source:
        Tian et al., ECCV 2020, section 5.1; equal to the published script.

    Example:
        Four segments of one class, heard `####`, predicted `##..`, never seen:

        >>> predicted, truth = np.zeros((2, 1, 4, 2, 1), dtype=bool)
        >>> truth[0, :, 0] = predicted[0, :2, 0] = True
        >>> result = score(predicted, truth)
        >>> round(result.segment.audio, 1), result.event.audio, result.segment.visual
        (66.7, 100.0, 100.0)
    """
    predicted, truth = as_marks(predicted), as_marks(truth)
    valid = None if valid is None else as_marks(valid)
    check_clips(predicted, truth, valid)
    overlap = overlap_fraction(min_iou)
    blocks = []
    for start in range(0, len(predicted), BLOCK):
        clips = slice(start, start + BLOCK)
        lasts = None if valid is None else valid[clips]
        pair = pack_marks(predicted[clips], lasts), pack_marks(truth[clips], lasts)
        blocks.append(_block_scores(*pair, predicted.shape[1], overlap))
    return Scores.of_clips(np.concatenate(blocks))


def _block_scores(predicted: Words, truth: Words, num_segments: int, min_iou: Fraction) -> Float64Array:
    """Score clips from words [W, N, M=2, C]: float64 [N, 2 levels, 4 figures].

    Few classes are marked in a clip, and the others change nothing, so only those that are get counted.
    """
    clip, class_index = np.nonzero((predicted | truth).any(axis=(0, 2)))
    ours = words_with_audio_visual(predicted.swapaxes(2, 3)[:, clip, class_index])  # [W, K, 3]
    true = words_with_audio_visual(truth.swapaxes(2, 3)[:, clip, class_index])
    levels = count_segments(ours, true), count_events(ours, true, num_segments, min_iou)
    num_clips = predicted.shape[1]
    pooled = [np.concatenate([counts, counts[:, :1] + counts[:, 1:2]], axis=1) for counts in levels]  # axis PER_CLIP
    return np.stack([clip_means(counts, clip, num_clips) for counts in pooled], axis=1)


def clip_means(counts: CountArray, clip: Positions, num_clips: int) -> Float64Array:
    """Average F over the classes of each clip that are marked.

    Args:
        counts: int64 [K, F, 3], one row for each clip and class worth looking at; the last axis is (hits, false
            alarms, misses).
        clip: int [K], the clip of each row, 0 to N - 1.
        num_clips: N.

    Returns:
        float64 [N, F] in 0..1; 1.0 where no class is marked.
    """
    per_class, present = f_scores(counts)  # [K, F]
    figures = range(counts.shape[1])
    totals = np.column_stack([np.bincount(clip, per_class[:, figure], num_clips) for figure in figures])
    marked = np.column_stack([np.bincount(clip, present[:, figure], num_clips) for figure in figures])
    return np.where(marked, totals / np.maximum(marked, 1), 1.0)


def f_scores(counts: CountArray) -> tuple[Float64Array, BoolArray]:
    """Turn counts into F-scores, saying where there is one.

    Args:
        counts: int64 [..., 3], the last axis is (hits, false alarms, misses).

    Returns:
        float64 [...] in 0..1, zero where undefined, and bool [...], True where anything was marked.
    """
    twice_hits = 2 * counts[..., 0]
    decisions = twice_hits + counts[..., 1] + counts[..., 2]
    return twice_hits / np.maximum(decisions, 1), decisions > 0


def _level_scores(means: list[float]) -> LevelScores:
    audio, visual, audio_visual, event_av = (100 * mean for mean in means)
    return LevelScores(
        audio=audio,
        visual=visual,
        audio_visual=audio_visual,
        type_av=(audio + visual + audio_visual) / 3,
        event_av=event_av,
    )


def check_clips(predicted: BoolArray, truth: BoolArray, valid: BoolArray | None) -> None:
    """Check what per-clip scores need beyond counting: two modalities, and something to score in every clip.

    Args:
        predicted: bool [N, T, M=2, C].
        truth: bool [N, T, M=2, C].
        valid: bool [N, T] or None.

    Raises:
        ValueError: An array is not bool, the shapes do not belong together, or a clip has no valid segment.
    """
    check_marks(predicted, truth, valid)
    if predicted.shape[2] != len(MODALITIES) or not len(predicted):
        raise ValueError(
            f"predicted must be bool [clips, segments, {len(MODALITIES)} modalities {MODALITIES}, classes] of at "
            f"least one clip, got {predicted.dtype} {predicted.shape}"
        )
    if valid is not None and (hidden := truth.any(axis=(2, 3)) & ~valid).any():
        first = np.argwhere(hidden)[0].tolist()
        raise ValueError(
            f"the truth has events in {int(hidden.sum())} segments that valid says do not exist, first in row "
            f"{first[0]} segment {first[1]}; a segment with an event exists"
        )
    empty = np.flatnonzero(~valid.any(axis=1)) if valid is not None else np.empty(0)
    if empty.size:
        raise ValueError(
            f"every clip needs a valid segment, clips without one: {empty.size}, first at row {empty[0]}; "
            "leave them out"
        )


def nothing_predicted(truth: BoolArray) -> BoolArray:
    """Predict no event at all.

    Args:
        truth: bool [N, T, M, C]; only its shape is used.

    Returns:
        bool [N, T, M, C], all False.
    """
    return np.zeros_like(truth, dtype=np.bool_)


def tags_copied(weak_labels: BoolArray, num_segments: int) -> BoolArray:
    """Predict every tag of a clip in every segment, as audible and as visible.

    Args:
        weak_labels: bool [N, C], the true clip-level tags (papers call them video-level labels); or [N, M=2, C], where
            it is known which are heard and which are seen.
        num_segments: T of the clips.

    Returns:
        bool [N, T, M=2, C].

    Raises:
        ValueError: The tags are not bool [N, C] or [N, 2, C].
    """
    by_modality = weak_labels[:, np.newaxis] if weak_labels.ndim == 2 else weak_labels
    if weak_labels.dtype != np.bool_ or by_modality.ndim != 3 or by_modality.shape[1] not in (1, len(MODALITIES)):
        raise ValueError(f"weak_labels must be bool [clips, classes], got {weak_labels.dtype} {weak_labels.shape}")
    num_clips, _, num_classes = by_modality.shape
    copied = np.broadcast_to(by_modality[:, np.newaxis], (num_clips, num_segments, len(MODALITIES), num_classes))
    return copied.copy()


def levels_over(scores: Sequence[TenScores], statistic: Callable[[list[float]], float]) -> dict[str, Any]:
    """A statistic of each of the ten figures, and of those of the data set."""
    found: dict[str, Any] = {
        level: {figure: statistic([getattr(getattr(one, level), figure) for one in scores]) for figure in FIGURES}
        for level in LEVELS
    }
    own = {name: [one.figures[name] for one in scores] for name in scores[0].figures}
    if own:
        known = {name: [value for value in values if value is not None] for name, values in own.items()}
        found["figures"] = {name: statistic(held) if len(held) == len(scores) else None for name, held in known.items()}
    return found
