"""Tables of clips with their tags and of events, as annotation folders have them: splits, tags, dense truth.

    filename  event_labels                    tags of a clip, separated by commas: manifests, AVVP_train.csv, ...
    filename  onset  offset  event_labels     one event a row: AVVP_eval_audio.csv, predictions, corrections

How rows are written, and which are refused, is said in rows.py.

An annotation folder is laid out as LLP's, and class names are spelled as the vocabulary does:

    AVVP_train.csv, AVVP_val_pd.csv, AVVP_test_pd.csv   tags
    AVVP_eval_audio.csv, AVVP_eval_visual.csv           events of the clips of val and test

Rules for these, all of them those of the published scorer:
    A row of an event table marks the segments [onset, offset) of its class, in whole seconds of one segment each.
    Rows merge by union: duplicates, overlaps and touching rows of a class make one event.
    A row whose offset is not after its onset marks nothing, and an offset beyond the clip is cut at its end.
    A row counts for the clip whose name it gives; a row of no clip of the split is left alone.
    An event's class need not be among the tags of its clip: tags are weak labels, not a bound on the truth.
    The same tag twice is one tag.
In LLP itself the rows of 8 audio and 7 visual names belong to no clip, 6 audio rows are empty or reversed, 76 audio
and 51 visual rows lie outside their clip's tags. The audio table was corrected in 2024 (three rows); published figures
of before used the table of 2020, which is read with truth_version="v2020".
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from valor.eval.detection import TrueEvents, events_of_marks
from valor.eval.events import MODALITIES, BoolArray, Float64Array
from valor.eval.metrics import Metric
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.media.windows import num_segments as segments_of
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.manifest import HarvestManifest, check_modality_tags, composed

from .names import join_names, list_names, name_reader, name_splitter, split_names
from .rows import (
    EVENT_COLUMNS,
    WEAK_COLUMNS,
    check_names,
    check_unique,
    checked_rows,
    header_names,
    plain_seconds,
    read_rows,
    seconds_text,
    write_rows,
)

WEAK_TABLES = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
"""File of the clip-level tags of each split."""

EVENT_TABLES = {
    "v2024": ("AVVP_eval_audio.csv", "AVVP_eval_visual.csv"),
    "v2020": ("AVVP_eval_audio.v2020.csv", "AVVP_eval_visual.csv"),
}
"""Files of the dense truth, audio then visual, by version; they hold the clips of val and test."""
PUBLISHED_TRUTH = {
    "v2024": "68e26a669c76be97fb24dad1abc8f43af0ff2e81ca9526bc57f834d17e409af6",
    "v2020": "3c748bbee0fabc7fc34e943ba0455402fccbfafc30efa75a3166ef5436548ee5",
}
"""sha256 of these two files as they were published; tables of one's own are called like them, and are no version."""

LLP_WORLD, DEMO_WORLD, OWN_WORLD = "LLP", "demo world", "own tables"
"""What tables and figures call that which clips and truth are of: LLP as published, the demo's clips, anything else."""

WORLD_FILE = "world.json"
"""Marks the data folder of a demo world, and says which."""


@dataclass(frozen=True)
class Layout:
    """The files of a data set whose tables have LLP's columns."""

    tags: Mapping[str, str] = field(hash=False)
    """File of the clip-level tags of each split."""
    events: Mapping[str, tuple[str, ...]] = field(hash=False)
    """Files of the dense truth, audio then visual, by version; the first is the current one."""
    annotated: tuple[str, ...] = ("val", "test")
    """Splits whose clips have dense truth."""


LLP_LAYOUT = Layout(WEAK_TABLES, EVENT_TABLES)
"""LLP's own, and the demo world's."""

DURATION_COLUMNS = ("filename", "seconds")

PATH_COLUMN = "path"
"""A further column of tables of tags: where the media of a clip lie."""

MODALITY_COLUMNS = tuple(f"{modality}_tags" for modality in MODALITIES)
"""Further columns of tables of tags: which of them are heard, and which are seen."""


LLP_SEGMENTS = 10
"""T of LLP: ten segments of one second."""

