"""The options by which commands say what is scored on what, and the reading of it."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from valor.data.common_classes import (
    left_out,
    predictions_of_classes,
    predictions_without_clips,
    split_of_classes,
    without_clips,
)
from valor.data.datasets.dataset import DataSet, dataset_of
from valor.data.journal import JOURNAL, not_in_tables, of_other_media, other_media_note, read_journal
from valor.data.names import named_source
from valor.data.parse_file import read_parse
from valor.data.parse_folder import (
    DECIDED,
    DROPPED,
    gate_thresholds_of,
    parse_files,
    refuse_other_gates,
    rule_of_parses,
)
from valor.data.prediction_files import read_any_predictions
from valor.data.predictions import Predictions, gate_of, read_predictions
from valor.data.segment_grid import ROUNDINGS
from valor.data.tables import LLP_SEGMENTS, Split, read_event_table
from valor.data.thresholds import apply_calibration, read_calibration
from valor.eval.decide import GATES, PRESETS, PostProcessing, preset, rule_text
from valor.label_harvest.store.manifest import composed, media_id, some_of

from .command import add_shared
from .options import Fields, Option, Parser, any_place
from .terminal import say

if TYPE_CHECKING:
    from valor.scoring.over_seeds import ScoredSeeds
    from valor.scoring.system import ScoredSystem

RULE = Fields(
    PostProcessing,
    gate=Option(
        "--gate",
        {
            "choices": GATES,
            "default": None,  # not typed: as what is decided says
            "help": f"probability that must also reach {PostProcessing.clip_threshold} (the first there is of clip, "
            "modality, none)",
        },
    ),
    segment_threshold=Option("--threshold P", {"default": None}),
)


def add_truth(command: Parser, *, required: bool = True) -> None:
    """Options that name the truth."""
    command.add_argument(
        "--annotations", type=Path, required=required, metavar="DIR", help="folder of the annotation tables"
    )
    command.add_argument(
        "--split",
        metavar="NAME",
        help="split that was predicted, as val or test of LLP (the only one there)",
    )
    add_shared(command, "truth", "names")


def add_features(command: Parser) -> None:
    """Where a run folder, given in place of its predictions, finds features to parse."""
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="features, for a run folder (default: those beside the annotations)"
    )
    command.add_argument(
        "--store",
        type=any_place,
        metavar="STORE",
        help="evidence store of the features, for a run folder (`store/` among the data, or that of the training)",
    )


def add_rule(command: Parser) -> None:
    """Options that say how probabilities become decisions."""
    command.add_argument(
        "--preset",
        choices=PRESETS,
        help="post-processing of a published system (cmpae needs --thresholds, cmpae-2023 has the published ones)",
    )
    RULE.add(command)
    command.add_argument("--subset", action="store_true", help="score the clips that are there when some are missing")
    command.also(allow_subset="--subset")


def add_thresholds(command: Parser) -> None:
    """Thresholds from a file."""
    command.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="thresholds per class and modality of `valor calibrate`"
    )


def add_rounding(command: Parser) -> None:
    """What becomes of events between segment borders."""
    command.add_argument(
        "--rounding",
        default=ROUNDINGS[0],
        choices=ROUNDINGS,
        help="events between segment borders: refused, moved to the nearest border, or widened (exact)",
    )


def add_scores(command: Parser) -> None:
    """Whether scores of listed events are probabilities."""
    command.add_argument(
        "--use-scores", action="store_true", help="take the scores of .json events as probabilities (with --gate none)"
    )


def read_truth(cli: argparse.Namespace, scored: str | Path | None = None, *, dense: bool = True) -> Split:
    """The split that was named, with its truth on the segments of what is scored on it.

    Args:
        cli: What was typed.
        scored: What is scored.
        dense: Refuse a split without dense truth.
    """
    if not cli.annotations.is_dir():
        raise FileNotFoundError(f"{cli.annotations}: no such folder{_OWN_TRUTH}")
    dataset = dataset_of(cli.annotations)
    if cli.split is None:
        cli.split = _only_split(dataset, cli.annotations, dense=dense)
    names = dataset.names_in(cli.annotations, cli.classes)
    whole = dataset.read_split(cli.annotations, cli.split, names, truth_version=cli.truth)
    if dense and whole.truth is None:
        known = f"; {' and '.join(dataset.annotated)} have" if dataset.annotated else ""
        hint = known or f"; {cli.annotations} has tags alone{_OWN_TRUTH}"
        raise ValueError(f"--split must be one with dense annotations, which {cli.split} has not{hint}")
    others = _of_other_media(cli, [] if scored is None else [scored])
    whole = _without(whole, others)
    segments = None if dataset.segments is None or dataset.reader else _segments_of(scored, cli, names)
    named_by_length = all(media_id(clip_id) != clip_id for clip_id in whole.clip_ids)  # as LLP names its clips
    if segments in (None, dataset.segments) or named_by_length or whole.truth is None:
        return whole
    assert whole.truth_version is not None  # of tables with truth
    tables = [cli.annotations / name for name in dataset.layout.events[whole.truth_version]]
    later = {
        clip_id: offset
        for table in tables
        for clip_id, onset, offset, _ in read_event_table(table, names)
        if onset < offset > segments and clip_id in set(whole.clip_ids)
    }
    if later:
        listed = ", ".join(f"{clip_id} until {offset} s" for clip_id, offset in list(later.items())[:5])
        raise ValueError(
            f"{scored}: has {segments} segments, and events of {len(later)} clips of {cli.annotations} last longer "
            f"({listed}); score it on annotations of the same clips"
        )
    assert segments is not None
    longer = replace(dataset, segments=segments)
    return _without(longer.read_split(cli.annotations, cli.split, names, truth_version=whole.truth_version), others)


def _of_other_media(cli: argparse.Namespace, scored: Sequence[str | Path]) -> frozenset[str]:
    """Clips of corrections that are of other media than what is scored, or than lie there now; says which, once."""
    if not (cli.annotations / JOURNAL).is_file():
        return frozenset()
    saved = read_journal(cli.annotations / JOURNAL)
    forms = {form: clip_id for clip_id in saved for form in (media_id(clip_id), clip_id)}
    media = [read_parse(file).media for one in scored for file in parse_files(named_path(str(one))[1])]
    parsed = [(forms.get(stem, stem), one) for one in media for stem in [composed(Path(one.name).stem)]]
    found = of_other_media(saved, parsed)
    if note := other_media_note(found - getattr(cli, "other_media", frozenset())):
        say(f"note: {note}", file=sys.stderr)
    cli.other_media = found | getattr(cli, "other_media", frozenset())
    return found


def _without(split: Split, others: frozenset[str]) -> Split:
    """A split without clips whose corrections are of other media."""
    if not others & set(split.clip_ids):
        return split
    if others >= set(split.clip_ids):
        raise ValueError(f"there is nothing to score on: {other_media_note(others)}")
    return without_clips(split, others)


_OWN_TRUTH = (
    "; truth of clips of your own is corrections (`valor view`, `valor import events`) or a data set of "
    "`valor new-dataset` with --events"
)
"""What to give where there is none."""


def _only_split(dataset: DataSet, folder: Path, *, dense: bool) -> str:
    """The split whose table is there alone, of those with dense annotations where these are needed."""
    known = [split for split in dataset.splits if split in dataset.annotated or not dense]
    there = [split for split, name in dataset.layout.tags.items() if (folder / name).is_file()]
    if len(there) == 1:
        return there[0]
    if there and dense and not dataset.annotated:
        raise ValueError(f"{folder}: {' and '.join(there)} have tags alone and no truth{_OWN_TRUTH}")
    offered = " or ".join([split for split in there if split in known] or known)
    raise ValueError(f"--split must say which split of {folder} was predicted, {offered}, got none")


def settle_split(cli: argparse.Namespace, scored: str | Path | Sequence[str | Path]) -> None:
    """Take the split that all clips of what is scored are of, where none was typed: of a run, of its predictions."""
    if cli.split is not None:
        return
    typed = [scored] if isinstance(scored, str | Path) else scored
    held = [found for one in typed if (found := _predicted_clips(named_path(str(one))[1]))]
    dataset = dataset_of(cli.annotations)
    for split in dataset.annotated if held else ():
        with suppress(FileNotFoundError):
            names = dataset.names_in(cli.annotations, cli.classes)
            known = set(dataset.read_split(cli.annotations, split, names, truth_version=cli.truth).clip_ids)
            if all(found <= known for found in held):
                cli.split = split


def _predicted_clips(path: Path) -> frozenset[str]:
    """The clips of an .npz of predictions, or of those in a folder of a run or of its seeds; none of anything else."""
    from valor.training.run_folder import PREDICTIONS

    of_run = [path / PREDICTIONS, *sorted(path.glob(f"seed-*/{PREDICTIONS}"))]
    file = next((one for one in of_run if one.is_file()), path)
    return frozenset(read_predictions(file).clip_ids) if file.suffix == ".npz" and file.is_file() else frozenset()


def _segments_of(scored: str | Path | None, cli: argparse.Namespace, names: tuple[str, ...]) -> int | None:
    """T of a prediction file, or of a folder of parses, that says so itself; None for any other."""
    path = None if scored is None else named_path(str(scored))[1]
    if path is None or not (parse_files(path) or (path.suffix in (".npz", ".json") and path.is_file())):
        return None
    found = read_any_predictions(path, names, rounding=cli.rounding, gates=DROPPED)
    held = next(array for array in (found.segment_probs, found.predicted) if array is not None)
    return int(held.shape[1])


def in_common(split: Split, cli: argparse.Namespace, scored: Sequence[str | Path]) -> tuple[Split, list[str]]:
    """A split of corrections, in which classes may have been added, with the classes that all that is scored knows.

    Other annotations stay as they are, with all of their classes.

    Args:
        split: What is annotated.
        cli: What was typed.
        scored: Predictions, parses and run folders.

    Returns:
        The split, and notes of what only one side knows.

    Raises:
        ValueError: One of them knows none of the classes.
    """
    if not (cli.annotations / JOURNAL).is_file():
        return split, []
    split = _without(split, _of_other_media(cli, scored))
    shared, notes = split.class_names, list[str]()
    for typed in scored:
        path = named_path(str(typed))[1]
        if (known := _classes_of(path)) is None:
            continue
        notes += left_out(split, known, str(path))
        shared = tuple(name for name in shared if name in known)
    return split_of_classes(split, shared), notes


def _classes_of(path: Path) -> tuple[str, ...] | None:
    """The classes of what is scored, None where the annotations say them, as of tables of events."""
    if files := parse_files(path):
        return read_parse(files[0]).class_names
    from valor.training.run_folder import BEST

    if (path / BEST).is_file():
        from valor.training.checkpoint import read_checkpoint

        return read_checkpoint(path)[1].class_names
    return read_predictions(path).class_names if path.suffix == ".npz" and path.is_file() else None


def read_system(typed: str | Path, cli: argparse.Namespace, split: Split) -> "ScoredSystem":
    """Read or, for a run folder, make predictions, decide and score them; typed as PATH or NAME=PATH."""
    from valor.data.provenance import of_folder
    from valor.scoring.compare import FLATTERED
    from valor.scoring.system import score_system
    from valor.training.facts import facts_beside
    from valor.training.run_folder import BEST, refuse_several_seeds
    from valor.training.scored import answers_of_run

    name, path = named_path(str(typed))
    refuse_several_seeds(path)
    if (path / BEST).is_file():
        predictions = answers_of_run(path, split, cli.data or cli.annotations, store=cli.store)
    else:
        predictions = read_any_predictions(
            path,
            split.class_names,
            clip_ids=split.clip_ids,
            num_segments=split.truth.shape[1] if split.truth is not None else LLP_SEGMENTS,
            segment_seconds=split.segment_seconds,
            rounding=cli.rounding,
            use_scores=cli.use_scores,
            gates=DROPPED if RULE.typed(cli).get("gate") == "none" else DECIDED,
        )
    if (cli.annotations / JOURNAL).is_file() and set(predictions.class_names) > set(split.class_names):
        predictions = predictions_of_classes(predictions, split.class_names)
    others: frozenset[str] = getattr(cli, "other_media", frozenset()) - set(split.clip_ids)
    predictions = predictions_without_clips(predictions, others) if others else predictions
    predictions = replace(predictions, provenance=predictions.provenance | of_folder(cli.annotations))
    rule = _rule_of_parses(path, cli, split) or read_rule(cli, predictions, split)
    rule = _with_gate_of_parses(path, cli, split, rule)
    system = score_system(name, predictions, split, rule, allow_subset=cli.subset)
    facts, calibration = facts_beside(path), None
    if cli.thresholds:
        calibration = read_calibration(cli.thresholds, split.class_names)
        facts = facts.and_tuned(*calibration.tuned)
    report = system.report | facts.to_json()
    if calibration is not None and calibration.was_found_on(split):
        report[FLATTERED] = True
    system = replace(system, report=report)
    return _against_corrections(system, cli) if (cli.annotations / JOURNAL).is_file() else system


def _against_corrections(system: "ScoredSystem", cli: argparse.Namespace) -> "ScoredSystem":
    """What was scored against corrections, with the clips of them that nobody checked; says which are in no table."""
    from valor.scoring.compare import UNCHECKED

    saved = read_journal(cli.annotations / JOURNAL)
    if lost := [one for one in not_in_tables(cli.annotations, saved) if one not in cli.other_media]:
        say(
            f"note: {len(lost):,} corrected clips are in no table of {cli.annotations} and so not scored "
            f"({some_of(lost)}); open the corrections once more with `valor view`, which writes them",
            file=sys.stderr,
        )
    unchecked = frozenset(one for one in system.predictions.clip_ids if one in saved and not saved[one].checked)
    return replace(system, report=system.report | {UNCHECKED: len(unchecked)}, unchecked=unchecked)


def read_seeds(typed: str | Path, cli: argparse.Namespace, split: Split) -> "ScoredSeeds":
    """As `read_system`, also of a folder of seeds, each by its predictions of the split where its folder has them."""
    from valor.scoring.over_seeds import ScoredSeeds, scored_seeds
    from valor.training.run_folder import seed_folders
    from valor.training.scored import seed_predictions

    name, path = named_path(str(typed))
    folders = seed_folders(path)
    if not folders:
        system = read_system(typed, cli, split)
        return ScoredSeeds(name=system.name, systems=(system,), scores=(system.scores,))
    systems = {}
    for seed, folder in folders.items():
        source = seed_predictions(folder, split.clip_ids) if cli.data is None else folder
        systems[seed] = read_system(f"{name}, seed {seed}={source}", cli, split)
    return scored_seeds(name, systems)


def _rule_of_parses(path: Path, cli: argparse.Namespace, split: Split) -> PostProcessing | None:
    """The rule by which parses marked their events, unless another was typed; said where it is not that of all else."""
    files = parse_files(path)
    if not files or RULE.typed(cli) or cli.preset or getattr(cli, "thresholds", None):
        return None
    rule = rule_of_parses(files, split.class_names)
    if rule != PostProcessing(gate=rule.gate):
        said = rule_text(rule.to_dict())
        say(f"{path}: events as the parses mark them, {said}; --threshold 0.5 scores at one half", file=sys.stderr)
    return rule


def _with_gate_of_parses(
    path: Path, cli: argparse.Namespace, split: Split, rule: PostProcessing | None
) -> PostProcessing | None:
    """A rule of a typed --threshold keeps the gate thresholds of parses, as the slider of the viewer does.

    Raises:
        ValueError: The rule has another gate, and a parse was gated window by window.
    """
    files = parse_files(path)
    if not files or (rule is not None and rule.gate == "none"):
        return rule
    if rule is not None and set(RULE.typed(cli)) == {"segment_threshold"} and not cli.thresholds:
        held = gate_thresholds_of(files, split.class_names)
        return rule if held is None else replace(rule, clip_threshold=held)
    refuse_other_gates(files, rule, split.class_names)
    return rule


def named_path(typed: str) -> tuple[str, Path]:
    """Take NAME=PATH apart; a path alone is called by what it holds: the file's name, or that of its run folder."""
    name, path = named_source(typed)
    if name is not None:
        return name, path
    whole = Path(os.path.realpath(path))  # `resolve` fails at a loop of links
    if whole.is_file() and whole.stem in ("predictions", "pseudo_labels") and whole.parent.name:
        whole = whole.parent
    if whole.name.startswith("seed-") and whole.parent.name:
        return f"{whole.parent.name}/{whole.name}", path
    return whole.name if whole.is_dir() else whole.name.partition(".")[0], path


def read_rule(cli: argparse.Namespace, predictions: Predictions, split: Split) -> PostProcessing | None:
    """The rule that was typed; None where nothing was, so that the predictions' own gate decides."""
    rule = typed_rule(cli, predictions)
    if cli.thresholds:
        calibration = read_calibration(cli.thresholds, split.class_names)
        return apply_calibration(calibration, PRESETS[cli.preset] if cli.preset else rule)
    return preset(cli.preset) if cli.preset else rule


def typed_rule(cli: argparse.Namespace, predictions: Predictions) -> PostProcessing | None:
    """The rule of --gate and --threshold; None where neither was typed and the predictions' own gate decides."""
    held = (predictions.predicted, predictions.clip_probs, predictions.modality_probs)
    ungated = all(array is None for array in held)
    asked = RULE.typed(cli)
    if not asked:
        ruled = cli.preset or getattr(cli, "thresholds", None)
        return PostProcessing(gate="none") if ungated and not ruled else None
    if cli.preset:
        raise ValueError("--preset says gate and threshold already; leave --gate and --threshold out")
    return PostProcessing(**{"gate": "none" if ungated else gate_of(predictions), **asked})
