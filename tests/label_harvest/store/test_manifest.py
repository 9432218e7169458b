"""Which clips, which tags, which files."""

import unicodedata

import numpy as np
import pytest

from valor.label_harvest.store.manifest import HarvestManifest, find_media, media_id, read_manifest

CLASSES = ("Speech", "Dog", "Cat")


def table(tmp_path, *rows: str, header: str = "filename\tevent_labels"):
    path = tmp_path / "clips.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_rows_become_tags_in_class_order(tmp_path):
    manifest = read_manifest(table(tmp_path, "a_0_10\tCat,Speech", "b_0_10\tDog,Dog", "c_0_10\t"), CLASSES)
    assert manifest.clip_ids == ("a_0_10", "b_0_10", "c_0_10")
    assert manifest.weak_labels.tolist() == [[True, False, True], [False, True, False], [False, False, False]]


def test_the_published_table_is_read(shared):
    from valor.data.vocabulary import LLP_CLASSES, class_names

    manifest = read_manifest(shared / "llp" / "AVVP_train.csv", class_names(LLP_CLASSES))
    assert len(manifest.clip_ids) == 10000 and manifest.weak_labels.any(1).all()


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["a\tDog,Wolf", "b\tWolf"], r"unknown classes 'Wolf' \(a\); expected names of the vocabulary"),
        (["a\tDog", "b\tDog", "a\tCat"], "clip ids must be unique, 1 repeat: a"),
        (["../a\tDog"], "without path separators, got '../a'"),
        (["a\\b\tDog"], "without path separators"),
        (["..\tDog"], "plain name, got '..'"),
        ([".hidden\tDog"], "plain name, got '.hidden'"),
        (["a\x00\tDog"], "plain name, got"),
        ([], "at least one clip below the header, got none"),
    ],
)
def test_bad_rows_are_refused(tmp_path, rows, match):
    with pytest.raises(ValueError, match=match):
        read_manifest(table(tmp_path, *rows), CLASSES)


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected the header filename <tab> event_labels, got"):
        read_manifest(table(tmp_path, "a\tDog", header="clip\tlabels"), CLASSES)
    with pytest.raises(ValueError, match="cannot be read"):
        read_manifest(tmp_path / "absent.csv", CLASSES)


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


def test_a_row_without_a_tab_is_refused_and_not_taken_for_a_clip_without_tags(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"expected a tab between clip and classes .* none in line 3 \('b_0_10 Dog'\), line 4 \('c'\)",
    ):
        read_manifest(table(tmp_path, "a\tDog", "b_0_10 Dog", "c"), CLASSES)


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
        ValueError, match=r"stand for two clips: abcdefghijk.mp4 \(abcdefghijk_0_10, abcdefghijk_30_40\)"
    ):
        find_media(tmp_path, ["abcdefghijk_0_10", "abcdefghijk_30_40"])


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be listed"):
        find_media(tmp_path / "absent", ["a"])
