"""Locks in object stores: one writer, taken over once it is silent, and never two that both believe they hold it."""

import json
import socket
import subprocess
import sys
import time

import pytest

from valor.label_harvest.disk import LockedError
from valor.label_harvest.places import lease
from valor.label_harvest.places.objects import UnreachableError
from valor.label_harvest.places.place import locked, matching, place_of, write_atomic
from valor.label_harvest.store.share import Share, runs_at_work, write_lock


def held_by(path, **who):
    path.put(json.dumps({"host": "elsewhere", "process": 1, "token": "x", "beat": 0} | who).encode())


def test_a_living_holder_is_not_disturbed_and_leaves_nothing(prefix, hasty):
    path = place_of(prefix) / ".lock"
    with locked(path, "busy"):
        for shared in (False, True):
            with pytest.raises(LockedError, match="busy"), locked(path, "busy", shared=shared):
                pass
    with locked(path, "busy", shared=True), locked(path, "busy", shared=True):
        with pytest.raises(LockedError, match="busy"), locked(path, "busy"):
            pass
    assert not matching(place_of(prefix), "*")


def test_a_silent_holder_is_taken_over_and_a_dead_one_of_this_machine_at_once(prefix, hasty, monkeypatch):
    path = place_of(prefix) / ".lock"
    held_by(path)
    began = time.monotonic()
    with locked(path, "busy"):
        assert time.monotonic() - began > lease.SILENCE_SECONDS
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    held_by(path, host=socket.gethostname(), process=ended.pid)
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 1000.0)
    with locked(path, "busy"):
        pass


def test_who_was_taken_for_dead_writes_no_more(prefix, hasty):
    folder = place_of(prefix)
    with locked(folder / ".lock", "busy"):
        write_atomic(folder / "a", b"a")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not all(one.is_lost for one in lease._HELD.values()):
            held_by(folder / ".lock")  # again, where a beat that was under way has written over it
            time.sleep(0.02)
        with pytest.raises(UnreachableError, match="another run has taken over the writing"):
            write_atomic(folder / "b", b"b")
    assert (folder / ".lock").is_file() and not (folder / "b").exists()  # the other's lock stays


def test_shares_write_together_and_a_whole_run_with_nobody(prefix, hasty):
    folder = place_of(prefix)
    with write_lock(folder, Share(1, 2)), write_lock(folder, Share(2, 2)):
        assert runs_at_work(folder)[0] == ("1/2", "2/2")
        with pytest.raises(ValueError, match="another run of share 1/2"), write_lock(folder, Share(1, 2)):
            pass
        with pytest.raises(ValueError, match="another run is writing"), write_lock(folder):
            pass
    with write_lock(folder):
        pass
    assert not matching(folder, "*")
