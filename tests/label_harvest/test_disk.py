"""How files of a store are written: on the disk before they count, in the right order.

Files appear whole or not at all.
"""

import hashlib
import os
import sys

import pytest

from valor.label_harvest import disk as store_files
from valor.label_harvest.disk import LockedError, file_sha256, locked, rename, replaced, write_atomic


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
    with replaced(folder / "c.json") as temporary:
        temporary.write_bytes(b"1")
    assert calls[5:] == ["flush tmp", "rename to c.json", "flush here"]
    with replaced(folder / "d.json", flush=False) as temporary:
        temporary.write_bytes(b"1")
    assert calls[8:] == ["rename to d.json"]
    assert file_sha256(folder / "b.json") == hashlib.sha256(b"1").hexdigest()
    with pytest.raises(FileNotFoundError):
        file_sha256(folder / "a.json")


def test_the_longest_names_can_be_written(tmp_path):
    for name in ("x" * 255, "\u00fc" * 127 + "y"):
        with replaced(tmp_path / name) as temporary:
            temporary.write_text("whole")
            assert temporary.name.endswith(f"-{os.getpid()}.tmp") and len(os.fsencode(temporary.name)) == 255
        assert (tmp_path / name).read_text() == "whole"


def test_a_folder_that_is_gone_is_not_made_again_for_a_file_of_a_store(tmp_path):
    with pytest.raises(OSError, match=r"gone/a.json: cannot be written \(No such file or directory\); make room"):
        write_atomic(tmp_path / "gone" / "a.json", b"1")
    assert not (tmp_path / "gone").exists()


def test_a_lock_is_held_by_one_or_shared_by_those_who_share_it(tmp_path):
    path = tmp_path / "lock"
    with locked(path, "taken") as file:
        assert file.mode == "ab" and path.exists()
        for shared in (False, True):
            with pytest.raises(LockedError, match="taken"), locked(path, "taken", shared=shared):
                pass
    with locked(path, "taken", shared=True), locked(path, "taken", shared=True, remove=True):
        with pytest.raises(LockedError, match="taken"), locked(path, "taken"):
            pass
    assert not path.exists()


def test_a_file_system_without_locks_is_worth_a_warning(tmp_path, monkeypatch, caplog):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(store_files.fcntl, "flock", flock)
    with locked(tmp_path / "lock", "taken"):
        told = "no locks on this file system (Operation not supported); see that no second process writes here"
        assert told in caplog.text
