"""The JSON of one parse: its one writer and its one reader. docs/parse-json.md says what the keys mean.

Probabilities are written with four decimals. One that would thereby cross its threshold is written as the nearest
number that does not, so that the marked segments and the events of the file are those of the parse.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.decide import spread_thresholds
from eval.events import MODALITIES
from eval.post_processing import PostProcessing
from valor.files import replaced
from valor.parses import FloatArray, MediaInfo, Parse

FORMAT, VERSION = "valor-parse", 1
"""What the file calls itself."""
DECIMALS = 4
"""Of probabilities."""


def write_parse(path: Path | str, parse: Parse) -> None:
    """Write a parse as JSON, whole or not at all."""
    text = json.dumps(parse_to_json(parse), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    with replaced(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def read_parse(path: Path | str) -> Parse:
    """Read what `write_parse` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such JSON; says what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such parse; `valor parse VIDEO --json FILE` writes one")
    try:
        return parse_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"{path}: expected the JSON of `valor parse`, which could not be read ({what})") from error


def parse_to_json(parse: Parse) -> dict[str, Any]:
    """A parse as JSON values."""
    rule = parse.decision
    probs = _rounded(parse.segment_probs, rule.segment_threshold)
    streams = {name: None if np.isnan(probs[:, row]).all() else probs[:, row] for row, name in enumerate(MODALITIES)}
    gate = None if parse.gate_probs is None else _rounded(parse.gate_probs, rule.clip_threshold)
    return {
        "format": FORMAT,
        "version": VERSION,
        "media": asdict(parse.media),
        "classes": list(parse.class_names),
        "segment_seconds": parse.segment_seconds,
        "events": [
            {
                "class": event.class_name,
                "modality": event.modality,
                "onset": event.onset,
                "offset": event.offset,
                "prob": round(event.prob, DECIMALS),
            }
            for event in parse.events
        ],
        "segment_probs": {name: None if track is None else _listed(track) for name, track in streams.items()},
        "gate_probs": None if gate is None else _listed(gate),
        "decision": rule.to_dict(),
        "system": dict(parse.system),
        "notes": list(parse.notes),
    }


def parse_from_json(record: Mapping[str, Any]) -> Parse:
    """A parse from its JSON values; events are derived again, those in the file are not looked at.

    Raises:
        ValueError: It is no parse, or its parts do not fit.
        KeyError: A key is missing.
        TypeError: A value is of another kind.
    """
    if (record.get("format"), record.get("version")) != (FORMAT, VERSION):
        found = f"{record.get('format')!r} version {record.get('version')!r}"
        raise ValueError(f"expected {FORMAT!r} version {VERSION}, got {found}")
    held = record["segment_probs"]
    tracks = [None if held[name] is None else np.array(held[name], np.float32) for name in MODALITIES]
    known = next((track for track in tracks if track is not None), None)
    if known is None:
        raise ValueError("segment_probs must hold audio, visual or both, got neither")
    filled = [np.full(known.shape, np.nan, np.float32) if track is None else track for track in tracks]
    gate = record["gate_probs"]
    return Parse(
        media=MediaInfo(**record["media"]),
        class_names=tuple(record["classes"]),
        segment_seconds=float(record["segment_seconds"]),
        segment_probs=np.stack(filled, axis=1),
        gate_probs=None if gate is None else np.array(gate, np.float32),
        decision=PostProcessing.from_dict(record["decision"]),
        system=record["system"],
        notes=tuple(record.get("notes", ())),
    )


def _rounded(probs: FloatArray, threshold: Any) -> np.ndarray:  # noqa: ANN401
    """float64 [T, M, C] to four decimals, on the same side of the threshold."""
    limits = spread_thresholds("threshold", threshold, probs.shape[1:]).astype(np.float32)
    step = 10.0**-DECIMALS
    rounded = np.round(probs.astype(np.float64), DECIMALS)
    changed = (rounded.astype(np.float32) >= limits) != (probs >= limits)
    moved = np.where(probs >= limits, rounded + step, rounded - step)
    return np.where(changed & ~np.isnan(probs), np.round(moved, DECIMALS), rounded)


def _listed(values: np.ndarray) -> list[Any]:
    """Nested lists; null for NaN."""
    if values.ndim == 1:
        return [None if math.isnan(value) else value for value in values.tolist()]
    return [_listed(row) for row in values]
