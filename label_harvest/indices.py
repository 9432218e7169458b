"""The index rules of the published label generator: which frame, which samples; pure and exact."""

import numpy as np


def frame_indices(num_slots: int, num_segments: int) -> np.ndarray:
    """Choose one of n frame slots for each segment: evenly spaced, first and last included.

    Returns:
        int64 [T], i * (n - 1) / (T - 1) rounded half to even; all 0 for one segment or one slot.

    Raises:
        ValueError: There is no slot or no segment.

    Source:
        The published label generator (VALOR, NeurIPS 2023); `frame_index.json` of its golden vectors.
    """
    _check_positive(num_slots=num_slots, num_segments=num_segments)
    return np.rint(np.arange(num_segments) * (num_slots - 1) / max(num_segments - 1, 1)).astype(np.int64)


def audio_segments(num_samples: int, num_segments: int) -> np.ndarray:
    """Cut n samples into T pieces of one length; neighbours may skip or share a sample.

    Returns:
        int64 [T, 2] in samples, half-open: start = i * n / T rounded half to even, length n // T.

    Raises:
        ValueError: There are fewer samples than segments.

    Source:
        The published label generator; `audio_segments.json` of its golden vectors.
    """
    _check_positive(num_samples=num_samples // max(num_segments, 1), num_segments=num_segments)
    start = np.rint(np.arange(num_segments) * num_samples / num_segments).astype(np.int64)
    return np.stack([start, start + num_samples // num_segments], axis=1)


def resample_by_index(waveform: np.ndarray, num_samples: int) -> np.ndarray:
    """Bring [..., n] samples to `num_samples` by repeating or dropping samples, without a filter.

    Sample i is taken from i * (n - 1) / (num_samples - 1), rounded half to even; so many samples are returned as given.

    Source:
        The published feature extraction; `clap_resample.json` of its golden vectors.
    """
    _check_positive(samples=waveform.shape[-1], num_samples=num_samples)
    if waveform.shape[-1] == num_samples:
        return waveform
    index = np.arange(num_samples) * (waveform.shape[-1] - 1) / max(num_samples - 1, 1)
    return waveform[..., np.rint(index).astype(np.int64)]


def _check_positive(**counts: int) -> None:
    """Refuse empty inputs of the index rules."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}; there is nothing to choose from")
