"""What is wrong with a store is found, each kind of it, and a repair leaves a store that can be read.

Several stores become one: the same bytes as of one run where they are its shares, and no clip lost or doubled.
"""

import dataclasses
import json

import numpy as np
import pytest

from tests.helpers.toy import write_toy_world
from tests.helpers.toy_harvest import OPTIONS, digests, toy_harvest
from tests.helpers.toy_store import age_marker, arrays_of, row_of, write_toy_store
from valor.label_harvest.store.check import merge_stores, repair_store, verify_store
from valor.label_harvest.store.shards import to_json, write_shard
from valor.label_harvest.store.share import Share
from valor.label_harvest.store.store import read_store

FIRST = [row_of("a"), row_of("b", "no_audio"), row_of("c", "no_video")]
SECOND = [row_of("d"), row_of("e", "missing"), row_of("f", "still")]


@pytest.fixture
def folder(tmp_path):
    return write_toy_store(tmp_path / "store", {0: FIRST, 1: SECOND})


def problems(folder):
    return verify_store(folder).problems


def test_a_whole_store_has_no_problems(folder):
    check = verify_store(folder.parent)
    assert (check.folder, check.shards, check.clips, check.problems, check.notes) == (folder, 2, 6, (), ())


def test_a_shard_in_which_all_failed_is_whole(tmp_path):
    rows = [row_of("a", "missing"), row_of("b", "timeout"), row_of("c", "undecodable")]
    assert problems(write_toy_store(tmp_path, {0: rows})) == ()


def spoilt(folder, position=0, rows=None, **changes):
    """Rewrite the first shard with something else in it, its checksum right."""
    rows = rows or FIRST
    arrays = arrays_of(rows)
    for name, change in changes.items():
        change(arrays, name.replace("_", "."))
    write_shard(folder, position, arrays, rows)
    return problems(folder)


def setting(where, value):
    return lambda arrays, name: arrays[name].__setitem__(where, value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"audio_similarity": setting(1, 0.5)}, "b: audio.similarity is there although the clip is no_audio"),
        ({"visual_embedding": setting((2, 0), 0.5)}, "c: visual.embedding is there although the clip is no_video"),
        ({"audio_similarity": setting((0, 1), np.nan)}, "a: audio.similarity is absent although the clip is ok"),
        ({"visual_similarity": setting((0, 1, 0), np.nan)}, "a: visual.similarity is absent in part of a segment"),
        ({"audio_embedding": setting((0, 1, 0), np.inf)}, "a: audio.embedding is infinite"),
        (
            {"audio_similarity": lambda arrays, name: arrays.pop(name)},
            "audio.similarity must be float32 [3, 3, 2], got none",
        ),
        (
            {"audio_similarity": lambda arrays, name: arrays.update({name: arrays[name][:, :2]})},
            "audio.similarity must be float32 [3, 3, 2], got float32 [3, 2, 2]",
        ),
        (
            {"fused_map": lambda arrays, name: arrays.update({name: np.zeros((3, 2, 2))})},
            "fused.map must be an array of a teacher with 3 rows, got float64 [3, 2, 2]",
        ),
    ],
)
def test_arrays_that_contradict_their_rows_are_found(folder, changes, told):
    assert spoilt(folder, **changes) == (f"00000: {told}",)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"status": "fine"}, "a has the unknown status 'fine'"),
        ({"tags": ("Cat", "Cow")}, "a has the unknown tags ['Cow']"),
        ({"clip_id": "b"}, "a clip occurs twice"),
        ({"clip_id": "d"}, None),
    ],
)
def test_rows_that_contradict_the_manifest_are_found(folder, row, told):
    found = spoilt(folder, rows=[dataclasses.replace(FIRST[0], **row), *FIRST[1:]])
    assert found[0] == (f"00000: {told}" if told else "00001: 1 clips are in another shard too, such as d")


def test_wrong_bytes_and_wrong_lists_are_found(folder):
    (folder / "failures.csv").write_text("clip_id,status,message\n")
    assert problems(folder) == (
        "failures.csv: is not the list of the failed clips; run the harvest to its end, or repair",
    )
    path = folder / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (folder / "00000.json").write_text("{}")
    assert len(problems(folder)) == 2
    assert "00000.json: no done-marker of a shard" in problems(folder)[0]
    assert "00001.safetensors: its bytes are not those of its done-marker" in problems(folder)[1]


def test_what_was_interrupted_is_noted_and_no_problem(folder):
    for name in (".00002.json.host-1.tmp", ".00000.json.next", "00002.safetensors"):
        (folder / name).write_bytes((folder / "00001.json").read_bytes() if name.endswith("next") else b"half")
    check = verify_store(folder)
    assert check.problems == () and len(check.notes) == 3


