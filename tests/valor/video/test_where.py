import json
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_parse import NAMES, ToySystem, ToyTeacher, WindowTeacher, toy_parse, write_film, write_run
from valor.data.parse_file import OF_DRAWINGS, parse_from_json, parse_to_json, read_parse, write_parse
from valor.data.where import MOST_SIDE, Where, found_at
from valor.eval.decide import PostProcessing
from valor.eval.figures.stills import Still, heat_on, placed_stills
from valor.eval.figures.timeline import DrawnParse, parse_figure
from valor.label_harvest.media.clip import MediaError
from valor.label_harvest.teachers.where import PATCHES, WINDOWS, PlaceMaps
from valor.video.batch import parse_all
from valor.video.formats.formats import FORMATS, events_text
from valor.video.options import BatchOptions, ParseOptions
from valor.video.parse import parse_media
from valor.video.paths import find_inputs
from valor.video.picture import MediaSketch, draw_parse
from valor.video.trained import load_system
from valor.video.zero_shot import load_zero_shot

OPTIONS = ParseOptions(limits=None, where=True, rule=PostProcessing(gate="none", segment_threshold=0.0))
WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A dog for twelve seconds, and a car beside it for the first six."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, 12, [("Dog", "visual", 0, 12), ("Car", "visual", 0, 6), ("Dog", "audio", 2, 5)], seed=8)


@pytest.fixture(scope="module")
def zero_shot():
    return load_zero_shot("Dog,Car", teachers={"audio": "demo-audio", "visual": "demo-visual"})


def test_a_parse_without_training_says_where(zero_shot, film, tmp_path):
    sketch = MediaSketch()
    parse = parse_media(zero_shot, film, OPTIONS, watch=sketch.watch)
    seen = [event for event in parse.events if event.modality == "visual"]
    assert [(place.class_name, place.onset) for place in parse.where] == [(e.class_name, e.onset) for e in seen]
    assert {place.class_name for place in parse.where} == {"Dog", "Car"}
    for place, event in zip(parse.where, seen, strict=True):
        assert event.onset <= place.time < event.offset and place.values.max() == 1 and place.still is not None
    rows = [[label.get_text() for label in axes.get_yticklabels()] for axes in draw_parse(parse, sketch).axes]
    assert rows[:3] == [["video"], ["where"], ["sound"]]
    write_parse(tmp_path / "a.json", parse)
    again = read_parse(tmp_path / "a.json")
    assert parse_to_json(again) == parse_to_json(parse) and again.where[0].still is None
    plain = parse_media(zero_shot, film, replace(OPTIONS, where=False))
    assert plain.where is None and "where" not in parse_to_json(plain) and plain.system == parse.system
    assert np.array_equal(plain.segment_probs, parse.segment_probs)
    assert all(events_text([plain], name) == events_text([parse], name) for name in FORMATS)


def test_a_run_says_where(film, tmp_path, monkeypatch):
    monkeypatch.setattr("valor.video.where.MOST_EVENTS", 2)
    system = load_system(write_run(tmp_path / "run"))
    parse = parse_media(system, film, OPTIONS)
    assert len({place.class_name for place in parse.where} & set(NAMES)) == 2


def test_a_file_that_stops_decoding_says_where_up_to_there(zero_shot, film, monkeypatch):
    from valor.label_harvest.media.streams import DirectReader

    class Stops(DirectReader):
        calls = 0

        def frames(self, survey, cutoffs, grid):
            self.calls += 1
            yield next(images := super().frames(survey, cutoffs, grid))
            if self.calls > 1:
                raise MediaError("it stopped")
            yield from images

    parse = parse_media(zero_shot, film, replace(OPTIONS, cuts="none"), reader=Stops())
    assert len(parse.where) == 1 and parse.notes[-1].endswith("as far as it decoded once more (it stopped)")


def test_a_parse_without_where_is_made_again_for_it(zero_shot, film, tmp_path):
    def skipped(where):
        options = BatchOptions(out=tmp_path, parsing=replace(OPTIONS, where=where))
        return [one.skipped for one in parse_all(zero_shot, find_inputs([str(film)]), options, progress=False)]

    assert [skipped(where) for where in (False, True, True, False)] == [[False], [False], [True], [True]]


