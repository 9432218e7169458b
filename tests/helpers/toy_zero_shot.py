"""Parses against decoys whose truth is known, and a teacher whose cosines are moved."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from valor.data.parse_file import Parse, write_parse
from valor.data.parsed_media import MediaInfo
from valor.label_harvest.media.clip import ClipMedia
from valor.label_harvest.teachers.teacher import Evidence, Teacher
from valor.video.against_decoys import DecoySystem
from valor.video.zero_shot import load_zero_shot

from .toy_parse import DEMO

NAMES = ("Dog", "Speech", "Car")


def toy_system() -> DecoySystem:
    system = load_zero_shot(NAMES, teachers=DEMO)
    assert isinstance(system, DecoySystem)
    return system


@dataclass(frozen=True)
class Moved:
    """A teacher whose cosines are scaled and shifted."""

    teacher: Teacher
    scale: float
    shift: float

    @property
    def role(self) -> str:
        return self.teacher.role

    @property
    def sample_rate(self) -> int | None:
        return self.teacher.sample_rate

    def identity(self) -> dict[str, object]:
        return self.teacher.identity()

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        answers = self.teacher.encode_many(clips)
        return [replace(a, similarity=(self.scale * a.similarity + self.shift).astype(np.float32)) for a in answers]

    def encode(self, media: ClipMedia) -> Evidence:
        return self.encode_many([media])[0]


def toy_footage(folder: Path, system: DecoySystem, clips: int = 8, *, present: float = 1.0) -> np.ndarray:
    """Write parses of clips of ten seconds; truth bool [clips, 10, M, C], by which classes lie `present` higher."""
    rng = np.random.default_rng(5)
    truth = rng.uniform(size=(clips, 1, 2, len(system.class_names))) < 0.25
    truth = np.repeat(truth, 10, axis=1)
    truth[:, :3] = False
    folder.mkdir(exist_ok=True)
    from valor.label_harvest.decoys import summarised
    from valor.label_harvest.media.cuts import Shot

    for clip, true in enumerate(truth):
        merged = np.zeros((10, 2, system.columns), np.float32)
        merged[:, :, : true.shape[-1]] = rng.normal(-0.2, 0.2, true.shape) + present * true
        merged[:, :, true.shape[-1] :] = summarised(rng.normal(-0.2, 0.2, (20, 30))).reshape(10, 2, -1)
        settled = system.settle(merged, (Shot(0, 10, range(10)),))
        media = MediaInfo(
            name=f"clip{clip}.mp4", path=f"/films/clip{clip}.mp4", duration=10, has_audio=True, has_visual=True
        )
        parse = Parse(
            media=media,
            class_names=system.class_names,
            segment_seconds=1.0,
            segment_probs=settled.segment_probs,
            background_probs=settled.background_probs,
            evidence=settled.evidence,
            decision=system.default_rule,
            system=system.describe(),
        )
        write_parse(folder / f"clip{clip}.json", parse)
    return truth
