"""How stored pixels are shown: turned, mirrored, and in their shape, as anamorphic video is stored narrower or wider.

Teachers are given frames as they are stored, as the published pipeline does; pictures for people are drawn in shape.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .clip import MediaError
from .packets import recording

if TYPE_CHECKING:
    import av

_WIDEST = 8.0
"""Pixels that are said to be wider or narrower than this are taken for square."""


def uprighted(frame: "av.VideoFrame") -> Callable[[np.ndarray], np.ndarray]:
    """What turns and mirrors an image as the display matrix of a frame asks for.

    The matrix says where a stored pixel is shown: x' = a x + c y, y' = b x + d y. A negative determinant mirrors, which
    an angle alone cannot say. Turns that are no quarter turns are rounded to one, as they always were. One that shows
    nothing, such as the zeros some writers leave, is none.
    """
    from av.sidedata.sidedata import Type

    sides: Any = frame.side_data
    matrix = sides.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return partial(np.rot90, k=round(frame.rotation / 90))
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3).tolist()
    if a * d - b * c >= 0:
        return partial(np.rot90, k=round(frame.rotation / 90) if a * d != b * c else 0)
    if abs(a) + abs(d) >= abs(b) + abs(c):  # left and right, or above and below, change places
        return np.fliplr if a < 0 else np.flipud
    return _transposed if b > 0 else _transversed


def _transposed(image: np.ndarray) -> np.ndarray:
    return image.transpose(1, 0, 2)


def _transversed(image: np.ndarray) -> np.ndarray:
    return image[::-1, ::-1].transpose(1, 0, 2)


def pixel_shape(path: Path) -> float:
    """Width by height of a pixel of a file's frames once they are upright; 1 without a picture, and where none is said.

    Raises:
        MediaError: The file cannot be read.
    """
    import av

    with recording(path) as media:
        stream = media.stream("video")
        shape = 1.0 if stream is None else stored_shape(stream)
        if stream is None or shape == 1:
            return shape
        try:  # whether frames are turned is said of each of them
            frames = (frame for packet in media.packets([stream]) for frame in stream.codec_context.decode(packet))
            turned = any(uprighted(frame)(np.zeros((1, 2, 3), np.uint8)).shape[0] == 2 for frame in islice(frames, 1))
        except (av.error.FFmpegError, MediaError):
            turned = False
        return 1 / shape if turned else shape


def stored_shape(stream: "av.VideoStream") -> float:
    """Width by height of a pixel as it is stored; 1 where that is not said, or beyond belief."""
    said = stream.sample_aspect_ratio
    return float(said) if said and 1 / _WIDEST <= said <= _WIDEST else 1.0


def in_shape(frames: np.ndarray, shape: float) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] widened, or made higher, so that their pixels are square.

    Args:
        frames: Upright.
        shape: Width by height of a pixel, from `pixel_shape`.
    """
    import av
    from av.video.reformatter import Interpolation

    height, width = frames.shape[1:3]
    if shape == 1:
        return frames
    size = {"width": max(1, round(width * max(shape, 1.0))), "height": max(1, round(height * max(1 / shape, 1.0)))}
    return np.stack(
        [
            av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            .reformat(**size, interpolation=Interpolation.BICUBIC)
            .to_ndarray()
            for frame in frames
        ]
    )
