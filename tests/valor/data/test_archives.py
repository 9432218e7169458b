"""Arrays from elsewhere: read whole, or refused in one sentence and without memory for what they claim."""

import io
import zipfile

import numpy as np
import pytest

from valor.data.archives import read_npy, read_npz

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_arrays_are_read_as_they_were_written(tmp_path):
    for array in (ARRAY, ARRAY.T, np.zeros((0, 3)), np.array(1.5), np.array(["a", "bc"]), ARRAY.astype(">f8")):
        np.save(tmp_path / "a.npy", array)
        np.savez_compressed(tmp_path / "a.npz", one=array, other=array)
        for found in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", ("one", "none"))["one"]):
            assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    assert read_npz(tmp_path / "a.npz", ("none",)) == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (header((1 << 24, 1 << 24)), r"it has 128 bytes and claims 1,125,899,906,842,752"),
        (header((2, 3)) + b"abc", "it has 131 bytes and claims 152"),
        (header((2, 3)) + bytes(25), "it has 153 bytes and claims 152"),
        (header((1,), "|O") + b"cos\nsystem\n", "it holds Python objects or is no .npy file"),
        (b"\x93NUMPY\x03\x00" + header((2, 3))[8:], r"it is a .npy file of version \(3, 0\)"),
        (b"", "it holds Python objects or is no .npy file"),
        (b"<html></html>", "it holds Python objects or is no .npy file"),
    ],
)
def test_what_is_no_whole_array_is_refused(tmp_path, content, fault):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=fault):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=fault):
        read_npz(tmp_path / "a.npz", ("a",))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_none_or_hold_a_name_twice_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=ARRAY)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("a.npy", header((0,)))
    with pytest.raises(ValueError, match="two arrays of it have one name"):
        read_npz(tmp_path / "a.npz", ("a",))
    (tmp_path / "a.npz").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="not a zip file"):
        read_npz(tmp_path / "a.npz", ("a",))
    for read in (read_npy, lambda path: read_npz(path, ("a",))):
        with pytest.raises(FileNotFoundError, match="none: no such file"):
            read(tmp_path / "none")
