"""One shard: only what is asked for is read, arrays say whose they are, and rows and arrays of two kinds never pass."""

import json

import numpy as np
import pytest

from label_harvest.markers import read_markers, to_json
from label_harvest.shards import held_arrays, read_shard, seal_marker, unclaimed_arrays
from tests.toy_store import age_marker, age_shard, arrays_of, row_of, write_toy_store

ROWS = [row_of("a"), row_of("b", "no_audio"), row_of("c")]
NAMES = ["audio.embedding", "audio.similarity", "visual.embedding", "visual.similarity"]


@pytest.fixture
def folder(tmp_path):
    return write_toy_store(tmp_path / "store", {0: ROWS, 1: [row_of("d")]})


def spoil(folder, name):
    """Change the last byte of one array; its header says where that is."""
    path = folder / "00000.safetensors"
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[:8], "little")
    data[8 + length + json.loads(data[8 : 8 + length])[name]["data_offsets"][1] - 1] ^= 1
    path.write_bytes(data)


def test_some_arrays_are_read_without_the_others(folder):
    rows, arrays = read_shard(folder, 0, ["audio.similarity", "fused.similarity"])
    assert rows == ROWS and set(arrays) == {"audio.similarity"}
    np.testing.assert_array_equal(arrays["audio.similarity"], arrays_of(ROWS)["audio.similarity"])
    assert read_shard(folder, 0, []) == (ROWS, {})
    assert list(held_arrays(folder, 0)) == NAMES == sorted(read_shard(folder, 0)[1])


def test_the_bytes_of_what_is_asked_for_are_checked_and_no_others_are_touched(folder):
    spoil(folder, "visual.embedding")
    assert set(read_shard(folder, 0, ["audio.similarity"])[1]) == {"audio.similarity"}
    for names in (None, ["visual.embedding"], ["audio.similarity", "visual.embedding"]):
        with pytest.raises(ValueError, match="00000.safetensors: its bytes are not those of its done-marker"):
            read_shard(folder, 0, names)


@pytest.mark.parametrize("names", [["audio.similarity"], [], None])
@pytest.mark.parametrize("size", [0, 5, 200])
def test_a_torn_file_is_refused_whatever_is_asked_for(folder, names, size):
    path = folder / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match="its bytes are not those of its done-marker"):
        read_shard(folder, 0, names)


def test_arrays_of_other_clips_are_refused(folder):
    """Somebody gave the marker of a shard to another one and made its checksums anew."""
    for suffix in (".json", ".safetensors"):
        (folder / f"00000{suffix}").replace(folder / f"00003{suffix}")
    age_marker(folder / "00003.json")
    content = json.loads((folder / "00003.json").read_text())
    content["rows"][0]["clip_id"], content["rows"][2]["clip_id"] = "c", "a"
    (folder / "00003.json").write_bytes(to_json(content))
    for names in (None, ["audio.similarity"]):
        with pytest.raises(ValueError, match="00003.safetensors: its arrays are of other clips than its done-marker"):
            read_shard(folder, 3, names)


def test_rows_and_arrays_of_an_older_shard_must_be_as_many(folder):
    age_shard(folder, 0)
    assert read_shard(folder, 0, ["audio.similarity"])[0] == ROWS
    content = json.loads((folder / "00000.json").read_text())
    del content["rows"][1]
    (folder / "00000.json").write_bytes(to_json(content))
    with pytest.raises(ValueError, match=r"must have one row for each of the 2 clips of its done-marker, got \[3, 3, "):
        read_shard(folder, 0)


def test_an_older_marker_gets_its_checksum(folder):
    before = (folder / "00000.json").read_bytes()
    age_marker(folder / "00000.json")
    assert (folder / "00000.json").read_bytes() != before
    seal_marker(folder, 0)
    assert (folder / "00000.json").read_bytes() == before


def test_arrays_without_a_marker_say_whose_they_are(folder):
    for index in (0, 1):
        (folder / f"{index:05d}.json").unlink()
    age_shard(folder, 1)
    (folder / "00002.safetensors").write_bytes(b"no arrays at all")
    (folder / "00003.safetensors").write_bytes(b"")
    assert unclaimed_arrays(folder, read_markers(folder)) == {0: ("a", "b", "c"), 1: None}
    path = folder / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    assert unclaimed_arrays(folder, {})[0] == ("a", "b", "c")
