"""The rows of the bench: which recipe each trains, on which features and labels, and what is published of it.

Three rows are anchors, to which the simulated world is fitted; nothing is fitted to any other. A row is compared with
the anchor it builds on: published minus published against simulated minus simulated.
"""

from dataclasses import dataclass

CLASSIC, JOINT = "classic", "clip+clap"
"""Features: VGGish and ResNet with R(2+1)D, or CLAP and CLIP."""


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One method on the bench."""

    recipe: str
    """A key of `valor.training.recipes.RECIPES`."""
    features: str
    """CLASSIC or JOINT."""
    published: str | None
    """The method published_scores.json lists it as; None where its figures were not seen."""
    over: str | None
    """The anchor it is compared with; None of an anchor."""
    labels: str = "teachers"
    """`teachers`, `generator` or `none`, folders of the world."""
    changes: tuple[str, ...] = ()
    """Of the recipe, as a.b=c."""
    open: str = ""
    """What of the method is not known, or not as published here."""


ROWS: dict[str, BenchRow] = {
    "han": BenchRow(recipe="han", features=CLASSIC, published="HAN", over=None, labels="none"),
    "valor": BenchRow(recipe="valor", features=CLASSIC, published="VALOR", over=None),
    "valor++": BenchRow(recipe="valor++", features=JOINT, published="VALOR++", over=None),
    #
    "jomold": BenchRow(recipe="jomold", features=CLASSIC, published="JoMoLD", over="han", labels="none"),
    "cmpae": BenchRow(
        recipe="cmpae",
        features=CLASSIC,
        published="CMPAE",
        over="han",
        labels="none",
        open="noise ratios as shipped, of LLP itself; published behind gates tuned on val",
    ),
    "coleaf": BenchRow(
        recipe="coleaf",
        features=CLASSIC,
        published="CoLeaF",
        over="han",
        labels="none",
        open="noise ratios as shipped, of LLP itself",
    ),
    "ppl": BenchRow(
        recipe="ppl",
        features=CLASSIC,
        published="PPL",
        over="han",
        labels="none",
        open="its formulas were not to be had",
    ),
    "vplan": BenchRow(
        recipe="valor",
        features=CLASSIC,
        published="VPLAN",
        over="valor",
        changes=("methods.vplan=on",),
        open="its strength was not to be had, and its labels are VALOR's here",
    ),
    "leap": BenchRow(
        recipe="leap",
        features=CLASSIC,
        published="LEAP, MM-Pyramid encoder",
        over="valor",
        open="label vectors drawn, with look-alikes close",
    ),
    "mug": BenchRow(
        recipe="mug",
        features=CLASSIC,
        published="MUG",
        over="valor",
        open="its network is not described, nor the features of its row",
    ),
    "uwav": BenchRow(recipe="uwav", features=CLASSIC, published="UWAV", over="valor", labels="generator"),
    #
    "nrep": BenchRow(recipe="nrep", features=JOINT, published="NREP", over="valor++"),
    "mm-cse": BenchRow(
        recipe="mm-cse",
        features=JOINT,
        published=None,
        over="valor++",
        open="its row was not seen, its training guessed",
    ),
    "uwav++": BenchRow(
        recipe="uwav++", features=JOINT, published="UWAV, CLIP and CLAP", over="valor++", labels="generator"
    ),
}
"""The rows by name, the anchors first."""

ANCHORS = tuple(name for name, row in ROWS.items() if row.over is None)
"""What is fitted, in the order it is fitted in."""


def with_anchors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Rows with those they are compared with, in the order of ROWS."""
    wanted = {*names, *(ROWS[name].over for name in names)}
    return tuple(name for name in ROWS if name in wanted)
