"""Whose files lie in a folder of labels: own ones are replaced or removed, others stop the run."""

import json

import numpy as np
import pytest

from valor.label_folder import open_label_folder
from valor.labels_file import FILE_NAME, write_pseudo_labels

CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_0_10")
FOLDER = "CLIP/features"


def write_earlier(path, store="s", files=("near.csv",), exported=(FOLDER,), clips=CLIPS):
    """What a run left: two exported files, a table, the labels and their provenance."""
    write_pseudo_labels(path / FILE_NAME, clips, ("Dog",), np.zeros((len(clips), 1, 2, 1), bool))
    (path / "labels.json").write_text(json.dumps({"store": store, "files": files, "exported": exported}))
    (path / "near.csv").write_text("near")
    (path / FOLDER).mkdir(parents=True)
    for clip in clips:
        (path / FOLDER / f"{clip[:11]}.npy").write_bytes(b"own")


def ask(path, store="s", files=("near.csv",), exported=(FOLDER,), **more):
    return open_label_folder(path, store, CLIPS, files, exported, **more)


@pytest.mark.parametrize("made", [False, True])
def test_an_empty_folder_is_anybodys(tmp_path, made):
    if made:
        (tmp_path / "out").mkdir()
    assert ask(tmp_path / "out").own == frozenset()


def test_what_the_same_store_left_may_be_replaced(tmp_path):
    write_earlier(tmp_path)
    place = ask(tmp_path)
    assert {path.name for path in place.own} == {
        "aaaaaaaaaaa.npy",
        "bbbbbbbbbbb.npy",
        "near.csv",
        FILE_NAME,
        "labels.json",
    }
    assert place.remove_stale(CLIPS, ("near.csv",), (FOLDER,)) == 0 and (tmp_path / "near.csv").exists()


def test_what_is_not_written_again_goes(tmp_path):
    write_earlier(tmp_path)
    place = ask(tmp_path, files=(), exported=())
    assert place.record() == {"files": ["near.csv"], "exported": [FOLDER]}  # until they are gone
    (tmp_path / "notes.txt").write_text("mine")
    assert place.remove_stale(CLIPS, (FILE_NAME,), ()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.json", "notes.txt", FILE_NAME]


def test_clips_that_lost_their_labels_lose_their_files(tmp_path):
    write_earlier(tmp_path)
    ask(tmp_path).remove_stale(CLIPS[:1], ("near.csv",), (FOLDER,))
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == ["aaaaaaaaaaa.npy"]


def test_published_files_of_somebody_else_stop_the_run(tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "ccccccccccc.npy").write_bytes(b"published")
    with pytest.raises(ValueError, match=r"no labels of this store left there: CLIP/features/ccccccccccc.npy; give "):
        ask(tmp_path)
    assert ask(tmp_path, exported=()).own == frozenset()  # nothing goes there
    write_earlier(tmp_path / "b")
    (tmp_path / "b" / FOLDER / "ccccccccccc.npy").write_bytes(b"published")
    with pytest.raises(ValueError, match="ccccccccccc.npy; give another --out, or --overwrite"):
        ask(tmp_path / "b")
    place = ask(tmp_path / "b", overwrite=True)
    place.remove_stale((), (), ())
    assert [path.name for path in (tmp_path / "b" / FOLDER).iterdir()] == ["ccccccccccc.npy"]


@pytest.mark.parametrize("name", [FILE_NAME, "labels.json", "near.csv"])
def test_a_file_of_unknown_origin_stops_the_run(tmp_path, name):
    (tmp_path / name).write_text("[]")
    with pytest.raises(ValueError, match=f"holds files that no labels of this store left there: {name}; give"):
        ask(tmp_path)


def test_labels_of_another_store_stop_the_run(tmp_path):
    write_earlier(tmp_path, store="another", clips=("zzzzzzzzzzz_0_10",))
    with pytest.raises(ValueError, match=r"holds labels of another store: .* and 3 more; give another --out"):
        ask(tmp_path)
    place = ask(tmp_path, overwrite=True)
    place.remove_stale(CLIPS, ("near.csv",), (FOLDER,))
    assert not (tmp_path / FOLDER / "zzzzzzzzzzz.npy").exists()


def test_a_record_reaches_no_file_outside_the_folder(tmp_path):
    (tmp_path / "victim.csv").write_text("mine")
    write_earlier(tmp_path / "out", files=["../victim.csv", str(tmp_path / "victim.csv"), 3], exported=["..", "/"])
    place = ask(tmp_path / "out", files=(), exported=())
    place.remove_stale((), (), ())
    assert (tmp_path / "victim.csv").exists() and (tmp_path / "out" / "near.csv").exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="out: labels go into a folder, got a file of that name; give another --out"):
        ask(tmp_path / "out")
