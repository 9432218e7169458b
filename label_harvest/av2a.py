"""AV2A's training-free decision: scores among the classes that are left, and thresholds that move with time.

A cosine becomes sigmoid(z), z among the classes still there. Classes a whole clip does not speak for are left out
first, which changes the scores of all others. Then each class has a threshold that falls from second to second, the
slower the more seconds it has marked; tracks are tidied, and events are looked at once more, each as a clip of its own.

Source:
    AV2A, CVPR 2025, and its code. Where both differ the code is followed: one vector stands for the sound of a whole
    clip, so that only the moving thresholds give its track any shape; weights of the label shift may be negative, and
    then thresholds rise; a single event is not looked at again; features are compared as they are, not normalised. Its
    main program files visual tracks under audio as well, which is not repeated here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .did_you_mean import did_you_mean
from .store.manifest import MODALITIES

TRACKS = ("combined", "visual", "audio")
"""Order of the rows of `kept_classes`."""

METHODS = ("naive", "cosine", "bbse", "bbse-cosine")
"""How thresholds move: not at all; with the likeness of neighbouring frames; with the estimated shift of labels; both.
"""


@dataclass(frozen=True, kw_only=True)
class Av2aOptions:
    """Numbers of the rule; the defaults are those of CLIP and CLAP, chosen by its authors on 200 clips of val."""

    audio_share: float = 0.45
    """Of the sound in combined scores; .5 for LanguageBind."""
    filter_threshold: float | None = 0.5
    """Clip scores a class must exceed to stay; .55 for LanguageBind; None keeps all."""
    threshold: float = 0.75
    """Where the thresholds of seconds begin."""
    refine_threshold: float | None = 0.75
    """Scores an event must exceed to stay; None looks at none."""
    decay: float = 1.0
    """How fast thresholds stop moving once a class is marked; 2.5 for LanguageBind."""
    method: str = "bbse-cosine"
    """One of METHODS."""
    combined_late: bool = False
    """Whether the combined track is where both others agree and not one of its own scores."""

    def __post_init__(self) -> None:
        """Refuse what is no rule."""
        if self.method not in METHODS:
            raise ValueError(
                f"method must be one of {', '.join(METHODS)}, got {self.method!r}{did_you_mean(self.method, METHODS)}"
            )
        if not 0 <= self.audio_share <= 1 or not 0 < self.threshold <= 1 or not self.decay >= 0:
            raise ValueError(
                "audio_share must be in 0..1, threshold above 0 and at most 1, decay not negative, got "
                f"{self.audio_share}, {self.threshold} and {self.decay}"
            )


class ClipEvidence(NamedTuple):
    """What is known of one clip."""

    frames: np.ndarray
    """float [T, C], similarities of the frame of each second with the texts."""
    clip_frames: np.ndarray
    """float [F, C], the same of frames spread over the clip."""
    audio: np.ndarray
    """float [C], the same of the sound of the whole clip with its texts."""
    embeddings: np.ndarray
    """float [T, D], of the frames."""
    span: Callable[[int, int], tuple[np.ndarray, np.ndarray]] | None = None
    """Gives `clip_frames` and `audio` of the seconds [start, stop) alone; None where events are not looked at again."""


def scores(similarities: np.ndarray) -> np.ndarray:
    """Sigmoid of z-scores among the classes, float [..., C]; deviations are over C - 1. One class alone is at 1/2."""
    away = similarities - similarities.mean(axis=-1, keepdims=True)
    if similarities.shape[-1] < 2:
        return np.full_like(similarities, 1 / 2)
    spread = similarities.std(axis=-1, ddof=1, keepdims=True)
    sure: np.ndarray = 1 / (1 + np.exp(-away / np.where(spread > 0, spread, 1)))
    return sure


def kept_classes(clip: ClipEvidence, options: Av2aOptions) -> np.ndarray:
    """Which classes stay in each of TRACKS, bool [3, C]."""
    if options.filter_threshold is None:
        return np.ones((len(TRACKS), len(clip.audio)), dtype=bool)
    seen, heard = scores(clip.clip_frames).mean(axis=0), scores(clip.audio)
    kept: np.ndarray = np.stack([_blend(seen, heard, options), seen, heard]) > options.filter_threshold
    return kept


def moving_thresholds(
    track_scores: np.ndarray, options: Av2aOptions, embeddings: np.ndarray | None = None
) -> np.ndarray:
    """Threshold of each second and class.

    Args:
        track_scores: float [T, C], see `scores`.
        options: Where thresholds begin, and how they move.
        embeddings: float [T, D], frames whose cosine slows a threshold; None for a sound, which has none.

    Returns:
        float64 [T, C].
    """
    found = np.full(track_scores.shape, float(options.threshold))
    if options.method == "naive" or not track_scores.shape[1]:
        return found
    marked = np.zeros(track_scores.shape)
    for t in range(len(track_scores) - 1):
        marked[t] = track_scores[t] > found[t]
        fall = options.threshold * np.exp(-options.decay * marked.sum(axis=0))
        if "cosine" in options.method and embeddings is not None:
            here, there = embeddings[t].astype(float), embeddings[t + 1].astype(float)
            fall = fall * (here @ there / max(np.linalg.norm(here) * np.linalg.norm(there), 1e-8))
        if "bbse" in options.method:
            fall = fall * label_shift(track_scores[: t + 1], marked[: t + 1], track_scores[t + 1])
        found[t + 1] = found[t] - fall
    return found


def label_shift(before: np.ndarray, marked: np.ndarray, coming: np.ndarray) -> np.ndarray:
    """How much of each class a coming second holds against what the seconds before it hold, times its scores.

    Args:
        before: float [t, C], scores of the seconds before.
        marked: [t, C] of 0 and 1, what was marked in them.
        coming: float [C], scores of the coming second.

    Returns:
        float64 [C]: w * coming, with w = (M'M + I)^-1 M' coming and M = before' marked / t.
    """
    confusion = before.T.astype(float) @ marked / len(before)  # [C, C]
    ratio = np.linalg.solve(confusion.T @ confusion + np.eye(len(coming)), confusion.T @ coming)
    shifted: np.ndarray = ratio * coming
    return shifted


def tidied(marked: np.ndarray) -> np.ndarray:
    """Leave out single seconds, and then bridge single gaps; bool [..., T, C] of the same."""
    kept = marked & (_shifted(marked, 1) | _shifted(marked, -1))
    tidy: np.ndarray = kept | (_shifted(kept, 1) & _shifted(kept, -1))
    return tidy


def av2a(clip: ClipEvidence, options: Av2aOptions = Av2aOptions()) -> dict[str, np.ndarray]:  # noqa: B008, frozen
    """Decide one clip.

    Returns:
        For each of TRACKS bool [T, C].

    Raises:
        ValueError: Shapes do not fit, or events are to be looked at again and nothing gives their evidence.
    """
    shapes = (clip.clip_frames.shape[-1:], clip.audio.shape, (*clip.embeddings.shape[:1], clip.frames.shape[-1]))
    if shapes != (clip.frames.shape[-1:], clip.frames.shape[-1:], clip.frames.shape):
        raise ValueError(
            "frames [seconds, classes], clip_frames [frames, classes], audio [classes] and embeddings [seconds, "
            f"features] must be of one clip, got {[list(held.shape) for held in clip[:4]]}"
        )
    if options.refine_threshold is not None and clip.span is None:
        raise ValueError("refine_threshold looks at events again, and nothing gives their evidence; set it to None")
    kept = dict(zip(TRACKS, kept_classes(clip, options), strict=True))
    own = MODALITIES if options.combined_late else TRACKS
    found = {track: _track(clip, track, kept[track], options) for track in own}
    return {track: found[track] if track in found else found["visual"] & found["audio"] for track in TRACKS}


def _track(clip: ClipEvidence, track: str, kept: np.ndarray, options: Av2aOptions) -> np.ndarray:
    """One track of a clip, bool [T, C], of the classes bool [C] that are left to it."""
    marked = np.zeros(clip.frames.shape, dtype=bool)
    if not kept.any():
        return marked
    held = _scores_of(track, scores(clip.frames[:, kept]), scores(clip.audio[kept]), options)  # [T, classes left]
    limits = moving_thresholds(held, options, None if track == "audio" else clip.embeddings)
    marked[:, kept] = tidied(held > limits)
    return marked if options.refine_threshold is None else _refined(clip, track, marked, kept, options)


def _refined(clip: ClipEvidence, track: str, marked: np.ndarray, kept: np.ndarray, options: Av2aOptions) -> np.ndarray:
    """Leave out the events that do not hold on their own, but for the best one."""
    events = _events(marked)
    if len(events) < 2:
        return marked
    assert clip.span is not None and options.refine_threshold is not None  # asked before
    place, found = np.cumsum(kept) - 1, []
    for name, start, stop in events:
        frames, audio = clip.span(start, stop)
        told = _scores_of(track, scores(frames[:, kept]).mean(axis=0), scores(audio[kept]), options)
        found.append(told[place[name]])
    held_up = [score > options.refine_threshold for score in found]
    if not any(held_up):
        held_up[int(np.argmax(found))] = True
    refined = np.zeros_like(marked)
    for (name, start, stop), holds in zip(events, held_up, strict=True):
        refined[start:stop, name] = holds
    return refined


def _events(marked: np.ndarray) -> list[tuple[int, int, int]]:
    """Class, first second and second after the last of every run, by class."""
    steps = np.diff(np.pad(marked.T.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    begins, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [(int(name), int(start), int(stop)) for (name, start), (_, stop) in zip(begins, ends, strict=True)]


def _scores_of(track: str, seen: np.ndarray, heard: np.ndarray, options: Av2aOptions) -> np.ndarray:
    if track == "combined":
        return _blend(seen, heard, options)
    return seen if track == "visual" else np.broadcast_to(heard, seen.shape)


def _blend(seen: np.ndarray, heard: np.ndarray, options: Av2aOptions) -> np.ndarray:
    blended: np.ndarray = (1 - options.audio_share) * seen + options.audio_share * heard
    return blended


def _shifted(marked: np.ndarray, by: int) -> np.ndarray:
    """Marks moved along time, none at the end they leave; bool [..., T, C]."""
    moved = np.zeros_like(marked)
    if by > 0:
        moved[..., by:, :] = marked[..., :-by, :]
    else:
        moved[..., :by, :] = marked[..., -by:, :]
    return moved
