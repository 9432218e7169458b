"""Frames and sound decoded by decord 0.6.0, for comparison with work that was done with it.

PyAV reads the packets (clip_outline.py), which makes up for most of what decord leaves out: the start of the clock,
gaps in the sound, sound that begins late, frames counted in a header alone. `get_batch` is never called, since it is
known to hang for ever, and no frame is jumped to; one that hangs all the same is killed with its process. What stays
different from PyAV:

* Damage: a clip with frames that decord had to make up is refused where it admits to them, but other damage decodes to
  a picture or a sound without an error.
* Undecodable are also AV1, sound of more than two channels (decord mixes them; what it calls separate channels is not)
  and clips whose best audio stream is not their first.

Importing this file needs decord; `decoders.check_decoder` says what to install.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import decord
import numpy as np

from .clip import Grid, MediaError
from .clip_outline import DecodedSound, Library, SoundOutline, VideoOutline, decode_by_outline
from .frames import DecodedClip

_ANY_MADE_UP = 1e-6
"""Share of frames decord may make up before it raises; none, since 0 would mean all."""
_MEAN_OF_MONO = {1: np.float32(1), 2: np.float32(0.5**0.5)}
"""What decord's mono of so many channels is to be multiplied by to give their mean."""
_SAME_SECONDS = 1e-3
"""How far its timestamps, which are float32, may be from those of the packets."""


def decode_clip(path: str | Path, *, grid: Grid, slots: bool = False) -> DecodedClip:
    """Decode the best video and the best audio stream of one file, see `clip_outline.decode_by_outline`."""
    return decode_by_outline(path, LIBRARY, grid=grid, slots=slots)


def _frames(path: Path, video: VideoOutline, places: Sequence[int]) -> Iterator[np.ndarray]:
    """Frames in turn up to the last one wanted: where an edit list hides frames, decord jumps to wrong ones."""
    reader = decord.VideoReader(str(path.absolute()), num_threads=1, fault_tol=_ANY_MADE_UP)
    _check_times(reader, video)
    wanted = set(places)
    for place in range(max(places) + 1):
        try:
            frame = reader.next()
        except StopIteration:
            raise MediaError(f"decord ends after {place} frames; use the decoder pyav or convert the file") from None
        if place in wanted:
            yield frame.asnumpy()


def _check_times(reader: decord.VideoReader, video: VideoOutline) -> None:
    """Refuse a video of which decord knows other times than the packets; both are counted from the first frame."""
    known = np.array(reader.get_frame_timestamp(list(range(len(reader)))), float).reshape(-1, 2)[:, 0]
    shown, wanted = known[known > -_SAME_SECONDS], video.stamps - video.stamps[0]
    if len(shown) < len(wanted) or np.abs(shown[: len(wanted)] - wanted).max() > _SAME_SECONDS:
        raise MediaError(
            "decord counts its frames otherwise than its packets; use the decoder pyav or convert the file"
        )


def _sound(path: Path, audio: SoundOutline, seconds: float) -> DecodedSound:
    """The first audio stream, the only one decord reads."""
    if not audio.first_of_kind:
        raise MediaError("decord reads the first audio stream alone, and another one is played; use the decoder pyav")
    if audio.channels not in _MEAN_OF_MONO:
        raise MediaError(f"decord gives {audio.channels} channels of sound as a mix; use the decoder pyav")
    reader = decord.AudioReader(str(path.absolute()), sample_rate=audio.rate, mono=True)
    first, last = (round(time * audio.rate) for time in (audio.lead, audio.lead + seconds - audio.start))
    samples = reader[first : min(last, reader.shape[1])].asnumpy()
    if not samples.size:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    return DecodedSound(samples * _MEAN_OF_MONO[audio.channels], audio.rate, audio.start)


LIBRARY = Library(
    name="decord",
    frames=_frames,
    sound=_sound,
    errors=(decord.DECORDError, decord.DECORDLimitReachedError, AssertionError, RuntimeError),
)
"""What decord does."""
