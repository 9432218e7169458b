"""How files of a store are written: on the disk before they count, in the right order.

Files appear whole or not at all.
"""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from valor.label_harvest import disk as store_files
from valor.label_harvest.disk import LockedError, file_sha256, locked, rename, replaced, write_atomic, write_json


def test_a_file_appears_when_its_block_ends_well(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replaced(path) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == path.parent and not path.exists()
    assert path.read_text() == "whole" and [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_json_is_whole_and_holds_no_nan(tmp_path):
    path = tmp_path / "facts.json"
    write_json(path, {"name": "Fünf", "share": 0.5}, ensure_ascii=False)
    assert path.read_bytes() == '{\n "name": "Fünf",\n "share": 0.5\n}\n'.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"share": float("nan")})
    assert "Fünf" in path.read_text(encoding="utf-8") and len(list(tmp_path.iterdir())) == 1


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
@pytest.mark.parametrize("fifo", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_no_more_is_said_with_the_file(tmp_path, monkeypatch, code, fifo):
    """Also where the writer hides it: an archive that is not written whole cannot be closed."""
    path = tmp_path / "p.npz"
    if fifo:
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    else:
        path.write_bytes(b"before")

    def full(*_given, **_named):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipExtFile if fifo else zipfile._ZipWriteFile, "write", full, raising=False)
        if fifo:
            patched.setattr(shutil, "copyfileobj", full)
        told = re.escape(f"{os.strerror(code)}: '{path}'")
        with pytest.raises(OSError, match=told) as caught, replaced(path) as held, held.open("wb") as file:
            np.savez_compressed(file, a=np.arange(1000))
    assert caught.value.errno == code
    if fifo:
        os.close(reader)
    else:
        assert path.read_bytes() == b"before" and [file.name for file in tmp_path.iterdir()] == ["p.npz"]


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


def write(path, text="new"):
    with replaced(path) as temporary:
        temporary.write_text(text)


def test_a_link_is_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    real, link, chain = tmp_path / "far" / "real.json", tmp_path / "link.json", tmp_path / "chain.json"
    real.write_text("old")
    link.symlink_to(real)
    chain.symlink_to("link.json")
    for text, name in (("one", link), ("two", chain)):
        write(name, text)
        assert link.is_symlink() and chain.is_symlink() and real.read_text() == text
    (tmp_path / "dangling").symlink_to("far/made.json")
    write(tmp_path / "dangling")
    assert (tmp_path / "far" / "made.json").read_text() == "new" and (tmp_path / "dangling").is_symlink()
    assert sorted(os.listdir(tmp_path / "far")) == ["made.json", "real.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_a_fifo_is_written_into_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe, "through")
    reader.join(10)
    assert read == ["through"] and stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


def test_a_failed_block_writes_nothing_into_a_fifo(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(RuntimeError), replaced(pipe) as temporary:  # would wait for a reader otherwise
        temporary.write_text("ha")
        raise RuntimeError
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device(tmp_path):
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.write_bytes(b"")
    except OSError:
        pytest.skip("no right to make device nodes here")
    write(node)
    assert stat.S_ISCHR(node.stat().st_mode) and os.listdir(tmp_path) == ["null"]


@pytest.mark.skipif(sys.platform != "linux", reason="open files have names on Linux")
@pytest.mark.parametrize("is_file", [True, False])
def test_a_link_to_an_open_file_writes_where_it_stands(tmp_path, is_file):
    """As /dev/stdout is such a link; the one of the machine is never an output of a test."""
    (tmp_path / "link").symlink_to("out")
    (tmp_path / "out").symlink_to("/proc/self/fd/1")
    code = (
        "import sys\nfrom valor.label_harvest.disk import replaced\nprint('before')\n"
        "with replaced(sys.argv[1]) as t: t.write_text('seen\\n')\nprint('after')"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "link")]
    with (tmp_path / "file").open("w+b") as file:
        done = subprocess.run(command, stdout=file if is_file else subprocess.PIPE, check=True)
    written = (tmp_path / "file").read_bytes() if is_file else done.stdout
    assert written == b"before\nseen\nafter\n"
    assert (tmp_path / "out").is_symlink() and sorted(os.listdir(tmp_path)) == ["file", "link", "out"]


def test_folders_sockets_and_circles_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    names = {"folder": "a folder", "one": "a circle of links"}
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tmp_path / "s"))
        names["s"] = "a socket"
    before = sorted(os.listdir(tmp_path))
    for name, kind in names.items():
        with pytest.raises(OSError, match=f"is {kind}, which is not replaced; give another name"):
            write(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == before


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    left, others = tmp_path / f".old.json.{host}-{gone.pid}.tmp", tmp_path / f".a.elsewhere-{gone.pid}.tmp"
    alive = tmp_path / f".b.{host}-{os.getppid()}.tmp"
    for path in (left, others, alive):
        path.touch()
    write(tmp_path / "new.json")
    assert not left.exists() and others.exists() and alive.exists()
