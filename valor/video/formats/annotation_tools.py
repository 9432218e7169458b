"""Events as FiftyOne and Label Studio import them; both count from the start of the media, whatever its clock."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from valor.data.parse_file import SEEN_AS, MediaInfo, ParsedEvent

from .timeline import Timeline

DEFAULT_FRAME_RATE = 25.0
"""Frames per second of media that say none; Label Studio places events by frames."""


def fiftyone_text(timelines: Sequence[Timeline]) -> str:
    """`labels.json` of a FiftyOneTemporalDetectionDataset: temporal detections with timestamps, by file name.

    The media files belong into its folder `data/` under their own names. FiftyOne prefers `support`, the first and the
    last frame counted from 1, to `timestamps`, which stay for readers that want seconds.
    """
    names = list(dict.fromkeys(name for line in timelines for name in line.class_names))
    labels = {
        key: [
            {
                "label": names.index(event.class_name),
                **({"support": _frames(line, event)} if line.media.frame_rate else {}),
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
    names its media as both. Where they are served under another address, change `data` of each task.
    """
    keys = _kinds([line.media for line in timelines])
    return json.dumps([_task(line, keys) for line in timelines], indent=1, ensure_ascii=False) + "\n"


def label_studio_config(class_names: Sequence[str], media: Sequence[MediaInfo]) -> str:
    """The labelling interface: rows of what is audible and visible for a video, one row for sound alone.

    Args:
        class_names: The labels.
        media: What will be labelled; their frame rate is written where it is one.
    """
    view, kinds = Xml.Element("View"), _kinds(media)
    if "video" in kinds:
        rates = {info.frame_rate for info in media if info.frame_rate}
        rate = f"{rates.pop() if len(rates) == 1 else DEFAULT_FRAME_RATE:.6g}"
        Xml.SubElement(view, "Video", {"name": "video", "value": "$video", "frameRate": rate, "timelineHeight": "200"})
        for how in SEEN_AS.values():
            _add_labels(view, "TimelineLabels", {"name": how, "toName": "video"}, class_names)
    if "audio" in kinds:
        Xml.SubElement(view, "Audio", {"name": "sound", "value": "$audio"})
        _add_labels(view, "Labels", {"name": "heard", "toName": "sound"}, class_names)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"


def _add_labels(view: Xml.Element, kind: str, attributes: dict[str, str], class_names: Sequence[str]) -> None:
    control = Xml.SubElement(view, kind, attributes)
    for name in class_names:
        Xml.SubElement(control, "Label", {"value": name})


def _kinds(media: Sequence[MediaInfo]) -> list[str]:
    """The parts an interface for these media has: video, audio, or both."""
    there = {"video" if info.has_visual else "audio" for info in media}
    return [kind for kind in ("video", "audio") if kind in there]


def _task(line: Timeline, keys: Sequence[str]) -> dict[str, Any]:
    place = _on_frames if line.media.has_visual else _in_seconds
    results = [{"id": f"e{number}", **place(line, event)} for number, event in enumerate(line.events)]
    prediction = {"model_version": "valor", "result": results}
    data = {**dict.fromkeys(keys, line.media.path), "name": line.media.name}
    return {"data": data, "predictions": [prediction]}


def _on_frames(line: Timeline, event: ParsedEvent) -> dict[str, Any]:
    first, last = _frames(line, event)
    ranges = [{"start": first, "end": last}]
    return {
        "from_name": SEEN_AS[event.modality],
        "to_name": "video",
        "type": "timelinelabels",
        "score": round(event.prob, 4),
        "value": {"ranges": ranges, "timelinelabels": [event.class_name]},
    }


def _in_seconds(line: Timeline, event: ParsedEvent) -> dict[str, Any]:
    onset, offset = _from_start(line, event)
    return {
        "from_name": "heard",
        "to_name": "sound",
        "type": "labels",
        "score": round(event.prob, 4),
        "value": {"start": onset, "end": offset, "channel": 0, "labels": [event.class_name]},
    }


def _frames(line: Timeline, event: ParsedEvent) -> list[int]:
    """The first and the last frame of an event; frames count from 1."""
    rate = line.media.frame_rate or DEFAULT_FRAME_RATE
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
