"""Events as an annotation document of ELAN (.eaf): one tier for each class that is heard, and seen; and read back."""

import mimetypes
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as Xml

from valor.data.parse_file import SEEN_AS, ParsedEvent
from valor.eval.xml_text import xml_text

from .timeline import (
    MODALITY_OF,
    RateOf,
    ReadEvent,
    ReadMedia,
    Timeline,
    check_names,
    refuse_below_zero,
    text_of,
    told_apart,
)

_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_EVENT_TYPE = "event"
_TYPES = {  # what the machine's own tables lack, or take for something else, such as .ts for Qt's translations
    ".ts": "video/mp2t",
    ".mts": "video/mp2t",
    ".m2ts": "video/mp2t",
    ".mkv": "video/x-matroska",
    ".mka": "audio/x-matroska",
}


def elan_text(timelines: Sequence[Timeline], beside: Path | None = None) -> str:
    """An .eaf document; annotations of a tier may not overlap, so every class and modality has its own.

    Args:
        timelines: Of one media file.
        beside: The folder it will lie in, from which the media are named too; None names the media as if beside it.

    Raises:
        ValueError: There is more than one media file, an event begins before zero, which ELAN cannot say, or XML cannot
            tell two classes apart.
    """
    if len(timelines) != 1:
        raise ValueError(f"an ELAN document is of one media file, got {len(timelines)}")
    (line,) = timelines
    refuse_below_zero(line, "ELAN")
    check_names(line.class_names)
    root = Xml.Element("ANNOTATION_DOCUMENT", {"AUTHOR": "", "DATE": "1970-01-01T00:00:00+00:00"})
    root.attrib |= {"FORMAT": "3.0", "VERSION": "3.0", _SCHEMA: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"}
    _add_header(root, line, beside)
    order = Xml.SubElement(root, "TIME_ORDER")
    slots = _add_slots(order, line.events)
    tiers: dict[str, list[ParsedEvent]] = {}
    for event in line.events:
        tiers.setdefault(f"{SEEN_AS[event.modality]} {event.class_name}", []).append(event)
    number = 0
    for name, events in tiers.items():
        tier = Xml.SubElement(root, "TIER", {"LINGUISTIC_TYPE_REF": _EVENT_TYPE, "TIER_ID": name})
        for event in events:
            number += 1
            _add_annotation(tier, event, number, slots)
    kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": _EVENT_TYPE, "TIME_ALIGNABLE": "true"}
    Xml.SubElement(root, "LINGUISTIC_TYPE", kind)
    Xml.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{xml_text(Xml.tostring(root, encoding="unicode"))}\n'


def _add_header(root: Xml.Element, line: Timeline, beside: Path | None) -> None:
    header = Xml.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    known = _TYPES.get(Path(line.media.name).suffix.lower()) or mimetypes.guess_type(line.media.name)[0] or ""
    usual = "video/mp4" if line.media.has_visual else "audio/x-wav"
    kind = known if known.startswith(("video/", "audio/")) else usual
    media, relative = Path(line.media.path), line.media.name
    if beside is not None and media.is_absolute():
        with suppress(ValueError):  # another drive on Windows
            relative = (Path(os.path.relpath(media.parent, beside.absolute())) / relative).as_posix()
    placed = media if media.is_absolute() else (beside or Path()).absolute() / media  # of a clip without a known file
    address = {"MEDIA_URL": placed.as_uri(), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": relative}
    Xml.SubElement(header, "MEDIA_DESCRIPTOR", address)
    if line.caveat:
        Xml.SubElement(header, "PROPERTY", {"NAME": "note"}).text = line.caveat


def _add_slots(order: Xml.Element, events: Sequence[ParsedEvent]) -> dict[int, str]:
    """One time slot for each time that occurs, in order; by milliseconds."""
    times = sorted({_milliseconds(time) for event in events for time in (event.onset, event.offset)})
    slots = {time: f"ts{number}" for number, time in enumerate(times, start=1)}
    for time, name in slots.items():
        Xml.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": name, "TIME_VALUE": str(time)})
    return slots


def _add_annotation(tier: Xml.Element, event: ParsedEvent, number: int, slots: dict[int, str]) -> None:
    ends = {f"TIME_SLOT_REF{n}": slots[_milliseconds(time)] for n, time in ((1, event.onset), (2, event.offset))}
    holder = Xml.SubElement(tier, "ANNOTATION")
    entry = Xml.SubElement(holder, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": f"a{number}", **ends})
    Xml.SubElement(entry, "ANNOTATION_VALUE").text = event.class_name


def _milliseconds(time: float) -> int:
    return round(1000 * time)


def read_elan(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """The events of an .eaf document: aligned annotations of tiers whose names begin with `audible` or `visible`.

    A tier is called after its class, `audible Dog`, and then what an annotation says is the class, where it says
    something; or `audible` alone, and every annotation says one. Annotations that hang on others are passed over;
    other tiers are named as such.

    Raises:
        ValueError: It is no such document, a tier is nearly one of these, or an annotation has no time; says which.
    """
    text = text_of(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path}: expected an ELAN document, got one that defines XML of its own; ELAN writes none")
    try:
        root = Xml.fromstring(text)
    except Xml.ParseError as error:
        raise ValueError(f"{path}: expected an ELAN document (.eaf), got XML that cannot be read ({error})") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise ValueError(f"{path}: expected an ELAN document (.eaf), got a <{root.tag:.80}>")
    if root.find("TIME_ORDER") is None:
        raise ValueError(f"{path}: expected an ELAN document (.eaf), got one without a TIME_ORDER; was it cut?")
    media, slots = root.find("HEADER/MEDIA_DESCRIPTOR"), _slots_of(root, path)
    begin = 0.0 if media is None else _begin_of(media, path)
    events, others = [], []
    for tier in root.iter("TIER"):
        aligned = list(tier.iter("ALIGNABLE_ANNOTATION"))
        where = f"{path}: tier {tier.get('TIER_ID')!r:.200}"
        named = (tier.get("TIER_ID") or "").strip()
        alone = (MODALITY_OF[named.lower()], "") if named.lower() in MODALITY_OF else None
        own = alone or (told_apart(named, where) if aligned else None)
        others += [(named, where)] * bool(aligned and own is None)
        if own is None:
            continue
        modality, name = own
        for entry in aligned:
            said = " ".join((entry.findtext("ANNOTATION_VALUE") or "").split())
            times = [_time(slots.get(entry.get(f"TIME_SLOT_REF{n}")), where) + begin for n in (1, 2)]
            place = f"{where}, {entry.get('ANNOTATION_ID')!s:.80}"
            events.append(
                ReadEvent(class_name=said or name, modality=modality, onset=times[0], offset=times[1], where=place)
            )
    address = "" if media is None else media.get("RELATIVE_MEDIA_URL") or media.get("MEDIA_URL") or ""
    address = address.replace("\\", "/")
    is_link = media is not None and not media.get("RELATIVE_MEDIA_URL")
    lies = unquote(address).removeprefix("file://") if is_link else address
    return [ReadMedia(name=lies.rpartition("/")[2], address=lies, events=tuple(events), others=tuple(others))]


def _slots_of(root: Xml.Element, path: Path) -> dict[str | None, str | None]:
    """Times by the names of their slots, in milliseconds."""
    header = root.find("HEADER")
    if (unit := "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")) != "milliseconds":
        raise ValueError(f"{path}: expected times in milliseconds, got TIME_UNITS {unit!r:.80}; save it in ELAN once")
    slots: dict[str | None, str | None] = {}
    for slot in root.iter("TIME_SLOT"):
        name = slot.get("TIME_SLOT_ID")
        if name in slots:
            raise ValueError(f"{path}: expected each time slot once, got {name!r:.80} twice; was it merged by hand?")
        slots[name] = slot.get("TIME_VALUE")
    return slots


_MOST_DIGITS = 12
"""Of milliseconds in thirty years, more than any recording lasts."""


def _begin_of(media: Xml.Element, path: Path) -> float:
    """Seconds that ELAN adds to times of a document for those of its media: somebody moved one to fit another."""
    moved = media.get("TIME_ORIGIN", "0")
    if not re.fullmatch(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", moved):
        raise ValueError(f"{path}: expected TIME_ORIGIN in milliseconds, got {moved!r:.80}")
    return int(moved) / 1000


def _time(value: str | None, where: str) -> float:
    if value is None or not re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", value):
        raise ValueError(f"{where}: expected times in milliseconds, got {value!r:.80}; align it in ELAN")
    return int(value) / 1000
