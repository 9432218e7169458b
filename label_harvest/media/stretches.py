"""Stretches of media in which there are sound and picture, evenly spread: where they lie, and their sound."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .clip import MediaError
from .resample import sound_at
from .streams import MediaReader
from .survey import MediaSurvey


def common_stretches(
    survey: MediaSurvey, *, step: float, seconds: float, least: float, most: int
) -> tuple[npt.NDArray[np.float64], int]:
    """Where stretches lie that have both streams.

    Args:
        survey: Of the file.
        step: They are a whole number of steps long, in seconds.
        seconds: Their length; in shorter media there is one of what there is.
        least: Seconds of both streams below which a file is refused.
        most: Stretches of a file at most.

    Returns:
        Starts in seconds from the start of the clock, float64 [K], and steps of each.

    Raises:
        MediaError: The file lacks sound or picture, or is too short.
    """
    name = survey.path.name
    lacks = [what for what, there in (("sound", survey.audio_seconds), ("picture", survey.video_seconds)) if not there]
    if lacks:
        raise MediaError(f"{name}: has no {lacks[0]}; nothing can be said of sound and picture of that")
    first = max(survey.video_start, survey.audio_start)
    last = min(survey.video_seconds or 0.0, survey.audio_seconds or 0.0)
    if last - first < least:
        raise MediaError(
            f"{name}: has {max(0.0, last - first):.1f} s of sound and picture at once, at least {least:g} are needed"
        )
    count = min(int(seconds / step), int((last - first) / step + 1e-6))
    fitting = max(1, min(most, int((last - first) / (count * step) + 1e-6)))
    return first + np.linspace(0, max(0.0, last - first - count * step), fitting), count


def sounds_of(
    survey: MediaSurvey, reader: MediaReader, starts: npt.NDArray[np.float64], size: int, rate: int
) -> list[npt.NDArray[np.float32]]:
    """Sound from each start on, float32 [size] at a rate, silence where it breaks off; the file is read once.

    Raises:
        MediaError: It cannot be read.
    """
    found = [np.zeros(size, np.float32) for _ in starts]
    begins = np.rint(starts * rate).astype(int).tolist()
    position = 0
    for block in _blocks(survey, reader, rate):
        for begin, wave in zip(begins, found, strict=True):
            low, high = max(position, begin), min(position + len(block), begin + size)
            if low < high:
                wave[low - begin : high - begin] = block[low - position : high - position]
        position += len(block)
        if position >= begins[-1] + size:
            break
    return found


def _blocks(survey: MediaSurvey, reader: MediaReader, rate: int) -> Iterator[npt.NDArray[np.float32]]:
    try:
        yield from sound_at(reader.sound(survey), rate)
    except MediaError as error:
        if str(error).startswith(f"{survey.path.name}: "):
            raise
        raise MediaError(f"{survey.path.name}: {error}", error.status) from error
