"""`valor evaluate`."""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from valor.data.datasets.dataset import dataset_of

from .command import DONE, FORMATS, Commands, new_command, print_note, write_or_print
from .options import Parser
from .scored import (
    add_features,
    add_rounding,
    add_rule,
    add_scores,
    add_thresholds,
    add_truth,
    in_common,
    named_path,
    read_seeds,
    read_truth,
    settle_split,
)

if TYPE_CHECKING:
    from valor.data.predictions import Predictions
    from valor.data.tables import Split
    from valor.eval.scores import Scores
    from valor.scoring.layout import Evaluation
    from valor.scoring.over_seeds import ScoredSeeds
    from valor.scoring.system import ScoredSystem, Section


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "evaluate",
        "Segment-level and event-level F of audio, visual and audio-visual events, Type@AV and Event@AV, as\n"
        "the LLP benchmark defines them (docs/scores.md). PREDICTIONS is a run folder, which parses the split first,\n"
        "a folder of its seeds (RUN/seed-*), shown as mean and deviation, a file of `valor predict` (.npz), a folder\n"
        "with audio.tsv and visual.tsv (`filename onset offset event_label`), one of a pair NAME.audio.tsv and\n"
        "NAME.visual.tsv, a .json of events, or a folder of parses (`valor parse --out`), which count as they mark\n"
        "events unless a rule is typed. Clip ids are checked both ways; a part of the split is scored only with\n"
        "--subset, and the line under the table says how many clips that is, on which truth and by which rule.",
        "valor evaluate predictions.npz --annotations data --split test --anchors --interval --json scores.json\n"
        "valor evaluate runs/mine --compare runs/valor --annotations data --split test",
    )
    command.add_argument("predictions", metavar="PREDICTIONS", help="what to score (see above); NAME=PATH to name it")
    add_truth(command)
    add_features(command)
    add_rule(command)
    add_thresholds(command)
    add_rounding(command)
    add_scores(command)
    command.add_argument(
        "--anchors",
        action="store_true",
        help="also score the prediction of nothing and the tags copied everywhere (AVE: always)",
    )
    command.add_argument("--interval", action="store_true", help="95 %% intervals by bootstrap over clips")
    command.add_argument(
        "--compare",
        metavar="PREDICTIONS",
        help="another system on the same clips: differences with intervals paired over clips and, of two folders of "
        "seeds, over seeds; NAME=PATH to name it",
    )
    command.add_argument(
        "--tuned",
        action="store_true",
        help="for a run folder: also by gates and cuts of every class that are best on val, which is parsed for it",
    )
    command.add_argument(
        "--unseen",
        nargs="?",
        const="",
        metavar="NAMES|FILE",
        help="mean F of the classes that training left out, of the others, and their harmonic mean; of a run folder "
        "also with a constant for the unseen ones that is chosen on val (without NAMES: those of the data set)",
    )
    command.add_argument(
        "--per-class",
        action="store_true",
        help="counts, precision, recall and F of every class; with --compare also F of the other, and the difference",
    )
    command.add_argument(
        "--per-clip",
        type=Path,
        metavar="FILE",
        help="write the figures of each clip there, the worst first; the worst and the best are printed",
    )
    command.add_argument(
        "--details", action="store_true", help="exclusive events, overlaps, durations, mAP and calibration error"
    )
    command.add_argument("--format", choices=FORMATS, help="text unless --out ends in .md, .csv, .tex or .json")
    command.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="also write the tables there; of FILE.csv the further ones beside it, as FILE-differences.csv",
    )
    command.add_argument("--json", type=Path, metavar="FILE", help="write the scores, as `valor table` reads them")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.anchors import zero_shot_of
    from valor.data.score_file import write_scores_json
    from valor.data.unseen import named_unseen
    from valor.eval.intervals import few_clips
    from valor.scoring.layout import EVALUATION_FORMATS as LAYOUTS
    from valor.scoring.layout import Evaluation, evaluation_tables, full_report
    from valor.scoring.system import anchor_scores
    from valor.training.log import unlike_steps

    if cli.per_clip and cli.per_clip.suffix != ".csv":
        raise ValueError(f"--per-clip {cli.per_clip}: the figures of each clip are written as *.csv")
    scored = [cli.predictions, *([cli.compare] if cli.compare else [])]
    settle_split(cli, scored)
    split, left_out = in_common(read_truth(cli, cli.predictions), cli, scored)
    unseen = None if cli.unseen is None else named_unseen(cli.unseen, split.class_names, split.unseen)
    seeds = read_seeds(cli.predictions, cli, split)
    system, baseline = seeds.mean, _compared(cli, seeds, split)
    if seeds.seeds:
        _refuse_of_seeds(cli, seeds)
    if cli.anchors or (split.metrics and split.events is None):  # of figures nobody knows what is much
        anchors = seeds.without_own(
            anchor_scores(system, split, zero_shot=zero_shot_of(cli.data or cli.annotations, split))
        )
    else:
        anchors = []
    evaluation = Evaluation(
        system=system,
        split=cli.split,
        truth_version=split.version_in_words,
        world=split.world,
        anchors=anchors,
        seeds=seeds if seeds.seeds else None,
        baseline=baseline,
        sections=_sections(cli, seeds, baseline, split, anchors) + _unseen(cli, system, split, unseen),
    )
    if cli.json:
        write_scores_json(cli.json, full_report(evaluation), scored=cli.predictions)
    layouts = {name: partial(layout, evaluation) for name, layout in LAYOUTS.items()}
    write_or_print(layouts, cli, tables=partial(evaluation_tables, evaluation), show=True)
    _write_clips(cli, seeds, evaluation)
    for said in left_out:
        print_note(f"note: {said}", cli)
    if few := few_clips(system.scores):
        at = [f"{name} {of.segment.type_av:.1f}" for name, of in anchors or anchor_scores(system, split)]
        print_note(f"note: {few}; beneath it: {', '.join(at)}", cli)
    if baseline is not None and baseline.decides_as(seeds):
        print_note(f"note: {seeds.name} and {baseline.name} decide alike in every segment", cli)
    if cli.compare and (said := unlike_steps(dict(map(named_path, scored)))):
        print_note(said, cli)
    if cli.json:
        print_note(f"wrote {cli.json}", cli)
    return DONE


