"""What is published where, and how it gets into the layout that `valor import` and every other project reads.

The annotation tables are known byte for byte. What the hub's repositories hold is listed when it is asked for; the
list is kept beside the archives, so that a machine without a network can check and unpack what was carried to it.

Archives from elsewhere: every member is looked at before the first one is written.

One file from the network to the disk: resumed where it broke off, checked before it gets its name.

Only the standard library is used. The hub's own client checks sizes but not the sha256 of what it fetched, keeps files
in a cache of links, and knows nothing of GitHub; here one rule covers both, and a plain local server can test it.

What a repository of the Hugging Face hub holds: file names, sizes and digests, listed when asked, never assumed.
"""

import contextlib
import errno
import fnmatch
import hashlib
import http.client
import json
import logging
import os
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm import tqdm

from valor import __version__
from valor.label_harvest.store.disk import replaced

from .feature_files import FEATURE_FILES, LABEL_FOLDERS
from .fetch_options import FetchOptions

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
"""What `unpack` understands."""
_MOST_EXPANSION = 200
"""Unpacked over packed size beyond which an archive is taken for a trap; feature files reach 2, label files 40."""
_ARCHIVE_BLOCK = 1 << 20


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
    with open_member(member) as source, replaced(target, flush=False) as temporary, temporary.open("wb") as file:
        shutil.copyfileobj(source, file, _ARCHIVE_BLOCK)
        if file.tell() != member.size:
            raise ValueError(f"{archive}: {member.path} ends early; delete the archive and fetch it again")


_LOG = logging.getLogger(__name__)

_BLOCK = 1 << 18
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""HTTP answers worth another try."""
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG}
"""Errors of this machine's disk, which no other attempt mends."""
_LONGEST_WAIT = 60.0
_MOST_DAMAGE = 1
"""A file that arrives whole but wrong is fetched again this often: what stood there before may be to blame, once."""
_PART = ".part"
"""Ending of a file that is still being fetched."""


class DownloadError(OSError):
    """A file could not be fetched whole; what to do about it is in the message."""


class _DamagedError(ConnectionError):
    """Whole, but not what was published."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file somewhere, and what is known about its bytes."""

    url: str
    path: str
    """Where it goes below the target folder, with forward slashes."""
    size: int | None = None
    """Bytes."""
    digest: str | None = None
    """`sha256:<hex>`, or `git-blob:<hex>`, the name git gives a file's contents."""


def asked_offline() -> bool:
    """Whether the environment forbids connections (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE)."""
    words = (os.environ.get(name, "").strip().lower() for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(word not in ("", "0", "false", "no", "off") for word in words)


def fetch(remote: RemoteFile, folder: Path, options: FetchOptions) -> bool:
    """Fetch a file unless it is there.

    Args:
        remote: What to fetch; its path must have been checked.
        folder: Where its path starts.
        options: How patiently.

    Returns:
        False when the file was there already and is the right one.

    Raises:
        DownloadError: It could not be fetched, is not what it should be, or may not be fetched offline.
        ValueError: Another file stands at its place.
    """
    target = folder / remote.path
    if target.exists():
        complaint = mismatch(target, remote)
        if complaint:
            raise ValueError(f"{target}: another file is in the way ({complaint}); move it away and run again")
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + _PART)
    with tqdm(total=remote.size, unit="B", unit_scale=True, desc=target.name, disable=not options.progress) as bar:
        _fetch_patiently(remote, part, bar, options)
    os.replace(part, target)
    return True


def read_url(url: str, options: FetchOptions, *, limit: int = 1 << 26) -> tuple[bytes, Mapping[str, str]]:
    """Read a small answer whole.

    Args:
        url: What to ask for.
        options: How patiently.
        limit: Most bytes that are accepted.

    Returns:
        The bytes and the headers, names in lower case.

    Raises:
        DownloadError: There was no whole answer of at most that size.
    """
    failures = 0
    while True:
        try:
            with _open(url, {}, options) as response:
                body = response.read(limit + 1)
                expected = response.headers.get("Content-Length")
                if len(body) > limit:
                    raise DownloadError(f"{url}: the answer is larger than {limit:,} bytes, which no listing is")
                if expected is None or len(body) == int(expected):
                    return body, {name.lower(): value for name, value in response.headers.items()}
                raise http.client.IncompleteRead(body)
        except (OSError, http.client.HTTPException) as error:
            failures += 1
            _wait_or_give_up(url, error, failures, options)


