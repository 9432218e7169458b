"""The pseudo-label file: what it holds, and what is refused in its place."""

import os
import pickle
import re

import numpy as np
import pytest

from valor.data.label_file import FILE_NAME, PseudoLabels, read_pseudo_labels, write_pseudo_labels

CLIPS = ("clip-0", "klippe-ü", "clip-2")
CLASSES = ("Dog", "Speech")
LABELS = np.random.default_rng(0).random((3, 10, 2, 2)) < 0.4


@pytest.fixture
def path(tmp_path):
    write_pseudo_labels(tmp_path / "labels" / FILE_NAME, CLIPS, CLASSES, LABELS)
    return tmp_path / "labels" / FILE_NAME


def replace_arrays(path, **arrays):
    """Write the file with some arrays replaced, or removed where they are None."""
    with np.load(path) as archive:
        held = dict(archive) | arrays
    np.savez(path, **{name: array for name, array in held.items() if array is not None})


def test_a_file_reads_back_by_its_name_or_its_folder(path):
    for place in (path, path.parent, str(path)):
        back = read_pseudo_labels(place)
        assert (back.clip_ids, back.class_names) == (CLIPS, CLASSES)
        assert back.labels.dtype == bool and np.array_equal(back.labels, LABELS)
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudo_labels.npz"]


def test_the_file_has_the_documented_names_and_no_pickle(path):
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["classes", "clip_ids", "pseudo_labels"]
        assert archive["clip_ids"].dtype.kind == archive["classes"].dtype.kind == "U"
        assert archive["pseudo_labels"].dtype == bool


def test_clips_of_any_number_of_segments(tmp_path):
    write_pseudo_labels(tmp_path / "x.npz", CLIPS, CLASSES, LABELS[:, :3])
    assert read_pseudo_labels(tmp_path / "x.npz").labels.shape == (3, 3, 2, 2)


@pytest.mark.parametrize(("arrays", "message"), [
    ({"classes": None}, "could not be read .*classes"),
    ({"pseudo_labels": LABELS.astype(np.float32)}, "must be bool, got float32; soft labels go under pseudo_probs"),
    ({"pseudo_labels": None, "pseudo_probs": LABELS}, "must be float, got bool; hard labels go under pseudo_labels"),
    ({"pseudo_labels": LABELS.astype(np.int64)}, r"bool .* = \[3, T, 2, 2\], got int64 \(3, 10, 2, 2\)"),
    ({"pseudo_labels": LABELS[..., 0]}, r"= \[3, T, 2, 2\], got bool \(3, 10, 2\)"),
    ({"pseudo_labels": LABELS[:, :, :1]}, r"got bool \(3, 10, 1, 2\)"),
    ({"pseudo_labels": LABELS[:2]}, r"got bool \(2, 10, 2, 2\)"),
    ({"classes": np.array(["Dog"])}, r"= \[3, T, 2, 1\]"),
    ({"clip_ids": np.array(["a", "b", "a"])}, "clip_ids must be unique, got 1 duplicates"),
    ({"clip_ids": np.array([{"a": 1}, 2, 3], dtype=object)}, r"\(clip_ids: it holds Python objects or is no \.npy"),
])  # fmt: skip
def test_arrays_of_another_kind_are_refused(path, arrays, message):
    replace_arrays(path, **arrays)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: .*{message}"):
        read_pseudo_labels(path)


