"""Waveform -> log-mel spectrogram as CLAP hears it, computed in batches and without computing equal spectra twice."""

from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from ..did_you_mean import did_you_mean

WINDOW_SAMPLES = 1024
"""Length of the Hann window and of the Fourier transform."""
HOP_SAMPLES = 480
"""Samples from one spectrum to the next, 10 ms at 48 kHz."""
NUM_BANDS = 64
"""Mel bands."""
LOWEST_HZ, HIGHEST_HZ = 50.0, 14000.0
"""Range the bands cover."""
POWER_FLOOR = 1e-10
"""Band power below which silence is called -100 dB."""
BANKS = ("htk", "slaney")
"""Mel scales: `htk` has triangles of height 1 (checkpoints with fusion), `slaney` of area 1 (those without)."""
_HALF = WINDOW_SAMPLES // 2
_TOGETHER = 128
"""Spectra of a sound that a processor computes together: of more, what lies between would not stay in its cache."""


def log_mel(waveform: torch.Tensor, sample_rate: int = 48000, *, bank: str = "htk") -> torch.Tensor:
    """Power spectrogram in mel bands, in dB.

    Args:
        waveform: float32 [..., S].
        sample_rate: In Hz.
        bank: One of `BANKS`.

    Returns:
        float32 [..., 1 + S // 480, 64] in dB, at least -100; windows are centred, edges reflected.

    Raises:
        ValueError: The waveform is shorter than half a window, so it cannot be reflected, or there is no such bank.

    Source:
        LAION-CLAP's audio configuration; `htk` is within 0.01 dB of `preproc.npz`.
    """
    _check(waveform.shape[-1], bank)
    flat = waveform.reshape(-1, waveform.shape[-1])
    padded = functional.pad(flat[:, None], (_HALF, _HALF), mode="reflect")[:, 0]
    decibels = _decibels(padded.unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES), sample_rate, bank)
    return decibels.reshape(*waveform.shape[:-1], *decibels.shape[-2:])


def repeated_log_mel(
    piece: torch.Tensor,
    num_samples: int,
    sample_rate: int = 48000,
    *,
    bank: str = "htk",
    joined: torch.Tensor | None = None,
) -> torch.Tensor:
    """The `log_mel` of a piece that is repeated as often as it fits into `num_samples` and followed by silence.

    Where the piece is a whole number of hops long, the repeated sound is periodic in spectra too: all windows that lie
    inside it have one of n / 480 contents, and only those, the ones over an edge, and one of silence are computed (104
    in place of 1001 for a second in ten). Every window holds the samples it would hold in the repeated waveform, which
    is never built, so the answer is that of `log_mel` to the bit. Most of these windows are among those of the whole
    sound the pieces were cut from; where its spectra are given, seven of a second are left to be computed.

    Args:
        piece: float32 [..., n].
        num_samples: Length to fill, at least n.
        sample_rate: In Hz.
        bank: One of `BANKS`.
        joined: float32 [1 + T * n // 480, 64], what `log_mel` says of the pieces [T, n] end to end, if it is known.

    Returns:
        float32 [..., 1 + num_samples // 480, 64] in dB.

    Raises:
        ValueError: The piece is empty or longer than the whole, or as for `log_mel`.
    """
    if not 0 < piece.shape[-1] <= num_samples:
        raise ValueError(f"a piece must have 1 to {num_samples} samples, got {piece.shape[-1]}; use shorter pieces")
    _check(num_samples, bank)
    flat = functional.pad(piece.reshape(-1, piece.shape[-1]), (0, 1))  # the last sample is the silence
    samples, place = _windows_besides(len(flat), piece.shape[-1], num_samples, 0 if joined is None else len(joined))
    windows = flat.index_select(1, samples.to(piece.device)).unflatten(1, (-1, WINDOW_SAMPLES))
    computed = _decibels(windows, sample_rate, bank).flatten(0, 1)
    known = computed if joined is None else torch.cat([joined, computed])
    return known.index_select(0, place.to(piece.device)).reshape(*piece.shape[:-1], -1, NUM_BANDS)