def mismatch(path: Path, remote: RemoteFile) -> str:
    """How a file differs from what is known of it: nothing when it does not.

    Args:
        path: A file.
        remote: What it should be.
    """
    size = path.stat().st_size
    if remote.size is not None and size != remote.size:
        return f"{size:,} bytes in place of {remote.size:,}"
    if remote.digest is None:
        return ""
    algorithm = remote.digest.partition(":")[0]
    found = f"{algorithm}:{_digest(path, algorithm)}"
    return "" if found == remote.digest else f"{found[:24]}... in place of {remote.digest[:24]}..."


def _fetch_patiently(remote: RemoteFile, part: Path, bar: tqdm, options: FetchOptions) -> None:
    """Bring the part file to its end, over as many connections as it takes."""
    failures = damaged = furthest = 0
    while True:
        try:
            if remote.size is None or _size(part) < remote.size:
                _append(remote, part, bar, options)
            complaint = mismatch(part, remote)
            if not complaint:
                return
            part.unlink()
            raise _DamagedError(f"what arrived is not the published file: {complaint}")
        except DownloadError:
            raise
        except (OSError, http.client.HTTPException) as problem:
            error = problem
        damaged += isinstance(error, _DamagedError)
        if damaged > _MOST_DAMAGE:
            raise DownloadError(f"{remote.url}: {error}; the server or the way to it damages files") from error
        failures = 1 if _size(part) > furthest else failures + 1
        furthest = max(furthest, _size(part))
        _wait_or_give_up(remote.url, error, failures, options)


def _append(remote: RemoteFile, part: Path, bar: tqdm, options: FetchOptions) -> None:
    """Add what one connection brings to the part file.

    Raises:
        OSError: The connection ended early, or the server contradicts itself or what is known of the file.
    """
    start = _size(part) if remote.digest else 0  # what cannot be checked at the end is not pieced together
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = _open(remote.url, headers, options)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part file is longer than the file
            part.unlink(missing_ok=True)
        raise
    with response:
        if response.status != 206:
            start = 0  # the server sends the whole file again
        elif not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise ConnectionError(f"asked for bytes from {start}, got {response.headers.get('Content-Range')!r}")
        announced = response.headers.get("Content-Length")
        end = remote.size if announced is None else start + int(announced)
        if remote.size not in (None, end):
            part.unlink(missing_ok=True)
            raise _DamagedError(f"the server offers {end:,} bytes, the published file has {remote.size:,}")
        bar.n = start
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            got = start + _copy(response, file, bar, limit=None if end is None else end - start)
    if end is not None and got < end:
        raise ConnectionError(f"the connection ended after {got:,} of {end:,} bytes")


def _copy(source: IO[bytes], target: IO[bytes], bar: tqdm, *, limit: int | None) -> int:
    """Copy until the source ends; one byte past the limit is enough to know that it is the wrong file."""
    copied = 0
    while limit is None or copied <= limit:
        block = source.read(_BLOCK if limit is None else min(_BLOCK, limit + 1 - copied))
        if not block:
            break
        target.write(block)
        copied += len(block)
        bar.update(len(block))
    return copied


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and never from https to http."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # noqa: ANN001, ANN201, PLR0913
        """Refuse redirects that leave the protection of the first address."""
        if not newurl.startswith("https://" if req.full_url.startswith("https://") else ("http://", "https://")):
            raise DownloadError(f"{req.full_url}: redirects to {newurl[:80]}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(url: str, headers: Mapping[str, str], options: FetchOptions) -> http.client.HTTPResponse:
    """Open a connection: the one place of this project's downloads that does."""
    if options.offline:
        raise DownloadError(f"offline, so {url} is not asked for; run once without --offline and HF_HUB_OFFLINE")
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url}: only http and https addresses are fetched from")
    request = urllib.request.Request(  # noqa: S310, the scheme was checked
        url, headers={"User-Agent": f"valor/{__version__}", "Accept-Encoding": "identity", **headers}
    )
    return urllib.request.build_opener(_SafeRedirects).open(request, timeout=options.timeout)


