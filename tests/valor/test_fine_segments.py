"""Segments finer than a second: taken by teachers that can tell them apart, refused for the others, in the store."""

import json

import numpy as np
import pytest

from tests.helpers.toy import ToySound, write_toy_clip
from tests.helpers.toy_parse import DEMO
from tests.helpers.toy_teachers import write_pe_audio
from tests.helpers.typed import typed
from valor.data.vocabulary import LLP_CLASSES, EventClass
from valor.label_harvest.harvest import HarvestOptions
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.build import TEACHERS, finest_seconds
from valor.teachers import TeacherChoice, captions_for, check_segments
from valor.video.parse import ParseOptions, parse_media
from valor.video.zero_shot import load_zero_shot


@pytest.fixture(scope="module")
def ears(tmp_path_factory):
    """A small PE-A-Frame and a clip of ten seconds."""
    folder = tmp_path_factory.mktemp("ears")
    write_pe_audio(folder)
    write_toy_clip(folder / "a.wav", sound=ToySound(seconds=10, codec="pcm_s16le"))
    (folder / "clips.csv").write_text("filename\tevent_labels\na\tDog\n")
    return folder


def test_a_harvest_in_fifths_of_a_second(ears, tmp_path):
    given = (ears / "clips.csv", "--videos", ears, "--visual", "none", "--workers", "0", "--quiet")
    fine = ("--audio", f"hf:{ears}", "--store", tmp_path / "s", "--segment-seconds", "0.2")
    said = typed("harvest", *given, *fine)
    assert said.out.startswith("1 clips (1 no_video)")
    (path,) = (tmp_path / "s").glob("*/manifest.json")
    manifest = json.loads(path.read_text())
    assert (manifest["grid"]["num_segments"], manifest["grid"]["segment_seconds"]) == (50, 0.2)
    assert manifest["teachers"]["audio"]["time_grid"] == {"seconds": 0.04, "pooling": "mean", "edges": "in proportion"}
    logits = read_store(path.parent).logits("audio")
    assert logits.shape == (1, 50, 25) and np.isfinite(logits).all()
    refused = typed("harvest", *given, "--audio", "demo-audio", "--store", tmp_path / "t", "--segment-seconds", "0.2")
    assert "demo-audio cannot tell segments of 0.2 s from their neighbours; --segment-seconds must be at least 1" in (
        refused.err
    )
    assert not (tmp_path / "t").exists()


def test_a_parse_in_fifths_of_a_second(ears, tmp_path):
    teachers = {"visual": "demo-visual", "audio": "pe-a-frame-base"}
    given = {"teacher_checkpoints": {"audio": str(ears / "model.safetensors")}, "evidence": tmp_path}
    system = load_zero_shot("Dog,Cat", teachers=teachers, segment_seconds=0.2, **given)
    assert system.describe()["prompts"]["audio"] == ["dog", "cat"]
    parse = parse_media(system, ears / "a.wav", ParseOptions(hashed=False))
    assert (parse.segment_seconds, parse.segment_probs.shape) == (0.2, (50, 2, 2))
    assert np.isfinite(parse.segment_probs[:, 0]).all()
    with pytest.raises(ValueError, match="demo-audio cannot tell segments of 0.2 s"):
        load_zero_shot("Dog", teachers=DEMO, segment_seconds=0.2)
    told = typed("parse", ears / "a.wav", "--checkpoint", "run", "--segment-seconds", "0.2")
    assert "--segment-seconds is for --zero-shot; a run knows its own" in told.err


def test_options_cut_their_grid_and_the_data_sets_own_stays_with_a_word(caplog):
    options = HarvestOptions(segment_seconds=0.5)
    assert options.grid == Grid(num_segments=20, segment_seconds=0.5)
    assert HarvestOptions(segment_seconds=1.0).grid == HarvestOptions().grid  # and so the same store
    choice = TeacherChoice(visual="demo-visual", audio="clap-630k", features=("vggish",))
    with pytest.raises(ValueError, match="clap-630k cannot tell segments of 0.5 s"):
        check_segments(choice, options)
    only = TeacherChoice(visual="siglip2-b16-256", audio="none", features=("vggish",))
    with pytest.raises(ValueError, match="vggish has a feature each 1 s; `segment_seconds` must be at least that"):
        check_segments(only, options)
    check_segments(TeacherChoice(visual="siglip2-b16-256", audio="pe-a-frame-small"), options)
    check_segments(choice, HarvestOptions(grid=Grid(segment_seconds=0.32)))
    assert "the data set has segments of its own: clap-630k cannot tell segments of 0.32 s" in caplog.text


def test_who_can_tell_how_short_segments_apart(monkeypatch):
    monkeypatch.setitem(TEACHERS, "mine", ("audio", lambda prompts: None))
    named = ("demo-visual", "pe-core-l14-336", "clap-630k-fusion", "hf:laion/clap-htsat-fused", "laion:630k", "mine")
    assert [finest_seconds(name) for name in named] == [0.125, 0.125, 1.0, 1.0, 1.0, None]


def test_captions_are_written_as_a_teachers_publisher_writes_them():
    dog, frying = (one for one in LLP_CLASSES if one.name in ("Dog", "Frying_(food)"))
    own = EventClass("Siren", "A siren.", ("A siren wails", "This is a sound of siren"))
    assert captions_for("pe-a-frame-base", (dog, frying), "audio") == ("dog", "frying (food)")
    assert captions_for("pe-a-frame-base", (own,), "audio") == (own.audio_prompt,)
    assert captions_for("clap-630k-fusion", (dog,), "audio") == ("This is a sound of dog",)
    assert captions_for("siglip2-b16-256", (dog,), "visual") == ("A photo of a dog.",)
