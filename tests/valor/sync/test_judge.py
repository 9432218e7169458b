"""What is said of media whose sound was moved, of others, and of those of which nothing can be said."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.sync import Struck, moved, told_all
from benchmarks.sync_films import joined as joining
from tests.helpers.toy_sync import write_flashes
from tests.helpers.toy_viewer import write_webm
from valor.demo.world.render import write_streams
from valor.label_harvest.media.streams import DirectReader
from valor.sync.judge import Verdict, judge_all, report_of, together, verdict_of
from valor.sync.measure import (
    Peak,
    SyncRun,
    calibrated,
    confidence_of,
    evidence_of,
    peak_of,
    read_run,
    volume_of,
    write_run,
)
from valor.sync.media import Steps, read_steps
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


def test_a_run_that_learned_nothing_is_blamed_and_not_the_file(run, tmp_path):
    assert run.card.learned
    path = write_flashes(tmp_path / "late.mp4", 50, late=0.7)
    by_accident = {"right": 2 / 108, "files": 48, "reach": 2.5, "weights": (-1.5, 1.0, 0.0, -1.1)}
    for card in ({"weights": (-3.5, 0.0, 0.0, -6e-7)}, by_accident):
        ignorant = replace(run, card=replace(run.card, **card))
        assert not ignorant.card.learned
        (found,) = judged(ignorant, path)
        assert (found.verdict, found.note) == ("cannot say", "its run has learned nothing of offsets")


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
    assert run.evidence(again) == pytest.approx(run.evidence(steps), abs=1e-3)


def test_confidence_follows_what_was_right():
    peaks = [Peak(0.0, height, lead) for height in (1, 2, 3, 4, 5, 6) for lead in (0.1, 0.5)]
    weights = calibrated(peaks, [peak.height > 3 for peak in peaks])
    assert confidence_of(weights, peaks[0]) < 0.1 < 0.9 < confidence_of(weights, peaks[-1])
    assert calibrated(peaks, [False] * 12)[1:3] == (0.0, 0.0)  # never the other way round
    assert calibrated(peaks, [peak.height < 3 for peak in peaks])[1] == 0
    assert peak_of(np.eye(1, 51, 30)[0]).offset == 0.25
    longer = [replace(peak, windows=8) for peak in peaks]  # of which a height means less
    weights = calibrated([*peaks, *longer], [*(peak.height > 3 for peak in peaks), *(p.height > 5 for p in longer)])
    assert confidence_of(weights, longer[-4]) < confidence_of(weights, peaks[-4])


@pytest.fixture(scope="module")
def late(run, tmp_path_factory):
    """Steps of three films whose sound comes 0.7 s late, and of one in step."""
    folder = tmp_path_factory.mktemp("late")
    paths = [write_flashes(folder / f"{seed}.mp4", seed, late=0.7) for seed in (50, 53, 60)]
    return [read_steps(path, DirectReader(), seconds=10)[0] for path in (*paths, write_flashes(folder / "in.mp4", 52))]


def joined(*parts):
    pictures, spectra = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pictures", "spectra"))
    return Steps(pictures, spectra, 0.0)


def verdict(run, steps, **options):
    return verdict_of(Path("film.mp4"), steps, run, JudgeOptions(**options))


def test_windows_of_a_film_are_summed(run, late):
    alone = [run.evidence(steps) for steps in late[:3]]
    assert [found.shape for found in alone] == [(1, 61)] * 3
    (whole,) = run.net(volume_of(late[0].pictures[None], late[0].spectra[None], 30)).double().detach().numpy()
    assert alone[0] == pytest.approx(evidence_of(whole[None], 30), abs=1e-4)
    film = run.evidence(joined(*late[:3]))
    assert film.shape == (3, 61) and film[1] != pytest.approx(alone[1][0], abs=1e-3)  # the sound reaches over its ends
    said = verdict(run, joined(*late[:3]))
    assert (said.verdict, said.windows, said.seconds) == ("off", 3, 18) and said.offset == pytest.approx(0.7, abs=0.1)
    peaks = [peak_of(found.sum(axis=0)).lead for found in (film, alone[0])]
    assert peaks[0] > 1.5 * peaks[1] and (np.array(said.evidence.split(), int).max(), said.note) == (0, "")


def test_no_window_counts_for_more_than_it_can_know():
    scores = np.array([[0.0, 900, 0, 0, 0], [0, 0, 0, 2, 0], [0, 0, 0, 2, 0]])
    found = evidence_of(scores, 3)
    assert found.shape == (3, 7) and found[0, 2] - found[0, 3] == pytest.approx(np.log(6))
    assert found[:, 0] == pytest.approx(-np.log(5)) == found[0, -1]  # what was too far for it is left open
    assert np.exp(found[:, 1:-1]).sum(axis=1) == pytest.approx(1)


def test_a_film_that_is_off_in_one_half_says_so(run, late):
    said = verdict(run, joined(late[0], late[3]))
    assert said.verdict == "off" and said.offset == pytest.approx(0.7, abs=0.1), said
    assert said.note.startswith(f"its first half is at {said.offset:+.2f}, its second at -0.0"), said
    assert said.note in said.words


def test_files_with_the_same_fault_are_said_together(run):
    run, options = SyncRun(run.net, replace(run.card, weights=(-3.0, 0.0, 1.0, 0.0))), JudgeOptions()

    def leaning(shift):
        below = " ".join("0" if place == shift else "-100" for place in range(61))
        return Verdict(path=Path(f"{shift}.mp4"), verdict="cannot say", windows=2, evidence=below)

    said = together([leaning(44)] * 5, run, options)
    assert (said.verdict, said.offset, said.windows, round(said.confidence, 3)) == ("off", 0.7, 10, 0.881)
    assert report_of([leaning(44)] * 5, run, options)["together"]["offset"] == 0.7
    silent = Verdict(path=Path("silent.mp4"), verdict="cannot say")
    assert together([*[leaning(44)] * 6, leaning(3), silent], run, options).offset == 0.7  # one is outvoted
    fine = replace(leaning(30), verdict="in step", offset=0.0)
    for others in ([leaning(44)], [leaning(44)] * 3, [*[leaning(44)] * 9, fine], [silent]):
        assert together(others, run, options) is None is report_of(others, run, options)["together"]


def test_runs_of_another_kind_and_damaged_ones_are_refused(run, trained, tmp_path):
    for where, said in ((tmp_path, "a run of another kind, or one"), (tmp_path / "gone", "no such file")):
        with pytest.raises(FileNotFoundError, match=said):
            read_run(where)
    path = write_run(tmp_path, SyncRun(run.net, run.card))
    (tmp_path / "old").mkdir()
    old = write_run(tmp_path / "old", SyncRun(run.net, replace(run.card, weights=run.card.weights[:3])))
    with pytest.raises(ValueError, match="trained before windows were summed; train it again"):
        read_run(old)
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


def test_the_benchmark_fades_sound_and_picture_alike():
    parts = [(np.full((20, 1, 1), bright), np.full(40, bright, np.int16)) for bright in (0, 100)]
    pictures, sound = joining((*parts, parts[0]), (20, 40), 0.5)
    assert pictures.shape == (40, 1, 1) and sound.shape == (80,)
    assert pictures[9:21, 0, 0].tolist() == [0, 5, 15, 25, 35, 45, 55, 65, 75, 85, 95, 95] and pictures[-1] == 0
    assert np.abs(sound[::2] - pictures[:, 0, 0]).max() <= 3
    assert [len(stream) for stream in joining(parts, (20, 40), 0.0)] == [40, 80]


def test_whoever_is_told_all_strokes_finds_the_offset():
    times = np.cumsum(0.2 + np.random.default_rng(0).exponential(0.5, 9))
    struck = {"Dog": Struck(times, times, times, 6, True), "Car": Struck(times[::2] + 3.1, np.zeros(0), times, 6, True)}
    for by_class in (False, True):
        assert told_all(struck, 1.1, by_class=by_class) == pytest.approx(1.1, abs=0.011)
