"""Any prediction file: which of the four formats a path is, for reading and writing.

    NAME.npz                           arrays (predictions.py): probabilities or decisions
    NAME.json                          events of each clip
    FOLDER or NAME.audio.tsv           tab-separated events of each modality
    FOLDER of NAME.json, or one        parses of `valor parse` with their probabilities; read only

JSON lists the events of each clip and modality, with a score where there is one:

    {
      "format": "valor predictions 1",
      "classes": ["Speech", "Dog"],           optional: every class the system knows
      "segments": 10,                         optional: T of every clip, else as asked for on reading
      "segment_seconds": 1.0,                 optional: length of a segment, else as asked for on reading
      "simulated": true,                      optional: the features were, and no score means anything
      "own_files_changed": ["gru.py"],        optional: files of one's own, other versions than at the training
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

Tables are as DCASE systems write them, one for each modality, rows in any order (tables.py has the rules):

    FOLDER/audio.tsv    filename  onset  offset  event_label     one event a row, seconds, half open
    FOLDER/visual.tsv   the same
    FOLDER/clips.txt    the clips that were parsed, one a line   optional, always written

or, side by side under one name, NAME.audio.tsv, NAME.visual.tsv and NAME.clips.txt. A clip in which nothing was found
is not a clip that was never parsed. Every clip in clips.txt was parsed; so was, without clips.txt, every clip with a
row in either table, be it a row `filename` with the other three cells empty, which says that nothing was found. Any
other clip is missing: an error when the predictions are scored, unless a subset is asked for.

A parse is called as its media file without the ending; or by the id of a split whose media goes by that name, as
`abcdefghijk_10_20` of LLP does by `abcdefghijk`. Parses keep the probabilities from before every decision, so
thresholds and the gate can be chosen anew. Clips may be of unlike length; the rest of shorter ones is not `valid`.
"""

import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.decide import PostProcessing
from valor.eval.events import MODALITIES, BoolArray, FloatArray, events_of
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced
from valor.label_harvest.places.place import stands
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import (
    MOST_SECONDS,
    as_flag,
    as_list,
    as_names,
    as_number,
    as_text,
    as_whole,
    loads,
)

from .datasets.detection_file import RESULTS, detections_in, write_detections
from .names import OF_ARRAYS, name_reader
from .parse_folder import CONSTANT, parse_files, read_parse_predictions
from .predictions import Predictions, decisions, read_predictions, write_predictions
from .provenance import Provenance, told_by
from .rows import (
    CLIP_LIST,
    EVENT_COLUMNS,
    PREDICTION_COLUMNS,
    check_unique,
    checked_rows,
    plain_seconds,
    read_clip_list,
    seconds_text,
    write_clip_list,
    write_rows,
)
from .segment_grid import ListedEvent, SegmentGrid, predictions_of
from .tables import MOST_SEGMENTS


def read_any_predictions(
    path: Path | str,
    class_names: Sequence[str],
    *,
    clip_ids: Sequence[str] = (),
    num_segments: int = 10,
    segment_seconds: float = 1.0,
    rounding: str = "exact",
    use_scores: bool = False,
    gates: str = CONSTANT,
) -> Predictions:
    """Read predictions in the format that the path is.

    Args:
        path: .npz, .json, a folder of parses or of tables, or either table of a pair.
            JSON may be that of published detections, see `detection_file.py`, where the clips are given.
        class_names: every class, in the order wanted on the class axis; an .npz file brings its own.
        clip_ids: clips of the split they are for; parses are called by these where their media goes by such a name.
        num_segments: T of every clip of tables, and of JSON that does not say.
        segment_seconds: length of a segment of tables, and of JSON that does not say.
        rounding: what is done about events between segment borders, see segment_grid.py.
        use_scores: take the scores of JSON events as probabilities.
        gates: what becomes of gates of parses that change along their media, see `read_parse_predictions`.

    Raises:
        ValueError: The path is none of these, or its content is not what its format asks for.
        FileNotFoundError: There is no such file or folder.
    """
    path = Path(path)
    grid = SegmentGrid(num_segments=num_segments, segment_seconds=segment_seconds, rounding=rounding)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder; `valor predict` writes predictions, `valor parse` a folder of parses"
        )
    if parsed := parse_files(path):
        return read_parse_predictions(parsed, clip_ids, gates=gates)
    if use_scores and path.suffix != ".json":
        raise ValueError(f"{path}: only JSON events have scores; an .npz file holds probabilities as they are")
    if path.suffix == ".npz":
        return read_predictions(path)
    if path.suffix == ".json":
        if clip_ids and RESULTS in (table := _read_object(path, RESULTS)):
            return detections_in(path, table, class_names, clip_ids, grid)
        return read_prediction_json(path, class_names, grid, use_scores=use_scores)
    if path.is_dir() or path.suffix == ".tsv":
        return read_prediction_tables(path, class_names, grid)
    kind = mimetypes.guess_type(path.name)[0] or ""
    is_media = kind.startswith(("video/", "audio/")) or path.suffix.lower() in (".ts", ".mkv")
    raise ValueError(
        f"{path}: expected a prediction file (.npz or .json), a folder with audio.tsv and visual.tsv, or a pair "
        f"NAME.audio.tsv and NAME.visual.tsv, got a file {path.suffix or 'without an ending'}"
        f"; {f'parse it first, `valor parse {path}`' if is_media else OF_ARRAYS}"
    )


