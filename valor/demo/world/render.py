"""From a timetable to files: one MP4 per clip and the annotation tables of a whole world."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from valor.data.datasets.dataset import DATASET_FILE
from valor.data.tables import EVENT_TABLES, WEAK_TABLES, WORLD_FILE, write_event_table, write_weak_table
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.audio import sounds
from valor.demo.options import PLAIN, STROKES, WORLDS
from valor.demo.pictures.looks import Look, Scene, arrange
from valor.label_harvest.children import end_with_parent, script_hidden
from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import replaced, write_json
from valor.label_harvest.progress import progress_bar
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.strict_json import loads

from . import strokes
from .schedule import CLIP_SECONDS, SPLITS, ClipPlan, sample_world, world_arrays
from .strokes import Painter

if TYPE_CHECKING:
    from av.container import OutputContainer

FRAME_RATE = 8
"""Frames per second of a clip."""
SOUND_CODEC: Final = "aac"
"""What the sound of a clip is encoded with."""

RENDERER_VERSION = 2
"""Raised with every change to schedule, looks, sounds or encoding; worlds of two versions never share a folder."""

STROKES_VERSION = 1
"""The same of the world of strokes."""

_AUDIO_BLOCK = 1024  # samples per AAC frame
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class World:
    """A rendered world on disk: annotation tables in `folder`, clips in `videos`."""

    folder: Path
    videos: Path
    plans: tuple[ClipPlan, ...]


def render_clip(plan: ClipPlan, path: Path | str, seed: int) -> None:
    """Render one clip: H.264 video of 128 x 96 pixels at 8 frames/s, AAC sound at 32 kHz mono, in MP4.

    The file appears under its name only once it is whole. The same plan and seed give the same bytes.

    Args:
        plan: What is heard and seen when.
        path: The file to write; an existing one is replaced.
        seed: Seed of the world; each clip has its own random numbers, drawn from the seed and its name.
    """
    import av

    look_rng, sound_rng = (np.random.default_rng([seed, _name_number(plan), stream]) for stream in (0, 1))
    waveform = sounds.mix(
        [(event.class_name, event.onset, event.offset) for event in plan.events if event.modality == "audio"],
        CLIP_SECONDS,
        sound_rng,
    )
    with replaced(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        write_streams(container, paint_frames(plan, look_rng), waveform)


def render_struck_clip(plan: ClipPlan, path: Path | str, seed: int) -> None:
    """Render one clip of the world of strokes, as `render_clip`, at 20 frames/s."""
    import av

    seeds = (seed, _name_number(plan))
    whole = strokes.class_sounds(plan, (*seeds, 2))
    track = strokes.struck_track(plan, whole, np.random.default_rng([*seeds, 1]))
    look_rng = np.random.default_rng([*seeds, 0])
    frames = paint_frames(plan, look_rng, rate=strokes.FRAME_RATE, paint=strokes.painter(whole))
    with replaced(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        write_streams(container, frames, track, rate=strokes.FRAME_RATE)


def _name_number(plan: ClipPlan) -> int:
    return int.from_bytes(hashlib.sha256(plan.clip_id.encode()).digest()[:8], "big")


def paint_frames(
    plan: ClipPlan, rng: np.random.Generator, *, rate: int | None = None, paint: Painter = Look.paint
) -> Iterator[np.ndarray]:
    """The frames of a clip, uint8 [96, 128, 3]: each class is in the picture exactly while it is visible.

    `rate` is theirs per second, `FRAME_RATE` where it is None; `paint` puts a look onto a frame as it is at a time.
    """
    rate = FRAME_RATE if rate is None else rate
    scene, looks = _staged(plan, rng)
    for frame in range(CLIP_SECONDS * rate):
        time = frame / rate
        seen = _seen_at(plan, time)
        image = scene.canvas(time)
        for look in looks:
            if look.class_name in seen:
                paint(look, image, time)
        yield scene.expose(image)


def boxes_at(plan: ClipPlan, seed: int, time: float) -> dict[str, tuple[int, int, int, int]]:
    """Where each class that is visible lies in the frame of `render_clip` shown at a time: left, top, right, bottom."""
    rng = np.random.default_rng([seed, _name_number(plan), 0])
    shown = int(time * FRAME_RATE + 1e-6) / FRAME_RATE
    seen = _seen_at(plan, shown)
    boxes = {look.class_name: look.box(shown) for look in _staged(plan, rng)[1] if look.class_name in seen}
    return {name: box for name, box in boxes.items() if box is not None}


def _staged(plan: ClipPlan, rng: np.random.Generator) -> tuple[Scene, list[Look]]:
    scene = Scene(rng)
    visible = [event.class_name for event in plan.events if event.modality == "visual"]
    return scene, arrange(list(dict.fromkeys(visible)), rng)


def _seen_at(plan: ClipPlan, time: float) -> set[str]:
    visible = [event for event in plan.events if event.modality == "visual"]
    return {event.class_name for event in visible if event.onset <= time < event.offset}


def write_streams(
    container: "OutputContainer", frames: Iterator[np.ndarray], waveform: np.ndarray, *, rate: int | None = None
) -> None:
    """Encode frames and waveform f32 [S] into a video and an audio stream; one thread, so bytes do not vary.

    `rate` is that of the frames, per second, `FRAME_RATE` where it is None.
    """
    import av

    rate = FRAME_RATE if rate is None else rate

    video = container.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "24", "threads": "1"})
    video.pix_fmt = "yuv420p"
    audio = container.add_stream(SOUND_CODEC, rate=sounds.SAMPLE_RATE, layout="mono", options={"aac_coder": "fast"})
    audio.bit_rate = 64_000
    for number, pixels in enumerate(frames):
        if number == 0:
            video.height, video.width = pixels.shape[:2]
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, rate)
        container.mux(video.encode(picture))
    for start in range(0, len(waveform), _AUDIO_BLOCK):
        block = av.AudioFrame.from_ndarray(waveform[None, start : start + _AUDIO_BLOCK], format="fltp", layout="mono")
        block.sample_rate, block.pts = sounds.SAMPLE_RATE, start
        block.time_base = Fraction(1, sounds.SAMPLE_RATE)
        container.mux(audio.encode(block))
    container.mux(video.encode(None))
    container.mux(audio.encode(None))


def build_world(
    folder: Path | str,
    sizes: Mapping[str, int],
    seed: int,
    workers: int = 2,
    *,
    world: str = PLAIN,
    progress: bool = True,
) -> World:
    """Make a world, or what is missing of it: clips under `videos`, tables like LLP's, and `world.json`.

    Clips and tables that are already there are kept, so an interrupted call is finished by the next one.

    Args:
        folder: Where the world is, or will be.
        sizes: Clips of each split: train, val, test.
        seed: Seed of everything in the world.
        workers: Processes to render with; the files do not depend on it.
        world: Which: one of `WORLDS`.
        progress: Whether to show a progress bar on stderr.

    Returns:
        The world and how many of its clips were made and found.

    Raises:
        ValueError: The folder holds another world or a table that was edited, there is no such world, or `workers` is
            not positive.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1 process, got {workers}")
    if world not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}, got {world!r}{did_you_mean(world, WORLDS)}")
    render, version = (render_clip, {"renderer": RENDERER_VERSION})
    if world == STROKES:
        render, version = (render_struck_clip, {"strokes": STROKES_VERSION})
    folder, videos = Path(folder), Path(folder) / "videos"
    plans = sample_world(sizes, seed)
    claim_folder(folder, {**version, "seed": seed, "sizes": {s: sizes[s] for s in SPLITS if s in sizes}})
    keep_tables(folder, partial(write_tables, plans=plans))
    videos.mkdir(exist_ok=True)
    todo = [(plan, videos / f"{media_id(plan.clip_id)}.mp4") for plan in plans]
    todo = [(plan, path) for plan, path in todo if not path.is_file()]
    cached = len(plans) - len(todo)
    if cached:
        _log.info("%s: %d of %d clips are already there, rendering %d", videos, cached, len(plans), len(todo))
    with progress_bar(total=len(plans), initial=cached, desc="render", unit="clip", enabled=progress) as bar:
        for _ in render_all([partial(render, plan, path, seed) for plan, path in todo], workers):
            bar.update()
    return World(folder, videos, plans)


