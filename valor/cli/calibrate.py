"""`valor calibrate`."""

import argparse
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from valor.data.common_classes import left_out, split_of_classes
from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.to_harvest import vocabulary_of_store
from valor.data.journal import JOURNAL
from valor.data.names import join_names
from valor.data.parse_folder import parse_files, read_parse_predictions
from valor.data.prediction_files import read_any_predictions
from valor.data.tables import Split
from valor.data.thresholds import Calibration, read_thresholds, write_calibration
from valor.data.vocabulary import EventClass
from valor.data.zero_shot_file import write_zero_shot
from valor.eval.decide import PRESETS
from valor.label_harvest.presence import PresenceOptions
from valor.label_harvest.store.store import EvidenceStore, read_store, store_folder, store_manifest
from valor.labelling.labels import default_thresholds, thresholds_of
from valor.scoring.calibrate import (
    CRITERIA,
    POSTERIOR,
    PRESENCE,
    calibrate_posterior,
    calibrate_predictions,
    calibrate_presence,
    calibrate_store,
    sources_of,
)
from valor.scoring.zero_shot import FootageOptions, calibrate_zero_shot, read_footage

from .command import DONE, FAILURES_LISTED, Commands, new_command
from .of_table import add_table, clips_of_table, say_lacking
from .options import Fields, Option, Parser, any_place
from .scored import add_rounding, add_rule, add_truth, read_truth, typed_rule
from .terminal import say

FOOTAGE = Fields(
    FootageOptions, prior=Option("--prior", {"nargs": 2, "type": float, "metavar": ("A", "V"), "default": None})
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "calibrate",
        "SOURCE is predictions with probabilities (thresholds for `valor evaluate --thresholds`) or a store of\n"
        "`valor harvest` (thresholds on the teachers' logits, for `valor labels --thresholds`).\n\n"
        "  segment-f  the highest segment-level F of each class, counts added over clips\n"
        "  event-f    the same for events\n"
        "  segment-table  of predictions: segment-f where the table's figure clearly gains by it, else as before\n"
        "  clip-f     thresholds of a parser's gate: is the class in the clip?\n"
        "  event-table  the same gate, as CMPAE chooses it: the whole table's event-level F, class after class\n"
        "  uwav       of a store: segment-f as UWAV cuts its label generator, of equal cuts the lowest\n"
        "  presence   of a store: cuts of `valor labels --rule presence`, whether a modality holds a tag\n"
        "  posterior  of a store: weights and biases of `valor labels --rule posterior`, by logistic regression\n"
        "  tag-rate   no dense labels needed: each class found in as many clips as are tagged with it\n\n"
        "With --parses SOURCE is a folder of zero-shot parses, and the file is for --thresholds of more of them,\n"
        "by the same teachers and classes: how high decoys stand over all of the footage. No label is needed. --prior\n"
        "says how often classes are there; corrections of `valor view`, as --annotations, refine it.\n\n"
        "A store knows its classes and the tags of its clips: tag-rate without --annotations takes those of the\n"
        "training split where the store lies in a data folder, else those of all its clips, and says so. A class\n"
        "that nothing is found on keeps the threshold of its vocabulary or of --keep, else gets the highest found.\n\n"
        "Choose on val, score on test. A file made on test says so, for ever.",
        "valor calibrate store --criterion tag-rate --out thresholds.json\n"
        "valor calibrate val.npz --annotations data --split val --criterion event-f --out thresholds.json\n"
        "valor calibrate parses --parses --out street.json",
    )
    command.add_argument(
        "source", type=any_place, metavar="SOURCE", help="predictions, a store of evidence, or zero-shot parses"
    )
    command.add_argument(
        "--parses",
        dest="zero_shot",
        action="store_true",
        help="for parses against decoys: how these decide, without labels or with",
    )
    FOOTAGE.add(command)
    add_truth(command, required=False)
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="thresholds (JSON)")
    command.add_argument(
        "--criterion", default="segment-f", choices=tuple(CRITERIA), help="what is asked for (segment-f)"
    )
    add_rule(command)
    add_rounding(command)
    command.add_argument(
        "--present-share",
        nargs=2,
        type=float,
        default=(1.0, 1.0),
        metavar=("A", "V"),
        help="for tag-rate: share of the tagged clips in which a class is heard, and seen (1 1)",
    )
    command.add_argument(
        "--fused", action="store_true", help="for a store: the one teacher that hears and sees, not the two apart"
    )
    command.add_argument(
        "--keep", type=Path, metavar="FILE", help="for a store: thresholds of classes that nothing is found on"
    )
    add_table(command, "for a store: table of all clips; those that are not in the store are named, with exit code 3")
    command.also(thresholds="--keep")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    if cli.zero_shot:
        return _of_footage(cli)
    if cli.prior is not None:
        raise ValueError("--prior is for --parses")
    # a store, or the fingerprint folder within one
    is_store = cli.source.is_dir() and any(any(cli.source.glob(at)) for at in ("manifest.json", "*/manifest.json"))
    if not is_store and not isinstance(cli.source, Path):
        raise ValueError(f"{cli.source}: no store of evidence lies there, and predictions are read from a disk alone")
    if cli.annotations is None and cli.split is not None:
        raise ValueError("--split says what thresholds are found on together with --annotations DIR; give both")
    if cli.annotations is None and not (is_store and cli.criterion == "tag-rate"):
        raise ValueError(
            "--annotations DIR and --split say what thresholds are found on; only a store has tags of its own, for "
            "--criterion tag-rate, and zero-shot parses need none with --parses"
        )
    if cli.manifest and not is_store:
        raise ValueError("--manifest says which clips a store lacks, and SOURCE is none; leave it out")
    wanted = clips_of_table(cli.manifest, cli.source) if is_store else None
    found = _of_store(cli) if is_store else _of_predictions(cli, read_truth(cli, cli.source, dense=False))
    write_calibration(cli.out, found)
    say(_table(found))
    clips = f"{found.provenance['clips']:,} of {found.provenance['clips_expected']:,} {cli.split or 'stored'} clips"
    say(f"\n{found.applies_to} by {cli.criterion} on {clips}")
    if found.provenance.get("note"):
        say(f"note: {found.provenance['note']}")
    say(f"wrote {cli.out}")
    return DONE if say_lacking(cli.source, wanted) is None else FAILURES_LISTED


