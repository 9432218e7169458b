"""An index beside a store, so that a search of millions of seconds reads thousands: faiss, and the vectors themselves.

    STORE.search/<fingerprint, and of a space its checksum>/
        index.json                  what it is of, its clips, and its files; vouches for itself; written last
        <modality>-00000.npy        float16 [S, P], every second as it is compared, NaN where absent
        <modality>-00000.sums.npy   what scores are standardised by
        <modality>-00000.faiss      those that are there, in lists by nearness, eight bits a number

faiss names candidates from its rounded copies; the clips they lie in are then scored exactly, so that an index changes
no score beyond the rounding of 16 bits, and only misses some. It belongs to the bytes of the shards it was made of: new
ones are appended, with the lists as they are until the store is four times as large as when they were laid out; where
others have changed, it is made anew.
"""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from valor.data.seal import sealed_json, unsealed
from valor.eval.events import FloatArray
from valor.label_harvest.arrays import map_npy, read_npy
from valor.label_harvest.disk import file_sha256, replaced, write_atomic
from valor.label_harvest.places.place import Place, each
from valor.label_harvest.places.place import file_sha256 as place_sha256
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.store.shards import marker_paths, read_marker
from valor.label_harvest.store.store import store_manifest

from .search import Query
from .seconds import BLOCK, Placer, Seconds, Sums, read_blocks

_LOG = logging.getLogger(__name__)

KIND = "valor search index"
NAME = "index.json"
PROBES = 32
"""Lists that are looked through for a query: of a million seconds about one in thirty."""
EACH = 20
"""Seconds that faiss names for each stretch that is wanted, of each modality; the clips they lie in are then scored."""
SAMPLE = 64
"""Seconds a list that the lists are laid out by."""
_KINDS = ("vectors", "sums", "lists")
"""Of files, each with one a modality."""
GROWTH = 4
"""A store so many times as large as when the lists were laid out has them laid out anew."""
SEED = 1234


@dataclass(frozen=True, eq=False, kw_only=True)
class Index:
    """An index that is of its store."""

    folder: Path
    seconds: Seconds
    """Vectors mapped into memory."""
    lists: Mapping[str, Any]
    """faiss's, by modality."""

    def near(self, query: Query, top: int) -> Seconds:
        """The seconds of the clips that hold the nearest seconds of each modality, enough for some stretches."""
        count = EACH * top
        while True:  # more, where a long clip or two have all that was named
            rows = [self.nearest(modality, vector, count) for modality, vector in query.vectors.items()]
            clips = np.unique(self.seconds.clip_of(np.concatenate(rows)))
            if len(clips) >= top or count >= len(self.seconds):
                return self.seconds.only(clips)
            count = min(4 * count, len(self.seconds))

    def nearest(self, modality: str, vector: FloatArray, count: int) -> npt.NDArray[np.int64]:
        """Rows of about the nearest seconds, the nearest first."""
        _, rows = self.lists[modality].search(np.ascontiguousarray(vector[None], np.float32), count)
        found: npt.NDArray[np.int64] = rows[0][rows[0] >= 0].astype(np.int64)
        return found


@dataclass(frozen=True)
class Built:
    """What became of an index."""

    folder: Path
    seconds: int
    added: int
    """Seconds that were not in it before; all of them where it was made anew."""
    anew: bool


def index_folder(store: Place, manifest: Mapping[str, Any], placer: Placer, given: Path | None = None) -> Path:
    """Where the index of a store lies, which is not in the store.

    Raises:
        ValueError: The store is no folder of a disk, and no folder was given.
    """
    placed = str(placer.identity.get("checksum", ""))[:8]
    name = str(manifest["fingerprint"])[:12] + (f"-{placed}" if placed else "")
    if given is not None:
        return given / name
    if not isinstance(store, Path):
        raise ValueError(f"{store}: lies in an object store, beside which there is no index; give a folder as `index`")
    home = store.absolute()
    home = home.parent if home.name == str(manifest["fingerprint"])[:12] else home
    return home.with_name(f"{home.name}.search") / name


def open_index(folder: Path, store: Place, placer: Placer) -> Index | None:
    """The index in a folder, None where there is none.

    Raises:
        ValueError: It is older than its store, of another store or space, not as it was written, or faiss is not there.
    """
    said = _read(folder)
    if said is None:
        return None
    _refuse_other(folder, said, store, placer)
    now, then = _digests(store), dict(said["shards"])
    if now != then:
        new = len(set(now) - set(then))
        what = f"{new} of {len(now)} shards are not in it" if new else "its shards have changed since"
        raise ValueError(
            f"{folder}: the index is older than its store ({what}); `valor search index STORE` brings it up to date, "
            "and exact=True does without"
        )
    faiss = faiss_library()
    lists = {}
    for modality in said["widths"]:
        lists[modality] = faiss.read_index(str(folder / said["lists"][modality]), faiss.IO_FLAG_MMAP)
        lists[modality].nprobe = PROBES
    return Index(folder=folder, seconds=_seconds(folder, said), lists=lists)


