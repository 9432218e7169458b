"""The world in which what moves is what sounds; that the plain one stays as it was is in test_render.py."""

import json

import numpy as np
import pytest

from valor.demo.audio.sounds import synthesise
from valor.demo.options import DemoOptions
from valor.demo.world import render
from valor.demo.world.render import build_world, paint_frames
from valor.demo.world.schedule import ClipPlan, PlannedEvent
from valor.demo.world.strokes import FRAME_RATE, class_sounds, painter, phase_at, strokes_of, struck_track

PLAN = ClipPlan("abcdefghijk_0_10", "train", (
    PlannedEvent("Basketball_bounce", "audio", 2, 6), PlannedEvent("Basketball_bounce", "visual", 0, 10),
    PlannedEvent("Lawn_mower", "visual", 0, 10),
), ("Basketball_bounce",))  # fmt: skip


def test_strokes_are_found_where_a_sound_rises_and_nowhere_in_an_engine():
    sound = np.random.default_rng(0).normal(0, 0.01, 5 * 32000)
    for time in (0.5, 1.5, 2.25, 4.0):
        sound[int(time * 32000) : int(time * 32000) + 3000] += np.hanning(6000)[3000:]
    assert strokes_of(sound) == pytest.approx([0.5, 1.5, 2.25, 4.0], abs=0.03)
    rng = np.random.default_rng(1)
    assert len(strokes_of(synthesise("Lawn_mower", 10, rng))) == 0
    assert 10 <= len(strokes_of(synthesise("Basketball_bounce", 10, rng))) <= 40


def test_a_round_begins_with_each_stroke_and_rests_before_the_next():
    strokes = np.array([1.0, 2.0])
    assert phase_at(np.zeros(0), 1.0) is None
    assert [phase_at(strokes, time) for time in (0.0, 1.0, 1.5, 1.99, 2.0)] == [0.0] * 5
    turned = [phase_at(strokes, 1 + late) for late in (0.1, 0.2, 0.3, 0.4)]
    assert turned == sorted(turned) and 0 < turned[0] and turned[-1] < 1


def test_a_drawing_moves_as_its_sound_strikes_and_a_sound_is_heard_in_its_events_alone():
    whole = class_sounds(PLAN, (3, 5, 2))
    frames = np.stack(list(paint_frames(PLAN, np.random.default_rng(0), rate=FRAME_RATE, paint=painter(whole)))).astype(
        np.float64
    )
    assert frames.shape == (200, 96, 128, 3)
    change = np.abs(np.diff(frames.mean(axis=3), axis=0)).mean(axis=(1, 2))
    strokes = strokes_of(whole["Basketball_bounce"])
    struck = {int(np.ceil(time * 20)) for time in strokes if time < 9.9}
    rest = [number for number in range(1, 200) if not {number, number - 1, number - 2, number - 3} & struck]
    at = [change[number - 1 : number + 1].max() for number in struck if 0 < number < 199]
    assert np.median(at) > np.median(change[[number - 1 for number in rest]]) if rest else len(strokes) > 20
    track = struck_track(PLAN, whole, np.random.default_rng(1))
    quiet = struck_track(ClipPlan(PLAN.clip_id, "train", PLAN.events[1:], ()), whole, np.random.default_rng(1))
    same = track == quiet
    assert same[: 2 * 32000].all() and same[6 * 32000 :].all() and not same[3 * 32000 : 4 * 32000].all()


def test_worlds_of_two_kinds_share_no_folder_and_the_plain_one_is_as_ever(tmp_path):
    sizes = {"train": 1}
    build_world(tmp_path / "a", sizes, 1, 1, world="strokes", progress=False)
    assert json.loads((tmp_path / "a" / "world.json").read_text()) == {"strokes": 1, "seed": 1, "sizes": sizes}
    assert len(list((tmp_path / "a" / "videos").iterdir())) == 1
    with pytest.raises(ValueError, match="holds another world"):
        build_world(tmp_path / "a", sizes, 1, 1, progress=False)
    with pytest.raises(ValueError, match="world must be one of plain, strokes, got 'other'"):
        build_world(tmp_path / "b", sizes, 1, 1, world="other", progress=False)
    with pytest.raises(ValueError, match="world=strokes has clips alone"):
        DemoOptions(world="strokes", films=20)
    assert DemoOptions().world == "plain" and render.WORLDS == ("plain", "strokes")
