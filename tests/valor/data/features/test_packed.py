"""Features written block by block: the bytes are those of the library, and damage leaves nothing behind.

The packed store: what goes in comes out, half a file is never taken for one, and the parser's data come from it.
"""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.toy_features import toy_split
from valor.data.features.feature_options import FeatureOptions
from valor.data.features.packed import (
    PackedCard,
    is_packed,
    packed_cards,
    read_packed,
    read_packed_card,
    read_packed_features,
    write_packed,
    write_packed_blocks,
)
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split

SPLIT = toy_split(4)


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


def card(split: Split = SPLIT, *, dtype: str = "float32", kind: str = "vggish", width: int = 128) -> PackedCard:
    return PackedCard(
        kind=kind,
        split=split.name,
        clip_ids=split.clip_ids,
        dtype=dtype,
        shape=(len(split.clip_ids), 10, width),
        source="/somewhere/feats/vggish",
        source_shape=(10, width),
        exact=dtype == "float32",
    )


def features(*, dtype: torch.dtype = torch.float32, clips: int = 4, width: int = 128) -> torch.Tensor:
    return torch.randn(clips, 10, width, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, dtype):
    values = features(dtype=getattr(torch, dtype))
    written = write_packed(tmp_path, values, card(dtype=dtype))
    read, described = read_packed(tmp_path, "vggish", "train")
    assert read.dtype == values.dtype and torch.equal(read, values)
    assert described == written and len(written.sha256) == 64
    assert packed_cards(tmp_path, ("train", "val")) == [written]


def test_the_card_is_readable_json_and_nothing_else_lies_about(tmp_path):
    write_packed(tmp_path, features(), card())
    assert sorted(os.listdir(tmp_path / "packed")) == ["vggish.train.json", "vggish.train.safetensors"]
    values = json.loads((tmp_path / "packed/vggish.train.json").read_text())
    assert values["clip_ids"] == list(SPLIT.clip_ids) and values["shape"] == [4, 10, 128]
    assert (values["kind"], values["dtype"], values["source_shape"], values["exact"]) == (
        "vggish", "float32", [10, 128], True)  # fmt: skip


def test_the_file_is_mapped_and_writing_to_the_tensor_does_not_reach_it(tmp_path):
    write_packed(tmp_path, features(), card())
    first, _ = read_packed(tmp_path, "vggish", "train")
    first.zero_()
    assert torch.equal(read_packed(tmp_path, "vggish", "train")[0], features())


def test_rows_follow_the_split_and_missing_clips_are_named(tmp_path):
    write_packed(tmp_path, features(), card())
    same = read_packed_features(tmp_path, "vggish", SPLIT)
    assert same.missing == () and torch.equal(same.tensor, features())
    other = replace(SPLIT, clip_ids=(SPLIT.clip_ids[2], "unknown-----_0_10", SPLIT.clip_ids[0]))
    found = read_packed_features(tmp_path, "vggish", other)
    assert found.missing == ("unknown-----_0_10",)
    assert torch.equal(found.tensor[[0, 2]], features()[[2, 0]]) and not found.tensor[1].any()


def test_clip_sets_are_read_from_the_store_where_there_is_one(tmp_path):
    for kind, width in (("vggish", 128), ("clip", 768), ("r2plus1d", 512)):
        write_packed(tmp_path, features(width=width), card(kind=kind, width=width))
    options = FeatureOptions(audio="vggish", visual="clip", motion="r2plus1d")
    clips = read_clip_set(tmp_path, SPLIT, options)
    assert torch.equal(clips.audio, features()) and clips.widths()["visual_width"] == 768
    half = read_clip_set(tmp_path, SPLIT, replace(options, precision="float16"))
    assert half.audio.dtype == torch.float16
    wider = replace(
        SPLIT, clip_ids=(*SPLIT.clip_ids, "another-----_0_10"), weak_labels=SPLIT.weak_labels[[0, 1, 2, 3, 0]]
    )
    with pytest.raises(ValueError, match=r"vggish\.train\.safetensors has no vggish features for 1 clip \(another"):
        read_clip_set(tmp_path, wider, options)


