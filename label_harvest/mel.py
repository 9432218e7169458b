"""Waveform -> log-mel spectrogram as CLAP hears it: the front end of its fusion checkpoints, computed in batches."""

from functools import lru_cache

import numpy as np
import torch

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


def log_mel(waveform: torch.Tensor, sample_rate: int = 48000) -> torch.Tensor:
    """Power spectrogram in HTK mel bands without area normalisation, in dB.

    Args:
        waveform: float32 [..., S].
        sample_rate: In Hz.

    Returns:
        float32 [..., 1 + S // 480, 64] in dB, at least -100; windows are centred, edges reflected.

    Raises:
        ValueError: The waveform is shorter than half a window, so it cannot be reflected.

    Source:
        LAION-CLAP's audio configuration for its fusion checkpoints; within 0.01 dB of `preproc.npz`.
    """
    if waveform.shape[-1] <= WINDOW_SAMPLES // 2:
        raise ValueError(
            f"waveform must have more than {WINDOW_SAMPLES // 2} samples, got {waveform.shape[-1]}; pad or repeat it"
        )
    flat = waveform.reshape(-1, waveform.shape[-1])
    spectrum = torch.stft(
        flat,
        WINDOW_SAMPLES,
        hop_length=HOP_SAMPLES,
        window=torch.hann_window(WINDOW_SAMPLES, device=flat.device),
        center=True,
        pad_mode="reflect",
        return_complex=True,
    )
    power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
    bands = power @ _mel_bank(sample_rate).to(power.device)
    decibels = 10.0 * torch.log10(bands.clamp_min(POWER_FLOOR))
    return decibels.reshape(*waveform.shape[:-1], *decibels.shape[-2:])


@lru_cache(maxsize=4)
def _mel_bank(sample_rate: int) -> torch.Tensor:
    """float32 [513, 64], triangles of height 1 whose corners are evenly spaced in mel."""
    frequency = np.linspace(0.0, sample_rate / 2, WINDOW_SAMPLES // 2 + 1)
    corners = _hz(np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), NUM_BANDS + 2))
    left, peak, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (frequency[:, None] - left) / (peak - left)
    falling = (right - frequency[:, None]) / (right - peak)
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32))


def _mel(hz: float) -> float:
    """HTK mel of a frequency."""
    return 2595.0 * float(np.log10(1.0 + hz / 700.0))


def _hz(mel: np.ndarray) -> np.ndarray:
    """Frequencies of HTK mels."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
