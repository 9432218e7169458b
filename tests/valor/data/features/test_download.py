"""The published files against a local copy of the sites: listed, fetched over a bad network, checked, unpacked."""

import errno
import hashlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from huggingface_hub import close_session, constants, file_download

from tests.conftest import ROOT
from tests.helpers.toy_published import write_published
from tests.helpers.toy_server import ToySite, serving
from tests.helpers.typed import typed
from valor.data.features.download import (
    ANNOTATIONS,
    DownloadError,
    FetchOptions,
    RemoteFile,
    Source,
    UnknownHostError,
    asked_offline,
    download_annotations,
    download_from_hub,
    fetch,
    list_repository,
    mismatch,
)
from valor.data.features.feature_files import LABEL_FOLDERS
from valor.data.tables import read_split
from valor.data.vocabulary import LLP_CLASSES, class_names

QUICK = FetchOptions(attempts=2, timeout=5, backoff=0.001, progress=False)
OFFLINE = FetchOptions(offline=True, progress=False)
DATASET, MODELS = "NTUBarista/valor_features", "NTUBarista/valor_trained_models"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # what a dropped connection may cost; 10 MB else
    monkeypatch.setattr(file_download.time, "sleep", lambda _: None)  # of the client and of ours
    close_session()  # the client reads the proxies once


