"""Events as FiftyOne and Label Studio take and give them; both count from the start of the media."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree as Xml

from valor.data.parse_file import SEEN_AS, ParsedEvent
from valor.data.parsed_media import MediaInfo
from valor.eval.events import MODALITIES
from valor.eval.xml_text import xml_text
from valor.label_harvest.strict_json import MOST_SECONDS, as_list, as_names, as_number, as_object, as_text, loads

from .timeline import (
    MODALITY_OF,
    RateOf,
    ReadEvent,
    ReadMedia,
    Timeline,
    check_names,
    refuse_near_miss,
    text_of,
)

DEFAULT_FRAME_RATE = 25.0
"""Frames per second of an interface whose media have no rate of their own, or none to place events by."""
SLOWEST, FASTEST = 5.0, 240.0
"""Frames per second between which a rate is one to place events by: slower ones are too coarse, and faster ones the
ticks of some clock."""


def fiftyone_text(timelines: Sequence[Timeline]) -> str:
    """`labels.json` of a FiftyOneTemporalDetectionDataset: temporal detections with timestamps, by file name.

    The media files belong into its folder `data/` under their own names. FiftyOne prefers `support`, the first and the
    last frame counted from 1, to `timestamps`, which stay for readers that want seconds. Where frames do not come
    evenly from the start on, or their rate is not known, there is no `support`, and it goes by the timestamps.
    """
    names = list(dict.fromkeys(name for line in timelines for name in line.class_names))
    labels = {
        key: [
            {
                "label": names.index(event.class_name),
                **({"support": _frames(line, event, line.media.frame_rate)} if _is_even(line.media) else {}),
                "timestamps": _from_start(line, event),
                "confidence": round(event.prob, 4),
                "attributes": {"modality": event.modality, **_note(line)},
            }
            for event in line.events
        ]
        for key, line in zip(_keys(timelines), timelines, strict=True)
    }
    return json.dumps({"classes": names, "labels": labels}, indent=1, ensure_ascii=False) + "\n"


def label_studio_text(timelines: Sequence[Timeline], media_url: str | None = None) -> str:
    """Tasks with predictions for the labelling interface of `label_studio_config`.

    Media with a picture are labelled on the frames of a `TimelineLabels`, sound alone in seconds. Label Studio takes no
    task that lacks the media of a part of the interface: where some media have a picture and some not, every task
    names its media as both. Label Studio turns frames into seconds by the rate of the interface, which is that of each
    task, `fps`, where they differ; each says its own, so that what comes back can be read alone.

    Args:
        timelines: What is labelled.
        media_url: What the addresses of media begin with, their names follow; None for their paths here, which Label
            Studio does not serve.
    """
    kinds = _kinds([line.media for line in timelines])
    for line in timelines:
        check_names(line.class_names)
    return json.dumps([_task(line, kinds, media_url) for line in timelines], indent=1, ensure_ascii=False) + "\n"


def label_studio_config(class_names: Sequence[str], media: Sequence[MediaInfo]) -> str:
    """The labelling interface: rows of what is audible and visible for a video, one row for sound alone.

    A waveform stands below the video where each has sound: Label Studio reads it from the same file, and fails at one
    that has none.

    Args:
        class_names: The labels.
        media: What will be labelled; their frame rate is written where it is one, else each task says its own.
    """
    view, kinds = Xml.Element("View"), _kinds(media)
    if "video" in kinds:
        rates = _rates(media)
        rate = "$fps" if len(rates) > 1 else f"{rates.pop():.9g}"
        heard = "audio" not in kinds and all(info.has_audio for info in media)
        video = {"name": "video", "value": "$video", "frameRate": rate, "timelineHeight": "200"}
        Xml.SubElement(view, "Video", {**video, **({"sync": "waveform"} if heard else {})})
        if heard:
            Xml.SubElement(view, "Audio", {"name": "waveform", "value": "$video", "sync": "video", "height": "64"})
        for how in SEEN_AS.values():
            _add_labels(view, "TimelineLabels", {"name": how, "toName": "video"}, class_names)
    if "audio" in kinds:
        Xml.SubElement(view, "Audio", {"name": "sound", "value": "$audio"})
        _add_labels(view, "Labels", {"name": "heard", "toName": "sound"}, class_names)
    Xml.indent(view)
    return xml_text(Xml.tostring(view, encoding="unicode")) + "\n"


def _add_labels(view: Xml.Element, kind: str, attributes: dict[str, str], class_names: Sequence[str]) -> None:
    control = Xml.SubElement(view, kind, attributes)
    for name in class_names:
        Xml.SubElement(control, "Label", {"value": name})


def _placing_rate(media: MediaInfo) -> float:
    """Frames per second by which Label Studio shall place events; its player seeks to frame / rate, so any is right."""
    rate = media.frame_rate or 0.0
    fits = media.constant_rate is not False and SLOWEST <= rate <= FASTEST
    return float(f"{rate:.9g}") if fits else DEFAULT_FRAME_RATE


def _rates(media: Sequence[MediaInfo]) -> set[float]:
    """The rates by which events of some media are placed."""
    return {_placing_rate(info) for info in media if info.has_visual}


def _is_even(media: MediaInfo) -> bool:
    """Whether the n-th frame is known to lie at n / rate; of parses that do not say, where the rate is a usual one."""
    if media.constant_rate is None:
        return media.frame_rate is not None and 0 < media.frame_rate <= FASTEST
    return media.constant_rate


def _kinds(media: Sequence[MediaInfo]) -> list[str]:
    """The parts an interface for these media has: video, audio, or both."""
    there = {"video" if info.has_visual else "audio" for info in media}
    return [kind for kind in ("video", "audio") if kind in there]


def _task(line: Timeline, kinds: Sequence[str], media_url: str | None) -> dict[str, Any]:
    place = _on_frames if line.media.has_visual else _in_seconds
    results = [{"id": f"e{number}", **place(line, event)} for number, event in enumerate(line.events)]
    prediction = {"model_version": "valor", "result": results}
    address = line.media.path if media_url is None else media_url + quote(line.media.name)
    data: dict[str, Any] = {**dict.fromkeys(kinds, address), "name": line.media.name, **_note(line)}
    if "video" in kinds:
        data["fps"] = _placing_rate(line.media)
    return {"data": data, "predictions": [prediction]}


def _note(line: Timeline) -> dict[str, str]:
    """What keeps anybody from believing the events, where there is something."""
    return {"note": line.caveat} if line.caveat else {}


def _on_frames(line: Timeline, event: ParsedEvent) -> dict[str, Any]:
    first, last = _frames(line, event, _placing_rate(line.media))
    ranges = [{"start": first, "end": last}]
    return {
        "from_name": SEEN_AS[event.modality],
        "to_name": "video",
        "type": "timelinelabels",
        "score": round(event.prob, 4),
        "value": {"ranges": ranges, "timelinelabels": [xml_text(event.class_name)]},
    }


def _in_seconds(line: Timeline, event: ParsedEvent) -> dict[str, Any]:
    onset, offset = _from_start(line, event)
    return {
        "from_name": "heard",
        "to_name": "sound",
        "type": "labels",
        "score": round(event.prob, 4),
        "value": {"start": onset, "end": offset, "channel": 0, "labels": [xml_text(event.class_name)]},
    }


def _frames(line: Timeline, event: ParsedEvent, rate: float | None) -> list[int]:
    """The first and the last frame of an event; frames count from 1."""
    rate = rate or DEFAULT_FRAME_RATE
    onset, offset = _from_start(line, event)
    first = round(onset * rate) + 1
    return [first, max(first, round(offset * rate))]


def _from_start(line: Timeline, event: ParsedEvent) -> list[float]:
    """Onset and offset in seconds from the start of the media."""
    return [round(time - line.media.start_time, 6) for time in (event.onset, event.offset)]


def _keys(timelines: Sequence[Timeline]) -> list[str]:
    """What each media file is called: its name without the ending, or whole where two have the same."""
    stems = [Path(line.media.name).stem for line in timelines]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else line.media.name for stem, line in zip(stems, timelines, strict=True)]


def read_json(path: Path) -> Any:  # noqa: ANN401
    """What a JSON file holds.

    Raises:
        ValueError: It is none.
    """
    try:
        return loads(text_of(path))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, which could not be read ({error})") from error


def read_fiftyone(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """The events of a `labels.json` of temporal detections, by `timestamps`, or by `support` where the rate is known.

    Raises:
        ValueError: It is no such file, an event names another modality or no class, or nothing says how long a frame
            is.
    """
    table = as_object(read_json(path), str(path))
    classes = as_names(table.get("classes"), f"{path}: classes")
    found = []
    for name, entries in as_object(table.get("labels"), f"{path}: labels").items():
        events, others = [], []
        for number, entry in enumerate([] if entries is None else as_list(entries, f"{path}: {name:.80}")):
            where = f"{path}: {name:.80}, event {number + 1}"
            held = as_object(entry, where)
            label = held.get("label")
            if type(label) is int and 0 <= label < len(classes):
                label = classes[label]
            how = as_object(held.get("attributes", held), where).get("modality", held.get("modality"))
            if how is None:
                others.append((str(label)[:200], where))
                continue
            if not isinstance(how, str) or how not in MODALITY_OF:
                raise ValueError(f"{where}: expected the attribute modality, audio or visual, got {how!r:.80}")
            onset, offset = _timestamps(held, rate_of(name), where)
            named, modality = as_text(label, f"{where}: label"), MODALITY_OF[how]
            events.append(ReadEvent(class_name=named, modality=modality, onset=onset, offset=offset, where=where))
        unit = 1 / (rate_of(name) or math.inf)
        found.append(ReadMedia(name=name, events=tuple(events), unit=unit, others=tuple(others)))
    return found


def _timestamps(held: dict[str, Any], rate: float | None, where: str) -> list[float]:
    if held.get("timestamps") is not None:
        return _pair(held["timestamps"], f"{where}: timestamps")
    if held.get("support") is None or not rate:
        raise ValueError(
            f"{where}: expected timestamps, got {'frames alone' if 'support' in held else 'none'}; export with "
            "use_timestamps=True, or name what the file was exported from, whose parses know the frame rate"
        )
    first, last = _pair(held["support"], f"{where}: support")
    return [(first - 1) / rate, last / rate]


def _pair(value: object, where: str) -> list[float]:
    held = as_list(value, where)
    if len(held) != 2:
        raise ValueError(f"{where}: expected two numbers, got {len(held)}")
    return [as_number(number, where, 0, MOST_SECONDS * FASTEST) for number in held]


def read_label_studio(path: Path, rate_of: RateOf) -> list[ReadMedia]:
    """The events of tasks as Label Studio exports them (JSON): of each the annotation that was changed last.

    A task that nobody annotated is as it was sent, with the predictions. Regions of other controls than those of
    `label_studio_config` are named as such.

    Raises:
        ValueError: It is no such export, or nothing says how long a frame is.
    """
    tasks, found = read_json(path), []
    if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task for task in tasks):
        raise ValueError(
            f"{path}: expected tasks of Label Studio, each with its data, got something else; export as JSON, not as "
            "JSON-MIN or CSV"
        )
    for number, task in enumerate(tasks):
        where = f"{path}: task {task.get('id', number + 1)}"
        data = as_object(task["data"], where)
        given = data.get("name")
        name = as_text(
            _name_in(data.get("video") or data.get("audio"), where) if given is None else given, f"{where}: name"
        )
        kept = [one for one in _tried(task, "annotations", where) if not one.get("was_cancelled")]
        kept.sort(key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))
        held = (kept or _tried(task, "predictions", where) or [{"result": []}])[-1]
        rate = data.get("fps")
        rate = rate_of(name) if rate is None else as_number(rate, f"{where}: fps", SLOWEST, FASTEST)
        regions = [as_object(one, where) for one in as_list(held.get("result"), f"{where}: result")]
        events = [event for region in regions for event in _of_region(region, rate, where)]
        asked = [str(region.get("from_name")) for region in regions if not _is_ours(region, where)]
        found.append(
            ReadMedia(
                name=name,
                events=tuple(events),
                unit=1 / (rate or math.inf),
                others=tuple((f"{control:.200}", where) for control in asked),
            )
        )
    return found


def _tried(task: dict[str, Any], what: str, where: str) -> list[dict[str, Any]]:
    """The annotations or predictions of a task; none where it says none."""
    found = task.get(what)
    return [] if found is None else [as_object(one, where) for one in as_list(found, f"{where}: {what}")]


def _is_ours(region: dict[str, Any], where: str) -> bool:
    """Whether a region is of a row of `label_studio_config`; refuses one of labels that is nearly so called."""
    is_labels, how = region.get("type") in ("timelinelabels", "labels"), region.get("from_name")
    ours = is_labels and how in (*SEEN_AS.values(), "heard")
    if is_labels and not ours:
        refuse_near_miss(str(how), where, "the rows audible and visible")
    return ours


def _of_region(region: dict[str, Any], rate: float | None, where: str) -> list[ReadEvent]:
    """The events of a region: one for each of its ranges and labels."""
    kind, how = str(region.get("type")), region.get("from_name")
    if not _is_ours(region, where):
        return []
    value, place = as_object(region.get("value"), where), f"{where}, {region.get('id')!s:.40}"
    names = [as_text(name, place) for name in as_list(value.get(kind), f"{place}: {kind}")]
    if kind == "labels":
        spans = [[as_number(value.get(end), f"{place}: {end}", 0) for end in ("start", "end")]]
    elif not rate:
        raise ValueError(
            f"{place}: counts frames, and nothing says how many a second has; put fps into the data of the task, or "
            "name what the file was exported from"
        )
    else:
        ranges = [as_object(one, place) for one in as_list(value.get("ranges"), f"{place}: ranges")]
        frames = [[as_number(one.get(end), f"{place}: {end}", 0) for end in ("start", "end")] for one in ranges]
        spans = [[max(first - 1, 0) / rate, last / rate] for first, last in frames]
    modality = MODALITIES[0] if how == "heard" else MODALITY_OF[str(how)]
    return [
        ReadEvent(class_name=name, modality=modality, onset=round(onset, 6), offset=round(offset, 6), where=place)
        for name in names
        for onset, offset in spans
    ]


def _name_in(address: object, where: str) -> str:
    """The name of the file that an address ends in, `/data/local-files/?d=films/yard.mp4` among them."""
    text = as_text(address, f"{where}: video or audio")
    path = text.partition("?d=")[2] or text.partition("?")[0]
    return unquote(path.replace("\\", "/").rpartition("/")[2])
