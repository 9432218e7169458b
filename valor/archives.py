"""Archives from elsewhere: every member is looked at before the first one is written."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from valor.files import replaced

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
"""What `unpack` understands."""
_MOST_EXPANSION = 200
"""Unpacked over packed size beyond which an archive is taken for a trap; feature files reach 2, label files 40."""
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A plain file inside an archive."""

    path: str
    """Its place below the target folder, checked."""
    size: int
    crc: int | None
    """CRC-32 of a zip member."""
    handle: zipfile.ZipInfo | tarfile.TarInfo


@dataclass(frozen=True)
class Unpacked:
    """What became of an archive."""

    written: int
    """Files written."""
    there: int
    """Files that were there already with the same contents."""


def is_archive(name: str) -> bool:
    """Whether a file name ends like an archive."""
    return name.lower().endswith(SUFFIXES)


def safe_path(name: str) -> str:
    """Check that a name from elsewhere stays below the folder it is put in.

    Returns:
        The name in its plainest form.

    Raises:
        ValueError: It is absolute, goes up, has a drive, a backslash or a control character, or is empty.

    >>> safe_path("CLIP/./features/a.npy")
    'CLIP/features/a.npy'
    """
    path = PurePosixPath(name)
    control = any(ord(character) < 32 for character in name)
    if not path.parts or path.is_absolute() or ".." in path.parts or control or any(c in name for c in "\\:"):
        raise ValueError(f"the path {name[:120]!r} would leave its folder or is no plain relative path")
    return str(path)


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool]) -> Unpacked:
    """Unpack some members of a zip or tar archive, each file whole or not at all.

    Args:
        archive: The archive.
        folder: Where its paths start.
        wanted: Which paths to write; all of them are checked in any case.

    Raises:
        ValueError: The archive is damaged, or holds a path that leaves the folder, a link, a device, one path twice,
            an encrypted file, or far more than its size; nothing has been written then, except for damage inside a
            member, which shows when it is read.
    """
    with _opened(archive) as (members, open_member):
        _check_size(archive, folder, members)
        picked = [member for member in members if wanted(member.path)]
        written = 0
        for member in picked:
            target = folder / member.path
            _refuse_detour(folder, target)
            if not _same(target, member):
                _write(archive, member, target, open_member)
                written += 1
    return Unpacked(written, len(picked) - written)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[Member], Callable[[Member], IO[bytes]]]]:
    """The checked members of an archive, and how to open one."""
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                yield _zip_members(archive, opened), lambda member: opened.open(member.handle)
        else:
            with tarfile.open(archive) as opened:
                yield _tar_members(archive, opened), lambda member: opened.extractfile(member.handle)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{archive}: a damaged archive ({reason}); delete it and fetch it again") from error


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> list[Member]:
    members = []
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1 or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive}: {info.filename!r} is encrypted, a link or a device; nothing was written")
        path = _checked(archive, info.filename)
        if not info.is_dir():
            members.append(Member(path, info.file_size, info.CRC, info))
    return _once(archive, members)


def _tar_members(archive: Path, opened: tarfile.TarFile) -> list[Member]:
    members = []
    for info in opened:
        if not (info.isreg() or info.isdir()):
            raise ValueError(f"{archive}: {info.name!r} is a link or a device; nothing was written")
        if info.name in (".", "./"):
            continue
        path = _checked(archive, info.name)
        if info.isreg():
            members.append(Member(path, info.size, None, info))
    return _once(archive, members)


def _checked(archive: Path, name: str) -> str:
    try:
        return safe_path(name)
    except ValueError as error:
        raise ValueError(f"{archive}: {error}; nothing was written") from error


def _once(archive: Path, members: list[Member]) -> list[Member]:
    """Refuse two members at one place: which of them is meant?"""
    twice = len(members) - len({member.path for member in members})
    if twice:
        raise ValueError(f"{archive}: {twice} paths are there twice; nothing was written")
    return members


def _check_size(archive: Path, folder: Path, members: list[Member]) -> None:
    total, packed = sum(member.size for member in members), archive.stat().st_size
    free = shutil.disk_usage(_existing(folder)).free
    if total > _MOST_EXPANSION * max(packed, 1):
        raise ValueError(
            f"{archive}: {packed:,} bytes that unpack to {total:,} are no feature archive; nothing was written"
        )
    if total > free:
        raise ValueError(f"{archive}: unpacks to {total:,} bytes, {folder} has room for {free:,}; nothing was written")


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _refuse_detour(folder: Path, target: Path) -> None:
    """Refuse to write through a link that leads out of the folder."""
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{target}: a link in {folder} leads out of it; remove the link")


def _same(target: Path, member: Member) -> bool:
    """Whether a file is there already; only a zip member says enough to know."""
    if member.crc is None or not target.is_file() or target.stat().st_size != member.size:
        return False
    return zlib.crc32(target.read_bytes()) == member.crc


def _write(archive: Path, member: Member, target: Path, open_member: Callable[[Member], IO[bytes]]) -> None:
    with open_member(member) as source, replaced(target) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(source, file, _BLOCK)
        if file.tell() != member.size:
            raise ValueError(f"{archive}: {member.path} ends early; delete the archive and fetch it again")
