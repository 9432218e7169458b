"""Events as FiftyOne and Label Studio import them; both count from the start of the media, whatever its clock."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from valor.data.parse_file import SEEN_AS, MediaInfo, ParsedEvent
from valor.eval.xml_text import xml_text

from .timeline import Timeline, check_names

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
                "attributes": {"modality": event.modality},
            }
            for event in line.events
        ]
        for key, line in zip(_keys(timelines), timelines, strict=True)
    }
    return json.dumps({"classes": names, "labels": labels}, indent=1, ensure_ascii=False) + "\n"


def label_studio_text(timelines: Sequence[Timeline]) -> str:
    """Tasks with predictions for the labelling interface of `label_studio_config`.

    Media with a picture are labelled on the frames of a `TimelineLabels`, sound alone in seconds. Label Studio takes no
    task that lacks the media of a part of the interface: where some media have a picture and some not, every task
    names its media as both. Where they are served under another address, change `data` of each task. Label Studio turns
    frames into seconds by the rate of the interface, which is that of each task, `fps`, where they differ.
    """
    media = [line.media for line in timelines]
    keys = (*_kinds(media), *(("fps",) if len(_rates(media)) > 1 else ()))
    for line in timelines:
        check_names(line.class_names)
    return json.dumps([_task(line, keys) for line in timelines], indent=1, ensure_ascii=False) + "\n"


def label_studio_config(class_names: Sequence[str], media: Sequence[MediaInfo]) -> str:
    """The labelling interface: rows of what is audible and visible for a video, one row for sound alone.

    Args:
        class_names: The labels.
        media: What will be labelled; their frame rate is written where it is one, else each task says its own.
    """
    view, kinds = Xml.Element("View"), _kinds(media)
    if "video" in kinds:
        rates = _rates(media)
        rate = "$fps" if len(rates) > 1 else f"{rates.pop():.9g}"
        Xml.SubElement(view, "Video", {"name": "video", "value": "$video", "frameRate": rate, "timelineHeight": "200"})
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


def _task(line: Timeline, keys: Sequence[str]) -> dict[str, Any]:
    place = _on_frames if line.media.has_visual else _in_seconds
    results = [{"id": f"e{number}", **place(line, event)} for number, event in enumerate(line.events)]
    prediction = {"model_version": "valor", "result": results}
    data: dict[str, Any] = {**dict.fromkeys(keys, line.media.path), "name": line.media.name}
    if "fps" in keys:
        data["fps"] = _placing_rate(line.media)
    return {"data": data, "predictions": [prediction]}


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
