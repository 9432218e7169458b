"""Media decoded once for towers: small pictures and spectra of their seconds, on disk, read where they are needed.

    DIR/pool.json                the files and how they were read, written first
    DIR/00000.pictures.npy       uint8 [S, F, 48, 64, 3], F pictures of each second
    DIR/00000.sounds.npy         float16 [S, 48, 64], its spectrum
    DIR/00000.json               which seconds these are and what was left out; written last, so that a part without
                                 it is made again

A part is of so many files in their order. Nothing but the part that is being decoded is held in memory.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from valor.label_harvest.arrays import map_npy
from valor.label_harvest.disk import locked, replaced, write_json
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import MediaReader
from valor.label_harvest.media.stretches import common_stretches, sounds_of
from valor.label_harvest.media.survey import MediaSurvey
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.strict_json import as_list, as_number, as_object, as_whole, loads, reason
from valor.label_harvest.teachers.demo import (
    FRAME_HEIGHT,
    FRAME_WIDTH,
    MEL_BANDS,
    MEL_STEPS,
    SAMPLE_RATE,
    frame_pictures,
    sound_pictures,
)
from valor.parsers.pretraining.objective import Segments
from valor.parsers.raw.views import less, still_of

from .options import PoolOptions

_LOG = logging.getLogger(__name__)
POOL, LOCK = "pool.json", "lock"
KIND, FORMAT = "raw pool", 1
FILES_A_PART = 32
_GRID = Grid(sample_rate=SAMPLE_RATE)


class Stretch(NamedTuple):
    """Seconds of one file that follow one another."""

    name: str
    """Of the file, below its folder."""
    part: int
    """Which part they are in."""
    row: int
    """The first of them there."""
    seconds: int
    """How many."""
    start: float
    """Of the first, in seconds from the start of the clock."""


@dataclass(frozen=True, eq=False)
class RawPool:
    """A pool on disk."""

    folder: Path
    options: PoolOptions
    stretches: tuple[Stretch, ...]
    problems: tuple[str, ...]
    """Of media that were left out, a sentence each."""

    def fingerprint(self) -> str:
        """Of what was decoded of which files."""
        return _digest([asdict(self.options), [list(stretch) for stretch in self.stretches]])

    def seconds(self, stretch: int, first: int, length: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
        """Pictures uint8 [L, F, 48, 64, 3] and spectra float16 [L, 48, 64] from a second of a stretch on."""
        one = self.stretches[stretch]
        rows = slice(one.row + first, one.row + first + length)
        pictures, sounds = _arrays(self.folder, one.part)
        return pictures[rows], sounds[rows]


@lru_cache(maxsize=256)
def _arrays(folder: Path, part: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Pictures and spectra of a part, mapped into memory."""
    pictures, sounds = (map_npy(_place(folder, part, f"{what}.npy")) for what in ("pictures", "sounds"))
    return pictures, sounds


class RawWindows:
    """Pieces of the stretches of a pool, of so many seconds each, one after the other: what a batch is made of."""

    def __init__(
        self, pool: RawPool, length: int, device: torch.device | None = None, *, less_still: bool = False
    ) -> None:
        """Cut stretches into pieces; what is left at the end of one is not used.

        `less_still` takes from the pictures of a stretch what stands still in it.

        Raises:
            ValueError: No stretch is as long.
        """
        self.pool, self.length, self.device = pool, length, device or torch.device("cpu")
        self._still: dict[int, Tensor] | None = {} if less_still else None
        self.places = [
            (number, first)
            for number, one in enumerate(pool.stretches)
            for first in range(0, one.seconds - length + 1, length)
        ]
        if not self.places:
            longest = max(one.seconds for one in pool.stretches)
            raise ValueError(
                f"pieces of {length} s are longer than the {longest} s of the longest stretch of {pool.folder}; give "
                "longer media, or take another objective"
            )

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """The file of each piece."""
        return tuple(self.pool.stretches[number].name for number, _ in self.places)

    def __len__(self) -> int:
        """Pieces."""
        return len(self.places)

    def batch(self, rows: Tensor) -> Segments:
        """Those at int64 [B]: sound float32 [B, L, 1, 1, 48, 64] and pictures float32 [B, L, 3, F, 48, 64]."""
        held = [self.pool.seconds(*self.places[int(row)], self.length) for row in rows.tolist()]
        seen, heard = as_visual(np.stack([one[0] for one in held])), np.stack([one[1] for one in held])
        if self._still is not None:
            still = torch.stack([self._still_of(self.places[int(row)][0]) for row in rows.tolist()])
            seen = less(seen, as_visual(still.numpy())[:, None])
        return Segments(as_audio(heard).to(self.device), seen.to(self.device), rows=rows)

    def _still_of(self, stretch: int) -> Tensor:
        """What stands still in a stretch, uint8 [1, 48, 64, 3]; each is looked for once."""
        assert self._still is not None
        if stretch not in self._still:
            pictures, _ = self.pool.seconds(stretch, 0, self.pool.stretches[stretch].seconds)
            self._still[stretch] = still_of(torch.from_numpy(pictures.copy()))
        return self._still[stretch]

    def fingerprint(self) -> str:
        """Of what was decoded of which files, and how it is cut."""
        return _digest(
            [self.pool.fingerprint(), self.length, *([] if self._still is None else ["less what stands still"])]
        )


