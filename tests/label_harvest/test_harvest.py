"""The loop: whole and broken clips, resuming, appending, and the same bytes whatever happened on the way."""

import dataclasses

import numpy as np
import pytest

from tests.helpers.toy import FakeTeacher, ToySound, ToyVideo, write_toy_clip, write_toy_world
from valor.label_harvest.harvest import HarvestOptions, harvest
from valor.label_harvest.media.clip import Grid
from valor.label_harvest.store.manifest import HarvestManifest
from valor.label_harvest.store.store import read_store
from valor.label_harvest.teachers.teacher import Evidence

CLASSES = ("Dog", "Cat")
GRID = Grid(num_segments=4, segment_seconds=0.5, tolerance_seconds=0.1)
OPTIONS = HarvestOptions(grid=GRID, shard_size=2, clips_per_batch=2, decode_workers=0)
CLIPS = ("a", "b", "c", "d", "e")


def manifest_of(*clip_ids):
    weak_labels = np.array([[number % 2 == 0, True] for number in range(len(clip_ids))])
    return HarvestManifest(clip_ids, CLASSES, weak_labels)


def teachers():
    return [FakeTeacher("visual"), FakeTeacher("audio", sample_rate=8000)]


def run(clip_ids, videos, store, *, made=None, options=OPTIONS):
    return harvest(manifest_of(*clip_ids), videos, store, made or teachers(), options=options, progress=False)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_toy_world(tmp_path_factory.mktemp("videos"), CLIPS, seconds=2.0)


def test_clips_become_evidence(videos, tmp_path):
    report = run(CLIPS, videos, tmp_path)
    assert report.counts == {"ok": 5} and report.failures == () and report.skipped == 0
    store = read_store(tmp_path)
    assert store.clip_ids == CLIPS
    assert (store.weak_labels == manifest_of(*CLIPS).weak_labels).all()
    assert store.arrays["audio.similarity"].shape == (5, 4, 2)
    levels = store.arrays["audio.embedding"][:, :, 0]
    np.testing.assert_allclose(levels, np.repeat(0.1 + 0.05 * np.arange(5)[:, None], 4, axis=1), atol=2e-3)
    assert store.manifest["grid"]["sample_rate"] == 8000
    assert [row.tags for row in report.rows][:2] == [("Dog", "Cat"), ("Cat",)]
    assert (report.folder / "failures.csv").read_text() == "clip_id,status,message\n"
    assert 0 < sum(vars(report.clock).values()) <= report.seconds and report.clock.network > 0


def test_a_clip_that_is_not_where_its_path_leads_says_the_path(videos, tmp_path):
    paths = ("", "far/b.mp4", "tars/0.tar/x/c.mp4", "one.mkv")
    manifest = dataclasses.replace(manifest_of("gone", "b", "c", "d"), paths=paths)
    videos_there = tmp_path / "videos"
    videos_there.mkdir()
    (videos_there / "one.mkv").write_bytes((videos / "b.mkv").read_bytes())
    report = harvest(manifest, videos_there, tmp_path / "store", teachers(), options=OPTIONS, progress=False)
    assert [row.message for row in report.failures] == [
        "no file of this name among the videos",
        "no file far/b.mp4 among the videos",
        "no member x/c.mp4 of tars/0.tar among the videos",
    ]
    assert "no member x/c.mp4 of tars/0.tar" in (report.folder / "failures.csv").read_text()


