"""Which teachers a harvest gets; the whole line with features is in test_harvest_features."""

from dataclasses import replace

import pytest

from valor.data.vocabulary import LLP_CLASSES
from valor.label_harvest.teachers import build as named
from valor.label_harvest.teachers.teacher import LongCaptionError, TeacherUnavailableError
from valor.teachers import TeacherChoice, build_teachers


def test_everything_is_checked_before_the_first_weights_are_read(monkeypatch):
    monkeypatch.setattr("valor.teachers.build_teacher", lambda *_, **__: pytest.fail("it was built"))
    choice = TeacherChoice(visual="demo-visual", audio="laion:630k-best")
    with pytest.raises(ValueError, match="LAION's checkpoints are"):
        build_teachers(choice, LLP_CLASSES)
    with pytest.raises(ValueError, match="audio must be a teacher of that kind, got 'demo-visual', which is visual"):
        build_teachers(TeacherChoice(audio="demo-visual", visual="none"), LLP_CLASSES)


def test_options_reach_each_teacher(monkeypatch):
    built = {}

    def build(name, prompts, *, checkpoint, options):
        built[name] = (len(prompts), checkpoint, options.pin, options.precision, options.maps)
        return name

    monkeypatch.setattr("valor.teachers.build_teacher", build)
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: None)
    choice = TeacherChoice(
        visual="open_clip:ViT-B-16-SigLIP2-256/webli",
        audio="laion:630k-audioset",
        checkpoints={"audio": "w.pt"},
        pins={"visual": "a" * 12},
        precision="bfloat16",
    )
    assert build_teachers(choice, LLP_CLASSES) == [choice.visual, choice.audio]
    assert built[choice.visual] == (25, None, "a" * 12, "bfloat16", None)
    *rest, maps = built[choice.audio]
    assert rest == [25, "w.pt", None, "bfloat16"]
    assert not maps.raw and maps.fold.shape == (10, 64)


def test_the_demos_teachers_need_no_options():
    found = build_teachers(TeacherChoice(visual="demo-visual", audio="demo-audio"), LLP_CLASSES)
    assert [teacher.role for teacher in found] == ["visual", "audio"]
    assert set(named.TEACHERS.values()) > {teacher.role for teacher in found}


def test_a_prompt_that_would_be_cut_off_is_named_with_its_class(monkeypatch):
    def build(name, prompts, **_):
        raise LongCaptionError(prompts[1][1], 77)

    monkeypatch.setattr("valor.teachers.build_teacher", build)
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: None)
    classes = (LLP_CLASSES[0], replace(LLP_CLASSES[1], audio_prompt=("a car", "a very long car")))
    with pytest.raises(
        ValueError, match=f"the audio prompts of class {classes[1].name}: the caption 'a very long car'"
    ):
        build_teachers(TeacherChoice(visual="none"), classes)


def test_teachers_that_cannot_be_fetched_are_refused_together_before_one_is_built(monkeypatch):
    monkeypatch.setattr("valor.teachers.build_teacher", lambda *_, **__: pytest.fail("it was built"))
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: "no network")
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    with pytest.raises(TeacherUnavailableError, match=r"\(no network\): clip-vit-l14 \(.* and clap-630k-fusion \("):
        build_teachers(TeacherChoice(), LLP_CLASSES)
