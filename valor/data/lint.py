"""Defects of an annotation folder, all of them with file and line, and what the published scorer does about each.

`DEFECTS` is the table of kinds. Most defects of the real tables change nothing or little and are scored as they always
were: the policy of a kind says how, and `read_split` does the same. Where no rule covers a defect, `read_split` refuses
the table. Reading here is tolerant: a row that cannot be understood is a finding, and the next row is read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from valor.eval.events import MODALITIES
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.store.manifest import media_id

from .datasets.dataset import LLP, DataSet
from .names import name_reader, name_splitter
from .rows import EVENT_COLUMNS, WEAK_COLUMNS, plain_seconds, table_rows
from .tables import read_modality_tags, read_weak_table


@dataclass(frozen=True)
class Defect:
    """A kind of finding."""

    title: str
    """What is wrong, for a heading."""
    policy: str
    """What the published scorer silently does, and `read_split` with it."""
    severity: str = "defect"
    """refused: `read_split` stops at it; defect: scored as the policy says; note: may be right as it stands."""

    @property
    def stops(self) -> bool:
        """Whether `read_split` refuses a table with this defect."""
        return self.severity == "refused"


DEFECTS: dict[str, Defect] = {
    "refused-split": Defect("split that its data set's own reader refuses", "refused when it is read", "refused"),
    "missing-table": Defect("table is not there", "refused when its split is read", "refused"),
    "no-table": Defect("file is no table of this kind", "refused when its split is read", "refused"),
    "columns": Defect("row with another number of columns", "refused", "refused"),
    "seconds": Defect("clips of unlike length that do not say how long they last", "refused", "refused"),
    "unknown-class": Defect("unknown class", "refused", "refused"),
    "time": Defect("time that is no whole second from 0 on", "refused", "refused"),
    "bad-times": Defect("event that is reversed or ends beyond its clip", "refused", "refused"),
    "modality": Defect("modality that is none of A, V and AV", "refused", "refused"),
    "meta-label": Defect("meta label that is neither True nor False", "refused", "refused"),
    "meta-differs": Defect("meta label on which the rows of a clip disagree", "refused", "refused"),
    "split": Defect("split of an unknown name", "refused", "refused"),
    "shared-clip": Defect("clip of train that is in test", "refused", "refused"),
    "repeated-clip": Defect("clip with a second row of tags", "refused", "refused"),
    "two-splits": Defect("clip in two splits", "read in both: a parser is tested on what it learned from"),
    "second-row": Defect("clip with a second row in its split, of another class", "both read, the second as CLIP+2"),
    "same-media": Defect("clips of one media id", "both read; the published files of one overwrite the other's"),
    "modality-tags": Defect("tags of modalities that are not those of the clip", "refused", "refused"),
    "no-tags": Defect("clip without tags", "read as it is", "note"),
    "repeated-tag": Defect("tag given twice", "counts once"),
    "modalities-differ": Defect("tag given twice, of unlike modalities", "counts in the modalities of both"),
    "no-class-list": Defect("classes that no list says", "the labels that occur, misspelt ones too", "note"),
    "left-out-tag": Defect("tag that is no class, known to stand in the published tables", "left out"),
    "spaced-tag": Defect("tag with white space around it", "read without it"),
    "union-differs": Defect(
        "tags of both modalities together that are not those of the two", "the tags of the two are read"
    ),
    "no-durations": Defect(
        "events of videos nobody says the length of",
        "each ends with its last row, and what is marked behind it is not counted as false",
        "note",
    ),
    "one-second": Defect("event that ends in the second in which it starts", "marks that second", "note"),
    "background": Defect("clip without any second of its class", "read as background, without a tag", "note"),
    "orphan": Defect("events of no annotated clip", "left out: names must match letter by letter"),
    "no-length": Defect("event that ends where or before it starts", "left out: marks nothing"),
    "beyond-clip": Defect("event that ends beyond its clip", "cut at the end of the clip"),
    "duplicate": Defect("same event twice", "merged: counts once"),
    "overlap": Defect("event that overlaps the one before it of its class", "merged into one event"),
    "inside": Defect("event inside an earlier one of its class, others between", "merged into one event"),
    "touch": Defect("event that starts where the one before it of its class ends", "merged into one event"),
    "outside-tags": Defect(
        "event of a class its clip is not tagged with", "counts: tags are no bound on the truth", "note"
    ),
    "size": Defect("split of another size than published", "read as it is", "note"),
    "overlap-seconds": Defect(
        "event in seconds that begins before one of its class ends", "two events of mAP, one on segments", "note"
    ),
    "one-on-segments": Defect(
        "two events of a class with no segment of a second between them", "two events of mAP, one on segments", "note"
    ),
    "no-rows": Defect("clip without any row", "scored as a clip in which nothing is heard (or seen)", "note"),
    "no-events": Defect("clip with rows that mark nothing", "scored as a clip in which nothing is heard (or seen)"),
    "tags-differ": Defect("tags other than the classes of the rows", "scored as they stand; tags play no part"),
    "labels-differ": Defect("published labels that are not those of the annotation", "the annotation is read"),
    "tags-unmarked": Defect("tag whose rows mark nothing", "scored as they stand; tags play no part", "note"),
    "sound-off": Defect("clip whose sound is off its picture", "read as it is, each stream at its own times"),
}
"""Every kind of finding, in the order of a report."""


@dataclass(frozen=True)
class Finding:
    """One defect at one place."""

    kind: str
    """A key of DEFECTS."""
    file: str
    """Name of the table."""
    line: int | None
    """Line of the row, or of the first such row; None for what is not there."""
    clip_id: str | None
    message: str

    @property
    def policy(self) -> str:
        """What the published scorer silently does about it."""
        return DEFECTS[self.kind].policy

    def __str__(self) -> str:
        """Place and message."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(filter(None, (place, self.clip_id, self.message)))


