"""Recordings read in a process: what comes out equals what is read here, and no file stops or starves a batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.bad_readers import PATIENCE
from tests.helpers.forked import start
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from tests.label_harvest.media.test_decode_pool import assert_alarm_ends, children, gone
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.process import ChildProcess, DecodeLimits
from valor.label_harvest.media.stream_reader import ProcessReader
from valor.label_harvest.media.streams import DirectReader
from valor.label_harvest.media.windows import read_windows

pytestmark = pytest.mark.usefixtures("forked_decoders")

GRID = Grid(num_segments=4, sample_rate=8000)
BAD = "tests.helpers.bad_readers:reader"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Sixty seconds of both streams; tests link to it under other names."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    video = ToyVideo(seconds=60, rate=4, width=32, height=32, still=True)
    return write_toy_clip(path, video=video, sound=ToySound(seconds=60, rate=8000, codec="pcm_s16le"))


def named(film: Path, folder: Path, name: str) -> Path:
    (folder / f"{name}.mkv").symlink_to(film)
    return folder / f"{name}.mkv"


def read(reader, path, grid=GRID, **options):
    return list(read_windows(reader.survey(path), grid, hop=2, reader=reader, **options))


def pid_of(reader: ProcessReader) -> int:
    return reader._process._process.pid


def equal(one, other):
    same = [one.start == other.start, np.array_equal(one.present, other.present)]
    for name in ("frames", "waveform", "slots"):
        mine, its = getattr(one.clip, name), getattr(other.clip, name)
        same.append(mine is its is None or np.array_equal(mine, its))
    return all(same)


@pytest.mark.parametrize("slots", [False, True])
def test_windows_are_the_same_whoever_reads_them(tmp_path, slots):
    write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(seconds=23), sound=ToySound(seconds=23, rate=44100))
    write_toy_clip(tmp_path / "b.mkv", video=ToyVideo(seconds=3, start=6.0), sound=ToySound(seconds=70, rate=48000))
    write_toy_clip(tmp_path / "c.wav", sound=ToySound(seconds=40, rate=11025, codec="pcm_s16le"))
    write_toy_clip(tmp_path / "d.mkv", video=ToyVideo(seconds=5, width=34, height=30))
    with ProcessReader() as reader:
        for path in sorted(tmp_path.iterdir()):
            assert reader.survey(path) == DirectReader().survey(path)
            here, there = read(DirectReader(), path, slots=slots), read(reader, path, slots=slots)
            assert len(here) == len(there) and all(map(equal, here, there))
            assert all(window.clip.frames is None or window.clip.frames.flags.writeable for window in there)


def test_one_process_serves_file_after_file_and_nothing_is_left(film, tmp_path):
    paths = [named(film, tmp_path, name) for name in "abcdef"]
    with ProcessReader() as reader:
        pids, before = set(), 0
        for path in paths:
            read(reader, path)
            pids.add(pid_of(reader))
            before = before or len(os.listdir("/proc/self/fd"))
        assert len(pids) == 1 and len(os.listdir("/proc/self/fd")) <= before
        next(read_windows(reader.survey(film), GRID, hop=2, reader=reader))  # left in its middle
        assert len(read(reader, film)) == 29
    assert gone(list(pids))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hang", f"hang.mkv: decoding stood still for {PATIENCE:g} s and was stopped after 3. s of its picture; allow"),
        ("crash", r"crash.mkv: the decoder died of SIGABRT after 3. s of its picture; convert it, or leave it out"),
        ("leave", r"leave.mkv: the decoder ended itself with exit code 7 after 3. s of its picture"),
        ("eat", r"eat.mkv: the decoder ran out of its 300 MiB of memory after 3. s of its picture; allow it more"),
        ("stumble", r"stumble.mkv: cannot be decoded \(KeyError: 'a mistake in a decoder'\)"),
        (
            "survey_hang",
            f"survey_hang.mkv: decoding stood still for {PATIENCE:g} s and was stopped at its start; allow",
        ),
        ("survey_crash", r"survey_crash.mkv: the decoder died of SIGABRT at its start"),
        ("sound_crash", r"sound_crash.mkv: the decoder died of SIGABRT at the start of its sound"),
    ],
)
def test_a_decoder_that_misbehaves_costs_its_file_alone(film, tmp_path, name, said):
    limits = DecodeLimits(seconds=PATIENCE if "hang" in name else 60, memory=300)
    with ProcessReader(limits, source=BAD) as reader:
        read(reader, film)
        first, started = pid_of(reader), time.monotonic()
        with pytest.raises(MediaError, match=f"^{said}") as caught:
            read(reader, named(film, tmp_path, name))
        assert time.monotonic() - started < 15
        assert (caught.value.status == "timeout") == ("hang" in name)
        assert len(read(reader, film)) == 29 and (name == "stumble" or gone([first]))


def test_slow_is_not_hanging(film, tmp_path):
    """Twice the limit passes without a frame, but packets go through."""
    with ProcessReader(DecodeLimits(seconds=PATIENCE), source=BAD) as reader:
        started = time.monotonic()
        assert len(read(reader, named(film, tmp_path, "slow"))) == 29
        assert time.monotonic() - started > 2 * PATIENCE


def test_a_process_that_was_killed_or_stopped_is_noticed(film):
    with ProcessReader(DecodeLimits(seconds=PATIENCE)) as reader:
        windows = read_windows(reader.survey(film), GRID, hop=2, reader=reader)
        next(windows)
        os.kill(pid_of(reader), signal.SIGSTOP)
        with pytest.raises(MediaError, match="decoding stood still"):
            list(windows)
        windows = read_windows(reader.survey(film), GRID, hop=2, reader=reader)
        next(windows)
        os.kill(pid_of(reader), signal.SIGKILL)
        with pytest.raises(MediaError, match="the decoder died of SIGKILL after"):
            list(windows)


def test_an_idle_process_that_was_killed_costs_no_file(film):
    with ProcessReader() as reader:
        read(reader, film)
        idle = pid_of(reader)
        os.kill(idle, signal.SIGKILL)
        assert len(read(reader, film)) == 29 and pid_of(reader) != idle


def test_processes_that_end_before_they_read_anything_are_no_fault_of_the_file(film, monkeypatch):
    real, killed = ChildProcess.send, []

    def send(self, request):
        if not self._ready:
            self._wait_until_ready()
        self.kill()
        killed.append(self._process.wait(30))
        real(self, request)

    monkeypatch.setattr(ChildProcess, "send", send)
    said = r"end before they read anything \(one died of SIGKILL\); see what ends them"
    with ProcessReader() as reader, pytest.raises(OSError, match=said):
        reader.survey(film)
    assert killed == [-signal.SIGKILL] * 3


def test_a_refusal_is_the_same_whoever_reads(tmp_path):
    (tmp_path / "page.mp4").write_text("<html>")
    damaged = write_toy_clip(tmp_path / "v.mp4", video=ToyVideo(seconds=9, noise=True))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    damaged.write_bytes(bytes(content))
    with ProcessReader() as reader:
        for path in (tmp_path / "page.mp4", damaged, tmp_path / "none.mp4"):
            said = []
            for who in (DirectReader(), reader):
                with pytest.raises(MediaError) as caught:
                    read(who, path)
                said.append((str(caught.value), caught.value.status))
            assert said[0] == said[1] and path.name in said[0][0]


def test_pieces_are_made_one_ahead_and_no_more(film):
    """What keeps memory from growing: a film that nobody reads on is not decoded on."""
    with ProcessReader() as reader:
        windows = read_windows(reader.survey(film), GRID, hop=2, reader=reader)
        next(windows)
        assert sorted([*reader._asked, *reader._arrived]) == ["frames", "sound"]
        assert all(len(kept) == 1 for kept in reader._arrived.values())
        ticks = []
        for _ in range(3):
            ticks.append(Path(f"/proc/{pid_of(reader)}/stat").read_text().rsplit(")")[-1].split()[11:13])
            time.sleep(0.3)
        assert ticks[1] == ticks[2]


def reading(words):
    """Read a file in a process, and say where each window begins."""
    with ProcessReader(source=BAD) as reader:
        try:
            for window in read_windows(reader.survey(Path(words[0])), Grid(), hop=5, reader=reader):
                os.write(1, b"%g\n" % window.start)
        except KeyboardInterrupt:
            return 130


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans end with their alarm")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_orphan_is_left_however_the_parse_ends(film, tmp_path, how):
    path = named(film, tmp_path, "hang")
    said = tmp_path / "said"
    parent = start(reading, [path], said)
    while not said.exists() or not said.read_text().startswith("0\n"):
        assert parent.is_alive(), said.read_text()
        time.sleep(0.01)
    orphans = children(parent.pid)
    assert len(orphans) == 1
    os.killpg(parent.pid, how)  # as Ctrl-C does, to all of the foreground
    parent.join(20)
    assert parent.exitcode == (130 if how == signal.SIGINT else -how)
    assert gone(orphans)


def test_an_orphan_ends_itself_with_its_alarm(film, tmp_path):
    """What helps where the system tells no child of the death of its parent: here the parent lives and never looks."""
    path = named(film, tmp_path, "survey_hang")
    service = "valor.label_harvest.media.stream_reader:StreamService"
    assert_alarm_ends(service, BAD, {"stream": "survey", "path": str(path)})


def test_a_reading_process_is_light():
    code = (
        "import sys, valor.label_harvest.media.stream_reader, av; print({'torch', 'pandas', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_keeps_every_process_from_working_is_no_fault_of_the_file(film):
    with (
        ProcessReader(source="tests.no_such_module:reader") as reader,
        pytest.raises(OSError, match=r"\(No module named 'tests.no_such_module'\); decode without them"),
    ):
        reader.survey(film)


def test_a_decoder_without_memory_for_its_threads_says_so(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(seconds=2), sound=ToySound(seconds=2))
    with (
        ProcessReader(DecodeLimits(memory=50), source="tests.helpers.bad_readers:starved") as reader,
        pytest.raises(MediaError, match=r"a\.mp4: the decoder ran out of its 50 MiB of memory at its start; allow it"),
    ):
        reader.survey(path)


@pytest.mark.usefixtures("started_decoders")  # those that are forked have memory to spare
def test_too_little_memory_is_not_called_damage(tmp_path):
    path = write_toy_clip(tmp_path / "a.mp4", video=ToyVideo(seconds=2), sound=ToySound(seconds=2))
    with (
        ProcessReader(DecodeLimits(memory=1)) as reader,
        pytest.raises(MediaError, match="the decoder ran out of its 1 MiB of memory .*allow it more"),
    ):
        read(reader, path)
    (tmp_path / "text.mp4").write_text("no film", encoding="ascii")
    with ProcessReader() as reader, pytest.raises(MediaError, match=r"text\.mp4: cannot be decoded"):
        reader.survey(tmp_path / "text.mp4")
