"""A demo that is killed at any stage ends, run again, with the scores of an undisturbed one."""

import json
import os
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
from dataclasses import replace

from valor.__main__ import main
from valor.training.recipes import RECIPES

for name in ("demo", "demo-tags-only"):  # in the processes that train too, which run this file as well
    RECIPES[name] = replace(RECIPES[name], fit=replace(RECIPES[name].fit, epochs=6))
if __name__ == "__main__":
    sys.exit(main(["demo", *sys.argv[1:]]))
"""
"""`valor demo` with six epochs a training."""


def test_killed_runs_end_with_the_scores_of_an_undisturbed_one(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text(SHORT, encoding="utf-8")

    def start(out: str) -> subprocess.Popen:
        command = [sys.executable, str(tmp_path / "short.py"), "--out", str(tmp_path / out), *OPTIONS]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True)

    assert start("whole").wait(300) == 0
    for sign in ("data/videos/*.mp4", "data/store/*/manifest.json", "runs/valor/seed-0/last.safetensors"):
        process = start("killed")
        while not list((tmp_path / "killed").glob(sign)):
            assert process.poll() is None, f"the run ended before {sign}"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start("killed").wait(300) == 0
    whole, killed = (
        json.loads((tmp_path / out / "scores.json").read_text(encoding="utf-8")) for out in ("whole", "killed")
    )
    assert killed["rows"] == whole["rows"]