def zipped(folder: Path, name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((folder / name).rglob("*.npy")):
            archive.write(path, path.relative_to(folder))
            archive.writestr(f"__MACOSX/{path.relative_to(folder)}", b"junk")
            archive.writestr(f"{path.parent.relative_to(folder)}/._{path.name}", b"junk")
    return buffer.getvalue()


def hub(files: dict[str, bytes], repository: str, kind: str) -> ToySite:
    """The hub with one repository."""
    entries = [
        {"type": "file", "path": name, "oid": "0" * 40, "size": len(body),
         "lfs": {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 130}}
        for name, body in files.items()
    ]  # fmt: skip
    folder = "datasets/" if kind == "datasets" else ""
    served = {f"/{folder}{repository}/resolve/main/{quote(name)}": body for name, body in files.items()}
    listing = f"/api/{kind}/{repository}/tree/main?recursive=true&expand=false"
    return ToySite(files={**served, listing: json.dumps(entries).encode()})


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    return write_published(tmp_path_factory.mktemp("published"), kinds=("clap", "clip"))


@pytest.fixture
def features_hub(published):
    files = {f"{name}.zip": zipped(published, name) for name in ("CLIP", "CLAP")}
    with serving(hub({**files, "README.md": b"hello"}, DATASET, "datasets")) as site:
        yield site


def arrays(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npy")}


def test_features_and_labels_come_out_of_archives_fetched_once(features_hub, published, tmp_path):
    done = download_from_hub("features", tmp_path, QUICK, site=features_hub.url)
    assert sorted(done.fetched) == ["downloads/CLAP.zip", "downloads/CLIP.zip"] and done.unpacked == 18
    assert all("/features/" in name for name in arrays(tmp_path))
    assert (
        done.notes[0] == "not there: feats/vggish, feats/res152, feats/r2plus1d_18" and "Google Drive" in done.notes[1]
    )
    requests = len(features_hub.requests)
    done = download_from_hub("labels", tmp_path, QUICK, site=features_hub.url)
    assert done.fetched == () and done.unpacked == 18 and len(features_hub.requests) == requests + 1
    assert arrays(tmp_path) == arrays(published)


def test_a_second_run_writes_nothing(features_hub, tmp_path):
    download_from_hub("labels", tmp_path, QUICK, site=features_hub.url)
    done = download_from_hub("labels", tmp_path, QUICK, site=features_hub.url)
    assert (done.fetched, done.unpacked) == ((), 0)


def test_drops_and_damage_on_the_way_are_survived(features_hub, published, tmp_path):
    path = f"/datasets/{DATASET}/resolve/main/CLIP.zip"
    body = features_hub.files[path]
    features_hub.cuts[path] = [10_000, 20_000]
    features_hub.damaged[f"/datasets/{DATASET}/resolve/main/CLAP.zip"] = [b"<html>" * 1000]
    download_from_hub("features", tmp_path, QUICK, site=features_hub.url)
    assert (tmp_path / "downloads/CLIP.zip").read_bytes() == body
    wanted = {name: value for name, value in arrays(published).items() if "/features/" in name}
    assert arrays(tmp_path) == wanted


def test_a_hostile_archive_writes_nothing_outside(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("CLIP/features/a.npy", b"a")
        archive.writestr("../../escaped.npy", b"b")
    with serving(hub({"CLIP.zip": buffer.getvalue()}, DATASET, "datasets")) as site:
        with pytest.raises(ValueError, match=r"CLIP\.zip: the path '../../escaped.npy' would leave its folder"):
            download_from_hub("features", tmp_path / "in/out", QUICK, site=site.url)
    assert not list(tmp_path.rglob("*.npy"))


def test_only_some_files_can_be_asked_for(features_hub, tmp_path):
    done = download_from_hub("labels", tmp_path, QUICK, site=features_hub.url, only="CLA*")
    assert done.fetched == ("downloads/CLAP.zip",) and done.notes[0] == f"not there: {LABEL_FOLDERS[1]}"
    with pytest.raises(DownloadError, match=r"holds no labels that fit 'X\*'; it holds CLAP.zip, CLIP.zip, README.md"):
        download_from_hub("labels", tmp_path, QUICK, site=features_hub.url, only="X*")


def test_checkpoints_go_where_the_published_layout_has_them(tmp_path):
    files = {"model_VALOR/checkpoint_best.pt": b"one", "models/model_VALOR+/checkpoint_best.pt": b"two", "x.md": b"-"}
    with serving(hub(files, MODELS, "models")) as site:
        done = download_from_hub("checkpoints", tmp_path, QUICK, site=site.url)
    assert sorted(done.fetched) == [
        "models/model_VALOR+/checkpoint_best.pt", "models/model_VALOR/checkpoint_best.pt"]  # fmt: skip
    assert (tmp_path / "models/model_VALOR+/checkpoint_best.pt").read_bytes() == b"two"
    assert done.notes[0].startswith("next: `valor import checkpoint '") and len(done.notes) == 2


def test_offline_checks_and_unpacks_what_was_carried_along(features_hub, published, tmp_path, monkeypatch):
    download_from_hub("features", tmp_path, QUICK, site=features_hub.url)
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection was opened"))
    done = download_from_hub("labels", tmp_path, OFFLINE)
    assert done.unpacked == 18 and arrays(tmp_path) == arrays(published)
    archive = tmp_path / "downloads/CLIP.zip"
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with pytest.raises(DownloadError, match="not the published files: .*CLIP.zip"):
        download_from_hub("labels", tmp_path, OFFLINE)
    archive.unlink()
    with pytest.raises(
        DownloadError, match="offline, and .* lacks downloads/CLIP.zip; fetch on a machine with a network"
    ):
        download_from_hub("labels", tmp_path, OFFLINE)
    with pytest.raises(DownloadError, match="is not there to say what NTUBarista/valor_features holds"):
        download_from_hub("labels", tmp_path / "empty", OFFLINE)


def test_a_list_of_files_that_was_tampered_with_is_refused(tmp_path):
    kept = tmp_path / "downloads/valor_features.main.json"
    kept.parent.mkdir()
    for text in ("[1]", '[{"url": "x", "path": "../x.zip"}]', "{"):
        kept.write_text(text)
        with pytest.raises(ValueError, match=r"valor_features\.main\.json: expected the list of files kept"):
            download_from_hub("labels", tmp_path, OFFLINE)


def tables_site(shared: Path) -> ToySite:
    files = {}
    for name, (revision, _, _) in ANNOTATIONS.items():
        published = name.replace(".v2020", "")
        files[f"/YapengTian/AVVP-ECCV20/{revision}/data/{published}"] = (shared / "llp" / name).read_bytes()
    return ToySite(files=files)


def test_annotations_are_the_known_ones(shared, tmp_path):
    with serving(tables_site(shared)) as site:
        done = download_annotations(tmp_path, QUICK, site=site.url)
    assert len(done.fetched) == len(ANNOTATIONS) == 7
    names = class_names(LLP_CLASSES)
    assert len(read_split(tmp_path, "test", names).clip_ids) == 1200
    old = read_split(tmp_path, "val", names, truth_version="v2020")
    assert not np.array_equal(old.truth_sha256, read_split(tmp_path, "val", names).truth_sha256)
    assert download_annotations(tmp_path, OFFLINE).fetched == ()


def test_annotations_that_changed_upstream_are_refused(shared, tmp_path):
    site = tables_site(shared)
    path = "/YapengTian/AVVP-ECCV20/master/data/AVVP_eval_audio.csv"
    site.files[path] = site.files[path].replace(b"Speech", b"speech")
    with serving(site), pytest.raises(DownloadError, match=r"AVVP_eval_audio\.csv: .*sha256:.* damages files"):
        download_annotations(tmp_path, QUICK, site=site.url)
    assert not (tmp_path / "AVVP_eval_audio.csv").exists()


def test_the_old_audio_table_in_place_of_the_new_is_noticed(shared, tmp_path):
    (tmp_path / "AVVP_eval_audio.csv").write_bytes((shared / "llp/AVVP_eval_audio.v2020.csv").read_bytes())
    with serving(tables_site(shared)) as site:
        with pytest.raises(ValueError, match=r"AVVP_eval_audio\.csv: another file is in the way"):
            download_annotations(tmp_path, QUICK, site=site.url)


def test_the_command(features_hub, tmp_path, monkeypatch):
    done = typed("download", "features", "--out", tmp_path, "--url", features_hub.url, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("2 files fetched, 0 there and checked, 18 unpacked\n")
    assert done.out.endswith(f"wrote {tmp_path}\n")
    done = typed("download", "features", "--out", tmp_path, "--offline", "--quiet")
    assert done.code == 0 and done.out.endswith(f"nothing to do in {tmp_path}\n")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    complaint = typed("download", "annotations", "--out", tmp_path, "--url", features_hub.url).complaint()
    assert complaint.startswith("valor download: offline, and ") and "AVVP_train.csv" in complaint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    complaint = typed("download", "checkpoints", "--out", tmp_path, "--url", features_hub.url, "--quiet").complaint()
    assert "404" in complaint


BODY = random.Random(0).randbytes(700_000)
PATIENT = FetchOptions(attempts=3, timeout=5, backoff=0.001, progress=False)


@pytest.fixture
def site():
    with serving(ToySite(files={"/a.bin": BODY})) as served:
        yield served


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def remote(site: ToySite, **changes: object) -> RemoteFile:
    known = {"size": len(BODY), "digest": sha256(BODY), **changes}
    return RemoteFile(url=f"{site.url}/a.bin", path="in/a.bin", **known)


def only_file(folder: Path) -> bytes:
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["a.bin"]
    return (folder / "in/a.bin").read_bytes()


def test_a_file_is_fetched_once(site, tmp_path):
    assert fetch(remote(site), tmp_path, PATIENT) is True
    assert only_file(tmp_path) == BODY
    assert fetch(remote(site), tmp_path, PATIENT) is False
    assert len(site.requests) == 1


def test_a_dropped_connection_is_resumed_where_it_broke(site, tmp_path):
    site.cuts["/a.bin"] = [300_000, 100_000]
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY
    assert site.requests == [("/a.bin", None), ("/a.bin", "bytes=300000-"), ("/a.bin", "bytes=400000-")]


def test_a_run_that_gave_up_is_resumed_by_the_next(site, tmp_path):
    site.cuts["/a.bin"] = [250_000, *[0] * 17]  # the client resumes five times before a failure counts
    with pytest.raises(DownloadError, match=r"gave up after 3 failures in a row .*peer closed.*run the same"):
        fetch(remote(site), tmp_path, PATIENT)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["a.bin.part"]
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY and site.requests[-1] == ("/a.bin", "bytes=250000-")


def test_many_drops_are_borne_while_bytes_arrive(site, tmp_path):
    site.cuts["/a.bin"] = [50_000] * 13
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY


def test_a_server_that_ignores_ranges_starts_over(site, tmp_path):
    site.ignores_range, site.cuts["/a.bin"] = True, [300_000]
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY and len(site.requests) == 2


def test_a_server_that_lies_about_ranges_is_started_over(site, tmp_path):
    site.cuts["/a.bin"] = [300_000]
    site.headers["/a.bin"] = {"Content-Range": "bytes 5-10/700000"}
    site.wrong_spans = 1
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY and site.requests[-1] == ("/a.bin", None)


@pytest.mark.parametrize("damage", [BODY[:-1] + b"!", BODY + b"!", b"<html>quota exceeded</html>"])
def test_damage_is_noticed_fetched_again_and_never_named(site, tmp_path, damage):
    site.damaged["/a.bin"] = [damage]
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY
    (tmp_path / "in/a.bin").unlink()
    site.damaged["/a.bin"] = [damage] * 10
    with pytest.raises(DownloadError, match="is not the published file.*damages files"):
        fetch(remote(site), tmp_path, PATIENT)
    assert not (tmp_path / "in/a.bin").exists()


def test_no_more_than_a_file_has_is_taken(site, tmp_path):
    site.damaged["/a.bin"] = [bytes(5_000_000)] * 2
    with pytest.raises(DownloadError, match="not the published file: more than its 700,000 bytes; .*damages"):
        fetch(remote(site), tmp_path, PATIENT)
    assert not list((tmp_path / "in").iterdir())


def test_a_remnant_of_another_file_is_thrown_away(site, tmp_path):
    part = tmp_path / "in/a.bin.part"
    part.parent.mkdir()
    for remnant in (b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)):
        part.write_bytes(remnant)
        fetch(remote(site), tmp_path, PATIENT)
        assert only_file(tmp_path) == BODY
        (tmp_path / "in/a.bin").unlink()


def test_a_whole_remnant_needs_no_connection(site, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin.part").write_bytes(BODY)
    fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY and site.requests == []


def test_another_file_in_the_way_stays(site, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bin").write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"another file is in the way \(4 bytes in place of 700,000\); move it away"):
        fetch(remote(site), tmp_path, PATIENT)
    assert only_file(tmp_path) == b"mine" and site.requests == []


def test_temporary_answers_are_tried_again_and_final_ones_are_not(site, tmp_path):
    site.answers["/a.bin"] = [503, 429]
    fetch(remote(site), tmp_path, PATIENT)
    assert len(site.requests) == 3
    (tmp_path / "in/a.bin").unlink()
    site.answers["/a.bin"] = [401]
    with pytest.raises(DownloadError, match="answers 401 Unauthorized; is the address right, and is the file public"):
        fetch(remote(site), tmp_path, PATIENT)
    assert len(site.requests) == 4


def test_redirects_keep_the_range(site, tmp_path):
    site.redirects["/old"] = f"{site.url}/a.bin"
    site.cuts["/a.bin"] = [100_000]
    moved = RemoteFile(url=f"{site.url}/old", path="in/a.bin", size=len(BODY), digest=sha256(BODY))
    fetch(moved, tmp_path, PATIENT)
    assert only_file(tmp_path) == BODY and site.requests[-1] == ("/a.bin", "bytes=100000-")


def test_redirects_and_addresses_other_than_the_web_are_not_followed(site, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(BODY)
    site.redirects["/old"] = secret.as_uri()
    site.redirects["/ftp"] = "ftp://127.0.0.1/a.bin"
    for url in (f"{site.url}/old", f"{site.url}/ftp", secret.as_uri()):
        with pytest.raises(DownloadError, match="is not followed|is not allowed|only http and https"):
            fetch(RemoteFile(url=url, path="in/a.bin", size=len(BODY), digest=sha256(BODY)), tmp_path, PATIENT)
    assert not (tmp_path / "in/a.bin").exists()


def test_offline_opens_no_connection(site, tmp_path, monkeypatch):
    with pytest.raises(DownloadError, match="offline, so it is not asked for"):
        fetch(remote(site), tmp_path, FetchOptions(offline=True, progress=False))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert asked_offline()
    with pytest.raises(DownloadError, match="gave up after 3 failures in a row .*offline mode is enabled"):
        fetch(remote(site), tmp_path, PATIENT)
    assert site.requests == []


def test_the_environment_can_forbid_connections():
    """The library reads it once, when it is loaded: here in one process, for each value anew."""
    code = """
import importlib, os
from huggingface_hub import constants
from valor.data.features.download import asked_offline
print(asked_offline())
for value in ("1", "0", "ON", ""):
    os.environ["HF_HUB_OFFLINE"] = value
    importlib.reload(constants)
    print(asked_offline())
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "False", "True", "False"], done.stderr


def test_git_names_of_contents_are_checked(tmp_path):
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    known = {"url": "", "path": "hello", "size": 6}
    assert mismatch(path, RemoteFile(**known, digest="git-blob:ce013625030ba8dba906f756967f9e9ca394464a")) == ""
    assert "in place of git-blob:0000" in mismatch(path, RemoteFile(**known, digest="git-blob:" + 40 * "0"))
    with pytest.raises(ValueError, match="a digest is sha256:<hex> or git-blob:<hex>, got 'md5'"):
        mismatch(path, RemoteFile(**known, digest="md5:0"))


def test_a_full_disk_is_not_blamed_on_the_network(site, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("valor.data.features.download._Part.write", full)
    with pytest.raises(DownloadError, match="cannot be written here .*No space left on device.*make room"):
        fetch(remote(site), tmp_path, PATIENT)
    assert len(site.requests) == 1


def test_options_that_fetch_nothing_are_refused():
    with pytest.raises(ValueError, match="attempts must be at least 1, got"):
        FetchOptions(attempts=0)


def test_no_server_is_said_with_what_to_do(tmp_path):
    gone = RemoteFile(url="http://127.0.0.1:9/a.bin", path="a.bin", size=3, digest=sha256(b"abc"))
    with pytest.raises(DownloadError, match="gave up after 2 failures in a row .*refused"):
        fetch(gone, tmp_path, FetchOptions(attempts=2, backoff=0, progress=False))
    assert os.listdir(tmp_path) == []


def test_a_name_that_nobody_knows_is_asked_for_once(tmp_path, monkeypatch):
    asked = []

    def unknown(host, port):
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    gone = RemoteFile(url="http://nowhere.invalid/table.csv", path="table.csv", size=3, digest=sha256(b"abc"))
    with pytest.raises(
        UnknownHostError, match=r"the name nowhere\.invalid is not resolved; this machine has no network"
    ):
        fetch(gone, tmp_path, FetchOptions(attempts=5, backoff=100, progress=False))
    assert asked == ["nowhere.invalid"]


ONCE = FetchOptions(attempts=1, timeout=5, backoff=0, progress=False)
THINGS = Source("someone/things", "dataset", lambda _: True, ".")
LISTING = "/api/datasets/someone/things/tree/v1%2Fx?recursive=true&expand=false"
LARGE = {"type": "file", "path": "b/CLIP features.zip", "oid": "1" * 40, "size": 9,
         "lfs": {"oid": "2" * 64, "size": 9, "pointerSize": 130}}  # fmt: skip
SMALL = {"type": "file", "path": "README.md", "oid": "3" * 40, "size": 4}
FOLDER = {"type": "directory", "path": "b", "oid": "4" * 40, "size": 0}


def listed(site: ToySite) -> list[RemoteFile]:
    return list_repository(THINGS, "v1/x", site.url, ONCE)


def test_files_come_with_addresses_sizes_and_digests(monkeypatch):
    with serving(ToySite(files={LISTING: json.dumps([LARGE, FOLDER, SMALL]).encode()})) as site:
        readme, archive = listed(site)
        monkeypatch.setenv("HF_ENDPOINT", f"{site.url}/")
        assert list_repository(THINGS, "v1/x", None, ONCE) == [readme, archive]
    base = f"{site.url}/datasets/someone/things/resolve/v1%2Fx"
    assert archive == RemoteFile(
        url=f"{base}/b/CLIP%20features.zip", path="b/CLIP features.zip", size=9, digest="sha256:" + "2" * 64
    )
    assert readme == RemoteFile(url=f"{base}/README.md", path="README.md", size=4, digest="git-blob:" + "3" * 40)


def test_the_list_goes_over_several_pages():
    site = ToySite(files={LISTING: json.dumps([LARGE]).encode(), "/next?page=2": json.dumps([SMALL]).encode()})
    with serving(site):
        site.headers[LISTING] = {"Link": f'<{site.url}/next?page=2>; rel="next"'}
        assert [file.path for file in listed(site)] == ["README.md", LARGE["path"]]


def test_a_list_without_end_ends(monkeypatch):
    monkeypatch.setattr("valor.data.features.download._MOST_FILES", 3)
    with serving(ToySite(files={LISTING: json.dumps([SMALL]).encode()})) as site:
        site.headers[LISTING] = {"Link": f'<{site.url}{LISTING}>; rel="next"'}
        with pytest.raises(DownloadError, match="more than 3 files"):
            listed(site)


def test_nothing_of_the_user_is_sent_along(site, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    site.files[LISTING] = b"[]"
    assert fetch(remote(site), tmp_path, PATIENT) and listed(site) == []
    assert len(site.senders) == 2 and not any("secret" in str(headers) for headers in site.senders)
    assert all(headers["user-agent"].startswith("valor/") for headers in site.senders)


@pytest.mark.parametrize("body", [b"<html>", b'{"error": "x"}', b'[{"type": "file"}]', b"[1]"])
def test_what_is_no_list_is_refused(body):
    with serving(ToySite(files={LISTING: body})) as site:
        with pytest.raises(DownloadError, match="expected the hub's JSON list of files, got something else"):
            listed(site)


def test_paths_that_leave_the_folder_are_refused():
    with serving(ToySite(files={LISTING: json.dumps([{**SMALL, "path": "../../x.pt"}]).encode()})) as site:
        with pytest.raises(ValueError, match="'../../x.pt' would leave its folder"):
            listed(site)


def test_a_private_or_unknown_repository_is_said():
    with serving(ToySite()) as site, pytest.raises(DownloadError, match="answers 404 Not Found; is the address right"):
        listed(site)