def test_other_splits_are_still_read_from_the_files(tmp_path):
    write_packed(tmp_path, features(), card())
    with pytest.raises(FileNotFoundError, match="feats/vggish: no such folder"):
        read_clip_set(tmp_path, replace(SPLIT, name="val"), FeatureOptions())


@pytest.mark.parametrize("damage", ["cut", "changed", "other", "gone"])
def test_a_file_that_is_not_the_one_that_was_written_is_refused(tmp_path, damage):
    write_packed(tmp_path, features(), card())
    path = tmp_path / "packed/vggish.train.safetensors"
    contents = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(contents[:-1])
    elif damage == "changed":
        contents[-1] ^= 1
        path.write_bytes(contents)
    elif damage == "other":
        path.write_bytes(b"not a store")
    else:
        path.unlink()
    message = r"vggish\.train\.safetensors: .*run `valor import features` again"
    with pytest.raises(ValueError, match=message):
        read_packed(tmp_path, "vggish", "train")
    if damage in ("cut", "other"):
        with pytest.raises(ValueError, match=message):
            read_packed(tmp_path, "vggish", "train", verify=False)


@pytest.mark.parametrize(("change", "message"), [
    ({"format": 9}, "of another format than 1"),
    ({"split": "val"}, "of another kind or split than its name"),
    ({"clip_ids": ["a", "a", "b", "c"]}, "clip_ids must be unique"),
    ({"dtype": "float64"}, "holds one of vggish"),
    ({"surprise": 1}, "unexpected keyword argument"),
    (None, "Expecting property name"),
])  # fmt: skip
def test_a_damaged_card_is_refused(tmp_path, change, message):
    write_packed(tmp_path, features(), card())
    path = tmp_path / "packed/vggish.train.json"
    values = json.loads(path.read_text())
    path.write_text("{" if change is None else json.dumps({**values, **change}))
    with pytest.raises(ValueError, match=rf"vggish\.train\.json: expected the card .*{message}.*delete it and run"):
        read_packed_card(tmp_path, "vggish", "train")


def test_a_write_that_dies_between_its_two_files_leaves_nothing_to_mistake(tmp_path, monkeypatch):
    write_packed(tmp_path, features(), card())
    monkeypatch.setattr("valor.data.features.packed.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_packed(tmp_path, features() + 1, card())
    assert not is_packed(tmp_path, "vggish", "train")
    with pytest.raises(FileNotFoundError, match="no packed vggish features of train; `valor import features`"):
        read_packed(tmp_path, "vggish", "train")


def test_numbers_beyond_float16_are_refused(tmp_path):
    values = features()
    values[1, 2, 3] = 1e6
    message = rf"beyond what float16 can, in 1 clip \({SPLIT.clip_ids[1]}\); pack with precision='float32'"
    with pytest.raises(ValueError, match=message):
        write_packed(tmp_path, values.half(), card(dtype="float16"))
    assert not (tmp_path / "packed").exists()
    write_packed(tmp_path, values, card())


def test_features_must_be_what_their_card_says(tmp_path):
    with pytest.raises(ValueError, match=r"must be float32 \[4, 10, 128\] as their card says, got torch.float16"):
        write_packed(tmp_path, features(dtype=torch.float16), card())
    with pytest.raises(ValueError, match=r"got torch.float32 \[3, 10, 128\]"):
        write_packed(tmp_path, features(clips=3), card())


def test_half_precision_is_close(tmp_path):
    write_packed(tmp_path, features().half(), card(dtype="float16"))
    read = read_packed(tmp_path, "vggish", "train")[0].float()
    assert np.allclose(read, features(), rtol=1e-3, atol=1e-6)
