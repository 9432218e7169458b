"""A document as the page reads it: a table of all clips, and each clip's arrays as compressed text."""

import base64
import json
import zlib
from typing import Any

import numpy as np

from eval.events import MODALITIES

from .documents import (
    BoolArray,
    Clip,
    Document,
    FloatArray,
    Marks,
    System,
    between_modalities,
    disagreement,
    occurring,
    system_scores,
)

PROB_STEPS = 10_000
"""Probabilities are kept in steps of 1/10,000, rounded down, so that a threshold of four decimals decides as before."""

NO_STREAM = 65_535
"""Stands for a probability of a stream that is not there."""


def pack_index(document: Document) -> dict[str, Any]:
    """What the page must know of all clips before any is opened, as JSON knows it."""
    clips = document.clips
    return {
        "title": document.title,
        "identity": document.identity,
        "classes": list(document.class_names),
        "modalities": list(MODALITIES),
        "split": document.split,
        "notes": list(document.notes),
        "systems": [_system(system) for system in document.systems],
        "clips": {
            "id": [clip.clip_id for clip in clips],
            "name": [clip.name if clip.name != clip.clip_id else "" for clip in clips],
            "segments": [clip.num_segments for clip in clips],
            "seconds": [clip.segment_seconds for clip in clips],
            "start": [clip.start_time for clip in clips],
            "duration": [clip.duration for clip in clips],
            "streams": [clip.streams[0] + 2 * clip.streams[1] for clip in clips],
            "tags": [list(clip.tags) for clip in clips],
            "classes": [occurring(clip) for clip in clips],
            "scores": [[_short(value) for value in column] for column in system_scores(document)],
            "systemsDiffer": [_short(_systems_differ(clip)) for clip in clips],
            "modalitiesDiffer": [_short(between_modalities(clip)) for clip in clips],
        },
    }


def pack_clip(clip: Clip) -> dict[str, Any]:
    """One clip's arrays, as JSON knows them: C order [T, M, C], little-endian, zlib, base64."""
    return {
        "truth": None if clip.truth is None else pack_mask(clip.truth),
        "systems": [None if marks is None else _marks(marks) for marks in clip.marks],
    }


def pack_mask(mask: BoolArray) -> str:
    """Text of a mask: eight segments a byte, the first in the highest bit."""
    return _text(np.packbits(mask.reshape(-1)).tobytes())


def pack_probs(probs: FloatArray) -> str:
    """Text of probabilities as uint16 steps; NaN is `NO_STREAM`."""
    known = np.nan_to_num(probs.astype(np.float64), nan=0.0)
    steps = np.floor(known * PROB_STEPS + 1e-3)  # so that 0.45 of float32 reaches 0.45
    return _text(np.where(np.isnan(probs), NO_STREAM, steps).astype("<u2").tobytes())


def for_script(value: Any) -> str:  # noqa: ANN401
    """JSON that can stand inside a script element, whatever names it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _system(system: System) -> dict[str, Any]:
    thresholds = {"segment": system.thresholds, "gate": system.gate_thresholds}
    packed = {
        name: None if t is None else _uniform(np.ceil(np.round(t * PROB_STEPS, 3)).astype(int))
        for name, t in thresholds.items()
    }
    return {"name": system.name, "kind": system.kind, "thresholds": packed["segment"], "gate": packed["gate"]}


def _uniform(steps: np.ndarray) -> int | list[list[int]]:
    """One number where all are equal."""
    return int(steps.flat[0]) if (steps == steps.flat[0]).all() else steps.tolist()


def _marks(marks: Marks) -> dict[str, Any]:
    packed: dict[str, Any] = {"marks": pack_mask(marks.predicted)}
    if marks.segment_probs is not None:
        packed["probs"] = pack_probs(marks.segment_probs)
    if marks.gate_probs is not None:
        packed["gate"] = pack_probs(marks.gate_probs)
        packed["gateRows"] = len(marks.gate_probs)
    return packed


def _systems_differ(clip: Clip) -> float | None:
    return disagreement([marks.predicted for marks in clip.marks if marks is not None])


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode("ascii")