SECONDS_COLUMN = "seconds"
"""Another: how long a clip lasts."""

MOST_SEGMENTS = 100_000
"""Of one clip: a day has 86,400 seconds."""

MOST_CELLS = 2**32
"""Marks of a split on segments: UnAV-100's train split on quarters of a second has 312 million."""


@dataclass(frozen=True)
class Split:
    """The clips of one split with their tags and, where it was annotated, their dense truth."""

    name: str
    """Name of the split: of LLP train, val or test."""
    clip_ids: tuple[str, ...]
    """Names of the clips in the order of the table, which is the order of the axis N."""
    class_names: tuple[str, ...]
    """Names of the classes in the order of the axis C."""
    weak_labels: BoolArray
    """bool [N, C], the clip-level tags (papers call them video-level labels)."""
    truth: BoolArray | None = None
    """bool [N, T, M, C], the annotated segments; None for a split without, as LLP's train."""
    truth_version: str | None = None
    """Which event tables the truth came from."""
    truth_sha256: str | None = None
    """sha256 of the bytes of the two event tables, audio then visual."""
    valid: BoolArray | None = None
    """bool [N, T], where a segment exists; None for clips of one length."""
    dataset: str = "llp"
    """Name of the data set."""
    role: str = ""
    """train, val or test: what it is for; empty where nobody said."""
    segment_seconds: float = 1.0
    """Length of a segment."""
    metrics: Mapping[str, Metric] = field(default_factory=dict, hash=False, repr=False)
    """Figures of the data set beside the ten F-scores, by name."""
    events: TrueEvents | None = None
    """The truth in seconds, where it does not lie on segments; its clips are positions on the axis N."""
    clip_seconds: Float64Array | None = None
    """float64 [N], how long each clip is, where a last segment may end beyond it."""
    modality_tags: BoolArray | None = None
    """bool [N, M, C], those of the tags that are heard and that are seen; None where nobody says it."""
    subsets: Mapping[str, BoolArray] = field(default_factory=dict, hash=False, repr=False)
    """Kinds of clips by name, bool [N] each, of which figures are taken apart, such as those of unseen classes."""
    unseen: tuple[str, ...] = ()
    """Classes that no clip of training has."""
    of_demo: bool = False
    """Whether its tables are those of a demo world."""

    @property
    def world(self) -> str:
        """What clips and truth are of: the demo world, LLP as published, own tables, or another data set's name."""
        if self.of_demo or self.dataset != "llp":
            return DEMO_WORLD if self.of_demo else self.dataset
        return LLP_WORLD if self.truth_sha256 in (None, *PUBLISHED_TRUTH.values()) else OWN_WORLD

    def refuse_untold(self) -> None:
        """Refuse to score on it where nobody annotated it.

        Raises:
            ValueError: It has no truth.
        """
        if self.truth is None or self.truth_sha256 is None:
            said = f"the split {self.name!r} has no dense truth to score against; mark its clips, or use another"
            raise ValueError(said)

    @property
    def version_in_words(self) -> str:
        """How tables call the truth: LLP's versions by their names, where these are its tables."""
        articles = {DEMO_WORLD: "of the ", OWN_WORLD: "of "}
        return articles[self.world] + self.world if self.world in articles else self.truth_version or ""

    def __post_init__(self) -> None:
        """Compose the names of the clips, by which everything is matched, and refuse one that stands twice.

        Tags of modalities whose union is not the tags are refused too.
        """
        object.__setattr__(self, "clip_ids", tuple(map(composed, self.clip_ids)))
        check_unique(self.clip_ids, f"split {self.name}")
        if self.modality_tags is not None:
            check_modality_tags(self.modality_tags, self.weak_labels, self.clip_ids, self.class_names)


