"""The features published with AVE: rows of the annotation, whatever the split and its order."""

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_ave import ORDERS, write_ave, write_hdf5
from tests.helpers.typed import typed
from valor.data.datasets.ave_features import AVE_FILES, read_ave_features
from valor.data.datasets.dataset import AVE
from valor.data.features.feature_options import FeatureOptions
from valor.data.read_clips import read_clip_set, with_background


@pytest.fixture
def folder(tmp_path):
    """The small AVE with features that say which row and second they are of."""
    data = write_ave(tmp_path / "ave")
    for file, shape in AVE_FILES.values():
        numbers = np.arange(60, dtype=np.float64).reshape(6, 10, *[1] * len(shape))
        write_hdf5(data / file, "avadataset", np.broadcast_to(numbers, (6, 10, *shape)))
        write_hdf5(data / file.replace(".h5", "_noisy.h5"), "avadataset", np.full((2, 10, *shape), -1.0))
    return data


def test_a_clip_has_the_features_of_its_row(folder):
    for split, order in ORDERS.items():
        for kind in AVE_FILES:
            found = read_ave_features(folder, kind, AVE.read_split(folder, split)).tensor
            assert found[:, :, 0].tolist() == [[10 * row + second for second in range(10)] for row in order]
    assert found.shape == (2, 10, 7 * 7 * 512)


@pytest.mark.parametrize("recipe", ["avel-weak", "avel-full"])
def test_the_network_of_2018_trains_on_them(folder, tmp_path, recipe):
    small = ("methods.avel.width=3", "methods.avel.attention_width=4", "fit.epochs=2")
    changes = [word for change in small for word in ("--set", change)]
    done = typed("train", recipe, "--data", folder, "--out", tmp_path / "run", *changes)
    assert done.code == 0, done.err
    assert "validation accuracy_per_second" in done.out and (tmp_path / "run" / "chosen-on-test.json").is_file()


def test_clips_of_no_event_are_trained_on_as_background(folder):
    options = FeatureOptions(audio="ave-vggish", visual="ave-vgg19", motion=None, background_clips=True)
    train = read_clip_set(folder, AVE.read_split(folder, "train"), options)
    more = with_background(train, folder, options)
    assert more.clip_ids == (*train.clip_ids, "background-000", "background-001") and (more.audio[-2:] == -1).all()
    assert not more.weak_labels[-2:].any() and not more.truth[-2:].any()
    assert with_background(train, folder, replace(options, background_clips=False)) is train
    write_hdf5(folder / "audio_feature_noisy.h5", "avadataset", np.full((3, 10, 128), np.nan))
    with pytest.raises(ValueError, match="audio_feature_noisy.h5: expected finite floats, got others in row 0"):
        with_background(train, folder, options)
    write_hdf5(folder / "audio_feature_noisy.h5", "avadataset", np.zeros((3, 10, 128)))
    with pytest.raises(ValueError, match=r"as many in each file, got \[2, 3\]"):
        with_background(train, folder, options)
    (folder / "visual_feature_noisy.h5").unlink()
    with pytest.raises(FileNotFoundError, match="train without them: features.background_clips=off"):
        with_background(train, folder, options)
    with pytest.raises(ValueError, match="background_clips are of the features ave-vggish and ave-vgg19 alone"):
        FeatureOptions(background_clips=True)


def test_features_of_another_release_and_lists_of_other_rows_are_refused(folder):
    split = AVE.read_split(folder, "train")
    write_hdf5(folder / "audio_feature.h5", "avadataset", np.zeros((2, 10, 128)))
    with pytest.raises(ValueError, match=r"got float64 \[2, 10, 128\]; features and annotation must be of one release"):
        read_ave_features(folder, "ave-vggish", split)
    (folder / "visual_feature.h5").unlink()
    with pytest.raises(FileNotFoundError, match="the features of AVE are linked at"):
        read_ave_features(folder, "ave-vgg19", split)
    (folder / "audio_feature.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="got an empty one; fetch it again"):
        read_ave_features(folder, "ave-vggish", split)
    (folder / "train_order.h5").unlink()
    (folder / "trainSet.txt").write_text("Bark&nowhere0000&good&0&4\n")
    with pytest.raises(ValueError, match="has no row Bark&nowhere0000&0&4, which train lists"):
        read_ave_features(folder, "ave-vggish", split)
