"""What may be written into a folder of labels, and what of an earlier run must go: nobody else's file is replaced.

`labels.json` names the store and all files beside it. Those of an earlier run on the same store are this run's to
replace or remove; any other file that is in the way, such as a published feature, stops the run before it writes.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valor.annotations import media_id
from valor.labelling import PROVENANCE
from valor.labels_file import FILE_NAME, read_pseudo_labels

FILES, FOLDERS = "files", "exported"
"""Keys of `labels.json`: names of the files beside it, and the folders of the published layout that were written."""
_ALWAYS = (FILE_NAME, PROVENANCE)


@dataclass(frozen=True)
class LabelFolder:
    """A folder that labels may be written into."""

    path: Path
    own: frozenset[Path]
    """Files there that an earlier run wrote."""
    files: tuple[str, ...]
    """Names this run writes beside `labels.json`, those of earlier runs included while it is under way."""
    exported: tuple[str, ...]
    """Folders of the published layout, likewise."""

    def record(self) -> dict[str, list[str]]:
        """What `labels.json` says while files are being written: all that may be there."""
        return {FILES: list(self.files), FOLDERS: list(self.exported)}

    def remove_stale(self, clip_ids: Iterable[str], files: Iterable[str], exported: Iterable[str]) -> int:
        """Remove files of an earlier run that this one did not write again; how many.

        Args:
            clip_ids: Clips this run labelled.
            files: Names it wrote into the folder.
            exported: Folders of the published layout it wrote.
        """
        names = [f"{media_id(clip_id)}.npy" for clip_id in clip_ids]
        written = {self.path / name for name in (*_ALWAYS, *files)}
        written |= {self.path / folder / name for folder in exported for name in names}
        stale = self.own - written
        for path in stale:
            path.unlink(missing_ok=True)
        for folder in sorted({path.parent for path in stale} - {self.path}):
            for emptied in (folder, folder.parent):
                with suppress(OSError):  # not empty
                    emptied.rmdir()
        return len(stale)


def open_label_folder(
    path: Path,
    store: str,
    clip_ids: Iterable[str],
    files: Sequence[str],
    exported: Sequence[str],
    *,
    overwrite: bool = False,
) -> LabelFolder:
    """Look into a folder before anything is written there.

    Args:
        path: The folder; it need not exist.
        store: Fingerprint of the store whose labels are to be written.
        clip_ids: All clips of the store.
        files: Names to be written into the folder, besides the labels and their provenance.
        exported: Folders of the published layout to be written.
        overwrite: Take all files that an earlier run wrote of whatever store for one's own, and replace what else is
            in the way.

    Raises:
        ValueError: Files are in the way that are not of this store's labels, or the path is no folder.
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: labels go into a folder, got a file of that name; give another --out")
    record = _read_record(path)
    same = record.get("store") == store
    stems = {media_id(clip_id) for clip_id in clip_ids} if same else set()
    own: set[Path] = set()
    if same or overwrite:
        stems |= _labelled_media(path)
        own = {path / name for name in (*_ALWAYS, *_names(record, FILES))}
        own |= {path / folder / f"{stem}.npy" for folder in _names(record, FOLDERS) for stem in stems}
    wanted = [path / name for name in (*_ALWAYS, *files)]
    there = {place for place in (*own, *wanted) if place.is_file()}
    there |= {place for folder in exported for place in (path / folder).glob("*.npy")}
    foreign = sorted(there - own)
    if foreign and not overwrite:
        whose = "labels of another store" if record and not same else "files that no labels of this store left there"
        raise ValueError(
            f"{path}: holds {whose}: {_listed(foreign, path)}; give another --out, or --overwrite to replace what is "
            "in the way"
        )
    return LabelFolder(
        path,
        frozenset(there & own),
        tuple(dict.fromkeys((*files, *_names(record, FILES)))),
        tuple(dict.fromkeys((*exported, *_names(record, FOLDERS)))),
    )


def _read_record(path: Path) -> Mapping[str, Any]:
    """What `labels.json` says; nothing where there is none or it is no such file."""
    with suppress(OSError, ValueError):
        told = json.loads((path / PROVENANCE).read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    return {}


def _names(record: Mapping[str, Any], key: str) -> list[str]:
    """Relative names of a record; one that leads out of the folder is nobody's."""
    told = record.get(key)
    names = told if isinstance(told, list) else []
    return [name for name in names if isinstance(name, str) and not {"..", ""} & set(name.split("/"))]


def _labelled_media(path: Path) -> set[str]:
    """Media names of the clips an earlier run labelled."""
    with suppress(OSError, ValueError):
        return {media_id(clip_id) for clip_id in read_pseudo_labels(path).clip_ids}
    return set()


def _listed(paths: Sequence[Path], folder: Path) -> str:
    more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
    return f"{paths[0].relative_to(folder)}{more}"
