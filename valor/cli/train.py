"""`valor train`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command, score_text
from .options import Parser

RECIPE_NAMES = (
    "demo",
    "demo-tags-only",
    "valor",
    "valor+",
    "valor++",
    "valor++ pre-norm",
    "valor-clips",
    "han",
    "han-weak",
    "han-weak++",
)
"""The named recipes, said again because help must not wait for torch; a test holds them equal to
valor.training.recipes."""


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "train",
        "features and labels to a run",
        "DIR holds the annotation tables AVVP_*.csv and the features: the published layout feats/, CLIP/, CLAP/, or a\n"
        "`store/` of harvested evidence. The run folder gets best.safetensors, recipe.json, log.jsonl, training.png;\n"
        "the epoch kept is the one with the highest validation segment Type@AV (fit.select_by), of equal ones the\n"
        "first (fit.select_tie; the last for han). Run it again to resume. Where DIR holds the test split, the kept\n"
        "epoch is scored on it once, as published: predictions.npz and scores.json. With --seeds N each seed has a\n"
        "run folder RUN/seed-<seed>; RUN/scores.json holds the mean and the standard deviation over seeds.\n\n"
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
    command.add_argument("--no-test", action="store_true", help="leave the test split alone")
    command.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change one option of the recipe")
    command.add_argument("--classes", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file (the data set's)")
    command.add_argument(
        "--device", default="auto", metavar="NAME", help="auto (a GPU where there is one), cpu or cuda"
    )
    command.add_argument(
        "--deterministic", action="store_true", help="refuse operations that may give other bits another time"
    )
    command.add_argument("--compile", action="store_true", help="compile the parser into CUDA graphs (GPU only)")
    command.add_argument(
        "--log",
        action="append",
        default=[],
        choices=("tensorboard", "wandb"),
        help="curves there as well, where it is installed (repeatable)",
    )
    command.add_argument(
        "--allow-random-teachers",
        action="store_true",
        help="accept labels or features of randomly initialised teachers",
    )
    command.also(changes="--set", trackers="--log", compiled="--compile")
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.data.vocabulary import class_names, read_vocabulary
    from valor.training.log import spoken
    from valor.training.recipes import find_recipe, override
    from valor.training.seeds import TrainOptions, train_seeds

    recipe = override(find_recipe(cli.recipe), cli.set)
    options = TrainOptions(
        seeds=cli.seeds,
        labels=cli.labels,
        names=class_names(read_vocabulary(cli.classes)) if cli.classes else None,
        device=cli.device,
        allow_random_teachers=cli.allow_random_teachers,
        deterministic=cli.deterministic,
        compiled=cli.compile,
        test=not cli.no_test,
        trackers=tuple(cli.log),
        progress=not cli.quiet,
    )
    out = cli.out or Path("runs") / recipe.name
    results = []
    for result in train_seeds(recipe, cli.data, out, options):
        score = f"validation {spoken(recipe.fit.select_by)} {result.fit.val_score:.2f}"
        print(f"seed {result.seed}: selected epoch {result.fit.best_epoch} with {score}; wrote {result.folder}")
        results.append(result)
    for split in ("val", "test"):
        scores = [found for result in results if (found := getattr(result, split)) is not None]
        if scores:
            print(f"\n{score_text([(SPLIT_TITLES[split], scores)], [])}")
    return DONE


SPLIT_TITLES = {"val": "validation", "test": "test"}
