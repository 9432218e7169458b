"""Parses of single media files as systems of the viewer: their marks and thresholds, checked a second time."""

import math
from pathlib import Path

import numpy as np

from eval.decide import spread_thresholds
from valor.parse_json import read_parse
from valor.parse_predictions import is_parse as is_parse
from valor.parses import Parse

from .documents import FloatArray, Marks


def read_checked(path: Path) -> Parse:
    """Read a parse, whoever wrote it.

    Raises:
        ValueError: It is no parse, or a name is no text or a time no time.
        FileNotFoundError: There is no such file.
    """
    parse = read_parse(path)
    media, names = parse.media, parse.class_names
    times = {"duration": media.duration, "start_time": media.start_time, "segment_seconds": parse.segment_seconds}
    wrong = [name for name, time in times.items() if type(time) not in (int, float) or not math.isfinite(time)]
    if wrong or media.duration < 0 or parse.segment_seconds < 1e-3:
        raise ValueError(f"{path}: {', '.join(wrong) or 'duration and segment_seconds'} must be seconds, got {times}")
    if not all(type(text) is str and text for text in (*names, media.name)) or len(set(names)) != len(names):
        raise ValueError(
            f"{path}: the media and the classes need names, all different, got {media.name!r} {names!r:.200}"
        )
    return parse


def parsed_marks(parse: Parse) -> Marks:
    """What a parse says of its media; a gate that is the same all along is kept once."""
    gate = parse.gate_probs if parse.decision.gate != "none" else None
    if gate is not None and np.array_equal(gate[1:], np.broadcast_to(gate[:1], gate[1:].shape), equal_nan=True):
        gate = gate[:1]
    return Marks(predicted=parse.predicted, segment_probs=parse.segment_probs, gate_probs=gate)


def parsed_limits(parse: Parse) -> tuple[FloatArray, FloatArray | None]:
    """Thresholds of segments and of the gate, float64 [M, C]; None without a gate."""
    rule, shape = parse.decision, parse.segment_probs.shape[1:]
    gate = None if rule.gate == "none" else spread_thresholds("clip_threshold", rule.clip_threshold, shape)
    return spread_thresholds("segment_threshold", rule.segment_threshold, shape), gate


def system_name(parse: Parse) -> str:
    """What a parse is called by unless the user says: its run, or how it was made."""
    fallback = "zero-shot" if parse.system.get("zero_shot") else "parse"
    run = parse.system.get("run")
    return name_of(Path(run)) or fallback if isinstance(run, str) else fallback


def name_of(folder: Path) -> str:
    """Name of a run folder; one seed of several is told from those of other runs."""
    seed = folder.name.startswith("seed-") and folder.parent.name
    return f"{folder.parent.name}/{folder.name}" if seed else folder.name