def read_split(
    folder: Path | str,
    split: str,
    class_names: Sequence[str],
    *,
    truth_version: str = "v2024",
    num_segments: int | None = LLP_SEGMENTS,
    layout: Layout = LLP_LAYOUT,
) -> Split:
    """Read one split of an annotation folder.

    Args:
        folder: folder of the tables.
        split: train, val or test.
        class_names: every class the tables may name, in the order wanted on the class axis.
        truth_version: v2024, or v2020 for the audio table as first published.
        num_segments: T of every clip; a segment lasts one second. None for clips that last as long as the column
            `seconds` of the table of tags says.
        layout: The files.

    Returns:
        The split; its truth is None for train. Of clips of unlike length it says which segments each has, and what is
        heard and seen at once as events in seconds.

    Raises:
        ValueError: The split or version is unknown, or a table is not in the layout above; says file and line.
        FileNotFoundError: A table is not in the folder.
    """
    folder = Path(folder)
    if split not in layout.tags or truth_version not in layout.events:
        raise ValueError(
            f"split must be one of {', '.join(layout.tags)} and truth_version one of {', '.join(layout.events)}, "
            f"got {split!r}{did_you_mean(split, layout.tags)} and {truth_version!r}"
        )
    found = read_clips(folder, split, class_names, any_length=num_segments is None, layout=layout)
    if split not in layout.annotated:
        return found
    segments = num_segments if found.valid is None else found.valid.shape[1]
    assert segments is not None  # one of the two says it
    shape = (len(found.clip_ids), segments, len(MODALITIES), len(class_names))
    refuse_too_many_marks(shape, f"{folder / layout.tags[split]}: {split}")
    truth = np.zeros(shape, dtype=np.bool_)
    digest = hashlib.sha256()
    for modality, file_name in enumerate(layout.events[truth_version]):
        _mark_events(truth[:, :, modality], folder / file_name, found.clip_ids, class_names)
        digest.update((folder / file_name).read_bytes())
    if found.valid is not None:
        truth &= found.valid[:, :, np.newaxis, np.newaxis]
        at_once: BoolArray = np.logical_and.reduce(truth, axis=2)
        digest.update(repr((found.clip_ids, found.valid.sum(axis=1).tolist())).encode())
        found = replace(found, events=events_of_marks(at_once, clip_seconds=found.clip_seconds))
    return replace(found, truth=truth, truth_version=truth_version, truth_sha256=digest.hexdigest())


def read_clips(
    folder: Path | str, split: str, class_names: Sequence[str], *, any_length: bool = False, layout: Layout = LLP_LAYOUT
) -> Split:
    """Read the clips and tags of a split, and where they are of any length, how long each is; no dense truth.

    Raises:
        ValueError: As in `read_split`.
        FileNotFoundError: The table is not in the folder.
    """
    path = Path(folder) / layout.tags[split]
    clip_ids, weak_labels = read_weak_table(path, class_names)
    tags = read_modality_tags(path, clip_ids, weak_labels, class_names)
    demo = (Path(folder) / WORLD_FILE).is_file()
    found = Split(split, clip_ids, tuple(class_names), weak_labels, modality_tags=tags, of_demo=demo)
    if not any_length:
        return found
    seconds = read_clip_seconds(path, clip_ids)
    lasts = np.array([segments_of(one, Grid()) for one in seconds.tolist()])
    refuse_too_many_marks((len(lasts), int(lasts.max())), f"{path}: {split}")
    return replace(found, valid=np.arange(lasts.max()) < lasts[:, np.newaxis], clip_seconds=seconds)


def read_clip_seconds(path: Path, clip_ids: Sequence[str]) -> Float64Array:
    """How long each clip lasts, float64 [N], as the column `seconds` of a table of tags says.

    Raises:
        ValueError: There is no such column, or a cell holds no time that a clip lasts; names file and clip.
    """
    found = _column(path, SECONDS_COLUMN)
    if not found:
        raise ValueError(
            f"{path}: the clips of this data set are of unlike length (segments: null in its description), and the "
            f"table has no column {SECONDS_COLUMN} that says how long each lasts; add it, or say a number of segments"
        )
    lasts = {clip_id: plain_seconds(found[clip_id]) for clip_id in clip_ids}
    for clip_id, seconds in lasts.items():
        if seconds is None or not 0 < seconds <= MOST_SEGMENTS:
            raise ValueError(
                f"{path}: {SECONDS_COLUMN} must say how long {clip_id} lasts, more than 0 and at most "
                f"{MOST_SEGMENTS:,}, got {found[clip_id]!r}"
            )
    return np.array(list(lasts.values()), dtype=np.float64)


