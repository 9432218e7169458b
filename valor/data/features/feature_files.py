"""The published per-clip layout: one .npy per clip and feature kind, or per clip and modality for pseudo labels.

    feats/vggish/<id>.npy [10, 128]     feats/res152/<id>.npy [80, 2048]     feats/r2plus1d_18/<id>.npy [10, 512]
    CLAP/features/<id>.npy [64, 768]    CLIP/features/<id>.npy [10, 768]
    CLAP|CLIP/segment_pseudo_labels/<id>.npy [10, C], 0 or 1

What is denser than one row per segment is folded while it is read, so it never fills the memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from valor.label_harvest.arrays import read_npy
from valor.label_harvest.store.manifest import composed, media_id
from valor.parsers.folding import fold_clap_map, fold_frames, lay_clap_map, lay_frames

from ..tables import Split

SEGMENTS = 10
"""T of every published feature kind."""
_SHOWN = 5
_CHUNK = 64
"""Clips folded at a time."""


@dataclass(frozen=True)
class FeatureFiles:
    """Where the files of a published kind lie and what one holds."""

    folder: str
    shape: tuple[int, int]
    """Rows and features of a file."""
    fold: Callable[[Tensor], Tensor] | None = None
    """Turns [..., rows, D] into [..., 10, D]; None where a row is a segment already."""
    lay: Callable[[Tensor], Tensor] | None = None
    """Turns [..., rows, D] into [..., 10, k D] with nothing averaged; None where a row is a segment already."""

    def width(self, *, unfolded: bool = False) -> int:
        """Numbers of a segment, D or k D."""
        rows, features = self.shape
        return features * (-(-rows // SEGMENTS) if unfolded else 1)


FEATURE_FILES: dict[str, FeatureFiles] = {
    "vggish": FeatureFiles("feats/vggish", (SEGMENTS, 128)),
    "res152": FeatureFiles(
        "feats/res152",
        (80, 2048),
        lambda frames: fold_frames(frames, SEGMENTS),
        lambda frames: lay_frames(frames, SEGMENTS),
    ),
    "r2plus1d": FeatureFiles("feats/r2plus1d_18", (SEGMENTS, 512)),
    "clap": FeatureFiles("CLAP/features", (64, 768), fold_clap_map, lay_clap_map),
    "clip": FeatureFiles("CLIP/features", (SEGMENTS, 768)),
}
"""The published feature kinds."""

LABEL_FOLDERS = ("CLAP/segment_pseudo_labels", "CLIP/segment_pseudo_labels")
"""Folders of the published pseudo labels, in the order of the modality axis."""


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse names that are no published feature kind.

    Raises:
        ValueError: Says which.
    """
    if unknown := [kind for kind in kinds if kind not in FEATURE_FILES]:
        raise ValueError(f"feature kinds are {', '.join(FEATURE_FILES)}, got {', '.join(unknown)}")


@dataclass(frozen=True, eq=False)
class ClipArrays:
    """What was found for the clips of a split; rows of missing clips hold zeros and must not be used."""

    tensor: Tensor
    """[N, T, ...]."""
    missing: tuple[str, ...]
    """Clips nothing was found for."""
    where: str
    """What was looked through, for messages."""
    segments: Tensor | None = None
    """int64 [N], how many of the T segments each clip has; None where all have T."""


def read_feature_files(root: Path, kind: str, split: Split, *, unfolded: bool = False) -> ClipArrays:
    """Read one kind of published features.

    Args:
        root: Folder that holds `feats/`, `CLIP/` and `CLAP/`.
        kind: A key of FEATURE_FILES.
        split: Whose clips.
        unfolded: Average nothing.

    Returns:
        float32 [N, 10, D]; of an unfolded kind of more than ten rows [N, 10, k D].

    Raises:
        FileNotFoundError: The folder of this kind is not there.
        ValueError: A file is damaged, pickled, or holds something else.
    """
    paths, missing = find_feature_files(root, kind, split)
    tensor = torch.zeros(len(split.clip_ids), SEGMENTS, FEATURE_FILES[kind].width(unfolded=unfolded))
    found = sorted(paths)
    for start in range(0, len(found), _CHUNK):
        rows = found[start : start + _CHUNK]
        arrays = np.stack([read_feature_file(paths[row], kind) for row in rows])
        tensor[rows] = fold_features(arrays, kind, unfolded=unfolded)
    return ClipArrays(tensor, missing, str(root / FEATURE_FILES[kind].folder))


def find_feature_files(root: Path, kind: str, split: Split) -> tuple[dict[int, Path], tuple[str, ...]]:
    """Find the files of a kind without opening any.

    Returns:
        Files by row of the split, and the clips without one. A file goes by the clip's name or its media name.

    Raises:
        FileNotFoundError: The folder of this kind is not there.
    """
    return _paths(_folder(root, FEATURE_FILES[kind].folder), split)


