"""One file from the network to the disk: resumed where it broke off, checked before it gets its name.

Only the standard library is used. The hub's own client checks sizes but not the sha256 of what it fetched, keeps files
in a cache of links, and knows nothing of GitHub; here one rule covers both, and a plain local server can test it.
"""

import contextlib
import errno
import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from valor import __version__

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
class FetchOptions:
    """How patiently files are fetched."""

    attempts: int = 6
    """Failures in a row that are borne; an attempt that brought new bytes starts the count again."""
    timeout: float = 60.0
    """Seconds without a byte before a connection counts as dead."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubles each time, up to a minute."""
    offline: bool = False
    """Open no connection at all."""
    progress: bool = True
    """Whether to show a progress bar on stderr."""

    def __post_init__(self) -> None:
        """Refuse values nothing could be fetched with."""
        if self.attempts < 1 or self.timeout <= 0 or self.backoff < 0:
            raise ValueError(
                f"attempts must be at least 1, timeout positive and backoff not negative, got {self.attempts}, "
                f"{self.timeout} and {self.backoff}"
            )


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