def refuse_too_many_marks(shape: Sequence[int], where: str, seconds: float = 1.0) -> None:
    """Refuse marks of a split that would not fit into memory, before they are made.

    Raises:
        ValueError: They are more than MOST_CELLS.
    """
    if (cells := np.prod(shape, dtype=float)) > MOST_CELLS:
        raise ValueError(
            f"{where} has {cells:,.0f} marks on segments of {seconds:g} s, more than {MOST_CELLS:,}; take longer "
            "segments, or split it"
        )


def read_weak_table(path: Place | str, class_names: Sequence[str]) -> tuple[tuple[str, ...], BoolArray]:
    """Read a table of clips and their tags.

    Args:
        path: a table with the columns filename and event_labels.
        class_names: every class the table may name, in the order wanted on the class axis.

    Returns:
        The clip ids in table order and bool [N, C].

    Raises:
        ValueError: The table is not in that layout, is empty, or names a clip twice or an unknown class.
        FileNotFoundError: There is no such file.
    """
    path = place_of(path)
    class_index, names_in = {name: index for index, name in enumerate(class_names)}, name_splitter(class_names)
    tags: dict[str, list[int]] = {}
    unknown: dict[str, int] = {}
    for line, (clip_id, labels) in _annotation_rows(path, WEAK_COLUMNS):
        if clip_id in tags:
            raise ValueError(f"{path}:{line}: clip {clip_id!r} stands here a second time; keep one row for each clip")
        for name in names_in(labels):
            if name not in class_index:
                unknown.setdefault(name, line)
        tags[clip_id] = [class_index[name] for name in names_in(labels) if name in class_index]
    if unknown:
        raise _unknown_class(f"{path}:{next(iter(unknown.values()))}", list(unknown), class_names)
    if not tags:
        raise ValueError(f"{path}: expected at least one clip under the header, got none; is the file cut off?")
    weak_labels = np.zeros((len(tags), len(class_names)), dtype=np.bool_)
    for row, present in enumerate(tags.values()):
        weak_labels[row, present] = True
    return tuple(tags), weak_labels


def read_modality_tags(
    path: Place | str, clip_ids: Sequence[str], weak_labels: BoolArray, class_names: Sequence[str]
) -> BoolArray | None:
    """Read which tags of a table are heard and which are seen.

    Args:
        path: A table of tags.
        clip_ids: Its clips, from `read_weak_table`.
        weak_labels: bool [N, C], their tags, likewise.
        class_names: Those it was read with.

    Returns:
        bool [N, M, C]; None where the table has no columns for it.

    Raises:
        ValueError: The table has one of the two columns, a class is unknown, or tags of the modalities are not those of
            the clip; says file and clip.
    """
    path = place_of(path)
    columns = {name: held for name in MODALITY_COLUMNS if (held := _column(path, name))}
    if not columns:
        return None
    if lacking := [name for name in MODALITY_COLUMNS if name not in columns]:
        raise ValueError(
            f"{path}: has a column {' and '.join(columns)} and none {lacking[0]}; tags of modalities need both"
        )
    place, names_in = {name: index for index, name in enumerate(class_names)}, name_splitter(class_names)
    found = np.zeros((len(clip_ids), len(MODALITIES), len(class_names)), dtype=np.bool_)
    for row, clip_id in enumerate(clip_ids):
        for modality, name in enumerate(MODALITY_COLUMNS):
            tags = names_in(columns[name][clip_id])
            if unknown := [tag for tag in tags if tag not in place]:
                raise _unknown_class(f"{path}: {name} of {clip_id}", unknown, class_names)
            found[row, modality, [place[tag] for tag in tags]] = True
    try:
        check_modality_tags(found, weak_labels, clip_ids, class_names)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def read_clip_ids(path: Place | str) -> tuple[str, ...]:
    """The clips of a table of tags, whatever its vocabulary.

    Raises:
        ValueError: The table is not in that layout.
        FileNotFoundError: There is no such file.
    """
    return tuple(cells[0] for _, cells in _annotation_rows(place_of(path), WEAK_COLUMNS))


