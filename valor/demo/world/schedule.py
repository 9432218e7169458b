"""Who is heard and seen when: the timetable of a demo world, drawn so that its statistics are those of LLP."""

import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.events import MODALITIES

from .llp_facts import (
    CLASS_SHARES,
    EVENT_HABITS,
    EVENT_WITHOUT_TAG,
    JOINED_LENGTHS,
    LONE_LENGTHS,
    PART_RUNS,
    RARE_TAG_SETS,
    TAG_SETS,
    TAG_WITHOUT_EVENT,
    TOUCHES_EDGE,
    EventHabits,
)

CLIP_SECONDS = 10
"""Length of every clip in seconds, which is also its number of segments."""

SPLITS = ("train", "val", "test")
"""The splits of a world, in the order of its clips."""

SMALLEST_SHARE = 0.02
"""Least share of a split's clips that a class gets; LLP's rarest (telephones, 1 %) would be lost in a small world."""

_ID_LETTERS = string.ascii_letters + string.digits + "_-"
_Track = np.ndarray  # bool [T], one class of one clip in one modality


@dataclass(frozen=True)
class PlannedEvent:
    """One event of a clip: a class heard or seen during [onset, offset), in whole seconds."""

    class_name: str
    modality: str
    onset: int
    offset: int


@dataclass(frozen=True)
class ClipPlan:
    """One clip before it is rendered: its name, what happens in it, and what its tags admit to."""

    clip_id: str
    split: str
    events: tuple[PlannedEvent, ...]
    tags: tuple[str, ...]


def sample_world(sizes: Mapping[str, int], seed: int) -> tuple[ClipPlan, ...]:
    """Draw the clips of a world.

    Tag sets come in the proportions of LLP, except that each class gets at least `SMALLEST_SHARE` of a split's clips.
    Each (clip, class) pair is only heard, only seen or both, for the whole clip or parts of it, as often as in LLP for
    that class. Tags are the classes that occur, but for the few that LLP's tags leave out or make up.

    Args:
        sizes: Clips of each split, by the names in `SPLITS`.
        seed: Another seed gives another world; the same seed and sizes always the same.

    Returns:
        The clips of train, then val, then test.

    Raises:
        ValueError: A split is unknown or its size is not positive.
    """
    if not sizes or any(split not in SPLITS or size < 1 for split, size in sizes.items()):
        raise ValueError(
            f"sizes must give a positive number of clips for any of {', '.join(SPLITS)}, got {dict(sizes)}"
        )
    plans: list[ClipPlan] = []
    names = _clip_names(np.random.default_rng([seed, len(SPLITS)]))
    for number, split in enumerate(SPLITS):
        if split in sizes:
            rng = np.random.default_rng([seed, number])
            plans += _sample_split(split, sizes[split], rng, names)
    return tuple(plans)


def _sample_split(split: str, size: int, rng: np.random.Generator, names: Iterable[str]) -> list[ClipPlan]:
    contents = _sample_contents(size, rng)
    tracks = _sample_tracks(contents, rng)
    tags = _sample_tags(contents, rng)
    rows = zip(names, contents, tracks, tags, strict=False)
    return [ClipPlan(name, split, _events(content, track), tag) for name, content, track, tag in rows]


def _clip_names(rng: np.random.Generator) -> Iterable[str]:
    """Names like LLP's, without end: eleven letters of a video id and the seconds the clip was cut at.

    The eleven are unique even where a file system ignores case, and start with a letter or digit.
    """
    taken: set[str] = set()
    while True:
        letters = [_ID_LETTERS[index] for index in rng.integers(len(_ID_LETTERS), size=11)]
        letters[0] = _ID_LETTERS[int(rng.integers(62))]
        video = "".join(letters)
        start = int(rng.integers(40)) * CLIP_SECONDS
        if video.lower() not in taken:
            taken.add(video.lower())
            yield f"{video}_{start}_{start + CLIP_SECONDS}"


