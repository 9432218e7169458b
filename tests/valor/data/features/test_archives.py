"""Archives and arrays from elsewhere: hostile ones write nothing, damaged ones are said to be, none gets more memory or
disk than its file warrants."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from valor.data.features.archives import Unpacked, is_archive, safe_path, unpack
from valor.label_harvest.arrays import read_npy, read_npz

GOOD = {"CLIP/features/a.npy": b"a" * 100, "CLIP/features/b.npy": b"b" * 50, "CLIP/readme.txt": b"hello"}


def everything(_: str) -> bool:
    return True


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("CLIP")
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def write_tar(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, contents in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
        for info in extra:
            archive.addfile(info)
    return path


def tar_entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_wanted_members_are_unpacked(tmp_path, name):
    archive = (write_zip if name.endswith("zip") else write_tar)(tmp_path / name, GOOD)
    done = unpack(archive, tmp_path / "out", lambda path: path.endswith(".npy"))
    assert done == Unpacked(2, 0)
    assert contents(tmp_path / "out") == {name: GOOD[name] for name in GOOD if name.endswith(".npy")}


def test_a_second_time_only_what_is_gone_or_changed_is_written(tmp_path):
    archive = write_zip(tmp_path / "a.zip", GOOD)
    unpack(archive, tmp_path / "out", everything)
    (tmp_path / "out/CLIP/readme.txt").unlink()
    (tmp_path / "out/CLIP/features/b.npy").write_bytes(b"c" * 50)
    assert unpack(archive, tmp_path / "out", everything) == Unpacked(2, 1)
    assert contents(tmp_path / "out") == GOOD


@pytest.mark.parametrize("name", [
    "../outside.npy",
    "CLIP/../../outside.npy",
    "/etc/outside.npy",
    "C:/outside.npy",
    "..\\outside.npy",
    "CLIP\\outside.npy",
    "a\nb.npy",
])  # fmt: skip
@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_paths_that_leave_the_folder_are_refused_and_nothing_is_written(tmp_path, name, suffix):
    path = tmp_path / f"a.{suffix}"
    (write_zip if suffix == "zip" else write_tar)(path, {**GOOD, name: b"x"})
    with pytest.raises(ValueError, match=r"a\.(zip|tar\.gz): the path .* would leave its folder .*nothing was written"):
        unpack(path, tmp_path / "out", lambda wanted: wanted.startswith("CLIP/features/"))
    assert not (tmp_path / "out").exists() and not list(tmp_path.parent.glob("outside*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_are_refused(tmp_path, kind):
    path = write_tar(tmp_path / "a.tar.gz", GOOD, tar_entry("CLIP/features/c.npy", kind, "/etc/passwd"))
    with pytest.raises(ValueError, match="'CLIP/features/c.npy' is a link or a device; nothing was written"):
        unpack(path, tmp_path / "out", everything)
    assert not (tmp_path / "out").exists()


def test_links_in_zip_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", GOOD)
    link = zipfile.ZipInfo("CLIP/link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="'CLIP/link' is encrypted, a link or a device; nothing was written"):
        unpack(path, tmp_path / "out", everything)
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", GOOD)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("CLIP/./readme.txt", "other")
    with pytest.raises(ValueError, match="1 paths are there twice; nothing was written"):
        unpack(path, tmp_path / "out", everything)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"CLIP/bomb.npy": bytes(3_000_000)})
    with pytest.raises(ValueError, match=r"bytes that unpack to 3,000,000 are no feature archive; nothing was written"):
        unpack(path, tmp_path / "out", everything)
    assert not (tmp_path / "out").exists()


def test_an_archive_larger_than_the_disk_has_room_for_is_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", GOOD)
    monkeypatch.setattr("valor.data.features.archives.shutil.disk_usage", lambda _: Usage())
    with pytest.raises(ValueError, match="unpacks to 155 bytes, .* has room for 100; nothing was written"):
        unpack(path, tmp_path / "out", everything)


class Usage:
    free = 100


def test_an_archive_of_too_many_files_is_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", GOOD)
    monkeypatch.setattr("valor.data.features.archives._MOST_MEMBERS", 2)
    with pytest.raises(ValueError, match="a.zip: 3 files are no feature archive; nothing was written"):
        unpack(path, tmp_path / "out", everything)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tar.bz2"])
def test_damage_in_a_compressed_tar_shows_before_anything_is_written(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with tarfile.open(path, f"w:{suffix.removeprefix('tar.')}") as archive:
        info = tarfile.TarInfo("a.npy")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(os.urandom(100_000)))
    whole = path.read_bytes()
    for place in (len(whole) // 2, len(whole) - 6):  # a byte of the contents, and one of the checksum at the end
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"a\.tar\.\w+: a damaged archive .*delete it and fetch it again"):
            unpack(path, tmp_path / "out", everything)
        assert not (tmp_path / "out").exists()


def test_a_link_in_the_target_folder_is_not_followed_out_of_it(tmp_path):
    path = write_zip(tmp_path / "a.zip", GOOD)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/CLIP").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="a link in .*out leads out of it; remove the link"):
        unpack(path, tmp_path / "out", everything)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "no archive"])
def test_damaged_archives_are_said_to_be(tmp_path, suffix, damage):
    path = tmp_path / f"a.{suffix}"
    (write_zip if suffix == "zip" else write_tar)(path, {"a.npy": os.urandom(50_000)})
    path.write_bytes(path.read_bytes()[:20_000] if damage == "cut" else b"<html>")
    with pytest.raises(ValueError, match=r"a\.(zip|tar\.gz): a damaged archive .*delete it and fetch it again"):
        unpack(path, tmp_path / "out", everything)
    assert not (tmp_path / "out").exists()


def test_damage_inside_a_member_leaves_no_half_file(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.npy", b"A" * 1000)
    path.write_bytes(path.read_bytes().replace(b"AAAA", b"AAAB", 1))
    with pytest.raises(ValueError, match=r"a\.zip: a damaged archive \(Bad CRC-32"):
        unpack(path, tmp_path / "out", everything)
    assert contents(tmp_path / "out") == {}


def test_a_damaged_zip_leaves_no_folder_that_it_made(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"CLIP/features/a.npy": bytes(range(256)) * 40})
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("CLIP/features/a.npy").header_offset + 100
    whole = path.read_bytes()
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 8]) + whole[at + 1 :])
    (tmp_path / "mine").mkdir()
    for out in (tmp_path / "out", tmp_path / "mine"):
        with pytest.raises(ValueError, match=r"a\.zip: a damaged archive"):
            unpack(path, out, everything)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "mine"]
    assert not list((tmp_path / "mine").iterdir())


def test_names():
    assert is_archive("CLIP.zip") and is_archive("x.TAR.GZ") and not is_archive("checkpoint_best.pt")
    assert safe_path("a/b/c.npy") == "a/b/c.npy"
    with pytest.raises(ValueError, match="no plain relative path"):
        safe_path("")


ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_arrays_are_read_as_they_were_written(tmp_path):
    for array in (ARRAY, ARRAY.T, np.zeros((0, 3)), np.array(1.5), np.array(["a", "bc"]), ARRAY.astype(">f8")):
        np.save(tmp_path / "a.npy", array)
        np.savez_compressed(tmp_path / "a.npz", one=array, other=array)
        for found in (read_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", ("one", "none"))["one"]):
            assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    assert read_npz(tmp_path / "a.npz", ("none",)) == {}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (header((1 << 24, 1 << 24)), r"it has 128 bytes and claims 1,125,899,906,842,752"),
        (header((2, 3)) + b"abc", "it has 131 bytes and claims 152"),
        (header((2, 3)) + bytes(25), "it has 153 bytes and claims 152"),
        (header((1,), "|O") + b"cos\nsystem\n", "it holds Python objects or is no .npy file"),
        (b"\x93NUMPY\x03\x00" + header((2, 3))[8:], r"it is a .npy file of version \(3, 0\)"),
        (b"", "it holds Python objects or is no .npy file"),
        (b"<html></html>", "it holds Python objects or is no .npy file"),
    ],
)
def test_what_is_no_whole_array_is_refused(tmp_path, content, fault):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match=fault):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=fault):
        read_npz(tmp_path / "a.npz", ("a",))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_are_none_or_hold_a_name_twice_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=ARRAY)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("a.npy", header((0,)))
    with pytest.raises(ValueError, match="two arrays of it have one name"):
        read_npz(tmp_path / "a.npz", ("a",))
    (tmp_path / "a.npz").write_bytes(b"<html>")
    with pytest.raises(ValueError, match="not a zip file"):
        read_npz(tmp_path / "a.npz", ("a",))
    for read in (read_npy, lambda path: read_npz(path, ("a",))):
        with pytest.raises(FileNotFoundError, match="none: no such file"):
            read(tmp_path / "none")


def test_an_npz_may_not_claim_more_than_its_bytes_can_hold(tmp_path):
    """The directory of the archive lies in harmony with the array's header."""
    content = header((1 << 24, 1 << 24))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content)
        archive.filelist[0].file_size = len(content) + (1 << 50)
    with pytest.raises(ValueError, match=r"it has \d+ bytes, and a claims [\d,]+"):
        read_npz(tmp_path / "a.npz", ("a",))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_an_npz_packed_as_numpy_never_does_is_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.writestr("a.npy", header((2, 3)) + bytes(24))
    with pytest.raises(ValueError, match="a is packed by a method that no array file has"):
        read_npz(tmp_path / "a.npz", ("a",))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_notes_of_gigabytes_in_a_tar_are_not_read(tmp_path, kind):
    info = tarfile.TarInfo("note")
    info.type, info.size = kind, 3 << 30
    archive = tmp_path / "a.tar.gz"
    with gzip.open(archive, "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(1 << 21))
    with pytest.raises(ValueError, match="a damaged archive"):
        unpack(archive, tmp_path / "out", lambda path: True)
    assert not (tmp_path / "out").exists()
