"""What was decoded of one clip, whichever library did it: frames on the grid of slots, and the sound of the file."""

from dataclasses import dataclass

import numpy as np

from .clip_media import Grid

STILL_LEVELS = 2
"""Largest difference of any pixel, in levels of 255, between the frames of a clip called still (codec noise)."""


@dataclass(frozen=True)
class Picture:
    """The video of a clip on its grid."""

    frames: np.ndarray
    """uint8 [T, H, W, 3] RGB, one frame per segment."""
    present: np.ndarray
    """bool [T], False where the video ended before the segment (its frame repeats the last one)."""
    provenance: dict[str, object]
    """What was read, as JSON values."""
    troubles: tuple[tuple[str, str], ...]
    """(status, message) of what is not whole."""
    slots: np.ndarray | None = None
    """uint8 [grid.num_slots, h, w, 3] RGB, the frame of every slot, where asked for; see `slot_image`."""


@dataclass(frozen=True)
class Sound:
    """The audio of a clip before it is brought to the rate and the length of the grid."""

    samples: np.ndarray
    """float32 [n] mono."""
    rate: int
    """Samples per second."""
    provenance: dict[str, object]
    """What was read, as JSON values."""


@dataclass(frozen=True)
class DecodedClip:
    """What one file holds; a stream it lacks is None, and at least one is there."""

    picture: Picture | None
    sound: Sound | None


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video besides its frames."""

    stream: int
    codec: str
    seconds: float
    """Until the last frame ends."""
    num_slots: int
    """Of the even grid its frames lie on."""


def slots_of(seconds: float, grid: Grid) -> int:
    """Slots a video of this length lies on: its own where it is about as long as the grid, else the grid's."""
    whole = abs(seconds - grid.seconds) <= grid.tolerance_seconds
    return max(1, round(seconds * grid.frame_rate)) if whole else grid.num_slots


def make_picture(
    frames: np.ndarray, slots: np.ndarray | None, places: np.ndarray, facts: VideoFacts, grid: Grid
) -> Picture:
    """The frames of a clip and what is to be said of them.

    Args:
        frames: uint8 [T, H, W, 3].
        slots: uint8 [num_slots, h, w, 3], where asked for.
        places: int [T], the slot each of the frames is of.
        facts: Of the video.
        grid: The segment grid.
    """
    present = places < facts.seconds * grid.frame_rate
    present[0] = True
    troubles = []
    if not present.all():
        troubles.append(("short", f"{facts.seconds:.1f} s of video, the grid has {grid.seconds:.1f} s"))
    if all(np.abs(frame.astype(np.int16) - frames[0]).max() <= STILL_LEVELS for frame in frames[1:]):
        troubles.append(("still", "all frames equal"))
    provenance: dict[str, object] = {
        "stream": facts.stream,
        "codec": facts.codec,
        "size": [frames.shape[2], frames.shape[1]],
        "seconds": round(facts.seconds, 4),
        "slots": facts.num_slots,
    }
    if slots is not None and slots.shape[1:] != frames.shape[1:]:
        provenance["slot_size"] = [slots.shape[2], slots.shape[1]]
    return Picture(frames, present, provenance, tuple(troubles), slots)
