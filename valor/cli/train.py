"""`valor train`."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.datasets.dataset import dataset_of
from valor.data.journal import JOURNAL
from valor.data.provenance import by_drawings
from valor.eval.intervals import few_clips
from valor.eval.scores import Scores
from valor.experiments.options import PUBLISHED_AS
from valor.training.beneath import LABELS, TAGS
from valor.training.methods.methods import METHODS
from valor.training.options import TRACKERS, TrainOptions
from valor.training.recipes import RECIPES, Recipe, find_recipe, for_classes, override
from valor.training.run_folder import HALF_SCORES, TUNED_SCORES

from .command import DONE, Commands, add_shared, changes_of, new_command, score_text
from .options import Fields, Option, Parser, any_place, new_folder
from .recipe_options import recipe_text
from .terminal import say

if TYPE_CHECKING:
    from valor.training.seeds import SeedResult

TRAIN = Fields(
    TrainOptions,
    labels="--labels DIR",
    annotations="--annotations DIR",
    store=Option("--store STORE", {"type": any_place}),
    begin_with="--from RUN",
    seeds="--seeds N",
    test=Option("--no-test", {"help": "leave the test split alone"}),
    unseen="--unseen NAMES",
    beside=Option("--beside NAME=DIR", {"action": "append"}),
    beside_labels=Option("--beside-labels NAME=DIR", {"action": "append"}),
    unlabelled=Option("--unlabelled STORE", {"action": "append", "type": any_place}),
    self_train="--self-train ROUNDS",
    deterministic="--deterministic",
    compiled="--compile",
    trackers=Option("--tracker", {"action": "append", "choices": TRACKERS}),
    allow_random_teachers="--allow-random-teachers",
)


def add(commands: Commands) -> Parser:
    """Add its help and options."""
    command = new_command(
        commands,
        "train",
        "DIR holds the annotation tables AVVP_*.csv and the features: the published layout feats/, CLIP/, CLAP/, or a\n"
        "`store/` of harvested evidence. The run folder gets best.safetensors, recipe.json, log.jsonl, training.png;\n"
        "the epoch kept is the one with the highest validation segment Type@AV (fit.select_by), of equal ones the\n"
        "first (fit.select_tie; the last for han). Run it again to resume. Where DIR has truth of the test split, the\n"
        "kept epoch is scored on it once, as published: predictions.npz and scores.json. Beside the scores stand\n"
        "those of the tags copied to every second, which know nothing of when. With --seeds N each seed has a\n"
        "run folder RUN/seed-<seed>; RUN/scores.json holds the mean and the standard deviation over seeds.\n"
        "Features or labels that a folder of LLP lacks are listed first, with what gets each. Where DIR has no truth\n"
        "of val, --annotations takes it from what was marked in the viewer (docs/own-classes.md).\n"
        "Sets --beside share the encoder and have run folders of their own, RUN/beside/NAME.\n\n"
        f"Recipes: {', '.join(RECIPES)}.\n\n"
        f"Methods beyond VALOR, with --set methods.NAME=on or methods.NAME.OPTION=VALUE: {', '.join(METHODS)}.",
        "valor train valor++ --data data --labels labels --out runs/valor++ --set fit.epochs=30\n"
        "valor train valor++ --show",
    )
    command.add_argument("recipe", metavar="RECIPE", help="name of a recipe (see above), a recipe.json or a run folder")
    data = command.add_argument("--data", type=Path, required=True, metavar="DIR", help="annotations and features")
    TRAIN.add(command, "labels", "annotations", "store")
    command.add_argument("--out", type=new_folder, metavar="RUN", help="run folder (runs/RECIPE)")
    TRAIN.add(command, "begin_with", "seeds", "test")
    command.add_argument(
        "--label-share",
        type=float,
        metavar="S",
        help="share of the tagged clips that keep their tags, drawn by the seed (1; the same as fit.label_share)",
    )
    add_shared(command, "changes", "seed")
    add_shared(command, "names")
    TRAIN.add(
        command,
        "unseen",
        "beside",
        "beside_labels",
        "unlabelled",
        "self_train",
        "deterministic",
        "compiled",
        "trackers",
        "allow_random_teachers",
    )
    command.add_argument(
        "--show",
        action=_Shown,
        data=data,
        help="print every option of the recipe with its value and meaning, as --set changes it, and train nothing",
    )
    return command


class _Shown(argparse.Action):
    """A switch beside which nothing is trained, so that `--data` may be left out."""

    def __init__(self, option_strings: Sequence[str], dest: str, data: argparse.Action, **more: Any) -> None:  # noqa: ANN401
        super().__init__(option_strings, dest, nargs=0, default=False, **more)
        self.data = data

    def __call__(self, parser: Any, namespace: argparse.Namespace, *_: object) -> None:  # noqa: ANN401
        setattr(namespace, self.dest, True)
        self.data.required = False


def run(cli: argparse.Namespace) -> int:
    """Do what was typed and return the exit code."""
    recipe = find_recipe(cli.recipe)
    changes = changes_of(cli) + ([] if cli.label_share is None else [f"fit.label_share={cli.label_share}"])
    if cli.show and cli.data is None:
        say(recipe_text(override(recipe, changes)))
        return DONE
    names = dataset_of(cli.data).names_in(cli.data, cli.classes)
    recipe = override(for_classes(recipe, cli.recipe, len(names)), changes)
    if cli.show:
        say(recipe_text(recipe))
        return DONE
    options = TRAIN.read(cli, names=names, device=cli.device, progress=not cli.quiet)
    _refuse_missing(cli.data, recipe, options)
    from valor.training.log import figure_title
    from valor.training.own import note_unused
    from valor.training.seeds import train_seeds

    if not options.beside:  # one beside it may have them
        note_unused([recipe])
    out = cli.out or Path("runs") / recipe.name
    results = []
    for result in train_seeds(recipe, cli.data, out, options):
        score = f"validation {figure_title(recipe.fit.select_by)} {result.fit.val_score:.2f}"
        say(f"seed {result.seed}: selected epoch {result.fit.best_epoch} with {score}; wrote {result.folder}")
        for name, other in result.beside.items():
            score = f"validation {figure_title(recipe.fit.select_by)} {other.fit.val_score:.2f}"
            say(f"  beside it {name}: selected epoch {other.fit.best_epoch} with {score}; wrote {other.folder}")
        results.append(result)
    _say_scores(results, corrected=options.annotations is not None and (options.annotations / JOURNAL).is_file())
    if results and (words := results[0].provenance.in_words):
        say(f"\nscored on {words}")
    for note in by_drawings(_teachers(results), cli.data):
        say(f"note: {note}")
    return DONE


def _teachers(results: "Sequence[SeedResult]") -> list[Mapping[str, Any]]:
    """Identities of the teachers whose features and labels a run learned from."""
    sources = results[0].provenance.sources if results else {}
    features = [stream.get("teacher") for stream in sources.get("features", {}).values()]
    labels = (sources.get("labels") or {}).get("teachers", {}).values()
    return [one for one in (*features, *labels) if one]


def _say_scores(results: "Sequence[SeedResult]", *, corrected: bool) -> None:
    """The tables of each split that was scored, and below each what is beneath it and how few clips it is of."""
    for split in ("val", "test"):
        scores = [found for result in results if (found := getattr(result, split)) is not None]
        if scores:
            others = {name: [one.decisions[name] for one in results] for name in results[0].decisions}
            known = results[0].provenance
            rows = [(known.marked(SPLIT_TITLES[split]), scores)]
            rows += [(known.marked(DECISIONS[name]), found) for name, found in others.items() if split == "test"]
            anchors = results[0].anchors.get(split, {})
            beneath = [(name, [own]) for name, own in anchors.items()]
            say(f"\n{score_text([*rows, *beneath], beneath)}\n{scores[0].clips:,} clips of {SPLIT_TITLES[split]}")
            for name in scores[0].figures:
                own = [f"{figure:.1f}" for one in scores if (figure := one.figures[name]) is not None]
                say(f"{known.marked(name)}: {', '.join(own) or 'not defined'}")
            mean = fmean(one.segment.type_av for one in scores)
            for name, of in anchors.items():
                if mean < of.segment.type_av:
                    say(f"note: {_ABOVE[name].format(f'{of.segment.type_av:.1f} to {mean:.1f}')}")
            if few := [found for result in results if (found := result.few.get(split)) is not None]:
                of_clips = few_clips(Scores.of_clips(np.mean([one.per_clip for one in few], axis=0)))
                say(f"note: {of_clips}{_CHOSEN * (split == 'val')}{_BEGUN * (corrected and split == 'val')}")


_ABOVE = {
    TAGS: "the tags copied to every second score more in segment Type@AV, {}: they know the true tags and nothing of "
    "when; times of such a parser are not to be relied on, more clips or better labels teach it",
    LABELS: "the labels it learned from score more in segment Type@AV, {}: its teachers, who were told the true tags, "
    "know more of these clips than the parser; hold it against the teachers alone (`valor parse --zero-shot`)",
}
"""What to say where one of those beneath is above."""
_CHOSEN = "; the epoch was chosen on these very clips"
_BEGUN = ", and corrections begin from what was corrected, which flatters that and what learned from it"
"""Both of validation."""


def _refuse_missing(data: Path, recipe: Recipe, options: TrainOptions) -> None:
    """Refuse a folder that lacks features or labels, and say of a row that can be reproduced how to try it without."""
    from valor.training.missing import refuse_missing

    assert options.names is not None  # read before
    try:
        refuse_missing(data, recipe, options.names, labels=options.labels, store=options.store)
    except FileNotFoundError as error:
        tried = f"valor reproduce {recipe.name} --data {data} --simulated"
        hint = f"\n`{tried}` runs it on features of the same shapes that mean nothing" * (recipe.name in PUBLISHED_AS)
        raise FileNotFoundError(f"{error}{hint}") from error


SPLIT_TITLES = {"val": "validation", "test": "test"}
DECISIONS = {TUNED_SCORES: "gates and cuts tuned on val", HALF_SCORES: "both thresholds 0.5"}
"""How the same test predictions are called by other decisions."""
