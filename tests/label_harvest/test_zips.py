"""ZIP archives from elsewhere: whatever bytes of their directory and heads say, every reader answers or refuses."""

import io
import zipfile

import numpy as np
import pytest
import torch

from valor.data.features.archives import unpack
from valor.data.predictions import read_predictions
from valor.label_harvest.arrays import npz_names, read_npz
from valor.label_harvest.teachers.weights import read_state

READERS = {
    "arrays.npz": lambda path, _: read_npz(path, ("a", "b")),
    "predictions.npz": lambda path, _: read_predictions(path),
    "weights.pt": lambda path, _: read_state(path),
    "features.zip": lambda path, folder: unpack(path, folder / "out", lambda _: True),
}


def archive_of(name, path):
    if name == "weights.pt":
        torch.save({"a": torch.ones(2)}, path)
    else:
        np.savez(path.with_suffix(".npz"), a=np.arange(3), b=np.arange(4))
        path.with_suffix(".npz").rename(path)
    return path.read_bytes()


def changes(whole):
    """The archive with one byte of its heads, its directory or its end changed, three ways each."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        head = archive.infolist()[0].header_offset
        directory = range(archive.start_dir, archive.start_dir + 60)
    for place in (*range(head, head + 34), *directory, *range(len(whole) - 22, len(whole))):
        for flip in (0x01, 0x40, 0xFF):
            yield whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :]


@pytest.mark.parametrize("name", READERS)
def test_every_byte_of_a_directory_may_be_wrong(tmp_path, name):
    path = tmp_path / name
    whole = archive_of(name, path)
    refused = 0
    for change in changes(whole):
        path.write_bytes(change)
        try:
            READERS[name](path, tmp_path)
        except ValueError as error:
            refused += 1
            assert name in str(error) or name == "arrays.npz", error
    assert refused > 50


def test_a_part_that_begins_beyond_the_file_is_damage(tmp_path):
    whole = archive_of("a.npz", tmp_path / "a.npz")
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        place = archive.start_dir + 42  # of the offset of the first head
    for offset in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"):
        (tmp_path / "a.npz").write_bytes(whole[:place] + offset + whole[place + 4 :])
        with pytest.raises(ValueError, match="begins outside of the file|Corrupt"):
            read_npz(tmp_path / "a.npz", ("a",))
        with pytest.raises(zipfile.BadZipFile):
            npz_names(tmp_path / "a.npz")
