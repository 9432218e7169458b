"""The lock of a run folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from valor.run_folder import run_lock

_HOLDER = """
import sys, time
from pathlib import Path
from valor.run_folder import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_for_one_training_and_is_free_again_after_a_kill(tmp_path):
    folder = tmp_path / "runs" / "one"
    root = Path(__file__).resolve().parents[1]
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(folder)], cwd=root, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=f"{folder}: another training is writing here; wait for it, or choose"),
            run_lock(folder),
        ):
            pytest.fail("held twice")
        assert (folder / ".lock").exists()
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    assert (folder / ".lock").exists()
    with run_lock(folder):
        assert os.listdir(folder) == [".lock"]
    assert os.listdir(folder) == []


def test_the_lock_goes_with_a_training_that_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), run_lock(tmp_path):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_without_locks_a_training_runs_and_warns(tmp_path, monkeypatch, caplog):
    import fcntl

    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_lock(tmp_path):
        pass
    assert "no locks on this file system" in caplog.text
