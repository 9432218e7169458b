"""Plain HDF5 files: what is read, and what is refused by name."""

import numpy as np
import pytest

from tests.helpers.toy_ave import write_hdf5
from valor.data.features.hdf5 import read_hdf5


@pytest.mark.parametrize("kind", ["i8", "i4", "u1", "u8", "f4", "f8"])
def test_an_array_is_read_as_it_was_written(tmp_path, kind):
    array = np.arange(6).reshape(2, 3).astype(kind)
    write_hdf5(tmp_path / "a.h5", "order", array)
    found = read_hdf5(tmp_path / "a.h5", "order")
    assert found.dtype == array.dtype and np.array_equal(found, array)


def test_the_published_files_are_read(shared):
    folder = shared / "ave"
    if not folder.is_dir():
        pytest.skip(f"no annotation of AVE at {folder}")
    assert read_hdf5(folder / "train_order.h5", "order")[:6].tolist() == [40, 30, 69, 91, 90, 120]
    assert read_hdf5(folder / "labels_noisy.h5", "avadataset")[:, 28].all()
    assert read_hdf5(folder / "mil_labels.h5", "avadataset").shape == (4143, 29)


@pytest.mark.parametrize(("change", "message"), [
    ({"more": bytes(8)}, "'order' is compressed, which is not read here; write it anew, uncompressed"),
    ({"layout": b"\3\2"}, "'order' lies in chunks or is of another form"),
    ({"name": "labels"}, "expected an array 'order', found 'labels'"),
])  # fmt: skip
def test_other_forms_are_refused_by_name(tmp_path, change, message):
    write_hdf5(tmp_path / "a.h5", **{"name": "order", "array": np.arange(3), **change})
    with pytest.raises(ValueError, match=message):
        read_hdf5(tmp_path / "a.h5", "order")


def test_what_is_no_hdf5_is_said(tmp_path):
    (tmp_path / "a.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="expected an HDF5 file, got something else; was it fetched from Git LFS"):
        read_hdf5(tmp_path / "a.h5", "order")
    with pytest.raises(FileNotFoundError, match=r"b\.h5: no such file"):
        read_hdf5(tmp_path / "b.h5", "order")


def test_a_file_cut_off_or_mangled_anywhere_is_refused_or_read(tmp_path):
    path = tmp_path / "a.h5"
    write_hdf5(path, "order", np.arange(3))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.h5"):
            read_hdf5(path, "order")
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        try:
            read_hdf5(path, "order")
        except ValueError as error:
            assert str(path) in str(error)
