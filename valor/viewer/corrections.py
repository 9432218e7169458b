"""Corrections made in the viewer: a journal that only grows, the latest state of every clip, and what is made of it.

`journal.jsonl` gets one line for every saved state of a clip, on disk before the page is told so. A line that is not
whole, because a crash or a full disk tore it, or that is no correction, is passed over. All other files are made from
it and can be made again: a state is saved once its line is, and files that could not be written are said and made with
the next save or start. What was corrected is never written to.

    AVVP_eval_audio.csv, AVVP_eval_visual.csv   dense truth in whole seconds, as `valor evaluate --annotations` reads
    AVVP_test_pd.csv (val, train: theirs)       the clips and their tags, which are the classes of their events
    exact/audio.tsv, exact/visual.tsv           the same events with the times as drawn, between whole seconds too
    classes.json                                names of the classes, which `valor evaluate` takes unless told others
    dataset.json                                of another data set than LLP, whose tables have its own names: what
                                                they are
    pseudo_labels.npz                           the events as labels, as `valor train --labels` reads; not for clips of
                                                unlike length, which is said where labels are shown or were there
    systems/NAME.npz                            what each system said of these clips, as `valor evaluate` reads; not
                                                where the tables hold every clip, since what was opened serves then

The clips are those that were corrected or checked, without corrections of other media than there are now
(valor/data/journal.py). Where the document shows annotations of people, every clip of it is in the tables, with its
annotation where nobody touched it; where it shows pseudo labels, every clip is in the labels.
An event is moved to the nearest whole seconds and lasts at least one.
"""

import json
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt

from valor.data.datasets.dataset import write_description
from valor.data.journal import (
    CORRECTIONS,
    JOURNAL,
    CorrectedEvent,
    Correction,
    Events,
    classes_of,
    not_in_tables,
    of_other_media,
    other_media_note,
    read_journal,
)
from valor.data.label_file import FILE_NAME, write_pseudo_labels
from valor.data.names import named_source
from valor.data.parse_folder import parse_files
from valor.data.parsed_media import MediaFile
from valor.data.predictions import Predictions, write_predictions
from valor.data.rows import CLIP_LIST, PREDICTION_COLUMNS, write_clip_list, write_rows
from valor.data.tables import Layout, write_event_table, write_weak_table
from valor.data.vocabulary import CLASSES_FILE
from valor.eval.events import MODALITIES, BoolArray, FloatArray, events_of
from valor.label_harvest.disk import LockedError, locked, write_json
from valor.label_harvest.store.manifest import composed

from .documents import Clip, Document, Marks, System, with_classes

_LOG = logging.getLogger(__name__)

MOST_EVENTS = 50_000
"""Events one clip may have."""


Notes = dict[str, str]
"""What a person should know, by the file or clip it is about."""


class ConflictError(ValueError):
    """The clip was saved elsewhere since this page read it."""


class BusyError(ValueError):
    """Another viewer is writing to the same folder."""


