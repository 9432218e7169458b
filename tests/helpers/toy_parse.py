"""A run that parses media with the demo's teachers, and films of which it is known what happens when."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.data.parse_file import Parse
from valor.data.parsed_media import MediaInfo
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.eval.decide import PostProcessing
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.media.windows import WindowPlace
from valor.label_harvest.teachers.build import build_teacher
from valor.label_harvest.teachers.teacher import Evidence
from valor.parsers.build import build_parser
from valor.training.checkpoint import CheckpointCard, write_checkpoint
from valor.training.recipes import RECIPES, recipe_to_json
from valor.training.run_folder import BEST
from valor.video.options import ParseOptions
from valor.video.parse import parse_media
from valor.video.trained import Evidences, WindowProbs, brief_identity

NAMES = class_names(LLP_CLASSES)
DEMO = {"audio": "demo-audio", "visual": "demo-visual"}


def write_run(folder: Path, *, parser: Mapping[str, Any] | None = None, **changes: object) -> Path:
    """A demo run with random weights, some options of its parser; `changes` go into what it says of its teachers."""
    recipe = RECIPES["demo"]
    features = {
        role: {"kind": f"{role}.embedding", "teacher": {**brief_identity(build_teacher(name, NAMES)), **changes}}
        for role, name in DEMO.items()
    }
    card = CheckpointCard(
        class_names=NAMES, recipe={**recipe_to_json(recipe), "run": {"sources": {"features": features}}}
    )
    write_checkpoint(folder / BEST, build_parser(replace(recipe.parser, **(parser or {})), seed=0), card)
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


def unsure_parse() -> Parse:
    """The toy parse against decoys that are more probable in its second half."""
    parse = replace(toy_parse(), gate_probs=None, decision=PostProcessing(gate="none", segment_threshold=0.4))
    background = np.where(np.arange(12)[:, np.newaxis] < 6, 0.0, 1.0).repeat(2, axis=1)
    return replace(parse, background_probs=background.astype(np.float32))


class ToyTeacher:
    """A teacher whose embedding of a segment is four figures of its picture or sound; it notes how many it is given."""

    of_whole_clips = ()
    caption_embeddings = np.eye(3, 4, dtype=np.float32)

    def __init__(self, role: str, *, weights: str = "w", enough: float = math.inf) -> None:
        """Hang once so many segments have been given."""
        self.role, self.weights, self.enough, self.given = role, weights, enough, 0
        self.sample_rate = 32000 if role == "audio" else None

    def identity(self) -> dict[str, object]:
        return {"teacher": "toy", "weights": self.weights, "precision": "float32", "logit_scale": 1.0}

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        return embedding

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        if self.given >= self.enough:
            time.sleep(600)
        self.given += clip.grid.num_segments
        media = clip.frames if self.role == "visual" else clip.waveform
        rows = np.asarray(media, np.float32).reshape(clip.grid.num_segments, -1) / (255 if self.role == "visual" else 1)
        return {"embedding": np.stack([part.mean(axis=1) for part in np.array_split(rows, 4, axis=1)], axis=1)}

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        return [{} for _ in clips]

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        return [Evidence(self.encode_segments(clip)) for clip in clips]

    def encode(self, media: ClipMedia) -> Evidence:
        return self.encode_many([media])[0]


class WindowTeacher:
    """A teacher of whom nobody knows that it judges every segment by itself."""

    def __init__(self, teacher: Any) -> None:
        """Stand for another one."""
        self.role, self.sample_rate = teacher.role, teacher.sample_rate
        self.identity, self.encode_many, self.encode = teacher.identity, teacher.encode_many, teacher.encode


@dataclass(frozen=True, kw_only=True)
class ToySystem:
    """Probabilities that rest on a segment and on the whole window it lies in."""

    teachers: tuple[Any, ...]
    grid: Grid = Grid(sample_rate=32000)  # noqa: RUF009
    class_names: tuple[str, ...] = ("A", "B", "C")
    default_rule: PostProcessing = PostProcessing(gate="none")  # noqa: RUF009

    def judge(self, windows: Sequence[WindowPlace], evidence: Evidences) -> WindowProbs:
        probs = np.full((len(windows), self.grid.num_segments, 2, 3), np.nan, np.float32)
        for teacher in self.teachers:
            for row, answer in enumerate(evidence[teacher.role]):
                if answer is not None:
                    embedding = answer.features["embedding"][:, :3]
                    context = embedding[windows[row].valid].mean(axis=0)
                    probs[row, :, int(teacher.role == "visual")] = 1 / (1 + np.exp(-embedding - context))
        return WindowProbs(probs)

    def describe(self) -> dict[str, Any]:
        return {"run": "toy"}


def toy_system(**options: Any) -> ToySystem:
    return ToySystem(teachers=tuple(ToyTeacher(role, **options) for role in ("audio", "visual")))


def write_small_film(path: Path, seconds: float, *, video_start: float = 0.0, sound_start: float = 0.0) -> Path:
    """One whose every frame and second differs, quick to write and to decode."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (1, round((seconds - sound_start) * 32000)))
    video = ToyVideo(seconds=seconds - video_start, start=video_start, rate=10, width=32, height=32)
    sound = ToySound(rate=32000, codec="pcm_s16le", waveform=noise.astype(np.float32), start=sound_start)
    return write_toy_clip(path, video=video, sound=sound)


def parse_until_it_hangs(words: Sequence[str]) -> None:
    """Parse MEDIA with the folder of EVIDENCE, until teachers have been given ENOUGH segments."""
    media, evidence, enough = words
    options = ParseOptions(windows_per_batch=1, cuts="none", evidence=Path(evidence), limits=None)
    parse_media(toy_system(enough=int(enough)), Path(media), options)
