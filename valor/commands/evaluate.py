"""`valor evaluate`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command, score_text


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    command = new_command(
        commands,
        "evaluate",
        "the ten F-scores of predictions",
        "Segment-level and event-level F of audio, visual and audio-visual events, Type@AV and Event@AV, as\n"
        "the LLP benchmark defines them. Clip ids are checked both ways.",
        "valor evaluate predictions.npz --annotations data --split test --json scores.json",
    )
    command.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="file of `valor predict` (.npz)")
    command.add_argument(
        "--annotations", type=Path, required=True, metavar="DIR", help="folder of the AVVP_*.csv tables"
    )
    command.add_argument("--split", required=True, choices=("val", "test"), help="split that was predicted")
    command.add_argument(
        "--truth", default="v2024", choices=("v2020", "v2024"), help="version of the audio annotations (v2024)"
    )
    command.add_argument(
        "--gate",
        choices=("clip", "modality", "none"),
        help="probability that must also pass 0.5 (default: what the file holds)",
    )
    command.add_argument("--threshold", type=float, metavar="P", help="segment threshold, inclusive (0.5)")
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file")
    command.add_argument("--subset", action="store_true", help="score the clips that are there when some are missing")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the scores")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
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
    print(score_text([(cli.predictions.stem, scores)], []))
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
