"""From what a user names (runs, predictions, labels, parses, an annotation folder) to the document the viewer shows.

Every source becomes a system with its marks by clip (`Gathered`); then all systems are laid on one set of classes, and
each clip on one grid. A parse may come from anyone, so its times and names are checked a second time.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from valor.data.datasets.dataset import LLP, DataSet, dataset_of
from valor.data.label_file import FILE_NAME, read_pseudo_labels
from valor.data.names import list_names, named_source
from valor.data.parse_file import OF_DRAWINGS, Parse, read_parse
from valor.data.parse_folder import clip_names, parse_files
from valor.data.parsed_media import replaced_note, told_apart, was_replaced
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import Predictions, decisions, gate_of
from valor.data.provenance import of_labels
from valor.data.tables import LLP_SEGMENTS, Split
from valor.eval.decide import PostProcessing, gate_probs, spread_thresholds
from valor.eval.events import MODALITIES, FloatArray
from valor.label_harvest.store.manifest import composed, media_id
from valor.label_harvest.store.videos import name_by_place
from valor.training.run_folder import BEST, PREDICTIONS

from .documents import Clip, Document, Limits, Marks, System, spread_marks, spread_system
from .media_files import listed_media, placed, unplayed
from .options import SourceOptions

_BREAKS = re.compile("[\t,\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")  # all that ends a field or a line of a table


@dataclass(frozen=True)
class _Wanted:
    """What was asked for, with what the data set says where nothing was."""

    options: SourceOptions
    dataset: DataSet
    class_names: tuple[str, ...]
    split: str


@dataclass(kw_only=True)
class Gathered:
    """One system with its marks by clip, before classes and grids are brought together."""

    system: System
    class_names: tuple[str, ...]
    marks: dict[str, Marks] = field(default_factory=dict)
    grids: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Segments and their length by clip."""
    parsed: dict[str, Parse] = field(default_factory=dict)
    replaced: set[str] = field(default_factory=set)
    """Clips where another file lies now than the one that was parsed."""


def read_document(typed: Iterable[str], options: SourceOptions) -> Document:
    """Read everything that was named into one document.

    Args:
        typed: Paths, or NAME=PATH: a run folder, predictions, a folder of pseudo labels, parse files or a folder of
            them. None at all shows the truth of the annotation folder.
        options: Truth, media and rule.

    Raises:
        ValueError: An input is none of these, or there is nothing to show.
        FileNotFoundError: There is no such file or folder.
    """
    dataset = LLP if options.data is None else dataset_of(options.data)
    own = options.class_names or (dataset.names if options.data is None else dataset.names_in(options.data))
    wanted = _Wanted(options, dataset, own, options.split or dataset.split_for("test"))
    known = _split_ids(wanted)
    gathered = _gather([named_source(one) for one in typed], wanted, known)
    more = options.class_names or ()  # than the sources know: shown empty, so that they can be marked
    names = tuple(dict.fromkeys([name for one in gathered for name in one.class_names] + [*more])) or wanted.class_names
    longest = max((grid[0] for one in gathered for grid in one.grids.values()), default=dataset.segments)
    split = None
    if options.data:
        laid_out = dataset if dataset.reader or dataset.segments is None else replace(dataset, segments=longest)
        split = laid_out.read_split(options.data, wanted.split, names, truth_version=options.truth_version)
    clip_ids = list(dict.fromkeys(clip_id for one in gathered for clip_id in one.marks))
    if split is not None:  # in the order of the table; without any system, all of it
        shown = set(clip_ids) if gathered else set(split.clip_ids)
        clip_ids = [clip for clip in split.clip_ids if clip in shown] + [c for c in clip_ids if c not in known]
    clip_ids, notes = _in_split(clip_ids, wanted, known)
    if not clip_ids:
        raise ValueError("there is nothing to show; name a run, predictions or parses, or annotations with data=DIR")
    media, refused = listed_media(options.videos, clip_ids) if options.videos else ({}, [])
    clips, dropped = zip(*(_clip(clip_id, gathered, names, split) for clip_id in clip_ids), strict=True)
    clips = _told_apart(clips)
    lies = f"{len(refused)} media files lie outside the folder of videos or are no media: {', '.join(refused[:3])}"
    notes += [lies] * bool(refused) + [note for some in dropped for note in some][:5]
    others = [one.parsed[clip_id].media.name for one in gathered for clip_id in sorted(one.replaced)]
    notes = [f"{replaced_note(others)}; until then nothing is played"] * bool(others) + notes
    of_drawings = [one.system.name for one in gathered if any(parse.caveat for parse in one.parsed.values())]
    return Document(
        title=" · ".join(one.system.name for one in gathered) or f"Annotations of {wanted.split}",
        class_names=names,
        systems=tuple(spread_system(one.system, one.class_names, names) for one in gathered),
        clips=tuple(_with_media(clip, media.get(clip.clip_id)) for clip in clips),
        split=wanted.split,
        dataset=dataset,
        notes=tuple(f"{name}: {OF_DRAWINGS}." for name in of_drawings),
        about=tuple(notes),
    )