def _write_clips(cli: argparse.Namespace, seeds: "ScoredSeeds", evaluation: "Evaluation") -> None:
    """Write the figures of each clip, and print the worst and the best, where that was asked for."""
    if not cli.per_clip:
        return
    from valor.label_harvest.disk import replaced
    from valor.scoring.layout import section_to_csv, section_to_text
    from valor.scoring.per_clip import clip_section

    section = clip_section(seeds.systems)
    with replaced(cli.per_clip) as temporary:
        temporary.write_text(section_to_csv(section, evaluation.world, seeds.name) + "\n", encoding="utf-8")
    print_note(f"\n{section_to_text(section)}\n\nwrote {cli.per_clip}", cli)


def _refuse_of_seeds(cli: argparse.Namespace, seeds: "ScoredSeeds") -> None:
    """Refuse what is of a single run for a folder of seeds."""
    single = {"--tuned": cli.tuned, "--details": cli.details, "--unseen": cli.unseen}
    if asked := [option for option, value in single.items() if value not in (None, False)]:
        one = named_path(cli.predictions)[1] / f"seed-{seeds.seeds[0]}"
        raise ValueError(f"{', '.join(asked)}: of a single run, and {seeds.name} has several; name one, such as {one}")


def _compared(cli: argparse.Namespace, seeds: "ScoredSeeds", split: "Split") -> "ScoredSeeds | None":
    """What is compared with, under a name of its own."""
    if not cli.compare:
        return None
    found = read_seeds(cli.compare, cli, split)
    return found.called(f"{found.name} of {named_path(cli.compare)[1]}") if found.name == seeds.name else found


def _sections(
    cli: argparse.Namespace,
    seeds: "ScoredSeeds",
    baseline: "ScoredSeeds | None",
    split: "Split",
    anchors: "Sequence[tuple[str, Scores]]",
) -> "list[Section]":
    from valor.scoring.over_seeds import seeds_section
    from valor.scoring.system import (
        ceiling_section,
        checked_section,
        class_sections,
        decision_section,
        detail_sections,
        figure_section,
        interval_section,
    )

    system = seeds.mean
    beside = [*([(baseline.name, baseline.mean.scores)] if baseline else []), *anchors]
    sections = [figure_section(system, beside)] if system.scores.figures else []
    sections += [found] if (found := checked_section(system)) is not None and not seeds.seeds else []
    sections += [ceiling_section(system, split)] if split.events is not None else []
    sections += [interval_section(system)] if cli.interval else []
    if cli.tuned:
        val = _val_split(cli, split)
        sections.append(decision_section(system, split, _val_predictions(cli, val), val))
    if baseline:
        sections.append(seeds_section(seeds, baseline))
    if cli.per_class:
        named = [of.name for of in (seeds, baseline) if of]
        other = baseline.systems if baseline else ()
        sections += class_sections(seeds.systems, split.class_names, intervals=cli.interval, beside=other, names=named)
    return sections + (detail_sections(system) if cli.details else [])


def _unseen(
    cli: argparse.Namespace, system: "ScoredSystem", split: "Split", unseen: tuple[str, ...] | None
) -> "list[Section]":
    """The section of classes that training left out, and of a run folder the constant that val chooses."""
    if unseen is None:
        return []
    from valor.scoring.unseen import unseen_section
    from valor.training.run_folder import BEST

    val = None
    if (named_path(cli.predictions)[1] / BEST).is_file():
        held = _val_split(cli, split)
        if held.truth is not None and held.name != split.name:
            val = _val_predictions(cli, held), held
    return [unseen_section(system, split, unseen, val)]


def _val_split(cli: argparse.Namespace, split: "Split") -> "Split":
    """The split gates and cuts are tuned on, with the classes and the version of the truth of the scored one."""
    dataset = dataset_of(cli.annotations)
    name = dataset.split_for("val")
    return dataset.read_split(cli.annotations, name, split.class_names, truth_version=cli.truth)


def _val_predictions(cli: argparse.Namespace, val: "Split") -> "Predictions":
    """What the parser of a run answers on val."""
    from valor.training.run import predict_run
    from valor.training.run_folder import BEST

    path = named_path(cli.predictions)[1]
    if not (path / BEST).is_file():
        raise ValueError(
            f"--tuned parses {val.name} with the parser of a run folder, which {path} is not; of other predictions "
            f"`valor calibrate PREDICTIONS --annotations {cli.annotations} --split {val.name} --out FILE` finds "
            "thresholds for --thresholds FILE"
        )
    return predict_run(path, cli.data or cli.annotations, val, store=cli.store)
