"""What is published where, and how it gets into the layout that `valor import` and every other project reads.

The annotation tables are known byte for byte. What the hub's repositories hold is listed when it is asked for; the
list is kept beside the archives, so that a machine without a network can check and unpack what was carried to it.
"""

import fnmatch
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from valor.archives import Unpacked, is_archive, safe_path, unpack
from valor.feature_files import FEATURE_FILES, LABEL_FOLDERS
from valor.fetching import DownloadError, FetchOptions, RemoteFile, fetch, mismatch
from valor.files import replaced
from valor.hub import HubRepository, list_repository

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