class Corrections:
    """The corrections of one document in one folder."""

    def __init__(self, folder: Path, document: Document) -> None:
        """Read what was saved before.

        Args:
            folder: Where corrections go; made with the first one.
            document: What is corrected.

        Raises:
            ValueError: The folder holds something else, such as the annotations that are corrected.
        """
        self.folder = folder
        self._clips = {clip.clip_id: clip for clip in document.clips}
        self._lock = threading.Lock()
        self._journal: BinaryIO | None = None
        self._held = ExitStack()
        self.notes: dict[str, str] = {}
        """What could not be written of the latest state, and why, by file or clip."""
        self._noted: set[str] = set()
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: corrections go into a folder, and this is a file; choose another")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).is_file():
            raise ValueError(
                f"{folder}: this folder holds other files and no {JOURNAL}; corrections overwrite nothing that exists, "
                "choose another with corrections=DIR"
            )
        self.current = read_journal(folder / JOURNAL)
        self.document = with_classes(document, classes_of(folder, self.current))
        """What is corrected, with the classes that were added in this folder before."""

    def of_other_media(self) -> frozenset[str]:
        """Clips whose corrections are of another file than the one shown, or than lies there now."""
        return of_other_media(self.current, ((clip_id, clip.parsed) for clip_id, clip in self._clips.items()))

    def records(self) -> list[dict[str, Any]]:
        """The latest states as the page knows them; of another file's there are no events, but `other` has them."""
        others, found = self.of_other_media(), []
        for clip_id, one in self.current.items():
            record = one.to_dict()
            if clip_id in others:
                record |= {"events": None, "checked": False, "other": record["events"]}
            found.append(record)
        return found

    def notes_on_media(self) -> tuple[str, ...]:
        """What is to be said of corrections of other media, where there are any."""
        return tuple(note for note in [other_media_note(self.of_other_media())] if note)

    def repair(self) -> None:
        """Write again what is made from the journal where it is behind: a crash may have come between.

        What is up to date stays as it is: it may hold more, such as annotations that were shown when it was written.
        """
        if self.current and self._is_behind():
            self._write_files()

    def _is_behind(self) -> bool:
        """Whether a table is missing, older than the journal, or lacks a clip of it."""
        layout, exact, others = tables_of(self.document), self.folder / "exact", self.of_other_media()
        tables = [*next(iter(layout.events.values())), layout.tags[self.document.split]]
        made = [exact / CLIP_LIST, *(exact / f"{modality}.tsv" for modality in MODALITIES)]
        made += [self.folder / name for name in tables] if self.document.dataset.seconds == 1 else []
        saved = (self.folder / JOURNAL).stat().st_mtime
        lost = set(not_in_tables(self.folder, self.current))
        return any(not file.is_file() or file.stat().st_mtime < saved for file in made) or not lost == others

    def save(self, message: Mapping[str, Any]) -> Correction:
        """Save a new state of one clip: to the journal first, then to all files made from it.

        Args:
            message: `clip`, `revision` (the one the page has seen), `checked` and `events`, each
                [class name, modality, onset, offset] in seconds, or None to take the corrections back.

        Raises:
            ValueError: The message is none of this.
            ConflictError: The clip was saved elsewhere since.
            BusyError: Another viewer writes to the folder.
            OSError: The journal could not be written; nothing is saved, and the same message may come again.
        """
        return self.save_all([message])[0]

    def save_all(
        self, messages: Sequence[Mapping[str, Any]], media: Mapping[str, MediaFile | None] = MappingProxyType({})
    ) -> list[Correction]:
        """Save new states of several clips, each at most once, and make the files once; as `save`.

        All of them are looked at before any is saved.

        Args:
            messages: As `save` takes one.
            media: Files that these states are of, by clip, where they are not those that are shown.
        """
        with self._lock:
            self._open()
            corrections = [self._correction(message, media) for message in messages]
            for correction in corrections:
                if correction == self.current.get(correction.clip_id):
                    continue  # it is sent again, since the page never heard that it was saved
                line = {"saved": datetime.now(UTC).isoformat(timespec="seconds"), **correction.to_line()}
                self._write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
                self.current[correction.clip_id] = correction
            self._write_files()
            return corrections

    def _correction(self, message: Mapping[str, Any], media: Mapping[str, MediaFile | None]) -> Correction:
        """What a message says, once it is known to be the next state of its clip, or the one that is held."""
        clip = self._clips.get(composed(_typed(message, "clip", str)))
        if clip is None:
            raise ValueError(f"no such clip: {message['clip']!r:.100}")
        held = self.current.get(clip.clip_id)
        correction = Correction(
            clip_id=clip.clip_id,
            events=_checked_events(message.get("events"), clip, self.document.class_names),
            checked=_typed(message, "checked", bool),
            revision=_typed(message, "revision", int) + 1,
            media=media[clip.clip_id] if clip.clip_id in media else self._media_of(clip, held),
        )
        seen = held.revision if held else 0
        if correction != held and correction.revision != seen + 1:
            raise ConflictError(f"{clip.clip_id} was saved elsewhere, revision {seen}")
        return correction

    def _media_of(self, clip: Clip, held: Correction | None) -> MediaFile | None:
        """The file that a clip is of: that of its parse, else the one that its corrections are of."""
        if clip.parsed is not None or held is None:
            return MediaFile.of(clip.parsed)
        return None if held.is_of_other(None) else held.media

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            self._held.close()
            self._journal = None

    def _open(self) -> None:
        """Open the journal for this viewer alone, and read what another wrote meanwhile."""
        if self._journal is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / JOURNAL
        try:
            busy = f"another viewer is saving to {self.folder}; close it first"
            journal = self._held.enter_context(locked(path, busy))
        except LockedError as error:
            raise BusyError(str(error)) from None
        self.current = read_journal(path)
        if strange := [name for name in classes_of(self.folder, self.current) if name not in self.document.class_names]:
            self._held.close()
            raise BusyError(
                f"{self.folder}: another viewer has added {', '.join(strange):.300} meanwhile, which this page does "
                "not show; download the tables of what is not saved here, and start this viewer again"
            )
        self._journal = journal
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._write(b"\n")  # what a crash tore stays a line of its own

    def _write(self, line: bytes) -> None:
        """Have a line on the disk, or nothing of it.

        Past the buffer of the file, which would keep what the disk does not take and write it with the next line.
        """
        assert self._journal is not None
        journal = self._journal.fileno()
        before = os.fstat(journal).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(journal, rest) :]
            os.fsync(journal)
        except OSError:
            try:
                os.ftruncate(journal, before)
            except OSError:  # what is there now is read again with the next save
                self._held.close()
                self._journal = None
            raise

    def _write_files(self) -> None:
        others = self.of_other_media()
        events = {
            clip_id: c.events for clip_id, c in self.current.items() if c.events is not None and clip_id not in others
        }
        self.notes = write_correction_files(self.folder, self.document, events)
        for about in self.notes.keys() - self._noted:  # once, not at every save
            _LOG.warning("%s: %s", about, self.notes[about])
        self._noted = set(self.notes)


