"""Events as FiftyOne and Label Studio import them; both count from the start of the media, whatever its clock."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from valor.parses import SEEN_AS, ParsedEvent

from .timeline import Timeline

DEFAULT_FRAME_RATE = 25.0
"""Frames per second of media that say none; Label Studio places events by frames."""


def fiftyone_text(timelines: Sequence[Timeline]) -> str:
    """`labels.json` of a FiftyOneTemporalDetectionDataset: temporal detections with timestamps, by file name.

    The media files belong into its folder `data/` under their own names.
    """
    names = list(dict.fromkeys(name for line in timelines for name in line.class_names))
    labels = {
        key: [
            {
                "label": names.index(event.class_name),
                "timestamps": _from_start(line, event),
                "attributes": {"modality": event.modality, "confidence": round(event.prob, 4)},
            }
            for event in line.events
        ]
        for key, line in zip(_keys(timelines), timelines, strict=True)
    }
    return json.dumps({"classes": names, "labels": labels}, indent=1, ensure_ascii=False) + "\n"


def label_studio_text(timelines: Sequence[Timeline]) -> str:
    """Tasks with predictions for the labelling interface of `label_studio_config`.

    Media with a picture are labelled on the frames of a `TimelineLabels`, sound alone in seconds. Where the media are
    served under another address, change `data` of each task.
    """
    return json.dumps([_task(line) for line in timelines], indent=1, ensure_ascii=False) + "\n"


def label_studio_config(class_names: Sequence[str], *, frame_rate: float | None = None) -> str:
    """The labelling interface: a row of labels for what is audible, one for what is visible."""
    view = Xml.Element("View")
    rate = f"{frame_rate or DEFAULT_FRAME_RATE:.6g}"
    Xml.SubElement(view, "Video", {"name": "video", "value": "$video", "frameRate": rate, "timelineHeight": "200"})
    for how in SEEN_AS.values():
        control = Xml.SubElement(view, "TimelineLabels", {"name": how, "toName": "video"})
        for name in class_names:
            Xml.SubElement(control, "Label", {"value": name})
    Xml.SubElement(view, "Audio", {"name": "sound", "value": "$audio"})
    control = Xml.SubElement(view, "Labels", {"name": "heard", "toName": "sound"})
    for name in class_names:
        Xml.SubElement(control, "Label", {"value": name})
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"


def _task(line: Timeline) -> dict[str, Any]:
    place = _on_frames if line.media.has_visual else _in_seconds
    results = [{"id": f"e{number}", **place(line, event)} for number, event in enumerate(line.events)]
    key = "video" if line.media.has_visual else "audio"
    prediction = {"model_version": "valor", "result": results}
    return {"data": {key: line.media.path, "name": line.media.name}, "predictions": [prediction]}


def _on_frames(line: Timeline, event: ParsedEvent) -> dict[str, Any]:
    """A range of frames, which count from 1; the last one is part of it."""
    rate = line.media.frame_rate or DEFAULT_FRAME_RATE
    onset, offset = _from_start(line, event)
    first = round(onset * rate) + 1
    ranges = [{"start": first, "end": max(first, round(offset * rate))}]
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


def _from_start(line: Timeline, event: ParsedEvent) -> list[float]:
    """Onset and offset in seconds from the start of the media."""
    return [round(time - line.media.start_time, 6) for time in (event.onset, event.offset)]


def _keys(timelines: Sequence[Timeline]) -> list[str]:
    """What each media file is called: its name without the ending, or whole where two have the same."""
    stems = [Path(line.media.name).stem for line in timelines]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else line.media.name for stem, line in zip(stems, timelines, strict=True)]
