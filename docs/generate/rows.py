"""Recipes with what they change and what they claim, and the published rows with their sources."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from valor.data.datasets.dataset import DATASETS, DataSet
from valor.eval.scores import FIGURES, LEVELS
from valor.experiments.llp_rows import LLP_ROWS, LlpRow
from valor.label_harvest.strict_json import loads
from valor.scoring.published import RECALLED, PublishedRow, read_published
from valor.training.methods.methods import METHODS
from valor.training.recipe import Recipe
from valor.training.recipes import RECIPES

from .markdown import code, prose, table

UP = "../"
NOTHING = "–"
TITLES = dict(zip(FIGURES, ("A", "V", "AV", "Type@AV", "Event@AV"), strict=True))


def pages() -> dict[str, str]:
    """The recipes, and the published rows of each data set that has some."""
    return {"recipes.md": _recipes(), "published.md": _published()}


def _recipes() -> str:
    known = {row.method: row for row in read_published().rows}
    figures = ("published row", "segment Type@AV", "event Type@AV")
    columns = ["recipe", *figures, "recipe from", "extra data", "minutes", "GB"]
    rows = [_llp_row(name, row, known.get(row.published or "")) for name, row in LLP_ROWS.items()]
    parts = [
        "# Recipes",
        "What [`valor train`](commands/train.md) takes by name, and what [`valor reproduce`](commands/reproduce.md) "
        "compares with a published row. **None of the published scores has been reproduced with this code yet**: "
        "features, weights and a GPU were not to be had where it was written.",
        "## Rows of LLP and what they cost",
        "Published figures are of the LLP test split. Minutes are those of one training on two CPU cores, from "
        "measured steps (a dash: not timed); GB are the features in memory. The published table with its sources is on "
        "[its own page](published.md).",
        table(columns, rows, right=(2, 3, 6, 7)),
        "## All of them",
        "Beside each name stands what it changes of the [defaults](options.md), as `--set` would.",
    ]
    parts += [_recipe(name, recipe) for name, recipe in RECIPES.items()]
    return "\n\n".join(parts) + "\n"


def _llp_row(name: str, row: LlpRow, entry: PublishedRow | None) -> list[str]:
    of = FIGURES.index("type_av")
    figures = [NOTHING, NOTHING]
    if entry is not None:
        both = (entry.sourced[of], entry.sourced[len(FIGURES) + of])
        figures = [NOTHING if figure is None else f"{figure:.1f}" for figure in both]
    methods = [word for method in RECIPES[name].methods for word in METHODS[method].extra_data]
    extra = methods if entry is None else entry.extra_data
    return [
        f"`{name}`",
        prose(row.published or (f"none; beside {', '.join(row.beside)}" if row.beside else "none")),
        *figures,
        prose(row.source),
        "not stated" if extra is None else prose(", ".join(extra) or "none"),
        NOTHING if row.minutes is None else f"{row.minutes:.0f}",
        f"{row.gigabytes:.1f}",
    ]


def _recipe(name: str, recipe: Recipe) -> str:
    changes = " ".join(f"`{change}`" for change in _changes(recipe)) or "nothing"
    return f"### {name}\n\n{prose(recipe.note, UP)}\n\nChanges: {changes}."


def _changes(recipe: Recipe) -> list[str]:
    """Options that are not as a recipe has them that says nothing but its name."""
    plain = _flat(asdict(Recipe(name="plain")))
    changed = {name: value for name, value in _flat(asdict(recipe)).items() if plain.get(name, ...) != value}
    return [f"{name}={_typed(value)}" for name, value in changed.items() if name not in ("name", "note", "methods")]


def _typed(value: Any) -> str:  # noqa: ANN401
    """A value as it is typed."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else "on" if value else "off"
    if isinstance(value, Mapping):  # a method without options of its own
        return "on"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found


def _published() -> str:
    parts = [
        "# Published rows",
        "Figures as papers print them, in percent, with where they were read. `valor table RUN --published` shows "
        "those of LLP beside your own runs. *Confidence* is `seen` (read in the source), `second-hand` (in a third "
        "party's account alone) or `computed` (from the annotation tables). Figures known from memory alone are none.",
    ]
    for dataset in DATASETS.values():
        if dataset.published is not None:
            parts += [f"## {dataset.title}", *_rows_of(dataset)]
    return "\n\n".join(parts) + "\n"


def _rows_of(dataset: DataSet) -> list[str]:
    """The rows of a data set, and what the short names of their sources mean."""
    published = read_published(dataset)
    text = loads(dataset.published.read_text(encoding="utf-8")) if dataset.published else {}
    known = [row for row in published.rows if any(figure is not None for figure in row.figures)]
    shown = [row for row in known if row.confidence != RECALLED]
    recalled = [prose(row.title) for row in known if row.confidence == RECALLED]
    names = [f"{level} {TITLES[figure]}" for level in LEVELS for figure in FIGURES]
    used = [at for at in range(len(names)) if any(row.figures[at] is not None for row in shown)]
    metrics = list(dict.fromkeys(metric for row in shown for metric in row.metrics))
    columns = ["method", "features", *(names[at] for at in used), *metrics, "read in", "confidence"]
    rows = []
    for row in shown:
        own = dict(zip(row.metrics, row.figures[len(names) :], strict=True))
        figures = [*(row.figures[at] for at in used), *(own.get(metric) for metric in metrics)]
        said = [NOTHING if figure is None else f"{figure:.2f}".removesuffix("0") for figure in figures]
        read = prose(", ".join(row.sources)) or NOTHING
        rows.append([prose(row.title), prose(row.features), *said, read, row.confidence])
    sources = [f"{code(name)}\n: {prose(str(about), UP)}" for name, about in text.get("sources", {}).items()]
    right = range(2, len(columns) - 2)
    rest = (
        [f"Figures of these were in no source at hand, and are not shown: {', '.join(recalled)}."] if recalled else []
    )
    return [prose(str(text.get("about", ""))), table(columns, rows, right), *rest, "**Sources**", *sources]