def read_feature_file(path: Path, kind: str) -> np.ndarray:
    """Read one published file as it is.

    Returns:
        float32 [rows, D], as FEATURE_FILES says for this kind.

    Raises:
        ValueError: The file is empty, cut off, pickled, of another shape, or holds what is no finite number.
    """
    array = _load(path, FEATURE_FILES[kind].shape, f"{kind} features [rows, features]")
    if array.dtype.kind != "f" or not np.isfinite(array).all():
        found = f"{array.dtype} with NaN or Inf" if array.dtype.kind == "f" else array.dtype
        raise ValueError(
            f"{path}: {kind} features must be finite floats, got {found}; extract this clip again, or delete the file "
            "and leave the clip out with features.missing=drop"
        )
    return array.astype(np.float32, copy=False)


def fold_features(arrays: np.ndarray, kind: str, *, unfolded: bool = False) -> Tensor:
    """Bring features of clips, float32 [n, rows, D], to one row per segment, float32 [n, 10, D] or [n, 10, k D]."""
    files, tensor = FEATURE_FILES[kind], torch.from_numpy(arrays)
    bring = files.lay if unfolded else files.fold
    return bring(tensor) if bring else tensor


def read_label_files(root: Path, split: Split) -> ClipArrays:
    """Read published pseudo labels.

    Args:
        root: Folder that holds `CLIP/segment_pseudo_labels` and `CLAP/segment_pseudo_labels`.
        split: Whose clips; its classes must be in the order the labels were made in, which the files do not say.

    Returns:
        bool [N, 10, M, C].

    Raises:
        FileNotFoundError: A folder is not there.
        ValueError: A file is damaged, pickled, or is not 0/1 [10, C].
    """
    shape = (SEGMENTS, len(split.class_names))
    tensor = torch.zeros(len(split.clip_ids), SEGMENTS, len(LABEL_FOLDERS), shape[1], dtype=torch.bool)
    absent: set[str] = set()
    for modality, name in enumerate(LABEL_FOLDERS):
        paths, missing = _paths(_folder(root, name), split)
        absent.update(missing)
        for row, path in paths.items():
            array = _load(path, shape, "0/1 pseudo labels [segments, classes]")
            if not np.isin(array, (0, 1)).all():
                raise ValueError(
                    f"{path}: pseudo labels must be 0 or 1, got {array.min()}..{array.max()}; "
                    "fetch or make this file again"
                )
            tensor[row, :, modality] = torch.from_numpy(array.astype(np.bool_))
    return ClipArrays(tensor, tuple(i for i in split.clip_ids if i in absent), f"{root}/{{CLAP,CLIP}}")


def listed(clip_ids: Sequence[str]) -> str:
    """Say how many clips there are and name the first few."""
    more = ", ..." if len(clip_ids) > _SHOWN else ""
    return f"{len(clip_ids)} clip{'s' * (len(clip_ids) != 1)} ({', '.join(clip_ids[:_SHOWN])}{more})"


def _folder(root: Path, name: str) -> Path:
    if not (root / name).is_dir():
        remedy = ""
        if name in LABEL_FOLDERS:
            remedy = "; make labels with `valor labels STORE --out DIR` and pass labels=DIR"
        raise FileNotFoundError(f"{root / name}: no such folder; expected one <clip>.npy per clip there{remedy}")
    return root / name


def _paths(folder: Path, split: Split) -> tuple[dict[int, Path], tuple[str, ...]]:
    """Files by row of the split, and the clips without one. A file goes by the clip's name or its media name."""
    held = npy_stems(folder)
    paths, missing = {}, []
    for row, clip_id in enumerate(split.clip_ids):
        stem = next((name for name in (clip_id, media_id(clip_id)) if name in held), None)
        if stem is None:
            missing.append(clip_id)
        else:
            paths[row] = folder / f"{held[stem]}.npy"
    return paths, tuple(missing)


def npy_stems(folder: Path) -> dict[str, str]:
    """The clips that have an .npy in a folder, by their composed name, and how the file spells it.

    Raises:
        ValueError: Two files differ in that alone.
    """
    held: dict[str, str] = {}
    for stem in sorted(path.stem for path in folder.glob("*.npy")):
        if held.setdefault(composed(stem), stem) != stem:
            raise ValueError(f"{folder}: {composed(stem)}.npy is there twice, composed and decomposed; keep one")
    return held


def _load(path: Path, shape: tuple[int, int], what: str) -> np.ndarray:
    try:
        array = read_npy(path)
    except ValueError as error:
        raise ValueError(
            f"{path}: expected a plain .npy of {what}, which could not be read ({error}); fetch or make this file again"
        ) from error
    if array.shape != shape or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{path}: expected {what} of shape {shape}, got {array.dtype} {array.shape}; is this another feature kind, "
            "or of other classes?"
        )
    return array
