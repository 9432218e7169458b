"""What is said of media whose sound was moved, of others, and of those of which nothing can be said."""

import av
import numpy as np
import pytest

from benchmarks.sync import moved
from tests.helpers.toy_sync import write_flashes
from tests.helpers.toy_viewer import write_webm
from valor.demo.world.render import write_streams
from valor.label_harvest.media.streams import DirectReader
from valor.sync.judge import judge_all, verdict_of
from valor.sync.measure import Peak, SyncRun, calibrated, confidence_of, peak_of, read_run, scores_of, write_run
from valor.sync.media import read_steps
from valor.sync.options import JudgeOptions


@pytest.fixture(scope="module")
def run(trained):
    return read_run(trained[0])


def judged(run, *paths, **options):
    return list(judge_all([(path, "") for path in paths], run, JudgeOptions(**options)))


def test_moved_sounds_are_found_and_others_left(run, tmp_path):
    late = {0.7: ("late.mp4", 50), -1.1: ("early.mp4", 53), 0.0: ("in.mp4", 52)}
    paths = [write_flashes(tmp_path / name, seed, late=by) for by, (name, seed) in late.items()]
    found = judged(run, *paths)
    assert [one.verdict for one in found] == ["off", "off", "in step"], found
    for one, by in zip(found, late, strict=True):
        assert one.offset == pytest.approx(by, abs=0.1) and one.confidence > 0.8 and one.seconds == 6
    assert found[0].words == f"its sound comes {found[0].offset:.2f} s late" and "early" in found[1].words


def test_sounds_of_something_else_are_no_offset(run, tmp_path):
    paths = [write_flashes(tmp_path / f"{seed}.mp4", seed, light=False) for seed in (57, 58, 59)]
    found = judged(run, *paths, sure=0.8)
    assert [one.verdict for one in found] == ["cannot say"] * 3 and all(one.offset is None for one in found), found
    assert found[0].note == "nothing in it ties sound to picture"
    assert all(one.offset is not None for one in judged(run, *paths, sure=0.0))


def write_plain(path, *, still=False, silent=False):
    rng = np.random.default_rng(0)
    images = np.full((100, 48, 64, 3), 90, np.uint8) if still else rng.integers(0, 255, (100, 48, 64, 3), np.uint8)
    sound = np.zeros(160000, np.float32) if silent else rng.normal(0, 0.1, 160000).astype(np.float32)
    with av.open(str(path), "w", format="mp4") as container:
        write_streams(container, iter(images), sound, rate=20)
    return path


def write_mute(path):
    with av.open(str(path), "w", format="webm") as container:
        video = container.add_stream("libvpx", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(60):
            image = np.full((48, 64, 3), 3 * number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))


def test_of_still_pictures_and_silence_nobody_can_say(run, tmp_path):
    still, silent = judged(
        run, write_plain(tmp_path / "still.mp4", still=True), write_plain(tmp_path / "silent.mp4", silent=True)
    )
    assert (still.verdict, still.note) == ("cannot say", "its picture stands still")
    assert (silent.verdict, silent.note, silent.confidence) == ("cannot say", "its sound is silent", None)


def test_what_cannot_be_judged_is_said_in_a_sentence_and_the_rest_goes_on(run, tmp_path, films):
    write_mute(tmp_path / "mute.webm")
    write_webm(tmp_path / "blind.webm", seconds=6, picture=False)
    (tmp_path / "bad.mp4").write_bytes(b"no media")
    short = write_flashes(tmp_path / "short.mp4", 1, seconds=3)
    names = ("mute.webm", "blind.webm", "bad.mp4", "gone.mp4")
    found = judged(run, *(tmp_path / name for name in names), short, films[0], sure=0.5)
    assert [one.verdict for one in found] == ["not read"] * 5 + ["in step"], found
    for one, said in zip(found, ("has no sound", "has no picture", "", "no such file", "has 3.0 s of"), strict=False):
        assert said in one.note and one.offset is None


def test_long_media_are_looked_at_as_far_as_is_asked(run, films, monkeypatch):
    (steps,) = read_steps(films[0], DirectReader(), seconds=5)
    assert len(steps) == 100 and verdict_of(films[0], steps, run, JudgeOptions(seconds=5)).seconds == 5
    monkeypatch.setattr("valor.sync.media._BLOCK_STEPS", 17)
    (again,) = read_steps(films[0], DirectReader(), seconds=5)
    assert scores_of(run.net, again, 1.5) == pytest.approx(scores_of(run.net, steps, 1.5), abs=1e-3)


def test_confidence_follows_what_was_right():
    peaks = [Peak(0.0, height, lead) for height in (1, 2, 3, 4, 5, 6) for lead in (0.1, 0.5)]
    weights = calibrated(peaks, [peak.height > 3 for peak in peaks])
    assert confidence_of(weights, peaks[0]) < 0.1 < 0.9 < confidence_of(weights, peaks[-1])
    assert calibrated(peaks, [False] * 12)[1:] == (0.0, 0.0)  # never the other way round
    assert calibrated(peaks, [peak.height < 3 for peak in peaks])[1] == 0
    assert peak_of(np.eye(1, 51, 30)[0]).offset == 0.25


def test_runs_of_another_kind_and_damaged_ones_are_refused(run, trained, tmp_path):
    for where, said in ((tmp_path, "a run of another kind, or one"), (tmp_path / "gone", "no such file")):
        with pytest.raises(FileNotFoundError, match=said):
            read_run(where)
    path = write_run(tmp_path, SyncRun(run.net, run.card))
    payload = bytearray(path.read_bytes())
    payload[-3] ^= 1
    path.write_bytes(bytes(payload))
    with pytest.raises(ValueError, match="its checksum differs"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"sure": 1.0}, "sure must be"), ({"tolerance": 0.0}, "tolerance must be"), ({"seconds": 1.0}, "at least 4")],
)
def test_options_that_judge_nothing_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        JudgeOptions(**wrong)


@pytest.mark.parametrize("offset", [0.37, -1.9, 2.0])
def test_the_benchmark_moves_sounds_by_as_much_as_it_says(offset):
    frames, sound = np.arange(200), np.arange(320000)
    seen, heard = moved(frames, sound, 20, offset)
    assert seen[0] / 20 - heard[0] / 32000 == pytest.approx(offset, abs=1e-4)
    assert len(heard) / 32000 == pytest.approx(len(seen) / 20) and len(seen) >= 159
    assert heard[0] >= 0 and heard[-1] < 320000
