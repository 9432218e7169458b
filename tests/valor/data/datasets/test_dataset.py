"""What a data folder holds: LLP, a data set described beside its tables, or one of the user's own."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy_ave import write_ave
from tests.helpers.toy_line import NAMES, write_tables
from valor.data.datasets.dataset import AVE, DATASETS, LLP, DataSet, dataset_of
from valor.data.datasets.to_harvest import read_any_manifest
from valor.data.tables import Split, read_split, write_event_table, write_weak_table

BIRDS = ("Wren", "Robin")
CLIPS = {"learn": ("a", "b", "c"), "try": ("d", "e")}


@pytest.fixture
def birds(tmp_path):
    """Tables of other names, another vocabulary and six segments."""
    tags = {split: np.ones((len(clips), 2), bool) for split, clips in CLIPS.items()}
    for split, clips in CLIPS.items():
        write_weak_table(tmp_path / f"{split}.tsv", clips, tags[split], BIRDS)
    for stream in ("heard", "seen"):
        write_event_table(tmp_path / f"{stream}.tsv", [("d", 1, 3, "Wren"), ("e", 5, 6, "Robin")])
    prompts = {"visual_threshold": 15.0, "audio_threshold": 2.0}
    classes = [{"name": n, "visual_prompt": f"A {n}.", "audio_prompt": f"A {n}.", **prompts} for n in BIRDS]
    (tmp_path / "birds.json").write_text(json.dumps(classes))
    description = {"name": "birds", "classes": "birds.json", "segments": 6, "annotated": ["try"]}
    description |= {"tags": {split: f"{split}.tsv" for split in CLIPS}, "events": {"v1": ["heard.tsv", "seen.tsv"]}}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    return tmp_path


def test_a_folder_is_of_llp_unless_it_says_otherwise(tmp_path):
    folder = write_tables(tmp_path)
    assert dataset_of(folder) is LLP and LLP.names == NAMES and sum(LLP.sizes.values()) == 11_849
    for split in LLP.splits:
        ours, plain = LLP.read_split(folder, split), read_split(folder, split, NAMES)
        assert (ours.clip_ids, ours.truth_version, ours.truth_sha256) == (
            plain.clip_ids,
            plain.truth_version,
            plain.truth_sha256,
        )
        assert np.array_equal(ours.weak_labels, LLP.read_clips(folder, split).weak_labels)


def test_tables_of_other_names_are_described_beside_them(birds):
    dataset = dataset_of(birds)
    assert (dataset.name, dataset.names, dataset.splits, dataset.segments) == ("birds", BIRDS, ("learn", "try"), 6)
    learn, tried = (dataset.read_split(birds, split) for split in dataset.splits)
    assert learn.truth is None and learn.clip_ids == CLIPS["learn"]
    assert tried.truth.shape == (2, 6, 2, 2) and tried.truth_version == "v1"
    assert tried.truth[0, :, 0, 0].tolist() == [False, True, True, False, False, False]
    with pytest.raises(ValueError, match="split must be one of learn, try, got 'test'"):
        dataset.read_split(birds, "test")
    (birds / "seen.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"seen\.tsv: no such annotation table; put it there"):
        dataset.read_split(birds, "try")


def test_a_data_set_of_ones_own_reads_its_own_files(tmp_path, monkeypatch):
    def read(dataset, folder, split, names, version):
        clips = tuple((folder / f"{split}.txt").read_text().split())
        return Split(split, clips, names, np.ones((len(clips), len(names)), bool))

    songs = DataSet(name="songs", title="Songs", classes=LLP.classes[:3], segments=None, seconds=0.5, reader=read)
    monkeypatch.setitem(DATASETS, "songs", songs)
    (tmp_path / "dataset.json").write_text('{"dataset": "songs"}')
    (tmp_path / "val.txt").write_text("one two")
    found = dataset_of(tmp_path)
    assert found is songs and found.read_split(tmp_path, "val").clip_ids == ("one", "two")
    assert found.read_clips(tmp_path, "val").class_names == NAMES[:3]


@pytest.mark.parametrize(("text", "message"), [
    ("{", r"dataset\.json: expected .*failed at: Expecting property name"),
    ("[]", r"dataset\.json: expected .*expected an object, got"),
    ('{"dataset": "eva"}', r"dataset\.json: the data set must be .*got 'eva' \(did you mean ave\?\); one of your own"),
    ('{"name": "x"}', r"dataset\.json: expected .*failed at: classes, events, tags missing"),
    ('{"name": "x", "tabels": 1}', r"the keys tabels"),
])  # fmt: skip
def test_a_description_that_is_none_is_refused(tmp_path, text, message):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        dataset_of(tmp_path)


def test_a_description_needs_tables_of_both_modalities(birds):
    held = json.loads((birds / "dataset.json").read_text())
    (birds / "dataset.json").write_text(json.dumps(held | {"events": {"v1": ["heard.tsv"]}}))
    with pytest.raises(ValueError, match="events need versions of two tables each, audible and visible"):
        dataset_of(birds)


def test_another_grid_needs_a_reader():
    with pytest.raises(ValueError, match="llp: tables in LLP's columns have segments of one second.*a reader of its"):
        replace(LLP, seconds=0.5)


def test_events_beyond_the_end_of_a_clip_are_refused(tmp_path):
    def read(dataset, folder, split, names, version):
        truth = np.ones((2, 4, 2, 3), bool)
        return Split(
            split, ("a", "b"), names, truth[:, 0, 0], truth, valid=np.array([[True] * 4, [True] * 3 + [False]])
        )

    songs = DataSet(name="songs", title="Songs", classes=LLP.classes[:3], segments=None, reader=read)
    with pytest.raises(ValueError, match="songs: 1 clips have events beyond their end, such as b"):
        songs.read_split(tmp_path, "val")


def test_files_of_a_known_form_may_be_of_classes_of_ones_own(tmp_path):
    write_ave(tmp_path, ("Wren&aaaaaaaaaaa&good&0&4", "Robin&bbbbbbbbbbb&good&2&6"), {"train": [0], "test": [1]})
    said = {"dataset": "ave", "name": "birds", "classes": ["Wren", "Robin"]}
    (tmp_path / "dataset.json").write_text(json.dumps(said))
    birds = dataset_of(tmp_path)
    assert (birds.name, birds.title, birds.names, birds.published) == ("birds", "birds", ("Wren", "Robin"), None)
    assert birds.read_split(tmp_path, "test").truth[0, 2:6, :, 1].all()
    for changed, message in (
        ({"name": "ave"}, "'ave' is that of a data set"),
        ({"tags": {}}, "the keys tags are unknown"),
    ):
        (tmp_path / "dataset.json").write_text(json.dumps(said | changed))
        with pytest.raises(ValueError, match=message):
            dataset_of(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"dataset": "ave", "classes": ["Wren"]}))
    with pytest.raises(ValueError, match="name missing"):
        dataset_of(tmp_path)


def test_a_clip_of_several_splits_is_harvested_with_its_tags_of_training(tmp_path):
    rows = ("Bark&aaaaaaaaaaa&good&0&4", "Cat&aaaaaaaaaaa&good&0&4", "Goat&bbbbbbbbbbb&good&0&4")
    write_ave(tmp_path, rows, {"test": [0], "train": [1], "val": [2]})
    for path in (tmp_path, tmp_path / "Annotations.txt"):
        found = read_any_manifest(path, AVE.names)
        assert found.clip_ids == ("aaaaaaaaaaa", "bbbbbbbbbbb")
        assert [AVE.names[row.argmax()] for row in found.weak_labels] == ["Cat", "Goat"]
    assert read_any_manifest(tmp_path / "test_order.h5", AVE.names).weak_labels[0, AVE.names.index("Bark")]
    (tmp_path / "val_order.h5").unlink()
    with pytest.raises(ValueError, match="the clips of val cannot be read: .*val_order.h5: no such file"):
        read_any_manifest(tmp_path, AVE.names)