def test_only_the_most_probable_are_said(zero_shot, film, monkeypatch):
    monkeypatch.setattr("valor.video.where.MOST_EVENTS", 1)
    parse = parse_media(zero_shot, film, OPTIONS)
    likely = max((e for e in parse.events if e.modality == "visual"), key=lambda event: event.prob)
    assert [place.class_name for place in parse.where] == [likely.class_name]
    assert "where in the picture is said of the 1 most probable of" in parse.notes[-1]


class Corner(ToyTeacher):
    """Sees how red a picture is."""

    def encode_segments(self, clip):
        return {"embedding": np.pad(clip.frames.mean(axis=(1, 2)) / 255, ((0, 0), (0, 1))).astype(np.float32)}


def test_the_peak_is_where_the_picture_says(tmp_path, monkeypatch):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=3, rate=10, width=96, height=64))
    frame = np.full((64, 96, 3), 90, np.uint8)
    frame[8:16, 72:84] = (255, 0, 0)
    monkeypatch.setattr("valor.label_harvest.media.streams.Pictures.of", lambda self, picture: frame)
    system = ToySystem(teachers=(ToyTeacher("audio"), Corner("visual")))
    parse = parse_media(system, path, OPTIONS)
    peak = {place.class_name: place.peak for place in parse.where}["A"]
    assert peak == pytest.approx((0.8125, 0.1875), abs=1e-3)


@pytest.mark.parametrize(
    ("teachers", "said"),
    [
        ((ToyTeacher("audio"), WindowTeacher(ToyTeacher("visual"))), "none of its teachers (audio, visual) judges"),
        ((ToyTeacher("audio"), ToyTeacher("visual")), ""),
    ],
)
def test_a_teacher_that_cannot_say_says_so(teachers, said, tmp_path):
    path = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=2, rate=10, width=32, height=32))
    system = ToySystem(teachers=teachers)
    parse = parse_media(system, path, OPTIONS)
    assert [note[: len(said)] for note in parse.notes] == [said] * bool(said)
    assert bool(parse.where) != bool(said)


def test_sound_alone_has_no_where(zero_shot, tmp_path):
    parse = parse_media(
        zero_shot, write_toy_clip(tmp_path / "a.wav", sound=ToySound(seconds=2, codec="pcm_s16le")), OPTIONS
    )
    assert parse.where == () and parse_to_json(parse)["where"] == [] and parse.notes == (OF_DRAWINGS,)


def place_of(**changes):
    values = np.array([[0, 0.25, 0], [0, 1, 0.5]], np.float32)
    whole = {"class_name": "Speech", "onset": 1.4, "offset": 3.4, "time": 2.2, "values": values, "peak": (0.5, 0.75)}
    return Where(**{**whole, "area": WHOLE, "method": "toy", **changes})


def test_a_parse_of_before_has_no_where():
    record = json.loads(json.dumps(parse_to_json(toy_parse())))
    assert "where" not in record and parse_from_json(record).where is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("class", "Owl", "none of the classes"),
        ("peak", [0.5, 1.5], "the peak must lie in the picture"),
        ("peak", [0.5], "peak must be 2 numbers"),
        ("area", [0, 0, 0, 1], "an area must be left, top"),
        ("values", [[0.1, 0.2], [0.3]], "rows of one length"),
        ("values", [[]], "rows of one length"),
        ("values", [[2.0]], "where: values"),
        ("values", [[0.0] * (MOST_SIDE + 1)], "rows of one length"),
        ("time", float("inf"), "where: time"),
        ("method", 3, "where: method"),
        ("grid", [9, 9], "where: values are"),
    ],
)
def test_maps_that_are_none_are_refused(key, value, said):
    record = json.loads(json.dumps(parse_to_json(replace(toy_parse(), where=(place_of(),)))))
    assert parse_from_json(record).where[0].values.tolist() == place_of().values.tolist()
    record["where"][0][key] = value
    with pytest.raises(ValueError, match=said):
        parse_from_json(record)


