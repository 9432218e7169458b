"""What is searched for, as vectors: words by the text towers of the teachers that a store names, media by these."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valor.eval.events import MODALITIES, FloatArray
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.windows import read_windows
from valor.label_harvest.teachers.teacher import SearchedTeacher
from valor.teachers import refuse_absent, teacher_of_store

EVERYTHING = "anything"
"""A caption for teachers that are asked for no words."""


def searched_teachers(
    where: object,
    manifest: Mapping[str, Any],
    modalities: Sequence[str],
    *,
    captions: Mapping[str, Sequence[str]] | None = None,
    checkpoints: Mapping[str, str] | None = None,
) -> dict[str, SearchedTeacher]:
    """The teachers of a store with captions of one's own, by modality; None where captions do not matter.

    Raises:
        ValueError: A teacher is not the one of the store, or its embeddings cannot be compared with captions.
        TeacherUnavailableError: Weights are neither here nor to be fetched.
    """
    given = checkpoints or {}
    if strangers := sorted(set(given) - set(MODALITIES)):
        raise ValueError(f"teacher_checkpoints must be for {', '.join(MODALITIES)}, got {', '.join(strangers)}")
    found: dict[str, SearchedTeacher] = {}
    refuse_absent(where, {role: manifest["teachers"][role] for role in modalities}, given)
    for role in modalities:
        identity = manifest["teachers"][role]
        read = [EVERYTHING] if captions is None else list(captions[role])
        teacher = teacher_of_store(where, role, identity, read, checkpoint=given.get(role))
        if not isinstance(teacher, SearchedTeacher):
            raise ValueError(
                f"{where}: the {role} teacher {identity['teacher']} does not say where captions lie; give it "
                "caption_embeddings and among_captions (valor.label_harvest.teachers.teacher.SearchedTeacher)"
            )
        found[role] = teacher
    return found


def media_features(
    path: Path, teachers: Mapping[str, SearchedTeacher], manifest: Mapping[str, Any]
) -> dict[str, FloatArray]:
    """What teachers keep of a file, rounded as in a store: float32 [S, D] by modality that it has, NaN where absent.

    Raises:
        MediaError: The file cannot be read, or has none of the streams.
        FileNotFoundError: There is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    grid = Grid(**{name: value for name, value in manifest["grid"].items() if name in Grid.__dataclass_fields__})
    rows: dict[str, list[FloatArray]] = {role: [] for role in teachers}
    with ProcessReader(DecodeLimits()) as reader:
        survey = reader.survey(path, None)
        for window in read_windows(survey, grid, hop=grid.num_segments, reader=reader):
            for role, teacher in teachers.items():
                stream = window.clip.waveform if role == "audio" else window.clip.frames
                if stream is None:
                    continue
                (answer,) = teacher.encode_many([window.clip])
                features = answer.features["embedding"].astype(np.float16).astype(np.float32)
                here = window.present[:, MODALITIES.index(role)] & window.valid
                rows[role].append(np.where(here[:, None], features, np.nan)[window.valid])
    found = {role: np.concatenate(parts) for role, parts in rows.items() if parts}
    found = {role: array for role, array in found.items() if not np.isnan(array[:, 0]).all()}
    if not found:
        heard = {"audio": "sound", "visual": "picture"}
        raise MediaError(f"{path}: has no {' and no '.join(heard[role] for role in teachers)} to search by")
    return found


def middle(placed: FloatArray) -> FloatArray:
    """The direction of vectors float [S, P], those that are absent left out: float32 [P] of length 1."""
    there = placed[~np.isnan(placed[:, 0])]
    mean = there.mean(axis=0)
    found: FloatArray = (mean / max(float(np.linalg.norm(mean)), 1e-8)).astype(np.float32)
    return found
