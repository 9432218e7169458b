"""A media file -> `ClipMedia`: frames and a mono waveform of exactly the length of the grid, and one status.

Decoding is in frames.py, whose conventions hold here. The waveform is resampled to the rate of the grid. Longer audio
is cut to exactly S samples, audio short by at most the tolerance is filled with silence (noted in the provenance),
shorter audio is refused.
"""

from pathlib import Path

import numpy as np

from .clip import (
    NO_AUDIO,
    NO_VIDEO,
    UNREAD,
    ClipMedia,
    Grid,
    MediaError,
    Trouble,
    cut_to_grid,
    ends_early,
    has_hole,
    silence,
    status_of,
)
from .frames import DecodedClip, Sound, decode_clip
from .resample import resample


def read_clip(path: str | Path, *, grid: Grid, slots: bool = False, track: str | None = None) -> ClipMedia:
    """Decode the best video and the best audio stream of one file onto the grid, in this process.

    Args:
        path: The file.
        grid: The segment grid.
        slots: Whether the frames of all slots are wanted, beside one per segment.
        track: Another audio stream than the best one, by position or language, see tracks.py.

    Raises:
        MediaError: The file is missing, is no media file, is damaged, holds neither video nor audio, or no such track.
    """
    path = Path(path)
    return finish_clip(decode_clip(path, grid=grid, slots=slots, track=track), grid=grid, name=path.name)


def finish_clip(decoded: DecodedClip, *, grid: Grid, name: str) -> ClipMedia:
    """Bring the sound of a decoded clip onto the grid and name the worst trouble.

    Args:
        decoded: From `decode_clip` with the same grid.
        grid: The segment grid.
        name: Of the file, for the message of an error.

    Raises:
        MediaError: The sound has a rate that cannot be resampled.
    """
    picture, sound = decoded.picture, decoded.sound
    troubles = [NO_VIDEO] if picture is None else list(picture.troubles)
    unread = [stream.provenance.get(UNREAD) for stream in (picture, sound) if stream is not None]
    if unread and unread[0]:
        troubles.append(cut_to_grid(unread[0], grid))
    waveform, heard = None, None
    if sound is None:
        troubles.append(NO_AUDIO)
    else:
        try:
            waveform, heard, trouble = _on_grid(sound, grid)
        except MediaError as error:
            raise MediaError(f"{name}: {error}", error.status) from error
        troubles += trouble
    status, message = status_of(troubles)
    return ClipMedia(
        frames=picture.frames if picture else None,
        waveform=waveform,
        grid=grid,
        status=status,
        message=message,
        provenance={"video": picture.provenance if picture else None, "audio": heard},
        frames_present=picture.present if picture else None,
        slots=picture.slots if picture else None,
    )


def _on_grid(sound: Sound, grid: Grid) -> tuple[np.ndarray | None, dict[str, object], list[Trouble]]:
    """(waveform, provenance, troubles): resample, and cut or fill to exactly the samples of the grid."""
    waveform = resample(sound.samples, sound.rate, grid.sample_rate)
    seconds = len(sound.samples) / sound.rate
    missing = grid.num_samples - len(waveform)
    holes = [hole for hole in sound.holes if min(hole[1], grid.seconds) - hole[0] > grid.tolerance_seconds]
    short = [has_hole("sound", start, end) for start, end in holes]
    if missing > grid.tolerance_seconds * grid.sample_rate:
        short.append(ends_early("audio", seconds, grid, damaged="damaged_from" in sound.provenance))
    if short:
        return None, sound.provenance, short
    waveform = np.pad(waveform[: grid.num_samples], (0, max(missing, 0)))
    peak = float(np.abs(waveform).max())
    change = {"filled_samples" if missing > 0 else "cut_samples": abs(missing), "peak": round(peak, 6)}
    return waveform, {**sound.provenance, **change}, silence(peak)
