"""Figures of scored systems, one call each: timelines, classes, threshold curves, pseudo labels, confusion."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from valor.data.tables import Split
from valor.eval.breakdown import breakdown, confusion, mean_defined
from valor.eval.curves import Curve, threshold_curves
from valor.eval.events import MODALITIES, BoolArray, Float64Array
from valor.eval.figures.bars import ClassFigures, LabelFigures, class_bars_figure, label_bars_figure
from valor.eval.figures.clip_media import Media
from valor.eval.figures.confusion import confusion_figure
from valor.eval.figures.curves import DrawnCurve, threshold_curves_figure
from valor.eval.figures.style import ON_SCREEN, Style
from valor.eval.figures.timeline import timeline_figure
from valor.eval.intervals import class_intervals
from valor.eval.scores import PER_CLIP
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.pixels import in_shape, pixel_shape
from valor.label_harvest.media.read import read_clip
from valor.label_harvest.store.manifest import composed, media_id
from valor.label_harvest.store.videos import find_media
from valor.labelling.quality import LabelQuality

from .over_seeds import ScoredSeeds
from .system import ScoredSystem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TYPICAL = "typical"
"""In the place of a clip's name: one that shows the task and flatters nobody."""
SHOWN = 3
"""How many clips are named where one is unknown."""

LEVEL_UNITS = {"segment": "segments", "event": "events"}
"""Unit of the counts at each level."""


