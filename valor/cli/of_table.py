"""`--manifest` of commands that work on a store: what the table names and the store does not hold is said."""

import sys

from valor.data.datasets.to_harvest import read_any_manifest
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.status import Lacking, lacking
from valor.label_harvest.store.store import store_folder, store_manifest

from .options import Parser, any_place
from .terminal import say


def add_table(command: Parser, what: str) -> None:
    """Add `--manifest`, with its help."""
    command.add_argument("--manifest", type=any_place, metavar="FILE", help=what)


def clips_of_table(table: Place | None, store: Place) -> tuple[str, ...] | None:
    """The clips of a table, None without one; read before anything is done, so that a wrong one costs nothing.

    Args:
        table: As typed with `--manifest`.
        store: Whose classes the table names.

    Raises:
        ValueError: The table cannot be read, or there is no store.
    """
    if table is None:
        return None
    return read_any_manifest(table, store_manifest(store_folder(store))["class_names"]).clip_ids


def say_lacking(store: Place, clip_ids: tuple[str, ...] | None) -> Lacking | None:
    """Say on stderr which clips of a table a store does not hold; None where it holds all, or there is no table."""
    found = None if clip_ids is None else lacking(store, clip_ids)
    if found is not None:
        say(f"{store}: {found}", file=sys.stderr)
    return found
