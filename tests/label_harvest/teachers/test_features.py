"""VGGish's front end and network against the definition written out another way.

Feature extractors with random weights: shapes, preprocessing, loading, and what is refused.
"""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.helpers.toy import toy_media
from valor.label_harvest.media.clip import ClipMedia, Grid
from valor.label_harvest.teachers.features import (
    EXTRACTORS,
    R2PLUS1D,
    RES152,
    Vggish,
    build_extractor,
    hear_segments,
    log_mel_example,
    read_whitening,
    weights_file,
    whiten,
)
from valor.label_harvest.teachers.teacher import NEEDS


def slots_media(*, num_segments=2, slots_per_segment=2, height=30, width=40, seed=0):
    """What an extractor sees of a clip."""
    grid = Grid(num_segments=num_segments)
    rng = np.random.default_rng(seed)
    slots = rng.integers(0, 256, (num_segments * slots_per_segment, height, width, 3), dtype=np.uint8)
    return SimpleNamespace(slots=slots, waveform=toy_media(grid=grid, seed=seed).waveform, grid=grid)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """The shallowest network of either kind in torchvision in place of ResNet-152."""
    import torchvision

    monkeypatch.setattr(torchvision.models, "resnet152", torchvision.models.resnet18)


@pytest.mark.parametrize(("name", "width"), [("res152", 512), ("r2plus1d", 512), ("vggish", 128), ("vggish-relu", 128)])
def test_one_row_of_features_for_each_segment_and_no_similarity(name, width):
    extractor = build_extractor(name, checkpoint="random")
    assert extractor.role == EXTRACTORS[name] and extractor.role in NEEDS and extractor.sample_rate is None
    identity = extractor.identity()
    assert identity["teacher"] == name and identity["weights"] == "random" and "prompts" not in identity
    clips = [slots_media(seed=seed) for seed in range(2)]
    answers = extractor.encode_many(clips)
    for answer, clip in zip(answers, clips, strict=True):
        features = answer.features["features"]
        assert answer.similarity is None and features.shape == (2, width) and features.dtype == np.float32
        np.testing.assert_allclose(features, extractor.encode(clip).features["features"], atol=1e-5)
    assert not np.allclose(answers[0].features["features"], answers[1].features["features"])
    assert (answers[0].features["features"] < 0).any() == (name == "vggish")


def test_frames_of_a_segment_are_averaged():
    extractor, clip = build_extractor("res152", checkpoint="random"), slots_media()
    single = slots_media(num_segments=4, slots_per_segment=1)
    single.slots = clip.slots
    rows = extractor.encode(single).features["features"]
    np.testing.assert_allclose(extractor.encode(clip).features["features"], rows.reshape(2, 2, -1).mean(1), atol=1e-5)


def test_motion_needs_order():
    extractor, clip = build_extractor("r2plus1d", checkpoint="random"), slots_media()
    turned = slots_media()
    turned.slots = clip.slots[::-1]
    there, back = (extractor.encode(media).features["features"] for media in (clip, turned))
    assert not np.allclose(there[0], back[1], atol=1e-3)


@pytest.mark.parametrize("size", [(90, 160), (160, 90), (300, 300)])
def test_pictures_are_resized_as_torchvisions_presets_do(size):
    import torchvision.transforms.functional as transforms
    from torchvision.transforms import InterpolationMode

    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(frame)
    for kind in (RES152, R2PLUS1D):
        resized = transforms.resize(image, kind.resize, InterpolationMode.BILINEAR)
        cropped = transforms.to_tensor(transforms.center_crop(resized, kind.crop))
        theirs = transforms.normalize(cropped, kind.mean, kind.std)
        difference = (kind.prepare(frame[None])[0] - theirs).abs()
        assert difference.max() < 1.1 / 255 / min(kind.std)  # pillow rounds to whole levels, once for each axis


def test_the_published_networks():
    import torchvision

    assert all(network.url().endswith(f"/{network.file}") for network in (RES152, R2PLUS1D))
    preset = torchvision.models.ResNet152_Weights.IMAGENET1K_V1.transforms()
    assert (preset.crop_size, preset.resize_size) == ([RES152.crop], [RES152.resize])
    assert (tuple(preset.mean), tuple(preset.std)) == (RES152.mean, RES152.std)
    motion = torchvision.models.video.R2Plus1D_18_Weights.KINETICS400_V1.transforms()
    assert (tuple(motion.mean), tuple(motion.std)) == (R2PLUS1D.mean, R2PLUS1D.std)
    assert (tuple(motion.resize_size), motion.crop_size) == (R2PLUS1D.resize, [R2PLUS1D.crop] * 2)


