"""A label folder vouches for itself: what is lost, swapped or changed in it is seen by whatever reads labels."""

import json
import shutil

import numpy as np
import pytest

from valor.data.label_file import FILE_NAME, LABEL_FACTS, read_label_facts, read_pseudo_labels, write_label_facts
from valor.data.label_file import write_pseudo_labels as write_file
from valor.data.provenance import of_labels

FACTS = {"random_weights": False, "left_out": {}, "teachers": {"audio": {"teacher": "clap", "weights": "ab"}}}


@pytest.fixture
def folders(tmp_path):
    for number, name in enumerate(("one", "two")):
        labels = np.zeros((2, 3, 2, 2), bool)
        labels[number] = True
        write_file(tmp_path / name / FILE_NAME, ["a", "b"], ["Dog", "Bell"], labels, described=True)
        write_label_facts(tmp_path / name, FACTS | {"store": name})
    return tmp_path


def is_read(folder):
    """Whether both readers, of labels and of what is known of them, take the folder."""
    of_labels(folder)
    read_pseudo_labels(folder)


@pytest.mark.parametrize("name", [FILE_NAME, LABEL_FACTS])
@pytest.mark.parametrize("harm", ["lost", "swapped"])
def test_a_lost_and_a_swapped_file_are_seen(folders, name, harm):
    path, other = folders / "one" / name, folders / "two" / name
    is_read(folders / "one")
    assert read_label_facts(folders / "one").items() >= (FACTS | {"store": "one"}).items()
    path.unlink()
    if harm == "swapped":
        shutil.copy(other, path)
    with pytest.raises((ValueError, FileNotFoundError), match=r"labels\.json|no such pseudo-label file"):
        read_pseudo_labels(folders / "one")
    if (folders / "one" / LABEL_FACTS).exists():
        with pytest.raises(ValueError, match=r"labels\.json: expected beside it the pseudo_labels.npz of sha256"):
            of_labels(folders / "one")


@pytest.mark.parametrize("name", [FILE_NAME, LABEL_FACTS])
def test_every_flip_is_seen(folders, name):
    path = folders / "one" / name
    payload = path.read_bytes()
    unseen = []
    for at in range(len(payload)):
        path.write_bytes(payload[:at] + bytes([payload[at] ^ 1 << at % 8]) + payload[at + 1 :])
        try:
            is_read(folders / "one")
        except ValueError:
            continue
        unseen.append(at)
    assert not unseen


def test_labels_whose_facts_were_swapped_with_those_of_an_older_version_are_refused(folders):
    (folders / "one" / LABEL_FACTS).write_text(json.dumps(FACTS))
    with pytest.raises(ValueError, match="got one that names no label file"):
        read_pseudo_labels(folders / "one")


def test_labels_that_somebody_wrote_himself_are_used(folders, tmp_path):
    mine = read_pseudo_labels(folders / "one")
    own = tmp_path / "own" / FILE_NAME
    write_file(own, mine.clip_ids, mine.class_names, ~mine.labels)
    is_read(own.parent)
    np.savez(own, clip_ids=["a", "b"], classes=["Dog", "Bell"], pseudo_labels=mine.labels)
    is_read(own.parent)
    beside = folders / "one" / "mine.npz"  # to which labels.json says nothing
    shutil.copy(own, beside)
    assert of_labels(beside).random_teachers is read_pseudo_labels(beside).soft is False
    assert read_label_facts(beside) is None and read_label_facts(folders / "one" / FILE_NAME) is not None
    shutil.copy(own, folders / "one")
    with pytest.raises(ValueError, match=r"where the labels are your own, take labels.json away"):
        read_pseudo_labels(folders / "one")
    (folders / "one" / LABEL_FACTS).unlink()
    is_read(folders / "one")


def test_a_label_file_is_used_alone_under_another_name(folders, tmp_path):
    shutil.copy(folders / "one" / FILE_NAME, tmp_path / FILE_NAME)
    with pytest.raises(ValueError, match=r"got none; .* or give the file another name to use it alone"):
        read_pseudo_labels(tmp_path)
    (tmp_path / FILE_NAME).rename(tmp_path / "alone.npz")
    assert read_pseudo_labels(tmp_path / "alone.npz").clip_ids == ("a", "b")


def test_a_folder_of_an_older_version_is_read(tmp_path):
    write_file(tmp_path / FILE_NAME, ["a"], ["Dog"], np.ones((1, 3, 2, 1), bool))
    is_read(tmp_path)
    (tmp_path / LABEL_FACTS).write_text(json.dumps(FACTS))
    is_read(tmp_path)
    assert read_label_facts(tmp_path) == FACTS
