"""Where the evidence store of a run lay, noted in its folder, so that whoever uses the run need not name it again.

The note is a path of the machine that trained and no part of the run: what is read from there is held against the
fingerprint that the run was trained on.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from valor.data.features.feature_options import STREAMS, FeatureOptions, evidence_in
from valor.label_harvest.disk import replaced
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.store import NoStoreError, store_manifest

from .run_folder import RECIPE, STORE_NOTE


def note_store(run: Path, store: Place | None) -> None:
    """Note the store that a run was told to read; nothing of one whose evidence lies among its data, or none begun.

    Args:
        run: The run folder.
        store: As it was given.
    """
    if store is None or not (run / RECIPE).is_file():
        return
    with replaced(run / STORE_NOTE) as temporary:
        temporary.write_text(f"{store.resolve() if isinstance(store, Path) else store}\n", encoding="utf-8")


def store_of_run(run: Path, recipe: Mapping[str, Any], features: FeatureOptions, data: Path) -> Place | None:
    """The store a run finds its features in, where none is given: that among the data, else the one it was trained on.

    Args:
        run: The run folder.
        recipe: Of its checkpoint.
        features: Which kinds it takes.
        data: Folder of the annotation tables and the features.

    Returns:
        None for what `evidence_in` finds.

    Raises:
        ValueError: There is none among the data, and the run's own is not known, not there or another by now.
    """
    kinds = [getattr(features, stream) or "" for stream in STREAMS]
    if not any("." in kind for kind in kinds):
        return None
    try:
        store_manifest(evidence_in(data, None))
    except NoStoreError:
        return _own_store(run, recipe, data)
    return None


def _own_store(run: Path, recipe: Mapping[str, Any], data: Path) -> Place:
    """The store that a run was trained on."""
    sources = recipe.get("run", {}).get("sources", {}).get("features", {})
    prints = {one["fingerprint"] for one in sources.values() if "fingerprint" in one}
    named = f" of fingerprint {min(prints)[:12]}" if prints else ""
    where, found = "", None
    with suppress(OSError):
        where = (run / STORE_NOTE).read_text(encoding="utf-8").strip()
    if where:
        with suppress(ValueError, OSError):
            found = store_manifest(place_of(where))["fingerprint"]
    if found is not None and (not prints or found in prints):
        return place_of(where)
    lay = "" if not where else f", then {where}, which {'is not there' if found is None else 'is another'} now"
    raise NoStoreError(
        f"{run}: its features are of an evidence store{named}{lay}, and {data} holds none; say with `store` where it "
        "is, or harvest these clips with its teachers"
    )
