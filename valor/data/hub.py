"""What `valor push` puts into a repository of the Hugging Face hub, and how it comes back: checked, at one commit.

A repository holds
    valor.json       what kind of thing it is, and the sha256 of each of its files
    README.md        its card
    the files        of a run, thresholds, or an evidence store
and whatever else others put there, which is never fetched. Names of repositories are written `hf:OWNER/NAME`, and
`hf:OWNER/NAME@REVISION` for a branch, a tag or a commit. huggingface_hub transfers, keeps files in its cache, and says
who the user is (`hf auth login`, HF_TOKEN); HF_ENDPOINT names another server.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from valor.label_harvest.did_you_mean import did_you_mean
from valor.label_harvest.disk import file_sha256, rename
from valor.label_harvest.strict_json import as_object, as_text, loads

PREFIX = "hf:"
"""Before the name of a repository, where files and folders may be named too."""
MANIFEST, CARD, ORIGIN = "valor.json", "README.md", "pulled-from.txt"
FORMAT = "valor shared 1"
"""What `valor.json` calls itself."""
KINDS = {"run": "model", "thresholds": "model", "store": "dataset"}
"""What can be shared, and what the hub calls such a repository."""
SUFFIXES = (".safetensors", ".json", ".jsonl", ".npz", ".csv")
"""Endings of files that are fetched: none of them is ever unpickled or run."""
PUSHED, FETCHED = "pushed to", "fetched from"
PATIENCE = 10.0
"""Seconds the hub has to answer at all."""
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_REVISION = re.compile(r"[\w-][\w./-]*")


class HubError(OSError):
    """The hub did not do what was asked; says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """A repository as it was at one commit."""

    repository: str
    commit: str
    kind: str
    """A key of `KINDS`."""
    folder: Path
    """Its files, in the cache of the hub."""
    files: Mapping[str, str]
    """sha256 by name."""

    @property
    def address(self) -> str:
        """Where exactly it came from."""
        return f"{PREFIX}{self.repository}@{self.commit}"


def is_address(typed: Path | str) -> bool:
    """Whether something names a repository of the hub."""
    return str(typed).startswith(PREFIX)


def taken_apart(address: str) -> tuple[str, str | None]:
    """(repository, revision or None) of an address, with or without its prefix.

    Raises:
        ValueError: It is none.

    >>> taken_apart("hf:org/name@v1")
    ('org/name', 'v1')
    """
    repository, at, revision = address.removeprefix(PREFIX).partition("@")
    if not _REPOSITORY.fullmatch(repository) or ".." in address or (at and not _REVISION.fullmatch(revision)):
        raise ValueError(
            f"expected a repository of the hub, hf:OWNER/NAME or hf:OWNER/NAME@REVISION, got {address!r:.200}"
        )
    return repository, revision or None


def manifest_text(kind: str, files: Mapping[str, Path], about: Mapping[str, Any]) -> str:
    """What `valor.json` says."""
    held = {"format": FORMAT, "kind": kind, **about, "files": {name: file_sha256(path) for name, path in files.items()}}
    return json.dumps(held, indent=1, ensure_ascii=False) + "\n"


def push(
    address: str,
    kind: str,
    files: Mapping[str, Path],
    texts: Mapping[str, str],
    *,
    message: str,
    private: bool = False,
    endpoint: str | None = None,
) -> str:
    """Put files into a repository, which is made if need be, in one commit.

    Args:
        address: hf:OWNER/NAME.
        kind: A key of `KINDS`.
        files: By the name they get there.
        texts: The card and `valor.json`, likewise.
        message: Of the commit.
        private: Whether a repository that is made is for its owner alone.
        endpoint: Another server than the hub; None for HF_ENDPOINT, or the hub.

    Returns:
        The commit.

    Raises:
        HubError: The hub refused, or cannot be reached.
        ValueError: The address has a revision, or a file may not be shared.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    repository, revision = taken_apart(address)
    if revision is not None:
        raise ValueError(f"{address}: a push makes a new commit, got the revision {revision}; leave it out")
    if strange := [name for name in files if not _is_safe(name)]:
        raise ValueError(f"{strange[0]}: a file that is shared must be named {', '.join(SUFFIXES)}")
    endpoint = endpoint or os.environ.get("HF_ENDPOINT")
    api, repo_type = HfApi(endpoint=endpoint), KINDS[kind]
    adding = [CommitOperationAdd(name, str(path)) for name, path in files.items()]
    adding += [CommitOperationAdd(name, text.encode()) for name, text in texts.items()]
    with _said(repository, PUSHED):
        _greet(endpoint)
        api.create_repo(repository, repo_type=repo_type, private=private, exist_ok=True)
        return str(api.create_commit(repository, adding, commit_message=message, repo_type=repo_type).oid)


def pull(address: str, *, kinds: tuple[str, ...] = tuple(KINDS), endpoint: str | None = None) -> Pulled:
    """Fetch what was pushed, as far as it is not in the cache; every file is held against its sha256.

    Args:
        address: hf:OWNER/NAME, or with @REVISION; without, what the repository holds now.
        kinds: What it may be.
        endpoint: Another server than the hub; None for HF_ENDPOINT, or the hub.

    Raises:
        HubError: It cannot be had, or is not what its `valor.json` says.
        ValueError: The address is none, or it is of another kind.
    """
    repository, revision = taken_apart(address)
    where = _Where(repository, endpoint or os.environ.get("HF_ENDPOINT"))
    repo_types = list(dict.fromkeys(KINDS[kind] for kind in kinds))
    for number, repo_type in enumerate(repo_types):
        try:
            manifest = where.fetched(MANIFEST, revision, repo_type)
            break
        except HubError as error:
            if number + 1 == len(repo_types) or not isinstance(error.__cause__, _absent()):
                raise
    commit = manifest.parent.name
    kind, digests = read_manifest(manifest, repository)
    if kind not in kinds:
        raise ValueError(
            f"{address}: expected {' or '.join(kinds)} in it, got {kind}; `valor pull` fetches any of them"
        )
    for name, digest in digests.items():
        path = where.fetched(name, commit, repo_type)
        if file_sha256(path) != digest:
            raise HubError(
                f"{PREFIX}{repository}@{commit}: {name} is not the file that its {MANIFEST} names (sha256 "
                f"{digest:.12}...), changed there or damaged on the way; remove {path.resolve()} and fetch it again"
            )
    return Pulled(repository=repository, commit=commit, kind=kind, folder=manifest.parent, files=digests)


def _is_safe(name: str) -> bool:
    """Whether a name is a path below the repository, to a file that is read as data."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and ".." not in path.parts and "\\" not in name and str(path) == name
    return plain and path.suffix in SUFFIXES and name != MANIFEST and not any(p.startswith(".") for p in path.parts)


