"""What a user may type: the commands of `valor`, their options and their help, with no work done here."""

import argparse
from pathlib import Path

from . import __version__

STAGES = """\
From raw clips to an F-score table, one command a stage:

  harvest    clips and their tags -> evidence of two frozen teachers, cached in a store
  labels     evidence, thresholds and tags -> pseudo labels for every second and modality
  train      features and labels -> a parser
  predict    a parser and a split -> predictions.npz
  evaluate   predictions and annotations -> the ten F-scores

  demo       all of it on an embedded miniature world: no download, no data, no GPU
  doctor     what is installed, which teachers and files are there, what to do about the rest

New here? Start with `valor demo`, then `valor COMMAND --help`.
"""

RECIPE_NAMES = (
    "demo",
    "demo-tags-only",
    "valor",
    "valor+",
    "valor++",
    "valor++ pre-norm",
    "han-weak",
    "han-weak++",
)
"""The named recipes, said again because help must not wait for torch; a test holds them equal to valor.recipes."""


def build_argument_parser() -> argparse.ArgumentParser:
    """All commands; the chosen one is `command` of the parsed arguments."""
    root = argparse.ArgumentParser(
        prog="valor",
        description="Find which events are audible and which are visible in each second of a clip,\n"
        "having learned from nothing but clip-level tags.\n\n" + STAGES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 done, 2 wrong use or bad input, 3 done with listed failures.",
    )
    root.add_argument("--version", action="version", version=f"valor {__version__}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_demo, _harvest, _labels, _train, _predict, _evaluate, _doctor):
        command = add(commands)
        command.add_argument("--quiet", action="store_true", help="no progress and no notes, only results and errors")
    return root


def _command(commands: argparse._SubParsersAction, name: str, summary: str, more: str, example: str):  # noqa: ANN202
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _demo(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "demo",
        "the whole line on the embedded world",
        "Renders a miniature of LLP as real MP4 files, harvests it with small teachers shipped with the project,\n"
        "trains three parsers (clip tags only; labels of one fused teacher; labels of two independent teachers =\n"
        "VALOR) over several seeds, prints their F-scores on the test split and writes report.html beside\n"
        "scores.json. What is already there is used again, so an interrupted run goes on where it stopped.",
        "valor demo --out demo",
    )
    command.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder of the run (demo)")
    command.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings per parser (3)")
    command.add_argument("--clips", type=int, default=None, metavar="N", help="clips in the world, all splits together")
    command.add_argument(
        "--shuffle-teachers",
        action="store_true",
        help="control: give each clip the teacher scores of another clip; the gain must vanish",
    )
    return command


def _harvest(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "harvest",
        "clips and tags to cached evidence",
        "MANIFEST is a tab-separated table `filename event_labels`, such as AVVP_train.csv. The media of a row is\n"
        "<filename>.* or <first 11 characters>.* in --videos. Scores and features go to a store under a fingerprint\n"
        "of everything that changes them; thresholds are applied later, by `valor labels`. Run it again to resume.",
        "valor harvest AVVP_train.csv --videos videos --store store --checkpoint visual=ViT-L-14.safetensors",
    )
    command.add_argument("manifest", type=Path, metavar="MANIFEST", help="table of clips and tags")
    command.add_argument("--videos", type=Path, required=True, metavar="DIR", help="folder of the media files")
    command.add_argument("--store", type=Path, required=True, metavar="DIR", help="folder of the evidence")
    command.add_argument("--visual", default="clip-vit-l14", metavar="NAME", help="visual teacher (clip-vit-l14)")
    command.add_argument("--audio", default="clap-630k-fusion", metavar="NAME", help="audio teacher (clap-630k-fusion)")
    command.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="ROLE=PATH",
        help="local weights, visual=PATH or audio=PATH; `random` in place of PATH for a trial without weights",
    )
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file")
    command.add_argument("--shard-clips", type=int, default=256, metavar="N", help="clips per file of the store (256)")
    return command


def _labels(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "labels",
        "evidence to pseudo labels",
        "A class is labelled in a second and a modality when it is among the clip's tags and the teacher's logit is\n"
        "above the class threshold. The thresholds are those of the vocabulary unless a file says otherwise:\n"
        'JSON {"visual": [one number per class], "audio": [...]}.',
        "valor labels store --out labels --export npy",
    )
    command.add_argument("store", type=Path, metavar="STORE", help="folder written by `valor harvest`")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the labels")
    command.add_argument("--thresholds", type=Path, metavar="FILE", help="label thresholds (JSON)")
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="vocabulary whose thresholds are used")
    command.add_argument(
        "--export", choices=("npy",), help="also write the published layout, one file per clip and modality"
    )
    command.add_argument(
        "--against", type=Path, metavar="ANNOTATIONS", help="score the labels against dense annotations"
    )
    command.add_argument("--split", default="test", choices=("val", "test"), help="split to score against (test)")
    return command


def _train(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "train",
        "features and labels to a run",
        "DIR holds the annotation tables AVVP_*.csv and the features: the published layout feats/, CLIP/, CLAP/, or a\n"
        "`store/` of harvested evidence. The run folder gets best.safetensors, recipe.json and log.jsonl; the epoch\n"
        "kept is the first with the highest validation segment Type@AV. Run it again to resume.\n\n"
        f"Recipes: {', '.join(RECIPE_NAMES)}.",
        "valor train valor++ --data data --labels labels --out runs/valor++ --set fit.epochs=30",
    )
    command.add_argument("recipe", metavar="RECIPE", help="name of a recipe (see above), a recipe.json or a run folder")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    command.add_argument(
        "--labels", type=Path, metavar="DIR", help="pseudo labels (default: the published layout in --data)"
    )
    command.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/RECIPE)")
    command.add_argument("--seeds", type=int, default=1, metavar="N", help="train N times, into RUN/seed-<seed> each")
    command.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change one option of the recipe")
    command.add_argument(
        "--allow-random-teachers",
        action="store_true",
        help="accept labels or features of randomly initialised teachers",
    )
    return command


def _predict(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "predict",
        "a run on a split",
        "Writes probabilities for every second, modality and class, and for every clip and class.",
        "valor predict runs/valor++ --data data --split test --out predictions.npz",
    )
    command.add_argument("run", type=Path, metavar="RUN", help="run folder of `valor train`")
    command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    command.add_argument("--split", default="test", choices=("val", "test"), help="split to predict (test)")
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="predictions (.npz)")
    return command


def _evaluate(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
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


def _doctor(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "doctor",
        "what is there and what to do about what is not",
        "Looks at the packages, the device, the teachers' weights and, with --data, at annotations and features.\n"
        "Asks nothing of a network.",
        "valor doctor --data data",
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="also look at this data folder")
    return command