def _typed(message: Mapping[str, Any], name: str, kind: type) -> Any:  # noqa: ANN401
    value = message.get(name)
    if type(value) is not kind:  # True is no revision
        raise ValueError(f"{name} must be {kind.__name__}, got {value!r:.100}")
    return value


def _checked_events(events: Any, clip: Clip, class_names: tuple[str, ...]) -> tuple[CorrectedEvent, ...] | None:  # noqa: ANN401
    """Events of the page, once they are known to be events of this clip; overlapping and touching ones merge."""
    if events is None:
        return None
    if not isinstance(events, list) or len(events) > MOST_EVENTS:
        raise ValueError(f"events must be a list of at most {MOST_EVENTS:,}, got {type(events).__name__}")
    end = max(clip.seconds, clip.duration or 0)
    found = []
    for event in events:
        fits = isinstance(event, list) and len(event) == 4 and event[0] in class_names and event[1] in MODALITIES
        times: list[float] = event[2:] if fits else []
        if not (fits and all(type(t) in (int, float) and -math.inf < t < math.inf for t in times)):
            raise ValueError(f"an event is [class, modality, onset, offset] of this document, got {event!r:.100}")
        if not 0 <= times[0] < times[1] <= end + 1e-6:
            raise ValueError(f"an event lies within 0 and {end:g} s with onset before offset, got {event!r:.100}")
        found.append(CorrectedEvent(event[0], event[1], float(times[0]), float(times[1])))
    return in_order(found, class_names)


