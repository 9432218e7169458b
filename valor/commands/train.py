"""`valor train`."""

import argparse
from pathlib import Path

from .command import DONE, Commands, new_command

RECIPE_NAMES = (
    "demo",
    "demo-tags-only",
    "valor",
    "valor+",
    "valor++",
    "valor++ pre-norm",
    "valor-clips",
    "han-weak",
    "han-weak++",
)
"""The named recipes, said again because help must not wait for torch; a test holds them equal to valor.recipes."""


def add(commands: Commands) -> argparse.ArgumentParser:
    """Add its help and options."""
    command = new_command(
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
    command.add_argument("--classes", default="llp", metavar="NAME|FILE", help="class vocabulary: llp or a JSON file")
    command.add_argument(
        "--device", default="auto", metavar="NAME", help="auto (a GPU where there is one), cpu or cuda"
    )
    command.add_argument(
        "--allow-random-teachers",
        action="store_true",
        help="accept labels or features of randomly initialised teachers",
    )
    return command


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    from valor.recipes import find_recipe, override
    from valor.runs import train_run, with_seed
    from valor.vocabulary import class_names, read_vocabulary

    if cli.seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {cli.seeds}")
    recipe = override(find_recipe(cli.recipe), cli.set)
    names = class_names(read_vocabulary(cli.classes))
    out = cli.out or Path("runs") / recipe.name
    for seed in range(recipe.fit.seed, recipe.fit.seed + cli.seeds):
        run = out if cli.seeds == 1 else out / f"seed-{seed}"
        result = train_run(
            with_seed(recipe, seed),
            cli.data,
            run,
            labels=cli.labels,
            names=names,
            device=cli.device,
            allow_random_teachers=cli.allow_random_teachers,
            progress=not cli.quiet,
        )
        score = f"validation segment Type@AV {result.val_type_av:.2f}"
        print(f"seed {seed}: selected epoch {result.best_epoch} with {score}; wrote {run}")
    return DONE
