"""`--manifest` of commands that work on a store: what the table names and the store does not hold is said."""

from valor.data.datasets.dataset import dataset_of
from valor.data.datasets.to_harvest import read_any_manifest, vocabulary_of
from valor.data.tables import read_clip_ids
from valor.data.vocabulary import class_names
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


def clips_before_store(table: Place) -> tuple[str, ...]:
    """The clips of a table whose store no run has made yet, which would know the classes.

    Raises:
        ValueError: The table cannot be read.
    """
    folder = table if table.is_dir() else table.parent
    if table.is_dir() or dataset_of(folder).reader is not None:
        return read_any_manifest(table, class_names(vocabulary_of(None, folder))).clip_ids
    return read_clip_ids(table)


def say_lacking(store: Place, clip_ids: tuple[str, ...] | None) -> Lacking | None:
    """Say which clips of a table a store does not hold; None where it holds all, or there is no table.

    It is a result: the exit code goes by it.
    """
    found = None if clip_ids is None else lacking(store, clip_ids)
    if found is not None:
        say(f"{store}: {found}")
    return found