def render_all(todo: Sequence[Callable[[], None]], workers: int) -> Iterator[None]:
    """Render everything, yielding once for each that is done."""
    if workers == 1 or len(todo) < 2 * workers:
        for job in todo:
            job()
            yield
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), end_with_parent) as pool:
        with script_hidden():
            waiting: list[Future[None]] = [pool.submit(job) for job in todo]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def claim_folder(folder: Path, identity: dict[str, object]) -> None:
    """Write `world.json`, or see that the one there is of this very world."""
    path = folder / WORLD_FILE
    if path.is_file():
        try:
            found = loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{path}: expected the JSON of a rendered world, got {error}; choose another folder"
            ) from error
        if found != identity:
            raise ValueError(
                f"{folder} holds another world: expected {json.dumps(identity)}, got {json.dumps(found)}; "
                "choose another folder, or remove this one to make it anew"
            )
        return
    others = [name for name in ("videos", DATASET_FILE) if (folder / name).exists()]
    if others and (others != ["videos"] or any((folder / "videos").iterdir())):
        raise ValueError(
            f"{folder}: expected a new folder or one with a world.json, got {others[-1]} without it; choose another"
        )
    write_json(path, identity, indent=2)


def keep_tables(folder: Path, write: Callable[[Path], None]) -> None:
    """Write the tables of a world that are not there yet.

    Args:
        folder: Of the world.
        write: Writes all of them into a folder.

    Raises:
        ValueError: One that is there was edited; none is written over.
    """
    with TemporaryDirectory() as drawn:
        write(Path(drawn))
        if edited := _edited_tables(folder, Path(drawn)):
            raise ValueError(
                f"{folder}: {' and '.join(edited)} {'differs' if len(edited) == 1 else 'differ'} from what was drawn "
                "for this world, and edited tables are not written over; `valor ablate`, `valor train` and `valor "
                "evaluate` take them as they are; to draw the world, choose another folder or remove them"
            )
        for path in sorted(Path(drawn).iterdir()):
            if not (folder / path.name).is_file():
                with replaced(folder / path.name) as temporary:
                    temporary.write_bytes(path.read_bytes())


