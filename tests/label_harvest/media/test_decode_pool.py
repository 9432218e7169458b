"""Decoding processes: what they decode equals what is decoded here, and none of them can stop or outlive a harvest."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.helpers.toy import ToySound, ToyVideo, write_toy_clip
from valor.label_harvest.media import process as child_process
from valor.label_harvest.media.clip import Grid, MediaError
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.process import DecodeLimits
from valor.label_harvest.media.read import read_clip

GRID = Grid(num_segments=4, segment_seconds=0.5, sample_rate=8000, tolerance_seconds=0.1)
BAD = "tests.helpers.bad_decoders:decode"


def says(folder: Path, name: str, word: str, suffix: str = ".txt") -> Path:
    path = folder / f"{name}{suffix}"
    path.write_text(word, encoding="ascii")
    return path


def bad_pool(workers: int = 1, **limits) -> DecodePool:
    return DecodePool(workers, DecodeLimits(**limits), decode=BAD)


def trouble(pool: DecodePool, path: Path) -> tuple[str, str]:
    with pytest.raises(MediaError) as caught:
        pool.submit(path, GRID).result(60)
    return caught.value.status, str(caught.value)


def children(pid: int) -> list[int]:
    """Decoding processes of a process, the ones that have ended left out."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(status.parent.name))
    return found


def gone(pids: list[int], seconds: float = 10.0) -> bool:
    """Whether the processes end within some seconds."""
    for _ in range(round(seconds / 0.02)):
        states = [Path(f"/proc/{pid}/stat") for pid in pids]
        if not any(path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z" for path in states):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("workers", "slots"), [(0, False), (1, False), (2, False), (0, True), (2, True)])
def test_a_clip_is_the_same_whoever_decodes_it(tmp_path, workers, slots):
    write_toy_clip(tmp_path / "both.mp4", video=ToyVideo(seconds=2.0), sound=ToySound(seconds=2.0, rate=44100))
    write_toy_clip(tmp_path / "mute.mkv", video=ToyVideo(seconds=1.0, width=34, height=30))
    write_toy_clip(tmp_path / "blind.wav", sound=ToySound(seconds=2.0, rate=8000, codec="pcm_s16le", level=0.0))
    paths = sorted(tmp_path.iterdir())
    with DecodePool(workers, slots=slots) as pool:
        clips = [future.result() for future in [pool.submit(path, GRID) for path in paths]]
    for path, clip in zip(paths, clips, strict=True):
        expected = read_clip(path, grid=GRID, slots=slots)
        assert (clip.status, clip.message, clip.provenance) == (expected.status, expected.message, expected.provenance)
        for name in ("frames", "waveform", "frames_present", "slots"):
            one, other = getattr(clip, name), getattr(expected, name)
            assert (one is None) == (other is None)
            assert one is None or (one.dtype == other.dtype and one.flags.writeable and np.array_equal(one, other))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_refusal_is_the_same_whoever_decodes_it(tmp_path, workers):
    (tmp_path / "page.mp4").write_text("<html>")
    with DecodePool(workers) as pool:
        status, message = trouble(pool, tmp_path / "page.mp4")
        assert trouble(pool, tmp_path / "absent.mp4")[0] == "missing"
    assert (status, message) == (
        "undecodable",
        "page.mp4: cannot be decoded (Invalid data found when processing input); fetch it again or leave it out",
    )


def test_a_decoder_that_hangs_is_stopped_and_the_next_clip_is_read(tmp_path):
    with bad_pool(seconds=0.3) as pool:
        good = says(tmp_path, "good", "good")
        first = pool.submit(good, GRID).result().provenance["video"]["pid"]
        started = time.monotonic()
        status, message = trouble(pool, says(tmp_path, "stuck", "hang"))
        assert time.monotonic() - started < 5
        assert (status, message) == (
            "timeout",
            "stuck.txt: decoding took more than 0.3 s and was stopped; leave it out or allow more time",
        )
        assert gone([first])
        assert pool.submit(good, GRID).result().provenance["video"]["pid"] != first
    assert (tmp_path / "stuck.tries.tmp").stat().st_size == 1


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("crash", "the decoder died of SIGSEGV 3 times"),
        ("leave", "the decoder ended itself with exit code 7 3 times"),
        ("eat", "the decoder ran out of its 200 MiB of memory 3 times"),
    ],
)
def test_a_decoder_that_dies_costs_its_clip(tmp_path, word, reason):
    with bad_pool(memory=200) as pool:
        assert trouble(pool, says(tmp_path, "a", word)) == (
            "undecodable",
            f"a.txt: {reason}; fetch it again or leave it out",
        )
        assert pool.submit(says(tmp_path, "b", "good"), GRID).result().status == "still"
    assert (tmp_path / "a.tries.tmp").stat().st_size == 3


