"""Which teachers a harvest gets; the whole line with features is in test_harvest_features."""

from dataclasses import replace

import pytest

from valor.data.vocabulary import LLP_CLASSES
from valor.label_harvest.harvest import HarvestOptions
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.teachers import build as named
from valor.label_harvest.teachers.teacher import LongCaptionError, TeacherUnavailableError
from valor.teachers import TeacherChoice, build_teachers, known_store, refuse_absent


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


def test_all_teachers_that_a_run_or_store_lacks_are_named_at_once():
    lacking = {"audio": {"teacher": "ears"}, "visual": {"teacher": "eyes"}}
    with pytest.raises(ValueError, match="runs/a: its audio teacher is ears and its visual teacher is eyes, which are"):
        refuse_absent("runs/a", lacking)
    with pytest.raises(ValueError, match="runs/a: its visual teacher is eyes, which is none .* file that defines it"):
        refuse_absent("runs/a", {"audio": {"teacher": "demo-audio"}, "visual": {"teacher": "eyes"}})


def test_all_weights_that_a_run_or_store_lacks_are_named_at_once(monkeypatch):
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: "no network")
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    lacking = {"audio": {"teacher": "clap"}, "visual": {"teacher": "clip"}}
    with pytest.raises(TeacherUnavailableError, match="clap-630k-fusion .* and clip-vit-l14 "):
        refuse_absent("runs/a", lacking)
    refuse_absent("runs/a", {role: {**one, "weights": "random"} for role, one in lacking.items()})


SEVERAL = (LLP_CLASSES[0], replace(LLP_CLASSES[1], visual_prompt=("A car.", "A red car.")))
LONG = (LLP_CLASSES[0], replace(LLP_CLASSES[1], visual_prompt="a car " * 100))


@pytest.mark.parametrize(("choice", "classes", "grid", "message"), [
    ({"visual": "demo-visual"}, SEVERAL, Grid(),
     f"the visual prompts of class {LLP_CLASSES[1].name}: the demo's teachers read one caption per class, got 2; give"),
    ({"visual": "mobileclip2-b"}, LONG, Grid(),
     f"the visual prompts of class {LLP_CLASSES[1].name}: the caption 'a car .* takes more than the 77 tokens"),
    ({"visual": "demo-visual", "precision": "bfloat16"}, LLP_CLASSES, Grid(), "the demo's teachers .* float32"),
    ({"visual": "demo-visual", "pins": {"visual": "a" * 12}}, LLP_CLASSES, Grid(), "the demo's teachers .* float32"),
    ({"visual": "none", "audio": "demo-audio"}, LLP_CLASSES, Grid(num_segments=5, segment_seconds=2.0),
     "demo-audio hears segments of at most 1 s, got 2 s"),
    ({"visual": "none", "audio": "clap-630k"}, LLP_CLASSES, Grid(num_segments=1, segment_seconds=12.0),
     "clap-630k hears segments of at most 10 s, got 12 s"),
])  # fmt: skip
def test_what_teachers_do_not_take_is_known_before_they_are_built(monkeypatch, choice, classes, grid, message):
    monkeypatch.setattr("valor.teachers.build_teacher", None)
    with pytest.raises(ValueError, match=message):
        known_store(TeacherChoice(**{"audio": "none", **choice}), classes, HarvestOptions(grid=grid))


def test_teachers_that_cannot_be_fetched_are_refused_together_before_one_is_built(monkeypatch):
    monkeypatch.setattr("valor.teachers.build_teacher", lambda *_, **__: pytest.fail("it was built"))
    monkeypatch.setattr("valor.label_harvest.teachers.hub.hub_trouble", lambda: "no network")
    monkeypatch.setattr("valor.label_harvest.teachers.hub._cached", lambda *_: None)
    with pytest.raises(TeacherUnavailableError, match=r"\(no network\): clip-vit-l14 \(.* and clap-630k-fusion \("):
        build_teachers(TeacherChoice(), LLP_CLASSES)
