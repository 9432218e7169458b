"""Several stores become one: the same bytes as of one run where they are its shares, and no clip lost or doubled."""

import dataclasses

import pytest

from label_harvest.share import Share
from label_harvest.store import read_store
from label_harvest.store_check import verify_store
from label_harvest.store_merge import merge_stores
from tests.toy import write_toy_world
from tests.toy_harvest import OPTIONS, digests, toy_harvest
from tests.toy_store import row_of, write_toy_store

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
    assert read_store(target).clip_ids == tuple("cdef")
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
    refused(tmp_path, ["two"], "was decoded with pyav, got --decoder decord")


@pytest.mark.parametrize("other", [row_of("b", "missing"), dataclasses.replace(ROWS["b"], tags=("Dog",))])
def test_a_clip_with_other_evidence_is_refused(tmp_path, other):
    write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: [other, ROWS["e"]]})
    refused(tmp_path, ["one", "two"], r"1 clips have different evidence, such as b in .*/00000 and .*/00000; harvest")


def test_damaged_sources_and_odd_targets_are_refused(tmp_path):
    folder = write_toy_store(tmp_path / "one", {0: rows("ab")})
    write_toy_store(tmp_path / "two", {0: rows("cd")})
    refused(tmp_path, ["one", "two"], "is a source and the target; give another --out", out="two")
    (tmp_path / "file").touch()
    refused(tmp_path, ["one"], "file: the store cannot be written", out="file")
    refused(tmp_path, ["one", "absent"], "absent: expected an evidence store")
    (folder / "00000.safetensors").write_bytes(b"")
    refused(tmp_path, ["two", "one"], "1 shards are damaged, such as 00000; harvest again or repair")