def test_an_edited_manifest_is_refused_and_nothing_is_touched(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["class_names"] = ["Dog", "Cow"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = digests(folder)
    for use in (verify_store, repair_store):
        with pytest.raises(ValueError, match=r"manifest.json does not match its fingerprint"):
            use(folder)
    assert digests(folder) == before


def edited(path, edit):
    content = json.loads(path.read_text())
    edit(content["rows"])
    path.write_bytes(to_json(content))


@pytest.mark.parametrize(
    "edit",
    [
        lambda rows: rows[0].update(clip_id="f") or rows[2].update(clip_id="d"),
        lambda rows: rows[0].update(status="still"),
        lambda rows: rows.pop(0),
    ],
    ids=["swapped", "status", "dropped"],
)
def test_rows_that_were_edited_are_found_and_set_aside(folder, edit):
    edited(folder / "00001.json", edit)
    (problem,) = problems(folder)
    assert "00001.json: the done-marker is not as it was written" in problem
    assert repair_store(folder)[0].startswith("00001: moved to damaged/")
    assert problems(folder) == () and read_store(folder).clip_ids == ("a", "b", "c")


def test_markers_without_checksum_are_noted_until_a_repair(folder):
    whole = digests(folder)
    for name in ("00000.json", "00001.json"):
        age_marker(folder / name)
    check = verify_store(folder)
    assert check.problems == () and check.clips == 6
    assert check.notes[0].startswith("2 markers without checksum, such as 00000: whether their rows are as they were")
    assert read_store(folder).clip_ids == tuple("abcdef")
    assert repair_store(folder) == tuple(f"0000{n}: its marker got the checksum it lacked" for n in (0, 1))
    assert digests(folder) == whole and verify_store(folder).notes == ()


def test_a_newer_store_is_left_alone(folder):
    edited(folder / "00001.json", lambda rows: None)
    content = json.loads((folder / "00001.json").read_text())
    (folder / "00001.json").write_bytes(to_json({**content, "format": 9}))
    before = digests(folder)
    with pytest.raises(ValueError, match="newer version of this program"):
        repair_store(folder)
    assert digests(folder) == before


def test_a_whole_store_needs_no_repair(folder):
    before = digests(folder)
    assert repair_store(folder) == ()
    assert digests(folder) == before


def test_a_repair_sets_damage_aside_and_deletes_nothing(folder):
    path = folder / "00000.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    torn = path.read_bytes()
    (folder / ".00009.json.host-1.tmp").touch()
    done = repair_store(folder.parent)
    names = [line.partition(":")[0] for line in done]
    assert names == [".00009.json.host-1.tmp", "00000", "failures.csv", "shards.json"]
    assert done[-1] == "shards.json: made anew, without 00000 (3 clips); harvest their clips again"
    assert (folder / "damaged" / "00000.0.safetensors").read_bytes() == torn
    assert (folder / "damaged" / "00000.0.json").is_file()
    assert verify_store(folder).problems == () and read_store(folder).clip_ids == ("d", "e", "f")
    write_shard(folder, 0, arrays_of(FIRST), FIRST)
    (folder / "00000.safetensors").unlink()
    repair_store(folder)
    assert (folder / "damaged" / "00000.1.json").is_file() and (folder / "damaged" / "00000.0.json").is_file()


def test_a_repair_takes_out_evidence_that_contradicts_its_rows(folder):
    spoilt(folder, audio_similarity=setting(1, 0.5))
    assert "b: audio.similarity is there although the clip is no_audio" in repair_store(folder)[0]
    assert verify_store(folder).problems == ()


ROWS = {name: row_of(name, "missing" if name == "c" else "ok") for name in "abcdefgh"}


def rows(names: str) -> list:
    return [ROWS[name] for name in names]


@pytest.mark.parametrize("order", [(1, 2, 3), (2, 3, 1)])
def test_shares_on_disks_of_their_own_become_the_store_of_one_run(tmp_path, order):
    clips = tuple("abcdefghij")
    videos = write_toy_world(tmp_path / "videos", clips[:-1], seconds=2.0)
    toy_harvest(clips, videos, tmp_path / "one")
    for index in order:
        options = dataclasses.replace(OPTIONS, share=Share(index, 3))
        toy_harvest(clips, videos, tmp_path / f"share{index}", options=options)
    merged = merge_stores([tmp_path / f"share{index}" for index in order], tmp_path / "union")
    assert (merged.shards, merged.clips, merged.repeated) == (3, 10, 0)
    assert digests(tmp_path / "union") == digests(tmp_path / "one")
    again = merge_stores([tmp_path / f"share{index}" for index in order], tmp_path / "union")
    assert again.repeated == 10 and digests(tmp_path / "union") == digests(tmp_path / "one")


def test_stores_of_different_manifests_get_new_numbers(tmp_path):
    write_toy_store(tmp_path / "one", {0: rows("ab"), 1: rows("c")})
    write_toy_store(tmp_path / "two", {0: rows("de"), 4: rows("f")})
    merged = merge_stores([tmp_path / "one", tmp_path / "two"], tmp_path / "union")
    assert (merged.shards, merged.clips) == (4, 6)
    assert read_store(merged.folder).clip_ids == tuple("abcdef"[n] for n in (0, 1, 2, 3, 4, 5))
    assert sorted(path.stem for path in merged.folder.glob("0*.json")) == ["00000", "00001", "00002", "00004"]
    assert verify_store(merged.folder).problems == ()


def test_clips_in_several_stores_are_kept_once(tmp_path):
    write_toy_store(tmp_path / "one", {0: rows("ab"), 1: rows("cd")})
    write_toy_store(tmp_path / "two", {0: rows("be"), 1: rows("cd")})
    merged = merge_stores([tmp_path / "one", tmp_path / "two"], tmp_path / "union")
    assert (merged.clips, merged.repeated) == (5, 3)
    assert read_store(merged.folder).clip_ids == tuple("abcde")
    write_toy_store(tmp_path / "expected", {0: rows("ab"), 1: rows("cd"), 2: rows("e")})
    assert digests(tmp_path / "union") == digests(tmp_path / "expected")


def test_arrays_of_the_target_that_lost_their_marker_are_not_overwritten(tmp_path):
    target = write_toy_store(tmp_path / "union", {0: rows("ab"), 1: rows("cd")})
    lost = (target / "00000.safetensors").read_bytes()
    (target / "00000.json").unlink()
    write_toy_store(tmp_path / "one", {0: rows("ef")})
    merge_stores([tmp_path / "one"], tmp_path / "union")
    assert (target / "00000.safetensors").read_bytes() == lost
    (missing,) = verify_store(target).problems
    assert "1 shards are gone or have lost their marker, such as 00000 (2 clips)" in missing
    write_toy_store(tmp_path / "three", {1: rows("gh"), 2: rows("ab")})
    merge_stores([tmp_path / "three"], tmp_path / "union")
    assert read_store(target).clip_ids == tuple("abcdefgh")
    assert sorted(path.stem for path in target.glob("0*.json")) == ["00000", "00001", "00002", "00003"]


def test_an_interrupted_merge_is_run_again(tmp_path):
    write_toy_store(tmp_path / "one", {0: rows("ab"), 1: rows("cd")})
    write_toy_store(tmp_path / "two", {0: rows("be"), 1: rows("fg"), 5: rows("h")})
    sources = [tmp_path / "one", tmp_path / "two"]
    merge_stores(sources, tmp_path / "whole")
    for done in ({0: rows("ab")}, {0: rows("ab"), 2: rows("e")}, {1: rows("cd"), 5: rows("h")}):
        write_toy_store(tmp_path / f"half{len(done)}{min(done)}", done)
        merge_stores(sources, tmp_path / f"half{len(done)}{min(done)}")
        assert digests(tmp_path / f"half{len(done)}{min(done)}") == digests(tmp_path / "whole")


def refused(tmp_path, sources, match, out="union"):
    before = digests(tmp_path)
    with pytest.raises(ValueError, match=match):
        merge_stores([tmp_path / source for source in sources], tmp_path / out)
    after = digests(tmp_path)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if name.startswith(f"{out}/") and "/0000" in name and name not in before]


def test_mixed_fingerprints_are_refused(tmp_path):
    write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: rows("cd")}, weights="v" * 64)
    refused(tmp_path, ["one", "two"], r"stores to merge must have one fingerprint, got \w{12} .*one.* and \w{12} .*two")
    write_toy_store(tmp_path / "one", {0: rows("ab")}, weights="v" * 64)
    refused(tmp_path, ["one"], "holds evidence of several fingerprints")


