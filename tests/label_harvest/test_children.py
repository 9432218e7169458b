"""Processes of a pool end with the command, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMMAND = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from valor.label_harvest.children import end_with_parent, ended_in_order
from tests.label_harvest.test_children import note_and_sleep

if __name__ == "__main__":
    with ended_in_order():
        try:
            with ProcessPoolExecutor(2, get_context("spawn"), end_with_parent) as pool:
                list(pool.map(note_and_sleep, [sys.argv[1]] * 2))
        finally:
            open(sys.argv[1] + "/left", "w").close()
"""


def note_and_sleep(folder: str) -> None:
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(120)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says who is running")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_of_a_pool_is_left(tmp_path, number):
    script = tmp_path / "command.py"
    script.write_text(COMMAND)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env=environment, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    assert wait_until(lambda: len(list(tmp_path.glob("pid-*"))) == 2)
    children = [int(path.name[4:]) for path in tmp_path.glob("pid-*")]
    command.send_signal(number)
    assert command.wait(60) == -number
    assert wait_until(lambda: not any(is_running(child) for child in children), 20)
    assert (tmp_path / "left").exists() == (number != signal.SIGKILL)
