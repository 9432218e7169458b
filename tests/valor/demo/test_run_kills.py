"""A demo that is killed at any stage ends, run again, with the scores of an undisturbed one."""

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.helpers.forked import start
from valor.__main__ import main
from valor.demo.world import render
from valor.training.recipes import RECIPES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OPTIONS = ("--clips", "50", "--seeds", "1", "--quiet")


def short_demo(words: Sequence[str]) -> int:
    """`valor demo` with one picture a second, sound that is quickly encoded, narrow networks and six epochs a training.

    Its processes are forked, as it is itself: loading torch takes seconds. What starts them anew takes is seen in
    test_run.py and test_render.py.
    """
    from valor.demo import run

    render.FRAME_RATE, render.SOUND_CODEC = 1, "flac"
    for name in ("demo", "demo-tags-only"):
        demo = RECIPES[name]
        parser = replace(demo.parser, hidden_width=32, feedforward_width=32)
        RECIPES[name] = replace(demo, parser=parser, fit=replace(demo.fit, epochs=6, batch_size=8))

    for module in (run, render):
        module.get_context = lambda _: get_context("fork")
    return main(["demo", *words])


def test_killed_runs_end_with_the_scores_of_an_undisturbed_one(tmp_path: Path) -> None:
    """Clips that were there when rendering was killed are rendered anew for the other run, and compared."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    disturbed, said = set(), tmp_path / "said"
    for sign in ("data/videos/*.mp4", "data/store/*/manifest.json", "runs/valor/seed-0/last.safetensors"):
        process = start(short_demo, ["--out", killed, *OPTIONS], said)
        while not list(killed.glob(sign)):
            assert process.is_alive(), f"the run ended before {sign}: {said.read_text()}"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        disturbed = disturbed or {path.name for path in killed.glob("data/videos/*.mp4")}
    process = start(short_demo, ["--out", killed, *OPTIONS], said)
    process.join()
    assert process.exitcode == 0, said.read_text()
    shutil.copytree(killed / "data/videos", whole / "data/videos", ignore=lambda *_: disturbed, copy_function=os.link)
    shutil.copy(killed / "data/world.json", whole / "data")
    process = start(short_demo, ["--out", whole, *OPTIONS], said)
    process.join()
    assert process.exitcode == 0, said.read_text()
    for name in disturbed:
        assert (killed / "data/videos" / name).read_bytes() == (whole / "data/videos" / name).read_bytes()
    assert (
        json.loads((killed / "scores.json").read_bytes())["rows"]
        == json.loads((whole / "scores.json").read_bytes())["rows"]
    )