def test_maps_are_brought_to_a_bounded_size_and_say_nothing_where_nothing_stands_out():
    fine = np.zeros((70, 40), np.float32)
    fine[60:62, 8:10] = 1
    values, peak = found_at(fine, WHOLE)
    assert max(values.shape) <= MOST_SIDE and peak == pytest.approx((0.22, 0.87), abs=0.04)
    assert found_at(np.full((4, 4), 3.0), WHOLE) is None and found_at(np.full((4, 4), np.nan), WHOLE) is None
    beyond = np.array([[9.0, 0.1, 0.5, 0.2]])  # the highest lies in the margin
    assert found_at(beyond, (-0.5, 0.0, 1.5, 1.0))[1] == (0.75, 0.5)


def test_stills_stand_near_their_time_and_the_first_choose_first():
    frame = np.zeros((4, 6, 3), np.uint8)
    still = Still(frame=frame, values=np.ones((1, 1), np.float32), peak=(0, 0), area=WHOLE, seconds=4, name="", said="")
    stills = [replace(still, seconds=time, name=name) for time, name in ((4.5, "a"), (4.6, "b"), (0.2, "c"))]
    assert {place: one.name for place, one in placed_stills(stills, 10, 5).items()} == {0: "c", 1: "a", 2: "b"}
    assert placed_stills(stills, 10, 2).keys() == {0, 1}


def test_a_line_leads_to_each_still_from_its_second_and_no_cut_runs_through_them():
    frame, probs = np.zeros((4, 6, 3), np.uint8), np.ones((10, 2, 1), np.float32)
    still = Still(frame=frame, values=np.ones((1, 1), np.float32), peak=(0, 0), area=WHOLE, seconds=4, name="", said="")
    stills = tuple(replace(still, seconds=time) for time in (4.5, 4.6, 0.2))
    more = {"frames": np.zeros((5, 4, 6, 3), np.uint8), "stills": stills, "cuts": (3.0, 7.0)}
    drawn = DrawnParse(class_names=("Dog",), probs=probs, predicted=probs > 0, **more)
    video, where, rows = parse_figure(drawn).axes
    leads = [line.get_xdata() for line in where.lines if len(line.get_xdata()) == 3]
    assert [(float(lead[0]), round(float(lead[-1]), 3)) for lead in leads] == [(0.2, 1), (4.5, 3), (4.6, 5)]
    dashed = [sum(line.get_linestyle() == "--" for line in axes.lines) for axes in (video, where, rows)]
    assert dashed == [2, 0, 2]


def test_heat_lies_where_its_cell_is():
    values = np.zeros((2, 4), np.float32)
    values[0, 3] = 1
    heat = heat_on(values, (0.25, 0.0, 0.75, 1.0), 60, 80)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row < 20 and 52 <= column < 60 and not heat[:, :20].any() and not heat[:, 60:].any()


@pytest.mark.parametrize(
    ("found_by", "by", "kept"), [(PATCHES, "auto", True), (PATCHES, "windows", False), (WINDOWS, "windows", True)]
)
def test_a_parse_by_patches_is_made_again_by_windows(zero_shot, film, tmp_path, monkeypatch, found_by, by, kept):
    asked = []
    found = replace(place_of(), method=found_by)
    monkeypatch.setattr("valor.video.batch.read_parse", lambda path: replace(parsed, where=(found,)))
    monkeypatch.setattr(
        "valor.video.where.locate", lambda *_, by_windows: asked.append(by_windows) or PlaceMaps(np.eye(2)[None], "toy")
    )
    parsed = parse_media(zero_shot, film, replace(OPTIONS, where=False))
    write_parse(tmp_path / "film.json", parsed)
    options = BatchOptions(out=tmp_path, parsing=replace(OPTIONS, where_by=by))
    (one,) = parse_all(zero_shot, find_inputs([str(film)]), options, progress=False)
    assert one.skipped == kept and set(asked) == (set() if kept else {True})


def test_a_way_of_finding_where_without_asking_where_is_refused():
    with pytest.raises(ValueError, match="where_by=windows says how `where` is found, which is not asked for"):
        ParseOptions(where_by="windows")
    with pytest.raises(ValueError, match="where_by must be one of auto, windows, got 'patches'"):
        ParseOptions(where=True, where_by="patches")
