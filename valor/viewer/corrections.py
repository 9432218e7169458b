"""Corrections made in the viewer: a journal that only grows, and the latest state of every clip read from it.

`journal.jsonl` gets one line for every saved state of a clip, on disk before the page is told so. A crash can tear the
last line only, which is then passed over. Tables and label files (correction_files.py) are made from it and can be made
again; what was corrected is never written to.
"""

import json
import logging
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from eval.events import MODALITIES

from .correction_files import CorrectedEvent, write_correction_files
from .documents import Clip, Document

_LOG = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"
"""What was saved, one JSON object a line."""

MOST_EVENTS = 50_000
"""Events one clip may have."""


class ConflictError(Exception):
    """The clip was saved elsewhere since this page read it."""


class BusyError(Exception):
    """Another viewer is writing to the same folder."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """The latest saved state of one clip."""

    clip_id: str
    events: tuple[CorrectedEvent, ...] | None
    """In seconds from the start of the clip; None where the corrections were taken back."""
    checked: bool
    """Whether a person called the clip right as it now stands."""
    revision: int
    """How often it was saved."""

    def to_dict(self) -> dict[str, Any]:
        """As the journal and the page know it."""
        events = None if self.events is None else [[e.class_name, e.modality, e.onset, e.offset] for e in self.events]
        return {"clip": self.clip_id, "revision": self.revision, "checked": self.checked, "events": events}


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
        self.folder, self.document = folder, document
        self._clips = {clip.clip_id: clip for clip in document.clips}
        self._lock = threading.Lock()
        self._journal: BinaryIO | None = None
        self.notes: dict[str, str] = {}
        """What could not be written of the latest state, and why, by file or clip."""
        self._noted: set[str] = set()
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: corrections go into a folder, and this is a file; choose another")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / JOURNAL).is_file():
            raise ValueError(
                f"{folder}: this folder holds other files and no {JOURNAL}; corrections overwrite nothing that exists, "
                "choose another with --corrections DIR"
            )
        self.current = read_journal(folder / JOURNAL)

    def repair(self) -> None:
        """Write again what is made from the journal: a crash may have come between it and the tables."""
        if self.current:
            self._write_files()

    def save(self, message: Mapping[str, Any]) -> Correction:
        """Save a new state of one clip: to the journal first, then to all files made from it.

        Args:
            message: `clip`, `revision` (the one the page has seen), `checked` and `events`, each
                [class name, modality, onset, offset] in seconds, or None to take the corrections back.

        Raises:
            ValueError: The message is none of this.
            ConflictError: The clip was saved elsewhere since.
            BusyError: Another viewer writes to the folder.
        """
        with self._lock:
            self._open()
            clip = self._clips.get(_typed(message, "clip", str))
            if clip is None:
                raise ValueError(f"no such clip: {message['clip']!r:.100}")
            held = self.current.get(clip.clip_id)
            seen = held.revision if held else 0
            if _typed(message, "revision", int) != seen:
                raise ConflictError(f"{clip.clip_id} was saved elsewhere, revision {seen}")
            correction = Correction(
                clip_id=clip.clip_id,
                events=_checked_events(message.get("events"), clip, self.document.class_names),
                checked=_typed(message, "checked", bool),
                revision=seen + 1,
            )
            self._append(correction)
            self.current[clip.clip_id] = correction
            self._write_files()
            return correction

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def _open(self) -> None:
        """Open the journal for this viewer alone, and read what another wrote meanwhile."""
        if self._journal is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / JOURNAL
        journal = path.open("ab")
        try:
            import fcntl

            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # no such locks on Windows; the revisions still catch two writers of one viewer
            pass
        except OSError:
            journal.close()
            raise BusyError(f"another viewer is saving to {self.folder}; close it first") from None
        self.current = read_journal(path)
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            journal.write(b"\n")  # what a crash tore stays a line of its own
        self._journal = journal

    def _append(self, correction: Correction) -> None:
        assert self._journal is not None
        line = {"saved": datetime.now(UTC).isoformat(timespec="seconds"), **correction.to_dict()}
        self._journal.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _write_files(self) -> None:
        events = {clip_id: c.events for clip_id, c in self.current.items() if c.events is not None}
        self.notes = write_correction_files(self.folder, self.document, events)
        for about, note in self.notes.items():
            if about not in self._noted:  # once, not at every save
                _LOG.warning("%s: %s", about, note)
            self._noted.add(about)


def read_journal(path: Path) -> dict[str, Correction]:
    """The latest state of every clip; lines that a crash tore are passed over with a warning."""
    current: dict[str, Correction] = {}
    if not path.is_file():
        return current
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            events = record["events"]
            correction = Correction(
                clip_id=record["clip"],
                events=None if events is None else tuple(CorrectedEvent(*event) for event in events),
                checked=record["checked"],
                revision=record["revision"],
            )
        except (ValueError, KeyError, TypeError):
            _LOG.warning("%s:%d: this line is torn and passed over; the clip keeps its state of before", path, number)
            continue
        current[correction.clip_id] = correction
    return current


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
    found: dict[tuple[str, str], list[list[float]]] = {}
    for event in events:
        fits = isinstance(event, list) and len(event) == 4 and event[0] in class_names and event[1] in MODALITIES
        times = event[2:] if fits else ()
        if not (fits and all(type(t) in (int, float) and -math.inf < t < math.inf for t in times)):
            raise ValueError(f"an event is [class, modality, onset, offset] of this document, got {event!r:.100}")
        if not 0 <= times[0] < times[1] <= end + 1e-6:
            raise ValueError(f"an event lies within 0 and {end:g} s with onset before offset, got {event!r:.100}")
        found.setdefault((event[0], event[1]), []).append([float(times[0]), float(times[1])])
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