@dataclass(frozen=True)
class LintReport:
    """Everything found in a folder."""

    folder: Path
    findings: tuple[Finding, ...]
    """In the order of DEFECTS, then of the tables."""
    clips: Mapping[str, int]
    """How many clips each split has."""

    def of(self, kind: str, file: str | None = None) -> tuple[Finding, ...]:
        """Findings of one kind, perhaps of one table."""
        return tuple(finding for finding in self.findings if finding.kind == kind and file in (None, finding.file))

    def counts(self) -> dict[str, dict[str, int]]:
        """Number of findings of each kind that occurs, by table."""
        counted: dict[str, Counter[str]] = {}
        for finding in self.findings:
            counted.setdefault(finding.kind, Counter())[finding.file] += 1
        return {kind: dict(by_file) for kind, by_file in counted.items()}

    def severities(self) -> Counter[str]:
        """Number of findings that are refused, defects and notes."""
        return Counter(DEFECTS[finding.kind].severity for finding in self.findings)


def lint_folder(
    folder: Path | str,
    class_names: Sequence[str] | None = None,
    *,
    dataset: DataSet = LLP,
    truth_version: str | None = None,
) -> LintReport:
    """Look for defects in every table of an annotation folder.

    Args:
        folder: folder of the tables.
        class_names: every class the tables may name; None for those of the data set.
        dataset: what the folder holds. Of one with a reader of its own, its `defects`, and whether it reads each split.
        truth_version: which event tables to look at; None for the first.

    Returns:
        All findings; a folder without one has none.

    Raises:
        ValueError: The truth version is unknown.
        FileNotFoundError: The folder holds no annotation table at all.
    """
    folder, versions = Path(folder), dataset.layout.events
    truth_version = truth_version or next(iter(versions), "")
    if versions and truth_version not in versions:
        raise ValueError(
            f"truth_version must be one of {', '.join(versions)}, got {truth_version!r}"
            f"{did_you_mean(truth_version, versions)}"
        )
    class_names = class_names or dataset.names
    if dataset.reader is not None:
        return _read_by_its_own(folder, class_names, dataset, truth_version)
    event_tables = versions[truth_version]
    names = (*dataset.layout.tags.values(), *event_tables)
    if not any((folder / name).is_file() for name in names):
        raise FileNotFoundError(f"{folder}: no annotation table here; a folder of them holds {', '.join(names)}")
    notes = _Notes()
    tags = {split: _read_tags(folder / name, class_names, notes) for split, name in dataset.layout.tags.items()}
    _compare_splits(tags, notes)
    ends = _ends(folder, dataset, class_names, notes)
    annotated = {split: tags[split] for split in dataset.annotated}
    known = {clip_id: of for clips in annotated.values() for clip_id, of in clips.items()}
    rows: list[_Row] = []
    for modality, name in zip(MODALITIES, event_tables, strict=True):
        of_table = _read_events(folder / name, modality, class_names, notes)
        if known:
            _find_orphans(of_table, tags, tuple(annotated), notes)
            _compare_with_tags(of_table, known, notes)
        _compare_rows(of_table, ends, dataset.segments, notes)
        rows += of_table
    for split in annotated:
        _compare_clips(split, tags[split], rows, event_tables, notes)
    order = list(DEFECTS)
    found = sorted(notes.findings, key=lambda finding: order.index(finding.kind))
    return LintReport(folder, tuple(found), {split: len(clips) for split, clips in tags.items()})