def _wait_or_give_up(url: str, error: Exception, failures: int, options: FetchOptions) -> None:
    """Sleep before the next attempt, or say why there is none."""
    if isinstance(error, DownloadError):
        raise error
    if isinstance(error, OSError) and error.errno in _LOCAL:
        raise DownloadError(f"{url}: cannot be written here ({error}); make room or name another folder") from error
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if error.code not in _TEMPORARY and error.code != 416:
            raise DownloadError(
                f"{url}: the server answers {error.code} {error.reason}; is the address right, and is the file public?"
            ) from error
    if failures >= options.attempts:
        raise DownloadError(
            f"{url}: gave up after {failures} failures in a row ({reason}); run the same command again to go on from "
            "where it stopped"
        ) from error
    wait = min(options.backoff * 2 ** (failures - 1), _LONGEST_WAIT)
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        wait = min(max(wait, float(error.headers["Retry-After"])), _LONGEST_WAIT)  # type: ignore[attr-defined]
    _LOG.info("%s: %s; trying again in %.0f s", url, reason, wait)
    time.sleep(wait)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        if algorithm == "sha256":
            return hashlib.file_digest(file, "sha256").hexdigest()
        if algorithm != "git-blob":
            raise ValueError(f"a digest is sha256:<hex> or git-blob:<hex>, got {algorithm!r}")
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(_BLOCK):
            digest.update(block)
        return digest.hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


_MOST_PAGES = 1000


@dataclass(frozen=True, kw_only=True)
class HubRepository:
    """A repository and the revision of it that is meant."""

    name: str
    """OWNER/NAME."""
    kind: str = "models"
    """`models` or `datasets`."""
    revision: str = "main"

    def listing_url(self, site: str) -> str:
        """Address of the list of all its files."""
        revision = urllib.parse.quote(self.revision, safe="")
        return f"{site}/api/{self.kind}/{self.name}/tree/{revision}?recursive=true"

    def file_url(self, site: str, path: str) -> str:
        """Address of one file."""
        folder = "datasets/" if self.kind == "datasets" else ""
        revision = urllib.parse.quote(self.revision, safe="")
        return f"{site}/{folder}{self.name}/resolve/{revision}/{urllib.parse.quote(path)}"


def list_repository(repository: HubRepository, site: str, options: FetchOptions) -> list[RemoteFile]:
    """List the files of a repository.

    Args:
        repository: Which.
        site: Address of the hub or of a mirror, without a slash at its end.
        options: How patiently.

    Returns:
        The files in path order; large ones come with their sha256, small ones with git's name of their contents.

    Raises:
        DownloadError: There is no answer, or it is no such list.
        ValueError: A path in it would leave the target folder.

    Source:
        The tree endpoint as huggingface_hub 1.x reads it (`HfApi.list_repo_tree`): pages linked by a `Link` header.
    """
    url: str | None = repository.listing_url(site)
    files: list[RemoteFile] = []
    for _ in range(_MOST_PAGES):
        body, headers = read_url(url, options)
        try:
            entries = json.loads(body)
            found = [entry for entry in entries if entry["type"] == "file"]
            files += [_remote(entry, repository, site) for entry in found]
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, ValueError) and "would leave" in str(error):
                raise
            raise DownloadError(
                f"{url}: expected the hub's JSON list of files, got something else ({error})"
            ) from error
        url = _next_page(headers.get("link", ""), site)
        if url is None:
            return sorted(files, key=lambda file: file.path)
    raise DownloadError(f"{url}: the list of files does not end")


def _remote(entry: Mapping, repository: HubRepository, site: str) -> RemoteFile:
    large = entry.get("lfs")
    digest = f"sha256:{large['oid'].removeprefix('sha256:')}" if large else f"git-blob:{entry['oid']}"
    path, size = safe_path(entry["path"]), int(large["size"] if large else entry["size"])
    return RemoteFile(url=repository.file_url(site, entry["path"]), path=path, size=size, digest=digest)


def _next_page(link: str, site: str) -> str | None:
    """The address of the next page, which must be of the same site."""
    for part in link.split(","):
        address, _, relation = part.partition(";")
        if 'rel="next"' in relation:
            url = urllib.parse.urljoin(site, address.strip().strip("<>"))
            if urllib.parse.urlsplit(url)[:2] != urllib.parse.urlsplit(site)[:2]:
                raise DownloadError(f"the list of files goes on at {url[:80]}, which is not {site}")
            return url
    return None


GITHUB = "https://raw.githubusercontent.com"
HUB = "https://huggingface.co"

_TABLES = "YapengTian/AVVP-ECCV20"
_OLD_REVISION = "0b28c1a7eafbd952d8ed5aac67a722fb09306ae4"
"""The revision with the audio table as first published."""