def test_stores_of_different_decoders_are_refused(tmp_path):
    write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: rows("cd")}, decoder="decord")
    refused(
        tmp_path, ["one", "two"], r"must have one decoder, got pyav \(.*one.*\) and decord \(.*two.*\); harvest one"
    )
    write_toy_store(tmp_path / "union", {0: rows("ab")})
    refused(tmp_path, ["two"], "was decoded with pyav, got decoder=decord")


@pytest.mark.parametrize("other", [row_of("b", "missing"), dataclasses.replace(ROWS["b"], tags=("Dog",))])
def test_a_clip_with_other_evidence_is_refused(tmp_path, other):
    write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: [other, ROWS["e"]]})
    refused(tmp_path, ["one", "two"], r"1 clips have different evidence, such as b in .*/00000 and .*/00000; harvest")


def test_damaged_sources_and_odd_targets_are_refused(tmp_path):
    folder = write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: rows("cd")})
    refused(tmp_path, ["one", "two"], "is a source and the target; give another `out`", out="two")
    (tmp_path / "file").touch()
    refused(tmp_path, ["one"], "file: the store cannot be written", out="file")
    refused(tmp_path, ["one", "absent"], "absent: expected an evidence store")
    (folder / "00000.safetensors").write_bytes(b"")
    refused(tmp_path, ["two", "one"], "1 shards are damaged, such as 00000; harvest again or repair")
