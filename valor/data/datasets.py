"""Data sets as values: vocabulary, splits, tables and grid of each, and which one a data folder holds.

A data folder is of LLP unless a file `dataset.json` in it says otherwise: {"dataset": NAME}, a key of DATASETS, or a
description of tables in LLP's columns (see `valor.data.tables`):

    {"name": "birds", "title": "Birds of the garden", "classes": "classes.json", "segments": 10,
     "tags": {"train": "train.tsv", "val": "val.tsv", "test": "test.tsv"},
     "events": {"v1": ["heard.tsv", "seen.tsv"]}, "annotated": ["val", "test"]}
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from valor.eval.decide import PRESETS, PostProcessing
from valor.label_harvest.strict_json import as_list, as_names, as_object, as_text, as_whole, loads

from .tables import LLP_LAYOUT, LLP_SEGMENTS, MOST_SEGMENTS, Layout, Split, read_split, read_weak_table
from .vocabulary import LLP_CLASSES, EventClass, class_names, read_vocabulary

DATASET_FILE = "dataset.json"
"""Says in a data folder which data set it holds, where that is not LLP."""

_KEYS = ("name", "title", "classes", "segments", "tags", "events", "annotated")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What is known of a data set besides its clips."""

    name: str
    """As DATASETS and `dataset.json` call it."""
    title: str
    """As tables and figures call it."""
    classes: tuple[EventClass, ...]
    """Its vocabulary, in the order of the class axis."""
    layout: Layout = LLP_LAYOUT
    """Its annotation tables."""
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Clips of each split as published; empty where nobody counts on it."""
    segments: int | None = LLP_SEGMENTS
    """T of every clip; None for clips of any length."""
    seconds: float = 1.0
    """What a segment lasts."""
    rules: Mapping[str, PostProcessing] = field(default_factory=lambda: dict(PRESETS), hash=False)
    """Decision rules of published systems, by name."""
    published: str | None = None
    """File of published rows, in the form of LLP's `published_scores.json`; None where there are none."""
    reader: Callable[["DataSet", Path, str, tuple[str, ...], str], Split] | None = None
    """Reads a split from (data set, folder, split, class names, truth version); None for tables in LLP's columns."""

    def __post_init__(self) -> None:
        """Refuse what no reader could read."""
        if self.reader is None and (self.segments is None or self.seconds != 1):
            raise ValueError(
                f"{self.name}: tables in LLP's columns have clips of one length in segments of one second, got "
                f"segments {self.segments} of {self.seconds:g} s; give the data set a reader of its own"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return class_names(self.classes)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.layout.tags)

    def read_split(
        self, folder: Path | str, split: str, names: Sequence[str] | None = None, *, truth_version: str | None = None
    ) -> Split:
        """Read a split of a data folder.

        Args:
            folder: The data folder.
            split: One of `splits`.
            names: The classes of the class axis; None for those of the data set.
            truth_version: A key of the event tables; None for the first.

        Raises:
            ValueError: The split or version is unknown, or a table is damaged; says file and line.
            FileNotFoundError: A table is not in the folder.
        """
        version, named = truth_version or next(iter(self.layout.events)), tuple(names or self.names)
        if self.reader is not None:
            return _with_digest(self.reader(self, Path(folder), split, named, version), version)
        assert self.segments is not None  # checked when the data set was made
        return read_split(folder, split, named, truth_version=version, num_segments=self.segments, layout=self.layout)

    def read_clips(self, folder: Path | str, split: str, names: Sequence[str] | None = None) -> Split:
        """Read the clips and tags of a split, and no dense truth; arguments and errors as in `read_split`."""
        if self.reader is not None:
            return self.read_split(folder, split, names)
        named = tuple(names or self.names)
        if split not in self.layout.tags:
            raise ValueError(f"split must be one of {', '.join(self.splits)}, got {split!r}")
        clip_ids, weak_labels = read_weak_table(Path(folder) / self.layout.tags[split], named)
        return Split(split, clip_ids, named, weak_labels)


def _with_digest(split: Split, version: str) -> Split:
    """A split whose truth says which it is: score files and tables ask for that."""
    if split.truth is None or split.truth_sha256 is not None:
        return split
    digest = hashlib.sha256(repr((split.clip_ids, split.truth.shape)).encode() + split.truth.tobytes()).hexdigest()
    return replace(split, truth_version=split.truth_version or version, truth_sha256=digest)


LLP = DataSet(
    name="llp",
    title="LLP",
    classes=LLP_CLASSES,
    sizes={"train": 10_000, "val": 649, "test": 1_200},
    published="published_scores.json",
)
"""Look, Listen, and Parse: Tian et al., ECCV 2020."""

DATASETS: dict[str, DataSet] = {"llp": LLP}
"""The data sets known by name."""


def dataset_of(folder: Path | str) -> DataSet:
    """The data set a folder holds: what its `dataset.json` says, or LLP.

    Raises:
        ValueError: The file names a data set nobody knows, or describes none.
    """
    path = Path(folder) / DATASET_FILE
    if not path.is_file():
        return LLP
    try:
        held = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        if strangers := sorted(set(held) - {*_KEYS, "dataset"}):
            raise ValueError(f"the keys {', '.join(strangers)} are unknown")
        if missing := sorted({"name", "classes", "tags", "events"} - set(held)) if "dataset" not in held else []:
            raise ValueError(f"{', '.join(missing)} missing")
    except ValueError as error:
        raise ValueError(
            f'{path}: expected {{"dataset": NAME}} or a description with {", ".join(_KEYS)}, failed at: {error}'
        ) from error
    return _known(held["dataset"], path) if "dataset" in held else _described(held, path)


def _known(name: object, path: Path) -> DataSet:
    if not isinstance(name, str) or name not in DATASETS:
        raise ValueError(
            f"{path}: the data set must be one of {', '.join(DATASETS)}, got {name!r}; one of your own is known once "
            "the file that defines it is loaded"
        )
    return DATASETS[name]


def _described(held: Mapping[str, Any], path: Path) -> DataSet:
    listed = as_object(held["events"], f"{path}: events")
    events = {version: tuple(as_list(tables, f"{path}: events")) for version, tables in listed.items()}
    if not events or any(len(tables) != 2 for tables in events.values()):
        raise ValueError(f"{path}: events need versions of two tables each, audible and visible")
    tags = as_object(held["tags"], f"{path}: tags")
    for table in (*tags.values(), *(table for tables in events.values() for table in tables)):
        as_text(table, f"{path}: the name of a table")
    annotated = as_names(held["annotated"], f"{path}: annotated") if "annotated" in held else ("val", "test")
    name = as_text(held["name"], f"{path}: name")
    return DataSet(
        name=name,
        title=as_text(held.get("title", name), f"{path}: title"),
        classes=read_vocabulary(str(path.parent / as_text(held["classes"], f"{path}: classes"))),
        layout=Layout(tags, events, annotated),
        segments=as_whole(held.get("segments", LLP_SEGMENTS), f"{path}: segments", 1, MOST_SEGMENTS),
    )
