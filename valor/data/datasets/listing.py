"""What a data set of one's own begins with: a table of clips and their tags, and one of what is heard and seen when.

    path,tags,split,group                 clips/yard-01.mp4,"Dog,Siren",train,yard
    path,audio_tags,visual_tags           clips/yard-01.mp4,"Dog,Siren",Dog
    path,onset,offset,class,modality      clips/yard-01.mp4,2,4.5,Dog,both
    filename,onset,offset,event_labels,modality   yard-01,2,4.5,Dog,audio    (as `valor export events --csv` writes)

Columns stand in any order; `split`, `group` and `seconds` may be absent, further ones are passed over; tables of events
are read by `valor.data.event_rows`. Where it is known which tags are heard and which are seen, `audio_tags` and
`visual_tags` say it; `tags`, if it is there too, is the union of both. Where the header holds a tab, tabs separate the
cells and quotes are letters, as in all tables here (`valor.data.rows`); else commas or semicolons do, and a cell that
holds one stands in double quotes. A clip goes by the name of its file without the ending.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.store.manifest import check_clip_id, composed

from ..event_rows import read_event_rows
from ..names import name_splitter, split_names
from ..rows import delimiter_of, plain_seconds, read_rows
from ..tables import MODALITY_COLUMNS, MOST_SEGMENTS

SPLITS = ("train", "val", "test")
"""What the column `split` may say."""
_CUT = re.compile(r"(_[0-9]+_[0-9]+|\+[0-9]+)$")
"""Behind the name of a video, where a clip is a piece of it (VIDEO_10_20) or a further event (VIDEO+2)."""


@dataclass(frozen=True)
class ListedClip:
    """A row of the table of clips."""

    clip_id: str
    path: str
    tags: tuple[str, ...]
    split: str
    """Empty where the table has no such column."""
    group: str
    """What must not lie on both sides of a split; empty where the table has no such column."""
    seconds: float | None
    """How long it lasts; None where the table has no such column."""
    where: str
    """File and line, for messages."""
    modality_tags: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    """Those of the tags that are heard, and those that are seen; None where the table does not say it."""

    def source(self, group_by: str) -> str:
        """What the clip was cut from: its group, else by the name or the folder of its file."""
        folder = composed(str(PurePosixPath(self.path).parent))
        return composed(self.group) or (folder if group_by == "folder" else _CUT.sub("", self.clip_id))


@dataclass(frozen=True)
class ListedRow:
    """A row of the table of what is heard and seen, in seconds from the start of its clip; of no modality: nothing."""

    clip_id: str
    class_name: str
    modalities: tuple[str, ...]
    onset: float
    offset: float
    where: str


def read_listing(path: Path, known: Sequence[str] | None = None) -> tuple[ListedClip, ...]:
    """Read a table of clips and their tags.

    Args:
        path: The table.
        known: The classes, where they are known; a tag that is none of them is refused.

    Raises:
        ValueError: A row is damaged, repeats a clip or a name, or says a split that there is not; names file and line.
        FileNotFoundError: There is no such file.
    """
    names_in = split_names if known is None else name_splitter(known)
    clips: dict[str, ListedClip] = {}
    further = ("tags", *MODALITY_COLUMNS, "split", "group", "seconds")
    for where, cells in _named_rows(path, ("path",), further):
        clip_id = _clip_id(cells["path"], where)
        if (held := clips.get(clip_id)) is not None:
            same = "the same file" if held.path == cells["path"] else f"with {held.path}, whose name is the same"
            raise ValueError(f"{where}: clip {clip_id} stands in {held.where} already, {same}; rename or remove one")
        tags, by_modality = _tags_in(cells, names_in, where)
        if not tags:
            raise ValueError(f"{where}: a clip needs a tag, got none for {cells['path']}; tag it or take the row away")
        for tag in tags if known is not None else ():
            _refuse_unknown(tag, known or (), where)
        split = cells.get("split", "")
        if "split" in cells and split not in SPLITS:
            raise ValueError(
                f"{where}: split must be one of {', '.join(SPLITS)}, got {split!r}{did_you_mean(split, SPLITS)}"
            )
        if "group" in cells and not cells["group"]:
            raise ValueError(f"{where}: the column group is empty here; name what the clip was cut from in every row")
        seconds = plain_seconds(cells["seconds"]) if "seconds" in cells else None
        if "seconds" in cells and (seconds is None or not 0 < round(seconds, 6) <= MOST_SEGMENTS):
            raise ValueError(f"{where}: seconds must say how long the clip lasts, got {cells['seconds']!r}")
        clips[clip_id] = ListedClip(
            clip_id, cells["path"], tags, split, cells.get("group", ""), seconds, where, by_modality
        )
    if not clips:
        raise ValueError(f"{path}: expected at least one clip under the header, got none; is the file cut off?")
    return tuple(clips.values())


def _tags_in(
    cells: Mapping[str, str], names_in: Callable[[str], list[str]], where: str
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]] | None]:
    """(the tags of a row, those that are heard and those that are seen where it says so)."""
    held = [name for name in MODALITY_COLUMNS if name in cells]
    if len(held) == 1 or ("tags" not in cells and not held):
        raise ValueError(
            f"{where}: the table needs a column tags, or {' and '.join(MODALITY_COLUMNS)} together, and has "
            f"{', '.join(held) or 'none of them'}"
        )
    tags = tuple(dict.fromkeys(names_in(cells.get("tags", ""))))
    if not held:
        return tags, None
    heard, seen = (tuple(dict.fromkeys(names_in(cells[name]))) for name in MODALITY_COLUMNS)
    union = tuple(dict.fromkeys((*heard, *seen)))
    if "tags" in cells and set(tags) != set(union):
        raise ValueError(
            f"{where}: tags must be those that are heard and those that are seen together, {', '.join(union)}, got "
            f"{', '.join(tags)}; leave the column tags out, or correct one of the three"
        )
    return union, (heard, seen)


def refuse_split_sources(clips: Sequence[ListedClip], splits: Sequence[str], group_by: str) -> None:
    """Refuse splits with pieces of one source on both sides.

    Raises:
        ValueError: There are some; names two clips.
    """
    first: dict[str, tuple[str, ListedClip]] = {}
    for clip, split in zip(clips, splits, strict=True):
        source = clip.source(group_by)
        other_split, other = first.setdefault(source, (split, clip))
        if other_split != split:
            raise ValueError(
                f"{clip.where}: {clip.clip_id} is of {source} and in {split}, but {other.clip_id} of the same source "
                f"is in {other_split} ({other.where}): a parser would be tested on what it learned from; put both into "
                "one split, or say in a column `group` what the clips were cut from"
            )


def names_by_frequency(clips: Sequence[ListedClip]) -> tuple[str, ...]:
    """The tags of all clips, the commonest first, those that are equally common by the alphabet.

    Raises:
        ValueError: Two of them differ in case alone, or in how an accent is composed.
    """
    counts = Counter(tag for clip in clips for tag in clip.tags)
    alike: dict[str, str] = {}
    for name in counts:
        if (other := alike.setdefault(composed(name.casefold()), name)) != name:
            where = next(clip.where for clip in clips if name in clip.tags)
            told = "in case alone; spell them alike, or list both in `classes`"
            if composed(other) == composed(name):
                told = "in how an accent is composed alone; spell them alike"
            raise ValueError(f"{where}: the classes {other} and {name} differ {told}")
    return tuple(sorted(counts, key=lambda name: (-counts[name], name)))


def read_listed_rows(path: Path, clips: Sequence[ListedClip], known: Sequence[str]) -> tuple[ListedRow, ...]:
    """Read a table of what is heard and seen when.

    Args:
        path: The table.
        clips: The clips it may name.
        known: The classes it may name.

    Raises:
        ValueError: A row is of no clip, of an unknown class or modality, or its times are none; names file and line.
        FileNotFoundError: There is no such file.
    """
    by_path = {clip.path: clip.clip_id for clip in clips}
    exported = {composed(PurePosixPath(clip.path).name): clip.clip_id for clip in clips}
    exported |= {clip.clip_id: clip.clip_id for clip in clips}
    rows = []
    for row in read_event_rows(path):
        clip_id = by_path.get(row.path) or exported.get(composed(row.path))
        if clip_id is None:
            hint = did_you_mean(row.path, list(by_path))
            raise ValueError(
                f"{row.where}: {row.path} is no path of the table of clips{hint}; they match letter by letter"
            )
        if row.modalities:
            _refuse_unknown(row.class_name, known, row.where)
        if row.modalities and row.onset >= row.offset:
            raise ValueError(
                f"{row.where}: an event ends after it begins, got {row.onset:g} to {row.offset:g} s; correct the row"
            )
        rows.append(ListedRow(clip_id, row.class_name, row.modalities, row.onset, row.offset, row.where))
    return tuple(rows)


def _named_rows(path: Path, needed: Sequence[str], possible: Sequence[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(file and line, cells by column) of every row of a table, cells without the spaces around them."""
    rows = read_rows(path, delimiter=(delimiter := delimiter_of(path)))
    columns = [name.strip().lower() for name in next(rows, (0, []))[1]]
    counts = Counter(columns)
    if wrong := [name for name in (*needed, *possible) if not (name in needed) <= counts[name] <= 1]:
        raise ValueError(
            f"{path}: expected a table with the columns {', '.join(needed)}, separated by tabs, commas or semicolons, "
            f"each once; {', '.join(wrong)} is not in its header {delimiter.join(columns)!r:.200} just once"
        )
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) < len(columns) or any(cell.strip() for cell in cells[len(columns) :]):
            raise ValueError(
                f"{where}: expected {len(columns)} cells, got {len(cells)}, {cells!r:.200}; a cell that holds a comma "
                'stands in double quotes: "Dog,Cat"'
            )
        found = {name: cells[columns.index(name)].strip() for name in (*needed, *possible) if name in columns}
        if torn := next((cell for cell in found.values() if not cell.isprintable()), None):
            raise ValueError(f"{where}: expected plain text in one line, got {torn!r:.200}; is a quote missing?")
        yield where, found


def _clip_id(path: str, where: str) -> str:
    clip_id = composed(PurePosixPath(path).stem)
    try:
        check_clip_id(clip_id)
        if "," in clip_id:
            raise ValueError(f"the name of a clip holds no comma, got {clip_id!r}; rename the file")
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return clip_id


def _refuse_unknown(name: str, known: Sequence[str], where: str) -> None:
    if name not in known:
        raise ValueError(
            f"{where}: unknown class {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}; correct the "
            "row, or list it in `classes`"
        )
