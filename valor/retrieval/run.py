"""A whole search: the store, its teachers, the query, the index where there is one, and what was found."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from valor.data.provenance import by_drawings
from valor.data.shown import frame_html
from valor.eval.events import MODALITIES, FloatArray
from valor.label_harvest.decoys import DECOYS
from valor.label_harvest.places.place import Place
from valor.label_harvest.store.store import store_folder, store_manifest
from valor.label_harvest.teachers.teacher import SearchedTeacher

from .index import Built, build_index, index_folder, open_index
from .options import LARGE, SearchOptions
from .queries import media_features, middle, searched_teachers
from .search import LEAST_STANDING, Found, Query, find, standings
from .seconds import Placer, TeacherPlacer, read_seconds, searchable
from .space import TEXT, SpacePlacer, read_space

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class SearchResult:
    """What was found, and how."""

    said: str
    """What was searched for, in words."""
    modalities: tuple[str, ...]
    """What was compared."""
    found: tuple[Found, ...]
    seconds: int
    """Of the store that have something to compare; where an index named candidates, all."""
    clips: int
    """That these seconds are of."""
    segment_seconds: float
    """Of a second of the store, which may be another length."""
    compared: int
    """Seconds that were scored; fewer than there are where an index named candidates."""
    standings: tuple[float | None, ...] = ()
    """How high each stretch stands among captions of nothing in particular (`valor.retrieval.search`), of words."""

    notes: tuple[str, ...] = ()
    """What a reader should know, such as teachers that know drawings alone."""

    @property
    def standing(self) -> float | None:
        """How high the best stretch stands; None of media and in a space of its own."""
        return self.standings[0] if self.standings else None

    @property
    def is_poor(self) -> bool:
        """Whether the best stretch stands no higher than words of what no clip has."""
        return self.standing is not None and self.standing < LEAST_STANDING

    def to_frame(self) -> "pd.DataFrame":
        """A row for each stretch, the best first: clip_id, onset, offset, best (seconds), score, standing, cosines."""
        import pandas as pd

        columns = ["clip_id", "onset", "offset", "best", "score"]
        rows = [
            [*(getattr(one, name) for name in columns), stands, *map(one.cosines.get, self.modalities)]
            for one, stands in zip(self.found, self.standings, strict=True)
        ]
        return pd.DataFrame(rows, columns=[*columns, "standing", *self.modalities])

    def __repr__(self) -> str:
        """What was searched for, and where."""
        by = " and ".join(self.modalities)
        return f"{len(self.found)} stretches for {self.said} among {self.clips:,} clips, by {by}"

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the best stretches."""
        return frame_html(repr(self), self.to_frame().round(3))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        rows = [
            {
                "rank": rank,
                "clip_id": one.clip_id,
                "onset": one.onset,
                "offset": one.offset,
                "best": one.best,
                "score": round(one.score, 4),
                "standing": None if stands is None else round(stands, 4),
                "cosines": {name: None if value is None else round(value, 4) for name, value in one.cosines.items()},
            }
            for rank, (one, stands) in enumerate(zip(self.found, self.standings, strict=True), 1)
        ]
        facts: dict[str, Any] = {"seconds": self.seconds, "clips": self.clips, "compared": self.compared}
        facts["standing"] = None if self.standing is None else round(self.standing, 4)
        facts["notes"] = list(self.notes)
        return {"query": self.said, "in": list(self.modalities), **facts, "found": rows}


def search_store(store: Place, options: SearchOptions) -> SearchResult:
    """Search a store.

    Args:
        store: The store, or the folder of a fingerprint.
        options: What for, and where.

    Raises:
        ValueError: The store cannot be searched for it, its index is older than it, or a teacher is not the store's.
        MediaError: The file to search by cannot be read.
        FileNotFoundError: There is no such file.
        TeacherUnavailableError: The weights of a teacher are neither here nor to be fetched.
    """
    folder = store_folder(store)
    manifest = store_manifest(folder)
    query, placer = _asked(folder, manifest, options)
    modalities = tuple(query.vectors)
    index = None
    if not options.exact:
        where = _index_place(folder, manifest, placer, options)
        index = None if where is None else open_index(where, folder, placer)
    if index is not None:
        near = index.near(query, options.top)
        whole = index.seconds
    else:
        near = whole = read_seconds(folder, placer, modalities)
        if len(whole) >= LARGE and not options.exact:
            _LOG.info(
                "%s seconds were compared one by one; `valor search index STORE` makes that faster", f"{len(whole):,}"
            )
    found = find(near, query, options.top)
    seconds, clips = near.comparable() if near is whole else (len(whole), len(whole.clip_ids))
    return SearchResult(
        said=query.said,
        modalities=modalities,
        found=found,
        seconds=seconds,
        clips=clips,
        segment_seconds=whole.segment_seconds,
        compared=seconds if near is whole else len(near),
        standings=standings(query, whole.spreads, found),
        notes=by_drawings(manifest["teachers"].values(), folder.parent.parent if isinstance(folder, Path) else None),
    )


