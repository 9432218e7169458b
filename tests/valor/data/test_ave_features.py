"""The features published with AVE: rows of the annotation, whatever the split and its order."""

import numpy as np
import pytest

from tests.helpers.toy_ave import ORDERS, write_ave, write_hdf5
from tests.helpers.typed import typed
from valor.data.ave_features import AVE_FILES, read_ave_features
from valor.data.datasets import AVE


@pytest.fixture
def folder(tmp_path):
    """The small AVE with features that say which row and second they are of."""
    data = write_ave(tmp_path / "ave")
    for file, shape in AVE_FILES.values():
        numbers = np.arange(60, dtype=np.float64).reshape(6, 10, *[1] * len(shape))
        write_hdf5(data / file, "avadataset", np.broadcast_to(numbers, (6, 10, *shape)))
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