def with_findings(report: LintReport, kind: str, found: Iterable[tuple[str, str, str]]) -> LintReport:
    """A report with findings that tables do not show: (file, clip, message) of a kind that comes last."""
    more = (Finding(kind, file, None, clip_id, message) for file, clip_id, message in found)
    return replace(report, findings=(*report.findings, *more))


def _read_by_its_own(folder: Path, names: Sequence[str], dataset: DataSet, version: str) -> LintReport:
    """What a data set with a reader of its own knows to be wrong, and what its reader refuses."""
    notes, clips = _Notes(), {}
    for kind, file, line, clip_id, message in dataset.defects(folder, tuple(names)) if dataset.defects else ():
        notes.add(kind, (file, line), clip_id, message)
    for split in dataset.splits:
        try:
            clips[split] = len(dataset.read_split(folder, split, names, truth_version=version or None).clip_ids)
        except (OSError, ValueError) as error:
            notes.add("refused-split", (split, None), None, str(error))
    order = list(DEFECTS)
    found = sorted(notes.findings, key=lambda finding: order.index(finding.kind))
    return LintReport(folder, tuple(found), clips)


def to_text(report: LintReport, *, limit: int = 3) -> str:
    """Write a report: each kind with its number by table, its policy, and its first findings.

    Args:
        report: what `lint_folder` found.
        limit: how many findings of each kind and table to show.
    """
    splits = ", ".join(f"{count:,} {split}" for split, count in report.clips.items())
    lines = [f"{report.folder}: {len(report.findings)} findings in tables of {splits} clips"]
    for kind, by_file in report.counts().items():
        defect = DEFECTS[kind]
        lines += ["", f"{defect.title}: {sum(by_file.values())}   [{kind}] {defect.policy}"]
        for file, count in by_file.items():
            lines += [f"  {finding}" for finding in report.of(kind, file)[:limit]]
            lines += [f"  ... and {count - limit} more in {file}"] if count > limit else []
    return "\n".join(lines)


@dataclass(frozen=True)
class _Row:
    """One row of an event table that could be understood."""

    file: str
    line: int
    modality: str
    clip_id: str
    class_name: str
    onset: int
    offset: int

    @property
    def marks(self) -> bool:
        return self.onset < self.offset


@dataclass(frozen=True)
class _Tags:
    """The row of a clip in a table of tags."""

    file: str
    line: int
    names: frozenset[str]


@dataclass
class _Notes:
    """Findings as they come."""

    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, where: "_Row | _Tags | tuple[str, int | None]", clip_id: str | None, message: str) -> None:
        file, line = where if isinstance(where, tuple) else (where.file, where.line)
        self.findings.append(Finding(kind, file, line, clip_id, message))


