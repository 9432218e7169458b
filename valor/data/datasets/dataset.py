"""Data sets as values: vocabulary, splits, tables, grid, metrics, published rows; and which one a data folder holds.

A data folder is of LLP unless a file `dataset.json` in it says otherwise, or it holds the files of a data set known by
name as published (`found_by`). The file is {"dataset": NAME}, a key of DATASETS; or {"dataset": NAME, "name": "mine",
"classes": ["Wren", "Robin"]} for files of that form with classes of one's own; or a description of tables in LLP's
columns (see `valor.data.tables`):

    {"name": "birds", "title": "Birds of the garden", "classes": "classes.json", "segments": 10,
     "tags": {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"},
     "events": {"v1": ["heard.tsv", "seen.tsv"]}, "annotated": ["dev", "test"],
     "roles": {"val": "dev"}, "published": "published.json"}

`segments` is null for clips of unlike length: a column `seconds` of the tables of tags says how long each lasts.
`classes` is a vocabulary file, a file of names, or a list of names. `roles` says which split is trained on (train),
which one the kept epoch is chosen on (val) and which one is scored (test), where it is not the split of that name.
`unseen` names classes that no clip of training may be tagged with.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.accuracy import ONE_EVENT_METRICS
from valor.eval.events import BoolArray
from valor.eval.metrics import Metric
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import write_json
from valor.label_harvest.places.objects import ObjectPath
from valor.label_harvest.places.place import Place, place_of, stands
from valor.label_harvest.strict_json import as_list, as_names, as_object, as_text, as_whole, loads

from ..tables import (
    LLP_LAYOUT,
    LLP_SEGMENTS,
    MOST_SEGMENTS,
    Layout,
    Split,
    read_clip_ids,
    read_clips,
    read_split,
)
from ..vocabulary import (
    CLASSES_FILE,
    LLP_CLASSES,
    EventClass,
    class_names,
    named_classes,
    read_class_names,
    vocabulary_file,
)
from .ave import ANNOTATIONS, AVE_CLASSES, AVE_LAYOUT, Found, ave_defects, read_ave
from .lfav import LFAV_LAYOUT, LFAV_METRICS, LFAV_NAMES, LFAV_SIZES, lfav_defects, read_lfav
from .ovave import OVAVE_LAYOUT, OVAVE_METRICS, OVAVE_NAMES, OVAVE_SIZES, OVAVE_UNSEEN, ovave_defects, read_ovave
from .unav import UNAV_FILE, UNAV_LAYOUT, UNAV_METRICS, UNAV_NAMES, UNAV_SIZES, read_unav, unav_defects
from .vggsounder import (
    VGGSOUNDER_FILE,
    VGGSOUNDER_LAYOUT,
    VGGSOUNDER_METRICS,
    read_vggsounder,
    vggsounder_defects,
    vggsounder_names,
    vggsounder_splits,
)

DATASET_FILE = "dataset.json"
"""Says in a data folder which data set it holds, where that is not LLP."""

ROLES = ("train", "val", "test")
"""What splits are for: trained on, the kept epoch chosen on, scored."""

_KEYS = ("name", "title", "classes", "segments", "tags", "events", "annotated", "roles", "published", "unseen")


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
    """Its annotation tables; with a reader of its own, the names of its splits and of the versions of its truth."""
    roles: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Split that is trained on (train), chosen on (val) and scored (test), where it is not the one of that name."""
    sizes: Mapping[str, int] = field(default_factory=dict, hash=False)
    """Clips of each split as published; empty where nobody counts on it."""
    segments: int | None = LLP_SEGMENTS
    """T of every clip; None for clips of any length, of which a reader or the tables of tags say how long each is."""
    seconds: float = 1.0
    """What a segment lasts."""
    metrics: Mapping[str, Metric] = field(default_factory=dict, hash=False)
    """Figures beside the ten F-scores, which every data set has, by the name tables call them by."""
    published: Path | None = None
    """File of published rows, in the form of LLP's `published_scores.json`; None where there are none."""
    reader: Callable[["DataSet", Path, str, tuple[str, ...], str], Split] | None = None
    """Reads a split from (data set, folder, split, class names, truth version); None for tables in LLP's columns."""
    defects: Callable[[Path, tuple[str, ...]], Iterable[Found]] | None = None
    """Lists for `valor lint` what is wrong in a folder, by class names, where the data set has a reader of its own."""
    found_by: tuple[str, ...] = ()
    """Files that say, all of them, that a folder without a `dataset.json` is of this data set."""
    unseen: tuple[str, ...] = ()
    """Classes that no clip of training may have; figures of them stand apart where the data set has such."""
    in_folder: Callable[["DataSet", Place], "DataSet"] | None = None
    """Adds what only a folder says, such as its classes; None where nothing is left to say."""

    def __post_init__(self) -> None:
        """Refuse what no reader could read."""
        if self.reader is None and self.seconds != 1:
            raise ValueError(
                f"{self.name}: tables in LLP's columns have segments of one second, got {self.seconds:g} s; give the "
                "data set a reader of its own"
            )
        if strangers := [name for name in self.unseen if name not in self.names]:
            raise ValueError(f"{self.name}: unseen must be of its classes, got {', '.join(strangers)}")
        for role, split in self.roles.items():
            if role not in ROLES or split not in self.splits:
                raise ValueError(
                    f"{self.name}: roles must say which of the splits {', '.join(self.splits)} is {', '.join(ROLES)}, "
                    f"got {role}: {split}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return class_names(self.classes)

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits."""
        return tuple(self.layout.tags)

    @property
    def annotated(self) -> tuple[str, ...]:
        """Names of the splits with dense truth."""
        return tuple(split for split in self.splits if split in self.layout.annotated)

    def split_for(self, role: str) -> str:
        """The split that is trained on (train), chosen on (val) or scored (test)."""
        return self.roles.get(role, role)

    def names_in(self, folder: Path | str, typed: str | None = None) -> tuple[str, ...]:
        """Names of the classes of tables in a folder.

        Args:
            folder: The data folder.
            typed: As `read_class_names` takes; None for those of the data set, and of LLP for a `classes.json` there or
                what the store there knows.
        """
        if typed is None and self.name != "llp":
            return self.names
        return read_class_names(typed, place_of(folder), self.names)

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
        self._check_split(split)
        version, named = truth_version or next(iter(self.layout.events), ""), tuple(names or self.names)
        if self.layout.events and version not in self.layout.events:
            raise ValueError(
                f"truth_version must be one of {', '.join(self.layout.events)}, got {version!r}"
                f"{did_you_mean(version, self.layout.events)}"
            )
        if self.reader is not None:
            return self._told(_with_digest(self.reader(self, Path(folder), split, named, version), version))
        return self._told(
            read_split(folder, split, named, truth_version=version, num_segments=self.segments, layout=self.layout)
        )

    def read_clips(self, folder: Path | str, split: str, names: Sequence[str] | None = None) -> Split:
        """Read the clips and tags of a split, and no dense truth; arguments and errors as in `read_split`."""
        if self.reader is not None:
            return self.read_split(folder, split, names)
        self._check_split(split)
        named = tuple(names or self.names)
        return self._told(read_clips(folder, split, named, any_length=self.segments is None, layout=self.layout))

    def read_ids(self, folder: Path | str, split: str) -> tuple[str, ...]:
        """The names of the clips of a split, whatever their tags; arguments and errors as in `read_split`."""
        if self.reader is not None:
            return self.read_split(folder, split).clip_ids
        self._check_split(split)
        return read_clip_ids(Path(folder) / self.layout.tags[split])

    def _check_split(self, split: str) -> None:
        if split not in self.splits:
            raise ValueError(
                f"split must be one of {', '.join(self.splits)}, got {split!r}{did_you_mean(split, self.splits)}"
            )

    def _told(self, split: Split) -> Split:
        """The split with what a data set says of all of them."""
        role = next((role for role in ROLES if self.split_for(role) == split.name), "")
        if split.valid is not None and split.truth is not None:
            beyond = (split.truth.any(axis=(2, 3)) & ~split.valid).any(axis=1)
            if beyond.any():
                first = split.clip_ids[int(beyond.argmax())]
                raise ValueError(f"{self.name}: {beyond.sum()} clips have events beyond their end, such as {first}")
        found = replace(
            split,
            dataset=self.name,
            role=role,
            segment_seconds=self.seconds,
            metrics=self.metrics,
            unseen=tuple(name for name in self.unseen if name in split.class_names),
        )
        return _with_kinds(found) if found.unseen else found


def _with_kinds(split: Split) -> Split:
    """A split with its clips of seen and of unseen classes, where its reader does not say which they are.

    Raises:
        ValueError: A clip of training is tagged with an unseen class.
    """
    tagged = split.weak_labels[:, [split.class_names.index(name) for name in split.unseen]]
    if split.role == "train" and tagged.any():
        clip, index = np.argwhere(tagged)[0].tolist()
        raise ValueError(
            f"{split.dataset}: {split.clip_ids[clip]} of {split.name} is tagged with {split.unseen[index]}, which is "
            f"unseen in training, one of {int(tagged.any(axis=1).sum())} such clips; take them away, or the class out "
            "of `unseen`"
        )
    if split.subsets:
        return split
    unseen: BoolArray = np.logical_or.reduce(tagged, axis=1)
    return replace(split, subsets={"seen": split.weak_labels.any(axis=1) & ~unseen, "unseen": unseen})


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
    published=Path(__file__).with_name("published_scores.json"),
)
"""Look, Listen, and Parse: Tian et al., ECCV 2020."""

AVE = DataSet(
    name="ave",
    title="AVE",
    classes=AVE_CLASSES,
    layout=AVE_LAYOUT,
    sizes={"train": 3_339, "val": 402, "test": 402},
    metrics=ONE_EVENT_METRICS,
    published=Path(__file__).with_name("published_ave.json"),
    reader=read_ave,
    defects=ave_defects,
    found_by=(ANNOTATIONS, "test_order.h5"),
)
"""Audio-visual event localisation: Tian et al., ECCV 2018; see `valor.data.datasets.ave`."""

UNAV = DataSet(
    name="unav",
    title="UnAV-100",
    classes=named_classes(UNAV_NAMES),
    layout=UNAV_LAYOUT,
    roles={"val": "validation"},
    sizes=UNAV_SIZES,
    segments=None,
    metrics=UNAV_METRICS,
    published=Path(__file__).with_name("published_unav.json"),
    reader=read_unav,
    defects=unav_defects,
    found_by=(UNAV_FILE,),
)
"""Dense audio-visual events in untrimmed videos: Geng et al., CVPR 2023; see `valor.data.datasets.unav`."""

LFAV = DataSet(
    name="lfav",
    title="LFAV",
    classes=named_classes(LFAV_NAMES),
    layout=LFAV_LAYOUT,
    sizes=LFAV_SIZES,
    segments=None,
    metrics=LFAV_METRICS,
    reader=read_lfav,
    defects=lfav_defects,
    found_by=("test/test_audio_weakly.csv", "test/test_visual_weakly.csv"),
)
"""Long-form audio-visual videos with tags of each modality: Hou et al., TOMM 2024; see `valor.data.datasets.lfav`."""

OVAVE = DataSet(
    name="ovave",
    title="OV-AVEBench",
    classes=named_classes(OVAVE_NAMES),
    layout=OVAVE_LAYOUT,
    sizes=OVAVE_SIZES,
    metrics=OVAVE_METRICS,
    published=Path(__file__).with_name("published_ovave.json"),
    reader=read_ovave,
    defects=ovave_defects,
    found_by=("meta_anno_files/ovave_dataset_meta.csv", "meta_anno_files/ovavel_dataset_anno.json"),
    unseen=OVAVE_UNSEEN,
)
"""Audio-visual events of seen and unseen classes: Zhou et al., CVPR 2025; see `valor.data.datasets.ovave`."""


def _vggsounder_in(dataset: DataSet, folder: Place) -> DataSet:
    """VGGSounder with the classes a folder has, unless its description said them, and the splits."""
    classes = dataset.classes or named_classes(vggsounder_names(folder))
    return replace(dataset, classes=classes, layout=vggsounder_splits(folder))


VGGSOUNDER = DataSet(
    name="vggsounder",
    title="VGGSounder",
    classes=(),
    layout=VGGSOUNDER_LAYOUT,
    metrics=VGGSOUNDER_METRICS,
    reader=read_vggsounder,
    defects=vggsounder_defects,
    found_by=(VGGSOUNDER_FILE,),
    in_folder=_vggsounder_in,
)
"""Several labels a clip, heard or seen: Zverev, Wiedemer et al., ICCV 2025; see `valor.data.datasets.vggsounder`."""

UNAV_FINER = [
    replace(UNAV, name=f"unav-{part}", title=f"UnAV-100 on {part} s", seconds=part, published=None, found_by=())
    for part in (0.5, 0.25)
]
"""The same on shorter segments, by which mAP can rise further."""

UNAV_STEPS = replace(UNAV, name="unav-0.32", title="UnAV-100 on 0.32 s", seconds=0.32, found_by=())
"""The same on the steps of its published features. Published mAP is in seconds, so its rows stand beside it."""

DATASETS: dict[str, DataSet] = {
    dataset.name: dataset for dataset in (LLP, AVE, UNAV, LFAV, OVAVE, VGGSOUNDER, *UNAV_FINER, UNAV_STEPS)
}
"""The data sets known by name."""


def dataset_of(folder: Place | str) -> DataSet:
    """The data set a folder holds: what its `dataset.json` says, one whose files lie there, or LLP.

    Raises:
        ValueError: The file names a data set nobody knows, or describes none; without it, files of several lie there.
    """
    path = place_of(folder) / DATASET_FILE
    if not stands(path):
        return _completed(_found_in(path.parent), path.parent)
    try:
        held = as_object(loads(path.read_text(encoding="utf-8")), "the file")
        formed = {"dataset", "name", "title", "classes"}  # of a known form
        if strangers := sorted(set(held) - (formed if "dataset" in held else {*_KEYS})):
            raise ValueError(f"the keys {', '.join(strangers)} are unknown")
        wanted = {"name", "classes", "tags", "events"}
        if "dataset" in held:
            wanted = {"name", "classes"} if len(held) > 1 else set()
        if missing := sorted(wanted - set(held)):
            raise ValueError(f"{', '.join(missing)} missing")
    except ValueError as error:
        raise ValueError(
            f'{path}: expected {{"dataset": NAME}} or a description with {", ".join(_KEYS)}, failed at: {error}'
        ) from error
    if "dataset" not in held:
        return _described(held, path)
    known = _known(held["dataset"], path)
    return _completed(known if len(held) == 1 else _of_the_form(known, held, path), path.parent)


def _completed(dataset: DataSet, folder: Place) -> DataSet:
    """A data set with what only a folder says of it."""
    return dataset if dataset.in_folder is None else dataset.in_folder(dataset, folder)


def _of_the_form(known: DataSet, held: Mapping[str, Any], path: Place) -> DataSet:
    """A data set in the files of a known one, with classes of its own: no published row is of it."""
    name = as_text(held["name"], f"{path}: name")
    if name in DATASETS:
        raise ValueError(f"{path}: name must be one of your own, since the classes are; {name!r} is that of a data set")
    title, classes = as_text(held.get("title", name), f"{path}: title"), _classes(held["classes"], path)
    return replace(known, name=name, title=title, classes=classes, sizes={}, published=None, found_by=())


def _found_in(folder: Place) -> DataSet:
    """The data set whose published files lie in a folder that says nothing."""
    found = [
        known for known in DATASETS.values() if known.found_by and all(stands(folder / file) for file in known.found_by)
    ]
    if found and stands(folder / LLP_LAYOUT.tags["test"]):
        found.append(LLP)
    if len(found) > 1:
        raise ValueError(
            f"{folder}: holds files of {' and '.join(known.name for known in found)}; say which with a file "
            f'{DATASET_FILE}: {{"dataset": NAME}}'
        )
    return found[0] if found else LLP


def chosen_dataset(dataset: DataSet | str | None, folder: Place | str) -> DataSet:
    """The data set that was given, or the one a folder holds.

    Args:
        dataset: One, or its name, a key of `DATASETS`; None for what the folder says, see `dataset_of`.
        folder: The data folder.

    Raises:
        ValueError: Nobody knows the name, or as for `dataset_of`.
    """
    if dataset is None:
        return dataset_of(folder)
    return _completed(dataset if isinstance(dataset, DataSet) else _known(dataset, "`dataset`"), place_of(folder))


def _known(name: object, where: Place | str) -> DataSet:
    if not isinstance(name, str) or name not in DATASETS:
        raise ValueError(
            f"{where}: the data set must be one of {', '.join(DATASETS)}, got {name!r}"
            f"{did_you_mean(name, DATASETS)}; one of your own is known once "
            "the file that defines it is loaded"
        )
    return DATASETS[name]


def write_description(
    folder: Path, dataset: DataSet, names: Sequence[str], layout: Layout, segments: int | None
) -> None:
    """Say in a folder that its tables, in LLP's columns, are of a data set; of LLP nothing has to be said.

    Args:
        folder: The folder of the tables.
        dataset: What they are of.
        names: The classes of the tables, whose captions are kept where they are those of the data set.
        layout: The tables.
        segments: T of the longest clip; None where the tables say how long each is.
    """
    if dataset.name == "llp":
        return
    described = {
        "name": dataset.name,
        "title": dataset.title,
        "classes": CLASSES_FILE,
        "segments": segments,
        "tags": dict(layout.tags),
        "events": {version: list(tables) for version, tables in layout.events.items()},
        "annotated": list(layout.annotated),
        "roles": {role: split for role, split in dataset.roles.items() if split in layout.tags},
    }
    classes = [asdict(one) for one in dataset.classes] if tuple(names) == dataset.names else list(names)
    for name, held in ((CLASSES_FILE, classes), (DATASET_FILE, described)):
        write_json(folder / name, held, ensure_ascii=False)


def _described(held: Mapping[str, Any], path: Place) -> DataSet:
    listed = as_object(held["events"], f"{path}: events")
    events = {version: tuple(as_list(tables, f"{path}: events")) for version, tables in listed.items()}
    if not events or any(len(tables) != 2 for tables in events.values()):
        raise ValueError(f"{path}: events need versions of two tables each, audible and visible")
    tags = as_object(held["tags"], f"{path}: tags")
    for table in (*tags.values(), *(table for tables in events.values() for table in tables)):
        as_text(table, f"{path}: the name of a table")
    given = as_object(held.get("roles", {}), f"{path}: roles")
    roles = {role: as_text(split, f"{path}: roles") for role, split in given.items()}
    annotated: tuple[str, ...] = (roles.get("val", "val"), roles.get("test", "test"))
    if "annotated" in held:
        annotated = () if held["annotated"] == [] else as_names(held["annotated"], f"{path}: annotated")
        if strangers := [split for split in annotated if split not in tags]:
            raise ValueError(f"{path}: annotated must be of the splits {', '.join(tags)}, got {', '.join(strangers)}")
    published = path.parent / as_text(held["published"], f"{path}: published") if "published" in held else None
    if isinstance(published, ObjectPath):
        raise ValueError(f"{path}: published scores are read from a disk; have the description there too")
    name = as_text(held["name"], f"{path}: name")
    given_segments = held.get("segments", LLP_SEGMENTS)
    any_length = given_segments is None
    return DataSet(
        name=name,
        title=as_text(held.get("title", name), f"{path}: title"),
        classes=_classes(held["classes"], path),
        layout=Layout(tags, events, annotated),
        roles=roles,
        segments=None if any_length else as_whole(given_segments, f"{path}: segments", 1, MOST_SEGMENTS),
        metrics=metrics_of_lengths(any_length=any_length),
        published=published,
        unseen=() if held.get("unseen", []) == [] else as_names(held["unseen"], f"{path}: unseen"),
    )


def metrics_of_lengths(*, any_length: bool) -> Mapping[str, Metric]:
    """What a described data set is measured by besides F: where its clips are of unlike length, mAP as of UnAV-100."""
    return UNAV_METRICS if any_length else {}


def _classes(held: object, path: Place) -> tuple[EventClass, ...]:
    """Classes of a description: a file of them or of their names beside it, or the names themselves."""
    if isinstance(held, list):
        return named_classes(as_names(held, f"{path}: classes"))
    return vocabulary_file(path.parent / as_text(held, f"{path}: classes"))