def draw_timeline(
    systems: Sequence[ScoredSystem],
    split: Split,
    clip_id: str,
    *,
    videos: Path | None = None,
    of: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw one clip as the truth and several systems see it, its frames and its sound above where the media is there.

    Args:
        systems: What was scored on the split.
        split: The split, with its truth.
        clip_id: The clip, by its whole name; TYPICAL for the one `typical_clip` chooses.
        videos: Folder of media files, named as for `valor harvest`; None for rows alone.
        of: What the clips are of, said behind the line above.
        title: A line above, none for ""; the clip and its tags unless given.
        style: Width, theme and colours.

    Raises:
        ValueError: No such clip in the split, a system does not cover it, or its media has two candidates.
        MediaError: The media is there but cannot be decoded.
    """
    clip_id = _typical(systems, split) if clip_id == TYPICAL else composed(clip_id)
    if clip_id not in split.clip_ids or split.truth is None:
        of_file = [one for one in split.clip_ids if media_id(one) in (clip_id, media_id(clip_id))]
        near = of_file or get_close_matches(clip_id, split.clip_ids, cutoff=0.8) or split.clip_ids
        others = ", ".join(near[:SHOWN]) + ", ..." * (len(near) > SHOWN)
        raise ValueError(
            f"clip must be one of the {len(split.clip_ids):,} of the split {split.name!r}, such as {others}, or "
            f"{TYPICAL!r}, got {clip_id!r}"
        )
    row = split.clip_ids.index(clip_id)
    segments = split.truth.shape[1] if split.valid is None else int(split.valid[row].sum())
    tracks = [("truth", split.truth[row, :segments])]
    for system in systems:
        if clip_id not in system.predictions.clip_ids:
            raise ValueError(f"{system.name}: holds no prediction of the clip {clip_id!r}")
        tracks.append((system.name, system.predicted[system.predictions.clip_ids.index(clip_id), :segments]))
    tags = ", ".join(split.class_names[index].replace("_", " ") for index in np.flatnonzero(split.weak_labels[row]))
    return timeline_figure(
        tracks,
        split.class_names,
        title=_titled(title, f"{clip_id}, tagged {tags or 'with nothing'}", of),
        media=_media(videos, clip_id, segments, any_length=split.valid is not None),
        style=style,
    )


def typical_clip(truth: BoolArray, tagged: BoolArray, scores: Float64Array) -> int:
    """Choose a clip that shows the task and flatters nobody.

    Of the clips with two tags, of which something begins or ends within the clip in at least three of the four tracks
    (of all clips, where there are none such), the one on which all systems score most nearly what they do on average.

    Args:
        truth: bool [N, T, M, C].
        tagged: bool [N, C].
        scores: float64 [systems, N].
    """
    partial = (truth.any(axis=1) & ~truth.all(axis=1)).sum(axis=(1, 2))
    fits = (tagged.sum(axis=1) == 2) & (truth.any(axis=(1, 2)) == tagged).all(axis=1) & (partial >= 3)
    apart = np.abs(scores - scores.mean(axis=1, keepdims=True)).sum(axis=0)
    return int(np.where(fits | ~fits.any(), apart, np.inf).argmin())


def _typical(systems: Sequence[ScoredSystem], split: Split) -> str:
    """The typical clip of those that all systems have predicted."""
    first = systems[0].predictions.clip_ids
    rows = [{clip_id: n for n, clip_id in enumerate(system.predictions.clip_ids)} for system in systems]
    shared = [clip_id for clip_id in first if clip_id in split.clip_ids and all(clip_id in held for held in rows)]
    if not shared:
        raise ValueError(f"no clip of the split {split.name!r} is predicted by all of these")
    places = [[held[clip_id] for clip_id in shared] for held in rows]
    scores = [of.scores.per_clip[at, 0, : PER_CLIP.index("event_av")] for of, at in zip(systems, places, strict=True)]
    means = np.stack([one.mean(axis=1) for one in scores])  # Type@AV by clip
    return shared[typical_clip(systems[0].truth[places[0]], systems[0].weak_labels[places[0]], means)]


def _media(videos: Path | None, clip_id: str, num_segments: int, *, any_length: bool) -> Media | None:
    """Frames and sound of a clip, or None where there is no file of it."""
    path = find_media(videos, [clip_id])[clip_id] if videos is not None else None
    if path is None:
        return None
    grid = Grid(num_segments=num_segments, sample_rate=32000)
    if any_length:  # such a clip ends anywhere within its last segment
        grid = replace(grid, tolerance_seconds=grid.segment_seconds)
    clip = read_clip(path, grid=grid)
    frames = None if clip.frames is None else in_shape(clip.frames, pixel_shape(path))
    return Media(frames, clip.waveform)


def draw_classes(
    systems: Sequence[ScoredSystem | ScoredSeeds],
    class_names: Sequence[str],
    *,
    level: str = "segment",
    interval: bool = True,
    of: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw the F of every class, audible and visible, the class with most true segments on top.

    Classes that are in no clip are left out, and the title says how many.

    Args:
        systems: Systems scored on the same clips; of runs of several seeds the mean F is drawn.
        class_names: C names.
        level: segment or event.
        interval: Whether to draw 95 % bootstrap intervals over clips, of that mean where there are seeds.
        of: What the clips are of, said behind the line above.
        title: A line above, none for ""; what is shown unless given.
        style: Width, theme and colours.

    Raises:
        ValueError: The systems are of different clips, or there is none.
    """
    runs = [_runs_of(system) for system in systems]
    _check_same_clips([one for of_system in runs for one in of_system])
    tables = [
        [breakdown(one.predicted, one.truth, level=level, valid=one.valid) for one in of_system] for of_system in runs
    ]
    support = tables[0][0].true[: len(MODALITIES)]
    order = _class_order(runs[0][0])
    absent = int((~support.any(axis=0)).sum()) % len(class_names)  # of clips in which nothing is, all are drawn
    order = order[: len(class_names) - absent]
    bars = []
    for system, of_system, found in zip(systems, runs, tables, strict=True):
        mean = mean_defined(np.stack([table.f for table in found], axis=-1))  # [4, C]
        values = 100 * mean[: len(MODALITIES), order]
        low = high = None
        if interval:
            marks, first = [one.predicted for one in of_system], of_system[0]
            ends = class_intervals(marks, first.truth, level=level, valid=first.valid)
            low, high = (100 * end[:, order] for end in ends)
        bars.append(ClassFigures(name=system.name, values=values, low=low, high=high))
    ends_title = _seeds_in_words(runs) + ", with 95 % intervals over clips" * interval
    unit = LEVEL_UNITS[level]
    ends_title += f"; to the right, how many {unit} are true"
    ends_title += f"; left out: {absent} of {len(class_names)} classes, which are in no clip" * bool(absent)
    return class_bars_figure(
        bars,
        [class_names[index] for index in order],
        support=support[:, order],
        measure="F-score (%)",
        title=_titled(title, f"F by class in {unit}{ends_title}", of),
        style=style,
    )


def draw_curves(
    system: ScoredSystem | ScoredSeeds,
    class_names: Sequence[str],
    *,
    level: str = "segment",
    of: str = "",
    split: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw the F of every class against the threshold on its probability, gated as the rule says.

    Args:
        system: A system with probabilities; of runs of several seeds the mean F at each threshold is drawn.
        class_names: C names.
        level: segment or event.
        of: What the clips are of, said behind the line above.
        split: Name of the split they are, on which the marked thresholds are best.
        title: A line above, none for ""; what is shown unless given.
        style: Width, theme and colours.

    Raises:
        ValueError: The system holds decisions.
    """
    runs = _runs_of(system)
    curves = [threshold_curves(one.probs("a threshold curve"), one.truth, level=level, valid=one.valid) for one in runs]
    used = np.broadcast_to(_thresholds(runs[0]), runs[0].truth.shape[2:])
    occurs = np.asarray(runs[0].truth.any(axis=(0, 1)))  # [M, C]
    panels = [
        (
            class_names[index],
            [
                _mean_curve([of[modality][index] for of in curves], float(used[modality, index]))
                if occurs[modality, index]
                else None
                for modality in range(len(occurs))
            ],
        )
        for index in _class_order(runs[0]).tolist()
        if occurs[:, index].any()
    ]
    seeds = _seeds_in_words([runs])
    return threshold_curves_figure(
        panels,
        unit="probability",
        chosen_on=split,
        title=_titled(title, f"{system.name}: F by class in {LEVEL_UNITS[level]} against the threshold{seeds}", of),
        style=style,
    )


def _mean_curve(curves: Sequence[Curve], used: float) -> DrawnCurve:
    """The mean F of a class over seeds, at every threshold that changes one of them; 0 where a seed marks nothing."""
    thresholds = np.unique(np.concatenate([curve.thresholds for curve in curves]))
    marked = [np.searchsorted(-curve.thresholds, -thresholds, side="right") for curve in curves]
    heights = [np.append(0.0, curve.f)[places] for curve, places in zip(curves, marked, strict=True)]
    return DrawnCurve(thresholds=thresholds, f_scores=np.mean(heights, axis=0), used=used)


def _thresholds(system: ScoredSystem) -> np.ndarray:
    """The segment thresholds in use, of a shape that broadcasts to [M, C]."""
    given = system.report["post_processing"]["segment_threshold"]
    if isinstance(given, list) and given and isinstance(given[0], list):
        width = max(map(len, given))
        return np.array([row * width if len(row) == 1 else row for row in given])
    return np.array(given)


def draw_labels(
    qualities: Sequence[tuple[str, LabelQuality]], *, of: str = "", title: str | None = None, style: Style = ON_SCREEN
) -> "Figure":
    """Draw precision, recall and F of sets of pseudo labels.

    Args:
        qualities: (name, quality) of each set.
        of: What the clips are of, said behind the line above.
        title: A line above, none for ""; what is shown unless given.
        style: Width, theme and colours.

    Raises:
        ValueError: There are no labels.
    """
    bars = [
        LabelFigures(
            name=name,
            precision=(quality.precision["audio"], quality.precision["visual"]),
            recall=(quality.recall["audio"], quality.recall["visual"]),
            f_score=(quality.scores.segment.audio, quality.scores.segment.visual),
            type_av=quality.scores.segment.type_av,
        )
        for name, quality in qualities
    ]
    return label_bars_figure(bars, title=_titled(title, "Pseudo labels against the truth", of), style=style)


def draw_confusion(
    system: ScoredSystem | ScoredSeeds,
    class_names: Sequence[str],
    *,
    modality: str = "both",
    of: str = "",
    title: str | None = None,
    style: Style = ON_SCREEN,
) -> "Figure":
    """Draw what true segments of each class were taken for, classes in the order of `draw_classes`.

    Args:
        system: What was scored; of runs of several seeds the mean is drawn.
        class_names: C names.
        modality: audio, visual, or both added up.
        of: What the clips are of, said behind the line above.
        title: A line above, none for ""; what is shown unless given.
        style: Width and theme.

    Raises:
        ValueError: The modality is unknown.
    """
    if modality not in (known := (*MODALITIES, "both")):
        near = did_you_mean(modality, known)
        raise ValueError(f"modality must be one of {', '.join(known)}, got {modality!r}{near}")
    runs = _runs_of(system)
    matrices = np.mean([confusion(one.predicted, one.truth, valid=one.valid) for one in runs], axis=0)
    matrix = matrices.sum(axis=0) if modality == "both" else matrices[MODALITIES.index(modality)]
    order = _class_order(runs[0])
    names = [class_names[index] for index in order]
    matrix = matrix[order][:, [*order, *range(len(order), matrix.shape[1])]]
    occurs = matrix.any(axis=1)
    rows = [name for name, true in zip(names, occurs, strict=True) if true]
    what = {"audio": "audible", "visual": "visible", "both": "audible and visible"}[modality]
    return confusion_figure(
        matrix[occurs],
        rows,
        [*names, "nothing"],
        title=_titled(title, f"{system.name}: what true {what} segments were taken for{_seeds_in_words([runs])}", of),
        style=style,
    )


def _class_order(system: ScoredSystem) -> np.ndarray:
    """Positions of the classes in figures, int64 [C]: most true segments first, heard and seen added."""
    true = system.truth if system.valid is None else system.truth & system.valid[:, :, None, None]
    return np.argsort(-true.sum(axis=(0, 1, 2)), kind="stable")


def _runs_of(system: ScoredSystem | ScoredSeeds) -> tuple[ScoredSystem, ...]:
    """The runs of all seeds, or the single system."""
    return system.systems if isinstance(system, ScoredSeeds) else (system,)


def _seeds_in_words(runs: Sequence[Sequence[ScoredSystem]]) -> str:
    """Of how many seeds means are drawn; nothing where every system is a single run."""
    counts = sorted({len(of_system) for of_system in runs})
    return f", means over {' or '.join(map(str, counts))} seeds" if counts[-1:] > [1] else ""


def _titled(given: str | None, shown: str, of: str) -> str:
    """The line above a figure: what is shown unless one is given, with what it is of behind it; none for ""."""
    title = shown if given is None else given
    return f"{title} ({of})" if of and title else title


def _check_same_clips(systems: Sequence[ScoredSystem]) -> None:
    for system in systems[1:]:
        if system.predictions.clip_ids != systems[0].predictions.clip_ids:
            raise ValueError(
                f"{system.name} must be of the same clips as {systems[0].name}; score both on those they share"
            )
