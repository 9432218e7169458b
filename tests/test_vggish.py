"""VGGish's front end and network against the definition written out another way."""

import numpy as np
import pytest
import torch

from label_harvest.media import ClipMedia, Grid
from label_harvest.vggish import Vggish, hear_segments, log_mel_example, read_whitening, whiten


def plain_example(wave):
    """One example by the book: frame by frame, band by band."""
    edges = 1127 * np.log1p(np.array([125.0, 7500.0]) / 700)
    corners = np.linspace(*edges, 66)
    bins = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    rows = np.zeros((96, 64))
    for frame in range(96):
        magnitude = np.abs(np.fft.rfft(wave[160 * frame : 160 * frame + 400] * window, 512))
        for band in range(64):
            low, middle, high = corners[band : band + 3]
            slope = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)).clip(0)
            slope[0] = 0
            rows[frame, band] = np.log(magnitude @ slope + 0.01)
    return rows


def test_an_example_is_that_of_the_definition():
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 16000)
    ours = log_mel_example(torch.from_numpy(wave.astype(np.float32)))
    np.testing.assert_allclose(ours.numpy(), plain_example(wave), atol=1e-4)
    assert log_mel_example(torch.zeros(3, 15600)).shape == (3, 96, 64)
    np.testing.assert_allclose(log_mel_example(torch.zeros(15600)), np.log(0.01), atol=1e-6)
    with pytest.raises(ValueError, match=r"VGGish needs 15600 samples \(0.975 s\), got 15599"):
        log_mel_example(torch.zeros(15599))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Vggish().eval().requires_grad_(False)


def test_the_tensors_are_those_of_the_converted_weights(network):
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert sorted({int(name.split(".")[1]) for name in shapes if name.startswith("features")}) == [0, 3, 6, 8, 11, 13]
    assert shapes["features.13.weight"] == [512, 512, 3, 3] and shapes["embeddings.0.weight"] == [4096, 512 * 4 * 6]
    assert shapes["embeddings.4.weight"] == [128, 4096] and len(shapes) == 18


def test_the_picture_is_flattened_channels_last_as_in_tensorflow(network):
    example = torch.rand(1, 96, 64)
    flat = {}
    hook = network.embeddings[0].register_forward_pre_hook(lambda _, inputs: flat.update(x=inputs[0]))
    network(example)
    hook.remove()
    picture = network.features(example[:, None])
    for time, band, channel in ((0, 0, 0), (5, 3, 511), (2, 1, 77)):
        assert flat["x"][0, (time * 4 + band) * 512 + channel] == picture[0, channel, time, band]


def test_each_segment_is_heard_by_itself_at_any_rate(network):
    grid = Grid(num_segments=3, sample_rate=48000)
    tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000).astype(np.float32)
    clip = ClipMedia(None, np.concatenate([tone, 0 * tone, tone]), grid)
    features = hear_segments(network, clip, torch.device("cpu"))
    assert features.shape == (3, 128) and (features < 0).any()  # no activation at the end
    other = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    direct = network(log_mel_example(torch.from_numpy(other))[None])[0]
    near, far = ((features[segment] - direct).norm() for segment in (0, 1))
    assert near < 0.1 * far  # the edges of the resampler differ


def test_whitening_is_clipped_and_cut_to_whole_numbers(tmp_path):
    features = np.zeros((1, 128), np.float32)
    features[0, :4] = [0.0, 5.0, -5.0, 1.0]
    means = np.zeros((128, 1))
    np.savez(tmp_path / "p.npz", pca_eigen_vectors=np.eye(128), pca_means=means)
    whitened = whiten(features, *read_whitening(tmp_path / "p.npz"))
    assert whitened[0, :4].tolist() == [127.0, 255.0, 0.0, 191.0] and whitened.dtype == np.float32
    np.savez(tmp_path / "q.npz", pca_means=means)
    with pytest.raises(ValueError, match=r"expected pca_eigen_vectors \[128, 128\] and pca_means \[128\]"):
        read_whitening(tmp_path / "q.npz")
    with pytest.raises(FileNotFoundError, match="put AudioSet's whitening parameters beside the weights"):
        read_whitening(tmp_path / "absent.npz")
