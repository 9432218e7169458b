"""The table of teachers."""

import numpy as np
import pytest

from tests.helpers.toy import toy_media
from valor.label_harvest.teachers.build import TEACHERS, TeacherOptions, build_teacher, check_teacher, role_of
from valor.label_harvest.teachers.features import EXTRACTORS
from valor.label_harvest.teachers.teacher import NEEDS, ROLES


def test_every_name_has_a_role():
    assert set(TEACHERS.values()) == set(ROLES)
    assert set(NEEDS) == {*ROLES, *EXTRACTORS.values(), "lavish", "raw"}  # these of runs of our own


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("clip-vit-l14", "visual"),
        ("open_clip:ViT-B-16-SigLIP2-256/webli", "visual"),
        ("laion:630k-audioset", "audio"),
        ("hf:laion/clap-htsat-fused", "audio"),
    ],
)
def test_a_name_says_its_role(name, role):
    assert role_of(name) == check_teacher(name) == role


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("open_clip:ViT-L-14/openai", "take open_clip:ViT-L-14-quickgelu/openai"),
        ("laion:630k-best", "LAION's checkpoints are"),
        (
            "clap",
            "teacher must be one of clip-vit-l14, .*open_clip:MODEL/TAG, laion:CHECKPOINT, hf:ORG/NAME, got 'clap'",
        ),
    ],
)
def test_names_are_refused_before_anything_is_built(name, message):
    with pytest.raises(ValueError, match=message):
        build_teacher(name, ("a dog",), checkpoint="random")
    with pytest.raises(ValueError, match=message):
        check_teacher(name)


@pytest.mark.parametrize("options", [TeacherOptions(precision="bfloat16"), TeacherOptions(pin="0" * 12)])
def test_the_demos_teachers_have_no_options(options):
    with pytest.raises(ValueError, match="shipped with the project and compute in float32"):
        build_teacher("demo-audio", ("a dog",), options=options)
    with pytest.raises(ValueError, match="read one caption per class, got 2"):
        build_teacher("demo-audio", (("a dog", "a hound"),))


def test_the_presets_are_the_published_teachers(monkeypatch):
    from valor.label_harvest.teachers import clap, clip

    built = {}
    monkeypatch.setattr(clip, "build_clip", lambda prompts, **given: built.update(visual=given))
    monkeypatch.setattr(clap, "build_clap", lambda prompts, **given: built.update(audio=given))
    for name in ("clip-vit-l14", "clap-630k-fusion"):
        build_teacher(name, ("a dog",), checkpoint="w.pt", options=TeacherOptions(pin="a" * 12, skip_self_test=True))
    assert str(built["visual"]["name"]) == "open_clip:ViT-L-14-quickgelu/openai@squash"
    assert built["audio"]["name"] == "laion:630k-fusion"
    assert all(
        (given["checkpoint"], given["pin"], given["precision"]) == ("w.pt", "a" * 12, "float32")
        for given in built.values()
    )


@pytest.mark.parametrize("name", [name for name in TEACHERS if name.startswith("demo-")])
def test_demo_teachers_follow_the_protocol(name):
    from valor.label_harvest.media.clip import Grid

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