def in_order(events: Sequence[CorrectedEvent], class_names: tuple[str, ...]) -> Events:
    """Events as they are saved: overlapping and touching ones of a class merged, by their times."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for event in events:
        found.setdefault((event.class_name, event.modality), []).append([event.onset, event.offset])
    merged = [CorrectedEvent(*key, *span) for key, spans in found.items() for span in _merged(spans)]
    return tuple(sorted(merged, key=lambda e: (e.onset, e.offset, class_names.index(e.class_name), e.modality)))


def _merged(spans: list[list[float]]) -> list[list[float]]:
    merged: list[list[float]] = []
    for onset, offset in sorted(spans):
        if merged and onset <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], offset)
        else:
            merged.append([onset, offset])
    return merged


def corrections_folder(sources: Sequence[str], data: Path | None) -> Path:
    """NAME.corrections beside the first source, or beside the annotation folder."""
    first = named_source(sources[0])[1] if sources else data
    whole = Path(os.path.realpath(first or "viewer"))
    name = whole.name if whole.is_dir() else whole.stem
    return whole.parent / f"{name}{CORRECTIONS}"


def opened_with(sources: Sequence[str], data: Path | None) -> tuple[list[str], Path]:
    """What is shown of sources, and where its corrections lie: of those of parses, the parses beside them, with media.

    Args:
        sources: What was typed.
        data: Annotation tables, where any were named.
    """
    folder = named_source(sources[0])[1] if len(sources) == 1 and data is None else Path()
    beside = folder.with_name(folder.name.removesuffix(CORRECTIONS)) if folder.name.endswith(CORRECTIONS) else folder
    if beside != folder and (folder / JOURNAL).is_file() and beside.is_dir() and parse_files(beside):
        return [str(beside)], folder
    return list(sources), corrections_folder(sources, data)


def write_correction_files(folder: Path, document: Document, corrected: Mapping[str, Events]) -> Notes:
    """Write all files of a folder of corrections, each whole or not at all; one that cannot be written stops no other.

    Args:
        folder: Where they go.
        document: What was corrected.
        corrected: Events by clip.

    Returns:
        What could not be written, and why.
    """
    notes: Notes = {}
    events = all_events(document, corrected)
    if not events:
        return notes
    clips = {clip.clip_id: clip for clip in document.clips}
    lengths = {clip_id: clip.seconds for clip_id, clip in clips.items()}
    rounded = {c: whole_seconds(e, lengths.get(c, max((x.offset for x in e), default=1))) for c, e in events.items()}
    made: dict[str, Callable[[], None]] = {
        "tables": lambda: _write_tables(folder, document, rounded),
        "exact": lambda: _write_exact(folder / "exact", events),
        FILE_NAME: lambda: _write_labels(folder / FILE_NAME, document, corrected, notes),
    }
    if document.dataset.seconds != 1:
        del made["tables"]
        notes["tables"] = (
            f"not written: they are in whole seconds, and {document.dataset.title} has segments of "
            f"{document.dataset.seconds:g} s; exact/ has the events"
        )
    if len(events) == len(corrected):
        made["systems"] = lambda: _write_systems(folder / "systems", document, events)
    for name, write in made.items():
        try:
            write()
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or error
            notes[name] = f"not written ({why}); corrections are safe in {JOURNAL}, from which the next save makes it"
    return notes


def all_events(document: Document, corrected: Mapping[str, Events]) -> dict[str, Events]:
    """Corrected events, and of clips that nobody touched their annotation, in the order of the document.

    Clips that were corrected in another document of the same folder come last.
    """
    events = {}
    for clip in document.clips:
        if clip.clip_id in corrected:
            events[clip.clip_id] = corrected[clip.clip_id]
        elif clip.truth is not None:
            events[clip.clip_id] = events_of_mask(clip.truth, document.class_names, clip.segment_seconds)
    return {**events, **{clip_id: found for clip_id, found in corrected.items() if clip_id not in events}}


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


def tables_of(document: Document) -> Layout:
    """The tables corrections are written as: under the names they have in the data set, in LLP's columns."""
    dataset, split = document.dataset, document.split
    if dataset.reader is not None:  # its own files are no such tables
        return Layout({split: f"{split}.tsv"}, {"corrected": ("heard.tsv", "seen.tsv")}, (split,))
    version, tables = next(iter(dataset.layout.events.items()))
    return Layout({split: dataset.layout.tags[split]}, {version: tables}, (split,))


def _write_tables(folder: Path, document: Document, events: Mapping[str, Events]) -> None:
    layout = tables_of(document)
    (event_tables,) = layout.events.values()
    for modality, name in zip(MODALITIES, event_tables, strict=True):
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
    write_weak_table(folder / layout.tags[document.split], list(events), tags, document.class_names)
    write_json(folder / CLASSES_FILE, document.class_names, ensure_ascii=False, indent=None)
    longest = max(clip.num_segments for clip in document.clips)
    write_description(folder, document.dataset, document.class_names, layout, longest)


def _write_exact(folder: Path, events: Mapping[str, Events]) -> None:
    """Times to the millisecond, in the layout of prediction tables."""
    for modality in MODALITIES:
        rows = [
            (clip_id, f"{e.onset:.3f}", f"{e.offset:.3f}", e.class_name)
            for clip_id, found in events.items()
            for e in found
            if e.modality == modality
        ]
        clip_ids, class_names = ({row[column] for row in rows} for column in (0, 3))
        path = folder / f"{modality}.tsv"
        write_rows(path, PREDICTION_COLUMNS, rows, clip_ids=sorted(clip_ids), class_names=sorted(class_names))
    write_clip_list(folder / CLIP_LIST, events)


