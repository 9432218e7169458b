"""Fixed linear maps that bring published features onto the segment grid before the first learned layer.

The published network upsamples an audio map of 64 tokens to 2,048 positions, projects each and averages down to ten
segments; it projects 80 video frames and averages them in eights. Averaging and upsampling are linear and act along
time, the projection is affine and acts along features, and every row of the time maps sums to 1: they commute. So
features are folded once, when they are read, and the parser only ever sees [B, T, D]. The outputs differ from the
published order of operations by float32 rounding alone (about 1e-6).
"""

from functools import cache

import torch
from torch import Tensor

CLAP_TOKENS = 64
"""Tokens of a HTSAT map: two frequency halves (slow index) by 32 time steps (fast index)."""
CLAP_SEGMENTS = 10
"""Segments a HTSAT map of one ten-second clip is folded to."""
CLAP_HALVES = 2
"""Frequency halves of a HTSAT map."""
MAP_ROWS = -(-CLAP_TOKENS // CLAP_SEGMENTS)
"""Tokens that `lay_clap_map` lays into a segment."""
_TIME_STEPS = CLAP_TOKENS // CLAP_HALVES
_UPSAMPLING = 32
_SHARPNESS = -0.75


@cache
def clap_pool_matrix(dtype: torch.dtype = torch.float64) -> Tensor:
    """Weights that turn the 64 tokens of a HTSAT map into ten segments.

    Args:
        dtype: Type of the result; the weights are computed in float64 and rounded once.

    Returns:
        float [10, 64]; each row sums to 1. Small negative weights (about -0.009) come from the bicubic kernel.

    Source:
        The audio stem of VALOR++ (NeurIPS 2023): bicubic x32 along time, mean over the two halves, ten overlapping
        means over [floor(102.4 i), ceil(102.4 (i + 1))). Equal to the golden matrix to 1e-15.
    """
    return (clap_window_means() @ clap_upsampling() / CLAP_HALVES).repeat(1, CLAP_HALVES).to(dtype)


@cache
def clap_upsampling(dtype: torch.dtype = torch.float64) -> Tensor:
    """Weights that turn the 32 time steps of one frequency half into 1,024 places, float [1024, 32]; rows sum to 1."""
    return _bicubic_upsampling(_TIME_STEPS, _UPSAMPLING).to(dtype)


@cache
def clap_window_means(dtype: torch.dtype = torch.float64) -> Tensor:
    """Weights that turn the 1,024 places of a half into ten segments, float [10, 1024]; rows sum to 1."""
    return _window_means(_TIME_STEPS * _UPSAMPLING, CLAP_SEGMENTS).to(dtype)


def fold_clap_map(tokens: Tensor) -> Tensor:
    """Fold HTSAT maps to segments.

    Args:
        tokens: float [..., 64, D], position 32 * frequency half + time step.

    Returns:
        float [..., 10, D], same dtype and device.

    Raises:
        ValueError: The second last axis is not 64.
    """
    if tokens.dim() < 2 or tokens.shape[-2] != CLAP_TOKENS:
        raise ValueError(f"an audio map must be float [..., {CLAP_TOKENS}, D], got {tuple(tokens.shape)}")
    return clap_pool_matrix(tokens.dtype).to(tokens.device) @ tokens


def fold_frames(frames: Tensor, num_segments: int) -> Tensor:
    """Average the frames of each segment.

    Args:
        frames: float [..., num_segments * F, D], F frames in each segment, in time order.
        num_segments: Number of segments, T.

    Returns:
        float [..., T, D], same dtype and device.

    Raises:
        ValueError: The frames do not divide into the segments.
    """
    if frames.dim() < 2 or num_segments < 1 or frames.shape[-2] == 0 or frames.shape[-2] % num_segments:
        raise ValueError(
            f"frames must be float [..., T * F, D] with T = {num_segments} segments of F >= 1 frames, "
            f"got {tuple(frames.shape)}"
        )
    return frames.reshape(*frames.shape[:-2], num_segments, -1, frames.shape[-1]).mean(dim=-2)


def lay_clap_map(tokens: Tensor) -> Tensor:
    """Lay the tokens of HTSAT maps into ten rows as they are, for networks that cannot take them folded.

    Args:
        tokens: float [..., 64, D].

    Returns:
        float [..., 10, 7 D]: row i holds the tokens 7 i to 7 i + 6, which are not those of second i; zeros follow the
        last token. `valor.parsers.stems` takes them out again.
    """
    if tokens.dim() < 2 or tokens.shape[-2] != CLAP_TOKENS:
        raise ValueError(f"an audio map must be float [..., {CLAP_TOKENS}, D], got {tuple(tokens.shape)}")
    padded = torch.nn.functional.pad(tokens, (0, 0, 0, CLAP_SEGMENTS * MAP_ROWS - CLAP_TOKENS))
    return padded.reshape(*tokens.shape[:-2], CLAP_SEGMENTS, MAP_ROWS * tokens.shape[-1])


def lay_frames(frames: Tensor, num_segments: int) -> Tensor:
    """Lay the frames of each segment side by side: float [..., T * F, D] to [..., T, F * D]."""
    if frames.dim() < 2 or num_segments < 1 or frames.shape[-2] == 0 or frames.shape[-2] % num_segments:
        raise ValueError(f"frames must be float [..., T * F, D] with T = {num_segments}, got {tuple(frames.shape)}")
    return frames.reshape(*frames.shape[:-2], num_segments, -1)


def _bicubic_upsampling(steps: int, factor: int) -> Tensor:
    """float64 [steps * factor, steps]: cubic convolution (a = -0.75), half-pixel centres, edges clamped."""
    position = (torch.arange(steps * factor, dtype=torch.float64) + 0.5) / factor - 0.5
    left = position.floor()
    matrix = torch.zeros(steps * factor, steps, dtype=torch.float64)
    for neighbour in (-1, 0, 1, 2):
        weight = _cubic_kernel((position - left - neighbour).abs())
        column = (left.long() + neighbour).clamp(0, steps - 1)
        matrix.scatter_add_(1, column[:, None], weight[:, None])
    return matrix


def _cubic_kernel(distance: Tensor) -> Tensor:
    """Keys' cubic convolution kernel at distances in [0, 2]."""
    a = _SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance <= 1, near, far)


def _window_means(length: int, windows: int) -> Tensor:
    """float64 [windows, length]: means over [floor(i * length / windows), ceil((i + 1) * length / windows))."""
    matrix = torch.zeros(windows, length, dtype=torch.float64)
    for i in range(windows):
        start, stop = i * length // windows, -(-(i + 1) * length // windows)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