def read_manifest(path: Place | str, class_names: Sequence[str]) -> HarvestManifest:
    """Read the clips to harvest and their tags from a table of tags.

    Raises:
        ValueError: As in `read_weak_table`, there is no such file, or a clip id is no plain file name.
    """
    try:
        clip_ids, weak_labels = read_weak_table(path, class_names)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: the manifest cannot be read; there is no such file") from error
    try:
        paths = _column(place_of(path), PATH_COLUMN)
        listed = tuple(paths[clip_id] for clip_id in clip_ids) if paths else ()
        tags = read_modality_tags(path, clip_ids, weak_labels, class_names)
        return HarvestManifest(clip_ids, tuple(class_names), weak_labels, listed, tags)
    except ValueError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error


def _column(path: Place, name: str) -> Mapping[str, str]:
    """What a further column of a table of tags says of its clips; nothing where there is no such column."""
    rows = read_rows(path)
    header = header_names([cell.strip() for cell in next(rows, (0, []))[1]])
    if name not in header:
        return {}
    clip, column = header.index(WEAK_COLUMNS[0]), header.index(name)
    return {composed(cells[clip]): cells[column].strip() if column < len(cells) else "" for _, cells in rows}


def read_event_table(path: Path | str, class_names: Sequence[str]) -> list[tuple[str, int, int, int]]:
    """Read the rows of an event table as they stand: nothing is merged, dropped or cut.

    Args:
        path: a table with the columns filename, onset, offset and event_labels.
        class_names: every class the table may name, in the order wanted on the class axis.

    Returns:
        Rows (clip id, onset, offset, class index) in table order, times in whole seconds, perhaps reversed.

    Raises:
        ValueError: The table is not in that layout, or a row names an unknown class or a time that is no whole second.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    class_index, name_in = {name: index for index, name in enumerate(class_names)}, name_reader(class_names)
    rows = []
    for line, (clip_id, *times, label) in _annotation_rows(path, EVENT_COLUMNS):
        seconds = []
        for cell in times:
            time = plain_seconds(cell)
            if time is None or not time.is_integer():
                raise ValueError(
                    f"{path}:{line}: expected a whole number of seconds from the start of the clip, got {cell!r}"
                )
            seconds.append(int(time))
        if (name := name_in(label)) not in class_index:
            raise _unknown_class(f"{path}:{line}", [name], class_names)
        onset, offset = seconds
        rows.append((clip_id, onset, offset, class_index[name]))
    return rows


def write_weak_table(
    path: Path | str,
    clip_ids: Sequence[str],
    weak_labels: BoolArray,
    class_names: Sequence[str],
    paths: Sequence[str] = (),
    seconds: Sequence[float] = (),
    *,
    modality_tags: BoolArray | None = None,
) -> None:
    """Write a table of clips and their tags.

    Args:
        path: file to write, replaced as a whole.
        clip_ids: N unique names.
        weak_labels: bool [N, C].
        class_names: C names without tabs or line breaks.
        paths: where the media of each clip lie, for the column `path`; without, there is no such column.
        seconds: how long each clip lasts, for the column `seconds`; without, there is no such column.
        modality_tags: bool [N, M, C], which tags are heard and which are seen, for columns of their own.

    Raises:
        ValueError: The lengths do not belong together, or a name would break the table.
    """
    if weak_labels.dtype != np.bool_ or weak_labels.shape != (len(clip_ids), len(class_names)):
        raise ValueError(
            f"weak_labels must be bool [clips, classes] ({len(clip_ids)}, {len(class_names)}), "
            f"got {weak_labels.dtype} {weak_labels.shape}"
        )
    check_names((), class_names)
    if modality_tags is not None:
        check_modality_tags(modality_tags, weak_labels, clip_ids, class_names)
    names_in = name_splitter(class_names)

    def cell(tags: BoolArray) -> str:
        names = [class_names[index] for index in np.flatnonzero(tags).tolist()]
        if names_in(text := join_names(names)) != names:
            raise ValueError(f"the tags {names} would be read back as {names_in(text)}; rename one of the classes")
        return text

    columns, rows = list(WEAK_COLUMNS), list[tuple[str, ...]]()
    rows += [(clip_id, cell(tags)) for clip_id, tags in zip(clip_ids, weak_labels, strict=True)]
    by_modality = () if modality_tags is None else modality_tags.swapaxes(0, 1)
    tracks = [[cell(tags) for tags in track] for track in by_modality]
    named = ((PATH_COLUMN, paths), (SECONDS_COLUMN, [seconds_text(one) for one in seconds]))
    for name, further in (*named, *zip(MODALITY_COLUMNS, tracks, strict=False)):
        if further:
            columns.append(name)
            rows = [(*row, text) for row, text in zip(rows, further, strict=True)]
    write_rows(Path(path), columns, rows, clip_ids=clip_ids, class_names=class_names)


def write_event_table(path: Path | str, rows: Iterable[tuple[str, int, int, str]]) -> None:
    """Write an event table.

    Args:
        path: file to write, replaced as a whole.
        rows: (clip id, onset, offset, class name) in whole seconds, half open.

    Raises:
        ValueError: A time is no whole second, an event lasts no time, or a name would break the table.
    """
    rows = list(rows)
    for row in rows:
        _, onset, offset, _ = row
        if onset != int(onset) or offset != int(offset) or not 0 <= onset < offset:
            raise ValueError(
                f"an event row needs whole seconds with 0 <= onset < offset, got {row}; round the event first"
            )
    cells = [(clip_id, str(int(onset)), str(int(offset)), class_name) for clip_id, onset, offset, class_name in rows]
    clip_ids, class_names = ({row[column] for row in cells} for column in (0, 3))
    write_rows(Path(path), EVENT_COLUMNS, cells, clip_ids=sorted(clip_ids), class_names=sorted(class_names))


def _mark_events(track: BoolArray, path: Path, clip_ids: Sequence[str], class_names: Sequence[str]) -> None:
    """Mark the events of a table in bool [N, T, C], by the rules at the top of this file."""
    row_of = {clip_id: row for row, clip_id in enumerate(clip_ids)}
    for clip_id, onset, offset, class_index in read_event_table(path, class_names):
        if clip_id in row_of:
            track[row_of[clip_id], onset:offset, class_index] = True


def _annotation_rows(path: Place, columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows of a table of an annotation folder; says what such a folder holds where it is not there."""
    try:
        yield from checked_rows(path, columns)
    except FileNotFoundError:
        if path.name not in (*WEAK_TABLES.values(), *(name for tables in EVENT_TABLES.values() for name in tables)):
            raise FileNotFoundError(f"{path}: no such annotation table; put it there") from None
        raise FileNotFoundError(
            f"{path}: no such annotation table; for clips of your own `valor new-dataset` makes a folder of tables, "
            "`valor view` and `valor import events` one of corrections; one of LLP holds "
            f"{', '.join(WEAK_TABLES.values())} and {', '.join(EVENT_TABLES['v2024'])} "
            "(`valor download annotations --out DIR` fetches them)"
        ) from None


def _unknown_class(where: str, names: Sequence[str], class_names: Sequence[str]) -> ValueError:
    if any('"' in name for name in names):  # a quoted one with commas was taken apart
        names = split_names(", ".join(names)) or names
    more = (
        f" (and further on {', '.join(map(repr, names[1:6]))}{', ...' if len(names) > 6 else ''})" if names[1:] else ""
    )
    return ValueError(
        f"{where}: unknown class {names[0]!r}{did_you_mean(names[0], class_names)}{more}; known are "
        f"{list_names(class_names)}; correct the row, or the name among these, or choose the vocabulary the "
        "table was written with"
    )
