"""The rows of the bench: which recipe each trains, on which features and labels, and what is published of it.

Three rows are anchors, to which the simulated world is fitted; nothing is fitted to any other. A row is compared with
the anchor it builds on: published minus published against simulated minus simulated. Rows of ours, of which nothing is
published, are compared with their anchor too, and what they are without one of their parts with the whole.
"""

from dataclasses import dataclass, replace

from valor.data.own_files import own_parts

CLASSIC, JOINT = "classic", "clip+clap"
"""Features: VGGish and ResNet with R(2+1)D, or CLAP and CLIP."""

ONE_PAIR, GATES_OF_CLASSES = "one pair", "gates of classes"
"""What a paper chose on val to decide by: one cut and one gate for all, or gates of what is seen by class."""


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
    """The row it is compared with; None of an anchor."""
    labels: str = "teachers"
    """`teachers`, `generator` or `none`, folders of the world."""
    changes: tuple[str, ...] = ()
    """Of the recipe, as a.b=c."""
    chosen_on_val: str = ""
    """ONE_PAIR or GATES_OF_CLASSES; empty where what it decides by was not chosen on val."""
    times: int = 1
    """Epochs of every network, in those of all rows: a control of what is trained for longer."""
    cost: float = 1.0
    """What a layer of the encoder takes for an epoch, in those of `valor`, measured at the small size with all that is
    beside it: what a bench takes is estimated by it."""
    open: str = ""
    """What of the method is not known, or not as published here."""

    @property
    def training(self) -> tuple[object, ...]:
        """What its runs depend on besides the world and the seed."""
        return self.recipe, self.features, self.labels, self.changes, self.times


_OURS = "ours, without a published row"

_PARTS = {
    "in one round": ("methods.rounds=off", "fit.epochs=60"),
    "without mix-up": ("methods.uwav.mixup_alpha=0",),
    "without class balance": ("methods.uwav.class_balance=0",),
    "by its parser alone": ("methods.rounds.audio=0",),
    "trusting what is seen": ("methods.rounds.visual=2",),
    "in three rounds": ("methods.rounds.rounds=3", "fit.epochs=180"),
}
"""What was tried of the parts of ours: one less, one changed, or one more."""


def _part(*changes: str, times: int = 1, cost: float = 1.2) -> BenchRow:
    whole = BenchRow(recipe="rounds++", features=JOINT, published=None, over="rounds++")
    return replace(whole, changes=changes, times=times, cost=cost)


ROWS: dict[str, BenchRow] = {
    "han": BenchRow(recipe="han", features=CLASSIC, published="HAN", over=None, labels="none", cost=1.2),
    "valor": BenchRow(recipe="valor", features=CLASSIC, published="VALOR", over=None),
    "valor++": BenchRow(recipe="valor++", features=JOINT, published="VALOR++", over=None),
    #
    "jomold": BenchRow(recipe="jomold", features=CLASSIC, published="JoMoLD", over="han", labels="none", cost=1.5),
    "cmpae": BenchRow(
        recipe="cmpae",
        features=CLASSIC,
        published="CMPAE",
        over="han",
        labels="none",
        chosen_on_val=GATES_OF_CLASSES,
        cost=1.8,
        open="noise ratios as shipped, of LLP itself",
    ),
    "coleaf": BenchRow(
        recipe="coleaf",
        features=CLASSIC,
        published="CoLeaF",
        over="han",
        labels="none",
        chosen_on_val=ONE_PAIR,
        cost=4.0,
        open="noise ratios as shipped, of LLP itself",
    ),
    "ppl": BenchRow(
        recipe="ppl",
        features=CLASSIC,
        published="PPL",
        over="han",
        labels="none",
        cost=1.1,
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
        cost=3.3,
        open="label vectors drawn, with look-alikes close",
    ),
    "mug": BenchRow(
        recipe="mug",
        features=CLASSIC,
        published="MUG",
        over="valor",
        cost=2.0,
        open="its network is not described, nor the features of its row",
    ),
    "uwav": BenchRow(recipe="uwav", features=CLASSIC, published="UWAV", over="valor", labels="generator", cost=1.1),
    "rounds": BenchRow(recipe="rounds", features=CLASSIC, published=None, over="valor", cost=1.3, open=_OURS),
    #
    "nrep": BenchRow(recipe="nrep", features=JOINT, published="NREP", over="valor++", chosen_on_val=ONE_PAIR, cost=1.7),
    "mm-cse": BenchRow(
        recipe="mm-cse",
        features=JOINT,
        published=None,
        over="valor++",
        cost=12.0,
        open="its row was not seen, its training guessed",
    ),
    "uwav++": BenchRow(
        recipe="uwav++", features=JOINT, published="UWAV, CLIP and CLAP", over="valor++", labels="generator", cost=1.1
    ),
    "rounds++": BenchRow(recipe="rounds++", features=JOINT, published=None, over="valor++", cost=1.2, open=_OURS),
    "rounds++ with extra data": BenchRow(
        recipe="rounds++", features=JOINT, published=None, over="valor++", labels="generator", cost=1.2, open=_OURS
    ),
    "rounds-mm-cse": BenchRow(
        recipe="rounds-mm-cse", features=JOINT, published=None, over="valor++", cost=12.0, open=_OURS
    ),
    "valor++ twice as long": BenchRow(recipe="valor++", features=JOINT, published=None, over="valor++", times=2),
    #
    **{f"rounds++ {name}": _part(*changes) for name, changes in _PARTS.items()},
    "rounds++ with recombined clips": _part("methods.mug=on", cost=2.1),
    "rounds++ in one long round": _part(*_PARTS["in one round"], times=2),
    "mm-cse in two rounds": BenchRow(
        recipe="rounds-mm-cse", features=JOINT, published=None, over="mm-cse", cost=12.0, open=_OURS
    ),
    "mm-cse twice as long": BenchRow(
        recipe="mm-cse", features=JOINT, published=None, over="mm-cse", times=2, cost=12.0
    ),
}
"""The rows by name, the anchors first."""

ROWS |= {
    f"{name} twice as long": replace(ROWS[name], over=name, published=None, times=2, open="")
    for name in ("leap", "uwav", "nrep")
}  # what the short trainings of the small size cost the methods that do worst on it

ANCHORS = tuple(name for name, row in ROWS.items() if row.over is None)
"""What is fitted, in the order it is fitted in."""


PARTS = tuple(name for name, row in ROWS.items() if row.over is not None and row.over not in ANCHORS or row.times > 1)
"""Rows that say what a part of ours or more epochs are worth, trained where they are asked for by name."""


def with_anchors(names: tuple[str, ...]) -> tuple[str, ...]:
    """Rows with those they are compared with, and these with theirs, in the order of ROWS."""
    wanted: set[str | None] = {*names}
    while more := {ROWS[name].over for name in wanted if name} - wanted:
        wanted |= more
    return tuple(name for name in ROWS if name in wanted)


def trained_as(name: str) -> str:
    """The row whose runs are those of a row: itself, or the first in ROWS that is the same training."""
    return next(other for other in ROWS if ROWS[other].training == ROWS[name].training)


def own_rows() -> dict[str, BenchRow]:
    """A row over VALOR++ for each part of loaded files, at its defaults."""
    alike = replace(ROWS["valor++"], published=None, over="valor++", open="your own")
    return {f"valor++ with {part.title}": replace(alike, changes=(part.change,)) for part in own_parts()}