@lru_cache(maxsize=16)
def _windows_besides(
    num_pieces: int, num_piece: int, num_samples: int, num_known: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The windows of repeated pieces that differ, without those inside a piece where the whole is known.

    Returns:
        The samples the others hold, as `_distinct_windows` has them, int64 [K * 1024]; and the row of each spectrum of
        each piece, int64 [T * F], where those that are known of the whole come first and the computed ones behind them.
    """
    samples, place = _distinct_windows(num_piece, num_samples)
    begin = samples[:, 0]
    known = (samples == begin[:, None] + np.arange(WINDOW_SAMPLES)).all(axis=1) & (samples[:, -1] < num_piece)
    known &= (num_known > 0) & (num_piece % HOP_SAMPLES == 0) & ((begin + _HALF) % HOP_SAMPLES == 0)
    piece = np.arange(num_pieces)[:, None]
    computed = num_known + piece * np.sum(~known) + np.cumsum(~known) - 1
    row = np.where(known, (piece * num_piece + begin + _HALF) // HOP_SAMPLES, computed)  # [T, K]
    return torch.from_numpy(samples[~known].reshape(-1)), torch.from_numpy(row[:, place].reshape(-1))


@lru_cache(maxsize=16)
def _distinct_windows(num_piece: int, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The windows of a repeated piece that differ.

    Returns:
        The samples they hold, int64 [K, 1024], places in the piece, or its length for silence; and which of them each
        spectrum of the whole has, int64 [F].
    """
    sound = num_samples // num_piece * num_piece
    start = np.arange(1 + num_samples // HOP_SAMPLES) * HOP_SAMPLES - _HALF
    same_as = np.arange(len(start))
    inside = np.flatnonzero((start >= 0) & (start + WINDOW_SAMPLES <= sound))
    if num_piece % HOP_SAMPLES == 0 and inside.size:
        same_as[inside] = inside[0] + (inside - inside[0]) % (num_piece // HOP_SAMPLES)
    samples = np.abs(start[:, None] + np.arange(WINDOW_SAMPLES))
    samples = np.minimum(samples, 2 * (num_samples - 1) - samples)  # reflected at both ends
    silent = np.flatnonzero((samples >= sound).all(axis=1))
    same_as[silent] = silent[:1]
    kept, place = np.unique(same_as, return_inverse=True)
    samples = np.where(samples < sound, samples % num_piece, num_piece)[kept]
    return samples, place


def _decibels(windows: torch.Tensor, sample_rate: int, bank: str) -> torch.Tensor:
    """Windows [B, K, 1024] -> mel bands float32 [B, K, 64] in dB."""
    hann, weights = torch.hann_window(WINDOW_SAMPLES, device=windows.device), _mel_bank(sample_rate, bank)
    weights = weights.to(windows.device)
    bands = windows.new_empty(*windows.shape[:2], NUM_BANDS)
    rows = _TOGETHER if windows.device.type == "cpu" else windows.shape[1]
    for part, into in zip(windows.split(rows, dim=1), bands.split(rows, dim=1), strict=True):
        squares = torch.view_as_real(torch.fft.rfft(part * hann)).square_()
        into.copy_((squares[..., 0] + squares[..., 1]) @ weights)  # power, [B, rows, 513]
    return bands.clamp_min_(POWER_FLOOR).log10_().mul_(10.0)


def _check(num_samples: int, bank: str) -> None:
    """Refuse what cannot be reflected, and unknown banks."""
    if num_samples <= _HALF:
        raise ValueError(f"waveform must have more than {_HALF} samples, got {num_samples}; pad or repeat it")
    if bank not in BANKS:
        raise ValueError(f"bank must be one of {', '.join(BANKS)}, got {bank!r}{did_you_mean(bank, BANKS)}")


@lru_cache(maxsize=4)
def _mel_bank(sample_rate: int, bank: str) -> torch.Tensor:
    """float32 [513, 64], triangles whose corners are evenly spaced in mel."""
    frequency = np.linspace(0.0, sample_rate / 2, WINDOW_SAMPLES // 2 + 1)
    mel, hz = (_htk_mel, _htk_hz) if bank == "htk" else (_slaney_mel, _slaney_hz)
    corners = hz(np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), NUM_BANDS + 2))
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequency[:, None] - left) / (peak - left)
    falling = (right - frequency[:, None]) / (right - peak)
    height = 1.0 if bank == "htk" else 2.0 / (right - left)
    return torch.from_numpy((np.maximum(0.0, np.minimum(rising, falling)) * height).astype(np.float32))


def _htk_mel(hz: float) -> float:
    """HTK mel of a frequency."""
    return 2595.0 * float(np.log10(1.0 + hz / 700.0))


def _htk_hz(mel: np.ndarray) -> np.ndarray:
    """Frequencies of HTK mels."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_KNEE_HZ, _SLANEY_KNEE_MEL = 1000.0, 15.0
_SLANEY_STEP = float(np.log(6.4)) / 27.0
"""Slaney's Auditory Toolbox: linear below 1 kHz, above it 27 steps to a factor of 6.4."""


def _slaney_mel(hz: float) -> float:
    """Slaney mel of a frequency."""
    if hz < _SLANEY_KNEE_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return _SLANEY_KNEE_MEL + float(np.log(hz / _SLANEY_KNEE_HZ)) / _SLANEY_STEP


def _slaney_hz(mel: np.ndarray) -> np.ndarray:
    """Frequencies of Slaney mels."""
    above = _SLANEY_KNEE_HZ * np.exp(_SLANEY_STEP * (mel - _SLANEY_KNEE_MEL))
    return np.where(mel < _SLANEY_KNEE_MEL, mel * _SLANEY_HZ_PER_MEL, above)