def _in_split(clip_ids: list[str], wanted: _Wanted, known: dict[str, str]) -> tuple[list[str], list[str]]:
    """Of some clips those of the split where one was said, and a note of the others."""
    options = wanted.options
    outside = [clip_id for clip_id in clip_ids if options.data and options.split and clip_id not in known]
    if not outside:
        return clip_ids, []
    named = f"{', '.join(outside[:3])}{', ...' if len(outside) > 3 else ''}"
    if len(outside) == len(clip_ids):
        raise ValueError(
            f"none of {len(outside):,} clips ({named}) is of the split {wanted.split} of {options.data}; say another "
            "split, or leave it out"
        )
    note = f"{len(outside):,} clips are not of {wanted.split} and are left out ({named})"
    return [clip_id for clip_id in clip_ids if clip_id in known], [note]


def _split_ids(wanted: _Wanted) -> dict[str, str]:
    """Clip ids of the split by the name their media goes by, and by themselves."""
    if wanted.options.data is None:
        return {}
    ids = wanted.dataset.read_ids(wanted.options.data, wanted.split)
    return {media_id(clip_id): clip_id for clip_id in ids} | {clip_id: clip_id for clip_id in ids}


def _gather(named: list[tuple[str | None, Path]], wanted: _Wanted, known: dict[str, str]) -> list[Gathered]:
    """Every system once; parses of one system are gathered wherever they stand."""
    systems: dict[str, Gathered] = {}
    by_file: dict[tuple[str, str], str] = {}
    for name, path in named:
        files = parse_files(path)
        if not files:
            own = name or _own_name(path)
            spare = own if own not in systems else f"{own} ({len(systems) + 1})"
            systems[spare] = _of_predictions(spare, path, wanted)
            continue
        parses = [read_parse(file) for file in files]
        called = clip_names(files, [parse.media for parse in parses], known)
        for file, parse, clip_id in zip(files, parses, called, strict=True):
            own = name or system_name(parse)
            if own not in systems:
                limits = parsed_limits(parse)
                system = System(name=own, thresholds=limits.segment, gate_thresholds=limits.gate)
                systems[own] = Gathered(system=system, class_names=parse.class_names)
            of = (parse.media.path or clip_id, parse.media.name)
            same = by_file.setdefault(of, clip_id)  # one file is one clip of all systems
            _add_parse(systems[own], parse, file, known.get(same, same))
    return list(systems.values())


def _own_name(path: Path) -> str:
    whole = Path(os.path.realpath(path))  # `resolve` fails at a loop of links
    if whole.is_file() and whole.stem in ("predictions", "pseudo_labels") and whole.parent.name:
        whole = whole.parent
    return name_of(whole) if whole.is_dir() else whole.name.partition(".")[0]


def name_of(folder: Path) -> str:
    """Name of a run folder; one seed of several is told from those of other runs."""
    seed = folder.name.startswith("seed-") and folder.parent.name
    return f"{folder.parent.name}/{folder.name}" if seed else folder.name


def _of_predictions(name: str, path: Path, wanted: _Wanted) -> Gathered:
    """A run, pseudo labels, or predictions of any format."""
    labels, seconds = path / FILE_NAME if path.is_dir() else path, wanted.dataset.seconds
    if labels.is_file() and labels.name == FILE_NAME:
        name = of_labels(labels).marked(name)
        table = read_pseudo_labels(labels)
        predictions = Predictions(clip_ids=table.clip_ids, class_names=table.class_names, predicted=table.marked)
        return _gathered(System(name=name, kind="labels"), predictions, None, seconds)
    if (path / BEST).is_file():
        predictions = _of_run(path, wanted)
    else:
        predictions = read_any_predictions(
            path,
            wanted.class_names,
            num_segments=wanted.dataset.segments or LLP_SEGMENTS,
            segment_seconds=seconds,
            rounding="nearest",
        )
    name = predictions.provenance.marked(name)
    if predictions.predicted is not None:
        return _gathered(System(name=name), predictions, None, seconds)
    rule = wanted.options.rule(predictions) or PostProcessing(gate=gate_of(predictions))
    return _gathered(_ruled(name, rule, len(predictions.class_names)), predictions, rule, seconds)


