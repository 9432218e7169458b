"""Teachers that could judge nothing are refused when they are loaded, and each planted error is one."""

import numpy as np
import pytest

from valor.label_harvest.teachers.self_test import COLLAPSED, mean_cosine, probes, self_test
from valor.label_harvest.teachers.teacher import Evidence, unit_rows


class Looker:
    """Sees the mean colours of each frame; what is wrong with it is planted."""

    role, sample_rate = "visual", None

    def __init__(self, **planted):
        self.planted = planted
        self.class_vectors = unit_rows(np.eye(3, 6) + planted.get("alike", 0.0))

    def identity(self):
        return {"teacher": "looker", "precision": "float32", "logit_scale": 1.0, "logit_bias": 0.0}

    def encode_captions(self, captions):
        return unit_rows(np.random.default_rng(0).normal(size=(len(captions), 6)) + self.planted.get("collapsed", 0.0))

    def encode(self, media):
        return self.encode_many([media])[0]

    def encode_many(self, clips):
        seen = [clip.frames.reshape(len(clip.frames), -1, 3).astype(np.float32) / 255 for clip in clips]
        rows = [np.concatenate([frame.mean(1), frame.std(1)], 1) + 0.01 for frame in seen]
        rows = [np.ones_like(row) for row in rows] if "blind" in self.planted else rows
        if "batch" in self.planted:
            rows = [row - self.planted["batch"] * np.mean(rows, 0) for row in rows]
        unit = [unit_rows(row) * self.planted.get("length", 1.0) for row in rows]
        return [Evidence({"embedding": row}, row @ self.class_vectors.T) for row in unit]


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        ({"alike": 50.0, "collapsed": 50.0}, r"text vectors are collapsed, the mean cosine of 8 captions .* is 0\.99"),
        ({"batch": 0.1}, "is judged otherwise alone than behind another one, by 0.0"),
        ({"blind": True}, "gives two unlike clips the same embedding"),
        ({"length": np.nan}, "its answers are no finite numbers"),
        ({"length": 3.0}, "its cosines reach [12]"),
        ({"alike": np.nan}, "its captions are no finite numbers"),
    ],
)
def test_a_planted_error_is_said_with_the_checkpoint(planted, told):
    with pytest.raises(ValueError, match=f"^mine: the checkpoint fails the self-test: .*{told}.*; take other weights"):
        self_test(Looker(**planted), "mine")


def test_a_teacher_that_works_passes_and_close_classes_are_only_pointed_out(caplog):
    self_test(Looker(), "mine")
    assert not caplog.text
    self_test(Looker(alike=3.0), "mine")
    assert "reads the captions of these classes as nearly the same (mean cosine 0.984" in caplog.text


def test_rounding_passes():
    self_test(Looker(batch=1e-6), "mine")


def test_the_probes_have_what_a_teacher_needs_and_nothing_in_common():
    for role, lacks in (("visual", "waveform"), ("audio", "frames")):
        teacher = Looker()
        teacher.role, teacher.sample_rate = role, 8000
        pair = probes(teacher)
        assert all(getattr(clip, lacks) is None for clip in pair)
        stream = [
            getattr(clip, "frames" if role == "visual" else "waveform").astype(float).reshape(1, -1) for clip in pair
        ]
        assert stream[0].shape == stream[1].shape and abs(mean_cosine(np.concatenate(stream))) < 0.5


def test_the_mean_cosine_leaves_out_each_with_itself():
    assert mean_cosine(np.eye(4)) == 0 and mean_cosine(np.ones((1, 3))) == 0
    assert mean_cosine(np.ones((3, 2))) == pytest.approx(1) and COLLAPSED < 0.999
