"""Captions of classes for a parser that goes by words (`parser.head=words`): where they come from, and who reads them.

A training takes them from the teachers of an evidence store, with the captions that store was harvested with; the
run notes who these teachers are. Another list of classes is read by the same teachers, or refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from valor.data.clips import ClipSet
from valor.data.features.feature_options import FeatureOptions, evidence_in
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.data.vocabulary import EventClass, named_class, prompts, stored_classes
from valor.label_harvest.places.place import Place, place_of
from valor.label_harvest.store.store import store_folder, store_manifest
from valor.label_harvest.teachers.build import build_teacher
from valor.label_harvest.teachers.teacher import SearchedTeacher, Teacher
from valor.parsers.hybrid import MODALITIES, HybridParser
from valor.parsers.word_head import WordHead
from valor.teachers import COMPARED, refuse_absent, teacher_of_store

from .checkpoint import CheckpointCard

READERS = "words"
"""Key of a run's recipe for the teachers that read its captions, by modality."""
_READ = (*COMPARED, "logit_scale", "logit_bias")
"""What is kept of them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Words:
    """What a training by words begins with."""

    class_names: tuple[str, ...]
    captions: tuple[Tensor, Tensor]
    """Of audio and visual, float [C, P] of length 1."""
    places: tuple[Tensor, Tensor]
    """Of audio and visual features, float [D + 1, P]: where their teachers place them, the constant last."""
    readers: Mapping[str, Mapping[str, Any]]
    """Who reads captions, by modality, as JSON values."""

    def of(self, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The captions of some of the classes, in another order."""
        rows = [self.class_names.index(name) for name in names]
        audio, visual = (captions[rows] for captions in self.captions)
        return audio, visual

    def begin(self, parser: HybridParser, names: Sequence[str]) -> None:
        """Let a fresh parser say of some classes what the teachers say."""
        assert isinstance(parser.classifier, WordHead)  # asked by whoever calls
        parser.classifier.take(*self.of(names))
        scales, biases = (
            tuple(float(self.readers[role][key]) for role in MODALITIES) for key in ("logit_scale", "logit_bias")
        )
        parser.classifier.begin(self.places, (scales[0], scales[1]), (biases[0], biases[1]))


def read_words(data: Path, split: Split, train: ClipSet, store: Place | None = None) -> Words:
    """Captions of the classes of a split, and where its features lie among them.

    Args:
        data: The data folder.
        split: That is trained on, with all classes.
        train: Its clips with the features of the recipe.
        store: Evidence store; None for the one among the data.

    Raises:
        ValueError: There is no store, or no teachers in it whose captions lie where its embeddings do.
        TeacherUnavailableError: Weights are neither here nor to be fetched.
    """
    try:
        folder = store_folder(evidence_in(data, store))
        store_manifest(folder)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"parser.head=words compares segments with the captions of the teachers of an evidence store: {error}"
        ) from error
    readers = _readers(folder, "parser.head=words")
    teachers = _of_store(folder, readers, split.class_names)
    kinds = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None, missing="drop")
    embeddings = read_clip_set(data, split, kinds, store=store)
    places = [
        _placed(getattr(train, role), train, getattr(embeddings, role), embeddings, teachers[role])
        for role in MODALITIES
    ]
    captions = [_captions(teachers[role]) for role in MODALITIES]
    return Words(
        class_names=split.class_names,
        captions=(captions[0], captions[1]),
        places=(places[0], places[1]),
        readers=readers,
    )