ANNOTATIONS: dict[str, tuple[str, int, str]] = {
    "AVVP_dataset_full.csv": ("master", 407483, "89f112ffc602279c87cc2b2040c4cd42eaf163a9d7e61cf4e74250a343d21e56"),
    "AVVP_train.csv": ("master", 341164, "bbeb83e8af46a85075216b213d3464f92dd4ab71468c852ae454b82cc745c0a4"),
    "AVVP_val_pd.csv": ("master", 23349, "1811813b54c5f43c3be0a97bd0971cfb8a93818ca7b3ab96cdc7f4ac37ef37a6"),
    "AVVP_test_pd.csv": ("master", 43014, "3f7a2b040e3b67c15d08efef25002bf8c5b2320f11049eb99ae0eb2d62f8eb9b"),
    "AVVP_eval_audio.csv": ("master", 134355, "d5435664668bec6e7eafb39059d2f424ed2682f6b55395262fc3cb691b7d0778"),
    "AVVP_eval_visual.csv": ("master", 83874, "e2274af694f3f27e38b840e0cd91a9d8d9ac85280f193e90828d26b22db69abe"),
    "AVVP_eval_audio.v2020.csv": (
        _OLD_REVISION,
        134360,
        "249122f65501d8d611c0027a48643798fe622bedee60f7e6224b5a8e3c02f886",
    ),
}
"""Revision, bytes and sha256 of each annotation table, by our name of it."""

_FEATURES = HubRepository(name="NTUBarista/valor_features", kind="datasets")
_MODELS = HubRepository(name="NTUBarista/valor_trained_models")

ARCHIVES = "downloads"
"""Folder of the archives as fetched and of the lists of files, inside the target folder."""

CLASSIC_FEATURES = (
    "the classic features (vggish, res152, r2plus1d) are linked from the README of github.com/YapengTian/AVVP-ECCV20 "
    "as one Google Drive archive; put its feats/ folder into {folder}"
)


@dataclass(frozen=True)
class Source:
    """A repository of the hub and what is taken from it."""

    repository: HubRepository
    wanted: Callable[[str], bool]
    """Which files, outside and inside archives."""
    folder: str
    """Where they go inside the target folder."""


def _is_array(path: str) -> bool:
    """Whether a path is an array of the layout, and not what macOS puts beside files in its archives."""
    parts = PurePosixPath(path).parts
    return path.endswith(".npy") and not parts[-1].startswith("._") and "__MACOSX" not in parts


def _is_label(path: str) -> bool:
    return _is_array(path) and "segment_pseudo_labels" in PurePosixPath(path).parts[:-1]


def _is_feature(path: str) -> bool:
    return _is_array(path) and not _is_label(path)


def _is_model(path: str) -> bool:
    return path.endswith((".pt", ".pth", ".safetensors", "arguments.txt"))


SOURCES: dict[str, Source] = {
    "features": Source(_FEATURES, _is_feature, "."),
    "labels": Source(_FEATURES, _is_label, "."),
    "checkpoints": Source(_MODELS, _is_model, "models"),
}
"""What `valor download` takes from the hub."""


@dataclass(frozen=True)
class Downloaded:
    """What one download did."""

    fetched: tuple[str, ...]
    """Files that came over the network."""
    there: tuple[str, ...]
    """Files that were there and are the published ones."""
    unpacked: int = 0
    """Files written from archives."""
    notes: tuple[str, ...] = ()
    """What is still missing, and what to do next."""


def download_annotations(out: Path, options: FetchOptions, *, site: str | None = None) -> Downloaded:
    """Fetch the LLP annotation tables, both versions of the audio table.

    Args:
        out: Folder of the tables.
        options: How patiently; offline, the tables that are there are checked and the others are named.
        site: Address in place of raw.githubusercontent.com.

    Raises:
        DownloadError: A table could not be fetched, or is not the known one.
        ValueError: Another file of that name is there.
    """
    base = _site(site, GITHUB)
    files = []
    for name, (revision, size, sha256) in ANNOTATIONS.items():
        published = "AVVP_eval_audio.csv" if revision == _OLD_REVISION else name
        url = f"{base}/{_TABLES}/{revision}/data/{published}"
        files.append(RemoteFile(url=url, path=name, size=size, digest=f"sha256:{sha256}"))
    return _fetch_all(files, out, options)