def index_store(
    store: Place,
    *,
    index: Path | None = None,
    space: Path | None = None,
    teacher_checkpoints: Mapping[str, str] | None = None,
) -> Built:
    """Make the index of a store, or bring it up to date.

    Args:
        store: The store, or the folder of a fingerprint.
        index: Folder of the index; None for the one beside the store.
        space: That the seconds are brought to; None for where the captions of the teachers lie.
        teacher_checkpoints: Local weights of the teachers, by role.

    Raises:
        ValueError: As of `build_index`.
    """
    folder = store_folder(store)
    manifest = store_manifest(folder)
    placer: Placer
    if space is not None:
        placer = read_space(space, manifest)
    else:
        judged = searchable(folder, manifest, None, MODALITIES)
        placer = TeacherPlacer(searched_teachers(folder, manifest, judged, checkpoints=teacher_checkpoints))
    return build_index(index_folder(folder, manifest, placer, index), folder, placer)


def _index_place(folder: Place, manifest: Mapping[str, Any], placer: Placer, options: SearchOptions) -> Path | None:
    if options.index is None and not isinstance(folder, Path):
        return None
    where = index_folder(folder, manifest, placer, options.index)
    if options.index is not None and not where.is_dir():
        raise ValueError(f"{where}: no index of this store there; `valor search index STORE --index DIR` makes one")
    return where


def _asked(folder: Place, manifest: Mapping[str, Any], options: SearchOptions) -> tuple[Query, Placer]:
    """The query, and who brings the store to where it lies."""
    able = _able(options)
    modalities = searchable(folder, manifest, options.within, able)
    if options.space is not None:
        space = read_space(options.space, manifest)
        return _in_space(folder, manifest, options, space, modalities), space
    judged = searchable(folder, manifest, None, MODALITIES)
    captions = None if options.text is None else {role: (options.text, *DECOYS[role]) for role in judged}
    teachers = searched_teachers(folder, manifest, judged, captions=captions, checkpoints=options.teacher_checkpoints)
    placer = TeacherPlacer(teachers)
    if options.text is not None:
        lie = {name: np.asarray(teachers[name].caption_embeddings) for name in modalities}
        decoys = {name: rows[1:] for name, rows in lie.items()}
        return Query(options.text, {name: rows[0] for name, rows in lie.items()}, decoys), placer
    path, features = _features(manifest, options, {name: teachers[name] for name in modalities})
    lacking = [name for name in modalities if name not in features]
    if lacking and options.within is not None:
        raise ValueError(
            f"{path}: has no {' and no '.join(lacking)} stream, and that is what is compared; leave it out"
        )
    vectors = {name: middle(placer.place(name, rows[None])[0]) for name, rows in features.items()}
    return Query(f"like {path.name}", vectors), placer


def _able(options: SearchOptions) -> Sequence[str]:
    """What a query can be compared with."""
    return ("audio",) if options.like_sound is not None and options.space is None else MODALITIES


def _features(
    manifest: Mapping[str, Any], options: SearchOptions, teachers: Mapping[str, SearchedTeacher]
) -> tuple[Path, dict[str, FloatArray]]:
    path = options.like or options.like_sound
    assert path is not None  # the options have one of the three
    return path, media_features(path, teachers, manifest)


def _in_space(
    folder: Place, manifest: Mapping[str, Any], options: SearchOptions, space: SpacePlacer, modalities: Sequence[str]
) -> Query:
    """One vector for all modalities: that of the words, or the middle of what is heard and seen."""
    checkpoints = options.teacher_checkpoints
    if options.text is not None:
        if TEXT not in space.card.in_widths:
            space.place_text(np.zeros((1, 1, 1)))  # says that it has none
        captions = dict.fromkeys(MODALITIES, (options.text,))
        teachers = searched_teachers(folder, manifest, MODALITIES, captions=captions, checkpoints=checkpoints)
        words = np.concatenate([teachers[name].caption_embeddings[0] for name in MODALITIES])
        return Query(options.text, dict.fromkeys(modalities, space.place_text(words[None, None])[0]))
    by = ("audio",) if options.like_sound is not None else MODALITIES
    path, features = _features(manifest, options, searched_teachers(folder, manifest, by, checkpoints=checkpoints))
    placed = [space.place_query(name, rows) for name, rows in features.items()]
    return Query(f"like {path.name}", dict.fromkeys(modalities, middle(np.stack(placed))))
