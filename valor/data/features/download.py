"""What is published where, fetched whole, checked, and unpacked into the layout that `valor import` reads.

The annotation tables are known byte for byte. What the hub's repositories hold is listed when it is asked for; the list
is kept beside the archives, so that a machine without a network can check and unpack what was carried to it.

huggingface_hub lists and transfers, from the hub and from GitHub alike, and nothing of the user's is sent along. Its
`hf_hub_download` does not serve (1.33): when a run ends it throws away what it has of a file, which may be gigabytes,
and it compares the size of what came but not the sha256.
"""

import errno
import fnmatch
import hashlib
import io
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.request import getproxies

import httpx
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import hf_hub_url, http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, though not listed in its __all__
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
)

from valor.label_harvest.disk import file_sha256, rename, write_json
from valor.label_harvest.strict_json import as_list, as_object, as_text, as_whole, loads, reason

from .archives import is_archive, safe_path, unpack
from .feature_files import FEATURE_FILES, LABEL_FOLDERS
from .fetch_options import FetchOptions

_LOG = logging.getLogger(__name__)

GITHUB = "https://raw.githubusercontent.com"
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

ARCHIVES = "downloads"
"""Folder of the archives as fetched and of the lists of files, inside the target folder."""

CLASSIC_FEATURES = (
    "the classic features (vggish, res152, r2plus1d) are linked from the README of github.com/YapengTian/AVVP-ECCV20 "
    "as one Google Drive archive; put its feats/ folder into {folder}"
)


def _is_array(path: str) -> bool:
    """Whether a path is an array of the layout, and not what macOS puts beside files in its archives."""
    parts = PurePosixPath(path).parts
    return path.endswith(".npy") and not parts[-1].startswith("._") and "__MACOSX" not in parts


def _is_label(path: str) -> bool:
    return _is_array(path) and "segment_pseudo_labels" in PurePosixPath(path).parts[:-1]


@dataclass(frozen=True)
class Source:
    """A repository of the hub and what is taken from it."""

    repository: str
    """OWNER/NAME."""
    kind: str
    """What the hub calls it: `model` or `dataset`."""
    wanted: Callable[[str], bool]
    """Which files, outside and inside archives."""
    folder: str
    """Where they go inside the target folder."""


SOURCES: dict[str, Source] = {
    "features": Source("NTUBarista/valor_features", "dataset", lambda p: _is_array(p) and not _is_label(p), "."),
    "labels": Source("NTUBarista/valor_features", "dataset", _is_label, "."),
    "checkpoints": Source(
        "NTUBarista/valor_trained_models",
        "model",
        lambda path: path.endswith((".pt", ".pth", ".safetensors", "arguments.txt")),
        "models",
    ),
}
"""What `valor download` takes from the hub."""
_MOST_FILES = 100_000
"""Entries of a list of files beyond which it is taken for endless; the hub advises against repositories that large."""

_TEMPORARY = {408, 416, 425, 429, 500, 502, 503, 504}
"""HTTP answers worth another try; 416 says that a remnant is longer than the file, and it is gone then."""
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENAMETOOLONG}
"""Errors of this machine's disk, which no other attempt mends."""
_LONGEST_WAIT = 60.0
_TRIES_OF_DAMAGE = 2
"""A file that arrives whole but wrong is fetched once more: what stood there before may be to blame."""
_PART = ".part"
"""Ending of a file that is still being fetched."""

T = TypeVar("T")


class DownloadError(OSError):
    """A file could not be fetched whole; what to do about it is in the message."""


class UnknownHostError(DownloadError):
    """Nobody knows the name of the machine that is asked: there is no network, or the name is mistyped."""