def as_visual(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Pictures uint8 [..., F, 48, 64, 3] as towers take them, float32 [..., 3, F, 48, 64]."""
    return frame_pictures(torch.from_numpy(pictures).movedim(-1, -4).float())


def as_audio(sounds: npt.NDArray[np.float16]) -> Tensor:
    """Spectra float16 [..., 48, 64] as towers take them, float32 [..., 1, 1, 48, 64]."""
    return torch.from_numpy(sounds).float()[..., None, None, :, :]


def decode_pool(paths: Sequence[Path], folder: Path, options: PoolOptions, *, progress: bool = False) -> RawPool:
    """Decode media, or what of them is not there yet.

    Args:
        paths: Media files.
        folder: Of the pool.
        options: How they are read.
        progress: Whether to show a progress bar on stderr.

    Raises:
        ValueError: The folder holds another pool or something else, or nothing of the media can be used.
        LockedError: Another process decodes into it.
    """
    files = _named(paths)
    identity = {"kind": KIND, "format": FORMAT, "options": asdict(options), "files": [list(row) for row in files]}
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, f"{folder}: another process decodes into this pool", remove=True):
        _claim(folder, identity)
        numbers = range(0, len(paths), FILES_A_PART)
        with (
            ProcessReader(DecodeLimits()) as reader,
            progress_bar(total=len(paths), enabled=progress, desc="decode", unit="file") as bar,
        ):
            for part, first in enumerate(numbers):
                some = slice(first, first + FILES_A_PART)
                if not _place(folder, part, "json").is_file():
                    _decode_part(folder, part, paths[some], [name for name, _ in files[some]], options, reader)
                bar.update(len(paths[some]))
    return read_pool(folder)


def read_pool(folder: Path) -> RawPool:
    """Read what is in a pool that was decoded to its end.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, not at its end, or empty.
    """
    held = _read_json(folder / POOL)
    if (held.get("kind"), held.get("format")) != (KIND, FORMAT):
        raise ValueError(f"{folder / POOL}: is no pool of raw media of this version; choose another folder")
    stretches, problems = list[Stretch](), list[str]()
    try:
        told = {name: as_whole(value, name) for name, value in as_object(held["options"], "options").items()}
        options, files = PoolOptions(**told), as_list(held["files"], "files")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / POOL}: expected options and files of a pool, got {reason(error)}; remove the folder and decode "
            "again"
        ) from error
    for part in range(-(-len(files) // FILES_A_PART)):
        found, said = _read_part(_place(folder, part, "json"), part)
        stretches += found
        problems += said
        _check_arrays(folder, part, sum(one.seconds for one in found), options)
    if not stretches:
        raise ValueError(f"{folder}: no file of the pool has sound and picture: {'; '.join(problems[:3])}")
    return RawPool(folder, options, tuple(stretches), tuple(problems))


def _read_part(path: Path, part: int) -> tuple[list[Stretch], list[str]]:
    """The stretches of a part, one after the other in its arrays, and what was left out of it."""
    said = _read_json(path)
    try:
        found, begin = list[Stretch](), 0
        for row in as_list(said["stretches"], "stretches"):
            if len(as_list(row, "a stretch")) != len(Stretch._fields) - 1:
                raise ValueError(f"a stretch of {len(row)} values")
            name, first, seconds, start = row
            if as_whole(first, "the first second of a stretch") != begin:
                raise ValueError(f"a stretch from second {first} on where {begin} comes next")
            begin += as_whole(seconds, "seconds of a stretch", 1)
            found.append(Stretch(str(name), part, first, seconds, as_number(start, "start")))
        return found, [str(problem) for problem in as_list(said["problems"], "problems")]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the stretches of a part, got {reason(error)}; remove it and decode again"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, the pool is not decoded to its end; decode it again to go on")
    try:
        held = loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON of a pool ({error}); remove the folder and decode again") from error
    if not isinstance(held, dict):
        raise ValueError(f"{path}: expected the JSON of a pool; remove the folder and decode again")
    return held


def _check_arrays(folder: Path, part: int, seconds: int, options: PoolOptions) -> None:
    """Refuse parts that are not as they were written, as far as their shapes say so."""
    shapes = {
        "pictures": (seconds, options.pictures, FRAME_HEIGHT, FRAME_WIDTH, 3),
        "sounds": (seconds, MEL_BANDS, MEL_STEPS),
    }
    for what, shape in shapes.items():
        path = _place(folder, part, f"{what}.npy")
        try:
            there = map_npy(path).shape if seconds else shape
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path}: expected an array {list(shape)}, which could not be read ({error}); remove "
                f"{_place(folder, part, 'json').name} beside it and decode again"
            ) from error
        if there != shape:
            raise ValueError(
                f"{path}: expected an array {list(shape)}, got {list(there)}; remove "
                f"{_place(folder, part, 'json').name} beside it and decode again"
            )


def _place(folder: Path, part: int, ending: str) -> Path:
    return folder / f"{part:05d}.{ending}"


def _named(paths: Sequence[Path]) -> list[tuple[str, int]]:
    """Name below the folder they share and size of each file: the same media elsewhere are the same."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    shared = os.path.commonpath([path.parent for path in whole]) if whole else ""
    return [(path.relative_to(shared).as_posix(), path.stat().st_size if path.is_file() else 0) for path in whole]


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    path = folder / POOL
    if path.is_file():
        held = _read_json(path)
        differing = [what for what, value in identity.items() if held.get(what) != value]
        if differing:
            raise ValueError(f"{folder} holds a pool of other {', '.join(differing)}; choose another `pool`")
        return
    others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK)
    if others:
        raise ValueError(f"{folder} holds {others[0]}, no part of a pool; choose another `pool`")
    write_json(path, identity)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _decode_part(
    folder: Path, part: int, paths: Sequence[Path], names: Sequence[str], options: PoolOptions, reader: MediaReader
) -> None:
    """Decode some files into one part."""
    seen, heard, rows, problems = [], [], list[list[Any]](), list[str]()
    count = 0
    for path, name in zip(paths, names, strict=True):
        try:
            for start, pictures, sounds in _seconds_of(path, options, reader):
                rows.append([name, count, len(sounds), start])
                count += len(sounds)
                seen.append(pictures)
                heard.append(sounds)
        except MediaError as error:
            problems.append(str(error))
            _LOG.debug("left out: %s", error)  # whoever asked is given all of them at the end
    if rows:
        for what, arrays in (("pictures", seen), ("sounds", heard)):
            with replaced(_place(folder, part, f"{what}.npy")) as temporary, temporary.open("wb") as file:
                np.save(file, np.concatenate(arrays))
    write_json(_place(folder, part, "json"), {"stretches": rows, "problems": problems})