def test_broken_clips_become_rows_and_absent_evidence(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_toy_clip(folder / "mute.mkv", video=ToyVideo(seconds=2.0))
    write_toy_clip(folder / "blind.wav", sound=ToySound(seconds=2.0, rate=8000, codec="pcm_s16le"))
    write_toy_clip(folder / "half.mkv", video=ToyVideo(seconds=1.0), sound=ToySound(seconds=2.0, codec="pcm_s16le"))
    (folder / "torn.mp4").write_bytes((videos / "a.mkv").read_bytes()[:100])
    (folder / "whole.mkv").write_bytes((videos / "a.mkv").read_bytes())
    clips = ("mute", "blind", "half", "torn", "gone", "whole")
    report = run(clips, folder, tmp_path / "store", options=dataclasses.replace(OPTIONS, decode_workers=2))
    statuses = ("no_audio", "no_video", "short", "undecodable", "missing", "ok")
    assert tuple(row.status for row in report.rows) == statuses
    assert [row.clip_id for row in report.failures] == list(clips[:-1])
    store = read_store(tmp_path / "store")
    heard = np.isfinite(store.arrays["audio.similarity"]).all((1, 2))
    assert heard.tolist() == [False, True, True, False, False, True]
    seen = np.isfinite(store.arrays["visual.similarity"]).all(2)
    assert seen.sum(1).tolist() == [4, 0, 2, 0, 0, 4] and seen[2].tolist() == [True, True, False, False]
    assert (np.isnan(store.arrays["visual.embedding"]).all(2) == ~seen).all()
    lines = (report.folder / "failures.csv").read_text().splitlines()
    assert lines[1:3] == ["mute,no_audio,no audio stream", "blind,no_video,no video stream"]


def test_a_fused_teacher_needs_both_streams(videos, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_toy_clip(folder / "mute.mkv", video=ToyVideo(seconds=2.0))
    (folder / "whole.mkv").write_bytes((videos / "a.mkv").read_bytes())
    run(("mute", "whole"), folder, tmp_path / "store", made=[FakeTeacher("fused", sample_rate=8000)])
    similarity = read_store(tmp_path / "store").arrays["fused.similarity"]
    assert np.isnan(similarity[0]).all() and np.isfinite(similarity[1]).all()


def test_what_is_done_is_skipped_and_said(videos, tmp_path, caplog):
    before = files_of(run(CLIPS, videos, tmp_path).folder)
    made = teachers()
    with caplog.at_level("INFO"):
        report = run(CLIPS, videos, tmp_path, made=made)
    assert report.skipped == 5 and report.counts == {"ok": 5} and made[0].batches == 0
    assert "5 of 5 clips are cached already" in caplog.text
    assert files_of(report.folder) == before


class StoppedError(Exception):
    """Stands for a kill."""


@dataclasses.dataclass
class FailingTeacher(FakeTeacher):
    """Stops the run at its second batch."""

    def encode_many(self, clips):
        if self.batches:
            raise StoppedError
        return super().encode_many(clips)


def test_a_resumed_run_has_the_bytes_of_an_undisturbed_one(videos, tmp_path):
    undisturbed = run(CLIPS, videos, tmp_path / "one")
    with pytest.raises(StoppedError):
        run(CLIPS, videos, tmp_path / "two", made=[FailingTeacher("visual"), FakeTeacher("audio", sample_rate=8000)])
    resumed = run(CLIPS, videos, tmp_path / "two")
    assert resumed.skipped == 2
    assert files_of(resumed.folder) == files_of(undisturbed.folder)


def test_a_damaged_shard_is_made_again(videos, tmp_path):
    report = run(CLIPS, videos, tmp_path)
    before = files_of(report.folder)
    path = report.folder / "00001.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    assert run(CLIPS, videos, tmp_path).skipped == 3
    assert files_of(report.folder) == before


def test_a_longer_manifest_appends(videos, tmp_path):
    run(CLIPS[:2], videos, tmp_path)
    report = run(CLIPS, videos, tmp_path)
    assert report.skipped == 2 and read_store(tmp_path).clip_ids == CLIPS


def test_other_tags_for_a_cached_clip_are_refused(videos, tmp_path):
    run(("a", "b"), videos, tmp_path)
    with pytest.raises(ValueError, match=r"1 clips with other tags, such as b \(store Cat; manifest Dog,Cat\)"):
        run(("b",), videos, tmp_path)


def test_other_teachers_get_another_folder(videos, tmp_path, caplog):
    first = run(("a",), videos, tmp_path).folder
    other = [FakeTeacher("visual", weights="other"), FakeTeacher("audio", sample_rate=8000)]
    assert "other teachers" not in caplog.text
    assert run(("a",), videos, tmp_path, made=other).folder != first
    assert f"holds evidence of other teachers too ({first.name}); name one folder to read it" in caplog.text


def test_batches_do_not_change_the_evidence(videos, tmp_path):
    run(CLIPS, videos, tmp_path / "one")
    options = dataclasses.replace(OPTIONS, clips_per_batch=5, shard_size=5, decode_workers=1)
    harvest(manifest_of(*CLIPS), videos, tmp_path / "two", teachers(), options=options, progress=False)
    one, two = read_store(tmp_path / "one"), read_store(tmp_path / "two")
    assert all((one.arrays[name] == two.arrays[name]).all() for name in one.arrays)


def test_teachers_that_do_not_fit_together_are_refused(videos, tmp_path):
    with pytest.raises(ValueError, match="different roles"):
        run(("a",), videos, tmp_path, made=[FakeTeacher(), FakeTeacher()])
    two = [FakeTeacher("audio", sample_rate=8000), FakeTeacher("fused", sample_rate=16000)]
    with pytest.raises(ValueError, match=r"one sample rate, got \[8000, 16000\]"):
        run(("a",), videos, tmp_path, made=two)


@dataclasses.dataclass
class BrokenTeacher(FakeTeacher):
    """Answers NaN, as a network with broken weights does."""

    def encode_many(self, clips):
        return [Evidence({}, np.full((4, 2), np.nan, np.float32)) for _ in clips]


def test_a_teacher_that_answers_nan_stops_the_run(videos, tmp_path):
    with pytest.raises(ValueError, match="similarity of the visual teacher must be finite .* for the clip a"):
        run(("a",), videos, tmp_path, made=[BrokenTeacher("visual")])


def test_options_check_themselves():
    with pytest.raises(ValueError, match="shard_size must be at least 1, got 0"):
        HarvestOptions(shard_size=0)


def test_evidence_checks_itself():
    with pytest.raises(ValueError, match=r"similarity must be float32 \[segments, classes\], got float64"):
        Evidence({}, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"feature 'map' must be \[rows, width\], got \[3\]"):
        Evidence({"map": np.zeros(3)}, np.zeros((4, 2), np.float32))
