"""Archives from elsewhere: hostile ones write nothing, damaged ones are said to be, and a second time costs little."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from valor.archives import Unpacked, is_archive, safe_path, unpack

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
    monkeypatch.setattr("valor.archives.shutil.disk_usage", lambda _: Usage())
    with pytest.raises(ValueError, match="unpacks to 155 bytes, .* has room for 100; nothing was written"):
        unpack(path, tmp_path / "out", everything)


class Usage:
    free = 100


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


def test_names():
    assert is_archive("CLIP.zip") and is_archive("x.TAR.GZ") and not is_archive("checkpoint_best.pt")
    assert safe_path("a/b/c.npy") == "a/b/c.npy"
    with pytest.raises(ValueError, match="no plain relative path"):
        safe_path("")