def _of_footage(cli: argparse.Namespace) -> int:
    """Calibrate parses without training."""
    if cli.annotations is None and cli.split is not None:
        raise ValueError("--split says which clips were corrected together with --annotations DIR; give both")
    typed = [
        option
        for option, at in _NOT_OF_FOOTAGE.items()
        if getattr(cli, at) not in (None, False, "segment-f", (1.0, 1.0))
    ]
    if typed:
        raise ValueError(f"{', '.join(typed)} is not for --parses; leave it out")
    files = parse_files(cli.source) if isinstance(cli.source, Path) else []
    if not files:
        raise ValueError(
            f"{cli.source}: expected parses; `valor parse VIDEO --zero-shot NAMES --out parses` makes them of media"
        )
    footage, split, known = read_footage(files), None, None
    if cli.annotations is not None:
        names = footage.class_names
        if cli.classes is None and (cli.annotations / JOURNAL).is_file():  # where classes may have been added
            names = tuple(dict.fromkeys((*names, *dataset_of(cli.annotations).names_in(cli.annotations))))
        cli.classes = cli.classes or join_names(names) + "," * (len(names) == 1)
        split = read_truth(cli, cli.source, dense=True)
        if split.class_names != footage.class_names and set(footage.class_names) <= set(split.class_names):
            for said in left_out(split, footage.class_names, str(cli.source)):
                say(f"note: {said}", file=sys.stderr)
            split = split_of_classes(split, footage.class_names)
        known = read_parse_predictions(files, split.clip_ids)
    found = calibrate_zero_shot(footage, FOOTAGE.read(cli), split=split, known=known, sources=sources_of(cli.source))
    write_zero_shot(cli.out, found)
    for role, standing in found.standing.items():
        curve = found.curves[role]
        spans = f"{min(np.atleast_1d(curve.middle)):.2f} to {max(np.atleast_1d(curve.middle)):.2f}"
        say(
            f"{role:7s} decoys at {standing.level:.4g} with a spread of {standing.spread:.4g} over "
            f"{standing.seconds:,.0f} s; slope {curve.slope:.2f}, middles {spans}"
        )
    told = found.provenance
    corrected = f", {told['corrected']} of them corrected" if split is not None else ""
    say(f"by {told['criterion']} on {told['media']} media{corrected}")
    say(f"wrote {cli.out}; `valor parse VIDEO --zero-shot NAMES --thresholds {cli.out}` decides by it")
    return DONE


_NOT_OF_FOOTAGE = {
    "--criterion": "criterion",
    "--preset": "preset",
    "--gate": "gate",
    "--threshold": "segment_threshold",
    "--fused": "fused",
    "--keep": "keep",
    "--manifest": "manifest",
    "--subset": "subset",
    "--present-share": "present_share",
}


def _of_predictions(cli: argparse.Namespace, split: Split) -> Calibration:
    scored = cli.source.suffix == ".json"
    predictions = read_any_predictions(
        cli.source, split.class_names, clip_ids=split.clip_ids, rounding=cli.rounding, use_scores=scored
    )
    rule = typed_rule(cli, predictions)
    return calibrate_predictions(
        predictions,
        split,
        criterion=cli.criterion,
        rule=PRESETS[cli.preset] if cli.preset else rule,  # a preset may be one that lacks thresholds
        present_share=cli.present_share,
        sources=sources_of(cli.source),
        allow_subset=cli.subset,
    )


