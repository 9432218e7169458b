"""Where in a picture a visual teacher finds what it is asked for, by one of two ways.

Patches. A vision transformer of CLIP is trained on its pooled output alone, and the attention of its last block gathers
what lies anywhere into any token. The last block without attention (each patch through the value and output projection,
then through the last norm and the projection of the tower) gives each patch an embedding of its own, which can be
compared with captions. One pass of the network for a picture.

Windows. Of any teacher that judges pictures: all but a small window is hidden, and how well what is left fits is what
the window counts; a cell counts the mean of the windows over it. A hundred pictures go through the network for one.

What is asked for is a direction in the space of the captions: that of a class, less the mean of all others, since
much of what a picture fits it fits under any caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.nn import functional

from ..media.clip import ClipMedia, Grid
from .teacher import SegmentTeacher

PATCHES, WINDOWS = "patches of the last block without attention", "windows shown alone"
"""The ways in words."""
CELLS, SIDE = 8, 3
"""Cells of a side of the grid of windows, and of a side of a window. On the demo world 6 and 2 find hardly less, and
windows that are hidden in place of shown about as much."""
BATCH = 10
"""Pictures with all but a window hidden that are held at once."""
WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class PlaceMaps:
    """How much each cell of a picture speaks for each of E directions."""

    values: np.ndarray
    """float32 [E, rows, columns], on any scale, the more the higher."""
    method: str
    area: tuple[float, float, float, float] = WHOLE
    """What the cells cover: left, top, right, bottom, as shares of the picture's width and height; beyond 0..1 where
    the network saw more than the picture."""


@runtime_checkable
class LocatingTeacher(SegmentTeacher, Protocol):
    """A teacher that can be asked itself."""

    def locate(self, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps | None:
        """See `locate`; None where it has no way of its own."""


def directions_of(vectors: np.ndarray) -> np.ndarray:
    """What is asked for: each class less the mean of all others, float32 [C, P]; one alone stays as it is.

    >>> directions_of(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32))[0].tolist()
    [1.0, -1.0]
    """
    if len(vectors) == 1:
        return vectors
    others = (vectors.sum(axis=0, keepdims=True) - vectors) / (len(vectors) - 1)
    return np.asarray(vectors - others, np.float32)


def locate(
    teacher: SegmentTeacher, frame: np.ndarray, directions: np.ndarray, *, by_windows: bool = False
) -> PlaceMaps:
    """Ask a teacher where in a picture something is.

    Args:
        teacher: One that looks at single pictures.
        frame: uint8 [H, W, 3] RGB.
        directions: float32 [E, P] among its captions, see `directions_of`.
        by_windows: Show windows alone to a teacher that has a way of its own, too.
    """
    own = None if by_windows or not isinstance(teacher, LocatingTeacher) else teacher.locate(frame, directions)
    return own or shown_alone(teacher, frame, directions)


def shown_alone(teacher: SegmentTeacher, frame: np.ndarray, directions: np.ndarray) -> PlaceMaps:
    """Maps by the way of windows; the arguments are those of `locate`. What is hidden has the picture's mean colour."""
    mean = frame.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    height, width = frame.shape[:2]
    spans = [(max(0, first), min(CELLS, first + SIDE)) for first in range(1 - SIDE, CELLS)]
    places = [(rows, columns) for rows in spans for columns in spans]
    total, count = np.zeros((len(directions), CELLS, CELLS)), np.zeros((CELLS, CELLS))
    for start in range(0, len(places), BATCH):
        batch = places[start : start + BATCH]
        shown = np.broadcast_to(mean, (len(batch), *frame.shape)).copy()
        for picture, (rows, columns) in zip(shown, batch, strict=True):
            seen = _pixels(rows, height), _pixels(columns, width)
            picture[seen] = frame[seen]
        for (rows, columns), fits in zip(batch, _embedded(teacher, shown) @ directions.T, strict=True):
            total[:, slice(*rows), slice(*columns)] += fits[:, None, None]
            count[slice(*rows), slice(*columns)] += 1
    return PlaceMaps((total / count).astype(np.float32), WINDOWS)


def _pixels(cells: tuple[int, int], size: int) -> slice:
    return slice(cells[0] * size // CELLS, max(cells[1] * size // CELLS, cells[0] * size // CELLS + 1))


def _embedded(teacher: SegmentTeacher, frames: np.ndarray) -> np.ndarray:
    """Pictures uint8 [N, H, W, 3] among the captions of a teacher, float32 [N, P] of length 1."""
    clip = ClipMedia(frames=frames, waveform=None, grid=Grid(num_segments=len(frames)))
    return teacher.among_captions(teacher.encode_segments(clip)["embedding"])


@torch.inference_mode()
def patch_embeddings(visual: Any, pictures: torch.Tensor) -> torch.Tensor | None:  # noqa: ANN401
    """Each patch of pictures in the space of captions, by the last block without its attention.

    Args:
        visual: The picture tower of a network of open_clip.
        pictures: float [N, 3, size, size].

    Returns:
        float32 [N, rows, columns, P] of length 1; None of a tower that has no such block.
    """
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if not isinstance(visual, VisionTransformer) or visual.attn_pool is not None:
        return None
    block = visual.transformer.resblocks[-1]
    if not isinstance(block, ResidualAttentionBlock) or block.attn.in_proj_weight is None:
        return None
    seen: list[torch.Tensor] = []
    hook = block.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        visual(pictures)
    finally:
        hook.remove()
    tokens = seen[0] if visual.transformer.batch_first else seen[0].transpose(0, 1)
    attention, width = block.attn, block.attn.embed_dim
    bias = None if attention.in_proj_bias is None else attention.in_proj_bias[2 * width :]
    values = functional.linear(block.ln_1(tokens), attention.in_proj_weight[2 * width :], bias)
    said = visual.ln_post(block.ls_1(attention.out_proj(values)))
    said = said if visual.proj is None else said @ visual.proj
    rows, columns = visual.grid_size
    patches = said[:, -rows * columns :].unflatten(1, (rows, columns))
    return functional.normalize(patches.float(), dim=-1)


def seen_area(shape: Sequence[int], resize: str | None) -> tuple[float, float, float, float]:
    """What a square network sees of a picture [H, W, ...], as `PlaceMaps.area`.

    Args:
        shape: Of the picture.
        resize: How it is brought to a square, see `FrameRule`.

    >>> seen_area((100, 200), "shortest"), seen_area((100, 200), "longest")
    ((0.25, 0.0, 0.75, 1.0), (0.0, -0.5, 1.0, 1.5))
    """
    if resize not in ("shortest", "longest"):
        return WHOLE
    side = (min if resize == "shortest" else max)(shape[:2])
    left, top = (1 - side / shape[1]) / 2, (1 - side / shape[0]) / 2
    return (left, top, 1 - left, 1 - top)
