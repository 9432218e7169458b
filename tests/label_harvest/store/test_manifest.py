"""Which clips, which tags, which files."""

import unicodedata

import numpy as np
import pytest

from valor.label_harvest.store.manifest import HarvestManifest, media_id
from valor.label_harvest.store.videos import find_media

CLASSES = ("Speech", "Dog", "Cat")


@pytest.mark.parametrize(
    ("clip_ids", "match"),
    [
        (("a", "b", "a"), "clip ids must be unique, 1 repeat: a"),
        (("../a",), "without path separators, got '../a'"),
        (("a\\b",), "without path separators"),
        (("..",), "plain name, got '..'"),
        ((".hidden",), "plain name, got '.hidden'"),
        (("a\x00",), "plain name, got"),
    ],
)
def test_bad_ids_are_refused(clip_ids, match):
    with pytest.raises(ValueError, match=match):
        HarvestManifest(clip_ids, CLASSES, np.zeros((len(clip_ids), 3), bool))


def test_labels_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"weak_labels must be bool \[1, 3\], got bool \[1, 2\]"):
        HarvestManifest(("a",), CLASSES, np.zeros((1, 2), bool))


def test_files_are_found_by_whole_id_or_by_its_first_eleven_characters(tmp_path):
    for name in ("abcdefghijk.mp4", "short.webm", "x.y_0_10.mkv", "short.info.json", "short.vtt", "noise"):
        (tmp_path / name).touch()
    found = find_media(tmp_path, ["abcdefghijk_30_40", "short", "x.y_0_10", "gone"])
    assert {clip_id: path and path.name for clip_id, path in found.items()} == {
        "abcdefghijk_30_40": "abcdefghijk.mp4",
        "short": "short.webm",
        "x.y_0_10": "x.y_0_10.mkv",
        "gone": None,
    }


@pytest.mark.parametrize(
    "beside", ["a.webp", "a.description", "a.m3u8", "a.mhtml", "a.en.vtt", "a.JPG", "a.f137.mp4.part", "a.odd", "a"]
)
def test_what_a_downloader_leaves_beside_a_clip_is_no_candidate(tmp_path, beside):
    for name in ("a.mp4", beside):
        (tmp_path / name).touch()
    assert find_media(tmp_path, ["a"]) == {"a": tmp_path / "a.mp4"}
    (tmp_path / "a.mp4").unlink()
    assert find_media(tmp_path, ["a"]) == {"a": tmp_path / "a.odd" if beside == "a.odd" else None}


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_that_look_the_same_are_the_same(tmp_path, forms):
    asked, there = (unicodedata.normalize(form, "caf\u00e9_du_coin") for form in forms)
    (tmp_path / f"{there}.mp4").touch()
    assert asked != there and find_media(tmp_path, [asked]) == {asked: tmp_path / f"{there}.mp4"}


def test_only_names_like_those_of_llp_go_by_eleven_characters(tmp_path):
    (tmp_path / "abcdefghijk.mp4").touch()
    asked = ["abcdefghijklm", "abcdefghijk-30-40", "abcdefghijk_30", "abcdefghijk_30_40"]
    found = find_media(tmp_path, asked)
    assert [clip_id for clip_id in asked if found[clip_id]] == ["abcdefghijk_30_40"]
    assert [media_id(clip_id) for clip_id in asked] == [*asked[:3], "abcdefghijk"]


def test_two_candidates_are_an_error_that_lists_them(tmp_path):
    (tmp_path / "abcdefghijk.mp4").touch()
    (tmp_path / "abcdefghijk_30_40.mp4").touch()
    with pytest.raises(
        ValueError, match=r"two candidate files: abcdefghijk_30_40 \(abcdefghijk_30_40.mp4, abcdefghijk.mp4"
    ):
        find_media(tmp_path, ["abcdefghijk_30_40"])


def test_one_file_cannot_stand_for_two_clips(tmp_path):
    (tmp_path / "abcdefghijk.mp4").touch()
    with pytest.raises(
        ValueError, match=r"stand for several clips each: abcdefghijk.mp4 \(abcdefghijk_0_10, abcdefghijk_30_40\)"
    ):
        find_media(tmp_path, ["abcdefghijk_0_10", "abcdefghijk_30_40"])


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be listed"):
        find_media(tmp_path / "absent", ["a"])
