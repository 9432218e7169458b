"""`valor rescore`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from valor.scoring.language_options import LanguageOptions

from .command import DONE, Commands, new_command
from .options import Fields, Option, Parser
from .terminal import say

if TYPE_CHECKING:
    from valor.scoring.language import Language

_UNSET = {"default": None}
"""Tells apart what was typed from what was not."""
FIT = Fields(
    LanguageOptions,
    words=Option("--words", {"choices": ("one", "many")}),
    length=Option("--sequence N", _UNSET),
    step=Option("--hop N", _UNSET),
    width=Option("--network-width N", _UNSET),
    layers=Option("--layers N", _UNSET),
    steps=Option("--steps N", _UNSET),
    rate=Option("--learning-rate X", _UNSET),
    seed=Option("--seed N", _UNSET),
    split="--split NAME",
    val="--val PREDICTIONS",
    annotations="--annotations DIR",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "rescore",
        "PREDICTIONS --model RUN --out FILE  ranks anew predictions with probabilities (.npz), a parse of\n"
        "                                    `valor parse`, a folder of them, or a run folder\n"
        "fit SOURCE... --out RUN             learns what follows what, from labels, truth (a data folder), parses or\n"
        "                                    predictions\n\n"
        "With one class or none a second (AVE) the published rule of MTCN; with any number of them, in each modality,\n"
        "probabilities that thresholds keep their meaning for. How much the language counts for is chosen on clips of\n"
        "validation with --val and --annotations; 0 changes nothing (docs/rescore.md).",
        "valor rescore fit labels --out language --val val.npz --annotations data\n"
        "valor rescore predictions.npz --model language --out rescored.npz",
    )
    command.add_argument("typed", nargs="+", metavar="PREDICTIONS", help="what is ranked anew; with fit, SOURCE...")
    command.add_argument("--out", type=Path, metavar="PATH", help="where it is written; with fit, a folder")
    command.add_argument("--model", type=Path, metavar="RUN", help="folder of `valor rescore fit`")
    command.add_argument(
        "--alpha", type=float, metavar="X", help="how much the language counts for, below 1 (what RUN says)"
    )
    FIT.add(command)
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    is_fit = cli.typed[0] == "fit"
    if cli.out is None:
        raise ValueError(f"--out {'RUN' if is_fit else 'FILE'} says where the result is written")
    idle = [name for name in (("model", "alpha") if is_fit else FIT.names) if getattr(cli, name) is not None]
    if idle:
        raise ValueError(f"{', '.join(cli.flags[name] for name in idle)}: not for this; see `valor rescore --help`")
    return _fit(cli, cli.typed[1:]) if is_fit else _rescore(cli, cli.typed)


def _fit(cli: argparse.Namespace, typed: list[str]) -> int:
    if not typed:
        raise ValueError("name what is learned from too: valor rescore fit SOURCE; predictions of that name are ./fit")
    options = FIT.read(cli)
    from valor.scoring.rescore import fit_language

    language = fit_language([Path(word) for word in typed], cli.out, options, progress=not cli.quiet)
    card = language.card
    kinds = {"one": "one class or none a segment", "many": "any number of classes a segment, of each modality"}
    say(f"{card.recordings:,} recordings, {kinds[card.words]}, loss {card.loss:.4f}")
    for alpha, figure in card.tried:
        say(f"  alpha {alpha:<5g} {card.figure} on validation {figure:.1f}{'  <-' * (alpha == card.alpha)}")
    if not card.tried:
        say(f"alpha is {card.alpha:g}, the published one; --val and --annotations choose it")
    elif card.alpha == 0:
        say("validation is best without it: what follows what says nothing more here")
    say(f"wrote {cli.out}")
    return DONE


def _rescore(cli: argparse.Namespace, typed: list[str]) -> int:
    if len(typed) > 1:
        raise ValueError(f"PREDICTIONS must be one file or folder, got {' '.join(typed)}")
    if cli.model is None:
        raise ValueError("--model RUN says by what; `valor rescore fit LABELS --out RUN` makes one")
    from valor.scoring.language import read_language
    from valor.scoring.language_options import check_alpha

    if cli.alpha is not None:
        check_alpha(cli.alpha)
    language = read_language(cli.model)
    done = _files(cli, Path(typed[0]), language)
    alpha = language.card.alpha if cli.alpha is None else cli.alpha
    short = f", {done[1]:,} of them shorter than its sequences and left as they are" if done[1] else ""
    say(f"{done[0]:,} recordings with alpha {alpha:g}{short}; wrote {cli.out}")
    return DONE


def _files(cli: argparse.Namespace, source: Path, language: "Language") -> tuple[int, int]:
    """Rank files anew; how many recordings there are, and how many are too short."""
    from valor.data.parse_file import read_parse, write_parse
    from valor.data.parse_folder import parse_files
    from valor.data.predictions import read_predictions, write_predictions
    from valor.scoring.rescore import rescore_parse, rescore_predictions
    from valor.training.run_folder import PREDICTIONS

    if cli.out.exists() and source.exists() and cli.out.samefile(source):
        raise ValueError("--out must be another place than what is ranked anew")
    if parsed := parse_files(source):
        if (cli.out.suffix == ".json") == source.is_dir():
            kind = "a folder, for a folder of parses" if source.is_dir() else "a file *.json, for a parse"
            raise ValueError(f"--out must be {kind}, got {cli.out}")
        ranked = [rescore_parse(read_parse(file), language, cli.alpha) for file in parsed]
        if source.is_dir():
            cli.out.mkdir(parents=True, exist_ok=True)
        for file, (parse, _) in zip(parsed, ranked, strict=True):
            write_parse(cli.out / file.name if source.is_dir() else cli.out, parse)
        return len(ranked), sum(said.short for _, said in ranked)
    held = source / PREDICTIONS if (source / PREDICTIONS).is_file() else source
    if cli.out.suffix != ".npz":
        raise ValueError(f"--out must be a file *.npz, for predictions, got {cli.out}")
    found, said = rescore_predictions(read_predictions(held), language, cli.alpha)
    write_predictions(cli.out, found)
    return said.recordings, said.short