def build_index(folder: Path, store: Place, placer: Placer) -> Built:
    """Make the index of a store, or bring the one that is there up to date; what is there stays until it is done.

    Args:
        folder: From `index_folder`.
        store: The folder of a fingerprint.
        placer: Who brings embeddings to where they are compared.

    Raises:
        ValueError: The store cannot be read, has too few seconds, or faiss is not there.
    """
    faiss = faiss_library()
    folder.mkdir(parents=True, exist_ok=True)
    shards, manifest = _digests(store), store_manifest(store)
    before = _usable(folder, shards, store, placer)
    if before is not None and before["shards"] == shards:
        return Built(folder, sum(before["counts"]), 0, anew=False)
    held = _generation(folder)
    old = None if before is None else _seconds(folder, before)
    rows = _write_rows(folder, held + 1, store, placer, old, _clips_outside(store, before) if before else None)
    start, laid_out = (0, len(rows)) if before is None or old is None else (len(old), int(before["laid_out"]))
    if len(rows) > GROWTH * laid_out:
        before, laid_out, start = None, len(rows), 0
    lists = {}
    for modality, name in rows.vectors.items():
        lists[modality] = name.replace(".npy", ".faiss")
        known = None if before is None else faiss.read_index(str(folder / before["lists"][modality]))
        found = grown_lists(faiss, map_npy(folder / name), start, known)
        with replaced(folder / lists[modality]) as temporary:
            faiss.write_index(found, str(temporary))
    files = [folder / name for kind in (rows.vectors, rows.sums, lists) for name in kind.values()]
    content = {
        "store": manifest["fingerprint"],
        "placed": dict(placer.identity),
        "generation": held + 1,
        "widths": dict(placer.widths),
        "segment_seconds": manifest["grid"].get("segment_seconds", 1.0),
        "shards": shards,
        "laid_out": laid_out,
        "vectors": rows.vectors,
        "sums": rows.sums,
        "lists": lists,
        "files": {path.name: [path.stat().st_size, file_sha256(path)] for path in files},
        "there": rows.there,
        "clips": rows.ids,
        "counts": rows.counts,
    }
    write_atomic(folder / NAME, sealed_json(content, KIND, indent=0).encode())
    for path in [*folder.glob("*.npy"), *folder.glob("*.faiss")]:
        if path not in files:
            path.unlink(missing_ok=True)
    return Built(folder, len(rows), len(rows) - (0 if old is None else len(old)), old is None)


@dataclass
class _Rows:
    """The vectors of an index as they were written."""

    ids: list[str]
    counts: list[int]
    vectors: dict[str, str]
    """File names by modality."""
    sums: dict[str, str]
    """Those of `Sums`: float64 [1 + P, P], the first of them and below it the second."""
    there: dict[str, int]
    """Seconds that are not absent."""

    def __len__(self) -> int:
        return sum(self.counts)


def _write_rows(
    folder: Path, generation: int, store: Place, placer: Placer, old: Seconds | None, clip_ids: set[str] | None
) -> _Rows:
    """Write the vectors of an index: those of an older one, and those of the store, of some clips or of all."""
    names = {modality: f"{modality}-{generation:05d}.npy" for modality in placer.widths}
    rows = _Rows([], [], names, {name: f"{name}-{generation:05d}.sums.npy" for name in names}, {})
    if old is not None:
        rows.ids, rows.counts = list(old.clip_ids), np.diff(old.starts).tolist()
    sums = {modality: Sums() for modality in names}
    with ExitStack() as opened:
        files = {}
        for modality, width in placer.widths.items():
            temporary = opened.enter_context(replaced(folder / names[modality]))
            files[modality] = opened.enter_context(temporary.open("wb"))
            _write_header(files[modality], 0, width)
            if old is not None:
                _append(files[modality], old.vectors[modality], sums[modality])
        for block in read_blocks(store, placer, tuple(names), clip_ids=clip_ids):
            rows.ids += block.clip_ids
            rows.counts += block.counts.tolist()
            for modality, vectors in block.vectors.items():
                _append(files[modality], vectors, sums[modality])
        for modality, width in placer.widths.items():
            files[modality].seek(0)
            _write_header(files[modality], len(rows), width)
    for modality, of in sums.items():
        rows.there[modality] = of.count
        with replaced(folder / rows.sums[modality]) as temporary, temporary.open("wb") as file:
            np.lib.format.write_array(file, np.concatenate([of.first[None], of.second]), allow_pickle=False)
    return rows


