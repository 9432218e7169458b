import pytest
import torch
from torch.nn import functional

from valor.parsers.folding import clap_pool_matrix, fold_clap_map, fold_frames


def _published_audio_stem(tokens: torch.Tensor, projection: torch.nn.Linear) -> torch.Tensor:
    """The published order of operations: upsample each half in time, project every position, average."""
    halves = tokens.unflatten(1, (2, 32)).permute(0, 3, 1, 2)  # [B, D, 2, 32]
    upsampled = functional.interpolate(halves, size=(2, 1024), mode="bicubic", align_corners=False)
    projected = projection(upsampled.permute(0, 2, 3, 1)).mean(dim=1)  # [B, 1024, hidden]
    return functional.adaptive_avg_pool1d(projected.transpose(1, 2), 10).transpose(1, 2)


def test_rows_sum_to_one_and_both_halves_weigh_the_same():
    matrix = clap_pool_matrix()
    assert matrix.shape == (10, 64)
    assert torch.allclose(matrix.sum(dim=1), torch.ones(10, dtype=torch.float64), atol=1e-14)
    assert torch.equal(matrix[:, :32], matrix[:, 32:])
    assert torch.allclose(matrix, matrix.flip(0, 1), atol=1e-14)  # time reversed, and the halves are alike


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-14)])
def test_folding_before_the_projection_equals_the_published_order(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.rand(3, 64, 20, generator=generator, dtype=dtype) * 2 - 1
    projection = torch.nn.Linear(20, 7, dtype=dtype)
    with torch.no_grad():
        assert torch.allclose(
            projection(fold_clap_map(tokens)), _published_audio_stem(tokens, projection), atol=tolerance
        )


def test_constant_tokens_stay_constant():
    assert torch.allclose(fold_clap_map(torch.full((1, 64, 2), 3.0)), torch.full((1, 10, 2), 3.0))


def test_frames_are_averaged_segment_by_segment():
    frames = torch.arange(12.0).reshape(6, 2)  # 3 segments of 2 frames
    assert fold_frames(frames, 3).tolist() == [[1, 2], [5, 6], [9, 10]]
    assert fold_frames(frames.expand(4, 5, 6, 2), 3).shape == (4, 5, 3, 2)


def test_shapes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"audio map must be float \[\.\.\., 64, D\], got \(2, 10, 768\)"):
        fold_clap_map(torch.zeros(2, 10, 768))
    with pytest.raises(ValueError, match=r"T = 10 segments.*got \(2, 75, 3\)"):
        fold_frames(torch.zeros(2, 75, 3), 10)
    with pytest.raises(ValueError, match="F >= 1"):
        fold_frames(torch.zeros(2, 0, 3), 10)
