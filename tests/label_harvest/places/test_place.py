"""Addresses, and objects as files."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from valor.label_harvest.places import objects
from valor.label_harvest.places.objects import ObjectPath, UnreachableError, refuse_absent_library
from valor.label_harvest.places.place import each, matching, place_of, rename, signature, write_atomic


def test_a_path_stays_a_path_and_an_address_of_a_file_becomes_one():
    assert place_of("./gs:/b") == Path("gs:/b") and place_of("C:/b") == Path("C:/b")
    assert place_of("a/b") == Path("a/b") and place_of(Path("s3:/x")) == Path("s3:/x")
    assert place_of("file:///tmp/a%20b") == Path("/tmp/a b")
    assert str(place_of("S3://bucket//a/b/")) == "s3://bucket/a/b"
    assert place_of(place_of("gs://b/x")).name == "x"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ftp://a/b", r"ftp:// is not supported, give a local path or one of s3://, gs://; got 'ftp://a/b'"),
        ("http://a/b", "media can be read from http://, and nothing else"),
        ("file://host/tmp", "three slashes"),
        ("s3://", "name the bucket"),
        ("gs:/b/c", r"two slashes behind gs: \(as gs://BUCKET/PATH\); give ./gs:/b/c for a folder of that name"),
        ("s3://b/../c", "and no .."),
    ],
)
def test_other_addresses_are_refused(typed, said):
    with pytest.raises(ValueError, match=said):
        place_of(typed)


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    for scheme, library in (("s3", "s3fs"), ("gs", "gcsfs")):
        with pytest.raises(ValueError, match=rf"{scheme}:// needs .*pip install {library}$"):
            refuse_absent_library(scheme)


def test_local_paths_load_nothing_of_it():
    code = "import sys, valor.label_harvest.store.check; print([m for m in sys.modules if 'fsspec' in m or 's3' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parts_of_an_address():
    path = ObjectPath("s3://bucket/a/b.tar.gz")
    assert (path.name, path.stem, path.suffix, str(path.parent)) == ("b.tar.gz", "b.tar", ".gz", "s3://bucket/a")
    assert str(path.with_name("c")) == "s3://bucket/a/c" and str(path.with_suffix(".x")) == "s3://bucket/a/b.tar.x"
    assert sorted([path, ObjectPath("s3://bucket/a/a", {"size": 1})])[0].name == "a"


def test_objects_are_files(prefix):
    folder = place_of(prefix)
    path = folder / "a" / "one.json"
    assert not path.exists() and not folder.is_dir() and not matching(folder, "*")
    write_atomic(path, b"first")
    write_atomic(folder / ".two.json.next", b"second")
    assert path.is_file() and (folder / "a").is_dir() and not path.is_dir()
    assert path.read_bytes() == b"first" and path.read_bytes(1, 3) == b"ir" and path.num_bytes == 5
    assert [one.name for one in folder.glob("*/one.json")] == ["one.json"]
    assert [one.name for one in matching(folder, ".*.next")] == [".two.json.next"]
    assert [one.name for one in folder.below()] == [".two.json.next", "one.json"]
    before = signature(path)
    write_atomic(path, b"other")
    assert signature(path) != before and path.modified > 1e9
    rename(path, folder / "three")
    assert not path.exists() and (folder / "three").read_text() == "other"
    (folder / "three").unlink()
    (folder / "three").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (folder / "three").read_bytes()


def test_an_object_is_made_where_there_is_none_and_only_there(prefix):
    path = place_of(f"{prefix}/x")
    path.put(b"mine", new=True)
    with pytest.raises(FileExistsError):
        path.put(b"yours", new=True)
    path.put(b"mine", new=True)  # a try whose answer was lost
    assert path.read_bytes() == b"mine"


def test_an_object_is_read_in_pieces(prefix):
    path = place_of(f"{prefix}/x")
    payload = bytes(range(256)) * 1024
    path.put(payload)
    with path.open("rb") as file:
        assert file.read(8) == payload[:8]
        assert file.seek(200_000) and file.read(100_000) == payload[200_000:]
        assert not file.read(1)
    path.put("a\r\nb".encode("utf-8-sig"))
    with path.open(encoding="utf-8-sig", newline="") as text:
        assert text.read() == "a\r\nb"


def test_each_keeps_the_order(prefix):
    paths = [place_of(prefix) / f"{number:03d}" for number in range(70)]
    for path in paths:
        path.put(path.name.encode())
    assert list(each(lambda path: path.read_bytes().decode(), paths)) == [path.name for path in paths]


def test_a_bucket_that_is_not_there_is_named(s3):
    with pytest.raises(UnreachableError, match=r"s3://nothing-here/st: there is no bucket nothing-here"):
        place_of("s3://nothing-here/st").exists()


def test_refused_credentials_are_neither_damage_nor_absence(s3, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError("The provided token has expired.")

    path = place_of("s3://toy/x")
    monkeypatch.setattr(objects.filesystem("s3"), "cat_file", refuse)
    with pytest.raises(UnreachableError, match=r"access was refused \(The provided token has expired.\)"):
        path.read_bytes()
    assert not issubclass(UnreachableError, OSError | ValueError)


class RefreshError(Exception):
    """As google.auth has one."""


@pytest.mark.parametrize(
    "error",
    [OSError("Forbidden: toy/x"), ValueError("Bad Request"), OSError(22, "Bad Request"), RefreshError("expired")],
)
def test_what_is_refused_is_not_asked_for_again(error, monkeypatch):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(objects, "WAITS", [1000.0])
    monkeypatch.setattr(objects.filesystem("memory"), "cat_file", refuse)
    with pytest.raises(UnreachableError, match=r"memory://toy/x: access was refused"):
        place_of("memory://toy/x").read_bytes()


def test_what_a_head_does_not_say_a_listing_does(monkeypatch):
    files = objects.filesystem("memory")

    def refuse(code, said):
        def raising(*args, **kwargs):
            raise OSError(code, said)

        return raising

    monkeypatch.setattr(files, "info", refuse(errno.EINVAL, "Bad Request"), raising=False)
    with pytest.raises(UnreachableError, match=r"refused \(\[Errno 22\] Bad Request\); look at the credentials"):
        ObjectPath("memory://bucket/a").exists()  # whose bucket may be listed
    monkeypatch.setattr(files, "ls", refuse(errno.EINVAL, "The provided token has expired."), raising=False)
    with pytest.raises(UnreachableError, match=r"refused \(\[Errno 22\] The provided token has expired.\); look at"):
        ObjectPath("memory://bucket/a").exists()


def test_a_lost_connection_is_tried_again_and_then_said(s3, monkeypatch):
    path = place_of("s3://toy/lost")
    path.put(b"x")
    waits = []

    def wait(seconds):
        waits.append(seconds)
        s3.mend()

    monkeypatch.setattr(objects.time, "sleep", wait)
    monkeypatch.setattr(objects, "WAITS", [0.5])
    s3.cut()
    assert path.read_bytes() == b"x" and waits == [0.5]
    monkeypatch.setattr(objects, "WAITS", [])
    s3.cut()
    try:
        with pytest.raises(UnreachableError, match="cannot be reached .*what is finished is kept, run again"):
            path.read_bytes()
    finally:
        s3.mend()