def edited_tables(folder: Path, plans: Sequence[ClipPlan]) -> list[str]:
    """Names of the tables in the folder of a world that are not as they were drawn."""
    with TemporaryDirectory() as drawn:
        write_tables(Path(drawn), plans)
        return _edited_tables(folder, Path(drawn))


def _edited_tables(folder: Path, drawn: Path) -> list[str]:
    names = sorted(path.name for path in drawn.iterdir())
    there = [name for name in names if (folder / name).is_file()]
    return [name for name in there if (folder / name).read_bytes() != (drawn / name).read_bytes()]


def write_tables(folder: Path, plans: Sequence[ClipPlan]) -> None:
    """Write the tables of tags and events in LLP's names and columns; like LLP's, train has no events."""
    names = class_names(LLP_CLASSES)
    for split, file_name in WEAK_TABLES.items():
        chosen = [plan for plan in plans if plan.split == split]
        if chosen:
            write_weak_table(
                folder / file_name, [plan.clip_id for plan in chosen], world_arrays(chosen, names)[1], names
            )
    for modality, file_name in zip(("audio", "visual"), EVENT_TABLES["v2024"], strict=True):
        rows = [
            (plan.clip_id, event.onset, event.offset, event.class_name)
            for plan in plans
            if plan.split != "train"
            for event in plan.events
            if event.modality == modality
        ]
        write_event_table(folder / file_name, rows)
