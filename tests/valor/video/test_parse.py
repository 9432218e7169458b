"""

Media through the whole line; the parser has random weights, the teachers are the demo's.
"""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import valor
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import DEMO, NAMES, write_film, write_run
from valor.data.parse_file import OF_DRAWINGS, read_parse, write_parse
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.eval.decide import PostProcessing
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.windows import Merger, window_weights
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.teachers.build import build_teacher
from valor.training.checkpoint import read_checkpoint
from valor.training.predict import predict_split
from valor.training.recipes import recipe_from_json
from valor.video.parse import ParseOptions, caveats, parse_media
from valor.video.trained import load_system
from valor.video.zero_shot import load_zero_shot


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def system(run):
    return load_system(run)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Three clips of ten seconds."""
    folder = tmp_path_factory.mktemp("films")
    wanted = (("Speech", "Dog"), ("Fire_alarm", "Car"), ("Banjo", "Cat"))
    for number, (heard, seen) in enumerate(wanted):
        events = [(heard, "audio", 2, 8), (seen, "visual", 1, 7)]
        write_film(folder / f"clip{number}.mp4", 10, events, seed=number)
    return folder


def test_a_clip_parsed_alone_equals_the_clip_in_a_test_set(run, system, films, tmp_path):
    """Through harvest, store, clip set and split on one side; batches differ, so equal to 4e-6, not to the bit."""
    ids = ("clip0", "clip1", "clip2")
    tags = np.ones((3, len(NAMES)), bool)
    teachers = [build_teacher(name, NAMES) for name in DEMO.values()]
    options = HarvestOptions(grid=Grid(), decode_workers=0)
    harvest(HarvestManifest(ids, NAMES, tags), films, tmp_path / "store", teachers, options=options, progress=False)
    parser, card = read_checkpoint(run)
    split = Split(name="test", clip_ids=ids, class_names=NAMES, weak_labels=tags, truth=None)
    together = predict_split(parser, read_clip_set(tmp_path, split, recipe_from_json(card.recipe).features))
    for row, name in enumerate(ids):
        alone = parse_media(system, films / f"{name}.mp4")
        assert np.abs(alone.segment_probs - together.segment_probs[row]).max() <= 4e-6
        assert np.abs(alone.gate_probs - together.clip_probs[row]).max() <= 4e-6


def test_batches_do_not_change_the_parse(system, tmp_path):
    path = write_film(tmp_path / "long.mp4", 23, [("Speech", "audio", 3, 17), ("Dog", "visual", 8, 21)])
    parses = [parse_media(system, path, ParseOptions(windows_per_batch=size)) for size in (1, 3)]
    assert parses[0].segment_probs.shape == (23, 2, 25)
    assert np.abs(parses[0].segment_probs - parses[1].segment_probs).max() <= 4e-6
    assert not np.isnan(parses[0].segment_probs).any() and len(parses[0].onsets) == 23


@pytest.mark.parametrize("modality", [0, 1])
def test_one_missing_stream_changes_nothing_but_itself(system, tmp_path, modality):
    kind = {"sound": ToySound(seconds=12)} if modality == 0 else {"video": ToyVideo(seconds=12)}
    parse = parse_media(system, write_toy_clip(tmp_path / "one.mkv", **kind))
    assert np.isnan(parse.segment_probs[:, 1 - modality]).all() and not np.isnan(parse.segment_probs[:, modality]).any()
    assert {event.modality for event in parse.events} <= {("audio", "visual")[modality]}
    assert (parse.media.has_audio, parse.media.has_visual) == (modality == 0, modality == 1)


@pytest.mark.parametrize(("seconds", "segments"), [(0.4, 1), (9.2, 10), (10.3, 10), (10.8, 11)])
def test_any_length(system, tmp_path, seconds, segments):
    path = write_toy_clip(tmp_path / "s.mp4", video=ToyVideo(seconds=seconds), sound=ToySound(seconds=seconds))
    parse = parse_media(system, path)
    assert len(parse.segment_probs) == segments and not np.isnan(parse.segment_probs).any()


def test_a_stream_that_ends_early_is_absent_from_there(system, tmp_path):
    path = write_toy_clip(tmp_path / "u.mkv", video=ToyVideo(seconds=4), sound=ToySound(seconds=17))
    probs = parse_media(system, path).segment_probs
    assert not np.isnan(probs[:, 0]).any() and not np.isnan(probs[:4, 1]).any() and np.isnan(probs[4:, 1]).all()


@pytest.mark.parametrize("late", [0, 1])
def test_a_stream_that_begins_late_is_absent_until_then(system, tmp_path, late):
    starts = [12.0 if modality == late else 0.0 for modality in (0, 1)]
    sound = ToySound(seconds=17 - starts[0], start=starts[0])
    video = ToyVideo(seconds=17 - starts[1], start=starts[1])
    probs = parse_media(system, write_toy_clip(tmp_path / "l.mkv", video=video, sound=sound)).segment_probs
    assert np.isnan(probs[:12, late]).all() and not np.isnan(probs[12:, late]).any()
    assert not np.isnan(probs[:, 1 - late]).any()


def test_stretches_with_neither_sound_nor_picture_have_no_probabilities(system, tmp_path):
    path = write_toy_clip(tmp_path / "gap.mkv", video=ToyVideo(seconds=3, start=20.0), sound=ToySound(seconds=3))
    parse = parse_media(system, path)
    known = ~np.isnan(parse.segment_probs).all(axis=2)
    assert np.flatnonzero(known[:, 0]).tolist()[:3] == [0, 1, 2] and not known[4:, 0].any()
    assert np.flatnonzero(known[:, 1]).tolist() == [20, 21, 22]
    assert not np.isnan(parse.gate_probs[known]).any()


@pytest.mark.parametrize(
    ("name", "said"),
    [("demo-fused", True), ("lavish:demo-visual", True), ("hf:demo-lab/clap", False), ("clip-vit-l14", False)],
)
def test_parses_by_teachers_of_drawings_say_so(name, said):
    system = SimpleNamespace(teachers=[SimpleNamespace(identity=lambda: {"teacher": name})])
    assert caveats(system) == (OF_DRAWINGS,) * said


def test_the_track_that_was_heard_is_said_and_can_be_chosen(system, tmp_path):
    loud, quiet = ToySound(seconds=2, language="eng"), ToySound(seconds=2, language="deu", level=0.01)
    path = write_toy_clip(tmp_path / "t.mkv", video=ToyVideo(seconds=2), sound=[loud, quiet])
    parses = [parse_media(system, path, ParseOptions(limits=None, audio_track=track)) for track in (None, "0", "deu")]
    assert [parse.media.audio_track for parse in parses] == [0, 0, 1]
    assert parses[2].notes == (
        OF_DRAWINGS,
        "has several audio tracks (0 eng aac 1 channel, 1 deu aac 1 channel); track 1 was heard",
    )
    assert [parse.system.get("audio_track") for parse in parses] == [None, "0", "deu"]
    assert np.array_equal(parses[0].segment_probs, parses[1].segment_probs)
    assert not np.array_equal(parses[0].segment_probs[:, 0], parses[2].segment_probs[:, 0])
    write_parse(tmp_path / "t.json", parses[2])
    assert read_parse(tmp_path / "t.json").media == parses[2].media


def test_the_picture_that_was_looked_at_is_said(system, tmp_path):
    small, large = ToyVideo(seconds=2), ToyVideo(seconds=2, width=128, height=96)
    path = write_toy_clip(tmp_path / "t.mkv", video=[small, large], sound=ToySound(seconds=2))
    found = parse_media(system, path, ParseOptions(limits=None))
    seen = 1 if found.media.width == 128 else 0
    said = f"has several pictures (0 h264 64x48, 1 h264 128x96); picture {seen} alone was looked at"
    assert found.notes == (OF_DRAWINGS, said)
    one = write_toy_clip(tmp_path / "one.mkv", video=small, sound=ToySound(seconds=2))
    assert parse_media(system, one, ParseOptions(limits=None)).notes == (OF_DRAWINGS,)


def test_times_are_those_of_the_container(system, tmp_path):
    sound = ToySound(seconds=10, start=5.0, codec="mp2")
    path = write_toy_clip(tmp_path / "late.ts", video=ToyVideo(seconds=10, start=5.0), sound=sound)
    parse = parse_media(system, path, ParseOptions(rule=PostProcessing(gate="none", segment_threshold=0.0)))
    assert parse.media.start_time > 4 and parse.events[0].onset == pytest.approx(parse.media.start_time, abs=1e-6)


def test_known_events_are_found_within_a_second(tmp_path):
    """The shipped teachers alone, on a film that no training has seen, over the borders of its windows."""
    truth = [("Fire_alarm", "audio", 4, 12), ("Speech", "audio", 15, 24), ("Accordion", "visual", 6, 16)]
    film = write_film(tmp_path / "film.mp4", 28, truth, seed=12)
    system = load_zero_shot(("Fire_alarm", "Speech", "Accordion"), teachers=DEMO)
    parse = parse_media(system, film)
    for name, modality, onset, offset in truth:
        found = [event for event in parse.events if (event.class_name, event.modality) == (name, modality)]
        assert min((max(abs(e.onset - onset), abs(e.offset - offset)) for e in found), default=99) <= 1, (name, parse)


def test_python_takes_one_line(run, films):
    parse = valor.parse(films / "clip0.mp4", checkpoint=run, options=valor.ParseOptions())
    assert isinstance(parse, valor.Parse) and "Parse of clip0.mp4: 10.0 s" in repr(parse)
    assert len(parse.media.sha256) == 64 and parse.system["checkpoint"] and parse.system["windows"]["hop"] == 5


def test_importing_valor_stays_light():
    import subprocess
    import sys

    code = "import sys, valor\nassert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = valor.nothing


def test_what_contradicts_itself_is_refused(run, system, films):
    with pytest.raises(ValueError, match="either checkpoint=RUN or zero_shot=NAMES, got neither"):
        valor.parse(films / "clip0.mp4")
    with pytest.raises(ValueError, match="got both"):
        valor.parse(films / "clip0.mp4", checkpoint=run, zero_shot="Dog")
    with pytest.raises(ValueError, match="one gate for both modalities"):
        parse_media(system, films / "clip0.mp4", ParseOptions(rule=PostProcessing(gate=("clip", "none"))))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ParseOptions(hop=0)
    with pytest.raises(MediaError, match="no such file"):
        parse_media(system, films / "none.mp4")


def test_a_file_that_ends_early_is_noted(system, tmp_path):
    class Promising(DirectReader):
        def survey(self, path, track=None, *, salvage=False):
            return dataclasses.replace(super().survey(path, track), promised_seconds=60.0)

    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=3))
    parse = parse_media(system, path, reader=Promising())
    assert "ends at 3.0 s of the 60.0 s its header says" in parse.notes[1]


def test_the_parse_is_the_same_whoever_decodes(system, tmp_path):
    path = write_film(tmp_path / "long.mp4", 17, [("Speech", "audio", 3, 14), ("Dog", "visual", 8, 16)])
    parses = [parse_media(system, path, ParseOptions(limits=limits)) for limits in (None, DecodeLimits())]
    assert np.array_equal(parses[0].segment_probs, parses[1].segment_probs)
    assert np.array_equal(parses[0].gate_probs, parses[1].gate_probs) and parses[0].media == parses[1].media


def test_a_decoder_that_is_killed_at_work_costs_a_second_try_and_one_that_dies_again_the_file(system, tmp_path):
    path = write_film(tmp_path / "long.mp4", 60, [("Speech", "audio", 3, 14), ("Dog", "visual", 8, 16)])
    whole, killed, kills, tries = parse_media(system, path), [], 1, []

    def watch(survey, window):
        tries.extend([0] * (window.start == 0))
        if window.start == 0 and len(killed) < kills:
            killed.append(reader._process.kill())

    with ProcessReader() as reader:
        parse = parse_media(system, path, watch=watch, reader=reader)
        assert (len(killed), len(tries)) == (1, 2) and np.array_equal(parse.segment_probs, whole.segment_probs)
        kills = 9
        with pytest.raises(MediaError, match="the decoder died of SIGKILL"):
            parse_media(system, path, watch=watch, reader=reader)
        assert (len(killed), len(tries)) == (3, 4)


def filled(value, segments=10):
    return np.full((segments, 2, 3), value, np.float32)


def test_one_window_passes_to_the_bit():
    probs = np.random.default_rng(0).uniform(0, 1, (10, 2, 3)).astype(np.float32)
    merger = Merger(10, (2, 3))
    merger.add(0, probs)
    assert np.array_equal(merger.result(), probs)


def test_windows_fade_into_one_another_without_a_seam():
    merger = Merger(15, (2, 3))
    merger.add(0, filled(0.0))
    merger.add(5, filled(1.0))
    track = merger.result()[:, 0, 0]
    assert track[:5].tolist() == [0] * 5 and track[10:].tolist() == [1] * 5
    assert np.allclose(track[5:10], [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert np.diff(track).max() < 0.17


def test_equal_windows_give_what_they_say():
    merger = Merger(23, (2, 3))
    for start in (0, 5, 10, 13):
        merger.add(start, filled(0.3))
    assert np.abs(merger.result() - np.float32(0.3)).max() < 1e-7


def test_what_is_not_there_weighs_nothing():
    merger = Merger(15, (2, 3))
    gone = filled(0.9)
    gone[5:, 1] = np.nan
    merger.add(0, filled(0.2))
    merger.add(5, gone)
    assert np.isnan(merger.result()[10:, 1]).all()
    assert merger.result()[7, 1] == pytest.approx([(0.2 * 3 + 0.9 * 3) / 6] * 3)


def test_padding_beyond_the_end_is_left_out():
    merger = Merger(3, (2, 3))
    merger.add(0, filled(0.4))
    assert merger.result().shape == (3, 2, 3) and np.allclose(merger.result(), 0.4)


def test_weights_are_symmetric_and_never_zero():
    assert window_weights(1).tolist() == [1.0] and window_weights(5).tolist() == [1, 2, 3, 2, 1]