def _write_header(file: BinaryIO, count: int, width: int) -> None:
    """That of a .npy file, which has the same length for every count."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (count, width)})


def _append(file: BinaryIO, vectors: FloatArray, sums: Sums) -> None:
    for start in range(0, len(vectors), BLOCK):
        rows = np.ascontiguousarray(vectors[start : start + BLOCK], "<f2")
        file.write(rows.tobytes())
        sums.add(rows)


def grown_lists(faiss: Any, rows: FloatArray, start: int, known: Any) -> Any:  # noqa: ANN401
    """Put rows into the lists of faiss.

    Args:
        faiss: The library.
        rows: float [S, P], NaN where absent.
        start: The first that is not in them.
        known: The lists so far; None lays them out.

    Raises:
        ValueError: Every row is absent.
    """
    if known is None:
        start = 0
        there = np.flatnonzero(~np.isnan(rows[:, 0]))
        if not len(there):
            raise ValueError("the store must have a second with an embedding of each modality, got none")
        count = int(np.clip(np.sqrt(len(there)), 1, 4096))
        drawn = np.random.default_rng(SEED).permutation(there)[: max(SAMPLE * count, 256)]
        known = faiss.index_factory(rows.shape[1], f"IVF{count},SQ8", faiss.METRIC_INNER_PRODUCT)
        known.cp.niter, known.cp.seed = 10, SEED
        known.cp.min_points_per_centroid = 1
        known.train(rows[np.sort(drawn)].astype(np.float32))
    for begin in range(start, len(rows), BLOCK):
        part = rows[begin : begin + BLOCK].astype(np.float32)
        there = np.flatnonzero(~np.isnan(part[:, 0]))
        known.add_with_ids(np.ascontiguousarray(part[there]), there + begin)
    return known


def _digests(store: Place) -> dict[str, str]:
    """sha256 of the marker of each shard, in their order; a marker names the bytes of its shard."""
    markers = marker_paths(store)
    return dict(zip([marker.stem for marker in markers], each(place_sha256, markers), strict=True))


def _read(folder: Path) -> dict[str, Any] | None:
    """What an index says of itself; None where there is none."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        said = unsealed(path.read_bytes(), KIND)
        sizes = {folder / name: int(size) for name, (size, _) in said["files"].items()}
        whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())
        if not whole or {folder / said[kind][name] for kind in _KINDS for name in said["widths"]} != set(sizes):
            raise ValueError("its files are gone or of another size")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: the index is not as it was written ({error}); remove {folder} and make it anew with "
            "`valor search index STORE`"
        ) from error
    return said


def _seconds(folder: Path, said: Mapping[str, Any]) -> Seconds:
    spreads = {}
    for modality, name in said["sums"].items():
        sums = read_npy(folder / name)
        spreads[modality] = Sums(int(said["there"][modality]), sums[0], sums[1:]).spread()
    return Seconds(
        clip_ids=tuple(said["clips"]),
        starts=np.concatenate([[0], np.cumsum(said["counts"])]).astype(np.int64),
        segment_seconds=float(said["segment_seconds"]),
        vectors={modality: map_npy(folder / name) for modality, name in said["vectors"].items()},
        spreads=spreads,
    )


def _refuse_other(folder: Path, said: Mapping[str, Any], store: Place, placer: Placer) -> None:
    """Refuse an index of something else."""
    of = (said.get("store"), said.get("placed"), said.get("widths"))
    if of != (store_manifest(store)["fingerprint"], dict(placer.identity), dict(placer.widths)):
        raise ValueError(
            f"{folder}: the index is of another store, or of embeddings placed otherwise; give its own folder, or make "
            "it anew with `valor search index STORE`"
        )


def _usable(folder: Path, shards: Mapping[str, str], store: Place, placer: Placer) -> dict[str, Any] | None:
    """The index that is there, where all that is in it is still in the store, to the byte; None to make it anew."""
    try:
        said = _read(folder)
        if said is None:
            return None
        _refuse_other(folder, said, store, placer)
        for name, (_, digest) in said["files"].items():
            if file_sha256(folder / name) != digest:
                raise ValueError(f"{folder / name}: is not as it was written")
        if list(said["shards"].items()) != list(shards.items())[: len(said["shards"])]:
            raise ValueError(f"{folder}: shards that are in the index have changed")
    except ValueError as error:
        _LOG.warning("%s; the index is made anew", error)
        return None
    return said


def _generation(folder: Path) -> int:
    """The number of the files that are there, used or not; -1 where there are none."""
    numbers = [path.stem.rpartition("-")[2] for path in folder.glob("*-*.faiss")]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1)


def _clips_outside(store: Place, said: Mapping[str, Any]) -> set[str]:
    """Clips of the shards that are not in an index."""
    new = [marker for marker in marker_paths(store) if marker.stem not in said["shards"]]
    return {composed(clip.clip_id) for marker in new for clip in read_marker(marker).clips}


def faiss_library() -> Any:  # noqa: ANN401
    """The library, an optional one.

    Raises:
        ValueError: It is not installed.
    """
    try:
        logging.getLogger("faiss").setLevel(logging.WARNING)  # of what it could not load before it could
        import faiss
    except ImportError as error:
        raise ValueError(
            "an index needs faiss: pip install faiss-cpu; without one, or with exact=True, every second is compared"
        ) from error
    return faiss
