"""The done-marker: guarded by its checksum, read once, and of the older version without one still read."""

import hashlib
import json
import logging

import pytest

from label_harvest import markers
from label_harvest.markers import Markers, NewerMarkerError, known_clips, read_json, read_marker, read_marker_rows
from tests.toy_store import age_marker, row_of, write_toy_store

ROWS = [row_of("a"), row_of("b", "no_audio"), row_of("c")]


@pytest.fixture
def folder(tmp_path):
    return write_toy_store(tmp_path / "store", {0: ROWS, 1: [row_of("d")], 12: [row_of("e")]})


def test_what_is_written_is_read_and_what_a_run_keeps_of_it_is_little(folder):
    marker, rows = read_marker_rows(folder / "00000.json")
    assert rows == ROWS and [clip.clip_id for clip in marker.clips] == ["a", "b", "c"]
    assert (marker.clips[1].status, marker.clips[1].message, marker.clips[1].tags) == ("no_audio", "said why", ("Cat",))
    assert [clip.file_bytes for clip in marker.clips] == [100, 100, 100]
    assert marker.clips[0].tags is marker.clips[1].tags and not hasattr(marker.clips[0], "provenance")


def test_the_checksum_is_the_sha256_of_the_marker_with_zeros_in_its_place(folder):
    text = (folder / "00000.json").read_text()
    checksum = json.loads(text)["checksum"]
    assert hashlib.sha256(text.replace(checksum, "0" * 64).encode()).hexdigest() == checksum
    assert read_marker(folder / "00000.json").checksum == checksum


def test_a_change_of_any_byte_is_found(folder):
    path = folder / "00000.json"
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
def test_rows_that_were_edited_are_found(folder, edit):
    path = folder / "00000.json"
    content = json.loads(path.read_text())
    edit(content["rows"])
    path.write_bytes(markers.to_json(content))
    with pytest.raises(ValueError, match=r"not as it was written \(its checksum differs\), so its clips may be"):
        read_marker(path)


def test_the_version_before_checksums_is_read_and_no_other_does_without(folder):
    age_marker(folder / "00000.json")
    assert read_marker(folder / "00000.json").checksum is None
    content = json.loads((folder / "00000.json").read_text())
    (folder / "00000.json").write_bytes(markers.to_json({**content, "format": 3}))
    with pytest.raises(ValueError, match="it has no checksum"):
        read_marker(folder / "00000.json")


def test_a_newer_marker_is_never_taken_for_damage(folder):
    content = json.loads((folder / "00000.json").read_text())
    (folder / "00000.json").write_bytes(markers.to_json({**content, "format": 4}))
    with pytest.raises(NewerMarkerError, match=r"written by a newer version of this program \(4\)"):
        Markers(folder).read()


def test_each_marker_is_read_once_while_it_stays_what_it_is(folder, monkeypatch, caplog):
    (folder / "00012.json").write_text("{}")
    asked = []
    monkeypatch.setattr(markers, "read_marker", lambda path: asked.append(path.stem) or read_marker(path))
    there = Markers(folder)
    assert [clip.clip_id for clip in known_clips(there.read())] == ["a", "b", "c", "d"]
    assert there.read() == there.read() and asked == ["00000", "00001", "00012"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    write_toy_store(folder.parent, {1: [row_of("x")], 2: [row_of("y")]})
    (folder / "00000.json").unlink()
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
