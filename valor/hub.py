"""What a repository of the Hugging Face hub holds: file names, sizes and digests, listed when asked, never assumed."""

import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from valor.archives import safe_path
from valor.fetching import DownloadError, FetchOptions, RemoteFile, read_url

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
