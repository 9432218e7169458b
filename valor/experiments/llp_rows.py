"""The rows of LLP that can be reproduced: what each claims, where its recipe is from, and what it costs.

Features, extra data and what is tuned on val are not said here twice: recipes and published rows say them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from valor.data.datasets.dataset import LLP
from valor.data.features.feature_options import STREAMS
from valor.training.methods.methods import Methods
from valor.training.recipes import RECIPES

if TYPE_CHECKING:
    from valor.scoring.published import PublishedRow


@dataclass(frozen=True, kw_only=True)
class LlpRow:
    """A row by its recipe."""

    published: str | None
    """The method published_scores.json lists it as; None where no row is claimed."""
    source: str
    """Where the recipe is from, and what is open in it."""
    beside: tuple[str, ...] = ()
    """Published methods it stands beside where it claims no row, what it changes first."""
    minutes: float
    """Of one training at LLP's size on two idle CPU cores, reckoned: steps times the seconds of one (docs/methods.md);
    those of HAN, MUG, PPL and rounds by the ratio of one step to VALOR's, uwav++ as uwav. Features and labels, those
    of UWAV's generator too, are there before."""
    gigabytes: float
    """Of features in memory."""


OURS = "ours"
"""In the place of a source, and of the published row there is none of."""

LLP_ROWS: dict[str, LlpRow] = {
    "valor": LlpRow(published="VALOR", source="its code", minutes=19, gigabytes=1.1),
    "valor+": LlpRow(published="VALOR+", source="its code", minutes=25, gigabytes=1.1),
    "valor++": LlpRow(published="VALOR++", source="its code", minutes=28, gigabytes=0.8),
    "han": LlpRow(published="HAN", source="its code", minutes=15, gigabytes=1.1),
    "jomold": LlpRow(published="JoMoLD", source="its code", minutes=24, gigabytes=1.1),
    "cmpae": LlpRow(published="CMPAE", source="its code", minutes=29, gigabytes=7.1),
    "coleaf": LlpRow(published="CoLeaF", source="its code", minutes=21, gigabytes=7.1),
    "nrep": LlpRow(published="NREP", source="its code", minutes=58, gigabytes=2.5),
    "uwav": LlpRow(published="UWAV", source="its code", minutes=246, gigabytes=1.1),
    "uwav++": LlpRow(published="UWAV, CLIP and CLAP", source="its code; script open", minutes=240, gigabytes=0.6),
    "leap": LlpRow(published="LEAP, MM-Pyramid encoder", source="its code", minutes=188, gigabytes=1.1),
    "mm-cse": LlpRow(published=None, source="its code; training open", beside=("VALOR++",), minutes=527, gigabytes=0.8),
    "mug": LlpRow(published=None, source="a summary; network open", beside=("VALOR", "MUG"), minutes=38, gigabytes=2.2),
    "rounds": LlpRow(published=None, source=OURS, beside=("VALOR", "PPL", "UWAV"), minutes=38, gigabytes=1.1),
    "rounds++": LlpRow(
        published=None, source=OURS, beside=("VALOR++", "NREP", "UWAV, CLIP and CLAP"), minutes=56, gigabytes=0.8
    ),
    "rounds-mm-cse": LlpRow(
        published=None, source=OURS, beside=("VALOR++", "NREP", "UWAV, CLIP and CLAP"), minutes=1055, gigabytes=0.8
    ),
    "ppl": LlpRow(
        published=None, source="three clauses; all else open", beside=("HAN", "PPL"), minutes=18, gigabytes=1.1
    ),
}
"""The rows by name."""


def list_rows() -> str:
    """All of them as a table, for people."""
    from valor.eval.tables import Sheet
    from valor.scoring.layout import FACT_TITLES
    from valor.scoring.published import read_published

    known = {row.method: row for row in read_published(LLP).rows}
    rows = [_line(name, row, known) for name, row in LLP_ROWS.items()]
    facts = list(FACT_TITLES.values())
    columns = ["row", "published", "Type@AV", "event", "features", "recipe from", *facts, "minutes", "GB"]
    unseen = [row.published for row in LLP_ROWS.values() if row.published and not any(known[row.published].sourced)]
    cost = "\n\nminutes: one training on two idle CPU cores, reckoned from measured steps; on a GPU none was measured"
    note = f"\nno source of the figures of {', '.join(unseen)} was seen: none are shown" * bool(unseen)
    return Sheet(columns=columns, rows=rows, left=(0, 1, 4, 5, 6, 7)).to_text() + cost + note


def _line(name: str, row: LlpRow, known: dict[str, PublishedRow]) -> list[str]:
    """One row: extra data and tuning as the published row says them, else as the recipe does."""
    from valor.scoring.layout import MISSING

    entry = known.get(row.published or "")
    recipe = RECIPES[name]
    methods = Methods(recipe.methods)
    wants_labels = bool(recipe.fit.pseudo_label_weight)
    extra = [word for method in methods for word in method.extra_data] if entry is None else entry.extra_data
    tuned = ["epoch", *["label cuts ?"] * wants_labels] if entry is None else entry.tuned
    figures = (None, None) if entry is None else _type_av(entry)
    kinds = [kind for stream in STREAMS if (kind := getattr(recipe.features, stream))]
    features = " ".join(kinds) + (", unfolded" if recipe.features.unfolded else "")
    return [
        name,
        row.published or (OURS if row.source == OURS else MISSING),
        *(MISSING if figure is None else f"{figure:.1f}" for figure in figures),
        features,
        row.source,
        *(_words(held) for held in (extra, tuned)),
        f"{row.minutes:.0f}",
        f"{row.gigabytes:.1f}",
    ]


def _type_av(entry: PublishedRow) -> tuple[float | None, float | None]:
    from valor.eval.scores import FIGURES

    at = FIGURES.index("type_av")
    return entry.sourced[at], entry.sourced[len(FIGURES) + at]


def _words(held: Sequence[str] | None) -> str:
    from valor.scoring.row import NOTHING

    return "not stated" if held is None else ", ".join(held) or NOTHING
