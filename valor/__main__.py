"""`python -m valor COMMAND`: from typed arguments to the functions that do the work; the only place that prints."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from label_harvest.media import MediaError
from valor.arguments import build_argument_parser

DONE, WRONG_USE, FAILURES_LISTED = 0, 2, 3
"""Exit codes."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What was typed after `valor`; None takes it from the process.

    Returns:
        0 done, 2 wrong use or bad input (said in one message), 3 done with failures that are listed.
    """
    cli = build_argument_parser().parse_args(arguments)
    _log_to_stderr(logging.WARNING if cli.quiet else logging.INFO)
    try:
        return COMMANDS[cli.command](cli)
    except KeyboardInterrupt:
        print("\nvalor: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except (ValueError, OSError, MediaError, RuntimeError) as error:
        print(f"valor {cli.command}: {error}", file=sys.stderr)
        return WRONG_USE


def _log_to_stderr(level: int) -> None:
    """Notes of this project from `level` on, and warnings of everyone."""
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx", "huggingface_hub", "open_clip", "transformers", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger().addFilter(_is_warning)  # for libraries that log as nobody; what passes through is not asked


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def run_demo_command(cli: argparse.Namespace) -> int:
    """`valor demo`."""
    from valor.demo.page import ANCHOR_TITLES, type_av_gains, write_demo_page
    from valor.demo.run import ARMS, DemoOptions, run_demo

    given = {} if cli.clips is None else {"clips": cli.clips}
    options = DemoOptions(seeds=cli.seeds, shuffle_teachers=cli.shuffle_teachers, **given)
    result = run_demo(cli.out, options, progress=not cli.quiet)
    write_demo_page(cli.out / "report.html", result, options)
    anchors = [(ANCHOR_TITLES[name], scores) for name, scores in result.anchors.items()]
    print(_table([(arm.title, result.scores[name]) for name, arm in ARMS.items()] + anchors, anchors))
    print("\nPseudo labels of the same clips, scored as predictions:")
    labels = [(ARMS[name].title.removeprefix("+ "), quality.scores) for name, quality in result.label_quality.items()]
    print(_table(labels + anchors[1:], anchors[1:]))
    gains = type_av_gains(result)
    print(
        f"\nSegment-level Type@AV, VALOR minus tags only: {sum(gains) / len(gains):+.1f} points "
        f"({min(gains):+.1f} to {max(gains):+.1f} over {len(gains)} seeds), {len(result.test.clip_ids)} test clips, "
        f"{result.seconds:.0f} s"
    )
    print(f"wrote {cli.out / 'report.html'} (open it in a browser) and {cli.out / 'scores.json'}")
    return DONE


def _table(rows: list, anchors: list) -> str:
    from eval.tables import score_table, to_text

    return to_text(score_table(rows), anchors=[name for name, _ in anchors])


def run_harvest(cli: argparse.Namespace) -> int:
    """`valor harvest`."""
    from label_harvest.harvest import HarvestOptions, harvest
    from label_harvest.manifest import read_manifest
    from label_harvest.teachers import TEACHERS, build_teacher
    from valor.vocabulary import class_names, prompts, read_vocabulary

    classes = read_vocabulary(cli.classes)
    manifest = read_manifest(cli.manifest, class_names(classes))
    checkpoints = _checkpoints(cli.checkpoint)
    names = {"visual": cli.visual, "audio": cli.audio}
    for role, name in names.items():
        known = [teacher for teacher, its_role in TEACHERS.items() if its_role == role]
        if name not in known:
            raise ValueError(f"--{role} must be one of {', '.join(known)}, got {name!r}")
    teachers = [
        build_teacher(name, prompts(classes, role), checkpoint=checkpoints.get(role)) for role, name in names.items()
    ]
    options = HarvestOptions(shard_size=cli.shard_clips)
    report = harvest(manifest, cli.videos, cli.store, teachers, options=options, progress=not cli.quiet)
    counts = ", ".join(f"{count} {status}" for status, count in report.counts.items())
    print(f"{len(report.rows)} clips ({counts}), {report.skipped} of them cached before; wrote {report.folder}")
    for row in report.failures:
        print(f"  {row.status:12s} {row.clip_id:24s} {row.message}")
    if report.failures:
        print(f"{len(report.failures)} clips failed; they are listed in {report.folder / 'failures.csv'}")
    return FAILURES_LISTED if report.failures else DONE


def _checkpoints(given: list[str]) -> dict[str, str]:
    found = {}
    for entry in given:
        role, _, path = entry.partition("=")
        if role not in ("visual", "audio") or not path:
            raise ValueError(f"--checkpoint must be visual=PATH or audio=PATH, got {entry!r}")
        found[role] = path
    return found


def run_labels(cli: argparse.Namespace) -> int:
    """`valor labels`."""
    from label_harvest.store import read_store
    from valor.annotations import read_split
    from valor.labelling import (
        PROVENANCE,
        export_npy,
        label_quality,
        read_thresholds,
        thresholds_of,
        write_label_folder,
    )
    from valor.vocabulary import class_names, read_vocabulary

    store = read_store(cli.store)
    classes = read_vocabulary(cli.classes)
    if class_names(classes) != store.class_names:
        raise ValueError(f"{cli.store}: the store is of other classes than {cli.classes!r}; pass --classes FILE")
    thresholds = read_thresholds(cli.thresholds, len(classes)) if cli.thresholds else thresholds_of(classes)
    labels, left_out = write_label_folder(cli.out, store, thresholds)
    print(f"{len(labels.clip_ids):,} clips, {int(labels.labels.sum()):,} labelled seconds; wrote {cli.out}")
    if left_out:
        print(f"{len(left_out)} clips without complete evidence got no labels; {cli.out / PROVENANCE} lists them")
    if cli.export:
        print(f"wrote {export_npy(cli.out, store, labels)} files of the published layout under {cli.out}")
    if cli.against:
        split = read_split(cli.against, cli.split, store.class_names)
        quality = label_quality(labels, split)
        for modality in quality.precision:
            print(
                f"{modality:7s} precision {quality.precision[modality]:5.1f}  recall {quality.recall[modality]:5.1f}  "
                f"segment F {getattr(quality.scores.segment, modality):5.1f}"
            )
        covered = f"{quality.scores.clips:,} of {len(split.clip_ids):,} {cli.split} clips"
        print(f"tags without any label: {quality.unlabelled_tags:.1f} %; {covered}")
    return DONE


def run_train(cli: argparse.Namespace) -> int:
    """`valor train`."""
    from valor.recipes import find_recipe, override
    from valor.runs import train_run, with_seed

    if cli.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {cli.seeds}")
    recipe = override(find_recipe(cli.recipe), cli.set)
    out = cli.out or Path("runs") / recipe.name
    for seed in range(recipe.fit.seed, recipe.fit.seed + cli.seeds):
        run = out if cli.seeds == 1 else out / f"seed-{seed}"
        result = train_run(
            with_seed(recipe, seed),
            cli.data,
            run,
            labels=cli.labels,
            allow_random_teachers=cli.allow_random_teachers,
            progress=not cli.quiet,
        )
        score = f"validation segment Type@AV {result.val_type_av:.2f}"
        print(f"seed {seed}: selected epoch {result.best_epoch} with {score}; wrote {run}")
    return DONE


def run_predict(cli: argparse.Namespace) -> int:
    """`valor predict`."""
    from valor.predictions import write_predictions
    from valor.runs import predict_run

    predictions = predict_run(cli.run, cli.data, cli.split)
    write_predictions(cli.out, predictions)
    print(f"{len(predictions.clip_ids)} clips; wrote {cli.out}")
    return DONE


def run_evaluate(cli: argparse.Namespace) -> int:
    """`valor evaluate`."""
    from eval.decide import PostProcessing
    from valor.annotations import read_split
    from valor.predictions import gate_of, read_predictions, score_predictions, write_scores_json
    from valor.vocabulary import class_names, read_vocabulary

    names = class_names(read_vocabulary(cli.classes))
    split = read_split(cli.annotations, cli.split, names, truth_version=cli.truth)
    predictions = read_predictions(cli.predictions)
    rule = None
    if cli.gate or cli.threshold is not None:
        asked = {"segment_threshold": cli.threshold, "gate": cli.gate or gate_of(predictions)}
        rule = PostProcessing(**{name: value for name, value in asked.items() if value is not None})
    scores, report = score_predictions(predictions, split, rule, allow_subset=cli.subset)
    print(_table([(cli.predictions.stem, scores)], []))
    covered = f"{scores.clips:,} of {report['clips_expected']:,} {cli.split} clips"
    print(f"\n{covered}, truth {cli.truth} {split.truth_sha256[:12]}, {_rule(report['post_processing'])}")
    if cli.json:
        write_scores_json(cli.json, report)
        print(f"wrote {cli.json}")
    return DONE


def _rule(post_processing: dict) -> str:
    if post_processing["segment_threshold"] is None:
        return "decisions as predicted"
    return f"segments >= {post_processing['segment_threshold']:g}, gate {post_processing['gate']}"


def run_doctor(cli: argparse.Namespace) -> int:
    """`valor doctor`."""
    from valor.doctor import examine

    findings = examine(cli.data)
    for finding in findings:
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        print(f"{finding.state:8s}{finding.subject:26s}{finding.found}{remedy}")
    missing = sum(finding.state == "missing" for finding in findings)
    summary = f"{missing} thing{'s are' if missing > 1 else ' is'} missing"
    print(f"\n{summary if missing else 'all that is needed is here; try: valor demo'}")
    return WRONG_USE if missing else DONE


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo": run_demo_command,
    "harvest": run_harvest,
    "labels": run_labels,
    "train": run_train,
    "predict": run_predict,
    "evaluate": run_evaluate,
    "doctor": run_doctor,
}
"""The function of each command."""

if __name__ == "__main__":
    sys.exit(main())