def captions_of_store(store: Place | str, names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Where the teachers of a store place its captions of some classes, float [C, P] of audio and of visual.

    Raises:
        ValueError: It has no teachers of both modalities whose captions lie among their embeddings.
        TeacherUnavailableError: Weights are neither here nor to be fetched.
    """
    folder = store_folder(place_of(store))
    teachers = _of_store(folder, _readers(folder, "an objective that learns from prompts"), names)
    audio, visual = (_captions(teachers[role]) for role in MODALITIES)
    return audio, visual


def _readers(folder: Place, what: str) -> dict[str, dict[str, Any]]:
    """Who reads captions in a store, by modality, as JSON values; refused where nobody does."""
    told = store_manifest(folder)["teachers"]
    judges = {role: told.get(role) or {} for role in MODALITIES}
    if lacking := [role for role, identity in judges.items() if "prompts" not in identity]:
        raise ValueError(
            f"{folder}: {what} needs captions of an audio and of a visual teacher, and the store has none "
            f"of {' and '.join(lacking)}; harvest with both"
        )
    return {
        role: {key: held for key in _READ if (held := identity.get(key)) is not None}
        for role, identity in judges.items()
    }


def _of_store(
    folder: Place, readers: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> dict[str, SearchedTeacher]:
    """The teachers of a store with its captions of some classes, by modality."""
    classes = {entry.name: entry for entry in stored_classes(folder)}
    return _teachers(folder, readers, [classes.get(name) or named_class(name) for name in names])


def take_classes(
    where: object,
    parser: HybridParser,
    card: CheckpointCard,
    classes: Sequence[EventClass],
    *,
    checkpoints: Mapping[str, str] | None = None,
    build: Callable[..., Teacher] = build_teacher,
) -> None:
    """Let a trained parser by words parse for other classes.

    Args:
        where: The run, for messages.
        parser: Of the run; changed in place.
        card: Of its checkpoint.
        classes: With their captions.
        checkpoints: Local weights of the teachers, by role.
        build: Builds them, as `build_teacher` does.

    Raises:
        ValueError: The parser does not go by words, or a teacher is not the one that read the captions of the training.
        TeacherUnavailableError: Weights are neither here nor to be fetched.
    """
    head = getattr(parser, "classifier", None)  # some networks have two, or none
    if not isinstance(head, WordHead):
        raise ValueError(
            f"{where}: its parser has a row of weights for each of its {len(card.class_names)} classes and takes no "
            "others; train one with parser.head=words, or look for them with the teachers alone"
        )
    readers = card.recipe.get("run", {}).get(READERS)
    if not isinstance(readers, Mapping) or not set(MODALITIES) <= set(readers):
        raise ValueError(f"{where}: does not say which teachers read the captions of its classes; train it again")
    teachers = _teachers(where, readers, classes, checkpoints, build)
    head.take(*(_captions(teachers[role]) for role in MODALITIES))


def classes_named(names: Sequence[str], known: Sequence[EventClass], *stores: Place) -> list[EventClass]:
    """Classes with the captions of a vocabulary, else those of a store, else made of their names."""
    held = {entry.name: entry for entry in (*stored_classes(*stores), *known)}
    return [held.get(name) or named_class(name) for name in names]


def _teachers(
    where: object,
    readers: Mapping[str, Mapping[str, Any]],
    classes: Sequence[EventClass],
    checkpoints: Mapping[str, str] | None = None,
    build: Callable[..., Teacher] = build_teacher,
) -> dict[str, SearchedTeacher]:
    """Those that read captions, by modality, once they are known to be the same."""
    found = {}
    refuse_absent(where, {role: readers[role] for role in MODALITIES}, checkpoints)
    for role in MODALITIES:
        captions, given = prompts(tuple(classes), role), (checkpoints or {}).get(role)
        teacher = teacher_of_store(where, role, readers[role], captions, checkpoint=given, build=build)
        if not isinstance(teacher, SearchedTeacher):
            raise ValueError(
                f"{where}: the {role} teacher {readers[role]['teacher']} does not say where captions lie; give it "
                "caption_embeddings and among_captions (valor.label_harvest.teachers.teacher.SearchedTeacher)"
            )
        found[role] = teacher
    return found


def _captions(teacher: SearchedTeacher) -> Tensor:
    return torch.from_numpy(np.array(teacher.caption_embeddings, np.float32))


def _placed(features: Tensor, train: ClipSet, embeddings: Tensor, held: ClipSet, teacher: SearchedTeacher) -> Tensor:
    """The affine map from features to where a teacher places the same segments, by least squares: float [D + 1, P]."""
    row_of = {clip_id: row for row, clip_id in enumerate(held.clip_ids)}
    rows = [row for row, clip_id in enumerate(train.clip_ids) if clip_id in row_of]
    if not rows:
        raise ValueError("parser.head=words needs embeddings of clips of the training in the store, got none")
    there = [row_of[train.clip_ids[row]] for row in rows]
    longest = min(features.shape[1], embeddings.shape[1])
    x, y = features[rows, :longest].flatten(0, 1).double(), embeddings[there, :longest].flatten(0, 1)
    if held.valid is not None:
        exists = held.valid[there, :longest].flatten()
        x, y = x[exists], y[exists]
    placed = torch.from_numpy(teacher.among_captions(y.float().numpy())).double()
    x = torch.cat((x, torch.ones(len(x), 1, dtype=x.dtype)), dim=1)
    ridge = x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1], dtype=x.dtype) * x.square().mean()
    found: Tensor = torch.linalg.solve(ridge, x.T @ placed)
    return found.float()
