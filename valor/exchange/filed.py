"""Which split imported clips are filed under: the one that was said, or that of the tables that name the clips."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from valor.data.datasets.dataset import LLP, DataSet, dataset_of
from valor.data.journal import JOURNAL
from valor.eval.xml_text import xml_text
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.store.manifest import composed, media_id
from valor.label_harvest.store.videos import MEDIA_SUFFIXES
from valor.video.formats.tables import unspaced

from .sources import has_tables

_PARENTS = 2
"""How many folders above a source may hold the tables of its clips: DATA/labels, DATA/runs/NAME."""


@dataclass(frozen=True, kw_only=True)
class Filed:
    """A split, and whose."""

    split: str
    dataset: DataSet
    doubt: str = ""
    """Why it may be another; empty where something says that it is this one."""


def forms_of(name: str) -> tuple[str, ...]:
    """What files may call media of a name: whole, without its ending, without white space, as XML holds it."""
    plain = composed(name)
    stem = Path(plain).stem if Path(plain).suffix.lower() in MEDIA_SUFFIXES else plain
    return tuple(dict.fromkeys((plain, stem, unspaced(plain), unspaced(stem), xml_text(plain), xml_text(stem))))


def split_of_clips(clips: Collection[Collection[str]], data: Path | None, source: Path | None) -> Filed | None:
    """The split of the tables that all clips are of.

    Args:
        clips: Of each clip all names it may go by.
        data: Folder of the tables; None for those above the source.
        source: What the events were exported from.

    Returns:
        The split; the one that is scored, with a doubt, where `data` has clips in several or in none; None where no
        tables know all of the clips.
    """
    above = () if source is None else source.absolute().parents[:_PARENTS]
    for folder in above if data is None else (data,):
        try:
            if not has_tables(folder):
                continue
            dataset = dataset_of(folder)
            counts = {split: _known(clips, dataset.read_ids(folder, split)) for split in _there(dataset, folder)}
        except (ValueError, OSError):
            if data is not None:
                raise
            continue  # nobody said that these are the tables
        whole = [split for split, count in counts.items() if count == len(clips)]
        if len(whole) == 1:
            return Filed(split=whole[0], dataset=dataset)
        if data is not None:
            found = ", ".join(f"{count:,} of {split}" for split, count in counts.items() if count)
            doubt = f"of {len(clips):,} clips {data} knows {found or 'none'}"
            return Filed(split=dataset.split_for("test"), dataset=dataset, doubt=doubt)
    return None


def split_of_folder(folder: Path) -> Filed | None:
    """The split of the tables in a folder of corrections; None where there are none, or several."""
    if not (folder / JOURNAL).is_file():
        return None
    dataset = dataset_of(folder)
    there = _there(dataset, folder)
    return Filed(split=there[0], dataset=dataset) if len(there) == 1 else None


def split_that_was_said(split: str, data: Path | None) -> Filed:
    """A split by its name.

    Raises:
        ValueError: The data set has no such split.
    """
    dataset = LLP if data is None else dataset_of(data)
    if split not in dataset.splits:
        whose = f"of {data}" if data is not None else "unless data=DIR says otherwise"
        near = did_you_mean(split, dataset.splits)
        raise ValueError(f"split must be one of {', '.join(dataset.splits)} {whose}, got {split!r:.100}{near}")
    return Filed(split=split, dataset=dataset)


def _there(dataset: DataSet, folder: Path) -> list[str]:
    """Splits whose tables lie in a folder."""
    tables = dataset.layout.tags
    return [split for split in tables if dataset.reader is not None or (folder / tables[split]).is_file()]


def _known(clips: Iterable[Collection[str]], ids: Iterable[str]) -> int:
    """How many of some clips a table names."""
    names = {name for one in ids for form in (one, media_id(one)) for name in forms_of(form)}
    return sum(not names.isdisjoint(own) for own in clips)