def read_manifest(manifest: Path, repository: str) -> tuple[str, dict[str, str]]:
    """(kind, sha256 by name) of a `valor.json`.

    Raises:
        HubError: It is none, or names what is not shared.
    """
    try:
        told = as_object(loads(manifest.read_text(encoding="utf-8")), "the file")
        if told.get("format") != FORMAT:
            raise ValueError(f"expected {FORMAT!r}, got {told.get('format')!r:.40}")
        if (kind := as_text(told.get("kind"), "kind")) not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r:.40}{did_you_mean(kind, KINDS)}")
        files = {
            name: as_text(digest, f"files: {name:.40}") for name, digest in as_object(told["files"], "files").items()
        }
        if strange := [name for name in files if not _is_safe(name)]:
            raise ValueError(f"files: {strange[0]!r:.200} is no file that is shared")
    except (OSError, ValueError, KeyError) as error:
        raise HubError(
            f"{PREFIX}{repository}: its {MANIFEST} is none of `valor push` ({error}); ask who pushed it"
        ) from error
    return kind, files


class _Where:
    """A repository on a server, which is asked once whether it is there: the hub's client tries for half a minute."""

    def __init__(self, repository: str, endpoint: str | None) -> None:
        import httpx

        self.repository, self.endpoint, self.offline = repository, endpoint, False
        try:
            _greet(endpoint)
        except (OSError, httpx.HTTPError):  # offline mode of the hub's client is a ConnectionError
            self.offline = True

    def fetched(self, name: str, revision: str | None, repo_type: str) -> Path:
        """A file, from the cache where it is there."""
        from huggingface_hub import hf_hub_download

        with _said(self.repository, FETCHED):
            found = hf_hub_download(
                self.repository,
                name,
                revision=revision,
                repo_type=repo_type,
                endpoint=self.endpoint,
                local_files_only=self.offline,
                library_name="valor",
            )
        return Path(str(found))


def _greet(endpoint: str | None) -> None:
    """Ask the server for anything at all.

    Raises:
        OfflineModeIsEnabled, httpx.TransportError: It may not be asked, or does not answer.
    """
    from huggingface_hub import constants, get_session

    get_session().head(endpoint or constants.ENDPOINT, timeout=PATIENCE)


def _absent() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import RepositoryNotFoundError

    return (RepositoryNotFoundError,)


@contextmanager
def _said(repository: str, doing: str) -> Iterator[None]:
    """Failures of the hub in one sentence."""
    import httpx
    from huggingface_hub import errors

    where = f"{PREFIX}{repository}"
    try:
        yield
    except (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        httpx.TransportError,
        ConnectionError,
    ) as error:
        if doing == PUSHED:
            raise HubError(f"{where}: the hub cannot be reached, so nothing was pushed; try again later") from error
        raise HubError(
            f"{where}: the hub cannot be reached, and what is asked for is not in its cache here; connect, or give a "
            "folder that was copied to this machine"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(
            f"{where}: no such repository, or none that you may see; check its name, `hf auth login` for private ones"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{where}: has no such revision; name a branch, a tag or a commit behind @") from error
    except errors.EntryNotFoundError as error:
        raise HubError(f"{where}: lacks a file that was asked for; is it a repository of `valor push`?") from error
    except errors.LocalTokenNotFoundError as error:
        raise HubError(f"{where}: nothing says who you are; `hf auth login` once, or set HF_TOKEN") from error
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        code = getattr(getattr(error, "response", None), "status_code", "")
        hint = "; `hf auth login` with a token that may write there" if code in (401, 403) else ""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise HubError(f"{where}: could not be {doing} ({reason:.200}){hint}") from error


def copied(pulled: Pulled, out: Path) -> Path:
    """Copy what was pulled into a folder that is not there yet, whole or not at all, with where it came from.

    Raises:
        ValueError: The folder is there.
    """
    if out.exists():
        raise ValueError(f"{out}: is there already; name a folder that is not")
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as made:
        whole = Path(made) / out.name
        for name in (MANIFEST, *pulled.files):
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(pulled.folder / name, whole / name)
        (whole / ORIGIN).write_text(pulled.address + "\n", encoding="utf-8")
        rename(whole, out)
    return out
