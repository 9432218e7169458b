"""What a run learned from beside clips and tags, and what of it was chosen on the truth of val.

Recipes, methods and labels say it, a run folder and its score files keep it, and `valor table` has a column for each.
Frozen networks and features that others published are no extra data; a `?` stands behind what nobody says, such as how
the published thresholds of labels were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valor.data.label_file import read_label_facts
from valor.data.provenance import EXTRA, TUNED
from valor.label_harvest.strict_json import as_list, as_object, as_text, loads

from .run_folder import PREDICTIONS, RECIPE

if TYPE_CHECKING:
    from .methods.methods import Methods
    from .recipes import Recipe

EPOCH, LABEL_CUTS, CUTS, GATES = "epoch", "label cuts", "cuts", "gates"
"""What may be chosen on the truth of val: the epoch; thresholds of teachers, of segments and of clips."""

UNSEEN = " ?"
"""Behind what was perhaps chosen so."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Both, in words; None where it is not known, nothing where it is known to be nothing."""

    extra_data: tuple[str, ...] | None = None
    tuned: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, list[str] | None]:
        """Under their keys."""
        told = {EXTRA: self.extra_data, TUNED: self.tuned}
        return {key: None if words is None else list(words) for key, words in told.items()}

    @property
    def of_other_decision(self) -> Facts:
        """The same without what its own decision rests on."""
        own = (CUTS, GATES, CUTS + UNSEEN, GATES + UNSEEN)
        tuned = self.tuned and tuple(word for word in self.tuned if word not in own)
        return Facts(extra_data=self.extra_data, tuned=tuned)

    def and_tuned(self, *words: str) -> Facts:
        """The same with more that was chosen on val; where it is not known what else was, it stays unknown."""
        if self.tuned is None:
            return self
        return Facts(extra_data=self.extra_data, tuned=tuple(dict.fromkeys((*self.tuned, *words))))


def facts_from_json(told: Mapping[str, Any]) -> Facts:
    """What `to_json` gave, from a record that may hold other keys or none of these.

    Raises:
        ValueError: A value is no list of texts.
    """

    def words(key: str) -> tuple[str, ...] | None:
        held = told.get(key)
        return None if held is None else tuple(as_text(word, key) for word in as_list(held, key))

    return Facts(extra_data=words(EXTRA), tuned=words(TUNED))


def facts_beside(path: Path) -> Facts:
    """What a run folder says, given itself or its predictions; not known of other files, and of runs of before."""
    recipe = (path if path.is_dir() else path.parent) / RECIPE
    if not recipe.is_file() or not (path.is_dir() or path.name == PREDICTIONS):
        return Facts()
    try:
        return facts_from_json(as_object(loads(recipe.read_text(encoding="utf-8")), "the file").get("run", {}))
    except (OSError, ValueError) as error:
        raise ValueError(f"{recipe}: expected the recipe of the run, got {error}") from error


def facts_of(recipe: Recipe, methods: Methods, labels: Path | None, beside: Sequence[str] = ()) -> Facts:
    """What a training by this recipe rests on; that it had a share of the tags alone is said with the extra data.

    Args:
        recipe: The recipe; the epoch is always chosen on val.
        methods: Those of the recipe and those that are given as objects.
        labels: Folder of the pseudo labels it reads; None where it reads none.
        beside: Names of the sets that are trained beside it, and whatever else it learns from.
    """
    found = Facts(extra_data=(), tuned=()) if labels is None else _of_labels(labels)
    share = recipe.fit.label_share
    extra = [f"{100 * share:g} % of the tags"] if share < 1 else []
    extra += [*(word for method in methods for word in method.extra_data), *beside]
    tuned = [EPOCH, *(word for method in methods for word in method.tuned)]
    return Facts(
        extra_data=None if found.extra_data is None else _once([*found.extra_data, *extra]),
        tuned=None if found.tuned is None else _once([*tuned, *found.tuned]),
    )


def _of_labels(labels: Path) -> Facts:
    """Labels that were thresholded on the truth of val, by nobody knows what, or made otherwise."""
    told = read_label_facts(labels) or {}
    extra = told.get(EXTRA, [])  # of labels by a trained generator a text
    return facts_from_json(
        {EXTRA: [extra] if isinstance(extra, str) else extra, TUNED: told.get(TUNED, _cuts_of(told))}
    )


def _cuts_of(told: Mapping[str, Any]) -> list[str]:
    """What the thresholds of labels rest on, where labels.json does not say it itself."""
    origin = as_object(told.get("thresholds_from", {}), "thresholds_from")
    if told.get("simulated") or origin.get("criterion") == "tag-rate":
        return []
    return [LABEL_CUTS if origin.get("criterion") is not None else LABEL_CUTS + UNSEEN]


def _once(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
