"""One shard: only what is asked for is read, arrays say whose they are, and rows and arrays of two kinds never pass.

The done-marker: guarded by its checksum, read once, and of the older version without one still read.
"""

import hashlib
import json
import logging

import numpy as np
import pytest

from tests.helpers.toy_store import age_marker, age_shard, arrays_of, row_of, write_toy_store
from valor.label_harvest.store import shards as markers
from valor.label_harvest.store.shards import (
    Markers,
    NewerMarkerError,
    _clips_of,
    held_arrays,
    known_clips,
    read_json,
    read_marker,
    read_marker_rows,
    read_markers,
    read_shard,
    seal_marker,
    to_json,
    unclaimed_arrays,
)

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
    with pytest.raises(ValueError, match=r"must have the 2 rows of the clips of its done-marker, got \[3, 3, "):
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


ROWS_markers = [row_of("a"), row_of("b", "no_audio"), row_of("c")]


@pytest.fixture
def folder_markers(tmp_path):
    return write_toy_store(tmp_path / "store", {0: ROWS_markers, 1: [row_of("d")], 12: [row_of("e")]})


def test_what_is_written_is_read_and_what_a_run_keeps_of_it_is_little(folder_markers):
    marker, rows = read_marker_rows(folder_markers / "00000.json")
    assert rows == ROWS_markers and [clip.clip_id for clip in marker.clips] == ["a", "b", "c"]
    assert (marker.clips[1].status, marker.clips[1].message, marker.clips[1].tags) == ("no_audio", "said why", ("Cat",))
    assert [clip.file_bytes for clip in marker.clips] == [100, 100, 100]
    assert marker.clips[0].tags is marker.clips[1].tags and not hasattr(marker.clips[0], "provenance")


def test_the_checksum_is_the_sha256_of_the_marker_with_zeros_in_its_place(folder_markers):
    text = (folder_markers / "00000.json").read_text()
    checksum = json.loads(text)["checksum"]
    assert hashlib.sha256(text.replace(checksum, "0" * 64).encode()).hexdigest() == checksum
    assert read_marker(folder_markers / "00000.json").checksum == checksum


def test_a_change_of_any_byte_is_found(folder_markers):
    path = folder_markers / "00000.json"
    written = path.read_bytes()
    for place in range(0, len(written), 7):
        path.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        with pytest.raises(ValueError, match=r"00000\.json: "):
            read_marker(path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows: rows[0].update(clip_id="c") or rows[2].update(clip_id="a"),
        lambda rows: rows[0].update(status="still"),
        lambda rows: rows.pop(1),
        lambda rows: rows[0].update(tags=["Dog"]),
        lambda rows: rows[0]["provenance"].update(file_bytes=1),
    ],
    ids=["swapped", "status", "dropped", "tags", "provenance"],
)
def test_rows_that_were_edited_are_found(folder_markers, edit):
    path = folder_markers / "00000.json"
    content = json.loads(path.read_text())
    edit(content["rows"])
    path.write_bytes(markers.to_json(content))
    with pytest.raises(ValueError, match=r"not as it was written \(its checksum differs\), so its clips may be"):
        read_marker(path)


def test_the_version_before_checksums_is_read_and_no_other_does_without(folder_markers):
    age_marker(folder_markers / "00000.json")
    assert read_marker(folder_markers / "00000.json").checksum is None
    content = json.loads((folder_markers / "00000.json").read_text())
    (folder_markers / "00000.json").write_bytes(markers.to_json({**content, "format": 3}))
    with pytest.raises(ValueError, match="it has no checksum"):
        read_marker(folder_markers / "00000.json")


def test_a_newer_marker_is_never_taken_for_damage(folder_markers):
    content = json.loads((folder_markers / "00000.json").read_text())
    (folder_markers / "00000.json").write_bytes(markers.to_json({**content, "format": 5}))
    with pytest.raises(NewerMarkerError, match=r"written by a newer version of this program \(5\)"):
        Markers(folder_markers).read()


def test_each_marker_is_read_once_while_it_stays_what_it_is(folder_markers, monkeypatch, caplog):
    (folder_markers / "00012.json").write_text("{}")
    asked = []
    monkeypatch.setattr(markers, "read_marker", lambda path: asked.append(path.stem) or read_marker(path))
    there = Markers(folder_markers)
    assert [clip.clip_id for clip in known_clips(there.read())] == ["a", "b", "c", "d"]
    assert there.read() == there.read() and asked == ["00000", "00001", "00012"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    for index, clip in ((1, "x"), (2, "y")):
        markers.write_shard(folder_markers, index, arrays_of([row_of(clip)]), [row_of(clip)])
    (folder_markers / "00000.json").unlink()
    assert [clip.clip_id for clip in known_clips(there.read())] == ["x", "y"]
    assert asked[3:] == ["00001", "00002"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("[]", "expected a JSON object, got list"), ("{", "cannot be read"), ("[" * 100_000, "cannot be read")],
)
def test_what_is_no_object_is_said(tmp_path, text, told):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=rf"manifest\.json: {told}"):
        read_json(tmp_path / "manifest.json")
    with pytest.raises(ValueError, match="absent.json: cannot be read"):
        read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("held", [{}, [], 1, "x", '{"a": 1}', "[1]"])
def test_metadata_that_names_no_clips_names_nobody(held):
    assert _clips_of({"clip_ids": held}) == ()
    assert _clips_of({"clip_ids": '["a"]'}) == ("a",) and _clips_of({}) is _clips_of(held) is None
