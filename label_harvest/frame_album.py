"""Decoded frames -> arrays: upright RGB of one size, converted one at a time, so that one is held beside the arrays."""

import math
from typing import Any

import numpy as np

SLOT_PIXELS = 1280 * 720
"""Larger slots are scaled down to about so many pixels, since a clip has eight times as many of them as of frames."""


class FrameAlbum:
    """The picked frames as arrays, converted one by one as they come, each once."""

    def __init__(self, places: np.ndarray, wanted: np.ndarray, num_slots: int) -> None:
        """Know what will come.

        Args:
            places: Slots of the segments, int [T].
            wanted: Slots of the frames that will come, in this order, ascending.
            num_slots: How many slots, from the first, are kept themselves.
        """
        from av.video.reformatter import VideoReformatter

        self.frames = np.zeros((len(places), 0, 0, 3), np.uint8)
        self.slots: np.ndarray | None = None
        self._places, self._coming, self._num_slots = places, iter(wanted.tolist()), num_slots
        self._source: Any = None
        self._image, self._slot = self.frames, self.frames
        self._size: tuple[int, int] | None = None
        self._turns = 0
        self._converter = VideoReformatter()

    def add(self, frame: Any) -> None:  # noqa: ANN401
        """Take the frame of the next wanted slot."""
        if self._size is None:
            self._size, self._turns = (frame.width, frame.height), round(frame.rotation / 90)
        if frame is not self._source:
            self._convert(frame, *self._size)
        slot = next(self._coming)
        self.frames[self._places == slot] = self._image
        if self.slots is not None and slot < self._num_slots:
            self.slots[slot] = self._slot

    def _convert(self, frame: Any, width: int, height: int) -> None:  # noqa: ANN401
        """Make an upright RGB picture of a frame, as large as the first one was."""
        first, self._source = self._source is None, frame
        colours = self._converter.reformat(frame, width, height, "rgb24")
        self._image = np.rot90(colours.to_ndarray(), self._turns)
        if first:
            self.frames = np.empty((len(self._places), *self._image.shape), np.uint8)
        if self._num_slots:
            self._slot = slot_image(self._image)
            if first:
                self.slots = np.empty((self._num_slots, *self._slot.shape), np.uint8)


def slot_image(image: np.ndarray) -> np.ndarray:
    """A frame uint8 [H, W, 3] as it is kept for a slot: as it is up to `SLOT_PIXELS`, else scaled down."""
    scale = math.sqrt(SLOT_PIXELS / (image.shape[0] * image.shape[1]))
    if scale >= 1:
        return image
    import av
    from av.video.reformatter import Interpolation

    height, width = (max(2, round(side * scale)) for side in image.shape[:2])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.to_ndarray(width=width, height=height, interpolation=Interpolation.AREA)
