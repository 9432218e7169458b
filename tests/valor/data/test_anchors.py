"""What knows nothing of when: the class the teachers hold most likely, and which rows there are."""

import numpy as np
import pytest

from tests.helpers.toy_ave import write_ave
from valor.data.anchors import OWN_CLASS, ZERO_SHOT, anchor_scores, known_classes, zero_shot_classes
from valor.data.datasets.dataset import AVE, LLP
from valor.eval.metrics import Judged
from valor.label_harvest.store.shards import ShardRow, write_shard
from valor.label_harvest.store.share import write_lock
from valor.label_harvest.store.store import describe, open_store

TEACHER = {"weights": "ab" * 32, "prompts": list(AVE.names), "logit_scale": 10.0, "logit_bias": 1.0}


def write_evidence(folder, names=AVE.names):
    """Of two test clips: sound knows the first and picture the second; the other teacher is undecided, or absent."""
    audio, visual = np.zeros((2, 2, 10, len(names)), np.float16)
    audio[0, :, 3] = 0.5
    visual[1, 4:, 7] = 0.9
    visual[0, :5] = np.nan
    arrays = {"audio.similarity": audio, "visual.similarity": visual}
    teachers = {role: TEACHER | {"prompts": list(names)} for role in ("audio", "visual")}
    store = open_store(folder / "store", describe(tuple(names), {"num_segments": 10}, teachers))
    with write_lock(store):
        rows = [ShardRow(clip_id, "ok", "", ()) for clip_id in ("eeeeeeeeeee", "ddddddddddd")]
        write_shard(store, 0, arrays, rows)


@pytest.fixture
def ave(tmp_path):
    return write_ave(tmp_path / "ave")


def test_the_zero_shot_class_is_the_likeliest_of_both_teachers_over_the_segments_they_know(ave):
    split = AVE.read_split(ave, "test")
    assert zero_shot_classes(ave, split) == {}
    write_evidence(ave)
    found = zero_shot_classes(ave, split)
    assert found == {"eeeeeeeeeee": 3, "ddddddddddd": 7}
    assert known_classes(found, split.clip_ids).tolist() == [3, 7]
    assert known_classes(found, (*split.clip_ids, "another")) is None
    assert zero_shot_classes(ave, AVE.read_split(ave, "val")) == {}


def test_a_store_of_other_classes_says_nothing(ave):
    write_evidence(ave, names=AVE.names[::-1])
    assert zero_shot_classes(ave, AVE.read_split(ave, "test")) == {}


def test_the_rows_are_those_that_are_known(ave):
    split = AVE.read_split(ave, "test")
    judged = Judged(predicted=split.truth, truth=split.truth, weak_labels=split.weak_labels)
    plain = anchor_scores(judged, split)
    assert list(plain) == ["nothing predicted", "tags copied", "commonest class copied"]
    right = split.weak_labels.argmax(axis=1)
    more = anchor_scores(
        Judged(**vars(judged) | {"clip_probs": split.weak_labels.astype(float)}), split, zero_shot=right
    )
    assert list(more)[3:] == [ZERO_SHOT, OWN_CLASS]
    assert more[ZERO_SHOT].figures == more[OWN_CLASS].figures == plain["tags copied"].figures
    assert plain["tags copied"].figures["accuracy"] == 75 and plain["nothing predicted"].figures["accuracy"] == 25


def test_of_llp_there_are_the_two_it_always_had(shared):
    split = LLP.read_split(shared / "llp", "val")
    judged = Judged(predicted=split.truth, truth=split.truth, weak_labels=split.weak_labels)
    assert list(anchor_scores(judged, split)) == ["nothing predicted", "tags copied"]
