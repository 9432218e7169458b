"""The features published with UnAV-100: three arrays a video, cut to the shortest, on steps of 0.32 s."""

import json

import numpy as np
import pytest

from tests.helpers.toy_unav import toy, written
from tests.helpers.typed import typed
from valor.data.datasets.dataset import UNAV, UNAV_STEPS, dataset_of
from valor.data.features.feature_options import FeatureOptions
from valor.data.read_clips import read_clip_set

FEATURES = FeatureOptions(audio="unav-vggish", visual="unav-i3d", motion=None)
WIDTHS = {"vggish": 128, "rgb": 1024, "flow": 1024}
SMALL = (
    "methods.localiser.width=4", "methods.localiser.num_heads=2", "methods.localiser.head_width=4",
    "methods.localiser.dependency=off", "methods.localiser.table_length=32", "fit.epochs=1", "fit.warmup_epochs=0",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """The toy videos with features that say which step they are of; sound is a step longer than the pictures."""
    data = written(tmp_path / "unav", toy(), said="unav-0.32")
    (data / "features").mkdir()
    for clip_id, video in toy().items():
        steps = int(video["duration"] * 25 - 24) // 8 + 1
        for name, width in WIDTHS.items():
            held = np.arange(steps + (name == "vggish"), dtype=np.float32)[:, None] + np.zeros(width, np.float32)
            np.save(data / "features" / f"{clip_id}_{name}.npy", held + (name == "flow"))
    return data


def test_sound_and_pictures_are_cut_to_one_length(folder):
    assert dataset_of(folder) is UNAV_STEPS
    split = UNAV_STEPS.read_split(folder, "test")
    clips = read_clip_set(folder, split, FEATURES)
    assert clips.segments.tolist() == [30, 10] and clips.audio.shape == (2, 33, 128)  # as long as the truth
    assert clips.visual[1, :12, 0].tolist() == [*range(10), 0, 0] and clips.visual[0, 29, -1] == 30
    assert clips.audio[1, 9, 0] == 9


def test_other_segments_and_damaged_files_are_refused(folder):
    split = UNAV.read_split(folder, "test")
    with pytest.raises(ValueError, match='lie 0.32 s apart.*last 1 s; put {"dataset": "unav-0.32"}'):
        read_clip_set(folder, split, FEATURES)
    split = UNAV_STEPS.read_split(folder, "test")
    first = folder / "features" / "aaaaaaaaaa2_rgb.npy"
    np.save(first, np.zeros((30, 7), np.float32))
    with pytest.raises(ValueError, match=r"aaaaaaaaaa2_rgb.npy: expected floats \[steps, 1024\]"):
        read_clip_set(folder, split, FEATURES)
    for name, width in WIDTHS.items():
        np.save(folder / "features" / f"aaaaaaaaaa2_{name}.npy", np.zeros((60, width), np.float32))
    with pytest.raises(ValueError, match="has 60 steps of 0.32 s, and its video has 33"):
        read_clip_set(folder, split, FEATURES)
    np.save(folder / "features" / "aaaaaaaaaa2_vggish.npy", np.zeros((30, 128), np.float32))
    first.unlink()
    with pytest.raises(ValueError, match="no unav-i3d features for 1 clip .aaaaaaaaaa2."):
        read_clip_set(folder, split, FEATURES)


def test_the_published_network_trains_on_them_and_names_events(folder, tmp_path):
    changes = [word for change in SMALL for word in ("--set", change)]
    done = typed("train", "unav-localiser", "--data", folder, "--out", tmp_path / "run", *changes)
    assert done.code == 0, done.err
    done = typed("predict", tmp_path / "run", "--data", folder, "--out", tmp_path / "found.json")
    assert done.code == 0, done.err
    held = json.loads((tmp_path / "found.json").read_text())["results"]
    assert set(held) == {"aaaaaaaaaa2", "aaaaaaaaaa4"} and held["aaaaaaaaaa4"][0]["segment"][1] <= 4
    scores = []
    for source in (tmp_path / "found.json", tmp_path / "run/predictions.npz"):
        done = typed("evaluate", source, "--annotations", folder, "--split", "test", "--json", tmp_path / "scores.json")
        assert done.code == 0, done.err
        scores.append(json.loads((tmp_path / "scores.json").read_text())["figures"])
    assert scores[0] == scores[1] == json.loads((tmp_path / "run/scores.json").read_text())["figures"]


def test_its_row_is_reproduced_on_simulated_files_and_stands_beside_published_ones_on_others(folder, tmp_path):
    changes = [word for change in SMALL for word in ("--set", change)]
    more = ["--simulated", "--clips", "12", "--seeds", "1", "--out", tmp_path / "out"]
    done = typed("reproduce", "unav-localiser", "--data", folder, *more, *changes)
    assert done.code == 0, done.err
    assert "SIMULATED unav-localiser, seed 1234567891" in done.out and "truth on 0.32 s, outer" in done.out
    done = typed("reproduce", "unav-localiser", "--data", folder, "--seeds", "1", "--out", tmp_path / "real", *changes)
    assert done.code == 0, done.err
    assert "UnAV (CVPR 2023)" in done.out and "F is on segments of 0.32 s" in done.out
    assert "no source of the published figures was seen" in done.out and "SIMULATED" not in done.out
    (folder / "features").rename(folder / "elsewhere")
    done = typed("reproduce", "unav-localiser", "--data", folder)
    assert done.code == 2 and "linked at github.com/ttgeng233/UnAV" in done.err