def writable_format(path: Path | str) -> str:
    """What predictions written under this name are: npz, json or tables.

    Raises:
        ValueError: The name is that of none.
    """
    path = Path(path)
    if path.suffix in (".npz", ".json") and not path.is_dir():
        return path.suffix[1:]
    if path.suffix == ".tsv":
        table_files(path)
    elif path.suffix and not path.is_dir():
        raise ValueError(
            f"{path}: predictions are written as NAME.npz, NAME.json, a pair NAME.audio.tsv and NAME.visual.tsv, or "
            f"such a pair in a folder, got a name that ends in {path.suffix}"
        )
    return "tables"


def write_any_predictions(
    path: Path | str,
    predictions: Predictions,
    *,
    options: PostProcessing | None = None,
    segment_seconds: float = 1.0,
) -> None:
    """Write predictions in the format that the path asks for; events are those of the decisions.

    Args:
        path: NAME.npz, NAME.json, NAME.audio.tsv, or a folder.
        predictions: what to write. Probabilities are decided first, but for .npz, which keeps them.
        options: the rule for that, as in `decisions`.
        segment_seconds: length of a segment in seconds.

    Raises:
        ValueError: The path is none of these; the format cannot hold clips of unlike length, or that the features were
            simulated; or the rule does not fit.
    """
    path, kind = Path(path), writable_format(path)
    if kind == "npz":
        write_predictions(path, predictions)
        return
    if kind == "json" and predictions.detections is not None:
        write_detections(path, predictions)
        return
    if predictions.valid is not None and not predictions.valid.all():
        raise ValueError(
            f"{path}: events cannot say which segments of a clip exist; write .npz for clips of unlike length"
        )
    decided, _ = decisions(predictions, options)
    names = (predictions.clip_ids, predictions.class_names)
    if kind == "json":
        write_prediction_json(
            path,
            *names,
            decided,
            segment_probs=predictions.segment_probs,
            segment_seconds=segment_seconds,
            provenance=predictions.provenance,
        )
        return
    if predictions.provenance.simulated:
        raise ValueError(
            f"{path}: tables cannot say that features were simulated, so that no score means anything; write .npz or "
            ".json"
        )
    write_prediction_tables(path, *names, decided, segment_seconds=segment_seconds)


PREDICTIONS_FORMAT = "valor predictions 1"
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
    told = as_names(table["classes"], f"{path}: classes") if "classes" in table else ()
    unknown = [name for name in told if name not in set(class_names)]
    if unknown:
        raise ValueError(
            f"{path}: classes must be among {', '.join(class_names)}, got {', '.join(map(str, unknown))}"
            f"{did_you_mean(str(unknown[0]), class_names)}"
        )
    grid = grid or SegmentGrid()
    grid = replace(
        grid,
        num_segments=as_whole(table.get("segments", grid.num_segments), f"{path}: segments", 1, MOST_SEGMENTS),
        segment_seconds=as_number(
            table.get("segment_seconds", grid.segment_seconds), f"{path}: segment_seconds", 1e-3, MOST_SECONDS
        ),
    )
    clips = as_list(table.get("clips"), f"{path}: clips")
    clip_ids = [
        composed(as_text(_entry(clip, f"{path}: clip {n}", "clip_id"), f"{path}: clip {n}: clip_id"))
        for n, clip in enumerate(clips)
    ]
    if not clip_ids:
        raise ValueError(f"{path}: expected at least one clip, got none; list also clips without events")
    check_unique(clip_ids, str(path))
    events = [event for clip in clips for event in _events(clip, path)]
    if told and (stranger := next((event for event in events if event.class_name not in told), None)):
        raise ValueError(
            f"{stranger.where}: the class {stranger.class_name!r} is none of the classes of the file; list it there"
        )
    as_flag(table.get("simulated", False), f"{path}: simulated")
    found = predictions_of(events, clip_ids, class_names, grid, use_scores=use_scores)
    return replace(found, provenance=told_by(table), segment_seconds=grid.segment_seconds)