def _of_run(path: Path, wanted: _Wanted) -> Predictions:
    """The test predictions a run keeps, or new ones of the split."""
    if wanted.split == wanted.dataset.split_for("test") and (path / PREDICTIONS).is_file():
        return read_any_predictions(path / PREDICTIONS, wanted.class_names)
    if wanted.options.data is None:
        raise ValueError(f"{path}: a run folder without {PREDICTIONS} needs data=DIR, the features it parses")
    from valor.training.run import predict_run

    return predict_run(path, wanted.options.data, wanted.split, dataset=wanted.dataset)


def _ruled(name: str, rule: PostProcessing, num_classes: int) -> System:
    """A system with its thresholds laid out; a modality without a gate gets one that is always open."""
    shape = (len(MODALITIES), num_classes)
    gates = (rule.gate,) * len(MODALITIES) if isinstance(rule.gate, str) else rule.gate
    limits = None
    if any(gate != "none" for gate in gates):
        limits = spread_thresholds("clip_threshold", rule.clip_threshold, shape)
        limits[[gate == "none" for gate in gates]] = 0
    segment = spread_thresholds("segment_threshold", rule.segment_threshold, shape)
    return System(name=name, thresholds=segment, gate_thresholds=limits)


def _gathered(system: System, predictions: Predictions, rule: PostProcessing | None, seconds: float) -> Gathered:
    """Marks of every clip, cut to the segments that exist; `seconds` is what one lasts unless predictions say it."""
    decided, _ = decisions(predictions, rule)
    gates = None if system.gate_thresholds is None or rule is None else _gate_rows(predictions, rule)
    one = Gathered(system=system, class_names=predictions.class_names)
    for row, clip_id in enumerate(predictions.clip_ids):
        length = decided.shape[1] if predictions.valid is None else max(1, int(predictions.valid[row].sum()))
        one.marks[clip_id] = Marks(
            predicted=decided[row, :length],
            segment_probs=None if predictions.segment_probs is None else predictions.segment_probs[row, :length],
            gate_probs=None if gates is None else gates[row],
        )
        one.grids[clip_id] = (length, predictions.segment_seconds or seconds)
    return one


def _gate_rows(predictions: Predictions, rule: PostProcessing) -> FloatArray:
    """What the gate compares, float [N, 1, M, C]; 1 where a modality has no gate."""
    held = predictions.segment_probs
    assert held is not None  # or there is no rule
    read = gate_probs(
        held, clip_probs=predictions.clip_probs, modality_probs=predictions.modality_probs, gate=rule.gate
    )
    opened = np.ones((held.shape[0], held.shape[3]), dtype=np.float32)
    return np.stack([opened if probs is None else probs for probs in read], axis=1)[:, np.newaxis]


def system_name(parse: Parse) -> str:
    """What a parse is called by unless the user says: its run, or how it was made."""
    fallback = "zero-shot" if parse.system.get("zero_shot") else "parse"
    run = parse.system.get("run")
    return name_of(Path(run)) or fallback if isinstance(run, str) else fallback


def parsed_limits(parse: Parse) -> Limits:
    """Thresholds of segments and of the gate."""
    rule, shape = parse.decision, parse.segment_probs.shape[1:]
    gate = None if rule.gate == "none" else spread_thresholds("clip_threshold", rule.clip_threshold, shape)
    return Limits(spread_thresholds("segment_threshold", rule.segment_threshold, shape), gate)


def parsed_marks(parse: Parse) -> Marks:
    """What a parse says of its media; a gate that is the same all along is kept once."""
    gate = parse.gate_probs if parse.decision.gate != "none" else None
    if gate is not None and np.array_equal(gate[1:], np.broadcast_to(gate[:1], gate[1:].shape), equal_nan=True):
        gate = gate[:1]
    return Marks(
        predicted=parse.predicted,
        segment_probs=parse.segment_probs,
        gate_probs=gate,
        unsure=parse.unsure,
        where=parse.where or (),
    )


