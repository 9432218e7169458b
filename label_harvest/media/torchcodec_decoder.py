"""Frames and sound decoded by torchcodec, which uses the FFmpeg (4 to 8) of the system.

PyAV reads the packets (clip_outline.py), so streams, clock and gaps are the same; every frame torchcodec gives says its
time, which is compared. What stays different from PyAV:

* Damage that FFmpeg can conceal comes out as a picture without an error, and only what is wanted is decoded.
* Undecodable are also clips cut without encoding in which 0.11 jumps to another frame than it was asked for.
* A decoding process takes several hundred MiB, since it imports torch.

Importing this file needs torchcodec and FFmpeg's shared libraries; `decoders.check_decoder` says what to install.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torchcodec.decoders import AudioDecoder, VideoDecoder

from .clip import Grid, MediaError
from .clip_outline import DecodedSound, Library, SoundOutline, VideoOutline, decode_by_outline
from .frames import DecodedClip

_SAME_SECONDS = 1e-4
"""How far the time of a frame may be from that of its packet."""


def decode_clip(path: str | Path, *, grid: Grid, slots: bool = False) -> DecodedClip:
    """Decode the best video and the best audio stream of one file, see `clip_outline.decode_by_outline`."""
    return decode_by_outline(path, LIBRARY, grid=grid, slots=slots)


def _frames(path: Path, video: VideoOutline, places: Sequence[int]) -> Iterator[np.ndarray]:
    """The frames at these places, each of which must be that of its packet."""
    decoder = VideoDecoder(
        str(path.absolute()), stream_index=video.index, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact"
    )
    for place in places:
        frame = decoder.get_frame_at(place)
        if abs(frame.pts_seconds - video.clock - video.stamps[place]) > _SAME_SECONDS:
            at = video.stamps[place]
            raise MediaError(f"torchcodec gives another frame for {at:.3f} s; use --decoder pyav or convert the file")
        yield frame.data.numpy()


def _sound(path: Path, audio: SoundOutline, seconds: float) -> DecodedSound:
    """The stream, at its own rate and with all its channels."""
    decoder = AudioDecoder(str(path.absolute()), stream_index=audio.index)
    heard = decoder.get_samples_played_in_range(min(0.0, audio.clock), audio.clock + seconds)
    samples = heard.data.to(torch.float32).numpy()
    if not samples.shape[1]:
        raise MediaError("no frame of its audio decodes; fetch it again or leave it out")
    return DecodedSound(samples, heard.sample_rate, heard.pts_seconds - audio.clock)


LIBRARY = Library(name="torchcodec", frames=_frames, sound=_sound, errors=(RuntimeError, ValueError, IndexError))
"""What torchcodec does."""
