"""A run that parses media with the demo's teachers, and films of which it is known what happens when."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from valor.data.parse_file import MediaInfo, Parse
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.media.clip import ClipMedia
from valor.label_harvest.teachers.build import build_teacher
from valor.parsers.build import build_parser
from valor.training.checkpoint import CheckpointCard, write_checkpoint
from valor.training.recipes import RECIPES, recipe_to_json
from valor.training.run_folder import BEST
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import brief_identity, load_system

NAMES = class_names(LLP_CLASSES)
DEMO = {"audio": "demo-audio", "visual": "demo-visual"}


def write_run(folder: Path, **changes: object) -> Path:
    """A demo run with random weights; `changes` go into what it says of its teachers."""
    recipe = RECIPES["demo"]
    features = {
        role: {"kind": f"{role}.embedding", "teacher": {**brief_identity(build_teacher(name, NAMES)), **changes}}
        for role, name in DEMO.items()
    }
    card = CheckpointCard(
        class_names=NAMES, recipe={**recipe_to_json(recipe), "run": {"sources": {"features": features}}}
    )
    write_checkpoint(folder / BEST, build_parser(recipe.parser, seed=0), card)
    return folder


def write_film(path: Path, seconds: int, events: Sequence[tuple[str, str, int, int]], seed: int = 3) -> Path:
    """A film in one scene, with (class, modality, onset, offset) events at known times."""
    import av

    from valor.demo.audio import sounds
    from valor.demo.pictures.looks import Scene, arrange
    from valor.demo.world.render import FRAME_RATE, write_streams

    rng = np.random.default_rng(seed)
    waveform = sounds.mix([(name, on, off) for name, modality, on, off in events if modality == "audio"], seconds, rng)
    seen = [(name, on, off) for name, modality, on, off in events if modality == "visual"]
    scene, looks = Scene(rng), arrange(list(dict.fromkeys(name for name, _, _ in seen)), rng)

    def frames():
        for number in range(seconds * FRAME_RATE):
            time = number / FRAME_RATE
            image = scene.canvas(time)
            for look in looks:
                if any(look.class_name == name and on <= time < off for name, on, off in seen):
                    look.paint(image, time)
            yield scene.expose(image)

    with av.open(str(path), "w", format="mp4") as container:
        write_streams(container, frames(), waveform)
    return path


def toy_parse(*, start: float = 1.4, name: str = "street & dog.mp4", visual: bool = True) -> Parse:
    """Twelve seconds of two classes, events on both sides of every border."""
    rng = np.random.default_rng(0)
    probs = rng.uniform(0, 1, (12, 2, 2)).astype(np.float32)
    probs[:, 1] = probs[:, 1] if visual else np.nan
    return Parse(
        media=MediaInfo(
            name=name, path=f"/films/{name}", duration=11.96, start_time=start, has_audio=True, has_visual=visual,
            width=64 if visual else None, height=48 if visual else None, frame_rate=25.0 if visual else None,
        ),
        class_names=("Speech", "Glass_breaking"),
        segment_seconds=1.0,
        segment_probs=probs,
        gate_probs=np.where(np.isnan(probs), np.nan, np.float32(0.75)).astype(np.float32),
        system={"run": "runs/toy", "zero_shot": False},
    )  # fmt: skip


class WatchedTeacher:
    """A teacher that notes how many segments it is given, and hangs once it has been given enough."""

    def __init__(self, teacher: Any, *, enough: float = math.inf) -> None:
        """Stand for a teacher of the demo."""
        self.teacher, self.enough, self.given = teacher, enough, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.teacher, name)

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        if self.given >= self.enough:
            time.sleep(600)
        self.given += clip.grid.num_segments
        return self.teacher.encode_segments(clip)


class WindowTeacher:
    """A teacher of whom nobody knows that it judges every segment by itself."""

    def __init__(self, teacher: Any) -> None:
        """Stand for another one."""
        self.role, self.sample_rate = teacher.role, teacher.sample_rate
        self.identity, self.encode_many, self.encode = teacher.identity, teacher.encode_many, teacher.encode


def watched(system: Any, **options: float) -> tuple[Any, list[WatchedTeacher]]:
    """A system with watched teachers, and these."""
    teachers = [WatchedTeacher(teacher, **options) for teacher in system.teachers]
    return replace(system, teachers=tuple(teachers)), teachers


def parse_until_it_hangs(words: Sequence[str]) -> None:
    """Parse MEDIA with RUN and the folder of EVIDENCE, until teachers have been given ENOUGH segments."""
    media, run, evidence, enough = words
    system, _ = watched(load_system(run), enough=int(enough))
    parse_media(system, Path(media), ParseOptions(windows_per_batch=1, cuts="none", evidence=Path(evidence)))
