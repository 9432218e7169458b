"""UnAV-100: dense audio-visual events in untrimmed videos of 10 to 60 s, Geng et al., CVPR 2023.

A data folder holds `unav100_annotations.json` as it is published, and `dataset.json` with {"dataset": "unav"}:

    {"version": "unav100", "database": {ID: {"duration": 43.5, "subset": "train" | "validation" | "test",
     "annotations": [{"segment": [1.25, 9.0], "label": "dog barking", "label_id": 12}, ...]}}}

Splits lie interleaved in the file; its order is that of the clips. Events are audible and visible at once and nothing
is said of the rest, so the truth is the same for both modalities: of the ten F-scores, those of audio-visual are the
data set's; audio and visual say how much of what either marks is audible and visible.

Two truths stand beside each other. On segments, an event marks every segment it touches (from floor to ceiling, as
published with UWAV; the figures of F). In seconds it is as annotated (`Split.events`; mAP). A clip has as many segments
as it takes to cover it. Segments last one second (`unav`), half (`unav-0.5`) or a quarter of one (`unav-0.25`):
proposals on whole seconds cannot reach more than 83.5 to 89.7 mAP, see `ceilings`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np

from valor.eval.decide import probs_with_audio_visual
from valor.eval.detection import (
    TIOUS,
    DetectionPrecision,
    Detections,
    TrueEvents,
    detection_precision,
    events_of_marks,
)
from valor.eval.events import MODALITIES, BoolArray, Float64Array, Runs
from valor.eval.metrics import Judged, Metric
from valor.eval.proposals import ProposalRule, proposals_of
from valor.eval.soft_nms import soft_nms
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.strict_json import as_list, as_number, as_object, as_text, as_whole, loads

from ..tables import MOST_SEGMENTS, Layout, Split, refuse_too_many_marks

UNAV_FILE = "unav100_annotations.json"
"""The file, as published."""

SLACK = 1e-6
"""Seconds by which an event may end beyond its clip, for the rounding of decimals."""

UNAV_NAMES = tuple(
    (
        "man speaking, woman speaking, kid speaking, male singing, people laughing, car passing by, baby laughter, "
        "wind noise, people clapping, people shouting, people crowd, female singing, dog barking, playing acoustic "
        "guitar, people eating, people cheering, basketball bounce, engine knocking, playing tennis, baby "
        "babbling, striking bowling, playing badminton, cat meowing, people slapping, playing piano, baby crying, "
        "people burping, orchestra, playing drum kit, playing violin, machine gun shooting, child singing, people "
        "nose blowing, playing electronic organ, people sneezing, dog howling, skateboarding, playing base guitar, "
        "auto racing, sea waves, playing table tennis, people coughing, people whispering, playing ukulele, sheep "
        "bleating, playing tabla, fire truck siren, playing volleyball, beat boxing, playing trumpet, thunder, "
        "playing cello, playing harp, hammering nails, people running, sailing, telephone bell ringing, frog "
        "croaking, driving motorcycle, playing cornet, playing clarinet, train wheels squealing, playing flute, "
        "playing trombone, playing erhu, bull bellowing, raining, skidding, chainsawing trees, police car siren, "
        "playing saxophone, fireworks banging, driving buses, tap dancing, airplane flyby, people whistling, train "
        "horning, vacuum cleaner cleaning floors, playing accordion, bird chirping, vehicle honking, church bell "
        "ringing, playing snare drum, playing synthesizer, typing on computer keyboard, singing choir, lions "
        "roaring, people slurping, helicopter, horse clip-clop, water burbling, lawn mowing, playing banjo, "
        "playing zither, playing harmonica, people battle cry, people sobbing, ambulance siren, rope skipping, "
        "hair dryer drying"
    ).split(", ")
)
"""The 100 classes in the order of their numbers, spelled as published."""


UNAV_SIZES = {"train": 6_489, "validation": 2_134, "test": 2_167}
"""Videos of each split."""

UNAV_LAYOUT = Layout(
    {split: f"{split}.tsv" for split in UNAV_SIZES}, {"unav100": ("audio.tsv", "visual.tsv")}, tuple(UNAV_SIZES)
)
"""Its splits, all with dense truth; as tables they would be called so."""


class Gridded(Protocol):
    """What the reader asks of a data set."""

    @property
    def seconds(self) -> float:
        """What a segment lasts."""


@dataclass(frozen=True)
class _Video:
    """What the file says of one video."""

    clip_id: str
    seconds: float
    rows: tuple[tuple[int, float, float], ...]
    """Class, onset and offset of each event."""


def _videos(folder: Path, names: Sequence[str]) -> dict[str, list[_Video]]:
    """The videos of every split.

    Raises:
        ValueError: The file is none of these; says which video.
        FileNotFoundError: It is not there.
    """
    path = folder / UNAV_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; UnAV-100 is published as this one file of annotations")
    found: dict[str, list[_Video]] = {split: [] for split in UNAV_LAYOUT.tags}
    place = {name: index for index, name in enumerate(names)}
    try:
        database = as_object(as_object(loads(path.read_bytes()), "the file").get("database"), "database")
        for clip_id, held in database.items():
            video = as_object(held, clip_id)
            subset = as_text(video.get("subset"), f"{clip_id}: subset").lower()
            if subset not in found:
                raise ValueError(
                    f"{clip_id}: subset must be one of {', '.join(found)}, got {subset!r}{did_you_mean(subset, found)}"
                )
            found[subset].append(_video(as_text(clip_id, "the name of a video"), video, place))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def _video(clip_id: str, held: Mapping[str, Any], place: Mapping[str, int]) -> _Video:
    seconds = as_number(held.get("duration"), f"{clip_id}: duration", 1e-3, MOST_SEGMENTS / 4)
    rows = []
    for number, entry in enumerate(as_list(held.get("annotations"), f"{clip_id}: annotations")):
        where = f"{clip_id}: event {number}"
        event = as_object(entry, where)
        name = as_text(event.get("label"), f"{where}: label")
        if name not in place:
            raise ValueError(f"{where}: unknown class {name!r}{did_you_mean(name, list(place))}")
        said = as_whole(event.get("label_id"), f"{where}: label_id")
        if name in UNAV_NAMES and UNAV_NAMES.index(name) != said:
            raise ValueError(f"{where}: {name} has the number {UNAV_NAMES.index(name)}, got label_id {said}")
        ends = as_list(event.get("segment"), f"{where}: segment")
        if len(ends) != 2:
            raise ValueError(f"{where}: a segment has an onset and an offset, got {len(ends)} numbers")
        onset, offset = (as_number(end, f"{where}: segment") for end in ends)
        if not 0 <= onset < offset <= seconds + SLACK:
            raise ValueError(f"{where}: an event lies within its clip of {seconds:g} s, got {onset:g} to {offset:g} s")
        rows.append((place[name], onset, min(offset, seconds)))
    return _Video(clip_id, seconds, tuple(rows))


def read_unav(dataset: Gridded, folder: Path, split: str, names: tuple[str, ...], version: str) -> Split:
    """Read a split of UnAV-100; see `DataSet.reader`.

    Raises:
        ValueError: The file is damaged, the split is empty, or its marks would not fit into memory.
        FileNotFoundError: The file is not there.
    """
    videos = _videos(folder, names)[split]
    if not videos:
        raise ValueError(f"{folder / UNAV_FILE}: no video of the split {split}")
    clip_seconds = np.array([video.seconds for video in videos])
    events = _columns(videos)
    lasts = _segments(clip_seconds, dataset.seconds, up=True)
    shape = len(videos), int(lasts.max()), len(MODALITIES), len(names)
    refuse_too_many_marks(shape, f"{folder / UNAV_FILE}: {split}", dataset.seconds)
    truth = np.zeros(shape, dtype=np.bool_)
    start = _segments(events.onset, dataset.seconds, up=False)
    stop = _segments(events.offset, dataset.seconds, up=True)
    for clip, name, first, last in zip(events.clip, events.class_index, start, stop, strict=True):
        truth[clip, first:last, :, name] = True
    weak_labels: BoolArray = np.logical_or.reduce(truth[:, :, 0], axis=1)
    digest = hashlib.sha256(repr([(video.clip_id, video.seconds, video.rows) for video in videos]).encode())
    return Split(
        split,
        tuple(video.clip_id for video in videos),
        names,
        weak_labels,
        truth,
        version,
        digest.hexdigest(),
        valid=np.arange(shape[1]) < lasts[:, np.newaxis],
        events=events,
        clip_seconds=clip_seconds,
    )


def _columns(videos: Sequence[_Video]) -> TrueEvents:
    rows = [(clip, *row) for clip, video in enumerate(videos) for row in video.rows]
    clip, name, onset, offset = zip(*rows, strict=True) if rows else ((), (), (), ())
    numbers = {"clip": np.array(clip, dtype=np.int64), "class_index": np.array(name, dtype=np.int64)}
    return TrueEvents(**numbers, onset=np.array(onset, dtype=float), offset=np.array(offset, dtype=float))


def _segments(times: Float64Array, seconds: float, *, up: bool) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The last segment border at or before times, or the first at or after them."""
    found: np.ndarray[Any, np.dtype[np.int64]] = (
        np.ceil(times / seconds - 1e-9) if up else np.floor(times / seconds + 1e-9)
    ).astype(np.int64)
    return found


