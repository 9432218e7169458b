"""A folder of pseudo labels: the label file (.npz, never pickled) and labels.json, which says who made it.

The label file holds
    clip_ids        unicode [N]
    classes         unicode [C]
    pseudo_labels   bool [N, T, M, C], M is (audio, visual)
        or
    pseudo_probs    float16 [N, T, M, C] in 0..1, soft labels
and, where no teacher decided for a modality, so that its labels say nothing
    absent          unicode [1], its name
and, where a labels.json was written with it
    described_in    unicode [1], that name
and, where what the teachers saw was simulated
    simulated       bool [], True
and, of clips of any length, which are padded to the longest with segments in which nothing is marked
    segments        int64 [N], how many segments each clip has
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from valor.eval.events import MODALITIES, as_array, event_frame, plain_marks
from valor.label_harvest.arrays import read_npz
from valor.label_harvest.disk import file_sha256, replaced
from valor.label_harvest.places.place import stands
from valor.label_harvest.store.manifest import composed
from valor.label_harvest.strict_json import as_flag, as_object, as_text

from .seal import sealed_json, unsealed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from valor.eval.figures.style import Style

FILE_NAME = "pseudo_labels.npz"
"""Name of the file inside a label folder."""
LABEL_FACTS = "labels.json"
"""Beside the label file: which teachers, weights and thresholds made it."""

UNDER_WAY = "under_way"
"""Key of `labels.json` while the files beside it are being written."""

_KIND, _BELONGS = "valor labels", "pseudo_labels_sha256"
"""What `labels.json` calls itself, and its key for the label file it is of."""
_ALLOWED = "allowed"
"""Its key for how many clips without labels were allowed for."""
_DESCRIBED = "described_in"
"""Array of a label file beside which there must be a `labels.json`: that name."""

_HARD, _SOFT, _ABSENT, _SEGMENTS = "pseudo_labels", "pseudo_probs", "absent", "segments"
_SIMULATED = "simulated"


@dataclass(frozen=True, eq=False, repr=False)
class PseudoLabels:
    """Segment labels of some clips, made by teachers."""

    clip_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    labels: npt.NDArray[np.bool_] | npt.NDArray[np.floating]
    """bool [N, T, M, C]; soft labels are float in 0..1."""
    absent: tuple[str, ...] = ()
    """Modalities that no teacher decided for: nothing is marked in them, and that means nothing."""
    segments: npt.NDArray[np.integer] | None = None
    """int [N], how many of the T segments each clip has; None where all have T."""
    simulated: bool = False
    """Whether what the teachers saw was simulated, so that the labels mean nothing."""

    @property
    def valid(self) -> npt.NDArray[np.bool_] | None:
        """Bool [N, T], the segments that are there; None where all are."""
        return None if self.segments is None else np.arange(self.labels.shape[1]) < self.segments[:, None]

    def by_clip(self) -> Iterator[npt.NDArray[Any]]:
        """The labels of each clip, [its segments, M, C]."""
        counts = [self.labels.shape[1]] * len(self.labels) if self.segments is None else self.segments.tolist()
        return (clip[:count] for clip, count in zip(self.labels, counts, strict=True))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities there are labels of."""
        return tuple(modality for modality in MODALITIES if modality not in self.absent)

    @property
    def soft(self) -> bool:
        """Whether the labels are probabilities."""
        return self.labels.dtype != np.bool_

    def to_frame(self, *, segment_seconds: float = 1.0) -> "pd.DataFrame":
        """What is marked as a table of events, see `valor.eval.events.event_frame`."""
        return event_frame(self.clip_ids, self.class_names, self.marked, segment_seconds=segment_seconds)

    def plot(
        self,
        clip_id: str | None = None,
        *,
        beside: Mapping[str, npt.NDArray[np.bool_]] | None = None,
        style: "Style | None" = None,
    ) -> "Figure":
        """Draw the labels of one clip; arguments as in `Predictions.plot`."""
        from .shown import plot_clip

        tracks = {**(beside or {}), "SIMULATED labels" if self.simulated else "labels": self.marked}
        return plot_clip(clip_id, self.clip_ids, self.class_names, tracks, valid=self.valid, style=style)

    def save(self, path: Path | str) -> None:
        """Write them as a label file, *.npz, or into a folder as its `pseudo_labels.npz`.

        Raises:
            ValueError: The folder holds a `labels.json`, which says who made other labels than these.
        """
        path = Path(path)
        file = path if path.suffix == ".npz" else path / FILE_NAME
        if file.name == FILE_NAME and stands(file.with_name(LABEL_FACTS)):
            raise ValueError(
                f"{file.parent}: holds the {LABEL_FACTS} of labels that `valor labels` made, whose place others cannot "
                "take; name another folder"
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_pseudo_labels(
            file,
            self.clip_ids,
            self.class_names,
            self.labels,
            absent=self.absent,
            segments=self.segments,
            simulated=self.simulated,
        )

    def __repr__(self) -> str:
        """How many clips of what."""
        kind = "probabilities" if self.soft else "marks"
        alone = f", {self.modalities[0]} alone" * (len(self.modalities) == 1)
        return (
            f"PseudoLabels of {len(self.clip_ids):,} clips: {self.labels.shape[1]} segments, {len(self.class_names)} "
            f"classes, {kind}{alone}{', SIMULATED' * self.simulated}"
        )

    def _repr_html_(self) -> str:
        """What notebooks show: a line, and the labels of the first clips as events."""
        from .shown import MOST_CLIPS, clips_html

        marked = self.labels[:MOST_CLIPS] > 1 / 2
        return clips_html(repr(self), self.clip_ids, self.class_names, marked)

    @property
    def marked(self) -> npt.NDArray[np.bool_]:
        """The labels as bool [N, T, M, C], soft ones where they are above 1/2."""
        return self.labels > 1 / 2 if self.soft else self.labels.astype(np.bool_, copy=False)

    def __post_init__(self) -> None:
        """Refuse arrays that are not one label per clip, segment, modality and class."""
        object.__setattr__(self, "labels", plain_marks(as_array(self.labels)))
        object.__setattr__(self, "segments", None if self.segments is None else as_array(self.segments))
        object.__setattr__(self, "clip_ids", tuple(map(composed, self.clip_ids)))
        expected = (len(self.clip_ids), len(MODALITIES), len(self.class_names))
        shape = self.labels.shape
        kind = "bool" if self.labels.dtype == np.bool_ else np.issubdtype(self.labels.dtype, np.floating) and "float"
        if not kind or self.labels.ndim != 4 or (shape[0], *shape[2:]) != expected:
            raise ValueError(
                "pseudo_labels must be bool (soft ones float) [clips, segments, modalities, classes] = "
                f"[{expected[0]}, T, {expected[1]}, {expected[2]}], got {self.labels.dtype} {shape}"
            )
        if self.soft and self.labels.size and not (self.labels.min() >= 0 and self.labels.max() <= 1):
            raise ValueError(
                f"soft pseudo labels must be probabilities in 0..1, got {self.labels.min()} to {self.labels.max()}"
            )
        if len(set(self.clip_ids)) != len(self.clip_ids):
            raise ValueError(f"clip_ids must be unique, got {len(self.clip_ids) - len(set(self.clip_ids))} duplicates")
        self._check_absent()
        self._check_segments()

    def _check_segments(self) -> None:
        if self.segments is None:
            return
        clips, most = self.labels.shape[:2]
        held = self.segments
        if held.shape != (clips,) or held.dtype.kind not in "iu" or not ((held >= 1) & (held <= most)).all():
            raise ValueError(
                f"segments must be {clips} whole numbers from 1 to {most}, got {held.dtype} {list(held.shape)}"
            )
        if self.valid is not None and self.labels[~self.valid].any():
            raise ValueError("labels must mark nothing behind the end of a clip; run `valor labels` again")

    def _check_absent(self) -> None:
        if not self.modalities or not set(self.absent) <= set(MODALITIES):
            raise ValueError(f"absent must be at most one of {', '.join(MODALITIES)}, got {list(self.absent)}")
        for modality in self.absent:
            if self.labels[:, :, MODALITIES.index(modality)].any():
                raise ValueError(f"{modality} is said to be absent, got labels of it")

    def refuse_absent(self, where: str) -> None:
        """Refuse labels of one modality where both are needed.

        Args:
            where: What they were read from.

        Raises:
            ValueError: A modality is absent.
        """
        if self.absent:
            raise ValueError(
                f"{where}: these labels are of {' and '.join(self.modalities)} alone; as labels of "
                f"{' and '.join(self.absent)} their zeros would say that nothing happens there; "
                "harvest with both teachers and label again"
            )


def write_pseudo_labels(
    path: Path | str,
    clip_ids: Sequence[str],
    class_names: Sequence[str],
    labels: npt.NDArray[np.bool_] | npt.NDArray[np.floating],
    *,
    absent: Sequence[str] = (),
    segments: npt.NDArray[np.integer] | None = None,
    described: bool = False,
    simulated: bool = False,
) -> None:
    """Write a pseudo-label file, whole or not at all. Soft labels are kept as float16.

    Args:
        path: file to write, ending in .npz, usually FOLDER/pseudo_labels.npz.
        clip_ids: N names.
        class_names: C names, in the order of the class axis.
        labels: bool [N, T, M, C], or float in 0..1.
        absent: Modalities that no teacher decided for.
        segments: int [N], of clips of any length.
        described: Whether a `labels.json` belongs beside it, without which it is then refused.
        simulated: Whether what the teachers saw was.

    Raises:
        ValueError: The name does not end in .npz, or the labels do not fit the names.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"{path}: a pseudo-label file is named *.npz")
    table = PseudoLabels(tuple(clip_ids), tuple(class_names), labels, tuple(absent), segments)
    stored = {_SOFT: table.labels.astype(np.float16)} if table.soft else {_HARD: table.labels}
    names = {"clip_ids": np.array(table.clip_ids), "classes": np.array(table.class_names)}
    if table.absent:
        names[_ABSENT] = np.array(table.absent)
    if table.segments is not None:
        names[_SEGMENTS] = table.segments.astype(np.int64)
    if described:
        names[_DESCRIBED] = np.array([LABEL_FACTS])
    if simulated:
        names[_SIMULATED] = np.array(True)
    with replaced(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **names, **stored)


def are_simulated(path: Path) -> bool:
    """Whether a label file says of itself that what its teachers saw was simulated.

    One that is not there or damaged says nothing: who reads its labels refuses it.
    """
    try:
        return _is_simulated(read_npz(path, (_SIMULATED,)))
    except (OSError, ValueError):
        return False


def _is_simulated(arrays: Mapping[str, np.ndarray]) -> bool:
    told = arrays.get(_SIMULATED, np.array(False))
    if told.dtype != np.bool_ or told.size != 1:
        raise ValueError(f"{_SIMULATED} must be one bool, got {told.dtype} {told.shape}")
    return bool(told.any())


def read_pseudo_labels(path: Path | str, *, alone: bool = False) -> PseudoLabels:
    """Read a pseudo-label file; nothing in it is ever unpickled.

    Where a `labels.json` was written with it, it must lie beside it and be of it. A file that was written without one,
    by whatever program, is taken as it is, unless a `labels.json` beside it names another.

    Args:
        path: The file, or the folder that holds it as pseudo_labels.npz.
        alone: Do not ask whether the `labels.json` beside it is there and of this file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, holds pickled arrays, is not in the layout above, or not what `labels.json` is
            of.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such pseudo-label file; `valor labels` writes one")
    try:
        arrays = read_npz(path, ("clip_ids", "classes", _HARD, _SOFT, _ABSENT, _SEGMENTS, _DESCRIBED, _SIMULATED))
        held = _SOFT if _SOFT in arrays and _HARD not in arrays else _HARD
        ids, classes, labels = (arrays[name] for name in ("clip_ids", "classes", held))
        for name, row in (("clip_ids", ids), ("classes", classes)):
            if row.ndim != 1 or row.dtype.kind not in "US":
                raise ValueError(f"{name} must be one row of text, got {row.dtype} {row.shape}")
        absent = arrays[_ABSENT].astype(str).tolist() if _ABSENT in arrays else ()
        if np.issubdtype(labels.dtype, np.floating) != (held == _SOFT):
            kind, other = ("float", "hard labels go under pseudo_labels")
            if held == _HARD:
                kind, other = ("bool", "soft labels go under pseudo_probs")
            raise ValueError(f"{held} must be {kind}, got {labels.dtype}; {other}")
        names = tuple(ids.astype(str).tolist()), tuple(classes.astype(str).tolist())
        table = PseudoLabels(*names, labels, tuple(absent), arrays.get(_SEGMENTS), _is_simulated(arrays))
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path}: expected the plain arrays clip_ids, classes and pseudo_labels or pseudo_probs, which could not "
            f"be read ({error}); run `valor labels` again"
        ) from error
    if alone or path.name != FILE_NAME:
        return table
    facts = read_label_facts(path)
    if _DESCRIBED in arrays and (facts is None or _BELONGS not in facts):
        got = "none" if facts is None else "one that names no label file"
        raise ValueError(
            f"{path}: expected beside it the {LABEL_FACTS} it was written with, which says who made these labels, got "
            f"{got}; restore it, make the labels again, or give the file another name to use it alone"
        )
    return replace(table, simulated=table.simulated or simulated_by(facts or {}))