def write_prediction_json(
    path: Path | str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    predicted: BoolArray,
    *,
    segment_probs: FloatArray | None = None,
    segment_seconds: float = 1.0,
    provenance: Provenance | None = None,
) -> None:
    """Write decisions as JSON, whole or not at all.

    Args:
        path: file to write.
        clip_ids: N names.
        class_names: C names.
        predicted: bool [N, T, M, C].
        segment_probs: float [N, T, M, C]; the score of an event is then the mean of its segments.
        segment_seconds: length of a segment in seconds.
        provenance: what is known of the features they come from.
    """
    clips = []
    for n, clip_id in enumerate(clip_ids):
        entry: dict[str, Any] = {"clip_id": clip_id}
        for m, modality in enumerate(MODALITIES):
            entry[modality] = [
                {"event_label": class_names[event.class_index], "onset": event.onset, "offset": event.offset}
                for event in events_of(predicted[n, :, m], segment_seconds)
            ]
            if segment_probs is None:
                continue
            for event in entry[modality]:
                start, stop = (round(event[edge] / segment_seconds) for edge in ("onset", "offset"))
                column = class_names.index(event["event_label"])
                event["score"] = round(float(segment_probs[n, start:stop, m, column].mean(dtype=float)), 6)
        clips.append(entry)
    head = {
        "format": PREDICTIONS_FORMAT,
        "classes": list(class_names),
        "segments": predicted.shape[1],
        "segment_seconds": segment_seconds,
        **({} if provenance is None else provenance.flags),
    }
    lines = ",\n".join(f"  {json.dumps(clip, ensure_ascii=False)}" for clip in clips)
    text = json.dumps(head, ensure_ascii=False, indent=1)[:-2] + f',\n "clips": [\n{lines}\n ]\n}}\n'
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _read_object(path: Path, other: str | None = None) -> Mapping[str, Any]:
    """The JSON object of a file that calls itself by our format, or holds the key that another is known by."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such prediction file; `valor predict` writes one")
    try:
        table = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected predictions as JSON, which could not be read ({error})") from error
    if isinstance(table, dict) and "format" not in table and other in table:
        return table
    if not isinstance(table, dict) or table.get("format") != PREDICTIONS_FORMAT:
        found = f"the format {table.get('format')!r}" if isinstance(table, dict) else type(table).__name__
        raise ValueError(f'{path}: expected a JSON object with "format": "{PREDICTIONS_FORMAT}", got {found:.80}')
    return table


def _events(clip: Mapping[str, Any], path: Path) -> Iterator[ListedEvent]:
    """The events of one clip entry."""
    for modality in MODALITIES:
        where = f"{path}: clip {clip['clip_id']!r}: {modality}"
        for index, event in enumerate(as_list(_entry(clip, where.rpartition(":")[0], modality), where)):
            place = f"{where} event {index}"
            score = event.get("score") if isinstance(event, dict) else None
            yield ListedEvent(
                clip_id=composed(clip["clip_id"]),
                modality=modality,
                class_name=as_text(_entry(event, place, "event_label"), f"{place}: event_label"),
                onset=as_number(_entry(event, place, "onset"), f"{place}: onset"),
                offset=as_number(_entry(event, place, "offset"), f"{place}: offset"),
                score=None if score is None else as_number(score, f"{place}: score", 0, 1),
                where=place,
            )


def _entry(table: Any, where: str, key: str) -> Any:  # noqa: ANN401
    """Value of a key that must be there."""
    if not isinstance(table, dict) or key not in table:
        found = ", ".join(map(repr, table)) or "nothing" if isinstance(table, dict) else type(table).__name__
        raise ValueError(f"{where}: expected an object with {key!r}, got {found:.120}")
    return table[key]


@dataclass(frozen=True)
class TableFiles:
    """Where the tables of one system lie."""

    events: tuple[Path, ...]
    """One table for each of MODALITIES."""
    clips: Path
    """List of the clips that were parsed; need not be there."""


def table_files(path: Path | str) -> TableFiles:
    """Name the files of a folder of tables, or of the pair that a table belongs to.

    Raises:
        ValueError: The name is no folder and does not end in .audio.tsv or .visual.tsv.
    """
    path = Path(path)
    for modality in MODALITIES:
        ending = f".{modality}.tsv"
        if path.name.endswith(ending):
            stem = path.name.removesuffix(ending)
            tables = tuple(path.with_name(f"{stem}.{name}.tsv") for name in MODALITIES)
            return TableFiles(tables, path.with_name(f"{stem}.{CLIP_LIST}"))
    if path.suffix == ".tsv":
        raise ValueError(
            f"{path}: one table cannot say which events are heard and which are seen; name a pair NAME.audio.tsv and "
            "NAME.visual.tsv, or put audio.tsv and visual.tsv into a folder and give the folder"
        )
    return TableFiles(tuple(path / f"{name}.tsv" for name in MODALITIES), path / CLIP_LIST)


def read_prediction_tables(
    path: Path | str, class_names: Sequence[str], grid: SegmentGrid | None = None
) -> Predictions:
    """Read predictions from a pair of event tables.

    Args:
        path: the folder, or either table of a pair.
        class_names: every class the tables may name, in the order wanted on the class axis.
        grid: how clips are cut into segments; None for ten of one second, times on their borders.

    Returns:
        Decisions, clips in the order of the list or of their first row.

    Raises:
        ValueError: A table is not in the layout above, or an event fits neither clips, classes nor segments; says file
            and line.
        FileNotFoundError: One of the tables is not there.
    """
    files = table_files(path)
    events: list[ListedEvent] = []
    with_rows: dict[str, None] = {}
    for modality, table in zip(MODALITIES, files.events, strict=True):
        names, found = _read_events(table, modality, name_reader(class_names))
        with_rows.update(dict.fromkeys(names))
        events += found
    clip_ids = read_clip_list(files.clips) if stands(files.clips) else tuple(with_rows)
    unlisted = [name for name in with_rows if name not in set(clip_ids)]
    if unlisted:
        raise ValueError(
            f"{files.clips}: must list every clip that was parsed, got rows of {len(unlisted)} others "
            f"({', '.join(unlisted[:5])}{', ...' if len(unlisted) > 5 else ''}); add them or remove the list"
        )
    if not clip_ids:
        raise ValueError(
            f"{path}: the tables hold no row and {files.clips.name} is not there, so no clip was parsed; "
            f"list the clips without events in {files.clips.name}, one a line"
        )
    return predictions_of(events, clip_ids, class_names, grid or SegmentGrid())


def write_prediction_tables(
    path: Path | str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    predicted: BoolArray,
    *,
    segment_seconds: float = 1.0,
) -> None:
    """Write decisions as a pair of event tables and the list of their clips, each file whole or not at all.

    Args:
        path: a folder, or either table of a pair.
        clip_ids: N names.
        class_names: C names.
        predicted: bool [N, T, M, C].
        segment_seconds: length of a segment in seconds.

    Raises:
        ValueError: A name would break the table.
    """
    files = table_files(path)
    for m, table in enumerate(files.events):
        rows = [
            (clip_id, seconds_text(event.onset), seconds_text(event.offset), class_names[event.class_index])
            for clip_id, marks in zip(clip_ids, predicted[:, :, m], strict=True)
            for event in events_of(np.asarray(marks), segment_seconds)
        ]
        write_rows(table, PREDICTION_COLUMNS, rows, clip_ids=clip_ids, class_names=class_names)
    write_clip_list(files.clips, clip_ids)


def _read_events(table: Path, modality: str, name_in: Callable[[str], str]) -> tuple[list[str], list[ListedEvent]]:
    """Names in the first column, and the events; a row without times and class says that nothing was found."""
    names, events = [], []
    try:
        for line, (clip_id, *times, label) in checked_rows(table, EVENT_COLUMNS):
            where = f"{table}:{line}"
            names.append(clip_id)
            if not any((*times, label)):
                continue
            onset, offset = (_seconds(cell, where) for cell in times)
            events.append(
                ListedEvent(
                    clip_id=clip_id,
                    modality=modality,
                    class_name=name_in(label),
                    onset=onset,
                    offset=offset,
                    where=where,
                )
            )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{table}: no such table; events come as a pair, one for {' and one for '.join(MODALITIES)}: "
            f"a modality without events is a table of the header {' '.join(PREDICTION_COLUMNS)} alone"
        ) from None
    return names, events


def _seconds(cell: str, where: str) -> float:
    time = plain_seconds(cell)
    if time is None:
        raise ValueError(f"{where}: expected seconds from the start of the clip, got {cell!r}")
    return time
