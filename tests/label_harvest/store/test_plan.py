"""Which clips go into which shard, whatever is there already, and which are read again."""

import numpy as np
import pytest

from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.plan import (
    ShardPlan,
    check_tags,
    new_shards,
    replaced_files,
    shards_to_mend,
    tags_of,
)
from valor.label_harvest.store.shards import KnownClip, Marker

CLASSES = ("Dog", "Cat")


def manifest(clips: str) -> HarvestManifest:
    return HarvestManifest(tuple(clips), CLASSES, np.ones((len(clips), 2), bool))


def marker(clips: str, status: str = "ok", tags: tuple[str, ...] = CLASSES) -> Marker:
    return Marker(tuple(KnownClip(clip, status, "", tags) for clip in clips), "", 0)


def planned(clips: str, there: dict[int, str], size: int = 3) -> dict[int, str]:
    plans = new_shards(manifest(clips), {index: marker(held) for index, held in there.items()}, size)
    return {plan.index: "".join(row.clip_id for row in plan.rows) for plan in plans}


@pytest.mark.parametrize(
    ("clips", "there", "expected"),
    [
        ("abcdefg", {}, {0: "abc", 1: "def", 2: "g"}),
        ("abcdefg", {1: "def"}, {0: "abc", 2: "g"}),
        ("abcdefg", {2: "g"}, {0: "abc", 1: "def"}),
        ("abcdefg", {0: "abc", 1: "d"}, {2: "efg"}),
        ("xyz", {0: "abc", 2: "g"}, {1: "xyz"}),
        ("abc", {0: "abc"}, {}),
    ],
)
def test_new_clips_take_the_free_numbers_in_manifest_order(clips, there, expected):
    assert planned(clips, there) == expected


def test_every_state_on_the_way_leads_to_the_same_shards():
    whole = planned("abcdefgh", {})
    for done in ([0], [2], [0, 2], [1], [0, 1, 2]):
        there = {index: whole[index] for index in done}
        assert {**there, **planned("abcdefgh", there)} == whole


def test_arrays_without_a_marker_keep_their_number_for_their_clips():
    there = {1: marker("def")}

    def numbers(clips, unclaimed):
        plans = new_shards(manifest(clips), there, 3, unclaimed)
        return {plan.index: "".join(row.clip_id for row in plan.rows) for plan in plans}

    assert numbers("abcdefg", {0: ("a", "b", "c")}) == {0: "abc", 2: "g"}
    assert numbers("xyz", {0: ("a", "b", "c"), 2: None}) == {3: "xyz"}
    assert numbers("xyzabc", {0: ("a", "b", "c")}) == {2: "xyz", 0: "abc"}
    assert numbers("abcdefghij", {7: ("g", "h", "i")}) == {0: "abc", 7: "ghi", 2: "j"}


def test_files_of_another_size_are_found(tmp_path):
    clips = [KnownClip(name, "ok", "", CLASSES, size) for name, size in (("a", 3), ("b", 4), ("c", None), ("d", 9))]
    for name in "abc":
        (tmp_path / name).write_bytes(b"123")
    paths = {**{name: tmp_path / name for name in "abcd"}, "e": None}
    assert [row.clip_id for row in replaced_files({0: Marker(tuple(clips), "", 0)}, paths)] == ["b"]


def test_only_batches_with_a_clip_to_be_read_again_are_made():
    rows = marker("abcdefg").clips
    assert list(ShardPlan(0, rows).batches(3)) == [range(0, 3), range(3, 6), range(6, 7)]
    assert list(ShardPlan(0, rows, frozenset({1, 6})).batches(3)) == [range(0, 3), range(6, 7)]


def test_missing_clips_are_mended_when_their_file_is_there_and_others_when_asked(tmp_path):
    markers = {0: marker("ab", "missing"), 1: marker("cd", "timeout"), 2: marker("ef")}
    paths = {"a": None, "b": tmp_path, "c": tmp_path, "e": tmp_path, "f": tmp_path}
    found = {plan.index: plan.again for plan in shards_to_mend(markers, paths, [], ("missing",))}
    assert found == {0: {1}}
    asked = shards_to_mend(markers, paths, [], ("missing", "timeout"))
    assert {plan.index: plan.again for plan in asked} == {0: {1}, 1: {0}}
    assert shards_to_mend(markers, paths, [ShardPlan(0, markers[0].clips)], ("missing",)) == []


def test_tags_are_names_in_class_order_and_must_agree_with_the_store():
    assert tags_of(manifest("ab")) == [("Dog", "Cat")] * 2
    check_tags(manifest("ab"), {0: marker("ax")})
    with pytest.raises(ValueError, match=r"1 clips with other tags, such as b \(store Dog; manifest Dog,Cat"):
        check_tags(manifest("ab"), {0: marker("bx", tags=("Dog",))})
