"""The published files against a local copy of the sites: fetched, checked, unpacked, and offline only checked."""

import hashlib
import io
import json
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from tests.toy_published import write_published
from tests.toy_server import ToySite, serving
from tests.typed import typed
from valor.annotations import read_split
from valor.downloads import ANNOTATIONS, download_annotations, download_from_hub
from valor.feature_files import LABEL_FOLDERS
from valor.fetching import DownloadError, FetchOptions
from valor.vocabulary import LLP_CLASSES, class_names

QUICK = FetchOptions(attempts=2, timeout=5, backoff=0.001, progress=False)
OFFLINE = FetchOptions(offline=True, progress=False)
DATASET, MODELS = "NTUBarista/valor_features", "NTUBarista/valor_trained_models"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


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
    return ToySite(files={**served, f"/api/{kind}/{repository}/tree/main?recursive=true": json.dumps(entries).encode()})


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
    assert done.notes[0].startswith("next: valor import checkpoint '") and len(done.notes) == 2


def test_offline_checks_and_unpacks_what_was_carried_along(features_hub, published, tmp_path, monkeypatch):
    download_from_hub("features", tmp_path, QUICK, site=features_hub.url)
    monkeypatch.setattr(urllib.request, "build_opener", lambda *_: pytest.fail("a connection was opened"))
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
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    complaint = typed("download", "annotations", "--out", tmp_path, "--url", features_hub.url).complaint()
    assert complaint.startswith("valor download: offline, and ") and "AVVP_train.csv" in complaint
    monkeypatch.delenv("HF_HUB_OFFLINE")
    complaint = typed("download", "checkpoints", "--out", tmp_path, "--url", features_hub.url, "--quiet").complaint()
    assert "404" in complaint