def simulated_by(facts: Mapping[str, Any]) -> bool:
    """Whether labels or a store say of themselves, or of one of their teachers, that they are simulated."""
    teachers = facts.get("teachers")
    identities = teachers.values() if isinstance(teachers, Mapping) else ()
    known = [facts, *(one for one in identities if isinstance(one, Mapping))]
    return any(bool(one.get(_SIMULATED)) for one in known)


def write_label_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `labels.json` of a label folder: who made its labels, whether random weights did, and what is left out.

    It names the sha256 of the label file beside it, so it is written after that one.
    """
    file = folder / FILE_NAME
    belongs = {_BELONGS: file_sha256(file)} if file.is_file() and not facts.get(UNDER_WAY) else {}
    with replaced(folder / LABEL_FACTS) as temporary:
        temporary.write_text(sealed_json({**belongs, **facts}, _KIND, indent=1), encoding="utf-8")


def read_label_facts(labels: Path) -> dict[str, Any] | None:
    """What `labels.json` says of labels; None where there is none, or where it is of another file than the given one.

    Args:
        labels: Their folder, or a file in it.

    Raises:
        ValueError: It is damaged, is of another `pseudo_labels.npz` than lies beside it, or says that its labels are
            still being written.
    """
    path = (labels if labels.is_dir() else labels.parent) / LABEL_FACTS
    if not stands(path):
        return None
    try:
        told = unsealed(path.read_bytes(), _KIND)
        digest = as_text(told[_BELONGS], _BELONGS) if _BELONGS in told else None
        as_flag(told.get("random_weights"), "random_weights")
        as_object(told.get(_ALLOWED, {}), _ALLOWED)
        for teacher, identity in as_object(told.get("teachers", {}), "teachers").items():
            as_object(identity, f"teachers: {teacher}")
        if not isinstance(told.get("left_out", ()), list | tuple | dict):
            raise ValueError(f"left_out: expected a list, got {told['left_out']!r:.80}")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected what `valor labels` wrote, got {error}; make the labels again") from error
    if told.get(UNDER_WAY):
        raise ValueError(f"{path}: `valor labels` was interrupted while it wrote these labels; run it again")
    if digest is None:  # of an older version, or written by hand
        return told
    file = path.with_name(FILE_NAME)
    found = file_sha256(labels if labels.is_file() else file) if labels.is_file() or file.is_file() else None
    if found == digest:
        return told
    if labels.is_file() and labels.name != FILE_NAME:  # labels of somebody's own in this folder
        return None
    got = f"one of {found:.12}..." if found else "none"
    raise ValueError(
        f"{path}: expected beside it the {FILE_NAME} of sha256 {digest:.12}..., got {got}; restore what belongs "
        f"together, make the labels again or, where the labels are your own, take {LABEL_FACTS} away"
    )


def note_allowed(folder: Path, allowance: str, absent: Sequence[str]) -> None:
    """Note in `labels.json` that so many clips without labels were allowed for, so that training leaves them out.

    Args:
        folder: Of the labels.
        allowance: As typed, N or P%.
        absent: Clips that are not in the store, beside those that the file lists.
    """
    facts = read_label_facts(folder) or {}
    write_label_facts(folder, {**facts, _ALLOWED: {"allow_failures": allowance, "not_in_store": list(absent)}})


def allowed_left_out(labels: Path | None) -> frozenset[str]:
    """The clips that labels have none of and were allowed to leave out, see `note_allowed`; none without such a note.

    Raises:
        ValueError: `labels.json` is damaged, see `read_label_facts`.
    """
    facts = read_label_facts(labels) if labels else None
    if not facts or _ALLOWED not in facts:
        return frozenset()
    return frozenset(map(composed, (*facts.get("left_out", ()), *facts[_ALLOWED].get("not_in_store", ()))))


def refuse_soft(labels: PseudoLabels) -> None:
    """Refuse to write soft labels where other projects' loaders expect 0 and 1."""
    if labels.soft:
        raise ValueError("the published layout holds labels of 0 and 1, got soft ones; export hard ones")
