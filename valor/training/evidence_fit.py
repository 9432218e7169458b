"""What a recipe can be trained on where a store holds other features than it takes: other recipes, or its options."""

from collections.abc import Mapping, Sequence

from valor.data.features.feature_options import FeatureOptions
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.shards import read_json
from valor.label_harvest.store.store import AbsentArraysError, read_shards, store_folder, store_manifest

from .recipes import RECIPES, Recipe

_STANDS_IN = {"audio": "audio.embedding", "visual": "visual.embedding"}
"""What every teacher that judges gives for a stream, whatever else it gives."""


def with_hint(error: AbsentArraysError, recipe: Recipe, store: Place) -> ValueError:
    """The error of a store without the features a recipe takes, with what can be trained on those it has.

    Args:
        error: What reading it raised.
        recipe: That was to be trained.
        store: Whose features were read.
    """
    widths = _widths(store, error.held)
    fitting = ", ".join(name for name, other in RECIPES.items() if _fits(other, recipe, widths))
    makers = store_manifest(store_folder(store)).get("teachers", {}).values()
    by = " and ".join(dict.fromkeys(str(teacher["teacher"]) for teacher in makers if "teacher" in teacher))
    ways = [f"train one of the recipes that take what it holds ({fitting})"] if fitting else []
    if changes := _changes(recipe.features, widths):
        ways.append(f"give {recipe.name} other features: {' '.join(changes)}")
    if not ways:
        return ValueError(str(error))
    return ValueError(f"{recipe.name} does not take what {by or 'this store'} made; {', or '.join(ways)} ({error})")


def _widths(store: Place, held: Sequence[str]) -> dict[str, int]:
    """Width of each array of segments, of one shard."""
    names = [name for name in held if not name.endswith((".similarity", ".map", ".folded"))]
    grid = read_json(store_folder(store) / "manifest.json")["grid"]
    shard = next(iter(read_shards(store_folder(store), names=names)))
    whole = {name: array for name, array in shard.arrays.items() if array.ndim == 3}  # noqa: PLR2004, [N, T, D]
    return {
        name: array.shape[2]
        for name, array in whole.items()
        if shard.segments is not None or array.shape[1] == grid["num_segments"]
    }


def _fits(other: Recipe, recipe: Recipe, widths: Mapping[str, int]) -> bool:
    """Whether a recipe takes what is held, as wide as it is, and learns as the other from labels of one sort."""
    streams = {name: getattr(other.features, name) for name in ("audio", "visual", "motion")}
    return (
        all(widths.get(kind) == getattr(other.parser, f"{name}_width") for name, kind in streams.items() if kind)
        and bool(other.fit.pseudo_label_weight) == bool(recipe.fit.pseudo_label_weight)
        and other.parser.num_classes in (recipe.parser.num_classes, RECIPES["demo"].parser.num_classes)
        and not other.methods
    )


def _changes(features: FeatureOptions, widths: Mapping[str, int]) -> list[str]:
    """Changes by which a recipe takes the embeddings of a store; none where one is not held."""
    taken = {
        stream: kind if (kind := getattr(features, stream)) in widths else other for stream, other in _STANDS_IN.items()
    }
    if not set(taken.values()) <= widths.keys():
        return []
    changes = [
        change
        for stream, kind in taken.items()
        for change in (f"features.{stream}={kind}", f"parser.{stream}_width={widths[kind]}")
    ]
    keeps_motion = features.motion is None or features.motion in widths
    return changes if keeps_motion else [*changes, "features.motion=none", "parser.motion_width=0"]
