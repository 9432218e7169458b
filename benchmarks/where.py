"""Where in the picture: how often the peak of a visible event's map lies on the drawing of its class.

    python -m benchmarks.where [--clips 200] [--seed 5] [--checkpoint demo/runs/valor/seed-0] [--ways NAMES]

Clips of a demo world of their own seed are parsed with `where`, by the demo's teachers alone or by a run. Counted are
the visible events of the parses whose class is visible in the frame of the map; the world knows the box of each
drawing. Beside the share of peaks within the box of their class: what a place at random would hit (the share of the
frame that the box takes), and the middle of the frame. Intervals are of 95 %, by resampling clips.

The ways: `windows`, what `valor parse --where` does with teachers that are no vision transformers; `hidden`, windows
that are hidden in place of shown; `features`, the last map of convolutions times the gradient of what is asked for.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import processor
from valor.data.parse_file import Parse
from valor.demo.pictures.backgrounds import FRAME_HEIGHT, FRAME_WIDTH
from valor.demo.world.render import World, boxes_at, build_world
from valor.demo.world.schedule import ClipPlan
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.media.cuts import shots_of
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.store.manifest import media_id
from valor.label_harvest.teachers.demo import TinyTeacher, Trunk, frame_pictures, shrink_frames
from valor.label_harvest.teachers.where import CELLS, SIDE, PlaceMaps, shown_alone
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import ParsingSystem, load_system
from valor.video.where import with_where
from valor.video.zero_shot import load_zero_shot

Way = Callable[[TinyTeacher, np.ndarray, np.ndarray], PlaceMaps]
RESAMPLES = 2000


def hidden(teacher: TinyTeacher, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps:
    """How much less fits with a window hidden."""
    mean = frame.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    spans = [(max(0, first), min(CELLS, first + SIDE)) for first in range(1 - SIDE, CELLS)]
    places = [(rows, columns) for rows in spans for columns in spans]
    pictures = np.repeat(frame[None], len(places) + 1, axis=0)
    high, wide = frame.shape[0] / CELLS, frame.shape[1] / CELLS
    for picture, (rows, columns) in zip(pictures[1:], places, strict=True):
        picture[int(rows[0] * high) : int(rows[1] * high), int(columns[0] * wide) : int(columns[1] * wide)] = mean
    clip = ClipMedia(frames=pictures, waveform=None, grid=Grid(num_segments=len(pictures)))
    fits = teacher.among_captions(teacher.encode_segments(clip)["embedding"]) @ directions.T
    total, count = np.zeros((len(directions), CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for (rows, columns), lost in zip(places, fits[0] - fits[1:], strict=True):
        total[:, slice(*rows), slice(*columns)] += lost[:, None, None]
        count[slice(*rows), slice(*columns)] += 1
    return PlaceMaps((total / count).astype(np.float32), "hidden")


def features(teacher: TinyTeacher, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps:
    """The last map of convolutions, each place times its gradient."""
    trunk, maps = teacher.network.trunks["visual"], []
    assert isinstance(trunk, Trunk)
    with torch.inference_mode(mode=False), torch.enable_grad():
        for direction in directions:
            seen = frame_pictures(shrink_frames(torch.from_numpy(frame.copy())[None]))
            for convolution, norm in zip(trunk.convolutions, trunk.norms, strict=True):
                seen = torch.relu(norm(convolution(seen)))
            seen = seen.detach().requires_grad_()
            pooled = torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1)
            fits = teacher.network.head(pooled)[1] @ torch.from_numpy(direction)
            (gradient,) = torch.autograd.grad(fits.sum(), seen)
            maps.append((seen * gradient).sum(dim=1)[0].detach().numpy())
    return PlaceMaps(np.stack(maps), "features")


WAYS: dict[str, Way] = {"windows": shown_alone, "hidden": hidden, "features": features}


class Asked:
    """A teacher that is asked in one way."""

    def __init__(self, teacher: TinyTeacher, way: Way) -> None:
        self._teacher, self._way = teacher, way

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._teacher, name)

    def locate(self, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps:
        return self._way(self._teacher, frame, directions)


@dataclass(frozen=True)
class Hit:
    """One visible event whose class is in the frame."""

    clip: int
    crowded: bool
    """Whether something else is visible there, too."""
    peak: bool
    chance: float
    centre: bool


def parses_of(system: ParsingSystem, world: World) -> list[Parse]:
    return [parse_media(system, _path(world, plan), ParseOptions(limits=None, hashed=False)) for plan in world.plans]


def _path(world: World, plan: ClipPlan) -> Path:
    return world.videos / f"{media_id(plan.clip_id)}.mp4"


def hits_of(parses: Sequence[Parse], system: ParsingSystem, world: World, seed: int) -> tuple[list[Hit], int]:
    """What is said of parses, and how many of their events are not in the frame."""
    hits, absent, reader = list[Hit](), 0, DirectReader()
    shots = shots_of((), system.grid.num_segments, system.grid)
    for number, (plan, parse) in enumerate(zip(world.plans, parses, strict=True)):
        survey = reader.survey(_path(world, plan))
        for place in with_where(parse, system, survey, shots, reader, hop=1, shared=False).where or ():
            boxes = boxes_at(plan, seed, place.time)
            if place.class_name not in boxes:
                absent += 1
                continue
            left, top, right, bottom = np.array(boxes[place.class_name]) / ((FRAME_WIDTH, FRAME_HEIGHT) * 2)
            within = [left <= x < right and top <= y < bottom for x, y in (place.peak, (0.5, 0.5))]
            area = float((right - left) * (bottom - top))
            hits.append(Hit(number, len(boxes) > 1, bool(within[0]), area, bool(within[1])))
    return hits, absent


def share(hits: Sequence[Hit], figure: str) -> str:
    """Percent with its interval."""
    if not hits:
        return "-"
    clips = sorted({hit.clip for hit in hits})
    sums = np.array([[getattr(hit, figure), 1] for hit in hits], float)
    by_clip = np.stack([sums[[hit.clip == clip for hit in hits]].sum(axis=0) for clip in clips])
    drawn = by_clip[np.random.default_rng(0).integers(len(clips), size=(RESAMPLES, len(clips)))].sum(axis=1)
    low, high = np.quantile(100 * drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    total = by_clip.sum(axis=0)
    return f"{100 * total[0] / total[1]:.1f} [{low:.1f}, {high:.1f}]"


def print_rows(name: str, figure: str, hits: Sequence[Hit]) -> None:
    parts = (hits, [hit for hit in hits if not hit.crowded], [hit for hit in hits if hit.crowded])
    print(f"{name:28}" + "".join(f"{share(part, figure):>22}" for part in parts), flush=True)


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--clips", type=int, default=200)
    cli.add_argument("--seed", type=int, default=5, help="of the world")
    cli.add_argument("--checkpoint", type=Path, metavar="RUN", help="who parses (the demo's teachers alone)")
    cli.add_argument("--ways", default=",".join(WAYS))
    cli.add_argument("--threads", type=int, default=2)
    typed = cli.parse_args()
    torch.set_num_threads(typed.threads)
    print(f"python -m benchmarks.where {' '.join(sys.argv[1:])}\n{processor()}\n")
    if typed.checkpoint:
        system: Any = load_system(typed.checkpoint)
    else:
        system = load_zero_shot("llp", teachers={"audio": "demo-audio", "visual": "demo-visual"})
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(folder, {"test": typed.clips}, typed.seed, workers=1, progress=False)
        print(f"{'':28}{'all':>22}{'alone in the frame':>22}{'beside others':>22}")
        parses = parses_of(system, world)
        for number, name in enumerate(typed.ways.split(",")):
            looking = [Asked(t, WAYS[name]) if t.role == "visual" else t for t in system.teachers]
            began = time.process_time()
            hits, absent = hits_of(parses, replace(system, teachers=tuple(looking)), world, typed.seed)
            seconds = time.process_time() - began
            if not number:
                print_rows("a place at random", "chance", hits)
                print_rows("the middle of the frame", "centre", hits)
            print_rows(f"peak, {name}", "peak", hits)
            said = f"{len(hits)} events, {sum(hit.crowded for hit in hits)} beside others"
            print(f"# {said}, {absent} more whose class is not in the frame; {seconds:.0f} s of CPU")


if __name__ == "__main__":
    main()