def _sample_contents(size: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """The classes of each clip of a split, in shuffled order."""
    sets = [tuple(tags.split()) for tags in TAG_SETS]
    contents = [sets[index] for index in _evenly(list(TAG_SETS.values()), size, rng)]
    for row in np.flatnonzero(rng.random(size) < RARE_TAG_SETS):
        kin = [content for content in sets if set(content) & set(contents[row]) and set(content) - set(contents[row])]
        contents[row] = tuple(dict.fromkeys(contents[row] + kin[int(rng.integers(len(kin)))]))
    counts = Counter(name for content in contents for name in content)
    least = max(1, int(np.ceil(SMALLEST_SHARE * size)))
    for name in sorted(CLASS_SHARES, key=CLASS_SHARES.__getitem__):
        while counts[name] < least:
            spare = [row for row, content in enumerate(contents) if all(counts[other] > least for other in content)]
            if not spare:
                break
            given = int(rng.choice(spare))
            options = [content for content in sets if name in content]
            counts.subtract(contents[given])
            contents[given] = options[_evenly([TAG_SETS[" ".join(option)] for option in options], 1, rng)[0]]
            counts.update(contents[given])
    return contents


def _evenly(weights: Sequence[float], count: int, rng: np.random.Generator) -> list[int]:
    """`count` indices in proportion to `weights`, as evenly as they go, in random order."""
    edges = np.cumsum(weights) / np.sum(weights)
    chosen = np.searchsorted(edges, (rng.random() + np.arange(count)) / count, side="right")
    order: list[int] = rng.permutation(np.minimum(chosen, len(edges) - 1)).tolist()
    return order


def _ways(habits: EventHabits) -> dict[tuple[str, str], float]:
    """Shares of the ways a class occurs in a clip: (how it is heard, how it is seen)."""
    both = 1 - habits.only_audible - habits.only_visible
    ways = {
        ("whole", "never"): habits.only_audible * habits.whole_if_only_audible,
        ("part", "never"): habits.only_audible * (1 - habits.whole_if_only_audible),
        ("never", "whole"): habits.only_visible * habits.whole_if_only_visible,
        ("never", "part"): habits.only_visible * (1 - habits.whole_if_only_visible),
        ("whole", "whole"): both * habits.same_whole,
        ("part", "same"): both * habits.same_part,
        ("long part", "whole"): both * habits.whole_visible,
        ("whole", "long part"): both * habits.whole_audible,
    }
    return {**ways, ("part", "alike"): max(0.0, 1 - sum(ways.values()))}


def _sample_tracks(contents: list[tuple[str, ...]], rng: np.random.Generator) -> list[dict[str, tuple[_Track, _Track]]]:
    """For each clip, the audible and the visible track of its classes."""
    tracks: list[dict[str, tuple[_Track, _Track]]] = [{} for _ in contents]
    for name in CLASS_SHARES:
        rows = [row for row, content in enumerate(contents) if name in content]
        ways = _ways(EVENT_HABITS[name])
        chosen = _evenly(list(ways.values()), len(rows), rng) if rows else []
        for row, way in zip(rows, chosen, strict=True):
            tracks[row][name] = _track_pair(*list(ways)[way], rng)
    return tracks


def _track_pair(heard: str, seen: str, rng: np.random.Generator) -> tuple[_Track, _Track]:
    audible = _track(heard, 0, rng)
    if seen == "same":
        return audible, audible
    if seen == "alike":
        options = [_track("part", 1, rng) for _ in range(4)]
        options = [option for option in options if (option != audible).any()] or [~audible]
        return audible, max(options, key=lambda option: (audible & option).sum() / (audible | option).sum())
    return audible, _track(seen, 1, rng)


def _track(extent: str, modality: int, rng: np.random.Generator) -> _Track:
    """A track that is True during the whole clip, never, in part (one to three events), or in a rather long part."""
    if extent == "long part":  # beside a whole track of the other modality, 1.2 s longer on average in LLP
        return max((_track("part", modality, rng) for _ in range(2)), key=np.sum)
    track = np.full(CLIP_SECONDS, extent == "whole")
    if extent != "part":
        return track
    runs = 1 + int(rng.choice(3, p=PART_RUNS[modality]))
    if runs == 1:
        length = 1 + int(rng.choice(9, p=LONE_LENGTHS[modality]))
        edge, last = rng.random(), CLIP_SECONDS - length
        start = 0 if edge < TOUCHES_EDGE else last if edge < 2 * TOUCHES_EDGE else int(rng.integers(last + 1))
        track[start : start + length] = True
        return track
    lengths = 1 + rng.choice(8, size=runs, p=JOINED_LENGTHS[modality])
    while lengths.sum() + runs - 1 > CLIP_SECONDS:
        lengths = 1 + rng.choice(8, size=runs, p=JOINED_LENGTHS[modality])
    open_gaps = np.ones(runs + 1)
    open_gaps[[0, -1]] = rng.random(2) > 0.55
    gaps = rng.multinomial(CLIP_SECONDS - lengths.sum() - (runs - 1), open_gaps / open_gaps.sum())
    gaps[1:-1] += 1
    for start, length in zip(np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths, lengths, strict=True):
        track[start : start + length] = True
    return track


def _events(content: tuple[str, ...], tracks: Mapping[str, tuple[_Track, _Track]]) -> tuple[PlannedEvent, ...]:
    events = []
    for name in content:
        for modality, track in zip(MODALITIES, tracks[name], strict=True):
            steps = np.diff(np.concatenate([[0], track.astype(int), [0]]))
            starts, stops = np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist()
            events += [PlannedEvent(name, modality, *span) for span in zip(starts, stops, strict=True)]
    return tuple(events)


def _sample_tags(contents: list[tuple[str, ...]], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """The tags of each clip: what occurs in it, rarely without one class or with one too many."""
    counts = Counter(name for content in contents for name in content)
    shares = np.array(list(CLASS_SHARES.values()))
    tags = []
    for content in contents:
        kept = list(content)
        for name in content:
            if rng.random() < EVENT_WITHOUT_TAG and len(kept) > 1 and counts[name] > 1:
                kept.remove(name)
                counts[name] -= 1
        guest = str(rng.choice(list(CLASS_SHARES), p=shares / shares.sum()))
        if rng.random() < TAG_WITHOUT_EVENT * len(content) and guest not in content:
            kept.append(guest)
        tags.append(tuple(kept))
    return tags


def world_arrays(
    plans: Sequence[ClipPlan], names: Sequence[str] = class_names(LLP_CLASSES)
) -> tuple[np.ndarray, np.ndarray]:
    """The dense truth bool [N, T, M, C] and the tags bool [N, C] of planned clips, classes in the order of `names`."""
    index = {name: number for number, name in enumerate(names)}
    truth = np.zeros((len(plans), CLIP_SECONDS, len(MODALITIES), len(names)), dtype=bool)
    weak_labels = np.zeros((len(plans), len(names)), dtype=bool)
    for row, plan in enumerate(plans):
        weak_labels[row, [index[tag] for tag in plan.tags]] = True
        for event in plan.events:
            truth[row, event.onset : event.offset, MODALITIES.index(event.modality), index[event.class_name]] = True
    return truth, weak_labels


def statistics(truth: np.ndarray, weak_labels: np.ndarray) -> dict[str, float]:
    """Measure how a set of annotated clips is made up; the same definitions for LLP and for a demo world.

    A pair is a clip and a class with at least one event in it. It is only audible if no second of it is visible, and
    so on; shares of pairs are over all pairs. Overlap is, over pairs that are both, the seconds that are audible and
    visible divided by those that are either, averaged. An event is a maximal run of seconds of one class in one
    modality; "whole" are events as long as the clip, "short" those of 1 to 3 s, as shares of the modality's events.

    Args:
        truth: bool [N, T, M, C], the annotated segments of one second.
        weak_labels: bool [N, C], the tags.

    Returns:
        Shares in [0, 1] and means, by the names of `LLP_STATISTICS`.

    Raises:
        ValueError: The arrays are not bool of these shapes.
    """
    if truth.dtype != bool or truth.ndim != 4 or truth.shape[2] != 2 or weak_labels.shape != truth[:, 0, 0].shape:
        raise ValueError(
            "truth must be bool [clips, segments, 2, classes] and weak_labels bool [clips, classes] of the same clips "
            f"and classes, got {truth.dtype} {truth.shape} and {weak_labels.dtype} {weak_labels.shape}"
        )
    audible, visible = truth[:, :, 0].any(axis=1), truth[:, :, 1].any(axis=1)
    pairs, both = audible | visible, audible & visible
    together = (truth[:, :, 0] & truth[:, :, 1]).sum(axis=1)
    either = (truth[:, :, 0] | truth[:, :, 1]).sum(axis=1)
    heard, seen = (_event_lengths(truth[:, :, modality]) for modality in (0, 1))
    return {
        "pairs only audible": float((audible & ~visible).sum() / pairs.sum()),
        "pairs only visible": float((visible & ~audible).sum() / pairs.sum()),
        "pairs both": float(both.sum() / pairs.sum()),
        "overlap of both": float((together[both] / either[both]).mean()),
        "both at exactly the same time": float((together[both] == either[both]).mean()),
        "audible classes per clip": float(audible.sum(axis=1).mean()),
        "visible classes per clip": float(visible.sum(axis=1).mean()),
        "tags per clip": float(weak_labels.sum(axis=1).mean()),
        "audible events whole": float((heard == truth.shape[1]).mean()),
        "audible events short": float((heard <= 3).mean()),
        "visible events whole": float((seen == truth.shape[1]).mean()),
        "visible events short": float((seen <= 3).mean()),
        "audible events per audible pair": float(len(heard) / audible.sum()),
        "visible events per visible pair": float(len(seen) / visible.sum()),
        "tags without event": float((weak_labels & ~pairs).sum() / weak_labels.sum()),
        "pairs without tag": float((pairs & ~weak_labels).sum() / pairs.sum()),
    }


def _event_lengths(track: np.ndarray) -> np.ndarray:
    """Lengths in seconds of all events in bool [N, T, C]."""
    padded = np.pad(track, ((0, 0), (1, 1), (0, 0))).astype(np.int8)
    steps = np.diff(padded, axis=1).transpose(0, 2, 1)
    return np.nonzero(steps == -1)[2] - np.nonzero(steps == 1)[2]
