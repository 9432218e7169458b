"""What a bench of clips without tags trains: each arm at each share of the tags as a recipe.

All arms take as many steps, on the same tagged clips of a seed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from valor.parsers.pretraining.registry import OBJECTIVES, objective_class
from valor.training.options import FitOptions
from valor.training.override import tree_of, updated
from valor.training.pool import NAME as POOL
from valor.training.recipes import Recipe, override
from valor.training.run import RunSets
from valor.training.share import share_rows

from .options import OF_POOL, OF_ROUNDS, TIME_CODES, PretrainBenchOptions, base_of, own_changes

CODES = "parser.time_codes=0.5"
"""What a parser needs for an objective that needs an order, where the recipe has none."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm at one share."""

    arm: str
    share: float
    tagged: int
    """Clips that keep their tags."""
    others: int
    """Clips without tags that take part."""
    recipe: Recipe

    @property
    def folder(self) -> str:
        """Its place below `runs`."""
        return f"{100 * self.share:g}-percent/{folder_of(self.arm)}"

    @property
    def name(self) -> str:
        """As messages call it."""
        return f"{100 * self.share:g} %, {self.arm}"


def folder_of(arm: str) -> str:
    """An arm as the name of a folder."""
    return arm.replace(":", ",")


def epochs_for(steps: int, clips: int, fit: FitOptions) -> int:
    """Epochs of so many clips that come nearest to a number of steps; 1 at least."""
    return max(1, round(steps / fit.steps_of_epoch(clips)))


def recipe_of(arm: str, share: float, recipe: Recipe, clips: tuple[int, int], options: PretrainBenchOptions) -> Recipe:
    """The recipe of an arm.

    Args:
        arm: A key of `ARMS`.
        share: Of the tagged clips.
        recipe: What it changes something of.
        clips: How many are tagged, and how many are not.
        options: Steps and rounds. An epoch has as many steps as if all clips had their tags, so that every training is
            validated as often; the warm-up takes the same part of each, as far as epochs allow.
    """
    tagged, others = clips
    steps = options.whole_steps if share == 1 else options.steps
    changes = [f"fit.label_share={share}", f"fit.epoch_steps={recipe.fit.steps_of_epoch(round(tagged / share))}"]
    fit = override(recipe, changes).fit
    first = epochs_for(steps, tagged, fit)
    length = epochs_for(steps, tagged + (others if arm in OF_POOL else 0), fit)
    if arm in OF_POOL and others:
        changes.append(f"methods.{POOL}=on")
    epochs = length
    if arm in OF_ROUNDS:
        later = arm == "self-training" and others
        epochs = (first if later else length) + options.rounds * length
        changes += [f"methods.rounds.rounds={options.rounds + 1}", "methods.rounds.keep=best"]
        changes += [f"methods.rounds.first_epochs={first}", "methods.rounds.tagged_first=true"] if later else []
    shortest = min(length, first if arm == "self-training" else length)
    warmup = min(round(recipe.fit.warmup_epochs / recipe.fit.epochs * shortest), shortest - 1)
    return override(recipe, [*changes, f"fit.epochs={epochs}", f"fit.warmup_epochs={warmup}"])


def with_control(options: PretrainBenchOptions, recipe: Recipe) -> PretrainBenchOptions:
    """With the arm of time codes where an objective gets a parser with these."""
    for arm in options.arms:
        if base_of(arm) in OBJECTIVES:  # an option that there is not is refused before anything is trained
            options_of = objective_class(base_of(arm)).Options()
            updated(options_of, tree_of(own_changes(arm)).get("objective", {}), "objective.")
    asked = any(_needs_codes(arm, recipe) for arm in options.arms)
    return replace(options, arms=(*options.arms, TIME_CODES)) if asked else options


def recipe_for(arm: str, recipe: Recipe) -> Recipe:
    """The recipe an arm changes something of: with time codes where it needs them."""
    return override(recipe, [CODES]) if _needs_codes(arm, recipe) else recipe


def _needs_codes(arm: str, recipe: Recipe) -> bool:
    base = base_of(arm)
    wants = base == TIME_CODES or (base in OBJECTIVES and objective_class(base).needs_order)
    return wants and not recipe.parser.says_when


def is_coded(cell: Cell) -> bool:
    """Whether it begins with an objective that needs an order."""
    base = base_of(cell.arm)
    return base in OBJECTIVES and objective_class(base).needs_order


def cell_of(
    arm: str,
    share: float,
    recipe: Recipe,
    clips: tuple[int, int],
    options: PretrainBenchOptions,
    of_methods: Sequence[str] = (),
) -> Cell:
    """An arm at a share; arguments as of `recipe_of`.

    Args:
        arm: One of the bench, with its own options.
        share: Of the tagged clips.
        recipe: Of the bench.
        clips: How many are tagged, and how many are not.
        options: Of the bench.
        of_methods: Changes for the arms that have the method.
    """
    base, (tagged, others) = base_of(arm), clips
    own = [] if base in OBJECTIVES else own_changes(arm)

    def made(others: int) -> Recipe:
        held = recipe_of(base, share, recipe_for(arm, recipe), (tagged, others), options)
        return override(held, [change for change in (*of_methods, *own) if _method_of(change) in held.methods])

    held = made(others)
    if POOL in held.methods and (part := held.methods[POOL].share) < 1:
        others = max(1, round(part * others))
        held = made(others)
    return Cell(arm=arm, share=share, tagged=tagged, others=others if base in OF_POOL else 0, recipe=held)


def cells_of(
    recipe: Recipe, sets: RunSets, options: PretrainBenchOptions, of_methods: Sequence[str]
) -> tuple[list[Cell], dict[str, str]]:
    """The arms at the shares, and why some are not trained."""
    cells, left_out = list[Cell](), dict[str, str]()
    for share in options.shares:
        tagged, others = len(_kept(sets, share, recipe)), others_of(sets, share, recipe)
        for arm in options.arms:
            place = f"{100 * share:g} %, {arm}"
            if base_of(arm) in OF_POOL and not others:
                left_out[place] = "every clip of the stores is tagged or annotated"
            elif arm == TIME_CODES and recipe.parser.says_when:
                left_out[place] = "the parser of every arm knows the order of seconds"
            else:
                cells.append(cell_of(arm, share, recipe, (tagged, others), options, of_methods))
    return cells, left_out


def others_of(sets: RunSets, share: float, recipe: Recipe) -> int:
    """Clips of the stores that have no tags at a share, with the seed of the recipe."""
    assert sets.pool is not None  # asked for
    return len({*sets.pool.clips.clip_ids} - _kept(sets, share, recipe))


def _kept(sets: RunSets, share: float, recipe: Recipe) -> set[str]:
    return {sets.train.clip_ids[row] for row in share_rows(len(sets.train), share, recipe.fit.seed)}


def _method_of(change: str) -> str:
    return re.split(r"[.=]", change.strip())[1]
