"""The table of teachers."""

import numpy as np
import pytest

from label_harvest.evidence import ROLES
from label_harvest.teachers import TEACHERS, build_teacher
from tests.toy import toy_media


def test_every_name_has_a_role():
    assert set(TEACHERS.values()) == set(ROLES)


@pytest.mark.parametrize("name", [name for name in TEACHERS if name.startswith("demo-")])
def test_demo_teachers_follow_the_protocol(name):
    from label_harvest.media import Grid

    prompts = ("A photo of a dog.", "A photo of a car.")
    teacher = build_teacher(name, prompts, checkpoint="random")
    assert teacher.role == TEACHERS[name]
    identity = teacher.identity()
    assert identity["prompts"] == list(prompts) and identity["weights"] == "random"
    assert {"teacher", "logit_scale", "logit_bias", "precision"} <= identity.keys()
    grid = Grid(sample_rate=teacher.sample_rate or 48000)
    clips = [toy_media(grid=grid, seed=seed) for seed in range(2)]
    for answer, clip in zip(teacher.encode_many(clips), clips, strict=True):
        assert answer.similarity.shape == (10, 2) and np.abs(answer.similarity).max() <= 1 + 1e-6
        np.testing.assert_allclose(answer.similarity, teacher.encode(clip).similarity, atol=1e-5)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="teacher must be one of clip-vit-l14, .*, got 'clip'"):
        build_teacher("clip", ("a dog",))


@pytest.mark.parametrize("prompts", [(), ("a dog", " ")])
def test_prompts_must_say_something(prompts):
    with pytest.raises(ValueError, match="prompts must be one caption per class"):
        build_teacher("demo-visual", prompts)