def _add_parse(held: Gathered, parse: Parse, path: Path, name: str) -> None:
    """Add one media file; two of one name keep apart by where they lie."""
    if parse.class_names != held.class_names:
        raise ValueError(f"{path}: its classes differ from those of the other parses of {held.system.name!r}")
    own = composed(_BREAKS.sub("_", name).strip()) or "media"
    clip_id = own
    if clip_id in held.marks:
        clip_id = own = f"{own}-{name_by_place(Path(parse.media.path or path)).rpartition('-')[2]}"
    while clip_id in held.marks:
        clip_id = f"{own}-{sum(other.startswith(own) for other in held.marks) + 1}"
    if was_replaced(parse.media):
        held.replaced.add(clip_id)
        parse = replace(parse, notes=(replaced_note([parse.media.name]), *parse.notes))
    held.parsed[clip_id] = parse
    held.grids[clip_id] = (len(parse.segment_probs), parse.segment_seconds)
    limits = parsed_limits(parse)
    same = _equal(limits.segment, held.system.thresholds) and _equal(limits.gate, held.system.gate_thresholds)
    held.marks[clip_id] = replace(parsed_marks(parse), limits=None if same else limits)


def _equal(ones: FloatArray | None, others: FloatArray | None) -> bool:
    return ones is others if ones is None or others is None else np.array_equal(ones, others)


def _clip(
    clip_id: str, gathered: list[Gathered], names: tuple[str, ...], split: Split | None
) -> tuple[Clip, list[str]]:
    """One clip as all systems see it, and notes on what does not fit."""
    row = split.clip_ids.index(clip_id) if split is not None and clip_id in split.clip_ids else None
    annotated = LLP_SEGMENTS if split is None or split.truth is None else split.truth.shape[1]
    seconds = 1.0 if split is None else split.segment_seconds
    grid = next((one.grids[clip_id] for one in gathered if clip_id in one.grids), (annotated, seconds))
    parsed = next((one.parsed[clip_id] for one in gathered if clip_id in one.parsed), None)
    marks, notes = [], []
    for one in gathered:
        if one.grids.get(clip_id, grid) != grid:
            notes.append(f"{clip_id}: {one.system.name} has another grid than {gathered[0].system.name}; not shown")
        fits = one.grids.get(clip_id) == grid
        marks.append(spread_marks(one.marks[clip_id], one.class_names, names) if fits else None)
    truth = None if split is None or row is None or split.truth is None else split.truth[row, : grid[0]]
    media = parsed.media if parsed else None
    clip = Clip(
        clip_id=clip_id,
        name=media.name if media else clip_id,
        parsed=media,
        marks=tuple(marks),
        num_segments=grid[0],
        segment_seconds=grid[1],
        truth=truth if grid[1] == seconds else None,  # annotated on segments of another length
        tags=() if split is None or row is None else tuple(np.flatnonzero(split.weak_labels[row]).tolist()),
        streams=(bool(media.has_audio), bool(media.has_visual)) if media else (True, True),
        start_time=media.start_time if media else 0.0,
        duration=media.duration if media else None,
        cuts=tuple(round(cut - parsed.media.start_time, 3) for cut in parsed.cuts) if parsed else (),
        notes=_parse_notes({one.system.name: one.parsed[clip_id] for one in gathered if clip_id in one.parsed}),
    )
    shown = next((one.parsed[clip_id].media for one in gathered if clip_id in one.parsed.keys() - one.replaced), None)
    own = placed(Path(shown.path)) if shown and shown.path else None
    return _with_media(clip, own), notes


def _told_apart(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Clips of media of one name with as much of their folders as tells them apart."""
    parsed = {clip.clip_id: clip.parsed.path or clip.parsed.name for clip in clips if clip.parsed is not None}
    names = dict(zip(parsed, told_apart(list(parsed.values())), strict=True))
    shared = Counter(clip.name for clip in clips)
    return tuple(
        replace(clip, name=names.get(clip.clip_id, clip.name)) if shared[clip.name] > 1 else clip for clip in clips
    )


def _parse_notes(parses: dict[str, Parse]) -> tuple[str, ...]:
    """Notes of all parses of a clip, each once; with the system's name what only some of several say."""
    said = {name: (*parse.notes, *_nothing_found(parse)) for name, parse in parses.items()}
    told = {note: [name for name in said if note in said[name]] for notes in said.values() for note in notes}
    return tuple(note if len(by) == len(parses) else f"{', '.join(by)}: {note}" for note, by in told.items())


def _nothing_found(parse: Parse) -> tuple[str, ...]:
    """What was looked for and what came nearest, where there is no event."""
    if parse.events:
        return ()
    return ("; ".join(filter(None, [f"nothing found of {list_names(parse.class_names, 8)}", parse.nearest])),)


def _with_media(clip: Clip, file: Path | None) -> Clip:
    """The clip with a media file, or with the word that browsers do not play it."""
    if file is None:
        return clip
    ending = unplayed(file)
    return replace(clip, unplayed=ending) if ending else replace(clip, media=file)