def _seconds_of(
    path: Path, options: PoolOptions, reader: MediaReader
) -> Iterator[tuple[float, npt.NDArray[np.uint8], npt.NDArray[np.float16]]]:
    """Stretches of a file: when each begins, its pictures and spectra.

    Raises:
        MediaError: It is missing or cannot be read, lacks sound or picture, or is too short.
    """
    survey = reader.survey(path)
    starts, count = common_stretches(
        survey, step=1.0, seconds=options.seconds, least=options.least, most=options.stretches
    )
    pictures = _pictures(survey, reader, starts, count, options.pictures)
    waves = sounds_of(survey, reader, starts, count * SAMPLE_RATE, SAMPLE_RATE)
    for start, seen, wave in zip(starts.tolist(), pictures, waves, strict=True):
        spectra = sound_pictures(torch.from_numpy(wave).view(count, SAMPLE_RATE))[:, 0]
        yield round(start, 3), seen, spectra.half().numpy()


def _pictures(
    survey: MediaSurvey, reader: MediaReader, starts: npt.NDArray[np.float64], seconds: int, each: int
) -> list[npt.NDArray[np.uint8]]:
    """Of each stretch, uint8 [T, F, 48, 64, 3]; where the video breaks off, its last picture stays."""
    within = (np.arange(seconds * each) + 0.5) / each
    cutoffs = (starts[:, None] + within).ravel()
    found = np.zeros((len(cutoffs), FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)
    source, small = None, found[0]
    for place, image in enumerate(reader.frames(survey, cutoffs, _GRID)):
        if image is not source:
            resized = Image.fromarray(image).resize((FRAME_WIDTH, FRAME_HEIGHT), Image.Resampling.BOX)
            source, small = image, np.asarray(resized)
        found[place] = small
    return list(found.reshape(len(starts), seconds, each, FRAME_HEIGHT, FRAME_WIDTH, 3))
