"""How files of a store are written: on the disk before they count, in the right order.

Files appear whole or not at all.
"""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from valor.label_harvest.store import disk as store_files
from valor.label_harvest.store.disk import (
    Share,
    file_sha256,
    list_lock,
    read_share,
    rename,
    replaced,
    write_atomic,
    write_lock,
)


def test_a_file_appears_when_its_block_ends_well(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replaced(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "whole" and [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_a_failed_block_leaves_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), replaced(path) as temporary:
        temporary.write_text("ha")
        raise RuntimeError("half way")
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def recorded(monkeypatch) -> list[str]:
    """What is asked of the disk, in order."""
    calls: list[str] = []

    def fsync(descriptor):
        calls.append("flush " + os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).rpartition(".")[2])
        os.fsync(descriptor)

    def replace(old, new):
        calls.append(f"rename to {new.name}")
        os.replace(old, new)

    monkeypatch.setattr(store_files, "os", type("os", (), {**vars(os), "fsync": fsync, "replace": replace}))
    return calls


@pytest.mark.skipif(sys.platform != "linux", reason="/proc names what is flushed")
def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_what_follows(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    calls = recorded(monkeypatch)
    write_atomic(folder / "a.json", b"1")
    assert calls == ["flush tmp", "rename to a.json", "flush here"]
    rename(folder / "a.json", folder / "b.json")
    assert calls[3:] == ["rename to b.json", "flush here"]
    assert file_sha256(folder / "a.json") == "" != file_sha256(folder / "b.json")


def test_a_lock_file_of_a_share_goes_with_its_run_and_one_removed_in_between_is_no_lock(tmp_path):
    path = tmp_path / ".lock-1-of-2"
    with write_lock(tmp_path, Share(1, 2)):
        assert path.exists()
        path.unlink()  # as the end of another run of the share would
        with write_lock(tmp_path, Share(1, 2)):
            assert path.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [".lock"]


def test_the_list_of_all_shards_waits_for_its_turn(tmp_path):
    code = (
        "import sys; from pathlib import Path; from valor.label_harvest.store.disk import list_lock\n"
        "with list_lock(Path(sys.argv[1])):\n    print('has it', flush=True)"
    )
    with list_lock(tmp_path):
        run = [sys.executable, "-c", code, str(tmp_path)]
        other = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.7)
    assert other.communicate(timeout=10)[0] == "has it\n"


def test_a_file_system_without_locks_is_worth_a_warning(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(store_files.fcntl, "flock", flock)
    with write_lock(tmp_path):
        assert "no locks on this file system (Operation not supported); see that no second run starts" in caplog.text


def test_shares_are_read_and_divide_all_shards():
    shares = [read_share(f"{index}/3") for index in (1, 2, 3)]
    assert [[shard for shard in range(7) if share.holds(shard)] for share in shares] == [[0, 3, 6], [1, 4], [2, 5]]
    assert str(shares[1]) == "2/3" and Share().is_whole and not shares[0].is_whole
    for text in ("4/3", "0/3", "3/0"):
        with pytest.raises(ValueError, match=f"a share must be i/n with i from 1 to n, got {text}"):
            read_share(text)
    for text in ("2", "a/3", "-1/3", "1/3/4"):
        with pytest.raises(ValueError, match=f"a share must be i/n, such as 1/4, got '{text}'"):
            read_share(text)
