"""The features published with AVE: one HDF5 file for each kind, a row for each row of Annotations.txt.

    audio_feature.h5     avadataset [4143, 10, 128], VGGish                    kind ave-vggish
    visual_feature.h5    avadataset [4143, 10, 7, 7, 512], VGG-19, 7.7 GB      kind ave-vgg19
    audio_feature_noisy.h5, visual_feature_noisy.h5      the same of 178 clips of no event, for training alone

Only the rows of a split are read. The places of a picture come one after the other, 25,088 numbers for each second: the
training split takes 3.4 GB in memory, half of that with features.precision=float16.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..features.feature_files import ClipArrays
from ..features.hdf5 import open_hdf5
from ..tables import Split
from .ave import AVE_SECONDS, ave_row_numbers

AVE_FILES = {"ave-vggish": ("audio_feature.h5", (128,)), "ave-vgg19": ("visual_feature.h5", (7, 7, 512))}
"""File of each kind, and what it holds of a second."""
_CHUNK = 32
"""Clips read at a time."""


def read_ave_features(root: Path, kind: str, split: Split) -> ClipArrays:
    """Read one kind of the features published with AVE.

    Args:
        root: Folder of the annotation and the features.
        kind: A key of AVE_FILES.
        split: Whose clips.

    Returns:
        float32 [N, 10, D].

    Raises:
        FileNotFoundError: The file is not there.
        ValueError: It is damaged, or holds something else than a row for each of the annotation.
    """
    file, shape = AVE_FILES[kind]
    if not (root / file).is_file():
        raise FileNotFoundError(
            f"{root / file}: no such file; the features of AVE are linked at github.com/YapengTian/AVE-ECCV18, and a "
            "harvest of its media makes others"
        )
    rows = ave_row_numbers(root, split.name, split.class_names)
    held = open_hdf5(root / file, "avadataset")
    if held.shape[1:] != (AVE_SECONDS, *shape) or held.dtype.kind != "f" or held.shape[0] <= max(rows):
        raise ValueError(
            f"{root / file}: expected floats [rows of Annotations.txt, {AVE_SECONDS}, {', '.join(map(str, shape))}], "
            f"got {held.dtype} {list(held.shape)}; features and annotation must be of one release"
        )
    return ClipArrays(_of_rows(held, rows, root / file), (), str(root / file))


def read_background(root: Path, kind: str) -> Tensor:
    """The features of the clips of no event, float32 [178, 10, D]; arguments and errors as in `read_ave_features`."""
    file, shape = AVE_FILES[kind]
    path = root / file.replace(".h5", "_noisy.h5")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file, which has features of background clips; train without them: "
            "features.background_clips=off"
        )
    held = open_hdf5(path, "avadataset")
    if held.shape[1:] != (AVE_SECONDS, *shape) or held.dtype.kind != "f" or not len(held):
        raise ValueError(
            f"{path}: expected floats [clips, {AVE_SECONDS}, {', '.join(map(str, shape))}], got {held.dtype} "
            f"{list(held.shape)}; fetch it again"
        )
    return _of_rows(held, list(range(len(held))), path)


def _of_rows(held: npt.NDArray[Any], rows: list[int], path: Path) -> Tensor:
    """Rows of an array as float32 [rows, 10, D], a few at a time."""
    width = math.prod(held.shape[2:])
    tensor = torch.empty(len(rows), AVE_SECONDS, width)
    for start in range(0, len(rows), _CHUNK):
        with np.errstate(over="ignore"):
            part = held[rows[start : start + _CHUNK]].astype(np.float32).reshape(-1, AVE_SECONDS, width)
        if not np.isfinite(part).all():
            row = rows[start + int((~np.isfinite(part)).any(axis=(1, 2)).argmax())]
            raise ValueError(f"{path}: expected finite floats, got others in row {row} (from 0 on); fetch it again")
        tensor[start : start + _CHUNK] = torch.from_numpy(part)
    return tensor