def _write_labels(path: Path, document: Document, corrected: Mapping[str, Events], notes: Notes) -> None:
    """Corrected clips as labels, and the others of pseudo labels as they were; none for clips of unlike length."""
    labels = next((row for row, system in enumerate(document.systems) if system.kind == "labels"), None)
    masks = {}
    for clip in document.clips:
        if clip.clip_id in corrected:
            masks[clip.clip_id] = mask_of_events(corrected[clip.clip_id], clip, document.class_names)
        elif labels is not None and (marks := clip.marks[labels]) is not None:
            masks[clip.clip_id] = marks.predicted
    lengths = sorted({len(mask) for mask in masks.values()})
    if len(lengths) == 1:
        write_pseudo_labels(path, list(masks), document.class_names, np.stack(list(masks.values())))
    elif lengths and (labels is not None or path.exists()):
        path.unlink(missing_ok=True)  # of when the clips were of one length: it lacks what was corrected since
        numbers = f"{', '.join(map(str, lengths[:-1]))} and {lengths[-1]}"
        notes[path.name] = (
            "not written, and of no use but to train on these clips as labels: labels are of clips of one length, and "
            f"these have {numbers} segments; correct those of each length in a folder of their own"
        )


def _write_systems(folder: Path, document: Document, events: Mapping[str, Events]) -> None:
    for row, system in enumerate(document.systems):
        clips = [clip for clip in document.clips if clip.clip_id in events and clip.marks[row] is not None]
        name = re.sub(r"[^\w.+-]+", "_", system.name).strip("._-") or f"system-{row + 1}"
        if clips:
            write_predictions(folder / f"{name}.npz", _predictions(clips, row, system, document.class_names))


def _predictions(clips: list[Clip], row: int, system: System, class_names: tuple[str, ...]) -> Predictions:
    """Probabilities with their gate where it is one for each clip, or without any; else decisions.

    A gate that changes along a clip goes into the probabilities: 0 where it is closed. Clips end at the longest one;
    what shorter ones lack is not `valid`.
    """
    marks = [found for clip in clips if (found := clip.marks[row]) is not None]
    longest = max(clip.num_segments for clip in clips)
    valid = np.array([np.arange(longest) < clip.num_segments for clip in clips])
    made = partial(
        Predictions,
        clip_ids=tuple(clip.clip_id for clip in clips),
        class_names=class_names,
        valid=None if valid.all() else valid,
    )
    probs = [found.segment_probs for found in marks]
    gates = [np.nan_to_num(found.gate_probs) for found in marks if found.gate_probs is not None]
    if any(one is None for one in probs):
        return made(predicted=_padded([found.predicted for found in marks], longest))
    if len(gates) < len(marks) or any(len(gate) > 1 for gate in gates):
        return made(segment_probs=_padded([_gated(found, system) for found in marks], longest))
    padded = _padded([np.nan_to_num(one) for one in probs if one is not None], longest)
    gate = np.concatenate(gates)
    streams = np.array([clip.streams for clip in clips])[:, :, np.newaxis]  # a stream that is missing has no gate
    widest = gate.max(axis=1)
    if np.array_equal(gate, np.where(streams, widest[:, np.newaxis], 0)):
        return made(segment_probs=padded, clip_probs=widest)
    return made(segment_probs=padded, modality_probs=gate)


def _gated(marks: Marks, system: System) -> FloatArray:
    """Probabilities float [T, M, C], 0 where the gate is closed or there is no stream."""
    assert marks.segment_probs is not None
    probs = np.nan_to_num(marks.segment_probs)
    limits = system.gate_thresholds if marks.limits is None else marks.limits.gate
    if marks.gate_probs is None or limits is None:
        return probs
    return np.where(np.nan_to_num(marks.gate_probs) >= limits, probs, 0).astype(probs.dtype)


_Kind = TypeVar("_Kind", bound=np.generic)


def _padded(tracks: list[npt.NDArray[_Kind]], longest: int) -> npt.NDArray[_Kind]:
    """[N, T, M, C], zeros after the end of shorter clips."""
    return np.stack([np.pad(track, ((0, longest - len(track)), (0, 0), (0, 0))) for track in tracks])