@pytest.mark.parametrize("damage", [
    lambda content: content[:-30],
    lambda content: content[: len(content) // 2],
    lambda content: b"",
    lambda content: b"clip_ids,pseudo_labels\n",
    lambda content: content[:200] + bytes(len(content) - 400) + content[-200:],
])  # fmt: skip
def test_damage_is_refused_with_what_to_do(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"which could not be read .*run `valor labels` again"):
        read_pseudo_labels(path)


def test_one_array_in_place_of_the_archive_is_refused(path):
    with path.open("wb") as file:
        np.save(file, LABELS)
    with pytest.raises(ValueError, match="expected the plain arrays"):
        read_pseudo_labels(path)


class Planted:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_nothing_in_a_file_is_ever_run(path, tmp_path):
    trace = tmp_path / "was-run"
    replace_arrays(path, clip_ids=np.array([Planted(trace), 0, 0], dtype=object))
    with pytest.raises(ValueError, match="could not be read"):
        read_pseudo_labels(path)
    path.write_bytes(pickle.dumps(Planted(trace)))
    with pytest.raises(ValueError, match="could not be read"):
        read_pseudo_labels(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the plant works
    assert trace.exists()


def test_a_refused_write_leaves_the_file_as_it_was(path):
    before = path.read_bytes()
    with pytest.raises(ValueError, match="clip_ids must be unique"):
        write_pseudo_labels(path, ("a", "a", "b"), CLASSES, LABELS)
    with pytest.raises(ValueError, match=r"labels\.npy: a pseudo-label file is named \*\.npz"):
        write_pseudo_labels(path.with_name("labels.npy"), CLIPS, CLASSES, LABELS)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudo_labels.npz"]


def test_a_missing_file_says_who_writes_one(tmp_path):
    for place in (tmp_path, tmp_path / "none.npz"):
        with pytest.raises(FileNotFoundError, match="no such pseudo-label file; `valor labels` writes one"):
            read_pseudo_labels(place)


def test_labels_check_themselves():
    with pytest.raises(ValueError, match=r"got int64 \(3, 10, 2, 2\)"):
        PseudoLabels(CLIPS, CLASSES, LABELS.astype(int))
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"soft pseudo labels must be probabilities in 0\.\.1"):
            PseudoLabels(CLIPS, CLASSES, np.where(LABELS, wrong, 0.5))


def test_soft_labels_are_kept_in_half_precision_under_their_own_name(tmp_path):
    soft = np.random.default_rng(0).random(LABELS.shape).astype(np.float32)
    write_pseudo_labels(tmp_path / "x.npz", CLIPS, CLASSES, soft)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == ["classes", "clip_ids", "pseudo_probs"]
        assert archive["pseudo_probs"].dtype == np.float16
    back = read_pseudo_labels(tmp_path / "x.npz")
    assert back.soft and np.array_equal(back.labels, soft.astype(np.float16))
    assert np.array_equal(back.marked, soft.astype(np.float16) > 0.5)
    hard = PseudoLabels(CLIPS, CLASSES, LABELS)
    assert not hard.soft and hard.marked is hard.labels


def test_a_name_that_belies_its_array_is_refused(path):
    replace_arrays(path, pseudo_labels=None, pseudo_probs=LABELS)
    with pytest.raises(ValueError, match="pseudo_probs must be float, got bool"):
        read_pseudo_labels(path)
    replace_arrays(path, pseudo_probs=None, pseudo_labels=LABELS.astype(np.float32))
    with pytest.raises(ValueError, match="pseudo_labels must be bool, got float32"):
        read_pseudo_labels(path)


def test_a_modality_nobody_decided_for_is_written_down(tmp_path):
    heard = LABELS.copy()
    heard[:, :, 1] = False
    write_pseudo_labels(tmp_path / "x.npz", CLIPS, CLASSES, heard, absent=("visual",))
    back = read_pseudo_labels(tmp_path / "x.npz")
    assert (back.absent, back.modalities) == (("visual",), ("audio",))
    with pytest.raises(ValueError, match=r"x.npz: these labels are of audio alone; as labels of visual their zeros"):
        back.refuse_absent("x.npz")
    whole = PseudoLabels(CLIPS, CLASSES, LABELS)
    assert whole.modalities == ("audio", "visual")
    whole.refuse_absent("x.npz")


@pytest.mark.parametrize(("absent", "message"), [
    (("visual",), "visual is said to be absent, got labels of it"),
    (("audio", "visual"), "absent must be at most one of audio, visual"),
    (("smell",), "absent must be at most one of audio, visual, got .'smell'."),
])  # fmt: skip
def test_what_is_said_to_be_absent_is_checked(absent, message):
    with pytest.raises(ValueError, match=message):
        PseudoLabels(CLIPS, CLASSES, LABELS, absent)
