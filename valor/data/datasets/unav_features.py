"""The features published with UnAV-100: three arrays a video, of windows of 24 frames, 8 apart, at 25 frames a second.

    ID_vggish.npy [L, 128]                          kind unav-vggish
    ID_rgb.npy, ID_flow.npy [L, 1024], of I3D       kind unav-i3d, 2048 numbers of both

They lie in `features/` of the data folder, or in it. L is that of the shortest of the three: published codes cut sound
and picture to one length. A step lasts 0.32 s, so the data set is `unav-0.32`; the last steps of a video, of which no
window is whole, have no feature. Of the training videos they take 10 GB in memory, half with precision float16.
"""

from pathlib import Path

import numpy as np
import torch

from valor.label_harvest.arrays import read_npy

from ..features.feature_files import ClipArrays
from ..tables import Split

SUFFIXES = {"unav-vggish": (("vggish", 128),), "unav-i3d": (("rgb", 1024), ("flow", 1024))}
"""Endings of the files of each kind, and numbers of a step."""
FRAME_RATE, WINDOW, HOP = 25, 24, 8
"""Frames a second, of a window, and from one to the next."""
STEP_SECONDS = HOP / FRAME_RATE
_SLACK = 3
"""Steps that a file may be longer than the annotation says its video is; they are left out."""
FEATURES = "features"
"""Folder of the features within the data, where it is there."""


def features_folder(root: Path) -> Path:
    """Where the features of a data folder lie."""
    return root / FEATURES if (root / FEATURES).is_dir() else root


def read_unav_features(root: Path, kind: str, split: Split) -> ClipArrays:
    """Read one kind of the features published with UnAV-100.

    Args:
        root: The data folder.
        kind: A key of SUFFIXES.
        split: Whose clips; on segments of 0.32 s.

    Returns:
        float32 [N, T, D] and how many steps each clip has; clips that lack a file are missing.

    Raises:
        ValueError: The segments of the split are others, or a file is damaged or something else; says which.
        FileNotFoundError: There is no file of this kind.
    """
    if split.valid is None or abs(split.segment_seconds - STEP_SECONDS) > 1e-9:
        raise ValueError(
            f"{root}: the features {kind} lie {STEP_SECONDS:g} s apart, and the segments of this data set last "
            f'{split.segment_seconds:g} s; put {{"dataset": "unav-{STEP_SECONDS:g}"}} into dataset.json'
        )
    folder, parts = features_folder(root), SUFFIXES[kind]
    tensor = torch.zeros(*split.valid.shape, sum(width for _, width in parts))
    segments, missing = torch.zeros(len(split.clip_ids), dtype=torch.int64), []
    for row, clip_id in enumerate(split.clip_ids):
        files = [folder / f"{clip_id}_{ending}.npy" for ending, _ in parts]
        if not all(file.is_file() for file in files):
            missing.append(clip_id)
            continue
        arrays = [_read(file, width) for file, (_, width) in zip(files, parts, strict=True)]
        steps, room = min(len(array) for array in arrays), int(split.valid[row].sum())
        if steps > room + _SLACK:
            raise ValueError(
                f"{files[0]}: has {steps} steps of {STEP_SECONDS:g} s, and its video has {room}; features and "
                "annotation must be of one release"
            )
        steps = min(steps, room)
        tensor[row, :steps] = torch.from_numpy(np.concatenate([array[:steps] for array in arrays], axis=1))
        segments[row] = steps
    if len(missing) == len(split.clip_ids):
        raise FileNotFoundError(
            f"{folder}: no {kind} features (ID_{parts[0][0]}.npy) of any clip of {split.name}; they are linked at "
            "github.com/ttgeng233/UnAV"
        )
    return ClipArrays(tensor, tuple(missing), str(folder), segments)


def _read(file: Path, width: int) -> np.ndarray:
    """An array of steps, float32 [L, width]."""
    try:
        array = read_npy(file)
    except ValueError as error:
        raise ValueError(f"{file}: expected floats [steps, {width}], which could not be read ({error})") from error
    if array.ndim != 2 or array.shape[1] != width or array.dtype.kind != "f" or not len(array):
        raise ValueError(f"{file}: expected floats [steps, {width}], got {array.dtype} {list(array.shape)}")
    found: np.ndarray = array.astype(np.float32)
    return found
