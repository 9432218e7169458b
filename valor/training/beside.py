"""Data sets that train one encoder together: read, made ready, and given to `valor.training.cotrain`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valor.data.datasets.dataset import dataset_of
from valor.data.provenance import unlike_teachers

from .cotrain import TrainedSet, cotrain
from .options import TrainOptions
from .own import refuse_changed
from .recipes import Recipe
from .run import RunSets, begun_with, marked_recipe, pick_device, prepared, read_run_sets
from .train import FitResult

BESIDE = "beside"
"""Folder of the run folders of the other sets, in that of the first."""


@dataclass(frozen=True, eq=False)
class Beside:
    """One of the sets."""

    name: str
    recipe: Recipe
    """With the widths and classes of this set."""
    sets: RunSets
    folder: Path = Path()
    """Its run folder."""


def read_beside(recipe: Recipe, options: TrainOptions) -> list[Beside]:
    """Read the sets that are to be trained beside the one of a recipe.

    Args:
        recipe: Of the first set; others take its features, their own widths and classes.
        options: Name them.

    Raises:
        ValueError: The recipe cannot share its encoder, or a set has other features or cannot be read; names the set.
    """
    if not options.beside:
        return []
    has = {f"methods.{name}": True for name in recipe.methods}
    has |= {"parser.head=words": recipe.parser.head != "rows", "fit.also_on_test": recipe.fit.also_on_test}
    has |= {"fit.encoder_rate": recipe.fit.encoder_rate != 1}
    if named := [one for one, is_there in has.items() if is_there]:
        raise ValueError(f"a training beside other sets goes without {named[0]}; switch it off")
    found = []
    for name, folder in options.beside.items():
        labels = options.beside_labels.get(name, folder / "labels" if (folder / "labels").is_dir() else None)
        try:
            names = dataset_of(folder).names_in(folder)
            sets = read_run_sets(
                replace(recipe, parser=replace(recipe.parser, num_classes=len(names))),
                folder,
                labels=labels,
                allow_random_teachers=options.allow_random_teachers,
                test=options.test,
                any_widths=True,
            )
            widths: dict[str, Any] = {**sets.train.widths()}
            own = replace(recipe, parser=replace(recipe.parser, **widths))
        except (ValueError, FileNotFoundError) as error:
            raise ValueError(f"beside {name}={folder}: {error}") from error
        found.append(Beside(name, marked_recipe(own, sets), sets))
    return found


def named_beside(whole: Sequence[Beside]) -> list[Beside]:
    """The sets, each knowing the names of the others.

    Raises:
        ValueError: Two have one name.
    """
    names = [one.name for one in whole]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"beside must name other sets than the data, which is called {twice.pop()}, too")
    return [
        replace(one, sets=replace(one.sets, beside=tuple(name for name in names if name != one.name))) for one in whole
    ]


def _refuse_other_teachers(whole: Sequence[Beside]) -> None:
    """Refuse features that would go through one stem though they lie in different spaces."""
    (first, *others), streams = whole, ("audio", "visual", "motion")
    widths = {one.name: one.sets.train.widths() for one in whole}
    made = {one.name: one.sets.provenance.sources.get("features", {}) for one in whole}
    for other in others:
        if all(widths[other.name][f"{stream}_width"] == widths[first.name][f"{stream}_width"] for stream in streams):
            for stream in streams:
                if named := unlike_teachers(made[first.name].get(stream), made[other.name].get(stream)):
                    raise ValueError(
                        f"beside {other.name}: its {stream} features were made by {named[1]}, those of {first.name} by "
                        f"{named[0]}, and would go through one stem; harvest both with the same teacher"
                    )


def train_together(whole: Sequence[Beside], *, device: str = "auto", progress: bool = True) -> Mapping[str, FitResult]:
    """Train the sets beside one another.

    Args:
        whole: The first one's encoder is that of all.
        device: As in `valor.training.run.train_run`.
        progress: Whether to show a progress bar on stderr.

    Raises:
        ValueError: They cannot share an encoder, features of one width are of unlike teachers, or the first folder
            holds another training.
    """
    _refuse_other_teachers(whole)
    where = pick_device(device)
    trained = []
    for one in whole:
        refuse_changed(one.recipe, begun_with(one.folder), one.folder)
        ready = prepared(one.recipe, one.sets, where)
        trained.append(
            TrainedSet(
                name=one.name,
                parser=ready.parser,
                train=ready.train,
                val=ready.val,
                options=one.recipe.fit,
                out=one.folder,
                recipe=ready.description,
            )
        )
    return cotrain(trained, progress=progress)