class _TooLongError(Exception):
    """More bytes come than the file has."""


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file somewhere, and what is known about its bytes."""

    url: str
    path: str
    """Where it goes below the target folder, with forward slashes."""
    size: int
    """Bytes."""
    digest: str
    """`sha256:<hex>`, or `git-blob:<hex>`, the name git gives the contents of a small file."""


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


def asked_offline() -> bool:
    """Whether the environment forbids connections (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE), as the hub reads it."""
    return bool(constants.is_offline_mode())


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
    base = (site or GITHUB).rstrip("/")
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
    listed = _listing(source, revision, out, options, site)
    files = [f for f in listed if fnmatch.fnmatch(f.path, only) and (is_archive(f.path) or source.wanted(f.path))]
    if not files:
        names = ", ".join(f.path for f in listed[:10]) or "nothing"
        raise DownloadError(f"{source.repository} holds no {what} that fit {only!r}; it holds {names}")
    archives = [replace(f, path=f"{ARCHIVES}/{f.path}") for f in files if is_archive(f.path)]
    plain = [replace(f, path=_placed(f.path, source.folder)) for f in files if not is_archive(f.path)]
    result = _fetch_all([*archives, *plain], out, options)
    unpacked = [unpack(out / archive.path, out / source.folder, source.wanted) for archive in archives]
    return replace(result, unpacked=sum(part.written for part in unpacked), notes=_notes(what, out))


def _listing(source: Source, revision: str, out: Path, options: FetchOptions, site: str | None) -> list[RemoteFile]:
    """The files of a repository from the hub, or offline from the list that was kept."""
    kept = out / ARCHIVES / f"{source.repository.rpartition('/')[2]}.{revision.replace('/', '-')}.json"
    if not options.offline:
        files = list_repository(source, revision, site, options)
        write_json(kept, [asdict(file) for file in files])
        return files
    if not kept.is_file():
        raise DownloadError(
            f"offline, and {kept} is not there to say what {source.repository} holds; download once with a network and "
            "copy the folder, or unpack what you have by hand and use `valor import`"
        )
    try:
        files = [_kept(entry) for entry in as_list(loads(kept.read_text(encoding="utf-8")), "the file")]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{kept}: expected the list of files kept by `valor download` ({error}); delete it") from error
    return files


def _kept(entry: object) -> RemoteFile:
    """A file as the kept list names it."""
    held = as_object(entry, "a file")
    file = RemoteFile(**held)
    as_whole(file.size, f"the size of {as_text(file.path, 'a path')}")
    for name in set(held) - {"path", "size"}:
        if held[name] is not None:
            as_text(held[name], f"{name} of {file.path}", blank=True)
    return replace(file, path=safe_path(file.path))


def list_repository(source: Source, revision: str, site: str | None, options: FetchOptions) -> list[RemoteFile]:
    """List the files of a repository of the hub.

    Args:
        source: Which.
        revision: Branch, tag or commit.
        site: Address of a mirror, None for the hub, or for HF_ENDPOINT.
        options: How patiently.

    Returns:
        The files in path order; large ones come with their sha256, small ones with git's name of their contents.

    Raises:
        DownloadError: There is no answer, or it is no such list.
        ValueError: A path in it would leave the target folder.
    """
    site = (site or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
    api = HfApi(endpoint=site, token=False, library_name="valor")

    def ask() -> list[RepoFile]:
        tree = api.list_repo_tree(source.repository, recursive=True, revision=revision, repo_type=source.kind)
        return [entry for entry in islice(tree, _MOST_FILES + 1) if isinstance(entry, RepoFile)]

    what = f"{site}/{source.repository}"
    try:
        entries = _patiently(what, ask, options)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(
            f"{what}: expected the hub's JSON list of files, got something else ({reason(error)})"
        ) from error
    if len(entries) > _MOST_FILES:
        raise DownloadError(f"{what}: more than {_MOST_FILES:,} files are listed, which no repository like this holds")
    files = []
    for entry in sorted(entries, key=lambda entry: entry.path):
        url = hf_hub_url(source.repository, entry.path, repo_type=source.kind, revision=revision, endpoint=site)
        size, digest = entry.size, f"git-blob:{entry.blob_id}"
        if entry.lfs:
            size, digest = entry.lfs.size, f"sha256:{entry.lfs.sha256}"
        files.append(RemoteFile(url=url, path=safe_path(entry.path), size=size, digest=digest))
    return files


def _placed(path: str, folder: str) -> str:
    """Where a plain file of the hub goes; a path that names the folder already is not put into it twice."""
    return path if folder == "." or path.startswith(f"{folder}/") else f"{folder}/{path}"


def _notes(what: str, out: Path) -> tuple[str, ...]:
    """What is there now, what is not, and the next command."""
    if what == "checkpoints":
        found = sorted((out / "models").rglob("*.pt")) + sorted((out / "models").rglob("*.pth"))
        return tuple(f"next: `valor import checkpoint '{path}' --out RUN`" for path in found)
    folders = LABEL_FOLDERS if what == "labels" else [files.folder for files in FEATURE_FILES.values()]
    absent = [folder for folder in folders if not (out / folder).is_dir()]
    notes = [f"not there: {', '.join(absent)}"] * bool(absent)
    if any(folder.startswith("feats/") for folder in absent):
        notes.append(CLASSIC_FEATURES.format(folder=out))
    return (*notes, f"next: `valor import {what} '{out}'`")


def _fetch_all(files: Sequence[RemoteFile], out: Path, options: FetchOptions) -> Downloaded:
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


def fetch(remote: RemoteFile, folder: Path, options: FetchOptions) -> bool:
    """Fetch a file unless it is there; it goes on where an earlier run stopped, and gets its name once it is checked.

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
        if complaint := mismatch(target, remote):
            raise ValueError(f"{target}: another file is in the way ({complaint}); move it away and run again")
        return False
    if options.offline:
        raise DownloadError(f"{remote.url}: offline, so it is not asked for; run once without `offline`")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + _PART)
    complaint = ""
    for _ in range(_TRIES_OF_DAMAGE):
        try:
            _patiently(remote.url, lambda: _append(remote, part), options, part)
            complaint = mismatch(part, remote)
        except _TooLongError:
            complaint = f"more than its {remote.size:,} bytes"
        except DownloadError:
            if part.exists() and not part.stat().st_size:
                part.unlink()
            raise
        if not complaint:
            rename(part, target)
            return True
        part.unlink()
    raise DownloadError(
        f"{remote.url}: what arrived is not the published file: {complaint}; the server or the way to it damages files"
    )


