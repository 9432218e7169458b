"""The journal of a folder of corrections: what was saved of every clip, and of which media that is truth.

One JSON object a line, the latest state of a clip last:

    {"saved": "2026-11-30T22:19:15+00:00", "clip": "street", "revision": 4, "checked": true,
     "events": [["Dog", "audio", 1.0, 6.0]],
     "media": {"name": "street.mp4", "path": "/films/street.mp4", "size": 756080, "sha256": "...", "modified": 1796.5}}

`media` is what the parse that was corrected says of its file. Where another file has that name now, the corrections are
not of it, and stay in the journal until somebody corrects the clip anew. Lines without it are of any file.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valor.eval.events import MODALITIES
from valor.label_harvest.places.place import stands
from valor.label_harvest.store.manifest import composed, some_of
from valor.label_harvest.strict_json import as_flag, as_list, as_number, as_object, as_text, as_whole, loads

from .parsed_media import MediaFile, MediaInfo, is_other, media_file_from_json
from .rows import CLIP_LIST, read_clip_list
from .vocabulary import CLASSES_FILE, class_names, vocabulary_file

JOURNAL = "journal.jsonl"
"""What was saved, one JSON object a line, in a folder of corrections, which is known by it."""
CORRECTIONS = ".corrections"
"""What a folder of corrections ends in, behind the name of what was corrected."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorrectedEvent:
    """One event as a person put it, in seconds from the start of the clip, half open."""

    class_name: str
    modality: str
    onset: float
    offset: float


Events = tuple[CorrectedEvent, ...]


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
    media: MediaFile | None = None
    """The file that was corrected; None where nobody knows, as of corrections by an older version."""

    def is_of_other(self, now: MediaInfo | None) -> bool:
        """Whether it is of another file than the one of the parse it is to go with, or that lies there now."""
        return self.media is not None and is_other(self.media, now)

    def to_dict(self) -> dict[str, Any]:
        """As the page knows it."""
        events = None if self.events is None else [[e.class_name, e.modality, e.onset, e.offset] for e in self.events]
        return {"clip": self.clip_id, "revision": self.revision, "checked": self.checked, "events": events}

    def to_line(self) -> dict[str, Any]:
        """As the journal knows it."""
        return {**self.to_dict(), **({} if self.media is None else {"media": self.media.to_dict()})}


def read_journal(path: Path) -> dict[str, Correction]:
    """The latest state of every clip; lines that are torn or no corrections are passed over with a warning."""
    return {clip_id: states[-1] for clip_id, states in read_states(path).items()}


def read_states(path: Path) -> dict[str, list[Correction]]:
    """Every state of every clip that was ever saved, the latest last; as `read_journal`."""
    saved: dict[str, list[Correction]] = {}
    if not stands(path):
        return saved
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = as_object(loads(line), "a line")
            events = record["events"]
            correction = Correction(
                clip_id=composed(as_text(record["clip"], "clip")),
                events=None if events is None else tuple(_journalled(event) for event in as_list(events, "events")),
                checked=as_flag(record["checked"], "checked"),
                revision=as_whole(record["revision"], "revision", 1),
                media=None if record.get("media") is None else media_file_from_json(record["media"]),
            )
        except (ValueError, KeyError):
            _LOG.warning("%s:%d: this line is torn and passed over; the clip keeps its state of before", path, number)
            continue
        saved.setdefault(correction.clip_id, []).append(correction)
    return saved


def _journalled(value: object) -> CorrectedEvent:
    """An event of the journal."""
    event = as_list(value, "an event")
    if len(event) != 4 or event[1] not in MODALITIES:
        raise ValueError(f"an event is [class, modality, onset, offset], got {event!r:.100}")
    onset, offset = (as_number(time, "a time", 0) for time in event[2:])
    if onset >= offset:
        raise ValueError(f"an event has its onset before its offset, got {event!r:.100}")
    return CorrectedEvent(as_text(event[0], "class"), event[1], onset, offset)


def classes_of(folder: Path, saved: Mapping[str, Correction]) -> tuple[str, ...]:
    """The classes a folder of corrections knows: those of its tables, and those of what was saved; none of another."""
    if not (folder / JOURNAL).is_file():
        return ()
    held = class_names(vocabulary_file(folder / CLASSES_FILE)) if stands(folder / CLASSES_FILE) else ()
    of_events = sorted({event.class_name for one in saved.values() for event in one.events or ()})
    return tuple(dict.fromkeys((*held, *of_events)))


def of_other_media(saved: Mapping[str, Correction], parsed: Iterable[tuple[str, MediaInfo | None]]) -> frozenset[str]:
    """Clips whose corrections are of another file than there is now, so that they are no truth of it.

    Args:
        saved: From `read_journal`.
        parsed: Clips, and what the parses say of their media that are shown or scored, several of one clip too. Of
            clips without any, the file is looked for where it lay.
    """
    found: dict[str, list[MediaInfo]] = {}
    for clip_id, media in parsed:
        if media is not None:
            found.setdefault(clip_id, []).append(media)
    return frozenset(
        clip_id
        for clip_id, one in saved.items()
        if one.events is not None and any(map(one.is_of_other, found.get(clip_id, [None])))
    )


def other_media_note(clip_ids: Iterable[str]) -> str:
    """What is said of corrections of other media than there are now; empty of none."""
    found = sorted(clip_ids)
    if not found:
        return ""
    which = f"of {found[0]} are" if len(found) == 1 else f"of {len(found):,} clips ({some_of(found)}) are"
    files = "another file than the one" if len(found) == 1 else "other files than those"
    return (
        f"corrections {which} of {files} of that name now, and do not count: parse what is new where that was not "
        "done, and correct it in `valor view` of the parses, where Undo takes the old corrections over"
    )


def not_in_tables(folder: Path, saved: Mapping[str, Correction]) -> list[str]:
    """Clips that were corrected, and that the files of the folder do not hold."""
    listed = folder / "exact" / CLIP_LIST
    there = set(read_clip_list(listed)) if listed.is_file() else set()
    return [clip_id for clip_id, one in saved.items() if one.events is not None and clip_id not in there]