def test_a_file_of_torchvision_is_loaded_and_checked_against_its_name(tmp_path):
    import torchvision

    torch.manual_seed(1)
    state = torchvision.models.resnet18().state_dict()
    older = {name: tensor for name, tensor in state.items() if "num_batches" not in name}
    torch.save(older, tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    path = (tmp_path / "w.pth").rename(tmp_path / f"resnet152-{digest[:8]}.pth")
    extractor = build_extractor("res152", checkpoint=path)
    weights = extractor.identity()["weights"]
    network = torchvision.models.resnet18()
    network.load_state_dict(state)
    network.fc = torch.nn.Identity()
    clip = slots_media()
    with torch.inference_mode():
        expected = network.eval()(RES152.prepare(clip.slots)).reshape(2, 2, -1).mean(1)
    np.testing.assert_allclose(extractor.encode(clip).features["features"], expected, atol=1e-5)
    assert build_extractor("res152", checkpoint=path, pin=weights).identity()["weights"] == weights
    damaged = path.rename(tmp_path / "resnet152-00000000.pth")
    with pytest.raises(ValueError, match="must have sha256 00000000, got .*damaged, fetch it again"):
        build_extractor("res152", checkpoint=damaged)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="not the weights of this network: 17 tensors missing"):
        build_extractor("vggish", checkpoint=tmp_path / "w.pth")


def test_whitened_vggish_needs_its_parameters_and_gives_whole_levels(tmp_path):
    torch.manual_seed(0)
    from valor.label_harvest.teachers.features import Vggish

    torch.save(Vggish().state_dict(), tmp_path / "w.pth")
    with pytest.raises(FileNotFoundError, match="vggish_pca_params.npz: no such file"):
        build_extractor("vggish-pca", checkpoint=tmp_path / "w.pth")
    np.savez(tmp_path / "vggish_pca_params.npz", pca_eigen_vectors=50 * np.eye(128), pca_means=np.zeros(128))
    rows = build_extractor("vggish-pca", checkpoint=tmp_path / "w.pth").encode(slots_media()).features["features"]
    assert (rows == np.rint(rows)).all() and rows.min() >= 0 and rows.max() <= 255 and len(np.unique(rows)) > 5


def test_precision():
    exact, coarse = (build_extractor("res152", checkpoint="random", precision=p) for p in ("float32", "bfloat16"))
    ours, theirs = (extractor.encode(slots_media()).features["features"] for extractor in (exact, coarse))
    assert 0 < np.abs(ours - theirs).max() < 0.05 * np.abs(ours).max()
    assert coarse.identity()["precision"] == "bfloat16"
    with pytest.raises(ValueError, match="vggish computes in float32, got bfloat16"):
        build_extractor("vggish", checkpoint="random", precision="bfloat16")


@pytest.mark.parametrize("name", EXTRACTORS)
def test_weights_are_looked_for_where_they_are_kept(monkeypatch, tmp_path, name):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched = []

    def fetch(url, path, **_):
        fetched.append(path)
        raise OSError

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    with pytest.raises(RuntimeError):
        build_extractor(name)
    assert fetched == [str(weights_file(name))] and weights_file(name).parent == tmp_path / "checkpoints"


def test_a_file_that_arrives_damaged_gets_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    published = tmp_path / "vggish-10086976.pth"
    published.write_bytes(b"something else")
    monkeypatch.setattr("valor.label_harvest.teachers.features.URL", published.as_uri())
    with pytest.raises(
        RuntimeError, match=r'could not be fetched \(RuntimeError: invalid hash value \(expected "10086976'
    ):
        build_extractor("vggish")
    assert list((tmp_path / "cache/checkpoints").iterdir()) == []


def test_unknown_names_and_absent_weights(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="features must be among res152, r2plus1d, vggish, .*, got 'i3d'"):
        build_extractor("i3d")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(RuntimeError, match=r"vggish-10086976.pth is not cached here .*\(OSError: no route to host\)"):
        build_extractor("vggish")


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
