"""Events in seconds as codes of UnAV-100 publish their results: read as predictions of a split, and written.

    {"version": ..., "results": {VIDEO: [{"label": "dog barking", "segment": [1.5, 9.2], "score": 0.8}, ...]}}

"simulated": true beside them says that the features were, and no score means anything.
The score may stand under `scores`, which the published evaluator reads while the published writer says `score`. Events
are audible and visible at once; their scores rank them (mAP). On segments, for F, a segment is as probable as the
surest event that touches it. Videos of the split that are not named have no events.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.detection import Detections, on_segments
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import write_json
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import as_flag, as_list, as_number, as_object, as_text

from ..predictions import SHOWN, Predictions
from ..provenance import Provenance
from ..segment_grid import SegmentGrid

RESULTS = "results"
"""Key by which such a file is known."""

_SCORES = ("score", "scores")
_SIMULATED = "simulated"


def detections_in(
    path: Path, table: Mapping[str, Any], class_names: Sequence[str], clip_ids: Sequence[str], grid: SegmentGrid
) -> Predictions:
    """Read the events of a file.

    Args:
        path: For messages.
        table: What it holds.
        class_names: C names.
        clip_ids: The N clips of the split.
        grid: Its segments.

    Raises:
        ValueError: A video is none of the split, a class none of its classes, or an event is none; says which.
    """
    row_of, column_of = ({name: at for at, name in enumerate(names)} for names in (clip_ids, class_names))
    rows: list[tuple[int, int, float, float, float]] = []
    strangers = []
    for video, listed in as_object(table[RESULTS], f"{path}: {RESULTS}").items():
        if (clip_id := composed(video)) not in row_of:
            strangers.append(clip_id)
            continue
        for number, held in enumerate(as_list(listed, f"{path}: {video}")):
            where = f"{path}: {video}: event {number}"
            rows.append((row_of[clip_id], *_event(as_object(held, where), where, column_of, grid)))
    if strangers:
        raise ValueError(
            f"{path}: {len(strangers)} videos are none of the split ({', '.join(strangers[:SHOWN])}"
            f"{', ...' if len(strangers) > SHOWN else ''}); published codes count their events as false, leave them out"
        )
    if not rows:
        raise ValueError(f"{path}: expected at least one event, got none")
    clip, name, onset, offset, score = (np.array(column) for column in zip(*rows, strict=True))
    detections = Detections(clip=clip, class_index=name, onset=onset, offset=offset, score=score)
    probs = on_segments(detections, (len(clip_ids), grid.num_segments, len(class_names)), grid.segment_seconds)
    return Predictions(
        clip_ids=tuple(clip_ids),
        class_names=tuple(class_names),
        segment_probs=np.repeat(probs[:, :, np.newaxis], 2, axis=2),
        clip_probs=probs.max(axis=1),
        segment_seconds=grid.segment_seconds,
        detections=detections,
        provenance=Provenance(simulated=as_flag(table.get(_SIMULATED, False), f"{path}: {_SIMULATED}")),
    )


def write_detections(path: Path, predictions: Predictions) -> None:
    """Write events in seconds as codes of UnAV-100 publish them, whole or not at all; the surest of a video first.

    Raises:
        ValueError: The predictions name no events in seconds.
    """
    found = predictions.detections
    if found is None:
        raise ValueError(f"{path}: results are events in seconds, and these predictions name none")
    results: dict[str, list[dict[str, Any]]] = {clip_id: [] for clip_id in predictions.clip_ids}
    for row in np.lexsort((-found.score, found.clip)):
        segment = [float(found.onset[row]), float(found.offset[row])]
        event = {"label": predictions.class_names[found.class_index[row]], "segment": segment}
        results[predictions.clip_ids[found.clip[row]]].append({**event, _SCORES[0]: float(found.score[row])})
    about = {_SIMULATED: True} if predictions.provenance.simulated else {}
    write_json(path, {"version": "valor", **about, RESULTS: results}, indent=None)


def _event(
    held: Mapping[str, Any], where: str, column_of: Mapping[str, int], grid: SegmentGrid
) -> tuple[int, float, float, float]:
    """Class, onset, offset and score of an entry."""
    label = as_text(held.get("label"), f"{where}: label")
    if label not in column_of:
        raise ValueError(f"{where}: unknown class {label!r}{did_you_mean(label, list(column_of))}")
    ends = as_list(held.get("segment"), f"{where}: segment")
    if len(ends) != 2:
        raise ValueError(f"{where}: a segment has an onset and an offset, got {len(ends)} numbers")
    longest = grid.num_segments * grid.segment_seconds
    onset, offset = (as_number(end, f"{where}: segment", 0, longest) for end in ends)
    if not onset < offset:
        raise ValueError(
            f"{where}: an event lasts for something, got {onset:g} to {offset:g} s; published codes count some such as "
            "hits, leave them out"
        )
    said = [name for name in _SCORES if name in held]
    if len(said) != 1:
        raise ValueError(f"{where}: an event has a score, under one of {' and '.join(_SCORES)}, got {len(said)}")
    return column_of[label], onset, offset, as_number(held[said[0]], f"{where}: {said[0]}", 0, 1)
