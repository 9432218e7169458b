"""Which clips to harvest and where their files lie; every quirk of the list and of the folder of videos ends here."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

COLUMNS = ("filename", "event_labels")
"""Header of a manifest, tab-separated; labels are joined by commas."""
SHORT_ID_LENGTH = 11
"""LLP names its files by the first 11 characters of the clip id (the YouTube id)."""
_SIDECARS = frozenset((".json", ".txt", ".vtt", ".srt", ".part", ".ytdl", ".tmp", ".csv", ".npy", ".jpg", ".png"))
"""Files a downloader leaves beside a clip; they are no candidates."""


@dataclass(frozen=True)
class HarvestManifest:
    """The clips of a run and their tags."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    weak_labels: np.ndarray
    """bool [N, C]."""

    def __post_init__(self) -> None:
        """Refuse ids that repeat or could leave a folder, and labels of another shape."""
        for clip_id in self.clip_ids:
            _check_clip_id(clip_id)
        repeated = _repeated(self.clip_ids)
        if repeated:
            raise ValueError(f"clip ids must be unique, {len(repeated)} repeat: {_some(repeated)}; remove the copies")
        shape = (len(self.clip_ids), len(self.class_names))
        if self.weak_labels.dtype != bool or self.weak_labels.shape != shape:
            raise ValueError(
                f"weak_labels must be bool {list(shape)}, got {self.weak_labels.dtype} {list(self.weak_labels.shape)}"
            )


def read_manifest(path: str | Path, class_names: Sequence[str]) -> HarvestManifest:
    """Read a tab-separated `filename event_labels` table, as in LLP.

    Raises:
        ValueError: No such columns, no rows, an unknown class, a repeated clip id, or an id that is no plain name.
    """
    path = Path(path)
    rows = _read_rows(path)
    index = {name: position for position, name in enumerate(class_names)}
    weak_labels = np.zeros((len(rows), len(index)), dtype=bool)
    unknown = defaultdict(list)
    for row, (clip_id, tags) in enumerate(rows):
        for tag in filter(None, (tag.strip() for tag in tags.split(","))):
            if tag in index:
                weak_labels[row, index[tag]] = True
            else:
                unknown[tag].append(clip_id)
    if unknown:
        listed = _some([f"{tag!r} ({ids[0]})" for tag, ids in sorted(unknown.items())])
        raise ValueError(f"{path}: unknown classes {listed}; expected names of the vocabulary, pass other classes")
    try:
        return HarvestManifest(tuple(clip_id for clip_id, _ in rows), tuple(class_names), weak_labels)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def find_media(videos: str | Path, clip_ids: Sequence[str]) -> dict[str, Path | None]:
    """Find the file of each clip: `<clip id>.*`, or `<first 11 characters>.*` as in LLP.

    Returns:
        A path by clip id, None where no file has that name.

    Raises:
        ValueError: The folder cannot be listed, a clip has two candidates, or two clips would share a file.
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    try:
        for entry in sorted(Path(videos).iterdir()):
            if entry.suffix.lower() not in _SIDECARS and entry.suffix and entry.is_file():
                by_stem[entry.stem].append(entry)
    except OSError as error:
        raise ValueError(f"{videos}: the folder of videos cannot be listed ({error.strerror}); give another") from error
    found: dict[str, Path | None] = {}
    twice, users = [], defaultdict(list)
    for clip_id in clip_ids:
        stems = dict.fromkeys((clip_id, clip_id[:SHORT_ID_LENGTH]))
        candidates = [path for stem in stems for path in by_stem.get(stem, [])]
        if len(candidates) > 1:
            twice.append(f"{clip_id} ({', '.join(path.name for path in candidates)})")
        found[clip_id] = candidates[0] if candidates else None
        users[found[clip_id]].append(clip_id)
    shared = [f"{path.name} ({', '.join(ids)})" for path, ids in users.items() if path is not None and len(ids) > 1]
    if twice:
        raise ValueError(f"{videos}: {len(twice)} clips have two candidate files: {_some(twice)}; remove or rename one")
    if shared:
        raise ValueError(f"{videos}: {len(shared)} files stand for two clips: {_some(shared)}; use whole ids as names")
    return found


def _read_rows(path: Path) -> list[tuple[str, str]]:
    """(filename, event_labels) of each line below the header."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: the manifest cannot be read ({error}); give a tab-separated text file") from error
    header, rows = (table[0] if table else []), [row for row in table[1:] if any(cell.strip() for cell in row)]
    if tuple(header[:2]) != COLUMNS:
        raise ValueError(f"{path}: expected the header {' <tab> '.join(COLUMNS)}, got {header[:4]}")
    if not rows:
        raise ValueError(f"{path}: expected at least one clip below the header, got none")
    return [(row[0], row[1] if len(row) > 1 else "") for row in rows]


def _check_clip_id(clip_id: str) -> None:
    """Refuse ids that are no plain file name."""
    if "/" in clip_id or "\\" in clip_id:
        raise ValueError(f"clip id must be a plain name without path separators, got {clip_id!r}; rename the clip")
    if not clip_id or clip_id != clip_id.strip() or clip_id.startswith(".") or not clip_id.isprintable():
        raise ValueError(f"clip id must be a plain name, got {clip_id!r}; rename the clip")


def _repeated(names: Sequence[str]) -> list[str]:
    """Names that occur more than once, sorted."""
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
