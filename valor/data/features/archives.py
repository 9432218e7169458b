"""Archives from elsewhere are looked at before memory or disk is given to them (arrays: `label_harvest.arrays`).

Of an archive every member is looked at before the first one is written: its name, its kind, how often it is there, and
what all of them come to. tarfile's own data filter lets links within the archive pass and mends absolute names; the
published archives have neither, so here they end it.
"""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from valor.label_harvest.arrays import opened_zip
from valor.label_harvest.disk import replaced

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
"""What `unpack` understands."""
_MOST_MEMBERS = 1_000_000
"""Files in an archive beyond which it is no feature archive; all of LLP in five kinds is 60,000."""
_MOST_EXPANSION = 200
"""Unpacked over packed size beyond which an archive is taken for a trap; feature files reach 2, label files 40."""
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
_BLOCK = 1 << 20
_LONGEST_NOTE = 1 << 20
"""Bytes of a note on a tar member, such as a long name, beyond which it is no such note; tarfile reads it whole."""
_LONGEST_NAME, _LONGEST_PATH = 240, 2000
"""Bytes; the usual disks take 255, with what a file is called while it is written, and 4,096 in all."""
_NOTES = (b"x", b"g", b"X", b"L", b"K")
"""Kinds of tar members that are notes on the next one: pax, Solaris, and GNU's long names and links."""


@dataclass(frozen=True)
class Member:
    """A plain file inside an archive."""

    path: str
    """Its place below the target folder, checked."""
    size: int
    crc: int | None
    """CRC-32 of a zip member."""
    open: Callable[[], IO[bytes]]


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
        ValueError: It is absolute, goes up, has a drive, a backslash or a control character, is empty, or longer than a
            disk takes.

    >>> safe_path("CLIP/./features/a.npy")
    'CLIP/features/a.npy'
    """
    path = PurePosixPath(name)
    control = any(ord(character) < 32 for character in name)
    if not path.parts or path.is_absolute() or ".." in path.parts or control or any(c in name for c in "\\:"):
        raise ValueError(f"the path {name[:120]!r} would leave its folder or is no plain relative path")
    longest = max(len(os.fsencode(part)) for part in path.parts)
    if longest > _LONGEST_NAME or len(os.fsencode(name)) > _LONGEST_PATH:
        raise ValueError(f"the path {name[:120]!r}... is longer than a disk takes")
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
            member of a zip, which shows when it is read.
    """
    with _members(archive) as members, _without_empty_folders() as made:
        _check(archive, folder, members)
        picked = [member for member in members if wanted(member.path)]
        written = 0
        for member in picked:
            target = folder / member.path
            if not target.parent.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{target}: a link in {folder} leads out of it; remove the link")
            if _is_there(target, member):
                continue
            if not target.parent.exists():
                made += [place for place in reversed((target.parent, *target.parent.parents)) if not place.exists()]
            # Not flushed: there are thousands, and a second run writes again what a power cut left empty.
            with member.open() as source, replaced(target, flush=False) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(source, file, _BLOCK)
                if file.tell() != member.size:
                    raise ValueError(f"{archive}: {member.path} ends early; delete the archive and fetch it again")
            written += 1
    return Unpacked(written, len(picked) - written)


@contextmanager
def _without_empty_folders() -> Iterator[list[Path]]:
    """Remove the folders that the block says it made, where it fails and nothing is in them."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for place in reversed(made):
            with suppress(OSError):
                place.rmdir()
        raise


@contextmanager
def _members(archive: Path) -> Iterator[list[Member]]:
    """The plain files of an archive, their names and kinds checked."""
    try:
        if archive.name.lower().endswith(".zip"):
            with opened_zip(archive) as opened:
                yield _zip_members(archive, opened)
        else:
            with tarfile.open(archive, tarinfo=_Checked) as opened_tar:
                yield _tar_members(archive, opened_tar)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk; gzip and bz2 give no number
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{archive}: a damaged archive ({reason}); delete it and fetch it again") from error


def _zip_members(archive: Path, opened: zipfile.ZipFile) -> list[Member]:
    members = []
    for info in opened.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)  # the upper half is the mode Unix gives a file; 0 from elsewhere
        if info.flag_bits & 1 or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive}: {info.filename!r} is encrypted, a link or a device; nothing was written")
        path = _checked(archive, info.filename)
        if not info.is_dir():
            members.append(Member(path, info.file_size, info.CRC, partial(opened.open, info)))
    return members


class _Checked(tarfile.TarInfo):
    """A header of a tar archive that may not have tarfile read gigabytes of notes into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Checked":
        """Read a header, and look at what it claims."""
        info = super().frombuf(buf, encoding, errors)
        if info.type in _NOTES and info.size > _LONGEST_NOTE:
            raise tarfile.ReadError(f"a note on a member claims {info.size:,} bytes")
        return info


def _tar_members(archive: Path, opened: tarfile.TarFile) -> list[Member]:
    members: list[Member] = []
    claimed, most = 0, _MOST_EXPANSION * max(archive.stat().st_size, 1)
    for info in opened:
        claimed += info.size
        if claimed > most or len(members) > _MOST_MEMBERS:
            break  # `_check` refuses it; the rest need not be unpacked to know
        if not (info.isreg() or info.isdir()):
            raise ValueError(f"{archive}: {info.name!r} is a link or a device; nothing was written")
        if info.name in (".", "./"):
            continue
        path = _checked(archive, info.name)
        if info.isreg():
            members.append(Member(path, info.size, None, partial(_extracted, opened, info)))
    # What follows the last member has the checksum of a compressed archive.
    while claimed <= most and opened.fileobj.read(_BLOCK):
        pass
    return members


def _extracted(opened: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = opened.extractfile(info)
    assert file is not None  # a plain file has contents
    return file


def _checked(archive: Path, name: str) -> str:
    try:
        return safe_path(name)
    except ValueError as error:
        raise ValueError(f"{archive}: {error}; nothing was written") from error


def _check(archive: Path, folder: Path, members: list[Member]) -> None:
    """Refuse two members at one place (which of them is meant?), and more than a disk or an archive like this holds."""
    if twice := len(members) - len({member.path for member in members}):
        raise ValueError(f"{archive}: {twice} paths are there twice; nothing was written")
    folders = {str(above) for member in members for above in PurePosixPath(member.path).parents}
    if both := sorted(folders & {member.path for member in members}):
        raise ValueError(f"{archive}: {both[0][:120]!r} is a file and a folder; nothing was written")
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"{archive}: {len(members):,} files are no feature archive; nothing was written")
    total, packed = sum(member.size for member in members), archive.stat().st_size
    if total > _MOST_EXPANSION * max(packed, 1):
        raise ValueError(
            f"{archive}: {packed:,} bytes that unpack to {total:,} are no feature archive; nothing was written"
        )
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if total > (free := shutil.disk_usage(there).free):
        raise ValueError(f"{archive}: unpacks to {total:,} bytes, {folder} has room for {free:,}; nothing was written")


def _is_there(target: Path, member: Member) -> bool:
    """Whether a file is there already; only a zip member says enough to know."""
    if member.crc is None or not target.is_file() or target.stat().st_size != member.size:
        return False
    return zlib.crc32(target.read_bytes()) == member.crc
