import dataclasses
import json
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from tests.conftest import ROOT
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.demo.world import render
from valor.demo.world.render import boxes_at, build_world, paint_frames, render_clip
from valor.demo.world.schedule import ClipPlan, PlannedEvent, world_arrays
from valor.label_harvest.store.manifest import media_id

NAMES = class_names(LLP_CLASSES)
SIZES = {"train": 3, "val": 2, "test": 2}
PLAN = ClipPlan(
    "abcdefghijk_20_30",
    "test",
    (
        PlannedEvent("Dog", "visual", 2, 5),
        PlannedEvent("Fire_alarm", "audio", 4, 7),
    ),
    ("Dog", "Fire_alarm"),
)


def test_boxes_lie_where_the_frames_of_a_clip_show_them(tmp_path):
    render_clip(PLAN, tmp_path / "a.mp4", 1)
    frames = decode(tmp_path / "a.mp4")[0].astype(int)
    assert boxes_at(PLAN, 1, 1.99) == {} == boxes_at(PLAN, 1, 5.0)
    left, top, right, bottom = boxes_at(PLAN, 1, 2.0)["Dog"]
    changed = np.abs(frames[16] - frames[15]).sum(axis=2)  # the dog comes with the second second
    within = changed[top:bottom, left:right].mean()
    changed[top:bottom, left:right] = 0
    assert within > 3 * changed.mean()


def decode(path):
    """Frames uint8 [F, 96, 128, 3], waveform f32 [S], and the codecs, rates and pixel format of a file."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        kinds = (
            video.codec_context.name, float(video.average_rate), video.pix_fmt,
            audio.codec_context.name, audio.rate, audio.channels,
        )  # fmt: skip
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        waveform = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return frames, waveform, kinds


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "abcdefghijk.mp4"
    render_clip(PLAN, path, seed=3)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"), SIZES, seed=1, workers=1, progress=False)


def test_a_clip_is_ten_seconds_of_h264_and_aac(clip):
    frames, waveform, kinds = decode(clip)
    assert frames.shape == (80, 96, 128, 3)
    assert kinds == ("h264", 8.0, "yuv420p", "aac", 32000, 1)
    assert abs(len(waveform) / 32000 - 10) < 0.05


def test_the_same_plan_and_seed_give_the_same_bytes(clip, tmp_path):
    render_clip(PLAN, tmp_path / "again.mp4", seed=3)
    assert (tmp_path / "again.mp4").read_bytes() == clip.read_bytes()
    render_clip(PLAN, tmp_path / "other.mp4", seed=4)
    assert (tmp_path / "other.mp4").read_bytes() != clip.read_bytes()


def test_a_class_is_in_the_picture_exactly_while_it_is_visible(monkeypatch):
    """The same clip with and without its visible event differs in the frames [2 s, 5 s) and nowhere else."""
    monkeypatch.setattr(render.Scene, "expose", lambda scene, image: np.asarray(image))  # no grain
    monkeypatch.setattr(render, "arrange", lambda names, rng, whole=render.arrange: whole(["Dog"], rng))
    silent = dataclasses.replace(PLAN, events=PLAN.events[1:])
    shown = np.stack(list(paint_frames(PLAN, np.random.default_rng(0)))).astype(int)
    empty = np.stack(list(paint_frames(silent, np.random.default_rng(0)))).astype(int)
    differs = (shown != empty).any(axis=(1, 2, 3))
    assert differs.tolist() == [16 <= frame < 40 for frame in range(80)]


def test_an_only_audible_class_is_not_drawn(monkeypatch):
    asked = []
    monkeypatch.setattr(render, "arrange", lambda names, rng: asked.append(names) or [])
    list(paint_frames(PLAN, np.random.default_rng(0)))
    assert asked == [["Dog"]]


def test_sound_is_there_exactly_while_it_is_audible(clip):
    """....####...  (seconds 4 to 7): louder than before and after."""
    _, waveform, _ = decode(clip)
    level = np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(waveform[:320000], 10)])
    assert level[4:7].min() > 1.2 * level[[0, 1, 2, 3, 8, 9]].max()


def test_no_partial_file_is_left_under_the_clips_name(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "write_streams", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        render_clip(PLAN, tmp_path / "abcdefghijk.mp4", seed=3)
    assert list(tmp_path.iterdir()) == []


def test_a_world_has_llps_tables_and_a_file_per_clip(world):
    assert {path.name for path in world.videos.iterdir()} == {f"{media_id(plan.clip_id)}.mp4" for plan in world.plans}
    for split in SIZES:
        chosen = [plan for plan in world.plans if plan.split == split]
        truth, weak_labels = world_arrays(chosen)
        read = read_split(world.folder, split, NAMES)
        assert read.clip_ids == tuple(plan.clip_id for plan in chosen)
        assert np.array_equal(read.weak_labels, weak_labels) and read.world == "demo world"
        assert read.truth is None if split == "train" else np.array_equal(read.truth, truth)


def test_world_json_says_what_made_it(world):
    assert json.loads((world.folder / "world.json").read_text()) == {
        "renderer": render.RENDERER_VERSION, "seed": 1, "sizes": SIZES,
    }  # fmt: skip


def test_a_second_call_renders_only_what_is_missing(world, caplog):
    lost = world.videos / f"{media_id(world.plans[2].clip_id)}.mp4"
    before = lost.read_bytes()
    lost.unlink()
    with caplog.at_level("INFO"):
        build_world(world.folder, SIZES, seed=1, workers=1, progress=False)
    assert "6 of 7 clips are already there" in caplog.text
    assert lost.read_bytes() == before


def test_two_processes_make_the_same_files_as_one(world, tmp_path):
    twin = build_world(tmp_path, SIZES, seed=1, workers=2, progress=False)
    for path in world.videos.iterdir():
        assert (twin.videos / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("change", [{"seed": 2}, {"sizes": {**SIZES, "test": 5}}])
def test_a_folder_with_another_world_is_refused(world, change):
    with pytest.raises(ValueError, match="holds another world: expected .* got .*choose another folder"):
        build_world(world.folder, **{"sizes": SIZES, "seed": 1, "workers": 1, **change})


def test_a_world_of_another_renderer_is_refused(world, monkeypatch):
    monkeypatch.setattr(render, "RENDERER_VERSION", -1)
    with pytest.raises(ValueError, match='"renderer": -1'):
        build_world(world.folder, SIZES, seed=1)


def test_foreign_videos_and_broken_json_are_refused(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match="got videos without it"):
        build_world(tmp_path, SIZES, seed=1)
    (tmp_path / "world.json").write_text("{")
    with pytest.raises(ValueError, match="expected the JSON of a rendered world"):
        build_world(tmp_path, SIZES, seed=1)


def test_workers_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1 process, got 0"):
        build_world(tmp_path, SIZES, seed=1, workers=0)


def test_a_script_without_a_guard_draws_in_several_processes(tmp_path):
    """Processes that ran the script again would each draw a world of their own, which multiprocessing refuses."""
    script = tmp_path / "plain.py"
    script.write_text(
        "import time\nfrom functools import partial\nfrom valor.demo.world.render import render_all\n"
        "print(len(list(render_all([partial(time.sleep, 0)] * 4, 2))))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
