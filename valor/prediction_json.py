"""Predictions as JSON: the events of each clip and modality, with a score where there is one.

    {
      "format": "valor predictions 1",
      "classes": ["Speech", "Dog"],           optional: every class the system knows
      "segments": 10,                         optional: T of every clip, else as asked for on reading
      "segment_seconds": 1.0,                 optional: length of a segment, else as asked for on reading
      "clips": [
        {
          "clip_id": "4O9rI-FpqLg_10_20",
          "audio": [{"event_label": "Speech", "onset": 0.0, "offset": 4.0, "score": 0.93}],
          "visual": []
        }
      ]
    }

Times are seconds from the start of the clip, half open. Every clip that was parsed is listed, also one without events;
a clip that is not listed is missing. Clips stand in any order. `score` (0..1) is optional: the events listed are the
decisions, whatever their scores, unless the reader is asked to take scores as probabilities. Other keys are left alone.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.events import MODALITIES, events_of
from valor.event_lists import ListedEvent, SegmentGrid, check_unique, predictions_of
from valor.files import replaced
from valor.predictions import BoolArray, FloatArray, Predictions

FORMAT = "valor predictions 1"
"""What the file calls itself."""


def read_prediction_json(
    path: Path | str, class_names: Sequence[str], grid: SegmentGrid | None = None, *, use_scores: bool = False
) -> Predictions:
    """Read predictions from JSON.

    Args:
        path: a file in the layout at the top of this module.
        class_names: every class the file may name, in the order wanted on the class axis.
        grid: how clips are cut into segments, where the file does not say; None for ten of one second.
        use_scores: take the scores of the events as probabilities of their segments, see `predictions_of`.

    Raises:
        ValueError: The file is not in that layout, or an event fits neither classes nor segments; says which.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    table = _read_object(path)
    unknown = [name for name in table.get("classes", []) if name not in set(class_names)]
    if unknown:
        raise ValueError(f"{path}: classes must be among {', '.join(class_names)}, got {', '.join(map(str, unknown))}")
    grid = grid or SegmentGrid()
    grid = replace(
        grid,
        num_segments=_of_kind(table.get("segments", grid.num_segments), int, f"{path}: segments"),
        segment_seconds=_of_kind(table.get("segment_seconds", grid.segment_seconds), float, f"{path}: segment_seconds"),
    )
    clips = _of_kind(table.get("clips"), list, f"{path}: clips")
    clip_ids = [_clip_id(clip, f"{path}: clip {n}") for n, clip in enumerate(clips)]
    if not clip_ids:
        raise ValueError(f"{path}: expected at least one clip, got none; list also clips without events")
    check_unique(clip_ids, str(path))
    events = [event for clip in clips for event in _events(clip, path)]
    return predictions_of(events, clip_ids, class_names, grid, use_scores=use_scores)


def write_prediction_json(
    path: Path | str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    predicted: BoolArray,
    *,
    segment_probs: FloatArray | None = None,
    segment_seconds: float = 1.0,
) -> None:
    """Write decisions as JSON, whole or not at all.

    Args:
        path: file to write.
        clip_ids: N names.
        class_names: C names.
        predicted: bool [N, T, M, C].
        segment_probs: float [N, T, M, C]; the score of an event is then the mean of its segments.
        segment_seconds: length of a segment in seconds.
    """
    clips = []
    for n, clip_id in enumerate(clip_ids):
        entry: dict[str, Any] = {"clip_id": clip_id}
        for m, modality in enumerate(MODALITIES):
            entry[modality] = [
                {"event_label": class_names[event.class_index], "onset": event.onset, "offset": event.offset}
                for event in events_of(predicted[n, :, m], segment_seconds)
            ]
            for event in entry[modality] if segment_probs is not None else ():
                start, stop = (round(event[edge] / segment_seconds) for edge in ("onset", "offset"))
                column = class_names.index(event["event_label"])
                event["score"] = round(float(segment_probs[n, start:stop, m, column].mean(dtype=float)), 6)
        clips.append(entry)
    head = {
        "format": FORMAT,
        "classes": list(class_names),
        "segments": predicted.shape[1],
        "segment_seconds": segment_seconds,
    }
    lines = ",\n".join(f"  {json.dumps(clip, ensure_ascii=False)}" for clip in clips)
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2] + f',\n "clips": [\n{lines}\n ]\n}}\n'
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object of a file that calls itself by our format."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such prediction file; `valor predict` writes one")
    try:
        table = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected predictions as JSON, which could not be read ({error})") from error
    if not isinstance(table, dict) or table.get("format") != FORMAT:
        found = f"the format {table.get('format')!r}" if isinstance(table, dict) else type(table).__name__
        raise ValueError(f'{path}: expected a JSON object with "format": "{FORMAT}", got {found:.80}')
    return table


def _clip_id(clip: object, where: str) -> str:
    return _of_kind(_entry(clip, where, "clip_id"), str, f"{where}: clip_id")


def _events(clip: Mapping[str, Any], path: Path) -> Iterator[ListedEvent]:
    """The events of one clip entry."""
    for modality in MODALITIES:
        where = f"{path}: clip {clip['clip_id']!r}: {modality}"
        for index, event in enumerate(_of_kind(_entry(clip, where.rpartition(":")[0], modality), list, where)):
            place = f"{where} event {index}"
            score = event.get("score") if isinstance(event, dict) else None
            yield ListedEvent(
                clip_id=clip["clip_id"],
                modality=modality,
                class_name=_of_kind(_entry(event, place, "event_label"), str, f"{place}: event_label"),
                onset=_of_kind(_entry(event, place, "onset"), float, f"{place}: onset"),
                offset=_of_kind(_entry(event, place, "offset"), float, f"{place}: offset"),
                score=None if score is None else _of_kind(score, float, f"{place}: score"),
                where=place,
            )


def _entry(table: Any, where: str, key: str) -> Any:  # noqa: ANN401
    """Value of a key that must be there."""
    if not isinstance(table, dict) or key not in table:
        found = ", ".join(map(repr, table)) or "nothing" if isinstance(table, dict) else type(table).__name__
        raise ValueError(f"{where}: expected an object with {key!r}, got {found:.120}")
    return table[key]


def _of_kind(value: Any, kind: type, where: str) -> Any:  # noqa: ANN401
    """A value that must be text, a list or a number."""
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or isinstance(value, bool):
        raise ValueError(f"{where}: expected {kind.__name__}, got {value!r:.80}")
    return value