def test_a_mistake_in_a_decoder_costs_its_clip_and_is_named(tmp_path):
    with bad_pool() as pool:
        status, message = trouble(pool, says(tmp_path, "a", "stumble"))
        pid = pool.submit(says(tmp_path, "b", "good"), GRID).result().provenance["video"]["pid"]
        assert pool.submit(says(tmp_path, "c", "good"), GRID).result().provenance["video"]["pid"] == pid
    assert status == "undecodable" and "(KeyError: 'a mistake in a decoder')" in message


@pytest.mark.parametrize("word", ["crash 1", "leave 2"])
def test_a_clip_whose_decoder_was_killed_by_something_else_is_read_all_the_same(tmp_path, word):
    with bad_pool() as pool:
        assert pool.submit(says(tmp_path, "a", word), GRID).result().status == "still"


def test_a_stopped_process_counts_as_hanging(tmp_path):
    with bad_pool(seconds=0.5) as pool:
        pid = pool.submit(says(tmp_path, "a", "good"), GRID).result().provenance["video"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        assert trouble(pool, says(tmp_path, "b", "good"))[0] == "timeout"
        assert gone([pid])


def test_nothing_is_left_when_the_pool_closes_in_the_middle_of_clips(tmp_path):
    others = set(children(os.getpid()))  # of earlier tests
    with bad_pool(2) as pool:
        waiting = [pool.submit(says(tmp_path, f"h{n}", "hang"), GRID) for n in range(4)]
        while len(list(tmp_path.glob("*.tries.tmp"))) < 2:
            time.sleep(0.02)
        mine = [pid for pid in children(os.getpid()) if pid not in others]
        assert len(mine) >= 2
    assert gone(mine)
    assert all(future.cancelled() or future.exception() for future in waiting)


HANGING = """
import sys
from pathlib import Path
from valor.label_harvest.media.decode_pool import DecodePool
from valor.label_harvest.media.read import Grid
with DecodePool(2, decode="tests.helpers.bad_decoders:decode") as pool:
    futures = [pool.submit(Path(name), Grid()) for name in sys.argv[1:]]
    try:
        futures[0].result()
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans end with the alarm of their clip")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_orphan_is_left_however_the_harvest_ends(tmp_path, how):
    paths = [str(says(tmp_path, f"h{n}", "hang")) for n in range(2)]
    parent = subprocess.Popen([sys.executable, "-c", HANGING, *paths], cwd=ROOT, start_new_session=True)
    try:
        while len(list(tmp_path.glob("*.tries.tmp"))) < 2:
            time.sleep(0.02)
        orphans = children(parent.pid)
        assert len(orphans) == 2
        os.killpg(parent.pid, how)  # as Ctrl-C does, to all of the foreground
        assert parent.wait(20) == (130 if how == signal.SIGINT else -how)
        assert gone(orphans)
    finally:
        parent.kill()


def assert_alarm_ends(service: str, given: str, request: dict) -> None:
    """A process of a service that hangs over a request ends itself, though nobody kills it."""
    import socket

    code = "from valor.label_harvest.media import process as p; p.ALARM_SECONDS = 0.1; import sys; p.main(sys.argv[1:])"
    ours, theirs = socket.socketpair()
    numbers = [str(theirs.fileno()), str(os.getpid()), "1000", "0.1"]
    child = subprocess.Popen(
        [sys.executable, "-c", code, *numbers, service, given], cwd=ROOT, pass_fds=[theirs.fileno()]
    )
    theirs.close()
    with ours:
        assert child_process.receive_message(ours) == {"outcome": "ready"}
        child_process.send_message(ours, request)
        assert child.wait(10) == -signal.SIGALRM


def test_an_orphan_ends_itself_with_the_alarm_of_its_clip(tmp_path):
    """What helps where the system tells no child of the death of its parent: here the parent lives and never looks."""
    service = "valor.label_harvest.media.decode_pool:ClipService"
    path = says(tmp_path, "a", "hang")
    request = {"path": str(path), "grid": dataclasses.asdict(GRID), "slots": False}
    assert_alarm_ends(service, BAD, request)


def test_a_decoding_process_is_light():
    code = (
        "import sys, valor.label_harvest.media.decode_pool, av; print({'torch', 'pandas', 'tqdm'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_keeps_every_process_from_working_is_an_error_and_no_row(tmp_path):
    with (
        DecodePool(1, decode="tests.no_such_module:decode") as pool,
        pytest.raises(OSError, match=r"\(No module named 'tests.no_such_module'\); decode without them"),
    ):
        pool.submit(says(tmp_path, "a", "good"), GRID).result()


def test_limits_check_themselves():
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        DecodeLimits(seconds=0)
    with pytest.raises(ValueError, match="memory must be at least 1 MiB, got 0"):
        DecodeLimits(memory=0)


def test_processes_that_end_as_they_start_are_trouble_of_the_machine_not_of_the_clip(tmp_path, monkeypatch):
    monkeypatch.setattr(child_process, "_START", "import sys; sys.exit(3)  # {root} {module}")
    with (
        DecodePool(1) as pool,
        pytest.raises(OSError, match=r"end before they are ready \(one ended itself with exit code 3"),
    ):
        pool.submit(says(tmp_path, "clip", "decode"), GRID).result(60)