STORED = "store"
"""What the clips of a store are called in a file of thresholds, where no table says which split they are."""
_ANY_SPLIT = (
    "found on the tags of all clips in the store, whichever split they are of: where some are for testing, that looked "
    "at their tags"
)
"""The note a file made so carries."""


def _of_store(cli: argparse.Namespace) -> Calibration:
    manifest = store_manifest(cli.source)
    teachers, held = manifest["teachers"], manifest["class_names"]
    beside = (cli.annotations, cli.source.resolve().parent)
    classes = vocabulary_of_store(held, cli.classes, *beside, where=str(cli.source))
    split = None
    if cli.annotations is not None:
        cli.classes = cli.classes or join_names(held) + "," * (len(held) == 1)
        split = read_truth(cli, cli.source, dense=False)
    if cli.criterion in (PRESENCE, POSTERIOR):
        return _of_rule(cli, split)
    own = tuple(role for role in ("audio", "visual") if role in teachers)
    roles = ("fused",) if cli.fused or not own else own
    store = read_store(cli.source, names=[f"{role}.similarity" for role in roles])
    split = split or _clips_for_training(cli, store) or _all_clips(store)
    kept = _kept_thresholds(cli, store, classes)
    fallback = {role: kept.get(role, np.full(len(classes), np.nan)) for role in roles}
    found = calibrate_store(store, split, fallback, criterion=cli.criterion, present_share=cli.present_share)
    if split.name == STORED:
        found = replace(found, provenance={**found.provenance, "note": _ANY_SPLIT})
    return found


def _all_clips(store: EvidenceStore) -> Split:
    """All that a store has, as one split."""
    return Split(STORED, store.clip_ids, store.class_names, store.weak_labels, modality_tags=store.modality_tags)


def _clips_for_training(cli: argparse.Namespace, store: EvidenceStore) -> Split | None:
    """The training split of the data folder that a store lies in; None where there is none, or none of its clips."""
    folder = store_folder(cli.source).resolve().parent.parent
    if not isinstance(folder, Path):
        return None
    split = None
    with suppress(ValueError, OSError):  # tables that cannot be read are said by what needs them
        dataset = dataset_of(folder)
        split = dataset.read_clips(folder, dataset.split_for("train"), store.class_names)
    if split is None or not set(split.clip_ids) & set(store.clip_ids):
        return None
    if others := len(set(store.clip_ids) - set(split.clip_ids)):
        say(
            f"note: thresholds are found on the split {split.name} of {folder}; {others:,} other clips of the store "
            "are left out (--annotations DIR --split NAME chooses)",
            file=sys.stderr,
        )
    cli.split = split.name
    return split


def _of_rule(cli: argparse.Namespace, split: Split | None) -> Calibration:
    assert split is not None  # asked before: the criterion needs truth
    if cli.fused or cli.keep:
        raise ValueError(
            f"--criterion {cli.criterion} decides for both modalities by numbers of its own; leave --fused and --keep "
            "out"
        )
    held = store_manifest(cli.source)["teachers"]
    store = read_store(cli.source, names=[f"{role}.similarity" for role in ("audio", "visual") if role in held])
    if cli.criterion == POSTERIOR:
        return calibrate_posterior(store, split)
    return calibrate_presence(store, split, PresenceOptions())


def _kept_thresholds(
    cli: argparse.Namespace, store: EvidenceStore, classes: tuple[EventClass, ...]
) -> dict[str, np.ndarray]:
    """What classes keep that nothing is found on: the file given, else what belongs to these teachers or classes."""
    if cli.keep:
        return read_thresholds(cli.keep, len(classes))
    own = thresholds_of(classes)
    if any(np.isnan(thresholds).any() for thresholds in own.values()):
        return own
    try:
        return default_thresholds(store, classes)
    except ValueError:  # teachers nobody has thresholds for yet, which is why they are calibrated
        return own


def _table(found: Calibration) -> str:
    """Threshold, F and support of each class, by role."""
    width = max(map(len, (*found.class_names, "class")))
    lines = ["class".ljust(width) + "".join(f"{role:>12s}       F    true" for role in found.thresholds)]
    lines.append("-" * len(lines[0]))
    for row, name in enumerate(found.class_names):
        cells = []
        for role, thresholds in found.thresholds.items():
            f_score = found.f_scores[role][row] if role in found.f_scores else None
            f_text = "–" if f_score is None else f"{100 * f_score:.1f}"
            support = f"{found.support[role][row]:,}" if role in found.support else "–"
            cells.append(f"{thresholds[row]:12.4g}{f_text:>8s}{support:>8s}")
        lines.append(name.ljust(width) + "".join(cells))
    return "\n".join(lines)
