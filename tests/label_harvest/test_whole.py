"""Clips of any length: what is harvested of them, that all runs end in the same bytes, and what is made of it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.helpers.toy_harvest import GRID, IN_PROCESSES, OPTIONS, digests, some_of, toy_harvest, toy_teachers
from tests.helpers.typed import typed
from valor.data.features.feature_options import FeatureOptions
from valor.data.label_file import read_pseudo_labels
from valor.data.read_clips import read_clip_set
from valor.data.tables import Split
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.media.survey import survey_media
from valor.label_harvest.media.windows import read_windows
from valor.label_harvest.store.check import merge_stores, verify_store
from valor.label_harvest.store.share import read_share
from valor.label_harvest.store.store import read_store, store_folder
from valor.labelling.labels import label_clips, write_labels

LENGTHS = {"a": 2.0, "b": 5.0, "c": 0.9, "e": 7.0, "f": 3.0}
SEGMENTS = {"a": 4, "b": 10, "c": 2, "d": 0, "e": 14, "f": 6}
WHOLE = replace(OPTIONS, length="whole")
WINDOWS = replace(OPTIONS, length="windows")


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number, (clip_id, seconds) in enumerate(LENGTHS.items()):
        video = ToyVideo(seconds=seconds, rate=8, width=32, height=32, first_number=10 * number)
        sound = ToySound(seconds=4.0 if clip_id == "e" else seconds, rate=8000, codec="pcm_s16le")
        write_toy_clip(folder / f"{clip_id}.mkv", video=video, sound=None if clip_id == "f" else sound)
    return folder


@pytest.fixture(scope="module")
def whole(videos, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("whole")
    report = toy_harvest("abcdef", videos, store, options=replace(IN_PROCESSES, length="whole"))
    assert report.counts == {"ok": 3, "short": 1, "no_audio": 1, "missing": 1}
    return store


def test_a_clip_has_a_row_of_evidence_for_each_of_its_segments(whole):
    store = read_store(whole)
    assert dict(zip(store.clip_ids, store.segments.tolist(), strict=True)) == SEGMENTS
    known = np.isfinite(store.arrays["visual.similarity"]).all(axis=2)
    np.testing.assert_array_equal(known, store.valid)
    heard = np.isfinite(store.arrays["audio.similarity"]).all(axis=2).sum(axis=1)
    assert dict(zip(store.clip_ids, heard.tolist(), strict=True)) == {**SEGMENTS, "e": 8, "f": 0}


def test_a_clip_as_long_as_the_grid_has_the_same_evidence_whatever_is_harvested(videos, whole, tmp_path):
    toy_harvest("a", videos, tmp_path / "clip")
    toy_harvest("a", videos, tmp_path / "windows", options=WINDOWS)
    clip, windows, all_of_it = (read_store(path) for path in (tmp_path / "clip", tmp_path / "windows", whole))
    for name, array in clip.arrays.items():
        np.testing.assert_array_equal(windows.arrays[name], array)
        np.testing.assert_array_equal(all_of_it.arrays[name][:1, :4], array)


@pytest.mark.parametrize("length", ["whole", "windows"])
def test_evidence_is_that_of_the_windows(videos, tmp_path, length):
    toy_harvest("b", videos, tmp_path, options=replace(OPTIONS, length=length))
    found = read_store(tmp_path).arrays["visual.similarity"][0]
    teacher, grid = toy_teachers()[0], replace(GRID, sample_rate=8000)
    windows = read_windows(survey_media(videos / "b.mkv"), grid, hop=4 if length == "whole" else 2)
    answers = {window.start: teacher.encode(window.clip).similarity for window in windows}
    if length == "whole":  # windows from 0, 4 and 6 on; of the last the segments 8 and 9
        np.testing.assert_array_equal(found, np.concatenate([answers[0], answers[4], answers[6][2:]]))
    else:  # windows from 0, 2, 4 and 6 on, weighted 1 2 2 1
        np.testing.assert_array_equal(found[[0, 1, 8, 9]], np.concatenate([answers[0][:2], answers[6][2:]]))
        np.testing.assert_allclose(found[2], (2 * answers[0][2] + answers[2][0]) / 3, rtol=1e-6)
        np.testing.assert_allclose(found[5], (answers[2][3] + 2 * answers[4][1]) / 3, rtol=1e-6)


def tailed(path: Path, seen: float, heard: float) -> Path:
    video = ToyVideo(seconds=seen, rate=20, width=32, height=32)
    return write_toy_clip(path, video=video, sound=ToySound(seconds=heard, rate=8000, codec="pcm_s16le"))


@pytest.mark.parametrize(
    ("seen", "heard", "segments", "status"),
    [
        (5.0, 5.2, 10, "cut"),  # . . . . . . . . . . s    s: sound alone
        (5.2, 5.0, 10, "cut"),  # . . . . . . . . . . p    p: picture alone
        (4.95, 5.4, 10, "cut"),  # less than a segment, which lies in two
        (5.0, 5.5, 11, "short"),  # a whole segment of sound alone
        (5.2, 5.3, 11, "ok"),  # both reach the last one
        (2.0, 2.05, 4, "ok"),  # as long as the grid
    ],
)
def test_a_clip_ends_with_the_first_of_sound_and_picture_where_the_other_ends_soon(
    tmp_path, seen, heard, segments, status
):
    tailed(tmp_path / "a.mkv", seen, heard)
    report = toy_harvest("a", tmp_path, tmp_path / "store", options=WHOLE)
    store = read_store(tmp_path / "store")
    assert (report.counts, store.segments.tolist()) == ({status: 1}, [segments])
    left_out = label_clips(store, {"audio": np.zeros(2), "visual": np.zeros(2)})[1] if status != "short" else None
    assert not left_out
    if status == "cut":
        assert all(np.isfinite(array).all() for array in store.arrays.values())
        alone = "sound without picture" if heard > seen else "picture without sound"
        assert report.rows[0].message == f"the last {max(seen, heard) - 5:.1f} s are {alone} and were not read"


def test_evidence_before_such_an_end_is_that_of_a_clip_without_it(tmp_path):
    for name, heard in (("a", 5.0), ("b", 5.2)):
        tailed(tmp_path / f"{name}.mkv", 5.0, heard)
        toy_harvest(name, tmp_path, tmp_path / name, options=WHOLE)
    plain, tail = (read_store(tmp_path / name).arrays for name in "ab")
    for name, array in plain.items():
        np.testing.assert_array_equal(tail[name], array)


def test_workers_batches_and_order_change_no_byte(videos, whole, tmp_path):
    toy_harvest("abcdef", videos, tmp_path / "none", options=WHOLE)
    assert digests(tmp_path / "none") == digests(whole)


def test_files_that_come_later_and_shares_end_in_the_same_bytes(videos, whole, tmp_path):
    few = some_of(videos, tmp_path / "few", "b", "e")
    toy_harvest("abcdef", few, tmp_path / "late", options=WHOLE)
    assert toy_harvest("abcdef", videos, tmp_path / "late", options=WHOLE).counts["missing"] == 1
    assert digests(tmp_path / "late") == digests(whole)
    for share in ("1/2", "2/2"):
        toy_harvest("abcdef", videos, tmp_path / share[0], options=replace(WHOLE, share=read_share(share)))
    merge_stores([tmp_path / "1", tmp_path / "2"], tmp_path / "merged")
    assert verify_store(tmp_path / "merged").problems == verify_store(whole).problems == ()
    merged, undisturbed = digests(tmp_path / "merged"), digests(whole)
    assert {name: merged[name] for name in undisturbed if "weights" not in name} == {
        name: value for name, value in undisturbed.items() if "weights" not in name
    }


def test_a_store_is_of_one_length(videos, whole, tmp_path):
    with pytest.raises(ValueError, match="was harvested with length=whole, got length=clip"):
        toy_harvest("a", videos, whole)
    with pytest.raises(ValueError, match="length must be one of clip, whole, windows, got 'long'"):
        replace(OPTIONS, length="long")


def test_rows_that_do_not_say_how_many_segments_they_have_are_a_problem(videos, tmp_path):
    from valor.label_harvest.store.shards import read_shard, write_shard

    toy_harvest("ab", videos, tmp_path, options=WHOLE)
    folder = store_folder(tmp_path)
    rows, arrays = read_shard(folder, 0)
    rows = [replace(row, provenance={**row.provenance, "segments": 7}) for row in rows]
    write_shard(folder, 0, arrays, rows)  # 4 and 10 rows of 14
    assert not verify_store(tmp_path).problems
    rows = [replace(row, provenance={}) for row in rows]
    with pytest.raises(ValueError, match="must have 2 rows"):
        write_shard(folder, 0, arrays, rows)


def test_labels_and_training_take_clips_of_any_length(videos, whole, tmp_path):
    thresholds = {"audio": np.zeros(2), "visual": np.zeros(2)}
    labels, left_out = label_clips(read_store(whole), thresholds)
    assert labels.clip_ids == ("a", "b", "c") and set(left_out) == {"d", "e", "f"}
    assert labels.labels.shape == (3, 10, 2, 2) and labels.segments.tolist() == [4, 10, 2]
    assert not labels.labels[~labels.valid].any()
    write_labels(tmp_path, labels)
    split = Split("train", ("c", "a"), labels.class_names, np.ones((2, 2), bool))
    features = FeatureOptions(audio="audio.embedding", visual="visual.embedding", motion=None)
    clips = read_clip_set(tmp_path, split, features, labels=tmp_path, store=whole)
    assert clips.valid.tolist() == [[True, True, False, False], [True] * 4]
    np.testing.assert_array_equal(clips.pseudo_labels, labels.labels[[2, 0], :4])
    assert not clips.audio[0, 2:].any() and clips.audio[0, :2].any()


def test_what_a_clip_of_the_grid_leaves_out_is_a_status(videos, tmp_path):
    report = toy_harvest("ab", videos, tmp_path)
    assert report.counts == {"ok": 1, "cut": 1} and not report.failures
    assert report.rows[1].message == "the 3.0 s behind the 2 s of the grid were not read"


def test_a_run_that_was_killed_is_resumed_to_the_same_bytes(videos, tmp_path):
    toy_harvest("abcef", videos, tmp_path / "undisturbed", options=WHOLE)
    command = [sys.executable, "-m", "tests.helpers.toy_harvest", videos, tmp_path / "killed", "--length", "whole"]
    for _ in range(2):
        with subprocess.Popen([*map(str, command), "--seconds", "0.3"], cwd=ROOT, start_new_session=True) as process:
            while not list((tmp_path / "killed").glob("*/manifest.json")):
                assert process.poll() is None
                time.sleep(0.02)
            time.sleep(0.4)
            os.killpg(process.pid, signal.SIGKILL)
    toy_harvest("abcef", videos, tmp_path / "killed", options=WHOLE)
    assert digests(tmp_path / "killed") == digests(tmp_path / "undisturbed")


def test_the_command_says_how_much_was_left_out_and_takes_it_when_asked(tmp_path):
    """A film of a minute: ten seconds of it, all of it, all of it in windows."""
    classes = class_names(LLP_CLASSES)
    (tmp_path / "clips.csv").write_text(f"filename\tevent_labels\nfilm\t{classes[0]},{classes[5]}\n", encoding="utf-8")
    (tmp_path / "videos").mkdir()
    video, sound = ToyVideo(seconds=60.0, rate=4, width=32, height=32), ToySound(seconds=60.0, rate=8000)
    write_toy_clip(tmp_path / "videos" / "film.mkv", video=replace(video, still=True), sound=sound)
    teachers = ("--visual", "demo-visual", "--audio", "demo-audio", "--quiet")
    for length, segments in (("clip", 10), ("whole", 60), ("windows", 60)):
        store = tmp_path / length
        done = typed(
            "harvest", tmp_path / "clips.csv", "--videos", tmp_path / "videos", "--store", store, "--length", length,
            *teachers,
        )  # fmt: skip
        assert done.code == 0, done.err
        assert ("the 50 s behind it were not read" in done.out) == (length == "clip")
        assert typed("labels", store, "--out", tmp_path / f"{length}-labels").code == 0
        assert read_pseudo_labels(tmp_path / f"{length}-labels").labels.shape == (1, segments, 2, 25)
