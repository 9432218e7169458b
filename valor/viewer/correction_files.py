"""What is made of corrections: LLP's tables, labels to train on, and what the systems said of the same clips.

    AVVP_eval_audio.csv, AVVP_eval_visual.csv   dense truth in whole seconds, as `valor evaluate --annotations` reads
    AVVP_test_pd.csv (val, train: theirs)       the clips and their tags, which are the classes of their events
    exact/audio.tsv, exact/visual.tsv           the same events with the times as drawn, between whole seconds too
    pseudo_labels.npz                           the events as labels, as `valor train --labels` reads
    systems/NAME.npz                            what each system said of these clips, as `valor evaluate` reads; not
                                                where the tables hold every clip, since what was opened serves then

The clips are those that were corrected or checked. Where the document shows annotations of people, every clip of it is
in the tables, with its annotation where nobody touched it; where it shows pseudo labels, every clip is in the labels.
An event is moved to the nearest whole seconds and lasts at least one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.events import MODALITIES, events_of
from valor.annotations import EVENT_TABLES, WEAK_TABLES, write_event_table, write_weak_table
from valor.files import replaced
from valor.labels_file import FILE_NAME, write_pseudo_labels
from valor.predictions import Predictions, write_predictions
from valor.tab_separated import write_rows

from .documents import BoolArray, Clip, Document


@dataclass(frozen=True)
class CorrectedEvent:
    """One event as a person put it, in seconds from the start of the clip, half open."""

    class_name: str
    modality: str
    onset: float
    offset: float


Events = tuple[CorrectedEvent, ...]


Notes = dict[str, str]
"""What a person should know, by the file or clip it is about."""


def write_correction_files(folder: Path, document: Document, corrected: Mapping[str, Events]) -> Notes:
    """Write all files of a folder of corrections, each whole or not at all.

    Args:
        folder: Where they go.
        document: What was corrected.
        corrected: Events by clip.

    Returns:
        What could not be written, and why.
    """
    notes: Notes = {}
    events = all_events(document, corrected, notes)
    if not events:
        return notes
    clips = {clip.clip_id: clip for clip in document.clips}
    lengths = {clip_id: clip.seconds for clip_id, clip in clips.items()}
    rounded = {c: whole_seconds(e, lengths.get(c, max((x.offset for x in e), default=1))) for c, e in events.items()}
    _write_tables(folder, document, rounded)
    _write_exact(folder / "exact", events)
    _write_labels(folder / FILE_NAME, document, corrected, notes)
    if len(events) == len(corrected):
        _write_systems(folder / "systems", document, events, notes)
    return notes


def all_events(document: Document, corrected: Mapping[str, Events], notes: Notes) -> dict[str, Events]:
    """Corrected events, and of clips that nobody touched their annotation, in the order of the document.

    Clips that were corrected in another document of the same folder come last, or into `notes` where they have classes
    that this document does not know.
    """
    events = {}
    for clip in document.clips:
        if clip.clip_id in corrected:
            events[clip.clip_id] = corrected[clip.clip_id]
        elif clip.truth is not None:
            events[clip.clip_id] = events_of_mask(clip.truth, document.class_names, clip.segment_seconds)
    for clip_id, found in corrected.items():
        if {event.class_name for event in found} <= set(document.class_names):
            events.setdefault(clip_id, found)
        else:
            notes[clip_id] = "corrected with other classes than are shown; it stays in the journal alone"
    return events


def events_of_mask(mask: BoolArray, class_names: tuple[str, ...], segment_seconds: float) -> Events:
    """Events of bool [T, M, C]."""
    return tuple(
        CorrectedEvent(class_names[event.class_index], modality, event.onset, event.offset)
        for index, modality in enumerate(MODALITIES)
        for event in events_of(mask[:, index], segment_seconds)
    )


def whole_seconds(events: Events, seconds: float) -> Events:
    """Move events to the nearest whole seconds within a clip; each lasts at least one."""
    last = max(1, int(np.ceil(seconds - 1e-6)))
    moved = []
    for event in events:
        onset = min(int(event.onset + 0.5), last - 1)
        offset = max(onset + 1, min(int(event.offset + 0.5), last))
        moved.append(CorrectedEvent(event.class_name, event.modality, onset, offset))
    return tuple(moved)


def mask_of_events(events: Events, clip: Clip, class_names: tuple[str, ...]) -> BoolArray:
    """Events on the segments of a clip, bool [T, M, C]: the nearest borders, at least one segment each."""
    mask = np.zeros((clip.num_segments, len(MODALITIES), len(class_names)), dtype=np.bool_)
    for event in events:
        start = min(int(event.onset / clip.segment_seconds + 0.5), clip.num_segments - 1)
        stop = max(start + 1, int(event.offset / clip.segment_seconds + 0.5))
        mask[start:stop, MODALITIES.index(event.modality), class_names.index(event.class_name)] = True
    return mask


def _write_tables(folder: Path, document: Document, events: Mapping[str, Events]) -> None:
    for modality, name in zip(MODALITIES, EVENT_TABLES["v2024"], strict=True):
        rows = [
            (clip_id, int(e.onset), int(e.offset), e.class_name)
            for clip_id, found in events.items()
            for e in found
            if e.modality == modality
        ]
        write_event_table(folder / name, rows)
    tags = np.zeros((len(events), len(document.class_names)), dtype=np.bool_)
    for row, found in enumerate(events.values()):
        tags[row, [document.class_names.index(event.class_name) for event in found]] = True
    write_weak_table(folder / WEAK_TABLES[document.split], list(events), tags, document.class_names)


def _write_exact(folder: Path, events: Mapping[str, Events]) -> None:
    """Times to the millisecond, in the layout of prediction tables."""
    for modality in MODALITIES:
        rows = [
            (clip_id, f"{e.onset:.3f}", f"{e.offset:.3f}", e.class_name)
            for clip_id, found in events.items()
            for e in found
            if e.modality == modality
        ]
        names = {name for row in rows for name in (row[0], row[3])}
        write_rows(folder / f"{modality}.tsv", ("filename", "onset", "offset", "event_label"), rows, names=names)
    with replaced(folder / "clips.txt") as temporary:
        temporary.write_text("".join(f"{clip_id}\n" for clip_id in events), encoding="utf-8")


def _write_labels(path: Path, document: Document, corrected: Mapping[str, Events], notes: Notes) -> None:
    """Corrected clips as labels, and the others of pseudo labels as they were; not for clips of unlike length."""
    labels = next((row for row, system in enumerate(document.systems) if system.kind == "labels"), None)
    masks = {}
    for clip in document.clips:
        if clip.clip_id in corrected:
            masks[clip.clip_id] = mask_of_events(corrected[clip.clip_id], clip, document.class_names)
        elif labels is not None and (marks := clip.marks[labels]) is not None:
            masks[clip.clip_id] = marks.predicted
    if masks and _of_one_length(path, [len(mask) for mask in masks.values()], notes):
        write_pseudo_labels(path, list(masks), document.class_names, np.stack(list(masks.values())))


def _write_systems(folder: Path, document: Document, events: Mapping[str, Events], notes: Notes) -> None:
    for row, system in enumerate(document.systems):
        clips = [clip for clip in document.clips if clip.clip_id in events and clip.marks[row] is not None]
        name = re.sub(r"[^\w.+-]+", "_", system.name).strip("._-") or f"system-{row + 1}"
        path = folder / f"{name}.npz"
        if clips and _of_one_length(path, [clip.num_segments for clip in clips], notes):
            write_predictions(path, _predictions(clips, row, document.class_names))


def _of_one_length(path: Path, lengths: list[int], notes: Notes) -> bool:
    """Whether a file of arrays can hold such clips; notes it where it cannot."""
    found = sorted(set(lengths))
    if len(found) == 1:
        return True
    kept = "what is there is of before" if path.exists() else "the tables and exact/ hold them"
    numbers = f"{', '.join(map(str, found[:-1]))} and {found[-1]}"
    notes["/".join(path.parts[-2:])] = (
        f"not written, since its clips have {numbers} segments and it holds clips of one length; {kept}"
    )
    return False


def _predictions(clips: list[Clip], row: int, class_names: tuple[str, ...]) -> Predictions:
    """Probabilities with their gate where both streams are there and the gate is one a clip; else decisions."""
    marks = [found for clip in clips if (found := clip.marks[row]) is not None]
    ids = tuple(clip.clip_id for clip in clips)
    probs = [found.segment_probs for found in marks]
    gates = [found.gate_probs for found in marks]
    plain = any(p is None or np.isnan(p).any() for p in probs) or any(g is None or len(g) > 1 for g in gates)
    if plain:
        return Predictions(
            clip_ids=ids, class_names=class_names, predicted=np.stack([found.predicted for found in marks])
        )
    gate = np.concatenate([g for g in gates if g is not None])
    held = {"segment_probs": np.stack([p for p in probs if p is not None])}
    if np.array_equal(gate[:, 0], gate[:, 1]):
        return Predictions(clip_ids=ids, class_names=class_names, clip_probs=gate[:, 0], **held)
    return Predictions(clip_ids=ids, class_names=class_names, modality_probs=gate, **held)