def download_from_hub(
    what: str, out: Path, options: FetchOptions, *, site: str | None = None, only: str = "*", revision: str = "main"
) -> Downloaded:
    """Fetch and unpack what the hub holds of features, labels or checkpoints.

    Args:
        what: A key of SOURCES.
        out: Data folder; archives are kept in its `downloads/`.
        options: How patiently; offline, the archives that are there are checked against the kept list and unpacked.
        site: Address in place of huggingface.co; None also looks at HF_ENDPOINT.
        only: Pattern of the hub's file names, such as `CLIP*`.
        revision: Branch, tag or commit.

    Raises:
        DownloadError: Nothing fits, or a file could not be fetched whole.
        ValueError: An archive is damaged or hostile, or another file is in the way.
    """
    source = SOURCES[what]
    repository = replace(source.repository, revision=revision)
    listed = _listing(repository, out, options, _site(site or os.environ.get("HF_ENDPOINT"), HUB))
    files = [f for f in listed if fnmatch.fnmatch(f.path, only) and (is_archive(f.path) or source.wanted(f.path))]
    if not files:
        names = ", ".join(f.path for f in listed[:10]) or "nothing"
        raise DownloadError(f"{repository.name} holds no {what} that fit {only!r}; it holds {names}")
    archives = [replace(f, path=f"{ARCHIVES}/{f.path}") for f in files if is_archive(f.path)]
    plain = [replace(f, path=_placed(f.path, source.folder)) for f in files if not is_archive(f.path)]
    result = _fetch_all([*archives, *plain], out, options)
    unpacked = [_unpack(out, archive, source) for archive in archives]
    notes = _notes(what, out)
    return replace(result, unpacked=sum(part.written for part in unpacked), notes=notes)


def _fetch_all(files: list[RemoteFile], out: Path, options: FetchOptions) -> Downloaded:
    """Fetch what is not there; offline, say what is not there."""
    if options.offline:
        absent = [file.path for file in files if not (out / file.path).exists()]
        if absent:
            raise DownloadError(
                f"offline, and {out} lacks {', '.join(absent)}; fetch on a machine with a network and copy the folder"
            )
        wrong = {file.path: complaint for file in files if (complaint := mismatch(out / file.path, file))}
        if wrong:
            raise DownloadError(f"{out}: not the published files: {wrong}; fetch them again")
        return Downloaded((), tuple(file.path for file in files))
    fetched = [file.path for file in files if fetch(file, out, options)]
    return Downloaded(tuple(fetched), tuple(file.path for file in files if file.path not in fetched))


def _listing(repository: HubRepository, out: Path, options: FetchOptions, site: str) -> list[RemoteFile]:
    """The files of a repository from the hub, or offline from the list that was kept."""
    kept = out / ARCHIVES / f"{repository.name.rpartition('/')[2]}.{repository.revision.replace('/', '-')}.json"
    if not options.offline:
        files = list_repository(repository, site, options)
        with replaced(kept) as temporary:
            temporary.write_text(json.dumps([asdict(file) for file in files], indent=1) + "\n", encoding="utf-8")
        return files
    if not kept.is_file():
        raise DownloadError(
            f"offline, and {kept} is not there to say what {repository.name} holds; download once with a network and "
            "copy the folder, or unpack what you have by hand and use `valor import`"
        )
    try:
        files = [RemoteFile(**entry) for entry in json.loads(kept.read_text(encoding="utf-8"))]
        return [replace(file, path=safe_path(file.path)) for file in files]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{kept}: expected the list of files kept by `valor download` ({error}); delete it") from error


def _unpack(out: Path, archive: RemoteFile, source: Source) -> Unpacked:
    return unpack(out / archive.path, out / source.folder, source.wanted)


def _placed(path: str, folder: str) -> str:
    """Where a plain file of the hub goes; a path that names the folder already is not put into it twice."""
    return path if folder == "." or path.startswith(f"{folder}/") else f"{folder}/{path}"


def _notes(what: str, out: Path) -> tuple[str, ...]:
    """What is there now, what is not, and the next command."""
    if what == "checkpoints":
        found = sorted((out / "models").rglob("*.pt")) + sorted((out / "models").rglob("*.pth"))
        return tuple(f"next: valor import checkpoint '{path}' --out RUN" for path in found)
    folders = LABEL_FOLDERS if what == "labels" else [files.folder for files in FEATURE_FILES.values()]
    absent = [folder for folder in folders if not (out / folder).is_dir()]
    notes = [f"not there: {', '.join(absent)}"] * bool(absent)
    if any(folder.startswith("feats/") for folder in absent):
        notes.append(CLASSIC_FEATURES.format(folder=out))
    return (*notes, f"next: valor import {what} '{out}'")


def _site(given: str | None, default: str) -> str:
    return (given or default).rstrip("/")
