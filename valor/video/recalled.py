"""Teachers of whom is known who they are, so that their networks are built only when they are asked something new.

Beside what is kept of media (kept.py) lies who made it:

    FOLDER/teachers/DIGEST/      a teacher as it is asked for: name, precision, maps, and the file of its weights
        asked.json               the same in words
        teacher.json             who that turned out to be: its identity without captions
        DIGEST.npz               vectors of captions

A weight file is known by size, last change and fingerprint, as media are. Where it is not known beforehand which file
that will be, as with names that a hub resolves, teachers are built.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valor.label_harvest.media.clip import ClipMedia
from valor.label_harvest.teachers.build import TEACHERS, TeacherOptions, build_teacher, role_of, where_weights_are
from valor.label_harvest.teachers.teacher import Evidence, Prompts, SegmentTeacher, Teacher, as_json, unit_rows

from .kept import KeptFolder, KeptRows, digest_of, file_facts

_RANDOM = "random"
_DEMO = "demo-"


class RecalledTeacher:
    """A teacher as `build_teacher` makes it, built when what is known of it does not do; see `SegmentTeacher`."""

    def __init__(self, kept: KeptFolder, known: Mapping[str, Any], captions: Prompts, build: "_Build") -> None:
        """Know who it is.

        Args:
            kept: The folder of what is known of it.
            known: What that is, from `_noted`.
            captions: That it reads.
            build: Makes it.
        """
        self.role: str = known["role"]
        self.sample_rate: int | None = known["sample_rate"]
        self.of_whole_clips: tuple[str, ...] = tuple(known["of_whole_clips"])
        self._identity = {**known["identity"], "prompts": as_json(captions)}
        self._kept, self._captions, self._build = kept, captions, build
        self._built: SegmentTeacher | None = None

    @property
    def network(self) -> SegmentTeacher:
        """Itself, with its network."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def identity(self) -> dict[str, object]:
        """See `Teacher.identity`."""
        return dict(self._identity)

    def encode_many(self, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """See `Teacher.encode_many`."""
        return self.network.encode_many(clips)

    def encode_segments(self, clip: ClipMedia) -> dict[str, np.ndarray]:
        """See `SegmentTeacher.encode_segments`."""
        return self.network.encode_segments(clip)

    def encode_wholes(self, clips: Sequence[ClipMedia]) -> list[dict[str, np.ndarray]]:
        """See `SegmentTeacher.encode_wholes`."""
        return self.network.encode_wholes(clips)

    def encode_once(self, key: str, clips: Sequence[ClipMedia]) -> list[Evidence]:
        """Embeddings of segments of clips that go by a key for ever, as they were the first time."""
        rows, found = KeptRows(self._kept), []
        for number, clip in enumerate(clips):
            name = digest_of([key, number, clip.grid.num_segments, clip.grid.sample_rate])
            if not rows.has(name):
                rows.add({name: {"drawn": np.asarray(self.network.encode_segments(clip)["embedding"], np.float32)}})
            held = rows.row(name)["drawn"] if rows.has(name) else self.network.encode_segments(clip)["embedding"]
            found.append(Evidence({"embedding": held}))
        return found

    @property
    def caption_embeddings(self) -> np.ndarray:
        """See `SearchedTeacher.caption_embeddings`."""
        rows, key = KeptRows(self._kept), digest_of(self._identity["prompts"])
        if not rows.has(key):
            _note_captions(rows, self.network, key)
        return rows.row(key)["vectors"] if rows.has(key) else self.network.caption_embeddings

    def among_captions(self, embedding: np.ndarray) -> np.ndarray:
        """See `SearchedTeacher.among_captions`; embeddings of CLIP and CLAP lie there already."""
        return unit_rows(embedding)


_Build = Callable[[], SegmentTeacher]


def recalled_teacher(
    name: str,
    captions: Prompts,
    *,
    checkpoint: str | Path | None,
    options: TeacherOptions,
    evidence: Path | None,
) -> Teacher:
    """A teacher, without its network where it is known who that is.

    Args:
        name: See `build_teacher`, as for `captions`, `checkpoint` and `options`.
        captions: Of the classes.
        checkpoint: Its weights.
        options: How it is built.
        evidence: Folder of what is kept; None knows nobody.
    """
    weights = None if evidence is None or name.startswith(_DEMO) else _weights(name, checkpoint)
    if evidence is None or weights is None:
        return build_teacher(name, captions, checkpoint=checkpoint, options=options)

    def build() -> SegmentTeacher:
        teacher = build_teacher(name, captions, checkpoint=checkpoint, options=options)
        assert isinstance(teacher, SegmentTeacher)  # others are never noted
        return teacher

    maps = options.maps.identity() if options.maps is not None else None
    asked = {"name": name, "precision": options.precision, "maps": maps, "weights": weights}
    kept = KeptFolder(evidence / "teachers" / digest_of(asked)[:16])
    kept.claim("asked", asked)
    if (known := kept.recall("teacher")) is not None:
        return RecalledTeacher(kept, known, captions, build)
    teacher = build_teacher(name, captions, checkpoint=checkpoint, options=options)
    if not isinstance(teacher, SegmentTeacher):  # PE, which is built each time
        return teacher
    kept.note("teacher", (known := _noted(teacher)))
    _note_captions(KeptRows(kept), teacher, digest_of(as_json(captions)))
    return RecalledTeacher(kept, known, captions, lambda: teacher)


def _noted(teacher: SegmentTeacher) -> dict[str, Any]:
    return {
        "role": teacher.role,
        "sample_rate": teacher.sample_rate,
        "of_whole_clips": list(teacher.of_whole_clips),
        "identity": {name: value for name, value in teacher.identity().items() if name != "prompts"},
    }


def _note_captions(rows: KeptRows, teacher: SegmentTeacher, key: str) -> None:
    rows.add({key: {"vectors": np.asarray(teacher.caption_embeddings, np.float32)}})


def _weights(name: str, checkpoint: str | Path | None) -> dict[str, Any] | str | None:
    """What tells the weights of a teacher from others; None where nothing does but building it."""
    role_of(name)  # an unknown name is refused here as anywhere
    if checkpoint == _RANDOM:
        return _RANDOM
    if isinstance(TEACHERS.get(name), tuple):
        return None
    if checkpoint is None:
        checkpoint = where_weights_are(name)
    return file_facts(Path(checkpoint)) if checkpoint is not None and Path(checkpoint).is_file() else None
