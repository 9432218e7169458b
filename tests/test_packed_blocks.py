"""Features written block by block: the bytes are those of the library, and damage leaves nothing behind."""

import os

import pytest
import torch
from safetensors.torch import save_file

from tests.test_packed_store import SPLIT, card, features
from valor.packed_store import read_packed, write_packed, write_packed_blocks


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_blocks_make_the_file_the_library_reads(tmp_path, dtype):
    values = features(dtype=getattr(torch, dtype))
    in_blocks = write_packed_blocks(tmp_path / "a", iter(values.split(3)), card(dtype=dtype))
    at_once = write_packed(tmp_path / "b", values, card(dtype=dtype))
    assert in_blocks == at_once
    assert torch.equal(read_packed(tmp_path / "a", "vggish", "train")[0], values)
    save_file({"features": values}, tmp_path / "library.safetensors")
    ours = (tmp_path / "a" / "packed" / "vggish.train.safetensors").read_bytes()
    assert ours == (tmp_path / "library.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda blocks: blocks[:-1], "must hold 4 clips, got 3"),
        (lambda blocks: [*blocks, blocks[0]], "must hold 4 clips, got 7"),
        (lambda blocks: [blocks[0], blocks[1].half()], "a block of vggish features must be float32"),
        (lambda blocks: [blocks[0], blocks[1][:, :9]], r"must be float32 \[n, 10, 128\]"),
        (
            lambda blocks: [blocks[0], blocks[1] / 0],
            rf"beyond what float32 can, in 1 clip \({SPLIT.clip_ids[3]}\); extract these clips again",
        ),
    ],
)
def test_blocks_that_do_not_fit_leave_nothing(tmp_path, spoil, message):
    with pytest.raises(ValueError, match=message):
        write_packed_blocks(tmp_path, spoil(list(features().split(3))), card())
    assert os.listdir(tmp_path / "packed") == []
