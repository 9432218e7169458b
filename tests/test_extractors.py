"""Feature extractors with random weights: shapes, preprocessing, loading, and what is refused."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from label_harvest.evidence import NEEDS
from label_harvest.extractors import EXTRACTORS, build_extractor, weights_file
from label_harvest.media import Grid
from label_harvest.picture_features import R2PLUS1D, RES152
from tests.toy import toy_media


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

    assert RES152.url().endswith("resnet152-394f9c45.pth") and R2PLUS1D.url().endswith("r2plus1d_18-91a641e6.pth")
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
    from label_harvest.vggish import Vggish

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


def test_unknown_names_and_absent_weights(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="features must be among res152, r2plus1d, vggish, .*, got 'i3d'"):
        build_extractor("i3d")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(RuntimeError, match=r"vggish-10086976.pth is not cached here .*\(OSError: no route to host\)"):
        build_extractor("vggish")