def unav_defects(folder: Path, names: tuple[str, ...]) -> Iterator[tuple[str, str, int | None, str | None, str]]:
    """What is unusual in a file that can be read: kind, file, no line, video and what, for `valor lint`."""
    try:
        splits = _videos(folder, names)
    except (OSError, ValueError):
        return  # as reading each split says
    for split, videos in splits.items():
        if len(videos) != UNAV_SIZES[split]:
            yield "size", UNAV_FILE, None, None, f"{split} has {len(videos):,} videos, not {UNAV_SIZES[split]:,}"
        for video in videos:
            if not video.rows:
                yield "no-rows", UNAV_FILE, None, video.clip_id, "no event"
            for row, count in Counter(video.rows).items():
                if count > 1:
                    yield "duplicate", UNAV_FILE, None, video.clip_id, f"{_told(row, names)} stands {count} times"
            for kind, message in _neighbours(video, names):
                yield kind, UNAV_FILE, None, video.clip_id, message


def _neighbours(video: _Video, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Events of one class that overlap, or are one on whole seconds."""
    rows = sorted(set(video.rows))
    for one, other in pairwise(rows):
        if one[0] != other[0]:
            continue
        if other[1] < one[2]:
            yield (
                "overlap-seconds",
                f"{_told(other, names)} begins {one[2] - other[1]:.5f} s before {_told(one, names)} ends",
            )
        elif np.floor(other[1] + 1e-9) <= np.ceil(one[2] - 1e-9):
            yield "one-on-segments", f"{_told(one, names)} and {_told(other, names)}"


def _told(row: tuple[int, float, float], names: Sequence[str]) -> str:
    return f"{names[row[0]]} {row[1]:g} to {row[2]:g} s"


RULE = ProposalRule()
"""How probabilities of segments become events here: the data set has no rule for weak labels."""


def detections_of(judged: Judged, rule: ProposalRule = RULE) -> Detections | None:
    """The events that predictions name, or that their probabilities propose, in seconds; None for decisions.

    Audio-visual segments are as probable as the less probable modality. The score of a proposal is that of the rule
    times the probability of its class in the clip, where there is one; soft-NMS as published follows.
    """
    if judged.detections is not None or judged.segment_probs is None:
        return judged.detections
    both = probs_with_audio_visual(judged.segment_probs)[:, :, len(MODALITIES) :]
    found = proposals_of(both, rule, valid=judged.valid)
    score = found.score
    if judged.clip_probs is not None:
        score = score * judged.clip_probs[found.clip, found.class_index]
    onset, offset = (np.asarray(end * judged.segment_seconds, float) for end in (found.start, found.stop))
    if judged.clip_seconds is not None:
        offset = np.minimum(offset, judged.clip_seconds[found.clip])
    return soft_nms(Detections(clip=found.clip, class_index=found.class_index, onset=onset, offset=offset, score=score))


def _events_of(judged: Judged) -> TrueEvents:
    """The truth in seconds, from segments where nothing says it closer."""
    return marked_events(judged.truth, judged.segment_seconds) if judged.events is None else judged.events


def marked_events(truth: BoolArray, segment_seconds: float) -> TrueEvents:
    """The runs of segments marked in both modalities, in seconds; truth bool [N, T, M, C]."""
    return events_of_marks(np.logical_and.reduce(truth, axis=2), segment_seconds)


_PRECISION: "WeakKeyDictionary[Judged, DetectionPrecision | None]" = WeakKeyDictionary()
"""What has been computed, as long as what it is of is held: every overlap is a figure of its own."""


def precision_of(judged: Judged) -> DetectionPrecision | None:
    """Average precision at the nine published overlaps; None for decisions, which rank nothing."""
    if judged not in _PRECISION:
        found = detections_of(judged)
        num_classes = judged.truth.shape[3]
        precision = None if found is None else detection_precision(found, _events_of(judged), num_classes)
        _PRECISION[judged] = precision
    return _PRECISION[judged]


def _at(level: int) -> Metric:
    def metric(judged: Judged) -> float | None:
        found = precision_of(judged)
        return None if found is None else 100 * float(found.mean[level])

    return metric


def _average(judged: Judged) -> float | None:
    found = precision_of(judged)
    return None if found is None else 100 * found.average


UNAV_METRICS: dict[str, Metric] = {
    **{f"mAP {t:.1f}": _at(level) for level, t in enumerate(TIOUS)},
    "mAP mean": _average,
}
"""mAP at each overlap and the mean of the nine, the one figure usually quoted."""


def tags_as_events(events: TrueEvents, clip_seconds: Float64Array, *, rarer_first: bool = False) -> Detections:
    """Every true tag of a clip as one event that lasts for all of it: what knowing the tags alone is worth.

    Args:
        events: The truth.
        clip_seconds: float64 [N].
        rarer_first: Score clips with fewer tags higher; otherwise in an order that means nothing, always the same.
    """
    pairs = np.unique(np.column_stack([events.clip, events.class_index]), axis=0)
    clip, name = pairs[:, 0], pairs[:, 1]
    score = 1 / np.bincount(clip, minlength=len(clip_seconds))[clip] if rarer_first else _any_order(len(clip))
    return Detections(clip=clip, class_index=name, onset=np.zeros(len(clip)), offset=clip_seconds[clip], score=score)


def _any_order(count: int) -> Float64Array:
    """Scores of what is equally sure: the order of clips would stand for luck."""
    return np.random.default_rng(0).permutation(count) / max(count, 1)


def truth_on_segments(events: TrueEvents, clip_seconds: Float64Array, seconds: float, *, outer: bool) -> Detections:
    """The truth itself on segment borders, where events of a class that touch are one: all that whole segments can say.

    Args:
        events: The truth.
        clip_seconds: float64 [N].
        seconds: Length of a segment.
        outer: From floor to ceiling; otherwise to the nearest border, and one segment at least.
    """
    begin, end = events.onset / seconds, events.offset / seconds
    first = (np.floor(begin + 1e-9) if outer else np.rint(begin)).astype(int)
    last = (np.ceil(end - 1e-9) if outer else np.maximum(np.rint(end), first + 1)).astype(int)
    pairs, row = np.unique(np.column_stack([events.clip, events.class_index]), axis=0, return_inverse=True)
    tracks = np.zeros((len(pairs), int(last.max(initial=0))), dtype=np.bool_)
    for track, begins, ends in zip(row.ravel(), first, last, strict=True):
        tracks[track, begins:ends] = True
    runs = Runs.of(tracks)
    clip, name = pairs[runs.track].T
    start = runs.start % (runs.num_segments + 1)
    offset = np.minimum((start + runs.length) * seconds, clip_seconds[clip])
    onset = start * seconds
    kept = onset < offset  # nearest may lie behind a clip that ends within its last segment
    found = {"clip": clip[kept], "class_index": name[kept], "onset": onset[kept], "offset": offset[kept]}
    return Detections(**found, score=_any_order(int(kept.sum())))


def ceiling_detections(events: TrueEvents, clip_seconds: Float64Array, segment_seconds: float) -> dict[str, Detections]:
    """What stands beside every figure of mAP: the true tags alone, and the truth on segments.

    Args:
        events: The truth of the clips that are scored.
        clip_seconds: float64 [N], how long these are.
        segment_seconds: Length of a segment.
    """
    grid = f"truth on {segment_seconds:g} s"
    return {
        "true tags, whole clips": tags_as_events(events, clip_seconds),
        f"{grid}, outer": truth_on_segments(events, clip_seconds, segment_seconds, outer=True),
        f"{grid}, nearest": truth_on_segments(events, clip_seconds, segment_seconds, outer=False),
    }


def ceilings(
    events: TrueEvents, clip_seconds: Float64Array, segment_seconds: float, num_classes: int
) -> dict[str, DetectionPrecision]:
    """The precision of `ceiling_detections` among C classes."""
    rows = ceiling_detections(events, clip_seconds, segment_seconds)
    return {name: detection_precision(found, events, num_classes) for name, found in rows.items()}
