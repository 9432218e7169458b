"""A demo that is killed at any stage ends, run again, with the scores of an undisturbed one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OPTIONS = ("--clips", "50", "--seeds", "1", "--quiet")
SHORT = """
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace

from valor.__main__ import main
from valor.demo.world import render
from valor.training.recipes import RECIPES

render.FRAME_RATE = 1  # all of this in the processes too, which run this file as well
for name in ("demo", "demo-tags-only"):
    RECIPES[name] = replace(RECIPES[name], fit=replace(RECIPES[name].fit, epochs=6))
if __name__ == "__main__":
    from valor.demo import run

    trainers, *words = sys.argv[1:]
    if trainers == "here":
        run.ProcessPoolExecutor = lambda workers, *_: ThreadPoolExecutor(1)
    elif trainers == "one":
        run.ProcessPoolExecutor = lambda workers, *given: ProcessPoolExecutor(1, *given)
    sys.exit(main(["demo", *words]))
"""
"""`valor demo` with one picture a second and six epochs a training, in two processes, one or none: loading torch takes
one seconds."""


def test_killed_runs_end_with_the_scores_of_an_undisturbed_one(tmp_path: Path) -> None:
    """Clips that were there when rendering was killed are rendered anew for the other run, and compared."""
    (tmp_path / "short.py").write_text(SHORT, encoding="utf-8")
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def start(out: Path, trainers: str) -> subprocess.Popen:
        command = [sys.executable, str(tmp_path / "short.py"), trainers, "--out", str(out), *OPTIONS]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)

    disturbed = set()
    for sign in ("data/videos/*.mp4", "data/store/*/manifest.json", "runs/valor/seed-0/last.safetensors"):
        process = start(killed, "two")
        while not list(killed.glob(sign)):
            assert process.poll() is None, f"the run ended before {sign}"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        disturbed = disturbed or {path.name for path in killed.glob("data/videos/*.mp4")}
    assert start(killed, "here").wait(300) == 0
    shutil.copytree(killed / "data/videos", whole / "data/videos", ignore=lambda *_: disturbed, copy_function=os.link)
    shutil.copy(killed / "data/world.json", whole / "data")
    assert start(whole, "one").wait(300) == 0
    for name in disturbed:
        assert (killed / "data/videos" / name).read_bytes() == (whole / "data/videos" / name).read_bytes()
    assert (
        json.loads((killed / "scores.json").read_bytes())["rows"]
        == json.loads((whole / "scores.json").read_bytes())["rows"]
    )