def _rows(path: Path, columns: Sequence[str], notes: _Notes) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows of the right width; everything else is noted."""
    try:
        for row in table_rows(path, columns):
            if row.fault:
                notes.add("columns", (path.name, row.line), None, row.fault)
            else:
                yield row.line, row.cells
    except FileNotFoundError:
        notes.add("missing-table", (path.name, None), None, "no such file")
    except ValueError as error:
        notes.add("no-table", (path.name, None), None, str(error).removeprefix(f"{path}: "))


def _read_tags(path: Path, class_names: Sequence[str], notes: _Notes) -> dict[str, _Tags]:
    """The tags of each clip of a split."""
    tags: dict[str, _Tags] = {}
    names_in = name_splitter(class_names)
    for line, (clip_id, labels) in _rows(path, WEAK_COLUMNS, notes):
        where = (path.name, line)
        names = names_in(labels)
        if not names:
            notes.add("no-tags", where, clip_id, "no tag")
        for name, count in Counter(names).items():
            _check_class(name, class_names, where, clip_id, notes)
            if count > 1:
                notes.add("repeated-tag", where, clip_id, f"{name} stands {count} times")
        if clip_id in tags:
            notes.add("repeated-clip", where, clip_id, f"stands in line {tags[clip_id].line} already")
        else:
            tags[clip_id] = _Tags(path.name, line, frozenset(names) & frozenset(class_names))
    try:
        clip_ids, weak_labels = read_weak_table(path, class_names)
    except (OSError, ValueError):
        return tags  # as is found above
    try:
        read_modality_tags(path, clip_ids, weak_labels, class_names)
    except ValueError as error:
        notes.add("modality-tags", (path.name, None), None, str(error).removeprefix(f"{path}: "))
    return tags


def _read_events(path: Path, modality: str, class_names: Sequence[str], notes: _Notes) -> list[_Row]:
    """The rows of an event table that can be understood."""
    rows, name_in = [], name_reader(class_names)
    for line, (clip_id, *cells, label) in _rows(path, EVENT_COLUMNS, notes):
        where, class_name, times = (path.name, line), name_in(label), []
        known = _check_class(class_name, class_names, where, clip_id, notes)
        for cell in cells:
            time = plain_seconds(cell)
            if time is None or not time.is_integer():
                notes.add("time", where, clip_id, f"expected whole seconds from the start of the clip, got {cell!r}")
            else:
                times.append(int(time))
        if known and len(times) == len(cells):
            rows.append(_Row(path.name, line, modality, clip_id, class_name, *times))
    return rows


def _check_class(name: str, class_names: Sequence[str], where: tuple[str, int], clip_id: str, notes: _Notes) -> bool:
    if name not in class_names:
        notes.add("unknown-class", where, clip_id, f"unknown class {name!r}{did_you_mean(name, class_names)}")
    return name in class_names


def _compare_splits(tags: Mapping[str, Mapping[str, _Tags]], notes: _Notes) -> None:
    """Names and media ids that occur twice."""
    first: dict[str, tuple[str, str]] = {}
    for split, clips in tags.items():
        for clip_id, where in clips.items():
            other_split, other = first.setdefault(media_id(clip_id), (split, clip_id))
            if other == clip_id and other_split != split:
                notes.add("two-splits", where, clip_id, f"is in {other_split} as well")
            elif other != clip_id:
                notes.add("same-media", where, clip_id, f"shares its media id with {other} of {other_split}")


def _find_orphans(
    rows: Iterable[_Row], tags: Mapping[str, Mapping[str, _Tags]], annotated: Sequence[str], notes: _Notes
) -> None:
    """Names of event rows that are no clip of an annotated split, each once."""
    known = {clip_id for split in annotated for clip_id in tags[split]}
    others = {clip_id: split for split, clips in tags.items() if split not in annotated for clip_id in clips}
    of_name = defaultdict(list)
    for row in rows:
        if row.clip_id not in known:
            of_name[row.clip_id].append(row)
    for name, its_rows in of_name.items():
        hint = f" (a clip of {others[name]})" if name in others else did_you_mean(name, list(known))
        where = " or ".join(annotated)
        notes.add("orphan", its_rows[0], name, f"no clip of {where}{hint}; rows: {len(its_rows)}")


def _compare_with_tags(rows: Iterable[_Row], known: Mapping[str, _Tags], notes: _Notes) -> None:
    for row in rows:
        if row.clip_id in known and row.class_name not in known[row.clip_id].names:
            listed = ", ".join(sorted(known[row.clip_id].names)) or "nothing"
            notes.add("outside-tags", row, row.clip_id, f"{row.class_name} is no tag of it, which has {listed}")


def _ends(folder: Path, dataset: DataSet, class_names: Sequence[str], notes: _Notes) -> Mapping[str, int]:
    """The number of segments of each clip, where a data set has clips of unlike length."""
    ends: dict[str, int] = {}
    for split, name in dataset.layout.tags.items() if dataset.segments is None else ():
        try:
            clips = dataset.read_clips(folder, split, class_names)
        except (OSError, ValueError) as error:
            if not any(DEFECTS[found.kind].stops and found.file == name for found in notes.findings):
                notes.add("seconds", (name, None), None, str(error).removeprefix(f"{folder / name}: "))
            continue
        assert clips.valid is not None  # of clips of unlike length
        ends |= dict(zip(clips.clip_ids, clips.valid.sum(axis=1).tolist(), strict=True))
    return ends


def _compare_rows(rows: Iterable[_Row], ends: Mapping[str, int], num_segments: int | None, notes: _Notes) -> None:
    """Length of each row, and how it lies to the others of its clip and class."""
    tracks = defaultdict(list)
    for row in rows:
        span = f"{row.class_name} {row.onset} to {row.offset}"
        if not row.marks:
            notes.add("no-length", row, row.clip_id, span)
            continue
        end = ends.get(row.clip_id, num_segments)
        if end is not None and row.offset > end:
            notes.add("beyond-clip", row, row.clip_id, f"{span}, the clip ends at {end}")
        tracks[row.clip_id, row.class_name].append(row)
    for track in tracks.values():
        _compare_neighbours(sorted(track, key=lambda row: (row.onset, row.offset, row.line)), notes)


def _compare_neighbours(track: Sequence[_Row], notes: _Notes) -> None:
    """Compare each row with the one before it in order of onset, and with how far all before it reach."""
    reach = 0
    for before, row in zip((None, *track), track, strict=False):
        span = f"{row.class_name} {row.onset} to {row.offset}"
        if before is None:
            pass
        elif (before.onset, before.offset) == (row.onset, row.offset):
            notes.add("duplicate", row, row.clip_id, f"{span}, as in line {before.line}")
        elif row.onset < before.offset:
            notes.add("overlap", row, row.clip_id, f"{span}, line {before.line} has {before.onset} to {before.offset}")
        elif row.onset < reach:
            notes.add("inside", row, row.clip_id, f"{span}, an earlier row lasts to {reach}")
        elif row.onset == reach:
            notes.add("touch", row, row.clip_id, f"{span}, line {before.line} has {before.onset} to {before.offset}")
        reach = max(reach, row.offset)


def _compare_clips(
    split: str, clips: Mapping[str, _Tags], rows: Sequence[_Row], tables: Sequence[str], notes: _Notes
) -> None:
    """Clips without rows, and tags that differ from what the rows name."""
    present: dict[tuple[str, str], set[str]] = defaultdict(set)
    named, marked = defaultdict(set), defaultdict(set)
    for row in rows:
        present[row.clip_id, row.modality].add("marks" if row.marks else "empty")
        named[row.clip_id].add(row.class_name)
        if row.marks:
            marked[row.clip_id].add(row.class_name)
    for clip_id, tags in clips.items():
        without = [modality for modality in MODALITIES if not present[clip_id, modality]]
        for modality, table in zip(MODALITIES, tables, strict=True):
            if modality in without:
                both = "; nor has it a visual row" if len(without) == 2 and modality == "audio" else ""
                notes.add("no-rows", (table, None), clip_id, f"{split} clip without any {modality} row{both}")
            elif "marks" not in present[clip_id, modality]:
                notes.add("no-events", (table, None), clip_id, f"{split} clip whose {modality} rows mark nothing")
        if not rows:
            continue
        if tags.names != named[clip_id]:
            untold, untagged = tags.names - named[clip_id], named[clip_id] - tags.names
            parts = (("tagged but in no row", untold), ("in a row but not tagged", untagged))
            said = "; ".join(f"{what}: {', '.join(sorted(names))}" for what, names in parts if names)
            notes.add("tags-differ", tags, clip_id, said)
        elif tags.names != marked[clip_id]:
            unmarked = ", ".join(sorted(tags.names - marked[clip_id]))
            notes.add("tags-unmarked", tags, clip_id, f"tagged, but its rows mark nothing: {unmarked}")