def mismatch(path: Path, remote: RemoteFile) -> str:
    """How a file differs from what is known of it: nothing when it does not."""
    size = path.stat().st_size
    if size != remote.size:
        return f"{size:,} bytes in place of {remote.size:,}"
    kind = remote.digest.partition(":")[0]
    if kind == "sha256":
        found = file_sha256(path)
    elif kind == "git-blob":
        blob = b"blob %d\0" % size + path.read_bytes()
        found = hashlib.sha1(blob, usedforsecurity=False).hexdigest()
    else:
        raise ValueError(f"a digest is sha256:<hex> or git-blob:<hex>, got {kind!r}")
    found = f"{kind}:{found}"
    return "" if found == remote.digest else f"{found[:24]}... in place of {remote.digest[:24]}..."


def _append(remote: RemoteFile, part: Path) -> None:
    """Add to the part file what is lacking, as far as one call of the hub's client brings it."""
    with _Part(part, remote.size) as file:
        if file.tell() == remote.size:
            return
        headers = {**build_hf_headers(token=False, library_name="valor"), "Accept-Encoding": "identity"}
        try:
            http_get(remote.url, file, resume_size=file.tell(), headers=headers, displayed_filename=remote.path)
        except HfHubHTTPError as error:
            if error.response.status_code == 416:
                file.truncate(0)
            raise
        file.flush()
        os.fsync(file.fileno())


class _Part(io.BufferedWriter):
    """A file that grows to its published size and not beyond it, whatever is sent."""

    def __init__(self, path: Path, size: int) -> None:
        if path.exists() and path.stat().st_size > size:
            path.unlink()
        super().__init__(io.FileIO(path, "ab"))
        self._size = size

    def write(self, block: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(block) > self._size:
            raise _TooLongError
        return super().write(block)


def _patiently(url: str, attempt: Callable[[], T], options: FetchOptions, part: Path | None = None) -> T:
    """Try until it works, or say why there is no use.

    Args:
        url: What is asked for, for messages.
        attempt: The try.
        options: How patiently.
        part: A file that grows by it; growth starts the count of failures again.
    """
    failures = furthest = 0
    while True:
        try:
            _refuse_unknown_host(httpx.URL(url))
            with _as_asked(options):
                return attempt()
        except UnknownHostError:
            raise
        except (OSError, httpx.HTTPError, httpx.InvalidURL) as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            if isinstance(error, OSError) and error.errno in _LOCAL:
                told = f"{url}: cannot be written here ({error}); make room or name another folder"
                raise DownloadError(told) from error
            if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                raise DownloadError(f"{url}: only http and https addresses are fetched from ({error})") from error
            response = getattr(error, "response", None)
            if response is not None and response.status_code not in _TEMPORARY:
                raise DownloadError(
                    f"{url}: the server answers {response.status_code} {response.reason_phrase}; is the address right, "
                    "and is the file public?"
                ) from error
            size = part.stat().st_size if part and part.exists() else 0
            failures = 1 if size > furthest else failures + 1
            furthest = max(furthest, size)
            if failures >= options.attempts:
                raise DownloadError(
                    f"{url}: gave up after {failures} failures in a row ({reason}); run the same command again to go "
                    "on from where it stopped"
                ) from error
            wait = min(options.backoff * 2 ** (failures - 1), _LONGEST_WAIT)
            _LOG.info("%s: %s; trying again in %.0f s", url, reason, wait)
            time.sleep(wait)


def _refuse_unknown_host(url: httpx.URL) -> None:
    """A name that does not exist will not exist later, and the hub's client asks six times whatever the trouble."""
    if not url.host or url.scheme in getproxies():  # which knows names that this machine may not
        return
    try:
        socket.getaddrinfo(url.host, None)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            raise UnknownHostError(
                f"{url}: the name {url.host} is not resolved; this machine has no network, or the address is mistyped. "
                "Where there is a network run the same command, then copy the folder here (docs/offline.md)"
            ) from error


@contextmanager
def _as_asked(options: FetchOptions) -> Iterator[None]:
    """Have the hub's client wait and draw as the options say; it takes both from settings of its process."""
    before, drawn = constants.HF_HUB_DOWNLOAD_TIMEOUT, not are_progress_bars_disabled()
    constants.HF_HUB_DOWNLOAD_TIMEOUT = options.timeout  # type: ignore[assignment]
    if drawn and not options.progress:
        disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = before
        if drawn and not options.progress:
            enable_progress_bars()
