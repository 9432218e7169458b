"""kill -9 of the harvest and of its decoders, at random moments, again and again: the store ends up the same."""

import os
import random
import shutil
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.helpers.forked import start
from tests.helpers.toy import ToyVideo, write_toy_clip, write_toy_world
from tests.helpers.toy_harvest import digests, toy_harvest
from tests.helpers.toy_harvest import main as toy_harvest_command
from tests.helpers.typed import typed
from tests.label_harvest.media.test_decode_pool import children, gone
from valor.__main__ import main
from valor.data.vocabulary import LLP_CLASSES, class_names
from valor.label_harvest.store.check import verify_store

CLIPS = tuple(f"clip{number:02d}" for number in range(22))
PICTURE = ToyVideo(seconds=2.0, rate=8, width=32, height=32)
KILLS = 12
PATIENCE = 240.0
"""Times the longest wait before a kill."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = write_toy_world(tmp_path_factory.mktemp("kills") / "videos", CLIPS, seconds=2.0)
    (folder / f"{CLIPS[3]}.mkv").write_bytes(b"torn")
    shutil.copy(write_toy_clip(folder.parent / "mute.mkv", video=PICTURE), folder / f"{CLIPS[9]}.mkv")
    return folder


def begin(videos: Path, store: Path, *more: str) -> BaseProcess:
    said = store.parent / f"{store.name}{''.join(more).replace('/', '-')}.said"
    return start(toy_harvest_command, [videos, store, "--seconds", "0.01", *more], said)


def kill_something(run: BaseProcess, rng: random.Random) -> list[str]:
    """Kill the run, one of its decoders, or a decoder and then the run; what was killed."""
    killed = []
    decoders = children(run.pid)
    if decoders and rng.random() < 0.5:
        os.kill(rng.choice(decoders), signal.SIGKILL)
        killed.append("decoder")
        time.sleep(rng.uniform(0, 0.1))
    if run.is_alive() and (not killed or rng.random() < 0.5):
        run.kill()
        run.join()
        killed.append("run")
    assert run.is_alive() or gone(decoders), "a decoder outlived its run"
    return killed


def ended(run: BaseProcess) -> int | None:
    """How a run ends, once it does."""
    run.join(60)
    return run.exitcode


def enough(killed: list[str]) -> bool:
    """Whether there were kills enough, of both kinds: which kind hits what depends on the speed of the machine."""
    return len(killed) >= KILLS and killed.count("run") >= 4 and killed.count("decoder") >= 4


def test_random_kills_change_nothing(videos, tmp_path):
    undisturbed = tmp_path / "undisturbed"
    toy_harvest(sorted(CLIPS), videos, undisturbed)
    expected = digests(undisturbed)
    assert sum(name.endswith(".safetensors") for name in expected) == 6
    for name in ("first", "whole"):  # the first also waits for the process that forks
        began = time.monotonic()
        assert ended(begin(videos, tmp_path / name)) == 0, (tmp_path / f"{name}.said").read_text()
    latest = max(0.2, (time.monotonic() - began) / 2)  # on a busy machine a run must get somewhere before it is killed
    rng, killed, began = random.Random(2023), [], time.monotonic()
    while not enough(killed):
        store = tmp_path / f"store{len(killed)}"
        run = begin(videos, store)
        while run.is_alive():
            time.sleep(rng.uniform(0.02, latest))
            if run.is_alive() and not enough(killed):
                killed += kill_something(run, rng)
            if run.exitcode == -signal.SIGKILL:
                run = begin(videos, store)
        assert run.exitcode == 0, store.with_name(f"{store.name}.said").read_text()
        assert digests(store) == expected, killed
        assert time.monotonic() - began < PATIENCE * latest
    check = verify_store(undisturbed)
    assert (check.problems, check.notes, check.clips) == ((), (), len(CLIPS))


def test_kills_of_runs_that_share_a_store_change_nothing(videos, tmp_path):
    toy_harvest(sorted(CLIPS), videos, tmp_path / "one")
    rng, shares = random.Random(5), ("1/2", "2/2")
    runs = {share: begin(videos, tmp_path / "two", "--share", share) for share in shares}
    for _ in range(4):
        time.sleep(rng.uniform(0.1, 0.6))
        share = rng.choice(shares)
        runs[share].kill()
        runs[share].join()
        runs[share] = begin(videos, tmp_path / "two", "--share", share)
    said = [path.read_text() for path in tmp_path.glob("two-*.said")]
    assert [ended(run) for run in runs.values()] == [0, 0], said
    toy_harvest(sorted(CLIPS), videos, tmp_path / "two")  # a run on its own clears what killed ones left
    assert digests(tmp_path / "two") == digests(tmp_path / "one")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_command_itself_ends_cleanly_and_goes_on(videos, tmp_path, how):
    """The command with the demo's teachers; its clips are too short for them, which is as good a row as any."""
    table = tmp_path / "clips.csv"
    rows = "\n".join(f"{clip}\t{class_names(LLP_CLASSES)[0]}" for clip in CLIPS)
    table.write_text(f"filename\tevent_labels\n{rows}\n", encoding="utf-8")
    given = [table, "--videos", videos, "--visual", "demo-visual", "--audio", "demo-audio", "--shard-clips", "4"]
    more = ["--store", tmp_path / "one", "--workers", "2"]
    run = start(main, ["harvest", *given, *more], tmp_path / "said")
    while not list((tmp_path / "one").rglob("00000.json")) and run.is_alive():
        time.sleep(0.002)
    decoders = children(run.pid)
    os.killpg(run.pid, how)
    code, said = ended(run), (tmp_path / "said").read_text()
    assert gone(decoders)
    if how == signal.SIGINT:
        assert code == 130 and "Traceback" not in said, said
        assert "interrupted; run the same command again to go on" in said
    done = typed("harvest", *given, "--store", tmp_path / "one", "--quiet", "--workers", "0")
    assert done.code == 3 and "22 clips (" in done.out
    typed("harvest", *given, "--store", tmp_path / "two", "--quiet", "--workers", "0")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
